// SPDX-License-Identifier: BSD-2-Clause
// Process file descriptors: a name for one process that no later process takes over, and that can be waited for like a file.
#pragma once

#include <bsd/anonymous_file.hpp>
#include <bsd/proc.hpp>

namespace lentil {

/// Readable once its process is a zombie, hung up once that was waited for. Of a clone with CLONE_PIDFD it exists before its
/// process does, and names nobody until then.
class PidFile final : public AnonymousFile {
public:
    static constexpr const char* zone_name = "pidfds";
    /// `flags`: nonblock. nomem.
    static Result<RefPtr<PidFile>> create(uint32_t flags);
    explicit PidFile(uint32_t flags_value) : AnonymousFile(open_flags::read_write | flags_value, "pidfd") {}
    ~PidFile() override;
    void dispose() override { zone_delete(this); }

    /// Once. proc_tree_lock held.
    void bind_locked(Proc& proc);
    /// nullptr before the birth. proc_tree_lock need not be held.
    Proc* proc() const { return proc_.get(); }

    Result<size_t> read(Uio&) override { return Errno::inval; }
    Result<size_t> write(Uio&) override { return Errno::inval; }
    uint32_t poll(uint32_t events, PollTable* table) override;
    void describe_state(const FormatSink& out) override;
    PidFile* pidfd() override { return this; }

private:
    friend void pidfd_wake_all_locked(Proc& proc);
    RefPtr<Proc> proc_;
    PidFile* next_ = nullptr; ///< t; of the same process
    Waitq waitq_;
};

void pidfd_wake_all_locked(Proc& proc);
/// `proc` became a zombie, or is one no longer. proc_tree_lock held.
inline void pidfd_note_locked(Proc& proc) {
    if (proc.pidfds) [[unlikely]]
        pidfd_wake_all_locked(proc);
}

/// The descriptor of a child to be, in the caller's table while fork1 can still fail, and out of it again if it does. The
/// child's table is copied before, and has it not.
class PidfdReservation {
public:
    PidfdReservation() = default;
    PidfdReservation(const PidfdReservation&) = delete;
    PidfdReservation& operator=(const PidfdReservation&) = delete;
    ~PidfdReservation() {
        if (fd_ >= 0) [[unlikely]]
            withdraw();
    }
    /// Writes the descriptor to user memory at `out`. mfile, nomem, fault.
    Result<void> make(Proc& parent, vaddr_t out);
    /// proc_tree_lock held.
    void keep_locked(Proc& child) {
        if (file_) [[unlikely]]
            bind_locked(child);
    }

private:
    void withdraw();
    void bind_locked(Proc& child);

    RefPtr<PidFile> file_;
    RefPtr<FdTable> table_;
    int fd_ = -1;
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Descriptor tables and directories of a proc: copied by fork, shared on request (FORK_SHAREFILES, FORK_SHARECWD).
#pragma once

#include <bsd/file.hpp>

namespace lentil {

struct Proc;

/// A file that a system call uses. Where no other thread can close the descriptor meanwhile, the descriptor's reference
/// is enough, and this owns none.
class [[nodiscard]] FileHold {
public:
    FileHold() = default;
    static FileHold counted(File* file) { return FileHold(file, true); } ///< takes over the caller's reference
    static FileHold borrowed(File* file) { return FileHold(file, false); }
    FileHold(FileHold&& o) noexcept : file_(std::exchange(o.file_, nullptr)), counted_(o.counted_) {}
    FileHold& operator=(FileHold&& o) noexcept {
        std::swap(file_, o.file_);
        std::swap(counted_, o.counted_);
        return *this;
    }
    ~FileHold() {
        if (file_ && counted_)
            file_->unref();
    }
    File* get() const { return file_; }
    File* operator->() const { return file_; }
    File& operator*() const { return *file_; }
    explicit operator bool() const { return file_ != nullptr; }
    /// A reference of its own, to keep.
    RefPtr<File> keep() const { return RefPtr<File>(file_); }

private:
    FileHold(File* file, bool counted) : file_(file), counted_(counted) {}
    File* file_ = nullptr;
    bool counted_ = false;
};

/// Descriptors. All calls are safe against each other; none is made with a spin lock held.
class FdTable : public RefCounted<FdTable> {
public:
    static constexpr const char* zone_name = "fd_tables";
    void last_unref();
    static constexpr unsigned max_descriptors = 1u << 20; ///< whatever RLIMIT_NOFILE says
    static Result<RefPtr<FdTable>> create();
    FdTable() = default;
    explicit FdTable(Proc& in) : home_(&in) {}
    ~FdTable() { clear(); }
    /// As a new one in its proc, once nobody refers to it.
    void renew() { renew_count(); }

    /// fork: the same descriptions, own descriptors. Cost independent of how many if it can be. The copy is the one that
    /// lies in `home`, if that is not nullptr.
    Result<RefPtr<FdTable>> copy(Proc* home = nullptr);

    Result<RefPtr<File>> get(int fd); ///< badf
    /// The same for the time of a system call, by the only uthread of the proc whose table this is: nobody but itself can
    /// change the table then, unless another proc uses it too.
    Result<FileHold> hold(int fd) {
        if (ref_count() != 1)
            return hold_counted(fd);
        // Slots is not known here, but that it begins with its head.
        if (File* file = reinterpret_cast<SlotsHead*>(slots_)->find_file(fd))
            return FileHold::borrowed(file);
        return Errno::badf;
    }
    /// The same without a reference; nullptr where hold() has to be asked.
    File* borrow(int fd) {
        if (ref_count() != 1)
            return nullptr;
        return reinterpret_cast<SlotsHead*>(slots_)->find_file(fd);
    }
    /// All of them by descriptor, nullptr where none is open, as long as the caller changes nothing; none where hold() has
    /// to be asked.
    std::span<File* const> borrow_all() {
        if (ref_count() != 1)
            return {};
        auto* const slots = reinterpret_cast<SlotsHead*>(slots_);
        return {slots->files(), slots->capacity};
    }
    /// Lowest free descriptor >= `from` and < `limit` (RLIMIT_NOFILE): mfile.
    [[gnu::always_inline]] Result<int> install(RefPtr<File> file, bool close_on_exec, uint64_t limit, int from = 0) {
        if (from == 0)
            if (const int fd = install_lowest(file.get(), close_on_exec, limit); fd >= 0) [[likely]] {
                (void)file.release();
                return fd;
            }
        return install_from(file, close_on_exec, limit, from);
    }
    /// install() where a slot is free and the table's own: takes over the reference. -1: nothing happened.
    int install_lowest(File* file, bool close_on_exec, uint64_t limit);
    /// What install would fail with, before anything else is done; unless another thread is faster, install then succeeds.
    Result<void> make_room(uint64_t limit);
    Result<void> install_at(int fd, RefPtr<File> file, bool close_on_exec,
                            uint64_t limit); ///< dup2: closes what was there
    /// badf. Waits for memory rather than fail, if slots shared after a fork must be copied (set_close_on_exec too).
    Result<void> close(int fd);
    Result<bool> close_on_exec(int fd);
    Result<void> set_close_on_exec(int fd, bool on);
    Result<void> close_range(unsigned first, unsigned last, bool only_mark_cloexec);
    /// exec, while it can still fail: if anything is to be closed, makes the slots this table's own, so that
    /// close_all_on_exec needs no memory. nomem. The table must have no other user by then.
    Result<void> prepare_exec();
    void close_all_on_exec(); ///< cannot fail; waits for memory if a sibling forked since prepare_exec
    /// Lowest open descriptor >= fd, -1 if none: /proc/PID/fd.
    int next_open(int fd);
    unsigned capacity();

    /// POSIX record locks that this table may hold (bsd/file_lock.hpp); 0 spares every close the look-up.
    std::atomic<uint32_t> may_hold_locks{0};
    /// The table in whose place this one came, while other threads of the proc may be in the middle of a call on that one.
    RefPtr<FdTable> replaced;

private:
    friend struct FdTableInternals;
    Result<FileHold> hold_counted(int fd);
    Result<int> install_from(RefPtr<File>& file, bool close_on_exec, uint64_t limit, int from);
    Result<void> close_shared(int fd);

    /// The open descriptors. Immutable while `refs` > 1; each table that refers to it holds one. Arrays follow the
    /// header: open bits, close-on-exec bits, files (each owns a reference; nullptr where none is open).
    struct alignas(uint64_t) SlotsHead {
        std::atomic<uint32_t> refs{1};
        uint32_t capacity = 0;
        uint32_t words = 0;   ///< of each bitmap
        uint32_t staying = 0; ///< files that a copy leaves out (File::stays_behind)
        uint32_t lowest = 0;  ///< no descriptor below this one is free
        File** first = nullptr;
        File** files() { return first; }
        /// Whatever the number is: one below 0 lies beyond the end.
        File* find_file(int fd) { return static_cast<size_t>(fd) < capacity ? first[fd] : nullptr; }
    };
    struct Slots;
    void clear(); ///< closes everything
    Mutex<Rank::fd_table> lock_;
    Slots* slots_ = nullptr;
    Proc* home_ = nullptr; ///< in which it lies, if it does
};

/// What keeps a directory that pivot_root took from a process, for the call of it that may use that without a reference.
class LeftDirectory : public PolymorphicRefCounted<LeftDirectory> {
public:
    virtual ~LeftDirectory() = default;
};

/// Root, working directory and umask.
class CwdInfo : public RefCounted<CwdInfo> {
public:
    static constexpr const char* zone_name = "cwd_infos";
    CwdInfo() = default;
    explicit CwdInfo(Proc& in) : home_(&in) {}
    void last_unref();
    void renew(); ///< as FdTable's
    static Result<RefPtr<CwdInfo>> create(RefPtr<FsNode> root, RefPtr<FsNode> cwd, mode_t umask_value);
    Result<RefPtr<CwdInfo>> copy(Proc* home = nullptr); ///< `home`: as FdTable's
    RefPtr<FsNode> root();
    RefPtr<FsNode> cwd();
    /// The same for the only one who can change them.
    FsNode& own_root() { return *root_; }
    FsNode& own_cwd() { return *cwd_; }
    void set_root(RefPtr<FsNode> node);
    void set_cwd(RefPtr<FsNode> node);
    /// For whoever else: `to` wherever `from` is. `left` keeps that, and what later calls take away, as long as this lives.
    void replace(FsNode& from, FsNode& to, LeftDirectory& left);
    std::atomic<uint32_t> umask{022};

private:
    SpinLock<Rank::cwd> lock_;
    RefPtr<FsNode> root_, cwd_;
    RefPtr<LeftDirectory> left_; ///< the first
    Proc* home_ = nullptr;       ///< in which it lies, if it does
};

} // namespace lentil

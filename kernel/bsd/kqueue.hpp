// SPDX-License-Identifier: BSD-2-Clause
// kqueue: what a process wants to hear of, and a queue of what happened. A knote is one interest; it hangs on what it
// watches (a file's wait queues, a proc, a callout) and on the kqueue that it reports to.
#pragma once

#include <bsd/proc.hpp>

namespace lentil {

/// What to do with a knote, and what happened: struct kevent of BSD and XNU on 64-bit machines.
struct Kevent {
    uint64_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    int64_t data;
    uint64_t udata;
};
static_assert(sizeof(Kevent) == 32);

namespace kevent_filter {
inline constexpr int16_t read = -1, write = -2, proc = -5, signal = -6, timer = -7;
}
/// Kevent::flags, with BSD's values.
namespace kevent_flags {
inline constexpr uint16_t add = 0x01, remove = 0x02, enable = 0x04, disable = 0x08, one_shot = 0x10, clear = 0x20,
                          receipt = 0x40, dispatch = 0x80, error = 0x4000, eof = 0x8000;
}
/// Kevent::fflags: of EVFILT_PROC with BSD's values, of EVFILT_TIMER with XNU's.
namespace kevent_notes {
inline constexpr uint32_t exit = 0x80000000, fork = 0x40000000, exec = 0x20000000, track = 1, track_error = 2,
                          child = 4;
inline constexpr uint32_t seconds = 1, microseconds = 2, nanoseconds = 4;
} // namespace kevent_notes

Result<RefPtr<File>> kqueue_create(uint32_t flags);
/// Adds, changes or removes one knote of the calling process. inval for what is no kqueue or no such filter or flag; badf,
/// noent, srch, nomem.
Result<void> kevent_change(File& kqueue, const Kevent& change);
/// Takes what happened. 0 at the deadline, intr on a signal. At most kevent_batch at once.
Result<size_t> kevent_wait(File& kqueue, std::span<Kevent> out, nanos_t deadline_ns);
inline constexpr size_t kevent_batch = 32;

/// The open file ends: no knote watches it any more.
void kqueue_forget(File& file);

// -- what happens to a proc; all with proc_tree_lock held, all free while nothing watches it ------------------------------

/// Knotes for the children of a proc that is watched with NOTE_TRACK, made before its child is.
class KnoteReserve {
public:
    KnoteReserve() = default;
    KnoteReserve(const KnoteReserve&) = delete;
    KnoteReserve& operator=(const KnoteReserve&) = delete;
    ~KnoteReserve() {
        if (first_) [[unlikely]]
            drop();
    }
    /// As many as there is memory for; where one is missing, NOTE_TRACKERR says so. No lock held.
    void fill(Proc& parent);
    Knote* take();

private:
    void drop();
    Knote* first_ = nullptr;
};

namespace detail {
void knotes_exec(Proc& proc);
void knotes_exit(Proc& proc);
void knotes_signal(Proc& proc, int signo);
void knotes_fork(Proc& parent, Proc& child, KnoteReserve& reserve);
} // namespace detail

/// `child` is linked and does not run yet (NB-37).
inline void kqueue_note_fork_locked(Proc& parent, Proc& child, KnoteReserve& reserve) {
    if (parent.knotes) [[unlikely]]
        detail::knotes_fork(parent, child, reserve);
}
inline void kqueue_note_exec_locked(Proc& proc) {
    if (proc.knotes) [[unlikely]]
        detail::knotes_exec(proc);
}
/// `proc` is a zombie with its exit status; its knotes leave it.
inline void kqueue_note_exit_locked(Proc& proc) {
    if (proc.knotes) [[unlikely]]
        detail::knotes_exit(proc);
}
/// Every signal that is sent counts, ignored or blocked or not.
inline void kqueue_note_signal_locked(Proc& proc, int signo) {
    if (proc.knotes) [[unlikely]]
        detail::knotes_signal(proc, signo);
}

} // namespace lentil

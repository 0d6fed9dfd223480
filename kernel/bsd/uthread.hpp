// SPDX-License-Identifier: BSD-2-Clause
// The uthread: one thread of a proc as user mode knows it. It executes on exactly one Mach thread, or is parked on one
// wait channel with its registers, or is dead.
#pragma once

#include <bsd/limits.hpp>
#include <bsd/signal.hpp>
#include <libkern/dlist.hpp>
#include <sched/thread.hpp>

namespace lentil {

struct Proc;

enum class UthreadState : uint32_t {
    embryo,
    executing, ///< on `thread`
    parked,    ///< lent its thread away: waits for a loan to end (bsd/vfork.cpp)
    dead
};

/// A PiWaiter's place in the list of whom it waits for (bsd/futex_pi.hpp).
struct PiLink {
    DlistLinks<PiLink> link;
};

/// A proc's first lies in the proc (Proc::leader), others in their own zone.
struct Uthread : RefCounted<Uthread> {
    static constexpr const char* zone_name = "uthreads";
    void last_unref();
    /// As a new one, once nobody knows it any more (Proc::renew).
    void renew();

    Uthread() {} // not defaulted, or `T()` would clear all of it first; every member has its initializer

    Proc* proc = nullptr; ///< never changes while alive; the proc holds this uthread's reference
    pid_t tid = 0;        ///< the leader's equals the pid
    // t: guarded by proc_tree
    std::atomic<Thread*> thread{nullptr};                  ///< t; what it executes on; nullptr while parked or dead
    std::atomic<UthreadState> state{UthreadState::embryo}; ///< t
    ListHook proc_link;                                    ///< t; Proc::uthreads
    ListHook tid_link;                                     ///< t; tid table
    struct VforkLoan* lent = nullptr;                      ///< t; the loan it waits for, as lender (bsd/vfork.cpp)
    struct VforkLoan* awaited_by = nullptr; ///< t; owned; a sibling waits for its exec or end (bsd/vfork.cpp)

    /// If it is traced: see there for what guards it. Looked at before and after every system call.
    std::atomic<struct Tracing*> traced{nullptr};

    UthreadSignals sig; ///< Proc::sig.lock
    SchedParams sched;  ///< t; what it asked for (bsd/priority.hpp): its thread runs with it, whoever owns the thread

    // -- futexes with priority inheritance: the lock of bsd/futex_pi.cpp ---------------------------------------------
    Dlist<PiLink, &PiLink::link> pi_waiters; ///< who waits for locks that it owns
    struct PiWaiter* pi_waits = nullptr;     ///< its place among another's
    int32_t pi_inherited = 0;                ///< t too; best real-time priority among its waiters
    std::atomic<bool> pi_left{false};        ///< it gave on what it owned, since it ends or executes

    // -- its own, touched only while it executes -------------------------------------------------------------------
    vaddr_t set_child_tid = 0;   ///< written by the child itself before its first user instruction
    vaddr_t clear_child_tid = 0; ///< zeroed and woken as a futex when it leaves the map
    vaddr_t robust_list = 0;
    uint64_t robust_list_size = 0;
    alignas(uint64_t) char name[16] = {}; ///< prctl(PR_SET_NAME); the proc's comm is its leader's
    bool in_syscall = false;              ///< the frame is one of a system call: restart rules apply
    int64_t syscall_number = -1;
    struct RestartBlock { ///< restart_syscall(2): relative sleeps go on
        Result<uint64_t> (*function)(RestartBlock&) = nullptr;
        uint64_t args[6] = {};
    } restart;
    int32_t parent_death_signal = 0; ///< PR_SET_PDEATHSIG
    struct SingleStep {              ///< bsd/ptrace_step.cpp
        vaddr_t original = 0;        ///< where the instruction is that executes in `copy`; 0: none does
        vaddr_t copy = 0;
        uint32_t length = 0;
    } step;
    /// Checked builds, /proc/self/fail-nth: so many allocations of its system calls from now, one fails. 0: none.
    uint32_t fail_nth = 0;

    // -- accounting ------------------------------------------------------------------------------------------------
    OwnUsage usage; ///< of finished stretches; without what `thread` holds while it executes
    /// All up to now. proc_tree_lock held, or of the current uthread.
    Usage usage_locked() const;
};

/// From here on `thread` executes as `uthread`. proc_tree_lock held, or nobody else knows either yet.
inline void uthread_execute_on(Uthread& uthread, Thread& thread) {
    thread.uthread = &uthread;
    uthread.thread = &thread;
    uthread.state = UthreadState::executing;
    const bool watched = uthread.traced.load(std::memory_order_relaxed) != nullptr || uthread.fail_nth != 0;
    thread.arch.calls_watched.store(watched, std::memory_order_relaxed);
}

/// Who the calling thread is for user mode. No special case for a loan: the loan swaps this pointer.
inline Uthread& current_uthread() { return *current_thread().uthread; }
inline bool has_uthread() { return current_thread().uthread != nullptr; }
inline Proc& current_proc() { return *current_uthread().proc; }

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Signals: state of procs and uthreads, sending, picking, default actions, job-control stops. Layout of frames and
// siginfo for user mode is in abi/.
#pragma once

#include <array>
#include <span>

#include <bsd/signal_types.hpp>
#include <libkern/intrusive.hpp>
#include <libkern/types.hpp>
#include <libkern/uninitialized.hpp>
#include <machine/machine.hpp>
#include <sched/waitq.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

struct Proc;
struct Uthread;

/// Handlers of a proc; shared with FORK_SHARESIGS / CLONE_SIGHAND. Any thread may use it: it has a lock of its own.
/// Most processes change few actions, so only those are held, named by a set: a copy costs as much as was changed.
class SigActs : public ZonedRefCounted<SigActs> {
public:
    static constexpr const char* zone_name = "sigacts";

    SigActs() {} // not defaulted, or `T()` would clear all of it first
    SigAction get(int signo) const;
    vaddr_t handler(int signo) const; ///< of that action
    void set(int signo, const SigAction& action);
    /// The same; `old`, if it is wanted, becomes the action until now.
    void exchange(int signo, const SigAction& action, SigAction* old);
    SigSet ignored() const;
    SigSet caught() const;
    /// Everything but SIG_IGN becomes the default, without flags (execve, CLONE_CLEAR_SIGHAND).
    void keep_only_ignored();
    /// nomem.
    Result<RefPtr<SigActs>> copy() const;
    /// Something besides the system calls of the process that has it may change it: another process uses it too
    /// (FORK_SHARESIGS), or an action of it lasts for one signal.
    void mark_unsteady() { __atomic_store_n(&unsteady_, true, __ATOMIC_RELAXED); }
    bool is_steady() const { return !__atomic_load_n(&unsteady_, __ATOMIC_RELAXED); }

    /// Whether the action is that of a new process; no lock is taken, as if this had been asked before or after a change.
    bool is_default(int signo) const { return !SigSet{__atomic_load_n(&set_.bits, __ATOMIC_RELAXED)}.has(signo); }
    /// For a leaf system call: an action that is not the default one; false if somebody holds the lock.
    bool leaf_set(int signo, const SigAction& action) {
        const LeafGuard guard(lock_);
        if (!guard)
            return false;
        at(signo) = action;
        __atomic_store_n(&set_.bits, set_.bits | SigSet::of(signo).bits, __ATOMIC_RELEASE); // what handler() reads
        return true;
    }

private:
    SigAction& at(int signo) { return actions_[static_cast<size_t>(signo - 1)].value; }
    const SigAction& at(int signo) const { return actions_[static_cast<size_t>(signo - 1)].value; }
    /// The signals of `set_` whose handler is SIG_IGN, or that are caught. The lock is held.
    SigSet with_handler(bool ignore) const;

    mutable SpinLock<Rank::cwd> lock_;
    SigSet set_; ///< whose action is not that of a new process
    bool unsteady_ = false;
    std::array<Uninitialized<SigAction>, signal_count> actions_;
};

/// One queued signal with its information.
struct QueuedSignal {
    static constexpr const char* zone_name = "queued_signals";
    SigInfo info;
    ListHook link;
    std::atomic<uint32_t>* charged = nullptr; ///< who has one more in its queues because of this
    /// Not nullptr: the entry belongs to somebody, who is told under the signal lock when it left its queue; `taken` is what
    /// the taker will see, nullptr if it was dropped.
    void (*left)(QueuedSignal& self, SigInfo* taken) = nullptr;
};

/// A pending set: a bit a signal, and a queue for those that carry more than the bit.
struct Pending {
    SigSet set;
    List<QueuedSignal, &QueuedSignal::link> queue;
    ~Pending();
};

/// Signal state of a proc; everything here and in UthreadSignals is guarded by Proc::sig.lock.
struct ProcSignals {
    mutable SpinLock<Rank::signal> lock;
    Pending shared;
    bool group_exit = false;           ///< the proc ends: no uthread returns to user mode again
    int32_t group_exit_status = 0;     ///< wait status it ends with
    bool kill_repeated = false;        ///< SIGKILL came after that: not even a tracer holds the end up
    Uthread* exec_survivor = nullptr;  ///< set while one uthread execs: all others end
    bool stopping = false;             ///< a job-control stop began: every uthread stops on its way to user mode
    bool stopped = false;              ///< all of them did; a parked one counts
    bool stop_unreported = false;      ///< wait(WUNTRACED) has not seen this stop; whoever reports it clears it
    bool continued_unreported = false; ///< likewise for WCONTINUED
    int32_t stop_signal = 0;
    Waitq stop_waitq; ///< stopped uthreads sleep here
    void renew();     ///< as new, of a proc that was reaped
};

/// Woken for every signal that becomes pending for `proc`, and for some of others: signalfd. No part of the proc, since an epoll
/// may watch a signalfd for a process and outlive that.
Waitq& signal_waitq(const Proc& proc);

/// Signal state of a uthread.
struct UthreadSignals {
    SigSet mask;
    SigSet saved_mask; ///< to restore after a handler when has_saved_mask (sigsuspend, ppoll)
    bool has_saved_mask = false;
    Pending pending;
    vaddr_t altstack_base = 0;
    uint64_t altstack_size = 0;
    uint32_t altstack_flags = 2; ///< SS_DISABLE
    SigSet waiting_for;          ///< sigtimedwait: these wake it although they are blocked
    bool stopped = false;
    void renew(); ///< as new, of a uthread that ended
};

// -- sending -------------------------------------------------------------------------------------------------------
// Callable from interrupts; they never block. No permission check. Signals to zombies vanish. Those named _locked want
// proc_tree_lock held, the others take it.

/// To the proc as a whole.
void signal_send(Proc& proc, const SigInfo& info);
void signal_send_locked(Proc& proc, const SigInfo& info);
/// To one uthread.
void signal_send(Uthread& uthread, const SigInfo& info);
void signal_send_locked(Uthread& uthread, const SigInfo& info);
/// The same for sigqueue: again if the queue is full and a real-time signal's information would be lost. `uthread` may be
/// nullptr: to the proc.
Result<void> signal_queue_locked(Proc& proc, Uthread* uthread, const SigInfo& info);
/// A signal whose entry the sender owns; it is in no queue. False if nobody wants it, and then it is not queued.
bool signal_queue_own_locked(Proc& proc, Uthread* uthread, QueuedSignal& entry);
/// From the kernel to a proc, by number.
void signal_send_kernel(Proc& proc, int signo);
/// SIGPIPE to the current uthread, which wrote where nobody reads; nothing in a kernel thread.
void signal_broken_pipe();
/// A fault of the current uthread. If it is blocked or ignored, or its action is the default, the proc ends (LX), init too.
void signal_force(const SigInfo& info);
/// Whether the current uthread may signal `target`: Linux rules of kill(2). proc_tree_lock held.
bool signal_allowed(const Proc& target, int signo);

/// Marks the proc as ending with `wait_status` and interrupts all its uthreads. False if it was ending already.
bool signal_begin_group_exit(Proc& proc, int32_t wait_status);
bool signal_begin_group_exit_locked(Proc& proc, int32_t wait_status); ///< proc_tree_lock held
/// The same for the current proc, by a uthread that does not return to user mode any more.
void signal_begin_own_exit(Proc& proc, int32_t wait_status);

/// execve by `survivor` in a proc of several uthreads: tells all others to end, parked ones through loan_recall. False if
/// the proc ends anyway or another execs already. proc_tree_lock held.
bool signal_begin_exec_locked(Proc& proc, Uthread& survivor);
void signal_end_exec_locked(Proc& proc);

// -- looking -------------------------------------------------------------------------------------------------------
/// Whether the uthread has something to deliver or must stop or end. Takes the proc's signal lock.
bool signal_pending(const Uthread& uthread);
/// Recomputes whether the uthread's thread needs an AST. The proc's signal lock held, and proc_tree_lock unless the
/// uthread is the current one.
void signal_recalculate(Uthread& uthread);
/// The way back to user mode (AST): delivers one signal after another, stops, or ends the uthread. `frame` is the user's;
/// restart handling of an interrupted system call happens here. Called with interrupts in any state, returns with them
/// disabled and nothing pending.
void signal_ast(machine::Trapframe& frame);
/// kill() of the current process, or tgkill() of the current thread (`code` tells which): if a handler takes it at once, the call
/// ends here, and so it stands in `frame`, which is the user's and whole. False: nothing happened.
bool signal_self_at_once(machine::Trapframe& frame, int signo, int32_t code);

// -- changes of the current uthread -----------------------------------------------------------------------------------
void signal_set_mask(Uthread& uthread, SigSet mask);
/// Atomically sets `mask` until the system call ends (sigsuspend, ppoll, pselect). signal_ast restores the old one: after
/// the handler if the call returned restart_nohand, before any delivery if it returned anything else.
void signal_set_temporary_mask(Uthread& uthread, SigSet mask);
/// The current proc is about to change an action, or to let others: the table becomes its own (Proc::sigacts_lent). nomem.
Result<void> sigacts_own(Proc& proc);
/// Sets the action of the current proc, unless `action` is nullptr; `old`, unless it is nullptr, becomes the one until
/// then. inval; intr for a caller that is killed while it waits for memory.
Result<void> signal_set_action(int signo, const SigAction* action, SigAction* old);
/// exec: handlers to default, alternate stack gone, pending kept. `fresh`, a copy, replaces actions that are shared;
/// nullptr if they are not.
void signal_exec(Uthread& uthread, RefPtr<SigActs> fresh);
/// sigtimedwait: takes a pending signal of `set`, or sleeps. again on time-out, intr if another signal came.
Result<SigInfo> signal_wait(SigSet set, nanos_t deadline_ns);
/// fork: mask inherited, nothing pending; the alternate stack too unless the child is a thread of the same proc.
void signal_fork(const Uthread& parent, Uthread& child);
/// A uthread ended: it left Proc::uthreads. Drops what pends for it alone, lets another take what it was chosen for, and
/// completes a stop that waited for it. proc_tree_lock held.
void signal_uthread_gone_locked(Uthread& uthread);
/// A proc became a zombie: what pends for it and its last uthread goes, and counts for its user no more. proc_tree_lock held.
void signal_proc_gone_locked(Proc& proc, Uthread& last);

/// What delivery needs from abi/; boot/ fills it in.
struct SignalHooks {
    /// Writes the user's signal frame and points `frame` at the handler; `old_mask` is what sigreturn restores. fault if
    /// the stack cannot take it. No lock held.
    Result<void> (*push_frame)(machine::Trapframe& frame, const SigInfo& info, const SigAction& action,
                               SigSet old_mask) = nullptr;
};
extern SignalHooks signal_hooks;

// -- faults of user mode, for machine::hooks (bsd/user_fault.cpp) -----------------------------------------------------
void user_exception(machine::Trapframe& frame, machine::UserException what, vaddr_t address);
bool user_page_fault(machine::Trapframe& frame, vaddr_t address, machine::Prot access, bool in_kernel);

} // namespace lentil

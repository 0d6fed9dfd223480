// SPDX-License-Identifier: BSD-2-Clause
// Tracing of uthreads by another proc, as ptrace(2) of Linux says. Numbers and structures of user mode are in abi/.
// Unlike Linux, every thread of the tracer may give orders, and all its tracees go free when the last of them ends.
#pragma once

#include <bsd/exit.hpp>

namespace lentil {

// -- orders of a tracer: the current proc ----------------------------------------------------------------------------------

/// The parent becomes the tracer of the calling uthread. perm if it is traced; nomem.
Result<void> ptrace_trace_me();
/// srch, perm, nomem. A borrower gets a task of its own first. `seize`: does not stop it, and sets `options`.
Result<void> ptrace_attach(pid_t tid, bool seize, uint32_t options);
Result<void> ptrace_interrupt(pid_t tid);
Result<void> ptrace_kill(pid_t tid);

// The following want the tracee stopped: srch if it is not.
Result<void> ptrace_listen(pid_t tid);
/// `signo`: 0 or what to deliver instead of the signal it stopped for. io if there is no such signal.
Result<void> ptrace_resume(pid_t tid, TraceResume how, uint64_t signo);
Result<void> ptrace_detach(pid_t tid, uint64_t signo);

/// The caller's tracee, if it is stopped and not only listening; srch. proc_tree_lock held.
Result<Tracing*> ptrace_stopped_locked(pid_t tid);
/// Calls `f(Tracing&)` for that tracee with proc_tree_lock held, so that it stays where it is. f must not block; it
/// returns nothing or a Result<void>.
template<class F>
Result<void> ptrace_with_stopped(pid_t tid, F f) {
    ProcTreeGuard guard(proc_tree_lock);
    Tracing* tracing = TRY(ptrace_stopped_locked(tid));
    if constexpr (std::is_void_v<decltype(f(*tracing))>) {
        f(*tracing);
        return Result<void>();
    } else {
        return f(*tracing);
    }
}
/// What a stopped tracee runs in, with a reference.
Result<RefPtr<VmMap>> ptrace_map(pid_t tid);
/// Whether the current proc may look into `target` and change it (PTRACE_MODE_ATTACH_REALCREDS): perm.
Result<void> ptrace_check_access(const Proc& target);

// -- in the tracee ------------------------------------------------------------------------------------------------------------
// For callers that found `Uthread::traced` set, once; it may be gone meanwhile.

/// Before and after a system call. Entry returns false if the call must not be made: killed, or the tracer says so.
bool ptrace_syscall_entry(machine::Trapframe& frame);
void ptrace_syscall_exit(machine::Trapframe& frame);
/// Stops for an event if its option is set.
void ptrace_event(uint32_t event, uint64_t message);
/// execve is done. `old_tid`: what the caller was before it took the leader's place.
void ptrace_exec_done(pid_t old_tid);
/// The uthread ends with this wait status.
void ptrace_exit_event(int32_t wait_status);

/// What signal delivery does about tracing. No lock held.
struct TracedDelivery {
    bool intercepts; ///< signals go to the tracer first
    bool stopped;    ///< it stopped for a trap or with the whole proc: look at everything again
    bool has_signal; ///< a trap of ours (exec, step) that the tracer let through
    SigInfo info;
};
TracedDelivery ptrace_before_signals(Uthread& self);
/// Signal-delivery-stop: false if the tracer wants nothing delivered, else what in `info`.
bool ptrace_signal_stop(Uthread& self, SigInfo& info);

/// Single steps (bsd/ptrace_step.cpp). arm: on the way to user mode, makes the next instruction the only one; false if it
/// was executed right away. disarm: pc is the program's own again; true if the instruction was executed. Called while
/// `Uthread::step` says that one is under way.
bool ptrace_step_arm(Uthread& self, machine::Trapframe& frame);
bool ptrace_step_disarm(Uthread& self, machine::Trapframe& frame);

// -- births -------------------------------------------------------------------------------------------------------------------

/// What tracing of the creator makes of a birth: `event` is what its tracer hears, `force` is CLONE_PTRACE.
class TracedBirth {
public:
    TracedBirth() = default;
    TracedBirth(TracedBirth&& o) noexcept : fresh_(std::exchange(o.fresh_, nullptr)), event_(o.event_) {}
    TracedBirth& operator=(TracedBirth&&) = delete;
    ~TracedBirth() {
        if (fresh_) [[unlikely]]
            drop();
    }
    /// Allocates what the child needs if it will be traced. nomem.
    static Result<TracedBirth> prepare(const Uthread& caller, uint32_t event, bool force);
    /// The child gets its creator's tracer and starts stopped. proc_tree_lock held; its thread is known.
    void link_locked(Uthread& child);
    /// The creator's event stop. No lock held.
    void report(pid_t child) const;

private:
    void drop();

    Tracing* fresh_ = nullptr;
    uint32_t event_ = trace_events::none;
};

// -- for signals, exit and wait ------------------------------------------------------------------------------------------------

/// Whether signals for `uthread` (nullptr: for any of the proc) are the tracer's to decide. The proc's signal lock held.
bool ptrace_watches(const Proc& proc, const Uthread* uthread);
/// A job-control stop of `proc` began, or SIGCONT was sent. proc_tree_lock and its signal lock held.
void ptrace_job_control_changed(Proc& proc);
/// A uthread left its proc. True if its tid stays taken until the tracer has waited for it. proc_tree_lock held.
bool ptrace_uthread_gone_locked(Uthread& uthread, int32_t wait_status);
/// execve of a uthread that takes the place of the leader, which is gone. proc_tree_lock held.
void ptrace_exec_leader_locked(Proc& proc, Uthread& survivor);
/// `proc` ends: its tracees go free, or die. Ends of tracees that it did not wait for go on to their parents, before its
/// own children get another one. proc_tree_lock held.
void ptrace_tracer_ends_locked(Proc& proc, ReapedProcs& reaped);
/// Whether someone other than its parent is to hear of the end of `proc` first; then tells them. proc_tree_lock held.
bool ptrace_takes_end_locked(Proc& proc, SigInfo info);
/// The tracer waited for the end of this leader's proc (or of this uthread): the record goes. proc_tree_lock held.
void ptrace_drop_locked(Tracing& tracing);
/// Whether a uthread of this proc ended and the proc's tracer has not waited for it yet. proc_tree_lock held.
bool ptrace_has_unwaited_uthreads_locked(const Tracing& leader);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// What the parts of signals share among themselves. Unless said otherwise the proc's signal lock is held.
#pragma once

#include <bsd/proc.hpp>
#include <bsd/ptrace.hpp>
#include <bsd/signal_pick.hpp>
#include <bsd/vfork.hpp>

namespace lentil::signals {

using SignalGuard = SpinGuard<Rank::signal>;

/// The action of `proc` for `signo`; the default one once it has no table any more.
SigAction action_of(const Proc& proc, int signo);
vaddr_t handler_of(const Proc& proc, int signo);
void set_action(Proc& proc, int signo, const SigAction& action);
/// Adds to what the current uthread blocks, when it is known to have nothing that interrupts it, or is about to look at
/// its signals again anyhow. Takes the lock.
void block_more(Uthread& uthread, SigSet more);

/// What `uthread` does not take now: its mask, and what its proc's loan defers.
SigSet blocked_for(const Uthread& uthread);
/// How urgently `uthread` must look at its signals: 0 not at all, 1, or 2 because it must end.
uint32_t needed_level(const Uthread& uthread);
inline bool must_end(const Proc& proc, const Uthread& uthread) {
    return proc.sig.group_exit || (proc.sig.exec_survivor && proc.sig.exec_survivor != &uthread);
}
/// Whether a tracer wants `uthread` to stop for it.
inline bool is_trapped(const Uthread& uthread) {
    const Tracing* tracing = uthread.traced.load(std::memory_order_relaxed);
    return tracing && tracing->traps != 0;
}
/// init survives every signal that it has no handler for.
inline bool is_unkillable(const Proc& proc) { return &proc == init_proc; }

/// Takes the next signal of `wanted` that pends for `uthread`: its own before those of the whole proc.
bool take_signal(Uthread& uthread, SigSet wanted, SigInfo& info);

/// The actions of `proc` if nobody can change the table or the mask as long as proc_tree_lock, which is held, keeps its only
/// uthread parked; else nullptr.
inline const SigActs* resting_actions_locked(const Proc& proc) {
    const bool rests = proc.living_uthreads() == 1 &&
                       proc.uthreads.front().state.load(std::memory_order_relaxed) == UthreadState::parked;
    return rests ? proc.sigacts.get() : nullptr;
}
/// Whether nobody would ever notice `signo` if it were sent to the proc just now. proc_tree_lock held; takes the lock.
bool is_void_locked(const Proc& proc, int signo);

/// Lets the other uthreads of a proc look at signals that `except` will not take any more. proc_tree_lock held too.
void retarget(Proc& proc, const Uthread& except);

/// Starts a job-control stop: all uthreads are on their way to it. proc_tree_lock held too.
void begin_stop(Proc& proc, int signo);
/// Whether the stop is complete just now: then the caller reports it to the parent. proc_tree_lock held too.
bool complete_stop(Proc& proc);
/// Tells the parent that `proc` stopped or goes on. proc_tree_lock held, the signal lock not.
void report_to_parent(Proc& proc, int32_t code, int32_t status);

} // namespace lentil::signals

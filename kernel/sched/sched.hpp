// SPDX-License-Identifier: BSD-2-Clause
// The scheduler: per-hart run queues, preemption, stealing, affinity, idle harts that sleep.
#pragma once

#include <sched/thread.hpp>

namespace lentil {

/// Called on the boot hart once memory is up: makes the hart's idle thread out of the boot flow of control.
void sched_init_hart(unsigned hart_index);
/// The idle loop of a hart; never returns.
[[noreturn]] void sched_idle();

/// Makes a new thread runnable for the first time. Prefers an idle hart in its affinity; keeps a reference while it lives.
void thread_start(Thread& thread);

/// Wakes `thread` if it is waiting (or about to: between prepare_wait and thread_block). Callable anywhere, interrupts
/// included; returns whether it changed anything.
bool thread_wake(Thread& thread);

/// A signal pends for `thread` (level 1) or a fatal one (level 2): sets need for an AST and ends its wait if that is
/// interruptible at this level.
void thread_interrupt(Thread& thread, uint32_t level);
/// Clears the level; the thread itself, when it looked at its signals.
void thread_clear_interrupt(Thread& thread);

/// Gives up the hart. In state `waiting` until woken; in state `running` the thread goes to the end of its queue.
/// No spin lock may be held.
void thread_block();
/// sched_yield(2).
void thread_yield();
/// Leaves the hart for good: the thread is dead once switched away from. Its uthread slot is already empty.
[[noreturn]] void thread_exit();

/// Changes policy, nice or affinity of a thread in any state; a running thread that may not stay moves at once.
void thread_set_params(Thread& thread, const SchedParams& params);
/// Time `thread` ran so far, up to this moment even while it runs.
CpuTimes thread_times(const Thread& thread);

/// From hooks.timer_interrupt, hooks.ipi, hooks.kernel_preempt.
void sched_timer_interrupt();
void sched_ipi(machine::Ipi reasons);
void sched_kernel_preempt();
/// On the way back to user mode with need_resched set.
void sched_user_preempt();
/// Called by trap entry and exit glue: closes a stretch of user (resp. system) time.
void sched_enter_kernel(Thread& self);
void sched_leave_kernel(Thread& self);

/// Disables kernel preemption for its scope (not interrupts).
class [[nodiscard]] PreemptGuard {
public:
    PreemptGuard() { current_thread().preempt_disabled++; }
    ~PreemptGuard() { current_thread().preempt_disabled--; }
    PreemptGuard(const PreemptGuard&) = delete;
    PreemptGuard& operator=(const PreemptGuard&) = delete;
};

/// Harts that are up, and a snapshot of load averages in 1/65536 (1, 5 and 15 minutes).
HartSet sched_harts();
void sched_load_averages(uint64_t out[3]);

} // namespace lentil

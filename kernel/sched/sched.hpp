// SPDX-License-Identifier: BSD-2-Clause
// The scheduler: per-hart run queues, preemption, stealing, affinity, idle harts that sleep.
#pragma once

#include <sched/thread.hpp>

namespace lentil {

/// Called on every hart once, on the boot hart once sched_set_memory was: makes the hart's idle thread out of the boot flow
/// of control. current_thread() is a whole Thread from then on. That flow may take spin locks and start threads, but can
/// never block (no contended mutex): what may sleep belongs in a kernel thread.
void sched_init_hart(unsigned hart_index);
/// The idle loop of a hart, which is in use from here on; never returns.
[[noreturn]] void sched_idle();

/// Makes a new thread runnable for the first time. Prefers an idle hart in its affinity; keeps a reference while it lives.
void thread_start(Thread& thread);

/// Wakes `thread` if it is waiting (or about to: between prepare_wait and thread_block). Callable anywhere, interrupts
/// included; returns whether it changed anything.
bool thread_wake(Thread& thread);

/// The same with interrupts off, and a full fence between what the waiter waits for and this call.
bool sched_wake(Thread& thread);

/// A signal pends for `thread` (level 1) or a fatal one (level 2): sets need for an AST and ends its wait if that is
/// interruptible at this level.
void thread_interrupt(Thread& thread, uint32_t level);
/// Clears the level; the thread itself, when it looked at its signals.
void thread_clear_interrupt(Thread& thread);

/// After prepare_wait: gives up the hart until woken; returns at once if that has happened. No spin lock may be held.
/// finish_wait() is the usual way to call it.
void thread_block();
/// sched_yield(2).
void thread_yield();
/// Leaves the hart for good: the thread is dead once switched away from, and the reference of thread_start is dropped. Its
/// `uthread`, `task` and `space` are already empty, with the kernel's space loaded.
[[noreturn]] void thread_exit();

/// Changes policy, nice or affinity of a thread in any state; a running thread that may not stay moves at once (another
/// hart's by an IPI). `params.affinity` must name at least one hart that is up.
void thread_set_params(Thread& thread, const SchedParams& params);
/// Time `thread` ran so far, up to this moment even while it runs.
CpuTimes thread_times(const Thread& thread);
/// Closes the current stretch of the calling thread and returns what it gathered since the last call, which starts again
/// at zero: for a layer above that charges another identity from now on.
CpuTimes thread_take_times(Thread& self);

/// From hooks.timer_interrupt, hooks.ipi, hooks.kernel_preempt.
void sched_timer_interrupt();
void sched_ipi(machine::Ipi reasons);
void sched_kernel_preempt();
/// On the way back to user mode with need_resched set; interrupts off. Clears it.
void sched_user_preempt();

/// Preempts the current thread if that is wanted and interrupts are on.
void sched_preempt_point();

/// Disables kernel preemption for its scope (not interrupts).
class [[nodiscard]] PreemptGuard {
public:
    PreemptGuard() { current_thread().preempt_disabled++; }
    ~PreemptGuard() {
        Thread& self = current_thread();
        if (--self.preempt_disabled == 0 && self.need_resched.load(std::memory_order_relaxed) != 0)
            sched_preempt_point();
    }
    PreemptGuard(const PreemptGuard&) = delete;
    PreemptGuard& operator=(const PreemptGuard&) = delete;
};

/// Harts that are up, threads that run or wait for a hart, and load averages in 1/65536 (1, 5 and 15 minutes).
HartSet sched_harts();
unsigned sched_runnable();
void sched_load_averages(uint64_t out[3]);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// What the files of sched/ share.
#pragma once

#include <sched/hart.hpp>
#include <sched/sched.hpp>

namespace lentil {

extern FairClock fair_clock;
extern AtomicHartSet harts_up;   ///< harts that run threads
extern AtomicHartSet harts_idle; ///< harts in their idle loop with nothing to run; a waker claims one by removing it

/// Run-queue locks without a scope. Interrupts are off.
struct RunqLock {
    static void acquire(Hart& hart, SourceLine where = {__builtin_FILE(), __builtin_LINE()}) {
        lock_check::acquiring(&hart.lock, Rank::runq, false, where);
        hart.lock.acquire();
    }
    static void release(Hart& hart) {
        lock_check::released(&hart.lock, Rank::runq);
        hart.lock.release();
    }
    /// The two halves of a hand-over: the old thread forgets the lock, the new one lets go of it.
    static void forget(Hart& hart) { lock_check::released(&hart.lock, Rank::runq); }
    static void release_inherited(Hart& hart) { hart.lock.release(); }
    /// Locks the queue that `thread` belongs to.
    static Hart& acquire_of(Thread& thread, SourceLine where = {__builtin_FILE(), __builtin_LINE()}) {
        for (;;) {
            Hart* hart = thread.hart.load(std::memory_order_acquire);
            acquire(*hart, where);
            if (thread.hart.load(std::memory_order_relaxed) == hart)
                return *hart;
            release(*hart);
        }
    }
};

/// Sets the timer of this hart for the earlier of callouts and slice end; lets it stand if it is set for earlier than that.
/// Interrupts off.
void sched_timer_update(Hart& self);
/// monotonic_ns() to the time base of machine::timer_arm().
nanos_t clock_to_machine_ns(nanos_t monotonic);

/// Charges the current thread of a locked hart up to `now`. What is published changes by it.
inline void sched_charge_quietly(Hart& hart, nanos_t now) {
    hart.runq.charge(now - hart.charged_until_ns);
    hart.charged_until_ns = now;
}
inline void sched_charge(Hart& hart, nanos_t now) {
    sched_charge_quietly(hart, now);
    hart.fair_time.store(hart.runq.fair_time(), std::memory_order_relaxed);
}
/// On the running hart, locked or not: what runs here is looked at again at `end`.
inline void sched_begin_slice(Hart& self, nanos_t end) {
    self.slice_end_ns.store(end, std::memory_order_relaxed);
    if (end < self.timer_armed_ns)
        sched_timer_update(self);
}
/// Writes what other harts may read of a locked hart: what changes as threads come to wait there.
inline void sched_publish_waiting(Hart& hart) {
    hart.queued.store(hart.runq.count(), std::memory_order_relaxed);
    hart.load.store(static_cast<uint32_t>(hart.runq.load()), std::memory_order_relaxed);
    const int32_t waiting_rt = hart.runq.best_rt_priority();
    hart.waiting_rt.store(waiting_rt, std::memory_order_relaxed);
    if (waiting_rt != 0)
        hart.waiting_rt_affinity.store(hart.runq.best()->affinity.bits(), std::memory_order_relaxed);
    hart.fair_time.store(hart.runq.fair_time(), std::memory_order_relaxed);
}
/// All of it.
inline void sched_publish(Hart& hart) {
    sched_publish_waiting(hart);
    hart.running_priority.store(hart.current->is_idle ? -1 : hart.current->sched.rt_priority,
                                std::memory_order_relaxed);
}

/// Puts a thread that is in no queue on one, and sees to it that its hart notices. `hart` is locked and is thread.hart;
/// it is unlocked on return. `woken` threads slept, `fresh` ones never ran, `moved` ones keep what they are owed.
enum class Arrival { woken, fresh, moved };
void sched_place(Hart& hart, Thread& thread, Arrival arrival);

/// What it takes to find a hart for a thread that must wait, without the thread.
struct Offer {
    int32_t rt_priority;
    HartSet affinity;
    explicit Offer(const SchedEntity& e) : rt_priority(e.rt_priority), affinity(e.affinity) {}
    Offer(int32_t priority, HartSet harts) : rt_priority(priority), affinity(harts) {}
};
/// Asks an idle hart (or, for a real-time thread, one that runs something less urgent) to take a thread that was queued.
void sched_offer(const Offer& offer);
/// The same for the best that waits on a locked hart; cheap if nobody can take it.
inline void sched_offer_waiting(const SchedEntity& waiting) {
    if (!waiting.is_fair() || !harts_idle.load().empty())
        sched_offer(Offer(waiting));
}
/// Takes a waiting thread from another hart to this one, if there is one more urgent than `above_priority` (-1: any).
/// No lock held, interrupts off.
bool sched_steal(Hart& self, int32_t above_priority);
/// Does a real-time thread more urgent than `priority` wait on another hart?
bool sched_urgent_elsewhere(const Hart& self, int32_t priority);
/// After a switch to a thread of `priority` on `self`: sees to a real-time thread that waits on another hart, which may have
/// been meant for this one.
void sched_see_to_urgent(Hart& self, int32_t priority);
/// At the end of a slice, no lock held, interrupts off: hands a waiting thread to a hart that is ahead.
void sched_balance(Hart& self);
/// Makes `hart` look whether it should switch or rearm its timer. Any locks held; interrupts off.
void sched_poke(Hart& hart, machine::Ipi reason);
/// Makes the current thread of this hart go through sched_*_preempt soon. Interrupts off.
void sched_set_resched(Thread& self);

/// Folds the time since the last call into the load averages, if it is time.
void load_average_sample(nanos_t now);
namespace load_average_detail {
extern std::atomic<nanos_t> next_sample_ns, all_idle_since_ns;
}
inline bool load_average_due(nanos_t now) {
    return now >= load_average_detail::next_sample_ns.load(std::memory_order_relaxed) ||
           load_average_detail::all_idle_since_ns.load(std::memory_order_relaxed) != 0;
}
inline void load_average_update(nanos_t now) {
    if (load_average_due(now)) [[unlikely]]
        load_average_sample(now);
}
void load_average_all_idle(nanos_t now);

/// Accounting of a switch at `now` (in ticks): closes a stretch of `from`, opens one of `to`. Interrupts off.
inline void times_switch(Hart& hart, Thread& from, Thread& to, uint64_t now) {
    const auto add_to = [](Word<int64_t>& clock, int64_t ticks) {
        const int64_t sum = clock.load(std::memory_order_relaxed) + ticks;
        clock.store(sum, std::memory_order_relaxed);
        return sum;
    };
    const auto ticks = static_cast<int64_t>(now);
    HartCounters::bump(hart.counters.syscalls, from.arch.direct_calls);
    from.arch.direct_calls = 0;
    // The hart's user time is that of all stretches: what each thread had at its end, less what it had at its begin.
    int64_t user = add_to(from.times_total, ticks) - add_to(from.arch.system_ticks, ticks);
    // `to` does not run, so nobody else writes. It was switched away from in the kernel, or starts there.
    user -= add_to(to.times_total, -ticks) - add_to(to.arch.system_ticks, -ticks);
    HartCounters::bump(hart.counters.user_ticks, static_cast<uint64_t>(user));
}

Thread& thread_make_idle(Hart& hart);
/// Where every thread starts: interrupts off, the run-queue lock inherited.
void thread_trampoline(void* thread);

} // namespace lentil

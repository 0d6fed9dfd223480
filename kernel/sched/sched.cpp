// SPDX-License-Identifier: BSD-2-Clause
// The scheduler's core: switching, blocking, waking, preemption, the idle loop.
//
// The invariant that keeps two harts off one stack: a hart's run-queue lock is held from before a thread gives the hart
// up until after the switch to the next one. So whoever holds the lock of `thread.hart` sees the thread either still
// current there, or completely saved; `place` says which. Nobody ever waits for a switch in progress.
//
//   block    waiting, place hart -> place none; switch away; the next thread unlocks
//   wake     waiting, place none -> ready, place queue on a hart chosen now
//            waiting, place hart -> running (it has not blocked yet, and will not); place queue -> ready
//   preempt  place hart -> place queue on the same hart, or moving if its affinity no longer has that hart
//   move     place queue -> moving, thread.hart = the target (old lock held) -> place queue (target's lock held)
#include <new>
#include <utility>

#include <debug/trace.hpp>
#include <sched/clock.hpp>
#include <sched/hart.hpp>
#include <sched/sched.hpp>
#include <sched/sched_internal.hpp>

namespace lentil {

constinit FairClock fair_clock;
constinit AtomicHartSet harts_up;
constinit AtomicHartSet harts_idle;

namespace {

alignas(Hart) constinit unsigned char hart_storage[max_harts][sizeof(Hart)] = {};

enum class Leave { preempted, yielded, blocked, exiting };

/// After a switch, on the new thread's stack, if hart.previous says so: finishes what the old one could not do for itself.
[[gnu::noinline]] void finish_previous(Hart& hart) {
    Thread* const previous = std::exchange(hart.previous, nullptr);
    // To be read before the lock goes: after that `previous` may run elsewhere.
    const bool dead = previous->state.load(std::memory_order_relaxed) == ThreadState::dead;
    RunqLock::release_inherited(hart);
    if (dead) {
        previous->unref(); // thread_start's
    } else {
        // `moving` is ours: only we may place it, so it cannot have gone away.
        Hart& home = RunqLock::acquire_of(*previous);
        sched_place(home, *previous, Arrival::moved);
    }
}

/// After a switch, on the new thread's stack: unlocks.
inline void finish_switch() {
    Hart& hart = current_hart();
    if (hart.previous != nullptr) [[unlikely]]
        finish_previous(hart);
    else
        RunqLock::release_inherited(hart);
}

/// Where `self` goes now that it leaves the locked hart. Returns what runs next, taken off the queue; nullptr if nothing
/// waits.
SchedEntity* leave_hart(Hart& hart, Thread& self, Leave why) {
    SchedEntity& entity = self.sched;
    if (why == Leave::blocked || why == Leave::exiting) {
        self.place = ThreadPlace::none;
        hart.runq.detach(entity);
        return hart.runq.take_best();
    }
    // Preempted between prepare_wait and thread_block it stays `waiting`, so that a wake-up still counts.
    if (self.state.load(std::memory_order_relaxed) == ThreadState::running)
        self.state.store(ThreadState::ready, std::memory_order_relaxed);
    if (!entity.affinity.has(hart.index)) {
        self.place = ThreadPlace::moving; // finish_switch places it, when nobody is on its stack any more
        hart.runq.detach(entity);
        return hart.runq.take_best();
    }
    // A real-time thread that was merely preempted stays first at its priority; one that yielded or used up its slice
    // goes last. The order of fair threads is by vruntime.
    self.place = ThreadPlace::queue;
    return hart.runq.enqueue_and_take_best(entity,
                                           why == Leave::preempted ? Runq::Position::head : Runq::Position::tail);
}

inline void trace_switch(const Thread& from, const Thread& to, Leave why) {
    if (trace_state::any(trace_state::bit(Probe::sched_off_cpu) | trace_state::bit(Probe::sched_on_cpu))) [[unlikely]] {
        if (trace_on(Probe::sched_off_cpu))
            trace_record(from, Probe::sched_off_cpu, static_cast<uint64_t>(why), to.id,
                         why == Leave::blocked && from.wait_channel ? trace_text(from.wait_channel) : 0);
        if (trace_on(Probe::sched_on_cpu))
            trace_record(to, Probe::sched_on_cpu, from.id);
    }
}

/// From one thread to another, all decided; the hart is locked. Returns (unlocked) when `self` runs again, maybe elsewhere.
[[gnu::always_inline]] inline void depart(Hart& hart, Thread& self, Thread& next, uint64_t ticks) {
    times_switch(hart, self, next, ticks);
    RunqLock::forget(hart);
    if (self.space != next.space)
        machine::activate(next.space ? *next.space : machine::kernel_space());
    machine::set_current_thread(&next);
    machine::context_switch(self.context, next.context);
    finish_switch(); // `hart` and every other local are of long ago: this may be another hart
}

/// Is anything due at this switch but the switch?
inline bool is_plain_switch(nanos_t now) {
    return !load_average_due(now) &&
           !trace_state::any(trace_state::bit(Probe::sched_off_cpu) | trace_state::bit(Probe::sched_on_cpu));
}

/// The same as switch_away() where one thread waits, both are fair, `self` may stay on this hart, and the switch is plain:
/// it sleeps (`blocked`) or takes its place in the queue (`yielded`).
[[gnu::always_inline]] inline void switch_to_lone(Hart& hart, Thread& self, SchedEntity& lone, Leave why,
                                                  uint64_t ticks, nanos_t now) {
    Thread& next = *lone.thread;
    const nanos_t ran = now - hart.charged_until_ns;
    hart.charged_until_ns = now;
    if (why == Leave::blocked) {
        hart.runq.leave_to_lone(self.sched, lone, ran);
        self.place = ThreadPlace::none;
        hart.slice_end_ns.store(no_deadline, std::memory_order_relaxed);
        hart.queued.store(0, std::memory_order_relaxed);
        hart.load.store(lone.weight, std::memory_order_relaxed);
    } else {
        hart.runq.yield_to_lone(self.sched, lone, ran);
        // Preempted between prepare_wait and thread_block it stays `waiting`, so that a wake-up still counts.
        if (self.state.load(std::memory_order_relaxed) == ThreadState::running)
            self.state.store(ThreadState::ready, std::memory_order_relaxed);
        self.place = ThreadPlace::queue;
        sched_begin_slice(hart, now + sched_time::slice_ns);
    }
    hart.fair_time.store(hart.runq.fair_time(), std::memory_order_relaxed);
    hart.preempt_wanted = false;
    self.need_resched.store(0, std::memory_order_relaxed);
    hart.current = &next;
    next.place = ThreadPlace::hart;
    if (next.state.load(std::memory_order_relaxed) == ThreadState::ready)
        next.state.store(ThreadState::running, std::memory_order_relaxed);
    HartCounters::bump(hart.counters.context_switches);
    HartCounters::bump(self.switches_voluntary);
    depart(hart, self, next, ticks);
}

/// The current thread leaves the hart, which is locked; comes back (unlocked) when it runs again, maybe elsewhere.
void switch_away(Hart& hart, Thread& self, Leave why) {
    const uint64_t ticks = machine::ticks();
    const nanos_t now = machine::ticks_to_ns(ticks);
    load_average_update(now);
    sched_charge_quietly(hart, now); // published below
    if (why == Leave::yielded)
        hart.runq.yield_current();
    hart.preempt_wanted = false;
    self.need_resched.store(0, std::memory_order_relaxed);
    SchedEntity* const best = self.is_idle ? hart.runq.take_best() : leave_hart(hart, self, why);
    Thread& next = best ? *best->thread : *hart.idle_thread;
    hart.runq.set_current(best);
    hart.current = &next;
    next.place = ThreadPlace::hart;
    if (next.state.load(std::memory_order_relaxed) == ThreadState::ready)
        next.state.store(ThreadState::running, std::memory_order_relaxed);
    if (const SchedEntity* waiting = hart.runq.best()) {
        if (const nanos_t slice = hart.runq.slice_wanted(); slice != 0)
            sched_begin_slice(hart, now + slice);
        else
            hart.slice_end_ns.store(no_deadline, std::memory_order_relaxed);
        sched_publish(hart);
        // Who has to wait here may find a place elsewhere: a fair thread on an idle hart, an urgent one also on a hart that
        // runs something less urgent.
        sched_offer_waiting(*waiting);
    } else {
        hart.slice_end_ns.store(no_deadline, std::memory_order_relaxed);
        sched_publish(hart);
    }
    if (!next.is_idle && (self.is_idle || !self.sched.is_fair() || !next.sched.is_fair()))
        sched_see_to_urgent(hart, next.sched.rt_priority);
    if (&next == &self) {
        RunqLock::release(hart);
        return;
    }

    HartCounters::bump(hart.counters.context_switches);
    if (why == Leave::preempted && !self.is_idle) {
        HartCounters::bump(self.switches_involuntary);
        HartCounters::bump(hart.counters.preemptions);
    } else {
        HartCounters::bump(self.switches_voluntary);
    }
    if (self.is_idle) {
        harts_idle.remove(hart.index);
        HartCounters::bump(hart.counters.idle_ns, now - hart.idle_since_ns.load(std::memory_order_relaxed));
        hart.idle_since_ns.store(0, std::memory_order_relaxed);
    } else if (next.is_idle) {
        hart.idle_since_ns.store(now, std::memory_order_relaxed);
        HartCounters::bump(hart.counters.idle_entries);
    }
    trace_switch(self, next, why);
    if (why == Leave::exiting || self.place == ThreadPlace::moving)
        hart.previous = &self;
    depart(hart, self, next, ticks);
}

/// Gives way if there is reason to. Interrupts off.
void preempt(Thread& self) {
    Hart& hart = current_hart();
    if (!self.is_idle) {
        const int32_t priority = hart.running_priority.load(std::memory_order_relaxed);
        if (sched_urgent_elsewhere(hart, priority))
            sched_steal(hart, priority);
    }
    RunqLock::acquire(hart);
    const bool may_stay = self.is_idle || self.sched.affinity.has(hart.index);
    const bool give_way = hart.preempt_wanted || (self.is_idle && hart.runq.count() != 0);
    if (may_stay && !give_way) {
        self.need_resched.store(0, std::memory_order_relaxed);
        RunqLock::release(hart);
        return;
    }
    const bool slice_over = self.sched.policy == SchedPolicy::round_robin &&
                            machine::now_ns() >= hart.slice_end_ns.load(std::memory_order_relaxed);
    switch_away(hart, self, slice_over ? Leave::yielded : Leave::preempted);
}

} // namespace

Hart& hart_by_index(unsigned index) { return *std::launder(reinterpret_cast<Hart*>(hart_storage[index])); }

HartSet sched_harts() { return harts_up.load(); }

unsigned sched_runnable() {
    unsigned n = 0;
    harts_up.load().for_each([&](unsigned i) {
        const Hart& hart = hart_by_index(i);
        n += hart.queued.load(std::memory_order_relaxed) + (hart.running_priority.load(std::memory_order_relaxed) >= 0);
    });
    return n;
}

void sched_init_hart(unsigned hart_index) {
    Hart& hart = *new (hart_storage[hart_index]) Hart(hart_index, fair_clock);
    Thread& idle = thread_make_idle(hart);
    hart.idle_thread = &idle;
    hart.current = &idle;
    hart.charged_until_ns = machine::now_ns();
    hart.idle_since_ns.store(hart.charged_until_ns, std::memory_order_relaxed);
    IrqGuard irq;
    machine::set_current_thread(&idle);
    if (harts_up.load().empty()) // the boot hart may start threads before it idles; other harts join in sched_idle
        harts_up.add(hart_index);
#if defined(LENTIL_CHECKS)
    if (!lock_check::held_by_current) // the boot hart, alone
        lock_check::held_by_current = [] { return &current_thread().locks; };
#endif
}

[[gnu::noinline]] static void block_slowly(Hart& hart, Thread& self) {
    switch_away(hart, self, Leave::blocked);
    machine::irq_enable();
}

void thread_block() {
    lock_check::assert_may_sleep();
    machine::irq_disable(); // they were on: see lock_check::assert_may_sleep
    Thread& self = current_thread();
    DEBUG_ASSERT(!self.is_idle && self.preempt_disabled == 0);
    Hart& hart = current_hart();
    RunqLock::acquire(hart);
    if (self.state.load(std::memory_order_relaxed) != ThreadState::waiting) {
        RunqLock::release(hart);
        machine::irq_enable();
        return;
    }
    SchedEntity* const lone = hart.runq.lone();
    if (!lone || !self.sched.is_fair()) [[unlikely]]
        return block_slowly(hart, self);
    const uint64_t ticks = machine::ticks();
    const nanos_t now = machine::ticks_to_ns(ticks);
    if (!is_plain_switch(now)) [[unlikely]]
        return block_slowly(hart, self);
    switch_to_lone(hart, self, *lone, Leave::blocked, ticks, now);
    machine::irq_enable();
}

[[gnu::noinline]] static void yield_slowly(Hart& hart, Thread& self) {
    switch_away(hart, self, Leave::yielded);
    machine::irq_enable();
}

void thread_yield() {
    lock_check::assert_may_sleep();
    machine::irq_disable();
    Thread& self = current_thread();
    DEBUG_ASSERT(!self.is_idle && self.preempt_disabled == 0);
    Hart& hart = current_hart();
    if (hart.queued.load(std::memory_order_relaxed) == 0) {
        machine::irq_enable();
        return;
    }
    RunqLock::acquire(hart);
    SchedEntity* const lone = hart.runq.lone();
    // Who waits may find a place on a hart that idles: switch_away offers it.
    if (!lone || !self.sched.is_fair() || !self.sched.affinity.has(hart.index) || !harts_idle.load().empty())
        [[unlikely]]
        return yield_slowly(hart, self);
    const uint64_t ticks = machine::ticks();
    const nanos_t now = machine::ticks_to_ns(ticks);
    if (!is_plain_switch(now)) [[unlikely]]
        return yield_slowly(hart, self);
    switch_to_lone(hart, self, *lone, Leave::yielded, ticks, now);
    machine::irq_enable();
}

void thread_exit() {
    lock_check::assert_may_sleep();
    machine::irq_disable();
    Thread& self = current_thread();
    ASSERT(!self.is_idle && self.preempt_disabled == 0 && self.space == nullptr);
    Hart& hart = current_hart();
    RunqLock::acquire(hart);
    self.state.store(ThreadState::dead, std::memory_order_relaxed);
    switch_away(hart, self, Leave::exiting);
    panic("a dead thread runs");
}

void thread_trampoline(void* argument) {
    finish_switch();
    machine::irq_enable();
    Thread& self = *static_cast<Thread*>(argument);
    self.entry(self.entry_argument);
    thread_exit();
}

void thread_start(Thread& thread) {
    thread.ref(); // dropped by finish_switch after thread_exit
    IrqGuard irq;
    thread.hart.store(&current_hart(), std::memory_order_release);
    Hart& home = RunqLock::acquire_of(thread);
    ASSERT(thread.state.load(std::memory_order_relaxed) == ThreadState::embryo);
    thread.state.store(ThreadState::ready, std::memory_order_relaxed);
    sched_place(home, thread, Arrival::fresh);
}

bool thread_wake(Thread& thread) {
    std::atomic_thread_fence(std::memory_order_seq_cst); // what the waiter waits for, before its state: see waitq.cpp
    if (thread.state.load(std::memory_order_relaxed) != ThreadState::waiting)
        return false;
    IrqGuard irq;
    return sched_wake(thread);
}

/// sched_wake() with the hart locked.
[[gnu::noinline]] static bool wake_slowly(Hart& hart, Thread& thread) {
    if (thread.state.load(std::memory_order_relaxed) != ThreadState::waiting) {
        RunqLock::release(hart);
        return false;
    }
    if (thread.place != ThreadPlace::none) {
        // Not off its hart yet. It may at the same time store `running` itself (cancel_wait): the same change.
        thread.state.store(thread.place == ThreadPlace::hart ? ThreadState::running : ThreadState::ready,
                           std::memory_order_relaxed);
        RunqLock::release(hart);
        return true;
    }
    thread.state.store(ThreadState::ready, std::memory_order_relaxed);
    trace(Probe::sched_wakeup, thread.id, hart.index);
    sched_place(hart, thread, Arrival::woken);
    return true;
}

/// After a wake-up to the running hart, unlocked: nothing of the above came out as usual. Like all here with a result: for
/// the last call of sched_wake().
[[gnu::noinline]] static bool preempt_soon(Hart& hart) {
    if (hart.slice_end_ns.load(std::memory_order_relaxed) < hart.timer_armed_ns)
        sched_timer_update(hart);
    sched_set_resched(current_thread());
    return true;
}
[[gnu::noinline]] static bool arm_slice(Hart& hart) {
    sched_timer_update(hart);
    return true;
}
[[gnu::noinline]] static bool offer(HartSet affinity) {
    sched_offer({0, affinity});
    return true;
}

bool sched_wake(Thread& thread) {
    Hart& hart = RunqLock::acquire_of(thread);
    SchedEntity& entity = thread.sched;
    const HartSet affinity = entity.affinity;
    // Mostly the current thread sleeps soon and leaves its hart to this one, and nobody else wants it: then nothing of what
    // sched_place() looks at matters.
    if (&hart != &current_hart() || !hart.runq.takes_lone(entity) || !hart.runq.is_ordinary(entity) ||
        thread.state.load(std::memory_order_relaxed) != ThreadState::waiting || thread.place != ThreadPlace::none ||
        trace_on(Probe::sched_wakeup) || !affinity.has(hart.index) || !(harts_idle.peek() & affinity).empty())
        [[unlikely]]
        return wake_slowly(hart, thread);
    const nanos_t now = machine::now_ns();
    if (now - hart.charged_until_ns > sched_time::wake_charge_ns) [[unlikely]]
        return wake_slowly(hart, thread);
    thread.state.store(ThreadState::ready, std::memory_order_relaxed);
    thread.place = ThreadPlace::queue;
    hart.load.store(static_cast<uint32_t>(hart.runq.add_lone(entity)), std::memory_order_relaxed);
    hart.queued.store(1, std::memory_order_relaxed);
    const nanos_t slice_end = now + sched_time::slice_ns;
    hart.slice_end_ns.store(slice_end, std::memory_order_relaxed);
    const bool preempts = hart.runq.preempts_fairly(entity);
    if (preempts) [[unlikely]]
        hart.preempt_wanted = true;
    RunqLock::release(hart); // another hart may take it, and it may be gone
    if (preempts) [[unlikely]]
        return preempt_soon(hart); // at the next return to user mode or end of an interrupt
    if (slice_end < hart.timer_armed_ns) [[unlikely]]
        return arm_slice(hart);
    std::atomic_thread_fence(std::memory_order_seq_cst); // queued before the look at the idle set: see sched_idle
    if (!(harts_idle.peek() & affinity).empty()) [[unlikely]]
        return offer(affinity);
    return true;
}

void thread_interrupt(Thread& thread, uint32_t level) {
    uint32_t old = thread.interrupt_level.load(std::memory_order_relaxed);
    while (old < level && !thread.interrupt_level.compare_exchange_weak(old, level, std::memory_order_relaxed)) {
    }
    thread.arch.ast_pending.store(1, std::memory_order_relaxed);
    // The level before the state, as the waiter writes its state before it reads the level.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (thread.state.load(std::memory_order_relaxed) == ThreadState::waiting) {
        const Interruptible by = thread.wait_interruptible.load(std::memory_order_relaxed);
        if (by == Interruptible::yes || (by == Interruptible::killable && level >= 2)) {
            thread_wake(thread);
            return;
        }
    }
    // In user mode on another hart it would not look at its AST before the next trap.
    IrqGuard irq;
    Hart* const hart = thread.hart.load(std::memory_order_acquire);
    if (hart && hart != &current_hart() && thread.times_total.load(std::memory_order_relaxed) < 0)
        sched_poke(*hart, machine::Ipi::reschedule);
}

void thread_clear_interrupt(Thread& thread) { thread.interrupt_level.store(0, std::memory_order_relaxed); }

namespace {

void set_params(Thread& thread, const SchedParams& params) {
    ASSERT(!(params.affinity & harts_up.load()).empty());
    IrqGuard irq;
    if (thread.hart.load(std::memory_order_relaxed) == nullptr) { // never started: the caller's alone
        thread.params = params;
        thread.sched.set(params);
        return;
    }
    Hart& hart = RunqLock::acquire_of(thread);
    thread.params = params;
    SchedEntity& entity = thread.sched;
    switch (thread.place) {
    case ThreadPlace::none:
    case ThreadPlace::moving: // whoever moves it looks at the affinity under our lock, after this
        entity.set(params);
        RunqLock::release(hart);
        return;
    case ThreadPlace::queue:
        hart.runq.dequeue(entity);
        hart.runq.detach(entity);
        entity.set(params);
        sched_publish(hart);
        thread.place = ThreadPlace::moving;
        sched_place(hart, thread, Arrival::moved);
        return;
    case ThreadPlace::hart:
        sched_charge(hart, machine::now_ns());
        hart.runq.detach(entity);
        entity.set(params);
        hart.runq.attach(entity, false);
        hart.runq.set_current(&entity);
        hart.preempt_wanted = true; // what runs next is chosen anew
        sched_publish(hart);
        RunqLock::release(hart);
        if (&thread == &current_thread())
            sched_set_resched(thread);
        sched_poke(hart, machine::Ipi::reschedule);
        return;
    }
}

} // namespace

void thread_set_params(Thread& thread, const SchedParams& params) {
    set_params(thread, params);
    // An IPI to oneself may come some instructions late. Looked at here, the caller never goes on where it may not be; with
    // interrupts off it is the IPI that moves it, when they go on again.
    if (&thread == &current_thread())
        sched_preempt_point();
}

void sched_set_resched(Thread& self) {
    self.need_resched.store(1, std::memory_order_relaxed);
    self.arch.ast_pending.store(1, std::memory_order_relaxed);
}

void sched_poke(Hart& hart, machine::Ipi reason) {
    // What the target is to see was written before; the IPI must not overtake it.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    HartCounters::bump(current_hart().counters.ipis_sent);
    machine::ipi_send(HartSet::of(hart.index), reason);
}

void sched_ipi(machine::Ipi reasons) {
    Hart& hart = current_hart();
    HartCounters::bump(hart.counters.ipis_received);
    const auto bits = static_cast<uint32_t>(reasons);
    if (bits & static_cast<uint32_t>(machine::Ipi::reschedule))
        sched_set_resched(current_thread());
    if (bits & static_cast<uint32_t>(machine::Ipi::timer))
        sched_timer_update(hart);
}

void sched_kernel_preempt() {
    Thread& self = current_thread();
    if (self.need_resched.load(std::memory_order_relaxed) != 0 && self.preempt_disabled == 0)
        preempt(self);
}

void sched_preempt_point() {
    if (!machine::irq_enabled())
        return; // a spin lock may be held; the way out of this is followed by an interrupt or a return to user mode
    IrqGuard irq;
    sched_kernel_preempt();
}

void sched_user_preempt() { preempt(current_thread()); }

// ---- the hart's timer --------------------------------------------------------------------------------------------------

namespace {

/// The slice is over: who waits may deserve the hart, here or elsewhere.
void end_slice(Hart& hart, nanos_t now) {
    RunqLock::acquire(hart);
    sched_charge(hart, now);
    if (hart.runq.current_should_yield()) {
        hart.preempt_wanted = true;
        sched_set_resched(*hart.current);
    }
    RunqLock::release(hart);
    sched_balance(hart);
    RunqLock::acquire(hart);
    // With preempt_wanted the slice stays over until the switch, which sets a new one.
    if (!hart.preempt_wanted) {
        const nanos_t slice = hart.runq.slice_wanted();
        hart.slice_end_ns.store(slice != 0 ? now + slice : no_deadline, std::memory_order_relaxed);
    }
    RunqLock::release(hart);
}

} // namespace

void sched_timer_interrupt() {
    Hart& hart = current_hart();
    HartCounters::bump(hart.counters.timer_interrupts);
    if (hart.in_idle_wait)
        HartCounters::bump(hart.counters.idle_timer_interrupts);
    hart.timer_armed_ns = no_deadline; // one-shot
    hart.callouts.run_due(monotonic_ns());
    const nanos_t now = machine::now_ns();
    if (now >= hart.slice_end_ns.load(std::memory_order_relaxed))
        end_slice(hart, now);
    if (hart.timer_armed_ns == no_deadline)
        machine::timer_arm(no_deadline); // for an arch whose interrupt pends until the timer is set anew
    sched_timer_update(hart);
}

void sched_timer_update(Hart& self) {
    const nanos_t callout = clock_to_machine_ns(self.callouts.next_deadline_ns());
    nanos_t slice = self.slice_end_ns.load(std::memory_order_relaxed);
    if (self.current->need_resched.load(std::memory_order_relaxed) != 0)
        slice = no_deadline; // it leaves as soon as it can: a timer for a slice that is over would only repeat itself
    const nanos_t wanted = callout < slice ? callout : slice;
    if (wanted < self.timer_armed_ns) {
        self.timer_armed_ns = wanted;
        machine::timer_arm(wanted);
    }
}

// ---- idling ------------------------------------------------------------------------------------------------------------

void sched_idle() {
    machine::irq_disable();
    Thread& self = current_thread();
    Hart& hart = current_hart();
    ASSERT(self.is_idle);
    harts_up.add(hart.index);
#if defined(LENTIL_CHECKS)
    lock_check::threads_only.store(1, std::memory_order_relaxed);
#endif
    for (;;) {
        // Interrupts are off from the look at the queue to wait_for_interrupt, which returns for a pending interrupt all
        // the same: an IPI sent after the look is not slept through.
        preempt(self);
        harts_idle.add(hart.index);
        load_average_all_idle(machine::now_ns());
        // In the set before the look at other queues; who queues a thread looks at the set after that (sched_offer). One
        // of the two finds the other.
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (hart.queued.load(std::memory_order_relaxed) != 0 || sched_steal(hart, -1))
            continue;
        // Exactly, not just early enough: no interrupt without reason wakes an idle hart.
        const nanos_t callout = clock_to_machine_ns(hart.callouts.next_deadline_ns());
        if (hart.timer_armed_ns != callout) {
            hart.timer_armed_ns = callout;
            machine::timer_arm(callout);
        }
        hart.in_idle_wait = true;
        machine::wait_for_interrupt();
        machine::irq_enable(); // take it
        machine::irq_disable();
        hart.in_idle_wait = false;
    }
}

nanos_t hart_idle_ns(const Hart& hart) {
    const nanos_t since = hart.idle_since_ns.load(std::memory_order_relaxed);
    return hart.counters.idle_ns.load(std::memory_order_relaxed) + (since != 0 ? machine::now_ns() - since : 0);
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Which hart a thread waits for: placement of woken and new threads, stealing by idle harts, balancing by busy ones.
#include <sched/hart.hpp>
#include <sched/sched_internal.hpp>

namespace lentil {

namespace {

HartSet allowed_for(HartSet affinity) {
    const HartSet up = harts_up.load();
    const HartSet allowed = affinity & up;
    return allowed.empty() ? up : allowed; // pinned to a hart that is not up yet: anywhere meanwhile
}

/// Takes one hart out of the idle set, `preferred` if it is there. Two wakers never get the same one.
Hart* claim_idle(HartSet among, unsigned preferred) {
    HartSet idle = harts_idle.load() & among;
    if (idle.has(preferred) && harts_idle.claim(preferred))
        return &hart_by_index(preferred);
    while (!idle.empty()) {
        const unsigned i = idle.first();
        if (harts_idle.claim(i))
            return &hart_by_index(i);
        idle.remove(i);
    }
    return nullptr;
}

int32_t running_priority(const Hart& hart) { return hart.running_priority.load(std::memory_order_relaxed); }

unsigned length(const Hart& hart) {
    return hart.queued.load(std::memory_order_relaxed) + (running_priority(hart) >= 0 ? 1 : 0);
}

/// The hart for which `measure` is least; `last` if it is one of several.
template<class Measure>
Hart& least(HartSet among, Hart& last, Measure measure) {
    Hart* best = among.has(last.index) ? &last : nullptr;
    among.for_each([&](unsigned i) {
        Hart& hart = hart_by_index(i);
        if (!best || measure(hart) < measure(*best))
            best = &hart;
    });
    return *best;
}

/// The hart with the most urgent thread that waits.
Hart* most_urgent_waiting(HartSet among) {
    Hart* best = nullptr;
    among.for_each([&](unsigned i) {
        Hart& hart = hart_by_index(i);
        if (!best || hart.waiting_rt.load(std::memory_order_relaxed) > best->waiting_rt.load(std::memory_order_relaxed))
            best = &hart;
    });
    return best;
}

Hart& choose_hart(const Thread& thread, Hart& last, Arrival arrival) {
    const HartSet allowed = allowed_for(thread.sched.affinity);
    if (allowed.is_single())
        return allowed.has(last.index) ? last : hart_by_index(allowed.first());
    if (Hart* idle = claim_idle(allowed, last.index))
        return *idle;
    if (!thread.sched.is_fair())
        return least(allowed, last, running_priority);
    if (arrival == Arrival::woken && allowed.has(last.index))
        return last; // its cache is warm; balancing sees to the rest
    return least(allowed, last, length);
}

constexpr uint32_t reschedule = static_cast<uint32_t>(machine::Ipi::reschedule);
constexpr uint32_t rearm = static_cast<uint32_t>(machine::Ipi::timer);

/// Queues on a locked hart. Returns what the hart must be told: reasons for an IPI, 0 for none.
[[gnu::always_inline]] inline uint32_t insert_here(Hart& hart, Thread& thread, Arrival arrival) {
    const nanos_t now = machine::now_ns();
    // Most threads that wake another sleep soon after: then all is charged. The little left is no matter for who goes first.
    if (arrival != Arrival::woken || now - hart.charged_until_ns > sched_time::wake_charge_ns)
        sched_charge_quietly(hart, now);
    hart.runq.attach(thread.sched, arrival != Arrival::moved);
    thread.place = ThreadPlace::queue;
    hart.runq.enqueue(thread.sched);
    uint32_t tell = 0;
    if (hart.runq.preempts_current(thread.sched)) {
        hart.preempt_wanted = true;
        tell |= reschedule;
    }
    if (hart.slice_end_ns.load(std::memory_order_relaxed) == no_deadline)
        if (const nanos_t slice = hart.runq.slice_wanted(); slice != 0) {
            hart.slice_end_ns.store(now + slice, std::memory_order_relaxed);
            tell |= rearm;
        }
    sched_publish_waiting(hart);
    return tell;
}
uint32_t insert(Hart& hart, Thread& thread, Arrival arrival) { return insert_here(hart, thread, arrival); }

/// After insert() and the unlocking: the thread may run and be gone already.
void notify(Hart& hart, uint32_t tell, const Offer& offer) {
    if (tell != 0) {
        if (&hart != &current_hart()) {
            sched_poke(hart, static_cast<machine::Ipi>(tell));
        } else {
            if ((tell & rearm) && hart.slice_end_ns.load(std::memory_order_relaxed) < hart.timer_armed_ns)
                sched_timer_update(hart);
            if (tell & reschedule) {
                sched_set_resched(current_thread());
                // A fair thread takes over at the next return to user mode or end of an interrupt; an urgent one as soon
                // as interrupts are on again.
                if (offer.rt_priority > 0 && !current_thread().is_idle)
                    sched_poke(hart, machine::Ipi::reschedule);
            }
        }
    }
    if (!(tell & reschedule))
        sched_offer(offer);
}

/// Takes a queued thread off a locked hart, bound for `target`.
Thread& take_out(Hart& hart, SchedEntity& entity, Hart& target) {
    Thread& thread = *entity.thread;
    hart.runq.dequeue(entity);
    hart.runq.detach(entity);
    thread.place = ThreadPlace::moving;
    thread.hart.store(&target, std::memory_order_release);
    sched_publish(hart);
    return thread;
}

} // namespace

/// Hands a thread that is in no queue from `hart`, which is locked and is thread.hart, to the one where it is to wait.
[[gnu::noinline]] static Hart& settle(Hart& hart, Thread& thread, Arrival arrival) {
    Hart* home = &hart;
    for (Hart* target = &choose_hart(thread, *home, arrival); target != home;) {
        // From here on the thread belongs to the target's lock. Nobody but us may queue it; its parameters may change.
        thread.place = ThreadPlace::moving;
        thread.hart.store(target, std::memory_order_release);
        RunqLock::release(*home);
        home = target;
        RunqLock::acquire(*home);
        if (!allowed_for(thread.sched.affinity).has(home->index))
            target = &choose_hart(thread, *home, arrival);
    }
    return *home;
}

void sched_place(Hart& hart, Thread& thread, Arrival arrival) {
    if (harts_up.load() == HartSet::of(hart.index) && &hart == &current_hart()) { // there is no other
        const uint32_t tell = insert_here(hart, thread, arrival);
        const int32_t priority = thread.sched.rt_priority;
        RunqLock::release(hart);
        if (tell & reschedule)
            notify(hart, tell, {priority, HartSet::of(hart.index)});
        else if (hart.slice_end_ns.load(std::memory_order_relaxed) < hart.timer_armed_ns)
            sched_timer_update(hart);
        return;
    }
    Hart& home = settle(hart, thread, arrival);
    const uint32_t tell = insert(home, thread, arrival);
    const Offer offer(thread.sched);
    RunqLock::release(home);
    notify(home, tell, offer);
}

void sched_offer(const Offer& offer) {
    std::atomic_thread_fence(std::memory_order_seq_cst); // queued before the look at the idle set: see sched_idle
    const HartSet allowed = allowed_for(offer.affinity);
    if (allowed.is_single())
        return;
    Hart* target = nullptr;
    if (!(harts_idle.load() & allowed).empty())
        target = claim_idle(allowed, max_harts - 1);
    if (!target && offer.rt_priority > 0) {
        target = &least(allowed, current_hart(), running_priority);
        if (running_priority(*target) >= offer.rt_priority)
            target = nullptr;
    }
    if (!target)
        return;
    sched_poke(*target, machine::Ipi::reschedule);
}

bool sched_urgent_elsewhere(const Hart& self, int32_t priority) {
    bool found = false;
    harts_up.load().for_each([&](unsigned i) {
        const Hart& hart = hart_by_index(i);
        if (&hart != &self && hart.waiting_rt.load(std::memory_order_relaxed) > priority &&
            hart.waiting_rt.load(std::memory_order_relaxed) > 0)
            found = true;
    });
    return found;
}

void sched_see_to_urgent(Hart& self, int32_t priority) {
    HartSet others = harts_up.load();
    others.remove(self.index);
    const Hart* hart = most_urgent_waiting(others);
    if (!hart)
        return;
    const int32_t waiting = hart->waiting_rt.load(std::memory_order_relaxed);
    if (waiting == 0)
        return;
    const HartSet allowed(hart->waiting_rt_affinity.load(std::memory_order_relaxed));
    if (waiting > priority && allowed.has(self.index))
        sched_poke(self, machine::Ipi::reschedule); // fetch it right after
    else
        sched_offer({waiting, allowed}); // this hart was asked, but has something more urgent by now
}

bool sched_steal(Hart& self, int32_t above_priority) {
    HartSet others = harts_up.load();
    others.remove(self.index);
    // Those after this one first, so that not every hart goes for the same victim.
    HartSet later(others.bits() & ~((uint64_t{2} << self.index) - 1));
    Thread* taken = nullptr;
    auto look_at = [&](unsigned i) {
        Hart& victim = hart_by_index(i);
        if (taken || (above_priority < 0 ? victim.queued.load(std::memory_order_relaxed) == 0
                                         : victim.waiting_rt.load(std::memory_order_relaxed) <= above_priority))
            return;
        RunqLock::acquire(victim);
        SchedEntity* entity = victim.runq.find_movable(self.index);
        if (entity && entity->rt_priority > above_priority)
            taken = &take_out(victim, *entity, self);
        // Only the best that waits is ever offered: now it is the turn of the next.
        if (const SchedEntity* next = taken ? victim.runq.best() : nullptr)
            sched_offer_waiting(*next);
        RunqLock::release(victim);
    };
    // The most urgent first: it is the one that somebody may have been woken for.
    if (const Hart* best = most_urgent_waiting(others); best && best->waiting_rt.load(std::memory_order_relaxed) > 0)
        look_at(best->index);
    later.for_each(look_at);
    HartSet(others.bits() & ~later.bits()).for_each(look_at);
    if (!taken)
        return false;
    RunqLock::acquire(self);
    if (!allowed_for(taken->sched.affinity).has(self.index)) { // changed in between
        sched_place(self, *taken, Arrival::moved);
        return false;
    }
    HartCounters::bump(self.counters.steals);
    const uint32_t tell = insert(self, *taken, Arrival::moved);
    RunqLock::release(self);
    if (tell & rearm)
        sched_timer_update(self);
    return true;
}

void sched_balance(Hart& self) {
    if (self.queued.load(std::memory_order_relaxed) == 0)
        return;
    // Fair threads that wait under a real-time one get nothing at all here: any other hart serves them better.
    const bool hopeless = running_priority(self) > 0;
    HartSet others = harts_up.load();
    others.remove(self.index);
    bool moved = false;
    while (!others.empty() && !moved) {
        // The busy hart furthest ahead in fair time. (Idle ones help themselves: sched_offer.)
        Hart* target = nullptr;
        int64_t lead = hopeless ? INT64_MIN : sched_time::balance_lead_ns;
        others.for_each([&](unsigned i) {
            Hart& hart = hart_by_index(i);
            if (running_priority(hart) != 0)
                return;
            if (hart.queued.load(std::memory_order_relaxed) == 0) {
                RunqLock::acquire(hart); // it takes no timer interrupts, so what it published is old
                sched_charge(hart, machine::now_ns());
                RunqLock::release(hart);
            }
            const auto ahead = static_cast<int64_t>(hart.fair_time.load(std::memory_order_relaxed) -
                                                    self.fair_time.load(std::memory_order_relaxed));
            if (ahead > lead)
                lead = ahead, target = &hart;
        });
        if (!target)
            break;
        others.remove(target->index);
        // The target must not end up with more than this hart had, or the two would only swap roles.
        const uint64_t own_load = self.load.load(std::memory_order_relaxed);
        const uint64_t target_load = target->load.load(std::memory_order_relaxed);
        const uint64_t max_weight = hopeless ? UINT64_MAX : own_load > target_load ? own_load - target_load : 0;
        Thread* thread = nullptr;
        RunqLock::acquire(self);
        if (SchedEntity* entity = self.runq.find_movable_fair(target->index, max_weight))
            thread = &take_out(self, *entity, *target);
        RunqLock::release(self);
        if (!thread)
            continue;
        moved = true;
        HartCounters::bump(self.counters.balances);
        RunqLock::acquire(*target);
        if (!allowed_for(thread->sched.affinity).has(target->index)) { // changed in between
            sched_place(*target, *thread, Arrival::moved);
            continue;
        }
        const uint32_t tell = insert(*target, *thread, Arrival::moved);
        const Offer offer(thread->sched);
        RunqLock::release(*target);
        notify(*target, tell, offer);
    }
    RunqLock::acquire(self);
    self.runq.limit_lag();
    if (const SchedEntity* waiting = self.runq.best())
        sched_offer_waiting(*waiting);
    RunqLock::release(self);
}

} // namespace lentil

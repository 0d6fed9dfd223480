// SPDX-License-Identifier: BSD-2-Clause
// There is no object for a lock: whoever waits stands in the list of the uthread that owns what it waits for. One sleeping lock
// guards all of it, user words included (a word and its waiters change together), which page faults may keep for a
// while; uncontended locks never come here.
#include <bsd/futex_pi.hpp>
#include <bsd/priority.hpp>
#include <libkern/dlist.hpp>
#include <mach/task.hpp>
#include <sched/clock.hpp>
#include <sched/mutex.hpp>
#include <vm/vm_user.hpp>

namespace lentil {
namespace {

constexpr uint32_t waiters_bit = 0x80000000, owner_died = 0x40000000, tid_mask = 0x3fffffff;
constexpr unsigned longest_chain = 1024; ///< owners that wait for others in turn, as far as Linux looks

constinit Mutex<Rank::futex_pi> pi_lock;
/// Locks of ended owners that were handed on, until the new owner wrote its id into the word.
constinit Dlist<PiWaiter, &PiWaiter::unsettled_link> unsettled;
/// Callers of futex_lock_pi: with none, who ends has nothing to give on, and is spared the lock.
constinit std::atomic<uint32_t> lockers{0};

struct CountedLocker {
    CountedLocker() { lockers.fetch_add(1); }
    ~CountedLocker() { lockers.fetch_sub(1); }
};

Result<void> check_address(vaddr_t address) {
    if (address & 3)
        return Errno::inval;
    if (!user_range_ok(address, 4))
        return Errno::fault;
    return {};
}

PiWaiter* waiter_of(PiLink* link) { return static_cast<PiWaiter*>(link); }
PiWaiter* first_waiter(const Uthread& owner) { return waiter_of(owner.pi_waiters.first()); }
PiWaiter* next_waiter(const PiWaiter& waiter) { return waiter_of(Dlist<PiLink, &PiLink::link>::next(waiter)); }

// ---- priorities: pi_lock held -----------------------------------------------------------------------------------------------

int32_t priority_of(const Uthread& uthread) {
    const int32_t own = is_real_time(uthread.sched.policy) ? uthread.sched.rt_priority : 0;
    return std::max(own, uthread.pi_inherited);
}

/// What the waiters of `uthread` lend it has changed: so it runs with that, and whom it waits for inherits it too.
void inherit(Uthread* uthread) {
    for (unsigned n = 0; uthread && n < longest_chain; n++) {
        int32_t best = 0;
        for (const PiWaiter* w = first_waiter(*uthread); w; w = next_waiter(*w))
            best = std::max(best, priority_of(*w->uthread));
        if (best == uthread->pi_inherited)
            return;
        uthread_set_inherited(*uthread, best);
        uthread = uthread->pi_waits ? uthread->pi_waits->owner : nullptr;
    }
}

PiWaiter* best_waiter(const Uthread& owner, const VmMap::FutexKey& key) {
    PiWaiter* best = nullptr;
    for (PiWaiter* w = first_waiter(owner); w; w = next_waiter(*w))
        if (w->key == key && (!best || priority_of(*w->uthread) > priority_of(*best->uthread)))
            best = w;
    return best;
}

bool has_waiters(const Uthread& owner, const VmMap::FutexKey& key) { return best_waiter(owner, key) != nullptr; }

/// The lock becomes `next`'s, and so do the others that wait for it. Who calls writes the word, or has `next` settle it.
void hand_over(Uthread& from, PiWaiter& next, bool settled) {
    Uthread& to = *next.uthread;
    if (!settled) {
        next.unsettled = true;
        unsettled.push_back(next);
    }
    from.pi_waiters.erase(next);
    next.owner = nullptr;
    to.pi_waits = nullptr;
    for (PiWaiter *w = first_waiter(from), *after; w; w = after) {
        after = next_waiter(*w);
        if (!(w->key == next.key))
            continue;
        from.pi_waiters.erase(*w);
        w->owner = &to;
        to.pi_waiters.push_back(*w);
    }
    inherit(&to);
    next.owns.store(true, std::memory_order_release);
    thread_wake(*next.thread); // it cannot leave before it took pi_lock
    inherit(&from);
}

// ---- words: pi_lock held ----------------------------------------------------------------------------------------------------

/// Changes *address as `change` says of the old value, until nobody was faster. fault.
template<class F>
Result<uint32_t> change_word(vaddr_t address, F change) {
    uint32_t old = 0;
    if (!machine::user_load32(&old, address))
        return Errno::fault;
    for (;;) {
        const uint32_t fresh = change(old);
        uint32_t found = old;
        if (fresh == old)
            return old;
        if (!machine::user_cmpxchg32(&found, address, old, fresh))
            return Errno::fault;
        if (found == old)
            return old;
        old = found;
    }
}

/// The new owner of a lock whose owner ended writes its id. Nothing to do if the word is gone: its user finds that out.
Result<void> settle(PiWaiter& self, vaddr_t address) {
    if (!self.unsettled)
        return {};
    const uint32_t more = has_waiters(*self.uthread, self.key) ? waiters_bit : 0;
    const uint32_t mine = static_cast<uint32_t>(self.uthread->tid) | owner_died | more;
    const Result<uint32_t> written = change_word(address, [mine](uint32_t) { return mine; });
    unsettled.erase(self);
    self.unsettled = false;
    if (written.ok())
        return {};
    if (PiWaiter* next = best_waiter(*self.uthread, self.key))
        hand_over(*self.uthread, *next, false);
    return written.error();
}

/// Who has the lock whose word says `tid`: its owner, or who was given it by one that ended and has not run since.
Uthread* owner_named(const VmMap::FutexKey& key, pid_t tid, RefPtr<Uthread>& reference) {
    for (PiWaiter* w = unsettled.first(); w; w = unsettled.next(*w))
        if (w->key == key)
            return w->uthread;
    reference = uthread_find(tid);
    return reference && !reference->pi_left.load() ? reference.get() : nullptr;
}

bool waits_for(const Uthread* one, const Uthread& other) {
    for (unsigned n = 0; one && n < longest_chain; n++) {
        if (one == &other)
            return true;
        one = one->pi_waits ? one->pi_waits->owner : nullptr;
    }
    return one != nullptr;
}

/// Takes the lock if it is free, else queues `waiter` behind its owner. True: taken.
Result<bool> take_or_queue(vaddr_t address, PiWaiter& waiter, bool try_only) {
    Uthread& self = *waiter.uthread;
    for (;;) {
        uint32_t word = 0;
        if (!machine::user_load32(&word, address))
            return Errno::fault;
        const auto tid = static_cast<pid_t>(word & tid_mask);
        if (tid == self.tid)
            return Errno::deadlk;
        RefPtr<Uthread> reference;
        Uthread* const owner = tid == 0 ? nullptr : owner_named(waiter.key, tid, reference);
        if (tid != 0 && !owner) {
            // Who ended marked its robust locks before: look again.
            uint32_t now = 0;
            if (!machine::user_load32(&now, address))
                return Errno::fault;
            if (now != word)
                continue;
            return Errno::srch;
        }
        if (owner && try_only)
            return Errno::again;
        if (owner && waits_for(owner, self))
            return Errno::deadlk;
        // A free word keeps its mark that an owner died; one with an owner gets the one that sends its owner here.
        const uint32_t fresh = owner ? word | waiters_bit : static_cast<uint32_t>(self.tid) | (word & owner_died);
        uint32_t found = word;
        if (fresh != word && !machine::user_cmpxchg32(&found, address, word, fresh))
            return Errno::fault;
        if (found != word)
            continue;
        if (!owner)
            return true;
        waiter.owner = owner;
        owner->pi_waiters.push_back(waiter); // it cannot end without coming here first
        self.pi_waits = &waiter;
        inherit(owner);
        return false;
    }
}

WaitResult wait_until_owned(const PiWaiter& waiter, nanos_t deadline_ns, bool realtime) {
    WaitResult result = WaitResult::awoken;
    Waiter clock_waiter; // wakes it to reckon anew when the wall clock is set
    if (realtime)
        realtime_waitq().add(clock_waiter);
    while (result == WaitResult::awoken) {
        prepare_wait(Interruptible::yes, "futex_pi");
        if (waiter.owns.load(std::memory_order_acquire)) {
            cancel_wait();
            break;
        }
        result = finish_wait(realtime ? monotonic_at_realtime(deadline_ns) : deadline_ns);
    }
    if (realtime)
        realtime_waitq().remove(clock_waiter);
    return result;
}

} // namespace

Result<void> futex_lock_pi(vaddr_t address, bool process_private, nanos_t deadline_ns, bool realtime, bool try_only) {
    TRY(check_address(address));
    PiWaiter waiter;
    waiter.key = TRY(current_map().futex_key(address, process_private));
    waiter.uthread = &current_uthread();
    waiter.thread = &current_thread();
    const CountedLocker counted;
    {
        MutexGuard guard(pi_lock);
        if (TRY(take_or_queue(address, waiter, try_only)))
            return {};
    }
    const WaitResult result = wait_until_owned(waiter, deadline_ns, realtime);
    MutexGuard guard(pi_lock);
    if (waiter.owns.load(std::memory_order_relaxed))
        return settle(waiter, address);
    Uthread& owner = *waiter.owner;
    owner.pi_waiters.erase(waiter);
    waiter.uthread->pi_waits = nullptr;
    inherit(&owner);
    return result == WaitResult::timed_out ? Errno::timedout : Errno::restart_nointr;
}

Result<void> futex_unlock_pi(vaddr_t address, bool process_private) {
    TRY(check_address(address));
    const VmMap::FutexKey key = TRY(current_map().futex_key(address, process_private));
    Uthread& self = current_uthread();
    MutexGuard guard(pi_lock);
    uint32_t word = 0;
    if (!machine::user_load32(&word, address))
        return Errno::fault;
    if ((word & tid_mask) != static_cast<uint32_t>(self.tid))
        return Errno::perm;
    PiWaiter* const next = best_waiter(self, key);
    uint32_t fresh = 0;
    if (next) {
        bool more = false;
        for (PiWaiter* w = first_waiter(self); w; w = next_waiter(*w))
            more |= w != next && w->key == key;
        fresh = static_cast<uint32_t>(next->uthread->tid) | (more ? waiters_bit : 0);
    }
    TRY(change_word(address, [fresh](uint32_t) { return fresh; }));
    if (next)
        hand_over(self, *next, true);
    return {};
}

Result<void> futex_pi_owner_ends(vaddr_t address) {
    TRY(check_address(address));
    Uthread& self = current_uthread();
    const VmMap::FutexKey key = TRY(current_map().futex_key(address, false));
    MutexGuard guard(pi_lock);
    // The list does not say whether the lock is the process's own: its waiters know.
    const VmMap::FutexKey own_key = TRY(current_map().futex_key(address, true));
    PiWaiter* next = best_waiter(self, key);
    if (!next)
        next = best_waiter(self, own_key);
    const auto tid = static_cast<uint32_t>(self.tid);
    const uint32_t heir = next ? static_cast<uint32_t>(next->uthread->tid) | waiters_bit : 0;
    const uint32_t old = TRY(change_word(address, [tid, heir](uint32_t word) {
        return (word & tid_mask) == tid ? heir | owner_died | (word & waiters_bit) : word;
    }));
    if ((old & tid_mask) == tid && next)
        hand_over(self, *next, true);
    return {};
}

void futex_pi_exit(Uthread& self) {
    self.pi_left.store(true);
    if (lockers.load() == 0) [[likely]] // who comes now sees that it left
        return;
    MutexGuard guard(pi_lock);
    while (PiWaiter* const first = first_waiter(self))
        hand_over(self, *best_waiter(self, first->key), false);
}

void futex_pi_sched_changed(Uthread& uthread) {
    MutexGuard guard(pi_lock);
    if (uthread.pi_waits)
        inherit(uthread.pi_waits->owner);
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Futexes: hashed buckets of waiters. User memory is never touched under a bucket's lock (it may fault and sleep): a
// waiter queues itself first and looks at the word then, so a waker that changed the word before finds it.
#include <libkern/dlist.hpp>
#include <mach/futex.hpp>
#include <mach/task.hpp>
#include <sched/clock.hpp>
#include <vm/vm_user.hpp>

namespace lentil {

constinit std::atomic<uint32_t> futex_waiting[futex_bucket_count] = {};

namespace {

struct Bucket;

/// One sleeping thread; lives on its stack. Fields belong to the lock of `bucket`.
struct FutexWaiter {
    DlistLinks<FutexWaiter> link;
    VmMap::FutexKey key;
    uint32_t mask = 0;
    std::atomic<uint32_t> woken_by{0}; ///< mask of the wake-up; 0 while queued
    Thread* thread = nullptr;
    std::atomic<Bucket*> bucket{nullptr}; ///< changes when requeued, with both locks held
};

struct Bucket {
    SpinLock<Rank::futex> lock;
    Dlist<FutexWaiter, &FutexWaiter::link> waiters;
    uint64_t arrivals = 0; ///< how often somebody queued here

    std::atomic<uint32_t>& count(); ///< length of `waiters`
    void push(FutexWaiter& waiter) {
        waiters.push_back(waiter);
        count().store(count().load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    void erase(FutexWaiter& waiter) {
        waiters.erase(waiter);
        count().store(count().load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    }
};

constinit Bucket buckets[futex_bucket_count];

std::atomic<uint32_t>& Bucket::count() { return futex_waiting[this - buckets]; }

Bucket& bucket_of(const VmMap::FutexKey& key) { return buckets[futex_bucket(key)]; }

/// Checks the address too.
inline Result<VmMap::FutexKey> key_of(VmMap& map, vaddr_t address, bool process_private) {
    if (address & 3)
        return Errno::inval;
    if (!user_range_ok(address, 4))
        return Errno::fault;
    if (process_private)
        return VmMap::FutexKey{reinterpret_cast<uintptr_t>(&map), address};
    return map.futex_key(address, false);
}

/// Both locks of a pair of buckets, which may be one.
class PairGuard {
public:
    PairGuard(Bucket& a, Bucket& b)
        : first_(&a < &b ? a.lock : b.lock), second_(&a == &b  ? nullptr
                                                     : &a < &b ? &b.lock
                                                               : &a.lock) {
        if (second_)
            new (&second_guard_) SpinGuard(*second_, Nesting::yes);
    }
    ~PairGuard() {
        if (second_)
            second_guard_.~SpinGuard();
    }

private:
    SpinGuard<Rank::futex> first_;
    SpinLock<Rank::futex>* second_;
    union {
        SpinGuard<Rank::futex> second_guard_;
    };
};

/// With its bucket's lock held.
void wake_locked(Bucket& bucket, FutexWaiter& waiter, uint32_t mask) {
    bucket.erase(waiter);
    waiter.woken_by.store(mask, std::memory_order_release);
    // `woken_by` before the look at its state, as it writes its state before it looks. It cannot leave before it took this
    // lock.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (waiter.thread->state.load(std::memory_order_relaxed) == ThreadState::waiting)
        sched_wake(*waiter.thread);
}

unsigned wake_matching(Bucket& bucket, const VmMap::FutexKey& key, unsigned count, uint32_t mask) {
    unsigned woken = 0;
    for (FutexWaiter *it = bucket.waiters.first(), *next; it && woken < count; it = next) {
        FutexWaiter& waiter = *it;
        next = bucket.waiters.next(waiter);
        if (!(waiter.key == key) || (waiter.mask & mask) == 0)
            continue;
        wake_locked(bucket, waiter, mask);
        woken++;
    }
    return woken;
}

unsigned wake_key(const VmMap::FutexKey& key, unsigned count, uint32_t mask) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (futex_waiting[futex_bucket(key)].load(std::memory_order_relaxed) == 0)
        return 0;
    Bucket& bucket = bucket_of(key);
    SpinGuard guard(bucket.lock);
    return wake_matching(bucket, key, count, mask);
}

/// Takes the waiter off its queue if it still stands there; says whether (and by which mask) it was woken instead. With
/// this lock taken, no waker looks at the waiter any more.
uint32_t leave(FutexWaiter& waiter) {
    for (;;) {
        Bucket* bucket = waiter.bucket.load(std::memory_order_acquire);
        SpinGuard guard(bucket->lock);
        if (waiter.bucket.load(std::memory_order_relaxed) != bucket)
            continue;
        const uint32_t woken_by = waiter.woken_by.load(std::memory_order_relaxed);
        if (woken_by == 0)
            bucket->erase(waiter);
        return woken_by;
    }
}

bool is_woken(const FutexWaiter& waiter) { return waiter.woken_by.load(std::memory_order_acquire) != 0; }

/// Sleeps until woken or `deadline_ns`; says what else ended it.
WaitResult sleep(FutexWaiter& waiter, nanos_t deadline_ns) {
    for (;;) {
        prepare_wait(Interruptible::yes, "futex");
        if (is_woken(waiter)) {
            cancel_wait();
            return WaitResult::awoken;
        }
        const WaitResult result = finish_wait(deadline_ns);
        if (result != WaitResult::awoken || is_woken(waiter))
            return result;
    }
}

/// The same until the wall clock shows `deadline_ns`, which is reckoned anew when it is set.
[[gnu::noinline]] WaitResult sleep_realtime(FutexWaiter& waiter, nanos_t deadline_ns) {
    Waiter clock_waiter;
    realtime_waitq().add(clock_waiter);
    WaitResult result = WaitResult::awoken;
    while (result == WaitResult::awoken) {
        prepare_wait(Interruptible::yes, "futex");
        if (is_woken(waiter)) {
            cancel_wait();
            break;
        }
        result = finish_wait(monotonic_at_realtime(deadline_ns));
        if (is_woken(waiter))
            break;
    }
    realtime_waitq().remove(clock_waiter);
    return result;
}

} // namespace

Result<void> futex_wait(vaddr_t address, uint32_t expected, uint32_t mask, bool process_private, nanos_t deadline_ns,
                        bool realtime) {
    if (mask == 0)
        return Errno::inval;
    const VmMap::FutexKey key = TRY(key_of(current_map(), address, process_private));
    FutexWaiter waiter;
    waiter.key = key;
    waiter.mask = mask;
    waiter.thread = &current_thread();
    Bucket& bucket = bucket_of(key);
    waiter.bucket.store(&bucket, std::memory_order_relaxed);
    {
        SpinGuard guard(bucket.lock);
        bucket.push(waiter);
        bucket.arrivals++;
    }
    std::atomic_thread_fence(std::memory_order_seq_cst); // see wake_key

    uint32_t value = 0;
    const bool readable = machine::user_load32(&value, address);
    if (!readable || value != expected) [[unlikely]] {
        // Whoever woke us meanwhile meant a sleeper: the wake-up goes to the next one.
        if (const uint32_t woken_by = leave(waiter))
            wake_key(key, 1, woken_by);
        return readable ? Errno::again : Errno::fault;
    }

    const WaitResult result = realtime ? sleep_realtime(waiter, deadline_ns) : sleep(waiter, deadline_ns);
    if (leave(waiter) != 0)
        return {};
    return result == WaitResult::timed_out ? Errno::timedout : Errno::restart_sys;
}

Result<unsigned> futex_wake(VmMap& map, vaddr_t address, unsigned count, uint32_t mask, bool process_private) {
    if (mask == 0)
        return Errno::inval;
    const VmMap::FutexKey key = TRY(key_of(map, address, process_private));
    return wake_key(key, count, mask);
}

Result<unsigned> futex_requeue(vaddr_t address, vaddr_t target, unsigned wake, unsigned requeue, bool compare,
                               uint32_t expected, bool process_private) {
    const VmMap::FutexKey from_key = TRY(key_of(current_map(), address, process_private));
    const VmMap::FutexKey to_key = TRY(key_of(current_map(), target, process_private));
    Bucket& from = bucket_of(from_key);
    Bucket& to = bucket_of(to_key);
    for (;;) {
        uint64_t arrivals = 0;
        if (compare) {
            {
                SpinGuard guard(from.lock);
                arrivals = from.arrivals;
            }
            uint32_t value = 0;
            if (!machine::user_load32(&value, address))
                return Errno::fault;
            if (value != expected)
                return Errno::again;
        }
        PairGuard guard(from, to);
        // Who queued since may have seen another value than the one compared: compare again.
        if (compare && from.arrivals != arrivals)
            continue;
        unsigned moved = wake_matching(from, from_key, wake, futex_match_any);
        unsigned left = requeue;
        for (FutexWaiter *it = from.waiters.first(), *next; it && left > 0; it = next) {
            FutexWaiter& waiter = *it;
            next = from.waiters.next(waiter);
            if (!(waiter.key == from_key))
                continue;
            left--;
            moved++;
            if (from_key == to_key)
                continue;
            from.erase(waiter);
            waiter.key = to_key;
            to.push(waiter);
            waiter.bucket.store(&to, std::memory_order_release);
        }
        return moved;
    }
}

Result<unsigned> futex_wake_op(vaddr_t address, vaddr_t second, unsigned wake, unsigned wake_second, uint32_t operation,
                               bool process_private) {
    const VmMap::FutexKey key = TRY(key_of(current_map(), address, process_private));
    const VmMap::FutexKey second_key = TRY(key_of(current_map(), second, process_private));

    // FUTEX_OP(op, oparg, cmp, cmparg): 4 bits op, 4 bits cmp, 12 bits each argument, signed.
    const uint32_t op = operation >> 28 & 7, comparison = operation >> 24 & 15;
    auto signed12 = [](uint32_t v) { return static_cast<int32_t>(v << 20) >> 20; };
    uint32_t argument = static_cast<uint32_t>(signed12(operation >> 12));
    const int32_t limit = signed12(operation);
    if (operation >> 31) // FUTEX_OP_OPARG_SHIFT
        argument = uint32_t{1} << (argument & 31);
    if (op > 4 || comparison > 5)
        return Errno::nosys;

    uint32_t old = 0;
    if (!machine::user_load32(&old, second))
        return Errno::fault;
    for (;;) {
        const uint32_t desired = op == 0   ? argument
                                 : op == 1 ? old + argument
                                 : op == 2 ? old | argument
                                 : op == 3 ? old & ~argument
                                           : old ^ argument;
        uint32_t found = 0;
        if (!machine::user_cmpxchg32(&found, second, old, desired))
            return Errno::fault;
        if (found == old)
            break;
        old = found;
    }
    const int32_t value = static_cast<int32_t>(old);
    const bool holds = comparison == 0   ? value == limit
                       : comparison == 1 ? value != limit
                       : comparison == 2 ? value < limit
                       : comparison == 3 ? value <= limit
                       : comparison == 4 ? value > limit
                                         : value >= limit;
    unsigned woken = wake_key(key, wake, futex_match_any);
    if (holds)
        woken += wake_key(second_key, wake_second, futex_match_any);
    return woken;
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Wait queues. A waiter says what it waits for (a predicate), how long, and what may interrupt it; wake-ups are never
// lost, since the thread is marked waiting before the predicate is looked at.
#pragma once

#include <libkern/assert.hpp>
#include <libkern/dlist.hpp>
#include <sched/sched.hpp>
#include <sync/spinlock.hpp>

namespace lentil {

/// One thread's place in one queue; lives on its stack. A thread can stand in several queues at once (poll).
struct Waiter {
    Thread* thread = nullptr;
    bool exclusive = false;            ///< wake_one stops after it
    bool leaves_when_woken = false;    ///< a wake-up that ends its wait takes it out of the queue
    void (*notify)(Waiter&) = nullptr; ///< called instead of waking the thread, with the queue's lock held (epoll)
    DlistLinks<Waiter> link;
    /// Not null between add and remove; one that leaves when woken: or that. Null is the last that a waker writes to it.
    std::atomic<class Waitq*> queue{nullptr};

    Waiter() = default;
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() { ASSERT(queue.load(std::memory_order_relaxed) == nullptr); } // it left
};

class Waitq {
public:
    Waitq() = default;
    Waitq(const Waitq&) = delete;
    Waitq& operator=(const Waitq&) = delete;

    void add(Waiter& waiter); ///< sets waiter.thread to the current thread
    /// By the same thread (one with `notify`: by whoever owns it); harmless if it is not queued.
    void remove(Waiter& waiter) {
        if (waiter.queue.load(std::memory_order_acquire) != nullptr)
            remove_queued(waiter);
    }
    /// add() and prepare_wait().
    void prepare(Waiter& waiter, Interruptible interruptible, const char* channel);

    /// Wake-ups: callable anywhere, interrupts included. Non-exclusive waiters are all woken, of the exclusive ones the
    /// first `exclusive_count`. Wakers leave the waiters in the queue, unless they ask not to be left. Return how many threads were woken. With nobody
    /// waiting: a fence and a load.
    unsigned wake(unsigned exclusive_count, Nesting nesting = Nesting::no) {
        std::atomic_thread_fence(std::memory_order_seq_cst); // the caller's condition before the look at the queue
        return has_waiters() ? wake_waiters(exclusive_count, nesting) : 0;
    }
    unsigned wake_all() { return wake(~0U); }
    /// From a Waiter::notify.
    unsigned wake_all_nested() { return wake(~0U, Nesting::yes); }
    unsigned wake_one() { return wake(1); }

    bool has_waiters() const { return count_.load(std::memory_order_relaxed) != 0; }

private:
    unsigned wake_waiters(unsigned exclusive_count, Nesting nesting);
    void remove_queued(Waiter& waiter);
    void push(Waiter& waiter) {
        waiters_.push_back(waiter);
        count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    void erase(Waiter& waiter) {
        waiters_.erase(waiter);
        count_.store(count_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    }

    mutable SpinLock<Rank::waitq> lock_;
    Dlist<Waiter, &Waiter::link> waiters_;
    Word<uint32_t> count_{0}; ///< length of waiters_; written under lock_
};

/// Marks the current thread waiting. From here on a wake-up is remembered: thread_block() then returns at once.
void prepare_wait(Interruptible interruptible, const char* channel);
/// Undoes prepare_wait without blocking.
void cancel_wait();
/// Blocks after prepare_wait until woken, interrupted or past `deadline_ns` (monotonic; no_deadline: none). Tells which;
/// `awoken` may be spurious.
WaitResult finish_wait(nanos_t deadline_ns);

/// Blocks until `condition()` holds. The predicate runs with the thread marked waiting: it may take spin locks, and
/// anything that blocks in it merely makes it run again. `awoken` means that it held.
template<class Predicate>
WaitResult wait_until(Waitq& queue, const char* channel, Predicate condition,
                      Interruptible interruptible = Interruptible::yes, nanos_t deadline_ns = no_deadline,
                      bool exclusive = false) {
    if (condition())
        return WaitResult::awoken;
    Waiter waiter;
    waiter.exclusive = exclusive;
    waiter.leaves_when_woken = true;
    for (;;) {
        queue.prepare(waiter, interruptible, channel);
        if (condition()) {
            cancel_wait();
            queue.remove(waiter);
            return WaitResult::awoken;
        }
        const WaitResult result = finish_wait(deadline_ns);
        queue.remove(waiter);
        if (condition())
            return WaitResult::awoken;
        if (result != WaitResult::awoken)
            return result;
    }
}

/// Sleeps until the deadline or an interruption.
WaitResult sleep_until(nanos_t deadline_ns, const char* channel, Interruptible interruptible = Interruptible::yes);

} // namespace lentil

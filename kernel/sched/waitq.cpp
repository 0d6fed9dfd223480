// SPDX-License-Identifier: BSD-2-Clause
// Wait queues, and the wait itself.
//
// No wake-up is lost, because each side writes before it reads, with a full fence between:
//   waiter: queue.add; state = waiting; FENCE; look at the condition (and at interrupt_level); block
//   waker:  make the condition true;    FENCE; look for waiters, and at their state
// If the waiter misses the condition, the waker sees both the queue entry and `waiting`, and wakes. The change from
// `waiting` to awake is made under the run-queue lock that thread_block takes, so either the waker finds the thread
// still running and only changes its state (thread_block then returns at once), or finds it off the hart and queues it.
#include <sched/callout.hpp>
#include <sched/clock.hpp>
#include <sched/waitq.hpp>

namespace lentil {

Waiter::~Waiter() { ASSERT(queue == nullptr); }

void Waitq::add(Waiter& waiter) {
    ASSERT(waiter.queue == nullptr);
    waiter.thread = &current_thread();
    waiter.queue = this;
    SpinGuard guard(lock_);
    waiters_.push_back(waiter);
    count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

void Waitq::remove(Waiter& waiter) {
    // Only the waiter itself adds and removes; wakers leave it in. So `queue` is not looked at by two threads.
    if (waiter.queue == nullptr)
        return;
    ASSERT(waiter.queue == this);
    SpinGuard guard(lock_);
    waiters_.erase(waiter);
    count_.store(count_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    waiter.queue = nullptr;
}

unsigned Waitq::wake_waiters(unsigned exclusive_count, Nesting nesting) {
    unsigned woken = 0;
    SpinGuard guard(lock_, nesting);
    for (Waiter* w = waiters_.first(); w; w = w->link.next) {
        if (w->notify) {
            w->notify(*w);
            continue;
        }
        if (w->exclusive && exclusive_count == 0)
            continue;
        // False for one that is awake already: it has not gone to sleep yet, or somebody else woke it. It will look at
        // the condition; but an exclusive wake-up must not be spent on it, since it may have been woken by a signal.
        if (!thread_wake(*w->thread))
            continue;
        woken++;
        if (w->exclusive)
            exclusive_count--;
    }
    return woken;
}

namespace {

bool interrupted(const Thread& self) {
    const uint32_t level = self.interrupt_level.load(std::memory_order_relaxed);
    switch (self.wait_interruptible.load(std::memory_order_relaxed)) {
    case Interruptible::no: return false;
    case Interruptible::killable: return level >= 2;
    case Interruptible::yes: return level >= 1;
    }
    return false;
}

/// The time limit of one wait, on the waiter's stack.
struct TimeLimit {
    Callout callout;
    Thread& thread;
    bool expired = false; ///< written by the callout, read after cancel()

    explicit TimeLimit(Thread& t) : thread(t) {
        callout.init(
            [](void* arg) {
                auto* self = static_cast<TimeLimit*>(arg);
                self->expired = thread_wake(self->thread);
            },
            this);
    }
};

} // namespace

void prepare_wait(Interruptible interruptible, const char* channel) {
    Thread& self = current_thread();
    self.wait_interruptible.store(interruptible, std::memory_order_relaxed);
    self.wait_channel = channel;
    self.state.store(ThreadState::waiting, std::memory_order_release);
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

void cancel_wait() {
    Thread& self = current_thread();
    self.state.store(ThreadState::running, std::memory_order_relaxed);
    self.wait_channel = nullptr;
}

WaitResult finish_wait(nanos_t deadline_ns) {
    Thread& self = current_thread();
    if (interrupted(self)) {
        cancel_wait();
        return WaitResult::interrupted;
    }
    bool expired = false;
    if (deadline_ns == no_deadline) {
        thread_block();
    } else if (monotonic_ns() >= deadline_ns) {
        expired = self.state.load(std::memory_order_relaxed) == ThreadState::waiting;
        cancel_wait();
    } else {
        TimeLimit limit(self);
        limit.callout.arm(deadline_ns);
        thread_block();
        limit.callout.cancel();
        expired = limit.expired;
    }
    self.wait_channel = nullptr;
    if (expired)
        return WaitResult::timed_out;
    return interrupted(self) ? WaitResult::interrupted : WaitResult::awoken;
}

WaitResult sleep_until(nanos_t deadline_ns, const char* channel, Interruptible interruptible) {
    for (;;) {
        if (monotonic_ns() >= deadline_ns)
            return WaitResult::timed_out;
        prepare_wait(interruptible, channel);
        const WaitResult result = finish_wait(deadline_ns);
        if (result != WaitResult::awoken)
            return result;
    }
}

} // namespace lentil

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

void Waitq::add(Waiter& waiter) {
    ASSERT(waiter.queue.load(std::memory_order_relaxed) == nullptr);
    waiter.thread = &current_thread();
    waiter.queue.store(this, std::memory_order_relaxed);
    SpinGuard guard(lock_);
    push(waiter);
}

namespace {

inline void mark_waiting(Thread& self, Interruptible interruptible, const char* channel) {
    self.wait_interruptible.store(interruptible, std::memory_order_relaxed);
    self.wait_channel = channel;
    self.state.store(ThreadState::waiting, std::memory_order_release);
}

} // namespace

void Waitq::prepare(Waiter& waiter, Interruptible interruptible, const char* channel) {
    ASSERT(waiter.queue.load(std::memory_order_relaxed) == nullptr);
    Thread& self = current_thread();
    waiter.thread = &self;
    waiter.queue.store(this, std::memory_order_relaxed);
    mark_waiting(self, interruptible, channel);
    {
        SpinGuard guard(lock_);
        push(waiter);
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

/// One that a waker may take out at the same moment.
void Waitq::remove_queued(Waiter& waiter) {
    SpinGuard guard(lock_);
    Waitq* const queue = waiter.queue.load(std::memory_order_relaxed);
    if (queue == nullptr)
        return;
    ASSERT(queue == this);
    erase(waiter);
    waiter.queue.store(nullptr, std::memory_order_relaxed);
}

unsigned Waitq::wake_waiters(unsigned exclusive_count, Nesting nesting) {
    SpinGuard guard(lock_, nesting);
    // Mostly one waits, and is the last to be asked about.
    if (Waiter* const only = waiters_.first();
        only && only == waiters_.last() && only->leaves_when_woken && exclusive_count != 0) [[likely]] {
        // False for one that is awake already: see below.
        if (only->thread->state.load(std::memory_order_relaxed) != ThreadState::waiting || !sched_wake(*only->thread))
            return 0;
        waiters_.forget_only();
        count_.store(0, std::memory_order_relaxed);
        only->queue.store(nullptr, std::memory_order_release); // the last: it may be gone, for it runs
        return 1;
    }
    const auto wake_each = [ this, exclusive_count ]() __attribute__((noinline)) {
        unsigned woken = 0, exclusive_left = exclusive_count;
        for (Waiter *w = waiters_.first(), *next; w; w = next) {
            next = w->link.next;
            if (w->notify) {
                w->notify(*w);
                continue;
            }
            const bool exclusive = w->exclusive;
            if (exclusive && exclusive_left == 0)
                continue;
            // False for one that is awake already: it has not gone to sleep yet, or somebody else woke it. It will look at
            // the condition; but an exclusive wake-up must not be spent on it, since it may have been woken by a signal.
            Thread& thread = *w->thread;
            if (thread.state.load(std::memory_order_relaxed) != ThreadState::waiting || !sched_wake(thread))
                continue;
            woken++;
            if (w->leaves_when_woken) {
                erase(*w);
                w->queue.store(nullptr, std::memory_order_release); // and it may be gone, for it runs
            }
            if (exclusive)
                exclusive_left--;
        }
        return woken;
    };
    return wake_each();
}

namespace {

bool interrupted(const Thread& self) {
    const uint32_t level = self.interrupt_level.load(std::memory_order_relaxed);
    if (level == 0) [[likely]]
        return false;
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
    mark_waiting(current_thread(), interruptible, channel);
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

void cancel_wait() {
    Thread& self = current_thread();
    self.state.store(ThreadState::running, std::memory_order_relaxed);
    self.wait_channel = nullptr;
}

namespace {

[[gnu::noinline]] WaitResult finish_wait_until(Thread& self, nanos_t deadline_ns) {
    bool expired = false;
    if (monotonic_ns() >= deadline_ns) {
        expired = self.state.load(std::memory_order_relaxed) == ThreadState::waiting;
        cancel_wait();
    } else {
        TimeLimit limit(self);
        limit.callout.arm(deadline_ns);
        thread_block();
        limit.callout.cancel();
        expired = limit.expired;
        self.wait_channel = nullptr;
    }
    if (expired)
        return WaitResult::timed_out;
    return interrupted(self) ? WaitResult::interrupted : WaitResult::awoken;
}

} // namespace

WaitResult finish_wait(nanos_t deadline_ns) {
    Thread& self = current_thread();
    if (interrupted(self)) [[unlikely]] {
        cancel_wait();
        return WaitResult::interrupted;
    }
    if (deadline_ns != no_deadline) [[unlikely]]
        return finish_wait_until(self, deadline_ns);
    thread_block();
    self.wait_channel = nullptr;
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

// SPDX-License-Identifier: BSD-2-Clause
// Callouts: run a function at a time, on the hart that armed it, in interrupt context.
#pragma once

#include <atomic>

#include <libkern/types.hpp>
#include <sync/spinlock.hpp>

namespace lentil {

class Callout;

/// A node of a callout tree. (Boost's hooks cannot be constant-initialised; callouts are, in global objects.)
struct CalloutNode {
    CalloutNode* parent = nullptr;
    CalloutNode* left = nullptr;
    CalloutNode* right = nullptr;
    bool red = false;
    nanos_t deadline_ns = 0;
    Callout* owner = nullptr;
};

/// Callouts ordered by deadline, first in first out among equals: O(log n), the earliest in O(1). No lock of its own.
class CalloutTree {
public:
    CalloutTree();
    CalloutTree(const CalloutTree&) = delete;
    CalloutTree& operator=(const CalloutTree&) = delete;

    void insert(CalloutNode& node);
    void erase(CalloutNode& node);
    CalloutNode* first() const;
    nanos_t first_deadline_ns() const;

private:
    CalloutNode header_;
};

/// Embedded in its owner. Armed and cancelled from anywhere; `function` runs with interrupts off and may arm it again.
class Callout {
public:
    Callout() = default;
    Callout(const Callout&) = delete;
    Callout& operator=(const Callout&) = delete;

    void init(void (*function)(void*), void* arg) { function_ = function, arg_ = arg; }
    /// As after init(), when it was cancelled and nobody can arm it any more.
    void renew() {
        if (!was_armed())
            return;
        node_ = {};
        queue_hart_.store(never_armed, std::memory_order_relaxed);
        runs_.store(0, std::memory_order_relaxed);
    }
    /// (Re)arms for `deadline_ns` on the monotonic clock; in the past means as soon as possible.
    void arm(nanos_t deadline_ns);
    /// After return the function does not run and is not running (waits for one that runs on another hart, so callers
    /// hold no lock that it takes). Called by the function itself it only disarms. Returns whether it was armed.
    bool cancel();
    /// Whether it ever was. (Then cancel() may have to wait for its function.)
    bool was_armed() const { return queue_hart_.load(std::memory_order_relaxed) != never_armed; }
    bool is_armed() const { return queue_hart_.load(std::memory_order_acquire) >= 0; }
    nanos_t deadline_ns() const { return node_.deadline_ns; }

private:
    friend class CalloutQueue;
    bool disarm();
    bool wait_until_idle() const;

    CalloutNode node_;
    void (*function_)(void*) = nullptr;
    void* arg_ = nullptr;
    /// Whose queue holds it; negative: none. A queue's index is stored by a compare-and-swap under the lock of that queue,
    /// and replaced by `unarmed` under that same lock: so under the lock of queue q, `queue_hart_ == q` says that q's tree
    /// holds it.
    std::atomic<int32_t> queue_hart_{never_armed};
    static constexpr int32_t unarmed = -1, never_armed = -2;
    std::atomic<uint32_t> runs_{0}; ///< that began; changes under the lock of the queue that held it
};

/// What one hart has to run.
class CalloutQueue {
public:
    /// The earliest deadline (monotonic). On its own hart.
    nanos_t next_deadline_ns() const { return next_ns_.load(std::memory_order_relaxed); }
    /// Runs everything due; on its own hart, interrupts off, no lock held.
    void run_due(nanos_t now_ns);

private:
    friend class Callout;
    mutable SpinLock<Rank::callout> lock_;
    CalloutTree tree_;
    std::atomic<nanos_t> next_ns_{no_deadline};
    std::atomic<Callout*> running_{nullptr};
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Callouts: per-hart trees of deadlines.
#include <libkern/intrusive.hpp>
#include <sched/callout.hpp>
#include <sched/clock.hpp>
#include <sched/hart.hpp>
#include <sched/sched_internal.hpp>

namespace lentil {

namespace {

struct NodeTraits {
    using node = CalloutNode;
    using node_ptr = CalloutNode*;
    using const_node_ptr = const CalloutNode*;
    using color = bool;
    static node_ptr get_parent(const_node_ptr n) { return n->parent; }
    static void set_parent(node_ptr n, node_ptr p) { n->parent = p; }
    static node_ptr get_left(const_node_ptr n) { return n->left; }
    static void set_left(node_ptr n, node_ptr p) { n->left = p; }
    static node_ptr get_right(const_node_ptr n) { return n->right; }
    static void set_right(node_ptr n, node_ptr p) { n->right = p; }
    static color get_color(const_node_ptr n) { return n->red; }
    static void set_color(node_ptr n, color c) { n->red = c; }
    static color black() { return false; }
    static color red() { return true; }
};
using Algorithms = bi::rbtree_algorithms<NodeTraits>;

} // namespace

CalloutTree::CalloutTree() { Algorithms::init_header(&header_); }

void CalloutTree::insert(CalloutNode& node) {
    Algorithms::insert_equal_upper_bound(
        &header_, &node, [](const CalloutNode* a, const CalloutNode* b) { return a->deadline_ns < b->deadline_ns; });
}

void CalloutTree::erase(CalloutNode& node) { Algorithms::erase(&header_, &node); }

CalloutNode* CalloutTree::first() const {
    CalloutNode* n = Algorithms::begin_node(&header_);
    return n == &header_ ? nullptr : n;
}

nanos_t CalloutTree::first_deadline_ns() const {
    const CalloutNode* n = first();
    return n ? n->deadline_ns : no_deadline;
}

/// Takes it out of whatever queue holds it. Returns whether one did.
bool Callout::disarm() {
    for (;;) {
        const int32_t q = queue_hart_.load(std::memory_order_acquire);
        if (q < 0)
            return false;
        CalloutQueue& queue = hart_by_index(static_cast<unsigned>(q)).callouts;
        SpinGuard guard(queue.lock_);
        if (queue_hart_.load(std::memory_order_relaxed) != q)
            continue;
        queue.tree_.erase(node_);
        queue.next_ns_.store(queue.tree_.first_deadline_ns(), std::memory_order_relaxed);
        queue_hart_.store(unarmed, std::memory_order_release);
        return true;
        // The timer stays armed: on a busy hart one early interrupt at most; sched_idle sets it right before it waits.
    }
}

void Callout::arm(nanos_t deadline_ns) {
    ASSERT(function_);
    IrqGuard irq; // so that the hart whose queue takes it is the one whose timer is set
    Hart& hart = current_hart();
    CalloutQueue& queue = hart.callouts;
    for (;;) {
        disarm();
        SpinGuard guard(queue.lock_);
        int32_t none = queue_hart_.load(std::memory_order_relaxed);
        // Another hart may have armed it meanwhile: the last one to arm wins, so take it away from there.
        if (none >= 0 || !queue_hart_.compare_exchange_strong(none, static_cast<int32_t>(hart.index),
                                                              std::memory_order_acq_rel, std::memory_order_relaxed))
            continue;
        node_.deadline_ns = deadline_ns;
        node_.owner = this;
        queue.tree_.insert(node_);
        queue.next_ns_.store(queue.tree_.first_deadline_ns(), std::memory_order_relaxed);
        break;
    }
    sched_timer_update(hart);
}

/// Waits until no other hart runs the function. False if this hart itself is in it.
bool Callout::wait_until_idle() const {
    bool outside = true;
    // After is_armed() read the -1 that run_due() stored (acquire, release), `running_` stored before it is visible: the
    // function is seen as running, or it has returned.
    sched_harts().for_each([&](unsigned index) {
        const std::atomic<Callout*>& running = hart_by_index(index).callouts.running_;
        if (running.load(std::memory_order_acquire) != this)
            return;
        IrqGuard irq;
        if (current_hart().index == index) {
            // Interrupts are off while it runs: if it runs here, it is our caller. (But we may have come here just now,
            // because it has ended.)
            if (running.load(std::memory_order_acquire) == this)
                outside = false;
            return;
        }
        while (running.load(std::memory_order_acquire) == this)
            machine::cpu_relax();
    });
    return outside;
}

bool Callout::cancel() {
    bool was_armed = false;
    if (queue_hart_.load(std::memory_order_acquire) == never_armed) // so nothing runs its function either
        return false;
    uint32_t runs = 0;
    do {
        runs = runs_.load(std::memory_order_acquire);
        if (disarm())
            was_armed = true;
        if (!wait_until_idle())
            return was_armed;
        // A run that was under way may have armed it again before it ended, and by now another one may have begun: the
        // count tells that one. It is read last: whoever sees `unarmed` of a run that began sees it counted.
    } while (is_armed() || runs_.load(std::memory_order_relaxed) != runs);
    return was_armed;
}

void CalloutQueue::run_due(nanos_t now_ns) {
    if (next_deadline_ns() > now_ns)
        return;
    SpinGuard guard(lock_);
    for (;;) {
        CalloutNode* node = tree_.first();
        if (!node || node->deadline_ns > now_ns)
            break;
        Callout* callout = node->owner;
        tree_.erase(*node);
        next_ns_.store(tree_.first_deadline_ns(), std::memory_order_relaxed);
        running_.store(callout, std::memory_order_relaxed);
        callout->runs_.store(callout->runs_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        callout->queue_hart_.store(Callout::unarmed,
                                   std::memory_order_release); // after both: see wait_until_idle, cancel
        void (*const function)(void*) = callout->function_;
        void* const arg = callout->arg_;
        guard.unlock();
        function(arg); // may free the callout
        running_.store(nullptr, std::memory_order_release);
        guard.relock();
    }
}

} // namespace lentil

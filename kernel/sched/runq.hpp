// SPDX-License-Identifier: BSD-2-Clause
// One hart's queue of threads that wait for it, and the arithmetic of fair time. No locks, no machine: the scheduler
// calls it under the hart's run-queue lock, the host tests with simulated time.
#pragma once

#include <atomic>

#include <libkern/dlist.hpp>
#include <libkern/intrusive.hpp>
#include <sched/params.hpp>

namespace lentil {

struct Thread;

/// What one thread is to a run queue.
///
/// `vruntime` is the weighted time the thread has had: nanoseconds for nice 0, running slower for heavier threads. While
/// the thread is attached to a hart (queued or current there) it counts in the hart's local scale, else in the scale that
/// all harts share (local + Runq::offset).
struct SchedEntity {
    Thread* thread = nullptr;
    DlistLinks<SchedEntity> rt_link;
    TreeHook fair_link;
    uint64_t vruntime = 0;
    uint32_t weight = 1024;
    int32_t rt_priority = 0; ///< 0: fair class
    SchedPolicy policy = SchedPolicy::other;
    HartSet affinity = HartSet::all();
    bool attached = false; ///< vruntime is in the local scale of a hart
    bool fresh = true;     ///< never had any time: starts level with the others

    bool is_fair() const { return rt_priority == 0; }
    void set(const SchedParams& params);
};

namespace sched_time {
inline constexpr nanos_t slice_ns = 6'000'000;         ///< a fair thread's turn while others wait
inline constexpr nanos_t rr_slice_ns = 100'000'000;    ///< SCHED_RR's, as on Linux
inline constexpr nanos_t wake_credit_ns = 3'000'000;   ///< how far behind the others a sleeper may start
inline constexpr nanos_t wake_margin_ns = 1'000'000;   ///< a woken thread must be behind by this much to preempt
inline constexpr nanos_t balance_lead_ns = 12'000'000; ///< a hart this far ahead in fair time takes over a thread
/// No hart or thread is owed more than this. Long enough to make up for a hart that its host stopped for a while.
inline constexpr nanos_t max_lag_ns = 200'000'000;
} // namespace sched_time

/// 1024 for nice 0, a factor of 1.25 per step (10 % of the hart between neighbours), 3 for SCHED_IDLE.
uint32_t sched_weight(SchedPolicy policy, int32_t nice);

/// The fair time of the hart that is furthest ahead: where a hart that was idle starts again. Approximate by design.
struct FairClock {
    std::atomic<uint64_t> latest{uint64_t{1} << 40};
    void advance(uint64_t t) {
        if (t > latest.load(std::memory_order_relaxed))
            latest.store(t, std::memory_order_relaxed);
    }
};

/// Real-time threads in FIFO lists found through a bitmap, O(1); fair ones in a tree by vruntime, O(log n).
class Runq {
public:
    enum class Position { head, tail }; ///< among threads of one real-time priority

    explicit Runq(FairClock& clock) : clock_(clock) {}
    Runq(const Runq&) = delete;
    Runq& operator=(const Runq&) = delete;

    /// Brings a thread from outside to this hart's scale. `woken`: it slept, so it gets little for the past; else it moves
    /// from another hart and keeps its lag or lead. Followed by `enqueue`, or by running it.
    void attach(SchedEntity& entity, bool woken);
    /// Back to the common scale: it sleeps, ends or moves. Not queued.
    void detach(SchedEntity& entity);

    void enqueue(SchedEntity& entity, Position position = Position::tail);
    void dequeue(SchedEntity& entity);
    /// Takes out the one to run next; nullptr if the queue is empty.
    SchedEntity* take_best();
    const SchedEntity* best() const;
    /// The best one that may run on `hart` and may leave this one; stays queued. Looks at a bounded number.
    SchedEntity* find_movable(unsigned hart) const;
    /// The same among fair threads only, and not heavier than `max_weight`.
    SchedEntity* find_movable_fair(unsigned hart, uint64_t max_weight) const;

    /// Names the attached thread that runs (nullptr: the idle thread).
    void set_current(SchedEntity* entity) { current_ = entity; }
    /// Charges `ran_ns` to the current thread and moves fair time on.
    void charge(nanos_t ran_ns);
    /// sched_yield: lets the first in the queue go first, at no other cost to either.
    void yield_current();

    /// Should `entity`, queued here, take the hart from the current thread at once?
    bool preempts_current(const SchedEntity& entity) const;
    /// At the end of a slice: does another thread deserve the hart now?
    bool current_should_yield() const;
    /// How long the current thread may run before that is asked again; 0: nobody waits, no timer wanted.
    nanos_t slice_wanted() const;

    unsigned count() const { return rt_count_ + fair_count_; }
    unsigned fair_count() const { return fair_count_; }
    int32_t best_rt_priority() const;
    /// Sum of the weights of the fair threads queued and running here.
    uint64_t load() const { return load_ + (current_ && current_->is_fair() ? current_->weight : 0); }
    /// In the common scale: how far the least served thread of this hart is.
    uint64_t fair_time() const { return floor_ + offset_; }
    uint64_t offset() const { return offset_; }
    /// Forgives lag beyond max_lag_ns: threads that cannot leave made this hart slow, which is nobody else's debt.
    void limit_lag();

private:
    struct VruntimeOf {
        using type = uint64_t;
        uint64_t operator()(const SchedEntity& e) const { return e.vruntime; }
    };
    using FairTree = bi::multiset<SchedEntity, bi::member_hook<SchedEntity, TreeHook, &SchedEntity::fair_link>,
                                  bi::key_of_value<VruntimeOf>, bi::constant_time_size<false>>;
    static constexpr unsigned levels = 100;

    void raise_floor();
    static uint64_t max_lead(const SchedEntity& entity);

    FairClock& clock_;
    uint64_t rt_bitmap_[2] = {};
    Dlist<SchedEntity, &SchedEntity::rt_link> rt_[levels];
    FairTree fair_;
    SchedEntity* current_ = nullptr;
    unsigned rt_count_ = 0, fair_count_ = 0;
    uint64_t load_ = 0;
    uint64_t floor_ = uint64_t{1} << 40; ///< smallest local vruntime here, never going back
    uint64_t offset_ = 0;                ///< local scale + offset = common scale; wraps
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// One hart's queue of threads that wait for it, and the arithmetic of fair time. No locks, no machine: the scheduler
// calls it under the hart's run-queue lock, the host tests with simulated time.
#pragma once

#include <atomic>

#include <libkern/assert.hpp>
#include <libkern/dlist.hpp>
#include <libkern/intrusive.hpp>
#include <libkern/word.hpp>
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
inline constexpr nanos_t slice_ns = 6'000'000;       ///< a fair thread's turn while others wait
inline constexpr nanos_t rr_slice_ns = 100'000'000;  ///< SCHED_RR's, as on Linux
inline constexpr nanos_t wake_credit_ns = 3'000'000; ///< how far behind the others a sleeper may start
inline constexpr nanos_t wake_margin_ns = 1'000'000; ///< a woken thread must be behind by this much to preempt
inline constexpr nanos_t wake_charge_ns = 50'000; ///< a wake-up charges who runs if there is more to charge than this
inline constexpr nanos_t balance_lead_ns = 12'000'000; ///< a hart this far ahead in fair time takes over a thread
/// No hart or thread is owed more than this. Long enough to make up for a hart that its host stopped for a while.
inline constexpr nanos_t max_lag_ns = 200'000'000;
} // namespace sched_time

/// 1024 for nice 0, a factor of 1.25 per step (10 % of the hart between neighbours), 3 for SCHED_IDLE.
uint32_t sched_weight(SchedPolicy policy, int32_t nice);

/// The fair time of the hart that is furthest ahead: where a hart that was idle starts again. Approximate by design.
struct FairClock {
    Word<uint64_t> latest{uint64_t{1} << 40};
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
    /// enqueue() and then take_best(), for the current thread, which may remain.
    SchedEntity* enqueue_and_take_best(SchedEntity& entity, Position position);
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
    /// The same where both are of the policy `other`.
    bool preempts_fairly(const SchedEntity& entity) const;
    /// At the end of a slice: does another thread deserve the hart now?
    bool current_should_yield() const;
    /// How long the current thread may run before that is asked again; 0: nobody waits, no timer wanted.
    nanos_t slice_wanted() const;

    unsigned count() const { return rt_count_ + fair_count_; }

    // What most wake-ups and switches find, without the rest: nobody waits but one fair thread. Each is the same as the
    // calls that it names.
    /// May `entity` become the one that waits, without a look at more than fair time? attach() and enqueue() if so.
    bool takes_lone(const SchedEntity& entity) const {
        return count() == 0 && entity.policy == SchedPolicy::other && current_ &&
               current_->policy == SchedPolicy::other;
    }
    /// Where fair time begins for it is ordinary too: all that add_lone() asks.
    bool is_ordinary(const SchedEntity& entity) const {
        return !entity.fresh && ahead(entity.vruntime - offset_, floor_) <= sched_time::max_lag_ns &&
               ahead(clock_.latest.load(std::memory_order_relaxed), fair_time()) <= sched_time::max_lag_ns;
    }
    /// Returns load().
    uint64_t add_lone(SchedEntity& entity);
    /// The one that waits, if it is fair and the only one (else it may say nullptr).
    SchedEntity* lone() const { return rt_count_ == 0 && fair_count_ == 1 ? next_ : nullptr; }
    /// charge(), detach(), take_best() and set_current(): a fair current thread sleeps, and `lone` runs.
    void leave_to_lone(SchedEntity& self, SchedEntity& lone, nanos_t ran_ns);
    /// charge(), yield_current(), enqueue_and_take_best() and set_current(): a fair current thread lets `lone` run.
    void yield_to_lone(SchedEntity& self, SchedEntity& lone, nanos_t ran_ns);

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

    /// The fair thread that is served next; nullptr if none waits.
    SchedEntity* first_fair() const {
        if (next_)
            return next_;
        return fair_count_ != 0 ? const_cast<SchedEntity*>(&*fair_.begin()) : nullptr;
    }
    void enqueue_fair(SchedEntity& entity);
    void enqueue_real_time(SchedEntity& entity, Position position);
    void dequeue_real_time(SchedEntity& entity);
    void attach_first(SchedEntity& entity, uint64_t behind);
    int32_t highest_rt_priority() const;
    bool preempts_by_policy(const SchedEntity& entity) const;
    void raise_floor();
    static uint64_t weighted(nanos_t ns, uint32_t weight) {
        const auto t = static_cast<uint64_t>(ns);
        return weight == nice_0_weight ? t : t * nice_0_weight / weight;
    }
    /// Signed distance between two points of fair time, which may wrap.
    static int64_t ahead(uint64_t a, uint64_t b) { return static_cast<int64_t>(a - b); }
    static uint64_t max_lead(const SchedEntity& entity);
    static constexpr uint64_t nice_0_weight = 1024;

    FairClock& clock_;
    uint64_t rt_bitmap_[2] = {};
    Dlist<SchedEntity, &SchedEntity::rt_link> rt_[levels];
    FairTree fair_;               ///< the fair ones that wait, without `next_`
    SchedEntity* next_ = nullptr; ///< if set, the first of them: while one waits it costs no tree
    SchedEntity* current_ = nullptr;
    unsigned rt_count_ = 0, fair_count_ = 0;
    uint64_t load_ = 0;
    uint64_t floor_ = uint64_t{1} << 40; ///< smallest local vruntime here, never going back
    uint64_t offset_ = 0;                ///< local scale + offset = common scale; wraps
};

// ---- what every switch and wake-up does ----------------------------------------------------------------------------------

inline void Runq::raise_floor() {
    uint64_t least = floor_;
    const SchedEntity* const first = first_fair();
    if (current_ && current_->is_fair()) {
        least = current_->vruntime;
        if (first && ahead(first->vruntime, least) < 0)
            least = first->vruntime;
    } else if (first) {
        least = first->vruntime;
    }
    if (ahead(least, floor_) > 0)
        floor_ = least;
    clock_.advance(fair_time());
}

inline void Runq::charge(nanos_t ran_ns) {
    if (current_ && current_->is_fair() && ran_ns > 0)
        current_->vruntime += weighted(ran_ns, current_->weight);
    raise_floor();
}

inline void Runq::attach(SchedEntity& entity, bool woken) {
    ASSERT(!entity.attached);
    entity.attached = true;
    if (!entity.is_fair())
        return;
    const auto behind = static_cast<uint64_t>(woken ? sched_time::wake_credit_ns : sched_time::max_lag_ns);
    if (fair_count_ == 0 && (!current_ || !current_->is_fair()))
        return attach_first(entity, behind);
    limit_lag();
    uint64_t local = entity.fresh ? floor_ : entity.vruntime - offset_;
    if (const int64_t lead = ahead(local, floor_); lead < 0) {
        if (lead < -static_cast<int64_t>(behind))
            local = floor_ - behind;
    } else if (lead > sched_time::max_lag_ns && lead > static_cast<int64_t>(max_lead(entity))) {
        local = floor_ + max_lead(entity);
    }
    entity.vruntime = local;
    entity.fresh = false;
}

inline void Runq::detach(SchedEntity& entity) {
    ASSERT(entity.attached);
    entity.attached = false;
    if (entity.is_fair())
        entity.vruntime += offset_;
    if (current_ == &entity)
        current_ = nullptr;
}

inline void Runq::enqueue(SchedEntity& entity, Position position) {
    if (!entity.is_fair())
        return enqueue_real_time(entity, position);
    load_ += entity.weight;
    if (fair_count_++ == 0)
        next_ = &entity;
    else
        enqueue_fair(entity);
}

inline void Runq::dequeue(SchedEntity& entity) {
    if (!entity.is_fair())
        return dequeue_real_time(entity);
    load_ -= entity.weight;
    fair_count_--;
    if (next_ == &entity)
        next_ = nullptr;
    else
        fair_.erase(fair_.iterator_to(entity));
}

inline uint64_t Runq::add_lone(SchedEntity& entity) {
    DEBUG_ASSERT(!entity.attached && load_ == 0);
    entity.attached = true;
    uint64_t local = entity.vruntime - offset_;
    if (ahead(local, floor_) < -sched_time::wake_credit_ns)
        local = floor_ - static_cast<uint64_t>(sched_time::wake_credit_ns);
    entity.vruntime = local;
    load_ = entity.weight;
    fair_count_ = 1;
    next_ = &entity;
    return load_ + current_->weight;
}

inline void Runq::leave_to_lone(SchedEntity& self, SchedEntity& lone, nanos_t ran_ns) {
    DEBUG_ASSERT(self.attached);
    const uint64_t had = self.vruntime + (ran_ns > 0 ? weighted(ran_ns, self.weight) : 0);
    const uint64_t least = ahead(lone.vruntime, had) < 0 ? lone.vruntime : had;
    if (ahead(least, floor_) > 0)
        floor_ = least;
    clock_.advance(fair_time());
    self.attached = false;
    self.vruntime = had + offset_;
    load_ = 0;
    fair_count_ = 0;
    next_ = nullptr;
    current_ = &lone;
}

inline void Runq::yield_to_lone(SchedEntity& self, SchedEntity& lone, nanos_t ran_ns) {
    uint64_t had = self.vruntime + (ran_ns > 0 ? weighted(ran_ns, self.weight) : 0);
    const bool lone_is_behind = ahead(lone.vruntime, had) < 0;
    const uint64_t least = lone_is_behind ? lone.vruntime : had;
    if (ahead(least, floor_) > 0)
        floor_ = least;
    clock_.advance(fair_time());
    if (!lone_is_behind)
        had = lone.vruntime;
    self.vruntime = had;
    load_ = self.weight;
    next_ = &self;
    current_ = &lone;
}

inline int32_t Runq::best_rt_priority() const { return rt_count_ == 0 ? 0 : highest_rt_priority(); }

inline const SchedEntity* Runq::best() const {
    return rt_count_ != 0 ? rt_[highest_rt_priority()].first() : first_fair();
}

inline SchedEntity* Runq::take_best() {
    auto* entity = const_cast<SchedEntity*>(best());
    if (entity)
        dequeue(*entity);
    return entity;
}

inline SchedEntity* Runq::enqueue_and_take_best(SchedEntity& entity, Position position) {
    if (rt_count_ != 0 || !entity.is_fair()) {
        enqueue(entity, position);
        return take_best();
    }
    SchedEntity* const first = first_fair();
    if (!first || ahead(entity.vruntime, first->vruntime) < 0)
        return &entity;
    dequeue(*first);
    enqueue(entity, position);
    return first;
}

inline bool Runq::preempts_current(const SchedEntity& entity) const {
    if (!current_)
        return true;
    if (!entity.is_fair() || !current_->is_fair())
        return entity.rt_priority > current_->rt_priority;
    if (entity.policy != SchedPolicy::other || current_->policy == SchedPolicy::idle)
        return preempts_by_policy(entity);
    return preempts_fairly(entity);
}

inline bool Runq::preempts_fairly(const SchedEntity& entity) const {
    return ahead(current_->vruntime, entity.vruntime) > sched_time::wake_margin_ns;
}

inline nanos_t Runq::slice_wanted() const {
    if (!current_ || count() == 0)
        return 0;
    if (current_->policy == SchedPolicy::round_robin && best_rt_priority() == current_->rt_priority)
        return sched_time::rr_slice_ns;
    // Under a real-time thread the slice only balances: fair threads here should get away to other harts.
    return fair_count_ != 0 ? sched_time::slice_ns : 0;
}

inline void Runq::limit_lag() {
    const uint64_t latest = clock_.latest.load(std::memory_order_relaxed);
    const int64_t lag = ahead(latest, fair_time());
    if (lag > sched_time::max_lag_ns)
        offset_ += static_cast<uint64_t>(lag - sched_time::max_lag_ns);
}

} // namespace lentil

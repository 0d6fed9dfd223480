// SPDX-License-Identifier: BSD-2-Clause
// Run queue: order among waiting threads, and fair time.
//
// Fair time makes harts comparable. Each hart's `fair_time` is the weighted time that its least served thread has had;
// it advances at the rate (1024 / load). Where two harts serve their threads equally it advances equally, so a hart that
// leads by more than balance_lead_ns serves its threads better and takes one over (sched_balance.cpp). Three spinners on
// two harts rotate in this way; a nice 19 thread alone on its hart runs far ahead and soon gets company.
#include <algorithm>
#include <bit>

#include <libkern/assert.hpp>
#include <sched/runq.hpp>

namespace lentil {

namespace {

constexpr uint64_t nice_0_weight = 1024;
constexpr uint32_t idle_policy_weight = 3;

struct WeightTable {
    uint32_t of[40] = {};
    constexpr WeightTable() {
        // In 1/4096 of a weight, so that 20 roundings do not add up.
        uint64_t up = nice_0_weight << 12, down = nice_0_weight << 12;
        for (int i = 0; i < 20; i++) {
            of[20 - i] = static_cast<uint32_t>((up + 2048) >> 12);
            up = up * 5 / 4;
        }
        of[0] = static_cast<uint32_t>((up + 2048) >> 12);
        for (int i = 20; i < 40; i++) {
            of[i] = static_cast<uint32_t>((down + 2048) >> 12);
            down = down * 4 / 5;
        }
    }
};
constexpr WeightTable weights;
static_assert(weights.of[20] == 1024 && weights.of[21] == 819 && weights.of[19] == 1280);

uint64_t weighted(nanos_t ns, uint32_t weight) {
    const uint64_t t = static_cast<uint64_t>(ns);
    return weight == nice_0_weight ? t : t * nice_0_weight / weight;
}

/// Signed distance between two points of fair time, which may wrap.
int64_t ahead(uint64_t a, uint64_t b) { return static_cast<int64_t>(a - b); }

/// Bounds the search for a thread that may move: the lock is held meanwhile.
constexpr unsigned search_limit = 16;

bool may_move_to(const SchedEntity& entity, unsigned hart) { return entity.affinity.has(hart); }

} // namespace

uint32_t sched_weight(SchedPolicy policy, int32_t nice) {
    if (policy == SchedPolicy::idle)
        return idle_policy_weight;
    return weights.of[std::clamp(nice, -20, 19) + 20];
}

void SchedEntity::set(const SchedParams& params) {
    policy = params.policy;
    rt_priority = is_real_time(params.policy) ? std::clamp(params.rt_priority, 1, 99) : 0;
    weight = sched_weight(params.policy, params.nice);
    affinity = params.affinity;
    if (!is_fair())
        fresh = true; // should it come back to the fair class, it starts level with the others
}

uint64_t Runq::max_lead(const SchedEntity& entity) {
    // A light thread is far ahead after a few slices, and rightly so.
    return std::max(static_cast<uint64_t>(sched_time::max_lag_ns), weighted(4 * sched_time::slice_ns, entity.weight));
}

void Runq::attach(SchedEntity& entity, bool woken) {
    ASSERT(!entity.attached);
    entity.attached = true;
    if (!entity.is_fair())
        return;
    const uint64_t behind = static_cast<uint64_t>(woken ? sched_time::wake_credit_ns : sched_time::max_lag_ns);
    if (fair_count_ == 0 && (!current_ || !current_->is_fair())) {
        // The first fair thread here for a while: this hart's fair time is where that thread is.
        const uint64_t latest = clock_.latest.load(std::memory_order_relaxed);
        uint64_t where = entity.fresh ? latest : entity.vruntime;
        if (ahead(where, latest - behind) < 0)
            where = latest - behind;
        if (ahead(where, latest + max_lead(entity)) > 0)
            where = latest + max_lead(entity);
        offset_ = where - floor_;
        entity.vruntime = floor_;
    } else {
        limit_lag();
        uint64_t local = entity.fresh ? floor_ : entity.vruntime - offset_;
        if (ahead(local, floor_ - behind) < 0)
            local = floor_ - behind;
        if (ahead(local, floor_ + max_lead(entity)) > 0)
            local = floor_ + max_lead(entity);
        entity.vruntime = local;
    }
    entity.fresh = false;
}

void Runq::detach(SchedEntity& entity) {
    ASSERT(entity.attached);
    entity.attached = false;
    if (entity.is_fair())
        entity.vruntime += offset_;
    if (current_ == &entity)
        current_ = nullptr;
}

void Runq::enqueue(SchedEntity& entity, Position position) {
    if (entity.is_fair()) {
        fair_.insert(fair_.end(), entity);
        fair_count_++;
        load_ += entity.weight;
        return;
    }
    auto& level = rt_[entity.rt_priority];
    if (position == Position::head)
        level.push_front(entity);
    else
        level.push_back(entity);
    rt_bitmap_[entity.rt_priority / 64] |= uint64_t{1} << entity.rt_priority % 64;
    rt_count_++;
}

void Runq::dequeue(SchedEntity& entity) {
    if (entity.is_fair()) {
        fair_.erase(fair_.iterator_to(entity));
        fair_count_--;
        load_ -= entity.weight;
        return;
    }
    auto& level = rt_[entity.rt_priority];
    level.erase(entity);
    if (level.empty())
        rt_bitmap_[entity.rt_priority / 64] &= ~(uint64_t{1} << entity.rt_priority % 64);
    rt_count_--;
}

int32_t Runq::best_rt_priority() const {
    if (rt_count_ == 0)
        return 0;
    const int high = rt_bitmap_[1] ? 1 : 0;
    return high * 64 + 63 - std::countl_zero(rt_bitmap_[high]);
}

const SchedEntity* Runq::best() const {
    if (rt_count_ != 0)
        return rt_[best_rt_priority()].first();
    return fair_count_ != 0 ? &*fair_.begin() : nullptr;
}

SchedEntity* Runq::take_best() {
    auto* entity = const_cast<SchedEntity*>(best());
    if (entity)
        dequeue(*entity);
    return entity;
}

SchedEntity* Runq::find_movable(unsigned hart) const {
    unsigned looked_at = 0;
    if (rt_count_ != 0)
        for (int word = 1; word >= 0; word--)
            for (uint64_t bits = rt_bitmap_[word]; bits != 0;) {
                const int bit = 63 - std::countl_zero(bits);
                bits &= ~(uint64_t{1} << bit);
                for (SchedEntity* e = rt_[word * 64 + bit].first(); e && looked_at < search_limit;
                     e = e->rt_link.next, looked_at++)
                    if (may_move_to(*e, hart))
                        return e;
            }
    return find_movable_fair(hart, UINT64_MAX);
}

SchedEntity* Runq::find_movable_fair(unsigned hart, uint64_t max_weight) const {
    unsigned looked_at = 0;
    for (auto& e : fair_) {
        if (may_move_to(e, hart) && e.weight <= max_weight)
            return const_cast<SchedEntity*>(&e);
        if (++looked_at == search_limit)
            break;
    }
    return nullptr;
}

void Runq::raise_floor() {
    uint64_t least = floor_;
    const bool running = current_ && current_->is_fair();
    if (running)
        least = current_->vruntime;
    if (fair_count_ != 0) {
        const uint64_t first = fair_.begin()->vruntime;
        least = running && ahead(first, least) > 0 ? least : first;
    }
    if (ahead(least, floor_) > 0)
        floor_ = least;
    clock_.advance(fair_time());
}

void Runq::charge(nanos_t ran_ns) {
    if (current_ && current_->is_fair() && ran_ns > 0)
        current_->vruntime += weighted(ran_ns, current_->weight);
    raise_floor();
}

void Runq::yield_current() {
    if (current_ && current_->is_fair() && fair_count_ != 0 && ahead(fair_.begin()->vruntime, current_->vruntime) > 0)
        current_->vruntime = fair_.begin()->vruntime;
}

bool Runq::preempts_current(const SchedEntity& entity) const {
    if (!current_)
        return true;
    if (!entity.is_fair() || !current_->is_fair())
        return entity.rt_priority > current_->rt_priority;
    if (entity.policy == SchedPolicy::idle || entity.policy == SchedPolicy::batch)
        return false;
    if (current_->policy == SchedPolicy::idle)
        return true;
    return ahead(current_->vruntime, entity.vruntime) > sched_time::wake_margin_ns;
}

bool Runq::current_should_yield() const {
    if (!current_)
        return count() != 0;
    if (!current_->is_fair()) {
        const int32_t best = best_rt_priority();
        return best > current_->rt_priority ||
               (best == current_->rt_priority && current_->policy == SchedPolicy::round_robin);
    }
    if (rt_count_ != 0)
        return true;
    return fair_count_ != 0 && ahead(current_->vruntime, fair_.begin()->vruntime) > 0;
}

nanos_t Runq::slice_wanted() const {
    if (!current_ || count() == 0)
        return 0;
    if (!current_->is_fair() && current_->policy == SchedPolicy::round_robin &&
        best_rt_priority() == current_->rt_priority)
        return sched_time::rr_slice_ns;
    // Under a real-time thread the slice only balances: fair threads here should get away to other harts.
    return fair_count_ != 0 ? sched_time::slice_ns : 0;
}

void Runq::limit_lag() {
    const uint64_t latest = clock_.latest.load(std::memory_order_relaxed);
    const int64_t lag = ahead(latest, fair_time());
    if (lag > sched_time::max_lag_ns)
        offset_ += static_cast<uint64_t>(lag - sched_time::max_lag_ns);
}

} // namespace lentil

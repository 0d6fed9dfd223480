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

constexpr uint32_t idle_policy_weight = 3;

struct WeightTable {
    uint32_t of[40] = {};
    constexpr WeightTable() {
        // In 1/4096 of a weight, so that 20 roundings do not add up.
        uint64_t up = 1024 << 12, down = 1024 << 12;
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

/// The first fair thread here for a while: this hart's fair time is where that thread is.
void Runq::attach_first(SchedEntity& entity, uint64_t behind) {
    const uint64_t latest = clock_.latest.load(std::memory_order_relaxed);
    uint64_t where = entity.fresh ? latest : entity.vruntime;
    if (ahead(where, latest - behind) < 0)
        where = latest - behind;
    if (ahead(where, latest + max_lead(entity)) > 0)
        where = latest + max_lead(entity);
    offset_ = where - floor_;
    entity.vruntime = floor_;
    entity.fresh = false;
}

/// Behind those that have had as much.
void Runq::enqueue_fair(SchedEntity& entity) {
    const SchedEntity& first = next_ ? *next_ : *fair_.begin();
    if (ahead(first.vruntime, entity.vruntime) <= 0) {
        fair_.insert(fair_.end(), entity);
        return;
    }
    if (next_)
        fair_.insert(fair_.begin(), *next_);
    next_ = &entity;
}

void Runq::enqueue_real_time(SchedEntity& entity, Position position) {
    auto& level = rt_[entity.rt_priority];
    if (position == Position::head)
        level.push_front(entity);
    else
        level.push_back(entity);
    rt_bitmap_[entity.rt_priority / 64] |= uint64_t{1} << entity.rt_priority % 64;
    rt_count_++;
}

void Runq::dequeue_real_time(SchedEntity& entity) {
    auto& level = rt_[entity.rt_priority];
    level.erase(entity);
    if (level.empty())
        rt_bitmap_[entity.rt_priority / 64] &= ~(uint64_t{1} << entity.rt_priority % 64);
    rt_count_--;
}

int32_t Runq::highest_rt_priority() const {
    const int high = rt_bitmap_[1] ? 1 : 0;
    return high * 64 + 63 - std::countl_zero(rt_bitmap_[high]);
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
    if (next_ && may_move_to(*next_, hart) && next_->weight <= max_weight)
        return next_;
    unsigned looked_at = 1;
    for (auto& e : fair_) {
        if (may_move_to(e, hart) && e.weight <= max_weight)
            return const_cast<SchedEntity*>(&e);
        if (++looked_at == search_limit)
            break;
    }
    return nullptr;
}

void Runq::yield_current() {
    const SchedEntity* const first = first_fair();
    if (current_ && current_->is_fair() && first && ahead(first->vruntime, current_->vruntime) > 0)
        current_->vruntime = first->vruntime;
}

/// Both are fair, and one of them is not like most.
bool Runq::preempts_by_policy(const SchedEntity& entity) const {
    if (entity.policy == SchedPolicy::idle || entity.policy == SchedPolicy::batch)
        return false;
    return current_->policy == SchedPolicy::idle ||
           ahead(current_->vruntime, entity.vruntime) > sched_time::wake_margin_ns;
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
    const SchedEntity* const first = first_fair();
    return first && ahead(current_->vruntime, first->vruntime) > 0;
}

} // namespace lentil

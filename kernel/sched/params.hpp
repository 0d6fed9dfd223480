// SPDX-License-Identifier: BSD-2-Clause
// What user mode can choose about the scheduling of a thread.
#pragma once

#include <libkern/hartset.hpp>
#include <libkern/types.hpp>

namespace lentil {

/// Scheduling classes, with Linux's numbers.
enum class SchedPolicy : uint32_t { other = 0, fifo = 1, round_robin = 2, batch = 3, idle = 5 };

struct SchedParams {
    SchedPolicy policy = SchedPolicy::other;
    int32_t rt_priority = 0; ///< 1..99 for fifo and round_robin, higher runs first; 0 for the time-shared rest
    int32_t nice = 0;        ///< -20..19
    HartSet affinity = HartSet::all();

    friend constexpr bool operator==(const SchedParams&, const SchedParams&) = default;
};

constexpr bool is_real_time(SchedPolicy p) { return p == SchedPolicy::fifo || p == SchedPolicy::round_robin; }

} // namespace lentil

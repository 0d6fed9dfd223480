// SPDX-License-Identifier: BSD-2-Clause
// What a uthread and a proc consumed, inline: whoever wants some of it pays for no more. proc_tree_lock is held.
#pragma once

#include <algorithm>

#include <bsd/proc.hpp>
#include <sched/sched.hpp>

namespace lentil {

[[gnu::always_inline]] inline Usage usage_of_locked(const Uthread& uthread) {
    Usage total = uthread.usage;
    // While it executes, its thread holds what was not charged yet. A loan charges at both ends, so a lent thread's
    // running stretch is the borrower's alone.
    if (const Thread* on = uthread.thread.load(std::memory_order_relaxed)) {
        const CpuTimes times = thread_times(*on);
        total.user += times.user;
        total.system += times.system;
        total.voluntary_switches += on->switches_voluntary.load(std::memory_order_relaxed);
        total.involuntary_switches += on->switches_involuntary.load(std::memory_order_relaxed);
    }
    return total;
}

[[gnu::always_inline]] inline Usage usage_of_locked(const Proc& proc) {
    Usage total = usage_of_locked(proc.leader);
    if (proc.has_dead_usage)
        total.add(proc.dead_uthreads_usage);
    for (const Uthread& u : proc.uthreads)
        if (&u != &proc.leader)
            total.add(usage_of_locked(u));
    if (proc.task)
        total.max_resident_bytes = std::max(total.max_resident_bytes, proc.task->peak_resident_bytes());
    return total;
}

} // namespace lentil

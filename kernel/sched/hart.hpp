// SPDX-License-Identifier: BSD-2-Clause
// Per-hart data. Only stable while the thread cannot move: with interrupts or preemption off.
#pragma once

#include <atomic>

#include <sched/runq.hpp>
#include <sched/thread.hpp>

namespace lentil {

/// Counted by their hart alone, read by anyone: /proc/lentil/harts.
struct HartCounters {
    std::atomic<uint64_t> context_switches{0}, timer_interrupts{0}, ipis_received{0}, ipis_sent{0}, idle_entries{0},
        steals{0}, shootdowns_sent{0}, syscalls{0}, page_faults{0}, interrupts{0};
    std::atomic<int64_t> idle_ns{0};
};

struct Hart {
    unsigned index = 0;
    Thread* idle_thread = nullptr;
    Thread* current = nullptr;
    Runq runq;
    std::atomic<uint32_t> idle{0}; ///< 1 while in or entering wait_for_interrupt
    HartCounters counters;
};

Hart& hart_by_index(unsigned index);
/// The caller must not be able to move.
inline Hart& current_hart() { return *current_thread().hart.load(std::memory_order_relaxed); }

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Per-hart data. Only stable while the thread cannot move: with interrupts or preemption off.
#pragma once

#include <atomic>

#include <libkern/word.hpp>
#include <sched/callout.hpp>
#include <sched/runq.hpp>
#include <sched/thread.hpp>
#include <sync/spinlock.hpp>

namespace lentil {

/// Counted by their hart alone, read by anyone: /proc/lentil/harts.
struct HartCounters {
    Word<uint64_t> context_switches{0}, timer_interrupts{0}, ipis_received{0}, ipis_sent{0}, idle_entries{0}, steals{0},
        balances{0}, preemptions{0}, shootdowns_sent{0}, syscalls{0}, page_faults{0}, interrupts{0};
    /// Timer interrupts that ended wait_for_interrupt: on an idle hart only callouts cause them.
    Word<uint64_t> idle_timer_interrupts{0};
    Word<uint64_t> user_ticks{0}; ///< in user mode, less what the thread had before that is running; see hart_user_ns
    Word<int64_t> idle_ns{0};     ///< up to the last time it left idleness; see hart_idle_ns

    /// Adds to a counter of the running hart: no other writes it, so no read-modify-write instruction is needed.
    /// Interrupts off, or a lost count does not matter.
    template<class Counter, class T = uint64_t>
    static void bump(Counter& counter, T by = 1) {
        counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
    }
};

struct Hart {
    Hart(unsigned i, FairClock& clock) : index(i), runq(clock) {}

    const unsigned index;
    Thread* idle_thread = nullptr;

    // -- under `lock` -------------------------------------------------------------------------------------------------
    SpinLock<Rank::runq> lock;  ///< held across a context switch: taken by the old thread, released by the new one
    Thread* current = nullptr;  ///< what it runs; changes under `lock`, on this hart
    Thread* previous = nullptr; ///< during a switch: the thread being left, if something has to be done about it
    Runq runq;
    bool preempt_wanted = false;             ///< the current thread is to give way
    nanos_t charged_until_ns = 0;            ///< run time of `current` was charged up to here
    Word<nanos_t> slice_end_ns{no_deadline}; ///< read by the hart itself without the lock

    // -- published for other harts' decisions: written under `lock`, read without; may be stale ---------------------------
    Word<uint32_t> queued{0};              ///< threads that wait here
    Word<uint32_t> load{0};                ///< weights of fair threads, the running one included
    Word<int32_t> running_priority{-1};    ///< -1 idle, 0 fair, 1..99 real-time
    Word<int32_t> waiting_rt{0};           ///< best real-time priority that waits here, 0 for none
    Word<uint64_t> waiting_rt_affinity{0}; ///< where that one may run
    Word<uint64_t> fair_time{0};

    // -- the hart itself, interrupts off ------------------------------------------------------------------------------------
    nanos_t timer_armed_ns = no_deadline; ///< what the timer is set to
    Word<nanos_t> idle_since_ns{0};       ///< not 0: idle since then
    bool in_idle_wait = false;            ///< in wait_for_interrupt
    CalloutQueue callouts;

    HartCounters counters;
};

/// Hart `index` must have called sched_init_hart.
Hart& hart_by_index(unsigned index);
/// The caller must not be able to move.
inline Hart& current_hart() { return *current_thread().hart.load(std::memory_order_relaxed); }
/// Idle time of a hart up to now.
nanos_t hart_idle_ns(const Hart& hart);
/// Time in user mode of a hart up to now. Takes its run-queue lock.
nanos_t hart_user_ns(Hart& hart);
/// System calls made on a hart, without those of threads that have run elsewhere without a break since.
uint64_t hart_syscalls(const Hart& hart);

} // namespace lentil

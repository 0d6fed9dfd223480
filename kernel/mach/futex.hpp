// SPDX-License-Identifier: BSD-2-Clause
// Futexes: sleep on a word of user memory. Keys name the memory, so shared mappings and copies behave as on Linux.
#pragma once

#include <libkern/types.hpp>
#include <sched/waitq.hpp>
#include <vm/vm_map.hpp>

namespace lentil {

inline constexpr uint32_t futex_match_any = 0xffffffff;

/// Waiters queue in buckets, by a hash of their key.
inline constexpr size_t futex_bucket_count = 256;
inline size_t futex_bucket(const VmMap::FutexKey& key) {
    const uint64_t h = (key.owner >> 4) * 0x9e3779b97f4a7c15u ^ (key.offset >> 2) * 0xc2b2ae3d27d4eb4fu;
    return h >> 56 & (futex_bucket_count - 1);
}
/// How many wait in each; written under its lock. Whoever changed the word, then passed a fence (seq_cst) and finds 0 has
/// nobody to wake: who waits queues itself before it looks at the word.
extern std::atomic<uint32_t> futex_waiting[futex_bucket_count];

/// Sleeps if *address == expected. again if it differs, intr (restart_sys), timedout, fault. With `realtime` the deadline is
/// a time of the wall clock, however often that is set.
Result<void> futex_wait(vaddr_t address, uint32_t expected, uint32_t mask, bool process_private, nanos_t deadline_ns,
                        bool realtime = false);
/// Wakes up to `count` sleepers whose mask meets `mask`; returns how many.
Result<unsigned> futex_wake(VmMap& map, vaddr_t address, unsigned count, uint32_t mask, bool process_private);
/// Wakes `wake`, moves up to `requeue` others to `target`. With `compare`: again unless *address == expected.
Result<unsigned> futex_requeue(vaddr_t address, vaddr_t target, unsigned wake, unsigned requeue, bool compare,
                               uint32_t expected, bool process_private);
/// FUTEX_WAKE_OP.
Result<unsigned> futex_wake_op(vaddr_t address, vaddr_t second, unsigned wake, unsigned wake_second, uint32_t operation,
                               bool process_private);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Checks the lock order at run time in builds with LENTIL_CHECKS: a stack of held locks for every thread.
#pragma once

#include <atomic>

#include <libkern/assert.hpp>
#include <sync/rank.hpp>

namespace lentil {

/// One held lock, as reports name it.
struct HeldLock {
    const void* lock = nullptr;
    Rank rank{};
    SourceLine where;
};

/// The locks one thread holds, oldest first. Lives in the Thread (an interrupt handler's locks go on top of the
/// interrupted thread's, which is right: it must not take what could be held below). Other builds remember none.
struct HeldLocks {
#if defined(LENTIL_CHECKS)
    static constexpr unsigned capacity = 16;
    HeldLock held[capacity];
    unsigned count = 0;
#else
    static constexpr unsigned count = 0;
#endif
};

namespace lock_check {

#if defined(LENTIL_CHECKS)
/// The held locks of the running thread; sched/ sets it once there are threads. Before that nothing is checked.
using HeldByCurrent = HeldLocks* (*)();
extern HeldByCurrent held_by_current;
/// Set when the boot hart goes idle: from then on only threads run, and assert_may_sleep() looks at interrupts too.
extern std::atomic<uint32_t> threads_only;
/// Panics, naming both sites, if taking `lock` now breaks the order. Called before waiting for the lock.
void acquiring(const void* lock, Rank rank, bool nested, SourceLine where);
void released(const void* lock, Rank rank);
/// Panics if a spin lock is held or interrupts are off: the caller is about to sleep. (Mutexes may be held.)
void assert_may_sleep(SourceLine where = {__builtin_FILE(), __builtin_LINE()});
#else
inline void acquiring(const void*, Rank, bool, SourceLine) {}
inline void released(const void*, Rank) {}
inline void assert_may_sleep(SourceLine = {}) {}
#endif

} // namespace lock_check
} // namespace lentil

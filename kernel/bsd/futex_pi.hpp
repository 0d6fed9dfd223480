// SPDX-License-Identifier: BSD-2-Clause
// Futexes with priority inheritance (futex(2): FUTEX_LOCK_PI, FUTEX_LOCK_PI2, FUTEX_TRYLOCK_PI, FUTEX_UNLOCK_PI). The word holds
// its owner's thread id, so the kernel knows whom its waiters wait for: the owner runs with the best real-time priority
// among them, and so does whom that one waits for in turn, until it unlocks. Fair priorities (nice) are not inherited, as on Linux.
#pragma once

#include <bsd/uthread.hpp>
#include <vm/vm_map.hpp>

namespace lentil {

/// One thread that waits for a lock; lives on its stack. All under the one lock of futex_pi.cpp.
struct PiWaiter : PiLink {
    VmMap::FutexKey key;
    Uthread* uthread = nullptr;
    Thread* thread = nullptr;
    Uthread* owner = nullptr;      ///< whom it waits for, in whose list it stands; nullptr once it owns the lock
    std::atomic<bool> owns{false}; ///< the lock was handed to it
    bool unsettled = false;        ///< by an owner that ended: the word does not say so yet
    DlistLinks<PiWaiter> unsettled_link;
};

/// Takes the lock at `address`, or waits for it. Errors: again (`try_only`, and it is another's), deadlk (the caller owns it, or
/// its owner waits for the caller), srch (no thread has the id in the word), timedout, restart_nointr, fault, inval. The deadline is
/// a time of the wall clock if `realtime`.
Result<void> futex_lock_pi(vaddr_t address, bool process_private, nanos_t deadline_ns, bool realtime, bool try_only);
/// Gives the lock to the waiter with the best priority, the longest waiting of those, or sets the word to 0. perm unless the
/// caller owns it.
Result<void> futex_unlock_pi(vaddr_t address, bool process_private);

/// One lock on the robust list of the current uthread, which ends: marks the word with FUTEX_OWNER_DIED and gives the lock on.
Result<void> futex_pi_owner_ends(vaddr_t address);
/// The current uthread leaves its memory: what it still owns goes to who waits for it, marked in the same way.
void futex_pi_exit(Uthread& self);

/// `uthread` asked for another priority: whom it waits for may inherit another. No lock held.
void futex_pi_sched_changed(Uthread& uthread);

} // namespace lentil

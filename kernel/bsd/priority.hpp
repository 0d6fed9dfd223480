// SPDX-License-Identifier: BSD-2-Clause
// Scheduling choices belong to the uthread: a borrower's never stay with the thread it borrowed.
#pragma once

#include <bsd/proc.hpp>

namespace lentil {

/// What `uthread` asked for last. proc_tree_lock held, or it is the current one.
SchedParams uthread_sched_locked(const Uthread& uthread);

/// Sets it and applies it to the thread that `uthread` executes on. No lock held; `affinity` names a hart that is up.
void uthread_set_sched(Uthread& uthread, const SchedParams& params);

/// The best real-time priority of those that wait for locks of `uthread` is this from here on (bsd/futex_pi.hpp); 0: none.
void uthread_set_inherited(Uthread& uthread, int32_t priority);

/// What the thread of `uthread` runs with: what that asked for, raised to what it inherits. proc_tree_lock held, or it is the
/// current one.
SchedParams uthread_effective_sched(const Uthread& uthread);

/// The current thread was handed to another uthread (a loan began, ended or became a gift): it runs as that one asked
/// from here on. No lock held. Cheap if nothing differs.
void uthread_apply_sched();

} // namespace lentil

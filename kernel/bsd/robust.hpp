// SPDX-License-Identifier: BSD-2-Clause
// Robust futexes: what a thread that ends still holds is marked and handed on.
#pragma once

#include <bsd/uthread.hpp>

namespace lentil {

/// Walks the robust list of `uthread`, which is the current one and about to end: each lock it owns gets
/// FUTEX_OWNER_DIED, and one waiter is woken. User memory may be anything; the walk is bounded.
void robust_list_exit(Uthread& uthread);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// What a system call asks in a loop that goes on for as long as its caller's arguments say.
#pragma once

#include <sched/thread.hpp>

namespace lentil {

/// Whether the current thread is to end and nobody will see what its call returns. Such a loop ends then, or SIGKILL would wait
/// for it, and so would whoever waits for the process.
inline bool being_killed() { return current_thread().interrupt_level.load(std::memory_order_relaxed) >= 2; }

} // namespace lentil

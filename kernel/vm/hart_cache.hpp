// SPDX-License-Identifier: BSD-2-Clause
// Which per-hart cache an allocator may use.
#pragma once

#include <sched/hart.hpp>

namespace lentil {

/// Index of this hart, or max_harts while it has no thread yet (early boot): then there is no cache. Interrupts off.
inline unsigned cache_hart() {
    const Thread* thread = machine::current_thread();
    const Hart* hart = thread ? thread->hart.load(std::memory_order_relaxed) : nullptr;
    return hart ? hart->index : max_harts;
}

} // namespace lentil

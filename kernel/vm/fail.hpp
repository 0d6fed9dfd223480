// SPDX-License-Identifier: BSD-2-Clause
// Fault injection: the one place that every allocation passes, so that a test can make the n-th fail.
#pragma once

#include <atomic>

#include <libkern/assert.hpp>

namespace lentil {

/// Set in debug builds by whoever injects faults: asked once for every page, zone object, buffer, kernel
/// stack and kmem range before anything is tried; true makes the request fail as if memory were out. May be
/// called with spin locks held.
extern constinit std::atomic<bool (*)()> allocation_fault_hook;

inline bool allocation_must_fail() {
    if constexpr (checks_enabled)
        if (auto* hook = allocation_fault_hook.load(std::memory_order_relaxed); hook) [[unlikely]]
            return hook();
    return false;
}

} // namespace lentil

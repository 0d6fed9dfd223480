// SPDX-License-Identifier: BSD-2-Clause
// Callouts: run a function at a time, on the hart that armed it, in interrupt context.
#pragma once

#include <libkern/intrusive.hpp>
#include <libkern/types.hpp>

namespace lentil {

/// Embedded in its owner. Armed and cancelled from anywhere; `function` runs with interrupts off and may arm it again.
class Callout {
public:
    Callout() = default;
    Callout(const Callout&) = delete;
    Callout& operator=(const Callout&) = delete;

    void init(void (*function)(void*), void* arg) { function_ = function, arg_ = arg; }
    /// (Re)arms for `deadline_ns` on the monotonic clock; in the past means as soon as possible.
    void arm(nanos_t deadline_ns);
    /// After return the function does not run and is not running (waits for one that runs on another hart, so callers
    /// hold no lock that it takes). Returns whether it was armed.
    bool cancel();
    bool is_armed() const;
    nanos_t deadline_ns() const { return deadline_ns_; }

    TreeHook link; ///< of the hart's queue
    nanos_t deadline_ns_ = 0;
    void (*function_)(void*) = nullptr;
    void* arg_ = nullptr;
    int32_t queue_hart_ = -1; ///< whose queue holds it
};

} // namespace lentil

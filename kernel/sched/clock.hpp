// SPDX-License-Identifier: BSD-2-Clause
// Clocks: monotonic time since boot and wall-clock time.
#pragma once

#include <machine/machine.hpp>
#include <sched/clock_page.h>
#include <sched/waitq.hpp>

namespace lentil {

/// What the clocks are made of.
struct ClockValues {
    uint64_t ns_per_tick = 0; ///< times 2^32; written once, before other harts start, as the next
    nanos_t boot_ns = 0;
    std::atomic<nanos_t> wall_minus_monotonic_ns{0};
};
extern ClockValues clock_values;

/// monotonic_ns() where a call is too much.
[[gnu::always_inline]] inline nanos_t monotonic_ns_inline() {
    const auto scaled = static_cast<unsigned __int128>(machine::ticks()) * clock_values.ns_per_tick;
    return static_cast<nanos_t>(scaled >> 32) - clock_values.boot_ns;
}

/// Monotonic nanoseconds since boot.
nanos_t monotonic_ns();
/// Wall clock, nanoseconds since the epoch of 1970.
nanos_t realtime_ns();
/// The wall clock minus the monotonic one.
nanos_t realtime_offset_ns();
/// Sets the wall clock (from the RTC at boot, or clock_settime).
void set_realtime_ns(nanos_t now);
/// When, on the monotonic clock, the wall clock will show `time`, unless it is set; 0 if it is past that.
nanos_t monotonic_at_realtime(nanos_t time);
/// How often the wall clock was set; those who sleep until a time of day wait for a change of it in the queue.
uint32_t realtime_settings();
Waitq& realtime_waitq();
/// Called once at boot: monotonic time starts here.
void clock_init();
/// From now on `page` says what user mode needs to read both clocks by itself. Once, at boot.
void clock_publish(lentil_clock_page& page);

} // namespace lentil

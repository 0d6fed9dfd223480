// SPDX-License-Identifier: BSD-2-Clause
// Clocks: monotonic time since boot and wall-clock time.
#pragma once

#include <machine/machine.hpp>
#include <sched/clock_page.h>

namespace lentil {

/// Monotonic nanoseconds since boot.
nanos_t monotonic_ns();
/// Wall clock, nanoseconds since the epoch of 1970.
nanos_t realtime_ns();
/// Sets the wall clock (from the RTC at boot, or clock_settime).
void set_realtime_ns(nanos_t now);
/// Called once at boot: monotonic time starts here.
void clock_init();
/// From now on `page` says what user mode needs to read both clocks by itself. Once, at boot.
void clock_publish(lentil_clock_page& page);

} // namespace lentil

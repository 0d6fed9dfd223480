// SPDX-License-Identifier: BSD-2-Clause
// timerfd: a timer as an open file. Shared by whoever has the file, through fork, exec and loans.
#pragma once

#include <bsd/file.hpp>
#include <bsd/posix_timer.hpp>

namespace lentil {

/// Linux values of timerfd_settime's flags.
namespace timerfd_flags {
inline constexpr uint32_t absolute = 1;      ///< a time of its clock
inline constexpr uint32_t cancel_on_set = 2; ///< with a time of day: whoever waits hears canceled when the clock is set
} // namespace timerfd_flags

/// A file whose timer is off. `clock` is monotonic or realtime, `clock_number` its Linux number for /proc; `flags`:
/// open_flags::nonblock or 0. nomem.
Result<RefPtr<File>> timerfd_create(TimerClock clock, int32_t clock_number, uint32_t flags);
/// inval if `file` is no timerfd.
Result<TimerValue> timerfd_get(File& file);
/// Returns what was set before. Expiries that nobody read are forgotten. canceled, though it is set, if the clock was set
/// while the one before could be cancelled by that.
Result<TimerValue> timerfd_set(File& file, uint32_t flags, const TimerValue& value);
/// The wall clock was set. No lock held.
void timerfds_clock_set();

} // namespace lentil

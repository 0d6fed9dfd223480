// SPDX-License-Identifier: BSD-2-Clause
// timerfd: a timer as an open file. Shared by whoever has the file, through fork, exec and loans.
#pragma once

#include <bsd/file.hpp>
#include <bsd/posix_timer.hpp>

namespace lentil {

/// A file whose timer is off. `clock` is monotonic or realtime; `flags`: open_flags::nonblock or 0. nomem.
Result<RefPtr<File>> timerfd_create(TimerClock clock, uint32_t flags);
/// inval if `file` is no timerfd.
Result<TimerValue> timerfd_get(File& file);
/// Returns what was set before. Expiries that nobody read are forgotten.
Result<TimerValue> timerfd_set(File& file, bool absolute, const TimerValue& value);

} // namespace lentil

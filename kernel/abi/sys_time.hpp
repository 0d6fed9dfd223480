// SPDX-License-Identifier: BSD-2-Clause
// Handlers of the time calls; the signatures are the ABI.
#pragma once

#include <abi/linux_time.hpp>
#include <abi/syscall.hpp>

namespace lentil::abi {

Result<void> sys_nanosleep(UserPtr<Timespec> request, UserPtr<Timespec> left);
Result<void> sys_clock_settime(int32_t clock, UserPtr<Timespec> time);
Result<void> sys_clock_gettime(int32_t clock, UserPtr<Timespec> out);
Result<void> sys_clock_getres(int32_t clock, UserPtr<Timespec> out);
Result<void> sys_clock_nanosleep(int32_t clock, uint32_t flags, UserPtr<Timespec> request, UserPtr<Timespec> left);
Result<int64_t> sys_times(UserPtr<Tms> out);
Result<void> sys_gettimeofday(UserPtr<Timeval> out, UserPtr<Timezone> zone);
Result<void> sys_settimeofday(UserPtr<Timeval> time, UserPtr<Timezone> zone);

// -- timers (sys_timer.cpp) ------------------------------------------------------------------------------------------------
Result<int> sys_timerfd_create(int32_t clock, uint32_t flags);
Result<void> sys_timerfd_settime(int fd, uint32_t flags, UserPtr<Itimerspec> value, UserPtr<Itimerspec> old);
Result<void> sys_timerfd_gettime(int fd, UserPtr<Itimerspec> out);
Result<void> sys_timer_create(int32_t clock, UserPtr<Sigevent> event, UserPtr<int32_t> id);
Result<void> sys_timer_gettime(int32_t id, UserPtr<Itimerspec> out);
Result<int32_t> sys_timer_getoverrun(int32_t id);
Result<void> sys_timer_settime(int32_t id, uint32_t flags, UserPtr<Itimerspec> value, UserPtr<Itimerspec> old);
Result<void> sys_timer_delete(int32_t id);

/// Now on a clock of clock_gettime: inval for an unknown clock, or one of a process that is not there.
Result<nanos_t> read_clock(int32_t clock);

} // namespace lentil::abi

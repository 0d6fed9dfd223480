// SPDX-License-Identifier: BSD-2-Clause
// POSIX timers and timerfd.
#include <abi/files.hpp>
#include <abi/sys_time.hpp>
#include <bsd/posix_timer.hpp>
#include <bsd/timerfd.hpp>

namespace lentil::abi {
namespace {

struct ClockChoice {
    TimerClock clock = TimerClock::monotonic;
    RefPtr<Uthread> thread; ///< for thread_cpu
};

/// The clock of a timer. opnotsupp for those that only tell the time, inval for the CPU clocks of other processes.
Result<ClockChoice> timer_clock(int32_t clock) {
    ClockChoice choice;
    switch (clock) {
    case clock_id::realtime:
    case clock_id::tai: choice.clock = TimerClock::realtime; return choice;
    case clock_id::monotonic:
    case clock_id::boottime: return choice;
    case clock_id::process_cpu: choice.clock = TimerClock::process_cpu; return choice;
    case clock_id::thread_cpu:
        choice.clock = TimerClock::thread_cpu;
        choice.thread = ref(current_uthread());
        return choice;
    case clock_id::monotonic_raw:
    case clock_id::realtime_coarse:
    case clock_id::monotonic_coarse:
    case clock_id::realtime_alarm: // no clock here wakes a machine that sleeps
    case clock_id::boottime_alarm: return Errno::opnotsupp;
    default: break;
    }
    if (clock >= 0)
        return Errno::inval;
    // ~id << 3 | kind, bit 2 for a thread; 2 is the clock of all CPU time, which 0 is too
    const pid_t id = ~(clock >> 3);
    const uint32_t kind = static_cast<uint32_t>(clock) & 3;
    if (kind != 2 && kind != 0)
        return Errno::inval;
    if (!(clock & 4)) {
        if (id != 0 && id != current_proc().pid)
            return Errno::inval;
        choice.clock = TimerClock::process_cpu;
        return choice;
    }
    choice.clock = TimerClock::thread_cpu;
    choice.thread = id == 0 ? ref(current_uthread()) : uthread_find(id);
    if (!choice.thread || choice.thread->proc != &current_proc())
        return Errno::inval;
    return choice;
}

Result<TimerNotice> timer_notice(const Sigevent& event) {
    TimerNotice notice;
    notice.signo = event.signo;
    notice.value = event.value;
    switch (event.notify) {
    case sigev::none: notice.sends_signal = false; return notice;
    case sigev::thread_id:
        notice.target = uthread_find(event.thread_id);
        if (!notice.target || notice.target->proc != &current_proc())
            return Errno::inval;
        [[fallthrough]];
    case sigev::signal:
    case sigev::thread:
        if (!is_signal(event.signo))
            return Errno::inval;
        return notice;
    default: return Errno::inval;
    }
}

Result<TimerValue> value_from(const Itimerspec& spec) {
    const nanos_t interval = TRY(spec.interval.to_ns());
    const nanos_t value = TRY(spec.value.to_ns());
    return TimerValue{interval, value};
}
Itimerspec to_spec(const TimerValue& value) {
    return {Timespec::from_ns(value.interval_ns), Timespec::from_ns(value.value_ns)};
}

} // namespace

Result<void> sys_timer_create(int32_t clock, UserPtr<Sigevent> event, UserPtr<int32_t> id) {
    ClockChoice choice = TRY(timer_clock(clock));
    TimerNotice notice;
    notice.value_is_id = true;
    if (event) {
        const Sigevent wanted = TRY(event.read());
        notice = TRY(timer_notice(wanted));
    }
    const int32_t made = TRY(posix_timer_create(choice.clock, std::move(choice.thread), std::move(notice)));
    if (Result<void> written = id.write(made); !written.ok()) {
        (void)posix_timer_delete(made);
        return written;
    }
    return {};
}

Result<void> sys_timer_gettime(int32_t id, UserPtr<Itimerspec> out) {
    const TimerValue value = TRY(posix_timer_get(id));
    return out.write(to_spec(value));
}

Result<int32_t> sys_timer_getoverrun(int32_t id) { return posix_timer_overrun(id); }

Result<void> sys_timer_settime(int32_t id, uint32_t flags, UserPtr<Itimerspec> value, UserPtr<Itimerspec> old) {
    if (!value)
        return Errno::inval;
    const Itimerspec spec = TRY(value.read());
    const TimerValue wanted = TRY(value_from(spec));
    const TimerValue before = TRY(posix_timer_set(id, flags & timer_abstime, wanted));
    if (old)
        TRY(old.write(to_spec(before)));
    return {};
}

Result<void> sys_timer_delete(int32_t id) { return posix_timer_delete(id); }

Result<int> sys_timerfd_create(int32_t clock, uint32_t flags) {
    if (flags & ~(open_flags::cloexec | open_flags::nonblock))
        return Errno::inval;
    TimerClock kind = TimerClock::monotonic;
    switch (clock) {
    case clock_id::realtime: kind = TimerClock::realtime; break;
    case clock_id::monotonic:
    case clock_id::boottime: break;
    case clock_id::realtime_alarm:
    case clock_id::boottime_alarm: return Errno::opnotsupp;
    default: return Errno::inval;
    }
    return install_file(TRY(timerfd_create(kind, clock, flags & open_flags::nonblock)), flags & open_flags::cloexec);
}

Result<void> sys_timerfd_settime(int fd, uint32_t flags, UserPtr<Itimerspec> value, UserPtr<Itimerspec> old) {
    const Itimerspec spec = TRY(value.read());
    if (flags & ~(timerfd_flags::absolute | timerfd_flags::cancel_on_set))
        return Errno::inval;
    const TimerValue wanted = TRY(value_from(spec));
    const FileHold file = TRY(open_file(fd));
    const TimerValue before = TRY(timerfd_set(*file, flags, wanted));
    if (old)
        TRY(old.write(to_spec(before)));
    return {};
}

Result<void> sys_timerfd_gettime(int fd, UserPtr<Itimerspec> out) {
    const FileHold file = TRY(open_file(fd));
    const TimerValue value = TRY(timerfd_get(*file));
    return out.write(to_spec(value));
}

} // namespace lentil::abi

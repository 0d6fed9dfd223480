// SPDX-License-Identifier: BSD-2-Clause
// Clocks and sleeping.
#include <abi/sys_time.hpp>
#include <bsd/posix_timer.hpp>
#include <bsd/timerfd.hpp>
#include <sched/clock.hpp>

namespace lentil::abi {
namespace {

constexpr nanos_t coarse_resolution_ns = 4'000'000;

/// CPU clocks of other processes and threads: ~id << 3 | kind, bit 2 for a thread (clock_getcpuclockid(3)).
struct CpuClock {
    pid_t id;
    uint32_t kind; ///< 0 user + system, 1 user, 2 all
    bool of_thread;
};

CpuClock decode_cpu_clock(int32_t clock) { return {~(clock >> 3), static_cast<uint32_t>(clock) & 3, (clock & 4) != 0}; }

nanos_t pick(nanos_t user, nanos_t system, uint32_t kind) { return kind == 1 ? user : user + system; }

/// With proc_tree_lock held, or of the current uthread.
nanos_t uthread_time(const Uthread& uthread, uint32_t kind) {
    const Usage usage = uthread.usage_locked();
    return pick(usage.user, usage.system, kind);
}

nanos_t proc_time(const Proc& proc, uint32_t kind) {
    const Usage usage = proc.usage();
    return pick(usage.user, usage.system, kind);
}

Result<nanos_t> read_cpu_clock(int32_t clock) {
    const CpuClock c = decode_cpu_clock(clock);
    if (c.kind > 2)
        return Errno::inval;
    if (c.of_thread) {
        if (c.id == 0)
            return uthread_time(current_uthread(), c.kind);
        ProcTreeGuard guard(proc_tree_lock);
        const Uthread* uthread = uthread_find_locked(c.id);
        if (!uthread || uthread->proc != &current_proc())
            return Errno::inval;
        return uthread_time(*uthread, c.kind);
    }
    if (c.id == 0)
        return proc_time(current_proc(), c.kind);
    const RefPtr<Proc> proc = proc_find(c.id);
    if (!proc)
        return Errno::inval;
    return proc_time(*proc, c.kind);
}

nanos_t remaining(nanos_t deadline_ns) {
    const nanos_t left = deadline_ns - monotonic_ns();
    return left > 0 ? left : 0;
}

/// A relative sleep, at first and after a restart.
Result<void> sleep_relative(nanos_t deadline_ns, UserPtr<Timespec> left, Uthread::RestartBlock& block);

Result<uint64_t> sleep_again(Uthread::RestartBlock& block) {
    TRY(sleep_relative(static_cast<nanos_t>(block.args[0]), UserPtr<Timespec>(block.args[1]), block));
    return uint64_t{0};
}

Result<void> sleep_relative(nanos_t deadline_ns, UserPtr<Timespec> left, Uthread::RestartBlock& block) {
    if (sleep_until(deadline_ns, "nanosleep") == WaitResult::timed_out)
        return {};
    const nanos_t rest = remaining(deadline_ns);
    if (rest == 0)
        return {};
    if (left)
        TRY(left.write(Timespec::from_ns(rest)));
    block.function = &sleep_again;
    block.args[0] = static_cast<uint64_t>(deadline_ns);
    block.args[1] = left.address();
    return Errno::restart_block;
}

void set_wall_clock(nanos_t now) {
    set_realtime_ns(now);
    posix_timers_clock_set();
    timerfds_clock_set();
}

/// Until the wall clock shows `time`, however often it is set.
WaitResult sleep_until_realtime(nanos_t time) {
    for (;;) {
        const uint32_t settings = realtime_settings();
        const WaitResult result = wait_until(
            realtime_waitq(), "nanosleep", [settings] { return realtime_settings() != settings; }, Interruptible::yes,
            monotonic_at_realtime(time));
        if (result != WaitResult::awoken)
            return result;
    }
}

nanos_t deadline_after(nanos_t span) {
    const nanos_t now = monotonic_ns();
    return span < no_deadline - now ? now + span : no_deadline;
}

} // namespace

Result<nanos_t> read_clock(int32_t clock) {
    switch (clock) {
    case clock_id::realtime:
    case clock_id::realtime_coarse:
    case clock_id::realtime_alarm:
    case clock_id::tai: return realtime_ns();
    case clock_id::monotonic:
    case clock_id::monotonic_raw:
    case clock_id::monotonic_coarse:
    case clock_id::boottime:
    case clock_id::boottime_alarm: return monotonic_ns();
    case clock_id::process_cpu: return proc_time(current_proc(), 2);
    case clock_id::thread_cpu: return uthread_time(current_uthread(), 2);
    default:
        if (clock >= 0)
            return Errno::inval;
        return read_cpu_clock(clock);
    }
}

Result<void> sys_clock_gettime(int32_t clock, UserPtr<Timespec> out) {
    return out.write(Timespec::from_ns(TRY(read_clock(clock))));
}

Result<void> sys_clock_getres(int32_t clock, UserPtr<Timespec> out) {
    TRY(read_clock(clock));
    if (!out)
        return {};
    const bool coarse = clock == clock_id::realtime_coarse || clock == clock_id::monotonic_coarse;
    return out.write(Timespec::from_ns(coarse ? coarse_resolution_ns : 1));
}

Result<void> sys_clock_settime(int32_t clock, UserPtr<Timespec> time) {
    const Timespec wanted = TRY(time.read());
    if (clock != clock_id::realtime)
        return Errno::inval;
    const nanos_t now = TRY(wanted.to_ns());
    if (!current_proc().cred()->capable(Capability::sys_time))
        return Errno::perm;
    set_wall_clock(now);
    return {};
}

Result<void> sys_nanosleep(UserPtr<Timespec> request, UserPtr<Timespec> left) {
    const Timespec wanted = TRY(request.read());
    const nanos_t span = TRY(wanted.to_ns());
    return sleep_relative(deadline_after(span), left, current_uthread().restart);
}

Result<void> sys_clock_nanosleep(int32_t clock, uint32_t flags, UserPtr<Timespec> request, UserPtr<Timespec> left) {
    bool realtime = false;
    switch (clock) {
    case clock_id::realtime:
    case clock_id::realtime_alarm:
    case clock_id::tai: realtime = true; break;
    case clock_id::monotonic:
    case clock_id::boottime:
    case clock_id::boottime_alarm: break;
    case clock_id::process_cpu: // no sleeping on CPU time here
    case clock_id::monotonic_raw:
    case clock_id::realtime_coarse:
    case clock_id::monotonic_coarse: return Errno::opnotsupp;
    default: return Errno::inval;
    }
    if (flags & ~uint32_t{timer_abstime})
        return Errno::inval;
    const Timespec wanted = TRY(request.read());
    const nanos_t time = TRY(wanted.to_ns());
    if (!(flags & timer_abstime))
        return sleep_relative(deadline_after(time), left, current_uthread().restart);
    if ((realtime ? sleep_until_realtime(time) : sleep_until(time, "nanosleep")) == WaitResult::timed_out)
        return {};
    return Errno::restart_nohand;
}

Result<int64_t> sys_times(UserPtr<Tms> out) {
    if (out) {
        Proc& proc = current_proc();
        const Usage own = proc.usage();
        Usage children;
        {
            ProcTreeGuard guard(proc_tree_lock);
            children = proc.children_usage;
        }
        TRY(out.write({own.user / ns_per_tick, own.system / ns_per_tick, children.user / ns_per_tick,
                       children.system / ns_per_tick}));
    }
    return monotonic_ns() / ns_per_tick;
}

Result<void> sys_gettimeofday(UserPtr<Timeval> out, UserPtr<Timezone> zone) {
    if (out)
        TRY(out.write(Timeval::from_ns(realtime_ns())));
    if (zone)
        TRY(zone.write({0, 0}));
    return {};
}

Result<void> sys_settimeofday(UserPtr<Timeval> time, UserPtr<Timezone> zone) {
    nanos_t now = 0;
    if (time) {
        const Timeval wanted = TRY(time.read());
        if (wanted.microseconds < 0 || wanted.microseconds >= 1'000'000)
            return Errno::inval;
        const Timespec spec{wanted.seconds, wanted.microseconds * 1000};
        now = TRY(spec.to_ns());
    }
    if (zone)
        TRY(zone.read()); // kept nowhere: local time is the C library's business
    if (!current_proc().cred()->capable(Capability::sys_time))
        return Errno::perm;
    if (time)
        set_wall_clock(now);
    return {};
}

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// Interval timers. Those on CPU time need no tick: a callout looks again when the proc could have used up what was left
// if all its uthreads had run all the time.
#include <algorithm>

#include <bsd/itimer.hpp>
#include <sched/clock.hpp>

namespace lentil {

namespace {

using TimerGuard = SpinGuard<Rank::signal>; // timers share the lock of the signals they send

constexpr nanos_t least_look_ns = 1'000'000;
constexpr nanos_t second_ns = 1'000'000'000;

void real_timer_fired(void* arg) {
    Proc& proc = *static_cast<Proc*>(arg);
    signal_send_kernel(proc, sig_alrm);
    TimerGuard guard(proc.sig.lock);
    IntervalTimer& timer = proc.real_timer;
    if (timer.interval_ns == 0)
        return;
    nanos_t next = timer.callout.deadline_ns() + timer.interval_ns;
    if (const nanos_t now = monotonic_ns(); next <= now) // late: what was missed is missed
        next += (now - next) / timer.interval_ns * timer.interval_ns + timer.interval_ns;
    timer.callout.arm(next);
}

struct CpuClocks {
    nanos_t user = 0, total = 0;
    unsigned uthreads = 1;
};

CpuClocks cpu_clocks(const Proc& proc) {
    const Usage usage = proc.usage();
    return {usage.user, usage.user + usage.system, std::max(1U, proc.living_uthreads())};
}

/// Whether `timer` expired on a clock that shows `now`; then it is set for its next period.
bool expired(Proc::CpuTimer& timer, nanos_t now) {
    if (timer.expires_ns == 0 || now < timer.expires_ns)
        return false;
    timer.expires_ns = timer.interval_ns == 0 ? 0 : now + timer.interval_ns;
    return true;
}

/// When SIGXCPU comes first, on the clock of all CPU time; 0: never.
nanos_t first_limit(const LimitValue& limit) {
    constexpr uint64_t most_seconds = static_cast<uint64_t>(no_deadline / second_ns);
    return limit.soft > most_seconds ? 0 : std::max(static_cast<nanos_t>(limit.soft), nanos_t{1}) * second_ns;
}

/// Arms the callout for the nearest of all deadlines on CPU time. Signal lock held.
void arm_cpu_callout(Proc& proc, const CpuClocks& clocks) {
    nanos_t left = no_deadline;
    if (proc.virtual_timer.expires_ns != 0)
        left = std::min(left, proc.virtual_timer.expires_ns - clocks.user);
    if (proc.prof_timer.expires_ns != 0)
        left = std::min(left, proc.prof_timer.expires_ns - clocks.total);
    if (proc.cpu_limit_next_ns != 0)
        left = std::min(left, proc.cpu_limit_next_ns - clocks.total);
    if (left != no_deadline)
        proc.cpu_callout.arm(monotonic_ns() + std::max(left / clocks.uthreads, least_look_ns));
}

void cpu_callout_fired(void* arg) {
    Proc& proc = *static_cast<Proc*>(arg);
    const CpuClocks clocks = cpu_clocks(proc);
    const LimitValue limit = proc.limit(Limit::cpu);
    bool send_virtual = false, send_prof = false, send_limit = false;
    {
        TimerGuard guard(proc.sig.lock);
        if (proc.sig.group_exit)
            return;
        send_virtual = expired(proc.virtual_timer, clocks.user);
        send_prof = expired(proc.prof_timer, clocks.total);
        if (proc.cpu_limit_next_ns != 0 && clocks.total >= proc.cpu_limit_next_ns) {
            send_limit = true;
            proc.cpu_limit_next_ns += second_ns; // SIGXCPU again every second, until the hard limit kills
        }
        arm_cpu_callout(proc, clocks);
    }
    if (send_virtual)
        signal_send_kernel(proc, sig_vtalrm);
    if (send_prof)
        signal_send_kernel(proc, sig_prof);
    if (send_limit) {
        const bool hard = limit.hard != limit_infinity && clocks.total / second_ns >= static_cast<nanos_t>(limit.hard);
        signal_send_kernel(proc, hard ? sig_kill : sig_xcpu);
    }
}

} // namespace

ItimerValue itimer_get(Proc& proc, Itimer which) {
    const CpuClocks clocks = which == Itimer::real ? CpuClocks{} : cpu_clocks(proc);
    TimerGuard guard(proc.sig.lock);
    ItimerValue value;
    if (which == Itimer::real) {
        value.interval_ns = proc.real_timer.interval_ns;
        // A timer that is due but has not fired yet still counts as running.
        if (proc.real_timer.callout.is_armed())
            value.left_ns = std::max<nanos_t>(proc.real_timer.callout.deadline_ns() - monotonic_ns(), 1000);
        return value;
    }
    const Proc::CpuTimer& timer = which == Itimer::virtual_time ? proc.virtual_timer : proc.prof_timer;
    value.interval_ns = timer.interval_ns;
    if (timer.expires_ns != 0)
        value.left_ns =
            std::max<nanos_t>(timer.expires_ns - (which == Itimer::virtual_time ? clocks.user : clocks.total), 1000);
    return value;
}

ItimerValue itimer_set(Proc& proc, Itimer which, ItimerValue value) {
    const ItimerValue old = itimer_get(proc, which);
    if (which == Itimer::real) {
        {
            TimerGuard guard(proc.sig.lock);
            proc.real_timer.interval_ns = 0; // one that fires meanwhile does not arm itself again
        }
        proc.real_timer.callout.cancel();
        TimerGuard guard(proc.sig.lock);
        if (value.left_ns != 0) {
            proc.real_timer.interval_ns = value.interval_ns;
            const nanos_t now = monotonic_ns();
            proc.real_timer.callout.arm(value.left_ns > no_deadline - now ? no_deadline - 1 : now + value.left_ns);
        }
        return old;
    }
    const CpuClocks clocks = cpu_clocks(proc);
    TimerGuard guard(proc.sig.lock);
    Proc::CpuTimer& timer = which == Itimer::virtual_time ? proc.virtual_timer : proc.prof_timer;
    const nanos_t now = which == Itimer::virtual_time ? clocks.user : clocks.total;
    timer.interval_ns = value.left_ns == 0 ? 0 : value.interval_ns;
    timer.expires_ns = value.left_ns == 0 ? 0 : value.left_ns > no_deadline - now ? no_deadline : now + value.left_ns;
    arm_cpu_callout(proc, clocks);
    return old;
}

void itimer_prepare(Proc& proc) {
    proc.real_timer.callout.init(real_timer_fired, &proc);
    proc.cpu_callout.init(cpu_callout_fired, &proc);
}

void itimer_renew(Proc& proc) {
    proc.timers_ended = false;
    proc.cpu_limit_next_ns = 0;
    for (Callout* callout : {&proc.real_timer.callout, &proc.cpu_callout})
        callout->renew();
}

void itimer_init(Proc& proc) {
    proc.cpu_limit_next_ns = first_limit(proc.limit(Limit::cpu));
    if (proc.cpu_limit_next_ns != 0) {
        TimerGuard guard(proc.sig.lock);
        arm_cpu_callout(proc, CpuClocks{});
    }
}

void itimer_cpu_limit_changed(Proc& proc) {
    const LimitValue limit = proc.limit(Limit::cpu);
    const CpuClocks clocks = cpu_clocks(proc);
    TimerGuard guard(proc.sig.lock);
    if (proc.timers_ended)
        return;
    proc.cpu_limit_next_ns = first_limit(limit);
    arm_cpu_callout(proc, clocks);
}

void itimer_exit(Proc& proc) {
    {
        TimerGuard guard(proc.sig.lock);
        proc.real_timer.interval_ns = 0;
        proc.virtual_timer = proc.prof_timer = {};
        proc.cpu_limit_next_ns = 0;
        proc.timers_ended = true;
    }
    for (Callout* callout : {&proc.real_timer.callout, &proc.cpu_callout})
        if (callout->was_armed())
            callout->cancel();
}

} // namespace lentil

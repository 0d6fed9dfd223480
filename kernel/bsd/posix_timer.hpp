// SPDX-License-Identifier: BSD-2-Clause
// POSIX timers (timer_create): they belong to the proc that made them, so a borrower's are its own; fork inherits none,
// exec and exit delete them.
#pragma once

#include <bsd/proc.hpp>

namespace lentil {

/// A moment and a period on one clock: when something expires next. Plain arithmetic.
struct Expiry {
    nanos_t at_ns = 0;       ///< 0: disarmed; negative: before the clock's beginning
    nanos_t interval_ns = 0; ///< 0: once

    static Expiry at(nanos_t moment, nanos_t interval) { return {moment == 0 ? 1 : moment, interval}; }
    bool armed() const { return at_ns != 0; }
    /// For a callout, which does not know such times.
    nanos_t deadline_ns() const { return at_ns < 1 ? 1 : at_ns; }
    /// It expired by `now`: moves on to its first expiry after `now`, or disarms. Returns how many expiries there were.
    uint64_t pass(nanos_t now) {
        if (interval_ns == 0) {
            at_ns = 0;
            return 1;
        }
        const nanos_t periods = (now - at_ns) / interval_ns + 1;
        const nanos_t room = at_ns < 0 ? no_deadline : no_deadline - at_ns;
        at_ns = interval_ns > room / periods ? no_deadline : at_ns + periods * interval_ns;
        return static_cast<uint64_t>(periods);
    }
    /// The clock that it follows was set: it comes `by` later.
    void shift(nanos_t by) {
        if (!armed())
            return;
        *this = at(by > 0 && at_ns > no_deadline - by ? no_deadline : at_ns + by, interval_ns);
    }
    /// Time left; 1 ns at least while armed, as POSIX has it. A period that ends unseen goes on.
    nanos_t left(nanos_t now) const;
};

enum class TimerClock : uint32_t { monotonic, realtime, process_cpu, thread_cpu };

struct TimerNotice {
    bool sends_signal = true;
    int32_t signo = sig_alrm;
    uint64_t value = 0;
    bool value_is_id = false; ///< the timer's own number instead of `value`
    RefPtr<Uthread> target;   ///< nullptr: the proc
};

struct TimerValue {
    nanos_t interval_ns = 0;
    nanos_t value_ns = 0; ///< until it expires, or (absolute) when; 0: off
};

/// All of these are about the current proc. inval for an id that is not there.
///
/// A timer that is off, its id. `cpu_of`: whose clock, for thread_cpu. again if RLIMIT_SIGPENDING is used up, nomem.
Result<int32_t> posix_timer_create(TimerClock clock, RefPtr<Uthread> cpu_of, TimerNotice notice);
Result<TimerValue> posix_timer_get(int32_t id);
/// Returns what was set before.
Result<TimerValue> posix_timer_set(int32_t id, bool absolute, const TimerValue& value);
/// Expiries that the signal last taken stands for, besides its own.
Result<int32_t> posix_timer_overrun(int32_t id);
Result<void> posix_timer_delete(int32_t id);
/// The wall clock was set: absolute timers on it expire by what it shows now. No lock held.
void posix_timers_clock_set();
/// exec and exit: deletes them all. No lock held.
void posix_timers_end(Proc& proc);

} // namespace lentil

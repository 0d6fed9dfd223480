// SPDX-License-Identifier: BSD-2-Clause
// POSIX timers (timer_create): they belong to the proc that made them, so a borrower's are its own; fork inherits none,
// exec and exit delete them.
#pragma once

#include <bsd/proc.hpp>

namespace lentil {

/// A moment and a period on one clock: when something expires next. Plain arithmetic.
struct Expiry {
    nanos_t at_ns = 0;       ///< 0: disarmed
    nanos_t interval_ns = 0; ///< 0: once

    bool armed() const { return at_ns != 0; }
    /// It expired by `now`: moves on to its first expiry after `now`, or disarms. Returns how many expiries there were.
    uint64_t pass(nanos_t now) {
        if (interval_ns == 0) {
            at_ns = 0;
            return 1;
        }
        const nanos_t periods = (now - at_ns) / interval_ns + 1;
        at_ns = interval_ns > (no_deadline - at_ns) / periods ? no_deadline : at_ns + periods * interval_ns;
        return static_cast<uint64_t>(periods);
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
/// exec and exit: deletes them all. No lock held.
void posix_timers_end(Proc& proc);

} // namespace lentil

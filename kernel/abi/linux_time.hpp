// SPDX-License-Identifier: BSD-2-Clause
// Linux riscv64 structures of time, as user mode lays them out (asm-generic, 64-bit).
#pragma once

#include <bsd/limits.hpp>
#include <libkern/result.hpp>
#include <libkern/types.hpp>

namespace lentil::abi {

inline constexpr nanos_t ns_per_second = 1'000'000'000;

struct Timespec {
    int64_t seconds, nanoseconds;

    /// A time limit or sleep: inval unless 0 <= ns < 1 s and seconds >= 0. Saturates far in the future.
    Result<nanos_t> to_ns() const {
        if (seconds < 0 || nanoseconds < 0 || nanoseconds >= ns_per_second)
            return Errno::inval;
        if (seconds >= no_deadline / ns_per_second)
            return no_deadline;
        return seconds * ns_per_second + nanoseconds;
    }
    /// Rounds towards the past, so that nanoseconds are never negative.
    static constexpr Timespec from_ns(nanos_t ns) {
        int64_t s = ns / ns_per_second, rest = ns % ns_per_second;
        if (rest < 0)
            s--, rest += ns_per_second;
        return {s, rest};
    }
};
static_assert(sizeof(Timespec) == 16);

struct Timeval {
    int64_t seconds, microseconds;
    static constexpr Timeval from_ns(nanos_t ns) {
        const Timespec t = Timespec::from_ns(ns);
        return {t.seconds, t.nanoseconds / 1000};
    }
};
static_assert(sizeof(Timeval) == 16);

struct Timezone {
    int32_t minutes_west, dst_time;
};

struct Itimerspec {
    Timespec interval, value;
};
static_assert(sizeof(Itimerspec) == 32);

/// struct sigevent: how a timer tells.
struct Sigevent {
    uint64_t value;
    int32_t signo, notify;
    int32_t thread_id; ///< SIGEV_THREAD_ID
    uint8_t room[44];
};
static_assert(sizeof(Sigevent) == 64);
namespace sigev {
inline constexpr int32_t signal = 0, none = 1, thread = 2, thread_id = 4; ///< thread: the C library's business
}

/// times(2), in ticks of 1/100 s.
struct Tms {
    int64_t utime, stime, cutime, cstime;
};
inline constexpr nanos_t ns_per_tick = 10'000'000;

struct Rusage {
    Timeval utime, stime;
    int64_t maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv, nsignals, nvcsw,
        nivcsw;

    static constexpr Rusage from(const Usage& u) {
        auto n = [](uint64_t v) { return static_cast<int64_t>(v); };
        Rusage r{};
        r.utime = Timeval::from_ns(u.user), r.stime = Timeval::from_ns(u.system);
        r.maxrss = n(u.max_resident_bytes / 1024);
        r.minflt = n(u.minor_faults), r.majflt = n(u.major_faults);
        r.inblock = n(u.blocks_in), r.oublock = n(u.blocks_out);
        r.nvcsw = n(u.voluntary_switches), r.nivcsw = n(u.involuntary_switches);
        return r;
    }
};
static_assert(sizeof(Rusage) == 144);

namespace clock_id {
inline constexpr int32_t realtime = 0, monotonic = 1, process_cpu = 2, thread_cpu = 3, monotonic_raw = 4,
                         realtime_coarse = 5, monotonic_coarse = 6, boottime = 7, realtime_alarm = 8,
                         boottime_alarm = 9, tai = 11;
}
inline constexpr int32_t timer_abstime = 1;

} // namespace lentil::abi

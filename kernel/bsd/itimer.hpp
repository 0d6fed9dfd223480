// SPDX-License-Identifier: BSD-2-Clause
// Interval timers of a proc: real time, its CPU time in user mode, its whole CPU time; and RLIMIT_CPU.
#pragma once

#include <bsd/proc.hpp>

namespace lentil {

enum class Itimer : uint32_t { real = 0, virtual_time = 1, prof = 2 }; ///< Linux's numbers

struct ItimerValue {
    nanos_t interval_ns = 0;
    nanos_t left_ns = 0; ///< 0: off
};

ItimerValue itimer_get(Proc& proc, Itimer which);
/// Sets it and returns what was there. `proc` must not be ending.
ItimerValue itimer_set(Proc& proc, Itimer which, ItimerValue value);
/// A proc's timers as they are constructed, and so again for another life after itimer_exit().
void itimer_prepare(Proc& proc);
void itimer_renew(Proc& proc);
/// The birth of a proc, once nothing can fail any more: its timers are off (exec keeps them), its limit on CPU time is
/// watched. proc_tree_lock held.
void itimer_init(Proc& proc);
/// Whether that has anything to do, for one that was never born: its limits are nobody else's to change.
inline bool itimer_limits_cpu(const Proc& proc) { return (*proc.limits_)[Limit::cpu].soft != limit_infinity; }
/// RLIMIT_CPU changed.
void itimer_cpu_limit_changed(Proc& proc);
/// Exit: no timer fires any more when it returns. No lock held.
void itimer_exit(Proc& proc);

} // namespace lentil

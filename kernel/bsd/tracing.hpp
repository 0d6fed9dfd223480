// SPDX-License-Identifier: BSD-2-Clause
// The record of one traced uthread. Rules in bsd/ptrace.cpp and bsd/ptrace_stop.cpp.
#pragma once

#include <bsd/limits.hpp>
#include <bsd/signal_types.hpp>
#include <libkern/intrusive.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

struct Proc;
struct Uthread;

/// PTRACE_O_*: what else stops a tracee.
namespace trace_options {
inline constexpr uint32_t sysgood = 1, fork = 2, vfork = 4, clone = 8, exec = 0x10, vfork_done = 0x20, exit = 0x40,
                          exitkill = 0x100000;
inline constexpr uint32_t all = sysgood | fork | vfork | clone | exec | vfork_done | exit | exitkill;
} // namespace trace_options

/// PTRACE_EVENT_*; the option that asks for event n is bit n, except for `stop`.
namespace trace_events {
inline constexpr uint32_t none = 0, fork = 1, vfork = 2, clone = 3, exec = 4, vfork_done = 5, exit = 6, stop = 128;
}

enum class TraceStopKind : uint32_t {
    signal,        ///< signal-delivery-stop: the tracer chooses what is delivered
    group,         ///< the whole proc is stopped by a stop signal
    syscall_entry, ///< before a system call
    syscall_exit,  ///< after it
    event          ///< one of trace_events
};

/// One stop; lies on the kernel stack of the tracee that sleeps in it. Fields: proc_tree_lock and the proc's signal lock.
struct TraceStop {
    TraceStopKind kind = TraceStopKind::signal;
    int32_t code = 0;        ///< what wait4 reports in the bits from 8 on
    SigInfo info;            ///< PTRACE_GETSIGINFO; a signal-delivery-stop delivers it
    bool has_info = true;    ///< a group-stop of a tracee that was not seized has none
    bool over = false;       ///< the tracee may go on
    int32_t signo = 0;       ///< what the tracer wants delivered then
    bool fp_changed = false; ///< the tracer wrote floating-point registers
    bool unreported = true;  ///< wait4 has not seen it
    bool fatal_only = false; ///< sleeps on although the proc ends: PTRACE_EVENT_EXIT
};

/// How a tracee goes on.
enum class TraceResume : uint32_t { freely, syscall, step };

/// Exists from attach to detach, or until the tracer has waited for the end. A leader's outlives its uthread: it stands
/// for the whole proc then. Everything changes with proc_tree_lock and the signal lock of the tracee's proc held, so
/// either is enough to look.
struct Tracing {
    static constexpr const char* zone_name = "tracings";

    ListHook link;              ///< Proc::tracees of the tracer
    Proc* tracer = nullptr;     ///< any uthread of it may give orders
    Proc* proc = nullptr;       ///< whose uthread is traced; nullptr once a uthread that was not the leader ended
    Uthread* uthread = nullptr; ///< nullptr once it ended
    pid_t pid = 0, tid = 0, group = 0;
    uint32_t options = 0;
    bool seized = false;
    TraceResume resume = TraceResume::freely;
    TraceStop* stop = nullptr; ///< while stopped
    uint64_t message = 0;      ///< PTRACE_GETEVENTMSG

    /// What it must stop for on its way to user mode, bits of `trap_*`.
    uint32_t traps = 0;
    bool stop_seen = false; ///< it took part in the proc's present job-control stop
    bool listening = false; ///< PTRACE_LISTEN: stopped, but the tracer does not see it until something changes
    /// The tracer lent its thread to the tracee and cannot wait for it: no stops before exec (FB-09, EC-133).
    bool silent = false;

    // -- the end of a uthread that was not the leader, until the tracer waited for it
    bool ended = false;
    int32_t end_status = 0;
    uid_t end_uid = 0;
    Usage end_usage;

    static constexpr uint32_t trap_stop = 1, ///< PTRACE_INTERRUPT, and the first stop of a seized child
        trap_notify = 2,                     ///< a job-control stop began or ended
        trap_exec = 4,                       ///< SIGTRAP after exec, unless PTRACE_O_TRACEEXEC or seized
        trap_step = 8;                       ///< one instruction was executed

    bool is_leader() const { return pid == tid; }
    /// Whether wait4 of the tracer has a stop to report.
    bool reportable() const { return stop && stop->unreported && !listening; }
};

using TraceeList = List<Tracing, &Tracing::link>;

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// What the two sides of tracing share: bsd/ptrace.cpp (the tracer) and bsd/ptrace_stop.cpp (the tracee).
#pragma once

#include <bsd/ptrace.hpp>
#include <bsd/signal_impl.hpp>

namespace lentil::tracing {

using signals::SignalGuard;

/// Lets a stopped tracee go on; `signo` as for ptrace_resume. proc_tree_lock and the signal lock of its proc held.
void end_stop(Tracing& tracing, int32_t signo);
/// SIGCHLD for the tracer, and a look around for its waiters. proc_tree_lock held, no signal lock.
void tell_tracer(const Tracing& tracing, SigInfo info);

} // namespace lentil::tracing

// SPDX-License-Identifier: BSD-2-Clause
// Probes of system calls, and printing them on the console (`trace=syscalls`).
#pragma once

#include <abi/syscall.hpp>
#include <debug/trace.hpp>

namespace lentil::abi {

/// Whether somebody wants to know of system calls. One load and one branch.
inline bool trace_wanted() { return trace_state::any(trace_state::syscalls); }

/// The call with its arguments, before it runs: some never return.
void trace_entry(const machine::Trapframe& frame);
/// The result, as whoever the thread executes as then.
void trace_exit(int64_t number, const Result<uint64_t>& result, bool frame_replaced);

} // namespace lentil::abi

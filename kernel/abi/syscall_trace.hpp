// SPDX-License-Identifier: BSD-2-Clause
// Tracing of system calls on the console (`trace=syscalls`).
#pragma once

#include <abi/syscall.hpp>

namespace lentil::abi {

namespace trace_state {
extern std::atomic<uint32_t> enabled; ///< 0 or 1
}
bool trace_wanted_slow(const Uthread& uthread);

/// Whether calls of `uthread` are traced. One load while tracing is off.
inline bool trace_wanted(const Uthread& uthread) {
    return trace_state::enabled.load(std::memory_order_relaxed) != 0 && trace_wanted_slow(uthread);
}

/// Prints the call with its arguments, before it runs: some never return.
void trace_entry(const machine::Trapframe& frame);
/// Prints the result, as whoever the thread executes as then.
void trace_exit(int64_t number, const Result<uint64_t>& result, bool frame_replaced);

} // namespace lentil::abi

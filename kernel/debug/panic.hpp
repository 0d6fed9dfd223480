// SPDX-License-Identifier: BSD-2-Clause
// The kernel's last words. panic() itself is declared in libkern/assert.hpp.
#pragma once

#include <span>
#include <string_view>

#include <libkern/assert.hpp>
#include <machine/machine.hpp>

namespace lentil {

/// panic() about a trap in the kernel: the report has its cause and registers, and the backtrace starts there.
[[noreturn]] void panic_at(const machine::Trapframe& frame, std::string_view reason,
                           SourceLine where = {__builtin_FILE(), __builtin_LINE()});

/// Set by the layers above: writes who runs (process name and pid) into the buffer. May be called at any moment, so
/// it takes no lock.
using PanicDescriber = std::string_view (*)(std::span<char> buffer);
extern PanicDescriber panic_describe_process;

/// What the kernel is busy with, for a report where the backtrace says too little: `panic: REASON while ACTIVITY`.
extern const char* panic_activity;

namespace machine {

// What a report needs from the arch.

/// Halts all other harts for good; waits a moment for them. Returns how many did not answer.
unsigned stop_other_harts();
/// Prints the cause of a trap in words and the registers by name.
void print_trap(const Trapframe& frame);
/// Return addresses of the callers, innermost first; from `frame`, or from the caller if there is none.
/// Returns how many it wrote.
size_t backtrace(const Trapframe* frame, std::span<vaddr_t> to);

} // namespace machine
} // namespace lentil

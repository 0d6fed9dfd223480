// SPDX-License-Identifier: BSD-2-Clause
#include <riscv/report.hpp>

#include <libkern/assert.hpp>
#include <libkern/format.hpp>

namespace lentil::machine {

void panic_trap(Trapframe& frame, std::string_view reason, std::source_location where) {
    kprint("\ncause {:#x} at {:#x} value {:#x}\n", frame.scause, frame.sepc, frame.stval);
    panic(reason, where);
}

} // namespace lentil::machine

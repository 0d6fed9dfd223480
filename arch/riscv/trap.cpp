// SPDX-License-Identifier: BSD-2-Clause
// What a trap was, and who answers it.
#include <machine/machine.hpp>

#include <libkern/assert.hpp>
#include <libkern/format.hpp>

namespace lentil::machine {

extern "C" void riscv_user_trap(Trapframe&) { panic("user trap"); }
extern "C" void riscv_prepare_user(Trapframe&) {}
extern "C" void riscv_kernel_trap(Trapframe& frame) {
    kprint("cause {:#x} at {:#x} value {:#x}\n", frame.scause, frame.sepc, frame.stval);
    panic("kernel trap");
}
extern "C" void riscv_stack_overflow(Trapframe&) { panic("kernel stack overflow"); }

} // namespace lentil::machine

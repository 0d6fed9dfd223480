// SPDX-License-Identifier: BSD-2-Clause
// The interrupt file of the running hart (Advanced Interrupt Architecture 1.0, section 3.8), behind its indirect registers.
#include <riscv/csr.hpp>

#include <machine/message_interrupts.hpp>

namespace lentil::machine {

namespace {

using riscv::Csr;

enum Indirect : uint64_t { delivery = 0x70, threshold = 0x72, enabled = 0xc0 };

void write_indirect(uint64_t number, uint64_t value) {
    riscv::csr_write<Csr::siselect>(number);
    riscv::csr_write<Csr::sireg>(value);
}

} // namespace

void message_interrupts_init() {
    write_indirect(threshold, 0); // none: every identity
    write_indirect(delivery, 1);
}

void message_interrupt_enable(uint32_t identity) {
    // Registers of 64 bits have even numbers only, one for each 32 identities.
    riscv::csr_write<Csr::siselect>(enabled + identity / 64 * 2);
    riscv::csr_set<Csr::sireg>(uint64_t{1} << identity % 64);
}

uint32_t message_interrupt_take() {
    uint64_t top;
    asm volatile("csrrw %0, %1, zero" : "=r"(top) : "i"(static_cast<unsigned>(Csr::stopei)) : "memory");
    return static_cast<uint32_t>(top >> 16) & 0x7ff;
}

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// Inter-processor interrupts: a word of reasons per hart, the firmware's IPI to make it look.
#include <riscv/hart.hpp>
#include <riscv/sbi.hpp>

namespace lentil::machine {

void ipi_send(HartSet targets, Ipi reason) {
    HartSet silent; // those that have no IPI under way already
    targets.for_each([&](unsigned h) {
        if (hart_table[h].ipi_pending.fetch_or(static_cast<uint32_t>(reason), std::memory_order_acq_rel) == 0)
            silent.add(h);
    });
    if (!silent.empty())
        sbi::send_ipi(silent);
}

void ipi_receive() {
    riscv::csr_clear<riscv::Csr::sip>(1 << riscv::irq_software); // before the look, so that no reason is lost
    const uint32_t reasons = this_hart().ipi_pending.exchange(0, std::memory_order_acq_rel);
    if (reasons & static_cast<uint32_t>(Ipi::halt))
        halt_forever();
    if (reasons != 0 && hooks.ipi)
        hooks.ipi(static_cast<Ipi>(reasons));
}

void halt_forever() {
    irq_disable();
    riscv::csr_write<riscv::Csr::sie>(0);
    online_harts.remove(hart_index());
    for (;;)
        wait_for_interrupt();
}

} // namespace lentil::machine

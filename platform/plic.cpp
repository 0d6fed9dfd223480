// SPDX-License-Identifier: BSD-2-Clause
// The platform-level interrupt controller (RISC-V PLIC specification 1.0). Every interrupt goes to one hart's supervisor
// context: the boot hart's, or the next one's that has such a context.
#include <platform/driver.hpp>

namespace lentil::platform {

namespace {

constexpr uint64_t enable_base = 0x2000, enable_stride = 0x80;
constexpr uint64_t context_base = 0x200000, context_stride = 0x1000, claim_offset = 4;
constexpr uint32_t most_sources = 1023;

constinit Mmio registers;
constinit uint32_t sources = 0;
constinit unsigned target_context = 0;

uint64_t context_register(uint64_t offset) { return context_base + target_context * context_stride + offset; }

bool enable(uint32_t number, uint32_t) {
    if (number > sources)
        return false;
    registers.write32(4 * number, 1);
    const uint64_t word = enable_base + target_context * enable_stride + number / 32 * 4;
    registers.write32(word, registers.read32(word) | 1u << number % 32);
    return true;
}

void handle() {
    while (const uint32_t number = registers.read32(context_register(claim_offset))) {
        interrupt_dispatch(number);
        registers.write32(context_register(claim_offset), number);
    }
}

} // namespace

const char* plic_probe(Node node) {
    const auto mmio = registers_of(node, 0, context_base + context_stride);
    const auto count = node.cell("riscv,ndev");
    if (!mmio || !node.phandle() || !count)
        return "bad device tree node (reg, phandle or riscv,ndev)";
    // Context n is entry n of this list: which interrupt of which hart's controller it drives.
    std::optional<unsigned> found;
    const unsigned contexts = node.cell_count("interrupts-extended") / 2;
    for (unsigned c = 0; c < contexts; c++) {
        if (node.cell("interrupts-extended", 2 * c + 1) != supervisor_external)
            continue;
        const auto hart = hart_of_controller(*node.cell("interrupts-extended", 2 * c));
        if (hart && (!found || *hart == machine::boot_info.boot_hart) &&
            mmio->size() >= context_base + (c + 1) * context_stride)
            found = c;
    }
    if (!found)
        return "no supervisor context for any hart of ours";
    if (const char* complaint = interrupt_controller_offer(node, {enable, handle}))
        return complaint;
    registers = *mmio;
    sources = *count < most_sources ? *count : most_sources;
    target_context = *found;
    for (uint32_t i = 1; i <= sources; i++)
        registers.write32(4 * i, 0);
    for (uint32_t i = 0; i <= sources / 32; i++)
        registers.write32(enable_base + target_context * enable_stride + 4 * i, 0);
    registers.write32(context_register(0), 0); // threshold: everything with a priority
    return nullptr;
}

} // namespace lentil::platform

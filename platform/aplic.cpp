// SPDX-License-Identifier: BSD-2-Clause
// The advanced platform-level interrupt controller (RISC-V Advanced Interrupt Architecture 1.0, chapter 4) of the supervisor,
// delivering to harts directly. All interrupts go to one hart, as plic.cpp does.
#include <platform/driver.hpp>

namespace lentil::platform {

namespace {

constexpr uint64_t domain_config = 0, source_config = 0x4, set_enable_number = 0x1edc, clear_enable = 0x1f00,
                   target = 0x3004;
constexpr uint64_t delivery_base = 0x4000, delivery_stride = 32;
enum Delivery : uint64_t { deliver = 0, force = 4, threshold = 8, claim = 0x1c };
constexpr uint32_t domain_enabled = 1 << 8;
constexpr uint32_t rising_edge = 4, falling_edge = 5, high_level = 6, low_level = 7;
constexpr unsigned hart_shift = 18;
constexpr uint32_t most_sources = 1023;

constinit Mmio registers;
constinit uint32_t sources = 0;
constinit unsigned target_hart = 0; ///< as this domain counts harts

uint64_t delivery(Delivery r) { return delivery_base + target_hart * delivery_stride + r; }

/// What the device tree's second cell (1, 2: edges; 4, 8: levels) is here.
uint32_t mode_of(uint32_t trigger) {
    switch (trigger) {
    case 1: return rising_edge;
    case 2: return falling_edge;
    case 8: return low_level;
    default: return high_level;
    }
}

bool enable(uint32_t number, uint32_t trigger) {
    if (number > sources)
        return false;
    registers.write32(source_config + 4 * (number - 1), mode_of(trigger));
    if (registers.read32(source_config + 4 * (number - 1)) == 0)
        return false; // the machine level keeps it
    registers.write32(target + 4 * (number - 1), target_hart << hart_shift | 1);
    registers.write32(set_enable_number, number);
    return true;
}

void handle() {
    while (const uint32_t top = registers.read32(delivery(claim)))
        interrupt_dispatch(top >> 16);
}

} // namespace

const char* aplic_probe(Node node) {
    if (node.has("msi-parent"))
        return nullptr; // it sends messages: imsic.cpp is asked
    const auto count = node.cell("riscv,num-sources");
    const unsigned harts = node.cell_count("interrupts-extended") / 2;
    const auto mmio = registers_of(node, 0, delivery_base + harts * delivery_stride);
    if (!mmio || !node.phandle() || !count)
        return "bad device tree node (reg, phandle or riscv,num-sources)";
    // Entry n is hart n of this domain. That of the machine level drives another interrupt.
    std::optional<unsigned> found;
    bool ours = false;
    for (unsigned h = 0; h < harts; h++) {
        if (node.cell("interrupts-extended", 2 * h + 1) != supervisor_external)
            continue;
        ours = true;
        const auto hart = hart_of_controller(*node.cell("interrupts-extended", 2 * h));
        if (hart && (!found || *hart == machine::boot_info.boot_hart))
            found = h;
    }
    if (!ours)
        return nullptr;
    if (!found)
        return "it serves no hart of ours";
    if (const char* complaint = interrupt_controller_offer(node, {enable, handle}))
        return complaint;
    registers = *mmio;
    sources = *count < most_sources ? *count : most_sources;
    target_hart = *found;
    for (uint32_t i = 0; i <= sources / 32; i++)
        registers.write32(clear_enable + 4 * i, ~uint32_t{0});
    for (uint32_t i = 0; i < sources; i++)
        registers.write32(source_config + 4 * i, 0);
    registers.write32(delivery(threshold), 0);
    registers.write32(delivery(deliver), 1);
    registers.write32(domain_config, domain_enabled);
    return nullptr;
}

} // namespace lentil::platform

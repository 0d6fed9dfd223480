// SPDX-License-Identifier: BSD-2-Clause
// The UART of SiFive's FU540 and FU740 (manual of the FU540-C000, chapter "UART"). Line speed as the firmware set it.
#include <platform/driver.hpp>

namespace lentil::platform {

namespace {

constexpr uint64_t transmit_data = 0, receive_data = 4, transmit_control = 8, receive_control = 0xc,
                   interrupt_enable = 0x10;
constexpr uint32_t full_or_empty = 1u << 31; ///< transmitter full, or receiver empty
constexpr uint32_t enable = 1, receive_watermark = 2;

constinit Mmio registers;

void write_text(std::string_view text) {
    for (const char c : text) {
        while (registers.read32(transmit_data) & full_or_empty)
            machine::cpu_relax();
        registers.write32(transmit_data, static_cast<unsigned char>(c));
    }
}

void interrupt(void*) {
    for (;;) {
        const uint32_t value = registers.read32(receive_data);
        if (value & full_or_empty)
            return;
        console_received(static_cast<char>(value));
    }
}

} // namespace

const char* sifive_uart_probe(Node node) {
    const auto mmio = registers_of(node, 0, 0x1c);
    if (!mmio)
        return "bad device tree node (reg)";
    if (!console_offer(node, {write_text, {}}))
        return nullptr;
    registers = *mmio;
    registers.write32(transmit_control, registers.read32(transmit_control) | enable);
    registers.write32(receive_control, enable); // interrupt from the first byte on
    if (!irq_attach(node, interrupt, nullptr))
        return "no interrupt: output only";
    registers.write32(interrupt_enable, receive_watermark);
    return nullptr;
}

} // namespace lentil::platform

// SPDX-License-Identifier: BSD-2-Clause
// The 16550 UART: output by polling (16 bytes a time, as its FIFO allows), input by interrupt. Line speed and format stay as
// the firmware set them.
#include <platform/driver.hpp>

namespace lentil::platform {

namespace {

enum Register : unsigned { data = 0, interrupt_enable = 1, fifo_control = 2, modem_control = 4, line_status = 5 };
constexpr uint32_t status_received = 1, status_transmitter_empty = 0x20;
constexpr unsigned fifo_depth = 16;

constinit Mmio registers;
constinit unsigned shift = 0;
constinit unsigned width = 1; ///< bytes per access

uint32_t read(Register r) {
    const uint64_t at = uint64_t{r} << shift;
    return width == 4 ? registers.read32(at) : registers.read<uint8_t>(at);
}

void write(Register r, uint8_t value) {
    const uint64_t at = uint64_t{r} << shift;
    if (width == 4)
        registers.write32(at, value);
    else
        registers.write<uint8_t>(at, value);
}

void write_text(std::string_view text) {
    while (!text.empty()) {
        while (!(read(line_status) & status_transmitter_empty))
            machine::cpu_relax();
        const size_t n = text.size() < fifo_depth ? text.size() : fifo_depth;
        for (size_t i = 0; i < n; i++)
            write(data, static_cast<uint8_t>(text[i]));
        text.remove_prefix(n);
    }
}

void interrupt(void*) {
    while (read(line_status) & status_received)
        console_received(static_cast<char>(read(data)));
}

} // namespace

const char* ns16550_probe(Node node) {
    if (registers)
        return nullptr; // one line is enough
    const uint32_t reg_shift = node.cell("reg-shift").value_or(0);
    const uint32_t reg_width = node.cell("reg-io-width").value_or(1);
    if (reg_shift > 4 || (reg_width != 1 && reg_width != 4))
        return "unknown register layout";
    const auto mmio = registers_of(node, 0, uint64_t{8} << reg_shift);
    if (!mmio)
        return "bad device tree node (reg)";
    registers = *mmio;
    shift = reg_shift;
    width = reg_width;
    if (!console_offer(node, {write_text, {}})) {
        registers = {};
        return nullptr;
    }
    write(interrupt_enable, 0);
    interrupt(nullptr);        // what was typed since the firmware let go: turning FIFOs on may drop it
    write(fifo_control, 1);    // FIFOs on
    write(modem_control, 0xb); // DTR, RTS, and OUT2: the interrupt line of a PC
    if (!irq_attach(node, interrupt, nullptr))
        return "no interrupt: output only";
    write(interrupt_enable, 1); // on reception
    return nullptr;
}

} // namespace lentil::platform

// SPDX-License-Identifier: BSD-2-Clause
// The platform-level interrupt controller (RISC-V PLIC specification 1.0). Every interrupt goes to one hart's supervisor
// context: the boot hart's, or the next one's that has such a context.
#include <libkern/format.hpp>
#include <platform/driver.hpp>

namespace lentil::platform {

namespace {

constexpr uint64_t enable_base = 0x2000, enable_stride = 0x80;
constexpr uint64_t context_base = 0x200000, context_stride = 0x1000, claim_offset = 4;
constexpr uint32_t supervisor_external = 9; ///< interrupt number at the hart's own controller
constexpr unsigned max_sources = 128;

struct Handler {
    void (*call)(void*) = nullptr;
    void* context = nullptr;
};

constinit Mmio registers;
constinit uint32_t phandle = 0;
constinit unsigned sources = 0;
constinit unsigned target_context = 0;
constinit Handler handlers[max_sources];

/// The dense index of the hart whose interrupt controller has this phandle.
std::optional<unsigned> hart_of_controller(uint32_t controller) {
    const Node cpu = device_tree().by_phandle(controller).parent();
    const auto id = cpu.number("reg");
    for (unsigned i = 0; id && i < machine::boot_info.hart_count; i++)
        if (machine::boot_info.harts[i].id == *id)
            return i;
    return std::nullopt;
}

uint64_t context_register(uint64_t offset) { return context_base + target_context * context_stride + offset; }

struct Interrupt {
    uint32_t controller;
    uint32_t number;
};

/// The first interrupt of a device.
std::optional<Interrupt> interrupt_of(Node device) {
    if (device.has("interrupts-extended")) {
        const auto controller = device.cell("interrupts-extended", 0), number = device.cell("interrupts-extended", 1);
        return controller && number ? std::optional(Interrupt{*controller, *number}) : std::nullopt;
    }
    const auto number = device.cell("interrupts", 0);
    for (Node n = device; number && n; n = n.parent())
        if (const auto controller = n.cell("interrupt-parent"))
            return Interrupt{*controller, *number};
    return std::nullopt;
}

} // namespace

const char* plic_probe(Node node) {
    if (registers)
        return "a second interrupt controller; not used";
    const auto mmio = registers_of(node, 0, context_base + context_stride);
    const auto handle = node.phandle();
    const auto count = node.cell("riscv,ndev");
    if (!mmio || !handle || !count)
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
    registers = *mmio;
    phandle = *handle;
    sources = *count < max_sources ? *count : max_sources - 1;
    target_context = *found;
    for (unsigned i = 1; i <= sources; i++)
        registers.write32(4 * i, 0);
    for (unsigned i = 0; i <= sources / 32; i++)
        registers.write32(enable_base + target_context * enable_stride + 4 * i, 0);
    registers.write32(context_register(0), 0); // threshold: everything with a priority
    return nullptr;
}

bool irq_attach(Node device, void (*handler)(void*), void* context) {
    const auto interrupt = interrupt_of(device);
    if (!registers || !interrupt || interrupt->controller != phandle || interrupt->number == 0 ||
        interrupt->number > sources)
        return false;
    const uint32_t number = interrupt->number;
    handlers[number] = {handler, context};
    registers.write32(4 * number, 1);
    const uint64_t enable = enable_base + target_context * enable_stride + number / 32 * 4;
    registers.write32(enable, registers.read32(enable) | 1u << number % 32);
    return true;
}

void handle_external_interrupt() {
    if (!registers)
        return;
    while (const uint32_t number = registers.read32(context_register(claim_offset))) {
        if (number <= sources && handlers[number].call)
            handlers[number].call(handlers[number].context);
        registers.write32(context_register(claim_offset), number);
    }
}

} // namespace lentil::platform

// SPDX-License-Identifier: BSD-2-Clause
// Between the devices and the one interrupt controller that serves them: what a device's interrupt is, and who handles it.
#include <platform/driver.hpp>

namespace lentil::platform {

namespace {

constexpr unsigned max_sources = 256;

struct Handler {
    void (*call)(void*) = nullptr;
    void* context = nullptr;
};

constinit InterruptController controller;
constinit Node controller_node;
constinit Handler handlers[max_sources];

struct Interrupt {
    uint32_t number;
    uint32_t trigger; ///< second cell of those controllers that have one, else 0
};

/// Interrupt `index` of a device, if it is one of our controller's.
std::optional<Interrupt> interrupt_of(Node device, unsigned index) {
    const auto phandle = controller_node.phandle();
    const auto cells = controller_node.cell("#interrupt-cells");
    if (!phandle || !cells || *cells < 1 || *cells > 2)
        return std::nullopt;
    const char* property = "interrupts";
    unsigned at = index * *cells;
    if (device.has("interrupts-extended")) {
        // The entries before are taken for ones of the same controller: no board of ours mixes them.
        property = "interrupts-extended";
        at = index * (*cells + 1) + 1;
        if (device.cell(property, at - 1) != phandle)
            return std::nullopt;
    } else {
        Node n = device;
        while (n && !n.has("interrupt-parent"))
            n = n.parent();
        if (n.cell("interrupt-parent") != phandle)
            return std::nullopt;
    }
    const auto number = device.cell(property, at);
    const auto trigger = *cells == 2 ? device.cell(property, at + 1) : std::optional<uint32_t>(0);
    return number && trigger ? std::optional(Interrupt{*number, *trigger}) : std::nullopt;
}

} // namespace

const char* interrupt_controller_offer(Node node, const InterruptController& offered) {
    if (controller.enable)
        return "a second interrupt controller; not used";
    controller = offered;
    controller_node = node;
    return nullptr;
}

bool irq_attach(Node device, void (*handler)(void*), void* context, unsigned index) {
    const auto interrupt = controller.enable ? interrupt_of(device, index) : std::nullopt;
    if (!interrupt || interrupt->number == 0 || interrupt->number >= max_sources)
        return false;
    handlers[interrupt->number] = {handler, context};
    return controller.enable(interrupt->number, interrupt->trigger);
}

void interrupt_dispatch(uint32_t number) {
    if (number < max_sources && handlers[number].call)
        handlers[number].call(handlers[number].context);
}

void handle_external_interrupt() {
    if (controller.handle)
        controller.handle();
}

std::optional<unsigned> hart_of_controller(uint32_t phandle) {
    const Node cpu = device_tree().by_phandle(phandle).parent();
    const auto id = cpu.number("reg");
    for (unsigned i = 0; id && i < machine::boot_info.hart_count; i++)
        if (machine::boot_info.harts[i].id == *id)
            return i;
    return std::nullopt;
}

} // namespace lentil::platform

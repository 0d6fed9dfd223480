// SPDX-License-Identifier: BSD-2-Clause
// Between the devices and the interrupt controllers that serve them: what a device's interrupt is, and who handles it.
#include <platform/interrupts.hpp>

namespace lentil::platform {

namespace {

struct Handler {
    void (*call)(void*) = nullptr;
    void* context = nullptr;
};
constexpr unsigned most_handlers = 64;

constinit InterruptController* controllers = nullptr;
constinit Handler table[most_handlers];
constinit unsigned handler_count = 1; // 0: none

struct Interrupt {
    uint32_t controller; ///< phandle
    uint32_t number;
    uint32_t trigger; ///< second cell of those controllers that have one, else 0
};

/// Interrupt `index` of a device.
std::optional<Interrupt> interrupt_of(Node device, unsigned index) {
    const bool extended = device.has("interrupts-extended");
    const char* const property = extended ? "interrupts-extended" : "interrupts";
    std::optional<uint32_t> controller;
    if (extended) {
        controller = device.cell(property, 0); // of the first; no board of ours mixes them
    } else {
        Node n = device;
        while (n && !n.has("interrupt-parent"))
            n = n.parent();
        controller = n ? n.cell("interrupt-parent") : std::nullopt;
    }
    const Node node = controller ? device_tree().by_phandle(*controller) : Node();
    const auto cells = node ? node.cell("#interrupt-cells") : std::nullopt;
    if (!cells || *cells < 1 || *cells > 2)
        return std::nullopt;
    const unsigned at = extended ? index * (*cells + 1) + 1 : index * *cells;
    const auto number = device.cell(property, at);
    const auto trigger = *cells == 2 ? device.cell(property, at + 1) : std::optional<uint32_t>(0);
    if (!number || !trigger || (extended && device.cell(property, at - 1) != *controller))
        return std::nullopt;
    return Interrupt{*controller, *number, *trigger};
}

} // namespace

void interrupt_controller_add(InterruptController& controller) {
    controller.next = controllers;
    controllers = &controller;
}

bool irq_attach(Node device, void (*handler)(void*), void* context, unsigned index) {
    const auto interrupt = interrupt_of(device, index);
    if (!interrupt || interrupt->number >= InterruptController::most_sources || handler_count == most_handlers)
        return false;
    for (InterruptController* c = controllers; c; c = c->next)
        if (c->node.phandle() == interrupt->controller) {
            table[handler_count] = {handler, context};
            c->handlers[interrupt->number] = static_cast<uint8_t>(handler_count++);
            return c->enable(interrupt->number, interrupt->trigger);
        }
    return false;
}

void InterruptController::dispatch(uint32_t number) {
    const unsigned index = number < most_sources ? handlers[number] : 0;
    if (index != 0)
        table[index].call(table[index].context);
}

void hart_is_up() {
    const unsigned self = machine::hart_index();
    for (InterruptController* c = controllers; c; c = c->next)
        if (c->hart == self)
            c->hart_is_up();
}

void handle_external_interrupt() {
    const unsigned self = machine::hart_index();
    for (InterruptController* c = controllers; c; c = c->next)
        if (c->hart == self)
            c->handle();
}

} // namespace lentil::platform

// SPDX-License-Identifier: BSD-2-Clause
// SiFive's GPIO controller (manual of the FU540-C000, chapter "GPIO"), for the pins that restart a board or switch it off.
#include <platform/driver.hpp>

namespace lentil::platform {

namespace {

constexpr uint64_t input_enable = 0x04, output_enable = 0x08, output_value = 0x0c, output_invert = 0x40;
constexpr uint32_t active_low = 1;
constexpr nanos_t pulse_ns = 100'000'000;

struct Pin {
    Mmio registers;
    uint32_t bit = 0;
    bool inverted = false;
};

constinit Pin restart_pin, off_pin;

void wait(nanos_t ns) {
    for (const nanos_t end = machine::now_ns() + ns; machine::now_ns() < end;)
        machine::cpu_relax();
}

void drive(const Pin& pin, bool active) {
    const Mmio& r = pin.registers;
    const uint32_t value = r.read32(output_value);
    r.write32(output_invert, r.read32(output_invert) & ~pin.bit);
    r.write32(output_value, active != pin.inverted ? value | pin.bit : value & ~pin.bit);
    r.write32(input_enable, r.read32(input_enable) & ~pin.bit);
    r.write32(output_enable, r.read32(output_enable) | pin.bit);
}

/// Circuits want a level or either edge: they get all three.
void act(machine::PowerAction action) {
    const Pin& pin = action == machine::PowerAction::reboot ? restart_pin : off_pin;
    if (!pin.registers)
        return;
    for (const bool active : {true, false, true}) {
        drive(pin, active);
        wait(pulse_ns);
    }
    wait(10 * pulse_ns);
}

const char* bind(Node node, Pin& pin) {
    const auto phandle = node.cell("gpios", 0), number = node.cell("gpios", 1), flags = node.cell("gpios", 2);
    const Node controller = phandle ? device_tree().by_phandle(*phandle) : Node();
    if (!controller || !number || !flags || !controller.compatible_with("sifive,gpio0"))
        return "its pin is not one of a controller that we drive";
    const auto registers = registers_of(controller, 0, 0x44);
    if (!registers || *number >= 32)
        return "bad device tree node (gpios)";
    pin = {*registers, 1u << *number, (*flags & active_low) != 0};
    last_power_offer(act);
    return nullptr;
}

} // namespace

const char* gpio_restart_probe(Node node) { return bind(node, restart_pin); }
const char* gpio_poweroff_probe(Node node) { return bind(node, off_pin); }

} // namespace lentil::platform

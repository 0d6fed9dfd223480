// SPDX-License-Identifier: BSD-2-Clause
// The clocks of SiFive's FU540 and FU740 (their manuals, chapter "PRCI"), as the firmware set them. They are only read.
#include <platform/driver.hpp>

namespace lentil::platform {

namespace {

enum Register : uint64_t {
    core_pll = 0x04,
    core_select = 0x24, ///< 1: the input itself, no PLL
    mux_status = 0x2c,
    bus_pll = 0x50, ///< FU740
    bus_select = 0x58,
    bus_divisor = 0x5c,
};
constexpr uint32_t bus_undivided = 2; ///< of mux_status, FU740
constexpr uint32_t pll_bypass = 1 << 24;

/// f = input / (r + 1) * 2 * (f + 1) / 2^q
uint64_t pll_rate(uint64_t input, uint32_t config) {
    if (config & pll_bypass)
        return input;
    const uint32_t r = config & 0x3f, f = config >> 6 & 0x1ff, q = config >> 15 & 7;
    return input / (r + 1) * 2 * (f + 1) >> q;
}

uint64_t input_rate(Node controller) {
    const Node oscillator = device_tree().by_phandle(controller.cell("clocks", 0).value_or(0));
    return oscillator ? oscillator.cell("clock-frequency").value_or(0) : 0;
}

} // namespace

uint64_t clock_rate(Node device) {
    const auto phandle = device.cell("clocks", 0), number = device.cell("clocks", 1);
    const Node controller = phandle ? device_tree().by_phandle(*phandle) : Node();
    if (!controller || !number)
        return 0;
    const bool fu540 = controller.compatible_with("sifive,fu540-c000-prci");
    if (!fu540 && !controller.compatible_with("sifive,fu740-c000-prci"))
        return 0;
    const auto registers = registers_of(controller, 0, 0x60);
    const uint64_t input = input_rate(controller);
    if (!registers || input == 0)
        return 0;
    const uint64_t core = registers->read32(core_select) & 1 ? input : pll_rate(input, registers->read32(core_pll));
    // FU540: 3 is half the core's clock. FU740: 6 is that, or all of it, 7 has its own PLL and divisor.
    if (fu540)
        return *number == 3 ? core / 2 : 0;
    if (*number == 6)
        return registers->read32(mux_status) & bus_undivided ? core : core / 2;
    if (*number != 7)
        return 0;
    const uint64_t bus = registers->read32(bus_select) & 1 ? input : pll_rate(input, registers->read32(bus_pll));
    return bus / (registers->read32(bus_divisor) + 2);
}

} // namespace lentil::platform

// SPDX-License-Identifier: BSD-2-Clause
// Which of an interrupt controller's outputs lead to harts of ours. Builds on the host too.
#include <platform/interrupts.hpp>

namespace lentil::platform {

namespace {

/// The dense index of the hart whose own interrupt controller has this phandle.
std::optional<unsigned> hart_of_controller(uint32_t phandle) {
    const Node cpu = device_tree().by_phandle(phandle).parent();
    const auto id = cpu ? cpu.number("reg") : std::nullopt;
    for (unsigned i = 0; id && i < machine::boot_info.hart_count; i++)
        if (machine::boot_info.harts[i].id == *id)
            return i;
    return std::nullopt;
}

} // namespace

std::optional<HartContext> supervisor_context(Node controller, unsigned limit) {
    std::optional<HartContext> found;
    const unsigned contexts = controller.cell_count("interrupts-extended") / 2;
    for (unsigned n = 0; n < contexts && n < limit; n++) {
        if (controller.cell("interrupts-extended", 2 * n + 1) != supervisor_external)
            continue;
        const auto hart = hart_of_controller(*controller.cell("interrupts-extended", 2 * n));
        if (hart && (!found || *hart == machine::boot_info.boot_hart))
            found = HartContext{n, *hart};
    }
    return found;
}

bool serves_supervisors(Node controller) {
    const unsigned contexts = controller.cell_count("interrupts-extended") / 2;
    for (unsigned n = 0; n < contexts; n++)
        if (controller.cell("interrupts-extended", 2 * n + 1) == supervisor_external)
            return true;
    return false;
}

} // namespace lentil::platform

// SPDX-License-Identifier: BSD-2-Clause
// The clock of QEMU's virt board: nanoseconds since 1970 in two registers; reading the low one latches the high one.
#include <platform/driver.hpp>

namespace lentil::platform {

namespace {

constinit Mmio registers;

nanos_t read_clock() {
    const uint64_t low = registers.read32(0);
    const uint64_t high = registers.read32(4);
    return static_cast<nanos_t>(high << 32 | low);
}

} // namespace

const char* goldfish_rtc_probe(Node node) {
    const auto mmio = registers_of(node, 0, 8);
    if (!mmio)
        return "bad device tree node (reg)";
    registers = *mmio;
    clock_offer(read_clock);
    return nullptr;
}

} // namespace lentil::platform

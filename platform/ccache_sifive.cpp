// SPDX-License-Identifier: BSD-2-Clause
// The level-2 cache controller of SiFive's FU540 and FU740: the firmware has switched the cache on, here its memory errors
// are reported. Those that it could not correct have given some program wrong data, and nobody knows which.
#include <iterator>

#include <libkern/format.hpp>
#include <platform/driver.hpp>

namespace lentil::platform {

namespace {

/// In the order of the interrupts in the device tree; the FU540 has no fourth.
struct ErrorKind {
    const char* text;
    uint64_t offset; ///< registers: address (two words), count; reading the count clears the interrupt
    uint32_t seen;
};
constinit ErrorKind kinds[] = {
    {"corrected an error in its directory", 0x100, 0},
    {"corrected an error in its data", 0x140, 0},
    {"data lost", 0x160, 0},
    {"directory damaged", 0x120, 0},
};
constexpr uint32_t report_at_most = 16; ///< of each kind

constinit Mmio registers;

void report(void* context) {
    ErrorKind& kind = *static_cast<ErrorKind*>(context);
    const uint64_t address = registers.read32(kind.offset) | uint64_t{registers.read32(kind.offset + 4)} << 32;
    registers.read32(kind.offset + 8);
    if (kind.seen++ < report_at_most)
        kprint("L2 cache: {} at {:#x}\n", std::string_view(kind.text), address);
}

} // namespace

const char* sifive_cache_probe(Node node) {
    const auto mmio = registers_of(node, 0, 0x200);
    if (!mmio)
        return "bad device tree node (reg)";
    registers = *mmio;
    for (unsigned i = 0; i < std::size(kinds); i++)
        irq_attach(node, report, &kinds[i], i);
    return nullptr;
}

} // namespace lentil::platform

// SPDX-License-Identifier: BSD-2-Clause
// From the device tree to BootInfo. Builds on the host too.
#pragma once

#include <machine/boot_info.hpp>
#include <platform/fdt.hpp>

namespace lentil::platform {

/// What the arch wants to know beyond BootInfo.
struct TreeFacts {
    uint64_t ticks_per_second = 0; ///< of the time counter
    bool sstc = false;             ///< every usable hart has stimecmp
    unsigned lesser_harts = 0;     ///< left out, for they lack what the boot hart has of IMAFDC
    uint64_t zero_block = 0;       ///< bytes that cbo.zero fills on every usable hart; 0: not all have it
};

/// Memory the kernel cannot do without, in bytes.
inline constexpr uint64_t least_memory = 8 << 20;

/// Fills `info` (zeroed before) and `facts`: usable harts, memory, reservations, initrd, command line. `boot_hart_id` must be
/// among the harts; memory from `memory_limit` on is left out. Returns nullptr, or what is wrong in words.
const char* read_boot_tree(const DeviceTree& tree, uint64_t boot_hart_id, paddr_t memory_limit, machine::BootInfo& info,
                           TreeFacts& facts);

/// The serial line that /chosen names; a false node if it names none.
Node console_node(const DeviceTree& tree);

/// Whether an ISA string ("rv64imafdc_zicsr_sstc") names an extension: one letter, or a longer name.
bool isa_has(std::string_view isa, std::string_view extension);

} // namespace lentil::platform

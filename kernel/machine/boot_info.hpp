// SPDX-License-Identifier: BSD-2-Clause
// What the firmware told about the machine.
#pragma once

#include <libkern/hartset.hpp>
#include <libkern/types.hpp>

namespace lentil::machine {

struct MemoryRange {
    paddr_t start = 0;
    uint64_t size = 0;
};

struct HartInfo {
    uint64_t id = 0;    ///< the firmware's hart id, any number
    char isa[512] = {}; ///< its ISA string from the device tree; a longer one is cut behind a whole name
};

/// Filled in by arch/platform boot code from the device tree before kernel_main.
struct BootInfo {
    MemoryRange memory[16]; ///< usable RAM, kernel image, firmware, reserved regions and initrd still inside it
    unsigned memory_count = 0;
    MemoryRange reserved[24]; ///< parts of it not to be handed out (firmware, kernel image, device tree, initrd)
    unsigned reserved_count = 0;
    HartInfo harts[max_harts];
    unsigned hart_count = 0;
    unsigned boot_hart = 0; ///< index into harts
    MemoryRange initrd;     ///< size 0 if none
    char command_line[1024] = {};
    uint8_t rng_seed[64] = {};
    unsigned rng_seed_size = 0;
    uint64_t hwcap = 0; ///< AT_HWCAP: what all harts share
    char model[64] = {};
};
extern BootInfo boot_info;

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// Memory before there is a page allocator: what the device tree left free, handed out once and for ever.
#pragma once

#include <libkern/types.hpp>
#include <machine/boot_info.hpp>

namespace lentil::platform {

/// Marks [start, start + size) as not to be handed out; rounded outwards to pages, merged with neighbours. False if
/// the table is full.
bool boot_memory_reserve(machine::BootInfo& info, paddr_t start, uint64_t size);

/// Finds `size` bytes (whole pages) of memory that nothing reserved, below `limit`, and reserves them; 0 if there are none.
paddr_t boot_memory_find(machine::BootInfo& info, uint64_t size, paddr_t limit = ~paddr_t{0});

/// The same from machine::boot_info; panics if there is none.
paddr_t boot_memory_take(uint64_t size);

} // namespace lentil::platform

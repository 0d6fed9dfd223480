// SPDX-License-Identifier: BSD-2-Clause
// The kernel's virtual address layout and the conversions that follow from it.
#pragma once

#include <riscv/asm_layout.h>

#include <libkern/types.hpp>

namespace lentil::machine {

/// All physical memory and every device below `direct_map_size`, readable and writable, never executable. The kernel's
/// text and read-only data are read-only here too.
inline constexpr vaddr_t direct_map_base = DIRECT_MAP_BASE;
inline constexpr uint64_t direct_map_size = KMEM_BASE - DIRECT_MAP_BASE;

/// Window of the vm layer for kernel stacks and mappings. Its root entries point to tables from boot on, so that the
/// kernel half of every root table stays the same for ever.
inline constexpr vaddr_t kmem_start = KMEM_BASE;
inline constexpr vaddr_t kmem_end = KMEM_END;

/// Kernel address of physical memory or of a device register.
inline void* direct_map(paddr_t pa) { return reinterpret_cast<void*>(direct_map_base + pa); }
/// The reverse; `p` must come from direct_map().
inline paddr_t direct_map_pa(const void* p) { return reinterpret_cast<uint64_t>(p) - direct_map_base; }

} // namespace lentil::machine

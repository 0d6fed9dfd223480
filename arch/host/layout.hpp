// SPDX-License-Identifier: BSD-2-Clause
// Where the simulated machine's memory lies in the host program's address space.
#pragma once

#include <libkern/types.hpp>

namespace lentil::machine {

// Each sanitizer keeps its notes where a program's memory could be otherwise.
#if defined(LENTIL_TSAN)
inline constexpr vaddr_t direct_map_base = 0x0020'0000'0000, kmem_start = 0x0040'0000'0000;
#else
inline constexpr vaddr_t direct_map_base = 0x3000'0000'0000, kmem_start = 0x2060'0000'0000;
#endif

/// Physical addresses 0 .. direct_map_size-1; what boot_info does not call memory is not accessible.
inline constexpr uint64_t direct_map_size = uint64_t{64} << 30;

/// The kernel's window. Its pages appear when they are touched, as its page tables say, and stay until a
/// shoot-down: a TLB of unlimited size.
inline constexpr vaddr_t kmem_end = kmem_start + (uint64_t{1} << 30);

inline void* direct_map(paddr_t pa) { return reinterpret_cast<void*>(direct_map_base + pa); }
inline paddr_t direct_map_pa(const void* p) { return reinterpret_cast<uint64_t>(p) - direct_map_base; }

} // namespace lentil::machine

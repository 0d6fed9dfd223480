// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>
#include <iterator>

#include <libkern/assert.hpp>
#include <platform/boot_memory.hpp>

namespace lentil::platform {

using machine::BootInfo;
using machine::MemoryRange;

bool boot_memory_reserve(BootInfo& info, paddr_t start, uint64_t size) {
    if (size == 0)
        return true;
    paddr_t begin = page_floor(start);
    constexpr paddr_t last_page = ~uint64_t{page_mask};
    paddr_t end = start + size < start || start + size > last_page ? last_page : page_ceil(start + size);
    // Take in every range that touches; what is left stays disjoint.
    unsigned kept = 0;
    for (unsigned i = 0; i < info.reserved_count; i++) {
        const MemoryRange r = info.reserved[i];
        if (r.start <= end && begin <= r.start + r.size) {
            begin = std::min(begin, r.start);
            end = std::max(end, r.start + r.size);
        } else {
            info.reserved[kept++] = r;
        }
    }
    info.reserved_count = kept;
    if (kept == std::size(info.reserved))
        return false;
    info.reserved[info.reserved_count++] = {begin, end - begin};
    return true;
}

paddr_t boot_memory_find(BootInfo& info, uint64_t size, paddr_t limit) {
    for (unsigned m = 0; m < info.memory_count; m++) {
        const MemoryRange& memory = info.memory[m];
        const paddr_t end = std::min(memory.start + memory.size, limit);
        paddr_t at = std::max<paddr_t>(memory.start, page_size); // address 0 means "none"
        for (bool moved = true; moved;) {
            moved = false;
            if (at >= end || end - at < size)
                break;
            for (unsigned i = 0; i < info.reserved_count; i++) {
                const MemoryRange& r = info.reserved[i];
                if (at < r.start + r.size && r.start < at + size) {
                    at = r.start + r.size;
                    moved = true;
                }
            }
        }
        if (at < end && end - at >= size && boot_memory_reserve(info, at, size))
            return at;
    }
    return 0;
}

paddr_t boot_memory_take(uint64_t size) {
    const paddr_t at = boot_memory_find(machine::boot_info, page_ceil(size), paddr_t{1} << 37);
    if (at == 0)
        panic("too little memory: none is left for the harts' stacks");
    return at;
}

} // namespace lentil::platform

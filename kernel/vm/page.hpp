// SPDX-License-Identifier: BSD-2-Clause
// Physical pages: one 16-byte record each, a buddy allocator with per-hart caches in front.
#pragma once

#include <atomic>
#include <span>

#include <libkern/result.hpp>
#include <machine/machine.hpp>

namespace lentil {

/// Bits of VmPage::flags; bits 8 to 15 hold the order of a free block.
enum VmPageFlags : uint32_t {
    page_free_block = 1, ///< first page of a block on a free list
    page_reserved = 2,   ///< never handed out: firmware, kernel image, page records
    page_icache_ok = 4,  ///< every hart fetches its present contents (see vm_fault.cpp)
    // of a page in a cache of a file (changed under its object's lock)
    page_dirty = 8,         ///< differs from the disk
    page_delayed = 16,      ///< has room on the disk set aside, not a place yet
    page_referenced = 32,   ///< used since reclaim looked last
    page_sealed_table = 64, ///< a leaf table of which no entry allows writing (see pmap.hpp)
};

/// One page of RAM. Private (anonymous) memory has no other record than the page table entry and `refs`: how many
/// entries map the page. A write to a page with more than one reference copies it, so fork never builds chains.
struct VmPage {
    std::atomic<uint32_t> refs{0};  ///< mappings and objects that hold it; 0 while free
    std::atomic<uint32_t> flags{0}; ///< VmPageFlags; the allocator reads those of neighbours
    union {
        struct {
            uint32_t next, prev; ///< while free: page numbers in the buddy list
        };
        uint64_t owner = 0; ///< while in use: for its owner (slab header, object index...)
    };
};
static_assert(sizeof(VmPage) == 16);

/// RAM without a hole, with one record a page; reserved pages have records too, so that they can be added later.
struct RamRange {
    VmPage* records = nullptr;
    uint32_t first = 0; ///< page number
    uint32_t count = 0;
};
/// The largest: nearly always all there is. Set by page_init.
extern RamRange main_pages;

/// Builds the page records from machine::boot_info (memory minus reserved). Called once.
void page_init();

/// A page with one reference, contents undefined. nomem if none is left after caches of the kernel's own were emptied
/// (zone_reclaim), so no lock of Rank::zone or above may be held.
Result<VmPage*> page_alloc();
/// The same, all zero.
Result<VmPage*> page_alloc_zeroed();
/// 2^order contiguous pages, the first carries the reference; freed with page_free_order.
Result<VmPage*> page_alloc_order(unsigned order);
void page_free_order(VmPage* first, unsigned order);

/// For allocators on top of this one: may be called with zone locks held, no reclaim, not subject to fault injection.
VmPage* page_alloc_raw(unsigned order);

inline void page_ref(VmPage* page) { page->refs.fetch_add(1, std::memory_order_relaxed); }
/// Drops a reference; frees the page with the last. Callable with spin locks below Rank::page_alloc held.
void page_unref(VmPage* page);

paddr_t page_pa_elsewhere(const VmPage* page);
inline paddr_t page_pa(const VmPage* page) {
    const auto index = static_cast<uint64_t>(page - main_pages.records);
    if (index < main_pages.count) [[likely]]
        return (main_pages.first + index) << page_shift;
    return page_pa_elsewhere(page);
}
VmPage* page_at_elsewhere(paddr_t pa);
/// The record of the page at `pa`, nullptr if that is not RAM of ours (device memory, firmware).
inline VmPage* page_at(paddr_t pa) {
    const uint64_t index = (pa >> page_shift) - main_pages.first;
    if (index < main_pages.count) [[likely]]
        return main_pages.records + index;
    return page_at_elsewhere(pa);
}
inline void* page_data(const VmPage* page) { return machine::direct_map(page_pa(page)); }

/// The page of zeros that reads of untouched private memory share; never freed.
VmPage* zero_page();

struct PageCounts {
    uint64_t total, free, kernel; ///< pages: managed; free (per-hart caches included); used by the kernel itself
};
PageCounts page_counts();
/// Adds to (or takes from) the count of pages that the kernel uses itself.
void page_count_kernel(int64_t pages);

/// Hands a boot-time reserved range (the initrd, when unpacked) to the allocator; what is not reserved RAM is left alone.
void page_add_range(paddr_t start, uint64_t size);

} // namespace lentil

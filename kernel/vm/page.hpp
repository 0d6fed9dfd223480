// SPDX-License-Identifier: BSD-2-Clause
// Physical pages: one 16-byte record each, a buddy allocator with per-hart caches in front.
#pragma once

#include <atomic>
#include <span>

#include <libkern/result.hpp>
#include <machine/machine.hpp>

namespace lentil {

/// One page of RAM. Private (anonymous) memory has no other record than the page table entry and `refs`: how many
/// entries map the page. A write to a page with more than one reference copies it, so fork never builds chains.
struct VmPage {
    std::atomic<uint32_t> refs{0}; ///< mappings and objects that hold it; 0 while free
    uint32_t flags = 0;            ///< VmPageFlags; owner: whoever allocated it
    union {
        struct {
            uint32_t next, prev;   ///< while free: page numbers in the buddy list
        };
        uint64_t owner = 0;        ///< while in use: for its owner (slab header, object index...)
    };
};
static_assert(sizeof(VmPage) == 16);

/// Builds the page records from machine::boot_info (memory minus reserved). Called once.
void page_init();

/// A page with one reference, contents undefined. nomem if none is left (after reclaim was tried).
Result<VmPage*> page_alloc();
/// The same, all zero.
Result<VmPage*> page_alloc_zeroed();
/// 2^order contiguous pages, the first carries the reference; freed with page_free_order.
Result<VmPage*> page_alloc_order(unsigned order);
void page_free_order(VmPage* first, unsigned order);

void page_ref(VmPage* page);
/// Drops a reference; frees the page with the last. Callable with spin locks below Rank::page_alloc held.
void page_unref(VmPage* page);

paddr_t page_pa(const VmPage* page);
/// The record of the page at `pa`, nullptr if that is not RAM of ours (device memory, firmware).
VmPage* page_at(paddr_t pa);
inline void* page_data(const VmPage* page) { return machine::direct_map(page_pa(page)); }

/// The page of zeros that reads of untouched private memory share; never freed.
VmPage* zero_page();

struct PageCounts {
    uint64_t total, free, kernel; ///< pages: managed; free (per-hart caches included); used by the kernel itself
};
PageCounts page_counts();

/// Hands a boot-time reserved range (the initrd, when unpacked) to the allocator.
void page_add_range(paddr_t start, uint64_t size);

} // namespace lentil

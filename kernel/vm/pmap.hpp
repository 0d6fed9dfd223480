// SPDX-License-Identifier: BSD-2-Clause
// The pmap: page tables of one map, generic over the arch's Pte. For private memory the page table is the truth: an
// entry holds a reference to its page.
#pragma once

#include <machine/machine.hpp>
#include <sync/spinlock.hpp>
#include <vm/page.hpp>

namespace lentil {

using machine::Prot;

/// All calls are made with the owning map's lock held (exclusive), so tables change under one thread at a time; the
/// hardware and other harts read them meanwhile.
class Pmap {
public:
    Pmap() = default;
    ~Pmap(); ///< frees all tables and drops all pages; active nowhere by then
    Pmap(const Pmap&) = delete;
    Pmap& operator=(const Pmap&) = delete;

    Result<void> init();

    /// Maps `page` at `va`, taking over one reference of it. Replaces (and drops) what was there. nomem for a table.
    Result<void> enter(vaddr_t va, VmPage* page, Prot prot);
    struct Mapping {
        VmPage* page = nullptr; ///< nullptr: nothing mapped
        Prot prot = Prot::none;
        bool accessed = false, dirty = false;
    };
    Mapping lookup(vaddr_t va) const;
    /// Removes [start, end), drops the pages after the shoot-down.
    void remove(vaddr_t start, vaddr_t end);
    /// Masks the protection of what is mapped in [start, end) to at most `prot` (never adds rights).
    void restrict_prot(vaddr_t start, vaddr_t end, Prot prot);
    /// Adds rights to one present page after the fault path decided so; visible to this hart at once.
    void raise_prot(vaddr_t va, Prot prot);
    /// Copies [start, end) of `this` into `child` for fork: pages get one more reference; if `cow`, both sides lose write
    /// permission, but harts may write through old translations until finish_copy(). On nomem the child holds a part,
    /// which its destructor drops.
    Result<void> copy_to(Pmap& child, vaddr_t start, vaddr_t end, bool cow);
    /// After the last copy_to of a fork, failed or not: one shoot-down if any was needed.
    void finish_copy();
    /// Moves what is mapped in [from, from+length) to `to`, where nothing is mapped and which does not overlap (mremap).
    /// nomem changes nothing.
    Result<void> move(vaddr_t from, vaddr_t to, size_t length);
    /// Calls visit(va, mapping) for each present page of the range.
    void for_each(vaddr_t start, vaddr_t end, void (*visit)(vaddr_t, const Mapping&, void*), void* context) const;

    machine::AddressSpace& space() { return space_; }
    /// Pages mapped now, the zero page not counted: the resident set; and the most there ever were.
    uint64_t resident() const { return resident_.load(std::memory_order_relaxed); }
    uint64_t peak_resident() const { return peak_resident_.load(std::memory_order_relaxed); }
    /// Pages used by the tables themselves.
    uint64_t table_pages() const { return table_pages_.load(std::memory_order_relaxed); }

private:
    friend struct PmapInternals;
    machine::AddressSpace space_;
    std::atomic<uint64_t> resident_{0}; ///< written under the map's lock, read by anyone
    std::atomic<uint64_t> peak_resident_{0};
    std::atomic<uint64_t> table_pages_{0};
    bool copy_flush_ = false; ///< copy_to took write permission away
};

} // namespace lentil

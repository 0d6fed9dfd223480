// SPDX-License-Identifier: BSD-2-Clause
// The pmap: page tables of one map, generic over the arch's Pte. For private memory the page table is the truth: an
// entry holds a reference to its page.
//
// Fork shares the leaf tables. A leaf table counts how many pmaps link it; while that is more than one nothing in it
// changes, except that write permission goes away, and it holds one reference of each of its pages, however many pmaps
// see them. Entries that are no leaves carry no permission, so no hart may follow a link to a shared table whose entries
// still allow writing: such a link is revoked (it keeps the table's address, and no walk goes through it). The first
// access through it faults; then either the table is this pmap's alone again and the link comes back as it was, or the
// table's entries lose their write permission once and for all (it is sealed) and the link comes back for reading, or,
// for a write, this pmap gets a copy of the table. Upper tables are never shared.
#pragma once

#include <machine/machine.hpp>
#include <sync/spinlock.hpp>
#include <vm/page.hpp>

namespace lentil {

using machine::Prot;

/// All calls are made with the owning map's lock held (exclusive), so tables change under one thread at a time; the
/// hardware and other harts read them meanwhile, and pmaps that share a leaf table seal and copy it.
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
        uint32_t other_tables =
            0; ///< holders of the page besides those that its count tells of: pmaps that share the table
    };
    Mapping lookup(vaddr_t va) const;
    struct Claim {
        Mapping mapping;
        machine::Pte* table = nullptr; ///< the leaf table if it is there and this pmap's own, with its record
        VmPage* record = nullptr;
    };
    /// The same after making sure that harts get to it: for reading; with `write`, also that nobody else has this part
    /// of the tables, so that the page's count tells how many have the page. nomem.
    Result<Claim> claim(vaddr_t va, bool write);
    /// enter() for a `va` just claimed; cannot fail if the claim has a table.
    Result<void> enter(const Claim& claim, vaddr_t va, VmPage* page, Prot prot);
    /// Of the pages from `va` on, up to `most` and to the end of the claimed table: how many are not mapped, if the
    /// `before` pages below `va` are.
    static unsigned room_behind_run(const Claim& claim, vaddr_t va, unsigned before, unsigned most);
    /// Removes [start, end), drops the pages after the shoot-down. prepare_remove() came before.
    void remove(vaddr_t start, vaddr_t end);
    /// Makes the tables that [start, end) covers in part this pmap's own. Nothing that can be seen changes. nomem.
    Result<void> prepare_remove(vaddr_t start, vaddr_t end);
    /// Masks the protection of what is mapped in [start, end) to at most `prot` (never adds rights). prepare_restrict()
    /// came before, unless only the right to write goes.
    void restrict_prot(vaddr_t start, vaddr_t end, Prot prot);
    Result<void> prepare_restrict(vaddr_t start, vaddr_t end, Prot prot);
    /// Adds rights to one page present in a table of this pmap's own (see claim) after the fault path decided so; visible
    /// to this hart at once.
    void raise_prot(vaddr_t va, Prot prot);
    /// Lets `child`, which is empty, share all that is mapped, as fork wants it: pages that either side writes to from
    /// then on are its own, or found shared by the fault path. On nomem the child holds a part, which its destructor
    /// drops. Harts that use this pmap have forgotten what they may no longer do when it returns.
    Result<void> fork_to(Pmap& child);
    /// Moves what is mapped in [from, from+length) to `to`, where nothing is mapped and which does not overlap (mremap).
    /// nomem changes nothing.
    Result<void> move(vaddr_t from, vaddr_t to, size_t length);
    /// Calls visit(va, mapping) for each present page of the range.
    void for_each(vaddr_t start, vaddr_t end, void (*visit)(vaddr_t, const Mapping&, void*), void* context) const;

    machine::AddressSpace& space() { return space_; }
    /// Pages mapped now, the zero page not counted: the resident set; and the most there ever were.
    uint64_t resident() const { return resident_.load(std::memory_order_relaxed); }
    uint64_t peak_resident() const { return peak_resident_.load(std::memory_order_relaxed); }
    /// Pages used by the tables themselves, those that others share too included.
    uint64_t table_pages() const { return table_pages_.load(std::memory_order_relaxed); }

private:
    friend struct PmapInternals;
    machine::AddressSpace space_;
    std::atomic<uint64_t> resident_{0}; ///< written under the map's lock, read by anyone
    std::atomic<uint64_t> peak_resident_{0};
    std::atomic<uint64_t> table_pages_{0};
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The page-fault path, and copies to and from a map that is not loaded.
//
// A private page may be written in place exactly if its count is one, in a table that is this map's own (pmap.hpp):
// then this map's entry is the only thing that holds it. An object's page carries the object's own reference, the zero
// page its own, a page shared by fork that of the other side; so all of these are copied, and the chain that fork makes
// is never longer than one page.
//
// Executable pages. Before an entry that allows execution becomes visible, all harts are made to forget
// instructions that they fetched from that page's former contents; `page_icache_ok` remembers that it was
// done, until the page becomes writable somewhere, is written by the kernel, or is freed. User mode that
// writes code through its own mapping tells the kernel, as on Linux (riscv_flush_icache).
#include <algorithm>
#include <cstring>

#include <vm/first_use.hpp>
#include <vm/pmap_internal.hpp>
#include <vm/vm_map_build.hpp>
#include <vm/vm_map_internal.hpp>
#include <vm/vm_touched.hpp>

namespace lentil {

using machine::has;

namespace {

bool allows(Prot prot, Prot access) {
    // Entry formats have no "write only".
    const Prot effective = has(prot, Prot::write) ? prot | Prot::read : prot;
    return has(effective, access);
}

bool is_sole(const VmPage* page) { return page->refs.load(std::memory_order_acquire) == 1; }

bool fetched(const VmPage* page) { return page->flags.load(std::memory_order_relaxed) & page_icache_ok; }

/// To be called before pages (nullptr: none) are mapped with `prot`.
void before_mapping(std::span<VmPage* const> pages, Prot prot) {
    const bool writable = has(prot, Prot::write), executable = has(prot, Prot::exec);
    if (!writable && !executable)
        return;
    const bool known = std::all_of(pages.begin(), pages.end(), [](VmPage* page) { return !page || fetched(page); });
    if (known && !writable)
        return;
    if (executable && !known)
        machine::sync_instructions(HartSet::all());
    for (VmPage* page : pages) {
        if (!page)
            continue;
        if (!writable && !fetched(page))
            page->flags.fetch_or(page_icache_ok, std::memory_order_relaxed);
        else if (writable && fetched(page))
            page->flags.fetch_and(~uint32_t{page_icache_ok}, std::memory_order_relaxed);
    }
}

/// Takes over a reference of `page`, in any case.
FaultResult enter(Pmap& pmap, const Pmap::Claim& claim, vaddr_t va, VmPage* page, Prot prot) {
    before_mapping(std::span(&page, 1), prot);
    if (pmap.enter(claim, va, page, prot))
        return FaultResult::ok;
    page_unref(page);
    return FaultResult::out_of_memory;
}

/// Whether the first write to a page of the entry must be told to its object.
bool tells_writes(const VmMapEntry& entry) { return entry.shared && entry.object && entry.object->tracks_writes(); }

bool is_object_page(const VmMapEntry& entry, vaddr_t va, const VmPage* page) {
    VmPage* const its = entry.object->page_if_present((entry.offset + (va - entry.start)) >> page_shift);
    if (its)
        page_unref(its);
    return its == page;
}

/// What an entry allows on a page that others may hold too, before anybody writes to it.
Prot rights(const VmMapEntry& entry, bool others) {
    return others && (!entry.shared || tells_writes(entry)) ? entry.prot & ~Prot::write : entry.prot;
}

} // namespace

Result<VmMapEntry*> VmMapInternals::find_or_grow(VmMap& map, vaddr_t va) {
    VmMapEntry* e = first_after(map, va);
    if (e && e->start <= va) [[likely]]
        return e;
    return grow_down(map, va);
}

Result<VmMapEntry*> VmMapInternals::grow_down(VmMap& map, vaddr_t va) {
    VmMapEntry* e = first_after(map, va);
    if (!e || !e->grows_down || e->object || va < min_address ||
        e->end - va > map.stack_limit.load(std::memory_order_relaxed))
        return Errno::fault;
    if (const VmMapEntry* below = previous(map, *e); below)
        if (!below->grows_down && below->prot != Prot::none && va - below->end < stack_gap)
            return Errno::fault;
    if (!within_limit(map, e->start - va))
        return Errno::fault;
    TRY(own_entries(map));
    e = first_after(map, va);
    map.entries_->size_bytes += e->start - va;
    e->start = va; // the order of the tree stays
    return e;
}

FaultResult VmMapInternals::unshare(VmMap& map, VmMapEntry& entry, vaddr_t va, VmPage* shared,
                                    const Pmap::Claim& claim) {
    const bool zero = shared == zero_page();
    auto made = zero ? page_alloc_zeroed() : page_alloc();
    if (!made)
        return FaultResult::out_of_memory;
    if (zero)
        return enter(map.pmap_, claim, va, *made, entry.prot);
    std::memcpy(page_data(*made), page_data(shared), page_size);
    const FaultResult result = enter(map.pmap_, claim, va, *made, entry.prot);
    copied(map, entry, va, shared, claim);
    return result;
}

void VmMapInternals::copied(VmMap& map, VmMapEntry& entry, vaddr_t va, const VmPage* shared, const Pmap::Claim& claim) {
    if (entry.object && entry.object->is_image())
        entry.object->note_touched((entry.offset + (va - entry.start)) >> page_shift, true);
    if (CopiedPages& pages = map.entries_->copied_pages; pages.at(CopiedPages::capacity - 1) == 0)
        if (!entry.object || !is_object_page(entry, va, shared)) // so fork had shared it
            pages.note(va);
    if (claim.table && !entry.page_by_page && !entry.object && !has(entry.prot, Prot::exec)) {
        constexpr vaddr_t block = 16 * page_size;
        const vaddr_t end = std::min((va & ~(block - 1)) + block, entry.end);
        PmapInternals::copy_ahead(map.pmap_, claim, va, static_cast<unsigned>((end - va) >> page_shift) - 1,
                                  entry.prot);
    }
}

void VmMapInternals::write_ahead(VmMap& map, VmMapEntry& entry, vaddr_t va, const Pmap::Claim& claim) {
    constexpr unsigned run = 4;                // pages that were written one after the other before it is believed
    constexpr unsigned small = 16, large = 64; // pages in a block; the large one after a small one in full,
    constexpr unsigned largest = 512;          // and then all that one table maps: what others do with a huge page
    constexpr vaddr_t block = small * page_size;
    const vaddr_t next = va + page_size;
    if (entry.page_by_page || has(entry.prot, Prot::exec) || entry.end - entry.start < block || next >= entry.end)
        return;
    const auto pages_to = [&](vaddr_t size) {
        return static_cast<unsigned>((std::min((va & ~(size - 1)) + size, entry.end) - next) >> page_shift);
    };
    unsigned room = Pmap::room_behind_run(claim, next, large + 1, pages_to(largest * page_size));
    if (room == 0)
        room = Pmap::room_behind_run(claim, next, small + 1, pages_to(large * page_size));
    if (room == 0)
        room = Pmap::room_behind_run(claim, next, run + 1, pages_to(block));
    if (room == 0)
        return;
    const PageRun pages = page_alloc_run(room);
    if (pages.count == 0)
        return;
    auto* data = static_cast<char*>(page_data(pages.first));
    for (unsigned i = 0; i < pages.count; i++, data += page_size)
        machine::zero_page(data);
    PmapInternals::put_new(map.pmap_, claim, next, pages, entry.prot);
}

void VmMapInternals::map_around(VmMap& map, VmMapEntry& entry, vaddr_t va, const Pmap::Claim& claim) {
    constexpr size_t window = 16;
    const vaddr_t window_start = va & ~vaddr_t{window * page_size - 1};
    const vaddr_t start = std::max(entry.start, window_start);
    const vaddr_t end = std::min(entry.end, window_start + window * page_size);
    if (end - start == page_size)
        return; // it has no neighbours
    VmPage* found[window];
    const std::span<VmPage*> pages(found, (end - start) >> page_shift);
    entry.object->pages_if_present((entry.offset + (start - entry.start)) >> page_shift, pages);
    const Prot prot = rights(entry, true);
    before_mapping(pages, prot); // what is mapped already has these rights
    if (claim.table)
        return PmapInternals::put_missing(map.pmap_, claim, start, pages, prot);
    auto made = map.pmap_.claim(va, true); // the table that was just entered to: the window's, which lies in one
    ASSERT(made && made->table);
    PmapInternals::put_missing(map.pmap_, *made, start, pages, prot);
}

void VmMapInternals::bring_touched(VmMap& map, VmMapEntry& entry, vaddr_t va, bool write, const Pmap::Claim& claim) {
    switch (entry.object->note_touched((entry.offset + (va - entry.start)) >> page_shift, write)) {
    case VmObject::Noted::learning: return;
    case VmObject::Noted::unknown:
        if (!write)
            map_around(map, entry, va, claim);
        return;
    case VmObject::Noted::known: break;
    }
    Pmap::Claim own = claim;
    if (!own.table) {
        const auto made = map.pmap_.claim(va, true); // the table that was just entered to
        ASSERT(made && made->table);
        own = *made;
    }
    constexpr vaddr_t span = PmapInternals::span_of(1);
    const vaddr_t start = va & ~(span - 1), end = start + span;
    VmMapEntry* first = &entry;
    while (VmMapEntry* below = previous(map, *first)) {
        if (below->object != entry.object || below->end <= start)
            break;
        first = below;
    }
    for (VmMapEntry* e = first; e && e->object == entry.object && e->start < end; e = next(map, *e))
        if (!e->shared && !e->page_by_page && e->prot != Prot::none)
            bring_touched_in(map, *e, std::max(e->start, start), std::min(e->end, end), own);
}

void VmMapInternals::bring_touched_in(VmMap& map, VmMapEntry& entry, vaddr_t start, vaddr_t end,
                                      const Pmap::Claim& claim) {
    const bool executable = has(entry.prot, Prot::exec), copies = has(entry.prot, Prot::write) && !executable;
    const Prot prot = first_use_faults ? Prot::none : rights(entry, true);
    const uint64_t first = (entry.offset + (start - entry.start)) >> page_shift,
                   last = first + ((end - start) >> page_shift) - 1;
    const unsigned first_entry = Pte::index(start, 0);
    VmPage* pages[64];
    for (uint64_t group = first & ~uint64_t{63}; group <= last; group += 64) {
        uint64_t among = ~uint64_t{0};
        if (group < first)
            among <<= first - group;
        if (last - group < 63)
            among &= (uint64_t{2} << (last - group)) - 1;
        const VmObject::Touched found = entry.object->touched_pages(group, among, pages);
        const uint64_t copied = copies ? found.written : 0;
        if (found.needed == 0)
            continue;
        uint64_t groups = 0;
        int64_t resident = 0;
        std::atomic_thread_fence(std::memory_order_release); // of what the pages hold
        for_each_bit(found.needed, [&](unsigned i) {
            VmPage* const page = pages[i];
            const unsigned at = first_entry + static_cast<unsigned>(group + i - first);
            Pte& place = claim.table[at];
            // One whose instructions harts do not fetch yet waits for its own fault.
            if (!Table::is_empty(Table::load(place)) || (executable && !fetched(page))) {
                page_unref(page);
            } else if (copied >> i & 1) {
                const PageRun made = page_alloc_run(1);
                if (made.count != 0) {
                    std::memcpy(page_data(made.first), page_data(page), page_size);
                    PmapInternals::put_new(map.pmap_, claim, start + ((group + i - first) << page_shift), made,
                                           entry.prot);
                }
                page_unref(page);
            } else {
                const Pte value = Pte::leaf(page_pa(page), prot, true);
                __atomic_store(&place, &value, __ATOMIC_RELAXED);
                groups |= uint64_t{1} << at / Table::group;
                resident++;
            }
        });
        claim.record->owner |= groups;
        PmapInternals::add_resident(map.pmap_, resident);
    }
}

FaultResult VmMapInternals::make_present(VmMap& map, VmMapEntry& entry, vaddr_t va, bool write,
                                         const Pmap::Claim& claim) {
    if (!entry.object) {
        if (!write) {
            page_ref(zero_page());
            const FaultResult result = enter(map.pmap_, claim, va, zero_page(), rights(entry, true));
            if (claim.table && !has(entry.prot, Prot::exec)) {
                constexpr vaddr_t block = 32 * page_size; // read page by page, upwards: the rest of one comes too
                const vaddr_t end = std::min((va & ~(block - 1)) + block, entry.end);
                PmapInternals::zeros_ahead(claim, va, static_cast<unsigned>((end - va) >> page_shift) - 1,
                                           rights(entry, true));
            }
            return result;
        }
        auto made = page_alloc_zeroed();
        if (!made)
            return FaultResult::out_of_memory;
        const FaultResult result = enter(map.pmap_, claim, va, *made, entry.prot);
        if (claim.table)
            write_ahead(map, entry, va, claim);
        return result;
    }
    auto page = entry.object->page((entry.offset + (va - entry.start)) >> page_shift);
    if (!page)
        return page.error() == Errno::nomem ? FaultResult::out_of_memory : FaultResult::beyond_end;
    if (write && !entry.shared) {
        const FaultResult result = unshare(map, entry, va, *page, claim);
        page_unref(*page);
        if (result == FaultResult::ok && entry.object->is_image())
            bring_touched(map, entry, va, true, claim);
        return result;
    }
    Prot prot = rights(entry, true);
    if (write && tells_writes(entry)) {
        if (!entry.object->before_write((entry.offset + (va - entry.start)) >> page_shift, *page)) {
            page_unref(*page);
            return FaultResult::beyond_end;
        }
        prot = entry.prot;
    }
    const FaultResult result = enter(map.pmap_, claim, va, *page, prot);
    if (result != FaultResult::ok || write)
        return result;
    if (!entry.shared && entry.object->is_image())
        bring_touched(map, entry, va, false, claim);
    else
        map_around(map, entry, va, claim);
    return result;
}

bool VmMapInternals::resolve_in(Table leaf, VmMap& map, VmMapEntry& entry, vaddr_t va, FaultResult& result) {
    Pmap& pmap = map.pmap_;
    const unsigned i = Pte::index(va, 0);
    const Pte old = leaf.get(i);
    const Pmap::Claim claim{{}, leaf.entries, leaf.record};
    if (Table::is_empty(old)) {
        if (entry.object)
            return false;
        auto made = page_alloc_zeroed();
        if (!made) {
            result = FaultResult::out_of_memory;
            return true;
        }
        leaf.set(i, Pte::leaf(page_pa(*made), entry.prot, true)); // no flush: see PmapInternals::put
        PmapInternals::add_resident(pmap, 1);
        if (!entry.page_by_page)
            write_ahead(map, entry, va, claim);
    } else {
        VmPage* const shared = page_at(old.address());
        if (has(old.prot(), Prot::write) || shared == zero_page())
            return false;
        result = FaultResult::ok;
        if (is_sole(shared)) { // it was protected, or others let go of it
            before_mapping(std::span(&shared, 1), entry.prot);
            pmap.raise_prot(va, entry.prot);
            return true;
        }
        auto made = page_alloc();
        if (!made) {
            result = FaultResult::out_of_memory;
            return true;
        }
        std::memcpy(page_data(*made), page_data(shared), page_size);
        leaf.set(i, Pte::leaf(page_pa(*made), entry.prot, true));
        machine::tlb_shootdown(pmap.space(), va, page_size);
        copied(map, entry, va, shared, claim);
        page_unref(shared);
    }
    result = FaultResult::ok;
    return true;
}

FaultResult VmMapInternals::resolve(VmMap& map, VmMapEntry& entry, vaddr_t va, Prot access) {
    const bool write = has(access, Prot::write);
    auto claimed = map.pmap_.claim(va, write);
    if (claimed && claimed->mapping.page && !has(claimed->mapping.prot, access) && !claimed->table)
        claimed = map.pmap_.claim(va, true); // rights are added in tables of its own only
    if (!claimed)
        return FaultResult::out_of_memory;
    const Pmap::Mapping& mapping = claimed->mapping;
    if (!mapping.page)
        return make_present(map, entry, va, write, *claimed);
    if (has(mapping.prot, access)) {
        // It was the table that was shared, or another thread was faster, or this hart remembered an older entry; or it
        // wants the accessed or dirty bit set, which this does. (A shared table's entries have the former.)
        if (claimed->table)
            map.pmap_.raise_prot(va, mapping.prot);
        else
            machine::tlb_flush_local(map.pmap_.space(), va, page_size);
        return FaultResult::ok;
    }
    const bool sole = is_sole(mapping.page);
    if (write && !sole && !entry.shared)
        return unshare(map, entry, va, mapping.page, *claimed);
    Prot prot = rights(entry, !sole);
    if (tells_writes(entry)) {
        if (write && !entry.object->before_write((entry.offset + (va - entry.start)) >> page_shift, mapping.page))
            return FaultResult::beyond_end;
        prot = write ? entry.prot : (entry.prot & ~Prot::write) | (mapping.prot & Prot::write);
    }
    if (prot != mapping.prot) {
        before_mapping(std::span(&mapping.page, 1), prot);
        map.pmap_.raise_prot(va, prot);
    }
    return FaultResult::ok;
}

FaultResult VmMap::fault(vaddr_t address, Prot access) {
    const vaddr_t va = page_floor(address);
    if (va >= VmMapInternals::user_end)
        return FaultResult::no_mapping;
    MutexGuard guard(lock_);
    const auto entry = VmMapInternals::find_or_grow(*this, va);
    if (!entry)
        return entry.error() == Errno::nomem ? FaultResult::out_of_memory : FaultResult::no_mapping;
    if (!allows((*entry)->prot, access))
        return FaultResult::protection;
    if (access == Prot::write && !(*entry)->shared && !has((*entry)->prot, Prot::exec) && !first_use_faults)
        if (const Pte* link = PmapInternals::link_of(pmap_, va); link && Table::load(*link).valid()) {
            const Table leaf = Table::behind(Table::load(*link));
            FaultResult result;
            if (leaf.is_sole() && !leaf.is_sealed() && VmMapInternals::resolve_in(leaf, *this, **entry, va, result))
                return result;
        }
    return VmMapInternals::resolve(*this, **entry, va, access);
}

void VmMapInternals::bring_code(VmMap& map, vaddr_t at) {
    const vaddr_t va = page_floor(at);
    MutexGuard guard(map.lock_);
    VmMapEntry* const entry = find(map, va);
    if (!entry || !entry->object || entry->shared || !has(entry->prot, Prot::exec))
        return;
    const auto page = entry->object->page((entry->offset + (va - entry->start)) >> page_shift);
    if (!page)
        return;
    const auto leaf = PmapInternals::leaf_for(map.pmap_, va);
    const unsigned i = Pte::index(va, 0);
    if (!leaf || !Table::is_empty(leaf->get(i)))
        return page_unref(*page);
    const Prot prot = rights(*entry, true);
    before_mapping(std::span(&*page, 1), prot);
    leaf->set(i, Pte::leaf(page_pa(*page), first_use_faults ? Prot::none : prot, true));
    PmapInternals::add_resident(map.pmap_, 1);
    const Pmap::Claim claim{{}, leaf->entries, leaf->record};
    if (entry->object->is_image())
        bring_touched(map, *entry, va, false, claim);
    else
        map_around(map, *entry, va, claim);
}

void bring_code_in_new(VmMap& map, vaddr_t va) { VmMapInternals::bring_code(map, va); }

Result<void> VmMapInternals::cut_off(VmMap& map, vaddr_t at) {
    const vaddr_t va = page_floor(at);
    const size_t kept = at & page_mask;
    MutexGuard guard(map.lock_);
    VmMapEntry* const entry = find(map, va);
    ASSERT(entry && entry->object && !entry->shared && kept != 0);
    auto page = entry->object->page((entry->offset + (va - entry->start)) >> page_shift);
    if (!page)
        return Errno::nomem;
    auto made = page_alloc();
    if (made) {
        auto* const data = static_cast<char*>(page_data(*made));
        std::memcpy(data, page_data(*page), kept);
        std::memset(data + kept, 0, page_size - kept);
    }
    page_unref(*page);
    if (!made || enter(map.pmap_, {}, va, *made, entry->prot) != FaultResult::ok)
        return Errno::nomem;
    if (entry->object->is_image())
        bring_touched(map, *entry, va, true, {});
    return {};
}

Result<void> cut_off_in_new(VmMap& map, vaddr_t at) { return VmMapInternals::cut_off(map, at); }

size_t VmMap::read_memory(vaddr_t from, void* to, size_t n, bool force) {
    size_t done = 0;
    while (done < n && from + done < VmMapInternals::user_end) {
        const vaddr_t at = from + done, va = page_floor(at);
        const size_t part = std::min<size_t>(n - done, page_size - (at - va));
        MutexGuard guard(lock_);
        const auto found = VmMapInternals::find_or_grow(*this, va);
        VmMapEntry* entry = found ? *found : nullptr;
        if (!entry || !has(force ? entry->max_prot : entry->prot, Prot::read))
            break;
        if (!pmap_.lookup(va).page && VmMapInternals::make_present(*this, *entry, va, false, {}) != FaultResult::ok)
            break;
        std::memcpy(static_cast<char*>(to) + done,
                    static_cast<const char*>(page_data(pmap_.lookup(va).page)) + (at - va), part);
        done += part;
    }
    return done;
}

size_t VmMap::write_memory(vaddr_t to, const void* from, size_t n, bool force) {
    size_t done = 0;
    while (done < n && to + done < VmMapInternals::user_end) {
        const vaddr_t at = to + done, va = page_floor(at);
        const size_t part = std::min<size_t>(n - done, page_size - (at - va));
        // The lock is held during the copy: a fork in between would share the page that is written.
        MutexGuard guard(lock_);
        const auto found = VmMapInternals::find_or_grow(*this, va);
        VmMapEntry* entry = found ? *found : nullptr;
        // Force makes copies of what is private; it never changes what others share.
        const Prot prot = entry && force && !entry->shared ? entry->max_prot : entry ? entry->prot : Prot::none;
        if (!has(prot, Prot::write))
            break;
        if (VmMapInternals::resolve(*this, *entry, va, Prot::write) != FaultResult::ok)
            break;
        VmPage* page = pmap_.lookup(va).page;
        std::memcpy(static_cast<char*>(page_data(page)) + (at - va), static_cast<const char*>(from) + done, part);
        if (fetched(page))
            page->flags.fetch_and(~uint32_t{page_icache_ok}, std::memory_order_relaxed);
        if (has(entry->prot, Prot::exec))
            machine::sync_instructions(HartSet::all());
        done += part;
    }
    return done;
}

} // namespace lentil

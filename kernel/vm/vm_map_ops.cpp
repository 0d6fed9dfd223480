// SPDX-License-Identifier: BSD-2-Clause
// The map's smaller operations: protection, advice, the heap's end, what is resident, totals.
#include <algorithm>

#include <vm/vm_map_internal.hpp>

namespace lentil {

using I = VmMapInternals;

Result<void> VmMap::protect(vaddr_t start, uint64_t length, Prot prot) {
    const PageRange range = TRY(PageRange::of(start, length));
    MutexGuard guard(lock_);
    bool allowed = true, less = false, changes = false;
    VmMapEntry* at = I::first_after(*this, range.start);
    for (vaddr_t to = range.start; to < range.end; at = I::next(*this, *at)) {
        if (!at || at->start > to)
            return Errno::nomem;
        allowed = allowed && machine::has(at->max_prot, prot);
        less = less || !machine::has(prot, at->prot);
        changes = changes || at->prot != prot;
        to = at->end;
    }
    if (!allowed)
        return Errno::acces;
    if (!changes)
        return {};
    TRY(I::own_entries(*this));
    if (less)
        TRY(pmap_.prepare_restrict(range.start, range.end, prot));
    TRY(I::split(*this, range.start, range.end));
    I::for_each(*this, range.start, range.end, [&](VmMapEntry& e, vaddr_t, vaddr_t) { e.prot = prot; });
    if (less) // new rights come with the next fault
        pmap_.restrict_prot(range.start, range.end, prot);
    I::merge(*this, range.start, range.end);
    return {};
}

Result<void> VmMap::advise(vaddr_t start, uint64_t length, Advice advice) {
    const PageRange range = TRY(PageRange::of(start, length));
    MutexGuard guard(lock_);
    bool refused = false;
    I::for_each(*this, range.start, range.end, [&](VmMapEntry& e, vaddr_t, vaddr_t) {
        if (advice == Advice::wipe_on_fork || advice == Advice::free)
            refused = refused || e.object;
    });
    if (refused)
        return Errno::inval;
    const bool whole = I::is_mapped(*this, range.start, range.end);
    switch (advice) {
    case Advice::dont_need:
    case Advice::free:
        // Private pages vanish; what an object holds is found again by the next fault.
        TRY(pmap_.prepare_remove(range.start, range.end));
        pmap_.remove(range.start, range.end);
        break;
    case Advice::dont_fork:
    case Advice::do_fork:
    case Advice::wipe_on_fork:
    case Advice::keep_on_fork:
    case Advice::page_by_page:
    case Advice::any_pages:
        TRY(I::own_entries(*this));
        TRY(I::split(*this, range.start, range.end));
        entries_->some_dont_fork = entries_->some_dont_fork || advice == Advice::dont_fork;
        entries_->some_wipe = entries_->some_wipe || advice == Advice::wipe_on_fork;
        I::for_each(*this, range.start, range.end, [&](VmMapEntry& e, vaddr_t, vaddr_t) {
            if (advice == Advice::dont_fork || advice == Advice::do_fork)
                e.dont_fork = advice == Advice::dont_fork;
            else if (advice == Advice::page_by_page || advice == Advice::any_pages)
                e.page_by_page = advice == Advice::page_by_page;
            else
                e.wipe_on_fork = advice == Advice::wipe_on_fork;
        });
        I::merge(*this, range.start, range.end);
        break;
    default: break; // a hint that changes nothing here
    }
    if (!whole)
        return Errno::nomem; // what is mapped was advised, as on Linux
    return {};
}

Result<void> VmMap::resident(vaddr_t start, std::span<uint8_t> out) {
    const PageRange range = TRY(PageRange::of(start, out.size() << page_shift));
    MutexGuard guard(lock_);
    if (!I::is_mapped(*this, range.start, range.end))
        return Errno::nomem;
    I::for_each(*this, range.start, range.end, [&](VmMapEntry& e, vaddr_t from, vaddr_t to) {
        for (vaddr_t va = from; va < to; va += page_size) {
            bool present = pmap_.lookup(va).page;
            if (!present && e.object) {
                VmPage* page = e.object->page_if_present((e.offset + (va - e.start)) >> page_shift);
                present = page;
                if (page)
                    page_unref(page);
            }
            out[(va - range.start) >> page_shift] = present;
        }
    });
    return {};
}

Result<void> VmMap::check_mapped(vaddr_t start, uint64_t length) {
    const PageRange range = TRY(PageRange::of(start, length));
    MutexGuard guard(lock_);
    if (!I::is_mapped(*this, range.start, range.end))
        return Errno::nomem;
    return {};
}

Result<void> VmMap::sync(vaddr_t start, uint64_t length) {
    const PageRange range = TRY(PageRange::of(start, length));
    for (vaddr_t at = range.start; at < range.end;) {
        RefPtr<VmObject> object;
        RefPtr<MappedFile> file; // keeps what the object belongs to
        uint64_t from = 0, to = 0;
        {
            MutexGuard guard(lock_);
            VmMapEntry* e = I::find(*this, at);
            if (!e)
                return Errno::nomem;
            const vaddr_t end = std::min(e->end, range.end);
            if (e->shared && e->object && e->object->tracks_writes()) {
                object = e->object;
                file = e->file;
                from = e->offset + (at - e->start);
                to = e->offset + (end - e->start);
            }
            at = end;
        }
        if (object)
            TRY(object->sync_range(from, to));
    }
    return {};
}

void VmMap::init_break(vaddr_t start) {
    MutexGuard guard(lock_);
    layout.break_start = layout.break_end = start;
}

vaddr_t VmMap::set_break(vaddr_t end, uint64_t data_limit) {
    DeadEntries dead;
    MutexGuard guard(lock_);
    const vaddr_t now = layout.break_end;
    if (end < layout.break_start || end >= I::user_end || layout.break_start == 0)
        return now;
    const vaddr_t old_top = page_ceil(now), new_top = page_ceil(end);
    if (new_top < old_top) {
        if (!I::unmap(*this, new_top, old_top, dead))
            return now;
    } else if (new_top > old_top) {
        if (end - layout.break_start > data_limit || !I::within_limit(*this, new_top - old_top) ||
            !I::own_entries(*this))
            return now;
        VmMapEntry* below = I::first_after(*this, old_top - 1);
        const VmMapEntry* above = below;
        if (below && below->start < old_top) {
            if (below->end > old_top)
                return now;
            above = I::next(*this, *below);
        } else {
            below = nullptr;
        }
        if (above && I::room_end(*above) < new_top)
            return now;
        if (below && below->kind == EntryKind::heap && !below->object && below->prot == (Prot::read | Prot::write)) {
            below->end = new_top;
            entries_->size_bytes += new_top - old_top;
        } else {
            auto entry = I::new_entry();
            if (!entry || entries_->count >= I::max_entries) {
                if (entry)
                    zone_delete(*entry);
                return now;
            }
            (*entry)->start = old_top;
            (*entry)->end = new_top;
            (*entry)->prot = Prot::read | Prot::write;
            (*entry)->max_prot = Prot::read | Prot::write | Prot::exec;
            (*entry)->kind = EntryKind::heap;
            I::insert(*this, *entry);
        }
    }
    layout.break_end = end;
    return end;
}

Result<VmMap::FutexKey> VmMap::futex_key(vaddr_t va, bool process_private) {
    const FutexKey own{reinterpret_cast<uintptr_t>(this), va};
    if (va >= I::user_end)
        return Errno::fault;
    if (process_private)
        return own;
    MutexGuard guard(lock_);
    const VmMapEntry* entry = I::find(*this, va);
    if (!entry)
        return Errno::fault;
    if (!entry->shared)
        return own;
    return FutexKey{reinterpret_cast<uintptr_t>(entry->object.get()), entry->offset + (va - entry->start)};
}

VmMap::Totals VmMap::totals() {
    Totals t;
    MutexGuard guard(lock_);
    for (const VmMapEntry& e : entries_->tree) {
        const uint64_t size = e.end - e.start;
        t.size += size;
        if (e.kind == EntryKind::stack || e.grows_down)
            t.stack += size;
        else if (!e.shared && machine::has(e.prot, Prot::write))
            t.data += size;
        if (machine::has(e.prot, Prot::exec))
            t.text += size;
        if (e.object) {
            // Private copies of a file's pages are writable, or were; the rest is the file's.
            struct Count {
                bool shared;
                uint64_t pages;
            } count{e.shared, 0};
            pmap_.for_each(
                e.start, e.end,
                [](vaddr_t, const Pmap::Mapping& mapping, void* context) {
                    auto& c = *static_cast<Count*>(context);
                    c.pages += c.shared || !machine::has(mapping.prot, Prot::write);
                },
                &count);
            t.shared_resident += count.pages << page_shift;
        }
    }
    t.resident = pmap_.resident() << page_shift;
    t.peak_resident = pmap_.peak_resident() << page_shift;
    t.page_tables = pmap_.table_pages() << page_shift;
    t.entries = entries_->count;
    return t;
}

uint64_t VmMap::own_pages() {
    uint64_t pages = 0;
    MutexGuard guard(lock_);
    for (const VmMapEntry& e : entries_->tree)
        pmap_.for_each(
            e.start, e.end,
            [](vaddr_t, const Pmap::Mapping& mapping, void* context) {
                const bool sole = mapping.other_tables == 0 && mapping.page->refs.load(std::memory_order_relaxed) == 1;
                *static_cast<uint64_t*>(context) += sole;
            },
            &pages);
    return pages;
}

void VmMap::for_each_entry(void (*visit)(const VmMapEntry&, void*), void* context) {
    MutexGuard guard(lock_);
    for (const VmMapEntry& e : entries_->tree)
        visit(e, context);
}

} // namespace lentil

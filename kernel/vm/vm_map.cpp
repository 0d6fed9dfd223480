// SPDX-License-Identifier: BSD-2-Clause
// The map's entries: finding, splitting, merging; map and unmap. An operation that can fail does so before it
// changes anything that user mode can see: entries are allocated first, and a split alone changes nothing.
#include <algorithm>

#include <sched/sched.hpp>
#include <vm/vm_map_build.hpp>
#include <vm/vm_map_internal.hpp>

namespace lentil {

DeadEntries::~DeadEntries() {
    while (!list_.empty()) {
        auto& entry = static_cast<VmMapEntry&>(list_.front());
        list_.pop_front();
        zone_delete(&entry);
    }
}

// ---- entries ----------------------------------------------------------------------------------------------

VmMapEntry* VmMapInternals::search(VmMap& map, vaddr_t va) {
    auto it = map.entries_->tree.upper_bound(va);
    if (it != map.entries_->tree.begin())
        if (auto before = std::prev(it); before->end > va)
            return map.last_found_ = &*before;
    return it != map.entries_->tree.end() ? &*it : nullptr;
}

VmMapEntry* VmMapInternals::find(VmMap& map, vaddr_t va) {
    VmMapEntry* entry = first_after(map, va);
    return entry && entry->start <= va ? entry : nullptr;
}

VmMapEntry* VmMapInternals::next(VmMap& map, VmMapEntry& entry) {
    auto it = std::next(map.entries_->tree.iterator_to(entry));
    return it != map.entries_->tree.end() ? &*it : nullptr;
}

VmMapEntry* VmMapInternals::previous(VmMap& map, VmMapEntry& entry) {
    auto it = map.entries_->tree.iterator_to(entry);
    return it != map.entries_->tree.begin() ? &*std::prev(it) : nullptr;
}

bool VmMapInternals::is_mapped(VmMap& map, vaddr_t start, vaddr_t end) {
    for (VmMapEntry* e = first_after(map, start); start < end; e = next(map, *e)) {
        if (!e || e->start > start)
            return false;
        start = e->end;
    }
    return true;
}

namespace {

bool alike(const VmMapEntry& a, const VmMapEntry& b) {
    return a.end == b.start && a.prot == b.prot && a.max_prot == b.max_prot && a.shared == b.shared && !a.grows_down &&
           !b.grows_down && a.wipe_on_fork == b.wipe_on_fork && a.dont_fork == b.dont_fork &&
           a.page_by_page == b.page_by_page && a.kind == b.kind && a.object == b.object && a.file == b.file &&
           (!a.object || a.offset + (a.end - a.start) == b.offset) && a.truncation == b.truncation;
}

} // namespace

bool VmMapInternals::is_free(VmMap& map, vaddr_t start, vaddr_t end, bool respect_gap) {
    const VmMapEntry* e = first_after(map, start);
    return !e || (respect_gap && e->start >= end ? room_end(*e) : e->start) >= end;
}

Result<vaddr_t> VmMapInternals::find_space(VmMap& map, uint64_t length, vaddr_t alignment) {
    auto below = [&](vaddr_t top) -> vaddr_t {
        auto it = map.entries_->tree.lower_bound(top); // from here on entries do not matter, but for a stack's distance
        if (it != map.entries_->tree.end())
            top = std::min(top, room_end(*it));
        for (;;) {
            const vaddr_t bottom =
                it == map.entries_->tree.begin() ? min_address : std::max(std::prev(it)->end, min_address);
            if (top > bottom && top - bottom >= length) {
                const vaddr_t aligned = (top - length) & ~(alignment - 1);
                return aligned >= bottom ? aligned : top - length;
            }
            if (it == map.entries_->tree.begin())
                return 0;
            --it;
            top = std::min(top, room_end(*it));
        }
    };
    const vaddr_t base = map.layout.mmap_base;
    vaddr_t found = base != 0 ? below(base) : 0;
    if (found == 0)
        found = below(user_end);
    if (found == 0)
        return Errno::nomem;
    return found;
}

void VmMapInternals::copy_attributes(VmMapEntry& to, const VmMapEntry& from) {
    to.prot = from.prot;
    to.max_prot = from.max_prot;
    to.shared = from.shared;
    to.grows_down = from.grows_down;
    to.wipe_on_fork = from.wipe_on_fork;
    to.dont_fork = from.dont_fork;
    to.page_by_page = from.page_by_page;
    to.kind = from.kind;
    to.object = from.object;
    to.file = from.file;
}

void VmMapInternals::insert(VmMap& map, VmMapEntry* entry, const VmMapEntry* like) {
    VmEntries& entries = *map.entries_;
    entries.tree.insert(*entry);
    link(entries, entry, like);
}

void VmMapInternals::append(VmEntries& entries, VmMapEntry* entry, const VmMapEntry* like) {
    entries.tree.push_back(*entry);
    link(entries, entry, like);
}

void VmMapInternals::detach(VmMap& map, VmMapEntry& entry, DeadEntries& dead) {
    if (entry.object)
        entry.object->remove_mapping(entry);
    map.entries_->size_bytes -= entry.end - entry.start;
    map.entries_->count--;
    map.entries_->tree.erase(map.entries_->tree.iterator_to(entry));
    map.last_found_ = nullptr;
    dead.add(&entry);
}

void VmMapInternals::link(VmEntries& entries, VmMapEntry* entry, const VmMapEntry* like) {
    entry->entries = &entries;
    entries.count++;
    entries.size_bytes += entry->end - entry->start;
    entries.some_dont_fork = entries.some_dont_fork || entry->dont_fork;
    entries.some_wipe = entries.some_wipe || entry->wipe_on_fork;
    entries.some_attached = entries.some_attached || entry->kind == EntryKind::attached;
    if (entry->object)
        entry->object->add_mapping(*entry, like);
}

Result<void> VmMapInternals::split(VmMap& map, vaddr_t start, vaddr_t end) {
    if (start >= end)
        return {};
    // `low` holds both ends, or `high` the upper one; nullptr where nothing is to be cut.
    VmMapEntry* low = first_after(map, start);
    if (!low || low->start >= end)
        return {};
    VmMapEntry* high = low->end >= end ? low : find(map, end);
    if (low->start >= start)
        low = nullptr;
    if (high && (high->start >= end || high->end <= end))
        high = nullptr;
    const unsigned wanted = (low != nullptr) + (high != nullptr);
    if (wanted == 0)
        return {};
    if (map.entries_->count + wanted > max_entries)
        return Errno::nomem;
    VmMapEntry* spare[2] = {};
    for (unsigned i = 0; i < wanted; i++) {
        auto made = new_entry();
        if (!made) {
            if (spare[0])
                zone_delete(spare[0]);
            return made.error();
        }
        spare[i] = *made;
    }
    VmEntries& entries = *map.entries_;
    const auto cut = [&](VmMapEntry* lower, VmMapEntry* upper, vaddr_t at) {
        copy_attributes(*upper, *lower);
        upper->start = at;
        upper->end = lower->end;
        upper->offset = lower->object ? lower->offset + (at - lower->start) : 0;
        entries.size_bytes -= lower->end - at;
        lower->end = at;
        entries.tree.insert_before(std::next(entries.tree.iterator_to(*lower)), *upper);
        link(entries, upper, lower);
        return upper;
    };
    if (low) {
        VmMapEntry* upper = cut(low, spare[0], start);
        if (high == low)
            high = upper;
    }
    if (high)
        cut(high, spare[wanted - 1], end);
    return {};
}

void VmMapInternals::merge(VmMap& map, vaddr_t start, vaddr_t end) {
    VmMapEntry* e = first_after(map, start > 0 ? start - 1 : 0);
    while (e && e->start <= end) {
        VmMapEntry* following = next(map, *e);
        if (!following || !alike(*e, *following)) {
            e = following;
            continue;
        }
        // Not among the dead: whatever it refers to, `e` does too.
        if (following->object)
            following->object->remove_mapping(*following);
        map.entries_->tree.erase(map.entries_->tree.iterator_to(*following));
        map.last_found_ = nullptr;
        map.entries_->count--;
        e->end = following->end;
        zone_delete(following);
    }
}

Result<void> VmMapInternals::prepare_remove(VmMap& map, vaddr_t start, vaddr_t end) {
    TRY(own_entries(map));
    TRY(map.pmap_.prepare_remove(start, end));
    return split(map, start, end);
}

void VmMapInternals::remove(VmMap& map, vaddr_t start, vaddr_t end, DeadEntries& dead) {
    bool any = false;
    for_each(map, start, end, [&](VmMapEntry& entry, vaddr_t, vaddr_t) {
        detach(map, entry, dead);
        any = true;
    });
    if (any)
        map.pmap_.remove(start, end);
}

Result<void> VmMapInternals::unmap(VmMap& map, vaddr_t start, vaddr_t end, DeadEntries& dead) {
    VmMapEntry* e = first_after(map, start);
    if (!e || e->start >= end)
        return {};
    TRY(own_entries(map));
    e = first_after(map, start);
    const bool from_start = e->start >= start, to_end = e->end <= end;
    VmMapEntry* following = to_end ? next(map, *e) : nullptr;
    if ((!from_start && !to_end) || (following && following->start < end)) { // a piece out of one, or more than one
        TRY(map.pmap_.prepare_remove(start, end));
        TRY(split(map, start, end));
        remove(map, start, end, dead);
        return {};
    }
    TRY(map.pmap_.prepare_remove(start, end));
    if (from_start && to_end) {
        detach(map, *e, dead);
    } else if (to_end) {
        map.entries_->size_bytes -= e->end - start;
        e->end = start;
    } else {
        map.entries_->size_bytes -= end - e->start;
        e->offset = e->object ? e->offset + (end - e->start) : 0;
        e->start = end; // the order of the tree stays
    }
    map.pmap_.remove(start, end);
    return {};
}

bool VmMapInternals::within_limit(VmMap& map, uint64_t more) {
    const uint64_t limit = map.size_limit.load(std::memory_order_relaxed);
    return map.entries_->size_bytes + more <= limit;
}

namespace {

/// Truncation has no way to fail: where a shared table must be copied and there is no memory, it waits for some.
void remove_for_certain(Pmap& pmap, vaddr_t start, vaddr_t end) {
    for (unsigned tries = 0; !pmap.prepare_remove(start, end); tries++)
        if (tries > 0)
            thread_yield();
    pmap.remove(start, end);
}

} // namespace

void VmMapInternals::truncate(VmMap& map, VmObject& object, uint64_t first) {
    const uint64_t end_offset = first << page_shift;
    for (const VmMapEntry& entry : map.entries_->tree) {
        if (entry.object.get() != &object)
            continue;
        const uint64_t keep = end_offset > entry.offset ? end_offset - entry.offset : 0;
        if (keep < entry.end - entry.start)
            remove_for_certain(map.pmap_, entry.start + keep, entry.end);
    }
}

void VmMapInternals::write_protect(VmMap& map, VmObject& object, uint64_t first, uint64_t last) {
    for (const VmMapEntry& entry : map.entries_->tree) {
        if (entry.object.get() != &object)
            continue;
        const uint64_t begin = std::max(entry.offset, first << page_shift);
        const uint64_t end = std::min(entry.offset + (entry.end - entry.start), (last + 1) << page_shift);
        if (entry.shared && has(entry.prot, Prot::write) && begin < end)
            map.pmap_.restrict_prot(entry.start + (begin - entry.offset), entry.start + (end - entry.offset),
                                    entry.prot & ~Prot::write);
    }
}

void VmMapInternals::forget_shared(VmMap& map, VmObject& object, uint64_t first, uint64_t last) {
    for (const VmMapEntry& entry : map.entries_->tree) {
        if (entry.object.get() != &object)
            continue;
        const uint64_t begin = std::max(entry.offset, first << page_shift);
        const uint64_t end = std::min(entry.offset + (entry.end - entry.start), (last + 1) << page_shift);
        if (entry.shared && begin < end)
            remove_for_certain(map.pmap_, entry.start + (begin - entry.offset), entry.start + (end - entry.offset));
    }
}

// ---- the map ----------------------------------------------------------------------------------------------

Result<RefPtr<VmMap>> VmMap::create() {
    auto map = TRY(make_ref<VmMap>());
    map->entries_ = TRY(make_ref<VmEntries>());
    map->entries_->join(map->sharers_[0], nullptr);
    TRY(map->pmap_.init());
    return map;
}

VmMap::~VmMap() {
    ASSERT(pmap_.space().active.load().empty()); // whoever dropped it runs on kernel_space() by now
    if (!entries_)
        return;
    entries_->leave(sharers_[sharer_]);
    entries_.reset();
}

Result<vaddr_t> VmMap::map(const MapRequest& request) {
    using I = VmMapInternals;
    if (request.length == 0)
        return Errno::inval;
    if (request.length > I::user_end)
        return Errno::nomem;
    const uint64_t length = page_ceil(request.length);
    if (!is_page_aligned(request.offset) || (request.fixed && !is_page_aligned(request.address)))
        return Errno::inval;
    if (request.fixed && (request.address >= I::user_end || length > I::user_end - request.address))
        return Errno::nomem;
    if (request.fixed && request.address < I::min_address)
        return Errno::perm;

    if (request.offset > ~uint64_t{0} - length)
        return Errno::overflow;

    RefPtr<VmObject> object = request.object;
    if (!object && request.shared)
        object = TRY(VmObject::create(length));
    VmMapEntry* entry = TRY(I::new_entry());
    I::image_begins(request);
    DeadEntries dead;
    Result<vaddr_t> result = [&]() -> Result<vaddr_t> {
        MutexGuard guard(lock_);
        vaddr_t at = 0;
        if (request.fixed) {
            at = request.address;
            if (!I::is_free(*this, at, at + length, false)) {
                if (request.no_replace)
                    return Errno::exist;
                uint64_t replaced = 0;
                I::for_each(*this, at, at + length,
                            [&](VmMapEntry&, vaddr_t from, vaddr_t to) { replaced += to - from; });
                if (length > replaced && !I::within_limit(*this, length - replaced))
                    return Errno::nomem;
                TRY(I::prepare_remove(*this, at, at + length));
                I::remove(*this, at, at + length, dead);
            } else if (!I::within_limit(*this, length)) {
                return Errno::nomem;
            }
        } else {
            if (!I::within_limit(*this, length))
                return Errno::nomem;
            at = page_floor(request.address);
            if (at < I::min_address || at > I::user_end - length || !I::is_free(*this, at, at + length, true))
                at = TRY(I::find_space(*this, length, object ? page_size : I::alignment_for(length)));
        }
        if (entries_->count >= I::max_entries)
            return Errno::nomem;
        TRY(I::own_entries(*this));
        entry->start = at;
        entry->end = at + length;
        entry->prot = request.prot;
        entry->max_prot = request.max_prot;
        entry->shared = request.shared;
        entry->grows_down = request.grows_down;
        entry->kind = request.kind;
        entry->object = std::move(object);
        entry->offset = entry->object ? request.offset : 0;
        entry->file = request.file;
        I::insert(*this, entry);
        entry = nullptr;
        I::merge(*this, at, at + length);
        return at;
    }();
    if (entry)
        zone_delete(entry);
    if (result && request.populate && request.prot != Prot::none) {
        const Prot access = machine::has(request.prot, Prot::write)  ? Prot::write
                            : machine::has(request.prot, Prot::read) ? Prot::read
                                                                     : Prot::exec;
        for (vaddr_t va = *result; va < *result + length; va += page_size)
            if (fault(va, access) != FaultResult::ok)
                break; // as Linux: what does not fit comes, or fails, later
    }
    return result;
}

Result<void> VmMapInternals::build(VmMap& map, const NewMapping& wanted) {
    const vaddr_t start = wanted.start, end = wanted.end;
    VmObject* const object = wanted.object;
    constexpr Prot all = Prot::read | Prot::write | Prot::exec;
    if (((start | end | wanted.offset) & page_mask) == 0 && start >= min_address && start < end && end <= user_end &&
        wanted.offset <= ~uint64_t{0} - (end - start)) {
        if (object && wanted.file && machine::has(wanted.prot, Prot::exec))
            object->image_begins();
        auto made = zone_new<VmMapEntry>(start, end, wanted.prot, all);
        if (!made)
            return made.error();
        VmMapEntry* const entry = *made;
        entry->grows_down = wanted.grows_down;
        entry->kind = wanted.kind;
        entry->object = RefPtr<VmObject>(object);
        entry->offset = object ? wanted.offset : 0;
        entry->file = RefPtr<MappedFile>(wanted.file);
        // Through its object the map can be found already.
        MutexGuard guard(map.lock_);
        VmEntries& entries = *map.entries_;
        const auto last = entries.tree.empty() ? entries.tree.end() : std::prev(entries.tree.end());
        const bool behind_all =
            last == entries.tree.end() || last->end < start ||
            (last->end == start && (last->object.get() != object || last->prot != wanted.prot)); // else they merge
        if (behind_all && entries.is_sole() && within_limit(map, end - start) && entries.count < max_entries) {
            append(entries, entry, nullptr);
            return {};
        }
        guard.unlock();
        zone_delete(entry);
    }
    return build_slowly(map, wanted);
}

Result<void> VmMapInternals::build_slowly(VmMap& map, const NewMapping& wanted) {
    MapRequest request;
    request.address = wanted.start;
    request.length = wanted.end - wanted.start;
    request.prot = wanted.prot;
    request.fixed = true;
    request.grows_down = wanted.grows_down;
    request.kind = wanted.kind;
    request.object = RefPtr<VmObject>(wanted.object);
    request.offset = wanted.offset;
    request.file = RefPtr<MappedFile>(wanted.file);
    TRY(map.map(request));
    return {};
}

Result<void> map_in_new(VmMap& map, const NewMapping& mapping) { return VmMapInternals::build(map, mapping); }

Result<void> VmMap::unmap(vaddr_t start, uint64_t length) {
    const PageRange range = TRY(PageRange::of(start, length));
    if (length == 0)
        return Errno::inval;
    DeadEntries dead;
    MutexGuard guard(lock_);
    return VmMapInternals::unmap(*this, range.start, range.end, dead);
}

} // namespace lentil

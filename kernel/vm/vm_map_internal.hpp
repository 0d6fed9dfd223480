// SPDX-License-Identifier: BSD-2-Clause
// What the files of vm_map share.
#pragma once

#include <vm/vm_map.hpp>

namespace lentil {

/// Entries that left their map, to be destroyed after its lock was released: the file behind one may be
/// closed by that. Declared before the guard, so destroyed after it.
class DeadEntries {
public:
    DeadEntries() = default;
    DeadEntries(const DeadEntries&) = delete;
    DeadEntries& operator=(const DeadEntries&) = delete;
    ~DeadEntries();
    void add(VmMapEntry* entry) { list_.push_back(*entry); }

private:
    List<VmMapping, &VmMapping::object_link> list_;
};

/// What works on the map's private parts. The map's lock is held, unless it says otherwise.
struct VmMapInternals {
    static constexpr vaddr_t user_end = machine::Pte::user_end;
    static constexpr vaddr_t min_address = 0x10000; ///< below is never mapped: null pointers stay invalid
    static constexpr uint64_t stack_gap = 256 * page_size;
    static constexpr uint32_t max_entries = 65530;

    /// The entry that holds `va`, nullptr if none.
    static VmMapEntry* find(VmMap& map, vaddr_t va);
    /// The first entry that ends after `va`, nullptr if none.
    static VmMapEntry* first_after(VmMap& map, vaddr_t va) {
        if (VmMapEntry* const last = map.last_found_; last && va - last->start < last->end - last->start)
            return last;
        return search(map, va);
    }
    static VmMapEntry* search(VmMap& map, vaddr_t va);
    static VmMapEntry* next(VmMap& map, VmMapEntry& entry);
    static VmMapEntry* previous(VmMap& map, VmMapEntry& entry);

    /// Whether every page of [start, end) belongs to an entry.
    static bool is_mapped(VmMap& map, vaddr_t start, vaddr_t end);
    static bool is_free(VmMap& map, vaddr_t start, vaddr_t end, bool respect_gap);
    /// Where the room below an entry ends: a stack keeps a distance.
    static vaddr_t room_end(const VmMapEntry& entry) {
        if (!entry.grows_down)
            return entry.start;
        return entry.start > stack_gap ? entry.start - stack_gap : 0;
    }
    /// Where `length` bytes fit, as high as possible below mmap_base, else anywhere; at a multiple of `alignment` (a power
    /// of two) if there is one in the room found.
    static Result<vaddr_t> find_space(VmMap& map, uint64_t length, vaddr_t alignment = page_size);

    /// Makes the map's entries its own if other maps have them too: before any of them is looked up to be changed. nomem
    /// changes nothing.
    static Result<void> own_entries(VmMap& map) {
        if (map.entries_->is_sole()) [[likely]]
            return {};
        return copy_shared_entries(map);
    }
    static Result<void> copy_shared_entries(VmMap& map);
    /// Appends copies of the entries to `to`, those that a child of fork gets or all. nomem leaves a part there.
    static Result<void> copy_entries(const VmEntries& from, VmEntries& to, bool for_child);

    /// Makes an entry and puts nothing anywhere; no lock needed.
    static Result<VmMapEntry*> new_entry() { return zone_new<VmMapEntry>(); }
    /// Where private memory best begins: what fills leaf tables shares none of them, so they come and go as wholes; what
    /// fills blocks begins at one (write_ahead).
    static constexpr vaddr_t alignment_for(uint64_t length) {
        constexpr vaddr_t table = vaddr_t{page_size} * machine::Pte::entries, block = 16 * page_size;
        return length % table == 0 ? table : length % block == 0 ? block : page_size;
    }
    /// Everything but place and offset.
    static void copy_attributes(VmMapEntry& to, const VmMapEntry& from);
    /// Links a complete entry; counts its size. `like`: see VmObject::add_mapping.
    static void insert(VmMap& map, VmMapEntry* entry, const VmMapEntry* like = nullptr);
    /// The same for an entry behind all that there are.
    static void append(VmEntries& entries, VmMapEntry* entry, const VmMapEntry* like);
    static void link(VmEntries& entries, VmMapEntry* entry, const VmMapEntry* like);
    /// Unlinks an entry, and takes it from its object; its pages stay.
    static void detach(VmMap& map, VmMapEntry& entry, DeadEntries& dead);

    /// Entries begin and end at `start` and `end` afterwards where they covered them; nomem changes nothing that can be seen.
    /// Own entries: here, and for all that changes some.
    static Result<void> split(VmMap& map, vaddr_t start, vaddr_t end);
    /// Merges what is alike in and around [start, end).
    static void merge(VmMap& map, vaddr_t start, vaddr_t end);
    /// Splits so that [start, end) can be unmapped, and makes sure that its tables can give up a part; nomem changes
    /// nothing.
    static Result<void> prepare_remove(VmMap& map, vaddr_t start, vaddr_t end);
    /// Unmaps [start, end) in one go. nomem changes nothing.
    static Result<void> unmap(VmMap& map, vaddr_t start, vaddr_t end, DeadEntries& dead);
    /// Unmaps [start, end), which is prepared.
    static void remove(VmMap& map, vaddr_t start, vaddr_t end, DeadEntries& dead);
    static bool within_limit(VmMap& map, uint64_t more);

    /// Calls visit(entry, from, to) for the parts of entries inside [start, end), which may be empty.
    template<class F>
    static void for_each(VmMap& map, vaddr_t start, vaddr_t end, F visit) {
        for (VmMapEntry* e = start < end ? first_after(map, start) : nullptr; e && e->start < end;) {
            VmMapEntry* following = next(map, *e);
            visit(*e, e->start > start ? e->start : start, e->end < end ? e->end : end);
            e = following;
        }
    }

    /// Removes the translations of `object` from page `first` on.
    static void truncate(VmMap& map, VmObject& object, uint64_t first);

    /// Takes write permission from the pages [first, last] of `object` where they are mapped shared.
    static void write_protect(VmMap& map, VmObject& object, uint64_t first, uint64_t last);

    /// Removes the translations of the pages [first, last] of `object` where they are mapped shared; else like truncate.
    static void forget_shared(VmMap& map, VmObject& object, uint64_t first, uint64_t last);

    /// See map_in_new().
    static Result<void> build(VmMap& map, const struct NewMapping& wanted);
    [[gnu::noinline, gnu::cold]] static Result<void> build_slowly(VmMap& map, const NewMapping& wanted);

    // -- vm_fault.cpp --
    /// The usual writes to private memory, where nothing is looked at twice: nothing was there, or a page that others have
    /// too, in `leaf`, which links lead to and which is the map's own. False: resolve() has to see.
    static bool resolve_in(struct Table leaf, VmMap& map, VmMapEntry& entry, vaddr_t va, FaultResult& result);
    /// After the page at `va` was copied from `shared`: what will be copied next.
    static void copied(VmMap& map, VmMapEntry& entry, vaddr_t va, const VmPage* shared, const Pmap::Claim& claim);
    /// See bring_code_in_new().
    static void bring_code(VmMap& map, vaddr_t va);
    /// See cut_off_in_new().
    static Result<void> cut_off(VmMap& map, vaddr_t at);
    /// Makes the page at `va` of `entry` present, and for a write unshared, with the rights that the entry
    /// gives; asking for more than those is not an error here.
    static FaultResult resolve(VmMap& map, VmMapEntry& entry, vaddr_t va, Prot access);
    static FaultResult make_present(VmMap& map, VmMapEntry& entry, vaddr_t va, bool write, const Pmap::Claim& claim);
    static FaultResult unshare(VmMap& map, VmMapEntry& entry, vaddr_t va, VmPage* shared, const Pmap::Claim& claim);
    /// Memory that is written page by page, upwards, gets the next pages of a block with the one touched.
    static void write_ahead(VmMap& map, VmMapEntry& entry, vaddr_t va, const Pmap::Claim& claim);
    /// Code of a file is mapped: a program begins, or comes to use a library.
    static void image_begins(const MapRequest& request) {
        if (request.object && request.file && !request.shared && machine::has(request.prot, Prot::exec))
            request.object->image_begins();
    }
    /// After a page of `entry`, private and of an image, was made present at `va`: what earlier runs needed comes with it,
    /// from all mappings of the image that the same leaf table maps.
    static void bring_touched(VmMap& map, VmMapEntry& entry, vaddr_t va, bool write, const Pmap::Claim& claim);
    static void bring_touched_in(VmMap& map, VmMapEntry& entry, vaddr_t start, vaddr_t end, const Pmap::Claim& claim);
    /// Maps neighbours that the object has already.
    static void map_around(VmMap& map, VmMapEntry& entry, vaddr_t va, const Pmap::Claim& claim);
    /// The entry at `va`, a stack extended to it if it may. fault: there is none; nomem.
    static Result<VmMapEntry*> find_or_grow(VmMap& map, vaddr_t va);
    static Result<VmMapEntry*> grow_down(VmMap& map, vaddr_t va);
};

template<class F>
void VmEntries::visit_sharers(F work) {
    VmSharer here;
    {
        SpinGuard guard(lock_);
        sharers_.push_front(here);
    }
    for (;;) {
        RefPtr<VmMap> map;
        {
            SpinGuard guard(lock_);
            auto at = std::next(sharers_.iterator_to(here));
            while (at != sharers_.end() && !(at->map && at->map->try_ref()))
                ++at; // another visit's mark, or a map that ends
            sharers_.erase(sharers_.iterator_to(here));
            if (at == sharers_.end())
                return;
            map = RefPtr<VmMap>::adopt(at->map);
            sharers_.insert(at, here);
        }
        MutexGuard guard(map->lock_);
        if (map->entries_.get() != this)
            continue;
        work(*map);
        SpinGuard spin(lock_);
        sharers_.erase(sharers_.iterator_to(here));
        sharers_.insert(std::next(sharers_.iterator_to(map->sharers_[map->sharer_])), here);
    }
}

/// [start, start+length) rounded out to pages: inval unless `start` is aligned and the range lies in the user
/// half.
struct PageRange {
    vaddr_t start = 0, end = 0;
    static Result<PageRange> of(vaddr_t start, uint64_t length) {
        if (!is_page_aligned(start) || length > VmMapInternals::user_end ||
            start > VmMapInternals::user_end - page_ceil(length))
            return Errno::inval;
        return PageRange{start, start + page_ceil(length)};
    }
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Memory objects: a radix tree of pages, reading and writing, and who maps it.
//
// Truncation and the lock order. A fault holds its map's lock and takes the object's: vm_map < vm_object.
// Truncation starts from the object and needs the maps. So it
//   1. sets the size and empties the tree past it, under the object's lock: page() gives out nothing beyond
//   from here on;
//   2. for each mapping not visited yet, takes a reference to the entries that it is part of under the object's
//   lock, drops that lock, and for each map that shares them takes the map's lock, and removes the translations past
//   the end (vm_entries.cpp).
// A fault that got a page before step 1 holds the map's lock until the page is mapped, so step 2 finds it
// there. A map whose count is zero already runs on no hart any more and drops its translations itself. An
// entry that a split, a fork or mremap makes from another, with translations, stands as visited or not as
// that other one does (add_mapping); an entry made from nothing has no translation past the end and counts as
// visited. Visited mappings go to the back of the list, so looking at the front tells whether one is left.
#include <algorithm>
#include <cstring>

#include <machine/machine.hpp>
#include <vm/vm_cache.hpp>
#include <vm/vm_map_internal.hpp>
#include <vm/vm_object.hpp>
#include <vm/vm_touched.hpp>

namespace lentil {

namespace {

constexpr unsigned node_bits = 6;
constexpr unsigned node_slots = 1 << node_bits;

constexpr uint64_t page_count(uint64_t size_bytes) {
    return (size_bytes >> page_shift) + ((size_bytes & page_mask) != 0);
}

} // namespace

/// A node of the tree; on the lowest level the slots are pages.
struct RadixNode {
    void* slots[node_slots] = {};
    uint32_t used = 0;

    static constexpr const char* zone_name = "vm_object_nodes";
};

/// What needs the object's private parts; its lock is held.
struct VmObjectInternals {
    static constexpr unsigned slot_of(uint64_t index, unsigned level) {
        return static_cast<unsigned>(index >> (node_bits * level)) & (node_slots - 1);
    }
    /// Height of the tree that holds `index`.
    static constexpr unsigned height_for(uint64_t index) {
        unsigned height = 1;
        while (height * node_bits < 64 && index >> (height * node_bits) != 0)
            height++;
        return height;
    }
    static RadixNode* node(void* slot) { return static_cast<RadixNode*>(slot); }

    static VmPage* find(const VmObject& object, uint64_t index) {
        if (object.height_ < height_for(index))
            return nullptr;
        void* at = object.root_;
        for (unsigned level = object.height_; at && level-- > 0;)
            at = node(at)->slots[slot_of(index, level)];
        return static_cast<VmPage*>(at);
    }

    /// The node whose slots hold the pages around `index`; nullptr if there are none.
    static RadixNode* leaf_at(const VmObject& object, uint64_t index) {
        if (object.height_ < height_for(index))
            return nullptr;
        void* at = object.root_;
        for (unsigned level = object.height_; at && --level > 0;)
            at = node(at)->slots[slot_of(index, level)];
        return node(at);
    }

    /// `index` is not there yet. Takes over a reference of the page; nomem changes nothing.
    static Result<void> insert(VmObject& object, uint64_t index, VmPage* page) {
        auto leaf = leaf_for(object, index);
        if (!leaf) {
            tidy(object, index);
            return leaf.error();
        }
        void*& slot = (*leaf)->slots[slot_of(index, 0)];
        ASSERT(!slot);
        slot = page;
        (*leaf)->used++;
        object.resident_.store(object.resident_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
        return {};
    }
    static Result<RadixNode*> leaf_for(VmObject& object, uint64_t index) {
        if (!object.root_) {
            object.root_ = TRY(zone_new<RadixNode>());
            object.height_ = height_for(index);
        }
        while (object.height_ < height_for(index)) {
            RadixNode* top = TRY(zone_new<RadixNode>());
            top->slots[0] = object.root_;
            top->used = 1;
            object.root_ = top;
            object.height_++;
        }
        RadixNode* at = node(object.root_);
        for (unsigned level = object.height_ - 1; level > 0; level--) {
            void*& slot = at->slots[slot_of(index, level)];
            if (!slot) {
                slot = TRY(zone_new<RadixNode>());
                at->used++;
            }
            at = node(slot);
        }
        return at;
    }
    /// Frees nodes that an insertion made in vain: empty ones towards `index`, and levels above that hold one
    /// branch.
    static void tidy(VmObject& object, uint64_t index) {
        if (object.root_ && prune(node(object.root_), object.height_ - 1, index))
            drop_root(object);
        lower(object);
    }
    static bool prune(RadixNode* at, unsigned level, uint64_t index) {
        if (level > 0)
            if (void*& slot = at->slots[slot_of(index, level)]; slot && prune(node(slot), level - 1, index)) {
                zone_delete(node(slot));
                slot = nullptr;
                at->used--;
            }
        return at->used == 0;
    }
    static void drop_root(VmObject& object) {
        zone_delete(node(object.root_));
        object.root_ = nullptr;
        object.height_ = 0;
    }
    static void lower(VmObject& object) {
        while (object.height_ > 1 && node(object.root_)->used == 1 && node(object.root_)->slots[0]) {
            RadixNode* top = node(object.root_);
            object.root_ = top->slots[0];
            object.height_--;
            zone_delete(top);
        }
    }

    static void drop_page(VmObject& object, VmPage* page) {
        constexpr uint32_t of_cache = page_dirty | page_delayed | page_referenced;
        const uint32_t flags = page->flags.load(std::memory_order_relaxed);
        if (flags & (page_dirty | page_delayed))
            object.dropping(page);
        if (flags & of_cache)
            page->flags.fetch_and(~of_cache, std::memory_order_relaxed);
        page_unref(page);
    }
    /// visit(index, page, slot) for the pages of [first, last] below `at`; false stops.
    template<class F>
    static bool for_each(RadixNode* at, unsigned level, uint64_t base, uint64_t first, uint64_t last, F&& visit) {
        for (unsigned i = 0; i < node_slots; i++) {
            if (!at->slots[i])
                continue;
            const uint64_t start = base + (uint64_t{i} << (node_bits * level));
            const uint64_t end = start + ((uint64_t{1} << (node_bits * level)) - 1);
            if (end < first)
                continue;
            if (start > last)
                return true;
            if (level == 0 ? !visit(start, static_cast<VmPage*>(at->slots[i]))
                           : !for_each(node(at->slots[i]), level - 1, start, first, last, visit))
                return false;
        }
        return true;
    }
    /// Takes the page at `index` out of the tree, which keeps its nodes but the empty leaf.
    static void erase(VmObject& object, uint64_t index) {
        RadixNode* path[16];
        RadixNode* at = node(object.root_);
        for (unsigned level = object.height_; level-- > 0;) {
            path[level] = at;
            if (level > 0)
                at = node(at->slots[slot_of(index, level)]);
        }
        for (unsigned level = 0; level < object.height_; level++) {
            path[level]->slots[slot_of(index, level)] = nullptr;
            if (--path[level]->used > 0)
                break;
            zone_delete(path[level]);
            if (level + 1 == object.height_) {
                object.root_ = nullptr;
                object.height_ = 0;
                break;
            }
        }
        object.resident_.store(object.resident_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    }
    static size_t drop_unused(VmObject& object, size_t want, bool hard);
    static void forget_mappings(VmObject& object, uint64_t first, uint64_t last);
    static void punch(VmObject& object, uint64_t first, uint64_t last);

    /// Drops the pages from `first` on, below `at` of `level` whose first page is `base`. Returns whether it
    /// is empty now.
    static bool drop_from(VmObject& object, RadixNode* at, unsigned level, uint64_t base, uint64_t first) {
        for (unsigned i = 0; i < node_slots; i++) {
            void*& slot = at->slots[i];
            if (!slot)
                continue;
            const uint64_t start = base + (uint64_t{i} << (node_bits * level));
            if (level == 0) {
                if (start < first)
                    continue;
                drop_page(object, static_cast<VmPage*>(slot));
                object.resident_.store(object.resident_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
            } else {
                const uint64_t last = start + ((uint64_t{1} << (node_bits * level)) - 1);
                if (last < first || !drop_from(object, node(slot), level - 1, start, first))
                    continue;
                zone_delete(node(slot));
            }
            slot = nullptr;
            at->used--;
        }
        return at->used == 0;
    }
    static void drop_from(VmObject& object, uint64_t first) {
        if (object.root_ && drop_from(object, node(object.root_), object.height_ - 1, 0, first))
            drop_root(object);
        lower(object);
    }

    static void mark_visited(VmObject& object, VmMapping& mapping) {
        object.mappings_.erase(object.mappings_.iterator_to(mapping));
        mapping.truncation = object.truncations_;
        object.mappings_.push_back(mapping);
    }

    /// Calls work(map), with its lock held, for maps until every mapping older than the present generation was visited.
    template<class F>
    static void visit_maps(VmObject& object, F work) {
        for (;;) {
            RefPtr<VmEntries> entries;
            {
                MutexGuard guard(object.lock_);
                if (object.mappings_.empty() || object.mappings_.front().truncation == object.truncations_)
                    return;
                VmMapping& next = object.mappings_.front();
                if (!next.entries->try_ref()) {
                    mark_visited(object, next);
                    continue;
                }
                entries = RefPtr<VmEntries>::adopt(next.entries);
            }
            entries->visit_sharers(work);
            MutexGuard guard(object.lock_);
            for (VmMapEntry& entry : entries->tree)
                if (entry.object.get() == &object)
                    mark_visited(object, entry);
        }
    }

    /// Moves bytes page by page. `move(page, offset in it, bytes done, bytes)` returns how many it moved.
    template<class GetPage, class Move>
    static Result<size_t> transfer(VmObject& object, uint64_t offset, size_t n, GetPage get_page, Move move) {
        const uint64_t size = object.size();
        if (offset >= size)
            return size_t{0};
        n = std::min<uint64_t>(n, size - offset);
        size_t done = 0;
        while (done < n) {
            const uint64_t at = offset + done;
            const size_t in_page = at & page_mask;
            const size_t want = std::min<size_t>(n - done, page_size - in_page);
            Result<VmPage*> page = get_page(at >> page_shift);
            if (!page) {
                if (done == 0 && page.error() != Errno::overflow) // overflow: truncated meanwhile
                    return page.error();
                break;
            }
            const size_t moved = move(*page, in_page, done, want);
            if (*page)
                page_unref(*page);
            done += moved;
            if (moved < want) {
                if (done == 0)
                    return Errno::fault;
                break;
            }
        }
        return done;
    }
    static auto reader(VmObject& object) {
        return [&object](uint64_t index) -> Result<VmPage*> {
            if (object.holes_are_zero())
                return object.page_if_present(index);
            return object.page(index);
        };
    }
    static auto writer(VmObject& object) {
        return [&object](uint64_t index) { return object.page(index); };
    }
    static char* data(VmPage* page) { return static_cast<char*>(page_data(page)); }
    /// New contents: harts may have fetched the old as instructions.
    static void written(VmPage* page) {
        if (page->flags.load(std::memory_order_relaxed) & page_icache_ok)
            page->flags.fetch_and(~uint32_t{page_icache_ok}, std::memory_order_relaxed);
    }
};

Result<RefPtr<VmObject>> VmObject::create(uint64_t size_bytes) {
    auto object = TRY(make_ref<VmObject>());
    object->size_.store(size_bytes, std::memory_order_relaxed);
    return object;
}

VmObject::~VmObject() {
    ASSERT(mappings_.empty());
    if (is_image())
        TouchedPages::drop(*this);
    VmObjectInternals::drop_from(*this, 0);
}

Result<void> VmObject::fill(VmPage* page, uint64_t) {
    std::memset(page_data(page), 0, page_size);
    return {};
}

Result<VmPage*> VmObject::page(uint64_t index) {
    for (;;) {
        uint32_t truncations;
        {
            MutexGuard guard(lock_);
            if (index >= page_count(size()))
                return Errno::overflow;
            if (VmPage* present = VmObjectInternals::find(*this, index)) {
                page_ref(present);
                return present;
            }
            truncations = truncations_;
        }
        VmPage* page = TRY(page_alloc());
        if (auto filled = fill(page, index); !filled) {
            page_unref(page);
            return filled.error();
        }
        MutexGuard guard(lock_);
        if (truncations != truncations_) { // what was filled in may be of before
            page_unref(page);
            continue;
        }
        if (VmPage* other = VmObjectInternals::find(*this, index)) { // someone else was faster
            page_unref(page);
            page_ref(other);
            return other;
        }
        if (auto inserted = VmObjectInternals::insert(*this, index, page); !inserted) {
            page_unref(page);
            return inserted.error();
        }
        page_ref(page);
        return page;
    }
}

VmPage* VmObject::page_if_present(uint64_t index) {
    VmPage* page = nullptr;
    pages_if_present(index, std::span(&page, 1));
    return page;
}

void VmObject::pages_if_present(uint64_t first, std::span<VmPage*> out) {
    MutexGuard guard(lock_);
    for (size_t i = 0; i < out.size();) {
        const RadixNode* leaf = VmObjectInternals::leaf_at(*this, first + i);
        const unsigned slot = VmObjectInternals::slot_of(first + i, 0);
        const size_t end = std::min<size_t>(out.size(), i + node_slots - slot);
        for (void* const* at = leaf ? leaf->slots + slot : nullptr; i < end; i++) {
            auto* page = at ? static_cast<VmPage*>(*at++) : nullptr;
            if (page)
                page_ref(page);
            out[i] = page;
        }
    }
}

VmObject::Touched VmObject::touched_pages(uint64_t first, uint64_t among, VmPage* (&out)[64]) {
    static_assert(node_slots == 64);
    Touched found;
    MutexGuard guard(lock_);
    const TouchedPages* const its = touched_.load(std::memory_order_relaxed);
    if (!its || first >= TouchedPages::most_pages)
        return found;
    const uint64_t needed = its->accessed[first / 64] & among;
    const RadixNode* const leaf = needed != 0 ? VmObjectInternals::leaf_at(*this, first) : nullptr;
    if (!leaf)
        return found;
    for_each_bit(needed, [&](unsigned i) {
        auto* const page = static_cast<VmPage*>(leaf->slots[i]);
        if (!page)
            return;
        page_ref(page);
        out[i] = page;
        found.needed |= uint64_t{1} << i;
    });
    found.written = its->written[first / 64] & found.needed;
    return found;
}

Result<size_t> VmObject::read(uint64_t offset, vaddr_t user_to, size_t n) {
    return VmObjectInternals::transfer(
        *this, offset, n, VmObjectInternals::reader(*this), [&](VmPage* page, size_t at, size_t done, size_t want) {
            return page ? machine::user_write(user_to + done, VmObjectInternals::data(page) + at, want)
                        : machine::user_zero(user_to + done, want);
        });
}

Result<size_t> VmObject::write(uint64_t offset, vaddr_t user_from, size_t n) {
    return VmObjectInternals::transfer(
        *this, offset, n, VmObjectInternals::writer(*this), [&](VmPage* page, size_t at, size_t done, size_t want) {
            const size_t moved = machine::user_read(VmObjectInternals::data(page) + at, user_from + done, want);
            VmObjectInternals::written(page);
            return moved;
        });
}

Result<size_t> VmObject::read_kernel(uint64_t offset, void* to, size_t n) {
    return VmObjectInternals::transfer(
        *this, offset, n, VmObjectInternals::reader(*this), [&](VmPage* page, size_t at, size_t done, size_t want) {
            if (page)
                std::memcpy(static_cast<char*>(to) + done, VmObjectInternals::data(page) + at, want);
            else
                std::memset(static_cast<char*>(to) + done, 0, want);
            return want;
        });
}

Result<size_t> VmObject::write_kernel(uint64_t offset, const void* from, size_t n) {
    return VmObjectInternals::transfer(
        *this, offset, n, VmObjectInternals::writer(*this), [&](VmPage* page, size_t at, size_t done, size_t want) {
            std::memcpy(VmObjectInternals::data(page) + at, static_cast<const char*>(from) + done, want);
            VmObjectInternals::written(page);
            return want;
        });
}

void VmObject::set_size(uint64_t size_bytes) {
    const uint64_t keep = page_count(size_bytes);
    {
        MutexGuard guard(lock_);
        const uint64_t old = size();
        size_.store(size_bytes, std::memory_order_release);
        if (size_bytes >= old)
            return;
        truncations_++;
        VmObjectInternals::drop_from(*this, keep);
        if (const size_t tail = size_bytes & page_mask; tail != 0)
            if (VmPage* last = VmObjectInternals::find(*this, keep - 1)) {
                std::memset(VmObjectInternals::data(last) + tail, 0, page_size - tail);
                VmObjectInternals::written(last);
            }
        if (page_count(old) == keep)
            return; // whose mappings' marks are one behind: the next truncation visits them all the same
    }
    VmObjectInternals::visit_maps(*this, [&](VmMap& map) { VmMapInternals::truncate(map, *this, keep); });
}

void VmObject::add_mapping(VmMapping& mapping, const VmMapping* like) {
    MutexGuard guard(lock_);
    if (like) {
        mapping.truncation = like->truncation;
        mappings_.insert(std::next(mappings_.iterator_to(*const_cast<VmMapping*>(like))), mapping);
    } else {
        mapping.truncation = truncations_;
        mappings_.push_back(mapping);
    }
}

void VmObject::remove_mapping(VmMapping& mapping) {
    MutexGuard guard(lock_);
    mappings_.erase(mappings_.iterator_to(mapping));
}

bool VmObject::may_be_written_through_mappings() const {
    MutexGuard guard(lock_);
    for (const VmMapping& mapping : mappings_) {
        const VmMapEntry& entry = static_cast<const VmMapEntry&>(mapping); // what is asked for stays as it was inserted
        if (entry.shared && machine::has(entry.max_prot, Prot::write))
            return true;
    }
    return false;
}

// ---- caches of a disk ----------------------------------------------------------------------------------------------

VmPage* VmObject::find_locked(uint64_t index) const { return VmObjectInternals::find(*this, index); }

uint32_t VmObject::generation() const {
    MutexGuard guard(lock_);
    return truncations_;
}

bool VmObject::is_mapped() const {
    MutexGuard guard(lock_);
    return !mappings_.empty();
}

bool VmObject::insert_filled(uint64_t index, VmPage* page, uint32_t seen) {
    MutexGuard guard(lock_);
    return truncations_ == seen && index < page_count(size()) && !VmObjectInternals::find(*this, index) &&
           VmObjectInternals::insert(*this, index, page).ok();
}

void VmObject::visit_flagged(uint64_t first, uint64_t last, uint32_t flag, bool (*take)(uint64_t, VmPage*, void*),
                             void* context) {
    MutexGuard guard(lock_);
    if (root_)
        VmObjectInternals::for_each(
            VmObjectInternals::node(root_), height_ - 1, 0, first, last, [&](uint64_t index, VmPage* page) {
                return !(page->flags.load(std::memory_order_relaxed) & flag) || take(index, page, context);
            });
}

void VmObject::write_protect(uint64_t first, uint64_t last) {
    {
        MutexGuard guard(lock_);
        if (mappings_.empty())
            return;
        truncations_++;
    }
    VmObjectInternals::visit_maps(*this, [&](VmMap& map) { VmMapInternals::write_protect(map, *this, first, last); });
}

size_t VmObjectInternals::drop_unused(VmObject& object, size_t want, bool hard) {
    constexpr size_t batch = 64;
    size_t dropped = 0;
    uint64_t from = 0;
    while (dropped < want && object.root_) {
        uint64_t found[batch];
        size_t count = 0;
        for_each(node(object.root_), object.height_ - 1, 0, from, ~uint64_t{0}, [&](uint64_t index, VmPage* page) {
            const uint32_t flags = page->flags.load(std::memory_order_relaxed);
            if (page->refs.load(std::memory_order_acquire) != 1 || (flags & (page_dirty | page_delayed)))
                return true;
            if ((flags & page_referenced) && !hard) {
                page->flags.fetch_and(~uint32_t{page_referenced}, std::memory_order_relaxed);
                return true;
            }
            found[count++] = index;
            return count < batch && dropped + count < want;
        });
        for (size_t i = 0; i < count; i++) {
            VmPage* page = find(object, found[i]);
            erase(object, found[i]);
            page->flags.fetch_and(~uint32_t{page_referenced}, std::memory_order_relaxed);
            page_unref(page);
        }
        dropped += count;
        if (count < batch)
            break;
        from = found[count - 1] + 1;
    }
    return dropped;
}

void VmObjectInternals::forget_mappings(VmObject& object, uint64_t first, uint64_t last) {
    {
        MutexGuard guard(object.lock_);
        object.truncations_++; // what is being filled in is of before
        if (object.mappings_.empty())
            return;
    }
    visit_maps(object, [&](VmMap& map) { VmMapInternals::forget_shared(map, object, first, last); });
}

void forget_mappings(VmObject& object) {
    VmObjectInternals::forget_mappings(object, 0, ~uint64_t{0} >> page_shift >> 1);
}

void VmObjectInternals::punch(VmObject& object, uint64_t first, uint64_t last) {
    forget_mappings(object, first, last);
    constexpr size_t batch = 64;
    for (uint64_t from = first;;) {
        uint64_t found[batch];
        size_t count = 0;
        MutexGuard guard(object.lock_);
        if (!object.root_)
            return;
        for_each(node(object.root_), object.height_ - 1, 0, from, last, [&](uint64_t index, VmPage*) {
            found[count++] = index;
            return count < batch;
        });
        for (size_t i = 0; i < count; i++) {
            VmPage* page = find(object, found[i]);
            if (page->refs.load(std::memory_order_acquire) == 1) {
                erase(object, found[i]);
                drop_page(object, page);
            } else { // its marks stay: a store may come before it is unmapped
                std::memset(data(page), 0, page_size);
                written(page);
            }
        }
        if (count < batch)
            return;
        from = found[count - 1] + 1;
    }
}

void punch_pages(VmObject& object, uint64_t first, uint64_t last) { VmObjectInternals::punch(object, first, last); }

size_t VmObject::drop_unused(size_t want, bool hard) {
    TryMutexGuard guard(lock_);
    return guard ? VmObjectInternals::drop_unused(*this, want, hard) : 0;
}

void VmObject::drop_all() {
    MutexGuard guard(lock_);
    truncations_++;
    VmObjectInternals::drop_from(*this, 0);
}

} // namespace lentil

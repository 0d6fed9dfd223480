// SPDX-License-Identifier: BSD-2-Clause
// Zones: slabs of equal objects, with a small stock for every hart in front of the zone's lock.
#include <algorithm>
#include <cstring>

#include <libkern/format.hpp>
#include <vm/fail.hpp>
#include <vm/page.hpp>
#include <vm/poison.hpp>
#include <vm/vm_cache.hpp>
#include <vm/vm_touched.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

/// At the start of a block of pages; every page's record says where the slab is (VmPage::owner).
struct Zone::Slab {
    Slab* next;
    Slab* prev;
    Zone* zone;
    void* free_objects; ///< each begins with a pointer to the next
    uint32_t capacity;
    uint32_t used;
    uint32_t order;
};

/// Objects of one hart, touched with interrupts off. `balance` is what this hart took minus what it gave
/// back.
struct Zone::HartCache {
    static constexpr uint32_t capacity = 14; ///< makes it 128 bytes
    uint32_t count;
    std::atomic<int64_t> balance;
    void* objects[capacity];
};

namespace {

constexpr uint64_t poison_word = 0xdbdbdbdbdbdbdbdb;
constexpr size_t min_object_size = 16;
constexpr unsigned max_slab_order = 3;
constexpr uint32_t max_empty_slabs = 1;

constinit SpinLock<Rank::zone> zones_lock;
constinit Zone* all_zones = nullptr;

/// Hart caches are carved from pages that are never given back.
struct Arena {
    char* at = nullptr;
    size_t left = 0;
};
constinit Arena cache_arena; // zones_lock

void* carve(size_t size) {
    if (cache_arena.left < size) {
        unsigned order = 0;
        while ((page_size << order) < size)
            order++;
        VmPage* page = page_alloc_raw(order);
        if (!page)
            return nullptr;
        page_count_kernel(int64_t{1} << order);
        cache_arena = {static_cast<char*>(page_data(page)), page_size << order};
    }
    void* memory = cache_arena.at;
    cache_arena.at += size;
    cache_arena.left -= size;
    return memory;
}

/// A freed object holds the free-list link, then a pattern: what writes to it afterwards is found at the next
/// allocation, and what frees it again at once.
void poison(void* object, size_t size) {
    if constexpr (checks_enabled) {
        auto* words = static_cast<uint64_t*>(object);
        for (size_t i = 1; i < size / 8; i++)
            words[i] = poison_word;
    }
}
bool is_poisoned(const void* object, size_t size) {
    auto* words = static_cast<const uint64_t*>(object);
    for (size_t i = 1; i < size / 8; i++)
        if (words[i] != poison_word)
            return false;
    return true;
}

} // namespace

/// What needs the zone's private parts.
struct ZoneInternals {
    static void register_zone(Zone& zone) {
        SpinGuard guard(zones_lock);
        if (zone.registered_.load(std::memory_order_relaxed))
            return;
        const size_t alignment = std::max<size_t>(zone.alignment_, 16);
        zone.stride_ = static_cast<uint32_t>(align_up(std::max(zone.size_, min_object_size), alignment));
        zone.cache_limit_ = zone.stride_ <= 256 ? Zone::HartCache::capacity : zone.stride_ <= 1024 ? 8 : 4;
        const unsigned harts = machine::boot_info.hart_count;
        if (void* memory = carve(align_up(harts * sizeof(Zone::HartCache), size_t{64}))) {
            std::memset(memory, 0, harts * sizeof(Zone::HartCache));
            zone.caches_.store(static_cast<Zone::HartCache*>(memory), std::memory_order_release);
        }
        zone.next_ = all_zones;
        all_zones = &zone;
        zone.registered_.store(1, std::memory_order_release);
    }

    // -- slabs; the zone's lock is held ---------------------------------------------------------------------

    static void link(Zone& zone, Zone::Slab* slab) {
        slab->prev = nullptr;
        slab->next = zone.partial_;
        if (slab->next)
            slab->next->prev = slab;
        zone.partial_ = slab;
    }
    static void unlink(Zone& zone, Zone::Slab* slab) {
        (slab->prev ? slab->prev->next : zone.partial_) = slab->next;
        if (slab->next)
            slab->next->prev = slab->prev;
    }

    static size_t first_offset(const Zone& zone) {
        return align_up(sizeof(Zone::Slab), std::max<size_t>(zone.alignment_, 16));
    }

    static Zone::Slab* new_slab(Zone& zone) {
        const size_t head = first_offset(zone);
        // Big enough that little is wasted, unless memory is in pieces: then whatever holds one object.
        unsigned smallest = 0;
        while ((page_size << smallest) < head + zone.stride_)
            smallest++;
        unsigned order = smallest;
        while (order < max_slab_order && ((page_size << order) - head) / zone.stride_ < 8)
            order++;
        VmPage* page = page_alloc_raw(order);
        if (!page && order != smallest)
            page = page_alloc_raw(order = smallest);
        if (!page)
            return nullptr;
        page_count_kernel(int64_t{1} << order);
        auto* slab = static_cast<Zone::Slab*>(page_data(page));
        *slab = {nullptr, nullptr, &zone, nullptr, static_cast<uint32_t>(((page_size << order) - head) / zone.stride_),
                 0,       order};
        for (unsigned i = 0; i < 1u << order; i++)
            page[i].owner = reinterpret_cast<uint64_t>(slab);
        char* objects = reinterpret_cast<char*>(slab) + head;
        for (uint32_t i = slab->capacity; i-- > 0;) {
            void* object = objects + size_t{i} * zone.stride_;
            poison(object, zone.stride_);
            *static_cast<void**>(object) = slab->free_objects;
            slab->free_objects = object;
            poison_region(object, zone.stride_);
        }
        link(zone, slab);
        zone.empty_slabs_++;
        return slab;
    }

    static void drop_slab(Zone& zone, Zone::Slab* slab) {
        unlink(zone, slab);
        zone.empty_slabs_--;
        const unsigned order = slab->order;
        VmPage* page = page_at(machine::direct_map_pa(slab));
        unpoison_region(slab, page_size << order);
        for (unsigned i = 0; i < 1u << order; i++)
            page[i].owner = 0;
        page_count_kernel(-(int64_t{1} << order));
        page_free_order(page, order);
    }

    static void* take(Zone& zone) {
        Zone::Slab* slab = zone.partial_;
        if (!slab) {
            slab = new_slab(zone);
            if (!slab)
                return nullptr;
        }
        if (slab->used++ == 0)
            zone.empty_slabs_--;
        void* object = slab->free_objects;
        unpoison_region(object, zone.stride_);
        slab->free_objects = *static_cast<void**>(object);
        poison_region(object, zone.stride_);
        if (!slab->free_objects)
            unlink(zone, slab);
        return object;
    }

    static void give(Zone& zone, void* object) {
        Zone::Slab* slab = slab_of(object);
        if (!slab->free_objects)
            link(zone, slab);
        unpoison_region(object, sizeof(void*));
        *static_cast<void**>(object) = slab->free_objects;
        poison_region(object, sizeof(void*));
        slab->free_objects = object;
        if (--slab->used == 0 && ++zone.empty_slabs_ > max_empty_slabs)
            drop_slab(zone, slab);
    }

    static Zone::Slab* slab_of(void* object) {
        return reinterpret_cast<Zone::Slab*>(page_at(machine::direct_map_pa(object))->owner);
    }

    // -- in front of the lock -------------------------------------------------------------------------------

    // A kept object's lowest bit is set. What leaves the cache by other ways than allocate_kept() is kept no more.
    static constexpr uintptr_t kept_mark = 1;
    static void* unmarked(void* object) {
        return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(object) & ~kept_mark);
    }
    static void* pop(Zone::HartCache& mine) { return unmarked(mine.objects[--mine.count]); }

    static Zone::HartCache* cache(Zone& zone) {
        Zone::HartCache* caches = zone.caches_.load(std::memory_order_acquire);
        return caches ? &caches[machine::hart_index()] : nullptr;
    }

    static void count(Zone::HartCache& cache, int64_t change) {
        cache.balance.store(cache.balance.load(std::memory_order_relaxed) + change, std::memory_order_relaxed);
    }

    /// What nearly every allocation needs, and nothing that wants a stack frame; nullptr if this hart has none.
    static void* take_cached(Zone& zone) {
        IrqGuard irq;
        Zone::HartCache* mine = cache(zone);
        if (!mine || mine->count == 0) [[unlikely]]
            return nullptr;
        count(*mine, 1);
        return mine->objects[--mine->count];
    }
    /// Likewise; false if this hart has no room.
    static bool give_cached(Zone& zone, void* object) {
        IrqGuard irq;
        Zone::HartCache* mine = cache(zone);
        if (!mine || mine->count == zone.cache_limit_) [[unlikely]]
            return false;
        count(*mine, -1);
        mine->objects[mine->count++] = object;
        return true;
    }

    /// All that take_cached() leaves out.
    static void* allocate_slowly(Zone& zone);

    static void* allocate(Zone& zone) {
        IrqGuard irq;
        Zone::HartCache* mine = cache(zone);
        if (!mine) {
            SpinGuard guard(zone.lock_);
            void* object = take(zone);
            if (object)
                zone.in_use_.fetch_add(1, std::memory_order_relaxed);
            return object;
        }
        if (mine->count == 0) {
            SpinGuard guard(zone.lock_);
            while (mine->count < zone.cache_limit_ / 2) {
                void* object = take(zone);
                if (!object)
                    break;
                mine->objects[mine->count++] = object;
            }
            if (mine->count == 0)
                return nullptr;
        }
        count(*mine, 1);
        return pop(*mine);
    }

    static void free(Zone& zone, void* object) {
        IrqGuard irq;
        Zone::HartCache* mine = cache(zone);
        if (!mine) {
            SpinGuard guard(zone.lock_);
            zone.in_use_.fetch_sub(1, std::memory_order_relaxed);
            give(zone, object);
            return;
        }
        if (mine->count == zone.cache_limit_) {
            SpinGuard guard(zone.lock_);
            while (mine->count > zone.cache_limit_ / 2)
                give(zone, pop(*mine));
        }
        count(*mine, -1);
        mine->objects[mine->count++] = object;
    }

    static void reclaim(Zone& zone) {
        IrqGuard irq;
        Zone::HartCache* mine = cache(zone);
        SpinGuard guard(zone.lock_);
        while (mine && mine->count > 0)
            give(zone, pop(*mine));
        for (Zone::Slab *slab = zone.partial_, *next; slab; slab = next) {
            next = slab->next;
            if (slab->used == 0)
                drop_slab(zone, slab);
        }
    }

    /// Zones are never removed, so the list may be walked without its lock from any head once read.
    /// An object that is free has other bytes than poison behind its first word: says which.
    [[noreturn]] static void report_written(const Zone& zone, const void* object) {
        const auto* const words = static_cast<const uint64_t*>(object);
        size_t at = 1;
        while (words[at] == poison_word)
            at++;
        char text[120];
        panic(format_to(text, "one of {} was written after it was freed: {:#x} at byte {}", zone.name_, words[at],
                        at * 8));
    }
    static Zone* first() {
        SpinGuard guard(zones_lock);
        return all_zones;
    }
    static Zone* next(const Zone& zone) { return zone.next_; }
};

void* Zone::allocate() {
    if constexpr (!checks_enabled && !has_poison)
        if (void* object = ZoneInternals::take_cached(*this)) [[likely]]
            return object;
    return ZoneInternals::allocate_slowly(*this);
}

void* ZoneInternals::allocate_slowly(Zone& zone) {
    if (!zone.registered_.load(std::memory_order_acquire)) [[unlikely]]
        register_zone(zone);
    if (allocation_must_fail())
        return nullptr;
    void* object = allocate(zone);
    if (!object) [[unlikely]] {
        zone_reclaim();
        object = allocate(zone);
        if (!object)
            return nullptr;
    }
    unpoison_region(object, zone.stride_);
    if constexpr (checks_enabled) {
        if (!is_poisoned(object, zone.stride_))
            report_written(zone, object);
        std::memset(object, 0xa5, zone.stride_);
    }
    return object;
}

void Zone::free(void* object) {
    if constexpr (checks_enabled) {
        VmPage* page = page_at(machine::direct_map_pa(object));
        const auto* slab = page ? reinterpret_cast<const Slab*>(page->owner) : nullptr;
        if (!slab || slab->zone != this)
            panic("object freed to a zone it is not of");
        if (has_poison ? is_poisoned_region(object) : is_poisoned(object, stride_))
            panic("zone object freed twice");
        poison(object, stride_);
    }
    poison_region(object, stride_);
    if (!ZoneInternals::give_cached(*this, object)) [[unlikely]]
        ZoneInternals::free(*this, object);
}

void* Zone::allocate_kept(bool& kept) {
    if constexpr (!checks_enabled && !has_poison)
        if (void* object = ZoneInternals::take_cached(*this)) [[likely]] {
            void* const plain = ZoneInternals::unmarked(object);
            kept = plain != object;
            return plain;
        }
    kept = false;
    return ZoneInternals::allocate_slowly(*this);
}

void Zone::free_kept(void* object) {
    void* const marked = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(object) | ZoneInternals::kept_mark);
    if (!ZoneInternals::give_cached(*this, marked)) [[unlikely]]
        ZoneInternals::free(*this, object);
}

size_t zone_first_difference(const void* object, const void* blank_a, const void* blank_b, size_t size) {
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t is = 0, a = 0, b = 0;
        std::memcpy(&is, static_cast<const char*>(object) + at, sizeof is);
        std::memcpy(&a, static_cast<const char*>(blank_a) + at, sizeof a);
        std::memcpy(&b, static_cast<const char*>(blank_b) + at, sizeof b);
        const uint64_t place = a - reinterpret_cast<uintptr_t>(blank_a);
        if (place < size && place == b - reinterpret_cast<uintptr_t>(blank_b)) {
            if (is - reinterpret_cast<uintptr_t>(object) != place)
                return at;
            continue;
        }
        for (unsigned shift = 0; shift < 64; shift += 8)
            if (((a ^ b) >> shift & 0xff) == 0 && ((a ^ is) >> shift & 0xff) != 0)
                return at + shift / 8;
    }
    return size;
}

void zone_report_stale(const char* zone, size_t at) {
    char text[100];
    panic(format_to(text, "one of {} would keep something of its former life at byte {}", zone, at));
}

uint64_t Zone::in_use() const {
    int64_t n = in_use_.load(std::memory_order_relaxed);
    if (const HartCache* caches = caches_.load(std::memory_order_acquire))
        for (unsigned i = 0; i < machine::boot_info.hart_count; i++)
            n += caches[i].balance.load(std::memory_order_relaxed);
    return n > 0 ? static_cast<uint64_t>(n) : 0;
}

void zone_reclaim() {
    VmCachedObject::reclaim(128);
    TouchedPages::give_back();
    for (Zone* zone = ZoneInternals::first(); zone; zone = ZoneInternals::next(*zone))
        ZoneInternals::reclaim(*zone);
}

void for_each_zone(void (*visit)(const char* name, size_t size, uint64_t in_use, void* context), void* context) {
    for (Zone* zone = ZoneInternals::first(); zone; zone = ZoneInternals::next(*zone))
        visit(zone->name(), zone->size(), zone->in_use(), context);
}

} // namespace lentil

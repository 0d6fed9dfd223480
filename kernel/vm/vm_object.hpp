// SPDX-License-Identifier: BSD-2-Clause
// vm_object: memory with an identity of its own, that several maps (and read/write of a file) can share. Private
// anonymous memory has none.
#pragma once

#include <span>

#include <libkern/intrusive.hpp>
#include <sched/mutex.hpp>
#include <vm/page.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

class VmEntries;
struct TouchedPages;

/// The part of a map entry that its object knows.
struct VmMapping {
    VmEntries* entries = nullptr; ///< what the entry is in
    uint32_t truncation = 0;      ///< the last one that visited it; object's lock
    ListHook object_link;         ///< the object's list; of entries that left their map: a list of the dead
};

/// Pages by index. The base class is anonymous shared memory: missing pages are zero and appear on first touch; it
/// also stores the files of tmpfs. A file system with a backing store overrides `fill`.
class VmObject : public PolymorphicRefCounted<VmObject> {
public:
    static constexpr const char* zone_name = "vm_objects";
    static Result<RefPtr<VmObject>> create(uint64_t size_bytes);
    VmObject() = default;
    virtual ~VmObject(); ///< drops every page; no map entry refers to it any more
    void dispose() override { zone_delete(this); }

    /// The page at `index` with a reference for the caller, made or filled if missing. overflow past the end (a fault
    /// there is SIGBUS), nomem, io.
    Result<VmPage*> page(uint64_t index);
    /// The page if it is there, with a reference; nullptr else (a hole reads as zero).
    VmPage* page_if_present(uint64_t index);

    /// Copies between the object and kernel or user memory (used by file read and write); read stops at the end, write
    /// grows nothing: callers set the size first. They may fault and sleep; return bytes moved.
    Result<size_t> read(uint64_t offset, vaddr_t user_to, size_t n);
    Result<size_t> write(uint64_t offset, vaddr_t user_from, size_t n);
    Result<size_t> read_kernel(uint64_t offset, void* to, size_t n);
    Result<size_t> write_kernel(uint64_t offset, const void* from, size_t n);

    uint64_t size() const { return size_.load(std::memory_order_acquire); }
    /// Truncates or grows; truncation removes the pages past the end from every map and zeroes the tail of the last. The
    /// caller holds off other calls for this object (a vnode lock) and holds no lock of Rank::vm_map or above. May drop
    /// the last reference of a map that its owner leaves at the same time, with all that hangs on that.
    void set_size(uint64_t size_bytes);
    uint64_t resident_pages() const { return resident_.load(std::memory_order_relaxed); }

    /// For entries of maps, whose lock is held: who maps this object, so that truncation finds them. `like`: an entry whose
    /// translations the new one takes over or shares (a split, a fork, a move); a truncation that has still to visit that
    /// one visits both.
    void add_mapping(VmMapping& mapping, const VmMapping* like = nullptr);
    void remove_mapping(VmMapping& mapping);
    /// Whether a shared mapping is there that may be written to, or may be made so.
    bool may_be_written_through_mappings() const;
    /// The pages present in [first, first+out.size()), each with a reference, nullptr for the rest.
    void pages_if_present(uint64_t first, std::span<VmPage*> out);

    // What runs of a program need of its file (vm_touched.hpp). A hint: each call may come to nothing.
    /// A program starts from here, or a library is mapped. No lock of Rank::vm_map or above is held.
    void image_begins();
    bool is_image() const { return touched_.load(std::memory_order_relaxed) != nullptr; }
    enum class Noted : uint32_t {
        unknown,  ///< not needed by an earlier run
        known,    ///< needed by one, like others
        learning, ///< of this run every page wants to be noted: none is mapped before it is touched
    };
    /// A private mapping touches a page, or writes to it.
    Noted note_touched(uint64_t index, bool written);
    /// Of the 64 pages from `first` on, a multiple of that: which were needed and are there, each with a reference in `out`;
    /// and which of them were written to. `among`: others are left out.
    struct Touched {
        uint64_t needed = 0, written = 0;
    };
    Touched touched_pages(uint64_t first, uint64_t among, VmPage* (&out)[64]);

    /// Whether the object must hear of the first write to a page through a shared mapping. Such pages are mapped without
    /// write permission until then.
    virtual bool tracks_writes() const { return false; }
    /// That write is about to happen; the map's lock is held, so no lock of Rank::vm_map or below. nospc and others are
    /// SIGBUS for who writes.
    virtual Result<void> before_write(uint64_t, VmPage*) { return {}; }
    /// A shared mapping may have written to [start, end): msync. Takes no map's lock with it.
    virtual Result<void> sync_range(uint64_t, uint64_t) { return {}; }

protected:
    // ---- for objects that are caches of a disk; see vm_cache.hpp ----
    /// Grows by one whenever pages were dropped that a fill may have been about to read.
    uint32_t generation() const;
    bool is_mapped() const;
    /// Puts a page that was filled since `seen` was the generation; false: one is there, or it is too late, or no memory.
    /// Takes over the caller's reference if it says true.
    bool insert_filled(uint64_t index, VmPage* page, uint32_t seen);
    /// Calls change(page) under the lock if `page` is still the one at `index`; tells whether it was.
    template<class F>
    bool with_page(uint64_t index, VmPage* page, F change) {
        MutexGuard guard(lock_);
        if (find_locked(index) != page)
            return false;
        change(*page);
        return true;
    }
    /// Pages of [first, last] that have `flag`, in order, each with a reference; `take(index, page)` says whether there is
    /// room, under the lock. Stops when it says no.
    void visit_flagged(uint64_t first, uint64_t last, uint32_t flag, bool (*take)(uint64_t, VmPage*, void*),
                       void* context);
    /// Takes write permission for [first, last] from every shared mapping; translations that come later ask before_write.
    /// Calls for one object are serialised, also with set_size. No lock of Rank::vm_map or above is held.
    void write_protect(uint64_t first, uint64_t last);
    /// Drops up to `want` clean pages that nobody else holds and that were not referenced lately (all, with `hard`); never
    /// sleeps. Returns how many.
    size_t drop_unused(size_t want, bool hard);
    /// Drops every page; for destructors of derived classes, and invalidation.
    void drop_all();
    /// A page with page_dirty or page_delayed is being dropped (truncation); the lock is held.
    virtual void dropping(VmPage*) {}

    /// Fills a new page from the backing store; default: zeros. Called without the object's lock, but in a fault with the
    /// map's: so it may sleep, and may take no lock of Rank::vm_map or below.
    virtual Result<void> fill(VmPage* page, uint64_t index);
    /// Whether a missing page is known to be all zeros, so that reading need not make it.
    virtual bool holes_are_zero() const { return true; }

private:
    friend struct VmObjectInternals;
    friend struct TouchedPages;
    VmPage* find_locked(uint64_t index) const;
    mutable Mutex<Rank::vm_object> lock_;
    void* root_ = nullptr; ///< radix tree of pages
    unsigned height_ = 0;
    uint32_t truncations_ = 0;                          ///< a fill that overlaps one starts again
    List<VmMapping, &VmMapping::object_link> mappings_; ///< those that a running truncation visited last
    std::atomic<uint64_t> size_{0};
    std::atomic<uint64_t> resident_{0};
    std::atomic<TouchedPages*> touched_{nullptr};
};

} // namespace lentil

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

class VmMap;

/// The part of a map entry that its object knows.
struct VmMapping {
    VmMap* map = nullptr;
    uint32_t truncation = 0; ///< the last one that visited it; object's lock
    ListHook object_link;    ///< the object's list; of entries that left their map: a list of the dead
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
    /// The pages present in [first, first+out.size()), each with a reference, nullptr for the rest.
    void pages_if_present(uint64_t first, std::span<VmPage*> out);

protected:
    /// Fills a new page from the backing store; default: zeros. Called without the object's lock, but in a fault with the
    /// map's: so it may sleep, and may take no lock of Rank::vm_map or below.
    virtual Result<void> fill(VmPage* page, uint64_t index);
    /// Whether a missing page is known to be all zeros, so that reading need not make it.
    virtual bool holes_are_zero() const { return true; }

private:
    friend struct VmObjectInternals;
    mutable Mutex<Rank::vm_object> lock_;
    void* root_ = nullptr; ///< radix tree of pages
    unsigned height_ = 0;
    uint32_t truncations_ = 0;                          ///< a fill that overlaps one starts again
    List<VmMapping, &VmMapping::object_link> mappings_; ///< those that a running truncation visited last
    std::atomic<uint64_t> size_{0};
    std::atomic<uint64_t> resident_{0};
};

} // namespace lentil

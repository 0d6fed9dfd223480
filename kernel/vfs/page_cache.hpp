// SPDX-License-Identifier: BSD-2-Clause
// The page cache: a file's (or a disk's) contents as a memory object whose pages are read from a volume when they are missed
// and written back when they are dirty. Mappings, read and write share the pages.
//
// A page is dirty from the first write on: write() marks it after the copy, a shared mapping before the first store, since
// such pages are mapped without write permission (VmObject::tracks_writes). Writing back clears the mark, takes write
// permission away, and only then gives the page to the disk: so every store is either in what is written, or marks again.
#pragma once

#include <bsd/uio.hpp>
#include <vfs/block.hpp>
#include <vm/vm_cache.hpp>

namespace lentil {

/// Gathers transfers between pages and a volume; neighbours on the disk become one request.
class PageIo {
public:
    PageIo(BlockVolume& volume, BlockOp op) : volume_(volume), op_(op) {}
    /// Bytes [at, at+bytes) of `page`, all multiples of 512. May wait for earlier ones.
    void add(uint64_t sector, VmPage* page, uint32_t at, uint32_t bytes);
    /// Until all is done: io.
    Result<void> finish();

private:
    void submit_last();
    static constexpr unsigned max_requests = 12, max_segments = 64;
    BlockVolume& volume_;
    const BlockOp op_;
    BlockBatch batch_;
    BatchRequest requests_[max_requests];
    BlockSegment segments_[max_segments];
    unsigned requests_used_ = 0, segments_used_ = 0; ///< the last request is open: not submitted yet
    unsigned last_first_ = 0;                        ///< its first segment
    uint32_t last_bytes_ = 0;
    bool open_ = false, failed_ = false;
};

class PageCache : public VmCachedObject {
public:
    PageCache(BlockVolume& volume, uint32_t block_bytes) : volume_(volume), block_bytes_(block_bytes) {}

    /// Reads at most to the end, and reads ahead.
    Result<size_t> read_at(Uio& uio, uint64_t offset);
    /// The size was set before, so that it ends inside. nospc and others; short if some was written.
    Result<size_t> write_at(Uio& uio, uint64_t offset);
    /// Writes the dirty pages of [first, last] and waits for them. Calls for one object are serialised by the caller, also
    /// with set_size; no lock of Rank::vm_map or above is held.
    Result<void> write_back(uint64_t first, uint64_t last);
    bool is_dirty() const { return dirty_.load(std::memory_order_relaxed) != 0; }
    uint64_t dirty_pages() const { return dirty_.load(std::memory_order_relaxed); }
    /// Dirty pages of all caches together, and whether those who write should help writing back.
    static uint64_t total_dirty();
    static bool too_many_dirty();

    bool tracks_writes() const override { return true; }
    Result<void> before_write(uint64_t index, VmPage* page) override;

protected:
    /// Where `offset` (a multiple of the block) lies on the volume, and how many bytes from there on (at most `most`) are
    /// alike: neighbours, or all in a hole, which reads as zeros.
    struct Place {
        uint64_t sector = 0, bytes = 0;
        bool hole = false;
        bool has_room = false; ///< a hole with blocks set aside on the disk: writing needs none
    };
    virtual Result<Place> place_of(uint64_t offset, uint64_t most) = 0;
    /// Sets room aside for the page's blocks that have no place: nospc.
    virtual Result<void> reserve_page() { return {}; }
    virtual void unreserve_page() {}
    /// Writes pages [first, first+pages.size()), which are clean and write-protected now. Those with page_delayed get a
    /// place; `settle` is called for them in the end, whether it worked or not.
    virtual Result<void> write_pages(uint64_t first, std::span<VmPage* const> pages) = 0;
    /// Takes page_delayed off and gives the room back.
    void settle(uint64_t first, std::span<VmPage* const> pages);

    Result<void> fill(VmPage* page, uint64_t index) override;
    bool holes_are_zero() const override { return false; }
    void dropping(VmPage* page) override;

    BlockVolume& volume_;
    const uint32_t block_bytes_;

private:
    Result<VmPage*> page_patiently(uint64_t index);
    /// Room for what a write to the page needs; with a reference to it.
    Result<void> prepare(uint64_t index, VmPage* page);
    bool mark_dirty(uint64_t index, VmPage* page);
    Result<void> read_pages(uint64_t first, std::span<VmPage* const> pages);

    std::atomic<uint64_t> dirty_{0};
    std::atomic<uint64_t> next_miss_{0}; ///< where a sequential reader misses next
    std::atomic<uint32_t> window_{1};    ///< pages read at once; both are hints
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// fallocate: blocks that are set aside before they are written, and holes made in files.
#include <algorithm>
#include <cstring>

#include <vfs/ext4/node.hpp>

namespace lentil::ext4 {

/// Writes zeros to a part of one page of the file, unless nothing is there.
Result<void> Node::zero_bytes(uint64_t start, uint64_t end) {
    const uint64_t index = start >> page_shift;
    const uint64_t size = pages_->size();
    if (start >= end || index << page_shift >= size)
        return {};
    VmPage* page = pages_->page_if_present(index);
    if (!page) {
        bool any = false;
        for (uint64_t at = index << page_shift; at < std::min(size, (index + 1) << page_shift); at += fs().block_bytes)
            any |= TRY(map_blocks(static_cast<uint32_t>(at >> fs().block_shift), 1)).kind == Mapping::written;
        if (!any)
            return {};
        page = TRY(pages_->page(index));
    }
    memset(static_cast<char*>(page_data(page)) + (start & page_mask), 0, end - start);
    const Result<void> marked = pages_->before_write(index, page);
    page_unref(page);
    return marked;
}

/// The blocks of these pages are free again, and the pages read as zeros; write-back lock held.
Result<void> Node::free_pages(uint64_t first, uint64_t last) {
    const uint32_t per_page = static_cast<uint32_t>(page_size >> fs().block_shift);
    const auto from = static_cast<uint32_t>(first * per_page), end = static_cast<uint32_t>((last + 1) * per_page);
    for (bool more = true; more;) {
        Op op(fs());
        TRY(op.begin(100));
        TRY(fs().room_for(8)); // an extent that is cut in two may need a block
        {
            MutexGuard guard(map_lock);
            more = TRY(remove_extents(from, end, true));
        }
        TRY(store());
        data_changed_in_.store(fs().journal.running_id(), std::memory_order_release);
    }
    punch_pages(*pages_, first, last);
    return {};
}

/// Blocks for the holes of [first, end), to be written later; with `zero` what was written reads as zeros too (whose pages the
/// caller clears). nospc: some may have been set aside.
Result<void> Node::set_aside(uint32_t first, uint32_t end, bool zero) {
    constexpr uint32_t most = 32767; // of one extent that is not written
    for (uint32_t at = first; at < end;) {
        const Mapping m = TRY(map_blocks(at, std::min(end - at, most)));
        uint32_t done = m.length;
        if (m.kind == Mapping::hole) {
            TRY(fs().reserve(m.length)); // not what others were promised
            const auto allocate = [&]() -> Result<void> {
                Op op(fs());
                TRY(op.begin());
                MutexGuard guard(map_lock);
                const BlockRun run = TRY(fs().allocate(goal_for(at), m.length, false));
                done = run.length;
                if (const Result<void> mapped = insert_extent(at, run.length, run.start, true); !mapped) {
                    (void)fs().free_blocks(run.start, run.length);
                    return mapped;
                }
                data_changed_in_.store(fs().journal.running_id(), std::memory_order_release);
                return store();
            };
            const Result<void> allocated = allocate();
            fs().unreserve(m.length);
            TRY(allocated);
        } else if (m.kind == Mapping::written && zero) {
            Op op(fs());
            TRY(op.begin(100));
            TRY(fs().room_for(8));
            MutexGuard guard(map_lock);
            for (bool more = true; more;)
                more = TRY(remove_extents(at, at + m.length, false));
            TRY(insert_extent(at, m.length, m.block, true));
            data_changed_in_.store(fs().journal.running_id(), std::memory_order_release);
            TRY(store());
        }
        at += done;
    }
    return {};
}

Result<void> Node::allocate(uint32_t mode_wanted, uint64_t offset, uint64_t end) {
    using namespace allocate_flags;
    if (!pages_)
        return Errno::nodev;
    MutexGuard guard(lock_);
    if (fs().failed())
        return Errno::rofs;
    if ((flags & inode_flags::immutable) || ((flags & inode_flags::append_only) && (mode_wanted & ~keep_size)))
        return Errno::perm;
    if (!has_extents())
        return Errno::opnotsupp;
    if (end > max_size())
        return Errno::fbig;
    const uint64_t old_size = pages_->size();
    const bool punches = mode_wanted & punch_hole, zeroes = mode_wanted & zero_range;
    const bool grows = !punches && !(mode_wanted & keep_size) && end > old_size;
    MutexGuard writing(write_lock);
    drop_privilege_bits();
    if (punches || zeroes) {
        // Whole pages go; of those at the ends a part is written as zeros.
        const uint64_t first = (offset + page_mask) >> page_shift, behind = end >> page_shift;
        if (first > behind) {
            TRY(zero_bytes(offset, end));
        } else {
            TRY(zero_bytes(offset, first << page_shift));
            TRY(zero_bytes(behind << page_shift, end));
        }
        if (first < behind) {
            if (punches) {
                TRY(free_pages(first, behind - 1));
            } else {
                const uint32_t per_page = static_cast<uint32_t>(page_size >> fs().block_shift);
                TRY(set_aside(static_cast<uint32_t>(first * per_page), static_cast<uint32_t>(behind * per_page), true));
                punch_pages(*pages_, first, behind - 1);
            }
        }
    }
    if (!punches) {
        const uint64_t last = (end + fs().block_bytes - 1) >> fs().block_shift;
        TRY(set_aside(static_cast<uint32_t>(offset >> fs().block_shift), static_cast<uint32_t>(last), false));
    }
    if (grows) {
        TRY(grow(old_size, end));
        TRY(pages_->write_back(old_size >> page_shift, old_size >> page_shift)); // before the size on the disk moves
    }
    touch_modification();
    Op op(fs());
    TRY(op.begin(4));
    if (grows)
        disk_size_ = end;
    TRY(store());
    data_changed_in_.store(fs().journal.running_id(), std::memory_order_release);
    return {};
}

} // namespace lentil::ext4

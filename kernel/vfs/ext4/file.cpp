// SPDX-License-Identifier: BSD-2-Clause
// Contents of regular files: reading, writing, truncation, and dirty pages on their way to the disk.
//
// Blocks are found when pages are written back (delayed allocation): they are set aside in memory, the data is written, and
// only then one operation marks them in the bitmap, maps them and moves the size on the disk. So nothing that is committed
// ever shows what a block held before, and a page that got its mark has room for its blocks reserved.
#include <algorithm>
#include <cstring>

#include <bsd/proc.hpp>
#include <vfs/ext4/node.hpp>

namespace lentil::ext4 {

Result<PageCache::Place> FilePages::place_of(uint64_t offset, uint64_t most) {
    const Fs& fs = node_->fs();
    const uint64_t blocks = std::min<uint64_t>((most + block_bytes_ - 1) >> fs.block_shift, UINT32_MAX >> 1);
    const Mapping m =
        TRY(node_->map_blocks(static_cast<uint32_t>(offset >> fs.block_shift), static_cast<uint32_t>(blocks)));
    Place place;
    place.bytes = std::min(most, uint64_t{m.length} << fs.block_shift);
    place.hole = m.kind != Mapping::written;
    place.has_room = m.kind == Mapping::unwritten;
    place.sector = fs.buffers.sector_of(m.block);
    return place;
}

Result<void> FilePages::reserve_page() { return node_->fs().reserve(page_size / block_bytes_); }
void FilePages::unreserve_page() { node_->fs().unreserve(page_size / block_bytes_); }

Result<void> FilePages::write_pages(uint64_t first, std::span<VmPage* const> pages) {
    Fs& fs = node_->fs();
    const uint32_t per_page = page_size / block_bytes_;
    const uint64_t size_now = size();
    const auto begin = static_cast<uint32_t>(first * per_page);
    const auto end = static_cast<uint32_t>(
        std::min<uint64_t>(begin + pages.size() * per_page, (size_now + block_bytes_ - 1) >> fs.block_shift));
    if (const size_t tail = size_now & page_mask;
        tail != 0 && size_now >> page_shift >= first && (size_now >> page_shift) - first < pages.size())
        memset(static_cast<char*>(page_data(pages[(size_now >> page_shift) - first])) + tail, 0, page_size - tail);

    struct Pending {
        uint32_t first;
        BlockRun run;
        bool convert; ///< was mapped as unwritten
    };
    constexpr unsigned most_pending = 16;
    const auto write_some = [&](uint32_t& at) -> Result<void> {
        Pending pending[most_pending];
        unsigned count = 0;
        PageIo io(volume_, BlockOp::write);
        Result<void> result;
        while (at < end && count < most_pending) {
            const Result<Mapping> found = node_->map_blocks(at, end - at);
            if (!found) {
                result = found.error();
                break;
            }
            Mapping m = *found;
            if (m.kind == Mapping::hole) {
                // Only pages that were given room; others have holes that nobody wrote to.
                const auto delayed = [&](uint32_t block) {
                    return pages[(block - begin) / per_page]->flags.load(std::memory_order_relaxed) & page_delayed;
                };
                const bool wanted = delayed(at);
                uint32_t n = 1;
                while (n < m.length && static_cast<bool>(delayed(at + n)) == wanted)
                    n++;
                if (!wanted) {
                    at += n;
                    continue;
                }
                Op op(fs);
                result = op.begin(4);
                if (!result)
                    break;
                uint64_t goal;
                {
                    MutexGuard guard(node_->map_lock);
                    goal = node_->goal_for(at);
                }
                if (count > 0)
                    goal = pending[count - 1].run.start + pending[count - 1].run.length;
                const Result<BlockRun> run = fs.allocate(goal, n, true);
                if (!run) {
                    result = run.error();
                    break;
                }
                pending[count++] = {at, *run, false};
                m.block = run->start;
                m.length = run->length;
            } else if (m.kind == Mapping::unwritten) {
                pending[count++] = {at, {m.block, m.length}, true};
            }
            for (uint32_t i = 0; i < m.length; i++) {
                const uint32_t in_pages = at + i - begin;
                io.add(fs.buffers.sector_of(m.block + i), pages[in_pages / per_page],
                       in_pages % per_page * block_bytes_, block_bytes_);
            }
            at += m.length;
        }
        if (const Result<void> done = io.finish(); !done)
            result = done;
        const uint64_t written_end = std::min(size_now, uint64_t{at} << fs.block_shift);
        if (count == 0 && (!result || written_end <= node_->disk_size_))
            return result;
        Op op(fs);
        unsigned settled = 0;
        if (result)
            result = op.begin(16 + count * 8);
        for (; result && settled < count; settled++) {
            const Pending& p = pending[settled];
            if (!p.convert) {
                result = fs.commit_held(p.run);
            } else {
                MutexGuard guard(node_->map_lock);
                for (bool more = true; result && more;) {
                    const Result<bool> removed = node_->remove_extents(p.first, p.first + p.run.length, false);
                    result = removed ? Result<void>() : Result<void>(removed.error());
                    more = removed && *removed;
                }
            }
            if (!result)
                continue;
            MutexGuard guard(node_->map_lock);
            result = node_->insert_extent(p.first, p.run.length, p.run.start, false);
        }
        if (!result) {
            for (unsigned i = settled; i < count; i++)
                if (!pending[i].convert)
                    fs.drop_held_if(pending[i].run);
            return result;
        }
        node_->disk_size_ = std::max(node_->disk_size_, written_end);
        TRY(node_->store());
        node_->data_changed_in_.store(fs.journal.running_id(), std::memory_order_release);
        return {};
    };
    Result<void> result;
    for (uint32_t at = begin; result && at < end;)
        result = write_some(at);
    settle(first, pages);
    if (!result)
        node_->write_error_.store(static_cast<uint32_t>(result.error()), std::memory_order_relaxed);
    return result;
}

Result<void> FilePages::sync_range(uint64_t start, uint64_t end) {
    {
        MutexGuard guard(node_->write_lock);
        TRY(write_back(start >> page_shift, (end - 1) >> page_shift));
    }
    return node_->sync(true);
}

// ---- the vnode's side --------------------------------------------------------------------------------------------------

Result<size_t> Node::read_at(Uio& uio, off_t at) {
    if (!pages_)
        return type == VnodeType::directory ? Errno::isdir : Errno::inval;
    if (uio.left() == 0)
        return size_t{0};
    touch_access();
    return pages_->read_at(uio, static_cast<uint64_t>(at));
}

Result<size_t> Node::write_at(Uio& uio, off_t& position, bool append) {
    if (!pages_)
        return Errno::inval;
    MutexGuard guard(lock_);
    if (fs().failed())
        return Errno::rofs;
    if (flags & inode_flags::immutable)
        return Errno::perm;
    const uint64_t old_size = pages_->size();
    if (append)
        position = static_cast<off_t>(old_size);
    if (uio.left() == 0)
        return size_t{0};
    const uint64_t offset = static_cast<uint64_t>(position), end = offset + uio.left();
    if (end > max_size())
        return Errno::fbig;
    if (PageCache::too_many_dirty() && pages_->is_dirty()) {
        MutexGuard writing(write_lock);
        (void)pages_->write_back(0, ~uint64_t{0}); // the error is kept for fsync
    }
    if (end > old_size)
        TRY(grow(old_size, end));
    drop_privilege_bits();
    Result<size_t> moved = pages_->write_at(uio, offset);
    const uint64_t written = moved ? *moved : 0;
    if (offset + written < end && end > old_size) // short: take back what was not written
        TRY(set_size(std::max(old_size, written == 0 ? old_size : offset + written)));
    if (written > 0)
        touch_modification();
    return moved;
}

/// The bytes between the old end and the end of its page become part of the file: a mapping may have left something there,
/// and on the disk may lie what a truncation cut off, if the power went before its page was written.
Result<void> Node::grow(uint64_t old_size, uint64_t size) {
    if (const size_t tail = old_size & page_mask; tail != 0) {
        const uint64_t index = old_size >> page_shift;
        VmPage* const last = TRY(pages_->page(index));
        memset(static_cast<char*>(page_data(last)) + tail, 0, page_size - tail);
        Result<void> marked;
        if ((old_size & (fs().block_bytes - 1)) != 0 && !(last->flags.load(std::memory_order_relaxed) & page_dirty)) {
            const Result<Mapping> there = map_blocks(static_cast<uint32_t>(old_size >> fs().block_shift), 1);
            if (!there)
                marked = there.error();
            else if (there->kind == Mapping::written)
                marked = pages_->before_write(index, last);
        }
        page_unref(last);
        TRY(marked);
    }
    pages_->set_size(size);
    return {};
}

Result<void> Node::set_size(uint64_t size) {
    if (fs().failed())
        return Errno::rofs;
    if (size > max_size())
        return Errno::fbig;
    MutexGuard writing(write_lock);
    const uint64_t old_size = pages_->size();
    if (size >= old_size) {
        if (size > old_size) {
            TRY(grow(old_size, size));
            TRY(pages_->write_back(old_size >> page_shift,
                                   old_size >> page_shift)); // before the size on the disk moves
        }
    } else {
        // What the last block holds behind the new end must not come back when the file grows: its page is written again.
        VmPage* last = nullptr;
        if ((size & page_mask) != 0)
            last = TRY(pages_->page(size >> page_shift));
        pages_->set_size(size);
        if (last) {
            const Result<void> marked = pages_->before_write(size >> page_shift, last);
            page_unref(last);
            if (!marked && marked.error() != Errno::nospc)
                return marked;
        }
        TRY(free_from(size));
    }
    drop_privilege_bits();
    Op op(fs());
    TRY(op.begin(4));
    disk_size_ = size;
    TRY(store());
    data_changed_in_.store(fs().journal.running_id(), std::memory_order_release);
    return {};
}

Result<void> Node::free_from(uint64_t from) {
    const uint64_t first = (from + fs().block_bytes - 1) >> fs().block_shift;
    if (first >= UINT32_MAX)
        return {};
    for (bool more = true; more;) {
        Op op(fs());
        TRY(op.begin(100));
        {
            MutexGuard guard(map_lock);
            more = TRY(remove_extents(static_cast<uint32_t>(first), UINT32_MAX, true));
        }
        disk_size_ = std::min(disk_size_, from);
        if (more && !is_orphan)
            TRY(fs().orphan_add(*this)); // a crash between two operations: recovery goes on
        if (!more && is_orphan && links.load(std::memory_order_relaxed) != 0)
            TRY(fs().orphan_remove(*this));
        TRY(store());
    }
    return {};
}

Result<void> Node::write_back() {
    Result<void> result;
    if (pages_) {
        MutexGuard guard(write_lock);
        result = pages_->write_back(0, ~uint64_t{0});
    }
    if (needs_store() && !fs().failed() && fs().is_writing()) {
        Op op(fs());
        TRY(op.begin(4));
        TRY(store());
    }
    return result;
}

Result<void> Node::sync(bool data_only) {
    if (pages_) {
        MutexGuard guard(write_lock);
        (void)pages_->write_back(0, ~uint64_t{0});
    }
    if (const uint32_t error = write_error_.exchange(0, std::memory_order_relaxed))
        return static_cast<Errno>(error);
    if (fs().failed())
        return Errno::io;
    if (!fs().is_writing())
        return {};
    {
        Op op(fs());
        if (needs_store() && !data_only) {
            TRY(op.begin(4));
            TRY(store());
        }
        const uint32_t last =
            data_only ? data_changed_in_.load(std::memory_order_acquire) : changed_in_.load(std::memory_order_acquire);
        if (last == fs().journal.running_id())
            return fs().journal.commit();
    }
    return fs().buffers.volume().flush();
}

Result<off_t> Node::seek_data(off_t from, bool data) {
    if (!pages_)
        return Errno::inval;
    TRY(write_back()); // what is only in memory has no blocks yet
    const uint64_t size = pages_->size();
    if (from < 0 || static_cast<uint64_t>(from) >= size)
        return Errno::nxio;
    for (uint64_t at = static_cast<uint64_t>(from); at < size;) {
        const auto block = static_cast<uint32_t>(at >> fs().block_shift);
        const Mapping m = TRY(map_blocks(block, UINT32_MAX - block));
        if ((m.kind == Mapping::written) == data)
            return static_cast<off_t>(at);
        at = (uint64_t{block} + m.length) << fs().block_shift;
    }
    return data ? Result<off_t>(Errno::nxio) : static_cast<off_t>(size);
}

} // namespace lentil::ext4

// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>

#include <vfs/block_file.hpp>
#include <vfs/device.hpp>
#include <vfs/page_cache.hpp>
#include <vfs/vnode_file.hpp>

namespace lentil {

namespace {

/// The pages of a volume: every offset is its own place.
class VolumePages final : public PageCache {
public:
    static constexpr const char* zone_name = "volume_pages";
    explicit VolumePages(BlockVolume& volume) : PageCache(volume, sector_size) {
        set_size(volume.sectors << sector_shift);
    }
    ~VolumePages() override { drop_all(); }
    void dispose() override { zone_delete(this); }
    Result<void> sync_range(uint64_t start, uint64_t end) override { return sync(start, end - 1); }
    Result<void> sync(uint64_t start, uint64_t last) {
        MutexGuard guard(write_lock_);
        TRY(write_back(start >> page_shift, last >> page_shift));
        return volume_.flush();
    }

protected:
    Result<Place> place_of(uint64_t offset, uint64_t most) override {
        return Place{offset >> sector_shift, most, false};
    }
    Result<void> write_pages(uint64_t first, std::span<VmPage* const> pages) override {
        PageIo io(volume_, BlockOp::write);
        uint64_t at = first << page_shift;
        for (VmPage* page : pages) {
            io.add(at >> sector_shift, page, 0, static_cast<uint32_t>(std::min<uint64_t>(page_size, size() - at)));
            at += page_size;
        }
        return io.finish();
    }

private:
    Mutex<Rank::writeback> write_lock_;
};

class BlockFile final : public DeviceFile {
public:
    static constexpr const char* zone_name = "block_files";
    BlockFile(Vnode& node, uint32_t flags_value, BlockVolume& volume, RefPtr<VolumePages> pages)
        : DeviceFile(node, flags_value), volume_(volume), pages_(std::move(pages)) {}
    ~BlockFile() override {
        if (writable()) // nobody else may know of these pages
            (void)pages_->sync(0, ~uint64_t{0});
    }
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio& uio) override {
        MutexGuard guard(lock_);
        const size_t n = TRY(pread(uio, position_));
        position_ += static_cast<off_t>(n);
        return n;
    }
    Result<size_t> write(Uio& uio) override {
        MutexGuard guard(lock_);
        const size_t n = TRY(pwrite(uio, position_));
        position_ += static_cast<off_t>(n);
        return n;
    }
    Result<size_t> pread(Uio& uio, off_t at) override {
        if (at < 0)
            return Errno::inval;
        return pages_->read_at(uio, static_cast<uint64_t>(at));
    }
    Result<size_t> pwrite(Uio& uio, off_t at) override {
        if (at < 0)
            return Errno::inval;
        if (volume_.device->read_only || volume_.mounted.load(std::memory_order_relaxed) != 0)
            return volume_.device->read_only ? Errno::perm : Errno::busy;
        if (static_cast<uint64_t>(at) >= pages_->size() && uio.left() > 0)
            return Errno::nospc;
        uio.limit(static_cast<size_t>(std::min<uint64_t>(uio.left(), pages_->size() - static_cast<uint64_t>(at))));
        if (PageCache::too_many_dirty())
            TRY(pages_->sync(0, ~uint64_t{0}));
        return pages_->write_at(uio, static_cast<uint64_t>(at));
    }
    Result<off_t> seek(off_t offset, Whence whence) override {
        MutexGuard guard(lock_);
        off_t base = 0, to = 0;
        switch (whence) {
        case Whence::set: break;
        case Whence::current: base = position_; break;
        case Whence::end: base = static_cast<off_t>(pages_->size()); break;
        default: return Errno::inval;
        }
        if (__builtin_add_overflow(base, offset, &to) || to < 0)
            return Errno::inval;
        return position_ = to;
    }
    Result<uint64_t> ioctl(uint32_t command, uint64_t argument) override {
        constexpr uint32_t get_read_only = 0x125e, get_sectors = 0x1260, flush_buffers = 0x1261,
                           get_sector_size = 0x1268, get_block_size = 0x80081270, get_bytes = 0x80081272,
                           get_physical_size = 0x127b;
        switch (command) {
        case get_read_only: TRY(UserPtr<int32_t>(argument).write(volume_.device->read_only)); return uint64_t{0};
        case get_sectors: TRY(UserPtr<uint64_t>(argument).write(volume_.sectors)); return uint64_t{0};
        case get_bytes: TRY(UserPtr<uint64_t>(argument).write(volume_.sectors << sector_shift)); return uint64_t{0};
        case get_block_size: TRY(UserPtr<uint64_t>(argument).write(page_size)); return uint64_t{0};
        case get_sector_size:
        case get_physical_size:
            TRY(UserPtr<int32_t>(argument).write(static_cast<int32_t>(volume_.device->logical_block)));
            return uint64_t{0};
        case flush_buffers: TRY(sync(false)); return uint64_t{0};
        default: return Errno::notty;
        }
    }
    Result<void> sync(bool) override { return pages_->sync(0, ~uint64_t{0}); }
    Result<Mappable> mappable() override {
        Mappable m;
        m.object = pages_;
        m.file = TRY(mapped_file_of(*node_));
        return m;
    }

private:
    BlockVolume& volume_;
    const RefPtr<VolumePages> pages_;
    Mutex<Rank::file> lock_; ///< position_
    off_t position_ = 0;
};

} // namespace

Result<RefPtr<File>> block_open(Vnode& node, uint64_t number, uint32_t flags) {
    BlockVolume* const volume = block_find(number);
    if (!volume)
        return Errno::nxio;
    RefPtr<VolumePages> pages = TRY(make_ref<VolumePages>(*volume));
    return RefPtr<File>(TRY(make_ref<BlockFile>(node, flags, *volume, std::move(pages))));
}

} // namespace lentil

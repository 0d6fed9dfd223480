// SPDX-License-Identifier: BSD-2-Clause
// Regular files of tmpfs: contents in a VmObject, pages counted against the mount.
#include <algorithm>
#include <cstring>

#include <bsd/proc.hpp>
#include <vfs/tmpfs_file.hpp>
#include <vm/vm_cache.hpp>

namespace lentil {

namespace {

/// The memory of one file. Mappings may keep it when the node is gone; it keeps the mount for its count.
class TmpfsObject final : public VmObject {
public:
    static constexpr const char* zone_name = "tmpfs_objects";
    explicit TmpfsObject(TmpfsMount& fs) : fs_(&fs) {}
    ~TmpfsObject() override {
        fs_->pages.fetch_sub(counted_.load(std::memory_order_relaxed), std::memory_order_relaxed);
    }
    void dispose() override { zone_delete(this); }

    /// After pages were dropped: gives their count back. Serialised by the node's lock.
    void recount() {
        const uint64_t now = resident_pages(), before = counted_.load(std::memory_order_relaxed);
        if (now < before) {
            counted_.fetch_sub(before - now, std::memory_order_relaxed);
            fs_->pages.fetch_sub(before - now, std::memory_order_relaxed);
        }
    }

protected:
    Result<void> fill(VmPage* page, uint64_t index) override {
        if (fs_->pages.fetch_add(1, std::memory_order_relaxed) >= fs_->options.max_pages) {
            fs_->pages.fetch_sub(1, std::memory_order_relaxed);
            return Errno::nospc;
        }
        counted_.fetch_add(1, std::memory_order_relaxed);
        return VmObject::fill(page, index);
    }

private:
    const RefPtr<TmpfsMount> fs_;
    std::atomic<uint64_t> counted_{
        0}; ///< pages of this file in fs_->pages; may run ahead of those present until recount
};

class TmpfsFile final : public TmpfsNode, public FileSeals {
public:
    static constexpr const char* zone_name = "tmpfs_files";
    TmpfsFile(TmpfsMount& fs, const NewNode& fresh, RefPtr<TmpfsObject> object)
        : TmpfsNode(VnodeType::regular, fs, fresh), object_(std::move(object)) {}
    void dispose() override { zone_delete(this); }

    RefPtr<VmObject> object() override { return object_; }
    Result<size_t> read_at(Uio& uio, off_t at) override;
    Result<size_t> write_at(Uio& uio, off_t& position, bool append) override;
    Result<void> allocate(uint32_t mode, uint64_t offset, uint64_t end) override;

    FileSeals* seals() override { return this; }
    uint32_t now() const override { return seals_.load(std::memory_order_relaxed); }
    Result<void> add_seals(uint32_t more) override;
    Result<bool> begin_shared_mapping(Writes writes) override;
    void end_shared_mapping() override { mappings_to_come_.fetch_sub(1, std::memory_order_release); }
    std::string_view shown_as() const override { return {shown_as_.data(), shown_as_.size()}; }
    void become_memfd(uint32_t first, Buffer<char> shown_as) {
        seals_.store(first, std::memory_order_relaxed);
        shown_as_ = std::move(shown_as);
    }

protected:
    Extent extent() override { return {object_->size(), object_->resident_pages()}; }
    Result<void> check_mode(uint32_t mode) override {
        const bool changes = (mode ^ mode_.load(std::memory_order_relaxed)) & all_execute;
        if (changes && is_sealed(file_seals::exec))
            return Errno::perm;
        return {};
    }
    Result<void> set_size(uint64_t size_bytes) override {
        const uint64_t now = object_->size();
        if ((size_bytes < now && is_sealed(file_seals::shrink)) || (size_bytes > now && is_sealed(file_seals::grow)))
            return Errno::perm;
        object_->set_size(size_bytes);
        object_->recount();
        drop_privilege_bits();
        return {};
    }

private:
    /// A file that someone else changes may not lend its owner's rights any more.
    void drop_privilege_bits() {
        const uint32_t mode = mode_.load(std::memory_order_relaxed);
        if (!(mode & (file_mode::set_uid | file_mode::set_gid)) || !has_uthread() ||
            current_proc().cred()->capable(Capability::fsetid))
            return;
        uint32_t kept = mode & ~file_mode::set_uid;
        if (mode & 010) // set-gid without group execute means mandatory locking: left alone
            kept &= ~file_mode::set_gid;
        mode_.store(kept, std::memory_order_relaxed);
    }

    static constexpr uint32_t all_execute = 0111;
    bool is_sealed(uint32_t any_of) const { return seals_.load(std::memory_order_relaxed) & any_of; }

    const RefPtr<TmpfsObject> object_;
    Buffer<char> shown_as_;
    std::atomic<uint32_t> seals_{file_seals::seal}; ///< grows, with lock_
    std::atomic<uint32_t> mappings_to_come_{0};     ///< shared ones that could be written to; grows with lock_
};

/// Moves between `uio` and the object piece by piece; stops at a short copy.
template<class Copy>
Result<size_t> transfer(Uio& uio, Copy copy) {
    size_t done = 0;
    while (uio.left() > 0) {
        const UioSegment piece = uio.piece();
        const size_t n = std::min(piece.length, uio.left());
        Result<size_t> moved = copy(done, piece.base, n);
        if (!moved) {
            if (done == 0)
                return moved.error();
            break;
        }
        uio.advance(*moved);
        done += *moved;
        if (*moved < n)
            break;
    }
    return done;
}

Result<size_t> TmpfsFile::read_at(Uio& uio, off_t at) {
    const uint64_t offset = static_cast<uint64_t>(at), end = object_->size();
    if (offset >= end || uio.left() == 0)
        return size_t{0};
    uio.limit(static_cast<size_t>(std::min<uint64_t>(uio.left(), end - offset)));
    touch_access();
    return transfer(uio, [&](size_t done, vaddr_t to, size_t n) {
        return uio.is_user() ? object_->read(offset + done, to, n)
                             : object_->read_kernel(offset + done, reinterpret_cast<void*>(to), n);
    });
}

Result<size_t> TmpfsFile::write_at(Uio& uio, off_t& position, bool append) {
    MutexGuard guard(lock_);
    const uint64_t old_size = object_->size();
    if (append)
        position = static_cast<off_t>(old_size);
    if (uio.left() == 0)
        return size_t{0};
    const uint64_t offset = static_cast<uint64_t>(position);
    const uint64_t end = offset + uio.left();
    if (end > INT64_MAX)
        return Errno::fbig;
    if (is_sealed(file_seals::any_write | (end > old_size ? file_seals::grow : 0))) [[unlikely]]
        return Errno::perm;
    if (end > old_size)
        object_->set_size(end);
    drop_privilege_bits();
    Result<size_t> moved = transfer(uio, [&](size_t done, vaddr_t from, size_t n) {
        return uio.is_user() ? object_->write(offset + done, from, n)
                             : object_->write_kernel(offset + done, reinterpret_cast<const void*>(from), n);
    });
    const size_t written = moved ? *moved : 0;
    if (offset + written < end && end > old_size) { // short: take back what was not written
        object_->set_size(written == 0 ? old_size : std::max(old_size, offset + written));
        object_->recount();
    }
    if (written > 0)
        touch_modification();
    return moved;
}

Result<void> TmpfsFile::allocate(uint32_t mode, uint64_t offset, uint64_t end) {
    using namespace allocate_flags;
    if (mode & zero_range)
        return Errno::opnotsupp; // as on Linux
    MutexGuard guard(lock_);
    const uint64_t old_size = object_->size();
    if (mode & punch_hole ? is_sealed(file_seals::any_write) : end > old_size && is_sealed(file_seals::grow))
        return Errno::perm;
    if (mode & punch_hole) {
        const auto clear = [&](uint64_t from, uint64_t to) { // a part of one page
            if (from >= to)
                return;
            if (VmPage* page = object_->page_if_present(from >> page_shift)) {
                memset(static_cast<char*>(page_data(page)) + (from & page_mask), 0, to - from);
                page_unref(page);
            }
        };
        const uint64_t first = page_ceil(offset), behind = end & ~page_mask;
        if (first > behind) {
            clear(offset, end);
        } else {
            clear(offset, first);
            clear(behind, end);
        }
        if (first < behind) {
            punch_pages(*object_, first >> page_shift, (behind >> page_shift) - 1);
            object_->recount();
        }
        touch_modification();
        return {};
    }
    // Pages behind the end cannot be there yet: what is set aside for them is that the limit allows it.
    const uint64_t here = mode & keep_size ? std::min(end, old_size) : end;
    const uint64_t first = offset >> page_shift, last = (page_ceil(end) >> page_shift) - 1;
    if (last - first >= fs().options.max_pages)
        return Errno::nospc;
    if (here > old_size)
        object_->set_size(here);
    Result<void> made;
    uint64_t at = first;
    for (; at << page_shift < here && made.ok(); at++) {
        const Result<VmPage*> page = object_->page(at);
        if (page)
            page_unref(*page);
        else
            made = page.error();
    }
    if (!made) {
        if (here > old_size)
            object_->set_size(old_size);
        object_->recount();
        return made;
    }
    if (here > old_size)
        touch_modification();
    return {};
}

Result<void> TmpfsFile::add_seals(uint32_t more) {
    using namespace file_seals;
    MutexGuard guard(lock_); // no write is under way
    if (is_sealed(seal))
        return Errno::perm;
    if ((more & exec) && (mode_.load(std::memory_order_relaxed) & all_execute))
        more |= shrink | grow | any_write; // what may be run for good may not change
    if ((more & write) && !is_sealed(write) &&
        (mappings_to_come_.load(std::memory_order_acquire) > 0 || object_->may_be_written_through_mappings()))
        return Errno::busy;
    seals_.fetch_or(more, std::memory_order_relaxed);
    return {};
}

Result<bool> TmpfsFile::begin_shared_mapping(Writes writes) {
    MutexGuard guard(lock_);
    const bool sealed = is_sealed(file_seals::any_write);
    if (sealed && writes == Writes::now)
        return Errno::perm;
    mappings_to_come_.fetch_add(1, std::memory_order_relaxed);
    return !sealed;
}

} // namespace

void tmpfs_become_memfd(Vnode& file, uint32_t seals, Buffer<char> shown_as) {
    static_cast<TmpfsFile&>(file).become_memfd(seals, std::move(shown_as));
}

Result<RefPtr<TmpfsNode>> tmpfs_make_file(TmpfsMount& fs, const Vnode::NewNode& fresh) {
    RefPtr<TmpfsObject> object = TRY(make_ref<TmpfsObject>(fs));
    return RefPtr<TmpfsNode>(TRY(make_ref<TmpfsFile>(fs, fresh, std::move(object))));
}

} // namespace lentil

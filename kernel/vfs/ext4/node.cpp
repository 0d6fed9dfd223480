// SPDX-License-Identifier: BSD-2-Clause
// Inodes in memory ("Index Nodes"): loading, storing, attributes, the end of a file.
#include <algorithm>
#include <cstring>

#include <bsd/proc.hpp>
#include <bsd/random.hpp>
#include <sched/clock.hpp>
#include <vfs/device.hpp>
#include <vfs/ext4/crc32c.hpp>
#include <vfs/ext4/node.hpp>
#include <vfs/vnode_file.hpp>

namespace lentil::ext4 {

namespace {

constexpr nanos_t second = 1000000000;

/// Seconds in 34 bits, nanoseconds in 30 ("Inode Timestamps").
nanos_t time_from(uint32_t seconds, uint32_t extra) {
    const int64_t s = static_cast<int32_t>(seconds) + (int64_t{extra & 3} << 32);
    const uint32_t ns = extra >> 2;
    return s * second + (ns < second ? ns : 0);
}
void time_to(nanos_t t, uint32_t& seconds, uint32_t& extra) {
    int64_t s = t / second, ns = t % second;
    if (ns < 0) {
        ns += second;
        s--;
    }
    seconds = static_cast<uint32_t>(s);
    extra = static_cast<uint32_t>(((s - static_cast<int32_t>(seconds)) >> 32 & 3) | ns << 2);
}

uint64_t decode_device(uint32_t old_number, uint32_t new_number) {
    if (old_number != 0)
        return make_device(old_number >> 8 & 0xff, old_number & 0xff);
    return make_device(new_number >> 8 & 0xfff, (new_number & 0xff) | (new_number >> 12 & 0xfff00));
}

uint32_t checksum_of(const Fs& fs, uint32_t number, const uint8_t* raw) {
    const auto* d = reinterpret_cast<const DiskInode*>(raw);
    const uint16_t zero = 0;
    uint32_t sum = fs.inode_seed(number, d->generation);
    sum = crc32c(sum, raw, offsetof(DiskInode, checksum_lo));
    sum = crc32c(sum, &zero, 2);
    sum = crc32c(sum, raw + offsetof(DiskInode, reserved), first_extra - offsetof(DiskInode, reserved));
    if (fs.super.inode_size > first_extra) {
        sum = crc32c(sum, raw + first_extra, 2);
        const bool has_high = d->extra_size >= 4;
        if (has_high)
            sum = crc32c(sum, &zero, 2);
        const size_t at = first_extra + (has_high ? 4 : 2);
        sum = crc32c(sum, raw + at, fs.super.inode_size - at);
        if (!has_high)
            sum &= 0xffff;
    } else {
        sum &= 0xffff;
    }
    return sum;
}

} // namespace

Result<RefPtr<Node>> Node::load(Fs& fs, uint32_t number) {
    uint32_t offset = 0;
    const MetaRef place = TRY(fs.inode_place(number, offset));
    alignas(8) uint8_t raw[sizeof(DiskInode)] = {};
    const uint8_t* const on_disk = place.data() + offset;
    memcpy(raw, on_disk, std::min<size_t>(sizeof raw, fs.super.inode_size));
    const DiskInode& d = *reinterpret_cast<const DiskInode*>(raw);
    const bool has_extra = fs.super.inode_size > first_extra;
    if (has_extra && (d.extra_size > fs.super.inode_size - first_extra || d.extra_size % 4 != 0))
        return Errno::uclean;
    if (fs.checksums()) {
        uint32_t stored = d.checksum_lo;
        if (has_extra && d.extra_size >= 4)
            stored |= uint32_t{d.checksum_hi} << 16;
        if (stored != checksum_of(fs, number, on_disk))
            return Errno::uclean;
    }
    const VnodeType type = TRY(type_of_mode(d.mode));
    if (d.links == 0 && d.dtime == 0 && number >= fs.super.first_inode && d.mode == 0)
        return Errno::uclean;
    RefPtr<Node> n = TRY(make_ref<Node>(type, fs, number));
    n->mode.store(d.mode, std::memory_order_relaxed);
    n->uid.store(d.uid_lo | uint32_t{d.uid_hi} << 16, std::memory_order_relaxed);
    n->gid.store(d.gid_lo | uint32_t{d.gid_hi} << 16, std::memory_order_relaxed);
    n->links.store(d.links, std::memory_order_relaxed);
    n->generation = d.generation;
    n->flags = d.flags;
    n->extra_size_ = has_extra ? d.extra_size : 0;
    const auto extra = [&](size_t at, uint32_t value) { return n->extra_size_ + first_extra >= at + 4 ? value : 0; };
    n->atime_.store(time_from(d.atime, extra(offsetof(DiskInode, atime_extra), d.atime_extra)));
    n->mtime_.store(time_from(d.mtime, extra(offsetof(DiskInode, mtime_extra), d.mtime_extra)));
    n->ctime_.store(time_from(d.ctime, extra(offsetof(DiskInode, ctime_extra), d.ctime_extra)));
    n->created_ = time_from(extra(offsetof(DiskInode, created), d.created),
                            extra(offsetof(DiskInode, created_extra), d.created_extra));
    n->file_acl_ = join(d.file_acl_lo, d.file_acl_hi);
    const uint64_t sectors = join(d.blocks_lo, fs.with(ro_compat::huge_file) ? d.blocks_hi : 0);
    n->blocks_ = d.flags & inode_flags::huge_file ? sectors : sectors >> (fs.block_shift - sector_shift);
    n->blocks_shown_.store(n->blocks_, std::memory_order_relaxed);
    n->disk_size_ = join(d.size_lo, d.size_hi);
    memcpy(n->root_, d.block, sizeof n->root_);
    if (d.flags & (inode_flags::inline_data | inode_flags::encrypted))
        return Errno::opnotsupp;
    const uint64_t longest = uint64_t{UINT32_MAX} << fs.block_shift;
    if (n->disk_size_ > longest)
        return Errno::uclean;
    switch (type) {
    case VnodeType::regular:
        n->pages_ = TRY(make_ref<FilePages>(*n, fs.buffers.volume(), fs.block_bytes));
        n->pages_->set_size(n->disk_size_);
        break;
    case VnodeType::directory:
        if (n->disk_size_ % fs.block_bytes != 0 || n->disk_size_ == 0 || !n->has_extents())
            return Errno::uclean;
        break;
    case VnodeType::symlink:
        if (n->disk_size_ >= (n->has_extents() ? std::min<uint64_t>(fs.block_bytes, 4096) : sizeof n->root_))
            return Errno::uclean;
        break;
    case VnodeType::character:
    case VnodeType::block: {
        uint32_t words[2];
        memcpy(words, n->root_, sizeof words);
        n->rdevice_ = decode_device(words[0], words[1]);
        break;
    }
    default: break;
    }
    n->size_.store(n->disk_size_, std::memory_order_relaxed);
    return n;
}

Result<RefPtr<Node>> Node::make(Fs& fs, uint32_t number, const NewNode& fresh) {
    RefPtr<Node> n = TRY(make_ref<Node>(fresh.type, fs, number));
    n->mode.store(mode_of(fresh.type) | (fresh.mode & 07777), std::memory_order_relaxed);
    n->uid.store(fresh.uid, std::memory_order_relaxed);
    n->gid.store(fresh.gid, std::memory_order_relaxed);
    random_bytes(reinterpret_cast<uint8_t*>(&n->generation), sizeof n->generation);
    n->extra_size_ = static_cast<uint16_t>(
        fs.super.inode_size > first_extra ? std::min<uint32_t>(32, fs.super.inode_size - first_extra) : 0);
    const nanos_t now = realtime_ns();
    n->atime_.store(now, std::memory_order_relaxed);
    n->mtime_.store(now, std::memory_order_relaxed);
    n->ctime_.store(now, std::memory_order_relaxed);
    n->created_ = now;
    n->rdevice_ = fresh.rdevice;
    const bool blocks = fresh.type == VnodeType::regular || fresh.type == VnodeType::directory ||
                        (fresh.type == VnodeType::symlink && fresh.target.size() >= sizeof n->root_);
    if (blocks) {
        n->flags |= inode_flags::extents;
        const ExtentHeader root{extent_magic, 0, 4, 0, 0};
        memcpy(n->root_, &root, sizeof root);
    } else if (fresh.type == VnodeType::symlink) {
        memcpy(n->root_, fresh.target.data(), fresh.target.size());
        n->size_.store(fresh.target.size(), std::memory_order_relaxed);
        n->disk_size_ = fresh.target.size();
    } else if (fresh.type == VnodeType::character || fresh.type == VnodeType::block) {
        const auto major = static_cast<uint32_t>(fresh.rdevice >> 8 & 0xfff);
        const auto minor = static_cast<uint32_t>((fresh.rdevice & 0xff) | (fresh.rdevice >> 12 & ~0xffu));
        uint32_t words[2] = {};
        if (major < 256 && minor < 256)
            words[0] = major << 8 | minor;
        else
            words[1] = (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
        memcpy(n->root_, words, sizeof words);
    }
    if (fresh.type == VnodeType::regular)
        n->pages_ = TRY(make_ref<FilePages>(*n, fs.buffers.volume(), fs.block_bytes));
    // Whatever was in the place of the inode goes.
    uint32_t offset = 0;
    const MetaRef place = TRY(fs.inode_place(number, offset));
    memset(place.data() + offset, 0, fs.super.inode_size);
    fs.journal.modify(*place);
    return n;
}

Node::~Node() {
    // Of a file system that takes no more writes: who looks for memory may hold the pages a little longer than us.
    if (pages_ && pages_->is_dirty())
        pages_->set_size(0);
    forget_name();
}

Result<void> Node::store() {
    uint32_t offset = 0;
    const MetaRef place = TRY(fs().inode_place(number, offset));
    uint8_t* const raw = place.data() + offset;
    auto& d = *reinterpret_cast<DiskInode*>(raw);
    attributes_dirty_.store(0, std::memory_order_relaxed);
    const uint32_t owner = uid.load(std::memory_order_relaxed), group = gid.load(std::memory_order_relaxed);
    d.mode = static_cast<uint16_t>(mode.load(std::memory_order_relaxed));
    d.uid_lo = static_cast<uint16_t>(owner);
    d.uid_hi = static_cast<uint16_t>(owner >> 16);
    d.gid_lo = static_cast<uint16_t>(group);
    d.gid_hi = static_cast<uint16_t>(group >> 16);
    d.links = static_cast<uint16_t>(links.load(std::memory_order_relaxed));
    d.size_lo = static_cast<uint32_t>(disk_size_);
    d.size_hi = static_cast<uint32_t>(disk_size_ >> 32);
    d.flags = flags & ~inode_flags::huge_file;
    uint64_t sectors = blocks_ << (fs().block_shift - sector_shift);
    if (sectors >> 48) {
        d.flags |= inode_flags::huge_file;
        sectors = blocks_;
    }
    d.blocks_lo = static_cast<uint32_t>(sectors);
    d.blocks_hi = static_cast<uint16_t>(sectors >> 32);
    blocks_shown_.store(blocks_, std::memory_order_relaxed);
    memcpy(d.block, root_, sizeof d.block);
    d.generation = generation;
    d.file_acl_lo = static_cast<uint32_t>(file_acl_);
    d.file_acl_hi = static_cast<uint16_t>(file_acl_ >> 32);
    uint32_t extra[3];
    time_to(atime_.load(std::memory_order_relaxed), d.atime, extra[0]);
    time_to(mtime_.load(std::memory_order_relaxed), d.mtime, extra[1]);
    time_to(ctime_.load(std::memory_order_relaxed), d.ctime, extra[2]);
    d.dtime = is_orphan                                    ? next_orphan
              : links.load(std::memory_order_relaxed) == 0 ? static_cast<uint32_t>(realtime_ns() / second)
                                                           : 0;
    if (extra_size_ > 0)
        d.extra_size = extra_size_;
    if (extra_size_ + first_extra >= offsetof(DiskInode, version_hi)) {
        d.atime_extra = extra[0];
        d.mtime_extra = extra[1];
        d.ctime_extra = extra[2];
        time_to(created_, d.created, d.created_extra);
    }
    if (fs().checksums()) {
        const uint32_t sum = checksum_of(fs(), number, raw);
        d.checksum_lo = static_cast<uint16_t>(sum);
        if (extra_size_ >= 4)
            d.checksum_hi = static_cast<uint16_t>(sum >> 16);
    }
    fs().journal.modify(*place);
    changed_in_.store(fs().journal.running_id(), std::memory_order_release);
    return {};
}

Result<FileStat> Node::stat() {
    FileStat st;
    st.device = mount->device;
    st.inode = number;
    st.rdevice = rdevice_;
    st.size = size_bytes();
    st.blocks_512 = blocks_shown_.load(std::memory_order_relaxed) << (fs().block_shift - sector_shift);
    if (pages_) // what is not on the disk yet counts too
        st.blocks_512 +=
            pages_->dirty_pages() != 0 && st.blocks_512 == 0 ? pages_->dirty_pages() * (page_size / 512) : 0;
    st.mode = mode.load(std::memory_order_relaxed);
    st.links = links.load(std::memory_order_relaxed);
    st.block_size = 4096;
    st.uid = uid.load(std::memory_order_relaxed);
    st.gid = gid.load(std::memory_order_relaxed);
    st.atime = atime_.load(std::memory_order_relaxed);
    st.mtime = mtime_.load(std::memory_order_relaxed);
    st.ctime = ctime_.load(std::memory_order_relaxed);
    st.btime = created_;
    return st;
}

void Node::touch_change() {
    ctime_.store(realtime_ns(), std::memory_order_relaxed);
    changed();
}

void Node::touch_modification() {
    const nanos_t now = realtime_ns();
    mtime_.store(now, std::memory_order_relaxed);
    ctime_.store(now, std::memory_order_relaxed);
    changed();
}

void Node::touch_access() {
    if (mount->has(mount_flags::no_atime) || mount->read_only() ||
        (type == VnodeType::directory && mount->has(mount_flags::no_dir_atime)))
        return;
    constexpr nanos_t day = 86400 * second;
    const nanos_t last = atime_.load(std::memory_order_relaxed), now = realtime_ns();
    if (last > mtime_.load(std::memory_order_relaxed) && last > ctime_.load(std::memory_order_relaxed) &&
        now - last <= day)
        return;
    atime_.store(now, std::memory_order_relaxed);
    changed();
}

void Node::drop_privilege_bits() {
    const uint32_t bits = mode.load(std::memory_order_relaxed);
    if (!(bits & (file_mode::set_uid | file_mode::set_gid)) || !has_uthread() ||
        current_proc().cred()->capable(Capability::fsetid))
        return;
    uint32_t kept = bits & ~file_mode::set_uid;
    if (bits & 010)
        kept &= ~file_mode::set_gid;
    mode.store(kept, std::memory_order_relaxed);
    changed();
}

Result<void> Node::change(const AttributeChange& change) {
    MutexGuard guard(lock_);
    if (flags & (inode_flags::immutable | inode_flags::append_only))
        return Errno::perm;
    if (change.set_size) {
        if (type != VnodeType::regular)
            return Errno::inval;
        TRY(set_size(change.size));
    }
    if (change.set_mode)
        mode.store((change.mode & 07777) | mode_of(type), std::memory_order_relaxed);
    if (change.set_uid)
        uid.store(change.uid, std::memory_order_relaxed);
    if (change.set_gid)
        gid.store(change.gid, std::memory_order_relaxed);
    if (change.set_size)
        touch_modification();
    else
        touch_change();
    if (change.set_atime)
        atime_.store(change.atime, std::memory_order_relaxed);
    if (change.set_mtime)
        mtime_.store(change.mtime, std::memory_order_relaxed);
    Op op(fs());
    TRY(op.begin(4));
    return store();
}

Result<RefPtr<File>> Node::open(uint32_t open_flags_value, Vnode& as) {
    switch (type) {
    case VnodeType::symlink: return Errno::loop;
    case VnodeType::regular:
    case VnodeType::directory: return vnode_file_open(as, open_flags_value);
    default: return special_open(as, fifo_, rdevice_, open_flags_value);
    }
}

Result<size_t> Node::read_link(std::span<char> buffer) {
    if (type != VnodeType::symlink)
        return Errno::inval;
    const size_t n = std::min<size_t>(buffer.size(), size_bytes());
    if (!has_extents()) {
        memcpy(buffer.data(), root_, n);
        return n;
    }
    const Mapping m = TRY(map_blocks(0, 1));
    if (m.kind != Mapping::written)
        return Errno::uclean;
    const MetaRef block = TRY(fs().buffers.get(m.block));
    memcpy(buffer.data(), block.data(), n);
    return n;
}

Result<void> Node::destroy() {
    if (pages_) {
        MutexGuard guard(write_lock);
        pages_->set_size(0);
    }
    if (has_extents()) {
        MutexGuard guard(write_lock);
        TRY(free_from(0));
    }
    Op op(fs());
    TRY(op.begin());
    if (file_acl_ != 0)
        TRY(leave_xattr_block());
    TRY(fs().orphan_remove(*this));
    disk_size_ = 0;
    TRY(store());
    return fs().free_inode(number, type == VnodeType::directory);
}

// ---- the name that paths show --------------------------------------------------------------------------------------------

void Node::forget_name() {
    Node* directory;
    char* text;
    uint32_t length;
    {
        SpinGuard guard(fs().table_lock);
        directory = std::exchange(name_directory_, nullptr);
        text = std::exchange(name_, nullptr);
        length = std::exchange(name_length_, 0);
        if (directory)
            directory->named_children.fetch_sub(1, std::memory_order_relaxed);
    }
    if (text)
        kfree(text, length);
    if (directory)
        directory->unref();
}

void Node::forget_name_if(const Node& directory, std::string_view text) {
    {
        SpinGuard guard(fs().table_lock);
        if (name_directory_ != &directory || std::string_view(name_, name_length_) != text)
            return;
    }
    forget_name();
}

void Node::remember_name(Node& directory, std::string_view text) {
    {
        SpinGuard guard(fs().table_lock);
        if (name_directory_ == &directory && std::string_view(name_, name_length_) == text)
            return;
    }
    auto* const copy = static_cast<char*>(kmalloc(text.size()));
    if (!copy)
        return; // only paths in /proc suffer
    memcpy(copy, text.data(), text.size());
    forget_name();
    SpinGuard guard(fs().table_lock);
    if (name_directory_) { // someone was faster
        guard.unlock();
        kfree(copy, text.size());
        return;
    }
    directory.ref();
    directory.named_children.fetch_add(1, std::memory_order_relaxed);
    name_directory_ = &directory;
    name_ = copy;
    name_length_ = static_cast<uint32_t>(text.size());
}

Result<Vnode::Name> Node::name(std::span<char> buffer) {
    SpinGuard guard(fs().table_lock);
    if (!name_directory_)
        return Errno::noent;
    if (name_length_ > buffer.size())
        return Errno::range;
    memcpy(buffer.data(), name_, name_length_);
    return Name{RefPtr<Vnode>(name_directory_), name_length_};
}

} // namespace lentil::ext4

// SPDX-License-Identifier: BSD-2-Clause
// tmpfs: the mount, what all nodes have in common, and the nodes that are neither file nor directory.
#include <algorithm>
#include <cstring>

#include <bsd/pipe.hpp>
#include <libkern/format.hpp>
#include <libkern/parse.hpp>
#include <sched/clock.hpp>
#include <vfs/device.hpp>
#include <vfs/tmpfs.hpp>
#include <vfs/tmpfs_file.hpp>
#include <vfs/vnode_file.hpp>
#include <vm/page.hpp>

namespace lentil {

constinit SpinLock<Rank::vnode_link> tmpfs_link_lock;

// ---- nodes -------------------------------------------------------------------------------------------------------

TmpfsNode::TmpfsNode(VnodeType node_type, TmpfsMount& file_system, const NewNode& fresh)
    : Vnode(node_type, file_system), mode_((fresh.mode & 07777) | mode_of(node_type)), uid_(fresh.uid), gid_(fresh.gid),
      btime_(realtime_ns()), inode_(file_system.next_inode.fetch_add(1, std::memory_order_relaxed)),
      rdevice_(node_type == VnodeType::character || node_type == VnodeType::block ? fresh.rdevice : 0) {
    atime_.store(btime_, std::memory_order_relaxed);
    mtime_.store(btime_, std::memory_order_relaxed);
    ctime_.store(btime_, std::memory_order_relaxed);
    file_system.nodes.fetch_add(1, std::memory_order_relaxed);
    mode_at = &mode_;
}

TmpfsNode::~TmpfsNode() {
    ASSERT(!named_by);
    if (xattrs_)
        zone_delete(xattrs_);
    fs().nodes.fetch_sub(1, std::memory_order_relaxed);
}

Result<FileStat> TmpfsNode::stat() {
    // Before there is an answer, or all of it would be set to nothing first.
    const Extent has = extent();
    FileStat st;
    st.device = mount->device;
    st.inode = inode_;
    st.rdevice = rdevice_;
    st.size = has.bytes;
    st.blocks_512 = has.pages * (page_size / 512);
    st.mode = mode_.load(std::memory_order_relaxed);
    st.links = links.load(std::memory_order_relaxed);
    st.uid = uid_.load(std::memory_order_relaxed);
    st.gid = gid_.load(std::memory_order_relaxed);
    st.atime = atime_.load(std::memory_order_relaxed);
    st.mtime = mtime_.load(std::memory_order_relaxed);
    st.ctime = ctime_.load(std::memory_order_relaxed);
    st.btime = btime_;
    return st;
}

Result<void> TmpfsNode::change(const AttributeChange& change) {
    MutexGuard guard(lock_);
    if (change.set_mode)
        TRY(check_mode(change.mode));
    if (change.set_size)
        TRY(set_size(change.size));
    if (change.set_mode)
        mode_.store((change.mode & 07777) | mode_of(type), std::memory_order_relaxed);
    if (change.set_uid)
        uid_.store(change.uid, std::memory_order_relaxed);
    if (change.set_gid)
        gid_.store(change.gid, std::memory_order_relaxed);
    if (change.set_size)
        touch_modification();
    else
        touch_change();
    if (change.set_atime)
        atime_.store(change.atime, std::memory_order_relaxed);
    if (change.set_mtime)
        mtime_.store(change.mtime, std::memory_order_relaxed);
    return {};
}

void TmpfsNode::touch_change() { ctime_.store(realtime_ns(), std::memory_order_relaxed); }

void TmpfsNode::touch_modification() {
    const nanos_t now = realtime_ns();
    mtime_.store(now, std::memory_order_relaxed);
    ctime_.store(now, std::memory_order_relaxed);
}

void TmpfsNode::touch_access() {
    if (mount->has(mount_flags::no_atime) || mount->read_only())
        return;
    constexpr nanos_t day = nanos_t{86400} * 1000000000;
    const nanos_t last = atime_.load(std::memory_order_relaxed);
    if (last > mtime_.load(std::memory_order_relaxed) && last > ctime_.load(std::memory_order_relaxed)) {
        // Only a stale time of a file that did not change is worth asking the clock for.
        const nanos_t now = realtime_ns();
        if (now - last > day)
            atime_.store(now, std::memory_order_relaxed);
        return;
    }
    atime_.store(realtime_ns(), std::memory_order_relaxed);
}

Result<Vnode::Name> TmpfsNode::name(std::span<char> buffer) {
    SpinGuard guard(tmpfs_link_lock);
    if (!named_by)
        return Errno::noent;
    const std::string_view text = named_by->name();
    if (text.size() > buffer.size())
        return Errno::range;
    // The directory has an entry, so whoever holds the tree holds it; a last reference may be going all the same.
    if (!named_by->directory->try_ref())
        return Errno::noent;
    memcpy(buffer.data(), text.data(), text.size());
    return Name{RefPtr<Vnode>::adopt(named_by->directory), text.size()};
}

Result<size_t> TmpfsNode::get_xattr(std::string_view name, std::span<char> value) {
    MutexGuard guard(lock_);
    return xattrs_ ? xattrs_->get(name, value) : Result<size_t>(Errno::nodata);
}

Result<void> TmpfsNode::set_xattr(std::string_view name, std::string_view value, uint32_t flags) {
    constexpr size_t limit = size_t{128} * 1024; // of one node, as Linux has it for attributes of users
    MutexGuard guard(lock_);
    if (!xattrs_)
        xattrs_ = TRY(zone_new<XattrList>());
    TRY(xattrs_->set(name, value, flags, limit));
    touch_change();
    return {};
}

Result<void> TmpfsNode::remove_xattr(std::string_view name) {
    MutexGuard guard(lock_);
    TRY(xattrs_ ? xattrs_->remove(name) : Result<void>(Errno::nodata));
    touch_change();
    return {};
}

Result<size_t> TmpfsNode::list_xattrs(std::span<char> names, bool trusted) {
    MutexGuard guard(lock_);
    return xattrs_ ? xattrs_->list(names, trusted) : Result<size_t>(size_t{0});
}

namespace {

class TmpfsSymlink final : public TmpfsNode {
public:
    static constexpr const char* zone_name = "tmpfs_symlinks";
    TmpfsSymlink(TmpfsMount& fs, const NewNode& fresh, Buffer<char> target)
        : TmpfsNode(VnodeType::symlink, fs, fresh), target_(std::move(target)) {}
    void dispose() override { zone_delete(this); }
    Result<size_t> read_link(std::span<char> buffer) override {
        const size_t n = std::min(buffer.size(), target_.size());
        memcpy(buffer.data(), target_.data(), n);
        return n;
    }

protected:
    Extent extent() override { return {target_.size(), 0}; }

private:
    Buffer<char> target_;
};

/// Devices, FIFOs and sockets.
class TmpfsSpecial final : public TmpfsNode {
public:
    static constexpr const char* zone_name = "tmpfs_specials";
    TmpfsSpecial(TmpfsMount& fs, const NewNode& fresh) : TmpfsNode(fresh.type, fs, fresh) {}
    void dispose() override { zone_delete(this); }
    Result<RefPtr<File>> open(uint32_t flags, Vnode& as) override;

private:
    Fifo fifo_;
};

Result<RefPtr<File>> TmpfsSpecial::open(uint32_t flags, Vnode& as) { return special_open(as, fifo_, rdevice_, flags); }

} // namespace

Result<RefPtr<File>> TmpfsNode::open(uint32_t flags, Vnode& as) {
    if (type == VnodeType::symlink)
        return Errno::loop;
    return vnode_file_open(as, flags);
}

Result<RefPtr<TmpfsNode>> tmpfs_make_node(TmpfsMount& fs, const Vnode::NewNode& fresh) {
    if (fs.nodes.load(std::memory_order_relaxed) >= fs.options.max_nodes)
        return Errno::nospc;
    switch (fresh.type) {
    case VnodeType::regular: return tmpfs_make_file(fs, fresh);
    case VnodeType::directory: return RefPtr<TmpfsNode>(TRY(make_ref<TmpfsDirectory>(fs, fresh)));
    case VnodeType::symlink: {
        Buffer<char> target = TRY(Buffer<char>::create(fresh.target.size()));
        memcpy(target.data(), fresh.target.data(), fresh.target.size());
        return RefPtr<TmpfsNode>(TRY(make_ref<TmpfsSymlink>(fs, fresh, std::move(target))));
    }
    default: return RefPtr<TmpfsNode>(TRY(make_ref<TmpfsSpecial>(fs, fresh)));
    }
}

// ---- the mount ---------------------------------------------------------------------------------------------------

TmpfsMount::Options TmpfsMount::defaults() {
    const uint64_t total = page_counts().total;
    return {total / 2, total / 2, 01777, 0, 0};
}

Result<TmpfsMount::Options> TmpfsMount::parse(std::string_view text, Options options) {
    while (!text.empty()) {
        const auto [key, value] = take_option(text);
        if (key == "size") {
            if (value.ends_with('%')) {
                const uint64_t percent = TRY(parse_number(value.substr(0, value.size() - 1), 10));
                options.max_pages = page_counts().total * percent / 100;
            } else {
                options.max_pages = page_ceil(TRY(parse_size(value))) >> page_shift;
            }
        } else if (key == "nr_blocks") {
            options.max_pages = TRY(parse_size(value));
        } else if (key == "nr_inodes") {
            options.max_nodes = TRY(parse_size(value));
        } else if (key == "mode") {
            options.mode = static_cast<uint32_t>(TRY(parse_number(value, 8))) & 07777;
        } else if (key == "uid") {
            options.uid = static_cast<uid_t>(TRY(parse_number(value, 10)));
        } else if (key == "gid") {
            options.gid = static_cast<gid_t>(TRY(parse_number(value, 10)));
        } else if (!key.empty()) {
            return Errno::inval;
        }
        if (options.max_pages == 0) // size=0: no limit
            options.max_pages = ~uint64_t{0} >> page_shift;
        if (options.max_nodes == 0)
            options.max_nodes = ~uint64_t{0};
    }
    return options;
}

Result<RefPtr<TmpfsMount>> TmpfsMount::create(const Options& wanted, const Options& defaults_then) {
    RefPtr<TmpfsMount> mount = TRY(make_ref<TmpfsMount>());
    mount->keeps_names = true;
    mount->options = wanted;
    mount->base = defaults_then;
    mount->device = mount_new_device();
    const Vnode::NewNode fresh{VnodeType::directory, wanted.mode, wanted.uid, wanted.gid};
    RefPtr<TmpfsNode> root = TRY(tmpfs_make_node(*mount, fresh));
    root->links.store(2, std::memory_order_relaxed);
    mount->root = root;
    return mount;
}

FsStat TmpfsMount::fs_stat() {
    FsStat st;
    st.magic = 0x01021994;
    const uint64_t used = pages.load(std::memory_order_relaxed), used_nodes = nodes.load(std::memory_order_relaxed);
    st.blocks = options.max_pages;
    st.blocks_free = options.max_pages - std::min(options.max_pages, used);
    st.files = options.max_nodes;
    st.files_free = options.max_nodes - std::min(options.max_nodes, used_nodes);
    return st;
}

bool TmpfsMount::in_use() {
    MutexGuard guard(rename_lock);
    uint64_t seen = 0;
    const bool used = static_cast<TmpfsDirectory&>(*root).subtree_in_use(seen);
    return used || seen != nodes.load(std::memory_order_relaxed); // open files that have no name any more
}

void TmpfsMount::teardown() {
    // Bottom up without recursion: a tree may be deeper than the kernel stack.
    RefPtr<TmpfsDirectory> top(static_cast<TmpfsDirectory*>(root.get()));
    RefPtr<TmpfsDirectory> at = top;
    for (;;) {
        TmpfsEntry* entry = at->take_any();
        if (entry) {
            RefPtr<TmpfsNode> node = std::move(entry->node);
            zone_delete(entry);
            if (node->type == VnodeType::directory)
                at = RefPtr<TmpfsDirectory>(static_cast<TmpfsDirectory*>(node.get()));
            continue;
        }
        if (at == top)
            break;
        at = at->leave_parent();
    }
    root.reset();
}

size_t TmpfsMount::describe_options(std::span<char> buffer) {
    size_t n = 0;
    const auto add = [&](std::string_view format, auto value) {
        n += format_to(buffer.subspan(n), format, value).size();
    };
    if (options.max_pages != base.max_pages)
        add(",size={}k", options.max_pages * (page_size / 1024));
    if (options.max_nodes != base.max_nodes)
        add(",nr_inodes={}", options.max_nodes);
    if (options.mode != base.mode)
        add(",mode={:o}", options.mode);
    if (options.uid != 0)
        add(",uid={}", options.uid);
    if (options.gid != 0)
        add(",gid={}", options.gid);
    return n;
}

Result<void> TmpfsMount::remount(std::string_view text) {
    const Options fresh = TRY(parse(text, options));
    if (fresh.max_pages < pages.load(std::memory_order_relaxed) ||
        fresh.max_nodes < nodes.load(std::memory_order_relaxed))
        return Errno::inval;
    options.max_pages = fresh.max_pages;
    options.max_nodes = fresh.max_nodes;
    return {};
}

Result<RefPtr<Mount>> tmpfs_mount(const MountRequest& request) {
    const TmpfsMount::Options base = TmpfsMount::defaults();
    const TmpfsMount::Options options = TRY(TmpfsMount::parse(request.options, base));
    return RefPtr<Mount>(TRY(TmpfsMount::create(options, base)));
}

} // namespace lentil

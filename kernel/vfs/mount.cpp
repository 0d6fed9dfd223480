// SPDX-License-Identifier: BSD-2-Clause
// The mount table.
#include <algorithm>
#include <cstring>

#include <vfs/filesystems.hpp>
#include <vfs/mount.hpp>

namespace lentil {

namespace {
constinit SpinLock<Rank::mount> table_lock;
/// One change of the table at a time; what may sleep is done with this one alone.
constinit Mutex<Rank::mount_change> change_lock;
constinit Mount* first_mount = nullptr; // t = table_lock; each in the table has a reference for that
constinit std::atomic<uint32_t> next_id{1}, next_device{1};

constexpr FileSystemType types[] = {
    {"tmpfs", false, tmpfs_mount},
    {"devtmpfs", false, devfs_mount},
    {"proc", false, procfs_mount},
};
} // namespace

Vnode::Vnode(VnodeType node_type, Mount& node_mount) : type(node_type), mount(&node_mount) { mount->ref(); }

Vnode::~Vnode() { mount->unref(); }

Result<FsStat> Vnode::fs_stat() { return mount->fs_stat(); }

const FileSystemType* find_file_system(std::string_view name) {
    auto* found = std::find_if(std::begin(types), std::end(types), [&](auto& t) { return name == t.name; });
    return found == std::end(types) ? nullptr : found;
}

void for_each_file_system(void (*visit)(const FileSystemType&, void*), void* context) {
    for (const FileSystemType& t : types)
        visit(t, context);
}

uint64_t mount_new_device() { return make_device(0, next_device.fetch_add(1, std::memory_order_relaxed)); }

Result<RefPtr<Mount>> mount_attach(std::string_view type, RefPtr<Vnode> directory, const MountRequest& request) {
    const FileSystemType* fs = find_file_system(type);
    if (!fs)
        return Errno::nodev;
    if (directory && directory->type != VnodeType::directory)
        return Errno::notdir;
    RefPtr<Mount> mount = TRY(fs->mount(request));
    mount->type_name = fs->name;
    memcpy(mount->source, request.source.data(), std::min(request.source.size(), sizeof mount->source - 1));
    mount->flags.store(request.flags & mount_flags::kept, std::memory_order_relaxed);
    mount->id = next_id.fetch_add(1, std::memory_order_relaxed);
    {
        MutexGuard change(change_lock);
        SpinGuard guard(table_lock);
        if (!directory || directory->covered_by.load(std::memory_order_relaxed) == nullptr) {
            if (directory)
                directory->covered_by.store(mount.get(), std::memory_order_release);
            mount->covered = std::move(directory);
            mount->ref(); // the table's
            Mount** end = &first_mount;
            while (*end)
                end = &(*end)->next;
            *end = mount.get();
            return mount;
        }
    }
    mount->teardown();
    return Errno::busy;
}

Result<void> mount_detach(Vnode& root, bool lazy) {
    RefPtr<Mount> mount = ref(root.mount);
    RefPtr<Vnode> covered;
    bool in_use = false;
    {
        MutexGuard change(change_lock);
        if (mount->root.get() != &root || !mount->covered)
            return Errno::inval;
        bool has_child = false;
        {
            SpinGuard guard(table_lock);
            for (Mount* m = first_mount; m; m = m->next)
                has_child |= m->covered && m->covered->mount == mount.get();
        }
        in_use = mount->in_use();
        if (has_child || (in_use && !lazy))
            return Errno::busy;
        SpinGuard guard(table_lock);
        covered = std::move(mount->covered);
        covered->covered_by.store(nullptr, std::memory_order_release);
        Mount** at = &first_mount;
        while (*at != mount.get())
            at = &(*at)->next;
        *at = mount->next;
    }
    // Detached lazily while in use, the tree stays: whoever works in it goes on, nobody else finds it.
    if (!in_use)
        mount->teardown();
    mount->unref(); // the table's
    return {};
}

Result<void> mount_change(Vnode& root, uint64_t flags, std::string_view options) {
    MutexGuard change(change_lock);
    Mount& mount = *root.mount;
    if (mount.root.get() != &root)
        return Errno::inval;
    TRY(mount.remount(options));
    mount.flags.store(flags & mount_flags::kept, std::memory_order_relaxed);
    return {};
}

RefPtr<Vnode> mount_cross_down(RefPtr<Vnode> node) {
    while (node->covered_by.load(std::memory_order_acquire) != nullptr) {
        RefPtr<Vnode> top;
        {
            SpinGuard guard(table_lock);
            if (Mount* m = node->covered_by.load(std::memory_order_relaxed))
                top = m->root;
        }
        if (!top)
            break;
        node = std::move(top);
    }
    return node;
}

RefPtr<Vnode> mount_covered(Vnode& node) {
    if (node.mount->root.get() != &node)
        return nullptr;
    SpinGuard guard(table_lock);
    return node.mount->covered;
}

RefPtr<Vnode> mount_root() {
    SpinGuard guard(table_lock);
    for (Mount* m = first_mount; m; m = m->next)
        if (!m->covered)
            return m->root;
    return nullptr;
}

RefPtr<Mount> mount_by_index(unsigned index) {
    SpinGuard guard(table_lock);
    for (Mount* m = first_mount; m; m = m->next)
        if (index-- == 0)
            return RefPtr<Mount>(m);
    return nullptr;
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The mount table.
#include <algorithm>
#include <cstring>

#include <sched/thread.hpp>
#include <sched/waitq.hpp>
#include <vfs/filesystems.hpp>
#include <vfs/inotify.hpp>
#include <vfs/mount.hpp>
#include <vfs/name_cache.hpp>

namespace lentil {

namespace {
constinit SpinLock<Rank::mount> table_lock;
/// One change of the table at a time; what may sleep is done with this one alone.
constinit Mutex<Rank::mount_change> change_lock;
constinit Mount* first_mount = nullptr;    // t = table_lock; each in the table has a reference for that
constinit Mount* first_detached = nullptr; // change_lock; lazily detached, each with the reference the table had
constinit std::atomic<uint32_t> next_id{1}, next_device{1};

constexpr FileSystemType types[] = {
    {"tmpfs", false, tmpfs_mount}, {"devtmpfs", false, devfs_mount}, {"devpts", false, devpts_mount},
    {"proc", false, procfs_mount}, {"ext4", true, ext4_mount},       {"mqueue", false, mqueue_mount},
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

namespace {

bool is_on(const Mount& upper, const Mount& lower) { return upper.covered && upper.covered->mount == &lower; }

/// `top`, or a mount somewhere on it that has none on itself; with both locks.
Mount& leaf_of_locked(Mount& top) {
    Mount* leaf = &top;
    for (bool deeper = true; deeper;) {
        deeper = false;
        for (Mount* m = first_mount; m && !deeper; m = m->next)
            if (is_on(*m, *leaf)) {
                leaf = m;
                deeper = true;
            }
    }
    return *leaf;
}

/// `upper` over `directory`: inval if that is in a tree that was detached. With the change lock.
Result<void> cover(Vnode& directory, Mount& upper) {
    {
        SpinGuard guard(table_lock);
        Mount* lower = first_mount;
        while (lower && lower != directory.mount)
            lower = lower->next;
        if (!lower)
            return Errno::inval;
        upper.covered = ref(&directory);
    }
    const Result<void> covered = directory.cover(upper);
    if (!covered.ok())
        upper.covered.reset();
    return covered;
}

constinit Waitq sweeper_waitq;
constinit std::atomic<uint32_t> sweep_wanted{0};

/// Out of the table and onto the list of those that wait for their last user; with the change lock.
void detach_locked(Mount& mount) {
    RefPtr<Vnode> covered; // dropped without the table's lock
    SpinGuard guard(table_lock);
    covered = std::move(mount.covered);
    covered->uncover();
    Mount** at = &first_mount;
    while (*at != &mount)
        at = &(*at)->next;
    *at = mount.next;
    mount.next = first_detached;
    first_detached = &mount;
    guard.unlock();
    name_cache::wait_for_readers(); // of whom one may be on his way through its root
}

/// One that nobody uses any more, off the list with the list's reference; the caller holds `held`'s root.
RefPtr<Mount> next_unused(const Mount* held) {
    MutexGuard change(change_lock);
    for (Mount** at = &first_detached; *at; at = &(*at)->next) {
        Mount* mount = *at;
        const RefPtr<Vnode> root = mount == held ? nullptr : mount->root; // in_use() expects its caller to have one
        if (mount->in_use())
            continue;
        *at = mount->next;
        return RefPtr<Mount>::adopt(mount);
    }
    return nullptr;
}

void sweep(const Mount* held = nullptr) {
    while (RefPtr<Mount> mount = next_unused(held))
        mount->teardown();
}

/// A detached mount goes soon after its last user, of whom nothing tells. Looking is a walk through the whole tree, so it is
/// done less and less often.
void sweeper(void*) {
    for (;;) {
        wait_until(
            sweeper_waitq, "mounts", [] { return sweep_wanted.load() != 0; }, Interruptible::no);
        sweep_wanted = 0;
        constexpr nanos_t first_pause = 100'000'000, longest_pause = 2'000'000'000;
        nanos_t pause = first_pause;
        for (bool more = true; more; pause = std::min(pause * 2, longest_pause)) {
            sleep_until(machine::now_ns() + pause, "mounts", Interruptible::no);
            sweep();
            if (sweep_wanted.exchange(0) != 0)
                pause = first_pause / 2;
            MutexGuard change(change_lock);
            more = first_detached != nullptr;
        }
    }
}

/// What inotify watches is told of an unmount, and does not keep it from happening.
bool used_beside_watches(Mount& mount) {
    const InotifyPause pause(mount);
    return mount.in_use();
}

} // namespace

void mount_start_sweeper() { MUST(kernel_thread_start("mounts", sweeper, nullptr)); /* at boot there is memory */ }

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
    Result<void> placed;
    {
        MutexGuard change(change_lock);
        if (directory)
            placed = cover(*directory, *mount);
        if (placed.ok()) {
            SpinGuard guard(table_lock);
            mount->ref(); // the table's
            Mount** end = &first_mount;
            while (*end)
                end = &(*end)->next;
            *end = mount.get();
            return mount;
        }
    }
    mount->teardown();
    return placed.error();
}

Result<void> mount_detach(Vnode& root, bool lazy) {
    RefPtr<Mount> mount = ref(root.mount);
    {
        MutexGuard change(change_lock);
        if (mount->root.get() != &root || !mount->covered)
            return Errno::inval;
        bool has_child = false;
        {
            SpinGuard guard(table_lock);
            for (Mount* m = first_mount; m; m = m->next)
                has_child |= is_on(*m, *mount);
        }
        if (!lazy && (has_child || used_beside_watches(*mount)))
            return Errno::busy;
        for (bool more = true; more;) {
            Mount* leaf = nullptr;
            {
                SpinGuard guard(table_lock);
                leaf = &leaf_of_locked(*mount);
            }
            more = leaf != mount.get();
            inotify_unmounted(*leaf);
            detach_locked(*leaf);
        }
    }
    // What is still in use stays: whoever works in it goes on, nobody else finds it.
    sweep(mount.get());
    MutexGuard change(change_lock);
    if (first_detached) {
        sweep_wanted = 1;
        sweeper_waitq.wake_all();
    }
    return {};
}

Result<void> mount_change(Vnode& root, uint64_t flags, std::string_view options) {
    MutexGuard change(change_lock);
    Mount& mount = *root.mount;
    if (mount.root.get() != &root)
        return Errno::inval;
    const uint64_t before = mount.flags.load(std::memory_order_relaxed);
    const bool stops_writing = (flags & mount_flags::read_only) && !(before & mount_flags::read_only);
    if (stops_writing) {
        mount.flags.fetch_or(mount_flags::read_only, std::memory_order_seq_cst);
        if (mount.writers.load(std::memory_order_seq_cst) != 0) {
            mount.flags.store(before, std::memory_order_relaxed);
            return Errno::busy;
        }
    }
    const auto remount = [&]() -> Result<void> {
        TRY(mount.remount(options));
        return mount.change_flags(before, flags);
    };
    if (const Result<void> changed = remount(); !changed) {
        if (stops_writing)
            mount.flags.store(before, std::memory_order_relaxed);
        return changed;
    }
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

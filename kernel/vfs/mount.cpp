// SPDX-License-Identifier: BSD-2-Clause
// The mount table.
#include <algorithm>
#include <cstring>

#include <sched/thread.hpp>
#include <sched/waitq.hpp>
#include <vfs/filesystems.hpp>
#include <vfs/inotify.hpp>
#include <vfs/mount_internal.hpp>
#include <vfs/name_cache.hpp>

namespace lentil {

namespace mount_table {
constinit SpinLock<Rank::mount> lock;
constinit Mutex<Rank::mount_change> change_lock;
constinit Mount* first = nullptr;
} // namespace mount_table

using namespace mount_table;

namespace {
constinit Mount* first_detached = nullptr; // change_lock; lazily detached, each with the reference the table had
constinit std::atomic<uint32_t> next_id{1}, next_device{1};

constexpr FileSystemType types[] = {
    {"tmpfs", false, tmpfs_mount}, {"devtmpfs", false, devfs_mount}, {"devpts", false, devpts_mount},
    {"proc", false, procfs_mount}, {"ext4", true, ext4_mount},       {"mqueue", false, mqueue_mount},
    {"sysfs", false, sysfs_mount},
};
} // namespace

Vnode::Vnode(VnodeType node_type, Mount& node_mount) : type(node_type), mount(&node_mount) { mount->ref(); }

Vnode::~Vnode() { mount->unref(); }

Result<FsStat> Vnode::fs_stat() {
    constexpr uint64_t same = mount_flags::no_suid | mount_flags::no_dev | mount_flags::no_exec |
                              mount_flags::synchronous | mount_flags::no_atime | mount_flags::no_dir_atime,
                       statfs_relatime = 4096, statfs_no_sym_follow = 8192; // the others have mount(2)'s values
    FsStat st = mount->fs_stat();
    const uint64_t flags =
        mount->flags.load(std::memory_order_relaxed) | mount->super().super_flags.load(std::memory_order_relaxed);
    st.flags = (flags & (same | mount_flags::read_only)) | (flags & mount_flags::relatime ? statfs_relatime : 0) |
               (flags & mount_flags::no_sym_follow ? statfs_no_sym_follow : 0);
    return st;
}

bool Mount::nodes_in_use(uint64_t nodes) const {
    return nodes > 1 + uint64_t{viewed.load(std::memory_order_relaxed)} ||
           root->ref_count() > 2 + root->views.load(std::memory_order_relaxed);
}

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

/// `top`, or a mount somewhere on it that has none on itself; with the change lock.
Mount& leaf_of_locked(Mount& top) {
    Mount* leaf = &top;
    for (bool deeper = true; deeper;) {
        deeper = false;
        for (Mount* m = first; m && !deeper; m = m->next)
            if (is_on(*m, *leaf)) {
                leaf = m;
                deeper = true;
            }
    }
    return *leaf;
}

/// At the end of the table, with a reference for that.
void enter(Mount& mount) {
    SpinGuard guard(mount_table::lock);
    mount.ref();
    mount.next = nullptr;
    mount.id = next_id.fetch_add(1, std::memory_order_relaxed);
    mount.attached.store(1, std::memory_order_relaxed);
    Mount** end = &first;
    while (*end)
        end = &(*end)->next;
    *end = &mount;
}

} // namespace

Result<void> mount_table::attach(Vnode& directory, Mount& upper) {
    if (!directory.mount->attached.load(std::memory_order_relaxed))
        return Errno::inval;
    RefPtr<Vnode> before = ref(directory); // from here on where it was before, if anywhere
    {
        SpinGuard guard(mount_table::lock);
        std::swap(upper.covered, before);
    }
    const Result<void> covered = directory.cover(upper);
    {
        SpinGuard guard(mount_table::lock);
        if (!covered)
            std::swap(upper.covered, before);
        else if (before)
            before->uncover();
    }
    if (covered && !upper.attached.load(std::memory_order_relaxed))
        enter(upper);
    return covered;
}

namespace {

constinit Waitq sweeper_waitq;
constinit std::atomic<uint32_t> sweep_wanted{0};

/// Out of the table and onto the list of those that wait for their last user; with the change lock.
void detach_locked(Mount& mount) {
    RefPtr<Vnode> covered; // dropped without the table's lock
    SpinGuard guard(mount_table::lock);
    covered = std::move(mount.covered);
    covered->uncover();
    mount.attached.store(0, std::memory_order_relaxed);
    Mount** at = &first;
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
        if (mount->binds.load(std::memory_order_acquire) != 0)
            continue;
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
            more = false;
            for (const Mount* m = first_detached; m; m = m->next)
                more |= m->binds.load(std::memory_order_relaxed) == 0;
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

namespace {
/// Of a mount, from those of mount(2); what it said about access times stays if they say nothing.
uint64_t flags_from(uint64_t flags, uint64_t before) {
    using namespace mount_flags;
    constexpr uint64_t access_times = no_atime | no_dir_atime | relatime;
    uint64_t wanted = flags & kept;
    if ((flags & remount) && !(flags & (access_times | strict_atime)))
        return wanted | (before & access_times);
    if (!(flags & no_atime)) // what strict_atime asks for is done as relatime too
        wanted |= relatime;
    else
        wanted &= ~relatime;
    return wanted;
}
} // namespace

Result<RefPtr<Mount>> mount_attach(std::string_view type, RefPtr<Vnode> directory, const MountRequest& request) {
    const FileSystemType* fs = find_file_system(type);
    if (!fs)
        return Errno::nodev;
    if (directory && directory->type != VnodeType::directory)
        return Errno::notdir;
    RefPtr<Mount> mount = TRY(fs->mount(request));
    mount->type_name = fs->name;
    memcpy(mount->source, request.source.data(), std::min(request.source.size(), sizeof mount->source - 1));
    mount->flags.store(flags_from(request.flags, 0), std::memory_order_relaxed);
    mount->super_flags.store(request.flags & mount_flags::kept_by_super, std::memory_order_relaxed);
    Result<void> placed;
    {
        MutexGuard change(change_lock);
        if (directory)
            placed = attach(*directory, *mount);
        else
            enter(*mount);
        if (placed)
            return mount;
    }
    mount->teardown();
    return placed.error();
}

Result<void> mount_detach(Vnode& root, Detach how) {
    RefPtr<Mount> mount = ref(root.mount);
    {
        MutexGuard change(change_lock);
        if (mount->root.get() != &root || !mount->covered)
            return Errno::inval;
        bool has_child = false;
        for (Mount* m = first; m; m = m->next)
            has_child |= is_on(*m, *mount);
        if (how != Detach::lazily && (has_child || used_beside_watches(*mount)))
            return Errno::busy;
        // The caller's own walk to the mount was one use.
        if (how == Detach::expired && mount->expiry.load(std::memory_order_relaxed) != 1) {
            mount->expiry.store(2, std::memory_order_relaxed);
            return Errno::again;
        }
        for (bool more = true; more;) {
            Mount* const leaf = &leaf_of_locked(*mount);
            more = leaf != mount.get();
            if (!leaf->bound && leaf->binds.load(std::memory_order_relaxed) == 0)
                inotify_unmounted(*leaf);
            detach_locked(*leaf);
        }
    }
    // What is still in use stays: whoever works in it goes on, nobody else finds it.
    sweep(mount.get());
    MutexGuard change(change_lock);
    if (first_detached) { // its last user may be on his way
        sweep_wanted = 1;
        sweeper_waitq.wake_all();
    }
    return {};
}

namespace {
/// Whether a file is open for writing through any mount of that file system; with the change lock.
bool is_written(const Mount& super) {
    uint32_t writers = super.writers.load(std::memory_order_seq_cst);
    for (const Mount* list : {static_cast<const Mount*>(first), static_cast<const Mount*>(first_detached)})
        for (const Mount* m = list; m; m = m->next)
            if (m->bound.get() == &super)
                writers += m->writers.load(std::memory_order_seq_cst);
    return writers != 0;
}
} // namespace

Result<void> mount_change(Vnode& root, uint64_t flags, std::string_view options) {
    MutexGuard change(change_lock);
    Mount& mount = *root.mount;
    if (mount.root.get() != &root || !mount.attached.load(std::memory_order_relaxed))
        return Errno::inval;
    Mount& super = mount.super();
    const uint64_t before = super.super_flags.load(std::memory_order_relaxed);
    const bool stops_writing = (flags & mount_flags::read_only) && !(before & mount_flags::read_only);
    if (stops_writing) {
        super.super_flags.fetch_or(mount_flags::read_only, std::memory_order_seq_cst);
        if (is_written(super)) {
            super.super_flags.store(before, std::memory_order_relaxed);
            return Errno::busy;
        }
    }
    const auto remount = [&]() -> Result<void> {
        TRY(super.remount(options));
        return super.change_flags(before, flags);
    };
    if (const Result<void> changed = remount(); !changed) {
        if (stops_writing)
            super.super_flags.store(before, std::memory_order_relaxed);
        return changed;
    }
    super.super_flags.store(flags & mount_flags::kept_by_super, std::memory_order_relaxed);
    mount.flags.store(flags_from(flags, mount.flags.load(std::memory_order_relaxed)), std::memory_order_relaxed);
    return {};
}

Result<void> mount_change_here(Vnode& root, uint64_t flags) {
    MutexGuard change(change_lock);
    Mount& mount = *root.mount;
    if (mount.root.get() != &root || !mount.attached.load(std::memory_order_relaxed))
        return Errno::inval;
    const uint64_t before = mount.flags.load(std::memory_order_relaxed);
    if ((flags & mount_flags::read_only) && !(before & mount_flags::read_only)) {
        mount.flags.fetch_or(mount_flags::read_only, std::memory_order_seq_cst);
        if (mount.writers.load(std::memory_order_seq_cst) != 0) {
            mount.flags.store(before, std::memory_order_relaxed);
            return Errno::busy;
        }
    }
    mount.flags.store(flags_from(flags | mount_flags::remount, before), std::memory_order_relaxed);
    return {};
}

RefPtr<Vnode> mount_cross_down(RefPtr<Vnode> node) {
    while (node->covered_by.load(std::memory_order_acquire) != nullptr) {
        RefPtr<Vnode> top;
        {
            SpinGuard guard(mount_table::lock);
            if (Mount* m = node->covered_by.load(std::memory_order_relaxed)) {
                m->was_entered();
                top = m->root;
            }
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
    SpinGuard guard(mount_table::lock);
    return node.mount->covered;
}

RefPtr<Vnode> mount_root() {
    SpinGuard guard(mount_table::lock);
    for (Mount* m = first; m; m = m->next)
        if (!m->covered)
            return m->root;
    return nullptr;
}

RefPtr<Mount> mount_by_index(unsigned index) {
    SpinGuard guard(mount_table::lock);
    for (Mount* m = first; m; m = m->next)
        if (index-- == 0)
            return RefPtr<Mount>(m);
    return nullptr;
}

} // namespace lentil

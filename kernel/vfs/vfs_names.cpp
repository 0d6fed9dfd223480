// SPDX-License-Identifier: BSD-2-Clause
// Making, removing and moving names; directories of a proc; mounting.
#include <cstring>

#include <bsd/proc.hpp>
#include <vfs/access.hpp>
#include <vfs/inotify.hpp>
#include <vfs/mount.hpp>
#include <vfs/name_cache.hpp>
#include <vfs/vfs_internal.hpp>

namespace lentil::vfs {

Result<RefPtr<Vnode>> create_node(const VfsContext& context, const Located& at, VnodeType type, mode_t mode,
                                  uint64_t rdevice, std::string_view target) {
    Vnode& parent = *at.parent;
    TRY(check_access(parent, *context.cred, may::write | may::exec));
    TRY(check_writable(parent));
    Vnode::NewNode fresh{type, mode & 07777, context.cred->fsuid, context.cred->fsgid, rdevice, target};
    if (type == VnodeType::symlink)
        fresh.mode = 0777;
    else
        fresh.mode &= ~context.umask;
    const NodeOwner owner = parent.owner();
    if (owner.mode & file_mode::set_gid) {
        fresh.gid = owner.gid;
        if (type == VnodeType::directory)
            fresh.mode |= file_mode::set_gid;
    }
    Vnode& real = parent.real();
    NameChange change(real, at.name);
    RefPtr<Vnode> made = TRY(real.create(at.name, fresh));
    change.now(made.get());
    inotify_entry(real, at.name, inotify_events::create, type == VnodeType::directory);
    return made;
}

namespace {
Result<void> walk_at(const VfsContext& context, int at, std::string_view path, uint32_t flags, Located& where) {
    const Hold<Vnode> start = TRY(start_of(context, at, path));
    return walk(context, start.get(), path, flags, where);
}

/// The place for a new name: exist if it is taken.
Result<void> new_name(const VfsContext& context, int at, std::string_view path, bool directory, Located& where) {
    TRY(walk_at(context, at, path, walk_flags::parent, where));
    if (where.node)
        return Errno::exist;
    if (where.trailing_slash && !directory)
        return Errno::noent;
    return {};
}
} // namespace

Result<void> mkdir(const VfsContext& context, int at, std::string_view path, mode_t mode) {
    Located where;
    TRY(new_name(context, at, path, true, where));
    TRY(create_node(context, where, VnodeType::directory, mode & 01777));
    return {};
}

Result<void> mknod(const VfsContext& context, int at, std::string_view path, mode_t mode, uint64_t device) {
    VnodeType type = VnodeType::regular;
    switch (mode & file_mode::type_mask) {
    case 0:
    case file_mode::regular: break;
    case file_mode::fifo: type = VnodeType::fifo; break;
    case file_mode::socket: type = VnodeType::socket; break;
    case file_mode::character: type = VnodeType::character; break;
    case file_mode::block: type = VnodeType::block; break;
    case file_mode::directory: return Errno::perm;
    default: return Errno::inval;
    }
    Located where;
    TRY(new_name(context, at, path, false, where));
    TRY(check_access(*where.parent, *context.cred, may::write | may::exec));
    if ((type == VnodeType::character || type == VnodeType::block) && !context.cred->capable(Capability::mknod))
        return Errno::perm;
    TRY(create_node(context, where, type, mode, device));
    return {};
}

Result<RefPtr<Vnode>> make_socket(const VfsContext& context, std::string_view path) {
    Located where;
    TRY(new_name(context, at_cwd, path, false, where));
    return create_node(context, where, VnodeType::socket, 0777);
}

Result<void> symlink(const VfsContext& context, std::string_view target, int at, std::string_view path) {
    if (target.empty())
        return Errno::noent;
    if (target.size() >= path_max)
        return Errno::nametoolong;
    Located where;
    TRY(new_name(context, at, path, false, where));
    TRY(create_node(context, where, VnodeType::symlink, 0777, 0, target));
    return {};
}

Result<void> link(const VfsContext& context, int old_at, std::string_view old_path, int new_at,
                  std::string_view new_path, uint32_t flags) {
    uint32_t how = flags & at_flags::empty_path;
    if (!(flags & at_flags::symlink_follow))
        how |= at_flags::symlink_nofollow;
    const RefPtr<Vnode> node = TRY(resolve(context, old_at, old_path, how));
    Located where;
    TRY(new_name(context, new_at, new_path, false, where));
    if (node->mount != where.parent->mount)
        return Errno::xdev;
    TRY(check_access(*where.parent, *context.cred, may::write | may::exec));
    TRY(check_writable(*where.parent));
    if (node->type == VnodeType::directory)
        return Errno::perm;
    if (TRY(node->stat()).links == 0 && node->real().may_get_name.load(std::memory_order_relaxed) == 0)
        return Errno::noent;
    Vnode &parent = where.parent->real(), &real = node->real();
    {
        NameChange change(parent, where.name);
        name_cache::forget(real); // it has several names from now on
        TRY(parent.link(where.name, real));
        real.may_get_name.store(0, std::memory_order_relaxed);
    }
    inotify_node(real, inotify_events::attrib);
    inotify_entry(parent, where.name, inotify_events::create, false);
    return {};
}

namespace {

/// Goes on with what a bind mount showed, after all checks that are about where it was: busy if something is mounted on what is
/// there, wherever that is seen.
Result<void> to_real(Located& at) {
    if (at.parent->is_view) [[unlikely]]
        at.parent = ref(at.parent->real());
    if (!at.node)
        return {};
    if (at.node->is_view) [[unlikely]]
        at.node = ref(at.node->real());
    if (mount_covers_view_of(*at.node))
        return Errno::busy;
    return {};
}

/// A node that is to lose a name: kept only if somebody watches it.
class WatchedVictim {
public:
    explicit WatchedVictim(const RefPtr<Vnode>& node) {
        if (node && node->watches.load(std::memory_order_relaxed)) [[unlikely]]
            node_ = node;
    }
    /// It has one link less: that changes it.
    void lost_name() const {
        if (node_ && node_->type != VnodeType::directory) [[unlikely]]
            inotify_node(*node_, inotify_events::attrib);
    }
    /// That is over: if it was the last name, the node can end.
    void gone() {
        if (!node_) [[likely]]
            return;
        inotify_lost_name(*node_);
        node_.reset();
    }

private:
    RefPtr<Vnode> node_;
};

Result<void> rename_quietly(const Located& from, const Located& to, uint32_t flags) {
    const NameChange leaves(*from.parent, from.name), arrives(*to.parent, to.name);
    return from.parent->rename(from.name, *to.parent, to.name, flags);
}

/// The same, and tells of it.
Result<void> rename_told(const Located& from, Located& to, uint32_t flags) {
    using namespace inotify_events;
    const bool same = from.node == to.node; // two names of one file: nothing happens
    const bool is_directory = from.node->type == VnodeType::directory;
    const bool exchange = flags & rename_flags::exchange;
    const bool other_is_directory = to.node && to.node->type == VnodeType::directory;
    const RefPtr<Vnode> other = exchange ? to.node : RefPtr<Vnode>();
    WatchedVictim victim(exchange ? RefPtr<Vnode>() : to.node);
    to.node.reset();
    TRY(rename_quietly(from, to, flags));
    if (same)
        return {};
    const uint32_t cookie = inotify_next_cookie();
    inotify_entry(*from.parent, from.name, moved_from, is_directory, cookie);
    inotify_entry(*to.parent, to.name, moved_to, is_directory, cookie);
    victim.lost_name();
    inotify_node(*from.node, move_self);
    victim.gone();
    if (exchange && other) {
        const uint32_t back = inotify_next_cookie();
        inotify_entry(*to.parent, to.name, moved_from, other_is_directory, back);
        inotify_entry(*from.parent, from.name, moved_to, other_is_directory, back);
        inotify_node(*other, move_self);
    }
    return {};
}

} // namespace

Result<void> unlink(const VfsContext& context, int at, std::string_view path, uint32_t flags) {
    const bool directory = flags & at_flags::remove_dir;
    Located where;
    TRY(walk_at(context, at, path, 0, where));
    switch (where.kind) {
    case LastName::normal: break;
    case LastName::dot: return directory ? Errno::inval : Errno::isdir;
    case LastName::dot_dot: return directory ? Errno::notempty : Errno::isdir;
    case LastName::root: return directory ? Errno::busy : Errno::isdir;
    }
    TRY(check_writable(*where.parent));
    TRY(check_delete(*where.parent, *where.node, *context.cred));
    if (directory && where.node->type != VnodeType::directory)
        return Errno::notdir;
    if (!directory && where.node->type == VnodeType::directory)
        return Errno::isdir;
    if (where.node->mount != where.parent->mount) // something is mounted there
        return Errno::busy;
    TRY(to_real(where));
    const bool is_directory = where.node->type == VnodeType::directory;
    WatchedVictim victim(where.node);
    {
        NameChange change(*where.parent, where.name);
        where.node.reset(); // what loses its last name can end at once
        TRY(directory ? where.parent->rmdir(where.name) : where.parent->unlink(where.name));
        change.now(nullptr);
    }
    victim.lost_name();
    victim.gone();
    inotify_entry(*where.parent, where.name, inotify_events::remove, is_directory);
    return {};
}

Result<void> rename(const VfsContext& context, int old_at, std::string_view old_path, int new_at,
                    std::string_view new_path, uint32_t flags) {
    constexpr uint32_t both = rename_flags::no_replace | rename_flags::exchange;
    if ((flags & ~both) || (flags & both) == both)
        return Errno::inval;
    Located from, to;
    TRY(walk_at(context, old_at, old_path, 0, from));
    TRY(walk_at(context, new_at, new_path, walk_flags::parent, to));
    if (from.kind != LastName::normal || to.kind != LastName::normal)
        return Errno::busy;
    if (from.parent->mount != to.parent->mount)
        return Errno::xdev;
    if (from.node->mount != from.parent->mount || (to.node && to.node->mount != to.parent->mount))
        return Errno::busy;
    TRY(check_writable(*from.parent));
    TRY(check_delete(*from.parent, *from.node, *context.cred));
    if (to.node)
        TRY(check_delete(*to.parent, *to.node, *context.cred));
    else
        TRY(check_access(*to.parent, *context.cred, may::write | may::exec));
    if (to.trailing_slash && from.node->type != VnodeType::directory)
        return Errno::notdir;
    // A directory that moves gets another "..": that changes it.
    if (from.node->type == VnodeType::directory && from.parent != to.parent)
        TRY(check_access(*from.node, *context.cred, may::write));
    TRY(to_real(from));
    TRY(to_real(to));
    if (inotify_in_use()) [[unlikely]]
        return rename_told(from, to, flags);
    to.node.reset();
    return rename_quietly(from, to, flags);
}

Result<size_t> readlink(const VfsContext& context, int at, std::string_view path, std::span<char> buffer) {
    const RefPtr<Vnode> node = TRY(resolve(context, at, path, at_flags::symlink_nofollow | at_flags::empty_path));
    if (node->type != VnodeType::symlink)
        return path.empty() ? Errno::noent : Errno::inval;
    return node->read_link(buffer);
}

// ---- directories of a proc -----------------------------------------------------------------------------------------

Result<void> change_directory(const VfsContext& context, CwdInfo& info, RefPtr<Vnode> node) {
    if (node->type != VnodeType::directory)
        return Errno::notdir;
    TRY(check_access(*node, *context.cred, may::exec));
    info.set_cwd(std::move(node));
    return {};
}

Result<void> change_directory(const VfsContext& context, RefPtr<Vnode> node) {
    return change_directory(context, *current_proc().cwd_info(), std::move(node));
}

Result<void> change_root(const VfsContext& context, RefPtr<Vnode> node) {
    if (node->type != VnodeType::directory)
        return Errno::notdir;
    TRY(check_access(*node, *context.cred, may::exec));
    if (!context.cred->capable(Capability::sys_chroot))
        return Errno::perm;
    current_proc().cwd_info()->set_root(std::move(node));
    return {};
}

Result<size_t> current_directory(const VfsContext& context, std::span<char> buffer) {
    constexpr std::string_view unreachable = "(unreachable)";
    bool reached = false;
    const size_t length = TRY(path_of(*context.root, *context.cwd, buffer, nullptr, &reached));
    if (reached)
        return length;
    if (length + unreachable.size() > buffer.size())
        return Errno::range;
    memmove(buffer.data() + unreachable.size(), buffer.data(), length);
    memcpy(buffer.data(), unreachable.data(), unreachable.size());
    return length + unreachable.size();
}

// ---- mounting ------------------------------------------------------------------------------------------------------

Result<void> mount(const VfsContext& context, std::string_view source, std::string_view target, std::string_view type,
                   uint64_t flags, std::string_view options) {
    using namespace mount_flags;
    constexpr uint64_t magic = 0xc0ed0000, magic_mask = 0xffff0000; // of callers from before there were many flags
    if ((flags & magic_mask) == magic)
        flags &= ~magic_mask;
    RefPtr<Vnode> node = TRY(walk_to(context, context.cwd.get(), target));
    if (!context.cred->capable(Capability::sys_admin))
        return Errno::perm;
    if ((flags & (remount | bind)) == (remount | bind))
        return mount_change_here(*node, flags);
    if (flags & remount)
        return mount_change(*node, flags, options);
    constexpr uint64_t propagation = unbindable | private_ | slave | shared, quiet = 32768;
    if (!(flags & bind) && (flags & propagation)) {
        if (flags & ~(propagation | recursive | quiet))
            return Errno::inval;
        return mount_set_propagation(*node, flags & propagation, flags & recursive);
    }
    node = mount_cross_down(std::move(node)); // over whatever is there: the walk stops at "/" and "."
    if (flags & (bind | move)) {
        if (source.empty())
            return Errno::inval;
        const RefPtr<Vnode> from = TRY(walk_to(context, context.cwd.get(), source));
        if (flags & bind)
            return mount_bind(*from, std::move(node), flags & recursive);
        return mount_move(*from, std::move(node));
    }
    TRY(mount_attach(type, std::move(node), {source, options, flags}));
    return {};
}

void sync_all() {
    for (unsigned i = 0; RefPtr<Mount> mount = mount_by_index(i); i++)
        (void)mount->sync();
}

Result<void> umount(const VfsContext& context, std::string_view target, uint32_t flags) {
    constexpr uint32_t force = 1, detach = 2, expire = 4, nofollow = 8;
    if (flags & ~(force | detach | expire | nofollow))
        return Errno::inval;
    RefPtr<Vnode> node = TRY(walk_to(context, context.cwd.get(), target, flags & nofollow ? 0 : walk_flags::follow));
    node = mount_cross_down(std::move(node));
    if (!context.cred->capable(Capability::sys_admin))
        return Errno::perm;
    const bool is_root = node->mount == context.root->mount;
    if (flags & expire) {
        if (is_root || (flags & (force | detach)))
            return Errno::inval;
        return mount_detach(*node, Detach::expired);
    }
    // The caller's own root is made ready for the end instead.
    if (is_root && !(flags & detach) && node == context.root->mount->root)
        return mount_change(*node, node->mount->flags.load(std::memory_order_relaxed) | mount_flags::read_only, "");
    return mount_detach(*node, flags & detach ? Detach::lazily : Detach::unused);
}

Result<void> pivot_root(const VfsContext& context, std::string_view new_root, std::string_view put_old) {
    if (!context.cred->capable(Capability::sys_admin))
        return Errno::perm;
    const RefPtr<Vnode> to = TRY(walk_to(context, context.cwd.get(), new_root));
    RefPtr<Vnode> old = TRY(walk_to(context, context.cwd.get(), put_old));
    if (to->type != VnodeType::directory || old->type != VnodeType::directory)
        return Errno::notdir;
    const RefPtr<Vnode> root = context.root;
    return mount_pivot(*root, *to, mount_cross_down(std::move(old)));
}

} // namespace lentil::vfs

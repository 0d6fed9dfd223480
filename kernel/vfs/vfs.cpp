// SPDX-License-Identifier: BSD-2-Clause
// Opening, looking at and changing the attributes of what a path names. Names themselves: vfs_names.cpp.
#include <bsd/proc.hpp>
#include <sched/clock.hpp>
#include <vfs/access.hpp>
#include <vfs/device.hpp>
#include <vfs/inotify.hpp>
#include <vfs/mount.hpp>
#include <vfs/name_cache.hpp>
#include <vfs/vfs.hpp>
#include <vfs/vfs_internal.hpp>
#include <vfs/vnode_file.hpp>

namespace lentil::vfs {

Result<void> init() {
    devices_init();
    const RefPtr<Mount> root = TRY(mount_attach("tmpfs", nullptr, {"rootfs", "mode=755", 0}));
    const RefPtr<Vnode> dev = TRY(root->root->create("dev", {VnodeType::directory, 0755, 0, 0}));
    TRY(dev->create("console", {VnodeType::character, 0600, 0, 0, make_device(5, 1)}));
    TRY(root->root->create("root", {VnodeType::directory, 0700, 0, 0}));
    return {};
}

Result<RefPtr<Vnode>> node_of(File& file) {
    FsNode* node = file.node();
    if (!node)
        return Errno::badf;
    return RefPtr<Vnode>(&as_vnode(*node));
}

Result<Hold<Vnode>> start_at(int at, std::string_view path) {
    if (!has_uthread())
        return Errno::badf;
    const RefPtr<File> file = TRY(current_proc().fd_table()->get(at));
    Result<RefPtr<Vnode>> node = node_of(*file);
    if (!path.empty() && (!node || (*node)->type != VnodeType::directory))
        return Errno::notdir;
    return Hold<Vnode>(TRY(std::move(node)));
}

Result<RefPtr<Vnode>> resolve(const VfsContext& context, int at, std::string_view path, uint32_t flags) {
    const Hold<Vnode> start = TRY(start_of(context, at, path));
    if (path.empty() && (flags & at_flags::empty_path))
        return RefPtr<Vnode>(start);
    return walk_to(context, start.get(), path, flags & at_flags::symlink_nofollow ? 0 : walk_flags::follow);
}

// ---- open ----------------------------------------------------------------------------------------------------------

namespace {

/// Takes back a file that was made for an open that fails.
void undo_create(const Located& created, Vnode& node) {
    Vnode& parent = created.parent->real();
    if (const Result<RefPtr<Vnode>> there = parent.lookup(created.name); there && there->get() == &node.real()) {
        const NameChange change(parent, created.name);
        (void)parent.unlink(created.name);
    }
}

/// The node to open for O_CREAT: makes it if it is missing and tells in which directory.
Result<RefPtr<Vnode>> find_or_create(const VfsContext& context, Vnode* start, std::string_view path, uint32_t flags,
                                     mode_t mode, Located& created) {
    const bool follow = !(flags & (open_flags::excl | open_flags::nofollow));
    for (;;) {
        Located at;
        TRY(walk(context, start, path, walk_flags::parent | (follow ? walk_flags::follow : 0), at));
        if (at.node) {
            if (flags & open_flags::excl)
                return Errno::exist;
            return std::move(at.node);
        }
        if (at.trailing_slash)
            return Errno::isdir;
        Result<RefPtr<Vnode>> made = create_node(context, at, VnodeType::regular, mode);
        if (made) {
            if (at.parent->is_view) [[unlikely]] {
                Result<RefPtr<Vnode>> seen = at.parent->see(*made);
                if (!seen)
                    undo_create(at, **made);
                made = std::move(seen);
            }
            created = std::move(at);
            return made;
        }
        if (made.error() != Errno::exist)
            return made;
        // someone else was faster: open that
    }
}

Result<RefPtr<File>> open_unnamed(const VfsContext& context, Vnode* start, std::string_view path, uint32_t flags,
                                  mode_t mode) {
    const RefPtr<Vnode> directory = TRY(walk_to(context, start, path));
    if (directory->type != VnodeType::directory)
        return Errno::notdir;
    if ((flags & open_flags::access_mode) == open_flags::read_only)
        return Errno::inval;
    TRY(check_writable(*directory));
    TRY(check_access(*directory, *context.cred, may::write | may::exec));
    const RefPtr<Vnode> node = TRY(directory->create_unnamed(
        {VnodeType::regular, mode & 07777 & ~context.umask, context.cred->fsuid, context.cred->fsgid}));
    if (!(flags & open_flags::excl))
        node->real().may_get_name.store(1, std::memory_order_relaxed);
    RefPtr<File> file = TRY(node->open(flags & ~(open_flags::creat | open_flags::excl | open_flags::tmpfile)));
    inotify_opened(*file, nullptr, {});
    return file;
}

[[gnu::always_inline]] inline Result<void> check_open(const VfsContext& context, Vnode& node, uint32_t flags,
                                                      bool created) {
    const uint32_t access = flags & open_flags::access_mode;
    const bool writes = access != open_flags::read_only || (flags & open_flags::trunc);
    if (node.type == VnodeType::symlink)
        return Errno::loop;
    if (node.type == VnodeType::directory && (writes || (flags & open_flags::creat)))
        return Errno::isdir;
    if ((flags & open_flags::directory) && node.type != VnodeType::directory)
        return Errno::notdir;
    if (created)
        return {};
    uint32_t mask = 0;
    if (access != open_flags::write_only)
        mask |= may::read;
    if (writes)
        mask |= may::write;
    TRY(check_access(node, *context.cred, mask));
    if (writes && (node.type == VnodeType::regular || node.type == VnodeType::directory))
        TRY(check_writable(node));
    if (flags & open_flags::noatime)
        TRY(check_owner(node, *context.cred));
    return {};
}

/// Somebody watches nodes: of the file that `path` was opened as they want to know by which name. Looked up once more, so
/// that whoever opens while nobody watches keeps nothing.
void tell_opened(const VfsContext& context, int at, std::string_view path, bool no_follow, File& file) {
    const Result<Hold<Vnode>> start = start_of(context, at, path);
    if (start && !path.empty()) {
        Located found;
        const uint32_t how = walk_flags::parent | (no_follow ? 0 : walk_flags::follow);
        if (walk(context, start->get(), path, how, found) && found.kind == LastName::normal &&
            found.node.get() == file.node())
            return inotify_opened(file, found.parent.get(), found.name);
    }
    inotify_opened(file, nullptr, {});
}

constexpr uint32_t creation_flags = open_flags::creat | open_flags::excl | open_flags::noctty | open_flags::trunc |
                                    open_flags::directory | open_flags::nofollow | open_flags::cloexec;

/// A file over the node that `path` led to.
Result<RefPtr<File>> open_node(const VfsContext& context, int at, std::string_view path, uint32_t flags, Vnode& node) {
    // Devices want to see O_NOCTTY; what only concerned this call is not kept.
    Result<RefPtr<File>> file = node.open(flags & ~(creation_flags & ~open_flags::noctty));
    if (!file)
        return file;
    if (inotify_in_use()) [[unlikely]]
        tell_opened(context, at, path, flags & open_flags::nofollow, **file);
    if (flags & open_flags::noctty)
        (*file)->flags.fetch_and(~open_flags::noctty, std::memory_order_relaxed);
    return file;
}

/// An open that may make a file, or cuts one off.
[[gnu::noinline]] Result<RefPtr<File>> open_or_make(const VfsContext& context, int at, Vnode* start,
                                                    std::string_view path, uint32_t flags, mode_t mode) {
    RefPtr<Vnode> node;
    Located created;
    if (flags & open_flags::creat) {
        if (flags & open_flags::directory)
            return Errno::inval;
        node = TRY(find_or_create(context, start, path, flags, mode, created));
    } else {
        node = TRY(walk_to(context, start, path, flags & open_flags::nofollow ? 0 : walk_flags::follow));
    }
    TRY(check_open(context, *node, flags, created.parent.get() != nullptr));
    const bool truncates = (flags & open_flags::trunc) && !created.parent && node->type == VnodeType::regular;
    if (truncates && node->is_program())
        return Errno::txtbsy;
    Result<RefPtr<File>> file = open_node(context, at, path, flags, *node);
    if (!file) {
        if (created.parent)
            undo_create(created, *node);
        return file;
    }
    if (truncates) {
        AttributeChange change; // last: an open that fails loses nothing
        change.set_size = true;
        TRY(node->change(change));
        inotify_file(**file, *node, inotify_events::modify);
    }
    return file;
}

Result<RefPtr<File>> open_place(const VfsContext& context, Vnode* start, std::string_view path, uint32_t flags) {
    flags &= open_flags::path | open_flags::directory | open_flags::nofollow | open_flags::cloexec;
    const RefPtr<Vnode> node =
        TRY(walk_to(context, start, path, flags & open_flags::nofollow ? 0 : walk_flags::follow));
    if ((flags & open_flags::directory) && node->type != VnodeType::directory)
        return Errno::notdir;
    return path_file_open(*node, flags & ~creation_flags);
}

} // namespace

Result<RefPtr<File>> open(const VfsContext& context, int at, std::string_view path, uint32_t flags, mode_t mode) {
    constexpr uint32_t tmpfile_bit = open_flags::tmpfile & ~open_flags::directory;
    const Hold<Vnode> start = TRY(start_of(context, at, path));
    if (path.empty())
        return Errno::noent;
    if (flags & open_flags::path)
        return open_place(context, start.get(), path, flags);
    if ((flags & open_flags::access_mode) == open_flags::access_mode)
        return Errno::inval;
    if (flags & tmpfile_bit) {
        if (!(flags & open_flags::directory))
            return Errno::inval;
        return open_unnamed(context, start.get(), path, flags, mode);
    }
    if (flags & (open_flags::creat | open_flags::trunc))
        return open_or_make(context, at, start.get(), path, flags, mode);
    const RefPtr<Vnode> node =
        TRY(walk_to(context, start.get(), path, flags & open_flags::nofollow ? 0 : walk_flags::follow));
    TRY(check_open(context, *node, flags, false));
    return open_node(context, at, path, flags, *node);
}

Result<RefPtr<File>> open_executable(const VfsContext& context, int at, std::string_view path, uint32_t flags) {
    const RefPtr<Vnode> node = TRY(resolve(context, at, path, flags));
    if (node->type == VnodeType::symlink)
        return Errno::loop;
    if (node->type != VnodeType::regular || node->mount->has(mount_flags::no_exec))
        return Errno::acces;
    TRY(check_access(*node, *context.cred, may::exec));
    if (node->has_writer())
        return Errno::txtbsy;
    RefPtr<File> file = TRY(node->open(open_flags::read_only));
    if (inotify_in_use()) [[unlikely]]
        tell_opened(context, at, path, flags & at_flags::symlink_nofollow, *file);
    return file;
}

// ---- looking ---------------------------------------------------------------------------------------------------------

Result<FileStat> stat(const VfsContext& context, int at, std::string_view path, uint32_t flags) {
    if (path.empty() && (flags & at_flags::empty_path) && at != at_cwd)
        return TRY(current_proc().fd_table()->get(at))->stat(); // pipes and the like have no node
    const RefPtr<Vnode> node = TRY(resolve(context, at, path, flags));
    return node->stat();
}

Result<void> access(const VfsContext& context, int at, std::string_view path, uint32_t mask, uint32_t flags) {
    if (mask & ~7u)
        return Errno::inval;
    RefPtr<Vnode> node;
    if (flags & at_flags::eaccess) {
        node = TRY(resolve(context, at, path, flags));
        TRY(check_access(*node, *context.cred, mask));
    } else {
        node = TRY(resolve(context, at, path, flags));
        TRY(check_access_real(*node, *context.cred, mask));
    }
    if ((mask & may::write) && (node->type == VnodeType::regular || node->type == VnodeType::directory))
        TRY(check_writable(*node));
    return {};
}

Result<FsStat> fs_stat(const VfsContext& context, std::string_view path) {
    const RefPtr<Vnode> node = TRY(walk_to(context, context.cwd.get(), path));
    return node->fs_stat();
}

// ---- attributes ------------------------------------------------------------------------------------------------------

namespace {
Result<void> change_attributes(Vnode& node, const AttributeChange& change) {
    using namespace inotify_events;
    TRY(node.change(change));
    uint32_t event = change.set_mode || change.set_uid || change.set_gid || change.set_atime == change.set_mtime
                         ? attrib
                     : change.set_atime ? inotify_events::access
                                        : modify;
    inotify_changed(node, event);
    return {};
}
} // namespace

Result<void> chmod(const VfsContext& context, Vnode& node, mode_t mode) {
    if (node.type == VnodeType::symlink)
        return Errno::opnotsupp;
    TRY(check_writable(node));
    TRY(check_owner(node, *context.cred));
    const gid_t group = node.owner().gid;
    if ((mode & file_mode::set_gid) && group != context.cred->fsgid && !context.cred->in_group(group) &&
        !context.cred->capable(Capability::fsetid))
        mode &= ~file_mode::set_gid;
    AttributeChange change;
    change.set_mode = true;
    change.mode = mode & 07777;
    return change_attributes(node, change);
}

Result<void> chown(const VfsContext& context, Vnode& node, uid_t uid, gid_t gid) {
    constexpr uint32_t keep = ~uint32_t{0};
    TRY(check_writable(node));
    const Cred& cred = *context.cred;
    const NodeOwner owner = node.owner();
    if (!cred.capable(Capability::chown)) {
        if (uid != keep && (uid != owner.uid || cred.fsuid != owner.uid))
            return Errno::perm;
        if (gid != keep && (cred.fsuid != owner.uid || (gid != owner.gid && gid != cred.fsgid && !cred.in_group(gid))))
            return Errno::perm;
    }
    AttributeChange change;
    change.set_uid = uid != keep;
    change.uid = uid;
    change.set_gid = gid != keep;
    change.gid = gid;
    if (node.type != VnodeType::directory && (owner.mode & (file_mode::set_uid | file_mode::set_gid))) {
        change.set_mode = true;
        change.mode = owner.mode & 07777 & ~file_mode::set_uid;
        if (owner.mode & 010)
            change.mode &= ~file_mode::set_gid;
    }
    return change_attributes(node, change);
}

Result<void> set_times(const VfsContext& context, Vnode& node, NewTime atime, NewTime mtime) {
    using Kind = NewTime::Kind;
    if (atime.kind == Kind::omit && mtime.kind == Kind::omit)
        return {};
    TRY(check_writable(node));
    if (atime.kind == Kind::now && mtime.kind == Kind::now) {
        if (!check_owner(node, *context.cred))
            TRY(check_access(node, *context.cred, may::write));
    } else {
        TRY(check_owner(node, *context.cred));
    }
    const nanos_t now = realtime_ns();
    AttributeChange change;
    change.set_atime = atime.kind != Kind::omit;
    change.atime = atime.kind == Kind::now ? now : atime.at;
    change.set_mtime = mtime.kind != Kind::omit;
    change.mtime = mtime.kind == Kind::now ? now : mtime.at;
    return change_attributes(node, change);
}

Result<void> truncate(const VfsContext& context, Vnode& node, uint64_t size) {
    if (node.type == VnodeType::directory)
        return Errno::isdir;
    if (node.type != VnodeType::regular || size > INT64_MAX)
        return Errno::inval;
    TRY(check_access(node, *context.cred, may::write));
    TRY(check_writable(node));
    const RefPtr<File> file = TRY(node.open(open_flags::write_only)); // its truncate knows RLIMIT_FSIZE
    file->watched.fetch_or(File::opened_by_kernel, std::memory_order_relaxed);
    return file->truncate(size);
}

} // namespace lentil::vfs

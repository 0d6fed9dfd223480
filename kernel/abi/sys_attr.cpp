// SPDX-License-Identifier: BSD-2-Clause
// Calls that look at or change what is known about a file.
#include <algorithm>

#include <abi/files.hpp>
#include <abi/path_text.hpp>
#include <abi/sys_file.hpp>
#include <vfs/access.hpp>
#include <vfs/vfs.hpp>

namespace lentil::abi {
namespace {

/// Whether there is a text and it is empty. The word that a byte lies in can be read if the byte can.
[[gnu::always_inline]] inline bool is_empty(UserPath path) {
    uint64_t word = 0;
    return machine::user_read_words<1>(&word, path.address & ~vaddr_t{7}) &&
           static_cast<uint8_t>(word >> path.address % 8 * 8) == 0;
}

/// What (at, path) names, as stat and its kin take it; descriptors without a node (pipes) included.
Result<FileStat> stat_of(int at, UserPath path, uint32_t flags) {
    if ((flags & at_flags::empty_path) && at != at_fdcwd) {
        // Linux lets the path be a null pointer.
        if ((path.address == 0 && at >= 0) || is_empty(path))
            return TRY(any_file(at))->stat();
    }
    PathText name;
    TRY(name.copy(path));
    return vfs::stat(VfsContext::current(), at, name.view(),
                     flags & (at_flags::symlink_nofollow | at_flags::empty_path));
}

Statfs statfs_from(const FsStat& s) {
    auto n = [](uint64_t v) { return static_cast<int64_t>(v); };
    Statfs r{};
    r.type = n(s.magic), r.bsize = r.frsize = n(s.block_size), r.blocks = n(s.blocks);
    r.bfree = n(s.blocks_free), r.bavail = n(s.blocks_free - std::min(s.blocks_free, s.blocks_reserved)),
    r.files = n(s.files), r.ffree = n(s.files_free);
    constexpr int64_t flags_valid = 0x20; // ST_VALID
    r.namelen = n(s.name_max), r.flags = n(s.flags) | flags_valid;
    return r;
}

/// The node of an open descriptor whose attributes shall change. Files without one have nothing to change.
Result<RefPtr<Vnode>> node_of_fd(int fd) {
    const FileHold file = TRY(open_file(fd));
    Result<RefPtr<Vnode>> node = vfs::node_of(*file);
    if (!node.ok())
        return Errno::inval;
    return node;
}

Result<RefPtr<Vnode>> node_at(const VfsContext& context, int at, UserPath path, uint32_t flags) {
    PathText name;
    TRY(name.copy(path));
    return vfs::resolve(context, at, name.view(), flags);
}

/// One of utimensat's two times.
Result<vfs::NewTime> new_time(const Timespec& t) {
    constexpr int64_t now = 0x3fffffff, omit = 0x3ffffffe;
    if (t.nanoseconds == now)
        return vfs::NewTime{vfs::NewTime::Kind::now, 0};
    if (t.nanoseconds == omit)
        return vfs::NewTime{vfs::NewTime::Kind::omit, 0};
    if (t.nanoseconds < 0 || t.nanoseconds >= ns_per_second)
        return Errno::inval;
    constexpr int64_t limit = no_deadline / ns_per_second - 1; // times past 2262 are cut, as a file system may
    const int64_t seconds = t.seconds > limit ? limit : t.seconds < -limit ? -limit : t.seconds;
    return vfs::NewTime{vfs::NewTime::Kind::set, seconds * ns_per_second + t.nanoseconds};
}

} // namespace

namespace {
/// newfstatat with AT_EMPTY_PATH, which is how glibc's fstat asks.
[[gnu::noinline]] Result<void> stat_nameless(int at, UserPath path, UserPtr<Stat> out, uint32_t flags) {
    Proc& proc = current_proc();
    File* const file = at >= 0 && proc.is_single() ? proc.fds->borrow(at) : nullptr;
    // Not TRY, which would copy all of it.
    const Result<FileStat> stat =
        file && (path.address == 0 || is_empty(path)) ? file->stat() : stat_of(at, path, flags);
    return stat.ok() ? out.write(Stat::from(*stat)) : stat.error();
}
} // namespace

Result<void> sys_newfstatat(int at, UserPath path, UserPtr<Stat> out, uint32_t flags) {
    if (flags & ~(at_flags::symlink_nofollow | at_flags::no_automount | at_flags::empty_path))
        return Errno::inval;
    if (flags & at_flags::empty_path)
        return stat_nameless(at, path, out, flags);
    return out.write(Stat::from(TRY(stat_of(at, path, flags))));
}

Result<void> sys_statx(int at, UserPath path, uint32_t flags, uint32_t mask, UserPtr<Statx> out) {
    constexpr uint32_t reserved = 0x80000000;
    if (flags &
        ~(at_flags::symlink_nofollow | at_flags::no_automount | at_flags::empty_path | at_flags::statx_sync_type))
        return Errno::inval;
    if ((flags & at_flags::statx_sync_type) == at_flags::statx_sync_type || (mask & reserved))
        return Errno::inval;
    return out.write(Statx::from(TRY(stat_of(at, path, flags))));
}

Result<void> sys_statfs(UserPath path, UserPtr<Statfs> out) {
    PathText name;
    TRY(name.copy(path));
    return out.write(statfs_from(TRY(vfs::fs_stat(VfsContext::current(), name.view()))));
}

Result<void> sys_fstatfs(int fd, UserPtr<Statfs> out) {
    const FileHold file = TRY(any_file(fd));
    Result<RefPtr<Vnode>> node = vfs::node_of(*file);
    if (!node.ok()) { // pipes and their like: Linux's file system for those holds nothing
        FsStat none;
        none.magic = 0x50495045;
        return out.write(statfs_from(none));
    }
    return out.write(statfs_from(TRY((*node)->fs_stat())));
}

Result<void> sys_faccessat(int at, UserPath path, uint32_t mode) { return sys_faccessat2(at, path, mode, 0); }

Result<void> sys_faccessat2(int at, UserPath path, uint32_t mode, uint32_t flags) {
    if ((mode & ~(may::exec | may::write | may::read)) ||
        (flags & ~(at_flags::eaccess | at_flags::symlink_nofollow | at_flags::empty_path)))
        return Errno::inval;
    PathText name;
    TRY(name.copy(path));
    return vfs::access(VfsContext::current(), at, name.view(), mode, flags);
}

Result<void> sys_fchmod(int fd, mode_t mode) {
    const RefPtr<Vnode> node = TRY(node_of_fd(fd));
    return vfs::chmod(VfsContext::current(), *node, mode & 07777);
}

Result<void> sys_fchmodat(int at, UserPath path, mode_t mode) { return sys_fchmodat2(at, path, mode, 0); }

Result<void> sys_fchmodat2(int at, UserPath path, mode_t mode, uint32_t flags) {
    if (flags & ~(at_flags::symlink_nofollow | at_flags::empty_path))
        return Errno::inval;
    const VfsContext context = VfsContext::current();
    const RefPtr<Vnode> node = TRY(node_at(context, at, path, flags));
    if (node->type == VnodeType::symlink)
        return Errno::opnotsupp;
    return vfs::chmod(context, *node, mode & 07777);
}

Result<void> sys_fchown(int fd, uid_t uid, gid_t gid) {
    const RefPtr<Vnode> node = TRY(node_of_fd(fd));
    return vfs::chown(VfsContext::current(), *node, uid, gid);
}

Result<void> sys_fchownat(int at, UserPath path, uid_t uid, gid_t gid, uint32_t flags) {
    if (flags & ~(at_flags::symlink_nofollow | at_flags::empty_path))
        return Errno::inval;
    const VfsContext context = VfsContext::current();
    const RefPtr<Vnode> node = TRY(node_at(context, at, path, flags));
    return vfs::chown(context, *node, uid, gid);
}

Result<void> sys_utimensat(int at, UserPath path, UserPtr<Timespec> times, uint32_t flags) {
    vfs::NewTime atime, mtime;
    if (times) {
        const Timespec first = TRY(times.read());
        const Timespec second = TRY((times + 1).read());
        atime = TRY(new_time(first));
        mtime = TRY(new_time(second));
        if (atime.kind == vfs::NewTime::Kind::omit && mtime.kind == vfs::NewTime::Kind::omit)
            return {};
    }
    if (flags & ~(at_flags::symlink_nofollow | at_flags::empty_path))
        return Errno::inval;
    const VfsContext context = VfsContext::current();
    RefPtr<Vnode> node;
    if (path.address == 0) { // futimens: the descriptor itself
        if (at == at_fdcwd)
            return Errno::fault;
        if (flags != 0)
            return Errno::inval;
        node = TRY(node_of_fd(at));
    } else {
        node = TRY(node_at(context, at, path, flags));
    }
    return vfs::set_times(context, *node, atime, mtime);
}

Result<void> sys_truncate(UserPath path, off_t size) {
    if (size < 0)
        return Errno::inval;
    const VfsContext context = VfsContext::current();
    const RefPtr<Vnode> node = TRY(node_at(context, at_fdcwd, path, 0));
    return vfs::truncate(context, *node, static_cast<uint64_t>(size));
}

} // namespace lentil::abi

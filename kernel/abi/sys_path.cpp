// SPDX-License-Identifier: BSD-2-Clause
// Calls that make, find and remove names.
#include <algorithm>

#include <abi/files.hpp>
#include <abi/path_text.hpp>
#include <abi/sys_file.hpp>
#include <bsd/pipe.hpp>
#include <vfs/vfs.hpp>

namespace lentil::abi {

namespace {

constexpr uint32_t known_open_flags =
    open_flags::access_mode | open_flags::creat | open_flags::excl | open_flags::noctty | open_flags::trunc |
    open_flags::append | open_flags::nonblock | open_flags::dsync | open_flags::direct | open_flags::largefile |
    open_flags::directory | open_flags::nofollow | open_flags::noatime | open_flags::cloexec | open_flags::path |
    open_flags::tmpfile | 04000000 /* O_SYNC */ | 020000 /* FASYNC */;

Result<int> open_in(const VfsContext& context, int at, UserPath path, uint32_t flags, mode_t mode) {
    PathText name;
    TRY(name.copy(path));
    if (flags & (open_flags::creat | open_flags::trunc)) // nothing is made or emptied for want of a descriptor
        TRY(current_proc().fds->make_room(current_proc().limit(Limit::nofile).soft));
    RefPtr<File> file =
        TRY(vfs::open(context, at, name.view(), (flags & known_open_flags) | open_flags::largefile, mode & 07777));
    return install_file(std::move(file), flags & open_flags::cloexec);
}

} // namespace

Result<int> sys_openat(int at, UserPath path, uint32_t flags, mode_t mode) {
    return open_in(VfsContext::current(), at, path, flags, mode);
}

Result<int> sys_openat2(int at, UserPath path, UserPtr<OpenHow> how, uint64_t size) {
    constexpr uint64_t no_xdev = 1, no_magic_links = 2, no_symlinks = 4, beneath = 8, in_root = 0x10, cached = 0x20;
    constexpr uint32_t tmpfile_bit = open_flags::tmpfile & ~open_flags::directory;
    if (size < sizeof(OpenHow))
        return Errno::inval;
    if (size > page_size)
        return Errno::toobig;
    const OpenHow wanted = TRY(how.read());
    for (uint64_t done = sizeof wanted; done < size;) { // what a later version may mean by more is not asked for
        uint8_t more[64];
        const size_t n = std::min<uint64_t>(sizeof more, size - done);
        TRY(copyin(more, how.address() + done, n));
        if (std::any_of(more, more + n, [](uint8_t b) { return b != 0; }))
            return Errno::toobig;
        done += n;
    }
    const uint64_t flags = wanted.flags, resolve = wanted.resolve;
    if ((flags & ~uint64_t{known_open_flags}) ||
        (resolve & ~(no_xdev | no_magic_links | no_symlinks | beneath | in_root | cached)))
        return Errno::inval;
    if ((resolve & beneath) && (resolve & in_root))
        return Errno::inval;
    const bool makes = flags & (open_flags::creat | tmpfile_bit);
    if (makes ? (wanted.mode & ~uint64_t{07777}) != 0 : wanted.mode != 0)
        return Errno::inval;
    constexpr uint64_t of_path =
        open_flags::path | open_flags::directory | open_flags::nofollow | open_flags::cloexec | open_flags::largefile;
    if ((flags & open_flags::path) && (flags & ~of_path))
        return Errno::inval;
    if (resolve & cached)
        return Errno::again; // nothing is promised to be there without waiting
    VfsContext context = VfsContext::current();
    context.resolve =
        (resolve & no_xdev ? walk_flags::no_mounts : 0) | (resolve & no_magic_links ? walk_flags::no_magic_links : 0) |
        (resolve & no_symlinks ? walk_flags::no_symlinks : 0) | (resolve & beneath ? walk_flags::beneath : 0);
    if (resolve & in_root) {
        context.resolve |= walk_flags::no_magic_links;
        if (at != vfs::at_cwd) {
            const FileHold directory = TRY(any_file(at));
            RefPtr<Vnode> root = TRY(vfs::node_of(*directory));
            context.root = std::move(root);
            if (context.root->type != VnodeType::directory)
                return Errno::notdir;
        } else {
            context.root = RefPtr<Vnode>(context.cwd);
        }
        context.cwd = RefPtr<Vnode>(context.root); // where an absolute path starts too
        at = vfs::at_cwd;
    } else if ((resolve & beneath) && at != vfs::at_cwd) {
        // An absolute path would not look at the directory: it has to be one all the same.
        TRY(any_file(at));
    }
    return open_in(context, at, path, static_cast<uint32_t>(flags), static_cast<mode_t>(wanted.mode));
}

Result<void> sys_mknodat(int at, UserPath path, mode_t mode, uint32_t device) {
    PathText name;
    TRY(name.copy(path));
    return vfs::mknod(VfsContext::current(), at, name.view(), mode, device);
}

Result<void> sys_mkdirat(int at, UserPath path, mode_t mode) {
    PathText name;
    TRY(name.copy(path));
    return vfs::mkdir(VfsContext::current(), at, name.view(), mode);
}

Result<void> sys_unlinkat(int at, UserPath path, uint32_t flags) {
    if (flags & ~at_flags::removedir)
        return Errno::inval;
    PathText name;
    TRY(name.copy(path));
    return vfs::unlink(VfsContext::current(), at, name.view(), flags);
}

Result<void> sys_symlinkat(UserPath target, int at, UserPath path) {
    PathText text;
    TRY(text.copy(target));
    if (text.view().empty())
        return Errno::noent;
    PathText name;
    TRY(name.copy(path));
    return vfs::symlink(VfsContext::current(), text.view(), at, name.view());
}

Result<void> sys_linkat(int old_at, UserPath old_path, int new_at, UserPath new_path, uint32_t flags) {
    if (flags & ~(at_flags::symlink_follow | at_flags::empty_path))
        return Errno::inval;
    PathText old_name;
    TRY(old_name.copy(old_path));
    PathText new_name;
    TRY(new_name.copy(new_path));
    return vfs::link(VfsContext::current(), old_at, old_name.view(), new_at, new_name.view(), flags);
}

Result<void> sys_renameat(int old_at, UserPath old_path, int new_at, UserPath new_path) {
    return sys_renameat2(old_at, old_path, new_at, new_path, 0);
}

Result<void> sys_renameat2(int old_at, UserPath old_path, int new_at, UserPath new_path, uint32_t flags) {
    constexpr uint32_t known = rename_flags::no_replace | rename_flags::exchange;
    if ((flags & ~known) || (flags & known) == known)
        return Errno::inval;
    PathText old_name;
    TRY(old_name.copy(old_path));
    PathText new_name;
    TRY(new_name.copy(new_path));
    return vfs::rename(VfsContext::current(), old_at, old_name.view(), new_at, new_name.view(), flags);
}

Result<size_t> sys_readlinkat(int at, UserPath path, uint64_t buffer, int size) {
    if (size <= 0)
        return Errno::inval;
    PathText name;
    TRY(name.copy(path));
    Buffer<char> text = TRY(Buffer<char>::create(std::min(static_cast<size_t>(size), path_max)));
    const size_t length = TRY(vfs::readlink(VfsContext::current(), at, name.view(), text.span()));
    TRY(copyout(buffer, text.data(), length));
    return length;
}

Result<size_t> sys_getcwd(uint64_t buffer, uint64_t size) {
    Buffer<char> path = TRY(Buffer<char>::create(path_max));
    const size_t length = TRY(vfs::current_directory(VfsContext::current(), path.span().first(path_max - 1))) + 1;
    if (length > size)
        return Errno::range;
    TRY(copyout(buffer, path.data(), length)); // the buffer was made of zeros: the terminator is there
    return length;
}

Result<void> sys_chdir(UserPath path) {
    PathText name;
    TRY(name.copy(path));
    const VfsContext context = VfsContext::current();
    RefPtr<Vnode> node = TRY(vfs::resolve(context, at_fdcwd, name.view(), 0));
    return vfs::change_directory(context, std::move(node));
}

Result<void> sys_fchdir(int fd) {
    const FileHold file = TRY(any_file(fd));
    Result<RefPtr<Vnode>> node = vfs::node_of(*file);
    if (!node.ok())
        return Errno::notdir;
    return vfs::change_directory(VfsContext::current(), std::move(*node));
}

Result<void> sys_chroot(UserPath path) {
    PathText name;
    TRY(name.copy(path));
    const VfsContext context = VfsContext::current();
    RefPtr<Vnode> node = TRY(vfs::resolve(context, at_fdcwd, name.view(), 0));
    return vfs::change_root(context, std::move(node));
}

Result<mode_t> sys_umask(mode_t mask) {
    return current_proc().cwd->umask.exchange(mask & 0777, std::memory_order_relaxed);
}

Result<void> sys_mount(UserPath source, UserPath target, UserPath type, uint64_t flags, UserPath options) {
    constexpr uint64_t magic_mask = 0xffff0000, magic = 0xc0ed0000;
    // The strings that may be missing become empty ones.
    auto optional = [](UserPath p) -> Result<UserString> {
        if (p.address == 0)
            return UserString{};
        return p.copy();
    };
    const UserString type_text = TRY(optional(type));
    const UserString source_text = TRY(optional(source));
    const UserString option_text = TRY(optional(options));
    PathText target_text;
    TRY(target_text.copy(target));
    if ((flags & magic_mask) == magic)
        flags &= ~magic_mask;
    return vfs::mount(VfsContext::current(), source_text.view(), target_text.view(), type_text.view(), flags,
                      option_text.view());
}

Result<void> sys_pivot_root(UserPath new_root, UserPath put_old) {
    PathText to, old;
    TRY(to.copy(new_root));
    TRY(old.copy(put_old));
    return vfs::pivot_root(VfsContext::current(), to.view(), old.view());
}

Result<void> sys_umount2(UserPath target, uint32_t flags) {
    PathText name;
    TRY(name.copy(target));
    return vfs::umount(VfsContext::current(), name.view(), flags);
}

Result<void> sys_pipe2(UserPtr<int32_t> fds, uint32_t flags) {
    if (flags & ~(open_flags::cloexec | open_flags::nonblock | open_flags::direct))
        return Errno::inval;
    RefPtr<File> ends[2];
    TRY(pipe_create(flags & ~open_flags::cloexec, ends));
    const bool close_on_exec = flags & open_flags::cloexec;
    FdTable& table = *current_proc().fds;
    const int first = TRY(install_file(std::move(ends[0]), close_on_exec));
    const Result<int> second = install_file(std::move(ends[1]), close_on_exec);
    if (!second.ok()) {
        (void)table.close(first);
        return second.error();
    }
    const int32_t both[2] = {first, *second};
    const Result<void> told = copyout(fds.address(), both, sizeof both);
    if (!told.ok()) {
        (void)table.close(first);
        (void)table.close(*second);
    }
    return told;
}

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// What system calls (and boot) do with names: each function is one call of POSIX, checks permissions, and acts for the
// context that it is given. Paths are those of the context; `at` is a descriptor's directory or at_cwd.
#pragma once

#include <vfs/lookup.hpp>

namespace lentil {
class CwdInfo;
}

namespace lentil::vfs {

inline constexpr int at_cwd = -100; ///< AT_FDCWD
/// AT_* flags, Linux values.
namespace at_flags {
inline constexpr uint32_t symlink_nofollow = 0x100, eaccess = 0x200, remove_dir = 0x200, symlink_follow = 0x400,
                          no_automount = 0x800, empty_path = 0x1000;
}

/// Builds the first root (an empty tmpfs with /dev/console), registers devices. Called once, before the initramfs.
Result<void> init();

/// The node that a descriptor stands for where a path is relative to it: badf; notdir unless `path` is empty.
Result<Hold<Vnode>> start_at(int at, std::string_view path);
/// The node a path is relative to: badf; notdir unless `path` is absolute or empty. Not longer than `context`.
inline Result<Hold<Vnode>> start_of(const VfsContext& context, int at, std::string_view path) {
    if (at == at_cwd || path.starts_with('/')) [[likely]]
        return Hold<Vnode>::borrowed(context.cwd.get());
    return start_at(at, path);
}
/// The node that (at, path) names, as most *at calls mean it: at_flags::symlink_nofollow and empty_path.
Result<RefPtr<Vnode>> resolve(const VfsContext& context, int at, std::string_view path, uint32_t flags);

/// open(2) with open_flags; `mode` for a new file. The result is not a descriptor yet.
Result<RefPtr<File>> open(const VfsContext& context, int at, std::string_view path, uint32_t flags, mode_t mode);
/// execve's open: a regular file with an x bit that the caller may execute: acces.
Result<RefPtr<File>> open_executable(const VfsContext& context, int at, std::string_view path, uint32_t flags = 0);

Result<FileStat> stat(const VfsContext& context, int at, std::string_view path, uint32_t flags);
/// faccessat: `mask` of may::*, 0 asks for existence. Real ids unless at_flags::eaccess.
Result<void> access(const VfsContext& context, int at, std::string_view path, uint32_t mask, uint32_t flags);
Result<FsStat> fs_stat(const VfsContext& context, std::string_view path);

Result<void> mkdir(const VfsContext& context, int at, std::string_view path, mode_t mode);
/// `mode` with its type bits: regular, FIFO, socket; devices need Capability::mknod.
Result<void> mknod(const VfsContext& context, int at, std::string_view path, mode_t mode, uint64_t device);
/// bind(2)'s node for a socket: exist.
Result<RefPtr<Vnode>> make_socket(const VfsContext& context, std::string_view path);
Result<void> symlink(const VfsContext& context, std::string_view target, int at, std::string_view path);
Result<void> link(const VfsContext& context, int old_at, std::string_view old_path, int new_at,
                  std::string_view new_path, uint32_t flags);
/// unlink, or rmdir with at_flags::remove_dir.
Result<void> unlink(const VfsContext& context, int at, std::string_view path, uint32_t flags);
Result<void> rename(const VfsContext& context, int old_at, std::string_view old_path, int new_at,
                    std::string_view new_path, uint32_t flags);
/// The text of a symbolic link, cut off to the buffer; an empty path names the link that `at` is.
Result<size_t> readlink(const VfsContext& context, int at, std::string_view path, std::span<char> buffer);

// changes of attributes: by path through `resolve`, by descriptor on the file's node
Result<void> chmod(const VfsContext& context, Vnode& node, mode_t mode);
/// -1 (all bits) leaves an id alone.
Result<void> chown(const VfsContext& context, Vnode& node, uid_t uid, gid_t gid);
struct NewTime {
    enum class Kind { set, now, omit } kind = Kind::now;
    nanos_t at = 0;
};
Result<void> set_times(const VfsContext& context, Vnode& node, NewTime atime, NewTime mtime);
/// truncate(2) by path's node; the descriptor variant is File::truncate.
Result<void> truncate(const VfsContext& context, Vnode& node, uint64_t size);

/// sync(2): every mounted file system.
void sync_all();

/// chdir, fchdir, chroot of the calling proc: notdir, acces, perm.
Result<void> change_directory(const VfsContext& context, RefPtr<Vnode> node);
/// The same for the directories of a proc that is being made.
Result<void> change_directory(const VfsContext& context, CwdInfo& info, RefPtr<Vnode> node);
Result<void> change_root(const VfsContext& context, RefPtr<Vnode> node);
/// getcwd: noent if the directory was removed, range if the buffer is too small. No terminator.
Result<size_t> current_directory(const VfsContext& context, std::span<char> buffer);

/// mount(2) and umount2(2): need Capability::sys_admin. `flags`: mount_flags, resp. MNT_*.
Result<void> mount(const VfsContext& context, std::string_view source, std::string_view target, std::string_view type,
                   uint64_t flags, std::string_view options);
Result<void> umount(const VfsContext& context, std::string_view target, uint32_t flags);
/// pivot_root(2): perm, notdir, busy, inval.
Result<void> pivot_root(const VfsContext& context, std::string_view new_root, std::string_view put_old);

/// The vnode of an open file: badf for those that have none (fchmod of a pipe is inval on Linux: callers map it).
Result<RefPtr<Vnode>> node_of(File& file);

} // namespace lentil::vfs

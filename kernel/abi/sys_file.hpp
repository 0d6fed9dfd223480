// SPDX-License-Identifier: BSD-2-Clause
// Handlers of the file calls; the signatures are the ABI.
#pragma once

#include <abi/linux_file.hpp>
#include <abi/syscall.hpp>

namespace lentil::abi {

// -- descriptors (sys_fcntl.cpp) ---------------------------------------------------------------------------------------
CallValue sys_dup(int fd);
Result<int> sys_dup3(int fd, int wanted, uint32_t flags);
Result<uint64_t> sys_fcntl(int fd, uint32_t command, uint64_t argument);
Result<uint64_t> sys_ioctl(int fd, uint32_t command, uint64_t argument);
Result<void> sys_flock(int fd, uint32_t operation);
Result<void> sys_close(int fd);
Result<void> sys_close_range(uint32_t first, uint32_t last, uint32_t flags);

// -- contents (sys_io.cpp) -----------------------------------------------------------------------------------------------
Result<uint64_t> sys_getdents64(int fd, uint64_t buffer, uint32_t size);
Result<off_t> sys_lseek(int fd, off_t offset, uint32_t whence);
CallValue sys_read(int fd, uint64_t buffer, uint64_t n);
CallValue sys_write(int fd, uint64_t buffer, uint64_t n);
Result<size_t> sys_readv(int fd, UserPtr<Iovec> vector, uint64_t count);
Result<size_t> sys_writev(int fd, UserPtr<Iovec> vector, uint64_t count);
CallValue sys_pread64(int fd, uint64_t buffer, uint64_t n, off_t offset);
CallValue sys_pwrite64(int fd, uint64_t buffer, uint64_t n, off_t offset);
Result<size_t> sys_preadv(int fd, UserPtr<Iovec> vector, uint64_t count, off_t offset);
Result<size_t> sys_pwritev(int fd, UserPtr<Iovec> vector, uint64_t count, off_t offset);
Result<size_t> sys_preadv2(int fd, UserPtr<Iovec> vector, uint64_t count, off_t offset, uint64_t high, uint32_t flags);
Result<size_t> sys_pwritev2(int fd, UserPtr<Iovec> vector, uint64_t count, off_t offset, uint64_t high, uint32_t flags);
Result<size_t> sys_sendfile(int to, int from, UserPtr<off_t> offset, uint64_t n);
Result<size_t> sys_copy_file_range(int from, UserPtr<off_t> from_offset, int to, UserPtr<off_t> to_offset, uint64_t n,
                                   uint32_t flags);
Result<void> sys_fstat(int fd, UserPtr<Stat> out);
Result<void> sys_sync();
Result<void> sys_fsync(int fd);
Result<void> sys_fdatasync(int fd);
Result<void> sys_syncfs(int fd);
Result<void> sys_sync_file_range(int fd, off_t offset, off_t n, uint32_t flags);

Result<void> sys_ftruncate(int fd, off_t size);
Result<void> sys_fallocate(int fd, uint32_t mode, off_t offset, off_t n);
Result<void> sys_readahead(int fd, off_t offset, uint64_t n);
Result<void> sys_fadvise64(int fd, off_t offset, off_t n, int advice);

// -- pipes and files (sys_splice.cpp) -----------------------------------------------------------------------------------
Result<size_t> sys_splice(int from, UserPtr<off_t> from_offset, int to, UserPtr<off_t> to_offset, uint64_t n,
                          uint32_t flags);
Result<size_t> sys_tee(int from, int to, uint64_t n, uint32_t flags);
Result<size_t> sys_vmsplice(int fd, UserPtr<Iovec> vector, uint64_t count, uint32_t flags);

// -- paths (sys_path.cpp) ------------------------------------------------------------------------------------------------
Result<int> sys_openat(int at, UserPath path, uint32_t flags, mode_t mode);
Result<int> sys_openat2(int at, UserPath path, UserPtr<OpenHow> how, uint64_t size);
Result<void> sys_mknodat(int at, UserPath path, mode_t mode, uint32_t device);
Result<void> sys_mkdirat(int at, UserPath path, mode_t mode);
Result<void> sys_unlinkat(int at, UserPath path, uint32_t flags);
Result<void> sys_symlinkat(UserPath target, int at, UserPath path);
Result<void> sys_linkat(int old_at, UserPath old_path, int new_at, UserPath new_path, uint32_t flags);
Result<void> sys_renameat(int old_at, UserPath old_path, int new_at, UserPath new_path);
Result<void> sys_renameat2(int old_at, UserPath old_path, int new_at, UserPath new_path, uint32_t flags);
Result<size_t> sys_readlinkat(int at, UserPath path, uint64_t buffer, int size);
Result<size_t> sys_getcwd(uint64_t buffer, uint64_t size);
Result<void> sys_chdir(UserPath path);
Result<void> sys_fchdir(int fd);
Result<void> sys_chroot(UserPath path);
Result<mode_t> sys_umask(mode_t mask);
Result<void> sys_mount(UserPath source, UserPath target, UserPath type, uint64_t flags, UserPath options);
Result<void> sys_umount2(UserPath target, uint32_t flags);
Result<void> sys_pipe2(UserPtr<int32_t> fds, uint32_t flags);

// -- attributes (sys_attr.cpp) -------------------------------------------------------------------------------------------
Result<void> sys_newfstatat(int at, UserPath path, UserPtr<Stat> out, uint32_t flags);
Result<void> sys_statx(int at, UserPath path, uint32_t flags, uint32_t mask, UserPtr<Statx> out);
Result<void> sys_pivot_root(UserPath new_root, UserPath put_old);
Result<void> sys_statfs(UserPath path, UserPtr<Statfs> out);
Result<void> sys_fstatfs(int fd, UserPtr<Statfs> out);
Result<void> sys_faccessat(int at, UserPath path, uint32_t mode);
Result<void> sys_faccessat2(int at, UserPath path, uint32_t mode, uint32_t flags);
Result<void> sys_fchmod(int fd, mode_t mode);
Result<void> sys_fchmodat(int at, UserPath path, mode_t mode);
Result<void> sys_fchmodat2(int at, UserPath path, mode_t mode, uint32_t flags);
Result<void> sys_fchown(int fd, uid_t uid, gid_t gid);
Result<void> sys_fchownat(int at, UserPath path, uid_t uid, gid_t gid, uint32_t flags);
Result<void> sys_utimensat(int at, UserPath path, UserPtr<Timespec> times, uint32_t flags);
Result<void> sys_truncate(UserPath path, off_t size);

// -- extended attributes (sys_xattr.cpp) ---------------------------------------------------------------------------------
Result<void> sys_setxattr(UserPath path, UserPath name, uint64_t value, uint64_t size, uint32_t flags);
Result<void> sys_lsetxattr(UserPath path, UserPath name, uint64_t value, uint64_t size, uint32_t flags);
Result<void> sys_fsetxattr(int fd, UserPath name, uint64_t value, uint64_t size, uint32_t flags);
Result<size_t> sys_getxattr(UserPath path, UserPath name, uint64_t value, uint64_t size);
Result<size_t> sys_lgetxattr(UserPath path, UserPath name, uint64_t value, uint64_t size);
Result<size_t> sys_fgetxattr(int fd, UserPath name, uint64_t value, uint64_t size);
Result<size_t> sys_listxattr(UserPath path, uint64_t names, uint64_t size);
Result<size_t> sys_llistxattr(UserPath path, uint64_t names, uint64_t size);
Result<size_t> sys_flistxattr(int fd, uint64_t names, uint64_t size);
Result<void> sys_removexattr(UserPath path, UserPath name);
Result<void> sys_lremovexattr(UserPath path, UserPath name);
Result<void> sys_fremovexattr(int fd, UserPath name);

// -- files without names (sys_event.cpp) ---------------------------------------------------------------------------------
Result<int> sys_eventfd2(uint32_t initial, uint32_t flags);
Result<int> sys_epoll_create1(uint32_t flags);
Result<void> sys_epoll_ctl(int epoll, int operation, int fd, UserPtr<EpollEvent> event);
Result<int> sys_epoll_pwait(int epoll, UserPtr<EpollEvent> events, int count, int timeout_ms, UserPtr<uint64_t> mask,
                            uint64_t mask_size);
Result<int> sys_epoll_pwait2(int epoll, UserPtr<EpollEvent> events, int count, UserPtr<Timespec> timeout,
                             UserPtr<uint64_t> mask, uint64_t mask_size);
Result<int> sys_memfd_create(UserPath name, uint32_t flags);

// -- watching nodes (sys_inotify.cpp) ------------------------------------------------------------------------------------
Result<int> sys_inotify_init1(uint32_t flags);
Result<int> sys_inotify_add_watch(int fd, UserPath path, uint32_t mask);
Result<void> sys_inotify_rm_watch(int fd, int watch);

// -- readiness (sys_poll.cpp) --------------------------------------------------------------------------------------------
Result<unsigned> sys_ppoll(UserPtr<Pollfd> fds, uint32_t count, UserPtr<Timespec> timeout, UserPtr<uint64_t> mask,
                           uint64_t mask_size);
Result<unsigned> sys_pselect6(int count, uint64_t in, uint64_t out, uint64_t except, UserPtr<Timespec> timeout,
                              UserPtr<SigsetArgument> mask);

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// Handlers of the file calls; the signatures are the ABI.
#pragma once

#include <abi/linux_file.hpp>
#include <abi/syscall.hpp>

namespace lentil::abi {

// -- descriptors (sys_fcntl.cpp) ---------------------------------------------------------------------------------------
Result<int> sys_dup(int fd);
Result<int> sys_dup3(int fd, int wanted, uint32_t flags);
Result<uint64_t> sys_fcntl(int fd, uint32_t command, uint64_t argument);
Result<uint64_t> sys_ioctl(int fd, uint32_t command, uint64_t argument);
Result<void> sys_close(int fd);
Result<void> sys_close_range(uint32_t first, uint32_t last, uint32_t flags);

// -- contents (sys_io.cpp) -----------------------------------------------------------------------------------------------
Result<uint64_t> sys_getdents64(int fd, uint64_t buffer, uint32_t size);
Result<off_t> sys_lseek(int fd, off_t offset, uint32_t whence);
Result<size_t> sys_read(int fd, uint64_t buffer, uint64_t n);
Result<size_t> sys_write(int fd, uint64_t buffer, uint64_t n);
Result<size_t> sys_readv(int fd, UserPtr<Iovec> vector, uint64_t count);
Result<size_t> sys_writev(int fd, UserPtr<Iovec> vector, uint64_t count);
Result<size_t> sys_pread64(int fd, uint64_t buffer, uint64_t n, off_t offset);
Result<size_t> sys_pwrite64(int fd, uint64_t buffer, uint64_t n, off_t offset);
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

// -- readiness (sys_poll.cpp) --------------------------------------------------------------------------------------------
Result<unsigned> sys_ppoll(UserPtr<Pollfd> fds, uint32_t count, UserPtr<Timespec> timeout, UserPtr<uint64_t> mask,
                           uint64_t mask_size);
Result<unsigned> sys_pselect6(int count, uint64_t in, uint64_t out, uint64_t except, UserPtr<Timespec> timeout,
                              UserPtr<SigsetArgument> mask);

} // namespace lentil::abi

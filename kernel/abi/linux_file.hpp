// SPDX-License-Identifier: BSD-2-Clause
// Linux riscv64 structures and constants of files, as user mode lays them out (asm-generic, 64-bit).
#pragma once

#include <cstddef>

#include <abi/linux_time.hpp>
#include <vfs/vnode.hpp>

namespace lentil::abi {

inline constexpr int32_t at_fdcwd = -100;
/// AT_* flags of the ...at() calls.
namespace at_flags {
inline constexpr uint32_t symlink_nofollow = 0x100, removedir = 0x200, eaccess = 0x200, symlink_follow = 0x400,
                          no_automount = 0x800, empty_path = 0x1000, statx_sync_type = 0x6000;
}

struct Stat {
    uint64_t dev, ino;
    uint32_t mode, nlink, uid, gid;
    uint64_t rdev, pad1;
    int64_t size;
    int32_t blksize, pad2;
    int64_t blocks;
    Timespec atime, mtime, ctime;
    uint32_t unused[2];

    static constexpr Stat from(const FileStat& s) {
        Stat r{};
        r.dev = s.device, r.ino = s.inode, r.mode = s.mode, r.nlink = s.links, r.uid = s.uid, r.gid = s.gid;
        r.rdev = s.rdevice, r.size = static_cast<int64_t>(s.size), r.blksize = static_cast<int32_t>(s.block_size);
        r.blocks = static_cast<int64_t>(s.blocks_512);
        r.atime = Timespec::from_ns(s.atime), r.mtime = Timespec::from_ns(s.mtime);
        r.ctime = Timespec::from_ns(s.ctime);
        return r;
    }
};
static_assert(sizeof(Stat) == 128 && offsetof(Stat, size) == 48 && offsetof(Stat, blocks) == 64 &&
              offsetof(Stat, atime) == 72);

struct StatxTime {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t pad;
    static constexpr StatxTime from_ns(nanos_t ns) {
        const Timespec t = Timespec::from_ns(ns);
        return {t.seconds, static_cast<uint32_t>(t.nanoseconds), 0};
    }
};

struct Statx {
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, pad0;
    uint64_t ino, size, blocks, attributes_mask;
    StatxTime atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t mnt_id;
    uint32_t dio_mem_align, dio_offset_align;
    uint64_t spare[12];

    static constexpr uint32_t basic_stats = 0x7ff, has_btime = 0x800;

    static constexpr Statx from(const FileStat& s) {
        Statx r{};
        r.mask = basic_stats | (s.btime != 0 ? has_btime : 0);
        r.blksize = s.block_size, r.nlink = s.links, r.uid = s.uid, r.gid = s.gid;
        r.mode = static_cast<uint16_t>(s.mode), r.ino = s.inode, r.size = s.size, r.blocks = s.blocks_512;
        r.atime = StatxTime::from_ns(s.atime), r.btime = StatxTime::from_ns(s.btime);
        r.ctime = StatxTime::from_ns(s.ctime), r.mtime = StatxTime::from_ns(s.mtime);
        r.rdev_major = device_major(s.rdevice), r.rdev_minor = device_minor(s.rdevice);
        r.dev_major = device_major(s.device), r.dev_minor = device_minor(s.device);
        return r;
    }
};
static_assert(sizeof(Statx) == 256 && offsetof(Statx, ino) == 0x20 && offsetof(Statx, atime) == 0x40 &&
              offsetof(Statx, rdev_major) == 0x80 && offsetof(Statx, mnt_id) == 0x90);

struct Statfs {
    int64_t type, bsize, blocks, bfree, bavail, files, ffree;
    int32_t fsid[2];
    int64_t namelen, frsize, flags, spare[4];
};
static_assert(sizeof(Statfs) == 120);

struct Iovec {
    uint64_t base, length;
};
inline constexpr uint64_t iov_max = 1024;
/// No read or write moves more in one call; Linux's limit.
inline constexpr uint64_t rw_max = 0x7ffff000;

/// Header of one record of getdents64; the name with its terminator follows, records are 8-aligned.
struct [[gnu::packed]] Dirent64 {
    uint64_t ino;
    int64_t off;
    uint16_t reclen;
    uint8_t type;
};
static_assert(sizeof(Dirent64) == 19);

struct Flock {
    int16_t type, whence;
    int32_t pad0;
    int64_t start, length;
    int32_t pid, pad1;
};
static_assert(sizeof(Flock) == 32 && offsetof(Flock, start) == 8 && offsetof(Flock, pid) == 24);

struct Pollfd {
    int32_t fd;
    int16_t events, revents;
};
static_assert(sizeof(Pollfd) == 8);

/// The last argument of pselect6.
struct SigsetArgument {
    uint64_t address, size;
};

struct EpollEvent {
    uint32_t events, pad;
    uint64_t data;
};
static_assert(sizeof(EpollEvent) == 16);

struct OpenHow {
    uint64_t flags, mode, resolve;
};

/// fcntl(2) commands.
namespace fcntl_command {
inline constexpr uint32_t dupfd = 0, getfd = 1, setfd = 2, getfl = 3, setfl = 4, getlk = 5, setlk = 6, setlkw = 7,
                          setown = 8, getown = 9, setsig = 10, getsig = 11, setown_ex = 15, getown_ex = 16,
                          ofd_getlk = 36, ofd_setlk = 37, ofd_setlkw = 38, setlease = 1024, getlease = 1025,
                          dupfd_cloexec = 1030, setpipe_size = 1031, getpipe_size = 1032, add_seals = 1033,
                          get_seals = 1034;
inline constexpr uint64_t fd_cloexec = 1;
/// struct f_owner_ex.
struct OwnerEx {
    int32_t type, pid;
};
} // namespace fcntl_command

namespace ioctl_command {
inline constexpr uint32_t fionclex = 0x5450, fioclex = 0x5451, fionbio = 0x5421, fioasync = 0x5452, fionread = 0x541b;
}

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// openat2(2): bounds for where a path may lead, and arguments that later versions may add.
#include "check.h"

#include <sys/mount.h>
#include <sys/stat.h>

struct how {
    uint64_t flags, mode, resolve;
};
enum { no_xdev = 1, no_magiclinks = 2, no_symlinks = 4, beneath = 8, in_root = 16, cached = 32 };

static int top = -1; // the directory of the case
static char root[64];

static int at(int fd, const char* path, uint64_t flags, uint64_t resolve) {
    struct how how = {flags, 0, resolve};
    return (int)syscall(437, fd, path, &how, sizeof how);
}

static bool opens(const char* path, uint64_t resolve) {
    int fd = at(top, path, O_RDONLY, resolve);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void begin(void) {
    snprintf(root, sizeof root, "/tmp/openat2.%d", (int)getpid());
    mkdir("/tmp", 01777);
    CHECK(mkdir(root, 0755) == 0 && chdir(root) == 0);
    CHECK(mkdir("top", 0755) == 0 && mkdir("top/d", 0755) == 0);
    close(open("top/f", O_CREAT | O_WRONLY, 0644));
    close(open("outside", O_CREAT | O_WRONLY, 0644));
    CHECK(symlink("../f", "top/d/up") == 0 && symlink("../outside", "top/out") == 0 && symlink("/f", "top/abs") == 0);
    CHECK(symlink("d", "top/l") == 0);
    top = open("top", O_PATH | O_DIRECTORY);
    CHECK(top >= 0);
}

static void bounds(void) {
    begin();
    CHECK(opens("f", 0) && opens("../outside", 0) && opens("out", 0) && opens("l/up", 0));
    CHECK(opens("f", beneath) && opens("d/../f", beneath) && opens("d/up", beneath) && opens("l/up", beneath));
    CHECK(opens(".", beneath));
    CHECK_ERRNO(at(top, "..", O_RDONLY, beneath), EXDEV);
    CHECK_ERRNO(at(top, "../top/f", O_RDONLY, beneath), EXDEV);
    CHECK_ERRNO(at(top, "out", O_RDONLY, beneath), EXDEV);
    CHECK_ERRNO(at(top, "abs", O_RDONLY, beneath), EXDEV);
    CHECK_ERRNO(at(top, "/tmp", O_RDONLY, beneath), EXDEV);
    CHECK(opens("/f", in_root) && opens("../../f", in_root) && opens("abs", in_root));
    CHECK_ERRNO(at(top, "out", O_RDONLY, in_root), ENOENT); // there is none in the new root
    CHECK(opens("f", no_symlinks));
    CHECK_ERRNO(at(top, "l/up", O_RDONLY, no_symlinks), ELOOP);
    CHECK_ERRNO(at(top, "out", O_RDONLY, no_symlinks), ELOOP);
    CHECK_ERRNO(at(top, "out", O_RDONLY | O_NOFOLLOW, 0), ELOOP);
    int fd = at(top, "out", O_PATH | O_NOFOLLOW, no_symlinks); // the link itself
    CHECK(fd >= 0);
    close(fd);
    CHECK(opens("out", no_magiclinks));
    CHECK(opens("/proc/self/exe", 0));
    CHECK_ERRNO(at(top, "/proc/self/exe", O_RDONLY, no_magiclinks), ELOOP);
    CHECK_ERRNO(at(top, "/proc/self/status", O_RDONLY, no_xdev), EXDEV);
    CHECK(mount("none", "top/d", "tmpfs", 0, NULL) == 0);
    CHECK(opens("f", no_xdev) && opens("d", 0));
    CHECK_ERRNO(at(top, "d", O_RDONLY, no_xdev), EXDEV);
    int inside = open("top/d", O_PATH);
    CHECK_ERRNO(at(inside, "..", O_RDONLY, no_xdev), EXDEV);
    close(inside);
    CHECK(umount("top/d") == 0);
}

static void arguments(void) {
    begin();
    struct {
        struct how how;
        uint64_t more;
    } a = {{O_RDONLY, 0, 0}, 0};
    CHECK(syscall(437, top, "f", &a, sizeof a) >= 0);
    a.more = 1;
    CHECK_ERRNO(syscall(437, top, "f", &a, sizeof a), E2BIG);
    CHECK_ERRNO(syscall(437, top, "f", &a, 23), EINVAL);
    CHECK_ERRNO(syscall(437, top, "f", NULL, 24), EFAULT);
    CHECK_ERRNO(at(top, "f", O_RDONLY, 64), EINVAL);
    CHECK_ERRNO(at(top, "f", O_RDONLY, beneath | in_root), EINVAL);
    CHECK_ERRNO(at(top, "f", 1ull << 40, 0), EINVAL);
    CHECK_ERRNO(at(top, "f", O_PATH | O_RDWR, 0), EINVAL);
    CHECK_ERRNO(at(99, "f", O_RDONLY, beneath), EBADF);
    a.how = (struct how){O_RDONLY, 0600, 0};
    CHECK_ERRNO(syscall(437, top, "f", &a, 24), EINVAL); // a mode for nothing
    a.how = (struct how){O_RDWR | O_CREAT, 010000, 0};
    CHECK_ERRNO(syscall(437, top, "g", &a, 24), EINVAL);
    a.how.mode = 0640;
    int fd = (int)syscall(437, top, "g", &a, 24);
    struct stat st;
    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    CHECK_EQ(st.st_mode & 0777, 0640);
    a.how = (struct how){O_RDWR | O_CREAT | O_CLOEXEC, 0600, beneath};
    CHECK_ERRNO(syscall(437, top, "../escaped", &a, 24), EXDEV);
    fd = (int)syscall(437, top, "d/h", &a, 24);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static const struct check_case cases[] = {
    {"openat2 keeps a path beneath a directory, in a root, on a mount, and away from links", bounds, 0, false},
    {"openat2 refuses what it does not know", arguments, 0, false},
};
CHECK_MAIN(cases)

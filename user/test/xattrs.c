// SPDX-License-Identifier: BSD-2-Clause
// Extended attributes of files in /tmp: a tmpfs, or the disk that a boot test mounts there.
#include "check.h"

#include <sys/stat.h>
#include <sys/xattr.h>

static const char path[] = "/tmp/xattr-test", directory[] = "/tmp/xattr-dir", soft[] = "/tmp/xattr-link";

static int fresh(void) {
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK(fd >= 0);
    return fd;
}

static void set_get(void) {
    int fd = fresh();
    char value[64];
    CHECK_ERRNO(getxattr(path, "user.one", value, sizeof value), ENODATA);
    CHECK_EQ(listxattr(path, NULL, 0), 0);
    CHECK_EQ(setxattr(path, "user.one", "first", 5, 0), 0);
    CHECK_EQ(fsetxattr(fd, "user.two", "", 0, XATTR_CREATE), 0);
    CHECK_EQ(getxattr(path, "user.one", NULL, 0), 5);
    CHECK_EQ(fgetxattr(fd, "user.one", value, sizeof value), 5);
    CHECK_EQ(memcmp(value, "first", 5), 0);
    CHECK_EQ(getxattr(path, "user.two", value, sizeof value), 0);
    CHECK_ERRNO(getxattr(path, "user.one", value, 4), ERANGE);
    CHECK_ERRNO(setxattr(path, "user.one", "x", 1, XATTR_CREATE), EEXIST);
    CHECK_ERRNO(setxattr(path, "user.three", "x", 1, XATTR_REPLACE), ENODATA);
    CHECK_EQ(setxattr(path, "user.one", "a longer second value", 21, XATTR_REPLACE), 0);
    CHECK_EQ(getxattr(path, "user.one", value, sizeof value), 21);
    CHECK_EQ(memcmp(value, "a longer second value", 21), 0);
    CHECK_EQ(removexattr(path, "user.one"), 0);
    CHECK_ERRNO(removexattr(path, "user.one"), ENODATA);
    CHECK_EQ(fremovexattr(fd, "user.two"), 0);
    CHECK_EQ(flistxattr(fd, NULL, 0), 0);
}

static bool listed(const char* names, long length, const char* name) {
    for (const char* at = names; at < names + length; at += strlen(at) + 1)
        if (strcmp(at, name) == 0)
            return true;
    return false;
}

static void many(void) {
    int fd = fresh();
    char name[32], value[40], names[1024];
    for (int i = 0; i < 12; ++i) { // more than fit into an inode
        snprintf(name, sizeof name, "user.name-%d", i);
        memset(value, 'a' + i, sizeof value);
        CHECK_EQ(fsetxattr(fd, name, value, (size_t)(20 + i), 0), 0);
    }
    CHECK_EQ(fsetxattr(fd, "trusted.t", "t", 1, 0), 0);
    CHECK_EQ(fsync(fd), 0);
    for (int i = 0; i < 12; i += 2) {
        snprintf(name, sizeof name, "user.name-%d", i);
        CHECK_EQ(fremovexattr(fd, name), 0);
    }
    long length = listxattr(path, names, sizeof names);
    CHECK_EQ(listxattr(path, NULL, 0), length);
    CHECK_ERRNO(listxattr(path, names, (size_t)length - 1), ERANGE);
    CHECK(listed(names, length, "trusted.t"));
    for (int i = 0; i < 12; ++i) {
        snprintf(name, sizeof name, "user.name-%d", i);
        CHECK_EQ(listed(names, length, name), i % 2);
        if (i % 2) {
            CHECK_EQ(getxattr(path, name, value, sizeof value), 20 + i);
            CHECK_EQ(value[0], 'a' + i);
            CHECK_EQ(value[19 + i], 'a' + i);
        }
    }
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(fgetxattr(fd, "trusted.t", value, sizeof value), 1); // it has no name, but it is there
}

static void arguments(void) {
    int fd = fresh();
    static char big[65537];
    char name[300], value[8];
    void* volatile nowhere = (void*)16;
    CHECK_ERRNO(setxattr(path, "", "x", 1, 0), ERANGE);
    memset(name, 'n', sizeof name);
    memcpy(name, "user.", 5);
    name[256] = '\0';
    CHECK_ERRNO(setxattr(path, name, "x", 1, 0), ERANGE);
    name[255] = '\0';
    CHECK_EQ(setxattr(path, name, "x", 1, 0), 0);
    CHECK_EQ(getxattr(path, name, value, sizeof value), 1);
    CHECK_ERRNO(setxattr(path, "user.x", "x", 1, 4), EINVAL);
    CHECK_ERRNO(setxattr(path, "user.x", big, sizeof big, 0), E2BIG);
    CHECK_ERRNO(setxattr(path, "user.x", nowhere, 1, 0), EFAULT);
    CHECK_ERRNO(setxattr(path, "user.", "x", 1, 0), EINVAL);
    CHECK_ERRNO(setxattr(path, "other.x", "x", 1, 0), EOPNOTSUPP);
    CHECK_ERRNO(getxattr(path, "plain", value, sizeof value), EOPNOTSUPP);
    CHECK_ERRNO(getxattr("/tmp/xattr-none", "user.x", value, sizeof value), ENOENT);
    CHECK_ERRNO(fgetxattr(-1, "user.x", value, sizeof value), EBADF);
    int handle = open(path, O_PATH);
    CHECK_ERRNO(fgetxattr(handle, "user.x", value, sizeof value), EBADF);
    close(fd);
}

static void links(void) {
    fresh();
    unlink(soft);
    CHECK_EQ(symlink(path, soft), 0);
    char value[8];
    CHECK_EQ(setxattr(soft, "user.x", "f", 1, 0), 0); // through it
    CHECK_EQ(getxattr(path, "user.x", value, sizeof value), 1);
    CHECK_ERRNO(lsetxattr(soft, "user.x", "f", 1, 0), EPERM);
    CHECK_ERRNO(lgetxattr(soft, "user.x", value, sizeof value), ENODATA);
    CHECK_EQ(lsetxattr(soft, "trusted.x", "link", 4, 0), 0);
    CHECK_EQ(lgetxattr(soft, "trusted.x", value, sizeof value), 4);
    CHECK_ERRNO(getxattr(soft, "trusted.x", value, sizeof value), ENODATA);
    CHECK_EQ(llistxattr(soft, NULL, 0), sizeof "trusted.x");
    CHECK_EQ(lremovexattr(soft, "trusted.x"), 0);
    CHECK_EQ(llistxattr(soft, NULL, 0), 0);
    CHECK_EQ(unlink(soft), 0);
}

static void permissions(void) {
    int fd = fresh();
    CHECK_EQ(fchmod(fd, 0600), 0);
    CHECK_EQ(fsetxattr(fd, "user.x", "x", 1, 0), 0);
    CHECK_EQ(fsetxattr(fd, "trusted.x", "x", 1, 0), 0);
    CHECK_EQ(fsetxattr(fd, "security.x", "x", 1, 0), 0);
    rmdir(directory);
    CHECK_EQ(mkdir(directory, 01777), 0);
    CHECK_EQ(chmod(directory, 01777), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        char value[8], names[100];
        CHECK_ERRNO(getxattr(path, "user.x", value, sizeof value), EACCES);
        CHECK_ERRNO(setxattr(path, "user.x", "y", 1, 0), EACCES);
        CHECK_ERRNO(getxattr(path, "trusted.x", value, sizeof value), ENODATA);
        CHECK_ERRNO(setxattr(path, "trusted.x", "y", 1, 0), EPERM);
        CHECK_EQ(getxattr(path, "security.x", value, sizeof value), 1);
        CHECK_ERRNO(setxattr(path, "security.x", "y", 1, 0), EPERM);
        CHECK_ERRNO(setxattr(directory, "user.x", "y", 1, 0), EPERM); // sticky and another's
        long n = listxattr(path, names, sizeof names);
        CHECK(listed(names, n, "user.x") && listed(names, n, "security.x") && !listed(names, n, "trusted.x"));
        _exit(0);
    }
    CHECK_EXITED(check_reap(child), 0);
    CHECK_EQ(setxattr(directory, "user.x", "y", 1, 0), 0);
    CHECK_EQ(rmdir(directory), 0);
}

static const struct check_case cases[] = {
    {"an extended attribute is set, read, replaced, removed, by path and by descriptor", set_get, 0, false},
    {"many extended attributes are listed and read after others went", many, 0, false},
    {"names, sizes and flags of extended attributes are checked as Linux checks them", arguments, 0, false},
    {"a symbolic link has trusted attributes of its own and none of users", links, 0, false},
    {"user, trusted and security attributes: who may read, set and list them", permissions, 0, false},
};

int main(int argc, char** argv) {
    char value[4096];
    if (argc == 5 && strcmp(argv[1], "@set") == 0)
        return setxattr(argv[2], argv[3], argv[4], strlen(argv[4]), 0) == 0 ? 0 : 1;
    if (argc == 4 && strcmp(argv[1], "@remove") == 0)
        return removexattr(argv[2], argv[3]) == 0 ? 0 : 1;
    if (argc == 4 && strcmp(argv[1], "@get") == 0) {
        ssize_t n = getxattr(argv[2], argv[3], value, sizeof value);
        return n >= 0 && fwrite(value, 1, (size_t)n, stdout) == (size_t)n ? 0 : 1;
    }
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

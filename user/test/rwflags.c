// SPDX-License-Identifier: BSD-2-Clause
// The flags of preadv2 and pwritev2.
#define _GNU_SOURCE
#include "check.h"

#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif
enum { hipri = 1, dsync = 2, sync_all = 4, nowait = 8, append = 16, noappend = 32, unknown = 0x400 };

static ssize_t put(int fd, const char* text, off_t at, int flags) {
    struct iovec piece = {(void*)(uintptr_t)text, strlen(text)};
    return pwritev2(fd, &piece, 1, at, flags);
}

static ssize_t get(int fd, char* to, size_t n, off_t at, int flags) {
    struct iovec piece = {to, n};
    return preadv2(fd, &piece, 1, at, flags);
}

static int new_file(int flags) {
    mkdir("/tmp", 0777);
    CHECK_EQ(mount("none", "/tmp", "tmpfs", 0, NULL), 0);
    int fd = open("/tmp/file", O_RDWR | O_CREAT | flags, 0666);
    CHECK(fd >= 0);
    CHECK_EQ(umount2("/tmp", MNT_DETACH), 0);
    CHECK_EQ(write(fd, "01234567", 8), 8);
    return fd;
}

static void check_contents(int fd, const char* expected) {
    char text[64] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    CHECK_EQ(n, strlen(expected));
    if (strcmp(text, expected) != 0)
        check_fail("the file has '%s', expected '%s'", text, expected);
}

static void appending(void) {
    int fd = new_file(0);
    CHECK_EQ(put(fd, "ab", 2, append), 2);
    check_contents(fd, "01234567ab");
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 8); // not moved
    CHECK_EQ(put(fd, "c", 2, 0), 1);
    check_contents(fd, "01c34567ab");
    CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
    CHECK_EQ(put(fd, "de", -1, append), 2);
    check_contents(fd, "01c34567abde");
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 12); // now behind what was written
}

static void not_appending(void) {
    int fd = new_file(O_APPEND);
    CHECK_EQ(put(fd, "a", 2, 0), 1); // at the end, whatever it says
    check_contents(fd, "01234567a");
    CHECK_EQ(put(fd, "b", 2, noappend), 1);
    check_contents(fd, "01b34567a");
    CHECK_EQ(lseek(fd, 5, SEEK_SET), 5);
    CHECK_EQ(put(fd, "cd", -1, noappend), 2);
    check_contents(fd, "01b34cd7a");
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
    CHECK_EQ(put(fd, "e", -1, 0), 1);
    check_contents(fd, "01b34cd7ae");
    CHECK_ERRNO(put(fd, "f", 0, append | noappend), EINVAL);
}

static void not_waiting(void) {
    int ends[2], pair[2];
    char bytes[65536];
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    const int readers[] = {ends[0], pair[0]}, writers[] = {ends[1], pair[1]};
    for (int i = 0; i < 2; i++) {
        CHECK_ERRNO(get(readers[i], bytes, 1, -1, nowait), EAGAIN);
        CHECK_EQ(put(writers[i], "abc", -1, nowait), 3);
        CHECK_EQ(get(readers[i], bytes, sizeof bytes, -1, nowait), 3);
        CHECK_EQ(memcmp(bytes, "abc", 3), 0);
        struct iovec piece = {bytes, sizeof bytes};
        ssize_t n;
        while ((n = pwritev2(writers[i], &piece, 1, -1, nowait)) > 0) {
        }
        CHECK_EQ(n, -1);
        CHECK_EQ(errno, EAGAIN);
        CHECK_EQ(fcntl(writers[i], F_GETFL) & O_NONBLOCK, 0);
    }
    CHECK_EQ(close(ends[1]), 0);
    while (get(ends[0], bytes, sizeof bytes, -1, nowait) > 0) {
    }
    CHECK_EQ(get(ends[0], bytes, 1, -1, nowait), 0); // the end is no wait
    int fd = new_file(0);                            // of tmpfs, which does not say whether it would wait
    CHECK_ERRNO(get(fd, bytes, 1, 0, nowait), EOPNOTSUPP);
    CHECK_ERRNO(put(fd, "a", 0, nowait), EOPNOTSUPP);
}

static void other_flags(void) {
    int fd = new_file(0), ends[2];
    char bytes[16];
    CHECK_EQ(put(fd, "a", 0, dsync), 1);
    CHECK_EQ(put(fd, "b", 1, sync_all), 1);
    CHECK_EQ(put(fd, "c", 2, dsync | sync_all | hipri | append), 1);
    check_contents(fd, "ab234567c");
    CHECK_EQ(get(fd, bytes, 3, 0, hipri | dsync | sync_all), 3);
    CHECK_EQ(memcmp(bytes, "ab2", 3), 0);
    CHECK_ERRNO(get(fd, bytes, 1, 0, unknown), EOPNOTSUPP);
    CHECK_ERRNO(put(fd, "a", 0, unknown), EOPNOTSUPP);
    CHECK_ERRNO(put(fd, "a", -2, 0), EINVAL);
    CHECK_ERRNO(get(fd, bytes, 1, -2, 0), EINVAL);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(put(ends[1], "abc", -1, dsync), 3); // a pipe has nothing to be synced
    CHECK_ERRNO(put(ends[1], "abc", 0, 0), ESPIPE);
    CHECK_ERRNO(get(ends[0], bytes, 1, 0, nowait), ESPIPE);
    CHECK_EQ(get(ends[0], bytes, sizeof bytes, -1, hipri), 3);
    CHECK_ERRNO(put(ends[0], "abc", -1, append), EBADF);
}

static const struct check_case cases[] = {
    {"RWF_APPEND writes at the end, and moves the position if that was asked for", appending, 0, false},
    {"RWF_NOAPPEND writes where it says into a file open for appending", not_appending, 0, false},
    {"RWF_NOWAIT: pipes and sockets say EAGAIN, files that cannot tell EOPNOTSUPP", not_waiting, 0, false},
    {"RWF_DSYNC, RWF_SYNC and RWF_HIPRI are taken, unknown flags refused", other_flags, 0, false},
};

CHECK_MAIN(cases)

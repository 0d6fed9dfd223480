// SPDX-License-Identifier: BSD-2-Clause
// What the programs that test sockets share.
#pragma once
#include "check.h"

#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>

static inline void make_pair(int type, int out[2]) { CHECK_EQ(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, out), 0); }

// A name in the file system, or with '@' an abstract one; returns the length of the address.
static inline socklen_t name_of(struct sockaddr_un* address, const char* name) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    size_t length = strlen(name);
    memcpy(address->sun_path, name, length);
    if (name[0] == '@') {
        address->sun_path[0] = 0;
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    }
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
}
static inline int bound(int type, const char* name) {
    struct sockaddr_un address;
    socklen_t length = name_of(&address, name);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQ(bind(fd, (struct sockaddr*)&address, length), 0);
    return fd;
}
static inline int connect_to(int fd, const char* name) {
    struct sockaddr_un address;
    socklen_t length = name_of(&address, name);
    return connect(fd, (struct sockaddr*)&address, length);
}
static inline int listener(int type, const char* name, int backlog) {
    int fd = bound(type, name);
    CHECK_EQ(listen(fd, backlog), 0);
    return fd;
}
static inline int client_of(int type, const char* name) {
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK_EQ(connect_to(fd, name), 0);
    return fd;
}
static inline short ready(int fd, short events) {
    struct pollfd p = {fd, events, 0};
    CHECK(poll(&p, 1, 0) >= 0);
    return p.revents;
}
static inline int option(int fd, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, name, &value, &size), 0);
    return value;
}
static inline void expect(int fd, const char* text) {
    char buffer[300];
    size_t length = strlen(text);
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    if (n != (ssize_t)length || memcmp(buffer, text, length) != 0)
        check_fail("received %ld bytes \"%.*s\" (errno %d), expected \"%s\"", (long)n, (int)(n > 0 ? n : 0), buffer,
                   errno, text);
}

// One message with descriptors.
static inline ssize_t send_fds(int socket, const char* text, const int* fds, int count, int flags) {
    union {
        char bytes[CMSG_SPACE(sizeof(int) * 300)];
        struct cmsghdr align;
    } control;
    struct iovec vector = {(void*)(uintptr_t)text, strlen(text)};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (count != 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        struct cmsghdr* c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)count);
    }
    return sendmsg(socket, &message, flags);
}
struct got {
    ssize_t bytes;
    int flags, fd_count, fds[300];
    bool has_creds;
    struct ucred creds;
    char text[300];
};
static inline struct got receive(int socket, size_t control_room, int flags) {
    static struct got got;
    static union {
        char bytes[4096];
        struct cmsghdr align;
    } control;
    memset(&got, 0, sizeof got);
    struct iovec vector = {got.text, sizeof got.text - 1};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = control_room};
    got.bytes = recvmsg(socket, &message, flags);
    if (got.bytes < 0)
        return got;
    got.flags = message.msg_flags;
    for (struct cmsghdr* c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        CHECK_EQ(c->cmsg_level, SOL_SOCKET);
        if (c->cmsg_type == SCM_RIGHTS) {
            got.fd_count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(got.fds, CMSG_DATA(c), sizeof(int) * (size_t)got.fd_count);
        } else if (c->cmsg_type == SCM_CREDENTIALS) {
            got.has_creds = true;
            memcpy(&got.creds, CMSG_DATA(c), sizeof got.creds);
        }
    }
    return got;
}

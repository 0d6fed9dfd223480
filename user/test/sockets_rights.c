// SPDX-License-Identifier: BSD-2-Clause
// What goes through AF_UNIX sockets beside bytes: credentials and descriptors.
#include "objects.h"
#include "sockets.h"

static void peer_of_pair(void) {
    int p[2];
    make_pair(SOCK_STREAM, p);
    struct ucred creds;
    socklen_t size = sizeof creds;
    CHECK_EQ(getsockopt(p[0], SOL_SOCKET, SO_PEERCRED, &creds, &size), 0);
    CHECK_EQ(size, sizeof creds);
    CHECK_EQ(creds.pid, getpid());
    CHECK_EQ(creds.uid, geteuid());
    CHECK_EQ(creds.gid, getegid());
    int alone = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(getsockopt(alone, SOL_SOCKET, SO_PEERCRED, &creds, &size), 0);
    CHECK(creds.pid == 0 && creds.uid == (uid_t)-1 && creds.gid == (gid_t)-1);
}

static void peer_of_connection(void) {
    int server = listener(SOCK_STREAM, "@peercred", 2);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(setgid(4321), 0);
        CHECK_EQ(setuid(1234), 0);
        int fd = client_of(SOCK_STREAM, "@peercred");
        struct ucred creds;
        socklen_t size = sizeof creds;
        CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &creds, &size), 0);
        CHECK(creds.pid == getppid() && creds.uid == 0); // who called listen
        char c;
        CHECK_EQ(read(fd, &c, 1), 1);
        _exit(0);
    }
    int fd = accept(server, NULL, NULL);
    CHECK(fd >= 0);
    struct ucred creds;
    socklen_t size = sizeof creds;
    CHECK_EQ(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &creds, &size), 0);
    CHECK(creds.pid == child && creds.uid == 1234 && creds.gid == 4321);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EXITED(check_reap(child), 0);
}

static ssize_t send_as(int fd, struct ucred creds) {
    union {
        char bytes[CMSG_SPACE(sizeof creds)];
        struct cmsghdr align;
    } control;
    struct iovec vector = {(void*)(uintptr_t) "c", 1};
    struct msghdr message = {
        .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_CREDENTIALS;
    c->cmsg_len = CMSG_LEN(sizeof creds);
    memcpy(CMSG_DATA(c), &creds, sizeof creds);
    return sendmsg(fd, &message, 0);
}
static void credentials(void) {
    int p[2], on = 1;
    make_pair(SOCK_STREAM, p);
    CHECK_EQ(setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    CHECK_EQ(write(p[0], "mine", 4), 4);
    struct got got = receive(p[1], 200, 0);
    CHECK(got.has_creds && got.creds.pid == getpid() && got.creds.uid == getuid() && got.creds.gid == getgid());
    // A stream does not mix what different processes wrote.
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(write(p[0], "child", 5), 5);
        _exit(0);
    }
    CHECK_EXITED(check_reap(child), 0);
    CHECK_EQ(write(p[0], "parent", 6), 6);
    got = receive(p[1], 200, 0);
    CHECK_EQ(got.bytes, 5);
    CHECK_EQ(got.creds.pid, child);
    got = receive(p[1], 200, 0);
    CHECK_EQ(got.bytes, 6);
    CHECK_EQ(got.creds.pid, getpid());
    // Root may say that it is somebody else; others may not.
    CHECK_EQ(send_as(p[0], (struct ucred){getpid(), 77, 88}), 1);
    got = receive(p[1], 200, 0);
    CHECK(got.creds.uid == 77 && got.creds.gid == 88);
    CHECK_ERRNO(send_as(p[0], (struct ucred){4000000, 0, 0}), ESRCH);
    child = fork();
    if (child == 0) {
        CHECK_EQ(setuid(1234), 0);
        CHECK_ERRNO(send_as(p[0], (struct ucred){getpid(), 0, 0}), EPERM);
        CHECK_ERRNO(send_as(p[0], (struct ucred){getppid(), 1234, getgid()}), EPERM);
        CHECK_EQ(send_as(p[0], (struct ucred){getpid(), 1234, getgid()}), 1);
        _exit(0);
    }
    CHECK_EXITED(check_reap(child), 0);
    got = receive(p[1], 200, 0);
    CHECK_EQ(got.creds.uid, 1234);
}

static void descriptors(void) {
    int p[2], pipe_ends[2];
    make_pair(SOCK_STREAM, p);
    CHECK_EQ(pipe(pipe_ends), 0);
    int sent[2] = {pipe_ends[1], pipe_ends[0]};
    CHECK_EQ(send_fds(p[0], "two", sent, 2, 0), 3);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    struct got got = receive(p[1], 200, MSG_CMSG_CLOEXEC);
    CHECK_EQ(got.bytes, 3);
    CHECK_EQ(got.fd_count, 2);
    CHECK_EQ(fcntl(got.fds[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(write(got.fds[0], "through", 7), 7);
    char c[10];
    CHECK_EQ(read(got.fds[1], c, sizeof c), 7);
    close(got.fds[0]);
    CHECK_EQ(read(got.fds[1], c, sizeof c), 0); // that was the only one
    CHECK_ERRNO(send_fds(p[0], "x", (int[]){99}, 1, 0), EBADF);
    int many[254];
    for (int i = 0; i < 254; ++i)
        many[i] = p[0];
    CHECK_ERRNO(send_fds(p[0], "x", many, 254, 0), EINVAL);
    CHECK_EQ(send_fds(p[0], "x", many, 253, 0), 1);
    got = receive(p[1], 2000, 0);
    CHECK_EQ(got.fd_count, 253);
}

static void borders(void) {
    int p[2];
    make_pair(SOCK_STREAM, p);
    CHECK_EQ(write(p[0], "before ", 7), 7);
    CHECK_EQ(send_fds(p[0], "with", (int[]){p[0]}, 1, 0), 4);
    CHECK_EQ(write(p[0], " after", 6), 6);
    struct got got = receive(p[1], 200, 0);
    CHECK_EQ(got.bytes, 11); // bytes may come before descriptors, not after
    CHECK_EQ(got.fd_count, 1);
    got = receive(p[1], 200, 0);
    CHECK_EQ(got.bytes, 6);
    CHECK_EQ(got.fd_count, 0);
    CHECK_EQ(send_fds(p[0], "peek", (int[]){p[0]}, 1, 0), 4);
    got = receive(p[1], 200, MSG_PEEK);
    CHECK_EQ(got.fd_count, 1);
    int first = got.fds[0];
    got = receive(p[1], 200, 0);
    CHECK_EQ(got.fd_count, 1); // again
    CHECK(got.fds[0] != first);
}

static void no_room(void) {
    int p[2], pipe_ends[2];
    make_pair(SOCK_DGRAM, p);
    CHECK_EQ(pipe(pipe_ends), 0);
    int sent[3] = {pipe_ends[1], pipe_ends[1], pipe_ends[1]};
    CHECK_EQ(send_fds(p[0], "three", sent, 3, 0), 5);
    close(pipe_ends[1]);
    struct got got = receive(p[1], CMSG_LEN(2 * sizeof(int)), 0);
    CHECK_EQ(got.fd_count, 2);
    CHECK_EQ(got.flags & MSG_CTRUNC, MSG_CTRUNC);
    close(got.fds[0]);
    close(got.fds[1]);
    char c;
    CHECK_EQ(read(pipe_ends[0], &c, 1), 0); // the third was closed
    CHECK_EQ(send_fds(p[0], "x", (int[]){p[0]}, 1, 0), 1);
    got = receive(p[1], 0, 0);
    CHECK_EQ(got.flags & MSG_CTRUNC, MSG_CTRUNC);
    CHECK_EQ(send_fds(p[0], "x", (int[]){p[0]}, 1, 0), 1);
    expect(p[1], "x"); // they are dropped by who does not ask
}

static void unread(void) {
    int p[2], pipe_ends[2];
    make_pair(SOCK_STREAM, p);
    CHECK_EQ(pipe(pipe_ends), 0);
    CHECK_EQ(send_fds(p[0], "x", &pipe_ends[1], 1, 0), 1);
    close(pipe_ends[1]);
    CHECK_EQ(fcntl(pipe_ends[0], F_SETFL, O_RDONLY | O_NONBLOCK), 0);
    char c;
    CHECK_ERRNO(read(pipe_ends[0], &c, 1), EAGAIN); // it is on its way
    close(p[1]);
    CHECK_EQ(read(pipe_ends[0], &c, 1), 0); // and goes with the queue it was in
}

// Whether the pipe's last writer is gone, soon.
static void expect_end(int reader) {
    struct pollfd p = {reader, POLLIN, 0};
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_EQ(p.revents & POLLHUP, POLLHUP);
}
static void circles(void) {
    int pipe_ends[2], a[2], b[2];
    CHECK_EQ(pipe(pipe_ends), 0);
    make_pair(SOCK_STREAM, a); // a socket in its own queue, with a pipe
    CHECK_EQ(send_fds(a[0], "x", (int[]){a[1], pipe_ends[1]}, 2, 0), 1);
    close(a[0]);
    close(a[1]);
    make_pair(SOCK_DGRAM, a); // two that lie in each other
    make_pair(SOCK_DGRAM, b);
    CHECK_EQ(send_fds(a[0], "x", (int[]){b[1], pipe_ends[1]}, 2, 0), 1);
    CHECK_EQ(send_fds(b[0], "x", (int[]){a[1]}, 1, 0), 1);
    close(a[0]);
    close(b[0]);
    close(a[1]);
    close(b[1]);
    int server = listener(SOCK_STREAM, "@circle", 2), client = client_of(SOCK_STREAM, "@circle");
    CHECK_EQ(send_fds(client, "x", (int[]){server, pipe_ends[1]}, 2, 0), 1); // to one that nobody accepted
    close(client);
    close(server);
    close(pipe_ends[1]);
    expect_end(pipe_ends[0]);
    close(pipe_ends[0]);
}
static void kept(void) {
    int a[2], b[2];
    make_pair(SOCK_STREAM, a);
    make_pair(SOCK_STREAM, b);
    CHECK_EQ(send_fds(a[0], "x", (int[]){a[1]}, 1, 0), 1);
    CHECK_EQ(send_fds(b[0], "y", (int[]){a[1]}, 1, 0), 1); // a way in remains
    close(a[0]);
    close(a[1]);
    struct got got = receive(b[1], 200, 0);
    CHECK_EQ(got.fd_count, 1);
    int again = got.fds[0];
    got = receive(again, 200, 0);
    CHECK_EQ(got.bytes, 1);
    CHECK_EQ(got.fd_count, 1);
}
static void chain(void) {
    int last = -1, pipe_ends[2];
    CHECK_EQ(pipe(pipe_ends), 0);
    last = pipe_ends[1];
    for (int i = 0; i < 3000; ++i) { // each in the queue of the next: closing the last closes all
        int p[2];
        make_pair(SOCK_STREAM, p);
        CHECK_EQ(send_fds(p[0], "x", &last, 1, 0), 1);
        close(p[0]);
        close(last);
        last = p[1];
    }
    close(last);
    expect_end(pipe_ends[0]);
    close(pipe_ends[0]);
}
static void objects(void) {
    circles();
    struct object_counts before = settled_objects();
    circles();
    chain();
    objects_are_back(&before);
}

int main(int argc, char** argv) {
    static const struct check_case cases[] = {
        {"SO_PEERCRED of a pair is who made it", peer_of_pair, 0, false},
        {"SO_PEERCRED of a connection is who connected and who listened", peer_of_connection, 0, false},
        {"SO_PASSCRED tells who wrote, and nobody lies without the right to", credentials, 0, false},
        {"descriptors arrive as new ones of the same files", descriptors, 0, false},
        {"descriptors are a border in a stream, and MSG_PEEK gives them twice", borders, 0, false},
        {"descriptors without room are closed and MSG_CTRUNC says so", no_room, 0, false},
        {"descriptors that nobody read are closed with the queue", unread, 0, false},
        {"sockets that only lie in each other's queues are collected", circles, 20, false},
        {"a socket on its way that can still be received is not collected", kept, 0, false},
        {"a long chain of sockets in sockets is closed at once", chain, 60, false},
        {"nothing is left of collected sockets", objects, 60, true},
    };
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}

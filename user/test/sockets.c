// SPDX-License-Identifier: BSD-2-Clause
// AF_UNIX sockets: kinds, names, connections, what either side sees of the other's end, buffers, options.
#include "sockets.h"

static void families(void) {
    CHECK_ERRNO(socket(AF_INET, SOCK_STREAM, 0), EAFNOSUPPORT);
    CHECK_ERRNO(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
}
static void kinds(void) {
    int fds[2];
    CHECK_ERRNO(socket(AF_UNIX, SOCK_RDM, 0), ESOCKTNOSUPPORT);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM, 7), EPROTONOSUPPORT);
    CHECK_ERRNO(socket(AF_UNIX, SOCK_STREAM | 0x100, 0), EINVAL);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    CHECK_EQ(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fds[1], F_GETFL), O_RDWR | O_NONBLOCK);
    struct stat st;
    CHECK_EQ(fstat(fds[0], &st), 0);
    CHECK(S_ISSOCK(st.st_mode));
    CHECK_ERRNO(lseek(fds[0], 0, SEEK_SET), ESPIPE);
    char link[40], name[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fds[0]);
    ssize_t n = readlink(link, name, sizeof name - 1);
    CHECK(n > 0);
    name[n] = 0;
    CHECK(strncmp(name, "socket:[", 8) == 0);
    CHECK_ERRNO(open(link, O_RDWR), ENXIO);
    CHECK_ERRNO(listen(0, 1), ENOTSOCK);
    CHECK_ERRNO(listen(99, 1), EBADF);
}

static void stream(void) {
    int p[2];
    make_pair(SOCK_STREAM, p);
    CHECK_EQ(write(p[0], "one", 3), 3);
    CHECK_EQ(send(p[0], "two", 3, 0), 3);
    CHECK_EQ(send(p[0], "", 0, 0), 0);
    int n = -1;
    CHECK_EQ(ioctl(p[1], FIONREAD, &n), 0);
    CHECK_EQ(n, 6);
    char c[10] = {0};
    CHECK_EQ(recv(p[1], c, 4, 0), 4); // no borders
    CHECK_EQ(memcmp(c, "onet", 4), 0);
    CHECK_EQ(recv(p[1], c, sizeof c, MSG_PEEK), 2);
    CHECK_EQ(recv(p[1], c, sizeof c, MSG_TRUNC), 2);
    CHECK_ERRNO(recv(p[1], c, 1, MSG_DONTWAIT), EAGAIN);
    CHECK_EQ(write(p[1], "back", 4), 4);
    expect(p[0], "back");
    struct iovec v[2] = {{(void*)(uintptr_t) "scat", 4}, {(void*)(uintptr_t) "tered", 5}};
    CHECK_EQ(writev(p[0], v, 2), 9);
    expect(p[1], "scattered");
}

static void packets(int type) {
    int p[2];
    make_pair(type, p);
    CHECK_EQ(send(p[0], "first", 5, 0), 5);
    CHECK_EQ(send(p[0], "", 0, 0), 0);
    CHECK_EQ(send(p[0], "third", 5, 0), 5);
    char c[10];
    CHECK_EQ(recv(p[1], c, 2, MSG_PEEK), 2);
    CHECK_EQ(recv(p[1], c, 2, MSG_PEEK | MSG_TRUNC), 5);
    struct iovec v = {c, 3};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    CHECK_EQ(recvmsg(p[1], &m, 0), 3); // the rest is lost
    CHECK_EQ(m.msg_flags & MSG_TRUNC, MSG_TRUNC);
    CHECK_EQ(recv(p[1], c, sizeof c, 0), 0);
    expect(p[1], "third");
    static char big[300000];
    CHECK_ERRNO(send(p[0], big, sizeof big, 0), EMSGSIZE);
    CHECK_EQ(send(p[0], big, 100000, 0), 100000);
    CHECK_EQ(recv(p[1], big, sizeof big, 0), 100000);
}
static void datagrams(void) { packets(SOCK_DGRAM); }
static void sequenced(void) { packets(SOCK_SEQPACKET); }

static void wait_all(void) {
    int p[2];
    make_pair(SOCK_STREAM, p);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 3; ++i) {
            check_sleep_ms(20);
            CHECK_EQ(write(p[0], "abcd", 4), 4);
        }
        _exit(0);
    }
    char c[12];
    CHECK_EQ(recv(p[1], c, 9, MSG_WAITALL), 9);
    CHECK_EQ(memcmp(c, "abcdabcda", 9), 0);
    CHECK_EXITED(check_reap(child), 0);
    CHECK_EQ(recv(p[1], c, 3, MSG_WAITALL), 3);
    close(p[0]);
    CHECK_EQ(recv(p[1], c, 3, MSG_WAITALL), 0);
}

static volatile int broken;
static void count_broken(int number) {
    (void)number;
    ++broken;
}
static void other_end(void) {
    int p[2];
    char c[10];
    signal(SIGPIPE, count_broken);
    make_pair(SOCK_STREAM, p);
    CHECK_EQ(write(p[0], "rest", 4), 4);
    close(p[0]);
    CHECK_EQ(ready(p[1], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLHUP | POLLRDHUP);
    expect(p[1], "rest");
    CHECK_EQ(read(p[1], c, 1), 0);
    CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
    CHECK_EQ(broken, 1);
    CHECK_ERRNO(send(p[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK_EQ(broken, 1);

    make_pair(SOCK_STREAM, p); // with something unread the end is not orderly
    CHECK_EQ(write(p[0], "lost", 4), 4);
    close(p[1]);
    CHECK_EQ(ready(p[0], POLLIN) & POLLERR, POLLERR);
    CHECK_ERRNO(read(p[0], c, 1), ECONNRESET);
    CHECK_EQ(read(p[0], c, 1), 0);

    make_pair(SOCK_SEQPACKET, p);
    close(p[0]);
    CHECK_EQ(recv(p[1], c, 1, 0), 0);
    CHECK_ERRNO(send(p[1], "x", 1, MSG_NOSIGNAL), EPIPE);

    make_pair(SOCK_DGRAM, p);
    close(p[0]);
    CHECK_ERRNO(send(p[1], "x", 1, 0), ECONNREFUSED);
    CHECK_ERRNO(send(p[1], "x", 1, 0), ENOTCONN); // it is forgotten
}

static void half_closed(void) {
    int p[2];
    char c[10];
    signal(SIGPIPE, SIG_IGN);
    make_pair(SOCK_STREAM, p);
    CHECK_ERRNO(shutdown(p[0], 3), EINVAL);
    CHECK_EQ(write(p[0], "end", 3), 3);
    CHECK_EQ(shutdown(p[0], SHUT_WR), 0);
    CHECK_ERRNO(write(p[0], "x", 1), EPIPE);
    expect(p[1], "end");
    CHECK_EQ(read(p[1], c, 1), 0);
    CHECK_EQ(ready(p[1], POLLIN | POLLOUT | POLLRDHUP), POLLIN | POLLOUT | POLLRDHUP);
    CHECK_EQ(write(p[1], "on", 2), 2); // the other direction is open
    expect(p[0], "on");
    CHECK_EQ(shutdown(p[0], SHUT_RD), 0);
    CHECK_ERRNO(write(p[1], "x", 1), EPIPE);
    CHECK_EQ(ready(p[1], POLLIN) & POLLHUP, POLLHUP);
}

static void connections(void) {
    char path[] = "/tmp/sockets-XXXXXX", name[64];
    CHECK(mkdtemp(path));
    snprintf(name, sizeof name, "%s/s", path);
    int server = listener(SOCK_STREAM, name, 5), client = client_of(SOCK_STREAM, name);
    struct stat st;
    CHECK_EQ(stat(name, &st), 0);
    CHECK(S_ISSOCK(st.st_mode));
    CHECK_ERRNO(open(name, O_RDWR), ENXIO);
    CHECK_EQ(option(server, SO_ACCEPTCONN), 1);
    CHECK_EQ(write(client, "early", 5), 5); // before anybody accepted
    CHECK_EQ(ready(server, POLLIN | POLLOUT), POLLIN);
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    int accepted = accept4(server, (struct sockaddr*)&address, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(accepted >= 0);
    CHECK_EQ(size, sizeof(sa_family_t)); // the client has no name
    CHECK_EQ(address.sun_family, AF_UNIX);
    CHECK_EQ(fcntl(accepted, F_GETFL), O_RDWR | O_NONBLOCK);
    expect(accepted, "early");
    size = sizeof address;
    CHECK_EQ(getpeername(client, (struct sockaddr*)&address, &size), 0);
    CHECK_EQ(strcmp(address.sun_path, name), 0);
    CHECK_EQ(size, offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);
    size = sizeof address;
    CHECK_EQ(getsockname(accepted, (struct sockaddr*)&address, &size), 0);
    CHECK_EQ(strcmp(address.sun_path, name), 0);
    size = 4; // cut off, and told how long it is
    CHECK_EQ(getsockname(accepted, (struct sockaddr*)&address, &size), 0);
    CHECK_EQ(size, offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1);
    CHECK_ERRNO(connect_to(client, name), EISCONN);
    int other = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERRNO(connect_to(other, name), EPROTOTYPE);
    struct sockaddr_un taken;
    CHECK_ERRNO(bind(other, (struct sockaddr*)&taken, name_of(&taken, name)), EADDRINUSE);
    close(server);
    int late = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(connect_to(late, name), ECONNREFUSED);
    CHECK_EQ(unlink(name), 0);
    CHECK_ERRNO(connect_to(late, name), ENOENT);
    CHECK_EQ(write(client, "on", 2), 2); // what was connected stays so
    expect(accepted, "on");
    rmdir(path);
}

static void refused(void) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address;
    char c;
    CHECK_ERRNO(connect_to(fd, "@nobody is here"), ECONNREFUSED);
    CHECK_ERRNO(connect_to(fd, "/dev/null"), ECONNREFUSED);
    CHECK_ERRNO(listen(fd, 1), EINVAL); // no name
    CHECK_ERRNO(accept(fd, NULL, NULL), EINVAL);
    CHECK_ERRNO(recv(fd, &c, 1, 0), EINVAL);
    CHECK_ERRNO(send(fd, &c, 1, 0), ENOTCONN);
    CHECK_EQ(ready(fd, POLLIN | POLLOUT), POLLOUT | POLLHUP);
    socklen_t size = sizeof address;
    CHECK_ERRNO(getpeername(fd, (struct sockaddr*)&address, &size), ENOTCONN);
    size = sizeof address;
    CHECK_EQ(getsockname(fd, (struct sockaddr*)&address, &size), 0);
    CHECK_EQ(size, sizeof(sa_family_t));
    address.sun_family = AF_INET;
    CHECK_ERRNO(bind(fd, (struct sockaddr*)&address, sizeof address), EINVAL);
    CHECK_ERRNO(bind(fd, (struct sockaddr*)&address, 1), EINVAL);
    int seq = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    CHECK_ERRNO(recv(seq, &c, 1, 0), ENOTCONN);
    CHECK_ERRNO(send(seq, &c, 1, MSG_NOSIGNAL), ENOTCONN);
    int datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERRNO(listen(datagram, 1), EOPNOTSUPP);
    CHECK_ERRNO(accept(datagram, NULL, NULL), EOPNOTSUPP);
    CHECK_ERRNO(send(datagram, &c, 1, 0), ENOTCONN);
}

static void abstract_names(void) {
    int server = listener(SOCK_STREAM, "@lentil test", 3);
    struct sockaddr_un address;
    socklen_t length = name_of(&address, "@lentil test");
    int other = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_ERRNO(bind(other, (struct sockaddr*)&address, length), EADDRINUSE);
    CHECK_ERRNO(connect_to(other, "@lentil tes"), ECONNREFUSED); // every byte counts
    CHECK_EQ(connect_to(other, "@lentil test"), 0);
    int accepted = accept(server, NULL, NULL);
    CHECK(accepted >= 0);
    CHECK_ERRNO(bind(server, (struct sockaddr*)&address, length), EINVAL);
    close(server);
    int again = listener(SOCK_STREAM, "@lentil test", 3); // free as soon as it is closed
    close(again);
    int automatic = socket(AF_UNIX, SOCK_DGRAM, 0);
    sa_family_t family = AF_UNIX;
    CHECK_EQ(bind(automatic, (struct sockaddr*)&family, sizeof family), 0);
    socklen_t size = sizeof address;
    CHECK_EQ(getsockname(automatic, (struct sockaddr*)&address, &size), 0);
    CHECK_EQ(size, 8); // a zero and five digits
    CHECK_EQ(address.sun_path[0], 0);
    CHECK(strspn(address.sun_path + 1, "0123456789abcdef") >= 5);
}

static void permissions(void) {
    char name[64];
    snprintf(name, sizeof name, "/tmp/socket-%d", (int)getpid());
    int server = listener(SOCK_STREAM, name, 3);
    CHECK_EQ(chmod(name, 0600), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(setuid(12345), 0);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK_ERRNO(connect_to(fd, name), EACCES);
        struct sockaddr_un address;
        socklen_t length = name_of(&address, "/etc/forbidden");
        CHECK_ERRNO(bind(fd, (struct sockaddr*)&address, length), EACCES);
        _exit(0);
    }
    CHECK_EXITED(check_reap(child), 0);
    unlink(name);
    close(server);
}

static void backlog(void) {
    int server = listener(SOCK_STREAM, "@backlog", 1), clients[4];
    for (int i = 0; i < 4; ++i)
        clients[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_EQ(connect_to(clients[0], "@backlog"), 0);
    CHECK_EQ(connect_to(clients[1], "@backlog"), 0);
    CHECK_ERRNO(connect_to(clients[2], "@backlog"), EAGAIN);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(fcntl(clients[2], F_SETFL, O_RDWR), 0);
        CHECK_EQ(connect_to(clients[2], "@backlog"), 0); // waits for room
        _exit(0);
    }
    check_sleep_ms(50);
    CHECK(accept(server, NULL, NULL) >= 0);
    CHECK_EXITED(check_reap(child), 0);
    CHECK_EQ(connect_to(clients[3], "@backlog") == -1 && errno == EAGAIN, 1);
    close(server); // who waited to be accepted is reset
    char c;
    CHECK_ERRNO(recv(clients[1], &c, 1, 0), ECONNRESET);
}

static void datagram_names(void) {
    int a = bound(SOCK_DGRAM, "@a"), b = bound(SOCK_DGRAM, "@b"), anonymous = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_un address, from;
    socklen_t length = name_of(&address, "@b"), size = sizeof from;
    CHECK_EQ(sendto(a, "hello", 5, 0, (struct sockaddr*)&address, length), 5);
    char c[20];
    CHECK_EQ(recvfrom(b, c, sizeof c, 0, (struct sockaddr*)&from, &size), 5);
    CHECK_EQ(size, 4);
    CHECK_EQ(memcmp(from.sun_path, "\0a", 2), 0);
    CHECK_EQ(sendto(b, "answer", 6, 0, (struct sockaddr*)&from, size), 6);
    expect(a, "answer");
    CHECK_EQ(sendto(anonymous, "who", 3, 0, (struct sockaddr*)&address, length), 3);
    size = sizeof from;
    CHECK_EQ(recvfrom(b, c, sizeof c, 0, (struct sockaddr*)&from, &size), 3);
    CHECK_EQ(size, 0);
    CHECK_EQ(connect_to(b, "@a"), 0); // from now on it hears nobody else
    CHECK_ERRNO(sendto(anonymous, "x", 1, 0, (struct sockaddr*)&address, length), EPERM);
    CHECK_ERRNO(connect_to(anonymous, "@b"), EPERM);
    CHECK_EQ(send(b, "direct", 6, 0), 6);
    expect(a, "direct");
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    CHECK_EQ(connect(b, &nobody, sizeof nobody), 0);
    CHECK_ERRNO(send(b, "x", 1, 0), ENOTCONN);
    CHECK_EQ(sendto(anonymous, "x", 1, 0, (struct sockaddr*)&address, length), 1);
    length = name_of(&address, "@nobody");
    CHECK_ERRNO(sendto(a, "x", 1, 0, (struct sockaddr*)&address, length), ECONNREFUSED);
}

static void datagram_queue(void) {
    int b = bound(SOCK_DGRAM, "@queue"), a = client_of(SOCK_DGRAM, "@queue");
    int count = 0;
    while (send(a, "x", 1, MSG_DONTWAIT) == 1)
        ++count;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(count, 11);
    CHECK_EQ(ready(a, POLLOUT), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(send(a, "y", 1, 0), 1); // waits
        struct pollfd p = {a, POLLOUT, 0};
        CHECK_EQ(poll(&p, 1, 5000), 1);
        _exit(0);
    }
    check_sleep_ms(50);
    char c;
    for (int i = 0; i < 12; ++i)
        CHECK_EQ(recv(b, &c, 1, 0), 1);
    CHECK_EQ(c, 'y');
    CHECK_EXITED(check_reap(child), 0);
}

static void full(void) {
    int p[2], size = 20000;
    make_pair(SOCK_STREAM, p);
    CHECK_EQ(setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    CHECK_EQ(option(p[0], SO_SNDBUF), 40000);
    static char block[1000];
    long total = 0, n;
    while ((n = send(p[0], block, sizeof block, MSG_DONTWAIT)) > 0)
        total += n;
    CHECK_EQ(errno, EAGAIN);
    CHECK(total >= 10000 && total <= 60000);
    CHECK_EQ(ready(p[0], POLLOUT), 0);
    int unread = 0;
    CHECK_EQ(ioctl(p[0], TIOCOUTQ, &unread), 0);
    CHECK(unread >= total);
    pid_t child = fork();
    if (child == 0) {
        struct pollfd out = {p[0], POLLOUT, 0};
        CHECK_EQ(poll(&out, 1, 5000), 1);
        for (int i = 0; i < 300; ++i)
            CHECK_EQ(write(p[0], block, sizeof block), (long)sizeof block);
        _exit(0);
    }
    close(p[0]);
    long got = 0;
    while ((n = read(p[1], block, 700)) > 0)
        got += n;
    CHECK_EQ(n, 0);
    CHECK_EQ(got, total + 300000);
    CHECK_EXITED(check_reap(child), 0);
}

static void inherited_option(void) {
    int on = 1, server = listener(SOCK_STREAM, "/tmp/sockets.passcred", 3);
    for (int turn = 0; turn < 2; ++turn) {
        int client = client_of(SOCK_STREAM, "/tmp/sockets.passcred"), made = accept(server, NULL, NULL);
        CHECK(client >= 0 && made >= 0);
        CHECK_EQ(option(made, SO_PASSCRED), turn);
        CHECK_EQ(option(client, SO_PASSCRED), 0);
        CHECK_EQ(setsockopt(server, SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
    }
    unlink("/tmp/sockets.passcred");
}

static void options(void) {
    int p[2];
    make_pair(SOCK_SEQPACKET, p);
    CHECK_EQ(option(p[0], SO_TYPE), SOCK_SEQPACKET);
    CHECK_EQ(option(p[0], SO_DOMAIN), AF_UNIX);
    CHECK_EQ(option(p[0], SO_PROTOCOL), 0);
    CHECK_EQ(option(p[0], SO_ERROR), 0);
    CHECK_EQ(option(p[0], SO_ACCEPTCONN), 0);
    CHECK_EQ(option(p[0], SO_PASSCRED), 0);
    CHECK(option(p[0], SO_SNDBUF) > 100000 && option(p[0], SO_RCVBUF) > 100000);
    int value = 1;
    socklen_t size = sizeof value;
    CHECK_ERRNO(getsockopt(p[0], SOL_SOCKET, 999, &value, &size), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(p[0], SOL_SOCKET, 999, &value, sizeof value), ENOPROTOOPT);
    CHECK_ERRNO(setsockopt(p[0], SOL_SOCKET, SO_TYPE, &value, sizeof value), ENOPROTOOPT);
    CHECK_ERRNO(getsockopt(p[0], 6, 1, &value, &size), EOPNOTSUPP);
    CHECK_ERRNO(setsockopt(p[0], SOL_SOCKET, SO_SNDBUF, &value, 2), EINVAL);
    struct timeval limit = {0, 50000}, read_back;
    CHECK_EQ(setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
    size = sizeof read_back;
    CHECK_EQ(getsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &read_back, &size), 0);
    CHECK_EQ(read_back.tv_sec, 0);
    CHECK(read_back.tv_usec >= 48000 && read_back.tv_usec <= 52000);
    char c;
    double before = check_now();
    CHECK_ERRNO(recv(p[0], &c, 1, 0), EAGAIN);
    CHECK(check_now() - before >= 0.04);
}

static void listed(void) {
    int server = listener(SOCK_STREAM, "@a name to find", 1);
    struct stat st;
    CHECK_EQ(fstat(server, &st), 0);
    static char text[65536];
    CHECK(check_read_file("/proc/net/unix", text, sizeof text) > 0);
    char* at = strstr(text, "@a name to find\n");
    CHECK(at);
    while (at != text && at[-1] != '\n')
        --at;
    unsigned long flags = 0, type = 0, inode = 0;
    CHECK_EQ(sscanf(at, "%*x: %*x %*x %lx %lx %*x %lu", &flags, &type, &inode), 3);
    CHECK_EQ(flags, 0x10000);
    CHECK_EQ(type, SOCK_STREAM);
    CHECK_EQ(inode, st.st_ino);
}

static void batches(void) {
    int p[2];
    make_pair(SOCK_DGRAM, p);
    char text[3][8] = {"one", "two", "three"}, got[4][8] = {{0}};
    struct iovec v[4];
    struct mmsghdr m[4];
    memset(m, 0, sizeof m);
    for (int i = 0; i < 3; ++i) {
        v[i] = (struct iovec){text[i], strlen(text[i])};
        m[i].msg_hdr.msg_iov = &v[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(sendmmsg(p[0], m, 3, 0), 3);
    CHECK_EQ(m[2].msg_len, 5);
    memset(m, 0, sizeof m);
    for (int i = 0; i < 4; ++i) {
        v[i] = (struct iovec){got[i], sizeof got[i]};
        m[i].msg_hdr.msg_iov = &v[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    CHECK_EQ(recvmmsg(p[1], m, 4, MSG_WAITFORONE, NULL), 3);
    CHECK_EQ(m[2].msg_len, 5);
    CHECK_EQ(strcmp(got[1], "two"), 0);
    CHECK_ERRNO(recvmmsg(p[1], m, 4, MSG_DONTWAIT, NULL), EAGAIN);
}

int main(int argc, char** argv) {
    static const struct check_case cases[] = {
        {"families that do not exist are refused", families, 0, true},
        {"a socket is made of three kinds and is a file without a position", kinds, 0, false},
        {"a stream has no borders between what was written", stream, 0, false},
        {"datagrams keep their borders", datagrams, 0, false},
        {"sequenced packets keep their borders", sequenced, 0, false},
        {"MSG_WAITALL waits for all bytes or the end", wait_all, 0, false},
        {"the end of one side is seen by the other, as each kind has it", other_end, 0, false},
        {"shutdown closes one direction", half_closed, 0, false},
        {"a listener with a path accepts who connects", connections, 0, false},
        {"what cannot be connected is refused with its own error", refused, 0, false},
        {"abstract names are exact, exclusive and free after the close", abstract_names, 0, false},
        {"the permissions of a path say who may connect", permissions, 0, false},
        {"a full backlog makes who connects wait", backlog, 20, false},
        {"datagrams carry the name of their sender", datagram_names, 0, false},
        {"a full queue makes senders of datagrams wait", datagram_queue, 20, false},
        {"a full stream makes writers wait, and nothing is lost", full, 30, false},
        {"options are told and kept", options, 0, false},
        {"an accepted socket passes credentials if its listener did", inherited_option, 0, false},
        {"/proc/net/unix lists sockets with their inodes", listed, 0, false},
        {"sendmmsg and recvmmsg move several messages", batches, 0, false},
    };
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}

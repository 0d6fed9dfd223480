// SPDX-License-Identifier: MIT
// Rows of pipes, sockets, eventfds and yields: bytes between processes, and the switches that go with them.
#include "bench.h"

uint64_t b_pipe_self(const struct bench* b) {
    int p[2];
    char c = 0;
    if (pipe(p))
        return fail();
    uint64_t t = TIMED(b->iters, {
        sink = write(p[1], &c, 1);
        sink = read(p[0], &c, 1);
    });
    close(p[0]);
    close(p[1]);
    return t;
}

// One byte there and one byte back; path "sock" uses a UNIX socket pair.
uint64_t b_chan_rt(const struct bench* b) {
    int to[2], from[2];
    char c = 0;
    if (b->path) {
        int s[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, s))
            return fail();
        to[1] = s[0], from[0] = s[0];
        to[0] = s[1], from[1] = s[1];
    } else if (pipe(to) || pipe(from)) {
        return fail();
    }
    pid_t p = fork();
    if (p < 0)
        return fail();
    if (p == 0)
        for (;;) {
            if (read(to[0], &c, 1) != 1 || write(from[1], &c, 1) != 1)
                _exit(0);
        }
    for (int i = 0; i < 8; i++) {
        sink = write(to[1], &c, 1);
        sink = read(from[0], &c, 1);
    }
    uint64_t t = TIMED(b->iters, {
        sink = write(to[1], &c, 1);
        sink = read(from[0], &c, 1);
    });
    kill(p, SIGKILL);
    waitpid(p, NULL, 0);
    close(to[1]);
    close(to[0]);
    if (!b->path) {
        close(from[0]);
        close(from[1]);
    }
    return t;
}

// Child writes arg-byte blocks, parent reads them all.
uint64_t b_pipe_bw(const struct bench* b) {
    static char buf[65536];
    int p[2];
    size_t total = (size_t)b->iters * (size_t)b->arg, got = 0;
    if (pipe(p))
        return fail();
    memset(buf, 1, sizeof buf);
    pid_t pid = fork();
    if (pid < 0)
        return fail();
    if (pid == 0) {
        close(p[0]);
        for (;;)
            if (write(p[1], buf, (size_t)b->arg) <= 0)
                _exit(0);
    }
    close(p[1]);
    sink = read(p[0], buf, (size_t)b->arg);
    uint64_t t0 = now();
    while (got < total) {
        ssize_t n = read(p[0], buf, (size_t)b->arg);
        if (n <= 0)
            return fail();
        got += (size_t)n;
    }
    uint64_t t = now() - t0;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(p[0]);
    return t;
}

uint64_t b_eventfd(const struct bench* b) {
    uint64_t v = 1;
    int fd = eventfd(0, 0);
    if (fd < 0)
        return fail();
    uint64_t t = TIMED(b->iters, {
        sink = write(fd, &v, 8);
        sink = read(fd, &v, 8);
    });
    close(fd);
    return t;
}

// A token travels round a ring of arg processes; result is per hop.
uint64_t b_ctx_ring(const struct bench* b) {
    int n = (int)b->arg, fds[65][2];
    pid_t kids[64];
    char c = 0;
    for (int i = 0; i < n; i++)
        if (pipe(fds[i]))
            return fail();
    for (int i = 1; i < n; i++) {
        kids[i] = fork();
        if (kids[i] < 0)
            return fail();
        if (kids[i] == 0)
            for (;;)
                if (read(fds[i - 1][0], &c, 1) != 1 || write(fds[i][1], &c, 1) != 1)
                    _exit(0);
    }
    for (int i = 0; i < 3; i++) {
        sink = write(fds[0][1], &c, 1);
        sink = read(fds[n - 1][0], &c, 1);
    }
    long rounds = b->iters / n;
    uint64_t t = TIMED(rounds, {
        sink = write(fds[0][1], &c, 1);
        sink = read(fds[n - 1][0], &c, 1);
    });
    for (int i = 1; i < n; i++)
        kill(kids[i], SIGKILL);
    for (int i = 1; i < n; i++)
        waitpid(kids[i], NULL, 0);
    for (int i = 0; i < n; i++) {
        close(fds[i][0]);
        close(fds[i][1]);
    }
    return t * (uint64_t)b->iters / (uint64_t)(rounds * n);
}

// Two processes on one processor that do nothing but yield.
uint64_t b_yield2(const struct bench* b) {
    pid_t p = fork();
    if (p < 0)
        return fail();
    if (p == 0)
        for (;;)
            sched_yield();
    sched_yield();
    uint64_t t = TIMED(b->iters, sched_yield());
    kill(p, SIGKILL);
    waitpid(p, NULL, 0);
    return t;
}

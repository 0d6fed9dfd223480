// SPDX-License-Identifier: MIT
// Rows of single system calls: what a call costs that has little to do.
#include "bench.h"

uint64_t b_getppid(const struct bench* b) { return TIMED(b->iters, sink = syscall(SYS_getppid)); }

uint64_t b_getpid(const struct bench* b) { return TIMED(b->iters, sink = syscall(SYS_getpid)); }

uint64_t b_gettid(const struct bench* b) { return TIMED(b->iters, sink = syscall(SYS_gettid)); }

uint64_t b_clock_libc(const struct bench* b) { return TIMED(b->iters, sink = (long)now()); }

uint64_t b_clock_sys(const struct bench* b) {
    struct timespec t;
    return TIMED(b->iters, sink = syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t));
}

uint64_t b_getrusage(const struct bench* b) {
    struct rusage r;
    return TIMED(b->iters, sink = getrusage(RUSAGE_SELF, &r));
}

uint64_t b_yield(const struct bench* b) { return TIMED(b->iters, sched_yield()); }

uint64_t b_read1(const struct bench* b) {
    char c;
    int fd = open(b->path, O_RDONLY);
    if (fd < 0)
        return fail();
    uint64_t t = TIMED(b->iters, sink = read(fd, &c, 1));
    close(fd);
    return t;
}

uint64_t b_write1(const struct bench* b) {
    char c = 0;
    int fd = open(b->path, O_WRONLY);
    if (fd < 0)
        return fail();
    uint64_t t = TIMED(b->iters, sink = write(fd, &c, 1));
    close(fd);
    return t;
}

uint64_t b_pread(const struct bench* b) {
    static char buf[65536];
    int fd = make_file("/tmp/yb.f", sizeof buf);
    if (fd < 0)
        return fail();
    uint64_t t = TIMED(b->iters, sink = pread(fd, buf, (size_t)b->arg, 0));
    close(fd);
    unlink("/tmp/yb.f");
    return t;
}

uint64_t b_pwrite(const struct bench* b) {
    static char buf[65536];
    int fd = make_file("/tmp/yb.f", sizeof buf);
    if (fd < 0)
        return fail();
    uint64_t t = TIMED(b->iters, sink = pwrite(fd, buf, (size_t)b->arg, 0));
    close(fd);
    unlink("/tmp/yb.f");
    return t;
}

uint64_t b_open_close(const struct bench* b) {
    int fd = open(b->path, O_RDONLY);
    if (fd < 0)
        return fail();
    close(fd);
    return TIMED(b->iters, close(open(b->path, O_RDONLY)));
}

uint64_t b_stat(const struct bench* b) {
    struct stat st;
    if (stat(b->path, &st))
        return fail();
    return TIMED(b->iters, sink = stat(b->path, &st));
}

uint64_t b_stat_miss(const struct bench* b) {
    struct stat st;
    return TIMED(b->iters, sink = stat(b->path, &st));
}

uint64_t b_fstat(const struct bench* b) {
    struct stat st;
    return TIMED(b->iters, sink = fstat(0, &st));
}

uint64_t b_creat_unlink(const struct bench* b) {
    int fd = creat("/tmp/yb.c", 0644);
    if (fd < 0)
        return fail();
    close(fd);
    return TIMED(b->iters, {
        close(creat("/tmp/yb.c", 0644));
        unlink("/tmp/yb.c");
    });
}

uint64_t b_dup_close(const struct bench* b) { return TIMED(b->iters, close(dup(0))); }

uint64_t b_poll(const struct bench* b) {
    int p[2];
    struct pollfd f[64];
    if (pipe(p))
        return fail();
    for (int i = 0; i < b->arg; i++)
        f[i] = (struct pollfd){.fd = p[0], .events = POLLIN};
    uint64_t t = TIMED(b->iters, sink = poll(f, (nfds_t)b->arg, 0));
    close(p[0]);
    close(p[1]);
    return t;
}

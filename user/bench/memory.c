// SPDX-License-Identifier: MIT
// Rows of page faults and of the calls that map memory.
#include "bench.h"

// Per page: first write to anonymous memory.
uint64_t b_fault_anon(const struct bench* b) {
    size_t len = (size_t)b->iters * PAGE;
    char* m = map_anon(len, (enum pages)b->arg);
    if (!m)
        return fail();
    uint64_t t0 = now();
    touch(m, len);
    uint64_t t = now() - t0;
    munmap(m, len);
    return t;
}

// Per page: first read of anonymous memory.
uint64_t b_fault_zero(const struct bench* b) {
    size_t len = (size_t)b->iters * PAGE;
    char* m = map_anon(len, (enum pages)b->arg);
    if (!m)
        return fail();
    uint64_t t0 = now();
    for (size_t i = 0; i < len; i += PAGE)
        sink = ((volatile char*)m)[i];
    uint64_t t = now() - t0;
    munmap(m, len);
    return t;
}

// Per page: write to memory shared copy-on-write with the parent.
uint64_t b_fault_cow(const struct bench* b) {
    size_t len = (size_t)b->iters * PAGE;
    uint64_t t = 0;
    int p[2];
    char* m = map_anon(len, (enum pages)b->arg);
    if (!m || pipe(p))
        return fail();
    touch(m, len);
    pid_t pid = fork();
    if (pid < 0)
        return fail();
    if (pid == 0) {
        uint64_t t0 = now();
        touch(m, len);
        t = now() - t0;
        sink = write(p[1], &t, sizeof t);
        _exit(0);
    }
    if (read(p[0], &t, sizeof t) != sizeof t)
        return fail();
    waitpid(pid, NULL, 0);
    close(p[0]);
    close(p[1]);
    munmap(m, len);
    return t;
}

// Per page: first access to a mapped file whose pages are in memory.
uint64_t b_fault_file(const struct bench* b) {
    size_t len = (size_t)b->iters * PAGE;
    int shared = b->arg;
    int fd = make_file("/tmp/yb.m", len);
    if (fd < 0)
        return fail();
    char* m = mmap(NULL, len, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
    close(fd);
    unlink("/tmp/yb.m");
    if (m == MAP_FAILED)
        return fail();
    uint64_t t0 = now();
    if (shared)
        touch(m, len);
    else
        for (size_t i = 0; i < len; i += PAGE)
            sink = ((volatile char*)m)[i];
    uint64_t t = now() - t0;
    munmap(m, len);
    return t;
}

uint64_t b_mmap_munmap(const struct bench* b) {
    return TIMED(b->iters, {
        char* m = map_anon((size_t)b->arg, PAGES_DEFAULT);
        munmap(m, (size_t)b->arg);
    });
}

uint64_t b_mmap_touch(const struct bench* b) {
    return TIMED(b->iters, {
        char* m = map_anon((size_t)b->arg, PAGES_DEFAULT);
        touch(m, (size_t)b->arg);
        munmap(m, (size_t)b->arg);
    });
}

uint64_t b_mprotect(const struct bench* b) {
    char* m = map_anon(64 * PAGE, PAGES_4K);
    if (!m)
        return fail();
    touch(m, 64 * PAGE);
    uint64_t t = TIMED(b->iters, mprotect(m + 16 * PAGE, 16 * PAGE, (i_ & 1) ? PROT_READ | PROT_WRITE : PROT_READ));
    munmap(m, 64 * PAGE);
    return t;
}

uint64_t b_brk(const struct bench* b) {
    char* base = sbrk(0);
    return TIMED(b->iters, {
        sink = syscall(SYS_brk, base + 16 * PAGE);
        sink = syscall(SYS_brk, base);
    });
}

uint64_t b_dontneed(const struct bench* b) {
    char* m = map_anon(16 * PAGE, PAGES_4K);
    if (!m)
        return fail();
    uint64_t t = TIMED(b->iters, {
        touch(m, 16 * PAGE);
        madvise(m, 16 * PAGE, MADV_DONTNEED);
    });
    munmap(m, 16 * PAGE);
    return t;
}

// Per page of a parent with iters pages: fork and all that it puts off. arg: see enum; the child has ended at the end.
uint64_t b_fork_then(const struct bench* b) {
    size_t len = (size_t)b->iters * PAGE;
    char* m = map_anon(len, PAGES_4K);
    if (!m)
        return fail();
    touch(m, len);
    uint64_t t0 = now();
    pid_t pid = fork();
    if (pid == 0) {
        if (b->arg == CHILD_WRITES)
            touch(m, len);
        for (size_t i = 0; b->arg == CHILD_READS && i < len; i += PAGE)
            sink += m[i];
        _exit(0);
    }
    for (size_t i = 0; b->arg == CHILD_READS && i < len; i += 10 * PAGE)
        m[i] = 2; // meanwhile
    if (pid < 0 || waitpid(pid, NULL, 0) != pid)
        return fail();
    if (b->arg == PARENT_REWRITES)
        touch(m, len);
    uint64_t t = now() - t0;
    munmap(m, len);
    return t;
}

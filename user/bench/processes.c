// SPDX-License-Identifier: MIT
// Rows of fork, vfork, exec and posix_spawn, in small parents and in ones with much memory, many threads, many files.
#include "bench.h"

static char* const argv_true[] = {"true", NULL};

static int do_fork_exit(void) {
    pid_t p = fork();
    if (p == 0)
        _exit(0);
    return p > 0 && waitpid(p, NULL, 0) == p ? 0 : -1;
}

static int do_vfork_exit(void) {
    pid_t p = vfork();
    if (p == 0)
        _exit(0);
    return p > 0 && waitpid(p, NULL, 0) == p ? 0 : -1;
}

static int ran_ok(pid_t p) {
    int st;
    if (p <= 0 || waitpid(p, &st, 0) != p)
        return -1;
    if (st) {
        errno = ENOEXEC;
        return -1;
    }
    return 0;
}

static int do_fork_exec(const char* path) {
    pid_t p = fork();
    if (p == 0) {
        execve(path, argv_true, environ);
        _exit(127);
    }
    return ran_ok(p);
}

static int do_vfork_exec(const char* path) {
    pid_t p = vfork();
    if (p == 0) {
        execve(path, argv_true, environ);
        _exit(127);
    }
    return ran_ok(p);
}

static int do_spawn(const char* path) {
    pid_t p;
    if ((errno = posix_spawn(&p, path, NULL, NULL, argv_true, environ)))
        return -1;
    return ran_ok(p);
}

#define CHECKED(n, call)                                                                                               \
    ({                                                                                                                 \
        uint64_t r_ = 0;                                                                                               \
        if (call)                                                                                                      \
            r_ = fail();                                                                                               \
        else                                                                                                           \
            r_ = TIMED(n, if (call) fail());                                                                           \
        r_;                                                                                                            \
    })

uint64_t b_fork_exit(const struct bench* b) { return CHECKED(b->iters, do_fork_exit()); }

uint64_t b_vfork_exit(const struct bench* b) { return CHECKED(b->iters, do_vfork_exit()); }

uint64_t b_fork_exec(const struct bench* b) { return CHECKED(b->iters, do_fork_exec(b->path)); }

uint64_t b_vfork_exec(const struct bench* b) { return CHECKED(b->iters, do_vfork_exec(b->path)); }

uint64_t b_spawn(const struct bench* b) { return CHECKED(b->iters, do_spawn(b->path)); }

// One process that executes itself iters times: the cost of execve alone.
uint64_t b_exec_chain(const struct bench* b) {
    char count[24];
    char* const argv[] = {"chain", (char*)b->path, count, NULL};
    snprintf(count, sizeof count, "%ld", b->iters);
    uint64_t t0 = now();
    pid_t p = vfork();
    if (p == 0) {
        execve(b->path, argv, environ);
        _exit(127);
    }
    if (ran_ok(p))
        return fail();
    return now() - t0;
}

// The same in a parent with arg MiB of touched memory.  Touching takes long, so
// these have one batch, which is the median of five measurements.
static int cmp_u64(const void* a, const void* b) {
    uint64_t x = *(const uint64_t*)a, y = *(const uint64_t*)b;
    return (x > y) - (x < y);
}

#define IN_BIG_PARENT(fn, pages)                                                                                       \
    uint64_t fn##_big_##pages(const struct bench* b) {                                                                 \
        size_t len = (size_t)b->arg * MIB;                                                                             \
        char* m = map_anon(len, pages);                                                                                \
        uint64_t t[5];                                                                                                 \
        if (!m)                                                                                                        \
            return fail();                                                                                             \
        touch(m, len);                                                                                                 \
        for (int i = 0; i < 5; i++)                                                                                    \
            t[i] = fn(b);                                                                                              \
        munmap(m, len);                                                                                                \
        qsort(t, 5, sizeof t[0], cmp_u64);                                                                             \
        return t[2];                                                                                                   \
    }
IN_BIG_PARENT(b_fork_exit, PAGES_4K)
IN_BIG_PARENT(b_fork_exit, PAGES_DEFAULT)
IN_BIG_PARENT(b_vfork_exit, PAGES_4K)
IN_BIG_PARENT(b_vfork_exec, PAGES_4K)
IN_BIG_PARENT(b_spawn, PAGES_4K)

// The same in a process with arg more threads, all asleep.
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static void* thr_gate(void* a) {
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return a;
}

#define IN_THREADED_PARENT(fn)                                                                                         \
    uint64_t fn##_mt(const struct bench* b) {                                                                          \
        pthread_t th[64];                                                                                              \
        uint64_t t = 0;                                                                                                \
        long n = 0;                                                                                                    \
        pthread_mutex_lock(&gate);                                                                                     \
        while (n < b->arg && !(errno = pthread_create(&th[n], NULL, thr_gate, NULL)))                                  \
            n++;                                                                                                       \
        usleep(10000);                                                                                                 \
        t = n < b->arg ? fail() : fn(b);                                                                               \
        pthread_mutex_unlock(&gate);                                                                                   \
        while (n > 0)                                                                                                  \
            pthread_join(th[--n], NULL);                                                                               \
        return t;                                                                                                      \
    }
IN_THREADED_PARENT(b_fork_exit)
IN_THREADED_PARENT(b_vfork_exit)
IN_THREADED_PARENT(b_vfork_exec)
IN_THREADED_PARENT(b_spawn)

// The same in a process with arg more open files.
#define WITH_FILES(fn)                                                                                                 \
    uint64_t fn##_fd(const struct bench* b) {                                                                          \
        int fds[1024];                                                                                                 \
        long n = 0;                                                                                                    \
        while (n < b->arg && (fds[n] = dup(0)) >= 0)                                                                   \
            n++;                                                                                                       \
        uint64_t t = n < b->arg ? fail() : fn(b);                                                                      \
        while (n > 0)                                                                                                  \
            close(fds[--n]);                                                                                           \
        return t;                                                                                                      \
    }
WITH_FILES(b_fork_exit)
WITH_FILES(b_vfork_exit)
WITH_FILES(b_vfork_exec)

// The same in a process with arg more mappings of one page each, all touched.
#define WITH_MAPS(fn)                                                                                                  \
    uint64_t fn##_map(const struct bench* b) {                                                                         \
        size_t len = (size_t)b->arg * PAGE;                                                                            \
        char* m = map_anon(len, PAGES_4K);                                                                             \
        if (!m)                                                                                                        \
            return fail();                                                                                             \
        touch(m, len);                                                                                                 \
        int bad = 0;                                                                                                   \
        for (size_t i = 0; i < len; i += 2 * PAGE)                                                                     \
            bad |= mprotect(m + i, PAGE, PROT_READ);                                                                   \
        uint64_t t = bad ? fail() : fn(b);                                                                             \
        munmap(m, len);                                                                                                \
        return t;                                                                                                      \
    }
WITH_MAPS(b_fork_exit)
WITH_MAPS(b_vfork_exit)

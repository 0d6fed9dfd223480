// SPDX-License-Identifier: MIT
// Rows of futexes and threads.
#include "bench.h"

static long futex(_Atomic int* a, int op, int v) { return syscall(SYS_futex, a, op, v, NULL, NULL, 0); }

uint64_t b_futex_wake(const struct bench* b) {
    static _Atomic int word;
    return TIMED(b->iters, sink = futex(&word, FUTEX_WAKE_PRIVATE, 1));
}

struct pingpong {
    _Atomic int turn; /* 0: main, 1: peer, 2: stop */
    int op_private;
};

static void pp_wait(struct pingpong* pp, int mine) {
    int v;
    while ((v = atomic_load(&pp->turn)) != mine && v != 2)
        futex(&pp->turn, FUTEX_WAIT | pp->op_private, v);
}

static void pp_pass(struct pingpong* pp, int next) {
    atomic_store(&pp->turn, next);
    futex(&pp->turn, FUTEX_WAKE | pp->op_private, 1);
}

static void* pp_peer(void* arg) {
    struct pingpong* pp = arg;
    for (;;) {
        pp_wait(pp, 1);
        if (atomic_load(&pp->turn) == 2)
            return NULL;
        pp_pass(pp, 0);
    }
}

uint64_t b_futex_thr(const struct bench* b) {
    static struct pingpong pp;
    pthread_t th;
    atomic_store(&pp.turn, 0);
    pp.op_private = FUTEX_PRIVATE_FLAG;
    if ((errno = pthread_create(&th, NULL, pp_peer, &pp)))
        return fail();
    for (int i = 0; i < 4; i++) {
        pp_pass(&pp, 1);
        pp_wait(&pp, 0);
    }
    uint64_t t = TIMED(b->iters, {
        pp_pass(&pp, 1);
        pp_wait(&pp, 0);
    });
    pp_pass(&pp, 2);
    pthread_join(th, NULL);
    return t;
}

uint64_t b_futex_proc(const struct bench* b) {
    struct pingpong* pp = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pp == MAP_FAILED)
        return fail();
    pid_t p = fork();
    if (p < 0)
        return fail();
    if (p == 0) {
        pp_peer(pp);
        _exit(0);
    }
    for (int i = 0; i < 4; i++) {
        pp_pass(pp, 1);
        pp_wait(pp, 0);
    }
    uint64_t t = TIMED(b->iters, {
        pp_pass(pp, 1);
        pp_wait(pp, 0);
    });
    pp_pass(pp, 2);
    waitpid(p, NULL, 0);
    munmap(pp, PAGE);
    return t;
}

static void* thr_null(void* a) { return a; }

uint64_t b_pthread(const struct bench* b) {
    pthread_t th;
    if ((errno = pthread_create(&th, NULL, thr_null, NULL)))
        return fail();
    pthread_join(th, NULL);
    return TIMED(b->iters, {
        pthread_create(&th, NULL, thr_null, NULL);
        pthread_join(th, NULL);
    });
}

// SPDX-License-Identifier: MIT
// Rows of signals: installing a handler, catching a signal, two processes that wake each other.
#include "bench.h"

static volatile sig_atomic_t caught;

static void on_signal(int s) {
    (void)s;
    caught++;
}

uint64_t b_sig_install(const struct bench* b) {
    struct sigaction sa = {.sa_handler = on_signal};
    return TIMED(b->iters, sigaction(SIGUSR1, &sa, NULL));
}

uint64_t b_sig_catch(const struct bench* b) {
    struct sigaction sa = {.sa_handler = on_signal};
    pid_t me = getpid();
    caught = 0;
    sigaction(SIGUSR1, &sa, NULL);
    uint64_t t = TIMED(b->iters, kill(me, SIGUSR1));
    if (caught != b->iters) {
        errno = EPROTO;
        return fail();
    }
    return t;
}

uint64_t b_sigprocmask(const struct bench* b) {
    sigset_t s;
    sigemptyset(&s);
    sigaddset(&s, SIGUSR2);
    return TIMED(b->iters, sigprocmask((i_ & 1) ? SIG_UNBLOCK : SIG_BLOCK, &s, NULL));
}

// A hardware fault (store to a PROT_NONE page) turned into a handler call.
static char* prot_page;

static void on_segv(int s) {
    (void)s;
    mprotect(prot_page, PAGE, PROT_READ | PROT_WRITE);
}

uint64_t b_sig_segv(const struct bench* b) {
    struct sigaction sa = {.sa_handler = on_segv}, old;
    prot_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (prot_page == MAP_FAILED)
        return fail();
    prot_page[0] = 1;
    sigaction(SIGSEGV, &sa, &old);
    uint64_t t = TIMED(b->iters, {
        mprotect(prot_page, PAGE, PROT_NONE);
        *(volatile char*)prot_page = 1;
    });
    sigaction(SIGSEGV, &old, NULL);
    munmap(prot_page, PAGE);
    return t;
}

// Two processes wake each other from sigsuspend() with kill().
uint64_t b_sig_pingpong(const struct bench* b) {
    struct sigaction sa = {.sa_handler = on_signal};
    sigset_t blocked, old, none;
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, &old);
    sigaction(SIGUSR1, &sa, NULL);
    pid_t parent = getpid(), p = fork();
    if (p < 0)
        return fail();
    if (p == 0)
        for (;;) {
            sigsuspend(&none);
            kill(parent, SIGUSR1);
        }
    for (int i = 0; i < 4; i++) {
        kill(p, SIGUSR1);
        sigsuspend(&none);
    }
    uint64_t t = TIMED(b->iters, {
        kill(p, SIGUSR1);
        sigsuspend(&none);
    });
    kill(p, SIGKILL);
    waitpid(p, NULL, 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
    return t;
}

// SPDX-License-Identifier: BSD-2-Clause
// Lending from user mode: vfork wrapped so that the borrower never returns into the lender's frame.
#pragma once
#include "check.h"

// vfork; the borrower runs `act` and exits with 0. Returns what vfork returned to the lender.
static __attribute__((noinline, unused)) pid_t borrow(void (*act)(void)) {
    pid_t pid = vfork();
    if (pid == 0) {
        act();
        _exit(0);
    }
    return pid;
}

// vfork, the borrower runs `act`; the lender waits for it and returns its wait status.
static __attribute__((unused)) int lend(void (*act)(void)) {
    pid_t pid = borrow(act);
    CHECK(pid > 0);
    return check_reap(pid);
}

// As lend, for an act that must end by itself with exit code 0.
static __attribute__((unused)) void lend_ok(void (*act)(void)) {
    int status = lend(act);
    CHECK_EXITED(status, 0);
}

// A process of its own (fork) that runs `act` and exits with 0.
static __attribute__((unused)) pid_t spawn(void (*act)(void)) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        act();
        _exit(0);
    }
    return pid;
}

// Memory that every process of a case sees, forked or not; allocated by shared_memory().
static __attribute__((unused)) volatile int* shared_memory(size_t size) {
    void* p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

// Burns this much of the caller's own CPU time.
static __attribute__((unused)) void spin_cpu_ms(long ms) {
    struct timespec start, t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    while ((t.tv_sec - start.tv_sec) * 1000 + (t.tv_nsec - start.tv_nsec) / 1000000 < ms);
}

static __attribute__((unused)) double cpu_seconds(const struct rusage* use) {
    return (double)(use->ru_utime.tv_sec + use->ru_stime.tv_sec) +
           (double)(use->ru_utime.tv_usec + use->ru_stime.tv_usec) * 1e-6;
}

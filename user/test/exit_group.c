// SPDX-License-Identifier: BSD-2-Clause
// A proc with several threads ends as one, whatever its threads are doing, and its status is the first one's to end it.
#include "check.h"

#include <pthread.h>
#include <sched.h>

static void* spin(void* yields) {
    for (volatile long i = 0;; ++i)
        if (yields && i % 3000 == 0)
            sched_yield();
    return NULL;
}
static void* doze(void* nothing) {
    (void)nothing;
    for (;;)
        pause();
    return NULL;
}
static void* quit(void* nothing) {
    (void)nothing;
    for (volatile long i = 0; i < 500000; ++i) {
    }
    _exit(4);
}

static void crowd(void* (*others)(void*), void* argument) {
    for (int round = 0; round < 12; ++round) {
        pid_t child[6];
        for (int i = 0; i < 6; ++i) {
            child[i] = fork();
            if (child[i] == 0) {
                pthread_t thread[3];
                pthread_create(&thread[0], NULL, others, argument);
                pthread_create(&thread[1], NULL, others, argument);
                pthread_create(&thread[2], NULL, quit, NULL);
                pthread_join(thread[0], NULL);
                _exit(9);
            }
        }
        for (int i = 0; i < 6; ++i)
            CHECK_EXITED(check_reap(child[i]), 4);
    }
}
static void spinning(void) { crowd(spin, NULL); }
static void yielding(void) { crowd(spin, (void*)1); }
static void sleeping(void) { crowd(doze, NULL); }
static void quitting(void) { crowd(quit, NULL); }

static void killed(void) {
    for (int round = 0; round < 20; ++round) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t thread;
            for (int i = 0; i < 5; ++i)
                pthread_create(&thread, NULL, i & 1 ? spin : doze, NULL);
            spin(NULL);
        }
        struct timespec nap = {0, 2000000 * (round % 5)};
        nanosleep(&nap, NULL);
        kill(child, SIGKILL);
        int status = check_reap(child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
}

static const struct check_case cases[] = {
    {"exit_group ends threads that spin in user mode", spinning, 120, false},
    {"exit_group ends threads that yield all the time", yielding, 120, false},
    {"exit_group ends threads that sleep", sleeping, 120, false},
    {"four threads that call exit_group at once end their process once", quitting, 120, false},
    {"SIGKILL ends a process with six threads on all harts", killed, 60, false},
};
CHECK_MAIN(cases)

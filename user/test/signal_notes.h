// SPDX-License-Identifier: BSD-2-Clause
// Handlers that note what they got, and short forms for masks and actions; for the programs that test
// signals.
#pragma once
#include "lend.h"

static __attribute__((unused)) volatile int handled, last, order[64], values[64];
static __attribute__((unused)) volatile siginfo_t info;
static __attribute__((unused)) void on_signal(int number) {
    last = number;
    ++handled;
}
static __attribute__((unused)) void on_info(int number, siginfo_t* i, void* context) {
    (void)context;
    info = *i;
    last = number;
    if (handled < 64) {
        order[handled] = number;
        values[handled] = i->si_value.sival_int;
    }
    ++handled;
}
static __attribute__((unused)) void act(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK_EQ(sigaction(number, &action, NULL), 0);
}
static __attribute__((unused)) void act_info(int number, int flags) {
    struct sigaction action = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO | flags};
    CHECK_EQ(sigaction(number, &action, NULL), 0);
}
static __attribute__((unused)) void block(int how, int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(how, &set, NULL);
}
static __attribute__((unused)) void block_all(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}
static __attribute__((unused)) bool is_blocked(int number) {
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    return sigismember(&now, number);
}
static __attribute__((unused)) bool is_pending(int number) {
    sigset_t now;
    sigpending(&now);
    return sigismember(&now, number);
}

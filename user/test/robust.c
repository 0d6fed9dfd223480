// SPDX-License-Identifier: BSD-2-Clause
// Robust futexes by hand: what the kernel does with the list of a thread that ends, entry by entry.
#include "lend.h"

#include <linux/futex.h>
#include <stddef.h>

struct entry {
    struct entry* next;
    int word;
};
static struct shared {
    struct entry first, second, third, others, pending;
    struct {
        struct entry* next;
        long offset;
        struct entry* pending;
    } head;
    volatile int waiting, woken;
} * m;

static void set_stage(void) {
    m = (struct shared*)(uintptr_t)shared_memory(4096);
    memset(m, 0, sizeof *m);
    m->head.offset = offsetof(struct entry, word);
}
static struct entry* end_of_list(void) { return (struct entry*)(void*)&m->head; }
static void register_list(void) { CHECK_EQ(syscall(SYS_set_robust_list, &m->head, sizeof m->head), 0); }

static void hold_three(void) {
    int me = (int)syscall(SYS_gettid);
    m->head.next = &m->first;
    m->first.next = &m->second;
    m->second.next = &m->others;
    m->others.next = &m->third;
    m->third.next = end_of_list();
    m->head.pending = &m->pending;
    m->first.word = me;
    m->second.word = me | (int)FUTEX_WAITERS;
    m->others.word = me + 1;
    m->third.word = me;
    m->pending.word = me;
    register_list();
}
static void marks(void) {
    for (int lends = 0; lends < 2; ++lends) {
        set_stage();
        if (lends)
            lend_ok(hold_three);
        else
            CHECK_EXITED(check_reap(spawn(hold_three)), 0);
        CHECK_EQ(m->first.word, FUTEX_OWNER_DIED);
        CHECK_EQ(m->second.word, (int)(FUTEX_OWNER_DIED | FUTEX_WAITERS));
        CHECK_EQ(m->third.word, FUTEX_OWNER_DIED);
        CHECK_EQ(m->pending.word, FUTEX_OWNER_DIED);
        CHECK((m->others.word & FUTEX_OWNER_DIED) == 0); // somebody else's
    }
}

static void wait_for_owner(void) {
    int seen = m->first.word;
    m->waiting = 1;
    struct timespec limit = {10, 0};
    while (m->first.word == seen)
        if (syscall(SYS_futex, &m->first.word, FUTEX_WAIT, seen, &limit, NULL, 0) < 0 && errno == ETIMEDOUT)
            _exit(1);
    m->woken = 1;
}
static void hold_with_waiter(void) {
    m->head.next = &m->first;
    m->first.next = end_of_list();
    m->first.word = (int)syscall(SYS_gettid) | (int)FUTEX_WAITERS;
    register_list();
    m->waiting = -1;
    CHECK_SOON(m->waiting == 1, 5);
    check_sleep_ms(50);
}
static void wakes(void) {
    set_stage();
    pid_t holder = spawn(hold_with_waiter);
    CHECK_SOON(m->waiting == -1, 5);
    pid_t waiter = spawn(wait_for_owner);
    CHECK_EXITED(check_reap(holder), 0);
    CHECK_SOON(m->woken, 2);
    CHECK_EXITED(check_reap(waiter), 0);
}

static void go_in_circles(void) {
    m->head.next = &m->first;
    m->first.next = &m->second;
    m->second.next = &m->first;
    register_list();
}
static void point_nowhere(void) {
    m->head.next = &m->first;
    m->first.next = (struct entry*)8;
    m->first.word = (int)syscall(SYS_gettid);
    register_list();
}
static void broken(void) {
    set_stage();
    CHECK_EXITED(check_reap(spawn(go_in_circles)), 0);
    lend_ok(go_in_circles);
    set_stage();
    lend_ok(point_nowhere);
    CHECK_EQ(m->first.word, FUTEX_OWNER_DIED); // as far as it went
}

static const struct check_case cases[] = {
    {"every robust futex of a thread that ends is marked, waiters noted, and nobody else's", marks, 0, false},
    {"who waits for a robust futex wakes when its owner ends", wakes, 0, false},
    {"a robust list that is circular or broken does no harm", broken, 0, false},
};
CHECK_MAIN(cases)

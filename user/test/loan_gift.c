// SPDX-License-Identifier: BSD-2-Clause
// The loan that becomes a gift at an awkward moment: lenders are killed just when their borrowers end.
#include "lend.h"
#include "objects.h"

#include <pthread.h>
#include <sched.h>
#include <sys/ptrace.h>

enum { lenders = 4 };

struct stage {
    volatile int out, go, returned;
};
static struct stage* s;

static void end_when_told(void) {
    __atomic_add_fetch(&s->out, 1, __ATOMIC_SEQ_CST);
    while (!s->go)
        sched_yield();
}
static void* lend_a_thread(void* unused) {
    borrow(end_when_told);
    s->returned = 1;
    return unused;
}
static void doomed_lender(void) {
    pthread_t thread;
    for (int i = 1; i < lenders; ++i)
        CHECK_EQ(pthread_create(&thread, NULL, lend_a_thread, NULL), 0);
    lend_a_thread(NULL);
}

// The gift may come before the borrower ends, after it, or (late) when the borrower is already taken down. A checked
// kernel sees to it that the last is not rare; the count of late gifts shows that it was met.
static void late_gift(void) {
    s = (struct stage*)(uintptr_t)shared_memory(4096);
    s->go = 1;
    doomed_lender(); // what is made once is made now
    struct object_counts before = settled_objects();
    long late = check_counter("late_gifts"), gifts = check_counter("gifts");
    for (int round = 0; round < 30; ++round) {
        s->out = s->go = s->returned = 0;
        pid_t lender = spawn(doomed_lender);
        CHECK_SOON(s->out == lenders, 10);
        const int early = round % 2; // the borrowers may end before the signal comes, and a lender return
        s->go = early;
        kill(lender, SIGKILL);
        s->go = 1;
        CHECK_SIGNALED(check_reap(lender), SIGKILL);
        CHECK(early || s->returned == 0);
    }
    CHECK(check_counter("gifts") - gifts >= 10);
    if (check_counter("checks") > 0)
        CHECK(check_counter("late_gifts") - late >= 5);
    objects_are_back(&before);
}

// All the loans of a lender that ends become gifts, with no borrower's help.
static void all_at_once(void) {
    s = (struct stage*)(uintptr_t)shared_memory(4096);
    for (int round = 0; round < 5; ++round) {
        s->out = s->go = s->returned = 0;
        long gifts = check_counter("gifts");
        pid_t lender = spawn(doomed_lender);
        CHECK_SOON(s->out == lenders, 10);
        kill(lender, SIGKILL);
        CHECK_SIGNALED(check_reap(lender), SIGKILL); // its borrowers are still out
        CHECK_EQ(check_counter("gifts") - gifts, lenders);
        s->go = 1;
        CHECK_EQ(s->returned, 0);
    }
}

// A floating-point register that calls preserve.
static void set_fs0(long value) { __asm__ volatile("fmv.d.x fs0, %0" : : "r"(value)); }
static long fs0(void) {
    long value;
    __asm__ volatile("fmv.x.d %0, fs0" : "=r"(value));
    return value;
}

static int times;

static void keep_the_thread(void) {
    set_fs0(30);
    CHECK_EQ(ptrace(PTRACE_TRACEME, 0, NULL, NULL), 0); // what is traced needs a thread of its own
}
static void go_on_elsewhere(void) {
    set_fs0(20);
    pid_t pid = borrow(keep_the_thread);
    CHECK_EQ(fs0(), 20);
    CHECK_EXITED(check_reap(pid), 0);
    for (int i = 0; i < times; ++i) {
        set_fs0(21 + i);
        usleep(300); // another switch that saves them
    }
}
static void lend_twice(void) {
    set_fs0(10);
    lend_ok(go_on_elsewhere);
    CHECK_EQ(fs0(), 10);
}
// The middle one of three goes on on a fresh thread, which saves its registers as often as the old one had done, or less, or
// more often.
static void registers_of_the_lowest(void) {
    const long gifts = check_counter("gifts");
    for (times = 0; times < 12; ++times)
        CHECK_EXITED(check_reap(spawn(lend_twice)), 0);
    CHECK(check_counter("gifts") - gifts >= 12);
}

static const struct check_case cases[] = {
    {"a lender gets its floating-point registers back from a borrower that became a lender and then another's gift",
     registers_of_the_lowest, 60, true},
    {"a lender of several threads that is killed ends before its borrowers do", all_at_once, 60, true},
    {"EC-24 EC-40 lenders killed at the moment when their borrowers end leave nothing behind", late_gift, 60, true},
};
CHECK_MAIN(cases)

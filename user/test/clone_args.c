// SPDX-License-Identifier: BSD-2-Clause
// clone and clone3: the flags and arguments that no C library function shows, with and without a loan.
#include "lend.h"

#include <linux/sched.h>
#include <sched.h>

static char child_stack[65536] __attribute__((aligned(16)));
static void* stack_top(void) { return child_stack + sizeof child_stack; }

static long clone3_call(struct clone_args* args) { return syscall(SYS_clone3, args, sizeof *args); }

static volatile int parent_word, child_word, seen_word, seen_parent;
static int exit_zero(void* unused) { _exit(unused ? 1 : 0); }
static int note_words(void* unused) {
    seen_word = child_word;
    seen_parent = parent_word;
    _exit(child_word == (int)syscall(SYS_getpid) && !unused ? 0 : 1);
}

// The kernel stores the child's id in the creator's memory before the call returns, and in the child's before it runs.
static void tid_words(void) {
    const int kinds[] = {0, CLONE_VFORK, CLONE_VM | CLONE_VFORK};
    for (int i = 0; i < 3; ++i) {
        parent_word = child_word = seen_parent = -1;
        pid_t pid = clone(note_words, stack_top(), kinds[i] | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, NULL,
                          &parent_word, NULL, &child_word);
        CHECK(pid > 0);
        CHECK_EQ(parent_word, pid);
        CHECK_EXITED(check_reap(pid), 0);
        CHECK_EQ(child_word, kinds[i] & CLONE_VM ? pid : -1);
        if (kinds[i] & CLONE_VM)
            CHECK_EQ(seen_parent, pid);
    }
}
static void clear_word(void) {
    child_word = 77;
    pid_t pid = clone(exit_zero, stack_top(), CLONE_VM | CLONE_VFORK | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, NULL, NULL,
                      &child_word);
    CHECK(pid > 0);
    CHECK_EQ(child_word, 0);
    CHECK_EXITED(check_reap(pid), 0);
}

// A child made with CLONE_PARENT is its creator's sibling.
static int sibling_checks(void* expected) { _exit(getppid() == (pid_t)(long)expected ? 41 : 42); }
static void make_sibling(void) {
    pid_t pid = clone(sibling_checks, stack_top(), CLONE_PARENT | SIGCHLD, (void*)(long)getppid());
    CHECK(pid > 0);
    CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
}
static void same_parent(void) {
    CHECK_EXITED(check_reap(spawn(make_sibling)), 0);
    int status;
    CHECK(waitpid(-1, &status, 0) > 0);
    CHECK_EXITED(status, 41);
    lend_ok(make_sibling);
    CHECK(waitpid(-1, &status, 0) > 0);
    CHECK_EXITED(status, 41);
}

static void on_signal(int number) { parent_word = number; }
static void clear_handlers(void) {
    const unsigned long long kinds[] = {0, CLONE_VM | CLONE_VFORK};
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, SIG_IGN);
    for (int i = 0; i < 2; ++i) {
        struct clone_args args = {.flags = kinds[i] | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
        long pid = clone3_call(&args);
        if (pid == 0) {
            struct sigaction one, two;
            syscall(SYS_rt_sigaction, SIGUSR1, NULL, &one, 8);
            syscall(SYS_rt_sigaction, SIGUSR2, NULL, &two, 8);
            syscall(SYS_exit_group, one.sa_handler == SIG_DFL && two.sa_handler == SIG_IGN ? 0 : 1);
        }
        CHECK(pid > 0);
        CHECK_EXITED(check_reap((pid_t)pid), 0);
        struct sigaction mine;
        sigaction(SIGUSR1, NULL, &mine);
        CHECK(mine.sa_handler == on_signal);
    }
    struct clone_args both = {.flags = CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    CHECK_ERRNO(clone3_call(&both), EINVAL);
}

static char alternate[32768];
static int note_altstack(void* unused) {
    stack_t now;
    if (sigaltstack(NULL, &now) < 0 || unused)
        _exit(3);
    _exit(now.ss_flags & SS_DISABLE ? 1 : 2);
}
static void altstack(void) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    CHECK_EXITED(check_reap(clone(note_altstack, stack_top(), CLONE_VM | SIGCHLD, NULL)), 1);
    CHECK_EXITED(check_reap(clone(note_altstack, stack_top(), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL)), 2);
    CHECK_EXITED(check_reap(clone(note_altstack, stack_top(), SIGCHLD, NULL)), 2);
}

static long with_pid(pid_t wanted, unsigned long long flags) {
    struct clone_args args = {.flags = flags, .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&wanted, .set_tid_size = 1};
    long pid = clone3_call(&args);
    if (pid == 0)
        syscall(SYS_exit_group, (int)syscall(SYS_getpid) == wanted ? 0 : 1);
    return pid;
}
static void leave_group(void) {
    setpgid(0, 0);
    pid_t member = fork();
    if (member == 0)
        for (;;)
            pause();
    child_word = member;
}
static void set_tid(void) {
    const pid_t wanted = 23456;
    CHECK_EQ(with_pid(wanted, 0), wanted);
    CHECK_EXITED(check_reap(wanted), 0);
    CHECK_EQ(with_pid(wanted, CLONE_VM | CLONE_VFORK), wanted);
    CHECK_ERRNO(with_pid(wanted, 0), EEXIST); // until it is reaped
    CHECK_EXITED(check_reap(wanted), 0);
    CHECK_ERRNO(with_pid(getpid(), 0), EEXIST);
    // The number of a group whose leader is gone.
    pid_t leader = borrow(leave_group);
    CHECK_EXITED(check_reap(leader), 0);
    CHECK_ERRNO(with_pid(leader, 0), EEXIST);
    CHECK_EQ(kill(child_word, SIGKILL), 0);
}

static volatile int handled;
static void count(int number) { handled += number ? 1 : 0; }
static void id_comes_back(void) {
    const pid_t wanted = 23457;
    struct itimerval often = {{0, 200}, {0, 200}}, never = {{0, 0}, {0, 0}};
    signal(SIGALRM, count);
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    // A signal in the middle of fork1 makes it give everything back and start over.
    for (int i = 0; i < 300; ++i) {
        CHECK_EQ(with_pid(wanted, i % 2 ? CLONE_VM | CLONE_VFORK : 0), wanted);
        CHECK_EXITED(check_reap(wanted), 0);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(handled > 0);
}

static void shared_counts(void) {
    long ppwait = check_counter("forks_ppwait"), shared = check_counter("forks_sharevm");
    CHECK_EXITED(check_reap(clone(exit_zero, stack_top(), CLONE_VM | SIGCHLD, NULL)), 0);
    CHECK_EQ(check_counter("forks_sharevm") - shared, 1);
    CHECK_EQ(check_counter("forks_ppwait") - ppwait, 0);
    CHECK_EXITED(check_reap(clone(exit_zero, stack_top(), CLONE_VFORK | SIGCHLD, NULL)), 0);
    CHECK_EQ(check_counter("forks_sharevm") - shared, 1);
    CHECK_EQ(check_counter("forks_ppwait") - ppwait, 1);
}

static const struct check_case cases[] = {
    {"clone stores the child's id on both sides before either goes on", tid_words, 0, false},
    {"LX-18 CLONE_CHILD_CLEARTID is done when a loan ends", clear_word, 0, false},
    {"CLONE_PARENT makes a sibling, also from a borrower", same_parent, 0, false},
    {"CLONE_CLEAR_SIGHAND resets handlers and leaves what is ignored", clear_handlers, 0, false},
    {"LX-17 the alternate stack goes for a child that runs beside its creator on its memory", altstack, 0, false},
    {"a process id asked for is given, unless a process or a group has it", set_tid, 0, false},
    {"LX-06 a fork that a signal interrupts gives its process id back", id_comes_back, 60, false},
    {"NB-38 sharing memory and waiting are counted each for itself", shared_counts, 0, true},
};
CHECK_MAIN(cases)

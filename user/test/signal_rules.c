// SPDX-License-Identifier: BSD-2-Clause
// Small rules of signals that only show when one looks closely: what is kept, in which order, what is read back, and that
// nobody escapes.
#include "lend.h"

#include <pthread.h>
#include <sched.h>

static volatile int handled, order[8], order_size;
static void on_signal(int number) {
    ++handled;
    if (order_size < 8)
        order[order_size++] = number;
}
static void block(int how, int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    CHECK_EQ(pthread_sigmask(how, &set, NULL), 0);
}
static bool pends(int number) {
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, number) == 1;
}

static void blocked_is_kept(void) {
    block(SIG_BLOCK, SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK(pends(SIGUSR1)); // it may have a handler by the time it is unblocked
    signal(SIGUSR1, on_signal);
    block(SIG_UNBLOCK, SIGUSR1);
    CHECK_EQ(handled, 1);
    block(SIG_BLOCK, SIGUSR1);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1), 0);
    signal(SIGUSR1, SIG_IGN); // and this throws away both
    CHECK(!pends(SIGUSR1));
    signal(SIGUSR1, on_signal);
    block(SIG_UNBLOCK, SIGUSR1);
    CHECK_EQ(handled, 1);
}

static void own_first(void) {
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &both, NULL), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGUSR2), 0);
    struct timespec now = {0, 0};
    CHECK_EQ(sigtimedwait(&both, NULL, &now), SIGUSR2);
    CHECK_EQ(sigtimedwait(&both, NULL, &now), SIGUSR1);
    CHECK_ERRNO(sigtimedwait(&both, NULL, &now), EAGAIN);
}

static void read_back(void) {
    struct {
        void (*handler)(int);
        unsigned long flags, mask;
    } action = {on_signal, 0x400 | SA_RESTART | SA_NODEFER, ~0UL}, now; // 0x400: SA_UNSUPPORTED
    CHECK_EQ(syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 8), 0);
    CHECK_EQ(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &now, 8), 0);
    CHECK_EQ(now.flags, SA_RESTART | SA_NODEFER);
    CHECK_EQ(now.mask, ~(1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1)));
    unsigned long all = ~0UL, mask = 0;
    CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8), 0);
    CHECK_EQ(syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, 8), 0);
    CHECK_EQ(mask, ~(1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1)));
}

static void sleep_50(void) { check_sleep_ms(50); }
static void wait_restarts(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {{0, 10000}, {0, 10000}}, never = {{0, 0}, {0, 0}};
    int status;
    pid_t pid = spawn(sleep_50);
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_EQ(waitpid(pid, &status, 0), pid); // not EINTR
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK(handled > 0);
    action.sa_flags = 0;
    sigaction(SIGALRM, &action, NULL);
    pid = spawn(sleep_50);
    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_ERRNO(waitpid(pid, &status, 0), EINTR);
    setitimer(ITIMER_REAL, &never, NULL);
    CHECK_EXITED(check_reap(pid), 0);
}

// The main thread is chosen for a signal and blocks it just then: another thread must take it.
static volatile int ready, sent, quit;
static void* sends(void* unused) {
    block(SIG_BLOCK, SIGUSR1);
    for (int round = 1; round <= 400; ++round) {
        while (ready != round)
            if (quit)
                return unused;
        for (volatile int i = 0; i < round % 40; ++i) {
        }
        kill(getpid(), SIGUSR1);
        sent = round;
    }
    return unused;
}
static void* takes(void* unused) {
    while (!quit)
        check_sleep_ms(1000); // a handler ends it
    return unused;
}
static void just_blocked(void) {
    pthread_t sender, taker;
    signal(SIGUSR1, on_signal);
    CHECK_EQ(pthread_create(&taker, NULL, takes, NULL), 0);
    CHECK_EQ(pthread_create(&sender, NULL, sends, NULL), 0);
    for (int round = 1; round <= 400; ++round) {
        ready = round;
        for (volatile int i = 0; i < 20; ++i) {
        }
        block(SIG_BLOCK, SIGUSR1);
        while (sent != round)
            sched_yield();
        CHECK_SOON(handled == round, 5);
        block(SIG_UNBLOCK, SIGUSR1);
    }
    quit = 1;
    pthread_join(sender, NULL);
}

// A process that is killed while it copies itself leaves no copy.
static volatile int* beats;
static void fork_for_ever(void) {
    setpgid(0, 0);
    char* p = mmap(NULL, 16 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 1, 16 << 20);
    for (;;) {
        ++*beats;
        pid_t pid = fork();
        if (pid == 0)
            for (;;) {
                ++*beats;
                check_sleep_ms(1);
            }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}
static void no_survivor(void) {
    beats = shared_memory(4096);
    for (int i = 0; i < 40; ++i) {
        *beats = 0;
        pid_t leader = spawn(fork_for_ever);
        CHECK_SOON(*beats > 2, 10);
        struct timespec t = {0, i * 50000};
        nanosleep(&t, NULL);
        CHECK_EQ(kill(-leader, SIGKILL), 0);
        CHECK_SIGNALED(check_reap(leader), SIGKILL);
        CHECK_SOON(kill(-leader, 0) < 0 && errno == ESRCH, 5);
    }
}

static const struct check_case cases[] = {
    {"a blocked signal is kept though it is ignored, and ignoring it then drops it", blocked_is_kept, 0, false},
    {"a thread's own signals come before those of its process", own_first, 0, false},
    {"what is read back of actions and masks is what counts", read_back, 0, false},
    {"waitpid is restarted with SA_RESTART and gives EINTR without", wait_restarts, 0, false},
    {"a signal whose chosen thread just blocks it goes to another", just_blocked, 60, false},
    {"EC-63 LX-07 LX-08 SIGKILL to a group that forks large processes leaves no survivor", no_survivor, 60, false},
};
CHECK_MAIN(cases)

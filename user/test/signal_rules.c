// SPDX-License-Identifier: BSD-2-Clause
// Small rules of signals that only show when one looks closely: what is kept, in which order, what is read back, and that
// nobody escapes.
#include "lend.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/signalfd.h>

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

// Long requests for random bytes end early for a handler, between pages; short ones are whole.
static void random_bytes(void) {
    enum { large = 64 << 20, page = 4096 };
    static char bytes[page];
    char* many = mmap(NULL, large, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(many != MAP_FAILED);
    int urandom = open("/dev/urandom", O_RDWR), zero = open("/dev/zero", O_RDONLY);
    CHECK(urandom >= 0 && zero >= 0);
    const long calls[] = {SYS_getrandom, SYS_read, SYS_write, SYS_read}, fds[] = {-1, urandom, urandom, zero};
    struct sigaction action = {.sa_handler = on_signal};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    struct itimerval soon = {{0, 0}, {0, 3000}}, often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    for (int i = 0; i < 4; ++i) {
        long got = large;
        for (int attempt = 0; attempt < 20 && got == large; ++attempt) {
            handled = 0;
            CHECK_EQ(madvise(many, large, MADV_DONTNEED), 0);
            CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
            got = i == 0 ? syscall(SYS_getrandom, many, (size_t)large, 0)
                         : syscall(calls[i], fds[i], many, (size_t)large);
            CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
        }
        if (got <= 0 || got >= large || got % page != 0 || handled != 1)
            check_fail("request %d gave %ld bytes, errno %d, %d signals", i, got, errno, handled);
    }
    handled = 0;
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    while (handled < 20) {
        CHECK_EQ(syscall(SYS_getrandom, bytes, sizeof bytes, 0), page);
        CHECK_EQ(read(urandom, bytes, sizeof bytes), page);
    }
    CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
    if (check_on_linux())
        return; // its emulator looks at the whole buffer first
    // As much as could be stored is told; nothing is EFAULT.
    CHECK_EQ(mprotect(many + page, page, PROT_NONE), 0);
    CHECK_EQ(syscall(SYS_getrandom, many + page - 100, 300, 0), 100);
    CHECK_ERRNO(syscall(SYS_getrandom, many + page, 300, 0), EFAULT);
    CHECK_EQ(write(urandom, many + page - 100, 300), 100);
}

static void wait_for_the_unblockable(void) {
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGSTOP);
    sigaddset(&set, SIGKILL);
    while (sigwaitinfo(&set, &info) < 0 && errno == EINTR) {
    }
}
static void cannot_be_taken(void) {
    pid_t pid = spawn(wait_for_the_unblockable);
    int status;
    CHECK_SOON(check_state_of(pid) == 'S', 5);
    kill(pid, SIGSTOP);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    kill(pid, SIGCONT);
    CHECK_SOON(check_state_of(pid) == 'S', 5);
    kill(pid, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
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
    for (int round = 1; round <= 150; ++round) {
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
    for (int round = 1; round <= 150; ++round) {
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

// Who may signal whom: the sender's real or effective id must be the target's real or saved one.
static void may_signal(uid_t real, uid_t effective, uid_t saved, uid_t target_real, uid_t target_saved, bool allowed) {
    int ready_pipe[2];
    CHECK_EQ(pipe(ready_pipe), 0);
    pid_t target = fork();
    if (target == 0) {
        CHECK_EQ(syscall(SYS_setresuid, target_real, 4999, target_saved), 0);
        CHECK_EQ(write(ready_pipe[1], "x", 1), 1);
        for (;;)
            pause();
    }
    char c;
    CHECK_EQ(read(ready_pipe[0], &c, 1), 1);
    pid_t sender = fork();
    if (sender == 0) {
        CHECK_EQ(syscall(SYS_setresuid, real, effective, saved), 0);
        if (allowed)
            CHECK_EQ(kill(target, SIGTERM), 0);
        else
            CHECK_ERRNO(kill(target, SIGTERM), EPERM);
        _exit(0);
    }
    CHECK_EXITED(check_reap(sender), 0);
    kill(target, SIGKILL);
    CHECK_SIGNALED(check_reap(target), allowed ? SIGTERM : SIGKILL);
    close(ready_pipe[0]);
    close(ready_pipe[1]);
}
static void permission(void) {
    enum { a = 4701, b = 4702, c = 4703, d = 4704 };
    may_signal(a, b, b, c, a, true);  // real, saved
    may_signal(a, b, b, a, c, true);  // real, real
    may_signal(b, a, b, c, a, true);  // effective, saved
    may_signal(b, a, b, a, c, true);  // effective, real
    may_signal(b, b, a, a, a, false); // the sender's saved id is no reason
    may_signal(a, b, b, c, d, false);
    may_signal(4999, 4999, 4999, c, d, false); // nor the target's effective one
}

// A process that is killed while it copies itself leaves no copy.
static volatile int* beats;
static void fork_for_ever(void) {
    setpgid(0, 0);
    char* p = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 1, 8 << 20);
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
    for (int i = 0; i < 12; ++i) {
        *beats = 0;
        pid_t leader = spawn(fork_for_ever);
        CHECK_SOON(*beats > 2, 10);
        struct timespec t = {0, i * 150000};
        nanosleep(&t, NULL);
        CHECK_EQ(kill(-leader, SIGKILL), 0);
        CHECK_SIGNALED(check_reap(leader), SIGKILL);
        CHECK_SOON(kill(-leader, 0) < 0 && errno == ESRCH, 5);
    }
}

static void reset_once(void) {
    struct {
        void (*handler)(int);
        unsigned long flags, mask;
    } action = {on_signal, SA_RESETHAND | SA_RESTART, 1UL << (SIGHUP - 1)}, now;
    CHECK_EQ(syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 8), 0);
    raise(SIGUSR1);
    CHECK_EQ(handled, 1);
    CHECK_EQ(syscall(SYS_rt_sigaction, SIGUSR1, NULL, &now, 8), 0);
    CHECK(now.handler == SIG_DFL); // and nothing else
    CHECK_EQ(now.flags, SA_RESETHAND | SA_RESTART);
    CHECK_EQ(now.mask, 1UL << (SIGHUP - 1));
}

static volatile int* returned;
static void pause_once(void) {
    setsid(); // an orphaned group, which only SIGSTOP can stop
    *returned = -1;
    pause();
    *returned = 1;
}
static void stopped_in_pause(void) {
    returned = shared_memory(4096);
    pid_t pid = spawn(pause_once);
    CHECK_SOON(*returned == -1, 5);
    for (int i = 0; i < 3; ++i) {
        int status;
        check_sleep_ms(10);
        kill(pid, SIGSTOP);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status));
        kill(pid, SIGCONT);
        CHECK_SOON(check_state_of(pid) == 'S', 5);
    }
    CHECK_EQ(*returned, -1);
    kill(pid, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
}

static void ready_first(void) {
    int p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], "x", 1), 1);
    signal(SIGUSR1, on_signal);
    block(SIG_BLOCK, SIGUSR1);
    raise(SIGUSR1);
    sigset_t none;
    sigemptyset(&none);
    struct pollfd fd = {.fd = p[0], .events = POLLIN};
    CHECK_EQ(ppoll(&fd, 1, NULL, &none), 1);
    CHECK_EQ(handled, 0); // the mask of the call is over, and nothing was interrupted
    CHECK(pends(SIGUSR1));
    block(SIG_UNBLOCK, SIGUSR1);
    CHECK_EQ(handled, 1);
}

static void* signal_soon(void* unused) {
    check_sleep_ms(50);
    kill(getpid(), SIGUSR1);
    return unused;
}
static void signalfd_wakes(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    block(SIG_BLOCK, SIGUSR1);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    CHECK(fd >= 0);
    for (int i = 0; i < 4; ++i) {
        pthread_t thread;
        CHECK_EQ(pthread_create(&thread, NULL, signal_soon, NULL), 0);
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (i % 2)
            CHECK_EQ(poll(&poll_fd, 1, 5000), 1);
        struct signalfd_siginfo info;
        CHECK_EQ(read(fd, &info, sizeof info), sizeof info); // asleep when it comes
        CHECK_EQ(info.ssi_signo, SIGUSR1);
        pthread_join(thread, NULL);
    }
}

// Uses this much of the kernel's time, and little of its own.
static void use_system_time(long ms) {
    static char buffer[1 << 20];
    int fd = open("/dev/zero", O_RDONLY);
    CHECK(fd >= 0);
    struct rusage use;
    do {
        CHECK(read(fd, buffer, sizeof buffer) > 0); // a timer may cut it short
        getrusage(RUSAGE_SELF, &use);
    } while (use.ru_stime.tv_sec * 1000 + use.ru_stime.tv_usec / 1000 < ms);
    close(fd);
}
static void cpu_timers(void) {
    struct itimerval at_200 = {{0, 0}, {0, 200000}};
    struct rusage use;
    signal(SIGVTALRM, on_signal);
    signal(SIGPROF, on_signal);
    CHECK_EQ(setitimer(ITIMER_VIRTUAL, &at_200, NULL), 0);
    CHECK_EQ(setitimer(ITIMER_PROF, &at_200, NULL), 0);
    use_system_time(400);
    CHECK_SOON(order_size > 0, 2);
    CHECK_EQ(order[0], SIGPROF);
    getrusage(RUSAGE_SELF, &use);
    if (use.ru_utime.tv_sec == 0 && use.ru_utime.tv_usec < 150000) // unless the host took very long over copies
        CHECK_EQ(handled, 1);
    for (double end = check_now() + 10; handled < 2 && check_now() < end;)
        for (volatile int i = 0; i < 1000000; ++i) {
        }
    CHECK_EQ(handled, 2);
    CHECK_EQ(order[1], SIGVTALRM);
}

static const struct check_case cases[] = {
    {"a blocked signal is kept though it is ignored, and ignoring it then drops it", blocked_is_kept, 0, false},
    {"a thread's own signals come before those of its process", own_first, 0, false},
    {"a signal ends long requests for random bytes or zeros between two pages, short ones never", random_bytes, 60,
     false},
    {"who waits for SIGKILL and SIGSTOP with sigwaitinfo dies and stops of them all the same", cannot_be_taken, 0,
     false},
    {"what is read back of actions and masks is what counts", read_back, 0, false},
    {"waitpid is restarted with SA_RESTART and gives EINTR without", wait_restarts, 0, false},
    {"a signal whose chosen thread just blocks it goes to another", just_blocked, 60, false},
    {"kill compares real and effective ids with real and saved ones", permission, 0, false},
    {"SA_RESETHAND resets the handler and nothing else", reset_once, 0, false},
    {"pause goes on after SIGSTOP and SIGCONT, in an orphaned group too", stopped_in_pause, 0, false},
    {"ppoll that finds something ready leaves a signal pending that only its mask let in", ready_first, 0, false},
    {"who reads or polls a signalfd wakes when a signal comes", signalfd_wakes, 0, false},
    {"ITIMER_VIRTUAL leaves out the kernel's time, ITIMER_PROF does not", cpu_timers, 0, false},
    {"EC-63 LX-07 LX-08 SIGKILL to a group that forks large processes leaves no survivor", no_survivor, 60, false},
};
CHECK_MAIN(cases)

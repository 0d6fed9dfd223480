// SPDX-License-Identifier: BSD-2-Clause
// POSIX timers, timerfd and interval timers: what they send, whose they are, and what fork, exec and loans make of them.
#include "lend.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/timerfd.h>

enum { ms = 1000000 };

static timer_t make_timer(clockid_t clock, int signo, void* value) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signo, .sigev_value.sival_ptr = value};
    timer_t timer;
    CHECK_EQ(timer_create(clock, &event, &timer), 0);
    return timer;
}
static struct itimerspec spec(long value_ns, long interval_ns) {
    return (struct itimerspec){{interval_ns / 1000000000, interval_ns % 1000000000},
                               {value_ns / 1000000000, value_ns % 1000000000}};
}
static void set(timer_t timer, long value_ns, long interval_ns) {
    const struct itimerspec wanted = spec(value_ns, interval_ns);
    CHECK_EQ(timer_settime(timer, 0, &wanted, NULL), 0);
}
static long left(timer_t timer) {
    struct itimerspec now;
    CHECK_EQ(timer_gettime(timer, &now), 0);
    return now.it_value.tv_sec * 1000000000 + now.it_value.tv_nsec;
}
static sigset_t block(int signo) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signo);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &one, NULL), 0);
    return one;
}
// Waits up to ten seconds for a blocked signal.
static siginfo_t await(int signo) {
    const sigset_t one = block(signo);
    siginfo_t info;
    CHECK_EQ(sigtimedwait(&one, &info, &(struct timespec){10, 0}), signo);
    return info;
}
static bool pends(int signo) {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, signo);
}

static void once(clockid_t clock) {
    block(SIGRTMIN);
    int mark;
    const timer_t timer = make_timer(clock, SIGRTMIN, &mark);
    CHECK_EQ(left(timer), 0);
    struct timespec before, after;
    clock_gettime(clock, &before);
    set(timer, 30 * ms, 0);
    CHECK(left(timer) > 0 && left(timer) <= 30 * ms);
    const siginfo_t info = await(SIGRTMIN);
    clock_gettime(clock, &after);
    CHECK((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >= 30 * ms);
    CHECK_EQ(info.si_code, SI_TIMER);
    CHECK(info.si_value.sival_ptr == &mark);
    CHECK_EQ(info.si_overrun, 0);
    CHECK_EQ(info.si_timerid, (long)(intptr_t)timer);
    CHECK_EQ(left(timer), 0);
    CHECK_EQ(timer_delete(timer), 0);
    CHECK_ERRNO(timer_delete(timer), EINVAL);
}
static void wall_clocks(void) {
    once(CLOCK_REALTIME);
    once(CLOCK_MONOTONIC);
    once(CLOCK_BOOTTIME);
}

static void absolute(void) {
    block(SIGUSR1);
    const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    for (int i = 0; i < 2; ++i) {
        const timer_t timer = make_timer(clocks[i], SIGUSR1, NULL);
        struct itimerspec at = {.it_value = {0, 0}};
        struct timespec now;
        at.it_value.tv_nsec = 1; // the past, however short the machine has run
        CHECK_EQ(timer_settime(timer, TIMER_ABSTIME, &at, NULL), 0);
        await(SIGUSR1);
        clock_gettime(clocks[i], &at.it_value);
        at.it_value.tv_nsec += 40 * ms;
        if (at.it_value.tv_nsec >= 1000000000)
            at.it_value.tv_sec++, at.it_value.tv_nsec -= 1000000000;
        CHECK_EQ(timer_settime(timer, TIMER_ABSTIME, &at, NULL), 0);
        await(SIGUSR1);
        clock_gettime(clocks[i], &now);
        CHECK(now.tv_sec > at.it_value.tv_sec ||
              (now.tv_sec == at.it_value.tv_sec && now.tv_nsec >= at.it_value.tv_nsec));
        timer_delete(timer);
    }
}

static void overruns(void) {
    block(SIGRTMIN + 1);
    const timer_t timer = make_timer(CLOCK_MONOTONIC, SIGRTMIN + 1, NULL);
    const double start = check_now();
    set(timer, 5 * ms, 5 * ms);
    check_sleep_ms(100);
    siginfo_t info = await(SIGRTMIN + 1);
    const double end = check_now();
    CHECK(info.si_overrun >= 10);
    CHECK(info.si_overrun <= (end - start) / 0.005);
    CHECK_EQ(timer_getoverrun(timer), info.si_overrun);
    info = await(SIGRTMIN + 1); // it goes on
    CHECK(info.si_overrun < 2000);
    set(timer, 0, 0);
    // One nanosecond: the count is bounded, and so is what it costs.
    set(timer, 1, 1);
    check_sleep_ms(20);
    info = await(SIGRTMIN + 1);
    CHECK(info.si_overrun > 1000000);
    CHECK_EQ(timer_delete(timer), 0);
    CHECK(!pends(SIGRTMIN + 1)); // what was queued went with it
}

static volatile int ticks;
static void tick(int signo) {
    (void)signo;
    ++ticks;
}
static void ignored(void) {
    signal(SIGUSR1, SIG_IGN);
    const timer_t timer = make_timer(CLOCK_MONOTONIC, SIGUSR1, NULL);
    set(timer, 2 * ms, 2 * ms);
    check_sleep_ms(50);
    CHECK_EQ(ticks, 0);
    signal(SIGUSR1, tick);
    CHECK_SOON(ticks >= 3, 10);
}

static void disarm(void) {
    block(SIGUSR1);
    const timer_t timer = make_timer(CLOCK_MONOTONIC, SIGUSR1, NULL);
    set(timer, 100000L * ms, 7 * ms);
    struct itimerspec old, off = spec(0, 0);
    CHECK_EQ(timer_settime(timer, 0, &off, &old), 0);
    CHECK(old.it_value.tv_sec >= 98 && old.it_value.tv_sec <= 100);
    CHECK_EQ(old.it_interval.tv_nsec, 7 * ms);
    CHECK_EQ(left(timer), 0);
    set(timer, 20 * ms, 0);
    set(timer, 0, 0);
    check_sleep_ms(60);
    CHECK(!pends(SIGUSR1));
}

static void no_signal(void) {
    struct sigevent none = {.sigev_notify = SIGEV_NONE};
    timer_t timer;
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &none, &timer), 0);
    set(timer, 10 * ms, 0);
    CHECK(left(timer) > 0);
    check_sleep_ms(30);
    CHECK(left(timer) <= 1);
    set(timer, 10 * ms, 1000L * ms);
    check_sleep_ms(30);
    CHECK(left(timer) > 1 && left(timer) <= 1000L * ms);
}

// --- CPU clocks ---

static long clock_ns(clockid_t clock) {
    struct timespec now;
    CHECK_EQ(clock_gettime(clock, &now), 0);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}
static void cpu_once(clockid_t clock) {
    block(SIGRTMIN);
    const timer_t timer = make_timer(clock, SIGRTMIN, NULL);
    const long start = clock_ns(clock);
    set(timer, 100 * ms, 0);
    check_sleep_ms(200); // sleeping takes no CPU time, but on a host that stalls the way there may
    const bool early = pends(SIGRTMIN);
    CHECK(!early || clock_ns(clock) - start >= 100 * ms);
    struct timespec before, now;
    clock_gettime(clock, &before);
    do
        clock_gettime(clock, &now);
    while (!pends(SIGRTMIN) && now.tv_sec - before.tv_sec < 10);
    CHECK(clock_ns(clock) - start >= 100 * ms);
    await(SIGRTMIN);
    set(timer, 20 * ms, 20 * ms);
    for (int i = 0; i < 3; ++i) {
        do
            clock_gettime(clock, &now);
        while (!pends(SIGRTMIN) && now.tv_sec - before.tv_sec < 20);
        await(SIGRTMIN);
    }
    timer_delete(timer);
}
static void process_clock(void) { cpu_once(CLOCK_PROCESS_CPUTIME_ID); }
static volatile bool finish;
static void* other_spins(void* unused) {
    while (!finish)
        spin_cpu_ms(5);
    return unused;
}
static void thread_clock(void) {
    pthread_t other;
    block(SIGRTMIN);
    CHECK_EQ(pthread_create(&other, NULL, other_spins, NULL), 0);
    cpu_once(CLOCK_THREAD_CPUTIME_ID);
    finish = true;
    pthread_join(other, NULL);
}

// --- threads ---

static pid_t caught_by;
static void note_thread(int signo, siginfo_t* info, void* context) {
    (void)signo, (void)context;
    caught_by = (pid_t)syscall(SYS_gettid);
    CHECK_EQ(info->si_code, SI_TIMER);
}
static void* wait_for_stop(void* tid) {
    *(pid_t*)tid = (pid_t)syscall(SYS_gettid);
    while (!finish)
        check_sleep_ms(2);
    return NULL;
}
static void to_one_thread(void) {
    struct sigaction action = {.sa_sigaction = note_thread, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR2, &action, NULL);
    volatile pid_t tid = 0;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, wait_for_stop, (void*)&tid), 0);
    CHECK_SOON(tid != 0, 10);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    event._sigev_un._tid = tid;
    timer_t timer;
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    set(timer, 10 * ms, 0);
    CHECK_SOON(caught_by != 0, 10);
    CHECK_EQ(caught_by, tid);
    finish = true;
    pthread_join(thread, NULL);
    set(timer, 5 * ms, 5 * ms); // to a thread that is gone: nothing happens
    check_sleep_ms(30);
    CHECK_EQ(timer_delete(timer), 0);
    event._sigev_un._tid = getppid();
    CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
}

static void* volatile called_with;
static void call(union sigval value) { called_with = value.sival_ptr; }
static void by_library(void) {
    int mark;
    struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_ptr = &mark};
    event.sigev_notify_function = call;
    timer_t timer;
    CHECK_EQ(timer_create(CLOCK_REALTIME, &event, &timer), 0);
    set(timer, 5 * ms, 0);
    CHECK_SOON(called_with == &mark, 10);
}

static void errors(void) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
    CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
    event = (struct sigevent){.sigev_notify = 17, .sigev_signo = SIGUSR1};
    CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, &event, &timer), EINVAL);
    CHECK_ERRNO(timer_create(77, NULL, &timer), EINVAL);
    CHECK_ERRNO(timer_create(CLOCK_MONOTONIC_RAW, NULL, &timer), EOPNOTSUPP);
    CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, 16L), EFAULT);
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
    struct itimerspec bad = {.it_value = {0, 1000000000}};
    CHECK_ERRNO(timer_settime(timer, 0, &bad, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_settime, 12345, 0, &bad, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_gettime, 12345, &bad), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_getoverrun, 12345), EINVAL);
    // Without an event: SIGALRM with the timer's number.
    int number = -1;
    CHECK_EQ(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, &number), 0);
    block(SIGALRM);
    const struct itimerspec soon = spec(ms, 0);
    CHECK_EQ(syscall(SYS_timer_settime, number, 0, &soon, NULL), 0);
    const siginfo_t info = await(SIGALRM);
    CHECK_EQ(info.si_timerid, number);
    CHECK_EQ(info.si_value.sival_int, number);
}

static void at_the_limit(void) {
    CHECK_EQ(setuid(4243), 0);
    struct rlimit limit = {4, 4};
    CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
    block(SIGRTMIN);
    timer_t timers[5];
    for (int i = 0; i < 3; ++i)
        CHECK_EQ(timer_create(CLOCK_MONOTONIC, NULL, &timers[i]), 0);
    const pid_t other = fork(); // the same user: what it has queued counts too
    CHECK(other >= 0);
    if (other == 0) {
        const union sigval value = {0};
        CHECK_EQ(sigqueue(getpid(), SIGRTMIN, value), 0);
        CHECK_ERRNO(sigqueue(getpid(), SIGRTMIN, value), EAGAIN);
        CHECK_ERRNO(sigqueue(getppid(), SIGRTMIN, value), EAGAIN);
        CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, NULL, &timers[4]), EAGAIN);
        char text[4096];
        CHECK(check_read_file("/proc/self/status", text, sizeof text) > 0);
        CHECK(check_on_linux() || strstr(text, "\nSigQ:\t4/4\n"));
        _exit(0);
    }
    CHECK_EXITED(check_reap(other), 0);
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, NULL, &timers[3]), 0); // its queue went with it
    CHECK_ERRNO(timer_create(CLOCK_MONOTONIC, NULL, &timers[4]), EAGAIN);
    CHECK_EQ(timer_delete(timers[0]), 0);
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, NULL, &timers[4]), 0);
}
static void pending_limit(void) { CHECK_EXITED(check_reap(spawn(at_the_limit)), 0); }

// --- fork, exec, loans ---

static timer_t shared;
static void not_in_a_fork(void) {
    block(SIGUSR1);
    shared = make_timer(CLOCK_MONOTONIC, SIGUSR1, NULL);
    set(shared, 20 * ms, 20 * ms);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct itimerspec now;
        CHECK_ERRNO(syscall(SYS_timer_gettime, (int)(intptr_t)shared, &now), EINVAL);
        check_sleep_ms(60);
        CHECK(!pends(SIGUSR1));
        _exit(0);
    }
    CHECK_EXITED(check_reap(child), 0);
    await(SIGUSR1);
    CHECK(left(shared) > 0);
}

static void become(const char* what) {
    char* arguments[] = {check_self, (char*)what, NULL};
    execv(check_self, arguments);
    _exit(99);
}
static void gone_after_exec(void) {
    block(SIGUSR1);
    const timer_t timer = make_timer(CLOCK_MONOTONIC, SIGUSR1, NULL);
    set(timer, 30 * ms, 30 * ms);
    become("@no-timer");
}
static void exec_deletes(void) { CHECK_EXITED(check_reap(spawn(gone_after_exec)), 0); }

static void alarm_then_exec(void) {
    struct itimerval wanted = {{0, 60000}, {0, 60000}};
    setitimer(ITIMER_REAL, &wanted, NULL);
    wanted = (struct itimerval){{0, 0}, {100, 0}};
    setitimer(ITIMER_PROF, &wanted, NULL);
    become("@alarm");
}
static void exec_keeps_itimers(void) { CHECK_EXITED(check_reap(spawn(alarm_then_exec)), 0); }

static int lenders_fd;
static void borrower_with_timers(void) {
    struct itimerspec now;
    CHECK_ERRNO(syscall(SYS_timer_gettime, (int)(intptr_t)shared, &now), EINVAL); // the lender's is not its own
    CHECK_ERRNO(syscall(SYS_timer_delete, (int)(intptr_t)shared), EINVAL);
    block(SIGUSR1);
    check_sleep_ms(60);
    CHECK(!pends(SIGUSR1)); // nor its signals
    const timer_t own = make_timer(CLOCK_MONOTONIC, SIGUSR2, NULL);
    block(SIGUSR2);
    set(own, 5 * ms, 5 * ms);
    await(SIGUSR2);
    uint64_t count;
    CHECK_EQ(read(lenders_fd, &count, sizeof count), sizeof count); // the file is shared
}
static void timers_of_a_loan(void) {
    block(SIGUSR1);
    shared = make_timer(CLOCK_MONOTONIC, SIGUSR1, NULL);
    set(shared, 20 * ms, 20 * ms);
    lenders_fd = timerfd_create(CLOCK_MONOTONIC, 0);
    CHECK(lenders_fd >= 0);
    const struct itimerspec often = spec(10 * ms, 10 * ms);
    CHECK_EQ(timerfd_settime(lenders_fd, 0, &often, NULL), 0);
    lend_ok(borrower_with_timers);
    const siginfo_t info = await(SIGUSR1); // it went on while the thread was lent
    CHECK(info.si_overrun >= 1);
    CHECK(!pends(SIGUSR2)); // the borrower's died with it
    CHECK(left(shared) > 0);
    uint64_t count;
    CHECK_EQ(read(lenders_fd, &count, sizeof count), sizeof count);
    CHECK(count >= 1);
}
static void exec_after_timer(void) {
    const timer_t own = make_timer(CLOCK_MONOTONIC, SIGUSR2, NULL);
    set(own, 5000L * ms, 0);
    become("@exit");
}
static void exec_in_a_loan(void) {
    block(SIGUSR1);
    shared = make_timer(CLOCK_MONOTONIC, SIGUSR1, NULL);
    set(shared, 20 * ms, 20 * ms);
    const pid_t pid = borrow(exec_after_timer);
    CHECK_EXITED(check_reap(pid), 3);
    await(SIGUSR1);
    CHECK(left(shared) > 0);
}

// --- timerfd ---

static void descriptor(void) {
    const int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    uint64_t count = 0;
    CHECK_ERRNO(read(fd, &count, sizeof count), EAGAIN);
    struct itimerspec wanted = spec(10 * ms, 5 * ms), now;
    CHECK_EQ(timerfd_settime(fd, 0, &wanted, NULL), 0);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK(now.it_value.tv_nsec > 0 && now.it_value.tv_nsec <= 10 * ms);
    CHECK_EQ(now.it_interval.tv_nsec, 5 * ms);
    struct pollfd one = {fd, POLLIN, 0};
    CHECK_EQ(poll(&one, 1, 10000), 1);
    check_sleep_ms(50);
    CHECK_ERRNO(read(fd, &count, 4), EINVAL);
    CHECK_EQ(read(fd, &count, sizeof count), 8);
    CHECK(count >= 8);
    CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
    CHECK_EQ(read(fd, &count, sizeof count), 8); // blocks for the next
    CHECK(count >= 1);
    wanted = spec(20 * ms, 0);
    CHECK_EQ(timerfd_settime(fd, 0, &wanted, &now), 0);
    CHECK_EQ(now.it_interval.tv_nsec, 5 * ms);
    CHECK_EQ(read(fd, &count, sizeof count), 8);
    CHECK_EQ(count, 1);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK_EQ(now.it_value.tv_sec + now.it_value.tv_nsec, 0);
    wanted = spec(0, 7 * ms); // off, and still tells the period that it was given
    CHECK_EQ(timerfd_settime(fd, 0, &wanted, NULL), 0);
    CHECK_EQ(timerfd_gettime(fd, &now), 0);
    CHECK_EQ(now.it_interval.tv_nsec, 7 * ms);
    CHECK_EQ(now.it_value.tv_sec + now.it_value.tv_nsec, 0);
    wanted = spec(0, 0);
    clock_gettime(CLOCK_MONOTONIC, &wanted.it_value);
    wanted.it_value.tv_sec -= 1, wanted.it_interval.tv_nsec = 100 * ms; // ten periods ago
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &wanted, NULL), 0);
    CHECK_EQ(read(fd, &count, sizeof count), 8);
    CHECK(count >= 10);
    CHECK_ERRNO(timerfd_create(99, 0), EINVAL);
    CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
    CHECK_ERRNO(timerfd_gettime(0, &now), EINVAL);
    CHECK_ERRNO(timerfd_gettime(-1, &now), EBADF);
}

// --- the wall clock is set ---

static void move_clock(long seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += seconds;
    CHECK_EQ(clock_settime(CLOCK_REALTIME, &now), 0);
}
static struct itimerspec wall_in(long seconds) {
    struct itimerspec at = {0};
    clock_gettime(CLOCK_REALTIME, &at.it_value);
    at.it_value.tv_sec += seconds;
    return at;
}
static bool is_ready(int fd, int wait_ms) { return poll(&(struct pollfd){fd, POLLIN, 0}, 1, wait_ms) == 1; }

static void clock_set(void) {
    block(SIGRTMIN);
    block(SIGRTMIN + 1);
    const timer_t absolute_one = make_timer(CLOCK_REALTIME, SIGRTMIN, NULL);
    const timer_t relative = make_timer(CLOCK_REALTIME, SIGRTMIN + 1, NULL);
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK), span = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    struct itimerspec at = wall_in(1000), in = spec(0, 0);
    in.it_value.tv_sec = 1000;
    CHECK_EQ(timer_settime(absolute_one, TIMER_ABSTIME, &at, NULL), 0);
    CHECK_EQ(timer_settime(relative, 0, &in, NULL), 0);
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL), 0);
    CHECK_EQ(timerfd_settime(span, 0, &in, NULL), 0);
    move_clock(-600);
    CHECK(left(absolute_one) > 1500l * 1000 * ms && left(relative) <= 1000l * 1000 * ms);
    CHECK_EQ(timerfd_gettime(fd, &in), 0);
    CHECK(in.it_value.tv_sec > 1500);
    CHECK(!is_ready(fd, 0) && !pends(SIGRTMIN));
    move_clock(2000);
    await(SIGRTMIN);
    CHECK(is_ready(fd, 10000));
    uint64_t count;
    CHECK_EQ(read(fd, &count, sizeof count), 8);
    CHECK_EQ(count, 1);
    CHECK(!is_ready(span, 0) && !pends(SIGRTMIN + 1)); // a span is a span
    // One with a period: its expiries too are times of day.
    at = wall_in(100), at.it_interval.tv_sec = 100;
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL), 0);
    move_clock(450);
    CHECK(is_ready(fd, 10000));
    CHECK_EQ(read(fd, &count, sizeof count), 8);
    CHECK_EQ(count, 4);
    CHECK_EQ(timerfd_gettime(fd, &in), 0);
    CHECK(in.it_value.tv_sec < 51);
    move_clock(-1850);
}

static void clock_set_cancels(void) {
    int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
    const int cancelable = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
    struct itimerspec at = wall_in(1000), in = spec(0, 0);
    in.it_value.tv_sec = 1000;
    uint64_t count;
    CHECK_EQ(timerfd_settime(fd, cancelable, &at, NULL), 0);
    CHECK_ERRNO(read(fd, &count, sizeof count), EAGAIN);
    move_clock(1);
    CHECK(is_ready(fd, 0));
    CHECK_ERRNO(read(fd, &count, sizeof count), ECANCELED);
    CHECK_ERRNO(read(fd, &count, sizeof count), EAGAIN); // said once
    CHECK_EQ(timerfd_gettime(fd, &in), 0);
    CHECK(in.it_value.tv_sec > 900); // and it runs on
    move_clock(-1);
    CHECK_ERRNO(timerfd_settime(fd, cancelable, &at, NULL), ECANCELED); // set all the same
    CHECK_ERRNO(read(fd, &count, sizeof count), EAGAIN);
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_CANCEL_ON_SET, &in, NULL), 0); // nothing to cancel about a span
    move_clock(1);
    CHECK(!is_ready(fd, 0));
    CHECK_EQ(timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL), 0);
    move_clock(-1);
    CHECK(!is_ready(fd, 0));
    CHECK_ERRNO(timerfd_settime(fd, 4, &at, NULL), EINVAL);
    // A reader that sleeps wakes.
    CHECK_EQ(timerfd_settime(fd, cancelable, &at, NULL), 0);
    CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
    pid_t reader = fork();
    if (reader == 0)
        _exit(read(fd, &count, sizeof count) == -1 ? errno : 0);
    CHECK_SOON(check_state_of(reader) == 'S', 5);
    move_clock(0);
    CHECK_EXITED(check_reap(reader), ECANCELED);
}

static void sleep_to(void) {
    const struct itimerspec at = wall_in(1000);
    _exit(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at.it_value, NULL));
}
static void sleep_for(void) {
    clock_nanosleep(CLOCK_REALTIME, 0, &(struct timespec){1000, 0}, NULL);
    _exit(1);
}
static void futex_to(void) {
    static int word;
    const struct itimerspec at = wall_in(1000);
    long got = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &at.it_value, NULL, -1);
    _exit(got == -1 ? errno : 0);
}
static void clock_set_for_sleepers(void) {
    pid_t to = spawn(sleep_to), futex = spawn(futex_to), span = spawn(sleep_for);
    CHECK_SOON(check_state_of(to) == 'S' && check_state_of(futex) == 'S' && check_state_of(span) == 'S', 5);
    move_clock(-500);
    check_sleep_ms(20);
    CHECK_EQ(waitpid(-1, NULL, WNOHANG), 0);
    move_clock(1500);
    CHECK_EXITED(check_reap(to), 0);
    CHECK_EXITED(check_reap(futex), ETIMEDOUT);
    CHECK_EQ(waitpid(span, NULL, WNOHANG), 0);
    kill(span, SIGKILL);
    check_reap(span);
    move_clock(-1000);
}

// --- what is executed ---

static int no_timer(void) {
    struct itimerspec now;
    if (syscall(SYS_timer_gettime, 0, &now) != -1 || errno != EINVAL)
        return 1;
    check_sleep_ms(100);
    return pends(SIGUSR1) ? 2 : 0;
}
static int two_alarms(void) {
    struct itimerval now;
    getitimer(ITIMER_PROF, &now);
    if (now.it_value.tv_sec < 50)
        return 4;
    signal(SIGALRM, tick);
    const double end = check_now() + 10;
    while (ticks < 2 && check_now() < end)
        check_sleep_ms(5);
    return ticks >= 2 ? 0 : 5;
}

static const struct check_case cases[] = {
    {"a timer of each wall clock sends its signal once, with its number and value", wall_clocks, 0, false},
    {"absolute times are of the timer's clock, and one in the past expires at once", absolute, 0, false},
    {"a periodic timer whose signal waits counts overruns and queues one signal", overruns, 0, false},
    {"a periodic timer whose signal is ignored sends it again once it is not", ignored, 0, false},
    {"a timer that is disarmed sends nothing, and settime returns what was set", disarm, 0, false},
    {"SIGEV_NONE runs without a signal", no_signal, 0, false},
    {"a timer of the process's CPU clock stands while it sleeps", process_clock, 0, false},
    {"a timer of a thread's CPU clock does not count other threads", thread_clock, 0, false},
    {"SIGEV_THREAD_ID signals that thread alone", to_one_thread, 0, false},
    {"SIGEV_THREAD works as the C library makes it", by_library, 0, false},
    {"timer calls refuse bad clocks, events, times and numbers", errors, 0, false},
    {"RLIMIT_SIGPENDING counts timers and queued signals of all processes of a user", pending_limit, 0, false},
    {"EC-121 fork inherits no timer, and the parent's goes on", not_in_a_fork, 0, false},
    {"EC-121 exec deletes timers with the signals they queued", exec_deletes, 0, false},
    {"EC-120 exec keeps interval timers, real and virtual", exec_keeps_itimers, 0, false},
    {"EC-121 EC-120 a borrower's timers are its own, the lender's run on and fire in the lender", timers_of_a_loan, 0,
     false},
    {"EC-121 a borrower's exec leaves the lender's timers alone", exec_in_a_loan, 0, false},
    {"timerfd: reads count expiries, poll waits for them", descriptor, 0, false},
    // Not on other people's machines.
    {"when the clock is set, absolute timers of it expire by the new time, spans do not", clock_set, 0, true},
    {"TFD_TIMER_CANCEL_ON_SET tells a reader, once, that the clock was set", clock_set_cancels, 0, true},
    {"who sleeps or waits for a futex until a time of day follows the clock", clock_set_for_sleepers, 0, true},
};
int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@no-timer") == 0)
        return no_timer();
    if (argc > 1 && strcmp(argv[1], "@alarm") == 0)
        return two_alarms();
    if (argc > 1 && strcmp(argv[1], "@exit") == 0)
        return 3;
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

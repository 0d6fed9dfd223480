// SPDX-License-Identifier: BSD-2-Clause
// Signals between processes and threads: stops and continues, their reports, groups, orphans, which thread takes what,
// and the end of a process with many threads.
#include "check.h"

#include <pthread.h>

static volatile sig_atomic_t count, last_code, last_pid;
static void on_signal(int number) {
    (void)number;
    ++count;
}
static void on_child(int number, siginfo_t* info, void* context) {
    (void)number, (void)context;
    last_code = info->si_code;
    last_pid = info->si_pid;
    ++count;
}
static void handle(int number, int flags, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK_EQ(sigaction(number, &action, NULL), 0);
}
static void handle_children(int flags) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = flags | SA_SIGINFO | SA_RESTART};
    CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
}
static void mask(int how, int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    CHECK_EQ(pthread_sigmask(how, &set, NULL), 0);
}
static pid_t idle_child(void) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        for (;;)
            pause();
    return child;
}
static volatile long* shared(void) {
    void* page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    return page;
}

// --- stops and continues ---

static void stop_and_continue(void) {
    handle_children(0);
    pid_t child = idle_child();
    int status;
    CHECK_EQ(waitpid(child, &status, WNOHANG | WUNTRACED | WCONTINUED), 0);
    kill(child, SIGSTOP);
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK_SOON(count == 1, 5);
    CHECK_EQ(last_code, CLD_STOPPED);
    CHECK_EQ(last_pid, child);
    CHECK_EQ(waitpid(child, &status, WNOHANG | WUNTRACED), 0); // reported once
    kill(child, SIGSTOP);                                      // already stopped: nothing new
    check_sleep_ms(50);
    CHECK_EQ(waitpid(child, &status, WNOHANG | WUNTRACED), 0);
    kill(child, SIGCONT);
    CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
    CHECK(WIFCONTINUED(status));
    CHECK_SOON(count == 2, 5);
    CHECK_EQ(last_code, CLD_CONTINUED);
    CHECK_EQ(waitpid(child, &status, WNOHANG | WCONTINUED), 0);
    kill(child, SIGCONT); // goes on already: no report
    check_sleep_ms(50);
    CHECK_EQ(waitpid(child, &status, WNOHANG | WCONTINUED), 0);
    siginfo_t info = {0};
    kill(child, SIGTSTP);
    // The case's group has a parent outside it in the session, so it is not orphaned and the stop counts.
    CHECK_EQ(waitid(P_PID, child, &info, WSTOPPED | WNOWAIT), 0);
    CHECK_EQ(info.si_code, CLD_STOPPED);
    CHECK_EQ(info.si_status, SIGTSTP);
    CHECK_EQ(waitid(P_PID, child, &info, WSTOPPED), 0);
    kill(child, SIGKILL);
    CHECK_SIGNALED(check_reap(child), SIGKILL);
}

static void no_stop_reports(void) {
    handle_children(SA_NOCLDSTOP);
    pid_t child = idle_child();
    int status;
    kill(child, SIGSTOP);
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child); // wait still sees it
    kill(child, SIGCONT);
    CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
    check_sleep_ms(50);
    CHECK_EQ(count, 0);
    kill(child, SIGTERM);
    CHECK_SIGNALED(check_reap(child), SIGTERM);
    CHECK_SOON(count == 1, 5);
    CHECK_EQ(last_code, CLD_KILLED);
}

static void stopped_keeps_signals(void) {
    volatile long* got = shared();
    pid_t child = fork();
    if (child == 0) {
        handle(SIGUSR1, 0, on_signal);
        handle(SIGCONT, 0, on_signal);
        got[1] = 1;
        for (;;) {
            got[0] = count;
            check_sleep_ms(1);
        }
    }
    CHECK_SOON(got[1] == 1, 5);
    kill(child, SIGSTOP);
    int status;
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    kill(child, SIGUSR1);
    check_sleep_ms(100);
    CHECK_EQ(got[0], 0);
    kill(child, SIGCONT);
    CHECK_SOON(got[0] == 2, 5); // SIGCONT's handler runs too
    kill(child, SIGSTOP);
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    double start = check_now();
    kill(child, SIGKILL); // needs no SIGCONT
    CHECK_SIGNALED(check_reap(child), SIGKILL);
    CHECK(check_now() - start < 2);
}

static void stop_and_cont_cancel(void) {
    mask(SIG_BLOCK, SIGTSTP);
    mask(SIG_BLOCK, SIGCONT);
    handle(SIGCONT, 0, on_signal);
    sigset_t pending;
    kill(getpid(), SIGTSTP);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGTSTP));
    kill(getpid(), SIGCONT);
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGTSTP) && sigismember(&pending, SIGCONT));
    kill(getpid(), SIGTSTP);
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGTSTP) && !sigismember(&pending, SIGCONT));
    kill(getpid(), SIGCONT);
}

static void orphans_do_not_stop(void) {
    pid_t child = fork();
    if (child == 0) {
        CHECK(setsid() > 0); // nobody in this session but us: nobody could continue us
        kill(getpid(), SIGTSTP);
        kill(getpid(), SIGTTIN);
        kill(getpid(), SIGTTOU);
        _exit(12);
    }
    CHECK_EXITED(check_reap(child), 12);
}

static void orphaned_group_is_told(void) {
    volatile long* seen = shared();
    pid_t leader = fork();
    if (leader == 0) {
        CHECK(setsid() > 0);
        pid_t member = fork();
        if (member == 0) {
            setpgid(0, 0);
            handle(SIGHUP, 0, on_signal);
            seen[0] = getpid();
            kill(getpid(), SIGSTOP);
            while (count == 0)
                check_sleep_ms(1);
            seen[1] = 1;
            _exit(0);
        }
        int status;
        CHECK_EQ(waitpid(member, &status, WUNTRACED), member);
        _exit(0); // its end orphans the stopped member's group: SIGHUP and SIGCONT
    }
    CHECK_EXITED(check_reap(leader), 0);
    CHECK_SOON(seen[1] == 1, 5);
}

static void group_kill(void) {
    pid_t children[3];
    for (int i = 0; i < 3; ++i) {
        children[i] = fork();
        if (children[i] == 0) {
            for (;;)
                pause();
        }
        CHECK_EQ(setpgid(children[i], children[0]), 0);
    }
    CHECK_EQ(kill(-children[0], SIGTERM), 0);
    for (int i = 0; i < 3; ++i)
        CHECK_SIGNALED(check_reap(children[i]), SIGTERM);
    CHECK_ERRNO(kill(-children[0], SIGTERM), ESRCH);
}

static void init_is_immune(void) {
    if (getuid() != 0 || check_on_linux())
        return;
    CHECK_EQ(kill(1, SIGKILL), 0);
    CHECK_EQ(kill(1, SIGSTOP), 0);
    CHECK_EQ(kill(1, SIGUSR1), 0);
    check_sleep_ms(50);
    CHECK_EQ(kill(1, 0), 0);
}

// --- threads ---

static volatile long taken_by;
static pthread_barrier_t barrier;
static void take(int number) {
    (void)number;
    taken_by = (long)pthread_self();
    ++count;
}
static void* wait_unblocked(void* argument) {
    mask(SIG_UNBLOCK, SIGUSR1);
    pthread_barrier_wait(&barrier);
    while (count == 0)
        check_sleep_ms(1);
    return argument;
}
static void unblocked_thread_takes(void) {
    handle(SIGUSR1, 0, take);
    mask(SIG_BLOCK, SIGUSR1);
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    CHECK_EQ(pthread_create(&thread, NULL, wait_unblocked, NULL), 0);
    pthread_barrier_wait(&barrier);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(count, 1);
    CHECK_EQ(taken_by, (long)thread);
}

static void* wait_directed(void* argument) {
    pthread_barrier_wait(&barrier);
    while (taken_by != (long)pthread_self())
        check_sleep_ms(1);
    return argument;
}
static void directed_at_thread(void) {
    handle(SIGUSR1, 0, take);
    pthread_t thread;
    pthread_barrier_init(&barrier, NULL, 2);
    CHECK_EQ(pthread_create(&thread, NULL, wait_directed, NULL), 0);
    pthread_barrier_wait(&barrier);
    CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(count, 1);
}

static void* wait_in_sigwait(void* argument) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    int number = 0;
    pthread_barrier_wait(&barrier);
    CHECK_EQ(sigwait(&set, &number), 0);
    CHECK_EQ(number, SIGUSR1);
    return argument;
}
static void sigwait_thread(void) {
    mask(SIG_BLOCK, SIGUSR1);
    pthread_t threads[4];
    pthread_barrier_init(&barrier, NULL, 5);
    for (int i = 0; i < 4; ++i)
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_in_sigwait, NULL), 0);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 4; ++i) {
        check_sleep_ms(30);
        kill(getpid(), SIGUSR1); // each wakes one of them
    }
    for (int i = 0; i < 4; ++i)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static volatile long* beats;
static void* beat(void* argument) {
    long i = (long)argument;
    for (;;) {
        ++beats[i];
        if (i % 2)
            check_sleep_ms(1); // some stop in the kernel, some in user mode
    }
    return NULL;
}
static pid_t beating_child(void) {
    beats = shared();
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        for (long i = 1; i < 6; ++i)
            CHECK_EQ(pthread_create(&thread, NULL, beat, (void*)i), 0);
        beat((void*)0);
    }
    for (int i = 0; i < 6; ++i)
        CHECK_SOON(beats[i] > 0, 10);
    return child;
}
static long all_beats(void) {
    long sum = 0;
    for (int i = 0; i < 6; ++i)
        sum += beats[i];
    return sum;
}
static void stop_stops_threads(void) {
    pid_t child = beating_child();
    int status;
    for (int round = 0; round < 5; ++round) {
        kill(child, SIGSTOP);
        CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
        long before = all_beats();
        check_sleep_ms(30);
        CHECK_EQ(all_beats(), before); // the report came when the last one had stopped
        kill(child, SIGCONT);
        CHECK_EQ(waitpid(child, &status, WCONTINUED), child);
        long seen[6];
        for (int i = 0; i < 6; ++i)
            seen[i] = beats[i];
        for (int i = 0; i < 6; ++i)
            CHECK_SOON(beats[i] > seen[i], 5);
    }
    kill(child, SIGTERM);
    CHECK_SIGNALED(check_reap(child), SIGTERM);
}
static void kill_ends_threads(void) {
    for (int round = 0; round < 5; ++round) {
        pid_t child = beating_child();
        if (round % 2) {
            int status;
            kill(child, SIGSTOP);
            CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
        }
        kill(child, SIGKILL);
        CHECK_SIGNALED(check_reap(child), SIGKILL);
        long before = all_beats();
        check_sleep_ms(10);
        CHECK_EQ(all_beats(), before);
    }
}
static void* crash(void* argument) {
    check_sleep_ms(20);
    *(volatile char*)argument = 1;
    return NULL;
}
static void thread_crash_ends_all(void) {
    pid_t child = fork();
    if (child == 0) {
        static volatile uintptr_t nowhere = 16;
        pthread_t thread;
        pthread_create(&thread, NULL, crash, (void*)nowhere);
        for (;;)
            pause();
    }
    CHECK_SIGNALED(check_reap(child), SIGSEGV);
}
static void* exit_holding_signal(void* argument) {
    pthread_barrier_wait(&barrier);
    return argument;
}
static void signal_outlives_thread(void) {
    // A signal of the whole process must not go with a thread that was about to take it.
    handle(SIGUSR1, SA_RESTART, on_signal);
    for (int round = 0; round < 200; ++round) {
        pthread_t thread;
        count = 0;
        mask(SIG_UNBLOCK, SIGUSR1);
        pthread_barrier_init(&barrier, NULL, 2);
        CHECK_EQ(pthread_create(&thread, NULL, exit_holding_signal, NULL), 0);
        mask(SIG_BLOCK, SIGUSR1);
        pthread_barrier_wait(&barrier);
        kill(getpid(), SIGUSR1); // to the thread that is just leaving, or to nobody yet
        CHECK_EQ(pthread_join(thread, NULL), 0);
        mask(SIG_UNBLOCK, SIGUSR1);
        CHECK_EQ(count, 1);
    }
}

// --- storms ---

static void storm(void) {
    // Random signals, stops and continues between four processes for a while: nobody may hang or be lost.
    volatile long* rounds = shared();
    pid_t children[4];
    for (int i = 0; i < 4; ++i) {
        children[i] = fork();
        if (children[i] == 0) {
            handle(SIGUSR1, SA_RESTART, on_signal);
            handle(SIGUSR2, 0, on_signal);
            handle(SIGRTMIN, SA_RESTART, on_signal);
            for (;;) {
                ++rounds[i];
                if (rounds[i] % 3 == 0) {
                    struct timespec brief = {0, 100000};
                    nanosleep(&brief, NULL);
                }
                if (rounds[i] % 50 == 0) {
                    pid_t grandchild = fork();
                    if (grandchild == 0)
                        _exit(3);
                    if (grandchild > 0)
                        CHECK_EXITED(check_reap(grandchild), 3);
                }
            }
        }
    }
    for (int i = 0; i < 4; ++i)
        CHECK_SOON(rounds[i] > 0, 10); // their handlers are in place
    unsigned seed = 12345;
    double end = check_now() + 5;
    while (check_now() < end) {
        seed = seed * 1103515245 + 12345;
        static const int kinds[] = {SIGUSR1, SIGUSR2, SIGSTOP, SIGCONT, SIGTSTP, SIGCONT, SIGUSR1, SIGWINCH};
        kill(children[seed >> 16 & 3], seed >> 20 & 1 ? kinds[seed >> 24 & 7] : SIGRTMIN);
    }
    for (int i = 0; i < 4; ++i)
        kill(children[i], SIGCONT);
    for (int i = 0; i < 4; ++i) {
        long before = rounds[i];
        CHECK_SOON(rounds[i] > before, 10);
        kill(children[i], SIGKILL);
        CHECK_SIGNALED(check_reap(children[i]), SIGKILL);
    }
}

static const struct check_case cases[] = {
    {"a stop and a continue are reported once each, by wait and by SIGCHLD", stop_and_continue, 0, false},
    {"SA_NOCLDSTOP: no SIGCHLD for stops, wait sees them all the same", no_stop_reports, 0, false},
    {"a stopped process keeps its signals, and SIGKILL ends it at once", stopped_keeps_signals, 0, false},
    {"stop signals and SIGCONT cancel each other while they pend", stop_and_cont_cancel, 0, false},
    {"terminal stops do nothing to an orphaned process group", orphans_do_not_stop, 0, false},
    {"a stopped group that becomes orphaned gets SIGHUP and SIGCONT", orphaned_group_is_told, 0, false},
    {"kill of a group reaches all its members", group_kill, 0, false},
    {"init survives signals that it has no handler for", init_is_immune, 0, false},
    {"a process's signal goes to a thread that does not block it", unblocked_thread_takes, 0, false},
    {"a thread's signal goes to that thread", directed_at_thread, 0, false},
    {"threads in sigwait share the signals of their process", sigwait_thread, 0, false},
    {"SIGSTOP stops all threads before it is reported, SIGCONT starts them", stop_stops_threads, 40, false},
    {"SIGKILL ends all threads, running, sleeping or stopped", kill_ends_threads, 40, false},
    {"a crash in one thread ends the whole process", thread_crash_ends_all, 0, false},
    {"a process's signal outlives the thread that it was meant for", signal_outlives_thread, 40, false},
    {"a storm of signals, stops and continues loses nobody", storm, 60, false},
};
CHECK_MAIN(cases)

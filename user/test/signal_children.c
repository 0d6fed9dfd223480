// SPDX-License-Identifier: BSD-2-Clause
// Signals between processes and threads: SIGCHLD and its rules, job-control stops, waitid, signals to
// threads, signalfd.
#include "signal_notes.h"

#include <pthread.h>
#include <sys/signalfd.h>

// --- children ---

static void child_rules(void) {
    int status;
    signal(SIGCHLD, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0)
        _exit(1);
    CHECK_ERRNO(waitpid(pid, &status, 0), ECHILD); // waits until it is gone
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NOCLDWAIT};
    sigaction(SIGCHLD, &action, NULL);
    pid = fork();
    if (pid == 0)
        _exit(1);
    while (waitpid(pid, &status, 0) != -1 || errno == EINTR) {
    }
    CHECK_EQ(errno, ECHILD);
    CHECK_EQ(handled, 1); // with a handler, the signal still comes
}

static void child_info(void) {
    int status;
    act_info(SIGCHLD, 0);
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        raise(SIGKILL);
    }
    CHECK_SOON(handled == 1, 5);
    CHECK_EQ(info.si_code, CLD_STOPPED);
    CHECK_EQ(info.si_status, SIGSTOP);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    kill(pid, SIGCONT);
    CHECK_SOON(handled >= 2, 5);
    CHECK_SOON(info.si_code == CLD_KILLED, 5);
    CHECK_EQ(info.si_status, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
    // SA_NOCLDSTOP: no signal for stops.
    handled = 0;
    act_info(SIGCHLD, SA_NOCLDSTOP);
    pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        _exit(6);
    }
    while (waitpid(pid, &status, WUNTRACED) < 0 && errno == EINTR) {
    }
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(handled, 0);
    kill(pid, SIGCONT);
    CHECK_EXITED(check_reap(pid), 6);
    CHECK_EQ(handled, 1);
}

static void job_control(void) {
    int status;
    volatile int* beats = shared_memory(4096);
    pid_t pid = fork();
    if (pid == 0)
        for (;;) {
            ++*beats;
            check_sleep_ms(1);
        }
    static const int stops[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    for (int i = 0; i < 4; ++i) {
        CHECK_SOON(*beats > 0, 5);
        kill(pid, stops[i]);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == stops[i]);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0); // told once
        CHECK(check_state_of(pid) == 'T');
        int before = *beats;
        check_sleep_ms(30);
        CHECK_EQ(*beats, before);
        kill(pid, SIGCONT);
        CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
        CHECK(WIFCONTINUED(status));
        CHECK_SOON(*beats > before, 5);
    }
    kill(pid, SIGSTOP);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    kill(pid, SIGTERM); // waits until it is continued
    check_sleep_ms(30);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
    kill(pid, SIGCONT);
    CHECK_SIGNALED(check_reap(pid), SIGTERM);
}

static void stop_continue_cancel(void) {
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        block(SIG_BLOCK, SIGTSTP);
        raise(SIGTSTP);
        raise(SIGCONT); // takes the pending stop away, though it is ignored itself
        CHECK(!is_pending(SIGTSTP));
        block(SIG_UNBLOCK, SIGTSTP);
        _exit(9);
    }
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_EXITED(status, 9);
}

static void wait_id(void) {
    siginfo_t i;
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        _exit(40);
    }
    memset(&i, 0, sizeof i);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &i, WSTOPPED | WNOWAIT), 0);
    CHECK_EQ(i.si_code, CLD_STOPPED);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &i, WSTOPPED), 0);
    memset(&i, 1, sizeof i);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &i, WSTOPPED | WEXITED | WNOHANG), 0);
    CHECK_EQ(i.si_pid, 0);
    kill(pid, SIGCONT);
    CHECK_EQ(waitid(P_ALL, 0, &i, WEXITED | WNOWAIT), 0);
    CHECK_EQ(i.si_pid, pid);
    CHECK_EQ(i.si_code, CLD_EXITED);
    CHECK_EQ(i.si_status, 40);
    CHECK_EQ(i.si_signo, SIGCHLD);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &i, WEXITED), 0);
    CHECK_ERRNO(waitid(P_PID, (id_t)pid, &i, WEXITED), ECHILD);
    CHECK_ERRNO(waitid(P_PID, (id_t)pid, &i, 0), EINVAL);
}

// --- threads ---

static volatile pid_t handled_in;
static void note_thread(int number) {
    handled_in = (pid_t)syscall(SYS_gettid);
    handled += number > 0;
}
static volatile pid_t other_tid;
static volatile int stop;
static void* wait_around(void* blocked) {
    sigset_t set;
    if (blocked) {
        sigfillset(&set);
        pthread_sigmask(SIG_SETMASK, &set, NULL);
    }
    other_tid = (pid_t)syscall(SYS_gettid);
    while (!stop)
        check_sleep_ms(1);
    return NULL;
}
static void to_threads(void) {
    pthread_t thread;
    signal(SIGUSR1, note_thread);
    CHECK_EQ(pthread_create(&thread, NULL, wait_around, NULL), 0);
    CHECK_SOON(other_tid, 5);
    CHECK_EQ(pthread_kill(thread, SIGUSR1), 0);
    CHECK_SOON(handled == 1, 5);
    CHECK_EQ(handled_in, other_tid);
    // To the process: a thread that does not block it takes it.
    block(SIG_BLOCK, SIGUSR1);
    kill(getpid(), SIGUSR1);
    CHECK_SOON(handled == 2, 5);
    CHECK_EQ(handled_in, other_tid);
    stop = 1;
    pthread_join(thread, NULL);
    stop = other_tid = 0;
    CHECK_EQ(pthread_create(&thread, NULL, wait_around, (void*)1), 0);
    CHECK_SOON(other_tid, 5);
    kill(getpid(), SIGUSR1);
    check_sleep_ms(20);
    CHECK_EQ(handled, 2);
    CHECK(is_pending(SIGUSR1));
    block(SIG_UNBLOCK, SIGUSR1);
    CHECK_SOON(handled == 3, 5);
    CHECK_EQ(handled_in, getpid());
    stop = 1;
    pthread_join(thread, NULL);
}

static volatile int* volatile nowhere;
static void* crash(void* unused) {
    *nowhere = 1;
    return unused;
}
static void fatal_in_thread(void) {
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, crash, NULL);
        for (;;)
            pause();
    }
    CHECK_SIGNALED(check_reap(pid), SIGSEGV);
}

static void signal_fd(void) {
    sigset_t set;
    struct signalfd_siginfo i;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_ERRNO(read(fd, &i, sizeof i), EAGAIN);
    raise(SIGUSR1);
    CHECK_EQ(read(fd, &i, sizeof i), (long)sizeof i);
    CHECK_EQ(i.ssi_signo, SIGUSR1);
    CHECK_EQ(i.ssi_pid, getpid());
    // Another set for the same one.
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR2);
    CHECK_ERRNO(read(fd, &i, sizeof i), EAGAIN);
    CHECK_EQ(signalfd(fd, &set, 0), fd);
    CHECK_EQ(read(fd, &i, sizeof i), (long)sizeof i);
    CHECK_EQ(i.ssi_signo, SIGUSR2);
    raise(SIGUSR1);
    CHECK_ERRNO(read(fd, &i, sizeof i), EAGAIN);
    int pair[2];
    CHECK(pipe(pair) == 0);
    CHECK_ERRNO(signalfd(pair[0], &set, 0), EINVAL);
    CHECK_ERRNO(signalfd(999, &set, 0), EBADF);
}

static const struct check_case cases[] = {
    {"SIGCHLD ignored or SA_NOCLDWAIT: children vanish and wait gives ECHILD", child_rules, 0, false},
    {"SIGCHLD tells stops and deaths, SA_NOCLDSTOP hides stops", child_info, 0, false},
    {"stop signals stop, waitpid tells once, SIGCONT continues", job_control, 0, false},
    {"SIGCONT takes away a pending stop", stop_continue_cancel, 0, false},
    {"waitid with WNOWAIT, WSTOPPED, WEXITED and WNOHANG", wait_id, 0, false},
    {"signals go to the thread meant, or to one that does not block them", to_threads, 0, false},
    {"a fatal signal in one thread ends the process", fatal_in_thread, 0, false},
    {"signalfd reads signals, and takes another set", signal_fd, 0, false},
};
CHECK_MAIN(cases)

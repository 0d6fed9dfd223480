// SPDX-License-Identifier: BSD-2-Clause
// Files that tell their owner by a signal when they become ready: O_ASYNC, F_SETOWN, F_SETSIG.
#define _GNU_SOURCE
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { rt = 40 };

static void block(int signo) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signo);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
}

// Takes `signo`, which is blocked; false if it does not come.
static bool comes(int signo, siginfo_t* info) {
    sigset_t set;
    siginfo_t none;
    sigemptyset(&set);
    sigaddset(&set, signo);
    struct timespec limit = {5, 0};
    return sigtimedwait(&set, info ? info : &none, &limit) == signo;
}

// Nothing is on its way: what would have sent one has returned.
static bool is_pending(int signo) {
    sigset_t set;
    CHECK_EQ(sigpending(&set), 0);
    return sigismember(&set, signo);
}

static void tell_me(int fd) {
    CHECK_EQ(fcntl(fd, F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC), 0);
}

static void owners(void) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    struct f_owner_ex owner = {7, 7};
    CHECK_EQ(fcntl(ends[0], F_GETOWN_EX, &owner), 0);
    CHECK_EQ(owner.pid, 0);
    CHECK_EQ(fcntl(ends[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(ends[0], F_GETOWN_EX, &owner), 0);
    CHECK_EQ(owner.type, F_OWNER_PID);
    CHECK_EQ(owner.pid, getpid());
    CHECK_EQ(syscall(SYS_fcntl, ends[0], F_GETOWN), getpid());
    CHECK_EQ(fcntl(ends[0], F_SETOWN, -getpgrp()), 0);
    CHECK_EQ(fcntl(ends[0], F_GETOWN), -getpgrp());
    CHECK_EQ(fcntl(ends[0], F_GETOWN_EX, &owner), 0);
    CHECK_EQ(owner.type, F_OWNER_PGRP);
    CHECK_EQ(owner.pid, getpgrp());
    owner = (struct f_owner_ex){F_OWNER_TID, gettid()};
    CHECK_EQ(fcntl(ends[0], F_SETOWN_EX, &owner), 0);
    owner.type = 3;
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN_EX, &owner), EINVAL);
    owner = (struct f_owner_ex){F_OWNER_PID, 99999};
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN_EX, &owner), ESRCH);
    CHECK_ERRNO(fcntl(ends[0], F_SETOWN, 99999), ESRCH);
    CHECK_EQ(fcntl(ends[0], F_GETOWN_EX, &owner), 0);
    CHECK_EQ(owner.type, F_OWNER_TID); // as before
    CHECK_EQ(owner.pid, gettid());

    pid_t child = fork();
    if (child == 0)
        _exit(0);
    CHECK_EQ(fcntl(ends[0], F_SETOWN, child), 0);
    CHECK_EXITED(check_reap(child), 0);
    CHECK_EQ(fcntl(ends[0], F_GETOWN), 0); // it is gone
    CHECK_EQ(fcntl(ends[0], F_SETOWN, 0), 0);
    CHECK_EQ(fcntl(ends[0], F_GETOWN), 0);

    CHECK_EQ(fcntl(ends[0], F_GETSIG), 0);
    CHECK_EQ(fcntl(ends[0], F_SETSIG, rt), 0);
    CHECK_EQ(fcntl(ends[0], F_GETSIG), rt);
    CHECK_ERRNO(fcntl(ends[0], F_SETSIG, 65), EINVAL);
    CHECK_EQ(fcntl(ends[1], F_GETSIG), 0);
}

static void plain_pipe(void) {
    int ends[2];
    siginfo_t info;
    char byte;
    block(SIGIO);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(fcntl(ends[0], F_SETOWN, getpid()), 0);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(!is_pending(SIGIO)); // an owner alone does nothing
    CHECK_EQ(fcntl(ends[0], F_SETFL, O_ASYNC), 0);
    CHECK_EQ(fcntl(ends[0], F_GETFL) & O_ASYNC, O_ASYNC);
    CHECK_EQ(fcntl(ends[1], F_GETFL) & O_ASYNC, 0);
    CHECK(!is_pending(SIGIO)); // what was there before is no news
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(is_pending(SIGIO)); // as soon as write returns
    CHECK(comes(SIGIO, &info));
    CHECK_EQ(info.si_code, SI_KERNEL);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    CHECK(!is_pending(SIGIO)); // room is no news for who reads
    CHECK_EQ(fcntl(ends[0], F_SETFL, 0), 0);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(!is_pending(SIGIO));
    int on = 1;
    CHECK_EQ(ioctl(ends[0], FIOASYNC, &on), 0);
    CHECK_EQ(fcntl(ends[0], F_GETFL) & O_ASYNC, O_ASYNC);
    CHECK_EQ(close(ends[1]), 0);
    CHECK(comes(SIGIO, &info)); // the end of the file is news
}

static void described(void) {
    int ends[2];
    siginfo_t info;
    char bytes[4096] = {0};
    block(rt);
    block(SIGIO);
    block(SIGCHLD);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(fcntl(ends[0], F_SETSIG, rt), 0);
    tell_me(ends[0]);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(comes(rt, &info));
    CHECK_EQ(info.si_code, POLL_IN);
    CHECK_EQ(info.si_band, POLLIN | POLLRDNORM);
    CHECK_EQ(info.si_fd, ends[0]);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(comes(rt, &info));
    CHECK(comes(rt, &info)); // they queue
    CHECK(!is_pending(rt));
    CHECK(!is_pending(SIGIO));
    CHECK_EQ(fcntl(ends[0], F_SETSIG, SIGCHLD), 0); // whose codes are taken
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(comes(SIGCHLD, &info));
    CHECK_EQ(info.si_code, SI_SIGIO);
    CHECK_EQ(info.si_fd, ends[0]);
    CHECK_EQ(fcntl(ends[0], F_SETSIG, SIGIO), 0);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(comes(SIGIO, &info));
    CHECK_EQ(info.si_code, POLL_IN);

    CHECK_EQ(fcntl(ends[0], F_SETFL, 0), 0);
    CHECK_EQ(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
    while (write(ends[1], bytes, sizeof bytes) > 0) {
    }
    CHECK_EQ(fcntl(ends[1], F_SETSIG, rt), 0);
    tell_me(ends[1]);
    CHECK_EQ(read(ends[0], bytes, sizeof bytes), sizeof bytes);
    CHECK(comes(rt, &info));
    CHECK_EQ(info.si_code, POLL_OUT);
    CHECK_EQ(info.si_band, POLLOUT | POLLWRNORM | POLLWRBAND);
    CHECK_EQ(info.si_fd, ends[1]);
}

static void sockets(void) {
    int ends[2];
    siginfo_t info;
    block(rt);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    CHECK_EQ(fcntl(ends[0], F_SETSIG, rt), 0);
    tell_me(ends[0]);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(comes(rt, &info));
    CHECK_EQ(info.si_code, POLL_IN);
    CHECK_EQ(info.si_fd, ends[0]);
    while (is_pending(rt))
        comes(rt, &info);
    CHECK_EQ(close(ends[1]), 0);
    CHECK(comes(rt, &info));
}

static void terminals(void) {
    int master, slave;
    siginfo_t info;
    struct f_owner_ex owner;
    block(rt);
    mkdir("/dev/pts", 0755);
    mount("devpts", "/dev/pts", "devpts", 0, NULL); // where it is not there yet
    CHECK_EQ(openpty(&master, &slave, NULL, NULL, NULL), 0);
    CHECK_EQ(fcntl(slave, F_SETSIG, rt), 0);
    CHECK_EQ(fcntl(slave, F_SETFL, O_RDWR | O_ASYNC), 0);
    CHECK_EQ(fcntl(slave, F_GETOWN_EX, &owner), 0);
    CHECK_EQ(owner.type, F_OWNER_PID); // a terminal of nobody's session tells who asked
    CHECK_EQ(owner.pid, getpid());
    CHECK_EQ(write(master, "line\n", 5), 5);
    do
        CHECK(comes(rt, &info));
    while (info.si_code != POLL_IN);
    CHECK_EQ(info.si_fd, slave);
    CHECK_EQ(fcntl(slave, F_SETFL, O_RDWR), 0);
    while (is_pending(rt))
        comes(rt, NULL);

    CHECK_EQ(fcntl(master, F_SETSIG, rt), 0);
    tell_me(master);
    CHECK_EQ(write(slave, "out\n", 4), 4);
    do
        CHECK(comes(rt, &info));
    while (info.si_code != POLL_IN);
    CHECK_EQ(info.si_fd, master);
}

// Says whether SIGIO pends for the process that it is, each time it is asked.
static pid_t listener(int ask[2], int answer[2], uid_t uid) {
    CHECK_EQ(pipe(ask), 0);
    CHECK_EQ(pipe(answer), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        block(SIGIO);
        if (uid != 0)
            CHECK_EQ(setresuid(uid, uid, uid), 0);
        CHECK_EQ(write(answer[1], "r", 1), 1);
        while (read(ask[0], &byte, 1) == 1) {
            byte = is_pending(SIGIO) && comes(SIGIO, NULL) ? 'y' : 'n';
            CHECK_EQ(write(answer[1], &byte, 1), 1);
        }
        _exit(0);
    }
    char byte;
    CHECK_EQ(read(answer[0], &byte, 1), 1);
    return child;
}

static bool heard(int ask[2], int answer[2]) {
    char byte;
    CHECK_EQ(write(ask[1], "?", 1), 1);
    CHECK_EQ(read(answer[0], &byte, 1), 1);
    return byte == 'y';
}

static void permission(void) {
    int ends[2], ask[2], answer[2];
    CHECK_EQ(pipe(ends), 0);
    pid_t other = listener(ask, answer, 1001);
    CHECK_EQ(fcntl(ends[0], F_SETOWN, other), 0);
    CHECK_EQ(fcntl(ends[0], F_SETFL, O_ASYNC), 0);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(heard(ask, answer)); // root tells anybody
    CHECK_EQ(setresuid(1002, 1002, 0), 0);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(heard(ask, answer)); // who set it counts, not who writes
    CHECK_EQ(fcntl(ends[0], F_SETOWN, other), 0);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(!heard(ask, answer));
    CHECK_EQ(setresuid(-1, 0, -1), 0);
    CHECK_EQ(setresuid(1001, 1002, 0), 0);
    CHECK_EQ(fcntl(ends[0], F_SETOWN, other), 0);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(heard(ask, answer)); // the real id is the same
}

static void groups(void) {
    int ends[2], ask[2], answer[2], ask2[2], answer2[2];
    CHECK_EQ(pipe(ends), 0);
    block(SIGIO);
    listener(ask, answer, 0);
    listener(ask2, answer2, 0);
    CHECK_EQ(fcntl(ends[0], F_SETOWN, -getpgrp()), 0);
    CHECK_EQ(fcntl(ends[0], F_SETFL, O_ASYNC), 0);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(heard(ask, answer));
    CHECK(heard(ask2, answer2));
    CHECK(comes(SIGIO, NULL));
}

static int thread_ends[2];

static void* thread_owns(void* unused) {
    struct f_owner_ex owner = {F_OWNER_TID, gettid()};
    CHECK_EQ(fcntl(thread_ends[0], F_SETOWN_EX, &owner), 0);
    CHECK_EQ(fcntl(thread_ends[0], F_SETFL, O_ASYNC), 0);
    CHECK_EQ(write(thread_ends[1], "a", 1), 1);
    CHECK(is_pending(SIGIO));
    return unused;
}

static void threads(void) {
    pthread_t thread;
    block(SIGIO);
    CHECK_EQ(pipe(thread_ends), 0);
    CHECK_EQ(pthread_create(&thread, NULL, thread_owns, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK(!is_pending(SIGIO));                  // it was the thread's alone
    CHECK_EQ(write(thread_ends[1], "a", 1), 1); // and nobody's now
    CHECK(!is_pending(SIGIO));
}

static volatile sig_atomic_t handled;
static void handle(int signo) { handled += signo == SIGIO; }

static void last_close(void) {
    int ends[2];
    block(SIGIO);
    CHECK_EQ(pipe(ends), 0);
    tell_me(ends[0]);
    int copy = dup(ends[0]);
    CHECK_EQ(close(ends[0]), 0);
    CHECK_EQ(write(ends[1], "a", 1), 1);
    CHECK(comes(SIGIO, NULL)); // it belongs to the open file
    CHECK_EQ(close(copy), 0);
    signal(SIGPIPE, SIG_IGN);
    CHECK_ERRNO(write(ends[1], "a", 1), EPIPE);
    CHECK(!is_pending(SIGIO));
    // Files that come and go while they are written to.
    sigset_t set;
    sigemptyset(&set);
    signal(SIGIO, handle);
    sigprocmask(SIG_SETMASK, &set, NULL);
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(pipe(ends), 0);
        tell_me(ends[0]);
        pid_t child = i % 20 ? 0 : fork();
        if (i % 20 == 0 && child == 0) {
            for (int j = 0; j < 20; j++)
                if (write(ends[1], "a", 1) < 0)
                    break;
            _exit(0);
        }
        CHECK_EQ(write(ends[1], "a", 1), 1);
        if (child == 0)
            CHECK(handled > 0); // it came before write returned
        else
            CHECK_SOON(handled > 0, 10);
        handled = 0;
        CHECK_EQ(close(ends[0]), 0);
        CHECK_EQ(close(ends[1]), 0);
        if (child > 0)
            CHECK_EQ(waitpid(child, NULL, 0), child);
    }
}

static void other_files(void) {
    int on = 1, fd = memfd_create("quiet", 0);
    CHECK(fd >= 0);
    CHECK_ERRNO(ioctl(fd, FIOASYNC, &on), ENOTTY);
    CHECK_EQ(fcntl(fd, F_SETFL, O_ASYNC), 0);
    CHECK_EQ(fcntl(fd, F_SETOWN, getpid()), 0);
    CHECK_EQ(fcntl(fd, F_GETOWN), getpid());
    CHECK_EQ(close(fd), 0);
}

static const struct check_case cases[] = {
    {"an open file has an owner and a signal, which fcntl sets and tells", owners, 0, false},
    {"a pipe sends SIGIO to its owner when bytes come or its writers go", plain_pipe, 0, false},
    {"a signal of one's choice says what became ready, and of which descriptor", described, 0, false},
    {"local sockets send SIGIO", sockets, 0, false},
    {"terminals and the masters of ptys send SIGIO", terminals, 0, false},
    {"who made a process the owner needs the right to signal it", permission, 0, false},
    {"a group as owner: each member gets SIGIO", groups, 0, false},
    {"a thread as owner: SIGIO is for that thread alone", threads, 0, false},
    {"the last close ends it, and SIGIO comes before the write that causes it returns", last_close, 0, false},
    {"files that are always ready have owners but send nothing", other_files, 0, false},
};

CHECK_MAIN(cases)

// SPDX-License-Identifier: BSD-2-Clause
// kqueue and kevent: notes of processes through forks, loans and execs; signals, files and timers.
#include "lend.h"
#include "objects.h"

#include <lentil.h>
#include <lentil/spawn.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/eventfd.h>

extern char** environ;
static int q;
static struct kevent got[40];
static const struct timespec now = {0, 0}, soon = {10, 0};

static int change(uintptr_t ident, int filter, int flags, unsigned notes, long data) {
    struct kevent e;
    EV_SET(&e, ident, (int16_t)filter, (uint16_t)flags, notes, data, (void*)(ident + 5));
    return kevent(q, &e, 1, NULL, 0, NULL);
}
// Takes what is there; waits for the first if there is to be any.
static void expect(int count) {
    int n = kevent(q, NULL, 0, got, 40, count ? &soon : &now);
    if (n != count)
        check_fail("%d events instead of %d, the first: ident %ld filter %d flags 0x%x notes 0x%x data %ld", n, count,
                   (long)got[0].ident, got[0].filter, got[0].flags, got[0].fflags, (long)got[0].data);
}
static void is(int i, uintptr_t ident, int filter, int flags, unsigned notes, long data) {
    const struct kevent* e = &got[i];
    if (e->ident != ident || e->filter != filter || (e->flags & (EV_EOF | EV_ERROR)) != flags || e->fflags != notes ||
        e->data != data)
        check_fail("event %d: ident %ld filter %d flags 0x%x notes 0x%x data %ld, not %ld %d 0x%x 0x%x %ld", i,
                   (long)e->ident, e->filter, e->flags, e->fflags, (long)e->data, (long)ident, filter, flags, notes,
                   data);
    if (!(flags & EV_ERROR) && e->udata != (void*)(ident + 5) && filter != EVFILT_PROC)
        check_fail("udata of event %d", i);
}
static void expect_one(uintptr_t ident, int filter, int flags, unsigned notes, long data) {
    expect(1);
    is(0, ident, filter, flags, notes, data);
}
static void start(void) {
    q = kqueue();
    CHECK(q >= 0);
}

// --- EVFILT_PROC ---

enum { all_notes = (int)(NOTE_EXIT | NOTE_FORK | NOTE_EXEC) };
static void leave_9(void) { _exit(9); }
static void nothing(void) {}
static char exit_word[] = "@exit", number[8] = "21";
static char* const exit_argv[] = {check_self, exit_word, number, NULL};
static void exec_exit(void) {
    execve(check_self, exit_argv, environ);
    _exit(127);
}
static pid_t native_borrow(void (*act)(void)) {
    pid_t pid = lentil_vfork();
    if (pid == 0) {
        act();
        _exit(0);
    }
    return pid;
}

// A process that waits for a byte before each of its steps.
static int gate[2];
static void gate_open(void) { CHECK_EQ(write(gate[1], "x", 1), 1); }
static void gate_wait(void) {
    char c;
    if (read(gate[0], &c, 1) != 1)
        _exit(99);
}

static void forker(void) {
    gate_wait();
    check_reap(spawn(nothing)); // fork
    gate_wait();
    check_reap(borrow(leave_9)); // vfork and _exit
    gate_wait();
    check_reap(borrow(exec_exit)); // vfork and exec
    gate_wait();
    check_reap(lentil_vfork_copying() ?: (_exit(1), 0));
    gate_wait();
    pid_t pid;
    lentil_posix_spawn(&pid, check_self, NULL, NULL, exit_argv, environ);
    check_reap(pid);
    gate_wait();
    exec_exit();
}
static void fork_notes(void) {
    start();
    CHECK_EQ(pipe(gate), 0);
    pid_t pid = spawn(forker);
    CHECK_EQ(change((uintptr_t)pid, EVFILT_PROC, EV_ADD, (unsigned)all_notes, 0), 0);
    expect(0);
    pid_t last = pid;
    for (int i = 0; i < 5; ++i) {
        gate_open();
        expect(1);
        CHECK(got[0].data > last); // the child's id
        is(0, (uintptr_t)pid, EVFILT_PROC, 0, NOTE_FORK, got[0].data);
        last = (pid_t)got[0].data;
    }
    gate_open();
    CHECK_EQ(kevent(q, NULL, 0, got, 1, &soon), 1);
    is(0, (uintptr_t)pid, EVFILT_PROC, 0, NOTE_EXEC, 0);
    expect_one((uintptr_t)pid, EVFILT_PROC, EV_EOF, NOTE_EXIT, 21 << 8);
    CHECK_EXITED(check_reap(pid), 21);
    expect(0);
    CHECK_ERRNO(change((uintptr_t)pid, EVFILT_PROC, EV_DELETE, 0, 0), ENOENT);
}

// The borrower is watched by a third process; what it does comes exactly once.
static void lender_of_slow(void);
static void borrower_steps(void) {
    gate_wait();
    if (number[0] == 'e')
        _exit(7);
    if (number[0] == 'k')
        kill(getpid(), SIGKILL);
    number[0] = '2';
    exec_exit();
}
static void lender_of_slow(void) { check_reap(borrow(borrower_steps)); }
static pid_t child_of(pid_t parent) {
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)parent, (int)parent);
    long n = check_read_file(path, text, sizeof text);
    if (n > 0)
        return (pid_t)atoi(text);
    for (pid_t pid = parent + 1; pid < parent + 40; ++pid) { // the next one made
        snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
        if (check_value_in(path, "PPid") == parent)
            return pid;
    }
    return 0;
}
static void borrower_notes(void) {
    CHECK_EQ(pipe(gate), 0);
    for (int how = 0; how < 3; ++how) {
        start();
        number[0] = "ek2"[how];
        pid_t lender = spawn(lender_of_slow), pid = 0;
        CHECK_SOON((pid = child_of(lender)) > 0, 10);
        CHECK_EQ(change((uintptr_t)pid, EVFILT_PROC, EV_ADD, (unsigned)all_notes, 0), 0);
        CHECK_EQ(change((uintptr_t)lender, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0), 0);
        gate_open();
        CHECK_EXITED(check_reap(lender), 0);
        if (how == 2) {
            expect(3);
            is(0, (uintptr_t)pid, EVFILT_PROC, 0, NOTE_EXEC, 0);
            is(1, (uintptr_t)lender, EVFILT_PROC, EV_EOF, NOTE_EXIT, 0);
            is(2, (uintptr_t)pid, EVFILT_PROC, EV_EOF, NOTE_EXIT, 21 << 8);
        } else {
            expect(2);
            is(0, (uintptr_t)pid, EVFILT_PROC, EV_EOF, NOTE_EXIT, how ? SIGKILL : 7 << 8);
            is(1, (uintptr_t)lender, EVFILT_PROC, EV_EOF, NOTE_EXIT, 0);
        }
        expect(0);
        close(q);
    }
}

static void own_child(void) {
    start();
    // The lender's own queue: what the borrower did is there when vfork returns.
    CHECK_EQ(change((uintptr_t)getpid(), EVFILT_PROC, EV_ADD, NOTE_FORK, 0), 0);
    pid_t pid = native_borrow(leave_9);
    expect_one((uintptr_t)getpid(), EVFILT_PROC, 0, NOTE_FORK, pid);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), pid);
    CHECK_EQ(change((uintptr_t)getpid(), EVFILT_PROC, EV_DELETE, 0, 0), 0);
    // A zombie still tells its status.
    pid = spawn(leave_9);
    siginfo_t info;
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    CHECK_EQ(change((uintptr_t)pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0), 0);
    expect_one((uintptr_t)pid, EVFILT_PROC, EV_EOF, NOTE_EXIT, 9 << 8);
    check_reap(pid);
    CHECK_ERRNO(change((uintptr_t)pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0), ESRCH);
    CHECK_ERRNO(change(0, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0), ESRCH);
    CHECK_ERRNO(change((uintptr_t)getpid(), EVFILT_PROC, EV_ADD, 0x100, 0), EINVAL);
    // At NOTE_EXIT the child can be waited for.
    for (int i = 0; i < 20; ++i) {
        CHECK_EQ(pipe(gate), 0);
        pid = spawn(gate_wait);
        CHECK_EQ(change((uintptr_t)pid, EVFILT_PROC, EV_ADD, NOTE_EXIT, 0), 0);
        close(gate[0]);
        gate_open();
        close(gate[1]);
        expect_one((uintptr_t)pid, EVFILT_PROC, EV_EOF, NOTE_EXIT, 0);
        CHECK_EQ(waitpid(pid, NULL, WNOHANG), pid);
    }
}

static void only_forks(void) { // watched without NOTE_EXIT: the knote goes with the process
    start();
    CHECK_EQ(pipe(gate), 0);
    pid_t pid = spawn(gate_wait);
    CHECK_EQ(change((uintptr_t)pid, EVFILT_PROC, EV_ADD, NOTE_FORK, 0), 0);
    gate_open();
    check_reap(pid);
    expect(0);
    CHECK_ERRNO(change((uintptr_t)pid, EVFILT_PROC, EV_DELETE, 0, 0), ENOENT);
}

static void family(void) { // fork, its child vforks and spawns
    gate_wait();
    pid_t child = fork();
    if (child == 0) {
        check_reap(borrow(leave_9));
        pid_t pid;
        lentil_posix_spawn(&pid, check_self, NULL, NULL, exit_argv, environ);
        check_reap(pid);
        _exit(3);
    }
    check_reap(child);
    _exit(4);
}
static void tracking(void) {
    start();
    CHECK_EQ(pipe(gate), 0);
    pid_t root = spawn(family);
    CHECK_EQ(change((uintptr_t)root, EVFILT_PROC, EV_ADD, NOTE_TRACK | (unsigned)all_notes, 0), 0);
    gate_open();
    pid_t family_of[4] = {root}, parent_of[4] = {getpid()};
    int size = 1, ends = 0, forks = 0, execs = 0, status[4] = {0};
    while (ends < 4) {
        int n = kevent(q, NULL, 0, got, 40, &soon);
        CHECK(n > 0);
        for (int i = 0; i < n; ++i) {
            const struct kevent* e = &got[i];
            CHECK_EQ(e->fflags & NOTE_TRACKERR, 0);
            if (e->fflags & NOTE_CHILD) {
                CHECK(size < 4);
                parent_of[size] = (pid_t)e->data;
                family_of[size++] = (pid_t)e->ident;
                CHECK_EQ(e->fflags, NOTE_CHILD);
                continue;
            }
            int who = 0; // a process is heard of as a child before anything else
            while (who < size && family_of[who] != (pid_t)e->ident)
                ++who;
            CHECK(who < size);
            forks += (e->fflags & NOTE_FORK) != 0;
            execs += (e->fflags & NOTE_EXEC) != 0;
            if (e->fflags & NOTE_EXIT) {
                CHECK_EQ(status[who], 0);
                status[who] = (int)e->data;
                ++ends;
            }
        }
    }
    CHECK_EQ(size, 4);
    CHECK_EQ(parent_of[1], root);
    CHECK_EQ(parent_of[2], family_of[1]);
    CHECK_EQ(parent_of[3], family_of[1]);
    CHECK_EQ(status[0], 4 << 8);
    CHECK_EQ(status[1], 3 << 8);
    CHECK_EQ(status[2], 9 << 8);     // the borrower
    CHECK_EQ(status[3], 21 << 8);    // the spawned
    CHECK(forks >= 2 && forks <= 3); // two of one process may have come as one
    CHECK_EQ(execs, 1);
    expect(0);
    check_reap(root);
}

// --- EVFILT_SIGNAL ---

static void signals(void) {
    sigset_t block;
    start();
    CHECK_EQ(change(SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0), 0);
    CHECK_EQ(change(SIGUSR2, EVFILT_SIGNAL, EV_ADD, 0, 0), 0);
    signal(SIGUSR1, SIG_IGN);
    expect(0);
    for (int i = 0; i < 3; ++i)
        kill(getpid(), SIGUSR1);
    expect_one(SIGUSR1, EVFILT_SIGNAL, 0, 0, 3);
    expect(0);
    sigemptyset(&block);
    sigaddset(&block, SIGUSR2);
    sigprocmask(SIG_BLOCK, &block, NULL);
    kill(getpid(), SIGUSR2);
    raise(SIGUSR2);
    expect_one(SIGUSR2, EVFILT_SIGNAL, 0, 0, 2);
    CHECK_EQ(sigpending(&block), 0);
    CHECK_EQ(sigismember(&block, SIGUSR2), 1); // hearing of it takes nothing away
    CHECK_ERRNO(change(65, EVFILT_SIGNAL, EV_ADD, 0, 0), EINVAL);
    CHECK_ERRNO(change(0, EVFILT_SIGNAL, EV_ADD, 0, 0), EINVAL);
    CHECK_EQ(change(SIGUSR1, EVFILT_SIGNAL, EV_DELETE, 0, 0), 0);
    kill(getpid(), SIGUSR1);
    expect(0);
}
static void raise_ignored(void) {
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    kill(getppid(), SIGUSR2);
}
static void borrowers_signals(void) {
    start();
    signal(SIGUSR2, SIG_IGN);
    CHECK_EQ(change(SIGUSR1, EVFILT_SIGNAL, EV_ADD, 0, 0), 0);
    CHECK_EQ(change(SIGUSR2, EVFILT_SIGNAL, EV_ADD, 0, 0), 0);
    lend_ok(raise_ignored);
    expect_one(SIGUSR2, EVFILT_SIGNAL, 0, 0, 1); // the borrower's own SIGUSR1 is not the lender's
}

// --- EVFILT_READ and EVFILT_WRITE ---

static void pipes(void) {
    int p[2];
    char text[100];
    start();
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(change((uintptr_t)p[0], EVFILT_READ, EV_ADD, 0, 0), 0);
    expect(0);
    CHECK_EQ(write(p[1], "hello", 5), 5);
    expect_one((uintptr_t)p[0], EVFILT_READ, 0, 0, 5);
    expect_one((uintptr_t)p[0], EVFILT_READ, 0, 0, 5); // for as long as it is there
    CHECK_EQ(read(p[0], text, sizeof text), 5);
    expect(0);
    CHECK_EQ(change((uintptr_t)p[1], EVFILT_WRITE, EV_ADD, 0, 0), 0);
    expect_one((uintptr_t)p[1], EVFILT_WRITE, 0, 0, 65536);
    CHECK_EQ(change((uintptr_t)p[1], EVFILT_WRITE, EV_DELETE, 0, 0), 0);
    expect(0);
    CHECK_EQ(write(p[1], "ab", 2), 2);
    close(p[1]);
    expect_one((uintptr_t)p[0], EVFILT_READ, EV_EOF, 0, 2);
    CHECK_EQ(read(p[0], text, sizeof text), 2);
    expect_one((uintptr_t)p[0], EVFILT_READ, EV_EOF, 0, 0);
    close(p[0]);
    expect(0); // the knote went with the descriptor
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(change((uintptr_t)p[1], EVFILT_WRITE, EV_ADD, 0, 0), 0);
    close(p[0]);
    expect(1);
    CHECK(got[0].flags & EV_EOF);
}

static void modes(void) {
    int p[2];
    char c, text[2];
    start();
    CHECK_EQ(pipe(p), 0);
    uintptr_t fd = (uintptr_t)p[0];
    CHECK_EQ(change(fd, EVFILT_READ, EV_ADD | EV_CLEAR, 0, 0), 0);
    CHECK_EQ(write(p[1], "a", 1), 1);
    expect_one(fd, EVFILT_READ, 0, 0, 1);
    expect(0); // once for each time that something comes
    CHECK_EQ(write(p[1], "b", 1), 1);
    expect_one(fd, EVFILT_READ, 0, 0, 2);
    CHECK_EQ(change(fd, EVFILT_READ, EV_ADD | EV_ONESHOT, 0, 0), 0);
    expect_one(fd, EVFILT_READ, 0, 0, 2);
    expect(0);
    CHECK_ERRNO(change(fd, EVFILT_READ, EV_DELETE, 0, 0), ENOENT);
    CHECK_EQ(change(fd, EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0), 0);
    expect_one(fd, EVFILT_READ, 0, 0, 2);
    CHECK_EQ(write(p[1], "d", 1), 1);
    expect(0); // the first event disabled it
    CHECK_EQ(change(fd, EVFILT_READ, EV_ENABLE, 0, 0), 0);
    expect_one(fd, EVFILT_READ, 0, 0, 3);
    CHECK_EQ(write(p[1], "d", 1), 1);
    expect(0); // and so does each later one
    CHECK_EQ(read(p[0], text, 2), 2);
    CHECK_EQ(change(fd, EVFILT_READ, EV_ENABLE, 0, 0), 0);
    expect_one(fd, EVFILT_READ, 0, 0, 2);
    CHECK_EQ(change(fd, EVFILT_READ, EV_ADD | EV_DISABLE, 0, 0), 0);
    expect(0);
    CHECK_EQ(change(fd, EVFILT_READ, EV_ADD, 0, 0), 0); // adding enables
    expect_one(fd, EVFILT_READ, 0, 0, 2);
    CHECK_EQ(change(fd, EVFILT_READ, EV_DISABLE, 0, 0), 0);
    CHECK_EQ(write(p[1], "c", 1), 1);
    expect(0);
    CHECK_EQ(change(fd, EVFILT_READ, EV_ENABLE, 0, 0), 0);
    expect_one(fd, EVFILT_READ, 0, 0, 3);
    CHECK_EQ(read(p[0], &c, 1), 1);
    // A duplicate keeps the pipe alive, but the descriptor that was named is gone.
    int copy = dup(p[0]);
    close(p[0]);
    expect(0);
    CHECK_EQ(dup2(copy, p[0]), p[0]);
    CHECK_ERRNO(change(fd, EVFILT_READ, EV_ENABLE, 0, 0), ENOENT);
}

static void other_files(void) {
    start();
    uint64_t value = 3;
    int e = eventfd(0, 0);
    CHECK_EQ(change((uintptr_t)e, EVFILT_READ, EV_ADD, 0, 0), 0);
    expect(0);
    CHECK_EQ(write(e, &value, 8), 8);
    expect(1);
    CHECK_EQ(read(e, &value, 8), 8);
    expect(0);
    // A regular file: what lies before its end.
    int f = open("/tmp/kqueue.file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(write(f, "0123456789", 10), 10);
    CHECK_EQ(lseek(f, 4, SEEK_SET), 4);
    CHECK_EQ(change((uintptr_t)f, EVFILT_READ, EV_ADD, 0, 0), 0);
    expect_one((uintptr_t)f, EVFILT_READ, 0, 0, 6);
    CHECK_EQ(lseek(f, 10, SEEK_SET), 10);
    expect(0);
    unlink("/tmp/kqueue.file");
    int inner = kqueue();
    CHECK(inner >= 0);
    CHECK_EQ(change((uintptr_t)inner, EVFILT_READ, EV_ADD, 0, 0), 0);
    expect(0);
    struct kevent timer;
    EV_SET(&timer, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL);
    CHECK_EQ(kevent(inner, &timer, 1, NULL, 0, NULL), 0);
    expect_one((uintptr_t)inner, EVFILT_READ, 0, 0, 1);
    CHECK_ERRNO(change((uintptr_t)q, EVFILT_READ, EV_ADD, 0, 0), EINVAL);
    CHECK_ERRNO(change(777, EVFILT_READ, EV_ADD, 0, 0), EBADF);
    CHECK_ERRNO(change((uintptr_t)-1, EVFILT_READ, EV_ADD, 0, 0), EBADF);
    CHECK_ERRNO(change(0, -40, EV_ADD, 0, 0), EINVAL);
    CHECK_ERRNO(change((uintptr_t)e, EVFILT_READ, EV_ADD | 0x800, 0, 0), EINVAL);
    CHECK_ERRNO(change((uintptr_t)e, EVFILT_WRITE, EV_ENABLE, 0, 0), ENOENT);
}

static void polled(void) {
    start();
    struct pollfd p = {.fd = q, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 0), 0);
    CHECK_EQ(change(3, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 20), 0);
    CHECK_EQ(poll(&p, 1, 10000), 1);
    CHECK_EQ(p.revents, POLLIN);
    expect_one(3, EVFILT_TIMER, 0, 0, 1);
    CHECK_EQ(poll(&p, 1, 0), 0);
    int ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data = {.u32 = 8}};
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, q, &e), 0);
    CHECK_EQ(epoll_wait(ep, &e, 1, 0), 0);
    CHECK_EQ(change(3, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 20), 0);
    CHECK_EQ(epoll_wait(ep, &e, 1, 10000), 1);
    CHECK_EQ(e.data.u32, 8);
}

// --- EVFILT_TIMER ---

static void timers(void) {
    start();
    double begin = check_now();
    CHECK_EQ(change(1, EVFILT_TIMER, EV_ADD, 0, 10), 0);
    expect(1);
    is(0, 1, EVFILT_TIMER, 0, 0, got[0].data);
    long fired = got[0].data;
    check_sleep_ms(100);
    expect(1);
    fired += got[0].data;
    double passed = check_now() - begin;
    CHECK(fired >= 10 && fired <= (long)(passed * 100) + 1); // none lost, none too many
    CHECK_EQ(change(1, EVFILT_TIMER, EV_DELETE, 0, 0), 0);
    check_sleep_ms(20);
    expect(0);
    static const struct {
        unsigned unit;
        long data;
    } spans[] = {{NOTE_USECONDS, 50000}, {NOTE_NSECONDS, 50000000}, {0, 50}};
    for (int i = 0; i < 3; ++i) {
        begin = check_now();
        CHECK_EQ(change(2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, spans[i].unit, spans[i].data), 0);
        expect_one(2, EVFILT_TIMER, 0, 0, 1);
        CHECK(check_now() - begin >= 0.05);
        expect(0);
    }
    CHECK_EQ(change(2, EVFILT_TIMER, EV_ADD, NOTE_SECONDS, 1000), 0);
    check_sleep_ms(5);
    expect(0);
    CHECK_EQ(change(2, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1), 0); // set anew
    expect_one(2, EVFILT_TIMER, 0, 0, 1);
    CHECK_ERRNO(change(2, EVFILT_TIMER, EV_ADD, 3, 1), EINVAL);
    CHECK_ERRNO(change(2, EVFILT_TIMER, EV_ADD, 0, -1), EINVAL);
}

// --- kevent itself ---

static void receipts(void) {
    start();
    struct kevent c[3];
    EV_SET(&c[0], 7, EVFILT_TIMER, EV_ADD | EV_RECEIPT, 0, 100000, NULL);
    EV_SET(&c[1], 777, EVFILT_READ, EV_ADD, 0, 0, NULL);
    EV_SET(&c[2], 8, EVFILT_TIMER, EV_DELETE, 0, 0, NULL);
    CHECK_EQ(kevent(q, c, 3, got, 40, NULL), 3);
    is(0, 7, EVFILT_TIMER, EV_ERROR, 0, 0);
    is(1, 777, EVFILT_READ, EV_ERROR, 0, EBADF);
    is(2, 8, EVFILT_TIMER, EV_ERROR, 0, ENOENT);
    CHECK_EQ(kevent(q, c, 2, got, 2, NULL), 2); // the list may be the same as the results
    CHECK_ERRNO(kevent(q, &c[1], 2, NULL, 0, NULL), EBADF);
    CHECK_ERRNO(kevent(0, NULL, 0, got, 1, &now), EBADF);
    CHECK_ERRNO(kevent(q, NULL, 0, got, -1, &now), EINVAL);
    CHECK_ERRNO(kevent(q, (struct kevent*)8, 1, NULL, 0, NULL), EFAULT);
    struct timespec bad = {0, 2000000000};
    CHECK_ERRNO(kevent(q, NULL, 0, got, 1, &bad), EINVAL);
    CHECK_EQ(kevent(q, NULL, 0, NULL, 0, NULL), 0);
    CHECK_ERRNO(kqueue1(1), EINVAL);
    CHECK_EQ(change(7, EVFILT_TIMER, EV_DELETE, 0, 0), 0);
    struct timespec little = {0, 20000000};
    double begin = check_now();
    CHECK_EQ(kevent(q, NULL, 0, got, 1, &little), 0);
    CHECK(check_now() - begin >= 0.02);
}

static void on_signal(int s) { (void)s; }
static void interrupted(void) {
    start();
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval t = {{0, 0}, {0, 30000}};
    setitimer(ITIMER_REAL, &t, NULL);
    CHECK_ERRNO(kevent(q, NULL, 0, got, 1, &soon), EINTR);
}

static void has_queue(void) {
    if (fcntl(q, F_GETFD) >= 0)
        _exit(1);
}
static void not_inherited(void) {
    int p[2];
    start();
    int second = kqueue1(O_CLOEXEC);
    CHECK_EQ(fcntl(second, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(pipe(p), 0); // a descriptor above them is copied as ever
    CHECK_EXITED(check_reap(spawn(has_queue)), 0);
    CHECK_EXITED(lend(has_queue), 0);
    CHECK_EXITED(check_reap(native_borrow(has_queue)), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (fcntl(second, F_GETFD) >= 0 || fcntl(p[1], F_GETFD) < 0)
            _exit(1);
        q = kqueue(); // its own, in the free place
        struct kevent e;
        EV_SET(&e, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 1, NULL);
        _exit(kevent(q, &e, 1, got, 1, &soon) == 1 ? 0 : 2);
    }
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(fcntl(q, F_GETFD), 0);
    pid = lentil_fork1(FORK_SHAREFILES | FORK_PPWAIT, SIGCHLD); // one table: one queue
    if (pid == 0)
        _exit(fcntl(q, F_GETFD) == 0 ? 0 : 1);
    CHECK_EXITED(check_reap(pid), 0);
    close(second);
    CHECK_EQ(dup2(p[0], q), q);
    CHECK_EXITED(check_reap(spawn(has_queue)), 1); // what took its place is copied
}

static volatile int stop_storm;
static void* watcher(void* unused) {
    (void)unused;
    int mine = kqueue();
    for (int i = 0; !stop_storm; ++i) {
        struct kevent e[3], out[8];
        EV_SET(&e[0], getpid(), EVFILT_PROC, EV_ADD, NOTE_FORK | NOTE_TRACK | NOTE_EXIT, 0, NULL);
        EV_SET(&e[1], SIGCHLD, EVFILT_SIGNAL, EV_ADD, 0, 0, NULL);
        EV_SET(&e[2], 1, EVFILT_TIMER, EV_ADD, NOTE_USECONDS, 100, NULL);
        struct timespec t = {0, 1000000};
        kevent(mine, e, 3, NULL, 0, NULL);
        kevent(mine, NULL, 0, out, 8, &t);
        if (i % 7 == 6) {
            close(mine);
            mine = kqueue();
        }
    }
    close(mine);
    return NULL;
}
static void* maker(void* unused) {
    (void)unused;
    for (int i = 0; i < 12; ++i) {
        pid_t pid;
        check_reap(borrow(i % 2 ? leave_9 : exec_exit));
        lentil_posix_spawn(&pid, check_self, NULL, NULL, exit_argv, environ);
        check_reap(pid);
    }
    return NULL;
}
static void one_storm(void) {
    pthread_t threads[4];
    stop_storm = 0;
    for (int i = 0; i < 4; ++i)
        CHECK_EQ(pthread_create(&threads[i], NULL, i < 2 ? maker : watcher, NULL), 0);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    stop_storm = 1;
    pthread_join(threads[2], NULL);
    pthread_join(threads[3], NULL);
}
static void storm(void) {
    one_storm(); // the library keeps stacks
    struct object_counts before = settled_objects();
    one_storm();
    objects_are_back(&before);
}

static const struct check_case cases[] = {
    {"XN-04 NB-37 NOTE_FORK comes once for fork, vfork, copying vfork and spawn, NOTE_EXEC and NOTE_EXIT with the "
     "status",
     fork_notes, 0, true},
    {"EC-80 XN-04 a borrower's exec, end and death by a signal are noted exactly once", borrower_notes, 60, true},
    {"XN-04 EC-161 NOTE_FORK is there when vfork returns, NOTE_EXIT when the child can be waited for", own_child, 60,
     true},
    {"a knote without NOTE_EXIT goes with its process", only_forks, 0, true},
    {"NOTE_TRACK follows forks, loans and spawns, and names each parent", tracking, 60, true},
    {"EVFILT_SIGNAL counts signals that are ignored or blocked, and takes none away", signals, 0, true},
    {"EVFILT_SIGNAL tells the lender's signals from the borrower's", borrowers_signals, 0, true},
    {"EVFILT_READ and EVFILT_WRITE tell how much of a pipe, and its end", pipes, 0, true},
    {"EV_CLEAR, EV_ONESHOT, EV_DISPATCH, EV_DISABLE and EV_ENABLE; a closed descriptor takes its knote along", modes, 0,
     true},
    {"eventfds, regular files and other kqueues can be watched; bad changes give errors", other_files, 0, true},
    {"a kqueue can be polled, and watched by epoll", polled, 0, true},
    {"EVFILT_TIMER counts its periods in the unit asked for", timers, 0, true},
    {"kevent reports errors and receipts, and waits no longer than told", receipts, 0, true},
    {"a signal interrupts kevent with EINTR", interrupted, 0, true},
    {"no kind of fork copies a kqueue, FORK_SHAREFILES shares it", not_inherited, 0, true},
    {"watching a storm of loans and spawns leaves nothing behind", storm, 60, true},
};

int main(int argc, char** argv) {
    if (argc == 3 && strcmp(argv[1], "@exit") == 0)
        return atoi(argv[2]);
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

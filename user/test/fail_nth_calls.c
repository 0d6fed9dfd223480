// SPDX-License-Identifier: BSD-2-Clause
// More calls whose every allocation is made to fail, one at a time: the native ones, timers, sessions, waiting for descriptors.
#include "fail_nth.h"

#include <fcntl.h>
#include <lentil.h>
#include <lentil/spawn.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>

extern char** environ;

// ---- native births --------------------------------------------------------------------------------------------------

static void reap(long pid) { CHECK_EXITED(check_reap((pid_t)pid), 0); }
static void gone(long pid) { // init's from its birth
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    CHECK_SOON(access(path, F_OK) != 0, 10);
}
static int end_well(void* argument) {
    (void)argument;
    return 0;
}
static char child_stack[16384] __attribute__((aligned(16)));

// A borrower runs on this frame: it must not return from here.
static __attribute__((noinline)) long native_vfork(void) {
    const pid_t pid = lentil_vfork();
    if (pid == 0)
        _exit(0);
    return pid;
}
static long vfork_copying(void) {
    const pid_t pid = lentil_vfork_copying();
    if (pid == 0)
        _exit(0);
    return pid;
}
static long fork1(unsigned flags) {
    const pid_t pid = lentil_fork1(flags, SIGCHLD);
    if (pid == 0)
        _exit(0);
    return pid;
}
static long fork1_plain(void) { return fork1(0); }
static long fork1_shared(void) { return fork1(FORK_SHAREFILES | FORK_SHARECWD | FORK_SHARESIGS); }
static long fork1_clean(void) { return fork1(FORK_CLEANFILES); }
static long fork1_nowait(void) { return fork1(FORK_NOWAIT); }
static long fork1_on_stack(void) {
    return lentil_fork1_on(FORK_SHAREVM | FORK_SHARESIGS, SIGCHLD, child_stack + sizeof child_stack, end_well, NULL);
}
static long fork1_lending(void) {
    return lentil_fork1_on(FORK_PPWAIT | FORK_SHAREVM, SIGCHLD, child_stack + sizeof child_stack, end_well, NULL);
}
static long native_clone(void) {
    return lentil_clone(end_well, child_stack + sizeof child_stack, CLONE_VM | CLONE_FS | CLONE_FILES | SIGCHLD, NULL);
}
static long native_clone_waiting(void) {
    return lentil_clone(end_well, child_stack + sizeof child_stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
}

static const struct sweep birth_sweeps[] = {
    {"native vfork", native_vfork, reap, EAGAIN},
    {"native vfork without lending", vfork_copying, reap, EAGAIN},
    {"fork1(0)", fork1_plain, reap, EAGAIN},
    {"fork1(FORK_SHAREFILES | FORK_SHARECWD | FORK_SHARESIGS)", fork1_shared, reap, EAGAIN},
    {"fork1(FORK_CLEANFILES)", fork1_clean, reap, EAGAIN},
    {"fork1(FORK_NOWAIT)", fork1_nowait, gone, EAGAIN},
    {"fork1(FORK_SHAREVM | FORK_SHARESIGS)", fork1_on_stack, reap, EAGAIN},
    {"fork1(FORK_PPWAIT | FORK_SHAREVM)", fork1_lending, reap, EAGAIN},
    {"__clone(CLONE_VM | CLONE_FS | CLONE_FILES)", native_clone, reap, EAGAIN},
    {"__clone(CLONE_VM | CLONE_VFORK)", native_clone_waiting, reap, EAGAIN},
};
static void births(void) { SWEEP(birth_sweeps); }
static void births_at_the_limit(void) {
    const struct arm arm = armoury();
    CHECK_EQ(setresuid(4721, 4721, 4721), 0);
    const struct rlimit limit = {2, 2};
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
    for (size_t i = 0; i < sizeof birth_sweeps / sizeof *birth_sweeps; ++i) {
        sweep_one(arm, &birth_sweeps[i]);
        const long pid = fork1_plain();
        CHECK(pid > 0);
        CHECK_ERRNO(fork1_plain(), EAGAIN); // the zombie counts
        reap(pid);
    }
}

// ---- spawn ----------------------------------------------------------------------------------------------------------

static char new_file[] = "/tmp/fail_nth.spawn";
static char* const true_argv[] = {(char*)"true", (char*)"with", (char*)"words", NULL};
static const struct lentil_spawn_action spawn_actions[] = {
    {.kind = LENTIL_SPAWN_OPEN, .fd = 70, .flags = O_RDWR | O_CREAT, .mode = 0600, .path = (uint64_t)new_file},
    {.kind = LENTIL_SPAWN_DUP2, .fd = 70, .to = 300},
    {.kind = LENTIL_SPAWN_CHDIR, .path = (uint64_t) "/proc/self"},
    {.kind = LENTIL_SPAWN_INHERIT, .fd = 0},
    {.kind = LENTIL_SPAWN_CLOSE, .fd = 70},
    {.kind = LENTIL_SPAWN_CLOSEFROM, .fd = 301},
};
static long do_spawn(unsigned flags, unsigned actions) {
    struct lentil_spawn what = {
        .path = (uint64_t) "/bin/true", .argv = (uint64_t)true_argv, .envp = (uint64_t)environ, .flags = flags};
    what.actions = (uint64_t)spawn_actions;
    what.action_count = actions;
    what.defaults = 1 << (SIGUSR1 - 1);
    return lentil_spawn(&what, sizeof what);
}
static long spawn_plain(void) { return do_spawn(0, 0); }
static long spawn_with_all(void) {
    return do_spawn(LENTIL_SPAWN_RESETIDS | LENTIL_SPAWN_SETSID | LENTIL_SPAWN_SETSIGDEF | LENTIL_SPAWN_SETSIGMASK |
                        LENTIL_SPAWN_SETUMASK | LENTIL_SPAWN_CLOEXEC_DEFAULT,
                    sizeof spawn_actions / sizeof *spawn_actions);
}
static long spawn_in_group(void) { return do_spawn(LENTIL_SPAWN_SETPGROUP, 0); }
static void reap_spawned(long pid) {
    reap(pid);
    CHECK_EQ(unlink(new_file), 0);
}
static const struct sweep spawn_sweeps[] = {
    {"spawn", spawn_plain, reap, EAGAIN},
    {"spawn in a group of its own", spawn_in_group, reap, EAGAIN},
};
// The file is made by the action, and stays whatever fails after it.
static const struct sweep spawn_file_sweeps[] = {
    {"spawn with every attribute and action", spawn_with_all, reap, EAGAIN}};
static void spawns(void) {
    SWEEP(spawn_sweeps);
    reap_spawned(spawn_with_all());
    close(open(new_file, O_RDWR | O_CREAT, 0600));
    SWEEP(spawn_file_sweeps);
    CHECK_EQ(unlink(new_file), 0);
    CHECK_ERRNO(waitpid(-1, NULL, __WALL), ECHILD);
}
static void spawns_in_a_loan(void) {
    const struct arm arm = armoury(); // the borrower's own
    sweep_one(arm, &spawn_sweeps[0]);
    CHECK_ERRNO(waitpid(-1, NULL, __WALL), ECHILD);
}
static void spawns_by_a_borrower(void) {
    lend_ok(spawns_in_a_loan);
    const struct object_counts before = settled_objects();
    lend_ok(spawns_in_a_loan);
    objects_are_back(&before);
}

// ---- kqueue ---------------------------------------------------------------------------------------------------------

static int queue, pair[2];
static long do_kqueue(void) { return kqueue1(O_CLOEXEC); }
static void undo_fd(long fd) { CHECK_EQ(close((int)fd), 0); }
static long change(uintptr_t ident, int filter, unsigned notes, long data) {
    struct kevent e;
    EV_SET(&e, ident, (int16_t)filter, EV_ADD, notes, data, NULL);
    return kevent(queue, &e, 1, NULL, 0, NULL);
}
static void drop(uintptr_t ident, int filter) {
    struct kevent e;
    EV_SET(&e, ident, (int16_t)filter, EV_DELETE, 0, 0, NULL);
    CHECK_EQ(kevent(queue, &e, 1, NULL, 0, NULL), 0);
}
static long watch_read(void) { return change((uintptr_t)pair[0], EVFILT_READ, 0, 0); }
static void unwatch_read(long made) {
    (void)made;
    drop((uintptr_t)pair[0], EVFILT_READ);
}
static long watch_write(void) { return change((uintptr_t)pair[1], EVFILT_WRITE, 0, 0); }
static void unwatch_write(long made) {
    (void)made;
    drop((uintptr_t)pair[1], EVFILT_WRITE);
}
static long watch_proc(void) {
    return change((uintptr_t)getpid(), EVFILT_PROC, NOTE_FORK | NOTE_EXEC | NOTE_EXIT | NOTE_TRACK, 0);
}
static void unwatch_proc(long made) {
    (void)made;
    drop((uintptr_t)getpid(), EVFILT_PROC);
}
static long watch_signal(void) { return change(SIGUSR2, EVFILT_SIGNAL, 0, 0); }
static void unwatch_signal(long made) {
    (void)made;
    drop(SIGUSR2, EVFILT_SIGNAL);
}
static long watch_timer(void) { return change(5, EVFILT_TIMER, NOTE_SECONDS, 1000); }
static void unwatch_timer(long made) {
    (void)made;
    drop(5, EVFILT_TIMER);
}
static long take_events(void) {
    struct kevent got[64];
    const struct timespec now = {0, 0};
    return kevent(queue, NULL, 0, got, 64, &now);
}
static const struct sweep kqueue_sweeps[] = {
    {"kqueue1", do_kqueue, undo_fd, 0},
    {"kevent(EVFILT_READ)", watch_read, unwatch_read, 0},
    {"kevent(EVFILT_WRITE)", watch_write, unwatch_write, 0},
    {"kevent(EVFILT_PROC)", watch_proc, unwatch_proc, 0},
    {"kevent(EVFILT_SIGNAL)", watch_signal, unwatch_signal, 0},
    {"kevent(EVFILT_TIMER)", watch_timer, unwatch_timer, 0},
    {"kevent that takes events", take_events, NULL, 0},
};
static void kqueues(void) {
    CHECK((queue = kqueue1(O_CLOEXEC)) >= 0 && pipe2(pair, O_CLOEXEC) == 0);
    SWEEP(kqueue_sweeps);
}

// A birth under NOTE_TRACK takes a watch of its own for the child: without memory for it the child is born, and the queue says
// that it is not watched.
static long tracked_fork(void) {
    const pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return pid;
}
static int tracked, untracked;
static void look_for_child(long pid) {
    struct kevent got[8];
    const struct timespec soon = {10, 0};
    bool child = false, error = false, forked = false, ended = false;
    reap(pid);
    for (int turn = 0; turn < 10 && !(forked && (error || (child && ended))); ++turn) {
        const int n = kevent(queue, NULL, 0, got, 8, &soon);
        CHECK(n > 0);
        for (int i = 0; i < n; ++i) {
            forked |= got[i].ident == (uintptr_t)getpid() && (got[i].fflags & NOTE_FORK);
            error |= (got[i].fflags & NOTE_TRACKERR) != 0;
            child |= got[i].ident == (uintptr_t)pid && (got[i].fflags & NOTE_CHILD);
            ended |= got[i].ident == (uintptr_t)pid && (got[i].fflags & NOTE_EXIT);
        }
    }
    CHECK(forked && child != error);
    tracked += child;
    untracked += error;
}
static const struct sweep track_sweeps[] = {{"fork under NOTE_TRACK", tracked_fork, look_for_child, EAGAIN}};
static void tracks(void) {
    CHECK((queue = kqueue1(O_CLOEXEC)) >= 0);
    CHECK_EQ(change((uintptr_t)getpid(), EVFILT_PROC, NOTE_FORK | NOTE_EXIT | NOTE_TRACK, 0), 0);
    SWEEP(track_sweeps);
    CHECK(tracked > 0);
    CHECK(untracked > 0);
    CHECK_EQ(take_events(), 0);
}

// ---- timers ---------------------------------------------------------------------------------------------------------

struct sigevent_bytes {
    uint64_t value;
    int32_t signo, notify;
    int32_t rest[12];
};
static int timer_id = -1;
static long make_timer(int clock) {
    struct sigevent_bytes event = {.signo = SIGUSR2, .notify = 0};
    return syscall(SYS_timer_create, clock, &event, &timer_id);
}
static long timer_monotonic(void) { return make_timer(CLOCK_MONOTONIC); }
static long timer_cpu(void) { return make_timer(CLOCK_THREAD_CPUTIME_ID); }
static void undo_timer(long made) {
    (void)made;
    CHECK_EQ(syscall(SYS_timer_delete, timer_id), 0);
}
static long set_timer(void) {
    const struct itimerspec value = {{0, 0}, {100, 0}};
    struct itimerspec old;
    return syscall(SYS_timer_settime, timer_id, 0, &value, &old);
}
static long do_timerfd(void) { return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC); }
static int timer_fd;
static long set_timerfd(void) {
    const struct itimerspec value = {{0, 0}, {100, 0}};
    return timerfd_settime(timer_fd, 0, &value, NULL);
}
static long get_timerfd(void) {
    struct itimerspec value;
    return timerfd_gettime(timer_fd, &value);
}
static long do_nanosleep(void) {
    const struct timespec moment = {0, 1000};
    return nanosleep(&moment, NULL);
}
static const struct sweep timer_sweeps[] = {
    {"timer_create", timer_monotonic, undo_timer, EAGAIN},
    {"timer_create of a thread's time", timer_cpu, undo_timer, EAGAIN},
    {"timerfd_create", do_timerfd, undo_fd, 0},
    {"timerfd_settime", set_timerfd, NULL, 0},
    {"timerfd_gettime", get_timerfd, NULL, 0},
    {"nanosleep", do_nanosleep, NULL, 0},
};
static const struct sweep armed_sweeps[] = {{"timer_settime", set_timer, NULL, 0}};
static void timers(void) {
    CHECK((timer_fd = (int)do_timerfd()) >= 0);
    SWEEP(timer_sweeps);
    CHECK_EQ(timer_monotonic(), 0);
    SWEEP(armed_sweeps);
    undo_timer(0);
}
// The queue's quota counts timers: one that was not made is not counted.
static void timers_at_the_limit(void) {
    const struct arm arm = armoury();
    CHECK_EQ(setresuid(4722, 4722, 4722), 0);
    const struct rlimit limit = {1, 1};
    CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
    CHECK_EQ(timer_monotonic(), 0); // the process's table of timers is there from now on
    undo_timer(0);
    for (int i = 0; i < 2; ++i) {
        sweep_one(arm, &timer_sweeps[i]);
        CHECK_EQ(timer_monotonic(), 0);
        const int first = timer_id;
        CHECK_ERRNO(timer_monotonic(), EAGAIN);
        timer_id = first;
        undo_timer(0);
    }
}

// ---- events and waiting for descriptors --------------------------------------------------------------------------------

static int epoll, event_fd;
static long epoll_control(int operation, int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT};
    return epoll_ctl(epoll, operation, fd, &event);
}
static long epoll_add(void) { return epoll_control(EPOLL_CTL_ADD, pair[1]); }
static void undo_epoll_add(long made) {
    (void)made;
    CHECK_EQ(epoll_control(EPOLL_CTL_DEL, pair[1]), 0);
}
static long epoll_modify(void) { return epoll_control(EPOLL_CTL_MOD, pair[0]); }
static long epoll_look(void) {
    struct epoll_event events[32];
    return epoll_wait(epoll, events, 32, 0);
}
static long epoll_nested(void) {
    const int outer = epoll_create1(EPOLL_CLOEXEC);
    if (outer < 0)
        return outer;
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(outer, EPOLL_CTL_ADD, epoll, &event) == 0)
        return outer;
    const int error = errno;
    close(outer);
    errno = error;
    return -1;
}
static long eventfd_add(void) {
    const uint64_t one = 1;
    return write(event_fd, &one, sizeof one);
}
static void eventfd_take(long made) {
    uint64_t value;
    (void)made;
    CHECK_EQ(read(event_fd, &value, sizeof value), 8);
    CHECK_EQ(value, 1);
}
static long do_select(void) {
    static fd_set sets[3];
    struct timeval now = {0, 0};
    for (int i = 0; i < 3; ++i)
        FD_SET(pair[1], &sets[i]);
    return select(1000, &sets[0], &sets[1], &sets[2], &now);
}
static const struct sweep event_sweeps[] = {
    {"epoll_ctl(EPOLL_CTL_ADD)", epoll_add, undo_epoll_add, 0},
    {"epoll_ctl(EPOLL_CTL_MOD)", epoll_modify, NULL, 0},
    {"epoll_pwait", epoll_look, NULL, 0},
    {"epoll_ctl of another epoll", epoll_nested, undo_fd, 0},
    {"write to an eventfd", eventfd_add, eventfd_take, 0},
    {"pselect6 on many descriptors", do_select, NULL, 0},
};
static void events(void) {
    CHECK(pipe2(pair, O_CLOEXEC) == 0 && (epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0 &&
          (event_fd = eventfd(0, EFD_CLOEXEC)) >= 0);
    CHECK_EQ(epoll_control(EPOLL_CTL_ADD, pair[0]), 0);
    SWEEP(event_sweeps);
}

// ---- sessions -------------------------------------------------------------------------------------------------------

static long do_setsid(void) { return setsid(); }
static long do_setpgid(void) { return setpgid(0, 0); }
static void one_in_a_child(long (*call)(void), bool changes_session) {
    const struct object_counts before = settled_objects();
    for (long n = 1, left = 0; left == 0; ++n) {
        CHECK(n < 100);
        const pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            const struct arm arm = armoury();
            const pid_t session = getsid(0), group = getpgid(0);
            set(arm, n);
            const long result = call();
            const int error = errno;
            const long rest = disarm(arm);
            if (result < 0 && (rest != 0 || error != ENOMEM))
                check_fail("allocation %ld fails with errno %d, %ld left", n, error, rest);
            if (result < 0)
                CHECK(getsid(0) == session && getpgid(0) == group);
            else
                CHECK(getpgid(0) == getpid() && getsid(0) == (changes_session ? getpid() : session));
            _exit(rest == 0 ? 1 : 0);
        }
        const int status = check_reap(pid);
        CHECK(WIFEXITED(status));
        left = WEXITSTATUS(status) == 0;
    }
    objects_are_back(&before);
}
static void sessions(void) {
    close(armoury().fd); // what stays cached is there
    one_in_a_child(do_setsid, true);
    one_in_a_child(do_setpgid, false);
}

static const struct check_case cases[] = {
    {"XN-15 NB-09 NB-10 EC-154 EC-155 EC-159 native vfork, fork1 of every kind and __clone that lack any one "
     "allocation give ENOMEM, for the id EAGAIN, and leave nothing",
     births, 60, true},
    {"NB-05 EC-118 a process that fork1 or __clone did not make is not counted against RLIMIT_NPROC",
     births_at_the_limit, 60, true},
    {"EC-164 spawn with attributes and actions that lacks any one allocation gives ENOMEM, and there is no child",
     spawns, 120, true},
    {"EC-164 a borrower's spawn that lacks any one allocation gives ENOMEM, and the loan goes on", spawns_by_a_borrower,
     60, true},
    {"kqueue and kevent that lack any one allocation give ENOMEM, and nothing is watched", kqueues, 60, true},
    {"a fork under NOTE_TRACK that lacks the memory to watch the child succeeds with NOTE_TRACKERR", tracks, 60, true},
    {"timers that lack any one allocation are not made, with ENOMEM, or EAGAIN as timer_create says", timers, 60, true},
    {"a timer that was not made is not counted against RLIMIT_SIGPENDING", timers_at_the_limit, 60, true},
    {"epoll, eventfd and select that lack any one allocation give ENOMEM and leave nothing", events, 60, true},
    {"setsid and setpgid that lack any one allocation give ENOMEM and change nothing", sessions, 60, true},
};
CHECK_MAIN(cases)

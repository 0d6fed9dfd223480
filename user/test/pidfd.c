// SPDX-License-Identifier: BSD-2-Clause
// Process file descriptors: one name for one process, for as long as somebody holds it.
#include "lend.h"
#include "objects.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
enum {
    clone_pidfd = 0x1000,
    clone_vm = 0x100,
    clone_vfork = 0x4000,
    clone_parent_settid = 0x100000,
    clone_thread = 0x10000
};
struct clone_args_0 {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size;
};

static int open_pid(pid_t pid, unsigned flags) { return (int)syscall(SYS_pidfd_open, pid, flags); }
static int send_to(int fd, int signo, siginfo_t* info, unsigned flags) {
    return (int)syscall(SYS_pidfd_send_signal, fd, signo, info, flags);
}
static int get_fd(int pidfd, int fd, unsigned flags) { return (int)syscall(SYS_pidfd_getfd, pidfd, fd, flags); }
static void wait_for_signal(void) {
    for (;;)
        pause();
}
static void exit_5(void) { _exit(5); }
static short events_of(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    CHECK(poll(&p, 1, 0) >= 0);
    return p.revents;
}

static void opens(void) {
    pid_t child = spawn(wait_for_signal);
    int fd = open_pid(child, 0);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    int fd2 = open_pid(child, O_NONBLOCK);
    CHECK_EQ(fcntl(fd2, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    char c;
    CHECK_ERRNO(read(fd, &c, 1), EINVAL);
    CHECK_ERRNO(write(fd, "x", 1), EINVAL);
    CHECK_ERRNO(open_pid(child, 1), EINVAL);
    CHECK_ERRNO(open_pid(0, 0), EINVAL);
    CHECK_ERRNO(open_pid(-1, 0), EINVAL);
    kill(child, SIGKILL);
    check_reap(child);
    CHECK_ERRNO(open_pid(child, 0), ESRCH);
    close(fd);
    close(fd2);
}

static void is_polled(void) {
    pid_t child = spawn(wait_for_signal);
    int fd = open_pid(child, 0), ep = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 7}, got;
    CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event), 0);
    CHECK_EQ(events_of(fd), 0);
    CHECK_EQ(epoll_wait(ep, &got, 1, 0), 0);
    kill(child, SIGTERM);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 10000), 1); // sleeps until the end
    CHECK_EQ(p.revents, POLLIN);
    CHECK_EQ(epoll_wait(ep, &got, 1, 10000), 1);
    CHECK_EQ(got.data.u32, 7);
    CHECK_SIGNALED(check_reap(child), SIGTERM);
    CHECK(events_of(fd) & POLLIN);
    close(ep);
    close(fd);
}
static void hangs_up(void) {
    pid_t child = spawn(exit_5);
    int fd = open_pid(child, 0);
    CHECK_EXITED(check_reap(child), 5);
    CHECK_EQ(events_of(fd), POLLIN | POLLHUP);
}

static volatile sig_atomic_t caught_value, caught_pid;
static void on_signal(int signo, siginfo_t* info, void* context) {
    (void)signo, (void)context;
    caught_value = info->si_value.sival_int;
    caught_pid = info->si_pid;
}
static void signals(void) {
    pid_t child = spawn(wait_for_signal);
    int fd = open_pid(child, 0);
    CHECK_EQ(send_to(fd, 0, NULL, 0), 0);
    CHECK_ERRNO(send_to(fd, 65, NULL, 0), EINVAL);
    CHECK_ERRNO(send_to(fd, SIGTERM, NULL, 64), EINVAL);
    CHECK_ERRNO(send_to(0, SIGTERM, NULL, 0), EBADF);
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    CHECK_ERRNO(send_to(fd, SIGUSR2, &info, 0), EINVAL); // not what it says
    info.si_code = SI_USER;
    CHECK_ERRNO(send_to(fd, SIGUSR1, &info, 0), EPERM); // nor from whom
    char path[64];
    snprintf(path, sizeof path, "/proc/%d", child);
    int directory = open(path, O_RDONLY | O_DIRECTORY), below = openat(directory, "task", O_RDONLY | O_DIRECTORY);
    CHECK_EQ(send_to(directory, 0, NULL, 0), 0); // a process has this name too
    CHECK_ERRNO(send_to(below, 0, NULL, 0), EBADF);
    CHECK_EQ(send_to(fd, SIGTERM, NULL, 0), 0);
    CHECK_SIGNALED(check_reap(child), SIGTERM);
    CHECK_ERRNO(send_to(fd, SIGTERM, NULL, 0), ESRCH);
    CHECK_ERRNO(send_to(directory, SIGTERM, NULL, 0), ESRCH);
    close(fd);

    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    fd = open_pid(getpid(), 0);
    info = (siginfo_t){.si_signo = SIGUSR1, .si_code = SI_QUEUE};
    info.si_value.sival_int = 99;
    info.si_pid = 4321;
    CHECK_EQ(send_to(fd, SIGUSR1, &info, 0), 0);
    CHECK_EQ(caught_value, 99);
    CHECK_EQ(caught_pid, 4321);
    close(fd);
}

static void to_nobody_else(void) {
    pid_t child = spawn(exit_5);
    int fd = open_pid(child, 0);
    CHECK_EXITED(check_reap(child), 5);
    struct clone_args_0 args = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&child, .set_tid_size = 1};
    pid_t again = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (again == 0)
        wait_for_signal();
    CHECK_EQ(again, child); // a new process with the old number
    CHECK_ERRNO(send_to(fd, SIGKILL, NULL, 0), ESRCH);
    siginfo_t info;
    CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG), ECHILD);
    CHECK_EQ(kill(again, 0), 0);
    kill(again, SIGKILL);
    check_reap(again);
}

static void is_waited_for(void) {
    pid_t first = spawn(exit_5), child = spawn(wait_for_signal);
    int fd = open_pid(child, O_NONBLOCK), blocking = open_pid(child, 0), end[2];
    siginfo_t info = {0};
    CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), EAGAIN); // the other one's end is no matter
    CHECK_EQ(waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0);
    CHECK_ERRNO(waitid(P_PIDFD, 0, &info, WEXITED), EBADF);
    CHECK_EQ(pipe(end), 0);
    pid_t stranger = fork();
    if (stranger == 0)
        _exit(waitid(P_PIDFD, (id_t)blocking, &info, WEXITED) < 0 && errno == ECHILD ? 0 : 1);
    CHECK_EXITED(check_reap(stranger), 0);
    kill(child, SIGINT);
    CHECK_EQ(waitid(P_PIDFD, (id_t)blocking, &info, WEXITED | WNOWAIT), 0);
    CHECK_EQ(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), 0);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_code, CLD_KILLED);
    CHECK_EQ(info.si_status, SIGINT);
    CHECK_ERRNO(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), ECHILD);
    CHECK_EXITED(check_reap(first), 5);
}

static void is_born_with_it(void) {
    int fd = -1;
    struct clone_args_0 args = {.flags = clone_pidfd, .pidfd = (uintptr_t)&fd, .exit_signal = SIGCHLD};
    pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof args);
    if (child == 0) // the descriptor is its creator's alone
        _exit(fcntl(fd, F_GETFD) < 0 && errno == EBADF ? 6 : 7);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    siginfo_t info = {0};
    CHECK_EQ(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), 0);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_status, 6);
    close(fd);

    child = (pid_t)syscall(SYS_clone, clone_pidfd | SIGCHLD, 0, &fd, 0, 0);
    if (child == 0)
        _exit(8);
    CHECK_EQ(waitid(P_PIDFD, (id_t)fd, &info, WEXITED), 0);
    CHECK_EQ(info.si_status, 8);
    close(fd);
}
static void refuses(void) {
    int fd = -1, tid;
    CHECK_ERRNO(syscall(SYS_clone, clone_pidfd | clone_parent_settid | SIGCHLD, 0, &fd, 0, 0), EINVAL);
    struct rlimit limit, none;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0); // limits of its own from here on
    struct object_counts before = settled_objects();
    int lowest = dup(0);
    close(lowest);
    CHECK_ERRNO(syscall(SYS_clone, clone_pidfd | SIGCHLD, 0, 16, 0, 0), EFAULT); // and nobody is born
    CHECK_ERRNO(waitpid(-1, &tid, WNOHANG), ECHILD);
    none = limit;
    none.rlim_cur = (rlim_t)lowest;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_ERRNO(syscall(SYS_clone, clone_pidfd | SIGCHLD, 0, &fd, 0, 0), EMFILE);
    CHECK_ERRNO(waitpid(-1, &tid, WNOHANG), ECHILD);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CHECK_EQ(dup(0), lowest); // nothing stayed behind
    close(lowest);
    objects_are_back(&before);
}

static int lent_fd = -1;
static void lends(void) {
    long loans = check_counter("loans");
    // Raw: the child returns on this stack, as vfork's does, and leaves it alone.
    pid_t child = (pid_t)syscall(SYS_clone, clone_vm | clone_vfork | clone_pidfd | SIGCHLD, 0, &lent_fd, 0, 0);
    if (child == 0)
        _exit(lent_fd >= 0 && fcntl(lent_fd, F_GETFD) < 0 ? 9 : 10); // written before it ran, and not its own
    CHECK_EQ(check_counter("loans") - loans, 1);
    CHECK_EQ(events_of(lent_fd), POLLIN);
    siginfo_t info = {0};
    CHECK_EQ(waitid(P_PIDFD, (id_t)lent_fd, &info, WEXITED), 0);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_status, 9);
}

static int shared_pipe[2];
static void gets_descriptors(void) {
    int told[2], number;
    CHECK_EQ(pipe(told), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(pipe(shared_pipe), 0);
        if (write(told[1], &shared_pipe[0], sizeof(int)) != sizeof(int) || write(shared_pipe[1], "hello", 5) != 5)
            _exit(1);
        wait_for_signal();
    }
    CHECK_EQ(read(told[0], &number, sizeof number), sizeof number);
    int pidfd = open_pid(child, 0), fd = get_fd(pidfd, number, 0);
    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    char text[8] = "";
    CHECK_EQ(read(fd, text, sizeof text), 5);
    CHECK(strcmp(text, "hello") == 0);
    CHECK_ERRNO(get_fd(pidfd, 900, 0), EBADF);
    CHECK_ERRNO(get_fd(pidfd, number, 1), EINVAL);
    CHECK_ERRNO(get_fd(fd, number, 0), EBADF);
    pid_t other = fork();
    if (other == 0) {
        if (setresuid(1234, 1234, 1234) < 0)
            _exit(1);
        _exit(get_fd(pidfd, number, 0) < 0 && errno == EPERM ? 0 : 2);
    }
    CHECK_EXITED(check_reap(other), 0);
    kill(child, SIGKILL);
    check_reap(child);
    CHECK_ERRNO(get_fd(pidfd, number, 0), ESRCH);
}

static void is_listed(void) {
    pid_t child = spawn(wait_for_signal);
    int fd = open_pid(child, 0);
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    CHECK_EQ(check_value_in(path, "Pid"), child);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHECK(readlink(path, text, sizeof text - 1) > 0);
    CHECK(strcmp(text, "anon_inode:[pidfd]") == 0);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    kill(child, SIGKILL);
    check_reap(child);
    CHECK_EQ(check_value_in(path, "Pid"), -1);
    CHECK(check_read_file(path, text, sizeof text) > 0);
    CHECK(strstr(text, "Pid:\t-1\n") != NULL);
}

static const struct check_case cases[] = {
    {"pidfd_open names a process that is there, by descriptors that an exec closes", opens, 20, false},
    {"a pidfd is readable once its process has ended, for poll and epoll", is_polled, 20, false},
    {"a pidfd hangs up once its process was waited for", hangs_up, 20,
     true}, // later than the Linux of this machine, maybe
    {"pidfd_send_signal sends what kill or sigqueue would", signals, 20, false},
    {"a pidfd never means a later process with the same number", to_nobody_else, 20, false},
    {"waitid waits for the process of a pidfd and no other", is_waited_for, 20, false},
    {"CLONE_PIDFD gives the creator, and only it, a descriptor of the child", is_born_with_it, 20, false},
    {"a clone that cannot give its pidfd makes nobody and leaves nothing", refuses, 30, true},
    {"CLONE_PIDFD works with a lent thread", lends, 20, true},
    {"pidfd_getfd copies a descriptor from a process that one may trace", gets_descriptors, 20, false},
    {"/proc shows what a pidfd names", is_listed, 20, false},
};
CHECK_MAIN(cases)

// SPDX-License-Identifier: BSD-2-Clause
// System calls on open files: descriptors, locks, poll, epoll, eventfd, memfd, and their error rules.
#include "check.h"

#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/uio.h>

static int temporary(void) {
    char name[] = "/tmp/calls-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0);
    unlink(name);
    return fd;
}

static void duplicates(void) {
    int fd = temporary();
    CHECK_EQ(fcntl(fd, F_DUPFD, 100), 100);
    CHECK_EQ(fcntl(100, F_GETFD), 0);
    CHECK_EQ(fcntl(fd, F_DUPFD_CLOEXEC, 100), 101);
    CHECK_EQ(fcntl(101, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(dup3(fd, 120, O_CLOEXEC), 120);
    CHECK_EQ(fcntl(120, F_GETFD), FD_CLOEXEC);
    CHECK_ERRNO(dup3(fd, fd, 0), EINVAL);
    CHECK_ERRNO(dup3(fd, 121, O_APPEND), EINVAL);
    CHECK_ERRNO(dup3(555, 121, 0), EBADF);
    CHECK_ERRNO(dup2(fd, -1), EBADF);
    CHECK_ERRNO(dup2(fd, 1 << 24), EBADF);
    CHECK_ERRNO(fcntl(fd, F_DUPFD, -1), EINVAL);
    CHECK_ERRNO(fcntl(555, F_GETFL), EBADF);
    CHECK_ERRNO(fcntl(fd, 9999), EINVAL);
    CHECK_EQ(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK), 0);
    CHECK_EQ(fcntl(100, F_GETFL) & (O_APPEND | O_NONBLOCK | O_ACCMODE), O_APPEND | O_NONBLOCK | O_RDWR);
    CHECK_EQ(syscall(SYS_close_range, 100, 110, 0), 0);
    CHECK_ERRNO(fcntl(100, F_GETFD), EBADF);
    CHECK_EQ(fcntl(120, F_GETFD), FD_CLOEXEC);
    CHECK_EQ(dup2(fd, 119), 119);
    CHECK_EQ(dup2(fd, 121), 121);
    CHECK_EQ(syscall(SYS_close_range, 119, 120, 0), 0); // both ends belong to it
    CHECK_ERRNO(fcntl(119, F_GETFD), EBADF);
    CHECK_ERRNO(fcntl(120, F_GETFD), EBADF);
    CHECK_EQ(fcntl(121, F_GETFD), 0);
    CHECK_ERRNO(syscall(SYS_close_range, 10, 9, 0), EINVAL);
    CHECK_EQ(close(0), 0);
    CHECK_EQ(dup(fd), 0); // the lowest that is free
    struct rlimit limit = {32, 32};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    int last = 0;
    for (int n; (n = dup(fd)) >= 0;)
        last = n;
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(last, 31);
}

static void transfers(void) {
    int fd = temporary();
    struct iovec parts[2] = {{"hello ", 6}, {"world", 5}};
    CHECK_EQ(writev(fd, parts, 2), 11);
    char text[32] = {0};
    CHECK_EQ(pread(fd, text, 31, 6), 5);
    CHECK(strcmp(text, "world") == 0);
    CHECK_EQ(pwritev(fd, parts, 1, 11), 6);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), 11);
    CHECK_EQ(lseek(fd, 0, SEEK_END), 17);
    CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
    CHECK_ERRNO(lseek(fd, 0, 99), EINVAL);
    CHECK_ERRNO(pread(fd, text, 1, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_readv, fd, parts, 1025), EINVAL);
    CHECK_ERRNO(syscall(SYS_readv, fd, parts, -1), EINVAL);
    parts[0].iov_len = (size_t)-1;
    CHECK_ERRNO(writev(fd, parts, 2), EINVAL);
    int pipes[2];
    CHECK_EQ(pipe(pipes), 0);
    CHECK_ERRNO(lseek(pipes[0], 0, SEEK_SET), ESPIPE);
    CHECK_ERRNO(pread(pipes[0], text, 1, 0), ESPIPE);
    CHECK_ERRNO(write(pipes[0], text, 1), EBADF);
    CHECK_ERRNO(read(pipes[1], text, 1), EBADF);
    off_t offset = 6;
    CHECK_EQ(sendfile(pipes[1], fd, &offset, 5), 5);
    CHECK_EQ(offset, 11);
    CHECK_EQ(read(pipes[0], text, 31), 5);
    int other = temporary();
    loff_t from = 0, to = 3;
    CHECK_EQ(copy_file_range(fd, &from, other, &to, 11, 0), 11);
    CHECK_EQ(to, 14);
    CHECK_EQ(pread(other, text, 14, 0), 14);
    CHECK(memcmp(text, "\0\0\0hello world", 14) == 0);
    CHECK_ERRNO(copy_file_range(fd, &from, pipes[1], NULL, 1, 0), EINVAL);
    CHECK_EQ(ftruncate(other, 3), 0);
    CHECK_EQ(lseek(other, 0, SEEK_END), 3);
    CHECK_ERRNO(ftruncate(other, -1), EINVAL);
    CHECK_ERRNO(ftruncate(pipes[1], 1), EINVAL);
    CHECK_EQ(fallocate(other, 0, 0, 10000), 0);
    CHECK_EQ(lseek(other, 0, SEEK_END), 10000);
    CHECK_ERRNO(fallocate(other, 0, 0, 0), EINVAL);
}

static void stat_rules(void) {
    struct stat s;
    int pipes[2];
    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(fstatat(pipes[0], "", &s, AT_EMPTY_PATH), 0);
    CHECK(S_ISFIFO(s.st_mode));
    CHECK_ERRNO(fstatat(AT_FDCWD, "", &s, 0), ENOENT);
    CHECK_ERRNO(fstatat(AT_FDCWD, "/", &s, 0x80), EINVAL);
    CHECK_ERRNO(fstatat(555, "x", &s, 0), EBADF);
    CHECK_ERRNO(fstatat(pipes[0], "x", &s, 0), ENOTDIR);
    struct statx x;
    CHECK_EQ(statx(AT_FDCWD, "/dev/null", 0, STATX_BASIC_STATS, &x), 0);
    CHECK_EQ(x.stx_rdev_major, 1);
    CHECK_EQ(x.stx_rdev_minor, 3);
    CHECK_EQ(stat("/dev/null", &s), 0);
    CHECK_EQ(s.st_rdev, 0x103);
    CHECK_EQ(x.stx_ino, s.st_ino);
    CHECK_ERRNO(statx(AT_FDCWD, "/", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0, &x), EINVAL);
    struct statfs f;
    CHECK_EQ(statfs("/tmp", &f), 0);
    CHECK(f.f_bsize > 0 && f.f_namelen == 255);
    CHECK_ERRNO(statfs("/nowhere", &f), ENOENT);
    int path = open("/tmp", O_PATH);
    CHECK(path >= 0);
    CHECK_ERRNO(read(path, &s, 1), EBADF);
    CHECK_ERRNO(fchmod(path, 0700), EBADF);
    CHECK_EQ(fstat(path, &s), 0);
    char names[16];
    int root = open("/", O_RDONLY | O_DIRECTORY);
    CHECK_ERRNO(syscall(SYS_getdents64, root, names, 16), EINVAL);
    CHECK_ERRNO(syscall(SYS_getdents64, pipes[0], names, 16), ENOTDIR);
}

static short lock_type(int fd, short type, off_t start, off_t length, pid_t* pid) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    CHECK_EQ(fcntl(fd, F_GETLK, &lock), 0);
    if (pid)
        *pid = lock.l_pid;
    return lock.l_type;
}

static void record_locks(void) {
    int fd = temporary();
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    lock.l_type = F_UNLCK, lock.l_start = 14, lock.l_len = 2;
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0); // leaves 10-13 and 16-19
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        pid_t holder = 0;
        CHECK_EQ(lock_type(fd, F_WRLCK, 0, 10, NULL), F_UNLCK);
        CHECK_EQ(lock_type(fd, F_RDLCK, 0, 11, &holder), F_WRLCK);
        CHECK_EQ(holder, parent);
        CHECK_EQ(lock_type(fd, F_WRLCK, 14, 2, NULL), F_UNLCK);
        CHECK_EQ(lock_type(fd, F_WRLCK, 16, 1, NULL), F_WRLCK);
        CHECK_EQ(lock_type(fd, F_WRLCK, 19, 1, NULL), F_WRLCK);
        CHECK_EQ(lock_type(fd, F_WRLCK, 20, 0, NULL), F_UNLCK);
        struct flock mine = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 12, .l_len = 1};
        CHECK_ERRNO(fcntl(fd, F_SETLK, &mine), EAGAIN);
        _exit(0);
    }
    CHECK_EXITED(check_reap(child), 0);
    close(dup(fd)); // closing any descriptor of the file drops the process's locks
    child = fork();
    if (child == 0) {
        CHECK_EQ(lock_type(fd, F_WRLCK, 0, 0, NULL), F_UNLCK);
        _exit(0);
    }
    CHECK_EXITED(check_reap(child), 0);
    // Neighbours become one lock; a negative length counts backwards.
    lock.l_type = F_WRLCK, lock.l_start = 10, lock.l_len = 5;
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    lock.l_start = 20, lock.l_len = -5;
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    child = fork();
    if (child == 0) {
        struct flock found = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
        CHECK_EQ(fcntl(fd, F_GETLK, &found), 0);
        CHECK_EQ(found.l_start, 10);
        CHECK_EQ(found.l_len, 10);
        CHECK_EQ(lock_type(fd, F_WRLCK, 20, 1, NULL), F_UNLCK);
        _exit(0);
    }
    CHECK_EXITED(check_reap(child), 0);
    // A lock needs the right to do what it protects.
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int reader = open(path, O_RDONLY), writer = open(path, O_WRONLY);
    lock.l_start = 0, lock.l_len = 1;
    CHECK_ERRNO(fcntl(reader, F_SETLK, &lock), EBADF);
    lock.l_type = F_RDLCK;
    CHECK_ERRNO(fcntl(writer, F_SETLK, &lock), EBADF);
    CHECK_EQ(fcntl(reader, F_SETLK, &lock), 0);
    lock.l_type = 7;
    CHECK_ERRNO(fcntl(fd, F_SETLK, &lock), EINVAL);
    lock.l_type = F_WRLCK, lock.l_start = -1;
    CHECK_ERRNO(fcntl(fd, F_SETLK, &lock), EINVAL);
}

static void lock_waiting(void) {
    int fd = temporary();
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    pid_t child = fork();
    if (child == 0) {
        struct flock second = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};
        CHECK_EQ(fcntl(fd, F_SETLK, &second), 0);
        second.l_start = 0;
        CHECK_EQ(fcntl(fd, F_SETLKW, &second), 0); // until the parent lets go
        _exit(7);
    }
    CHECK_SOON(lock_type(fd, F_WRLCK, 1, 1, NULL) == F_WRLCK, 5);
    check_sleep_ms(50);
    lock.l_start = 1;
    CHECK_ERRNO(fcntl(fd, F_SETLKW, &lock), EDEADLK);
    lock.l_start = 0, lock.l_type = F_UNLCK;
    CHECK_EQ(fcntl(fd, F_SETLK, &lock), 0);
    CHECK_EXITED(check_reap(child), 7);
}

static void whole_locks(void) {
    char name[] = "/tmp/calls-XXXXXX";
    int first = mkstemp(name), second = open(name, O_RDWR);
    unlink(name);
    CHECK_EQ(flock(first, LOCK_SH), 0);
    CHECK_EQ(flock(second, LOCK_SH | LOCK_NB), 0);
    CHECK_ERRNO(flock(second, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    int copy = dup(first);
    close(first); // the open file lives on in the copy, and so does its lock
    CHECK_ERRNO(flock(second, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    close(copy);
    CHECK_EQ(flock(second, LOCK_EX | LOCK_NB), 0);
    CHECK_ERRNO(flock(second, 16), EINVAL);
}

static void poll_rules(void) {
    int pipes[2];
    CHECK_EQ(pipe(pipes), 0);
    struct pollfd fds[3] = {{pipes[0], POLLIN, 9}, {pipes[1], POLLOUT, 9}, {-1, POLLIN, 9}};
    CHECK_EQ(poll(fds, 3, 0), 1);
    CHECK_EQ(fds[0].revents, 0);
    CHECK_EQ(fds[1].revents, POLLOUT);
    CHECK_EQ(fds[2].revents, 0);
    double before = check_now();
    CHECK_EQ(poll(fds, 1, 50), 0);
    CHECK(check_now() - before >= 0.05);
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    CHECK_EQ(poll(fds, 1, -1), 1);
    CHECK_EQ(fds[0].revents, POLLIN);
    fds[0].fd = 555;
    CHECK_EQ(poll(fds, 1, -1), 1);
    CHECK_EQ(fds[0].revents, POLLNVAL);
    close(pipes[1]);
    fds[0].fd = pipes[0];
    CHECK_EQ(poll(fds, 1, -1), 1);
    CHECK_EQ(fds[0].revents, POLLIN | POLLHUP);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipes[0], &set);
    struct timeval none = {0, 0};
    CHECK_EQ(select(pipes[0] + 1, &set, NULL, NULL, &none), 1);
    CHECK(FD_ISSET(pipes[0], &set));
    FD_SET(50, &set);
    CHECK_ERRNO(select(51, &set, NULL, NULL, &none), EBADF);
    struct timespec bad = {0, 1000000000};
    CHECK_ERRNO(ppoll(fds, 1, &bad, NULL), EINVAL);
}

static void count_alarm(int signal) { (void)signal; }

static void poll_mask(void) {
    sigset_t blocked, open_set;
    sigemptyset(&open_set);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGALRM);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    signal(SIGALRM, count_alarm);
    raise(SIGALRM);
    struct timespec limit = {5, 0};
    CHECK_ERRNO(ppoll(NULL, 0, &limit, &open_set), EINTR);
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    CHECK_EQ(sigismember(&now, SIGALRM), 1);
}

static void epoll_levels(void) {
    int set = epoll_create1(EPOLL_CLOEXEC), pipes[2];
    CHECK(set >= 0);
    CHECK_EQ(pipe(pipes), 0);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 42}, got[4];
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, pipes[0], &event), 0);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, pipes[0], &event), EEXIST);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_MOD, pipes[1], &event), ENOENT);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, set, &event), EINVAL);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, temporary(), &event), EPERM);
    CHECK_ERRNO(epoll_ctl(pipes[0], EPOLL_CTL_ADD, pipes[1], &event), EINVAL);
    CHECK_ERRNO(epoll_wait(set, got, 0, 0), EINVAL);
    CHECK_EQ(epoll_wait(set, got, 4, 20), 0);
    CHECK_EQ(write(pipes[1], "xy", 2), 2);
    for (int i = 0; i < 3; ++i) { // level-triggered: as long as there is something
        CHECK_EQ(epoll_wait(set, got, 4, -1), 1);
        CHECK_EQ(got[0].events, EPOLLIN);
        CHECK_EQ(got[0].data.u64, 42);
    }
    event.events = EPOLLIN | EPOLLET;
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_MOD, pipes[0], &event), 0);
    CHECK_EQ(epoll_wait(set, got, 4, 0), 1);
    CHECK_EQ(epoll_wait(set, got, 4, 0), 0); // edge-triggered: once
    CHECK_EQ(write(pipes[1], "z", 1), 1);
    CHECK_EQ(epoll_wait(set, got, 4, 0), 1);
    event.events = EPOLLIN | EPOLLONESHOT;
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_MOD, pipes[0], &event), 0);
    CHECK_EQ(epoll_wait(set, got, 4, 0), 1);
    CHECK_EQ(write(pipes[1], "z", 1), 1);
    CHECK_EQ(epoll_wait(set, got, 4, 0), 0); // disarmed
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_MOD, pipes[0], &event), 0);
    CHECK_EQ(epoll_wait(set, got, 4, 0), 1);
    int outer = epoll_create1(0);
    event.events = EPOLLIN;
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_MOD, pipes[0], &event), 0);
    CHECK_EQ(epoll_ctl(outer, EPOLL_CTL_ADD, set, &event), 0);
    CHECK_EQ(epoll_wait(outer, got, 4, 0), 1);
    CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, outer, &event), ELOOP);
    close(pipes[0]); // the last descriptor: the set forgets it
    CHECK_EQ(epoll_wait(set, got, 4, 20), 0);
}

static void epoll_wakes(void) {
    int set = epoll_create1(0), event_fd = eventfd(0, EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = event_fd}, got;
    CHECK_EQ(epoll_ctl(set, EPOLL_CTL_ADD, event_fd, &event), 0);
    pid_t child = fork();
    if (child == 0) {
        for (uint64_t i = 1; i <= 100; ++i) {
            CHECK_EQ(write(event_fd, &i, 8), 8);
            check_sleep_ms(1);
        }
        _exit(0);
    }
    uint64_t sum = 0;
    while (sum < 5050) {
        CHECK_EQ(epoll_wait(set, &got, 1, 5000), 1);
        uint64_t value;
        CHECK_EQ(read(event_fd, &value, 8), 8);
        sum += value;
    }
    CHECK_EQ(sum, 5050);
    CHECK_EXITED(check_reap(child), 0);
}

static void event_counters(void) {
    int fd = eventfd(3, EFD_NONBLOCK | EFD_SEMAPHORE);
    uint64_t value = 0;
    for (int i = 0; i < 3; ++i) {
        CHECK_EQ(read(fd, &value, 8), 8);
        CHECK_EQ(value, 1);
    }
    CHECK_ERRNO(read(fd, &value, 8), EAGAIN);
    CHECK_ERRNO(read(fd, &value, 4), EINVAL);
    value = ~UINT64_C(0);
    CHECK_ERRNO(write(fd, &value, 8), EINVAL);
    CHECK_ERRNO(eventfd(0, 0x1000000), EINVAL);
}

static void memory_files(void) {
    int fd = memfd_create("name", MFD_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(ftruncate(fd, 8192), 0);
    char* a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char* b = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096);
    CHECK(a != MAP_FAILED && b != MAP_FAILED);
    strcpy(a + 4096, "seen");
    CHECK(strcmp(b, "seen") == 0);
    char text[8];
    CHECK_EQ(pread(fd, text, 5, 4096), 5);
    CHECK(strcmp(text, "seen") == 0);
    CHECK_ERRNO(memfd_create("name", 0x8000), EINVAL);
}

// Descriptors come and go in any order, in a parent and in a child that shares none: the lowest free one is what the next gets.
static void lowest_free(void) {
    enum { most = 150 };
    bool open_here[most] = {false};
    unsigned state = 11;
    for (int fd = 0; fd < most; fd++)
        open_here[fd] = fcntl(fd, F_GETFD) >= 0;
    for (int step = 0; step < 1500; step++) {
        state = state * 1664525 + 1013904223;
        const unsigned what = (state >> 8) % 8;
        const int fd = 3 + (int)((state >> 12) % 100);
        if (fd == check_report_fd)
            continue;
        int lowest = what == 3 ? fd : 0;
        while (lowest < most && open_here[lowest])
            lowest++;
        if (what < 4 && lowest == most)
            continue;
        if (what < 3) {
            CHECK_EQ(dup(0), lowest);
        } else if (what == 3) {
            CHECK_EQ(fcntl(0, F_DUPFD_CLOEXEC, fd), lowest);
            CHECK_EQ(fcntl(lowest, F_GETFD), FD_CLOEXEC);
        } else if (what == 4) {
            CHECK_EQ(dup2(0, fd), fd);
            lowest = fd;
        } else {
            CHECK_EQ(close(fd), open_here[fd] ? 0 : -1);
            lowest = fd;
        }
        open_here[lowest] = what < 5;
        if (what < 3)
            CHECK_EQ(fcntl(lowest, F_GETFD), 0); // no mark is left of whoever had the number
        if (step % 500 == 250) {                 // the rest in a child: slots are shared at first
            int status;
            const pid_t child = fork();
            if (child != 0) {
                CHECK_EQ(waitpid(child, &status, 0), child);
                CHECK_EXITED(status, 0);
            } else if (step > 1000) {
                _exit(0);
            }
        }
    }
}

static const struct check_case cases[] = {
    {"dup, dup3, fcntl and close_range keep descriptors as asked", duplicates, 0, false},
    {"the lowest free descriptor comes next, whatever was opened and closed before", lowest_free, 0, false},
    {"vectors, positions, sendfile and copy_file_range move the right bytes", transfers, 0, false},
    {"stat, statx and statfs tell what a name or descriptor is", stat_rules, 0, false},
    {"record locks split, conflict and go with any close", record_locks, 0, false},
    {"waiting for a record lock ends when it is free, and never starts a deadlock", lock_waiting, 0, false},
    {"flock belongs to the open file", whole_locks, 0, false},
    {"poll and select report what is ready", poll_rules, 0, false},
    {"ppoll waits with its own signal mask", poll_mask, 0, false},
    {"epoll is level-triggered, edge-triggered or one-shot as asked", epoll_levels, 0, false},
    {"an edge-triggered wait misses no event", epoll_wakes, 0, false},
    {"eventfd counts", event_counters, 0, false},
    {"a memfd is memory and file at once", memory_files, 0, false},
};
CHECK_MAIN(cases)

// SPDX-License-Identifier: BSD-2-Clause
// Every allocation of a call is made to fail, one at a time (/proc/self/fail-nth, checked kernels): the errno is the right
// one each time, the call succeeds once nothing fails, and afterwards the kernel has what it had before.
#include "fail_nth.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

// ---- processes ------------------------------------------------------------------------------------------------------

static void reap(long pid) { CHECK_EXITED(check_reap((pid_t)pid), 0); }

static long do_fork(void) {
    const long pid = fork();
    if (pid == 0)
        _exit(0);
    return pid;
}
static void nothing(void) {}
static long do_vfork(void) { return borrow(nothing); }
static long raw_clone(unsigned long flags) {
    const long pid = syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return pid;
}
static long clone_waiting(void) { return raw_clone(CLONE_VFORK); }
static long clone_shared(void) { return raw_clone(CLONE_FS | CLONE_FILES); }
static long do_clone3(void) {
    uint64_t arguments[8] = {0, 0, 0, 0, SIGCHLD};
    const long pid = syscall(SYS_clone3, arguments, sizeof arguments);
    if (pid == 0)
        _exit(0);
    return pid;
}
static const struct sweep process_sweeps[] = {
    {"fork", do_fork, reap, EAGAIN},
    {"vfork", do_vfork, reap, EAGAIN},
    {"clone(CLONE_VFORK)", clone_waiting, reap, EAGAIN},
    {"clone(CLONE_FS | CLONE_FILES)", clone_shared, reap, EAGAIN},
    {"clone3", do_clone3, reap, EAGAIN},
};
static void processes(void) { SWEEP(process_sweeps); }

// The caller has one place left: a count that leaked would show at once.
static void processes_at_the_limit(void) {
    const struct arm arm = armoury();
    CHECK_EQ(setresuid(4711, 4711, 4711), 0);
    const struct rlimit limit = {2, 2};
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
    for (size_t i = 0; i < sizeof process_sweeps / sizeof *process_sweeps; ++i) {
        sweep_one(arm, &process_sweeps[i]);
        const long pid = do_fork();
        CHECK(pid > 0);
        CHECK_ERRNO(do_fork(), EAGAIN); // the zombie counts
        reap(pid);
    }
}

// A new process without memory for it leaves no trace in the parent's list.
static volatile int children_ended;
static void child_ended(int signo) {
    (void)signo;
    ++children_ended;
}
static int children_made;
static void reap_and_count(long pid) {
    ++children_made;
    reap(pid);
}
static void no_child_is_left(void) {
    const struct arm arm = armoury();
    signal(SIGCHLD, child_ended);
    for (size_t i = 0; i < sizeof process_sweeps / sizeof *process_sweeps; ++i) {
        struct sweep sweep = process_sweeps[i];
        sweep.undo = reap_and_count;
        sweep_one(arm, &sweep);
        CHECK_ERRNO(waitpid(-1, NULL, __WALL), ECHILD);
        CHECK_EQ(children_ended, children_made);
    }
}

// ---- threads --------------------------------------------------------------------------------------------------------

static pthread_t thread;
static void* thread_body(void* argument) { return argument; }
static long do_thread(void) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    const int error = pthread_create(&thread, &attributes, thread_body, NULL);
    pthread_attr_destroy(&attributes);
    errno = error == EAGAIN ? ENOMEM : error; // the C library says EAGAIN for both
    return error ? -1 : 0;
}
static void join(long made) {
    (void)made;
    CHECK_EQ(pthread_join(thread, NULL), 0);
}
static const struct sweep thread_sweeps[] = {{"pthread_create", do_thread, join, 0}};
static void threads(void) { SWEEP(thread_sweeps); }

// A borrower that makes a thread gives itself the gift first (EC-40): the same, inside a loan.
static char bare_stack[4096] __attribute__((aligned(16)));
static volatile int bare_tid;
static int bare_thread(void* argument) {
    (void)argument;
    return 0;
}
static long make_bare_thread(void) {
    return clone(bare_thread, bare_stack + sizeof bare_stack,
                 CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                     CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID,
                 NULL, NULL, NULL, &bare_tid);
}
static void bare_thread_ended(long made) {
    (void)made;
    while (bare_tid != 0)
        sched_yield();
}
static const struct sweep gift_sweep = {"clone(CLONE_THREAD) by a borrower", make_bare_thread, bare_thread_ended,
                                        EAGAIN};
static void sweep_gift(void) { sweep_one(armoury(), &gift_sweep); }
static void gifts(void) {
    lend_ok(sweep_gift);
    const struct object_counts before = settled_objects();
    const long loans = check_counter("loans_open");
    lend_ok(sweep_gift);
    CHECK_EQ(check_counter("loans_open"), loans);
    objects_are_back(&before);
}

// ---- execve ---------------------------------------------------------------------------------------------------------

// Fails at each allocation in turn until it succeeds, in one process.
static void exec_until_it_works(void) {
    char* const arguments[] = {(char*)"true", (char*)"with", (char*)"words", NULL};
    char* const environment[] = {(char*)"A=b", NULL};
    const struct arm arm = armoury();
    for (long n = 1;; ++n) {
        if (n > 2000)
            check_fail("execve: allocation %ld still fails", n);
        set(arm, n);
        execve("/bin/true", arguments, environment);
        const int error = errno;
        const long left = disarm(arm);
        if (left != 0 || error != ENOMEM)
            check_fail("execve: allocation %ld fails with errno %d, %ld left", n, error, left);
    }
}
static void exec_after_fork(void) { CHECK_EXITED(check_reap(spawn(exec_until_it_works)), 0); }
static void exec_after_vfork(void) { CHECK_EXITED(lend(exec_until_it_works), 0); }

static void execs(void (*run)(void)) {
    run();
    const struct object_counts before = settled_objects();
    const long loans = check_counter("loans_open");
    run();
    CHECK_EQ(check_counter("loans_open"), loans);
    objects_are_back(&before);
}
static void execs_after_fork(void) { execs(exec_after_fork); }
static void execs_after_vfork(void) { execs(exec_after_vfork); }

// ---- memory ---------------------------------------------------------------------------------------------------------

enum { span = 64 * 4096 };
static char* area;
static long do_mmap(void) {
    area = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return area == MAP_FAILED ? -1 : 0;
}
static void undo_mmap(long made) {
    (void)made;
    CHECK_EQ(munmap(area, span), 0);
}
static long do_mmap_shared(void) {
    area = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return area == MAP_FAILED ? -1 : 0;
}
static long do_mmap_file(void) {
    static int fd;
    if (fd == 0)
        fd = open(check_self, O_RDONLY | O_CLOEXEC);
    area = mmap(NULL, span, PROT_READ, MAP_PRIVATE, fd, 0);
    return area == MAP_FAILED ? -1 : 0;
}
// The middle goes, or changes: what was one mapping becomes several.
static char* fixed;
static void make_fixed(void) {
    if (!fixed)
        fixed = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(fixed != MAP_FAILED);
}
static void whole_again(long made) {
    (void)made;
    CHECK(mmap(fixed, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == fixed);
}
static long do_munmap(void) { return munmap(fixed + 8 * 4096, 4096); }
static long do_mprotect(void) { return mprotect(fixed + 8 * 4096, 4096, PROT_READ); }
static long do_mremap(void) {
    area = mremap(fixed, span, 2 * span, MREMAP_MAYMOVE);
    return area == MAP_FAILED ? -1 : 0;
}
static void undo_mremap(long made) {
    (void)made;
    fixed = area;
    CHECK_EQ(munmap(fixed + span, span), 0);
}
static long do_madvise(void) { return madvise(fixed, span, MADV_DONTNEED); }
static long do_brk(void) {
    const long end = syscall(SYS_brk, 0);
    if (syscall(SYS_brk, end + span) == end + span)
        return end;
    errno = ENOMEM; // the call itself says nothing
    return -1;
}
static void undo_brk(long end) { CHECK_EQ(syscall(SYS_brk, end), end); }
static const struct sweep memory_sweeps[] = {
    {"mmap", do_mmap, undo_mmap, 0},
    {"mmap(MAP_SHARED)", do_mmap_shared, undo_mmap, 0},
    {"mmap of a file", do_mmap_file, undo_mmap, 0},
    {"munmap", do_munmap, whole_again, 0},
    {"mprotect", do_mprotect, whole_again, 0},
    {"mremap", do_mremap, undo_mremap, 0},
    {"madvise", do_madvise, NULL, 0},
    {"brk", do_brk, undo_brk, 0},
};
static void memory(void) {
    make_fixed();
    SWEEP(memory_sweeps);
}

// ---- descriptors ----------------------------------------------------------------------------------------------------

static void undo_fd(long fd) { CHECK_EQ(close((int)fd), 0); }
static int pair[2];
static long do_pipe(void) { return pipe2(pair, O_CLOEXEC); }
static long do_socketpair(void) { return socketpair(AF_UNIX, SOCK_STREAM, 0, pair); }
static void undo_pair(long made) {
    (void)made;
    CHECK_EQ(close(pair[0]), 0);
    CHECK_EQ(close(pair[1]), 0);
}
static long open_new(void) { return open("/tmp/fail_nth", O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600); }
static void undo_new(long fd) {
    CHECK_EQ(close((int)fd), 0);
    CHECK_EQ(unlink("/tmp/fail_nth"), 0);
}
static long open_old(void) { return open("/proc/self/status", O_RDONLY | O_CLOEXEC); }
static long do_dup(void) { return dup(0); }
static long dup_far(void) { return fcntl(0, F_DUPFD_CLOEXEC, 100); }
static long do_dup3(void) { return dup3(0, 90, O_CLOEXEC); }
static long do_eventfd(void) { return eventfd(0, EFD_CLOEXEC); }
static long do_signalfd(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return signalfd(-1, &set, SFD_CLOEXEC);
}
static long do_memfd(void) {
    const int fd = (int)syscall(SYS_memfd_create, "fail_nth", 1U);
    if (fd < 0)
        return fd;
    if (write(fd, "text", 4) == 4)
        return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}
static long do_epoll(void) {
    const int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return fd;
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(fd, EPOLL_CTL_ADD, pair[0], &event) == 0)
        return fd;
    const int error = errno;
    close(fd);
    errno = error;
    return -1;
}
static long do_mkdir(void) { return mkdir("/tmp/fail_nth.d", 0700); }
static void undo_mkdir(long made) {
    (void)made;
    CHECK_EQ(rmdir("/tmp/fail_nth.d"), 0);
}
static long do_symlink(void) { return symlink("nowhere", "/tmp/fail_nth.l"); }
static void undo_symlink(long made) {
    (void)made;
    CHECK_EQ(unlink("/tmp/fail_nth.l"), 0);
}
static long write_pipe(void) {
    static char bytes[3 * 4096];
    return write(pair[1], bytes, sizeof bytes);
}
static void read_pipe(long made) {
    char bytes[3 * 4096];
    for (long got = 0; got < made;) {
        const ssize_t n = read(pair[0], bytes, sizeof bytes);
        CHECK(n > 0);
        got += n;
    }
}
static long do_poll(void) {
    static struct pollfd many[100];
    for (int i = 0; i < 100; ++i)
        many[i] = (struct pollfd){.fd = pair[1], .events = POLLOUT};
    return poll(many, 100, 0);
}
static long do_lock(void) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    static int fd;
    if (fd == 0)
        fd = open("/tmp/fail_nth.lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    return fcntl(fd, F_SETLK, &lock) < 0 ? -1 : fd;
}
static void undo_lock(long fd) {
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    CHECK_EQ(fcntl((int)fd, F_SETLK, &lock), 0);
}
static const struct sweep descriptor_sweeps[] = {
    {"pipe2", do_pipe, undo_pair, 0},
    {"open of a new file", open_new, undo_new, ENOSPC},
    {"open in /proc", open_old, undo_fd, 0},
    {"dup", do_dup, undo_fd, 0},
    {"dup to a far descriptor", dup_far, undo_fd, 0},
    {"dup3", do_dup3, undo_fd, 0},
    {"eventfd2", do_eventfd, undo_fd, 0},
    {"signalfd4", do_signalfd, undo_fd, 0},
    {"memfd_create and write", do_memfd, undo_fd, ENOSPC},
    {"mkdir", do_mkdir, undo_mkdir, ENOSPC},
    {"symlink", do_symlink, undo_symlink, ENOSPC},
    {"fcntl(F_SETLK)", do_lock, undo_lock, ENOLCK},
};
static const struct sweep pipe_sweeps[] = {
    {"epoll_create1 and epoll_ctl", do_epoll, undo_fd, 0},
    {"poll", do_poll, NULL, 0},
    {"write to a pipe", write_pipe, read_pipe, 0},
};
static void descriptors(void) {
    undo_lock(do_lock());
    SWEEP(descriptor_sweeps);
}
static void pipes(void) {
    CHECK_EQ(do_pipe(), 0);
    SWEEP(pipe_sweeps);
}
static const struct sweep socket_sweeps[] = {{"socketpair", do_socketpair, undo_pair, ENOBUFS}};
static void sockets(void) {
    if (do_socketpair() < 0 && (errno == ENOSYS || errno == EAFNOSUPPORT))
        return; // no sockets, nothing to fail
    undo_pair(0);
    SWEEP(socket_sweeps);
}

// close, and marking close-on-exec, may not fail: after a fork the first change of a table copies it.
static void close_never_fails(void) {
    const struct arm arm = armoury();
    for (long n = 1; n <= 4; ++n) {
        int report[2], hold[2];
        CHECK_EQ(pipe(report), 0);
        CHECK_EQ(pipe(hold), 0);
        const pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) { // shares the table's slots until it is told to go
            char byte;
            _exit(read(hold[0], &byte, 1) == 1 ? 0 : 1);
        }
        set(arm, n);
        const int marked = fcntl(report[0], F_SETFD, FD_CLOEXEC);
        const int closed = close(report[0]);
        disarm(arm);
        CHECK_EQ(marked, 0);
        CHECK_EQ(closed, 0);
        CHECK_ERRNO(fcntl(report[0], F_GETFD), EBADF);
        CHECK_EQ(write(hold[1], "x", 1), 1);
        reap(pid);
        CHECK_EQ(close(report[1]), 0);
        CHECK_EQ(close(hold[0]), 0);
        CHECK_EQ(close(hold[1]), 0);
    }
    // The first allocation of such a close is the copy: it was there to fail.
    int hold[2];
    CHECK_EQ(pipe(hold), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        char byte;
        _exit(read(hold[0], &byte, 1) == 1 ? 0 : 1);
    }
    const int fd = 0;
    set(arm, 1);
    const int closed = close(fd);
    const long left = disarm(arm);
    CHECK_EQ(closed, 0);
    CHECK_EQ(left, 0);
    CHECK_EQ(write(hold[1], "x", 1), 1);
    reap(pid);
}

// ---- tables and signals -----------------------------------------------------------------------------------------------

static void handler(int signo) { (void)signo; }
static long do_sigaction(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    return sigaction(SIGUSR1, &action, NULL);
}
static long do_sigqueue(void) {
    const union sigval value = {.sival_int = 7};
    return sigqueue(getpid(), SIGRTMIN + 1, value);
}
static void undo_sigqueue(long made) {
    (void)made;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    siginfo_t info;
    CHECK_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
    CHECK_EQ(info.si_value.sival_int, 7);
}
static long do_kill(void) { return kill(getpid(), SIGUSR2); }
static void undo_kill(long made) {
    (void)made;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK_EQ(sigwaitinfo(&set, NULL), SIGUSR2);
}
static long do_setrlimit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_CORE, &limit);
    return setrlimit(RLIMIT_CORE, &limit);
}
static long do_setresuid(void) { return setresuid(4712, 4712, 0); }
static void undo_setresuid(long made) {
    (void)made;
    CHECK_EQ(setresuid(0, 0, 0), 0);
}
static long do_setpgid(void) { return setpgid(0, 0); }
static long do_setgroups(void) {
    const gid_t groups[3] = {5, 6, 7};
    return syscall(SYS_setgroups, 3, groups);
}
static long do_getcwd(void) {
    char path[256];
    return getcwd(path, sizeof path) ? 0 : -1;
}
static long do_chdir(void) { return chdir("/proc/self"); }
static void undo_chdir(long made) {
    (void)made;
    CHECK_EQ(chdir("/"), 0);
}
static long do_itimer(void) {
    const struct itimerval value = {{0, 0}, {100, 0}};
    return setitimer(ITIMER_REAL, &value, NULL);
}
static void undo_itimer(long made) {
    (void)made;
    const struct itimerval value = {{0, 0}, {0, 0}};
    CHECK_EQ(setitimer(ITIMER_REAL, &value, NULL), 0);
}
static const struct sweep table_sweeps[] = {
    {"rt_sigaction", do_sigaction, NULL, 0},
    {"rt_sigqueueinfo", do_sigqueue, undo_sigqueue, EAGAIN},
    {"kill", do_kill, undo_kill, 0},
    {"setrlimit", do_setrlimit, NULL, 0},
    {"setresuid", do_setresuid, undo_setresuid, EAGAIN},
    {"setpgid", do_setpgid, NULL, 0},
    {"setgroups", do_setgroups, NULL, 0},
    {"getcwd", do_getcwd, NULL, 0},
    {"chdir", do_chdir, undo_chdir, 0},
    {"setitimer", do_itimer, undo_itimer, 0},
};
static void tables(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGUSR2);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(chdir("/"), 0);
    SWEEP(table_sweeps);
}

// A child that shares its creator's table makes one of its own: it fails, or nothing that it closes is closed for both.
static void unshare_files(void) {
    const struct object_counts before = settled_objects();
    for (long n = 1, left = 0; left == 0; ++n) {
        CHECK(n < 100);
        const pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
        CHECK(pid >= 0);
        if (pid == 0) {
            const struct arm arm = armoury();
            set(arm, n);
            const int result = (int)syscall(SYS_close_range, 600, 700, 2 /* CLOSE_RANGE_UNSHARE */);
            const int error = errno;
            const long rest = disarm(arm);
            if (result < 0 && (rest != 0 || error != ENOMEM))
                check_fail("close_range: allocation %ld fails with errno %d, %ld left", n, error, rest);
            close(arm.fd);
            _exit(rest == 0 ? 1 : 0);
        }
        const int status = check_reap(pid);
        CHECK(WIFEXITED(status));
        left = WEXITSTATUS(status) == 0;
        for (int fd = 3; fd < 50; ++fd) // what a table that was still shared got
            close(fd);
    }
    objects_are_back(&before);
}

static void truncation(void) {
    const char* path = "/tmp/fail_nth.full";
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    CHECK_EQ(write(fd, "text", 4), 4);
    const struct rlimit limit = {(rlim_t)fd, 1024};
    close(fd);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int low = 3; low < fd; ++low) // no hole below
        fcntl(0, F_DUPFD, low);
    CHECK_ERRNO(open(path, O_WRONLY | O_TRUNC), EMFILE);
    CHECK_ERRNO(open("/tmp/fail_nth.none", O_CREAT | O_WRONLY, 0600), EMFILE);
    struct stat status;
    CHECK_EQ(stat(path, &status), 0);
    CHECK_EQ(status.st_size, 4);
    CHECK_ERRNO(stat("/tmp/fail_nth.none", &status), ENOENT);
    CHECK_EQ(unlink(path), 0);
}

// ---- the file itself ------------------------------------------------------------------------------------------------

static void the_file(void) {
    const struct arm arm = armoury();
    set(arm, 5);
    char text[16] = "";
    CHECK(pread(arm.fd, text, sizeof text - 1, 0) > 0);
    CHECK_EQ(atol(text), 5); // reading it allocates nothing
    set(arm, 1);
    errno = 0;
    const long fd = fcntl(0, F_DUPFD_CLOEXEC, 500); // the table has to grow
    const int error = errno;
    const long second = fcntl(0, F_DUPFD_CLOEXEC, 500); // only one fails
    CHECK_EQ(disarm(arm), 0);
    CHECK_EQ(fd, -1);
    CHECK_EQ(error, ENOMEM);
    CHECK_EQ(second, 500);
    CHECK_ERRNO(write(arm.fd, "many", 4), EINVAL);
    const pid_t pid = fork(); // nobody arms another, and a child starts with nothing
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK_ERRNO(write(arm.fd, "1", 1), EPERM);
        CHECK_EQ(disarm(armoury()), 0);
        _exit(0);
    }
    reap(pid);
}

static const struct check_case cases[] = {
    {"fail-nth counts the allocations of the caller's own calls, and fails one", the_file, 0, true},
    {"LX-04 LX-05 XN-15 NB-09 NB-10 FB-06 EC-150 EC-151 EC-152 EC-154 EC-155 EC-156 EC-159 EC-160 "
     "a fork, vfork, clone or clone3 that lacks any one allocation gives ENOMEM, for the id EAGAIN, and leaves nothing",
     processes, 60, true},
    {"NB-05 EC-118 a process that was not made is not counted against RLIMIT_NPROC", processes_at_the_limit, 60, true},
    {"EC-08 LX-04 a process that was not made is nobody's child, and nobody gets a signal for it", no_child_is_left, 60,
     true},
    {"LX-04 LX-05 EC-159 a thread that lacks any one allocation is not made, and leaves nothing", threads, 60, true},
    {"EC-15 EC-151 EC-159 a gift that lacks any one allocation gives the borrower ENOMEM, and the loan goes on", gifts,
     60, true},
    {"EC-164 an execve that lacks any one allocation gives ENOMEM, and the old image goes on", execs_after_fork, 60,
     true},
    {"EC-164 XN-11 NB-10 a borrower's execve that lacks any one allocation gives ENOMEM, and the loan goes on",
     execs_after_vfork, 60, true},
    {"calls on memory that lack any one allocation give ENOMEM and leave nothing", memory, 60, true},
    {"calls that make descriptors and lack any one allocation give ENOMEM and leave nothing", descriptors, 60, true},
    {"pipes and polls that lack any one allocation give ENOMEM and leave nothing", pipes, 60, true},
    {"sockets that lack any one allocation give ENOMEM and leave nothing", sockets, 60, true},
    {"close and FD_CLOEXEC succeed when memory fails in the copy of a table that fork shared", close_never_fails, 60,
     true},
    {"EC-153 EC-156 EC-157 EC-158 actions, signals, limits, credentials and groups survive the want of any one "
     "allocation",
     tables, 60, true},
    {"close_range(CLOSE_RANGE_UNSHARE) that lacks any one allocation gives ENOMEM and leaves nothing", unshare_files,
     60, true},
    {"a file that an open with O_TRUNC cannot open for want of a descriptor keeps its contents", truncation, 0, false},
};
CHECK_MAIN(cases)

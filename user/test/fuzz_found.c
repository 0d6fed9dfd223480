// SPDX-License-Identifier: BSD-2-Clause
// What the system-call fuzzer (fuzz.c) found: the shortest programs that show it.
#include "check.h"
#include "objects.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/uio.h>

static pid_t raw_clone(unsigned long flags) { return (pid_t)syscall(SYS_clone, flags, 0, 0, 0, 0); }

// The case is the parent of what its child makes with CLONE_PARENT.
static void sibling_signal(void) {
    sigset_t set, pending;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        pid_t sibling = raw_clone(CLONE_PARENT | SIGUSR1);
        _exit(sibling < 0 ? 1 : 0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    int status;
    CHECK(waitpid(-1, &status, 0) > 0); // the sibling is a plain child: no __WCLONE needed
    CHECK(sigpending(&pending) == 0);
    CHECK(sigismember(&pending, SIGCHLD));
    CHECK(!sigismember(&pending, SIGUSR1));
}

static void signal_after_exec(void) {
    pid_t pid = raw_clone(SIGUSR1);
    CHECK(pid >= 0);
    signal(SIGUSR1, SIG_IGN);
    if (pid == 0) {
        execl("/proc/self/exe", check_self, "@end", (char*)NULL);
        _exit(99);
    }
    int status;
    CHECK_SOON(check_state_of(pid) == 'Z', 10);
    CHECK_EQ(waitpid(pid, &status, 0), pid); // a clone child without __WCLONE: only because it called exec
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) != 99);
}

static void signal_after_parents_exec(void) {
    int gate[2];
    CHECK(pipe(gate) == 0);
    pid_t parent = fork();
    CHECK(parent >= 0);
    if (parent == 0) {
        pid_t child = raw_clone(SIGUSR1); // would end the new image
        if (child == 0) {
            char c;
            close(gate[1]);
            _exit(read(gate[0], &c, 1) == 0 ? 0 : 1);
        }
        execl("/bin/sleep", "sleep", "1", (char*)NULL);
        _exit(99);
    }
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", parent);
    CHECK_SOON(check_read_file(path, name, sizeof name) > 0 && strncmp(name, "sleep", 5) == 0, 10);
    close(gate[1]);
    close(gate[0]);
    CHECK_EXITED(check_reap(parent), 0);
}

static long native_fork1(uint32_t flags, int signal_number) {
    register long a0 __asm__("a0") = flags;
    register long a1 __asm__("a1") = signal_number;
    register long a2 __asm__("a2") = 0;
    register long a7 __asm__("a7") = -2;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a7) : "memory");
    return a0 >= 0 && a1 != 0 ? 0 : a0;
}

static void nowait_signal(void) {
    enum { nowait = 0x20 };
    char path[64];
    long pid = native_fork1(nowait, SIGUSR1);
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(0);
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    CHECK_SOON(access(path, F_OK) != 0, 10); // init waits for what signals SIGCHLD
}

static void copy_self(const char* to) {
    static char buffer[65536];
    int from = open("/proc/self/exe", O_RDONLY), fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    CHECK(from >= 0 && fd >= 0);
    for (ssize_t n; (n = read(from, buffer, sizeof buffer)) > 0;)
        CHECK_EQ(write(fd, buffer, (size_t)n), n);
    close(from);
    close(fd);
}

static void text_busy(void) {
    char program[64];
    snprintf(program, sizeof program, "/tmp/busy-%d", getpid());
    copy_self(program);
    int fd = open(program, O_WRONLY);
    CHECK(fd >= 0);
    CHECK_ERRNO(execl(program, "x", (char*)NULL), ETXTBSY);
    CHECK(close(fd) == 0);
    int gate[2];
    CHECK(pipe(gate) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(gate[1]);
        dup2(gate[0], 0);
        execl(program, program, "@wait", (char*)NULL);
        _exit(99);
    }
    close(gate[0]);
    char link[64], target[100];
    snprintf(link, sizeof link, "/proc/%d/exe", pid);
    CHECK_SOON(readlink(link, target, sizeof target) == (ssize_t)strlen(program) &&
                   memcmp(target, program, strlen(program)) == 0,
               10);
    CHECK_ERRNO(open(program, O_WRONLY), ETXTBSY);
    CHECK_ERRNO(open(program, O_RDWR | O_APPEND), ETXTBSY);
    CHECK_ERRNO(open(program, O_RDONLY | O_TRUNC), ETXTBSY);
    CHECK_ERRNO(truncate(program, 0), ETXTBSY);
    CHECK((fd = open(program, O_RDONLY)) >= 0 && close(fd) == 0);
    CHECK(close(gate[1]) == 0);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK((fd = open(program, O_WRONLY | O_TRUNC)) >= 0 && close(fd) == 0); // as soon as it was waited for
    CHECK(unlink(program) == 0);
}

static void busy_until_waited_for(void) {
    char program[64];
    snprintf(program, sizeof program, "/tmp/busy-%d", getpid());
    copy_self(program);
    for (int turn = 0; turn < 30; ++turn) {
        pid_t pid = vfork();
        if (pid == 0) {
            execl(program, program, "@end", (char*)NULL);
            _exit(99);
        }
        CHECK(pid > 0);
        check_reap(pid);
        int fd = open(program, O_RDWR);
        CHECK(fd >= 0);
        close(fd);
    }
    unlink(program);
}

static void lazy_unmount(void) {
    char place[64], inner[96];
    snprintf(place, sizeof place, "/tmp/lazy-%d", getpid());
    snprintf(inner, sizeof inner, "%s/inner", place);
    CHECK(mkdir(place, 0755) == 0);
    read_objects();
    struct object_counts before = settled_objects();
    CHECK(mount("tmpfs", place, "tmpfs", 0, NULL) == 0);
    CHECK(mkdir(inner, 0755) == 0 && mount("tmpfs", inner, "tmpfs", 0, NULL) == 0);
    CHECK_ERRNO(umount2(place, 0), EBUSY);
    int fd = open(place, O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    CHECK(umount2(place, MNT_DETACH) == 0); // in use, with another mount on it
    CHECK_ERRNO(access(inner, F_OK), ENOENT);
    CHECK(faccessat(fd, "inner", F_OK, 0) == 0); // who is in there goes on
    CHECK(fchdir(fd) == 0);
    CHECK_ERRNO(mount("tmpfs", "inner", "tmpfs", 0, NULL), EINVAL);
    CHECK(chdir("/") == 0 && close(fd) == 0);
    objects_are_back(&before); // soon, without any other change of the table
    CHECK(rmdir(place) == 0);
}

static void mount_on_nothing(void) {
    char place[64];
    snprintf(place, sizeof place, "/tmp/gone-%d", getpid());
    CHECK(mkdir(place, 0755) == 0 && chdir(place) == 0 && rmdir(place) == 0);
    CHECK_ERRNO(mount("tmpfs", ".", "tmpfs", 0, NULL), ENOENT);
    CHECK(chdir("/") == 0);
}

static void limit_of_zombie(void) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        _exit(0);
    CHECK_SOON(check_state_of(pid) == 'Z', 10);
    struct rlimit limit = {1, 2};
    CHECK(prlimit(pid, RLIMIT_CPU, &limit, NULL) == 0);
    CHECK_EXITED(check_reap(pid), 0);
    for (int i = 0; i < 30; ++i) { // others take its place in memory, while a timer that was armed would come due
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            check_sleep_ms(50);
            _exit(0);
        }
        CHECK_EXITED(check_reap(pid), 0);
    }
}

// Counting has no part in what it counts: the list of the counts is read through a buffer that grows with it.
static void counted_by_itself(void) {
    char text[64];
    read_objects();
    struct object_counts before = read_objects();
    for (int fd = open("/proc/lentil/objects", O_RDONLY), n = 0; n < 3;
         ++n) { // more or fewer numbers before the buffers
        CHECK(fd >= 0 && pread(fd, text, sizeof text, 0) > 0);
        struct object_counts now = read_objects();
        for (int i = 0; i < now.size; ++i)
            if (strncmp(now.list[i].name, "kmalloc-", 8) == 0 &&
                now.list[i].value != count_of(&before, now.list[i].name))
                check_fail("%s: %ld, now %ld", now.list[i].name, count_of(&before, now.list[i].name),
                           now.list[i].value);
        fd = dup(fd);
    }
}

static void* lock_once(void* fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    CHECK(fcntl(*(int*)fd, F_SETLKW, &lock) == 0);
    return NULL;
}

static void table_left_in_a_call(void) {
    read_objects();
    for (int turn = 0; turn < 3; ++turn) {
        struct object_counts before = settled_objects();
        char name[64];
        snprintf(name, sizeof name, "/tmp/left-%d", getpid());
        int gate[2];
        CHECK(pipe(gate) == 0);
        const pid_t holder = fork(); // has the lock until it is told to go
        CHECK(holder >= 0);
        if (holder == 0) {
            struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
            const int fd = open(name, O_RDWR | O_CREAT, 0600);
            close(gate[0]);
            if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0 || write(gate[1], "l", 1) != 1)
                _exit(1);
            pause();
            _exit(0);
        }
        char c;
        CHECK(read(gate[0], &c, 1) == 1);
        const pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            int file = open(name, O_RDWR);
            pthread_t thread;
            CHECK(file >= 0 && pthread_create(&thread, NULL, lock_once, &file) == 0);
            check_sleep_ms(50);                                   // it waits for the lock, on this table
            const pid_t other = raw_clone(CLONE_FILES | SIGCHLD); // so that there is something to leave
            if (other == 0) {
                pause();
                _exit(0);
            }
            CHECK(other > 0 && syscall(SYS_close_range, 60, 61, 2 /* CLOSE_RANGE_UNSHARE */) == 0);
            CHECK(kill(other, SIGKILL) == 0);
            check_reap(other);
            CHECK(kill(holder, SIGKILL) == 0); // now it gets it
            CHECK(pthread_join(thread, NULL) == 0);
            _exit(0);
        }
        CHECK_EXITED(check_reap(pid), 0);
        check_reap(holder);
        close(gate[0]);
        close(gate[1]);
        CHECK(unlink(name) == 0);
        objects_are_back(&before);
    }
}

// ---- calls that go on for as long as their arguments say ----------------------------------------------------------------

enum { long_work = 32 << 20 };

static void probe_much(char* area) { syscall(258 /* riscv_hwprobe */, area, long_work / 16, 0, 0, 0); }
static void read_self(char* area) {
    static char some[32768];
    static struct iovec remote[1024];
    memset(some, 'x', sizeof some);
    for (int i = 0; i < 1024; ++i)
        remote[i] = (struct iovec){some, sizeof some};
    const struct iovec local = {area, long_work};
    syscall(SYS_process_vm_readv, getpid(), &local, 1, remote, 1024, 0);
}
static void read_random(char* area) {
    const int fd = open("/dev/urandom", O_RDONLY);
    if (read(fd, area, long_work) < 0)
        _exit(1);
}
static void make_changes(char* area) {
    enum { count = long_work / sizeof(struct kevent) };
    struct kevent* changes = calloc(count, sizeof *changes);
    for (int i = 0; i < count; ++i)
        EV_SET(&changes[i], SIGUSR1, EVFILT_SIGNAL, EV_ADD | EV_RECEIPT, 0, 0, NULL);
    kevent(kqueue(), changes, count, (struct kevent*)area, count, NULL);
}

// Kills a process once its call has begun to fill `area`: the call does not come to its end first. Several tries, for a host may
// stall whoever is to kill it.
static void ends_in_the_middle(const char* name, void (*call)(char* area)) {
    for (int tries = 0; tries < 20; ++tries) {
        char* area = mmap(NULL, long_work, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        CHECK(area != MAP_FAILED);
        volatile const uint64_t *first = (uint64_t*)area,
                                *last = (uint64_t*)(area + long_work - 2 * sizeof(struct kevent));
        const uint64_t untouched =
            0x0101010101010101; // as a key of riscv_hwprobe: one that nobody knows, so it is replaced
        memset(area, 1, long_work);
        const pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            call(area);
            _exit(0);
        }
        while (*first == untouched)
            sched_yield();
        CHECK_EQ(kill(pid, SIGKILL), 0);
        check_reap(pid);
        const bool whole = *last != untouched;
        CHECK_EQ(munmap(area, long_work), 0);
        if (!whole)
            return;
    }
    check_fail("%s is never left before its end", name);
}

static void copying_ends(void) {
    for (int tries = 0; tries < 20; ++tries) {
        struct stat status = {0};
        const int fd = memfd_create("long", 0);
        CHECK(fd >= 0);
        const pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            sendfile(fd, open("/dev/zero", O_RDONLY), NULL, 2 * long_work);
            _exit(0);
        }
        while (status.st_size == 0) {
            CHECK_EQ(fstat(fd, &status), 0);
            sched_yield();
        }
        CHECK_EQ(kill(pid, SIGKILL), 0);
        check_reap(pid);
        CHECK(fstat(fd, &status) == 0 && close(fd) == 0);
        if (status.st_size < 2 * long_work)
            return;
    }
    check_fail("sendfile is never left before its end");
}

static void long_calls(void) {
    ends_in_the_middle("riscv_hwprobe", probe_much);
    ends_in_the_middle("process_vm_readv", read_self);
    ends_in_the_middle("read of /dev/urandom", read_random);
    ends_in_the_middle("kevent", make_changes);
    copying_ends();
}

// procfs made a node for each lookup: what was mounted on one was never found again, nor could it be unmounted.
static void mount_in_proc(void) {
    const char* const lost[] = {"/tmp/found-proc/self", "/tmp/found-proc/self/task", "/tmp/found-proc/self/fd",
                                "/tmp/found-proc/self/fdinfo"};
    CHECK(mkdir("/tmp/found-proc", 0755) == 0);
    CHECK(mount("proc", "/tmp/found-proc", "proc", 0, NULL) == 0);
    for (size_t i = 0; i < sizeof lost / sizeof *lost; ++i)
        CHECK_ERRNO(mount("tmpfs", lost[i], "tmpfs", 0, NULL), ENOENT);
    CHECK(access("/tmp/found-proc/sys/kernel", F_OK) == 0);
    for (int turn = 0; turn < 2; ++turn) {
        CHECK(mount("tmpfs", "/tmp/found-proc/sys", "tmpfs", 0, NULL) == 0);
        CHECK_ERRNO(access("/tmp/found-proc/sys/kernel", F_OK), ENOENT);
        CHECK(mkdir("/tmp/found-proc/sys/mine", 0755) == 0 && access("/tmp/found-proc/sys/mine/../mine", F_OK) == 0);
        CHECK(access("/tmp/found-proc/sys/../meminfo", F_OK) == 0 && access("/proc/sys/kernel", F_OK) == 0);
        CHECK(mount("tmpfs", "/tmp/found-proc/sys", "tmpfs", 0, NULL) == 0);
        CHECK_ERRNO(access("/tmp/found-proc/sys/mine", F_OK), ENOENT);
        CHECK(umount("/tmp/found-proc/sys") == 0 && access("/tmp/found-proc/sys/mine", F_OK) == 0);
        CHECK_ERRNO(umount("/tmp/found-proc"), EBUSY);
        CHECK(umount("/tmp/found-proc/sys") == 0 && access("/tmp/found-proc/sys/kernel", F_OK) == 0);
    }
    CHECK(umount("/tmp/found-proc") == 0 && rmdir("/tmp/found-proc") == 0);
}

// What is counted for a user with a signal that is queued outlives the user's last process for its sake, and went only when
// another user's last process did.
static void queue_to_self(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    siginfo_t info = {.si_signo = SIGRTMIN, .si_code = SI_QUEUE};
    CHECK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGRTMIN, &info) == 0);
}

static void counts_of_users(void) {
    read_objects();
    struct object_counts before = settled_objects();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        sigset_t set;
        CHECK(setresuid(4242, 0, 0) == 0);
        queue_to_self();
        CHECK(setresuid(0, 0, 0) == 0); // nobody is 4242 now, but the signal counts
        sigemptyset(&set);
        sigaddset(&set, SIGRTMIN);
        CHECK_EQ(sigwaitinfo(&set, NULL), SIGRTMIN);
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    objects_are_back(&before);

    char path[64];
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(setresuid(4242, 4242, 4242) == 0);
        queue_to_self();
        for (;;)
            pause();
    }
    snprintf(path, sizeof path, "/proc/%d/task/%d/comm", pid, pid);
    int fd = open(path, O_RDONLY); // keeps the thread's record past its end, not what is queued for it
    CHECK(fd >= 0);
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    char text[4096];
    CHECK_SOON(check_read_file(path, text, sizeof text) > 0 && strstr(text, "SigQ:\t1/"), 10);
    CHECK(kill(pid, SIGKILL) == 0);
    check_reap(pid);
    CHECK(close(fd) == 0);
    objects_are_back(&before);
}

// A signalfd's readiness is that of whoever had epoll watch it, which may be gone while others still have both.
static void watch_for_the_dead(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    for (int round = 0; round < 50; ++round) {
        int signals = signalfd(-1, &set, SFD_NONBLOCK), watch = epoll_create1(0);
        CHECK(signals >= 0 && watch >= 0);
        pid_t pid = fork();
        if (pid == 0) {
            struct epoll_event event = {.events = EPOLLIN};
            _exit(epoll_ctl(watch, EPOLL_CTL_ADD, signals, &event) == 0 ? 0 : 1);
        }
        CHECK_EXITED(check_reap(pid), 0);
        struct epoll_event event;
        CHECK(epoll_wait(watch, &event, 1, 0) == 0);
        CHECK(close(watch) == 0 && close(signals) == 0);
        for (int i = 0; i < 4; ++i) // whose records lie where those were
            if ((pid = raw_clone(SIGCHLD)) == 0)
                _exit(0);
            else
                CHECK_EXITED(check_reap(pid), 0);
    }
}

static const struct check_case cases[] = {
    {"EC-61 LX-31 a child made with CLONE_PARENT ends with its creator's exit signal, whatever was asked for",
     sibling_signal, 0, false},
    {"EC-61 after execve a child's exit signal is SIGCHLD", signal_after_exec, 0, false},
    {"EC-61 a new image gets SIGCHLD from children whose exit signal the old image chose", signal_after_parents_exec,
     30, false},
    {"a child made with FORK_NOWAIT and an exit signal of its own is reaped by init", nowait_signal, 30, true},
    {"a file is open for writing or run as a program, never both", text_busy, 30, false},
    {"a program may be written to as soon as its last process was waited for", busy_until_waited_for, 60, false},
    {"a mount detached lazily takes along the mounts on it and goes with its last user", lazy_unmount, 60, true},
    {"the list of the kernel's objects does not count the buffer it is read through", counted_by_itself, 0, true},
    {"a descriptor table that one thread leaves with close_range stays until the calls of others on it are over",
     table_left_in_a_call, 60, true},
    {"SIGKILL ends a call in the middle, however much its arguments ask for", long_calls, 120, true},
    {"nothing can be mounted on a removed directory", mount_on_nothing, 0, false},
    {"what is mounted on a directory of /proc is found there, and nothing can be on one that goes with its process",
     mount_in_proc, 0, false},
    {"what is counted for a user goes with the last process and the last signal of that user", counts_of_users, 60,
     true},
    {"an epoll outlives the process for which it watches a signalfd", watch_for_the_dead, 60, false},
    {"a limit on CPU time that is set for a zombie arms no timer", limit_of_zombie, 60, false},
};

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@end") == 0)
        return 0;
    if (argc > 1 && strcmp(argv[1], "@wait") == 0) {
        char c;
        return read(0, &c, 1) == 0 ? 0 : 1;
    }
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}

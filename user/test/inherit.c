// SPDX-License-Identifier: BSD-2-Clause
// What a child has from its creator without asking, after fork and in a borrower, and what it has not; and who may make
// children at all. `@fork-and-go` is an image.
#include "lend.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

static volatile int* shared;
static int go[2];

static void note_nothing(void) {}
static void both(void (*look)(void)) {
    CHECK_EXITED(check_reap(spawn(look)), 0);
    lend_ok(look);
}

static void nice_is_5(void) { CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5); }
static void nice_value(void) {
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 5), 0);
    both(nice_is_5);
}

static void flags_are_set(void) {
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    CHECK_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
}
static void process_flags(void) {
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK(personality(ADDR_NO_RANDOMIZE) >= 0);
    both(flags_are_set);
}

static void has_name(void) {
    char name[32];
    CHECK_EQ(prctl(PR_GET_NAME, name), 0);
    CHECK(strcmp(name, "heirloom") == 0);
    CHECK(check_read_file("/proc/self/comm", name, sizeof name) > 0);
    CHECK(strcmp(name, "heirloom\n") == 0);
}
static void name(void) {
    CHECK_EQ(prctl(PR_SET_NAME, "heirloom"), 0);
    both(has_name);
}

static void score_is_300(void) {
    char text[32];
    CHECK(check_read_file("/proc/self/oom_score_adj", text, sizeof text) > 0);
    CHECK_EQ(atoi(text), 300);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    CHECK(fd >= 0 && write(fd, "500", 3) == 3);
    close(fd);
}
static void oom_score(void) {
    char text[32];
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    CHECK(fd >= 0 && write(fd, "300", 3) == 3);
    close(fd);
    both(score_is_300);
    CHECK(check_read_file("/proc/self/oom_score_adj", text, sizeof text) > 0);
    CHECK_EQ(atoi(text), 300);
}

static char program[256];
static void same_program(void) {
    char path[256];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    CHECK(n > 0);
    path[n] = 0;
    CHECK(strcmp(path, program) == 0);
}
static void executable(void) {
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    CHECK(n > 0);
    program[n] = 0;
    both(same_program);
}

// Field 22 of /proc/self/stat, in hundredths of a second since the boot.
static long start_time(void) {
    char text[1024];
    CHECK(check_read_file("/proc/self/stat", text, sizeof text) > 0);
    char* p = strrchr(text, ')') + 1;
    for (int field = 2; field < 21; ++field)
        p = strchr(p + 1, ' ');
    return atol(p);
}
static long mine;
static void started_later(void) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    long now = t.tv_sec * 100 + t.tv_nsec / 10000000;
    CHECK(start_time() >= mine + 20);
    CHECK(start_time() <= now && now - start_time() < 300);
}
static void start(void) {
    mine = start_time();
    check_sleep_ms(250);
    both(started_later);
    CHECK_EQ(start_time(), mine);
}

static void burn(void) {
    signal(SIGXCPU, SIG_DFL);
    spin_cpu_ms(5000);
}
static void cpu_limit(void) {
    struct rlimit one = {1, 10};
    CHECK_EQ(setrlimit(RLIMIT_CPU, &one), 0);
    CHECK_SIGNALED(check_reap(spawn(burn)), SIGXCPU);
    CHECK_SIGNALED(lend(burn), SIGXCPU);
}

static void bound_to_1(void) {
    for (int i = 0; i < 300; ++i)
        CHECK_EQ(sched_getcpu(), 1);
}
static void bind(int hart) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(hart, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
}
static void bind_to_1(void) { bind(1); }
static void hart(void) {
    bind(1);
    for (int i = 0; i < 10; ++i)
        both(bound_to_1);
    bind(0);
    for (int i = 0; i < 10; ++i) {
        lend_ok(bind_to_1);
        for (int j = 0; j < 100; ++j)
            CHECK_EQ(sched_getcpu(), 0); // the borrower's choice ended with it
    }
}

// Root may be at its limit, so may who has the capability; a user may not.
static void limited(uid_t uid, bool keep, bool drop, bool allowed) {
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        CHECK_EQ(setrlimit(RLIMIT_NPROC, &none), 0);
        if (keep)
            CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
        if (uid != 0)
            CHECK_EQ(syscall(SYS_setresuid, uid, uid, uid), 0);
        if (keep || drop) {
            struct {
                unsigned version;
                int pid;
            } header = {0x20080522, 0};
            struct {
                unsigned effective, permitted, inheritable;
            } data[2] = {{1u << 24, 1u << 24, 0}, {0, 0, 0}}; // CAP_SYS_RESOURCE
            if (drop)
                data[0].effective = data[0].permitted = 0;
            CHECK_EQ(syscall(SYS_capset, &header, data), 0);
        }
        errno = 0;
        pid_t made = fork();
        if (made == 0)
            _exit(0);
        CHECK_EQ(made > 0, allowed);
        CHECK_EQ(errno, allowed ? 0 : EAGAIN);
        if (allowed)
            lend_ok(note_nothing);
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
}
static void exempt(void) {
    limited(0, false, false, true);
    limited(0, false, true, true);
    limited(4600, true, false, true);
    limited(4600, false, false, false);
}

static void ends_at_once(void) {
    pid_t pid = borrow(note_nothing); // a grandchild, which nobody must wait for
    if (pid <= 0 || waitpid(pid, NULL, 0) != -1 || errno != ECHILD)
        _exit(1);
    if (prctl(PR_GET_DUMPABLE) != 0)
        _exit(2);
}
static void inherit_flags(void) {
    struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
    shared = shared_memory(4096);
    if (borrow(ends_at_once) > 0)
        shared[0]++;
    pid_t pid = fork();
    if (pid == 0) {
        ends_at_once();
        shared[1] = 1;
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, NULL, 0), -1); // gone, and nothing to wait for
    CHECK_EQ(errno, ECHILD);
    CHECK_EQ(shared[1], 1);
    action.sa_flags = 0;
    CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
    lend_ok(note_nothing);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
}

static rlim_t soft_limit(int which) {
    struct rlimit limit;
    CHECK_EQ(getrlimit(which, &limit), 0);
    return limit.rlim_cur;
}
static void set_soft(int which, rlim_t value) {
    struct rlimit limit;
    CHECK_EQ(getrlimit(which, &limit), 0);
    limit.rlim_cur = value;
    CHECK_EQ(setrlimit(which, &limit), 0);
}
static void limits_part(void) {
    int ready[2];
    char c;
    CHECK_EQ(pipe(go), 0);
    CHECK_EQ(pipe(ready), 0);
    set_soft(RLIMIT_CORE, 0);
    set_soft(RLIMIT_NOFILE, 100);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(soft_limit(RLIMIT_NOFILE), 100);
        set_soft(RLIMIT_NOFILE, 90);
        CHECK_EQ(write(ready[1], "", 1), 1);
        CHECK_EQ(read(go[0], &c, 1), 1);
        CHECK_EQ(soft_limit(RLIMIT_NOFILE), 90); // whatever the parent did meanwhile
        CHECK_EQ(soft_limit(RLIMIT_STACK), 8 << 20);
        _exit(0);
    }
    CHECK_EQ(read(ready[0], &c, 1), 1);
    CHECK_EQ(soft_limit(RLIMIT_NOFILE), 100);
    set_soft(RLIMIT_NOFILE, 80);
    set_soft(RLIMIT_STACK, 4 << 20);
    CHECK_EQ(write(go[1], "", 1), 1);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(soft_limit(RLIMIT_NOFILE), 80);
}

static void opens_terminal(void) {
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        _exit(1);
    close(fd);
}
static void no_terminal(void) {
    if (setsid() < 0 || open("/dev/tty", O_RDWR) >= 0 || errno != ENXIO)
        _exit(1);
}
static void terminal(void) {
    opens_terminal();
    lend_ok(opens_terminal);
    CHECK_EXITED(check_reap(spawn(opens_terminal)), 0);
    lend_ok(no_terminal); // a session of its own has none
    opens_terminal();
}

static void copy_self(const char* to) {
    static char block[65536];
    int in = open(check_self, O_RDONLY), copy = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    CHECK(in >= 0 && copy >= 0);
    for (ssize_t n; (n = read(in, block, sizeof block)) > 0;)
        CHECK_EQ(write(copy, block, (size_t)n), n);
    close(in);
    close(copy);
}
static void exec_copy(void) {
    execl("/tmp/rules/program", "program", "@fork-and-go", (char*)NULL);
    _exit(1);
}
static void program_file(void) {
    mkdir("/tmp/rules", 0755);
    CHECK_EQ(mount("tmpfs", "/tmp/rules", "tmpfs", 0, NULL), 0);
    copy_self("/tmp/rules/program");
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    CHECK_EXITED(check_reap(borrow(exec_copy)), 0); // it forked a child that waits, and ended
    char path[64], link[64] = "";
    pid_t child = 0;
    for (int i = 0; i < 1000 && child == 0; ++i) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0)
            child = info.si_pid;
        check_sleep_ms(5);
    }
    CHECK(child > 0);
    snprintf(path, sizeof path, "/proc/%d/exe", (int)child);
    CHECK(readlink(path, link, sizeof link - 1) > 0);
    CHECK(strcmp(link, "/tmp/rules/program") == 0);
    CHECK_ERRNO(umount("/tmp/rules"), EBUSY);
    CHECK_EQ(kill(child, SIGKILL), 0);
    CHECK_SIGNALED(check_reap(child), SIGKILL);
    CHECK_EQ(umount("/tmp/rules"), 0);
    rmdir("/tmp/rules");
}
static int fork_and_go(void) {
    if (fork() == 0)
        raise(SIGSTOP);
    return 0;
}

static void set_privileges(void) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        _exit(1);
}
static void no_new_privileges(void) {
    lend_ok(set_privileges);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    lend_ok(set_privileges); // inherited: it may only be set again
}

static long own_adjustment(void) {
    char text[32];
    CHECK(check_read_file("/proc/self/oom_score_adj", text, sizeof text) > 0);
    return atol(text);
}
static void adjust(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    if (fd < 0 || write(fd, "700", 3) != 3 || own_adjustment() != 700)
        _exit(1);
    close(fd);
}
static void oom_adjustment(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY);
    CHECK_EQ(write(fd, "300", 3), 3);
    close(fd);
    lend_ok(adjust);
    CHECK_EQ(own_adjustment(), 300);
}

static const char* const lock_path = "/tmp/rules.lock";
static int lock_fd;
static void use_lock_file(void) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 1};
    if (fcntl(lock_fd, F_GETLK, &lock) != 0 || lock.l_type != F_WRLCK || lock.l_pid != getppid())
        _exit(1); // the lender's lock is not ours, and in our way
    close(lock_fd);
    int fd = open(lock_path, O_RDWR);
    struct flock other = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 50, .l_len = 10};
    if (fd < 0 || fcntl(fd, F_SETLK, &other) != 0)
        _exit(2);
}
static void try_locks(void) {
    int fd = open(lock_path, O_RDWR);
    struct flock held = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
    struct flock dropped = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 50, .l_len = 10};
    if (fcntl(fd, F_SETLK, &held) != -1 || errno != EAGAIN)
        _exit(1);
    if (fcntl(fd, F_SETLK, &dropped) != 0) // went with the borrower
        _exit(2);
}
static void record_locks(void) {
    lock_fd = open(lock_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 10};
    CHECK_EQ(fcntl(lock_fd, F_SETLK, &lock), 0);
    lend_ok(use_lock_file);
    CHECK_EXITED(check_reap(spawn(try_locks)), 0);
    unlink(lock_path);
}

static void no_profile(void) {
    struct itimerval timer;
    if (getitimer(ITIMER_PROF, &timer) != 0 || timerisset(&timer.it_value) || timerisset(&timer.it_interval))
        _exit(1);
}
static void profiling(void) {
    struct itimerval timer = {{100, 0}, {100, 0}};
    CHECK_EQ(setitimer(ITIMER_PROF, &timer, NULL), 0);
    CHECK_EXITED(check_reap(spawn(no_profile)), 0);
    lend_ok(no_profile);
    CHECK_EQ(getitimer(ITIMER_PROF, &timer), 0);
    CHECK(timerisset(&timer.it_value));
}

static void traced_forks(void) {
    char path[64];
    CHECK_EQ(ptrace(PTRACE_TRACEME, 0, 0, 0), 0);
    pid_t pid = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0); // no signal at its end: that would stop us for the tracer
    if (pid == 0)
        for (;;)
            pause();
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    CHECK_EQ(check_value_in(path, "TracerPid:"), 0);
    CHECK_EQ(check_value_in("/proc/self/status", "TracerPid:"), getppid());
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, NULL, __WALL), pid);
}
static void tracing(void) { CHECK_EXITED(check_reap(spawn(traced_forks)), 0); }

static const struct check_case cases[] = {
    {"a child has its creator's nice value", nice_value, 0, false},
    {"a child has its creator's dumpable, no_new_privs and personality", process_flags, 0, false},
    {"a child has its creator's name", name, 0, false},
    {"LX-24 a child has its creator's oom_score_adj and changes only its own", oom_score, 0, false},
    {"a child's /proc/self/exe is its creator's program", executable, 0, false},
    {"a child has a start time of its own", start, 0, false},
    {"EC-114 a child runs where its creator is bound, and a borrower's choice ends with it", hart, 0, false},
    {"NB-06 LX-02 root and who has CAP_SYS_RESOURCE are exempt from RLIMIT_NPROC", exempt, 0, false},
    {"NB-20 the choice not to have zombies and not to be dumped is inherited", inherit_flags, 0, false},
    {"NB-23 limits set by one side after a fork are not the other's", limits_part, 0, false},
    {"NB-25 the controlling terminal is inherited, and lost with the session", terminal, 0, false},
    {"NB-26 a forked child keeps its program's file busy, and /proc names it", program_file, 0, true},
    {"EC-122 no_new_privs set by a borrower is the borrower's, set by the lender both's", no_new_privileges, 0, false},
    {"LX-24 oom_score_adj set by a borrower is the borrower's", oom_adjustment, 0, false},
    {"EC-81 a borrower has none of the lender's record locks, and its close drops none of them", record_locks, 0,
     false},
    {"NB-27 ITIMER_PROF is not inherited by fork or vfork", profiling, 0, false},
    {"NB-21 a tracer that asked for no events does not get its tracee's child", tracing, 0, false},
    {"a child's CPU time counts against the limit that it inherited", cpu_limit, 60, false},
};

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@fork-and-go") == 0)
        return fork_and_go();
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

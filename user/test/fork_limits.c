// SPDX-License-Identifier: BSD-2-Clause
// Admission: how many processes there may be, for whom, and what a refusal leaves behind. `@refuse SECONDS` and `@limit N`
// are for test/boot, which watches the console meanwhile.
#include "lend.h"
#include "objects.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>

#define THREADS_MAX "/proc/sys/kernel/threads-max"
#define PID_MAX "/proc/sys/kernel/pid_max"
#define SLEEP "/proc/sys/kernel/forkfsleep"

enum { user = 4100, reserved = 10 };

// --- settings ---

static long setting(const char* path) {
    char text[32];
    CHECK(check_read_file(path, text, sizeof text) > 0);
    return atol(text);
}
static void set(const char* path, long value) {
    char text[32];
    int length = snprintf(text, sizeof text, "%ld\n", value);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, text, (size_t)length), length);
    close(fd);
}

static long old_threads_max;
// Runs `body` in a child and puts the settings back whatever comes of it.
static void with_settings(void (*body)(void)) {
    old_threads_max = setting(THREADS_MAX);
    long pid_max = setting(PID_MAX);
    pid_t pid = spawn(body);
    int status = check_reap(pid);
    set(THREADS_MAX, old_threads_max);
    set(PID_MAX, pid_max);
    set(SLEEP, 0);
    CHECK_EXITED(status, 0);
}

// --- capabilities ---

static void keep_only(unsigned long long capabilities) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {
        {(unsigned)capabilities, (unsigned)capabilities, 0},
        {(unsigned)(capabilities >> 32), (unsigned)(capabilities >> 32), 0},
    };
    CHECK_EQ(syscall(SYS_capset, &header, data), 0);
}
// Becomes `uid` with these capabilities alone.
static void become(uid_t uid, unsigned long long capabilities) {
    CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
    CHECK_EQ(setresuid(uid, uid, uid), 0);
    keep_only(capabilities);
}
#define CAPABILITY(number) (1ULL << (number))

// --- crowds ---

static pid_t crowd[1000];
// Makes children that wait for the end until fork fails or there are `most`; returns how many.
static int gather(int most) {
    int n = 0;
    while (n < most) {
        pid_t pid = fork();
        if (pid < 0)
            break;
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                pause();
        }
        crowd[n++] = pid;
    }
    return n;
}
static void disperse(int n) {
    for (int i = 0; i < n; ++i)
        kill(crowd[i], SIGKILL);
    for (int i = 0; i < n; ++i)
        CHECK_SIGNALED(check_reap(crowd[i]), SIGKILL);
}

static void nothing(void) {}
static long raw_vfork(void) { return borrow(nothing); }

// --- the table ---

static void full_table(void) {
    long procs = check_counter("procs"), forks, uthreads;
    set(THREADS_MAX, procs + 12);
    CHECK_EQ(gather(50), 12);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(check_counter("procs"), procs + 12);
    forks = check_counter("forks");
    uthreads = check_counter("uthreads");
    for (int i = 0; i < 100; ++i) {
        CHECK_ERRNO(fork(), EAGAIN);
        CHECK_ERRNO(raw_vfork(), EAGAIN);
        CHECK_ERRNO(syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0), EAGAIN);
    }
    CHECK_EQ(check_counter("procs"), procs + 12);
    CHECK_EQ(check_counter("forks"), forks);
    CHECK_EQ(check_counter("uthreads"), uthreads);
    disperse(12);
    CHECK_EQ(gather(1), 1);
    disperse(1);
}
static void table(void) { with_settings(full_table); }

static void reserve_body(void) {
    int go[2];
    CHECK_EQ(pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        close(go[1]);
        become(user, 0);
        read(go[0], &c, 1);
        CHECK_EQ(gather(50), 3);
        CHECK_EQ(errno, EAGAIN);
        read(go[0], &c, 1);
        _exit(0);
    }
    long procs = check_counter("procs"); // with the child
    set(THREADS_MAX, procs + reserved + 3);
    CHECK_EQ(write(go[1], "", 1), 1);
    CHECK_SOON(check_counter("procs") == procs + 3, 5);
    // Uid 0 does not open the reserve, authority does.
    pid_t powerless = fork();
    if (powerless == 0) {
        keep_only(0);
        CHECK_ERRNO(fork(), EAGAIN);
        _exit(0);
    }
    CHECK(powerless > 0);
    CHECK_EXITED(check_reap(powerless), 0);
    pid_t able = fork();
    if (able == 0) {
        become(user, CAPABILITY(CAP_SYS_RESOURCE));
        CHECK_EQ(gather(50), reserved - 1); // itself is one of them
        disperse(reserved - 1);
        _exit(0);
    }
    CHECK(able > 0);
    CHECK_EXITED(check_reap(able), 0);
    CHECK_EQ(gather(50), reserved);
    disperse(reserved);
    close(go[1]);
    CHECK_EXITED(check_reap(pid), 0);
}
static void reserve(void) { with_settings(reserve_body); }

static void no_pids_body(void) {
    set(THREADS_MAX, 2000);
    set(PID_MAX, 301);
    long forks = check_counter("forks");
    int n = gather(400);
    CHECK(n > 100 && n < 300);
    CHECK_EQ(errno, EAGAIN);
    for (int i = 0; i < n; ++i)
        CHECK(crowd[i] > 1 && crowd[i] < 301);
    CHECK_ERRNO(raw_vfork(), EAGAIN);
    CHECK_EQ(check_counter("forks"), forks + n);
    // What is refused leaves no place taken. (What earlier cases left behind may still be ending.)
    long procs = check_counter("procs"), uthreads = check_counter("uthreads");
    for (int i = 0; i < 50; ++i) {
        pid_t pid = (pid_t)raw_vfork();
        if (pid > 0)
            check_reap(pid);
    }
    CHECK(check_counter("procs") < procs + 25);
    CHECK(check_counter("uthreads") < uthreads + 25);
    disperse(n);
    CHECK_EQ(gather(1), 1);
    disperse(1);
}
static void no_pids(void) { with_settings(no_pids_body); }

// --- sleeping over a refusal ---

static volatile int* shared; // pid of the sleeper, signals it handled, milliseconds that its fork took
static void count_signal(int number) {
    (void)number;
    ++shared[1];
}
static void refused_once(void) {
    CHECK(signal(SIGUSR1, count_signal) != SIG_ERR);
    double start = check_now();
    CHECK_ERRNO(fork(), EAGAIN);
    shared[2] = (int)((check_now() - start) * 1000);
}
static bool waits_in(pid_t pid, const char* channel) {
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/wchan", (int)pid);
    return check_read_file(path, text, sizeof text) > 0 && strcmp(text, channel) == 0;
}
// A child whose fork is refused sleeps in `channel` for `ms`; a handler does not wake it, SIGKILL does.
static void sleeps_in(const char* channel, void (*refused)(void), int ms) {
    pid_t pid = spawn(refused);
    CHECK_SOON(waits_in(pid, channel), 5);
    shared[2] = 0;
    kill(pid, SIGUSR1);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(shared[1], 1);
    CHECK(shared[2] >= ms);
    pid = spawn(refused);
    CHECK_SOON(waits_in(pid, channel), 5);
    double start = check_now();
    kill(pid, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
    CHECK(check_now() - start < ms / 1000.0);
}
static void full_sleep_body(void) {
    set(SLEEP, 700);
    set(THREADS_MAX, check_counter("procs") + 1);
    sleeps_in("forkmx", refused_once, 700);
}
static void full_sleep(void) {
    shared = shared_memory(4096);
    with_settings(full_sleep_body);
}
static void limited_refused_once(void) {
    struct rlimit limit = {0, 0};
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
    become(user, CAPABILITY(CAP_KILL));
    refused_once();
}
static void limit_sleep_body(void) {
    set(SLEEP, 700);
    sleeps_in("forkulim", limited_refused_once, 700);
}
static void limit_sleep(void) {
    shared = shared_memory(4096);
    with_settings(limit_sleep_body);
}

// --- RLIMIT_NPROC ---

static void limit_processes(long n) {
    struct rlimit limit = {(rlim_t)n, (rlim_t)n};
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
}
static int forks_as(uid_t uid, unsigned long long capabilities, long limit) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        limit_processes(limit);
        become(uid, capabilities);
        int n = gather(6);
        disperse(n);
        _exit(n);
    }
    int status = check_reap(pid);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}
static void authority(void) {
    CHECK_EQ(forks_as(user, 0, 4), 3); // itself is one of the four
    CHECK_EQ(forks_as(user, CAPABILITY(CAP_SYS_RESOURCE), 4), 6);
    CHECK_EQ(forks_as(user, CAPABILITY(CAP_SYS_ADMIN), 4), 6);
    CHECK_EQ(forks_as(user, CAPABILITY(CAP_SYS_NICE) | CAPABILITY(CAP_SETUID), 4), 3);
    CHECK_EQ(forks_as(0, 0, 4), 6);
}

static volatile int children_signals;
static void count_child(int number) {
    (void)number;
    ++children_signals;
}
static void no_trace_body(void) {
    limit_processes(1);
    become(user, 0);
    CHECK(signal(SIGCHLD, count_child) != SIG_ERR);
    struct object_counts before = settled_objects();
    static const char* const names[] = {"procs",         "uthreads", "forks", "forks_ppwait",
                                        "forks_sharevm", "loans",    "exits"};
    long counts[7];
    for (int i = 0; i < 7; ++i)
        counts[i] = check_counter(names[i]);
    for (int i = 0; i < 300; ++i)
        CHECK_ERRNO(raw_vfork(), EAGAIN);
    for (int i = 0; i < 7; ++i)
        CHECK_EQ(check_counter(names[i]), counts[i]);
    objects_are_back(&before);
    CHECK_EQ(children_signals, 0);
    CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
}
static void no_trace(void) {
    pid_t pid = spawn(no_trace_body);
    CHECK_EXITED(check_reap(pid), 0);
}

// --- too many by setuid ---

static volatile int exec_errno, setuid_result;
static void exec_true(void) {
    char* argv[] = {"true", NULL};
    execv("/bin/true", argv);
    exec_errno = errno;
}
static void change_and_exec(void) {
    limit_processes(1);
    setuid_result = setresuid(user + 1, user + 1, user + 1);
    exec_true();
    _exit(9);
}
static void change_to_own_and_exec(void) {
    limit_processes(1);
    setuid_result = setresuid(user + 2, user + 2, user + 2); // the only one of that user
    exec_true();
    _exit(9);
}
static void lower_and_exec(void) {
    CHECK_EQ(setresuid(user + 1, user + 1, user + 1), 0);
    limit_processes(0); // no change of uid since
    exec_true();
    _exit(9);
}
static void raise_and_exec(void) {
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &(struct rlimit){1, 100}), 0);
    setuid_result = setresuid(user + 1, user + 1, user + 1);
    exec_true();
    CHECK_EQ(exec_errno, EAGAIN);
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &(struct rlimit){2, 100}), 0);
    exec_true(); // within the limit by now
    _exit(9);
}
static void setuid_then_exec(void) {
    pid_t other = fork();
    CHECK(other >= 0);
    if (other == 0) {
        CHECK_EQ(setresuid(user + 1, user + 1, user + 1), 0);
        for (;;)
            pause();
    }
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)other);
    CHECK_SOON(check_value_in(path, "Uid:") == user + 1, 5);
    setuid_result = exec_errno = -1;
    CHECK_EXITED(lend(change_and_exec), 9);
    CHECK_EQ(setuid_result, 0);
    CHECK_EQ(exec_errno, EAGAIN);
    CHECK_EXITED(lend(change_to_own_and_exec), 0);
    CHECK_EXITED(lend(lower_and_exec), 0);
    CHECK_EXITED(check_reap(spawn(raise_and_exec)), 0);
    CHECK_EQ(kill(other, SIGKILL), 0);
    CHECK_SIGNALED(check_reap(other), SIGKILL);
    CHECK_EXITED(lend(change_and_exec), 0);
}

// --- for test/boot ---

static int refuse(double seconds) {
    long old = setting(THREADS_MAX), refused = 0;
    set(THREADS_MAX, check_counter("procs"));
    for (double end = check_now() + seconds; check_now() < end; ++refused)
        if (fork() >= 0 || errno != EAGAIN)
            return 1;
    set(THREADS_MAX, old);
    return refused > 100 ? 0 : 1;
}
static int refuse_by_limit(int times) {
    limit_processes(0);
    become(user, 0);
    while (times-- > 0)
        if (fork() >= 0 || errno != EAGAIN)
            return 1;
    return 0;
}

static const struct check_case cases[] = {
    {"NB-01 XN-14 LX-03 BS-07 at maxproc every way to fork fails with EAGAIN, for root too, and nothing is counted",
     table, 0, true},
    {"BS-08 NB-02 FB-05 XN-14 the last ten places are for those with authority, not for uid 0", reserve, 0, true},
    {"LX-05 without a free pid fork and vfork fail with EAGAIN", no_pids, 60, true},
    {"NB-04 with the sleep knob on, a fork into a full table sleeps in forkmx first, and only SIGKILL cuts that short",
     full_sleep, 0, true},
    {"NB-08 a fork beyond RLIMIT_NPROC sleeps in forkulim likewise", limit_sleep, 0, true},
    {"BS-09 NB-05 NB-06 LX-02 FB-06 RLIMIT_NPROC binds by authority: two capabilities and uid 0 pass", authority, 0,
     false},
    {"EC-08 EC-118 NB-38 refused vforks leave an errno and nothing else", no_trace, 60, true},
    {"LX-27 EC-113 setuid past RLIMIT_NPROC succeeds, and execve in a borrower fails with EAGAIN", setuid_then_exec, 0,
     false},
};

int main(int argc, char** argv) {
    if (argc == 3 && strcmp(argv[1], "@refuse") == 0)
        return refuse(atof(argv[2]));
    if (argc == 3 && strcmp(argv[1], "@limit") == 0)
        return refuse_by_limit(atoi(argv[2]));
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

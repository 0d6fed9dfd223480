// SPDX-License-Identifier: BSD-2-Clause
// Calls about the process and the system: credentials, limits, scheduling, clocks, names.
#include "lend.h"

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>

static void ids(uid_t r, uid_t e, uid_t s) {
    uid_t real, effective, saved;
    CHECK_EQ(getresuid(&real, &effective, &saved), 0);
    CHECK_EQ(real, r);
    CHECK_EQ(effective, e);
    CHECK_EQ(saved, s);
}

static uint64_t capabilities(void) {
    struct {
        uint32_t version;
        int pid;
    } header = {0x20080522, 0};
    struct {
        uint32_t effective, permitted, inheritable;
    } data[2];
    CHECK_EQ(syscall(SYS_capget, &header, data), 0);
    return data[0].effective | (uint64_t)data[1].effective << 32;
}

static void user_ids(void) {
    CHECK_EQ(syscall(SYS_setresuid, 100, 200, 300), 0);
    ids(100, 200, 300);
    CHECK_EQ(capabilities(), 0);
    CHECK_ERRNO(syscall(SYS_setuid, 400), EPERM);
    CHECK_EQ(syscall(SYS_setuid, 300), 0); // the saved one: effective only
    ids(100, 300, 300);
    CHECK_EQ(syscall(SYS_setreuid, -1, 100), 0);
    ids(100, 100, 300);
    CHECK_EQ(syscall(SYS_setreuid, 100, -1), 0); // sets the real one: the saved one follows
    ids(100, 100, 100);
    CHECK_ERRNO(syscall(SYS_setresuid, -1, 300, -1), EPERM);
    CHECK_EQ(syscall(SYS_setfsuid, 7), 100); // not allowed, and says the old one
    CHECK_EQ(syscall(SYS_setfsuid, -1), 100);
    CHECK_ERRNO(setgroups(0, NULL), EPERM);
    CHECK_ERRNO(sethostname("x", 1), EPERM);
    CHECK_ERRNO(syscall(SYS_setgid, 1), EPERM);
    CHECK_ERRNO(chroot("/"), EPERM);
}

static void root_comes_back(void) {
    CHECK_EQ(syscall(SYS_setresuid, -1, 100, -1), 0); // effective only: permitted ones stay
    CHECK_EQ(capabilities(), 0);
    CHECK_ERRNO(sethostname("x", 1), EPERM);
    CHECK_EQ(syscall(SYS_setresuid, -1, 0, -1), 0);
    CHECK(capabilities() != 0);
    gid_t groups[3] = {30, 10, 20}, got[3];
    CHECK_EQ(setgroups(3, groups), 0);
    CHECK_EQ(getgroups(0, NULL), 3);
    CHECK_ERRNO(getgroups(2, got), EINVAL);
    CHECK_EQ(getgroups(3, got), 3);
    CHECK_EQ(got[0], 10);
    CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
    CHECK_EQ(syscall(SYS_setresuid, 5, 5, 5), 0);
    CHECK_EQ(capabilities(), 0); // permitted, but not effective
}

// --- what a change of ids does to the capability sets ---

static uint64_t set_of(const char* name) {
    char text[4096];
    CHECK(check_read_file("/proc/self/status", text, sizeof text) > 0);
    const char* at = strstr(text, name);
    CHECK(at != NULL);
    return strtoull(at + strlen(name) + 2, NULL, 16);
}
static uint64_t all; // what root starts with
static void expect_sets(int line, uint64_t permitted, uint64_t effective) {
    if (set_of("CapPrm") != permitted || set_of("CapEff") != effective)
        check_fail("line %d: permitted %lx, effective %lx, expected %lx and %lx", line, set_of("CapPrm"),
                   set_of("CapEff"), permitted, effective);
}
#define EXPECT_SETS(permitted, effective) expect_sets(__LINE__, permitted, effective)

static void all_ids(void) {
    CHECK_EQ(setresuid(100, 100, 100), 0);
    EXPECT_SETS(0, 0);
}
static void all_but_saved(void) {
    CHECK_EQ(setresuid(100, 100, 0), 0);
    EXPECT_SETS(all, 0);
    CHECK_EQ(setresuid(-1, 0, -1), 0);
    EXPECT_SETS(all, all);
    CHECK_EQ(setresuid(-1, 100, 100), 0);
    EXPECT_SETS(0, 0);
}
static void kept(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK_EQ(syscall(SYS_capget, &header, data), 0);
    data[0].inheritable = 1u << CAP_CHOWN;
    CHECK_EQ(syscall(SYS_capset, &header, data), 0);
    CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0), 0);
    CHECK_EQ(set_of("CapAmb"), 1u << CAP_CHOWN);
    CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1), 0);
    CHECK_EQ(setresuid(-1, 100, -1), 0);
    CHECK_EQ(set_of("CapAmb"), 1u << CAP_CHOWN); // still root by its other ids
    CHECK_EQ(setresuid(-1, 0, -1), 0);
    CHECK_EQ(setresuid(100, 100, 100), 0);
    EXPECT_SETS(all, 0);
    CHECK_EQ(set_of("CapAmb"), 0);
}
static void file_ids(void) {
    const uint64_t of_files = 0x1f | 1u << 9 | 1u << 27 | 1ul << 32;
    setfsuid(100);
    EXPECT_SETS(all, all & ~of_files);
    setfsuid(0);
    EXPECT_SETS(all, all);
}
static void no_fixup(void) {
    CHECK_EQ(prctl(PR_SET_SECUREBITS, 1 << 2), 0); // SECBIT_NO_SETUID_FIXUP
    CHECK_EQ(setresuid(100, 100, 100), 0);
    EXPECT_SETS(all, all);
}
static void less_trusted(void) {
    int number = -1;
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
    CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGUSR1), 0);
    CHECK_EQ(setresuid(100, -1, -1), 0); // the real id alone tells nobody apart
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    CHECK_EQ(prctl(PR_GET_PDEATHSIG, &number), 0);
    CHECK_EQ(number, SIGUSR1);
    CHECK_EQ(setresuid(-1, 100, -1), 0);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    CHECK_EQ(prctl(PR_GET_PDEATHSIG, &number), 0);
    CHECK_EQ(number, 0);
}
static void capability_sets(void) {
    all = set_of("CapPrm");
    CHECK(all != 0 && set_of("CapEff") == all);
    void (*const acts[])(void) = {all_ids, all_but_saved, kept, file_ids, no_fixup, less_trusted};
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; ++i)
        CHECK_EXITED(check_reap(spawn(acts[i])), 0);
}

static void limits(void) {
    struct rlimit limit;
    CHECK_ERRNO(syscall(SYS_getrlimit, 99, &limit), EINVAL);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max + 1;
    CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
    limit.rlim_cur = 20, limit.rlim_max = 40;
    CHECK_EQ(setrlimit(RLIMIT_CORE, &limit), 0);
    CHECK_EQ(syscall(SYS_setresuid, 5, 5, 5), 0);
    limit.rlim_max = 41;
    CHECK_ERRNO(setrlimit(RLIMIT_CORE, &limit), EPERM);
    struct rlimit old;
    limit.rlim_max = 30;
    CHECK_EQ(prlimit(0, RLIMIT_CORE, &limit, &old), 0);
    CHECK_EQ(old.rlim_max, 40);
    CHECK_ERRNO(prlimit(1, RLIMIT_CORE, NULL, &old), EPERM);
    CHECK_ERRNO(prlimit(999999, RLIMIT_CORE, NULL, &old), ESRCH);
    struct rusage usage;
    CHECK_ERRNO(getrusage(77, &usage), EINVAL);
    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
}

static void scheduling(void) {
    struct sched_param param = {0};
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    param.sched_priority = 1;
    CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, &param), EINVAL);
    CHECK_ERRNO(sched_setscheduler(0, 99, &param), EINVAL);
    CHECK_ERRNO(sched_setscheduler(999999, SCHED_FIFO, &param), ESRCH);
    CHECK_EQ(sched_setscheduler(0, SCHED_FIFO, &param), 0);
    CHECK_EQ(sched_getscheduler(0), SCHED_FIFO);
    param.sched_priority = 0;
    CHECK_EQ(sched_setscheduler(0, SCHED_OTHER, &param), 0);
    CHECK_EQ(sched_get_priority_max(SCHED_RR), 99);
    CHECK_EQ(sched_get_priority_min(SCHED_RR), 1);
    CHECK_EQ(sched_get_priority_max(SCHED_OTHER), 0);
    cpu_set_t set;
    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    CHECK(CPU_COUNT(&set) >= 1);
    CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 7, &set), EINVAL);
    CHECK_ERRNO(sched_getaffinity(-1, sizeof set, &set), ESRCH); // EINVAL would say that the set is too small
    CHECK_ERRNO(sched_setaffinity(-1, sizeof set, &set), ESRCH);
    int last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &set))
        --last;
    CPU_ZERO(&set);
    CHECK_ERRNO(sched_setaffinity(0, sizeof set, &set), EINVAL);
    CPU_SET(last, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
    CPU_ZERO(&set);
    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    CHECK(CPU_COUNT(&set) == 1 && CPU_ISSET(last, &set));
    for (int i = 0; i < 100; ++i) {
        CHECK_EQ(sched_getcpu(), last);
        sched_yield();
    }
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 5), 0);
    errno = 0;
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 5);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 100), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 19);
    CHECK_ERRNO(getpriority(9, 0), EINVAL);
    CHECK_ERRNO(getpriority(PRIO_PROCESS, 999999), ESRCH);
    CHECK_EQ(syscall(SYS_setresuid, 5, 5, 5), 0);
    CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 0), EACCES);
}

static void count_signal(int signal) { (void)signal; }

static void clocks(void) {
    struct timespec t, before, after, left = {0, 0};
    CHECK_ERRNO(clock_gettime(99, &t), EINVAL);
    CHECK_EQ(clock_getres(CLOCK_MONOTONIC, &t), 0);
    CHECK_EQ(t.tv_nsec, 1);
    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
    for (volatile int i = 0; i < 3000000; ++i) {
    }
    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after), 0);
    CHECK(after.tv_sec > before.tv_sec || after.tv_nsec > before.tv_nsec);
    struct timespec bad = {0, 1000000000};
    CHECK_ERRNO(nanosleep(&bad, NULL), EINVAL);
    CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &(struct timespec){0, 1}, NULL), EINVAL);
    struct timespec past = {1, 0};
    CHECK_EQ(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &past, NULL), 0);
    signal(SIGALRM, count_signal);
    struct itimerval timer = {{0, 0}, {0, 50000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    CHECK_ERRNO(nanosleep(&(struct timespec){5, 0}, &left), EINTR);
    CHECK_EQ(left.tv_sec, 4);
    double start = check_now();
    CHECK_EQ(nanosleep(&(struct timespec){0, 30000000}, NULL), 0);
    CHECK(check_now() - start >= 0.03);
    // Stopped and continued, a sleep goes on and lasts as long as was asked.
    start = check_now();
    pid_t child = fork();
    if (child == 0)
        _exit(nanosleep(&(struct timespec){0, 300000000}, NULL) == 0 ? 0 : 1);
    check_sleep_ms(50);
    kill(child, SIGSTOP);
    check_sleep_ms(50);
    kill(child, SIGCONT);
    CHECK_EXITED(check_reap(child), 0);
    CHECK(check_now() - start >= 0.3);
    struct tms tms;
    CHECK(times(&tms) != (clock_t)-1);
}

static void names(void) {
    struct utsname name;
    CHECK_EQ(uname(&name), 0);
    CHECK(strcmp(name.sysname, "Linux") == 0);
    CHECK(strcmp(name.machine, "riscv64") == 0);
    CHECK_ERRNO(syscall(SYS_sethostname, "x", 65), EINVAL);
    CHECK_ERRNO(syscall(SYS_sethostname, "x", -1), EINVAL);
    char text[32];
    CHECK_EQ(prctl(PR_SET_NAME, "a-name-longer-than-fits"), 0);
    CHECK_EQ(prctl(PR_GET_NAME, text), 0);
    CHECK(strcmp(text, "a-name-longer-t") == 0);
    CHECK_ERRNO(prctl(12345), EINVAL);
    CHECK_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    struct sysinfo info;
    CHECK_EQ(sysinfo(&info), 0);
    CHECK(info.totalram > info.freeram && info.mem_unit == 1 && info.procs >= 1);
    unsigned char random[64] = {0};
    CHECK_EQ(syscall(SYS_getrandom, random, 64, 0), 64);
    int zeros = 0;
    for (int i = 0; i < 64; ++i)
        zeros += random[i] == 0;
    CHECK(zeros < 20);
    CHECK_ERRNO(syscall(SYS_getrandom, random, 1, 0x100), EINVAL);
    CHECK_ERRNO(syscall(SYS_reboot, 1, 2, 3, 4), EINVAL);
    char directory[8];
    CHECK_EQ(chdir("/tmp"), 0);
    CHECK_EQ(syscall(SYS_getcwd, directory, 8), 5);
    CHECK_ERRNO(syscall(SYS_getcwd, directory, 4), ERANGE);
}

static volatile sig_atomic_t alarms;
static void count_alarm(int sig) {
    (void)sig;
    alarms++;
}
static void interrupted_getrandom(void) {
    const size_t much = 64 << 20;
    unsigned char* bytes = mmap(NULL, much, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(bytes != MAP_FAILED);
    const struct sigaction action = {.sa_handler = count_alarm, .sa_flags = SA_RESTART};
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    const struct itimerval soon = {.it_value = {.tv_usec = 20000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &soon, NULL), 0);
    const long given = syscall(SYS_getrandom, bytes, much, 0);
    CHECK(given > 0 && (size_t)given < much);
    CHECK_EQ(alarms, 1);
    int zeros = 0;
    for (long i = given - 64; i < given; ++i)
        zeros += bytes[i] == 0;
    CHECK(zeros < 20);
    CHECK_EQ(bytes[given] + bytes[given + 4096], 0); // no further than it says
}

static const struct check_case cases[] = {
    {"user ids change by the rules, and capabilities with them", user_ids, 0, false},
    {"root that keeps a saved id can come back", root_comes_back, 0, false},
    {"a change of ids changes each capability set by its rule, and what others may do with the process",
     capability_sets, 0, false},
    {"limits can be lowered by all and raised by root", limits, 0, true},
    {"policy, priority and affinity are what was set", scheduling, 0, true},
    {"clocks run and sleeps last as long as asked", clocks, 0, false},
    {"the system tells its names and the process its own", names, 0, true},
    {"a signal ends a long getrandom with what was given so far", interrupted_getrandom, 0, false},
};
CHECK_MAIN(cases)

// SPDX-License-Identifier: BSD-2-Clause
// What a child has from its creator without asking: the same attributes after fork and in a borrower; and who may make
// children at all.
#include "lend.h"

#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>

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

static const struct check_case cases[] = {
    {"a child has its creator's nice value", nice_value, 0, false},
    {"a child has its creator's dumpable, no_new_privs and personality", process_flags, 0, false},
    {"a child has its creator's name", name, 0, false},
    {"LX-24 a child has its creator's oom_score_adj and changes only its own", oom_score, 0, false},
    {"a child's /proc/self/exe is its creator's program", executable, 0, false},
    {"a child has a start time of its own", start, 0, false},
    {"EC-114 a child runs where its creator is bound, and a borrower's choice ends with it", hart, 0, false},
    {"NB-06 LX-02 root and who has CAP_SYS_RESOURCE are exempt from RLIMIT_NPROC", exempt, 0, false},
    {"a child's CPU time counts against the limit that it inherited", cpu_limit, 60, false},
};
CHECK_MAIN(cases)

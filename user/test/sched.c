// SPDX-License-Identifier: BSD-2-Clause
// Scheduling by hart, on a machine with four of them: shares, nice, affinity, SCHED_FIFO, idle harts, and
// where an executed borrower starts. Run it on an otherwise idle machine.
#include "lend.h"

#include <pthread.h>
#include <sched.h>

enum { harts = 4 };

static void pin(int hart) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(hart, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
}
static int hart_now(void) {
    unsigned hart = 99;
    CHECK_EQ(syscall(SYS_getcpu, &hart, NULL, NULL), 0);
    return (int)hart;
}
static double cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
static void need_harts(void) { CHECK_EQ(sysconf(_SC_NPROCESSORS_ONLN), harts); }

// --- shares ---

struct share {
    volatile int start, stop, ready;
    volatile double used[16];
};
static struct share* s;
static void spinner(int number, int nice_value, int hart) {
    if (nice_value)
        setpriority(PRIO_PROCESS, 0, nice_value);
    if (hart >= 0)
        pin(hart);
    __atomic_add_fetch(&s->ready, 1, __ATOMIC_SEQ_CST);
    while (!s->start) {
    }
    double before = cpu_now();
    while (!s->stop)
        for (volatile int i = 0; i < 1000; ++i) {
        }
    s->used[number] = cpu_now() - before;
    _exit(0);
}
static double run_spinners(int count, const int* nice_values, int hart, long ms) {
    s = (struct share*)(uintptr_t)shared_memory(4096);
    pid_t pid[16];
    for (int i = 0; i < count; ++i) {
        pid[i] = fork();
        CHECK(pid[i] >= 0);
        if (pid[i] == 0)
            spinner(i, nice_values ? nice_values[i] : 0, hart);
    }
    CHECK_SOON(s->ready == count, 10);
    check_sleep_ms(1500); // let them spread
    double start = check_now();
    s->start = 1;
    check_sleep_ms(ms);
    s->stop = 1;
    double took = check_now() - start;
    for (int i = 0; i < count; ++i)
        CHECK_EXITED(check_reap(pid[i]), 0);
    return took;
}

// Each gets an eighth of what all got together: half a hart, within 5 %; and no hart was left idle. Says what is wrong.
static bool shares_are_even(double took, char* why, size_t size) {
    double total = 0;
    for (int i = 0; i < 8; ++i)
        total += s->used[i];
    for (int i = 0; i < 8; ++i)
        if (s->used[i] < total / 8 * 0.95 || s->used[i] > total / 8 * 1.05) {
            snprintf(why, size, "spinner %d got %.3f s of %.3f s, %.1f %% of its share", i, s->used[i], took,
                     s->used[i] / (total / 8) * 100);
            return false;
        }
    snprintf(why, size, "all together got %.2f s in %.2f s on four harts", total, took);
    return total >= took * harts * 0.9;
}
static void eight_on_four(void) {
    need_harts();
    char why[128];
    // The emulator's harts are threads of a machine that may stop one for a while; a wrong scheduler fails every time.
    for (int attempt = 0; attempt < 3; ++attempt)
        if (shares_are_even(run_spinners(8, NULL, -1, 8000), why, sizeof why))
            return;
    check_fail("%s", why);
}

static void nice_shows(void) {
    static const int values[2] = {0, 5};
    run_spinners(2, values, 1, 5000);
    double ratio = s->used[0] / s->used[1]; // Linux's weights: 1024 to 335
    if (ratio < 2.0 || ratio > 4.5)
        check_fail("nice 0 got %.2f times what nice 5 got", ratio);
    static const int far[2] = {0, 19};
    run_spinners(2, far, 1, 4000);
    ratio = s->used[0] / s->used[1];
    if (ratio < 10)
        check_fail("nice 0 got only %.2f times what nice 19 got", ratio);
    CHECK(s->used[1] > 0); // but not nothing
}

// --- affinity ---

static void pinned_stays(void) {
    need_harts();
    s = (struct share*)(uintptr_t)shared_memory(4096);
    pid_t noise[6];
    for (int i = 0; i < 6; ++i) {
        noise[i] = fork();
        if (noise[i] == 0)
            for (;;)
                check_sleep_ms(1 + i), spin_cpu_ms(3);
    }
    for (int hart = 0; hart < harts; ++hart) {
        pin(hart);
        double end = check_now() + 1;
        int looks = 0;
        while (check_now() < end) {
            CHECK_EQ(hart_now(), hart);
            if (++looks % 100 == 0)
                check_sleep_ms(1);
        }
    }
    for (int i = 0; i < 6; ++i) {
        kill(noise[i], SIGKILL);
        CHECK_SIGNALED(check_reap(noise[i]), SIGKILL);
    }
}

static void affinity_rules(void) {
    need_harts();
    cpu_set_t set;
    CPU_ZERO(&set);
    CHECK_ERRNO(sched_setaffinity(0, sizeof set, &set), EINVAL);
    CPU_SET(2, &set);
    CPU_SET(3, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
    CHECK(hart_now() == 2 || hart_now() == 3); // moved at once
    pid_t pid = fork();                        // inherited
    if (pid == 0) {
        cpu_set_t mine;
        CHECK_EQ(sched_getaffinity(0, sizeof mine, &mine), 0);
        CHECK(CPU_EQUAL(&mine, &set));
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    pid = fork();
    if (pid == 0)
        for (;;) {
        }
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    CHECK_EQ(sched_setaffinity(pid, sizeof set, &set), 0); // a running one too
    check_sleep_ms(50);
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    CHECK(check_read_file(path, text, sizeof text) > 0);
    char* field = strrchr(text, ')');
    for (int i = 0; i < 37 && field; ++i)
        field = strchr(field + 1, ' ');
    CHECK(field != NULL);
    CHECK_EQ(atoi(field), 0); // the hart it ran on last
    kill(pid, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
}

// --- real time ---

static volatile long* stamp;
static void fifo_preempts(void) {
    stamp = (volatile long*)(volatile void*)shared_memory(4096);
    int p[2];
    CHECK_EQ(pipe(p), 0);
    pid_t spin = fork();
    if (spin == 0) {
        pin(1);
        for (;;)
            ++stamp[0];
    }
    pid_t urgent = fork();
    if (urgent == 0) {
        pin(1);
        struct sched_param param = {.sched_priority = 10};
        CHECK_EQ(sched_setscheduler(0, SCHED_FIFO, &param), 0);
        char c;
        stamp[1] = 1;
        for (int i = 0; i < 50; ++i) {
            CHECK_EQ(read(p[0], &c, 1), 1);
            struct timespec t;
            clock_gettime(CLOCK_MONOTONIC, &t);
            stamp[2] = t.tv_sec * 1000000000 + t.tv_nsec;
        }
        _exit(0);
    }
    CHECK_SOON(stamp[0] && stamp[1], 10);
    pin(0);
    long best = 1000000000, worst = 0;
    for (int i = 0; i < 50; ++i) {
        check_sleep_ms(5);
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        stamp[2] = 0;
        CHECK_EQ(write(p[1], "x", 1), 1);
        CHECK_SOON(stamp[2] != 0, 5);
        long took = stamp[2] - (t.tv_sec * 1000000000 + t.tv_nsec);
        best = took < best ? took : best;
        worst = took > worst ? took : worst;
    }
    CHECK_EXITED(check_reap(urgent), 0);
    kill(spin, SIGKILL);
    CHECK_SIGNALED(check_reap(spin), SIGKILL);
    // At once: not at the end of anybody's time slice. The emulator's own pauses are why the best one counts.
    if (best > 2000000)
        check_fail("the fastest of 50 wake-ups took %ld us, the slowest %ld us", best / 1000, worst / 1000);
}

static void fifo_starves(void) {
    s = (struct share*)(uintptr_t)shared_memory(4096);
    pid_t fifo = fork();
    if (fifo == 0) {
        pin(2);
        struct sched_param param = {.sched_priority = 1};
        CHECK_EQ(sched_setscheduler(0, SCHED_FIFO, &param), 0);
        s->ready = 1;
        double end = check_now() + 0.4;
        while (check_now() < end)
            ++s->used[0];
        s->stop = 1;
        _exit(0);
    }
    CHECK_SOON(s->ready, 5);
    pid_t normal = fork();
    if (normal == 0) {
        pin(2);
        s->used[1] = s->stop ? 1 : 2; // runs only after the other is done
        _exit(0);
    }
    CHECK_EXITED(check_reap(fifo), 0);
    CHECK_EXITED(check_reap(normal), 0);
    CHECK(s->used[1] == 1);
}

static void policies(void) {
    struct sched_param param = {.sched_priority = 10};
    CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
    CHECK_EQ(sched_get_priority_min(SCHED_FIFO), 1);
    CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, &param), EINVAL);
    CHECK_EQ(sched_setscheduler(0, SCHED_RR, &param), 0);
    CHECK_EQ(sched_getscheduler(0), SCHED_RR);
    CHECK_EQ(sched_getparam(0, &param), 0);
    CHECK_EQ(param.sched_priority, 10);
    pid_t pid = fork();
    if (pid == 0)
        _exit(sched_getscheduler(0) == SCHED_RR ? 0 : 1);
    CHECK_EXITED(check_reap(pid), 0);
    param.sched_priority = 0;
    CHECK_EQ(sched_setscheduler(0, SCHED_OTHER, &param), 0);
    CHECK_EQ(setresuid(1000, 1000, 1000), 0);
    param.sched_priority = 1;
    CHECK_ERRNO(sched_setscheduler(0, SCHED_FIFO, &param), EPERM);
    CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, -5), EACCES);
}

// --- idle harts ---

static void idle_takes_work(void) {
    need_harts();
    // Four spinners born on one hart spread over the idle ones.
    double took = run_spinners(4, NULL, -1, 2000), total = 0;
    for (int i = 0; i < 4; ++i)
        total += s->used[i];
    if (total < took * 3.8)
        check_fail("four spinners got %.2f s in %.2f s on four harts", total, took);
}

static void waiting_work_is_taken(void) {
    need_harts();
    // Three spinners pinned to hart 0 are let loose while the other harts sleep.
    s = (struct share*)(uintptr_t)shared_memory(4096);
    pid_t pid[3];
    for (int i = 0; i < 3; ++i) {
        pid[i] = fork();
        if (pid[i] == 0)
            spinner(i, 0, 0);
    }
    CHECK_SOON(s->ready == 3, 10);
    cpu_set_t all;
    CPU_ZERO(&all);
    for (int h = 0; h < harts; ++h)
        CPU_SET(h, &all);
    s->start = 1;
    for (int i = 0; i < 3; ++i)
        CHECK_EQ(sched_setaffinity(pid[i], sizeof all, &all), 0);
    check_sleep_ms(2000);
    s->stop = 1;
    double total = 0;
    for (int i = 0; i < 3; ++i) {
        CHECK_EXITED(check_reap(pid[i]), 0);
        total += s->used[i];
    }
    if (total < 2 * 3 * 0.8)
        check_fail("three spinners got %.2f s in 2 s", total);
}

struct hart_counts {
    long timer, idle, ipis;
};
static long field_of(const char* line, const char* name) {
    const char* at = strstr(line, name);
    if (!at || at > line + strcspn(line, "\n"))
        check_fail("a line of /proc/lentil/harts has no%s", name);
    return strtol(at + strlen(name), NULL, 10);
}
static void read_harts(struct hart_counts* counts) {
    char text[4096];
    CHECK(check_read_file("/proc/lentil/harts", text, sizeof text) > 0);
    for (int h = 0; h < harts; ++h) {
        char key[32];
        snprintf(key, sizeof key, "hart %d ", h);
        char* line = strstr(text, key);
        CHECK(line != NULL);
        counts[h].timer = field_of(line, " timer_interrupts ");
        counts[h].idle = field_of(line, " idle_entries ");
        counts[h].ipis = field_of(line, " ipis ");
    }
}
static void idle_is_quiet(void) {
    need_harts();
    struct hart_counts before[harts], after[harts];
    pin(0);
    check_sleep_ms(500);
    read_harts(before);
    check_sleep_ms(2000); // this sleep needs one timer interrupt, on one hart
    read_harts(after);
    long total = 0;
    for (int h = 0; h < harts; ++h)
        total += after[h].timer - before[h].timer;
    // The runner of these tests wakes up 50 times a second; with a tick of 100 Hz there would be at least
    // 800.
    if (total > 200)
        check_fail("%ld timer interrupts came on four idle harts in two seconds", total);
    read_harts(before);
    spin_cpu_ms(500);
    read_harts(after);
    for (int h = 1; h < harts; ++h)
        if (after[h].timer - before[h].timer > 40)
            check_fail("hart %d took %ld timer interrupts while hart 0 was the only one at work", h,
                       after[h].timer - before[h].timer);
}

// --- the executed borrower ---

static void exec_where(void) {
    execl(check_self, check_self, "@where", (char*)NULL);
    _exit(127);
}
static void exec_starts_on_idle_hart(void) {
    need_harts();
    for (int i = 0; i < 10; ++i) {
        check_sleep_ms(20);
        int mine = hart_now();
        double start = check_now();
        pid_t pid = borrow(exec_where);
        spin_cpu_ms(150); // the lender does not wait for the child, nor give way
        double took = check_now() - start;
        int status = check_reap(pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) >= 100);
        if (WEXITSTATUS(status) - 100 == mine)
            check_fail("the child started on hart %d, where its parent was busy", mine);
        if (took > 1.5)
            check_fail("150 ms of the parent's work took %.0f ms", took * 1e3);
    }
}

static const struct check_case cases[] = {
    {"eight spinning processes on four harts get half a hart each within 5 %", eight_on_four, 120, true},
    {"nice weights show", nice_shows, 60, false},
    {"a pinned thread never moves", pinned_stays, 60, false},
    {"affinity moves at once, is inherited and can be set for another process", affinity_rules, 0, false},
    {"SCHED_FIFO preempts at once", fifo_preempts, 60, false},
    {"SCHED_FIFO runs until it is done", fifo_starves, 0, false},
    {"policies and priorities are checked and inherited", policies, 0, false},
    {"idle harts take work that was born elsewhere", idle_takes_work, 60, false},
    {"idle harts take work that was let loose", waiting_work_is_taken, 60, false},
    {"idle harts take no timer interrupts", idle_is_quiet, 60, true},
    {"an executed borrower starts on an idle hart while its parent runs on", exec_starts_on_idle_hart, 60, true},
};

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@where") == 0)
        return 100 + hart_now();
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

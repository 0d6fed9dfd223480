// SPDX-License-Identifier: BSD-2-Clause
// What processes and threads used, and who is charged: getrusage, wait4, times, CPU clocks and /proc, through loans too.
#include "lend.h"

#include <pthread.h>
#include <sched.h>
#include <sys/times.h>

static struct rusage usage_of(int who) {
    struct rusage use;
    CHECK_EQ(getrusage(who, &use), 0);
    return use;
}

// Waits for this child; what it used.
static struct rusage usage_of_child(pid_t pid, int wanted) {
    struct rusage use;
    int status = -1;
    CHECK_EQ(wait4(pid, &status, 0, &use), pid);
    CHECK_EXITED(status, wanted);
    return use;
}

static void* touch(size_t bytes) {
    char* memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    madvise(memory, bytes, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4096)
        *(volatile char*)(memory + i) = 1;
    return memory;
}

// --- threads ---

static struct rusage of_thread;
static void* spinning_thread(void* unused) {
    (void)unused;
    touch(64 * 4096);
    spin_cpu_ms(200);
    of_thread = usage_of(RUSAGE_THREAD);
    return NULL;
}
static void threads(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, spinning_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    const struct rusage mine = usage_of(RUSAGE_THREAD), all = usage_of(RUSAGE_SELF);
    CHECK(cpu_seconds(&of_thread) >= 0.2);
    CHECK(of_thread.ru_minflt >= 64 / 16);
    // An ended thread still counts, and the others' time is not this one's.
    CHECK(cpu_seconds(&all) >= cpu_seconds(&of_thread) + cpu_seconds(&mine));
    CHECK(all.ru_minflt >= of_thread.ru_minflt + mine.ru_minflt);
    CHECK(mine.ru_maxrss > 0 && mine.ru_maxrss <= all.ru_maxrss);
}

// --- loans ---

static void sleep_ten_times(void) {
    for (int i = 0; i < 10; ++i)
        check_sleep_ms(5);
}
static void no_time(void) {}
static void lenders_time(void) {
    spin_cpu_ms(300);
    const struct rusage child = usage_of_child(borrow(no_time), 0);
    CHECK(cpu_seconds(&child) < 0.15);
    const struct rusage mine = usage_of(RUSAGE_SELF);
    CHECK(cpu_seconds(&mine) >= 0.3);
}

static void switches_of_a_borrower(void) {
    const struct rusage before = usage_of(RUSAGE_SELF);
    const pid_t pid = borrow(sleep_ten_times);
    const struct rusage after = usage_of(RUSAGE_SELF);
    const struct rusage child = usage_of_child(pid, 0);
    CHECK(child.ru_nvcsw >= 5);
    CHECK(after.ru_nvcsw - before.ru_nvcsw < 5);
}

static struct rusage seen[3];
static void inner(void) {
    spin_cpu_ms(150);
    seen[2] = usage_of(RUSAGE_SELF);
}
static void outer(void) {
    const pid_t pid = borrow(inner);
    seen[1] = usage_of(RUSAGE_SELF);
    CHECK(cpu_seconds(&seen[1]) < 0.1);
    const struct rusage child = usage_of_child(pid, 0);
    CHECK(cpu_seconds(&child) >= 0.15);
}
static void nested(void) {
    const double start = check_now();
    const pid_t pid = borrow(outer);
    seen[0] = usage_of(RUSAGE_SELF);
    CHECK(cpu_seconds(&seen[0]) < 0.1);
    CHECK(cpu_seconds(&seen[2]) >= 0.15);
    const struct rusage child = usage_of_child(pid, 0);
    CHECK(cpu_seconds(&child) >= 0.15);                       // with its own child's
    CHECK(cpu_seconds(&child) <= check_now() - start + 0.02); // but once
}

static void* nothing(void* unused) { return unused; }
static void become_owner(void) {
    spin_cpu_ms(150);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, nothing, NULL), 0); // the loan becomes a gift
    pthread_join(thread, NULL);
    spin_cpu_ms(150);
}
static void through_a_gift(void) {
    const pid_t pid = borrow(become_owner);
    const struct rusage mine = usage_of(RUSAGE_SELF), child = usage_of_child(pid, 0);
    CHECK(cpu_seconds(&child) >= 0.29);
    CHECK(cpu_seconds(&mine) < 0.15);
}

static char* exec_words[4];
static void spin_and_exec(void) {
    spin_cpu_ms(150);
    execv(check_self, exec_words);
    _exit(99);
}
static void through_exec(void) {
    exec_words[0] = check_self, exec_words[1] = "@spin", exec_words[2] = NULL;
    const pid_t pid = borrow(spin_and_exec);
    const struct rusage mine = usage_of(RUSAGE_SELF), child = usage_of_child(pid, 5);
    CHECK(cpu_seconds(&child) >= 0.29);
    CHECK(cpu_seconds(&mine) < 0.15);
}

static clock_t to_ticks(const struct timeval* t) { return (clock_t)(t->tv_sec * 100 + t->tv_usec / 10000); }

// utime, stime, cutime, cstime and minflt of /proc/PATH/stat.
struct stat_fields {
    long minflt, utime, stime, cutime, cstime;
};
static struct stat_fields read_stat(const char* path) {
    char text[1024];
    CHECK(check_read_file(path, text, sizeof text) > 0);
    const char* at = strrchr(text, ')');
    CHECK(at);
    struct stat_fields f;
    CHECK_EQ(sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %ld %*d %*d %*d %ld %ld %ld %ld", &f.minflt, &f.utime,
                    &f.stime, &f.cutime, &f.cstime),
             5);
    return f;
}

static struct tms borrowers_times;
static struct stat_fields borrowers_stat;
static void spin_and_ask(void) {
    spin_cpu_ms(200);
    times(&borrowers_times);
    borrowers_stat = read_stat("/proc/self/stat");
}
static void ticks(void) {
    const pid_t pid = borrow(spin_and_ask);
    CHECK(borrowers_times.tms_utime + borrowers_times.tms_stime >= 19);
    CHECK(borrowers_stat.utime + borrowers_stat.stime >= 19);
    struct tms mine;
    times(&mine);
    CHECK(mine.tms_utime + mine.tms_stime < 15);
    CHECK_EQ(mine.tms_cutime + mine.tms_cstime, 0); // not before the wait
    const struct rusage child = usage_of_child(pid, 0);
    times(&mine);
    CHECK_EQ(mine.tms_cutime, to_ticks(&child.ru_utime));
    CHECK_EQ(mine.tms_cstime, to_ticks(&child.ru_stime));
    const struct stat_fields f = read_stat("/proc/self/stat");
    CHECK_EQ(f.cutime, mine.tms_cutime);
    CHECK_EQ(f.cstime, mine.tms_cstime);
    const struct rusage children = usage_of(RUSAGE_CHILDREN);
    CHECK_EQ(to_ticks(&children.ru_utime), mine.tms_cutime);
    CHECK_EQ(children.ru_minflt, child.ru_minflt);
}

static void stat_of_threads(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, spinning_thread, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)getpid());
    const struct rusage before = usage_of(RUSAGE_THREAD);
    const struct stat_fields one = read_stat(path), all = read_stat("/proc/self/stat");
    const struct rusage after = usage_of(RUSAGE_THREAD);
    CHECK(one.utime >= to_ticks(&before.ru_utime) && one.utime <= to_ticks(&after.ru_utime));
    CHECK(one.stime >= to_ticks(&before.ru_stime) && one.stime <= to_ticks(&after.ru_stime));
    CHECK(all.utime + all.stime >= one.utime + one.stime + 18); // the ended thread's 200 ms, each rounded down
}

// --- clocks ---

static void* wait_on(void* fd) {
    char c;
    return read((int)(intptr_t)fd, &c, 1) < 0 ? NULL : fd;
}
static void clocks(void) {
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        spin_cpu_ms(200);
        char c = 0;
        CHECK_EQ(write(ends[1], &c, 1), 1);
        pause();
    }
    clockid_t clock;
    CHECK_EQ(clock_getcpuclockid(pid, &clock), 0);
    char c;
    CHECK_EQ(read(ends[0], &c, 1), 1);
    struct timespec first, second;
    CHECK_EQ(clock_gettime(clock, &first), 0);
    CHECK(first.tv_sec > 0 || first.tv_nsec >= 200000000);
    CHECK_SOON(check_state_of(pid) == 'S', 10);
    CHECK_EQ(clock_gettime(clock, &first), 0);
    check_sleep_ms(50);
    CHECK_EQ(clock_gettime(clock, &second), 0);
    CHECK_EQ(second.tv_sec * 1000000000 + second.tv_nsec, first.tv_sec * 1000000000 + first.tv_nsec); // it sleeps
    kill(pid, SIGKILL);
    check_reap(pid);
    CHECK_ERRNO(clock_gettime(clock, &first), EINVAL);

    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, wait_on, (void*)(intptr_t)ends[0]), 0);
    spin_cpu_ms(100);
    CHECK_EQ(pthread_getcpuclockid(thread, &clock), 0);
    CHECK_EQ(clock_gettime(clock, &first), 0);
    CHECK(first.tv_sec == 0 && first.tv_nsec < 90000000); // the other one spun
    CHECK_EQ(write(ends[1], &c, 1), 1);
    pthread_join(thread, NULL);
}

// --- switches, memory ---

static void competing(void) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    spin_cpu_ms(300);
    CHECK(usage_of(RUSAGE_SELF).ru_nivcsw > 0);
}
static void involuntary(void) {
    const pid_t a = spawn(competing), b = spawn(competing);
    CHECK_EXITED(check_reap(a), 0);
    CHECK_EXITED(check_reap(b), 0);
    CHECK(usage_of(RUSAGE_CHILDREN).ru_nivcsw > 0);
}

static void use_and_free(void) {
    munmap(touch(24 << 20), 24 << 20);
    execv(check_self, exec_words);
    _exit(99);
}
static void use_and_end(void) { touch(20 << 20); }
static void most_memory(void) {
    CHECK(usage_of_child(spawn(use_and_end), 0).ru_maxrss >= 20 << 10);
    exec_words[0] = check_self, exec_words[1] = "@rss", exec_words[2] = NULL;
    CHECK(usage_of(RUSAGE_SELF).ru_maxrss < 16 << 10);
    const struct rusage child = usage_of_child(spawn(use_and_free), 6);
    CHECK(child.ru_maxrss >= 24 << 10);
    CHECK(usage_of(RUSAGE_CHILDREN).ru_maxrss >= 24 << 10);
    CHECK(usage_of(RUSAGE_SELF).ru_maxrss < 16 << 10);
}

static void bad_faults(void) {
    const struct rusage before = usage_of(RUSAGE_SELF);
    void* volatile nowhere = (void*)16;
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    for (int i = 0; i < 200; ++i)
        CHECK_ERRNO(write(ends[1], nowhere, 1), EFAULT);
    CHECK(usage_of(RUSAGE_SELF).ru_minflt - before.ru_minflt < 100);
}

static const struct check_case cases[] = {
    {"RUSAGE_THREAD is the caller's alone, RUSAGE_SELF also has threads that ended", threads, 0, false},
    {"EC-140 what a lender used before the loan is not charged to its borrower", lenders_time, 0, false},
    {"EC-140 a borrower's context switches are its own", switches_of_a_borrower, 0, true},
    {"EC-140 EC-79 in nested loans each is charged what it used, once", nested, 0, false},
    {"EC-79 EC-140 CPU time stays with the borrower when its loan becomes a gift", through_a_gift, 0, true},
    {"EC-79 EC-140 CPU time before and after the borrower's exec adds up", through_exec, 0, false},
    {"EC-140 times and /proc/PID/stat charge a borrower, and its lender only after the wait", ticks, 0, false},
    {"/proc/PID/task/TID/stat has the times of that thread", stat_of_threads, 0, false},
    {"clock_getcpuclockid reads the clocks of other processes and threads, and they stand while those sleep", clocks, 0,
     false},
    {"threads that compete for a hart are switched involuntarily", involuntary, 0, false},
    {"ru_maxrss of a child is its largest size, across exec too", most_memory, 0, false},
    {"addresses that are not there count no page fault", bad_faults, 0, false},
};
int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@spin") == 0) {
        spin_cpu_ms(150);
        return 5;
    }
    if (argc > 1 && strcmp(argv[1], "@rss") == 0)
        return usage_of(RUSAGE_SELF).ru_maxrss >= 24 << 10 ? 6 : 7;
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

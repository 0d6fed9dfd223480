// SPDX-License-Identifier: BSD-2-Clause
// What operations do besides executing instructions: switches of threads and address spaces, fences, interrupts of other harts,
// calls of the firmware, waits for a lock. Counted by the kernel over many rounds; timer interrupts and the kernel's own threads
// come in between now and then, so the best of several attempts counts, and it must be exact.
#include "lend.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/syscall.h>

enum { rounds = 100, attempts = 60 };
static const char* const names[] = {"context_switches", "space_switches", "fences", "shootdowns", "ipis",
                                    "firmware_calls",   "spin_waits"};
enum { kinds = sizeof names / sizeof names[0] };
struct counts {
    long of[kinds];
};

static struct counts read_counts(void) {
    struct counts c;
    for (int i = 0; i < kinds; ++i)
        CHECK((c.of[i] = check_counter(names[i])) >= 0);
    return c;
}

// What a hundred rounds may do: nothing is nothing; of what is done at all, a time slice that ends adds a little.
static long limit(long each) { return each == 0 ? 0 : each * rounds + rounds / 10; }

// Does `operation` again and again until, in some attempt, a hundred rounds of it are within the limits.
static void costs_at_most(void (*operation)(void), struct counts each) {
    struct counts least;
    for (int attempt = 0; attempt < attempts; ++attempt) {
        struct counts before = read_counts();
        for (int i = 0; i < rounds; ++i)
            operation();
        struct counts after = read_counts();
        bool good = true;
        for (int i = 0; i < kinds; ++i) {
            after.of[i] -= before.of[i];
            good &= after.of[i] <= limit(each.of[i]);
            if (attempt == 0 || after.of[i] < least.of[i])
                least.of[i] = after.of[i];
        }
        if (good) {
            for (int i = 0; i < kinds; ++i) // and a counter that stands still shows nothing
                CHECK(after.of[i] >= each.of[i] * rounds / 2);
            return;
        }
        check_sleep_ms(20);
    }
    for (int i = 0; i < kinds; ++i)
        if (least.of[i] > limit(each.of[i]))
            check_fail("%ld %s in %d rounds, %ld each are allowed", least.of[i], names[i], rounds, each.of[i]);
    check_fail("every kind was within its limit at some time, never all at once");
}
static const struct counts nothing_else = {{0}};

// One hart for all that follow: what is asked is whether another is needed at all.
static void stay_on_one_hart(void) {
    cpu_set_t set;
    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    for (int i = 0, kept = -1; i < CPU_SETSIZE; ++i)
        if (CPU_ISSET(i, &set) && kept++ >= 0)
            CPU_CLR(i, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
}

static void call(void) { syscall(SYS_getppid); }
static void calls(void) { costs_at_most(call, nothing_else); }

static void vfork_and_wait(void) {
    pid_t pid = vfork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
}
static void lends(void) { costs_at_most(vfork_and_wait, nothing_else); }

static void* sleep_until_killed(void* unused) {
    for (;;)
        pause();
    return unused;
}
static void lends_among_threads(void) {
    pthread_t thread;
    for (int i = 0; i < 8; ++i)
        CHECK_EQ(pthread_create(&thread, NULL, sleep_until_killed, NULL), 0);
    check_sleep_ms(50);
    costs_at_most(vfork_and_wait, nothing_else);
}

static char* area;
static void map_and_unmap(void) {
    char* p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p, 65536);
}
static void unmaps_untouched(void) { costs_at_most(map_and_unmap, nothing_else); }

static void touch_next(void) {
    static long page;
    area[page++ * 4096] = 1;
}
static void faults(void) {
    size_t size = (size_t)rounds * attempts * 4096;
    area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(area != MAP_FAILED);
    costs_at_most(touch_next, nothing_else);
}

static void signal_self(void) { kill(getpid(), SIGUSR1); }
static void on_signal(int signo) { (void)signo; }
static void signals(void) {
    signal(SIGUSR1, on_signal);
    costs_at_most(signal_self, nothing_else);
}

static int to[2], from[2];
static void pipe_round(void) {
    char c = 0;
    if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
        _exit(9);
}
static void pipes(void) {
    CHECK_EQ(pipe(to), 0);
    CHECK_EQ(pipe(from), 0);
    stay_on_one_hart();
    if (fork() == 0)
        for (char c;;)
            if (read(to[0], &c, 1) != 1 || write(from[1], &c, 1) != 1)
                _exit(0);
    pipe_round();
    costs_at_most(pipe_round, (struct counts){{2, 2}}); // there and back, to address spaces that the hart remembers
}

static int turn;
static void futex_pass(int next) {
    __atomic_store_n(&turn, next, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) == next)
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, next, NULL, NULL, 0);
}
static void* futex_peer(void* unused) {
    while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) != 1)
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    for (;;)
        futex_pass(0);
    return unused;
}
static void futex_round(void) { futex_pass(1); }
static void threads(void) {
    pthread_t thread;
    stay_on_one_hart();
    CHECK_EQ(pthread_create(&thread, NULL, futex_peer, NULL), 0);
    futex_round();
    costs_at_most(futex_round, (struct counts){{2}}); // in one address space
}

static void fork_and_wait(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
}
static void forks(void) {
    stay_on_one_hart();
    // The child's turn and ours; its space, the kernel's when it leaves that, ours. Our tables fence when the fork revokes what it
    // shares, and when we write to what was; the child's space does when it is new.
    costs_at_most(fork_and_wait, (struct counts){{2, 3, 4}});
}

static const struct check_case cases[] = {
    {"a system call that needs nothing switches, fences, interrupts and waits for nothing", calls, 60, true},
    {"a vfork with exit and wait switches no thread and no address space, fences and interrupts no hart", lends, 60,
     true},
    {"a vfork among eight threads does so neither", lends_among_threads, 60, true},
    {"a mapping that was never touched goes without a fence", unmaps_untouched, 60, true},
    {"a first touch of memory needs no fence", faults, 60, true},
    {"a signal to oneself switches to nobody", signals, 60, true},
    {"a byte through a pipe and back is two switches on one hart", pipes, 60, true},
    {"a futex passed to another thread and back is two switches and no change of address space", threads, 60, true},
    {"a fork with exit and wait is two switches on one hart", forks, 60, true},
};
CHECK_MAIN(cases)

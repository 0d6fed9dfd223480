// SPDX-License-Identifier: BSD-2-Clause
// Calls that the kernel mostly answers without saving registers or letting interrupts in: they give what the long way
// gives, above all where the short one has to leave the call to it.
#include "lend.h"

#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>

#define CALL(number, ...) call6(number, (long[6]){__VA_ARGS__})
static long call6(long number, const long* a) { return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]); }

// Two pages that nobody touched, and nothing behind them.
static char* two_pages(int protection) {
    char* at = mmap(NULL, 3 * 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    CHECK_EQ(munmap(at + 2 * 4096, 4096), 0);
    return at;
}

struct action {
    uint64_t handler, flags, mask;
};
enum { handler_address = 0x10000 };

// Each place: in the middle of an untouched page, over the edge of two, and at an odd address.
static void untouched(void) {
    static const long places[] = {128, 4096 - 8, 129, 4096 - 5};
    for (int i = 0; i < 4; ++i) {
        struct timespec* now = (struct timespec*)(two_pages(PROT_READ | PROT_WRITE) + places[i]);
        struct timespec before, after, got;
        clock_gettime(CLOCK_MONOTONIC, &before);
        CHECK_EQ(CALL(SYS_clock_gettime, CLOCK_MONOTONIC, (long)now), 0);
        clock_gettime(CLOCK_MONOTONIC, &after);
        memcpy(&got, now, sizeof got);
        CHECK(got.tv_sec > before.tv_sec || (got.tv_sec == before.tv_sec && got.tv_nsec >= before.tv_nsec));
        CHECK(got.tv_sec < after.tv_sec || (got.tv_sec == after.tv_sec && got.tv_nsec <= after.tv_nsec));

        struct action* in = (struct action*)(two_pages(PROT_READ | PROT_WRITE) + places[i]); // zeros: the default
        struct action* out = (struct action*)(two_pages(PROT_READ | PROT_WRITE) + places[i]);
        const struct action set = {handler_address, SA_RESTART, 1 << 3};
        struct action got_action;
        CHECK_EQ(CALL(SYS_rt_sigaction, SIGUSR1, (long)&set, 0, 8), 0);
        CHECK_EQ(CALL(SYS_rt_sigaction, SIGUSR1, 0, (long)out, 8), 0);
        memcpy(&got_action, out, sizeof got_action);
        CHECK(memcmp(&got_action, &set, sizeof set) == 0);
        CHECK_EQ(CALL(SYS_rt_sigaction, SIGUSR1, (long)in, 0, 8), 0);
        memset(out, 0xff, sizeof *out);
        CHECK_EQ(CALL(SYS_rt_sigaction, SIGUSR1, 0, (long)out, 8), 0);
        memcpy(&got_action, out, sizeof got_action);
        CHECK(got_action.handler == 0 && got_action.flags == 0 && got_action.mask == 0);

        uint64_t* mask_in = (uint64_t*)(two_pages(PROT_READ | PROT_WRITE) + places[i]);
        uint64_t* mask_out = (uint64_t*)(two_pages(PROT_READ | PROT_WRITE) + places[i]);
        const uint64_t blocked = 1 << 4;
        uint64_t was = 0;
        CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_BLOCK, (long)&blocked, 0, 8), 0);
        CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_SETMASK, (long)mask_in, (long)mask_out, 8), 0);
        memcpy(&was, mask_out, sizeof was);
        CHECK_EQ(was, blocked);
        CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&was, 8), 0);
        CHECK_EQ(was, 0);
    }
}

// Where nothing is, where nothing may be written, at the end of user memory, and in the kernel's.
static void wrong(void) {
    const long nowhere[] = {
        16,    (long)two_pages(PROT_NONE), (long)(two_pages(PROT_READ | PROT_WRITE) + 8192 - 4), (1L << 38) - 8,
        -4096, (long)0xffffffc000000000};
    const uint64_t mask = 1 << 5;
    const struct action set = {handler_address, 0, 0};
    uint64_t was = 0;
    struct action now;
    for (int i = 0; i < 6; ++i) {
        CHECK_ERRNO(CALL(SYS_clock_gettime, CLOCK_REALTIME, nowhere[i]), EFAULT);
        CHECK_ERRNO(CALL(SYS_rt_sigaction, SIGUSR1, nowhere[i], 0, 8), EFAULT);
        CHECK_ERRNO(CALL(SYS_rt_sigaction, SIGUSR1, 0, nowhere[i], 8), EFAULT);
        CHECK_ERRNO(CALL(SYS_rt_sigprocmask, SIG_BLOCK, nowhere[i], 0, 8), EFAULT);
        CHECK_ERRNO(CALL(SYS_rt_sigprocmask, SIG_BLOCK, 0, nowhere[i], 8), EFAULT);
    }
    char* constant = two_pages(PROT_READ);
    CHECK_ERRNO(CALL(SYS_clock_gettime, CLOCK_MONOTONIC, (long)constant), EFAULT);
    CHECK_ERRNO(CALL(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)constant, 8), EFAULT);
    CHECK_ERRNO(CALL(SYS_rt_sigaction, SIGUSR1, 0, (long)constant, 8), EFAULT);
    CHECK_ERRNO(CALL(SYS_clock_gettime, 999, (long)&now), EINVAL);
    CHECK_ERRNO(CALL(SYS_rt_sigprocmask, 3, (long)&mask, 0, 8), EINVAL);
    CHECK_ERRNO(CALL(SYS_rt_sigprocmask, SIG_BLOCK, (long)&mask, 0, 4), EINVAL);
    CHECK_ERRNO(CALL(SYS_rt_sigaction, SIGUSR1, (long)&set, 0, 16), EINVAL);
    static const long no_signals[] = {0, 65, -1, 1L << 32, SIGKILL, SIGSTOP};
    for (int i = 0; i < 6; ++i)
        CHECK_ERRNO(CALL(SYS_rt_sigaction, no_signals[i], (long)&set, 0, 8), EINVAL);
    CHECK_ERRNO(CALL(SYS_futex, (long)&mask + 1, FUTEX_WAKE_PRIVATE, 1), EINVAL);
    CHECK_ERRNO(CALL(SYS_futex, -4096, FUTEX_WAKE_PRIVATE, 1), EFAULT);
    // None of them changed anything.
    CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&was, 8), 0);
    CHECK_EQ(was, 0);
    CHECK_EQ(CALL(SYS_rt_sigaction, SIGUSR1, 0, (long)&now, 8), 0);
    CHECK_EQ(now.handler, 0);
    // Only the low half of an int counts.
    CHECK_EQ(CALL(SYS_rt_sigaction, SIGUSR1 + (1L << 32), (long)&set, 0, 8), 0);
    CHECK_EQ(CALL(SYS_rt_sigaction, SIGUSR1, 0, (long)&now, 8), 0);
    CHECK_EQ(now.handler, handler_address);
    CHECK_EQ(CALL(SYS_clock_gettime, CLOCK_MONOTONIC + (1L << 32), (long)&now), 0);
}

// A page that a fork shares is copied before the kernel writes to it.
static void shared(void) {
    struct timespec* page = (struct timespec*)two_pages(PROT_READ | PROT_WRITE);
    page[0] = (struct timespec){-1, -1};
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK_EQ(CALL(SYS_clock_gettime, CLOCK_MONOTONIC, (long)page), 0);
        CHECK(page[0].tv_nsec >= 0);
        _exit(0);
    }
    CHECK_EXITED(check_reap(child), 0);
    CHECK(page[0].tv_sec == -1 && page[0].tv_nsec == -1);
}

static volatile int caught;
static void note(int number) { caught = number; }
static uint64_t pending(void) {
    uint64_t set = 0;
    CHECK_EQ(CALL(SYS_rt_sigpending, (long)&set, 8), 0);
    return set;
}

// A mask that lets go of what pends delivers it before the call is over; what cannot be blocked never is.
static void masks(void) {
    const uint64_t one = 1UL << (SIGUSR1 - 1), all = ~0UL >> 2; // an emulator may keep the last two
    uint64_t was = 0;
    signal(SIGUSR1, note);
    CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, 0, 8), 0);
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_SETMASK, (long)&one, (long)&was, 8), 0);
    CHECK_EQ(was, all & ~(1UL << (SIGKILL - 1)) & ~(1UL << (SIGSTOP - 1)));
    CHECK(caught == 0 && pending() == one);
    was = one; // in and out at one place
    CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_UNBLOCK, (long)&was, (long)&was, 8), 0);
    CHECK(caught == SIGUSR1 && was == one && pending() == 0);
    CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&was, 8), 0);
    CHECK_EQ(was, 0);
}

// An action that throws its signal away drops what pends already, also where the action does not change.
static void dropped(void) {
    static const int numbers[] = {SIGCHLD, SIGURG, SIGWINCH};
    const uint64_t all = ~0UL;
    const struct action default_action = {0, 0, 0}, ignore = {1, 0, 0};
    CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_BLOCK, (long)&all, 0, 8), 0);
    for (int i = 0; i < 3; ++i) {
        CHECK_EQ(CALL(SYS_rt_sigaction, numbers[i], (long)&default_action, 0, 8), 0); // without the C library's flags
        CHECK_EQ(kill(getpid(), numbers[i]), 0);
        CHECK_EQ(pending(), 1UL << (numbers[i] - 1));
        CHECK_EQ(CALL(SYS_rt_sigaction, numbers[i], (long)&default_action, 0, 8), 0);
        CHECK_EQ(pending(), 0);
    }
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(CALL(SYS_rt_sigaction, SIGUSR1, (long)&default_action, 0, 8), 0);
    CHECK_EQ(pending(), 1UL << (SIGUSR1 - 1)); // it would end the process, so it stays
    CHECK_EQ(CALL(SYS_rt_sigaction, SIGUSR1, (long)&ignore, 0, 8), 0);
    CHECK_EQ(pending(), 0);
}

// The time that such calls take is the kernel's, and each is counted.
static long field(const char* file, const char* name) {
    char text[4096];
    int fd = open(file, O_RDONLY);
    CHECK(fd >= 0);
    ssize_t n = read(fd, text, sizeof text - 1);
    CHECK(n > 0);
    close(fd);
    text[n] = 0;
    const char* at = strstr(text, name);
    CHECK(at != NULL);
    return atol(at + strlen(name));
}
static void counted(void) {
    enum { calls = 20000 };
    struct rusage before, after;
    const long first = field("/proc/lentil/counters", "syscalls ");
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < calls; ++i)
        syscall(SYS_getpid);
    getrusage(RUSAGE_SELF, &after);
    CHECK(field("/proc/lentil/counters", "syscalls ") - first >= calls);
    CHECK(after.ru_stime.tv_sec > before.ru_stime.tv_sec || after.ru_stime.tv_usec > before.ru_stime.tv_usec);
}

// Wakers and sleepers of one word: no wake-up finds nobody where somebody waits.
static _Atomic int turn;
static int player(void* side_of) {
    const int side = side_of != NULL;
    for (int i = 0; i < 2000; ++i) {
        while (atomic_load(&turn) != side)
            syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !side, NULL, NULL, 0);
        atomic_store(&turn, !side);
        syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    return 0;
}
static void woken(void) {
    static char stack[65536] __attribute__((aligned(16)));
    const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                      CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
    static pid_t tid = 1;
    CHECK(clone(player, stack + sizeof stack, flags, (void*)1, &tid, NULL, &tid) > 0);
    player(NULL);
    for (pid_t left; (left = __atomic_load_n(&tid, __ATOMIC_ACQUIRE)) != 0;)
        syscall(SYS_futex, &tid, FUTEX_WAIT, left, NULL, NULL, 0);
    CHECK_EQ(atomic_load(&turn), 0);
}

// A handler runs before the call is over; whatever else sending does is done too.
static void to_oneself(void) {
    const uint64_t stops = 1UL << (SIGTSTP - 1), resumes = 1UL << (SIGCONT - 1), one = 1UL << (SIGUSR1 - 1);
    const pid_t self = getpid();
    const int numbers[] = {SIGTSTP, SIGCONT, SIGUSR1, SIGCHLD, SIGRTMIN, SIGSEGV};
    for (int i = 0; i < 6; ++i) {
        signal(numbers[i], note);
        caught = 0;
        CHECK_EQ(CALL(SYS_kill, self, numbers[i]), 0);
        CHECK_EQ(caught, numbers[i]);
        caught = 0;
        CHECK_EQ(CALL(SYS_tgkill, self, self, numbers[i]), 0);
        CHECK_EQ(caught, numbers[i]);
    }
    // A stop signal drops the SIGCONT that pends, and the reverse, also where both have handlers.
    CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_BLOCK, (long)&resumes, 0, 8), 0);
    CHECK_EQ(kill(self, SIGCONT), 0);
    CHECK_EQ(pending(), resumes);
    CHECK_EQ(kill(self, SIGTSTP), 0);
    CHECK(caught == SIGTSTP && pending() == 0);
    CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_SETMASK, (long)&stops, 0, 8), 0);
    CHECK_EQ(kill(self, SIGTSTP), 0);
    CHECK_EQ(pending(), stops);
    CHECK_EQ(kill(self, SIGCONT), 0);
    CHECK(caught == SIGCONT && pending() == 0);
    // Blocked it pends, and it is one's own to block.
    CHECK_EQ(CALL(SYS_rt_sigprocmask, SIG_SETMASK, (long)&one, 0, 8), 0);
    CHECK_EQ(kill(self, SIGUSR1), 0);
    CHECK(caught == SIGCONT && pending() == one);
    CHECK_EQ(kill(self, SIGCHLD), 0);
    CHECK(caught == SIGCHLD && pending() == one);
    // An action for one signal is gone after it.
    const struct action once = {(uint64_t)note, SA_RESETHAND, 0};
    struct action now = {1, 1, 1};
    CHECK_EQ(CALL(SYS_rt_sigaction, SIGUSR2, (long)&once, 0, 8), 0);
    CHECK_EQ(kill(self, SIGUSR2), 0);
    CHECK_EQ(caught, SIGUSR2);
    CHECK_EQ(CALL(SYS_rt_sigaction, SIGUSR2, 0, (long)&now, 8), 0);
    CHECK_EQ(now.handler, 0);
    CHECK_ERRNO(CALL(SYS_kill, self, 65), EINVAL);
    CHECK_ERRNO(CALL(SYS_tgkill, self, self, 0x100), EINVAL);
    CHECK_EQ(CALL(SYS_kill, self, SIGUSR2 - SIGUSR2), 0);
}

static const struct check_case cases[] = {
    {"clocks, actions and masks go to memory that was not touched yet, and come from there", untouched, 0, false},
    {"a wrong address, number or size is an error, and changes nothing", wrong, 0, false},
    {"a clock is not written to a page that another process sees", shared, 0, false},
    {"a mask that lets go of a pending signal delivers it first", masks, 0, false},
    {"an action that drops its signal drops what pends, also if it was that action before", dropped, 0, false},
    {"a signal to oneself that is caught runs its handler, and does what sending it does besides", to_oneself, 0,
     false},
    {"calls that take hardly any time are counted, and their time is the kernel's", counted, 0, true},
    {"a thread that waits for a word is woken by whoever changes it", woken, 60, false},
};
CHECK_MAIN(cases)

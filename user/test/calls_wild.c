// SPDX-License-Identifier: BSD-2-Clause
// Every system call number with arguments that no sane program passes: the kernel answers with an error (or ends the
// caller) and goes on. The calls run in a child that may die or hang at any of them; the parent starts the next one.
#include "check.h"

struct progress {
    volatile int next;       // the call to try
    volatile int unknown;    // how many said ENOSYS
    volatile int impossible; // a result that is neither a value nor an errno user mode may see
};

static uint64_t seed = 88172645463325252u;
static uint64_t random_word(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static const uint64_t wild[] = {0,
                                1,
                                ~UINT64_C(0),
                                0x1000,
                                0x8000000000000000u,
                                0xffffffff80200000u,
                                0xffffffc000000000u,
                                0x3ffffffff8,
                                0x4000000000,
                                0x7fffffff,
                                0x80000000u,
                                0x10001,
                                4095};
enum { wild_count = sizeof wild / sizeof wild[0], last_number = 470 };

// What would end or stop more than the caller, or make processes that run this loop beside it.
static bool too_dangerous(int number) {
    switch (number) {
    case 93:
    case 94: // exit
    case 129:
    case 130:
    case 131:
    case 138:
    case 240: // signals to whole groups
    case 142: // reboot
    case 220:
    case 435: // clone
        return true;
    default: return false;
    }
}

static void try_calls(struct progress* progress, int pattern) {
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd)
        dup2(null, fd);
    for (int number = progress->next; number <= last_number; ++number) {
        progress->next = number + 1;
        if (too_dangerous(number))
            continue;
        uint64_t a[6];
        for (int i = 0; i < 6; ++i)
            a[i] = pattern < wild_count ? wild[pattern] : wild[random_word() % wild_count];
        register uint64_t a0 __asm__("a0") = a[0];
        register uint64_t a1 __asm__("a1") = a[1];
        register uint64_t a2 __asm__("a2") = a[2];
        register uint64_t a3 __asm__("a3") = a[3];
        register uint64_t a4 __asm__("a4") = a[4];
        register uint64_t a5 __asm__("a5") = a[5];
        register long a7 __asm__("a7") = number;
        __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
        long result = (long)a0;
        if (result == -ENOSYS)
            progress->unknown++;
        if (result <= -512 && result >= -600)
            progress->impossible = number;
    }
}

static void sweep(int pattern) {
    struct progress* progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(progress != MAP_FAILED);
    while (progress->next <= last_number) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            seed += (uint64_t)progress->next * 7919 + (uint64_t)pattern;
            close(check_report_fd); // what a wild write says is no verdict
            try_calls(progress, pattern);
            _exit(0);
        }
        int status, last = -1;
        double moved = check_now();
        while (waitpid(pid, &status, WNOHANG) == 0) {
            if (progress->next != last) {
                last = progress->next;
                moved = check_now();
            } else if (check_now() > moved + 0.3) {
                kill(pid, SIGKILL); // it sleeps in a call that may sleep for ever
            }
            check_sleep_ms(1);
        }
        if (progress->impossible)
            check_fail("call %d gave a restart code to user mode", progress->impossible);
    }
    CHECK(progress->unknown > 0);
    CHECK_EQ(getpid() > 1, 1);
}

static void same_word(void) {
    for (int pattern = 0; pattern < wild_count; ++pattern)
        sweep(pattern);
}

static void mixed_words(void) {
    for (int pattern = wild_count; pattern < wild_count + 8; ++pattern)
        sweep(pattern);
}

static void unknown_numbers(void) {
    const long numbers[] = {470, 500, 511, 512, 1000, 1 << 20, 0x7fffffff, -64, -1000, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; ++i)
        CHECK_ERRNO(syscall(numbers[i], 0, 0, 0, 0, 0, 0), ENOSYS);
}

static void kernel_addresses(void) {
    const uint64_t addresses[] = {0xffffffff80200000u, 0xffffffc000000000u, 0xffffffd000000000u,
                                  0xffffffffffffff00u, 0x4000000000u,       0x8000000000000000u};
    int zero = open("/dev/zero", O_RDONLY), pipes[2];
    CHECK(zero >= 0 && pipe(pipes) == 0);
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; ++i) {
        void* p = (void*)addresses[i];
        CHECK_ERRNO(read(zero, p, 16), EFAULT);
        CHECK_ERRNO(write(pipes[1], p, 16), EFAULT);
        CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, p), EFAULT);
        CHECK_ERRNO(open(p, O_RDONLY), EFAULT);
        CHECK_ERRNO(syscall(SYS_fstat, 0, p), EFAULT);
        CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, p, NULL, 8), EFAULT);
        CHECK_ERRNO(syscall(SYS_getrandom, p, 16, 0), EFAULT);
        CHECK_ERRNO(syscall(SYS_uname, p), EFAULT);
    }
}

static void read_only_results(void) {
    void* page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, page), EFAULT);
    CHECK_ERRNO(syscall(SYS_uname, page), EFAULT);
    CHECK_ERRNO(syscall(SYS_pipe2, page, 0), EFAULT);
    int zero = open("/dev/zero", O_RDONLY);
    CHECK_ERRNO(read(zero, page, 10), EFAULT);
}

static const struct check_case cases[] = {
    {"every system call survives the same wild word in all arguments", same_word, 240, true},
    {"every system call survives wild words in any mixture", mixed_words, 240, true},
    {"a number that no call has gives ENOSYS", unknown_numbers, 0, true},
    {"an address of the kernel's gives EFAULT", kernel_addresses, 0, false},
    {"a result for memory that may only be read gives EFAULT", read_only_results, 0, false},
};
CHECK_MAIN(cases)

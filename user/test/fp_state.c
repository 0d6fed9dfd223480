// SPDX-License-Identifier: BSD-2-Clause
// Registers belong to their thread: whatever the kernel does between two instructions, the floating-point registers with
// fcsr and the integer registers are as the thread left them (after a system call all but its result).
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <ucontext.h>

struct fp {
    uint64_t f[32];
    uint64_t fcsr;
};

#define EACH(op)                                                                                                       \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15) op(16)       \
        op(17) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25) op(26) op(27) op(28) op(29) op(30) op(31)
#define CLOBBERS                                                                                                       \
    "memory", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14", "f15",    \
        "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26", "f27", "f28", "f29", "f30", "f31"
#define LOAD(n) "fld f" #n ", " #n "*8(%0)\n"
#define STORE(n) "fsd f" #n ", " #n "*8(%0)\n"

// Sets all registers, runs `n` empty rounds and (if asked) a system call of no arguments, and reads them back: one
// asm statement, so that the compiler's own code cannot touch them in between.
static void hold(const struct fp* set, struct fp* got, long rounds, long call) {
    register long a7 __asm__("a7") = call;
    register long a0 __asm__("a0") = 0;
    __asm__ volatile("ld t0, 256(%0)\n fscsr t0\n" EACH(LOAD) "1: addi %2, %2, -1\n bgtz %2, 1b\n"
                                                              "bltz a7, 2f\n ecall\n"
                                                              "2: mv %0, %1\n" EACH(STORE) "frcsr t0\n sd t0, 256(%0)\n"
                     : "+r"(set), "+r"(got), "+r"(rounds), "+r"(a0)
                     : "r"(a7)
                     : "t0", CLOBBERS);
}

static void pattern(struct fp* fp, uint64_t seed) {
    for (int i = 0; i < 32; ++i)
        fp->f[i] = (seed + 1) * 0x9e3779b97f4a7c15u + (uint64_t)i;
    fp->fcsr = (seed & 3) << 5 | (seed & 31);
}

static void hold_and_check(uint64_t seed, long rounds, long call) {
    struct fp set, got;
    pattern(&set, seed);
    memset(&got, 0x55, sizeof got);
    hold(&set, &got, rounds, call);
    for (int i = 0; i < 32; ++i)
        if (got.f[i] != set.f[i])
            check_fail("f%d is %lx, was set to %lx", i, (long)got.f[i], (long)set.f[i]);
    if (got.fcsr != set.fcsr)
        check_fail("fcsr is %lx, was set to %lx", (long)got.fcsr, (long)set.fcsr);
}

static void* spin(void* seed) {
    for (long i = 0; i < 300; ++i)
        hold_and_check((uint64_t)seed + (uint64_t)i * 16, 40000, i % 3 == 0 ? SYS_sched_yield : -1);
    return NULL;
}

static void preempted(void) {
    pid_t child[6];
    for (long p = 0; p < 6; ++p) {
        child[p] = fork();
        if (child[p] == 0) {
            pthread_t thread[2];
            for (long t = 0; t < 2; ++t)
                CHECK_EQ(pthread_create(&thread[t], NULL, spin, (void*)(p * 2 + t)), 0);
            for (int t = 0; t < 2; ++t)
                pthread_join(thread[t], NULL);
            _exit(0);
        }
    }
    for (int p = 0; p < 6; ++p)
        CHECK_EXITED(check_reap(child[p]), 0);
}

// A thread that uses the registers seldom is between others that use them always.
static void seldom(void) {
    pid_t busy = fork();
    if (busy == 0)
        for (;;)
            hold_and_check(99, 1000, -1);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    CHECK_EQ(sched_setaffinity(busy, sizeof one, &one), 0);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    for (uint64_t i = 0; i < 20; ++i) {
        hold_and_check(i, 1, SYS_sched_yield);
        for (int n = 0; n < 5; ++n)
            sched_yield();
        struct timespec nap = {0, 3000000};
        nanosleep(&nap, NULL);
    }
    kill(busy, SIGKILL);
    check_reap(busy);
}

static void calls(void) {
    const long quick[] = {SYS_getpid, SYS_getppid, SYS_sched_yield, SYS_gettid, 4000};
    for (uint64_t i = 0; i < 500; ++i)
        hold_and_check(i, 1, quick[i % 5]);
}

static volatile sig_atomic_t signals;
static void clobber(int number) {
    (void)number;
    struct fp set, got;
    pattern(&set, 12345 + (uint64_t)signals);
    hold(&set, &got, 1, -1);
    signals = signals + 1;
}

static void handlers(void) {
    struct sigaction action = {.sa_handler = clobber};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {{0, 2000}, {0, 2000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (uint64_t i = 0; signals < 100; ++i)
        hold_and_check(i, 20000, -1);
    struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &never, NULL);
}

// Sets all registers, sends itself SIGUSR1 and reads them back.
static void hold_over_signal(const struct fp* set, struct fp* got) {
    const pid_t self = getpid();
    register long a7 __asm__("a7") = SYS_kill;
    register long a0 __asm__("a0") = self;
    register long a1 __asm__("a1") = SIGUSR1;
    __asm__ volatile(
        "ld t0, 256(%0)\n fscsr t0\n" EACH(LOAD) "ecall\n mv %0, %1\n" EACH(STORE) "frcsr t0\n sd t0, 256(%0)\n"
        : "+r"(set), "+r"(got), "+r"(a0)
        : "r"(a7), "r"(a1)
        : "t0", CLOBBERS);
}

// What the handler does besides: nothing, use the registers itself, or give the hart to somebody who does.
static volatile int handler_does;
static volatile uint64_t seen;
static void rewrite(int number, siginfo_t* info, void* context) {
    struct __riscv_mc_d_ext_state* fp = &((ucontext_t*)context)->uc_mcontext.__fpregs.__d;
    if (handler_does == 1)
        clobber(number);
    if (handler_does == 2)
        for (int i = 0; i < 3; ++i)
            sched_yield();
    seen = info ? fp->__f[7] : 0;
    fp->__f[5] = ~fp->__f[5];
    fp->__fcsr = fp->__fcsr ^ 1;
}

static void rewritten(void) {
    struct sigaction action = {.sa_sigaction = rewrite, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    pid_t busy = fork();
    CHECK(busy >= 0);
    if (busy == 0)
        for (uint64_t i = 0;; ++i)
            hold_and_check(i, 1, SYS_sched_yield);
    struct fp set, got;
    for (uint64_t i = 0; i < 600; ++i) {
        pattern(&set, i);
        handler_does = (int)(i % 3);
        hold_over_signal(&set, &got);
        CHECK(seen == set.f[7]);
        set.f[5] = ~set.f[5];
        set.fcsr ^= 1;
        if (memcmp(&set, &got, sizeof set) != 0)
            check_fail("round %ld: registers are not what the handler left in its frame", (long)i);
    }
    kill(busy, SIGKILL);
    check_reap(busy);
}

// fork(2) as a bare system call, so that nothing runs between it and the look at the registers.
static void inherited(void) {
    struct fp set, got;
    for (uint64_t seed = 0; seed < 20; ++seed) {
        pattern(&set, seed);
        register long a7 __asm__("a7") = SYS_clone;
        register long a0 __asm__("a0") = SIGCHLD;
        register long a1 __asm__("a1") = 0, a2 __asm__("a2") = 0, a3 __asm__("a3") = 0, a4 __asm__("a4") = 0;
        struct fp *from = &set, *to = &got;
        __asm__ volatile(
            "ld t0, 256(%0)\n fscsr t0\n" EACH(LOAD) "ecall\n mv %0, %1\n" EACH(STORE) "frcsr t0\n sd t0, 256(%0)\n"
            : "+r"(from), "+r"(to), "+r"(a0)
            : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4)
            : "t0", CLOBBERS);
        const bool same = memcmp(&set, &got, sizeof set) == 0;
        if (a0 == 0)
            _exit(same ? 0 : 1);
        CHECK(a0 > 0);
        CHECK(same);
        CHECK_EXITED(check_reap((pid_t)a0), 0);
    }
}

// --- integer registers ---

// Gives every register but sp and tp the value seed + its number, then makes system call `number` with `first` as its first
// argument (what == 0), goes `first` empty rounds (1), or writes to the address `first` (2). out[n] is xn afterwards.
void fill_and_do(long number, long first, long seed, uint64_t out[32], long what);
__asm__(".text\n"
        "fill_and_do:\n"
        "    addi    sp, sp, -384\n"
        "    sd      ra, 0(sp)\n"
        "    sd      gp, 8(sp)\n"
        "    .irp n, 8, 9, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27\n"
        "    sd      x\\n, \\n*8(sp)\n"
        "    .endr\n"
        "    sd      a3, 224(sp)\n"
        "    sd      a4, 232(sp)\n"
        "    mv      x17, a0\n"
        "    mv      x10, a1\n"
        "    .irp n, 1, 3, 5, 6, 7, 8, 9, 11, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n"
        "    addi    x\\n, x12, \\n\n"
        "    .endr\n"
        "    addi    x12, x12, 12\n"
        "    sd      x5, 240(sp)\n"
        "    ld      x5, 232(sp)\n"
        "    beqz    x5, 1f\n"
        "    addi    x5, x5, -1\n"
        "    beqz    x5, 2f\n"
        "    ld      x5, 240(sp)\n"
        "    sd      x12, 0(x10)\n"
        "    j       3f\n"
        "1:  ld      x5, 240(sp)\n"
        "    ecall\n"
        "    j       3f\n"
        "2:  ld      x5, 240(sp)\n"
        "4:  addi    x10, x10, -1\n"
        "    bnez    x10, 4b\n"
        "3:  sd      x10, 248(sp)\n"
        "    ld      x10, 224(sp)\n"
        "    .irp n, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27\n"
        "    sd      x\\n, \\n*8(x10)\n"
        "    .endr\n"
        "    .irp n, 28, 29, 30, 31\n"
        "    sd      x\\n, \\n*8(x10)\n"
        "    .endr\n"
        "    ld      x5, 248(sp)\n"
        "    sd      x5, 80(x10)\n"
        "    ld      ra, 0(sp)\n"
        "    ld      gp, 8(sp)\n"
        "    .irp n, 8, 9, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27\n"
        "    ld      x\\n, \\n*8(sp)\n"
        "    .endr\n"
        "    addi    sp, sp, 384\n"
        "    ret\n");

static uint64_t keeps_integers(long number, long first, long seed, long what) {
    uint64_t out[32];
    fill_and_do(number, first, seed, out, what);
    for (int n = 1; n < 32; ++n)
        if (n != 2 && n != 4 && n != 10 && n != 17 && out[n] != (uint64_t)(seed + n))
            check_fail("x%d is %lx, was set to %lx", n, (long)out[n], seed + n);
    CHECK_EQ(out[17], (uint64_t)number);
    return out[10];
}

static volatile sig_atomic_t handled;
static void clobber_integers(int signo) {
    (void)signo;
    // First a gp that compiled code can work with: what was interrupted has another.
    __asm__ volatile(".option push\n .option norelax\n la gp, __global_pointer$\n .option pop\n"
                     "li t3, 1\n li t4, 2\n li t5, 3\n li t6, 4\n li a7, 5" ::
                         : "t3", "t4", "t5", "t6", "a7");
    handled++;
}
static void integers_in_calls(void) {
    const long seeds[] = {0x123456789abcdef, -0x7edcba9876543211, 77};
    for (unsigned i = 0; i < sizeof seeds / sizeof seeds[0]; ++i) {
        CHECK_EQ((pid_t)keeps_integers(SYS_getpid, 0, seeds[i], 0), getpid());
        CHECK_EQ((long)keeps_integers(100000, 0, seeds[i], 0), -ENOSYS); // not one that exists
        struct timespec moment = {0, 2000000};
        CHECK_EQ((long)keeps_integers(SYS_nanosleep, (long)&moment, seeds[i], 0), 0);
    }
    struct sigaction action = {.sa_handler = clobber_integers};
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ((long)keeps_integers(SYS_kill, getpid(), SIGUSR1 - 11, 0), 0); // x11 is the second argument
    CHECK_EQ(handled, 1);
}

static void integers_in_faults(void) {
    char* area = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(area != MAP_FAILED);
    for (long i = 0; i < 64; ++i)
        keeps_integers(0, (long)(area + i * 4096), 0x5a5a5a5a5a5a + i * 0x1000000, 2);
}

static void* integers_in_turns(void* seed) {
    for (long i = 0; i < 60; ++i) {
        keeps_integers(0, 2000000, (long)seed * 0x1234567 + i * 0x100000, 1);
        keeps_integers(SYS_sched_yield, 0, (long)seed * 0x7654321 + i * 0x100000, 0);
    }
    return NULL;
}
static void integers_preempted(void) {
    pthread_t threads[6];
    for (long i = 0; i < 6; ++i)
        CHECK_EQ(pthread_create(&threads[i], NULL, integers_in_turns, (void*)(i + 1)), 0);
    for (int i = 0; i < 6; ++i)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static const struct check_case cases[] = {
    {"twelve threads on fewer harts keep their floating-point registers", preempted, 120, false},
    {"a thread that uses floating point seldom keeps its registers beside one that always does", seldom, 60, false},
    {"system calls leave all floating-point registers alone", calls, 0, false},
    {"a signal handler's floating point does not reach the interrupted code", handlers, 60, false},
    {"what a handler writes to the floating-point registers in its frame is in them afterwards", rewritten, 60, false},
    {"a forked child has its parent's floating-point registers", inherited, 0, false},
    {"a system call, one that sleeps and one that is followed by a handler change no integer register but the result's",
     integers_in_calls, 60, false},
    {"a page fault changes no integer register", integers_in_faults, 60, false},
    {"six threads on fewer harts keep their integer registers", integers_preempted, 120, false},
};
CHECK_MAIN(cases)

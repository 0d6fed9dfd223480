// SPDX-License-Identifier: BSD-2-Clause
// Integer registers belong to their thread, gp and tp too: system calls change a0 alone, interrupts and page faults
// nothing, whoever else ran on the hart meanwhile.
#include "lend.h"

#include <sched.h>

// hold_registers(set, got, rounds): sets x1 and x3 to x31, counts to `rounds`, touches the byte at t6 unless that is 0, makes
// the system call a7 unless that is negative, and tells what all registers are then. Nothing but this code and the kernel
// runs in between; signals must not have handlers, which could not live with such a tp.
#define EACH_KEPT(op)                                                                                                  \
    op(1) op(3) op(4) op(8) op(9) op(18) op(19) op(20) op(21) op(22) op(23) op(24) op(25) op(26) op(27)
#define EACH_BUT_A0(op)                                                                                                \
    EACH_KEPT(op) op(5) op(6) op(7) op(11) op(12) op(13) op(14) op(15) op(16) op(17) op(28) op(29) op(30) op(31)
#define KEEP(n) "sd x" #n ", 16+" #n "*8(sp)\n"
#define GIVE_BACK(n) "ld x" #n ", 16+" #n "*8(sp)\n"
#define SET(n) "ld x" #n ", " #n "*8(a0)\n"
#define TELL(n) "sd x" #n ", 272+" #n "*8(sp)\n"
__asm__(
    ".pushsection .text\n"
    ".option push\n .option norelax\n"
    ".globl hold_registers\n"
    ".type hold_registers, @function\n"
    "hold_registers:\n"
    "addi sp, sp, -528\n"
    "sd a1, 0(sp)\n" EACH_KEPT(KEEP) "ld t0, 5*8(a0)\n"
                                     "sd t0, 8(sp)\n"
                                     "sd a2, 5*8(a0)\n" EACH_BUT_A0(SET) "ld a0, 10*8(a0)\n"
                                                                         "1: addi t0, t0, -1\n"
                                                                         "bgtz t0, 1b\n"
                                                                         "ld t0, 8(sp)\n"
                                                                         "beqz t6, 2f\n"
                                                                         "sb zero, 0(t6)\n"
                                                                         "2: bltz a7, 3f\n"
                                                                         "ecall\n"
                                                                         "3:\n" EACH_BUT_A0(TELL) TELL(10)
                                                                             EACH_KEPT(GIVE_BACK) "ld t0, 0(sp)\n"
                                                                                                  "addi t1, sp, 272\n"
                                                                                                  "li t2, 32\n"
                                                                                                  "4: ld a0, 0(t1)\n"
                                                                                                  "sd a0, 0(t0)\n"
                                                                                                  "addi t0, t0, 8\n"
                                                                                                  "addi t1, t1, 8\n"
                                                                                                  "addi t2, t2, -1\n"
                                                                                                  "bnez t2, 4b\n"
                                                                                                  "addi sp, sp, 528\n"
                                                                                                  "ret\n"
                                                                                                  ".option pop\n"
                                                                                                  ".popsection\n");
extern void hold_registers(uint64_t* set, uint64_t* got, long rounds);

enum { a0 = 10, a1, a2, a7 = 17, t6 = 31 };
static const char* const names[32] = {"zero", "ra", "sp", "gp", "tp",  "t0",  "t1", "t2", "s0", "s1", "a0",
                                      "a1",   "a2", "a3", "a4", "a5",  "a6",  "a7", "s2", "s3", "s4", "s5",
                                      "s6",   "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6"};

static void pattern(uint64_t* set, uint64_t seed) {
    for (uint64_t i = 0; i < 32; ++i)
        set[i] = (seed + 1) * 0x9e3779b97f4a7c15u + i;
    set[t6] = 0;
    set[a7] = ~0UL;
}

// Returns a0. `rounds` of empty work come first.
static uint64_t hold(uint64_t* set, long rounds) {
    uint64_t got[32], before[32];
    memcpy(before, set, sizeof before);
    hold_registers(set, got, rounds);
    for (int i = 1; i < 32; ++i)
        if (i != 2 && i != a0 && got[i] != before[i])
            check_fail("%s is %lx, was set to %lx", names[i], (long)got[i], (long)before[i]);
    if ((int64_t)before[a7] < 0 && got[a0] != before[a0])
        check_fail("a0 is %lx, was set to %lx", (long)got[a0], (long)before[a0]);
    return got[a0];
}

static void pin(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
}

// Two processes on one hart, each with registers of its own.
static void two(void (*act)(uint64_t seed)) {
    pid_t pid[2];
    for (uint64_t i = 0; i < 2; ++i) {
        pid[i] = fork();
        CHECK(pid[i] >= 0);
        if (pid[i] == 0) {
            pin();
            act(i * 1000);
            _exit(0);
        }
    }
    for (int i = 0; i < 2; ++i)
        CHECK_EXITED(check_reap(pid[i]), 0);
}

static void yield(uint64_t seed) {
    uint64_t set[32];
    for (uint64_t i = 0; i < 500; ++i) {
        pattern(set, seed + i);
        set[a7] = SYS_sched_yield;
        CHECK_EQ(hold(set, 1), 0);
    }
}
static void yields(void) { two(yield); }

static int ends[2][2];
static void pass(uint64_t seed) {
    uint64_t set[32];
    char byte = 'x';
    const int side = seed != 0;
    for (uint64_t i = 0; i < 300; ++i) {
        pattern(set, seed + i);
        set[a0] = (uint64_t)ends[side][0];
        set[a1] = (uint64_t)&byte;
        set[a2] = 1;
        set[a7] = SYS_read;
        CHECK_EQ(hold(set, 1), 1);
        CHECK_EQ(byte, 'x');
        pattern(set, seed + i + 500);
        set[a0] = (uint64_t)ends[!side][1];
        set[a1] = (uint64_t)&byte;
        set[a2] = 1;
        set[a7] = SYS_write;
        CHECK_EQ(hold(set, 1), 1);
    }
}
static void blocking(void) {
    CHECK_EQ(pipe(ends[0]), 0);
    CHECK_EQ(pipe(ends[1]), 0);
    CHECK_EQ(write(ends[0][1], "x", 1), 1);
    two(pass);
}

static void unknown(uint64_t seed) {
    static const long calls[] = {4000, 999, 400, SYS_getpid, SYS_gettid, SYS_rt_sigreturn + 4096};
    uint64_t set[32];
    for (uint64_t i = 0; i < 300; ++i) {
        pattern(set, seed + i);
        set[a7] = (uint64_t)calls[i % 6];
        hold(set, 1);
    }
}
static void quick(void) { two(unknown); }

static void spin(uint64_t seed) {
    uint64_t set[32];
    for (uint64_t i = 0; i < 10; ++i) {
        pattern(set, seed + i);
        set[a7] = ~0UL; // for several slices
        hold(set, 8000000);
    }
}
static void preempted(void) { two(spin); }

static void touch(uint64_t seed) {
    enum { pages = 300 };
    uint64_t set[32];
    char* memory = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (uint64_t i = 0; i < pages; ++i) {
        pattern(set, seed + i);
        set[t6] = (uint64_t)(memory + i * 4096);
        set[a7] = i % 2 ? SYS_sched_yield : ~0UL;
        hold(set, 1);
    }
}
static void faults(void) { two(touch); }

static const struct check_case cases[] = {
    {"system calls that give the hart away change a0 and no other register, neither gp nor tp", yields, 60, false},
    {"system calls that wait change a0 and no other register", blocking, 60, false},
    {"system calls that return at once, and unknown ones, change a0 and no other register", quick, 60, false},
    {"a thread that loses its hart to another finds all its registers again", preempted, 60, false},
    {"page faults change no register", faults, 60, false},
};
CHECK_MAIN(cases)

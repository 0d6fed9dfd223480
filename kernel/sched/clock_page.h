// SPDX-License-Identifier: BSD-2-Clause
// What user mode needs to read the clocks, and what harts can do, by itself: one page behind the vDSO's code, the same for every process, which
// only the kernel writes (sched/clock.cpp) and anybody reads (user/vdso/vdso.c).
#ifndef LENTIL_CLOCK_PAGE_H
#define LENTIL_CLOCK_PAGE_H

#ifdef __cplusplus
#include <cstdint>
#else
#include <stdint.h>
#endif

#define LENTIL_HWPROBE_KEYS 6

struct lentil_clock_page {
    uint32_t sequence; // odd while the kernel changes the rest; whoever saw it change reads again
    uint32_t unused;
    uint64_t ns_per_tick; // of the time counter, times 2^32
    int64_t boot_ns;      // of the time counter when CLOCK_MONOTONIC was zero
    int64_t wall_minus_monotonic_ns;
    uint64_t hwprobe_known;                // whether the values below are there: what riscv_hwprobe says of all harts
    uint64_t hwprobe[LENTIL_HWPROBE_KEYS]; // by key (abi/sys_hwprobe.cpp)
};

#define LENTIL_VDSO_SIGRETURN 0x800 // where signal handlers return to, from the image's start
#define LENTIL_VDSO_FREE 0xd00      // the kernel may use the rest of the image's page (bsd/ptrace_step.cpp)
#define LENTIL_VDSO_CLOCK_PAGE 0x1000

#endif

// SPDX-License-Identifier: BSD-2-Clause
// The vDSO: the kernel's shared library, mapped into every process (AT_SYSINFO_EHDR). Reads the clocks without a system
// call; what it does not know it asks the kernel for. One page, position-independent, no data of its own.
#include <kernel/sched/clock_page.h>
#include <stddef.h>

enum {
    call_clock_getres = 114,
    call_clock_gettime = 113,
    call_getcpu = 168,
    call_gettimeofday = 169,
    call_hwprobe = 258,
    call_flush_icache = 259
};
enum { clock_realtime = 0, clock_monotonic = 1, clock_monotonic_raw = 4, clock_boottime = 7 };

struct timespec {
    int64_t seconds, nanoseconds;
};
struct timeval {
    int64_t seconds, microseconds;
};

static inline long call5(long number, long a, long b, long c, long d, long e) {
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = e;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a7) : "memory");
    return a0;
}
static long call(long number, long a, long b, long c) { return call5(number, a, b, c, 0, 0); }

/// The page behind the code (vdso.lds).
extern const volatile struct lentil_clock_page lentil_clock __attribute__((visibility("hidden")));

/// Nanoseconds of CLOCK_MONOTONIC.
static inline int64_t monotonic_now(void) {
    uint64_t ticks;
    __asm__ volatile("rdtime %0" : "=r"(ticks));
    return (int64_t)((unsigned __int128)ticks * lentil_clock.ns_per_tick >> 32) - lentil_clock.boot_ns;
}

int __vdso_clock_gettime(int clock, struct timespec* out) {
    int64_t ns = monotonic_now();
    if (__builtin_expect(clock != clock_monotonic, 0)) {
        if (clock == clock_realtime)
            ns += lentil_clock.wall_minus_monotonic_ns;
        else if (clock != clock_monotonic_raw && clock != clock_boottime)
            return (int)call(call_clock_gettime, clock, (long)out, 0);
    }
    out->seconds = (int64_t)((uint64_t)ns / 1000000000);
    out->nanoseconds = (int64_t)((uint64_t)ns % 1000000000);
    return 0;
}

int __vdso_gettimeofday(struct timeval* out, void* zone) {
    if (!out || zone)
        return (int)call(call_gettimeofday, (long)out, (long)zone, 0);
    const uint64_t us = (uint64_t)(monotonic_now() + lentil_clock.wall_minus_monotonic_ns) / 1000;
    out->seconds = (int64_t)(us / 1000000);
    out->microseconds = (int64_t)(us % 1000000);
    return 0;
}

int __vdso_clock_getres(int clock, struct timespec* out) { return (int)call(call_clock_getres, clock, (long)out, 0); }

int __vdso_getcpu(unsigned* cpu, unsigned* node, void* unused) {
    return (int)call(call_getcpu, (long)cpu, (long)node, (long)unused);
}

int __vdso_flush_icache(void* start, void* end, unsigned long flags) {
    return (int)call(call_flush_icache, (long)start, (long)end, (long)flags);
}

struct hwprobe_pair {
    int64_t key;
    uint64_t value;
};

/// For all harts from the page; the kernel is asked about some of them.
int __vdso_riscv_hwprobe(struct hwprobe_pair* pairs, size_t count, size_t set_size, unsigned long* set,
                         unsigned flags) {
    if (set_size != 0 || set || flags != 0 || !lentil_clock.hwprobe_known)
        return (int)call5(call_hwprobe, (long)pairs, (long)count, (long)set_size, (long)set, (long)flags);
    for (; count > 0; count--, pairs++) {
        const uint64_t key = (uint64_t)pairs->key;
        if (key >= LENTIL_HWPROBE_KEYS)
            pairs->key = -1;
        pairs->value = key < LENTIL_HWPROBE_KEYS ? lentil_clock.hwprobe[key] : 0;
    }
    return 0;
}

// Unwinders know a signal frame by these two instructions.
__asm__(".pushsection .sigreturn, \"ax\", @progbits\n"
        ".globl __vdso_rt_sigreturn\n"
        ".type __vdso_rt_sigreturn, @function\n"
        "__vdso_rt_sigreturn:\n"
        ".cfi_startproc\n"
        ".cfi_signal_frame\n"
        "    li a7, 139\n"
        "    ecall\n"
        ".cfi_endproc\n"
        ".size __vdso_rt_sigreturn, . - __vdso_rt_sigreturn\n"
        ".popsection\n");

// SPDX-License-Identifier: BSD-2-Clause
// Native calls with up to six arguments, as the library's own C code makes them.
#ifndef LENTIL_LIB_NATIVE_H
#define LENTIL_LIB_NATIVE_H

enum { NATIVE_spawn = -4, NATIVE_kqueue = -5, NATIVE_kevent = -6 };

static inline long native_call(long number, long a, long b, long c, long d, long e, long f) {
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = e;
    register long a5 __asm__("a5") = f;
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
    return a0;
}

// A kernel result as C functions return it: -1 and errno for -4095..-1.
long lentil_result(long result);

#endif

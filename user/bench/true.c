// SPDX-License-Identifier: MIT
// ytrue - the program that ybench starts.
//
// With no argument it exits with 0.  With "PATH COUNT" it executes PATH again
// with COUNT-1 until COUNT is 0.  Built three ways: static and dynamic against
// the C library, and with -DRAW -nostdlib as one page of code with no start-up
// work at all.
#ifndef RAW
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

extern char** environ;

int main(int argc, char** argv) {
    if (argc < 3)
        return 0;
    long n = atol(argv[2]);
    if (n <= 0)
        return 0;
    char count[24];
    char* const next[] = {argv[0], argv[1], count, NULL};
    snprintf(count, sizeof count, "%ld", n - 1);
    execve(argv[1], next, environ);
    return 127;
}

#else

enum { NR_exit_group = 94, NR_execve = 221 };

static long sys3(long nr, long a, long b, long c) {
    register long r0 __asm__("a0") = a;
    register long r1 __asm__("a1") = b;
    register long r2 __asm__("a2") = c;
    register long r7 __asm__("a7") = nr;
    __asm__ volatile("ecall" : "+r"(r0) : "r"(r1), "r"(r2), "r"(r7) : "memory");
    return r0;
}

__attribute__((used, noreturn)) static void start(long* sp) {
    long argc = sp[0];
    char **argv = (char**)(sp + 1), **envp = argv + argc + 1;
    if (argc >= 3) {
        /* Decrease the decimal counter in place: 100 -> 099 -> ... 000. */
        char *s = argv[2], *e = s;
        int zero = 1;
        for (; *e; e++)
            zero &= *e == '0';
        if (!zero) {
            while (*--e == '0')
                *e = '9';
            --*e;
            sys3(NR_execve, (long)argv[1], (long)argv, (long)envp);
            sys3(NR_exit_group, 127, 0, 0);
        }
    }
    for (;;)
        sys3(NR_exit_group, 0, 0, 0);
}

__asm__(".globl _start\n"
        "_start: mv a0, sp\n"
        " andi sp, sp, -16\n"
        " call start\n");
#endif

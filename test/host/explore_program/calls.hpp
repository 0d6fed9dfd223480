// SPDX-License-Identifier: BSD-2-Clause
// System calls and questions of the explored program, which has no library (Linux riscv64 numbers and structures).
#pragma once

#include "questions.hpp"

extern "C" {
long ask(long, long, long, long, long, Question);
long syscall6(long number, long = 0, long = 0, long = 0, long = 0, long = 0, long = 0);
long birth(long (*function)(void*), void* argument, long pattern, long flags);
long thread(long (*function)(void*), void* argument, void* stack_top, long flags);
[[noreturn]] void start(unsigned long* stack);
}

template<class T>
long word(T* pointer) {
    return reinterpret_cast<long>(pointer);
}

enum Number : long {
    nr_kevent = -6,
    nr_kqueue = -5,
    nr_spawn = -4,
    nr_close = 57,
    nr_exit = 93,
    nr_exit_group = 94,
    nr_nanosleep = 101,
    nr_yield = 124,
    nr_kill = 129,
    nr_tgkill = 131,
    nr_sigsuspend = 133,
    nr_sigaction = 134,
    nr_sigprocmask = 135,
    nr_sigtimedwait = 137,
    nr_sigqueueinfo = 138,
    nr_reboot = 142,
    nr_getpid = 172,
    nr_getppid = 173,
    nr_gettid = 178,
    nr_munmap = 215,
    nr_execve = 221,
    nr_mmap = 222,
    nr_tgsigqueueinfo = 240,
    nr_wait4 = 260,
};
enum Signal : long {
    sigkill = 9,
    sigusr1 = 10,
    sigterm = 15,
    sigchld = 17,
    sigcont = 18,
    sigstop = 19,
    sigtstp = 20,
    sigrt = 40
};
enum Error : long { e_noent = -2, e_srch = -3, e_intr = -4, e_child = -10, e_again = -11, e_nomem = -12 };
inline constexpr long clone_vm = 0x100, clone_vfork = 0x4000;
inline constexpr long thread_flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000 | 0x40000;
inline constexpr long w_nohang = 1, w_untraced = 2, w_continued = 8;

inline long random(long limit) { return ask(limit, 0, 0, 0, 0, Question::random); }
inline bool one_in(long n) { return random(n) == 0; }
inline void cover(Case c) { ask(static_cast<long>(c), 0, 0, 0, 0, Question::cover); }
/// One allocation in `n` fails from now on.
inline void memory_fails(long n) { ask(n, 0, 0, 0, 0, Question::memory_fails); }
/// The text's pages are there once it was read.
inline long length(const char* text) {
    long n = 0;
    while (static_cast<const volatile char*>(text)[n] != 0)
        n++;
    return n;
}
inline void note(const char* text, long a = 0, long b = 0, long c = 0) {
    ask(word(text), length(text), a, b, c, Question::note);
}
inline void expect(bool condition, const char* text, long a = 0, long b = 0, long c = 0) {
    if (!condition)
        ask(word(text), length(text), a, b, c, Question::fail);
}

inline long getpid() { return syscall6(nr_getpid); }
inline long gettid() { return syscall6(nr_gettid); }
inline void yield() { syscall6(nr_yield); }
inline void sleep_us(long us) {
    const long time[2] = {us / 1'000'000, us % 1'000'000 * 1000};
    syscall6(nr_nanosleep, word(time), 0);
}
inline long kill(long pid, long signal) { return syscall6(nr_kill, pid, signal); }
[[noreturn]] inline void exit_group(long code) {
    for (;;)
        syscall6(nr_exit_group, code);
}
inline long wait4(long pid, int* status, long options) { return syscall6(nr_wait4, pid, word(status), options); }

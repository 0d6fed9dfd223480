// SPDX-License-Identifier: BSD-2-Clause
// Tracing from user mode: a tracee that waits for its tracer, orders that must succeed, and stops that must come.
#pragma once
#include "lend.h"

#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

enum { sys_stop = SIGTRAP | 0x80 };
#define EVENT(event) (SIGTRAP | (event) << 8)

static __attribute__((unused)) long order(long request, pid_t pid, unsigned long address, unsigned long data) {
    return syscall(SYS_ptrace, request, (long)pid, address, data);
}
#define ORDER(request, pid, address, data)                                                                             \
    CHECK_EQ(order(request, pid, (unsigned long)(address), (unsigned long)(data)), 0)

// The next status of this tracee (or child).
static __attribute__((unused)) int next_status(pid_t pid) {
    int status = -1;
    pid_t got;
    do
        got = waitpid(pid, &status, __WALL);
    while (got < 0 && errno == EINTR);
    if (got != pid)
        check_fail("waitpid(%d) gave %d, errno %d", (int)pid, (int)got, errno);
    return status;
}
#define CHECK_STOP(pid, code)                                                                                          \
    do {                                                                                                               \
        int check_s = next_status(pid);                                                                                \
        if ((check_s & 0xff) != 0x7f || check_s >> 8 != (code))                                                        \
            check_fail("line %d: status is 0x%x, expected a stop with 0x%x", __LINE__, check_s, (int)(code));          \
    } while (0)
#define CHECK_ENDED(pid, code) CHECK_EXITED(next_status(pid), code)
#define CHECK_KILLED(pid, signal) CHECK_SIGNALED(next_status(pid), signal)
// Nothing to report of it, and there will be nothing soon.
#define CHECK_QUIET(pid)                                                                                               \
    do {                                                                                                               \
        check_sleep_ms(30);                                                                                            \
        int check_s = 0;                                                                                               \
        if (waitpid(pid, &check_s, WNOHANG | __WALL) != 0)                                                             \
            check_fail("line %d: status 0x%x, expected nothing", __LINE__, check_s);                                   \
    } while (0)

// A child that asks to be traced and stops; `act` follows. Stopped when this returns.
static __attribute__((unused)) pid_t tracee(void (*act)(void), unsigned long options) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        ORDER(PTRACE_TRACEME, 0, 0, 0);
        kill(getpid(), SIGSTOP);
        act();
        _exit(0);
    }
    CHECK_STOP(pid, SIGSTOP);
    ORDER(PTRACE_SETOPTIONS, pid, 0, options);
    return pid;
}
static __attribute__((unused)) void resume(pid_t pid) { ORDER(PTRACE_CONT, pid, 0, 0); }

static __attribute__((unused)) siginfo_t info_of(pid_t pid) {
    siginfo_t info;
    ORDER(PTRACE_GETSIGINFO, pid, 0, &info);
    return info;
}
static __attribute__((unused)) long message_of(pid_t pid) {
    unsigned long message = ~0UL;
    ORDER(PTRACE_GETEVENTMSG, pid, 0, &message);
    return (long)message;
}

// pc, x1 .. x31
struct registers {
    unsigned long pc, x[31];
};
#define REG(r, n) ((r).x[(n)-1])
enum { reg_ra = 1, reg_sp = 2, reg_a0 = 10, reg_a1 = 11, reg_a7 = 17 };
static __attribute__((unused)) struct registers get_registers(pid_t pid) {
    struct registers r;
    struct iovec where = {&r, sizeof r};
    ORDER(PTRACE_GETREGSET, pid, NT_PRSTATUS, &where);
    CHECK_EQ(where.iov_len, sizeof r);
    return r;
}
static __attribute__((unused)) void set_registers(pid_t pid, struct registers r) {
    struct iovec where = {&r, sizeof r};
    ORDER(PTRACE_SETREGSET, pid, NT_PRSTATUS, &where);
}
static __attribute__((unused)) unsigned long peek(pid_t pid, const volatile void* at) {
    unsigned long word = 0;
    ORDER(PTRACE_PEEKDATA, pid, at, &word);
    return word;
}
static __attribute__((unused)) void poke(pid_t pid, volatile void* at, unsigned long word) {
    ORDER(PTRACE_POKEDATA, pid, at, word);
}
static __attribute__((unused)) long tracer_of(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    return check_value_in(path, "TracerPid");
}

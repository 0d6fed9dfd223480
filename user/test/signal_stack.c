// SPDX-License-Identifier: BSD-2-Clause
// Where handlers run: the frame's alignment, nested handlers, the alternate stack to its end, SS_AUTODISARM, and frames
// that nobody wrote.
#include "lend.h"

#include <stddef.h>
#include <ucontext.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static char alternate[65536] __attribute__((aligned(16)));
static bool inside(const void* p) {
    return (const char*)p >= alternate && (const char*)p < alternate + sizeof alternate;
}
static void use_alternate(unsigned flags) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate, .ss_flags = (int)flags};
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
}
static void act(int number, void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    CHECK_EQ(sigaction(number, &action, NULL), 0);
}

static volatile int handled, depth;
static char* volatile outer;
static void nested(int number, siginfo_t* info, void* context) {
    volatile char here[64];
    here[0] = (char)number;
    CHECK(inside((const void*)here));
    CHECK_EQ((uintptr_t)info % 16, 0);
    CHECK(info->si_signo == number && context != NULL);
    ++handled;
    if (depth++ == 0) {
        outer = (char*)here;
        raise(SIGUSR2);
        CHECK_EQ(here[0], SIGUSR1);
    } else {
        CHECK((char*)here < outer); // below, not on top of the first
    }
}
static void nesting(void) {
    use_alternate(0);
    act(SIGUSR1, nested);
    act(SIGUSR2, nested);
    raise(SIGUSR1);
    CHECK_EQ(handled, 2);
}

// Frames of every alignment of the interrupted stack pointer.
static volatile uintptr_t frame_sp;
static void note_sp(int number, siginfo_t* info, void* context) {
    frame_sp = (uintptr_t)info;
    handled += number && context ? 1 : 0;
}
static void alignment(void) {
    struct sigaction action = {.sa_sigaction = note_sp, .sa_flags = SA_SIGINFO};
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    for (long shift = 0; shift < 16; shift += 8) {
        long pid = getpid();
        // kill(pid, SIGUSR1) with the stack pointer `shift` lower
        __asm__ volatile("sub sp, sp, %0\n mv a0, %1\n li a1, 10\n li a7, 129\n ecall\n add sp, sp, %0"
                         :
                         : "r"(shift), "r"(pid)
                         : "a0", "a1", "a7", "memory");
        CHECK_EQ(frame_sp % 16, 0);
    }
    CHECK_EQ(handled, 2);
}

static void recurse(int number, siginfo_t* info, void* context) {
    ++handled;
    if (handled > 1000)
        _exit(77);
    raise(number);
    (void)info, (void)context;
}
static void overflow(void) {
    static char below[65536 + sizeof alternate] __attribute__((aligned(16)));
    memset(below, 0x5a, sizeof below);
    stack_t stack = {.ss_sp = below + 65536, .ss_size = 16384};
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    act(SIGUSR1, recurse);
    pid_t pid = vfork(); // its end is seen in this memory
    if (pid == 0) {
        raise(SIGUSR1);
        _exit(0);
    }
    CHECK_SIGNALED(check_reap(pid), SIGSEGV);
    CHECK(handled > 3);
    for (int i = 0; i < 65536 - 2048; ++i)
        CHECK_EQ(below[i], 0x5a); // what lies below the stack is whole
}

static void disarmed(int number, siginfo_t* info, void* context) {
    stack_t now, other = {.ss_sp = alternate, .ss_size = 8192};
    volatile char here = (char)number;
    CHECK(inside((const void*)&here));
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK(now.ss_flags & SS_DISABLE); // so that it can be switched away from
    CHECK_EQ(sigaltstack(&other, NULL), 0);
    ++handled;
    (void)info, (void)context;
}
static void autodisarm(void) {
    use_alternate(SS_AUTODISARM);
    act(SIGUSR1, disarmed);
    for (int i = 0; i < 3; ++i) {
        raise(SIGUSR1);
        stack_t now;
        CHECK_EQ(sigaltstack(NULL, &now), 0);
        CHECK_EQ((unsigned)now.ss_flags, SS_AUTODISARM); // armed again
        CHECK(now.ss_sp == alternate);
        CHECK_EQ(now.ss_size, sizeof alternate);
    }
    CHECK_EQ(handled, 3);
}

static void unknown_extension(int number, siginfo_t* info, void* context) {
    ucontext_t* u = context;
    // The last three words of the floating-point area announce what follows the frame; there is nothing.
    uint32_t* words = (uint32_t*)(void*)((char*)&u->uc_mcontext.__fpregs + sizeof u->uc_mcontext.__fpregs);
    words[-3] = 0x53465457;
    (void)number, (void)info;
}
static void strange_frame(void) {
    act(SIGUSR1, unknown_extension);
    raise(SIGUSR1);
    _exit(0);
}
static void refused_frame(void) { CHECK_SIGNALED(check_reap(spawn(strange_frame)), SIGSEGV); }

static const struct check_case cases[] = {
    {"a handler in a handler runs further down on the alternate stack", nesting, 0, false},
    {"frames are aligned whatever the stack pointer was", alignment, 0, false},
    {"handlers that fill the alternate stack end the program, not what lies below the stack", overflow, 0, false},
    {"SS_AUTODISARM: in the handler the alternate stack is free, afterwards it is as before", autodisarm, 0, false},
    {"a frame that announces an extension nobody wrote is refused", refused_frame, 0, false},
};
CHECK_MAIN(cases)

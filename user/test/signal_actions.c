// SPDX-License-Identifier: BSD-2-Clause
// Signals: actions, masks, queued real-time signals, alternate stacks, restarting, SIGCHLD and job control,
// and the signal frame with its floating-point state.
#include "signal_notes.h"

#include <setjmp.h>
#include <ucontext.h>

// --- actions ---

static void defaults(void) {
    const struct {
        int number;
        bool dies;
    } table[] = {{SIGHUP, true},   {SIGINT, true},   {SIGQUIT, true},   {SIGILL, true},  {SIGTRAP, true},
                 {SIGABRT, true},  {SIGBUS, true},   {SIGFPE, true},    {SIGKILL, true}, {SIGUSR1, true},
                 {SIGSEGV, true},  {SIGUSR2, true},  {SIGPIPE, true},   {SIGALRM, true}, {SIGTERM, true},
                 {SIGXCPU, true},  {SIGXFSZ, true},  {SIGVTALRM, true}, {SIGPROF, true}, {SIGPOLL, true},
                 {SIGSYS, true},   {SIGCHLD, false}, {SIGCONT, false},  {SIGURG, false}, {SIGWINCH, false},
                 {SIGRTMIN, true}, {SIGRTMAX, true}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; ++i) {
        pid_t pid = fork();
        if (pid == 0) {
            raise(table[i].number);
            _exit(55);
        }
        int status = check_reap(pid);
        if (table[i].dies ? !(WIFSIGNALED(status) && WTERMSIG(status) == table[i].number)
                          : !(WIFEXITED(status) && WEXITSTATUS(status) == 55))
            check_fail("signal %d: status 0x%x", table[i].number, status);
    }
}

static void invalid(void) {
    struct sigaction action = {.sa_handler = on_signal};
    CHECK_ERRNO(sigaction(SIGKILL, &action, NULL), EINVAL);
    CHECK_ERRNO(sigaction(SIGSTOP, &action, NULL), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, 65, &action, NULL, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, 0, &action, NULL, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 4), EINVAL);
    CHECK_ERRNO(kill(getpid(), 65), EINVAL);
    CHECK_ERRNO(kill(getpid(), -1), EINVAL);
    CHECK_EQ(kill(getpid(), 0), 0);
    CHECK_ERRNO(kill(0x3fffff, SIGTERM), ESRCH);
    block_all();
    CHECK(!is_blocked(SIGKILL) && !is_blocked(SIGSTOP));
}

static void permission(void) {
    volatile int* ready = shared_memory(4096);
    pid_t pid = fork();
    if (pid == 0) {
        *ready = 1;
        pause();
    }
    CHECK_SOON(*ready, 5);
    pid_t other = fork();
    if (other == 0) {
        CHECK_EQ(setresuid(1000, 1000, 1000), 0);
        CHECK_ERRNO(kill(pid, SIGTERM), EPERM);
        CHECK_ERRNO(kill(pid, 0), EPERM);
        CHECK_EQ(kill(getpid(), 0), 0);
        _exit(0);
    }
    CHECK_EXITED(check_reap(other), 0);
    kill(pid, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
}

static void ignoring(void) {
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    block(SIG_BLOCK, SIGUSR2);
    raise(SIGUSR2);
    CHECK(is_pending(SIGUSR2));
    signal(SIGUSR2, SIG_IGN); // forgets what is pending
    CHECK(!is_pending(SIGUSR2));
    signal(SIGUSR2, on_signal);
    block(SIG_UNBLOCK, SIGUSR2);
    CHECK_EQ(handled, 0);
}

static volatile int depth, deepest;
static void nest_handler(int number) {
    ++depth;
    deepest = depth > deepest ? depth : deepest;
    if (handled++ < 3)
        raise(number);
    --depth;
}
static void node_defer(void) {
    act(SIGUSR1, nest_handler, SA_NODEFER);
    raise(SIGUSR1);
    CHECK_EQ(handled, 4);
    CHECK_EQ(deepest, 4);
    handled = deepest = 0;
    act(SIGUSR1, nest_handler, 0);
    raise(SIGUSR1);
    CHECK_EQ(handled, 4);
    CHECK_EQ(deepest, 1);
}

static void reset_hand(void) {
    struct sigaction now;
    act(SIGUSR1, on_signal, SA_RESETHAND);
    raise(SIGUSR1);
    CHECK_EQ(handled, 1);
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_handler == SIG_DFL);
}

static void check_mask_inside(int number) {
    CHECK(is_blocked(SIGUSR1) && is_blocked(SIGUSR2) && is_blocked(SIGHUP) && !is_blocked(SIGTERM));
    handled += number > 0;
}
static void handler_mask(void) {
    struct sigaction action = {.sa_handler = check_mask_inside};
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL);
    block(SIG_BLOCK, SIGHUP);
    raise(SIGUSR1);
    CHECK_EQ(handled, 1);
    CHECK(!is_blocked(SIGUSR1) && !is_blocked(SIGUSR2) && is_blocked(SIGHUP));
}

static void blocked_once(void) {
    signal(SIGUSR1, on_signal);
    block(SIG_BLOCK, SIGUSR1);
    for (int i = 0; i < 5; ++i)
        raise(SIGUSR1);
    CHECK_EQ(handled, 0);
    CHECK(is_pending(SIGUSR1));
    block(SIG_UNBLOCK, SIGUSR1);
    CHECK_EQ(handled, 1); // an ordinary signal is not counted
    CHECK(!is_pending(SIGUSR1));
}

// --- siginfo and queues ---

static void queued(void) {
    union sigval value;
    for (int s = SIGRTMIN; s <= SIGRTMIN + 2; ++s)
        act_info(s, 0);
    act_info(SIGUSR1, 0);
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    for (int s = SIGRTMIN; s <= SIGRTMIN + 2; ++s) { // handlers do not nest, so that the order shows
        struct sigaction action;
        sigaction(s, NULL, &action);
        action.sa_mask = all;
        sigaction(s, &action, NULL);
    }
    block_all();
    for (int i = 0; i < 5; ++i) {
        for (int s = SIGRTMIN + 2; s >= SIGRTMIN; --s) {
            value.sival_int = 10 * (s - SIGRTMIN) + i;
            CHECK_EQ(sigqueue(getpid(), s, value), 0);
        }
    }
    sigprocmask(SIG_SETMASK, &none, NULL);
    CHECK_EQ(handled, 15);
    // Handlers with a full mask run one after the other: the lowest number first, each number in order of
    // sending.
    for (int i = 0; i < 15; ++i) {
        CHECK_EQ(order[i], SIGRTMIN + i / 5);
        CHECK_EQ(values[i], 10 * (i / 5) + i % 5);
    }
    CHECK_EQ(info.si_code, SI_QUEUE);
    CHECK_EQ(info.si_pid, getpid());
}

static void queue_limit(void) {
    block_all();
    struct rlimit limit = {20, 20};
    CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
    union sigval value = {0};
    int sent = 0;
    while (sent < 100 && sigqueue(getpid(), SIGRTMIN, value) == 0)
        ++sent;
    CHECK_EQ(errno, EAGAIN);
    CHECK(sent <= 20 && sent >= 10);
    CHECK_EQ(kill(getpid(), SIGTERM), 0); // an ordinary one still comes through
    CHECK(is_pending(SIGTERM));
}

static void who_sent(void) {
    act_info(SIGUSR1, 0);
    act_info(SIGUSR2, 0);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(setresuid(1234, 0, 0), 0);
        kill(parent, SIGUSR1);
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_SOON(handled == 1, 5);
    CHECK_EQ(info.si_signo, SIGUSR1);
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(info.si_pid, pid);
    CHECK_EQ(info.si_uid, 1234);
    syscall(SYS_tgkill, getpid(), getpid(), SIGUSR2);
    CHECK_EQ(info.si_signo, SIGUSR2);
    CHECK_EQ(info.si_code, SI_TKILL);
}

static void timed_wait(void) {
    sigset_t set;
    siginfo_t i;
    union sigval value = {.sival_int = 77};
    struct timespec brief = {0, 50000000}, none = {0, 0}, longer = {10, 0};
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    double start = check_now();
    CHECK_ERRNO(sigtimedwait(&set, &i, &brief), EAGAIN);
    CHECK(check_now() - start >= 0.049);
    CHECK_ERRNO(sigtimedwait(&set, &i, &none), EAGAIN);
    CHECK_EQ(sigqueue(getpid(), SIGRTMIN + 1, value), 0);
    CHECK_EQ(sigtimedwait(&set, &i, &longer), SIGRTMIN + 1);
    CHECK_EQ(i.si_value.sival_int, 77);
    CHECK(!is_pending(SIGRTMIN + 1));
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        check_sleep_ms(50);
        kill(parent, SIGUSR1);
        _exit(0);
    }
    CHECK_EQ(sigtimedwait(&set, &i, &longer), SIGUSR1);
    CHECK_EQ(i.si_pid, pid);
    CHECK_EXITED(check_reap(pid), 0);
    signal(SIGUSR2, on_signal);
    pid = fork();
    if (pid == 0) {
        check_sleep_ms(50);
        kill(parent, SIGUSR2);
        _exit(0);
    }
    CHECK_ERRNO(sigtimedwait(&set, &i, &longer), EINTR);
    CHECK_EQ(handled, 1);
}

static void suspend(void) {
    sigset_t inside;
    signal(SIGUSR1, on_signal);
    block(SIG_BLOCK, SIGUSR1);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        check_sleep_ms(50);
        kill(parent, SIGUSR1);
        _exit(0);
    }
    sigemptyset(&inside);
    CHECK_ERRNO(sigsuspend(&inside), EINTR);
    CHECK_EQ(handled, 1);
    CHECK(is_blocked(SIGUSR1));
    CHECK_EXITED(check_reap(pid), 0);
}

// --- interruption and restart ---

static int p[2];
static pid_t interrupter(int times) {
    pid_t parent = getpid();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < times; ++i) {
            check_sleep_ms(50);
            kill(parent, SIGUSR1);
        }
        check_sleep_ms(50);
        if (write(p[1], "x", 1) != 1)
            _exit(1);
        _exit(0);
    }
    return pid;
}
static void restarted(void) {
    char c;
    CHECK_EQ(pipe(p), 0);
    act(SIGUSR1, on_signal, SA_RESTART);
    pid_t pid = interrupter(3);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(handled, 3);
    CHECK_EXITED(check_reap(pid), 0);
    pid = interrupter(2);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid); // wait4 restarts too
    CHECK_EQ(handled, 5);
}
static void interrupted(void) {
    char c;
    CHECK_EQ(pipe(p), 0);
    act(SIGUSR1, on_signal, 0);
    pid_t pid = interrupter(1);
    CHECK_ERRNO(read(p[0], &c, 1), EINTR);
    CHECK_EQ(handled, 1);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EXITED(check_reap(pid), 0);
}
static void never_restarted(void) {
    CHECK_EQ(pipe(p), 0);
    act(SIGUSR1, on_signal, SA_RESTART);
    pid_t pid = interrupter(1);
    struct timespec t = {10, 0}, rest = {0, 0};
    CHECK_ERRNO(nanosleep(&t, &rest), EINTR);
    CHECK(rest.tv_sec >= 5 && rest.tv_sec < 10);
    CHECK_EXITED(check_reap(pid), 0);
    pid = interrupter(1);
    CHECK_ERRNO(pause(), EINTR);
    CHECK_EXITED(check_reap(pid), 0);
}
static void ignored_does_not_interrupt(void) {
    CHECK_EQ(pipe(p), 0);
    signal(SIGUSR1, SIG_IGN);
    char c;
    pid_t pid = interrupter(2);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EXITED(check_reap(pid), 0);
}

// --- alternate stack ---

static char alternate[65536];
static void where(int number) {
    char here;
    stack_t now;
    CHECK(&here > alternate && &here < alternate + sizeof alternate);
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK(now.ss_flags & SS_ONSTACK);
    CHECK_ERRNO(sigaltstack(&now, NULL), EPERM);
    handled += number > 0;
}
static void alternate_stack(void) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, small = {.ss_sp = alternate, .ss_size = 100};
    CHECK_ERRNO(sigaltstack(&small, NULL), ENOMEM);
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    act(SIGUSR1, where, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK_EQ(handled, 1);
    stack_t off = {.ss_flags = SS_DISABLE};
    CHECK_EQ(sigaltstack(&off, NULL), 0);
    CHECK_EQ(sigaltstack(NULL, &stack), 0);
    CHECK_EQ(stack.ss_flags, SS_DISABLE);
}
static sigjmp_buf recover;
static void on_overflow(int number) { siglongjmp(recover, number); }
static __attribute__((noinline)) int recurse(int n) {
    volatile char space[4096];
    space[0] = (char)n;
    return n < 0 ? 0 : recurse(n + 1) + space[0]; // without end, for all that matters
}
static void overflow(void) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    sigaltstack(&stack, NULL);
    act(SIGSEGV, on_overflow, SA_ONSTACK);
    struct rlimit limit = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_STACK, &limit);
    for (volatile int i = 0; i < 3; ++i) {
        if (sigsetjmp(recover, 1) == 0)
            recurse(0);
        ++handled;
    }
    CHECK_EQ(handled, 3);
}
static void no_stack_left(void) { // without an alternate stack the handler cannot run
    pid_t pid = fork();
    if (pid == 0) {
        act(SIGSEGV, on_overflow, 0);
        struct rlimit limit = {1 << 20, 1 << 20};
        setrlimit(RLIMIT_STACK, &limit);
        recurse(0);
    }
    CHECK_SIGNALED(check_reap(pid), SIGSEGV);
}

// --- faults ---

static void on_fault(int number, siginfo_t* i, void* context) {
    (void)context;
    info = *i;
    siglongjmp(recover, number);
}
static int fault(void (*cause)(void)) {
    int number = sigsetjmp(recover, 1);
    if (number == 0)
        cause();
    return number;
}
static volatile char* page;
static void store(void) { page[8] = 1; }
static void load(void) { (void)page[16]; }
static void jump(void) { ((void (*)(void))(uintptr_t)page)(); }
static void illegal(void) { __asm__ volatile(".word 0"); }
static void breakpoint(void) { __asm__ volatile("ebreak"); }
static void wild_address(void) {
    page = (volatile char*)0x123456789000;
    page[0] = 1;
}
static void kernel_address(void) {
    page = (volatile char*)0xffffffc000000000;
    page[0] = 1;
}
static void fault_info(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGTRAP, &action, NULL);
    page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_EQ(fault(store), SIGSEGV);
    CHECK_EQ(info.si_code, SEGV_ACCERR);
    CHECK(info.si_addr == page + 8);
    CHECK_EQ(fault(jump), SIGSEGV);
    CHECK_EQ(info.si_code, SEGV_ACCERR);
    CHECK(info.si_addr == page);
    munmap((void*)(uintptr_t)page, 4096);
    CHECK_EQ(fault(load), SIGSEGV);
    CHECK_EQ(info.si_code, SEGV_MAPERR);
    CHECK(info.si_addr == page + 16);
    CHECK_EQ(fault(wild_address), SIGSEGV);
    CHECK_EQ(fault(kernel_address), SIGSEGV);
    CHECK_EQ(fault(illegal), SIGILL);
    CHECK_EQ(fault(breakpoint), SIGTRAP);
}
static void blocked_fault(void) {
    pid_t pid = fork();
    if (pid == 0) {
        act(SIGSEGV, on_signal, 0);
        block(SIG_BLOCK, SIGSEGV);
        page = NULL;
        store();
        _exit(0);
    }
    CHECK_SIGNALED(check_reap(pid), SIGSEGV);
    pid = fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_IGN);
        page = NULL;
        store();
        _exit(0);
    }
    CHECK_SIGNALED(check_reap(pid), SIGSEGV);
}

// --- the frame ---

static void skip_and_set(int number, siginfo_t* i, void* context) {
    (void)i;
    ucontext_t* u = context;
    u->uc_mcontext.__gregs[REG_PC] += 4; // past the faulting store
    u->uc_mcontext.__gregs[18] = 0x1122334455667788;
    union __riscv_mc_fp_state* f = &u->uc_mcontext.__fpregs;
    f->__d.__f[9] = 0x400921fb54442d18; // pi
    sigaddset(&u->uc_sigmask, SIGUSR2);
    handled += number > 0;
}
static void context_change(void) {
    struct sigaction action = {.sa_sigaction = skip_and_set, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    unsigned long s2, fs1;
    __asm__ volatile("li s2, 1\n fmv.d.x fs1, zero\n"
                     ".option push\n.option norvc\n sd zero, 8(zero)\n.option pop\n"
                     "mv %0, s2\n fmv.x.d %1, fs1\n"
                     : "=r"(s2), "=r"(fs1)::"s2", "fs1", "memory");
    CHECK_EQ(handled, 1);
    CHECK_EQ(s2, 0x1122334455667788);
    CHECK_EQ(fs1, 0x400921fb54442d18);
    CHECK(is_blocked(SIGUSR2));
}

static void clobber_floats(int number) {
    __asm__ volatile(".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
                     "fcvt.d.w f\\n, zero\n .endr\n li t0, 0x1f\n fscsr t0" ::
                         : "t0");
    handled += number > 0;
}
static void floats_survive(void) {
    act(SIGALRM, clobber_floats, 0);
    struct itimerval often = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &often, NULL);
    static unsigned long in[33], out[33];
    for (int i = 0; i < 32; ++i)
        in[i] = 0x4000000000000000 + (unsigned long)i * 0x123456789;
    in[32] = 3 << 5 | 0x11;
    while (handled < 200) {
        __asm__ volatile(
            ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
            "fld f\\n, (8*\\n)(%0)\n .endr\n ld t0, 256(%0)\n fscsr t0\n"
            "li t1, 2000\n 1: addi t1, t1, -1\n bnez t1, 1b\n"
            ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
            "fsd f\\n, (8*\\n)(%1)\n .endr\n frcsr t0\n sd t0, 256(%1)\n fscsr zero\n" ::"r"(in),
            "r"(out)
            : "t0", "t1", "memory", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12",
              "f13", "f14", "f15", "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26", "f27",
              "f28", "f29", "f30", "f31");
        for (int i = 0; i < 33; ++i)
            if (in[i] != out[i])
                check_fail("f%d (32 is fcsr) is %lx, was %lx", i, out[i], in[i]);
    }
}

static void bad_frame(void) { // sigreturn with rubbish on the stack must end the program, not the kernel
    for (int kind = 0; kind < 3; ++kind) {
        pid_t pid = fork();
        if (pid == 0) {
            static char junk[4096];
            memset(junk, kind == 1 ? 0xff : 0x41, sizeof junk);
            register unsigned long number __asm__("a7") = SYS_rt_sigreturn;
            unsigned long stack = kind == 2 ? 0xffffffc000001000 : (unsigned long)junk;
            __asm__ volatile("mv sp, %0\n ecall\n" ::"r"(stack), "r"(number) : "memory");
            _exit(0);
        }
        int status = check_reap(pid);
        CHECK(WIFSIGNALED(status) && (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGILL));
    }
}

static const struct check_case cases[] = {
    {"every signal's default action is what it should be", defaults, 0, false},
    {"wrong numbers and SIGKILL's action are refused", invalid, 0, false},
    {"a user may not signal another user's process", permission, 0, false},
    {"ignored signals are dropped, pending ones too", ignoring, 0, false},
    {"SA_NODEFER lets a handler nest, without it it does not", node_defer, 0, false},
    {"SA_RESETHAND resets the action once", reset_hand, 0, false},
    {"a handler runs with its mask, and the old mask comes back", handler_mask, 0, false},
    {"a blocked ordinary signal is pending once", blocked_once, 0, false},
    {"real-time signals queue with their values, lowest number first, in order", queued, 0, false},
    {"RLIMIT_SIGPENDING limits the queue with EAGAIN", queue_limit, 0, false},
    {"siginfo says who sent a signal and how", who_sent, 0, false},
    {"sigtimedwait takes signals, times out and is interrupted", timed_wait, 0, false},
    {"sigsuspend waits with its mask and gives the old one back", suspend, 0, false},
    {"SA_RESTART restarts read and wait4", restarted, 0, false},
    {"without SA_RESTART read gives EINTR", interrupted, 0, false},
    {"nanosleep and pause give EINTR even with SA_RESTART", never_restarted, 0, false},
    {"an ignored signal interrupts nothing", ignored_does_not_interrupt, 0, false},
    {"a handler with SA_ONSTACK runs on the alternate stack", alternate_stack, 0, false},
    {"a stack overflow is handled on the alternate stack, again and again", overflow, 0, false},
    {"a stack overflow without an alternate stack kills", no_stack_left, 0, false},
    {"faults tell address and cause", fault_info, 0, false},
    {"a fault whose signal is blocked or ignored kills", blocked_fault, 0, false},
    {"a handler can change pc, registers, floating point and mask of what it interrupted", context_change, 0, false},
    {"floating-point registers and fcsr survive handlers that clobber them", floats_survive, 60, false},
    {"sigreturn from rubbish ends the program alone", bad_frame, 0, false},
};
CHECK_MAIN(cases)

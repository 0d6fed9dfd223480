// SPDX-License-Identifier: BSD-2-Clause
// Signals as one process sees them: delivery, order, masks, frames, alternate stacks, restarts, faults, timers.
#include "check.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <ucontext.h>

static volatile sig_atomic_t count, order[64];
static volatile siginfo_t last; // volatile: system calls are declared not to come back into this file
static void on_signal(int number) {
    if (count < 64)
        order[count] = number;
    ++count;
}
static void on_info(int number, siginfo_t* info, void* context) {
    (void)context;
    last = *info;
    on_signal(number);
}
static void handle(int number, int flags, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK_EQ(sigaction(number, &action, NULL), 0);
}
static void handle_info(int number, int flags, void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO};
    CHECK_EQ(sigaction(number, &action, NULL), 0);
}
static sigset_t set_of(int a, int b) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, a);
    if (b)
        sigaddset(&set, b);
    return set;
}
static void block(int a, int b) {
    sigset_t set = set_of(a, b);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
}
static void unblock(int a, int b) {
    sigset_t set = set_of(a, b);
    CHECK_EQ(sigprocmask(SIG_UNBLOCK, &set, NULL), 0);
}
static bool pends(int number) {
    sigset_t set;
    CHECK_EQ(sigpending(&set), 0);
    return sigismember(&set, number);
}

// --- what arrives ---

static void info_of_senders(void) {
    handle_info(SIGUSR1, 0, on_info);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(count, 1);
    CHECK_EQ(last.si_signo, SIGUSR1);
    CHECK_EQ(last.si_code, SI_USER);
    CHECK_EQ(last.si_pid, getpid());
    CHECK_EQ(last.si_uid, getuid());
    syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1);
    CHECK_EQ(last.si_code, SI_TKILL);
    CHECK_EQ(last.si_pid, getpid());
    CHECK_EQ(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_ptr = (void*)0x123456789abcUL}), 0);
    CHECK_EQ(last.si_code, SI_QUEUE);
    CHECK_EQ((long)last.si_value.sival_ptr, 0x123456789abcL);
    CHECK_EQ(count, 3);
}

static volatile long values[8];
static void on_value(int number, siginfo_t* info, void* context) {
    (void)context;
    if (count < 8)
        values[count] = info->si_value.sival_int;
    on_signal(number);
}
static void real_time_order(void) {
    handle_info(SIGRTMIN + 2, 0, on_value);
    handle_info(SIGRTMIN + 1, 0, on_value);
    handle_info(SIGUSR1, 0, on_value);
    sigset_t set;
    sigfillset(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 1});
    sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 2});
    sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 3});
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 4});
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 5}); // coalesces: the first one's information stays
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 6});
    // One at a time, so that the order of delivery and not that of nested handlers is seen.
    sigset_t mask = set;
    int expected[] = {SIGUSR1, SIGRTMIN + 1, SIGRTMIN + 2, SIGRTMIN + 2, SIGRTMIN + 2};
    for (int i = 0; i < 5; ++i) {
        siginfo_t info;
        CHECK_EQ(sigwaitinfo(&mask, &info), expected[i]);
        values[i] = info.si_value.sival_int;
    }
    CHECK_EQ(values[0], 4);
    CHECK_EQ(values[1], 6);
    CHECK_EQ(values[2], 1);
    CHECK_EQ(values[3], 2);
    CHECK_EQ(values[4], 3);
    CHECK(!pends(SIGUSR1) && !pends(SIGRTMIN + 2));
}

static void queue_limit(void) {
    struct rlimit limit = {5, 5};
    CHECK_EQ(setrlimit(RLIMIT_SIGPENDING, &limit), 0);
    block(SIGRTMIN, 0);
    int queued = 0;
    while (queued < 100 && sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = queued}) == 0)
        ++queued;
    CHECK_EQ(errno, EAGAIN);
    CHECK(queued <= 5);
    CHECK_EQ(kill(getpid(), SIGRTMIN), 0); // kill never fails for want of room
    CHECK_EQ(kill(getpid(), SIGTERM - SIGTERM), 0);
}

static void bad_arguments(void) {
    CHECK_ERRNO(kill(getpid(), 65), EINVAL);
    CHECK_ERRNO(kill(getpid(), -1), EINVAL);
    CHECK_ERRNO(kill(0x3ffffff, 0), ESRCH);
    CHECK_ERRNO(kill(-0x3ffffff, 0), ESRCH);
    CHECK_EQ(kill(getpid(), 0), 0);
    struct sigaction action = {.sa_handler = SIG_IGN};
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGKILL, &action, NULL, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGSTOP, &action, NULL, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, 0, NULL, &action, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGTERM, NULL, &action, 4), EINVAL);
    CHECK_ERRNO(syscall(SYS_rt_sigaction, SIGTERM, 8, NULL, 8), EFAULT);
    CHECK_ERRNO(syscall(SYS_rt_sigprocmask, 77, &action, NULL, 8), EINVAL);
    CHECK_ERRNO(syscall(SYS_tgkill, -1, getpid(), SIGTERM), EINVAL);
    CHECK_ERRNO(syscall(SYS_tgkill, getpid() + 1, getpid(), SIGTERM), ESRCH);
    // Only the kernel and kill(2) may say that they are it.
    siginfo_t info = {.si_signo = SIGUSR1, .si_code = SI_USER};
    CHECK_ERRNO(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info), EPERM);
}

static void unblockable_signals(void) {
    sigset_t all, now;
    sigfillset(&all);
    CHECK_EQ(sigprocmask(SIG_SETMASK, &all, NULL), 0);
    CHECK_EQ(sigprocmask(SIG_SETMASK, NULL, &now), 0);
    CHECK(!sigismember(&now, SIGKILL) && !sigismember(&now, SIGSTOP) && sigismember(&now, SIGTERM));
}

static void permissions(void) {
    if (getuid() != 0)
        return;
    pid_t other = fork();
    if (other == 0) {
        pause();
        _exit(0);
    }
    CHECK_EQ(setresuid(1000, 1000, 1000), 0);
    CHECK_ERRNO(kill(other, SIGTERM), EPERM);
    CHECK_ERRNO(kill(other, 0), EPERM);
    CHECK_EQ(kill(other, SIGCONT), 0); // same session
    CHECK_ERRNO(kill(1, SIGTERM), EPERM);
}

// --- masks and actions ---

static void masks_of_handlers_step(int number) {
    if (number == SIGUSR1) {
        kill(getpid(), SIGUSR1);
        kill(getpid(), SIGUSR2);
        CHECK_EQ(count, 0); // both blocked: itself, and by sa_mask
        CHECK(pends(SIGUSR1) && pends(SIGUSR2));
    }
    on_signal(number);
}
static void masks_of_handlers(void) {
    struct sigaction action = {.sa_handler = masks_of_handlers_step, .sa_mask = set_of(SIGUSR2, 0)};
    action.sa_flags = SA_RESETHAND;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    handle(SIGUSR2, 0, on_signal);
    struct sigaction now;
    pid_t child = fork(); // the second SIGUSR1 finds the default action and kills
    if (child == 0) {
        kill(getpid(), SIGUSR1);
        _exit(0);
    }
    CHECK_SIGNALED(check_reap(child), SIGUSR1);
    action.sa_flags = 0;
    handle(SIGUSR2, SA_RESETHAND, on_signal);
    sigaction(SIGUSR2, NULL, &now);
    CHECK(now.sa_handler == on_signal && (now.sa_flags & SA_RESETHAND));
    kill(getpid(), SIGUSR2);
    sigaction(SIGUSR2, NULL, &now);
    CHECK(now.sa_handler == SIG_DFL);
    CHECK_EQ(count, 1);
}

static void nodefer_step(int number) {
    on_signal(number);
    if (count < 4)
        kill(getpid(), number);
}
static void nodefer(void) {
    handle(SIGUSR1, SA_NODEFER, nodefer_step);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(count, 4);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(!sigismember(&now, SIGUSR1));
}

static void ignoring_discards(void) {
    handle(SIGUSR1, 0, on_signal);
    block(SIGUSR1, SIGCHLD);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGCHLD);
    CHECK(pends(SIGUSR1) && pends(SIGCHLD)); // blocked: kept, although the action of SIGCHLD is to do nothing
    handle(SIGUSR1, 0, SIG_IGN);
    CHECK(!pends(SIGUSR1));
    handle(SIGCHLD, 0, SIG_DFL);
    CHECK(!pends(SIGCHLD));
    // Setting again what is set already discards too: what pends for the process, and for the thread.
    kill(getpid(), SIGCHLD);
    handle(SIGCHLD, 0, SIG_DFL);
    CHECK(!pends(SIGCHLD));
    handle(SIGURG, 0, SIG_DFL);
    block(SIGURG, 0);
    raise(SIGURG);
    CHECK(pends(SIGURG));
    handle(SIGURG, 0, SIG_DFL);
    CHECK(!pends(SIGURG));
    handle(SIGUSR1, 0, on_signal);
    unblock(SIGUSR1, 0);
    CHECK_EQ(count, 0);
}

static void survives_exec(void) {
    handle(SIGUSR1, 0, SIG_IGN);
    handle(SIGUSR2, SA_RESTART, on_signal);
    block(SIGTERM, SIGHUP);
    kill(getpid(), SIGTERM);
    char* argv[] = {check_self, "@after_exec", NULL};
    execv("/proc/self/exe", argv);
    execv(check_self, argv);
    check_fail("exec failed: errno %d", errno);
}
static void after_exec(void) {
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_handler == SIG_IGN);
    sigaction(SIGUSR2, NULL, &now);
    CHECK(now.sa_handler == SIG_DFL);
    CHECK_EQ(now.sa_flags & SA_RESTART, 0);
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    CHECK(sigismember(&mask, SIGTERM) && sigismember(&mask, SIGHUP) && !sigismember(&mask, SIGUSR2));
    CHECK(pends(SIGTERM));
}

static void fork_starts_clean(void) {
    handle(SIGUSR1, 0, on_signal);
    block(SIGUSR1, SIGUSR2);
    kill(getpid(), SIGUSR1);
    pid_t child = fork();
    if (child == 0) {
        CHECK(!pends(SIGUSR1));
        sigset_t mask;
        sigprocmask(SIG_SETMASK, NULL, &mask);
        CHECK(sigismember(&mask, SIGUSR1));
        struct sigaction now;
        sigaction(SIGUSR1, NULL, &now);
        CHECK(now.sa_handler == on_signal);
        _exit(0);
    }
    CHECK_EXITED(check_reap(child), 0);
    CHECK(pends(SIGUSR1));
}

// --- frames ---

static char alternate[65536] __attribute__((aligned(16)));
static volatile int on_alternate, flags_inside, change_result;
static void see_stack(int number) {
    char here;
    stack_t now, other = {.ss_sp = alternate, .ss_size = sizeof alternate};
    on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
    sigaltstack(NULL, &now);
    flags_inside = now.ss_flags;
    change_result = sigaltstack(&other, NULL) < 0 ? errno : 0;
    on_signal(number);
}
static void alternate_stack(void) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, now;
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK_EQ(now.ss_flags, SS_DISABLE);
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    handle(SIGUSR1, SA_ONSTACK, see_stack);
    handle(SIGUSR2, 0, see_stack);
    kill(getpid(), SIGUSR1);
    CHECK(on_alternate);
    CHECK_EQ(flags_inside, SS_ONSTACK);
    CHECK_EQ(change_result, EPERM);
    kill(getpid(), SIGUSR2);
    CHECK(!on_alternate);
    CHECK_EQ(flags_inside, 0);
    sigaltstack(NULL, &now);
    CHECK_EQ(now.ss_flags, 0);
    CHECK(now.ss_sp == alternate && now.ss_size == sizeof alternate);
    stack_t small = {.ss_sp = alternate, .ss_size = 1024};
    CHECK_ERRNO(sigaltstack(&small, NULL), ENOMEM);
    CHECK_EQ(count, 2);
}

static volatile bool forever = true;
static int __attribute__((noinline)) recurse(volatile char* above) {
    volatile char room[4096];
    room[0] = *above;
    return (forever ? recurse(room) : 0) + room[0];
}
static void overflow_handler(int number, siginfo_t* info, void* context) {
    (void)context;
    char here;
    CHECK(&here >= alternate && &here < alternate + sizeof alternate);
    CHECK_EQ(number, SIGSEGV);
    CHECK(info->si_addr != NULL);
    _exit(55);
}
static void stack_overflow(void) {
    struct rlimit limit = {256 << 10, 256 << 10};
    setrlimit(RLIMIT_STACK, &limit);
    pid_t child = fork();
    if (child == 0) {
        char zero = 0;
        _exit(recurse(&zero));
    }
    CHECK_SIGNALED(check_reap(child), SIGSEGV);
    child = fork();
    if (child == 0) {
        stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
        sigaltstack(&stack, NULL);
        handle_info(SIGSEGV, SA_ONSTACK, overflow_handler);
        char zero = 0;
        _exit(recurse(&zero));
    }
    CHECK_EXITED(check_reap(child), 55);
    child = fork();
    if (child == 0) { // a handler whose frame cannot be written kills, it does not loop
        handle_info(SIGSEGV, 0, overflow_handler);
        char zero = 0;
        _exit(recurse(&zero));
    }
    CHECK_SIGNALED(check_reap(child), SIGSEGV);
}

static void spoil_registers(int number) {
    on_signal(number);
#ifdef __riscv
    __asm__ volatile("li s1, -1\n li s5, -2\n li s11, -3\n li t3, -4\n li a5, -5\n"
                     "fcvt.d.l fs0, s1\n fcvt.d.l fa0, s5\n fcvt.d.l ft11, s11\n li t3, 0x23\n csrw fcsr, t3\n" ::
                         : "s1", "s5", "s11", "t3", "a5", "fs0", "fa0", "ft11");
#endif
}
static void registers_survive(void) {
#ifdef __riscv
    handle(SIGALRM, 0, spoil_registers);
    struct itimerval often = {{0, 1000}, {0, 1000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    double end = check_now() + 1;
    while (count < 100 && check_now() < end + 10) {
        unsigned long bad = 0;
        __asm__ volatile(
            "li s1, 1111\n li s5, 2222\n li s11, 3333\n li t3, 4444\n li a5, 5555\n"
            "fcvt.d.l fs0, s1\n fcvt.d.l fa0, s5\n fcvt.d.l ft11, t3\n csrw fcsr, 0x5\n"
            "li t0, 200000\n1: addi t0, t0, -1\n bnez t0, 1b\n"
            "fcvt.l.d t1, fs0\n xor t1, t1, s1\n or %0, %0, t1\n"
            "fcvt.l.d t1, fa0\n xor t1, t1, s5\n or %0, %0, t1\n"
            "fcvt.l.d t1, ft11\n xor t1, t1, t3\n or %0, %0, t1\n"
            "csrr t1, fcsr\n xori t1, t1, 0x5\n or %0, %0, t1\n"
            "addi t1, s1, -1111\n or %0, %0, t1\n li t2, 2222\n xor t1, s5, t2\n or %0, %0, t1\n"
            "li t2, 3333\n xor t1, s11, t2\n or %0, %0, t1\n li t2, 5555\n xor t1, a5, t2\n or %0, %0, t1\n"
            "csrw fcsr, zero\n"
            : "+r"(bad)::"s1", "s5", "s11", "t0", "t1", "t2", "t3", "a5", "fs0", "fa0", "ft11");
        CHECK_EQ(bad, 0);
    }
    CHECK(count >= 100);
#endif
}

static volatile long skipped_at;
static void skip_instruction(int number, siginfo_t* info, void* context) {
    ucontext_t* uc = context;
    last = *info;
    on_signal(number);
#ifdef __riscv
    skipped_at = (long)uc->uc_mcontext.__gregs[REG_PC];
    unsigned short first = *(unsigned short*)skipped_at;
    uc->uc_mcontext.__gregs[REG_PC] += (first & 3) == 3 ? 4 : 2;
    uc->uc_mcontext.__gregs[REG_A0] = 4711; // and what the instruction would have loaded
#endif
}
static void fault_information(void) {
#ifdef __riscv
    handle_info(SIGSEGV, 0, skip_instruction);
    handle_info(SIGBUS, 0, skip_instruction);
    handle_info(SIGILL, 0, skip_instruction);
    handle_info(SIGTRAP, 0, skip_instruction);

    register long a0 __asm__("a0") = 0x1000;
    __asm__ volatile("ld a0, 0(a0)" : "+r"(a0)::"memory");
    CHECK_EQ(a0, 4711);
    CHECK_EQ(order[0], SIGSEGV);
    CHECK_EQ(last.si_code, SEGV_MAPERR);
    CHECK_EQ((long)last.si_addr, 0x1000);

    char* page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    __asm__ volatile("sb zero, 5(%0)" ::"r"(page) : "memory", "a0");
    CHECK_EQ(order[1], SIGSEGV);
    CHECK_EQ(last.si_code, SEGV_ACCERR);
    CHECK((char*)last.si_addr == page + 5);

    __asm__ volatile(".4byte 0xc0001073" ::: "memory", "a0"); // unimp
    CHECK_EQ(order[2], SIGILL);
    CHECK_EQ(last.si_code, ILL_ILLOPC);
    CHECK_EQ((long)last.si_addr, skipped_at);

    __asm__ volatile("ebreak" ::: "memory", "a0");
    CHECK_EQ(order[3], SIGTRAP);
    CHECK_EQ(last.si_code, TRAP_BRKPT);

    char name[] = "/tmp/signals-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0);
    unlink(name);
    CHECK_EQ(ftruncate(fd, 100), 0);
    char* map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    register char* beyond __asm__("a0") = map + 4096;
    __asm__ volatile("ld a0, 0(a0)" : "+r"(beyond)::"memory");
    CHECK_EQ(order[4], SIGBUS);
    CHECK_EQ(last.si_code, BUS_ADRERR);
    CHECK((char*)last.si_addr == map + 4096);
    CHECK_EQ(count, 5);
#endif
}

static volatile uintptr_t nowhere = 8;
static void blocked_fault(void) {
    for (int kind = 0; kind < 3; ++kind) {
        pid_t child = fork();
        if (child == 0) {
            if (kind == 0)
                block(SIGSEGV, 0);
            else if (kind == 1)
                handle(SIGSEGV, 0, SIG_IGN);
            *(volatile int*)nowhere = 1;
            _exit(0);
        }
        CHECK_SIGNALED(check_reap(child), SIGSEGV);
    }
}

static void wild_sigreturn(void) {
#ifdef __riscv
    pid_t child = fork();
    if (child == 0) {
        __asm__ volatile("li sp, 64\n li a7, 139\n ecall" ::: "memory");
        _exit(0);
    }
    CHECK_SIGNALED(check_reap(child), SIGSEGV);
#endif
}

// --- waiting and restarting ---

static void start_alarm(long ms, long every_ms) {
    struct itimerval timer = {{every_ms / 1000, every_ms % 1000 * 1000}, {ms / 1000, ms % 1000 * 1000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void read_restarts(void) {
    int ends[2];
    char byte;
    CHECK_EQ(pipe(ends), 0);
    handle(SIGALRM, 0, on_signal);
    start_alarm(50, 0);
    CHECK_ERRNO(read(ends[0], &byte, 1), EINTR);
    CHECK_EQ(count, 1);
    handle(SIGALRM, SA_RESTART, on_signal);
    pid_t child = fork();
    if (child == 0) {
        check_sleep_ms(300);
        CHECK_EQ(write(ends[1], "x", 1), 1);
        _exit(0);
    }
    start_alarm(50, 50);
    CHECK_EQ(read(ends[0], &byte, 1), 1);
    start_alarm(0, 0);
    CHECK(count >= 4);
    CHECK_EXITED(check_reap(child), 0);
}

static void sleep_is_cut(void) {
    handle(SIGALRM, SA_RESTART, on_signal); // nanosleep is not restarted after a handler, whatever the flags
    start_alarm(100, 0);
    struct timespec want = {2, 0}, left = {0, 0};
    double start = check_now();
    CHECK_ERRNO(nanosleep(&want, &left), EINTR);
    double slept = check_now() - start, rest = (double)left.tv_sec + (double)left.tv_nsec * 1e-9;
    CHECK(slept >= 0.09 && slept < 1.5);
    CHECK(slept + rest > 1.9 && slept + rest < 2.3);
    struct pollfd none;
    start_alarm(100, 0);
    CHECK_ERRNO(poll(&none, 0, 5000), EINTR);
}

static void sleep_goes_on_after_stop(void) {
    pid_t child = fork();
    if (child == 0) {
        double start = check_now();
        struct timespec want = {1, 0};
        CHECK_EQ(nanosleep(&want, NULL), 0); // no EINTR: no handler ran
        double slept = check_now() - start;
        CHECK(slept >= 0.99 && slept < 1.9); // and the time of the stop counts
        _exit(0);
    }
    check_sleep_ms(200);
    kill(child, SIGSTOP);
    int status;
    CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    check_sleep_ms(300);
    kill(child, SIGCONT);
    CHECK_EXITED(check_reap(child), 0);
}

static void suspend_restores(void) {
    handle(SIGALRM, 0, on_signal);
    handle(SIGUSR1, 0, on_signal);
    block(SIGALRM, SIGUSR1);
    start_alarm(50, 0);
    sigset_t wait = set_of(SIGUSR1, 0), now;
    CHECK_ERRNO(sigsuspend(&wait), EINTR);
    CHECK_EQ(count, 1);
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGALRM) && sigismember(&now, SIGUSR1));
    // A signal that pends before is taken at once.
    kill(getpid(), SIGALRM);
    CHECK_EQ(count, 1);
    CHECK_ERRNO(sigsuspend(&wait), EINTR);
    CHECK_EQ(count, 2);
}

static void ppoll_masks(void) {
    handle(SIGALRM, 0, on_signal);
    block(SIGALRM, 0);
    sigset_t none, now;
    sigemptyset(&none);
    start_alarm(50, 0);
    struct timespec limit = {5, 0}, brief = {0, 1000000};
    CHECK_ERRNO(ppoll(NULL, 0, &limit, &none), EINTR);
    CHECK_EQ(count, 1);
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGALRM));
    // Ended by its time limit: the mask is back as well, and a signal that pends stays blocked.
    CHECK_EQ(ppoll(NULL, 0, &brief, &none), 0);
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGALRM));
    kill(getpid(), SIGALRM);
    CHECK_EQ(count, 1);
    CHECK_ERRNO(pselect(0, NULL, NULL, NULL, &limit, &none), EINTR);
    CHECK_EQ(count, 2);
}

static void timed_wait(void) {
    block(SIGUSR1, SIGALRM);
    sigset_t wait = set_of(SIGUSR1, 0), both = set_of(SIGUSR1, SIGALRM);
    struct timespec limit = {0, 50000000}, zero = {0, 0};
    siginfo_t info;
    double start = check_now();
    CHECK_ERRNO(sigtimedwait(&wait, &info, &limit), EAGAIN);
    CHECK(check_now() - start >= 0.045);
    CHECK_ERRNO(sigtimedwait(&wait, &info, &zero), EAGAIN);
    kill(getpid(), SIGUSR1);
    CHECK_EQ(sigtimedwait(&wait, &info, &zero), SIGUSR1);
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(info.si_pid, getpid());
    start_alarm(50, 0);
    CHECK_EQ(sigwaitinfo(&both, &info), SIGALRM);
    CHECK_EQ(info.si_code, SI_KERNEL);
    handle(SIGUSR2, 0, on_signal);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        check_sleep_ms(100);
        kill(parent, SIGUSR2);
        _exit(0);
    }
    CHECK_ERRNO(sigwaitinfo(&wait, &info), EINTR);
    CHECK_EQ(count, 1);
    check_reap(child);
}

static void wait_after_death(void) {
    block(SIGCHLD, 0);
    pid_t child = fork();
    if (child == 0)
        _exit(42);
    sigset_t set = set_of(SIGCHLD, 0);
    siginfo_t info;
    CHECK_EQ(sigwaitinfo(&set, &info), SIGCHLD);
    CHECK_EQ(info.si_code, CLD_EXITED);
    CHECK_EQ(info.si_pid, child);
    CHECK_EQ(info.si_status, 42);
    CHECK_EXITED(check_reap(child), 42);
}

// --- timers ---

static void real_timer(void) {
    handle(SIGALRM, 0, on_signal);
    start_alarm(20, 20);
    struct itimerval now;
    CHECK_EQ(getitimer(ITIMER_REAL, &now), 0);
    CHECK(now.it_value.tv_usec > 0 && now.it_value.tv_usec <= 20000 && now.it_interval.tv_usec == 20000);
    double end = check_now() + 0.5;
    while (check_now() < end)
        pause();
    start_alarm(0, 0);
    CHECK(count >= 15 && count <= 30);
    int before = count;
    check_sleep_ms(60);
    CHECK_EQ(count, before);
    getitimer(ITIMER_REAL, &now);
    CHECK_EQ(now.it_value.tv_usec, 0);
    CHECK_EQ(alarm(10), 0);
    CHECK_EQ(alarm(0), 10);
    struct itimerval bad = {{0, 0}, {0, 1000000}};
    CHECK_ERRNO(setitimer(ITIMER_REAL, &bad, NULL), EINVAL);
    CHECK_ERRNO(setitimer(3, &now, NULL), EINVAL);
}

static void cpu_timers(void) {
    handle(SIGVTALRM, 0, on_signal);
    handle(SIGPROF, 0, on_signal);
    struct itimerval once = {{0, 0}, {0, 100000}};
    CHECK_EQ(setitimer(ITIMER_VIRTUAL, &once, NULL), 0);
    check_sleep_ms(300); // sleeping uses none of it
    CHECK_EQ(count, 0);
    double start = check_now();
    while (count == 0 && check_now() < start + 10) {
    }
    CHECK_EQ(order[0], SIGVTALRM);
    CHECK_EQ(setitimer(ITIMER_PROF, &once, NULL), 0);
    while (count == 1 && check_now() < start + 10)
        getppid();
    CHECK_EQ(order[1], SIGPROF);
}

static void cpu_limit(void) {
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {1, 2};
        handle(SIGXCPU, 0, on_signal);
        setrlimit(RLIMIT_CPU, &limit);
        for (;;) {
            if (count > 0 && clock() > CLOCKS_PER_SEC * 3 / 2)
                _exit(7);
            if (clock() > CLOCKS_PER_SEC * 4)
                _exit(8);
        }
    }
    CHECK_EXITED(check_reap(child), 7);
    child = fork();
    if (child == 0) {
        struct rlimit limit = {1, 2};
        handle(SIGXCPU, 0, SIG_IGN);
        setrlimit(RLIMIT_CPU, &limit);
        for (;;) {
        }
    }
    CHECK_SIGNALED(check_reap(child), SIGKILL);
}

static const struct check_case cases[] = {
    {"a handler is told who sent the signal, how, and with what value", info_of_senders, 0, false},
    {"signals come by number, real-time ones all and in order, standard ones once", real_time_order, 0, false},
    {"RLIMIT_SIGPENDING stops sigqueue with EAGAIN, kill still works", queue_limit, 0, false},
    {"bad numbers, sizes, addresses and targets are refused", bad_arguments, 0, false},
    {"SIGKILL and SIGSTOP cannot be blocked", unblockable_signals, 0, false},
    {"kill needs permission, SIGCONT within the session does not", permissions, 0, false},
    {"a handler runs with its own signal and sa_mask blocked, SA_RESETHAND resets first", masks_of_handlers, 0, false},
    {"SA_NODEFER lets a signal interrupt its own handler", nodefer, 0, false},
    {"ignoring a signal discards what pends of it", ignoring_discards, 0, false},
    {"exec keeps ignored signals, the mask and what pends, and resets handlers", survives_exec, 0, false},
    {"a child starts with its parent's mask and handlers and nothing pending", fork_starts_clean, 0, false},
    {"SA_ONSTACK handlers run on the alternate stack, which cannot be changed meanwhile", alternate_stack, 0, false},
    {"a stack overflow kills, unless a handler has an alternate stack", stack_overflow, 0, false},
    {"integer and floating-point registers survive a handler that spoils them", registers_survive, 40, false},
    {"faults say their address and kind, and a handler can change where to go on", fault_information, 0, false},
    {"a fault kills when SIGSEGV is blocked, ignored or at its default", blocked_fault, 0, false},
    {"rt_sigreturn without a frame kills with SIGSEGV", wild_sigreturn, 0, false},
    {"read gives EINTR after a handler, or restarts with SA_RESTART", read_restarts, 0, false},
    {"nanosleep and poll give EINTR after a handler, and say what is left", sleep_is_cut, 0, false},
    {"nanosleep goes on after a stop as if nothing had been", sleep_goes_on_after_stop, 0, false},
    {"sigsuspend takes the signal and restores the mask", suspend_restores, 0, false},
    {"ppoll and pselect change the mask only while they wait", ppoll_masks, 0, false},
    {"sigtimedwait takes signals, times out, and is interrupted by others", timed_wait, 0, false},
    {"sigwaitinfo takes the SIGCHLD of a child that ended", wait_after_death, 0, false},
    {"ITIMER_REAL fires again and again until it is switched off", real_timer, 0, false},
    {"ITIMER_VIRTUAL and ITIMER_PROF count CPU time only", cpu_timers, 40, false},
    {"RLIMIT_CPU sends SIGXCPU at the soft limit and kills at the hard one", cpu_limit, 40, false},
};

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@after_exec") == 0) {
        after_exec();
        return 0;
    }
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

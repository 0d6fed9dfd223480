// SPDX-License-Identifier: BSD-2-Clause
// Tracing one process: signals, system calls, registers, memory, attaching and letting go (ptrace(2) of Linux).
#include "tracee.h"

#include <sched.h>
#include <sys/prctl.h>

static volatile int* shared; // what a tracee tells
static void on_usr1(int n) { shared[0]++, (void)n; }
static void on_usr2(int n) { shared[1]++, (void)n; }
static void setup(void) { shared = shared_memory(4096); }

// --- signals ---

static void three_signals(void) {
    signal(SIGUSR1, on_usr1);
    signal(SIGUSR2, on_usr2);
    for (int i = 0; i < 3; ++i)
        kill(getpid(), SIGUSR1);
    _exit(shared[0] * 10 + shared[1]);
}
static void signals(void) {
    setup();
    pid_t pid = tracee(three_signals, 0);
    resume(pid);
    CHECK_STOP(pid, SIGUSR1);
    CHECK_EQ(check_state_of(pid), 't');
    siginfo_t info = info_of(pid);
    CHECK_EQ(info.si_signo, SIGUSR1);
    CHECK_EQ(info.si_code, SI_USER);
    CHECK_EQ(info.si_pid, pid);
    CHECK_QUIET(pid);
    ORDER(PTRACE_CONT, pid, 0, SIGUSR1); // as it is
    CHECK_STOP(pid, SIGUSR1);
    CHECK_EQ(shared[0], 1);
    resume(pid); // not at all
    CHECK_STOP(pid, SIGUSR1);
    CHECK_EQ(shared[0], 1);
    CHECK_ERRNO(order(PTRACE_CONT, pid, 0, 65), EIO);
    ORDER(PTRACE_CONT, pid, 0, SIGUSR2); // another one
    CHECK_ENDED(pid, 11);
    CHECK_ERRNO(order(PTRACE_CONT, pid, 0, 0), ESRCH);
}

static void ignored_and_blocked(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, on_usr2);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGCHLD); // ignored by default
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR2);
    shared[0] = 1;
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    abort();
}
static void ignored_signals(void) {
    setup();
    pid_t pid = tracee(ignored_and_blocked, 0);
    resume(pid);
    CHECK_STOP(pid, SIGUSR1);
    ORDER(PTRACE_CONT, pid, 0, SIGUSR1);
    CHECK_STOP(pid, SIGCHLD);
    CHECK_EQ(shared[0], 0);
    ORDER(PTRACE_CONT, pid, 0, SIGCHLD);
    CHECK_STOP(pid, SIGUSR2);
    CHECK_EQ(shared[0], 1); // blocked until then
    unsigned long mask = 0;
    ORDER(PTRACE_GETSIGMASK, pid, sizeof mask, &mask);
    CHECK_EQ(mask >> (SIGUSR2 - 1) & 1, 0);
    CHECK_ERRNO(order(PTRACE_GETSIGMASK, pid, 4, (unsigned long)&mask), EINVAL);
    mask = ~0UL;
    ORDER(PTRACE_SETSIGMASK, pid, sizeof mask, &mask);
    ORDER(PTRACE_GETSIGMASK, pid, sizeof mask, &mask);
    CHECK_EQ(mask, ~(1UL << (SIGKILL - 1) | 1UL << (SIGSTOP - 1)));
    mask = 0;
    ORDER(PTRACE_SETSIGMASK, pid, sizeof mask, &mask);
    ORDER(PTRACE_CONT, pid, 0, SIGUSR2);
    CHECK_STOP(pid, SIGABRT);
    ORDER(PTRACE_CONT, pid, 0, SIGABRT);
    CHECK_KILLED(pid, SIGABRT);
    CHECK_EQ(shared[1], 1);
}

static void fault(void) {
    signal(SIGSEGV, SIG_IGN);
    *(volatile int* volatile){(int*)16} = 1;
}
static void faults(void) {
    setup();
    pid_t pid = tracee(fault, 0);
    resume(pid);
    CHECK_STOP(pid, SIGSEGV);
    siginfo_t info = info_of(pid);
    CHECK_EQ((long)info.si_addr, 16);
    CHECK_EQ(info.si_code, SEGV_MAPERR);
    info.si_code = SI_USER;
    info.si_pid = 77;
    ORDER(PTRACE_SETSIGINFO, pid, 0, &info);
    CHECK_EQ(info_of(pid).si_pid, 77);
    ORDER(PTRACE_CONT, pid, 0, SIGSEGV);
    CHECK_KILLED(pid, SIGSEGV);
}

static void sleep_long(void) {
    for (;;)
        pause();
}
static void kills(void) {
    pid_t pid = tracee(sleep_long, 0);
    kill(pid, SIGKILL); // while it is stopped
    CHECK_KILLED(pid, SIGKILL);
    pid = tracee(sleep_long, 0);
    resume(pid);
    ORDER(PTRACE_KILL, pid, 0, 0);
    CHECK_KILLED(pid, SIGKILL);
}

static void queue_some(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int i = 0; i < 3; ++i)
        sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 50 + i});
    kill(getpid(), SIGSTOP);
}
static void peeks_at_queue(void) {
    pid_t pid = tracee(queue_some, 0);
    resume(pid);
    CHECK_STOP(pid, SIGSTOP);
    siginfo_t infos[5];
    struct __ptrace_peeksiginfo_args args = {.off = 1, .flags = PTRACE_PEEKSIGINFO_SHARED, .nr = 5};
    CHECK_EQ(order(PTRACE_PEEKSIGINFO, pid, (unsigned long)&args, (unsigned long)infos), 2);
    CHECK_EQ(infos[0].si_value.sival_int, 51);
    CHECK_EQ(infos[1].si_value.sival_int, 52);
    args.flags = 0;
    CHECK_EQ(order(PTRACE_PEEKSIGINFO, pid, (unsigned long)&args, (unsigned long)infos), 0);
    resume(pid);
    CHECK_ENDED(pid, 0);
}

// --- system calls ---

static void three_calls(void) {
    long r1 = syscall(SYS_write, -1L, 0x1234L, 5L);
    shared[0] = r1 == -1 ? errno : 0;
    shared[1] = (int)syscall(SYS_getppid);
    shared[2] = (int)syscall(SYS_getpgid, 0L);
    shared[3] = errno;
}
static struct __ptrace_syscall_info syscall_info(pid_t pid) {
    struct __ptrace_syscall_info info;
    memset(&info, 0xee, sizeof info);
    long size = order(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, (unsigned long)&info);
    CHECK_EQ(size, info.op == PTRACE_SYSCALL_INFO_ENTRY ? 80 : info.op == PTRACE_SYSCALL_INFO_EXIT ? 33 : 24);
    CHECK_EQ(info.arch, 0xc00000f3);
    return info;
}
static void to_call(pid_t pid) {
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_STOP(pid, sys_stop);
}
static void system_calls(void) {
    setup();
    pid_t pid = tracee(three_calls, PTRACE_O_TRACESYSGOOD);
    CHECK_EQ(syscall_info(pid).op, PTRACE_SYSCALL_INFO_NONE);
    to_call(pid);
    struct __ptrace_syscall_info info = syscall_info(pid);
    CHECK_EQ(info.op, PTRACE_SYSCALL_INFO_ENTRY);
    CHECK_EQ(info.entry.nr, SYS_write);
    CHECK_EQ((int)info.entry.args[0], -1);
    CHECK_EQ(info.entry.args[1], 0x1234);
    CHECK_EQ(info.entry.args[2], 5);
    CHECK_EQ(info_of(pid).si_code, sys_stop);
    to_call(pid);
    info = syscall_info(pid);
    CHECK_EQ(info.op, PTRACE_SYSCALL_INFO_EXIT);
    CHECK_EQ(info.exit.rval, -EBADF);
    CHECK_EQ(info.exit.is_error, 1);
    CHECK_EQ(info.instruction_pointer, get_registers(pid).pc);
    CHECK_EQ(info.stack_pointer, REG(get_registers(pid), reg_sp));

    to_call(pid); // getppid: another number
    struct registers r = get_registers(pid);
    CHECK_EQ(REG(r, reg_a7), SYS_getppid);
    REG(r, reg_a7) = SYS_getpid;
    set_registers(pid, r);
    to_call(pid);
    CHECK_EQ(REG(get_registers(pid), reg_a0), pid);
    r = get_registers(pid);
    REG(r, reg_a0) = 4321; // and another result
    set_registers(pid, r);

    to_call(pid); // getpgid: not at all
    r = get_registers(pid);
    REG(r, reg_a7) = (unsigned long)-1;
    set_registers(pid, r);
    to_call(pid);
    CHECK_EQ(REG(get_registers(pid), reg_a0), -ENOSYS);

    to_call(pid); // exit_group has no second stop
    CHECK_EQ(syscall_info(pid).entry.nr, SYS_exit_group);
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_ENDED(pid, 0);
    CHECK_EQ(shared[0], EBADF);
    CHECK_EQ(shared[1], 4321);
    CHECK_EQ(shared[2], -1);
    CHECK_EQ(shared[3], ENOSYS);
}

static void plain_stops(void) {
    setup();
    pid_t pid = tracee(three_calls, 0);
    for (int i = 0; i < 7; ++i) {
        ORDER(PTRACE_SYSCALL, pid, 0, 0);
        CHECK_STOP(pid, SIGTRAP);
    }
    resume(pid); // no more of them
    CHECK_ENDED(pid, 0);
}

static int ends[2];
static void read_pipe(void) {
    char c = 0;
    signal(SIGUSR1, on_usr1);
    shared[1] = (int)read(ends[0], &c, 1);
    shared[2] = c;
}
static void interrupted_calls(void) {
    setup();
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = tracee(read_pipe, PTRACE_O_TRACESYSGOOD);
    do
        to_call(pid);
    while (syscall_info(pid).op != PTRACE_SYSCALL_INFO_ENTRY || syscall_info(pid).entry.nr != SYS_read);
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_SOON(check_state_of(pid) == 'S', 5);
    kill(pid, SIGUSR1);
    CHECK_STOP(pid, sys_stop); // the call ends with what user mode never sees
    CHECK_EQ(syscall_info(pid).exit.rval, -512);
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_STOP(pid, SIGUSR1);
    // In the signal's stop it is about to be made again.
    struct registers r = get_registers(pid);
    CHECK_EQ(REG(r, reg_a7), SYS_read);
    CHECK_EQ(REG(r, reg_a0), ends[0]);
    CHECK_EQ((unsigned)peek(pid, (void*)r.pc), 0x73u);
    ORDER(PTRACE_CONT, pid, 0, SIGUSR1);
    CHECK_SOON(shared[0] == 1, 5);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_ENDED(pid, 0);
    CHECK_EQ(shared[1], 1); // SA_RESTART
    CHECK_EQ(shared[2], 'x');
}

// --- registers ---

static double fp_in, fp_out;
extern char trap_here[], after_trap[];
__attribute__((noinline)) static void registers_act(void) {
    long out;
    double f;
    __asm__ volatile("li s2, 0x5eed\n fmv.d.x fs2, %2\n li t0, 3\n csrw fcsr, t0\n"
                     ".globl trap_here\n trap_here: .option push\n .option norvc\n ebreak\n .option pop\n"
                     ".globl after_trap\n after_trap: mv %0, s2\n fmv.d %1, fs2\n"
                     : "=r"(out), "=f"(f)
                     : "r"(0x4009000000000000L) // 3.125
                     : "s2", "fs2", "t0");
    fp_out = f;
    _exit(out == 0x77 && f == 6.5 ? 5 : 6);
}
static void registers(void) {
    pid_t pid = tracee(registers_act, 0);
    resume(pid);
    CHECK_STOP(pid, SIGTRAP);
    CHECK_EQ(info_of(pid).si_code, TRAP_BRKPT);
    struct registers r = get_registers(pid);
    CHECK_EQ(r.pc, (long)trap_here);
    CHECK_EQ(REG(r, 18), 0x5eed); // s2
    struct {
        unsigned long f[32];
        unsigned fcsr, zero;
    } fp;
    struct iovec where = {&fp, sizeof fp};
    ORDER(PTRACE_GETREGSET, pid, NT_PRFPREG, &where);
    CHECK_EQ(where.iov_len, 264);
    CHECK_EQ(fp.f[18], 0x4009000000000000L); // fs2
    CHECK_EQ(fp.fcsr, 3);
    fp.f[18] = 0x401a000000000000L; // 6.5
    ORDER(PTRACE_SETREGSET, pid, NT_PRFPREG, &where);
    r.pc = (unsigned long)after_trap;
    REG(r, 18) = 0x77;
    where = (struct iovec){&r, 8 * 19}; // a part of the set
    ORDER(PTRACE_SETREGSET, pid, NT_PRSTATUS, &where);
    CHECK_EQ(where.iov_len, 8 * 19);
    where = (struct iovec){&r, 12};
    CHECK_ERRNO(order(PTRACE_GETREGSET, pid, NT_PRSTATUS, (unsigned long)&where), EINVAL);
    where = (struct iovec){&r, sizeof r};
    CHECK_ERRNO(order(PTRACE_GETREGSET, pid, 0x777, (unsigned long)&where), EINVAL);
    CHECK_ERRNO(order(PTRACE_PEEKUSER, pid, 0, 0), EIO);
    resume(pid);
    CHECK_ENDED(pid, 5);
    (void)fp_in;
}

// --- memory ---

static volatile unsigned long data_word = 0x1122334455667788;
static const unsigned long const_word[512] __attribute__((aligned(4096))) = {7};
__attribute__((noinline, aligned(8))) static int function(int x) {
    __asm__ volatile("");
    return x + 1;
}
static void call_function(void) {
    int (*volatile f)(int) = function;
    int x = f(4);
    _exit(x + (int)(data_word & 0xf) + (int)*(const volatile unsigned long*)const_word);
}
static void memory(void) {
    // A page that may not be read, behind one that may.
    unsigned long* hidden = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    hidden += 4096 / sizeof *hidden;
    hidden[-1] = 66, hidden[0] = 77;
    CHECK_EQ(mprotect(hidden, 4096, PROT_NONE), 0);
    pid_t pid = tracee(call_function, 0);
    CHECK_EQ(peek(pid, &data_word), 0x1122334455667788);
    poke(pid, &data_word, 0x10);
    CHECK_EQ(data_word, 0x1122334455667788); // ours is another
    CHECK_ERRNO(order(PTRACE_PEEKDATA, pid, 8, (unsigned long)&ends), EIO);
    CHECK_ERRNO(order(PTRACE_POKEDATA, pid, 8, 1), EIO);

    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    unsigned long word = 0;
    CHECK_EQ(pread(fd, &word, sizeof word, (long)&data_word), 8);
    CHECK_EQ(word, 0x10);
    word = 100;
    CHECK_EQ(pwrite(fd, &word, sizeof word, (long)const_word), 8); // read-only for the tracee
    CHECK_EQ(lseek(fd, (long)const_word, SEEK_SET), (long)const_word);
    word = 0;
    CHECK_EQ(read(fd, &word, sizeof word), 8);
    CHECK_EQ(word, 100);
    CHECK_ERRNO(pread(fd, &word, sizeof word, 16), EIO);
    close(fd);

    struct iovec local = {&word, sizeof word}, remote = {(void*)&data_word, sizeof word};
    CHECK_EQ(process_vm_readv(pid, &local, 1, &remote, 1, 0), 8);
    CHECK_EQ(word, 0x10);
    word = 0x20;
    CHECK_EQ(process_vm_writev(pid, &local, 1, &remote, 1, 0), 8);
    CHECK_EQ(peek(pid, &data_word), 0x20);
    remote.iov_base = (void*)const_word;
    CHECK_ERRNO(process_vm_writev(pid, &local, 1, &remote, 1, 0), EFAULT);
    struct iovec three[3] = {{(void*)&data_word, 2}, {(void*)const_word, 4}, {(void*)16, 8}};
    char bytes[14] = "";
    local = (struct iovec){bytes, sizeof bytes};
    CHECK_EQ(process_vm_readv(pid, &local, 1, three, 3, 0), 6); // up to where it fails
    CHECK_EQ(bytes[0], 0x20);
    CHECK_EQ(bytes[2], 100);
    CHECK_ERRNO(process_vm_readv(pid, &local, 1, three, 3, 1), EINVAL);
    CHECK_ERRNO(process_vm_readv(99999, &local, 1, three, 3, 0), ESRCH);
    // What the tracee itself may not read only orders of ptrace and its file of memory reach.
    unsigned long words[3] = {1, 1, 1};
    local = (struct iovec){words, sizeof words};
    remote = (struct iovec){hidden - 2, sizeof words};
    CHECK_EQ(process_vm_readv(pid, &local, 1, &remote, 1, 0), 2 * sizeof word);
    CHECK_EQ(words[1], 66);
    CHECK_EQ(words[2], 1);
    remote = (struct iovec){hidden, sizeof words};
    CHECK_ERRNO(process_vm_readv(pid, &local, 1, &remote, 1, 0), EFAULT);
    CHECK_ERRNO(process_vm_writev(pid, &local, 1, &remote, 1, 0), EFAULT);
    CHECK_EQ(peek(pid, hidden), 77);

    // A breakpoint in code that both share copy on write.
    unsigned long text = peek(pid, (void*)function);
    ORDER(PTRACE_POKETEXT, pid, function, (text & ~0xffffUL) | 0x9002);
    CHECK_EQ(function(1), 2); // not in ours
    resume(pid);
    CHECK_STOP(pid, SIGTRAP);
    CHECK_EQ(get_registers(pid).pc, (long)function);
    ORDER(PTRACE_POKETEXT, pid, function, text);
    resume(pid);
    CHECK_ENDED(pid, 5 + 0 + 100);
}

// --- single steps ---

extern char steps_start[], steps_end[];
static volatile unsigned long step_word;
static void steps_act(void) {
    *(volatile long*)shared = 0; // a fault at the sc.d below would drop its reservation
    __asm__ volatile(".globl steps_start\n steps_start: ebreak\n"
                     " li t0, 3\n"
                     "1: addi t0, t0, -1\n" // 3 rounds of 2
                     " bnez t0, 1b\n"
                     " auipc t1, 0\n"
                     " jal t2, 2f\n"
                     " ebreak\n"
                     "2: la t3, 3f\n" // 2 instructions
                     " jalr t2, 0(t3)\n"
                     " ebreak\n"
                     "3: lr.d t4, (%0)\n" // one step with the next two
                     " addi t4, t4, 5\n"
                     " sc.d t5, t4, (%0)\n"
                     " beqz t5, 4f\n"
                     " ebreak\n"
                     "4: sd t1, 8(%0)\n"
                     " li a7, 172\n" // getpid
                     " ecall\n"
                     " sd a0, 16(%0)\n"
                     ".globl steps_end\n steps_end: ebreak\n"
                     :
                     : "r"(shared)
                     : "t0", "t1", "t2", "t3", "t4", "t5", "a0", "a7", "memory");
    _exit(3);
}
static void single_steps(void) {
    setup();
    pid_t pid = tracee(steps_act, 0);
    resume(pid);
    CHECK_STOP(pid, SIGTRAP);
    struct registers r = get_registers(pid);
    CHECK_EQ(r.pc, (long)steps_start);
    r.pc += (peek(pid, (void*)r.pc) & 3) == 3 ? 4 : 2;
    set_registers(pid, r);
    int steps = 0;
    unsigned long auipc_at = 0;
    while (get_registers(pid).pc != (unsigned long)steps_end) {
        unsigned long pc = get_registers(pid).pc;
        if ((peek(pid, (void*)pc) & 0xfff) == 0x317) // auipc t1
            auipc_at = pc;
        CHECK(pc >= (unsigned long)steps_start && pc < (unsigned long)steps_end);
        ORDER(PTRACE_SINGLESTEP, pid, 0, 0);
        CHECK_STOP(pid, SIGTRAP);
        CHECK_EQ(info_of(pid).si_code, TRAP_TRACE);
        CHECK(++steps < 100);
    }
    CHECK_EQ(steps, 1 + 6 + 1 + 1 + 2 + 1 + 1 + 1 + 1 + 1 + 1 + 1);
    CHECK_EQ(*(volatile long*)shared, 5);
    CHECK_EQ(((volatile unsigned long*)shared)[1], auipc_at);
    CHECK_EQ(((volatile long*)shared)[2], pid);
    r = get_registers(pid);
    r.pc += (peek(pid, (void*)r.pc) & 3) == 3 ? 4 : 2;
    set_registers(pid, r);
    resume(pid);
    CHECK_ENDED(pid, 3);
}

static void compute(void) {
    char text[64];
    double x = 1;
    for (int i = 0; i < 9; ++i)
        x = x * 1.25 + i;
    snprintf(text, sizeof text, "%d %s", (int)(x * 1e6), "walked");
    strcpy((char*)shared, text);
}
static void long_walk(void) {
    setup();
    pid_t pid = tracee(compute, 0);
    int status, steps = 0;
    do {
        ORDER(PTRACE_SINGLESTEP, pid, 0, 0);
        status = next_status(pid);
        ++steps;
    } while (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    CHECK_EXITED(status, 0);
    CHECK(steps > 300);
    char walked[64];
    strcpy(walked, (char*)shared);
    compute();
    CHECK_EQ(strcmp(walked, (char*)shared), 0);
}

// --- attaching ---

static void count_up(void) {
    for (;;) {
        shared[0]++;
        sched_yield();
    }
}
static void tick(void) {
    int before = shared[0];
    CHECK_SOON(shared[0] > before, 5);
}
static void still(void) {
    int before = shared[0];
    check_sleep_ms(30);
    CHECK_EQ(shared[0], before);
}
static void attach(void) {
    setup();
    pid_t pid = spawn(count_up);
    tick();
    CHECK_ERRNO(order(PTRACE_CONT, pid, 0, 0), ESRCH);
    CHECK_EQ(tracer_of(pid), 0);
    ORDER(PTRACE_ATTACH, pid, 0, 0);
    CHECK_STOP(pid, SIGSTOP);
    CHECK_EQ(tracer_of(pid), getpid());
    CHECK_ERRNO(order(PTRACE_ATTACH, pid, 0, 0), EPERM);
    CHECK_ERRNO(order(PTRACE_INTERRUPT, pid, 0, 0), EIO);
    still();
    resume(pid);
    tick();
    CHECK_ERRNO(order(PTRACE_DETACH, pid, 0, 0), ESRCH); // it runs
    kill(pid, SIGSTOP);
    CHECK_STOP(pid, SIGSTOP);
    ORDER(PTRACE_DETACH, pid, 0, 0);
    CHECK_EQ(tracer_of(pid), 0);
    tick();
    ORDER(PTRACE_ATTACH, pid, 0, 0);
    CHECK_STOP(pid, SIGSTOP);
    ORDER(PTRACE_DETACH, pid, 0, SIGTERM);
    CHECK_KILLED(pid, SIGTERM);
}

static void other_user(void) {
    CHECK_EQ(setresgid(1000, 1000, 1000), 0);
    CHECK_EQ(setresuid(1000, 1000, 1000), 0);
    CHECK_ERRNO(order(PTRACE_ATTACH, shared[1], 0, 0), EPERM);
    CHECK_ERRNO(order(PTRACE_SEIZE, shared[1], 0, 0), EPERM);
    struct iovec local = {ends, 4}, remote = {ends, 4};
    CHECK_ERRNO(process_vm_readv(shared[1], &local, 1, &remote, 1, 0), EPERM);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", shared[1]);
    CHECK(open(path, O_RDONLY) < 0);
    CHECK_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
    pid_t own = spawn(sleep_long);
    ORDER(PTRACE_ATTACH, own, 0, 0);
    CHECK_STOP(own, SIGSTOP);
    kill(own, SIGKILL);
    CHECK_KILLED(own, SIGKILL);
}
static void permission(void) {
    setup();
    CHECK_ERRNO(order(PTRACE_ATTACH, getpid(), 0, 0), EPERM);
    CHECK_ERRNO(order(PTRACE_ATTACH, 99999, 0, 0), ESRCH);
    shared[1] = spawn(sleep_long);
    pid_t child = spawn(other_user);
    CHECK_EXITED(check_reap(child), 0);
    kill(shared[1], SIGKILL);
    CHECK_SIGNALED(check_reap(shared[1]), SIGKILL);
}

static void seize(void) {
    setup();
    CHECK_EQ(pipe(ends), 0);
    pid_t pid = spawn(read_pipe);
    CHECK_SOON(check_state_of(pid) == 'S', 5);
    CHECK_ERRNO(order(PTRACE_SEIZE, pid, 1, 0), EIO);
    CHECK_ERRNO(order(PTRACE_SEIZE, pid, 0, 0x80), EIO);
    ORDER(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD);
    CHECK_QUIET(pid); // it does not stop
    ORDER(PTRACE_INTERRUPT, pid, 0, 0);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_STOP));
    ORDER(PTRACE_INTERRUPT, pid, 0, 0);                          // it is stopped: nothing
    CHECK_ERRNO(order(PTRACE_SETOPTIONS, pid, 0, 0x80), EINVAL); // PTRACE_O_TRACESECCOMP
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_STOP(pid, sys_stop);
    CHECK_EQ(syscall_info(pid).entry.nr, SYS_read); // made again, not failed
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_QUIET(pid);
    CHECK_EQ(write(ends[1], "y", 1), 1);
    CHECK_STOP(pid, sys_stop);
    CHECK_EQ(syscall_info(pid).exit.rval, 1);
    resume(pid);
    CHECK_ENDED(pid, 0);
    CHECK_EQ(shared[2], 'y');
}

// --- job control ---

static void group_stop_seized(void) {
    setup();
    pid_t pid = spawn(count_up);
    tick();
    ORDER(PTRACE_SEIZE, pid, 0, 0);
    kill(pid, SIGSTOP);
    CHECK_STOP(pid, SIGSTOP); // the signal
    still();
    ORDER(PTRACE_CONT, pid, 0, SIGSTOP);
    CHECK_STOP(pid, SIGSTOP | PTRACE_EVENT_STOP << 8); // the stop
    still();
    ORDER(PTRACE_LISTEN, pid, 0, 0);
    CHECK_QUIET(pid);
    ORDER(PTRACE_INTERRUPT, pid, 0, 0); // ends the listening, not the stop
    CHECK_STOP(pid, SIGSTOP | PTRACE_EVENT_STOP << 8);
    still();
    ORDER(PTRACE_LISTEN, pid, 0, 0);
    CHECK_QUIET(pid);
    CHECK_ERRNO(order(PTRACE_CONT, pid, 0, 0), ESRCH); // listening
    still();
    kill(pid, SIGCONT);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_STOP));
    resume(pid);
    CHECK_STOP(pid, SIGCONT);
    resume(pid);
    tick();
    // What changed before it listens is told as soon as it does.
    kill(pid, SIGSTOP);
    CHECK_STOP(pid, SIGSTOP);
    ORDER(PTRACE_CONT, pid, 0, SIGSTOP);
    CHECK_STOP(pid, SIGSTOP | PTRACE_EVENT_STOP << 8);
    kill(pid, SIGCONT);
    CHECK_QUIET(pid);
    ORDER(PTRACE_LISTEN, pid, 0, 0);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_STOP));
    resume(pid);
    CHECK_STOP(pid, SIGCONT);
    resume(pid);
    tick();
    // Without LISTEN the tracer lets it go on while its proc is stopped.
    kill(pid, SIGTSTP);
    CHECK_STOP(pid, SIGTSTP);
    ORDER(PTRACE_CONT, pid, 0, SIGSTOP);
    CHECK_STOP(pid, SIGSTOP | PTRACE_EVENT_STOP << 8);
    resume(pid);
    tick();
    // INTERRUPT shows that it is.
    ORDER(PTRACE_INTERRUPT, pid, 0, 0);
    CHECK_STOP(pid, SIGSTOP | PTRACE_EVENT_STOP << 8);
    ORDER(PTRACE_DETACH, pid, 0, 0);
    still(); // left alone it stays stopped
    kill(pid, SIGCONT);
    tick();
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
}
static void group_stop_attached(void) {
    setup();
    pid_t pid = spawn(count_up);
    tick();
    kill(pid, SIGSTOP);
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    ORDER(PTRACE_ATTACH, pid, 0, 0); // stopped already: shows as a stop, then the attach's own signal
    CHECK_STOP(pid, SIGSTOP);
    siginfo_t info;
    CHECK_ERRNO(order(PTRACE_GETSIGINFO, pid, 0, (unsigned long)&info), EINVAL);
    CHECK_ERRNO(order(PTRACE_LISTEN, pid, 0, 0), EIO);
    resume(pid);
    CHECK_STOP(pid, SIGSTOP);
    CHECK_EQ(info_of(pid).si_signo, SIGSTOP);
    resume(pid);
    tick();
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
}

// --- whose end it is ---

static void watch(void) { // a tracer that is not the parent
    ORDER(PTRACE_SEIZE, shared[1], 0, shared[2]);
    shared[3] = 1;
    while (shared[3] == 1)
        check_sleep_ms(2);
    if (shared[3] == 2) {
        int status = next_status(shared[1]);
        shared[4] = status;
        check_sleep_ms(30);
        shared[5] = 1;
    }
}
static void parent_after_tracer(void) {
    setup();
    pid_t pid = spawn(count_up);
    shared[1] = pid;
    pid_t tracer = spawn(watch);
    CHECK_SOON(shared[3] == 1, 5);
    CHECK_EQ(tracer_of(pid), tracer);
    kill(pid, SIGKILL);
    check_sleep_ms(20);
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0); // a child, but its tracer comes first
    CHECK_EQ(shared[4], 0);
    shared[3] = 2;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_SOON(shared[4] == SIGKILL, 10);
    CHECK_SIGNALED(status, SIGKILL);
    CHECK_EXITED(check_reap(tracer), 0);
}
static void tracer_dies(void) {
    for (int kill_too = 0; kill_too < 2; ++kill_too) {
        setup();
        pid_t pid = spawn(count_up);
        shared[1] = pid;
        shared[2] = kill_too ? PTRACE_O_EXITKILL : 0;
        pid_t tracer = spawn(watch);
        CHECK_SOON(shared[3] == 1, 5);
        kill(pid, SIGUSR2); // stopped when the tracer goes
        CHECK_SOON(check_state_of(pid) == 't', 5);
        kill(tracer, SIGKILL);
        CHECK_SIGNALED(check_reap(tracer), SIGKILL);
        CHECK_SIGNALED(check_reap(pid), kill_too ? SIGKILL : SIGUSR2);
    }
    setup();
    pid_t pid = spawn(count_up);
    shared[1] = pid;
    pid_t tracer = spawn(watch);
    CHECK_SOON(shared[3] == 1, 5);
    kill(tracer, SIGKILL);
    CHECK_SIGNALED(check_reap(tracer), SIGKILL);
    CHECK_EQ(tracer_of(pid), 0);
    tick();
    kill(pid, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
}
static void zombie_of_dead_tracer(void) {
    setup();
    pid_t pid = spawn(count_up);
    shared[1] = pid;
    pid_t tracer = spawn(watch);
    CHECK_SOON(shared[3] == 1, 5);
    kill(pid, SIGKILL);
    check_sleep_ms(10);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    kill(tracer, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL); // goes on to the parent
    CHECK_SIGNALED(check_reap(tracer), SIGKILL);
}

static void ends_with_7(void) { _exit(7); }
static void ends_killed(void) { raise(SIGTERM); }
static void exit_event(void) {
    pid_t pid = tracee(ends_with_7, PTRACE_O_TRACEEXIT);
    resume(pid);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_EXIT));
    CHECK_EQ(message_of(pid), 7 << 8);
    CHECK_EQ(peek(pid, &data_word), 0x1122334455667788); // its memory is still there
    resume(pid);
    CHECK_ENDED(pid, 7);
    pid = tracee(ends_killed, PTRACE_O_TRACEEXIT);
    resume(pid);
    CHECK_STOP(pid, SIGTERM);
    ORDER(PTRACE_CONT, pid, 0, SIGTERM);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_EXIT));
    CHECK_EQ(message_of(pid), SIGTERM);
    kill(pid, SIGKILL); // not even this stop outlives SIGKILL
    CHECK_KILLED(pid, SIGTERM);
}

static void wait_info(void) {
    pid_t pid = tracee(sleep_long, 0);
    resume(pid);
    kill(pid, SIGHUP);
    siginfo_t info;
    memset(&info, 0, sizeof info);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT), 0);
    CHECK_EQ(info.si_code, CLD_TRAPPED);
    CHECK_EQ(info.si_status, SIGHUP);
    CHECK_EQ(info.si_pid, pid);
    CHECK_STOP(pid, SIGHUP); // WNOWAIT left it
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
}

static const struct check_case cases[] = {
    {"a tracee stops for each signal, and its tracer decides what is delivered", signals, 0, false},
    {"signals that are ignored stop a tracee too, blocked ones when they are not any more", ignored_signals, 0, false},
    {"a fault stops a tracee, with its address, although the signal is ignored", faults, 0, false},
    {"SIGKILL ends a tracee, stopped or not, without a stop", kills, 0, false},
    {"a tracer reads what is queued behind a signal", peeks_at_queue, 0, false},
    {"a tracer sees number, arguments and result of each system call, and changes them", system_calls, 0, false},
    {"without PTRACE_O_TRACESYSGOOD system calls stop with a plain SIGTRAP", plain_stops, 0, false},
    {"a system call that a signal interrupts is seen to be, and is made again", interrupted_calls, 0, false},
    {"a tracer reads and writes integer and floating-point registers", registers, 0, false},
    {"a tracer reads and writes memory word by word, as a file and in pieces, code included", memory, 0, false},
    {"a single step executes one instruction, jumps and reserved stores too", single_steps, 0, false},
    {"a program that is stepped through to its end computes what it computes anyway", long_walk, 60, false},
    {"a tracer attaches, stops, and lets go, with a signal if it likes", attach, 0, false},
    {"nobody attaches to another user's process, nor to its own", permission, 0, false},
    {"a seized process runs on until it is interrupted, and its system call then goes on", seize, 0, false},
    {"a seized tracee shows job control as events, and is left stopped but listened to", group_stop_seized, 0, false},
    {"a process stopped by job control is attached to", group_stop_attached, 0, false},
    {"the parent hears of a tracee's end when its tracer has", parent_after_tracer, 0, false},
    {"tracees go free when their tracer dies, or die with PTRACE_O_EXITKILL", tracer_dies, 0, false},
    {"the end that a dead tracer did not wait for goes to the parent", zombie_of_dead_tracer, 0, false},
    {"PTRACE_EVENT_EXIT comes before the memory goes, with the status", exit_event, 0, false},
    {"waitid calls a tracee's stop CLD_TRAPPED", wait_info, 0, false},
};
CHECK_MAIN(cases)

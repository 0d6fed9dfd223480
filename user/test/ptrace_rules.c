// SPDX-License-Identifier: BSD-2-Clause
// Who may trace whom, who is told of what, and what is read and written of a tracee.
#include "tracee.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sys/prctl.h>

enum { user = 4242 };
static volatile int* shared;

static void become_user(void) {
    CHECK_EQ(setresgid(user, user, user), 0);
    CHECK_EQ(setresuid(user, user, user), 0);
}

// ---- who may attach ----------------------------------------------------------------------------------------------------
static void keep_capability(void) {
    CHECK_EQ(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), 0);
    become_user();
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0, 1 << CAP_CHOWN, 0}, {0, 0, 0}};
    CHECK_EQ(syscall(SYS_capset, &header, data), 0);
}
static void (*target_becomes)(void);
static int target_dumpable;
static void target(void) {
    target_becomes();
    CHECK_EQ(prctl(PR_SET_DUMPABLE, target_dumpable, 0, 0, 0), 0);
    shared[0] = 1;
    for (;;)
        pause();
}
static pid_t target_pid;
static void try_to_attach(void) {
    become_user();
    errno = 0;
    shared[1] = order(PTRACE_SEIZE, target_pid, 0, 0) == 0 ? 1 : errno;
}
// As an unprivileged user: 1, or what attaching to this target fails with.
static int attached(void (*becomes)(void), int dumpable) {
    target_becomes = becomes;
    target_dumpable = dumpable;
    shared[0] = shared[1] = 0;
    target_pid = spawn(target);
    CHECK_SOON(shared[0], 10);
    CHECK_EXITED(check_reap(spawn(try_to_attach)), 0);
    kill(target_pid, SIGKILL);
    CHECK_SIGNALED(check_reap(target_pid), SIGKILL);
    return shared[1];
}
static void rights(void) {
    shared = shared_memory(4096);
    CHECK_EQ(attached(become_user, 1), 1);
    CHECK_EQ(attached(become_user, 0), EPERM);
    CHECK_EQ(attached(keep_capability, 1), EPERM);
    // Who has the capability attaches to anybody's.
    target_becomes = become_user;
    shared[0] = target_dumpable = 0;
    target_pid = spawn(target);
    CHECK_SOON(shared[0], 10);
    ORDER(PTRACE_SEIZE, target_pid, 0, 0);
    kill(target_pid, SIGKILL);
    CHECK_KILLED(target_pid, SIGKILL);
}

// ---- what a stop tells, and whom ---------------------------------------------------------------------------------------
static volatile int children_told;
static void count_child(int number) { children_told += number == SIGCHLD; }
static void handle_children(int flags) {
    struct sigaction action = {.sa_handler = count_child, .sa_flags = flags};
    CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
}
static void signals_itself(void) {
    raise(SIGUSR1);
    raise(SIGUSR1);
}
static void told_of_stops(void) {
    handle_children(SA_NOCLDSTOP);
    pid_t pid = tracee(signals_itself, 0);
    resume(pid);
    CHECK_STOP(pid, SIGUSR1);
    CHECK_EQ(children_told, 0);
    handle_children(0);
    resume(pid);
    CHECK_STOP(pid, SIGUSR1);
    CHECK_EQ(children_told, 1);
    handle_children(SA_NOCLDSTOP);
    resume(pid);
    CHECK_ENDED(pid, 0);
    CHECK_EQ(children_told, 2); // of the end all the same
}

static void waits(void) {
    for (;;)
        pause();
}
static void lets_stops_through(void) {
    ORDER(PTRACE_SEIZE, target_pid, 0, 0);
    shared[0] = 1;
    CHECK_STOP(target_pid, SIGSTOP);
    shared[1] = 1;
    CHECK_SOON(shared[1] == 2, 20);
    ORDER(PTRACE_CONT, target_pid, 0, SIGSTOP);
    CHECK_STOP(target_pid, SIGSTOP | PTRACE_EVENT_STOP << 8);
    CHECK_SOON(shared[1] == 3, 20);
}
static void parent_of_a_stopped_tracee(void) {
    int status = 0;
    shared = shared_memory(4096);
    target_pid = spawn(waits);
    pid_t tracer = spawn(lets_stops_through);
    CHECK_SOON(shared[0], 10);
    kill(target_pid, SIGSTOP);
    CHECK_SOON(shared[1], 10);
    CHECK_EQ(waitpid(target_pid, &status, WNOHANG | WUNTRACED), 0); // only the tracer knows of the signal yet
    shared[1] = 2;
    CHECK_EQ(waitpid(target_pid, &status, WUNTRACED), target_pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    shared[1] = 3;
    CHECK_EXITED(check_reap(tracer), 0);
    kill(target_pid, SIGKILL);
    CHECK_SIGNALED(check_reap(target_pid), SIGKILL);
}

static void each_stop_is_shown(void) {
    pid_t pid = tracee(waits, 0);
    siginfo_t info;
    resume(pid);
    for (int turn = 0; turn < 3; ++turn) {
        kill(pid, SIGSTOP);
        CHECK_STOP(pid, SIGSTOP); // the signal
        CHECK_EQ(info_of(pid).si_signo, SIGSTOP);
        ORDER(PTRACE_CONT, pid, 0, SIGSTOP);
        CHECK_STOP(pid, SIGSTOP); // the stop
        CHECK_ERRNO(order(PTRACE_GETSIGINFO, pid, 0, (unsigned long)&info), EINVAL);
        kill(pid, SIGCONT);
        resume(pid);
        CHECK_STOP(pid, SIGCONT);
        resume(pid);
    }
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
}

static void* leaves_with_1(void* unused) {
    syscall(SYS_exit, 1);
    return unused;
}
static void ends_with_9(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, leaves_with_1, NULL), 0);
    CHECK_SOON(shared[0], 20);
    _exit(9);
}
static void status_of_a_thread(void) {
    shared = shared_memory(4096);
    pid_t pid = tracee(ends_with_9, PTRACE_O_TRACEEXIT | PTRACE_O_TRACECLONE);
    resume(pid);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_CLONE));
    pid_t thread = (pid_t)message_of(pid);
    CHECK_STOP(thread, SIGSTOP);
    resume(thread);
    CHECK_STOP(thread, EVENT(PTRACE_EVENT_EXIT));
    CHECK_EQ(message_of(thread), 1 << 8);
    resume(pid);
    shared[0] = 1;
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_EXIT)); // the whole process ends while the thread is about to
    order(PTRACE_CONT, thread, 0, 0);          // if it still waits for that
    CHECK_ENDED(thread, 9);
    resume(pid);
    CHECK_ENDED(pid, 9);
}

// ---- what is read and written of a tracee ------------------------------------------------------------------------------
static void odd_registers(void) {
    pid_t pid = tracee(waits, 0);
    struct registers r = get_registers(pid), other = r;
    other.pc |= 1;
    set_registers(pid, other);
    CHECK_EQ(get_registers(pid).pc, r.pc);
    other = r;
    REG(other, 5) = 77;
    struct iovec where = {&other, 8 * 6}; // pc and the first five
    ORDER(PTRACE_SETREGSET, pid, NT_PRSTATUS, &where);
    struct registers now = get_registers(pid);
    CHECK_EQ(REG(now, 5), 77);
    for (int n = 6; n < 32; ++n)
        CHECK_EQ(REG(now, n), REG(r, n));
    struct {
        unsigned long f[32];
        unsigned fcsr, zero;
    } fp;
    where = (struct iovec){&fp, sizeof fp};
    ORDER(PTRACE_GETREGSET, pid, NT_PRFPREG, &where);
    fp.fcsr = ~0u;
    ORDER(PTRACE_SETREGSET, pid, NT_PRFPREG, &where);
    ORDER(PTRACE_GETREGSET, pid, NT_PRFPREG, &where);
    CHECK_EQ(fp.fcsr, 0xff); // rounding mode and flags
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
}

static void suspends(void) {
    sigset_t own, meanwhile;
    sigemptyset(&own);
    sigaddset(&own, SIGUSR1);
    sigemptyset(&meanwhile);
    sigaddset(&meanwhile, SIGUSR2);
    CHECK_EQ(sigprocmask(SIG_SETMASK, &own, NULL), 0);
    shared[0] = 1;
    for (;;)
        sigsuspend(&meanwhile);
}
static void mask_behind_sigsuspend(void) {
    shared = shared_memory(4096);
    pid_t pid = spawn(suspends);
    CHECK_SOON(shared[0] && check_state_of(pid) == 'S', 10);
    ORDER(PTRACE_SEIZE, pid, 0, 0);
    ORDER(PTRACE_INTERRUPT, pid, 0, 0);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_STOP));
    unsigned long mask = 0;
    ORDER(PTRACE_GETSIGMASK, pid, 8, &mask);
    CHECK_EQ(mask, 1ul << (SIGUSR1 - 1));
    kill(pid, SIGKILL);
    CHECK_KILLED(pid, SIGKILL);
}

static void asks(void) { syscall(SYS_getppid); }
static void results_and_errors(void) {
    enum { get_syscall_info = 0x420e, op_exit = 2 };
    struct {
        unsigned char op, pad[3];
        unsigned arch;
        unsigned long pc, sp, rval;
        unsigned char is_error, rest[63];
    } info;
    pid_t pid = tracee(asks, PTRACE_O_TRACESYSGOOD);
    do {
        ORDER(PTRACE_SYSCALL, pid, 0, 0);
        CHECK_STOP(pid, sys_stop);
        CHECK(order(get_syscall_info, pid, sizeof info, (unsigned long)&info) > 0);
    } while (info.op != op_exit);
    const long values[] = {-1, -4095, -4096, -5000, 0, 5};
    for (int i = 0; i < 6; ++i) {
        struct registers r = get_registers(pid);
        REG(r, reg_a0) = (unsigned long)values[i];
        set_registers(pid, r);
        CHECK(order(get_syscall_info, pid, sizeof info, (unsigned long)&info) > 0);
        CHECK_EQ(info.rval, (unsigned long)values[i]);
        CHECK_EQ(info.is_error, i < 2);
    }
    resume(pid);
    CHECK_ENDED(pid, 0);
}

static const struct check_case cases[] = {
    {"a user attaches to an own process, but not to one that is not dumpable or has a capability more", rights, 0,
     false},
    {"a tracer with SA_NOCLDSTOP gets no signal for a stop, but for an end", told_of_stops, 0, false},
    {"the parent of another's tracee hears that it is stopped once the signal was let through",
     parent_of_a_stopped_tracee, 0, false},
    {"each job-control stop of an attached process is shown", each_stop_is_shown, 0, false},
    {"a thread that is about to end when its process does has the status of that", status_of_a_thread, 0, false},
    {"registers that are not given stay, pc is even, and fcsr has eight bits", odd_registers, 0, true},
    {"the mask of a thread in sigsuspend is the one that it will have afterwards", mask_behind_sigsuspend, 0, false},
    {"what a call returns is an error from -4095 to -1", results_and_errors, 0, false},
};
int main(int argc, char** argv) { return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]); }

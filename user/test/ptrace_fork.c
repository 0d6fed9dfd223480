// SPDX-License-Identifier: BSD-2-Clause
// Tracing across births: fork, vfork, clone and exec events, tracees of several threads, and tracing through a loan.
#include "tracee.h"

#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>

#define ALL_BIRTHS (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORKDONE)

static volatile int* shared;
static volatile unsigned long word;
static void setup(void) { shared = shared_memory(4096); }
static void exit_3(void) { _exit(3); }
static void sleep_long(void) {
    for (;;)
        pause();
}

// --- fork ---

static void fork_act(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    CHECK_EXITED(check_reap(pid), 3);
    _exit(4);
}
static void fork_event(void) {
    pid_t pid = tracee(fork_act, PTRACE_O_TRACEFORK);
    resume(pid);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_FORK));
    CHECK_EQ(info_of(pid).si_code, EVENT(PTRACE_EVENT_FORK));
    pid_t child = (pid_t)message_of(pid);
    CHECK_STOP(child, SIGSTOP); // stopped before its first instruction
    CHECK_EQ(tracer_of(child), getpid());
    CHECK_EQ(REG(get_registers(child), reg_a0), 0);
    CHECK_EQ(get_registers(child).pc, get_registers(pid).pc);
    resume(child);
    CHECK_ENDED(child, 3);
    resume(pid);
    CHECK_STOP(pid, SIGCHLD);
    resume(pid);
    CHECK_ENDED(pid, 4);
}
static void seized_fork(void) {
    setup();
    pid_t pid = tracee(fork_act, 0);
    ORDER(PTRACE_DETACH, pid, 0, SIGSTOP); // becomes a job-control stop
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    ORDER(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACESYSGOOD);
    CHECK_STOP(pid, SIGSTOP | PTRACE_EVENT_STOP << 8);
    kill(pid, SIGCONT);
    resume(pid);
    int seen = 0;
    pid_t child = 0;
    while (seen != 7) {
        status = next_status(pid);
        CHECK(WIFSTOPPED(status));
        if (status >> 8 == EVENT(PTRACE_EVENT_STOP))
            seen |= 1;
        else if (status >> 8 == SIGCONT)
            seen |= 2;
        else {
            CHECK_EQ(status >> 8, EVENT(PTRACE_EVENT_FORK));
            child = (pid_t)message_of(pid);
            seen |= 4;
        }
        if (seen != 7)
            resume(pid);
    }
    CHECK_STOP(child, EVENT(PTRACE_EVENT_STOP)); // a seized one's child has no SIGSTOP
    ORDER(PTRACE_DETACH, child, 0, 0);
    resume(pid);
    CHECK_STOP(pid, SIGCHLD);
    resume(pid);
    CHECK_ENDED(pid, 4);
}
static void clone_flags_act(void) {
    pid_t pid = (pid_t)syscall(SYS_clone, (long)(CLONE_UNTRACED | SIGCHLD), 0L, 0L, 0L, 0L);
    if (pid == 0)
        _exit(0);
    check_reap(pid);
    pid = (pid_t)syscall(SYS_clone, (long)(CLONE_PTRACE | SIGUSR1), 0L, 0L, 0L, 0L);
    if (pid == 0)
        _exit(5);
    shared[0] = pid;
    int status;
    while (waitpid(pid, &status, __WCLONE) < 0)
        CHECK_EQ(errno, EINTR);
    CHECK_EXITED(status, 5);
}
static void clone_flags(void) {
    setup();
    pid_t pid = tracee(clone_flags_act, PTRACE_O_TRACEFORK); // not CLONE: what does not end with SIGCHLD is one
    resume(pid);
    CHECK_STOP(pid, SIGCHLD);
    resume(pid);
    CHECK_SOON(shared[0] != 0, 5);
    CHECK_STOP(shared[0], SIGSTOP);
    resume(shared[0]);
    CHECK_ENDED(shared[0], 5);
    CHECK_STOP(pid, SIGUSR1);
    resume(pid);
    CHECK_ENDED(pid, 0);
}

// --- vfork ---

static void vfork_act(void) {
    shared[0] = 1;
    pid_t pid = vfork();
    if (pid == 0) {
        shared[1] = 1;
        _exit(3);
    }
    shared[2] = pid;
    CHECK_EXITED(check_reap(pid), 3);
    _exit(4);
}
static void vfork_events(void) {
    setup();
    long loans = check_counter("loans");
    pid_t pid = tracee(vfork_act, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACESYSGOOD);
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_STOP(pid, sys_stop);
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_VFORK));
    pid_t child = (pid_t)message_of(pid);
    CHECK_STOP(child, SIGSTOP);
    ORDER(PTRACE_SYSCALL, pid, 0, 0); // the parent waits for the child, stopped or not
    CHECK_QUIET(pid);
    CHECK_EQ(shared[1], 0);
    CHECK_EQ(shared[2], 0);
    resume(child);
    CHECK_ENDED(child, 3);
    CHECK_EQ(shared[1], 1);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_VFORK_DONE));
    CHECK_EQ(message_of(pid), child);
    CHECK_EQ(shared[2], 0);
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_STOP(pid, sys_stop);
    CHECK_EQ(REG(get_registers(pid), reg_a0), child);
    resume(pid);
    CHECK_STOP(pid, SIGCHLD);
    resume(pid);
    CHECK_ENDED(pid, 4);
    CHECK_EQ(check_counter("loans"), loans); // a tracee's thread is its own
}

// Which events a tracee that forks, vforks and makes a thread shows, as bits, for each set of options.
static void* nothing(void* argument) { return argument; }
static void births_act(void) {
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    check_reap(pid);
    pid = vfork();
    if (pid == 0)
        _exit(0);
    check_reap(pid);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, nothing, NULL), 0);
    pthread_join(thread, NULL);
}
static void combinations(void) {
    static const unsigned options[] = {PTRACE_O_TRACEFORK, PTRACE_O_TRACEVFORK, PTRACE_O_TRACEVFORKDONE,
                                       PTRACE_O_TRACECLONE};
    static const int events[] = {PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_VFORK_DONE, PTRACE_EVENT_CLONE};
    for (unsigned set = 0; set < 16; ++set) {
        unsigned long wanted = 0;
        for (int i = 0; i < 4; ++i)
            wanted |= set >> i & 1 ? options[i] : 0;
        pid_t pid = tracee(births_act, wanted);
        resume(pid);
        unsigned seen = 0, births = 0, children = 0;
        for (;;) {
            int status;
            pid_t who = waitpid(-1, &status, __WALL);
            CHECK(who > 0);
            if (!WIFSTOPPED(status)) {
                CHECK_EXITED(status, 0);
                if (who == pid)
                    break;
                continue;
            }
            if (who != pid) {
                CHECK_EQ(status >> 8, SIGSTOP);
                ++children;
            } else if (status >> 16) {
                int i = 0;
                while (events[i] != status >> 16)
                    CHECK(++i < 4);
                CHECK_EQ(seen >> i & 1, 0);
                seen |= 1u << i;
                births += i != 2;
            } else {
                CHECK_EQ(status >> 8, SIGCHLD);
            }
            resume(who);
        }
        CHECK_EQ(seen, set);
        CHECK_EQ(children, births);
    }
}

// At each of the four stops of a traced vfork, one of the two is let go or killed.
static void at_each_point(void) {
    for (int point = 0; point < 4; ++point) {
        for (int deadly = 0; deadly < 2; ++deadly) {
            setup();
            pid_t pid = tracee(vfork_act, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE);
            resume(pid);
            CHECK_STOP(pid, EVENT(PTRACE_EVENT_VFORK));
            pid_t child = (pid_t)message_of(pid);
            CHECK_STOP(child, SIGSTOP);
            if (point == 0) { // the parent, before it waits
                if (deadly) {
                    kill(pid, SIGKILL);
                    CHECK_KILLED(pid, SIGKILL);
                } else {
                    ORDER(PTRACE_DETACH, pid, 0, 0);
                }
                resume(child);
                CHECK_ENDED(child, 3); // the child goes its own way
                if (!deadly)
                    CHECK_ENDED(pid, 4);
                continue;
            }
            resume(pid);
            if (point == 1) { // the child
                if (deadly)
                    kill(child, SIGKILL);
                else
                    ORDER(PTRACE_DETACH, child, 0, 0);
                if (deadly)
                    CHECK_KILLED(child, SIGKILL);
                CHECK_STOP(pid, EVENT(PTRACE_EVENT_VFORK_DONE));
                kill(pid, SIGKILL);
                CHECK_KILLED(pid, SIGKILL);
                continue;
            }
            if (point == 2 && deadly) { // the parent while it waits
                kill(pid, SIGKILL);
                CHECK_KILLED(pid, SIGKILL); // no VFORK_DONE: nothing was done
                resume(child);
                CHECK_ENDED(child, 3);
                continue;
            }
            resume(child);
            CHECK_ENDED(child, 3);
            CHECK_STOP(pid, EVENT(PTRACE_EVENT_VFORK_DONE));
            if (deadly) {
                kill(pid, SIGKILL);
                CHECK_KILLED(pid, SIGKILL);
            } else {
                ORDER(PTRACE_DETACH, pid, 0, 0);
                CHECK_ENDED(pid, 4);
            }
        }
    }
}

__attribute__((noinline, aligned(8))) static void hit(void) { __asm__ volatile(""); }
static void (*volatile hit_it)(void) = hit;
static void vfork_hit(void) {
    pid_t pid = vfork();
    if (pid == 0) {
        hit_it();
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
}
static void breakpoint_is_shared(void) {
    pid_t pid = tracee(vfork_hit, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE);
    unsigned long text = peek(pid, (void*)hit);
    poke(pid, (void*)hit, (text & ~0xffffUL) | 0x9002);
    resume(pid);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_VFORK));
    pid_t child = (pid_t)message_of(pid);
    CHECK_STOP(child, SIGSTOP);
    resume(child);
    CHECK_STOP(child, SIGTRAP); // inserted in the parent, hit by the child
    CHECK_EQ(get_registers(child).pc, (long)hit);
    poke(child, (void*)hit, text);
    CHECK_EQ(peek(pid, (void*)hit), text); // one memory
    resume(child);
    CHECK_ENDED(child, 0);
    resume(pid);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_VFORK_DONE));
    resume(pid);
    CHECK_STOP(pid, SIGCHLD);
    resume(pid);
    CHECK_ENDED(pid, 0);
}

// A child stopped at its birth, by the tracer's options, keeps its creator waiting: until it is continued, or killed.
static void vfork_stays_act(void) {
    pid_t pid = vfork();
    if (pid == 0) {
        shared[0] = 1;
        _exit(3);
    }
    shared[1] = 1;
    int status = check_reap(pid);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 40 + WTERMSIG(status));
}
static void stays_stopped(void) {
    setup();
    for (int killed = 0; killed < 2; ++killed) {
        shared[0] = shared[1] = 0;
        pid_t pid = tracee(vfork_stays_act, PTRACE_O_TRACEVFORK);
        resume(pid);
        CHECK_STOP(pid, EVENT(PTRACE_EVENT_VFORK));
        pid_t child = (pid_t)message_of(pid);
        CHECK_STOP(child, SIGSTOP);
        resume(pid);
        CHECK_QUIET(pid);
        CHECK_QUIET(child);
        CHECK_EQ(check_state_of(child), 't');
        CHECK_EQ(check_state_of(pid), 'D');
        CHECK_EQ(shared[0] + shared[1], 0);
        if (killed)
            kill(child, SIGKILL);
        else
            resume(child);
        if (killed)
            CHECK_KILLED(child, SIGKILL);
        else
            CHECK_ENDED(child, 3);
        CHECK_STOP(pid, SIGCHLD);
        CHECK_EQ(shared[0], !killed);
        resume(pid);
        CHECK_ENDED(pid, killed ? 40 + SIGKILL : 3);
        CHECK_EQ(shared[1], 1);
    }
}

// --- a borrower asks its lender to trace it ---

static volatile int raised, act_signal, step;
static void count_signal(int n) { ++raised, (void)n; }
static void trace_me_and_raise(void) {
    ORDER(PTRACE_TRACEME, 0, 0, 0);
    raise(act_signal);
    step = 1;
}
static void traceme_no_stops(void) {
    static const int harmless[] = {SIGTSTP, SIGTTIN, SIGTTOU, SIGCONT, SIGUSR1};
    static const int deadly[] = {SIGKILL, SIGABRT, SIGHUP, SIGTRAP, SIGBUS, SIGILL, SIGFPE, SIGSEGV, SIGUSR2};
    setup();
    signal(SIGUSR1, count_signal);
    for (unsigned i = 0; i < sizeof harmless / sizeof *harmless; ++i) {
        act_signal = harmless[i];
        step = 0;
        lend_ok(trace_me_and_raise);
        CHECK_EQ(step, 1);
    }
    CHECK_EQ(raised, 1);
    for (unsigned i = 0; i < sizeof deadly / sizeof *deadly; ++i) {
        act_signal = deadly[i];
        step = 0;
        CHECK_SIGNALED(lend(trace_me_and_raise), deadly[i]);
        CHECK_EQ(step, 0);
    }
}
static void lends_to_stopper(void) {
    act_signal = SIGSTOP;
    CHECK_SIGNALED(lend(trace_me_and_raise), SIGKILL);
}
static void traceme_sigstop(void) {
    pid_t lender = spawn(lends_to_stopper);
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)lender, (int)lender);
    CHECK_SOON(check_read_file(path, text, sizeof text) > 0, 5);
    pid_t borrower = atoi(text);
    CHECK_SOON(check_state_of(borrower) == 'T', 5);
    CHECK_QUIET(lender);
    kill(borrower, SIGKILL);
    CHECK_EXITED(check_reap(lender), 0);
}
static void trace_me_and_crash(void) {
    sigset_t all;
    sigfillset(&all);
    ORDER(PTRACE_TRACEME, 0, 0, 0);
    sigprocmask(SIG_SETMASK, &all, NULL);
    *(volatile int* volatile){(int*)8} = 0;
}
static void traceme_crash(void) {
    CHECK_SIGNALED(lend(trace_me_and_crash), SIGSEGV);
    signal(SIGSEGV, SIG_IGN);
    CHECK_SIGNALED(lend(trace_me_and_crash), SIGSEGV);
}
static void trace_me_and_exec(void) {
    ORDER(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGCONT);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTRAP);
    if (step == 1)
        sigprocmask(SIG_BLOCK, &set, NULL);
    if (step == 2)
        signal(SIGTRAP, SIG_IGN);
    execl(check_self, check_self, "@exit", "6", (char*)NULL);
    _exit(127);
}
static void traceme_exec(void) {
    for (step = 0; step < 3; ++step) {
        pid_t pid = borrow(trace_me_and_exec);
        CHECK_STOP(pid, SIGTRAP);
        CHECK_EQ(tracer_of(pid), getpid());
        kill(pid, SIGUSR1);
        resume(pid);
        CHECK_STOP(pid, SIGUSR1); // from here on like any tracee
        resume(pid);
        CHECK_ENDED(pid, 6);
    }
}
static void traceme_gift(void) {
    long gifts = check_counter("gifts"), open = check_counter("loans_open");
    act_signal = SIGCONT;
    lend_ok(trace_me_and_raise);
    CHECK_EQ(check_counter("gifts"), gifts + 1);
    CHECK_EQ(check_counter("loans_open"), open);
}

// --- others attach to a loan's parties ---

static void borrower_loop(void) {
    shared[0] = getpid();
    while (shared[1] == 0)
        shared[2]++;
    shared[3] = 1;
}
static void lend_to_loop(void) {
    CHECK_EXITED(lend(borrower_loop), 0);
    shared[4] = shared[3];
    _exit(9);
}
static void attach_to_borrower(void) {
    setup();
    long gifts = check_counter("gifts");
    pid_t lender = spawn(lend_to_loop);
    CHECK_SOON(shared[2] != 0, 5);
    pid_t borrower = shared[0];
    ORDER(PTRACE_ATTACH, borrower, 0, 0);
    CHECK_STOP(borrower, SIGSTOP);
    CHECK_EQ(check_counter("gifts"), gifts + 1); // it has a task of its own now
    int before = shared[2];
    check_sleep_ms(20);
    CHECK_EQ(shared[2], before);
    CHECK_EQ(check_state_of(borrower), 't');
    CHECK_EQ(check_state_of(lender), 'D'); // waits on
    poke(borrower, &word, 77);
    siginfo_t info;
    CHECK_ERRNO(order(PTRACE_GETSIGINFO, lender, 0, (unsigned long)&info), ESRCH);
    resume(borrower);
    CHECK_SOON(shared[2] > before, 5);
    shared[1] = 1;
    CHECK_ENDED(borrower, 0); // the tracer first, then its parent
    CHECK_EXITED(check_reap(lender), 9);
    CHECK_EQ(shared[4], 1);
}
static void attach_to_lender(void) {
    setup();
    pid_t lender = spawn(lend_to_loop);
    CHECK_SOON(shared[2] != 0, 5);
    ORDER(PTRACE_SEIZE, lender, 0, PTRACE_O_TRACESYSGOOD);
    ORDER(PTRACE_INTERRUPT, lender, 0, 0);
    CHECK_QUIET(lender); // it stops when it has its thread again
    int before = shared[2];
    CHECK_SOON(shared[2] > before, 5); // the borrower runs on
    CHECK_EQ(tracer_of(shared[0]), 0);
    shared[1] = 1;
    CHECK_STOP(lender, EVENT(PTRACE_EVENT_STOP));
    CHECK_EQ(REG(get_registers(lender), reg_a0), shared[0]);
    CHECK_EQ(shared[4], 0);
    ORDER(PTRACE_DETACH, lender, 0, 0);
    CHECK_EXITED(check_reap(lender), 9);
}
static void kill_attached_lender(void) {
    setup();
    pid_t lender = spawn(lend_to_loop);
    CHECK_SOON(shared[2] != 0, 5);
    pid_t borrower = shared[0];
    ORDER(PTRACE_SEIZE, lender, 0, 0);
    ORDER(PTRACE_SEIZE, borrower, 0, 0);
    ORDER(PTRACE_INTERRUPT, borrower, 0, 0);
    CHECK_STOP(borrower, EVENT(PTRACE_EVENT_STOP));
    kill(lender, SIGKILL);
    CHECK_KILLED(lender, SIGKILL);
    resume(borrower);
    int before = shared[2];
    CHECK_SOON(shared[2] > before, 5);
    shared[1] = 1;
    CHECK_ENDED(borrower, 0);
}
static void peers_read_both(void) { // EC-97
    setup();
    pid_t lender = spawn(lend_to_loop);
    CHECK_SOON(shared[2] != 0, 5);
    unsigned long value = 0x1234;
    struct iovec local = {&value, sizeof value}, remote = {(void*)&word, sizeof value};
    CHECK_EQ(process_vm_writev(shared[0], &local, 1, &remote, 1, 0), 8);
    value = 0;
    CHECK_EQ(process_vm_readv(lender, &local, 1, &remote, 1, 0), 8);
    CHECK_EQ(value, 0x1234);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)lender);
    int fd = open(path, O_RDWR);
    value = 0x4321;
    CHECK_EQ(pwrite(fd, &value, sizeof value, (long)&word), 8);
    close(fd);
    CHECK_EQ(process_vm_readv(shared[0], &local, 1, &remote, 1, 0), 8);
    CHECK_EQ(value, 0x4321);
    shared[1] = 1;
    CHECK_EXITED(check_reap(lender), 9);
}

// --- exec ---

static void exec_6(void) {
    execl(check_self, check_self, "@exit", "6", (char*)NULL);
    _exit(127);
}
static void exec_events(void) {
    pid_t pid = tracee(exec_6, 0);
    resume(pid);
    CHECK_STOP(pid, SIGTRAP); // old style
    CHECK_EQ(info_of(pid).si_code, SI_USER);
    resume(pid);
    CHECK_ENDED(pid, 6);
    pid = tracee(exec_6, PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD);
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_STOP(pid, sys_stop);
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_EXEC));
    CHECK_EQ(message_of(pid), pid);
    unsigned long pc = get_registers(pid).pc;
    ORDER(PTRACE_SYSCALL, pid, 0, 0);
    CHECK_STOP(pid, sys_stop); // the call returns into the new image
    CHECK_EQ(get_registers(pid).pc, pc);
    CHECK_EQ(REG(get_registers(pid), reg_a0), 0);
    resume(pid);
    CHECK_ENDED(pid, 6);
}
static void vfork_exec_act(void) { // with every birth followed
    CHECK_EXITED(lend(exec_6), 6);
    _exit(4);
}
static void vfork_exec(void) {
    pid_t pid = tracee(vfork_exec_act, ALL_BIRTHS | PTRACE_O_TRACEEXEC);
    resume(pid);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_VFORK));
    pid_t child = (pid_t)message_of(pid);
    CHECK_STOP(child, SIGSTOP);
    resume(pid);
    resume(child);
    CHECK_STOP(child, EVENT(PTRACE_EVENT_EXEC));
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_VFORK_DONE)); // while the child is still stopped
    ORDER(PTRACE_DETACH, pid, 0, 0);
    ORDER(PTRACE_DETACH, child, 0, 0);
    CHECK_ENDED(pid, 4);
}

static void report_ids(void) {
    execl("/tmp/ptrace.setid", "ptrace.setid", "@ids", (char*)NULL);
    _exit(127);
}
static void as_user(void) {
    CHECK_EQ(setresuid(1000, 1000, 1000), 0);
    pid_t plain = fork();
    if (plain == 0)
        report_ids();
    CHECK_EXITED(check_reap(plain), 50); // set-id counts
    pid_t pid = tracee(report_ids, 0);
    resume(pid);
    CHECK_STOP(pid, SIGTRAP);
    resume(pid);
    CHECK_ENDED(pid, 51); // not for a tracee
}
static void setid_exec(void) {
    unlink("/tmp/ptrace.setid");
    int in = open(check_self, O_RDONLY), out = open("/tmp/ptrace.setid", O_WRONLY | O_CREAT | O_TRUNC, 0755);
    static char buffer[65536];
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;)
        CHECK_EQ(write(out, buffer, (size_t)n), n);
    close(in);
    close(out);
    CHECK_EQ(chmod("/tmp/ptrace.setid", 04755), 0);
    pid_t pid = spawn(as_user);
    CHECK_EXITED(check_reap(pid), 0);
    unlink("/tmp/ptrace.setid");
}

// --- threads ---

static void* thread_ends(void* argument) {
    shared[1] = (int)syscall(SYS_gettid);
    return argument;
}
static void threads_act(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, thread_ends, NULL), 0);
    pthread_join(thread, NULL);
    _exit(2);
}
static void threads(void) {
    setup();
    pid_t pid = tracee(threads_act, PTRACE_O_TRACECLONE);
    resume(pid);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_CLONE));
    pid_t tid = (pid_t)message_of(pid);
    CHECK_STOP(tid, SIGSTOP);
    resume(tid);
    CHECK_ENDED(tid, 0); // a thread's end is its tracer's to hear
    CHECK_EQ(shared[1], tid);
    resume(pid);
    CHECK_ENDED(pid, 2);
}
static void* thread_execs(void* argument) {
    shared[1] = (int)syscall(SYS_gettid);
    exec_6();
    return argument;
}
static void thread_exec_act(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, thread_execs, NULL), 0);
    sleep_long();
}
static void thread_exec(void) {
    setup();
    pid_t pid = tracee(thread_exec_act, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC);
    resume(pid);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_CLONE));
    pid_t tid = (pid_t)message_of(pid);
    CHECK_STOP(tid, SIGSTOP);
    resume(pid);
    resume(tid);
    CHECK_STOP(pid, EVENT(PTRACE_EVENT_EXEC)); // the leader's name, the other's life
    CHECK_EQ(message_of(pid), tid);
    CHECK_ERRNO(order(PTRACE_CONT, tid, 0, 0), ESRCH);
    resume(pid);
    CHECK_ENDED(pid, 6);
    CHECK_ERRNO(waitpid(-1, NULL, __WALL), ECHILD);
}
static void* thread_sleeps(void* argument) {
    sleep_long();
    return argument;
}
static void group_exit_act(void) {
    pthread_t thread;
    for (int i = 0; i < 3; ++i)
        CHECK_EQ(pthread_create(&thread, NULL, thread_sleeps, NULL), 0);
    _exit(8);
}
static void group_exit(void) {
    pid_t pid = tracee(group_exit_act, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT);
    resume(pid);
    int exits = 0, ends = 0;
    for (;;) {
        int status;
        pid_t who = waitpid(-1, &status, __WALL);
        CHECK(who > 0);
        if (!WIFSTOPPED(status)) {
            CHECK_EXITED(status, 8);
            ++ends;
            if (who == pid)
                break; // the process ends after all its threads
            continue;
        }
        exits += status >> 8 == EVENT(PTRACE_EVENT_EXIT);
        resume(who);
    }
    CHECK_EQ(exits, 4);
    CHECK_EQ(ends, 4);
    CHECK_ERRNO(waitpid(-1, NULL, __WALL), ECHILD);
}

// Both ways of stepping over a vfork: the call is one instruction of the parent.
static void step_over_vfork(void) {
    setup();
    pid_t pid = tracee(vfork_act, 0);
    int status;
    do {
        ORDER(PTRACE_SINGLESTEP, pid, 0, 0);
        status = next_status(pid);
        CHECK(WIFSTOPPED(status));
        if (WSTOPSIG(status) == SIGCHLD)
            break;
        CHECK_EQ(WSTOPSIG(status), SIGTRAP);
    } while (shared[2] == 0);
    CHECK_EQ(shared[1], 1);
    resume(pid);
    status = next_status(pid);
    if (WIFSTOPPED(status)) {
        CHECK_EQ(WSTOPSIG(status), SIGCHLD);
        resume(pid);
        status = next_status(pid);
    }
    CHECK_EXITED(status, 4);
}

// Tracers come and go while a process forks and vforks.
static void busy(void) {
    for (;;) {
        pid_t pid = shared[0]++ & 1 ? fork() : borrow(exit_3);
        if (pid == 0)
            _exit(3);
        CHECK(pid > 0);
        CHECK_EXITED(check_reap(pid), 3);
    }
}
static void let_go(pid_t pid) { // a child of `pid` that stopped for us, or ended
    int status;
    pid_t who = waitpid(-1, &status, WNOHANG | __WALL);
    CHECK(who != pid && who >= 0);
    if (who > 0 && WIFSTOPPED(status))
        ORDER(PTRACE_DETACH, who, 0, 0);
}
static void come_and_go(void) {
    setup();
    pid_t pid = spawn(busy);
    for (int round = 0; round < 60; ++round) {
        ORDER(PTRACE_SEIZE, pid, 0, round & 1 ? ALL_BIRTHS : 0);
        if (round & 2)
            check_sleep_ms(1);
        ORDER(PTRACE_INTERRUPT, pid, 0, 0);
        for (int left = 6; left > 0;) {
            int status;
            pid_t who = waitpid(-1, &status, __WALL);
            CHECK(who > 0);
            if (!WIFSTOPPED(status)) {
                CHECK(who != pid);
                CHECK_EXITED(status, 3);
                continue;
            }
            int signal = status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP ? WSTOPSIG(status) : 0;
            const bool done = who == pid ? --left == 0 : round & 4;
            ORDER(done ? PTRACE_DETACH : PTRACE_CONT, who, 0, signal);
            if (who == pid && !done)
                ORDER(PTRACE_INTERRUPT, pid, 0, 0);
        }
    }
    int before = shared[0];
    CHECK_SOON((let_go(pid), shared[0] > before + 10), 5);
    kill(pid, SIGKILL);
    while (waitpid(-1, NULL, __WALL) > 0) {
    }
}

static const struct check_case cases[] = {
    {"NB-39 a fork is an event of the parent, and its child is traced and stopped before its first instruction",
     fork_event, 0, false},
    {"a seized process's child is seized", seized_fork, 0, false},
    {"NB-49 CLONE_UNTRACED hides a child from the tracer, CLONE_PTRACE gives it one", clone_flags, 0, false},
    {"EC-130 EC-135 NB-56 LX-22 FB-02 FB-04 a traced vfork: event before the wait, child stopped, done event, result",
     vfork_events, 0, false},
    {"NB-40 a vfork child stopped at its birth keeps its creator waiting until it goes on or is killed", stays_stopped,
     0, false},
    {"EC-132 NB-42 NB-43 NB-44 births stop for exactly the events asked for, in all 16 combinations", combinations, 60,
     false},
    {"EC-131 parent or child of a traced vfork is let go or killed at every stop", at_each_point, 60, false},
    {"EC-134 a breakpoint in memory that a vfork child shares is hit by the child", breakpoint_is_shared, 0, false},
    {"BS-16 NB-57 NB-59 FB-09 EC-133 a vfork child that asks its parent to trace it does not stop for signals",
     traceme_no_stops, 60, true},
    {"NB-58 SIGSTOP stops it like any borrower, until somebody kills it", traceme_sigstop, 0, true},
    {"NB-60 its crash kills it, whether the signal is masked or ignored", traceme_crash, 0, true},
    {"EC-133 FB-09 it stops with SIGTRAP after exec, although that is masked or ignored", traceme_exec, 0, true},
    {"PTRACE_TRACEME by a borrower makes the loan a gift", traceme_gift, 0, true},
    {"a borrower that is attached to gets a task of its own, and its lender waits on", attach_to_borrower, 0, false},
    {"a lender that is attached to stops when it has its thread again", attach_to_lender, 0, false},
    {"a lender that is traced is killed, and its traced borrower lives", kill_attached_lender, 0, false},
    {"EC-97 writing into lender or borrower reaches the same memory", peers_read_both, 0, false},
    {"exec is a SIGTRAP, or an event if asked for, before the call's second stop", exec_events, 0, false},
    {"a traced vfork child's exec releases its parent while it is stopped", vfork_exec, 0, false},
    {"EC-73 set-id does not count for the tracee of a user", setid_exec, 0, false},
    {"a thread is an event of its creator, and its end is its tracer's to wait for", threads, 0, false},
    {"an exec by another thread than the first goes on under the first one's number", thread_exec, 0, false},
    {"a process of several tracees ends thread by thread, with the process last", group_exit, 0, false},
    {"a single step over a vfork that is not followed is one step", step_over_vfork, 60, false},
    {"a tracer comes and goes while a process forks and vforks", come_and_go, 60, false},
};
int main(int argc, char** argv) {
    if (argc > 2 && strcmp(argv[1], "@exit") == 0)
        return atoi(argv[2]);
    if (argc > 1 && strcmp(argv[1], "@ids") == 0)
        return geteuid() == 0 ? 50 : 51;
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

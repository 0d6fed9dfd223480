// SPDX-License-Identifier: BSD-2-Clause
// Rules of making processes that belong to no other program's subject: what a C library sees, calls on a borrower from
// outside, threads that wait for a sibling. `@leader` is for test/boot, `@pause` and `@check` are images.
#include "lend.h"
#include "objects.h"

#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>

static volatile int* shared;
static void (*volatile outsider)(pid_t borrower); // runs in a third process while the borrower waits
static int go[2];

static void one_call(void) {
    enum { fork_of_others = 1079, vfork_of_others = 1071 };
    CHECK_ERRNO(syscall(fork_of_others), ENOSYS);
    CHECK_ERRNO(syscall(vfork_of_others), ENOSYS);
    long loans = check_counter("loans"), forks = check_counter("forks");
    volatile int word = 0;
    long pid = syscall(SYS_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        word = 5;
        syscall(SYS_exit_group, 3);
    }
    CHECK(pid > 0);
    CHECK_EQ(word, 5);
    CHECK_EXITED(check_reap((pid_t)pid), 3);
    CHECK_EQ(check_counter("loans") - loans, 1);
    CHECK_EQ(check_counter("forks") - forks, 1);
}

static volatile pid_t child_pid, child_parent;
static void note_pids(void) {
    child_pid = getpid();
    child_parent = getppid();
}
static void fresh_pids(void) { // nobody here has asked for a pid yet
    pid_t first = borrow(note_pids);
    CHECK_EQ(child_pid, first);
    CHECK_EQ(child_parent, getpid());
    pid_t second = borrow(note_pids); // and now somebody has
    CHECK_EQ(child_pid, second);
    CHECK_EQ(child_parent, getpid());
    CHECK(first != second && first != getpid());
    check_reap(first);
    check_reap(second);
    _exit(0);
}
static void pids(void) { CHECK_EXITED(check_reap(spawn(fresh_pids)), 0); }

static pthread_t own_thread;
static void compare_thread(void) {
    if (!pthread_equal(pthread_self(), own_thread))
        _exit(1);
}
static void thread_pointer(void) {
    own_thread = pthread_self();
    lend_ok(compare_thread);
    CHECK_EXITED(check_reap(spawn(compare_thread)), 0);
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) {
        compare_thread();
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
}

static volatile int handlers_run;
static void count_handler(void) { ++handlers_run; }
static void do_nothing(void) {}
static void at_fork(void) {
    CHECK_EQ(pthread_atfork(count_handler, count_handler, count_handler), 0);
    lend_ok(do_nothing);
    CHECK_EQ(handlers_run, 0);
    CHECK_EXITED(check_reap(spawn(do_nothing)), 0);
    CHECK_EQ(handlers_run, 2); // its own copy counted the third
}

static int out_pipe[2];
static FILE* out;
static void exit_with_handlers(void) { exit(4); }
static void leaves_by_exit(void) { // exit(3) in the borrower works on the lender's C library
    out = fdopen(out_pipe[1], "w");
    CHECK_EQ(atexit(count_handler), 0);
    fputs("once", out);
    CHECK_EXITED(lend(exit_with_handlers), 4);
    CHECK_EQ(handlers_run, 1);
    CHECK(fcntl(out_pipe[1], F_GETFD) >= 0); // closed in the borrower alone
    _exit(0);
}
static void library_exit(void) {
    char text[16] = "";
    CHECK_EQ(pipe(out_pipe), 0);
    CHECK_EXITED(check_reap(spawn(leaves_by_exit)), 0);
    close(out_pipe[1]);
    CHECK_EQ(read(out_pipe[0], text, sizeof text), 4);
    CHECK(memcmp(text, "once", 4) == 0);
}

static __attribute__((noinline)) int vforks_and_returns(void) {
    volatile char frame[64];
    frame[0] = 1;
    int pid = vfork();
    return pid + (frame[0] - 1);
}
static __attribute__((noinline)) int overwrites(int depth) {
    volatile int words[64];
    for (int i = 0; i < 64; ++i)
        words[i] = depth;
    return depth == 0 ? words[1] : overwrites(depth - 1) + words[2];
}
static void wreck(void) {
    alarm(5);
    if (vforks_and_returns() == 0) {
        overwrites(20);
        _exit(1);
    }
    overwrites(20);
    _exit(2);
}
static void wrecked(void) {
    struct object_counts before = settled_objects();
    for (int i = 0; i < 20; ++i)
        check_reap(spawn(wreck)); // any end will do, as long as there is one
    while (waitpid(-1, NULL, 0) > 0) {
    }
    objects_are_back(&before);
    lend_ok(do_nothing);
}

static void pages_saved(void) {
    size_t size = 16 << 20;
    char* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memset(memory, 1, size);
    long saved = check_counter("pages_not_copied"), loans = check_counter("loans"),
         waits = check_counter("forks_ppwait");
    CHECK_EXITED(check_reap(spawn(do_nothing)), 0);
    CHECK_EQ(check_counter("pages_not_copied"), saved);
    CHECK_EQ(check_counter("loans"), loans);
    lend_ok(do_nothing);
    long more = check_counter("pages_not_copied") - saved;
    CHECK(more >= (long)size / 4096 && more < (long)size / 4096 + 4096);
    CHECK_EQ(check_counter("loans") - loans, 1);
    CHECK_EQ(check_counter("forks_ppwait") - waits, 1);
}

static long switches(void) {
    struct rusage use;
    getrusage(RUSAGE_THREAD, &use);
    return use.ru_nvcsw + use.ru_nivcsw;
}
static volatile unsigned borrower_hart;
static volatile long borrower_switches;
static void note_hart(void) {
    unsigned hart;
    syscall(SYS_getcpu, &hart, NULL, NULL);
    borrower_hart = hart;
    borrower_switches = switches();
}
static void no_switch(void) {
    int quiet = 0, same = 0;
    for (int i = 0; i < 200; ++i) {
        unsigned before;
        syscall(SYS_getcpu, &before, NULL, NULL);
        long own = switches();
        pid_t pid = borrow(note_hart);
        own = switches() - own;
        quiet += own == 0 && borrower_switches == 0;
        same += borrower_hart == before;
        check_reap(pid);
    }
    CHECK(quiet >= 150); // a slice may end, or an interrupt come, at any time
    CHECK(same >= 150);
}

static void wait_for_go(void) {
    char c;
    shared[0] = getpid();
    if (read(go[0], &c, 1) != 1)
        _exit(1);
}
// A lender whose borrower waits, and what `act` does to it from a third process meanwhile.
static void meanwhile(void (*act)(pid_t borrower)) {
    shared = shared_memory(4096);
    outsider = act;
    CHECK_EQ(pipe(go), 0);
    shared[1] = getpid();
    pid_t third = fork();
    CHECK(third >= 0);
    if (third == 0) {
        CHECK_SOON(shared[0] != 0, 10);
        outsider(shared[0]);
        CHECK_EQ(write(go[1], "", 1), 1);
        _exit(0);
    }
    lend_ok(wait_for_go);
    CHECK_EXITED(check_reap(third), 0);
}
static void look(pid_t borrower) {
    struct rlimit limit = {0, 0};
    struct sched_param parameters;
    cpu_set_t set;
    CHECK_EQ(kill(borrower, 0), 0);
    CHECK_EQ(getpgid(borrower), getpgid(shared[1]));
    CHECK_EQ(getsid(borrower), getsid(shared[1]));
    CHECK_EQ(sched_getscheduler(borrower), SCHED_OTHER);
    CHECK_EQ(sched_getparam(borrower, &parameters), 0);
    CHECK_EQ(sched_getaffinity(borrower, sizeof set, &set), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)borrower), 0);
    CHECK_EQ(setpriority(PRIO_PROCESS, (id_t)borrower, 7), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)borrower), 7);
    CHECK_EQ(getpriority(PRIO_PROCESS, (id_t)shared[1]), 0);
    CHECK_EQ(prlimit(borrower, RLIMIT_NOFILE, NULL, &limit), 0);
    struct rlimit lower = {limit.rlim_cur - 10, limit.rlim_max};
    CHECK_EQ(prlimit(borrower, RLIMIT_NOFILE, &lower, NULL), 0);
    CHECK_EQ(prlimit(shared[1], RLIMIT_NOFILE, NULL, &lower), 0);
    CHECK_EQ(lower.rlim_cur, limit.rlim_cur);
}
static void calls_on_borrower(void) {
    meanwhile(look);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
}

static void change_affinity(pid_t borrower) {
    cpu_set_t one, seen;
    CPU_ZERO(&one);
    CPU_SET(1, &one);
    CHECK_EQ(sched_setaffinity(shared[1], sizeof one, &one), 0);
    CHECK_EQ(sched_getaffinity(borrower, sizeof seen, &seen), 0);
    CHECK(CPU_COUNT(&seen) > 1);
}
static void lender_affinity(void) {
    cpu_set_t set;
    meanwhile(change_affinity);
    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    CHECK(CPU_COUNT(&set) == 1 && CPU_ISSET(1, &set));
    for (int i = 0; i < 20; ++i) {
        CHECK_EQ(sched_getcpu(), 1);
        sched_yield();
    }
}

static void never_ends(void) {
    for (;;)
        pause();
}
static void waiting_lender(void) {
    pid_t lender = fork();
    CHECK(lender >= 0);
    if (lender == 0) {
        borrow(never_ends);
        _exit(1);
    }
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    char path[64], text[64];
    CHECK_SOON(check_state_of(lender) == 'D', 10);
    snprintf(path, sizeof path, "/proc/%d/wchan", (int)lender);
    CHECK(check_read_file(path, text, sizeof text) > 0);
    CHECK(strcmp(text, "vfork") == 0);
    snprintf(path, sizeof path, "/proc/%d/status", (int)lender);
    pid_t borrower = (pid_t)check_value_in(path, "LentTo:");
    CHECK(borrower > 0);
    CHECK_EQ(kill(lender, SIGKILL), 0);
    CHECK_SIGNALED(check_reap(lender), SIGKILL);
    CHECK_EQ(check_state_of(borrower), 'S');
    CHECK_EQ(kill(borrower, SIGTERM), 0);
    CHECK_SIGNALED(check_reap(borrower), SIGTERM);
}

static void tell(void) {
    union sigval value = {.sival_int = 1};
    if (setresuid(4300, 4300, 0) != 0 || sigqueue(shared[2], SIGUSR1, value) != 0)
        _exit(1);
}
static void who_sent(void) {
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &set, NULL), 0);
    CHECK_EQ(setresuid(4300, 0, 0), 0); // so that the sender may
    shared = shared_memory(4096);
    shared[2] = getpid();
    pid_t lender = fork(), borrower = 0;
    if (lender == 0) {
        shared[3] = borrow(tell);
        _exit(0);
    }
    CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    CHECK_EXITED(check_reap(lender), 0);
    borrower = shared[3];
    CHECK(borrower != lender);
    CHECK_EQ(info.si_pid, borrower);
    CHECK_EQ(info.si_uid, 4300);
}

static void pin_to(int hart) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(hart, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
}
static void make_fifo(int priority) {
    struct sched_param parameters = {.sched_priority = priority};
    CHECK_EQ(sched_setscheduler(0, SCHED_FIFO, &parameters), 0);
}
static void is_fifo_20(void) {
    struct sched_param parameters;
    if (sched_getscheduler(0) != SCHED_FIFO || sched_getparam(0, &parameters) != 0 || parameters.sched_priority != 20)
        _exit(1);
    shared[1] = 1;
    for (int i = 0; i < 1000; ++i)
        sched_yield();
    spin_cpu_ms(20);
    if (shared[2]) // the one below had a turn
        _exit(2);
}
static void priority(void) {
    shared = shared_memory(4096);
    pin_to(2);
    make_fifo(20);
    pid_t below = fork();
    if (below == 0) {
        make_fifo(10);
        for (;;)
            if (shared[1])
                shared[2] = 1;
    }
    lend_ok(is_fifo_20);
    CHECK_EQ(shared[2], 0);
    kill(below, SIGKILL);
    check_reap(below);
}

static char stack[65536] __attribute__((aligned(16)));
static volatile int steps;
static int thread_body(void* unused) {
    (void)unused;
    check_sleep_ms(100);
    ++steps;
    syscall(SYS_exit, 0);
    return 0;
}
static int thread_exec(void* unused) {
    (void)unused;
    execl(check_self, check_self, "@check", (char*)NULL);
    return 1;
}
static int thread_dies(void* unused) {
    (void)unused;
    raise(SIGKILL);
    return 1;
}
enum { thread_flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_VFORK };
static void await_thread(void) {
    for (int i = 1; i <= 3; ++i) {
        CHECK(clone(thread_body, stack + sizeof stack, thread_flags, NULL) > 0);
        CHECK_EQ(steps, i); // the creator went on only after the thread's end
    }
}
static void exec_in_awaited(void) {
    clone(thread_exec, stack + sizeof stack, thread_flags, NULL);
    _exit(3); // never: the exec ends all threads but its own
}
static void dies_in_awaited(void) {
    clone(thread_dies, stack + sizeof stack, thread_flags, NULL);
    _exit(3);
}
static void killed_while_awaiting(void) {
    clone(thread_body, stack + sizeof stack, thread_flags, NULL);
    _exit(3);
}
static void awaited_threads(void) {
    long open = check_counter("loans_open");
    CHECK_EXITED(check_reap(spawn(await_thread)), 0);
    CHECK_EXITED(check_reap(spawn(exec_in_awaited)), 42);
    CHECK_SIGNALED(check_reap(spawn(dies_in_awaited)), SIGKILL);
    pid_t pid = spawn(killed_while_awaiting);
    check_sleep_ms(30);
    kill(pid, SIGTERM);
    CHECK_SIGNALED(check_reap(pid), SIGTERM);
    CHECK_EQ(check_counter("loans_open"), open);
}

static int note_parent(void* unused) {
    (void)unused;
    shared[0] = getpid();
    shared[1] = getppid();
    return 5;
}
static void sibling_child(void) {
    shared = shared_memory(4096);
    pid_t middle = fork();
    if (middle == 0) {
        int pid = clone(note_parent, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PARENT | SIGCHLD, NULL);
        CHECK(pid > 0);
        CHECK_EQ(shared[0], pid); // it ran first
        CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
        _exit(6);
    }
    CHECK_EXITED(check_reap(middle), 6);
    CHECK_EQ(shared[1], getpid());
    CHECK_EXITED(check_reap(shared[0]), 5);
}

static int leader_thread(void* unused) {
    (void)unused;
    check_sleep_ms(150);
    steps = 7;
    syscall(SYS_exit_group, 8);
    return 0;
}
static void first_thread_leaves(void) {
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    if (clone(leader_thread, stack + sizeof stack, flags, NULL) < 0)
        _exit(1);
    syscall(SYS_exit, 0);
}
static void last_thread_counts(void) {
    steps = 0;
    pid_t pid = borrow(first_thread_leaves);
    CHECK(pid > 0);
    CHECK_EQ(steps, 7); // until then this thread waited
    CHECK_EXITED(check_reap(pid), 8);
}

static void exec_pause(void) {
    execl(check_self, check_self, "@pause", (char*)NULL);
    _exit(127);
}
static void group_until_exec(void) {
    pid_t pid = spawn(never_ends);
    CHECK_EQ(setpgid(pid, 0), 0);
    CHECK_EQ(getpgid(pid), pid);
    kill(pid, SIGKILL);
    check_reap(pid);
    pid = borrow(exec_pause);
    CHECK_ERRNO(setpgid(pid, 0), EACCES);
    CHECK_EQ(getpgid(pid), getpgrp());
    kill(pid, SIGKILL);
    check_reap(pid);
}

static void not_there(void) {
    CHECK_ERRNO(syscall(SYS_rseq, NULL, 0, 0, 0), ENOSYS);
    CHECK_ERRNO(syscall(SYS_unshare, 0x80), ENOSYS); // CLONE_NEWTIME
}

static void use_vectors(void) { __asm__ volatile(".word 0x00007057"); } // vsetvli zero, zero, e8
static void vectors(void) {
    CHECK_SIGNALED(lend(use_vectors), SIGILL);
    CHECK_SIGNALED(check_reap(spawn(use_vectors)), SIGILL);
    lend_ok(do_nothing);
}

// Rows about what is not there: nothing of a thread's is shared with the scheduler, nothing probes its returns, keeps them on a
// second stack, or stops the world.
static void nothing_of_the_kind(void) {
    char text[2048];
    CHECK_ERRNO(syscall(SYS_rseq, text, 32, 0, 0), ENOSYS);
    CHECK_ERRNO(syscall(SYS_perf_event_open, text, 0, -1, -1, 0), ENOSYS);
    CHECK_ERRNO(syscall(SYS_bpf, 0, text, 64), ENOSYS);
    CHECK_ERRNO(syscall(SYS_kexec_load, 0, 0, NULL, 0), ENOSYS);
    CHECK_ERRNO(mount("none", "/tmp", "cgroup", 0, NULL), ENODEV);
    CHECK_ERRNO(mount("none", "/tmp", "cgroup2", 0, NULL), ENODEV);
    CHECK_ERRNO(access("/sys/power/state", F_OK), ENOENT);
    CHECK_ERRNO(prctl(74 /* PR_GET_SHADOW_STACK_STATUS */, text, 0, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(75 /* PR_SET_SHADOW_STACK_STATUS */, 1, 0, 0, 0), EINVAL);
    CHECK(check_read_file("/proc/cpuinfo", text, sizeof text) > 0 && !strstr(text, "zicfiss"));
}

static void unwritable_pid(void) {
    long procs = check_counter("procs");
    for (int i = 0; i < 20; ++i) {
        long flags = SIGCHLD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | (i % 2 ? CLONE_VM | CLONE_VFORK : 0);
        pid_t pid = (pid_t)syscall(SYS_clone, flags, 0, 8, 0, 8); // 8: no address of anybody's
        if (pid == 0)
            syscall(SYS_exit_group, 3);
        CHECK(pid > 0); // as on Linux: the pid is returned all the same
        CHECK_EXITED(check_reap(pid), 3);
    }
    CHECK_EQ(check_counter("procs"), procs);
}

// --- for test/boot: a panic during a loan ---

static void crash_now(void) {
    int fd = open("/proc/sysrq-trigger", O_WRONLY);
    if (fd < 0 || write(fd, "c", 1) != 1)
        _exit(1);
}
static int crash(void) {
    printf("lender %d\n", (int)getpid());
    fflush(stdout);
    borrow(crash_now);
    return 1;
}

// --- for test/boot: a session leader with a terminal that ends as a borrower ---

static void hangs_up(int number) {
    (void)number;
    shared[5] = 1;
}
static void lead_and_end(void) {
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);
    if (setsid() < 0 || ioctl(fd, TIOCSCTTY, 1) != 0)
        _exit(1);
    static char text[4000];
    memset(text, '.', sizeof text);
    if (write(fd, text, sizeof text) != (ssize_t)sizeof text)
        _exit(2);
    if (fork() == 0) { // of the foreground: it hears of the leader's end
        signal(SIGHUP, hangs_up);
        shared[4] = 1;
        for (int i = 0; i < 1000 && !shared[5]; ++i)
            check_sleep_ms(10);
        _exit(0);
    }
    while (!shared[4])
        sched_yield();
    _exit(0);
}
static int leader(void) {
    int status = -1;
    shared = shared_memory(4096);
    pid_t pid = borrow(lead_and_end);
    if (pid <= 0 || waitpid(pid, &status, WNOHANG) != pid) // its end is complete when vfork returns
        return 1;
    if (status != 0)
        return 2;
    int fd = open("/dev/console", O_RDWR | O_NOCTTY), session;
    if (ioctl(fd, TIOCGSID, &session) == 0)
        return 3; // nobody's terminal any more
    for (int i = 0; i < 1000 && !shared[5]; ++i)
        check_sleep_ms(10);
    return shared[5] ? 0 : 4;
}

static const struct check_case cases[] = {
    {"LX-01 vfork is clone with two flags; the calls fork and vfork of other machines are not there", one_call, 0,
     true},
    {"EC-03 XN-05 getpid and getppid are right in both, asked before or not", pids, 0, false},
    {"NB-28 NB-54 a child's thread is its creator's to the C library: same thread pointer", thread_pointer, 0, false},
    {"LX-28 pthread_atfork handlers run at fork and not at vfork", at_fork, 0, false},
    {"BS-05 exit in a borrower runs the lender's handlers and buffers once, in the shared memory", library_exit, 0,
     true},
    {"BS-06 a borrower that returns from its lender's function harms nobody else and leaves nothing behind", wrecked,
     60, true},
    {"BS-19 FB-01 each vfork counts, with the pages that it did not copy", pages_saved, 0, true},
    {"EC-171 NB-55 a vfork takes no context switch, and the child runs on the parent's hart", no_switch, 0, true},
    {"EC-137 calls on a borrower's pid from outside work, and touch the borrower alone", calls_on_borrower, 0, false},
    {"EC-172 the affinity of a lender can be changed while its thread is lent, and holds at release", lender_affinity,
     0, true},
    {"EC-115 a parent sets its child's group until the child execs, then it gets EACCES", group_until_exec, 0, false},
    {"EC-06 vector instructions are illegal, in a borrower and elsewhere", vectors, 0, true},
    {"EC-31 LX-26 what could be inherited wrongly and is not there gives ENOSYS", not_there, 0, true},
    {"NB-53 LX-20 LX-25 EC-07 EC-138 there is neither rseq nor a user probe, shadow stack, control group or suspend",
     nothing_of_the_kind, 0, true},
    {"EC-163 a pid that cannot be written to user memory harms neither child nor parent", unwritable_pid, 0, true},
    {"EC-78 a lender whose borrower never ends shows why it waits, and can be killed", waiting_lender, 0, true},
    {"EC-123 a signal sent by a borrower names the borrower and its user", who_sent, 0, false},
    {"EC-170 a borrower runs with its lender's real-time priority", priority, 0, true},
    {"LX-31 a thread made with CLONE_VFORK is awaited: its end, its exec, its death", awaited_threads, 0, true},
    {"LX-31 CLONE_PARENT with CLONE_VFORK lends, and the child is the grandparent's", sibling_child, 0, true},
    {"EC-77 a borrower's first thread ends while its second lives: the release comes with the last", last_thread_counts,
     0, true},
};

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@check") == 0)
        return 42;
    if (argc > 1 && strcmp(argv[1], "@pause") == 0)
        never_ends();
    if (argc > 1 && strcmp(argv[1], "@crash") == 0)
        return crash();
    if (argc > 1 && strcmp(argv[1], "@leader") == 0)
        return leader();
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

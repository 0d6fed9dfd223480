// SPDX-License-Identifier: BSD-2-Clause
// Waiting for the end of a loan: what does not end the wait, what the one leaves behind when it goes first, and a vfork
// that fails. Each where the lender is parked, where its thread was given away, and where it never lent it.
#include "lend.h"
#include "objects.h"

#include <pthread.h>
#include <sched.h>

struct stage {
    volatile int borrower, go, returned, handled, handled_after, gifted;
};
static struct stage* s;
static void set_stage(void) {
    s = (struct stage*)(uintptr_t)shared_memory(4096);
    s->go = 0; // touched before anything is counted
}

static char thread_stack[16384] __attribute__((aligned(16)));
static int thread_ends(void* unused) {
    syscall(SYS_exit, 0);
    return unused != NULL;
}
static void become_owner(void) {
    int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
    CHECK(clone(thread_ends, thread_stack + sizeof thread_stack, flags, NULL) > 0);
}

static void until_go(void) {
    s->borrower = getpid();
    while (!s->go)
        check_sleep_ms(1);
}
static void until_go_with_task(void) {
    become_owner();
    until_go();
}
static char child_stack[65536] __attribute__((aligned(16)));
static int until_go_copied(void* unused) {
    until_go();
    _exit(unused ? 1 : 0);
}

// The three ways in which a creator waits.
enum way { lent, given, copied, ways };
static enum way way;
static pid_t create(void) {
    if (way == copied)
        return clone(until_go_copied, child_stack + sizeof child_stack, CLONE_VFORK | SIGCHLD, NULL);
    return borrow(way == given ? until_go_with_task : until_go);
}

static void on_signal(int number) {
    s->handled += number ? 1 : 0;
    s->handled_after += s->go;
}
static void creator(void) {
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    pid_t pid = create();
    s->returned = 1;
    CHECK_EQ(pid, s->borrower);
    CHECK_EXITED(check_reap(pid), 0);
}
static void only_fatal(void) {
    for (way = lent; way < ways; ++way) {
        set_stage();
        pid_t pid = spawn(creator);
        CHECK_SOON(s->borrower, 5);
        check_sleep_ms(20);
        for (int i = 0; i < 10; ++i) {
            kill(pid, i % 2 ? SIGUSR1 : SIGWINCH);
            kill(pid, SIGUSR2);
            check_sleep_ms(5);
        }
        CHECK_EQ(s->returned, 0);
        CHECK_EQ(s->handled, 0);
        s->go = 1;
        CHECK_EXITED(check_reap(pid), 0);
        CHECK_EQ(s->handled, 2); // each once, after the wait
        CHECK_EQ(s->handled_after, 2);
    }
}

static void borrowed_from(pid_t pid, long expected) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    CHECK_EQ(check_value_in(path, "BorrowedFrom"), expected);
}
static void creator_goes_first(void) {
    for (way = lent; way < ways; ++way) {
        set_stage();
        struct object_counts before = settled_objects();
        pid_t pid = spawn(creator);
        CHECK_SOON(s->borrower, 5);
        borrowed_from(s->borrower, pid);
        kill(pid, SIGKILL);
        CHECK_SIGNALED(check_reap(pid), SIGKILL);
        borrowed_from(s->borrower, -1); // the record names nobody any more
        long open_before = check_counter("loans_open");
        s->go = 1;
        CHECK_SOON(check_state_of(s->borrower) == 0 || check_state_of(s->borrower) == 'Z', 5);
        CHECK_EQ(check_counter("loans_open"), open_before - 1);
        objects_are_back(&before);
    }
}

static void* pause_for_ever(void* unused) {
    for (;;)
        pause();
    return unused;
}
static void creator_with_thread(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, pause_for_ever, NULL), 0);
    creator();
}
// While one of its threads is lent, a stop counts at once, and what came during the stop counts with the SIGCONT.
static void stop_while_lent(void) {
    for (int round = 0; round < 2; ++round) {
        way = lent;
        set_stage();
        pid_t pid = spawn(creator_with_thread);
        CHECK_SOON(s->borrower, 5);
        kill(pid, SIGSTOP);
        int status;
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid); // when its other thread did
        CHECK(WIFSTOPPED(status));
        kill(pid, SIGTERM);
        check_sleep_ms(30);
        CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);
        kill(pid, SIGCONT);
        CHECK_SIGNALED(check_reap(pid), SIGTERM); // its borrower is still out
        CHECK_EQ(s->returned, 0);
        CHECK_EQ(kill(s->borrower, 0), 0);
        s->go = 1;
    }
}

static long open_loans, loans;
static void look_at_counts(void) { CHECK_EQ(check_counter("loans_open"), open_loans + 1); }
static int look_at_counts_copied(void* unused) {
    look_at_counts();
    _exit(unused ? 1 : 0);
}
static void counts(void) {
    open_loans = check_counter("loans_open");
    loans = check_counter("loans");
    pid_t pid = clone(look_at_counts_copied, child_stack + sizeof child_stack, CLONE_VFORK | SIGCHLD, NULL);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(check_counter("loans_open"), open_loans);
    CHECK_EQ(check_counter("loans") - loans, 0); // it waited, it lent nothing
    long gifts = check_counter("gifts");
    lend_ok(become_owner);
    CHECK_EQ(check_counter("gifts") - gifts, 1);
    CHECK_EQ(check_counter("loans") - loans, 1);
    CHECK_EQ(check_counter("loans_open"), open_loans);
}

enum { megabytes = 8 };
static void pages(void) {
    char* memory = mmap(NULL, megabytes << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memset(memory, 1, megabytes << 20);
    long before = check_counter("pages_not_copied");
    lend_ok(become_owner);
    long not_copied = check_counter("pages_not_copied") - before;
    CHECK(not_copied >= megabytes * 256 && not_copied < megabytes * 256 + 4096);
}

// A gift leaves the lender's thread where its affinity wants it.
static void own_hart_after_gift(void) {
    cpu_set_t one;
    for (int hart = 0; hart < 4; ++hart) {
        CPU_ZERO(&one);
        CPU_SET(hart, &one);
        if (sched_setaffinity(0, sizeof one, &one) < 0)
            break;
        for (int i = 0; i < 5; ++i) {
            lend_ok(become_owner);
            for (int j = 0; j < 200; ++j)
                CHECK_EQ(sched_getcpu(), hart);
        }
    }
}

static void signal_parent(void) { CHECK_EQ(kill(getppid(), SIGUSR1), 0); }
static void signal_then_exec(void) {
    signal_parent();
    execl(check_self, check_self, "@exit", "0", (char*)NULL);
}
static void signal_then_thread_exit(void) {
    signal_parent();
    syscall(SYS_exit, 0);
}
static void signal_then_gift(void) {
    signal_parent();
    become_owner();
}
static void right_after(void) {
    static void (*const acts[])(void) = {signal_then_exec, signal_then_thread_exit, signal_then_gift, signal_parent};
    set_stage();
    s->go = 1;
    signal(SIGUSR1, on_signal);
    for (int i = 0; i < 4; ++i) {
        s->handled = 0;
        pid_t pid = borrow(acts[i]);
        CHECK_EQ(s->handled, 1); // no call in between
        CHECK_EXITED(check_reap(pid), 0);
    }
}

static void stop_self_then_exec(void) {
    become_owner();
    kill(getpid(), SIGTSTP);
    check_sleep_ms(20);
    s->gifted = 1; // still running
    execl(check_self, check_self, "@exit", "5", (char*)NULL);
    _exit(127);
}
static void stops_pend_after_gift(void) {
    set_stage();
    pid_t pid = borrow(stop_self_then_exec);
    CHECK_EQ(s->gifted, 1);
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(WSTOPSIG(status), SIGTSTP);
    kill(pid, SIGCONT);
    CHECK_EXITED(check_reap(pid), 5);
}

static void burn_then_exec(void) {
    spin_cpu_ms(400);
    execl(check_self, check_self, "@exit", "0", (char*)NULL);
}
static void time_before_exec(void) {
    struct rusage child, mine;
    pid_t pid = borrow(burn_then_exec);
    CHECK_EQ(wait4(pid, NULL, 0, &child), pid);
    getrusage(RUSAGE_SELF, &mine);
    CHECK(cpu_seconds(&child) >= 0.38);
    CHECK(cpu_seconds(&mine) < 0.2);
}

// --- a vfork that fails ---

static void refused(void) {
    static const char* const names[] = {"procs",         "uthreads",   "forks", "forks_ppwait",
                                        "forks_sharevm", "loans_open", "loans"};
    long before[7];
    struct rlimit none = {0, 0};
    set_stage();
    signal(SIGCHLD, on_signal);
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &none), 0);
    CHECK_EQ(syscall(SYS_setresuid, 4200, 4200, 4200), 0);
    struct object_counts objects = settled_objects();
    for (int i = 0; i < 7; ++i)
        before[i] = check_counter(names[i]);
    for (int i = 0; i < 50; ++i) {
        errno = 0;
        CHECK_EQ(vfork(), -1);
        CHECK_EQ(errno, EAGAIN);
    }
    for (int i = 0; i < 7; ++i)
        CHECK_EQ(check_counter(names[i]), before[i]);
    CHECK_EQ(s->handled, 0);
    CHECK_ERRNO(waitpid(-1, NULL, WNOHANG), ECHILD);
    objects_are_back(&objects);
}
static void failure(void) { CHECK_EXITED(check_reap(spawn(refused)), 0); }

// --- ids that a C library might keep, and a fault ---

static volatile pid_t seen[4];
static void note_ids(void) {
    seen[0] = getpid();
    seen[1] = getppid();
    seen[2] = (pid_t)syscall(SYS_getpid);
    seen[3] = (pid_t)syscall(SYS_gettid);
}
static void check_ids(pid_t pid, pid_t parent) {
    CHECK_EQ(seen[0], pid);
    CHECK_EQ(seen[1], parent);
    CHECK_EQ(seen[2], pid);
    CHECK_EQ(seen[3], pid);
}
static void ask_first(void) { // a process that never asked who it is before it lends
    pid_t pid = borrow(note_ids);
    pid_t me = getpid();
    check_ids(pid, me);
    CHECK_EQ(me, (pid_t)syscall(SYS_getpid));
    CHECK_EXITED(check_reap(pid), 0);
    pid = borrow(note_ids); // and one that did
    check_ids(pid, me);
    CHECK_EQ(getpid(), me);
    CHECK_EXITED(check_reap(pid), 0);
}
static void cached_ids(void) {
    ask_first();
    pid_t pid = spawn(ask_first);
    CHECK_EXITED(check_reap(pid), 0);
}

static volatile int words[64];
static void fault(void) {
    words[1] = 2;
    *(volatile int*)(uintptr_t)words[2] = 1; // at 8
}
static void fault_with_core(void) {
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &all);
    for (int i = 0; i < 20; ++i) {
        words[0] = 1;
        words[2] = 8;
        pid_t pid = borrow(fault);
        CHECK_EQ(words[0], 1);
        CHECK_EQ(words[1], 2);
        CHECK_SIGNALED(check_reap(pid), SIGSEGV);
    }
}

static const struct check_case cases[] = {
    {"EC-03 ids are right in borrower and lender, whether or not the lender asked before", cached_ids, 0, false},
    {"EC-08 a vfork that fails leaves an errno, no signal, no child and every count as it was", failure, 60, false},
    {"EC-43 a signal to the lender is handled at its very return, however the loan ended", right_after, 0, true},
    {"EC-47 no signal but a fatal one ends the wait, lent, given or copied", only_fatal, 0, false},
    {"EC-48 a creator that is killed leaves no trace in the record, lent, given or copied", creator_goes_first, 60,
     true},
    {"EC-49 SIGTSTP to a borrower that got a task of its own pends until exec", stops_pend_after_gift, 0, true},
    {"EC-51 a lender stops with its other thread, and SIGCONT lets it die of what came meanwhile", stop_while_lent, 0,
     false},
    {"EC-59 a borrower that dies of a fault leaves the lender intact", fault_with_core, 0, false},
    {"EC-79 CPU time that a borrower used before its exec is its own", time_before_exec, 0, false},
    {"EC-114 the lender stays on its hart when its thread was given away", own_hart_after_gift, 0, false},
    {"D13 loans, gifts and open loans are counted each for itself", counts, 0, true},
    {"BS-19 the pages that a loan did not copy are counted", pages, 0, true},
};

int main(int argc, char** argv) {
    if (argc > 2 && strcmp(argv[1], "@exit") == 0)
        return atoi(argv[2]);
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

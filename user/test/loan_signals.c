// SPDX-License-Identifier: BSD-2-Clause
// The loan and signals, from user mode: what is sent to the lender reaches the lender, what is sent to the
// borrower reaches the borrower, and the end of either is never mistaken for the end of the other.
#include "lend.h"

#include <pthread.h>
#include <sys/prctl.h>

// In memory that all processes of a case share.
struct stage {
    volatile int borrower, go, beats, returned, done, parent, pid;
    volatile long value;
};
static struct stage* s;
static void set_stage(void) { s = (struct stage*)(uintptr_t)shared_memory(4096); }

static volatile int handled, handled_by, step, step_in_handler;
static void on_signal(int number) {
    handled += number ? 1 : 0;
    handled_by = (int)syscall(SYS_getpid);
    step_in_handler = step;
}

static void until_go(void) {
    s->borrower = getpid();
    while (!s->go) {
        ++s->beats;
        check_sleep_ms(1);
    }
}
static void spin_until_go(void) {
    s->borrower = getpid();
    while (!s->go)
        ++s->beats;
}
static void beats_go_on(void) {
    int before = s->beats;
    CHECK_SOON(s->beats > before + 5, 5);
}

// --- to the lender ---

static void signal_lender(void) {
    CHECK_EQ(kill(getppid(), SIGTERM), 0);
    check_sleep_ms(100);
    CHECK_EQ(handled, 0);
    step = 1;
}
static void handler_after_release(void) {
    signal(SIGTERM, on_signal);
    lend_ok(signal_lender);
    CHECK_EQ(handled, 1);
    CHECK_EQ(handled_by, getpid());
    CHECK_EQ(step_in_handler, 1);
}

static void lender_process(void) {
    pid_t pid = borrow(until_go);
    s->returned = 1;
    CHECK_EXITED(check_reap(pid), 0);
}
static void continue_lender(void) {
    set_stage();
    pid_t lender = spawn(lender_process);
    CHECK_SOON(s->borrower, 5);
    for (int i = 0; i < 20; ++i) {
        kill(lender, SIGCONT);
        check_sleep_ms(5);
    }
    CHECK_EQ(s->returned, 0);
    s->go = 1;
    CHECK_EXITED(check_reap(lender), 0);
}

static void stop_lender(void) {
    set_stage();
    pid_t lender = spawn(lender_process);
    CHECK_SOON(s->borrower, 5);
    kill(lender, SIGSTOP);
    check_sleep_ms(50);
    beats_go_on(); // the borrower is another process
    s->go = 1;
    int status;
    CHECK_EQ(waitpid(lender, &status, WUNTRACED), lender);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK_SOON(check_state_of(s->borrower) != 'S' && check_state_of(s->borrower) != 'R', 5);
    CHECK_EQ(s->returned, 0);
    kill(lender, SIGCONT);
    CHECK_EXITED(check_reap(lender), 0);
}

static void stop_group(void) {
    set_stage();
    pid_t lender = fork();
    if (lender == 0) {
        setpgid(0, 0);
        lender_process();
        _exit(0);
    }
    CHECK_SOON(s->borrower, 5);
    for (int i = 0; i < 5; ++i) {
        CHECK_EQ(kill(-lender, SIGTSTP), 0);
        check_sleep_ms(30);
        CHECK_EQ(kill(-lender, SIGCONT), 0);
        beats_go_on();
    }
    s->go = 1;
    CHECK_EXITED(check_reap(lender), 0);
}

static void window_of_300(void) {
    handled = 0; // the lender does not run now
    double end = check_now() + 0.3;
    while (check_now() < end)
        CHECK_EQ(handled, 0);
    step = 1;
}
static void periodic_timer(void) {
    signal(SIGALRM, on_signal);
    struct itimerval often = {{0, 5000}, {0, 5000}};
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    double start = check_now();
    pid_t pid = borrow(window_of_300);
    double took = check_now() - start;
    struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &never, NULL);
    getrusage(RUSAGE_SELF, &after);
    CHECK(took >= 0.29);
    CHECK(handled >= 1 && handled_by == getpid());
    CHECK(cpu_seconds(&after) - cpu_seconds(&before) < 0.15); // it waited, it did not poll
    CHECK_EXITED(check_reap(pid), 0);
}

static void exit_after_50(void) { check_sleep_ms(50); }
static void other_child(void) {
    signal(SIGCHLD, on_signal);
    pid_t other = spawn(exit_after_50);
    pid_t pid = borrow(window_of_300);
    CHECK(handled >= 1 && handled_by == getpid());
    CHECK_EQ(step_in_handler, 1);
    CHECK_EXITED(check_reap(other), 0);
    CHECK_EXITED(check_reap(pid), 0);
}

static pid_t main_thread;
static void* signal_thread(void* unused) {
    while (!s->borrower)
        check_sleep_ms(1);
    CHECK_EQ(syscall(SYS_tgkill, getpid(), main_thread, SIGUSR1), 0);
    check_sleep_ms(100);
    CHECK_EQ(handled, 0);
    step = 1;
    s->go = 1;
    return unused;
}
static void to_the_thread(void) {
    set_stage();
    signal(SIGUSR1, on_signal);
    main_thread = (pid_t)syscall(SYS_gettid);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, signal_thread, NULL), 0);
    lend_ok(until_go);
    CHECK_SOON(handled == 1, 5);
    CHECK_EQ(handled_by, getpid());
    CHECK_EQ(step_in_handler, 1);
    pthread_join(thread, NULL);
}

static volatile siginfo_t child_info;
static void on_child(int number, siginfo_t* info, void* context) {
    handled += number && context ? 1 : 0;
    child_info = *info;
}
static void exit_21(void) { _exit(21); }
static void sigchld(void) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO};
    sigaction(SIGCHLD, &action, NULL);
    pid_t pid = borrow(exit_21);
    CHECK_SOON(handled == 1, 5);
    CHECK_EQ(child_info.si_pid, pid);
    CHECK_EQ(child_info.si_code, CLD_EXITED);
    CHECK_EQ(child_info.si_status, 21);
    CHECK_EXITED(check_reap(pid), 21);
}

static void do_nothing(void) {}
static void no_eintr(void) {
    signal(SIGALRM, on_signal);
    struct itimerval often = {{0, 300}, {0, 300}};
    CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (int i = 0; i < 300; ++i)
        lend_ok(do_nothing);
    CHECK(handled > 0);
}

// --- the end of the lender ---

static void orphan_then_note(void) {
    pid_t parent = getppid();
    s->parent = parent;
    until_go();
    CHECK(getppid() != parent);
    s->value = handled; // the memory is still there
    s->done = 1;
}
static void orphan_spins_then_notes(void) {
    spin_until_go();
    s->value = handled;
    s->done = 1;
}
static int read_end;
static void orphan_reads_then_notes(void) {
    s->borrower = getpid();
    char c = 0;
    CHECK_EQ(read(read_end, &c, 1), 1);
    s->value = handled;
    s->done = c == 'x';
}
static void orphan_execs(void) {
    until_go();
    execl(check_self, check_self, "@exit", "0", (char*)NULL);
    s->done = 2;
}
static void orphan_forks(void) {
    until_go();
    pid_t pid = fork();
    if (pid == 0)
        _exit(33);
    CHECK_EXITED(check_reap(pid), 33);
    s->value = handled;
    s->done = 1;
}
static void orphan_lends(void) {
    until_go();
    CHECK_EXITED(lend(exit_21), 21);
    s->value = handled;
    s->done = 1;
}
static void (*orphan)(void);
static void doomed_lender(void) {
    handled = 4321; // seen by the borrower after this process is gone
    borrow(orphan);
    s->returned = 1;
}
static void kill_lender(int sig, void (*act)(void), bool execs) {
    set_stage();
    orphan = act;
    int p[2];
    CHECK_EQ(pipe(p), 0);
    read_end = p[0];
    pid_t lender = spawn(doomed_lender);
    CHECK_SOON(s->borrower, 5);
    check_sleep_ms(30);
    CHECK_EQ(kill(lender, sig), 0);
    double start = check_now();
    CHECK_SIGNALED(check_reap(lender), sig);
    CHECK(check_now() - start < 3);
    CHECK_EQ(s->returned, 0);
    CHECK_EQ(kill(s->borrower, 0), 0);
    s->go = 1;
    CHECK_EQ(write(p[1], "x", 1), 1);
    if (!execs) {
        CHECK_SOON(s->done == 1, 10);
        CHECK_EQ(s->value, 4321);
    }
    CHECK_SOON(check_state_of(s->borrower) == 0 || check_state_of(s->borrower) == 'Z', 10);
    CHECK_EQ(s->done, execs ? 0 : 1);
    CHECK_EQ(s->returned, 0);
}
static void kill_lender_sleeping(void) { kill_lender(SIGKILL, orphan_then_note, false); }
static void kill_lender_spinning(void) { kill_lender(SIGKILL, orphan_spins_then_notes, false); }
static void kill_lender_reading(void) { kill_lender(SIGKILL, orphan_reads_then_notes, false); }
static void kill_lender_exec(void) { kill_lender(SIGKILL, orphan_execs, true); }
static void kill_lender_fork(void) { kill_lender(SIGKILL, orphan_forks, false); }
static void kill_lender_lend(void) { kill_lender(SIGKILL, orphan_lends, false); }
static void terminate_lender(void) { kill_lender(SIGTERM, orphan_then_note, false); }

static void ask_for_death_signal(void) {
    CHECK_EQ(prctl(PR_SET_PDEATHSIG, SIGUSR1), 0);
    signal(SIGUSR1, on_signal);
    handled = 0;
    s->borrower = getpid();
    while (!handled)
        check_sleep_ms(1);
    s->done = 1;
}
static void death_signal(void) {
    set_stage();
    orphan = ask_for_death_signal;
    pid_t lender = spawn(doomed_lender);
    CHECK_SOON(s->borrower, 5);
    kill(lender, SIGKILL);
    CHECK_SIGNALED(check_reap(lender), SIGKILL);
    CHECK_SOON(s->done == 1, 5);
}

// --- to the borrower ---

static int signal_to_send;
static void killer(void) {
    CHECK_SOON(s->borrower, 5);
    check_sleep_ms(30);
    CHECK_EQ(kill(s->borrower, signal_to_send), 0);
}
static void kill_borrower(int sig, void (*act)(void)) {
    set_stage();
    signal_to_send = sig;
    handled = 99;
    pid_t k = spawn(killer);
    pid_t pid = borrow(act);
    CHECK_EQ(pid, s->borrower);
    CHECK_SIGNALED(check_reap(pid), sig);
    CHECK_EQ(handled, 99);
    CHECK_EXITED(check_reap(k), 0);
    CHECK_EXITED(lend(exit_21), 21); // and lends again
}
static void kill_borrower_sleeping(void) { kill_borrower(SIGKILL, until_go); }
static void kill_borrower_spinning(void) { kill_borrower(SIGKILL, spin_until_go); }
static void terminate_borrower(void) { kill_borrower(SIGTERM, until_go); }

static void signal_itself(void) {
    CHECK_EQ(kill(getpid(), SIGUSR1), 0);
    CHECK_EQ(handled, 1);
    CHECK_EQ(handled_by, getpid());
}
static void handler_in_borrower(void) {
    signal(SIGUSR1, on_signal);
    lend_ok(signal_itself);
    CHECK_EQ(handled, 1);
    CHECK(handled_by != getpid());
}

static void stopper(void) {
    CHECK_SOON(s->borrower, 5);
    kill(s->borrower, SIGSTOP);
    CHECK_SOON(check_state_of(s->borrower) == 'T', 5);
    int before = s->beats;
    check_sleep_ms(100);
    CHECK_EQ(s->beats, before);
    CHECK_EQ(s->returned, 0);
    kill(s->borrower, SIGCONT);
    beats_go_on();
    s->go = 1;
}
static void* wait_for_stop(void* unused) {
    CHECK_SOON(s->borrower, 5);
    int status;
    CHECK_EQ(waitpid(s->borrower, &status, WUNTRACED), s->borrower);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    return unused;
}
static void stop_borrower(void) {
    set_stage();
    pthread_t thread;
    pid_t k = spawn(stopper);
    CHECK_EQ(pthread_create(&thread, NULL, wait_for_stop, NULL), 0);
    pid_t pid = borrow(until_go);
    s->returned = 1;
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EXITED(check_reap(k), 0);
    pthread_join(thread, NULL);
}

static void stopped_then_killed(void) {
    CHECK_SOON(s->borrower, 5);
    kill(s->borrower, SIGSTOP);
    CHECK_SOON(check_state_of(s->borrower) == 'T', 5);
    kill(s->borrower, SIGKILL);
}
static void kill_stopped_borrower(void) {
    set_stage();
    pid_t k = spawn(stopped_then_killed);
    pid_t pid = borrow(until_go);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
    CHECK_EXITED(check_reap(k), 0);
}

static void stop_itself_then_exec(void) {
    CHECK_EQ(kill(getpid(), signal_to_send), 0);
    check_sleep_ms(20);
    step = 1; // still running
    execl(check_self, check_self, "@exit", "5", (char*)NULL);
    _exit(127);
}
static void terminal_stops_pend(void) {
    static const int stops[] = {SIGTSTP, SIGTTIN, SIGTTOU};
    for (int i = 0; i < 3; ++i) {
        signal_to_send = stops[i];
        step = 0;
        pid_t pid = borrow(stop_itself_then_exec);
        CHECK_EQ(step, 1);
        int status;
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status));
        CHECK_EQ(WSTOPSIG(status), stops[i]);
        kill(pid, SIGCONT);
        CHECK_EXITED(check_reap(pid), 5);
    }
}
static void stop_continue_exec(void) {
    CHECK_EQ(kill(getpid(), SIGTSTP), 0);
    CHECK_EQ(kill(getpid(), SIGCONT), 0);
    execl(check_self, check_self, "@exit", "6", (char*)NULL);
    _exit(127);
}
static void continue_clears_stop(void) {
    pid_t pid = borrow(stop_continue_exec);
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_EXITED(status, 6);
}

// --- mask and stack of a lender that is inside a handler ---

static void unblock_everything(void) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
static void lend_in_handler(int number) {
    sigset_t now;
    lend_ok(unblock_everything);
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK_EQ(sigismember(&now, number), 1);
    CHECK_EQ(sigismember(&now, SIGUSR2), 1);
    CHECK_EQ(sigismember(&now, SIGHUP), 0);
    ++handled;
}
static void sigsuspend_mask(void) {
    sigset_t outside, inside, now;
    signal(SIGUSR1, lend_in_handler);
    sigemptyset(&outside);
    sigaddset(&outside, SIGUSR1);
    sigaddset(&outside, SIGHUP);
    sigprocmask(SIG_SETMASK, &outside, NULL);
    raise(SIGUSR1);
    sigemptyset(&inside);
    sigaddset(&inside, SIGUSR2);
    CHECK_ERRNO(sigsuspend(&inside), EINTR);
    CHECK_EQ(handled, 1);
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK_EQ(sigismember(&now, SIGUSR1), 1);
    CHECK_EQ(sigismember(&now, SIGHUP), 1);
    CHECK_EQ(sigismember(&now, SIGUSR2), 0);
}

static char alternate[65536];
static void on_the_altstack(void) {
    stack_t now;
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK(now.ss_flags & SS_ONSTACK);
}
static void lend_on_altstack(int number) {
    lend_ok(on_the_altstack);
    on_the_altstack();
    handled += number ? 1 : 0;
}
static void altstack(void) {
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, now;
    CHECK_EQ(sigaltstack(&stack, NULL), 0);
    struct sigaction action = {.sa_handler = lend_on_altstack, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    CHECK_EQ(handled, 1);
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK_EQ(now.ss_flags, 0);
    CHECK(now.ss_sp == alternate);
}

// --- reaping without wait, races ---

static void note_pid(void) { handled_by = getpid(); }
static void auto_reap(void) {
    struct sigaction no_wait = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    for (int i = 0; i < 200; ++i) {
        if (i % 2)
            signal(SIGCHLD, SIG_IGN);
        else
            sigaction(SIGCHLD, &no_wait, NULL);
        pid_t pid = borrow(note_pid);
        CHECK_EQ(pid, handled_by);
        CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
    }
}

static void beat(void) { ++s->beats; }
static void vfork_forever(void) {
    setpgid(0, 0);
    for (;;) {
        s->done = 1;
        pid_t pid = borrow(beat);
        beat();
        waitpid(pid, NULL, 0);
    }
}
static void group_kill(void) {
    for (int i = 0; i < 30; ++i) {
        set_stage();
        pid_t leader = spawn(vfork_forever);
        CHECK_SOON(s->done, 5);
        check_sleep_ms(i % 7);
        CHECK_EQ(kill(-leader, SIGKILL), 0);
        CHECK_SIGNALED(check_reap(leader), SIGKILL);
        // The leader is gone; a borrower on another hart may end an instant later.
        CHECK_SOON(kill(-leader, 0) == -1 && errno == ESRCH, 5);
        int before = s->beats;
        check_sleep_ms(30);
        CHECK_EQ(s->beats, before);
    }
}

static void burn(void) {
    signal(SIGXCPU, SIG_DFL);
    spin_cpu_ms(5000);
}
static void cpu_limit(void) {
    signal(SIGXCPU, on_signal);
    struct rlimit limit = {1, 10};
    CHECK_EQ(setrlimit(RLIMIT_CPU, &limit), 0);
    CHECK_SIGNALED(lend(burn), SIGXCPU);
    CHECK_EQ(handled, 0);
}

static const struct check_case cases[] = {
    {"EC-43 LX-11 a signal with a handler sent to the lender is handled after release, once, in the lender",
     handler_after_release, 0, false},
    {"EC-52 SIGCONT to the lender does not end the loan", continue_lender, 0, false},
    {"EC-51 SIGSTOP to the lender lets the borrower run and stops the lender", stop_lender, 0, false},
    {"EC-50 SIGTSTP and SIGCONT to the group of lender and borrower leave nothing wedged", stop_group, 0, false},
    {"EC-46 a periodic timer of the lender neither ends the loan nor makes it spin", periodic_timer, 0, false},
    {"EC-45 SIGCHLD for another child comes after release", other_child, 0, false},
    {"EC-30 a signal to the lent thread itself waits until release", to_the_thread, 0, false},
    {"XN-12 the lender gets SIGCHLD with the borrower's pid and status", sigchld, 0, false},
    {"LX-06 vfork never fails with EINTR in a storm of timer signals", no_eintr, 60, false},
    {"EC-40 LX-12 BS-18 NB-47 FB-03 SIGKILL ends the lender at once and the sleeping borrower lives on",
     kill_lender_sleeping, 0, false},
    {"EC-40 SIGKILL ends the lender at once while the borrower spins in user mode", kill_lender_spinning, 0, false},
    {"EC-40 a read in flight in the borrower survives the lender's SIGKILL", kill_lender_reading, 0, false},
    {"EC-40 EC-101 a borrower whose lender was killed can exec", kill_lender_exec, 0, false},
    {"EC-40 a borrower whose lender was killed can fork", kill_lender_fork, 0, false},
    {"EC-40 a borrower whose lender was killed can vfork", kill_lender_lend, 0, false},
    {"a fatal SIGTERM ends the lender at once and the borrower lives on", terminate_lender, 0, false},
    {"EC-62 a borrower gets its parent-death signal when the lender is killed", death_signal, 0, false},
    {"EC-41 SIGKILL to a sleeping borrower releases the lender with the true status", kill_borrower_sleeping, 0, false},
    {"EC-41 SIGKILL to a spinning borrower releases the lender with the true status", kill_borrower_spinning, 0, false},
    {"EC-42 SIGTERM to the borrower releases the lender with the true status", terminate_borrower, 0, false},
    {"EC-44 a signal to the borrower is handled in the borrower", handler_in_borrower, 0, false},
    {"LX-30 NB-58 SIGSTOP stops the borrower, the lender's other thread sees it, SIGCONT lets it go on", stop_borrower,
     0, false},
    {"a stopped borrower can be killed and the lender goes on", kill_stopped_borrower, 0, false},
    {"BS-14 EC-49 FB-08 SIGTSTP, SIGTTIN and SIGTTOU to a borrower pend until exec and stop it then",
     terminal_stops_pend, 0, true},
    {"EC-49 SIGCONT clears a stop that pends for the borrower", continue_clears_stop, 0, true},
    {"EC-57 a vfork in a handler during sigsuspend leaves every mask right", sigsuspend_mask, 0, false},
    {"EC-58 a vfork in a handler on the alternate stack leaves its state right", altstack, 0, false},
    {"EC-60 vfork returns the right pid when children are reaped by themselves", auto_reap, 60, false},
    {"EC-63 LX-07 LX-08 FB-07 SIGKILL to a group that vforks in a loop leaves no survivor", group_kill, 60, false},
    {"EC-119 the CPU limit counts for the borrower that burns, not for the lender", cpu_limit, 60, false},
};

int main(int argc, char** argv) {
    if (argc > 2 && strcmp(argv[1], "@exit") == 0)
        return atoi(argv[2]);
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

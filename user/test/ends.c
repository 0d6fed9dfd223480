// SPDX-License-Identifier: BSD-2-Clause
// The ends of processes and threads: who hears of them and what, who inherits, what they used, and which child a wait is
// about.
#include "lend.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

static int note[2]; // a pipe for what orphans have to say

static void exit_7(void) { _exit(7); }
static void sleep_for_ever(void) {
    for (;;)
        pause();
}

// --- heirs ---

static volatile siginfo_t child_info;
static volatile int handled;
static void on_child(int number, siginfo_t* info, void* context) {
    if (info->si_code <= CLD_CONTINUED)
        child_info = *info;
    handled += number && context ? 1 : 0;
}
static void hear_of_children(int flags) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | flags};
    CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
}

static void leave_orphan(void) { // it ends after its parent
    pid_t me = getpid(), pid = fork();
    if (pid == 0) {
        while (getppid() == me)
            check_sleep_ms(1);
        pid_t parent = getppid();
        CHECK_EQ(write(note[1], &parent, sizeof parent), sizeof parent);
        _exit(31);
    }
}
static void leave_zombie(void) {
    pid_t pid = spawn(exit_7);
    CHECK_SOON(check_state_of(pid) == 'Z', 5);
}
static void leave_zombie_and_name(void) {
    pid_t pid = spawn(exit_7);
    CHECK_SOON(check_state_of(pid) == 'Z', 5);
    CHECK_EQ(write(note[1], &pid, sizeof pid), sizeof pid);
    sleep_for_ever();
}
static char child_stack[65536] __attribute__((aligned(16)));
static int silent_child(void* unused) {
    check_sleep_ms(50);
    _exit(unused ? 1 : 32);
}
static void leave_silent_orphan(void) { // its own parent would have got SIGUSR1
    CHECK(clone(silent_child, child_stack + sizeof child_stack, SIGUSR1, NULL) > 0);
}
static void subreaper(void) {
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    CHECK_EQ(pipe(note), 0);
    pid_t parent, pid = spawn(leave_orphan);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(read(note[0], &parent, sizeof parent), sizeof parent);
    CHECK_EQ(parent, getpid());
    int status;
    CHECK(waitpid(-1, &status, 0) > 0);
    CHECK_EXITED(status, 31);
    // A borrower's child too.
    CHECK_EXITED(lend(leave_orphan), 0);
    CHECK_EQ(read(note[0], &parent, sizeof parent), sizeof parent);
    CHECK_EQ(parent, getpid());
    CHECK(waitpid(-1, &status, 0) > 0);
    CHECK_EXITED(status, 31);
}
static void heir_hears(void) {
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    hear_of_children(0);
    // What an orphan's creator wanted to be told does not count for the heir.
    pid_t pid = spawn(leave_silent_orphan);
    CHECK_EXITED(check_reap(pid), 0);
    int status;
    while ((pid = waitpid(-1, &status, 0)) < 0 && errno == EINTR) {
    }
    CHECK(pid > 0);
    CHECK_EXITED(status, 32);
    CHECK_SOON(handled >= 2, 5);
    pid = spawn(leave_zombie);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK(waitpid(-1, &status, WNOHANG) > 0);
    CHECK_EXITED(status, 7);
}
static void heir_discards(void) {
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    CHECK_EQ(pipe(note), 0);
    pid_t pid = spawn(leave_zombie_and_name), zombie;
    CHECK_EQ(read(note[0], &zombie, sizeof zombie), sizeof zombie);
    signal(SIGCHLD, SIG_IGN);
    kill(pid, SIGKILL);
    CHECK_SOON(check_state_of(pid) == 0, 5);
    CHECK_EQ(check_state_of(zombie), 0);
}

// --- what is told ---

static void burn_and_die(void) {
    CHECK_EQ(syscall(SYS_setresuid, 4300, 4300, 4300), 0);
    spin_cpu_ms(200);
    _exit(3);
}
static void stop_as_user(void) {
    CHECK_EQ(syscall(SYS_setresuid, 4300, 4300, 4300), 0);
    raise(SIGSTOP);
    _exit(4);
}
static void told(void) {
    hear_of_children(SA_RESTART);
    siginfo_t waited;
    pid_t pid = spawn(burn_and_die);
    CHECK_EQ(waitid(P_PID, (id_t)pid, &waited, WEXITED | WNOWAIT), 0);
    CHECK_EQ(waited.si_uid, 4300);
    CHECK_SOON(handled == 1, 5);
    CHECK_EQ(child_info.si_uid, 4300);
    CHECK_EQ(child_info.si_pid, pid);
    CHECK(child_info.si_utime + child_info.si_stime >= 15); // of 200 ms, in hundredths of a second
    CHECK_EXITED(check_reap(pid), 3);
    handled = 0;
    pid = spawn(stop_as_user);
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_SOON(handled == 1, 5);
    CHECK_EQ(child_info.si_code, CLD_STOPPED);
    CHECK_EQ(child_info.si_uid, 4300);
    kill(pid, SIGCONT);
    CHECK_EXITED(check_reap(pid), 4);
}

static int exit_8(void* unused) { _exit(unused ? 1 : 8); }
static void no_zombies(void) {
    int status;
    struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    CHECK_EQ(sigaction(SIGCHLD, &action, NULL), 0);
    CHECK_ERRNO(waitpid(spawn(exit_7), &status, 0), ECHILD);
    CHECK_ERRNO(waitpid(borrow(exit_7), &status, 0), ECHILD);
    signal(SIGCHLD, SIG_IGN);
    CHECK_ERRNO(waitpid(spawn(exit_7), &status, 0), ECHILD);
    // A child with another exit signal, or none, is none of SIGCHLD's business.
    pid_t pid = clone(exit_8, child_stack + sizeof child_stack, CLONE_VFORK | 0, NULL);
    CHECK_EQ(waitpid(pid, &status, __WALL), pid);
    CHECK_EXITED(status, 8);
}

// --- what was used ---

static void* burn_200(void* unused) {
    spin_cpu_ms(200);
    return unused;
}
static void burn_in_thread(void) {
    pthread_t thread;
    struct rusage use;
    CHECK_EQ(pthread_create(&thread, NULL, burn_200, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_SOON((getrusage(RUSAGE_SELF, &use), cpu_seconds(&use) >= 0.19), 2);
}
static void burn_in_child(void) { CHECK_EXITED(check_reap(spawn(burn_in_thread)), 0); }
static void use_8_megabytes(void) {
    char* p = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 1, 8 << 20);
    munmap(p, 8 << 20);
}
static void used(void) {
    struct rusage use;
    pid_t pid = spawn(burn_in_child);
    CHECK_EQ(wait4(pid, NULL, 0, &use), pid);
    CHECK(cpu_seconds(&use) >= 0.19); // its child's thread's
    getrusage(RUSAGE_CHILDREN, &use);
    CHECK(cpu_seconds(&use) >= 0.19);
    getrusage(RUSAGE_SELF, &use);
    CHECK(cpu_seconds(&use) < 0.19);
    pid = spawn(use_8_megabytes);
    CHECK_EQ(wait4(pid, NULL, 0, &use), pid);
    CHECK(use.ru_maxrss >= 8192);
}

// --- several threads ---

static void* exit_group_later(void* status) {
    check_sleep_ms(50);
    _exit((int)(long)status);
}
static void* thread_exit_later(void* status) {
    check_sleep_ms(50);
    syscall(SYS_exit, (int)(long)status);
    return NULL;
}
static void leader_then_group(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, exit_group_later, (void*)44);
    syscall(SYS_exit, 5);
}
static void leader_then_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, thread_exit_later, (void*)9);
    syscall(SYS_exit, 5);
}
static void statuses(void) {
    CHECK_EXITED(check_reap(spawn(leader_then_group)), 44);
    CHECK_EXITED(check_reap(spawn(leader_then_thread)), 5); // the first thread's own
}

static void* nothing(void* unused) { return unused; }
static void threads_within_limit(void) {
    struct rlimit limit = {8, 8};
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
    CHECK_EQ(syscall(SYS_setresuid, 4400, 4400, 4400), 0);
    pthread_t thread[16];
    for (int round = 0; round < 20; ++round) {
        int count = 0, error = 0;
        while (count < 16 && (error = pthread_create(&thread[count], NULL, nothing, NULL)) == 0) {
            CHECK_EQ(pthread_join(thread[count], NULL), 0);
            ++count;
        }
        CHECK_EQ(error, 0);
    }
}
static void thread_limit(void) { CHECK_EXITED(check_reap(spawn(threads_within_limit)), 0); }

// The first thread is chosen for a signal of its process while it ends, which takes it long.
enum { entries = 500, entry_size = 8192 };
static struct {
    void* next;
    long offset;
    void* pending;
} head;
static volatile int ending;
static void on_usr1(int number) { handled += number ? 1 : 0; }
static void* takes_over(void* unused) {
    for (int i = 0; i < 300 && !handled; ++i)
        check_sleep_ms(1000); // a handler ends it
    return unused;
}
static void* sends(void* unused) {
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);
    while (!ending) {
    }
    for (volatile int i = 0; i < 3000; ++i) {
    }
    kill(getpid(), SIGUSR1);
    for (int i = 0; i < 300 && !handled; ++i)
        check_sleep_ms(10);
    _exit(handled == 1 ? 0 : 1);
    return unused;
}
// Makes this thread's end take long: thousands of robust futexes, each in a page that was never touched.
static void end_slowly(void) {
    char* memory = mmap(NULL, (size_t)entries * entry_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (long i = 0; i < entries; ++i)
        *(void**)(memory + i * entry_size) = i + 1 < entries ? (void*)(memory + (i + 1) * entry_size) : (void*)&head;
    head.next = memory;
    head.offset = 4096;
    CHECK_EQ(syscall(SYS_set_robust_list, &head, sizeof head), 0);
    ending = 1;
    syscall(SYS_exit, 0);
}
static void first_thread_ends(void) {
    signal(SIGUSR1, on_usr1);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, takes_over, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, sends, NULL), 0);
    check_sleep_ms(20);
    end_slowly();
}
static void chosen_thread_ends(void) {
    for (int i = 0; i < 8; ++i)
        CHECK_EXITED(check_reap(spawn(first_thread_ends)), 0);
}

static void* stops_all(void* unused) {
    while (!ending) {
    }
    for (volatile int i = 0; i < 3000; ++i) {
    }
    raise(SIGSTOP);
    _exit(5);
    return unused;
}
static void first_thread_ends_in_stop(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, stops_all, NULL), 0);
    end_slowly();
}
static void stop_beside_end(void) {
    for (int i = 0; i < 8; ++i) {
        int status;
        pid_t pid = spawn(first_thread_ends_in_stop);
        CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
        CHECK(WIFSTOPPED(status));
        kill(pid, SIGCONT);
        CHECK_EXITED(check_reap(pid), 5);
    }
}

// --- groups ---

static void stop_in_group(void) {
    raise(SIGSTOP);
    _exit(6);
}
static void group_of_its_own(void) {
    setsid(); // then nobody outside is in the session
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        pid_t member = fork();
        if (member == 0) {
            setpgid(0, getppid());
            stop_in_group();
        }
        int status;
        CHECK_EQ(waitpid(member, &status, WUNTRACED), member);
        CHECK(WIFSTOPPED(status));
        CHECK_EQ(write(note[1], &member, sizeof member), sizeof member);
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    for (;;)
        pause();
}
static void orphaned_group(void) {

    CHECK_EQ(pipe(note), 0);
    pid_t member, pid = spawn(group_of_its_own);
    CHECK_EQ(read(note[0], &member, sizeof member), sizeof member);
    CHECK_SOON(check_state_of(member) == 0 || check_state_of(member) == 'Z', 5); // of SIGHUP, when SIGCONT came
    kill(pid, SIGKILL);
    check_reap(pid);
}

static void setpgid_rules(void) {
    int hold[2];
    CHECK_EQ(pipe(hold), 0);
    pid_t child = spawn(sleep_for_ever);
    CHECK_ERRNO(setpgid(getppid(), 0), ESRCH); // a stranger
    CHECK_ERRNO(setpgid(child, 23999), EPERM); // no such group
    CHECK_ERRNO(setpgid(0, 1), EPERM);         // another session's, or none
    CHECK_ERRNO(setpgid(child, -1), EINVAL);
    CHECK_EQ(setpgid(child, 0), 0);
    CHECK_EQ(getpgid(child), child);
    CHECK_EQ(setpgid(child, getpgrp()), 0);
    CHECK_EQ(getpgid(child), getpgrp());
    pid_t pid = fork();
    if (pid == 0) {
        close(hold[0]);
        CHECK_EQ(setsid(), getpid());
        CHECK_ERRNO(setpgid(0, 0), EPERM); // a session's leader
        CHECK_ERRNO(setsid(), EPERM);      // and a group's
        CHECK_EQ(write(hold[1], "x", 1), 1);
        sleep_for_ever();
    }
    char c;
    CHECK_EQ(read(hold[0], &c, 1), 1);
    CHECK_ERRNO(setpgid(pid, 0), EPERM);     // in another session
    CHECK_ERRNO(setpgid(child, pid), EPERM); // into another session
    kill(pid, SIGKILL);
    kill(child, SIGKILL);
    check_reap(pid);
    check_reap(child);
}

static int waits_for_end(void* unused) {
    for (;;)
        pause();
    return unused != NULL;
}
static void child_in_other_session(void) { // its creator leads the session, its parent is not in it
    CHECK_EQ(setsid(), getpid());
    pid_t pid = clone(waits_for_end, child_stack + sizeof child_stack, CLONE_PARENT | SIGCHLD, NULL);
    CHECK(pid > 0);
    CHECK_EQ(write(note[1], &pid, sizeof pid), sizeof pid);
}
static void across_sessions(void) {
    pid_t pid;
    CHECK_EQ(pipe(note), 0);
    CHECK_EXITED(check_reap(spawn(child_in_other_session)), 0);
    CHECK_EQ(read(note[0], &pid, sizeof pid), sizeof pid);
    CHECK(getsid(pid) != getsid(0));
    CHECK_ERRNO(setpgid(pid, 0), EPERM);
    CHECK_ERRNO(setpgid(pid, getpgrp()), EPERM);
    kill(pid, SIGKILL);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
}

static void drop_and_kill_group(void) {
    setpgid(0, 0);
    pid_t pid = spawn(sleep_for_ever);
    CHECK_EQ(syscall(SYS_setresuid, 4500, 4500, 4500), 0);
    signal(SIGTERM, SIG_IGN);
    CHECK_EQ(kill(0, SIGTERM), 0); // itself it may
    check_sleep_ms(20);
    CHECK_EQ(kill(pid, 0), -1);
    CHECK_EQ(errno, EPERM);
    CHECK(check_state_of(pid) != 0 && check_state_of(pid) != 'Z'); // root's child lives on
    CHECK_ERRNO(kill(-getpgid(getppid()), SIGTERM), EPERM);        // none of those it may signal
}
static void group_permission(void) {
    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    CHECK_EXITED(check_reap(spawn(drop_and_kill_group)), 0);
    kill(-1 * waitpid(-1, NULL, WNOHANG), 0);
}

// --- which child ---

static void own_group(void) {
    setpgid(0, 0);
    _exit(9);
}
static void which(void) {
    int status;
    pid_t first = spawn(exit_7), second = spawn(own_group);
    CHECK_SOON(check_state_of(first) == 'Z' && check_state_of(second) == 'Z', 5);
    CHECK_EQ(waitpid(-second, &status, 0), second);
    CHECK_EXITED(status, 9);
    CHECK_ERRNO(waitpid(-second, &status, 0), ECHILD);
    CHECK_EQ(waitpid(0, &status, 0), first);
    CHECK_EXITED(status, 7);
    first = spawn(exit_7), second = spawn(own_group);
    CHECK_SOON(check_state_of(first) == 'Z' && check_state_of(second) == 'Z', 5);
    CHECK_EQ(waitpid(second, &status, 0), second);
    CHECK_EQ(waitpid(first, &status, 0), first);
}

static void stop_then_exit(void) {
    raise(SIGSTOP);
    sleep_for_ever();
}
static void kinds(void) {
    siginfo_t info;
    int status;
    pid_t pid = spawn(stop_then_exit);
    CHECK_SOON(check_state_of(pid) == 'T', 5);
    CHECK_EQ(waitpid(pid, &status, WNOHANG), 0);              // no WUNTRACED, no stop
    CHECK_EQ(waitpid(pid, &status, WNOHANG | WCONTINUED), 0); // nor as a continue
    for (int i = 0; i < 2; ++i) {
        info.si_pid = 0;
        CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT), 0);
        CHECK_EQ(info.si_pid, pid);
    }
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
    kill(pid, SIGCONT);
    CHECK_SOON(check_state_of(pid) != 'T', 5);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0);
    for (int i = 0; i < 2; ++i) {
        info.si_pid = 0;
        CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WCONTINUED | WNOWAIT), 0);
        CHECK_EQ(info.si_pid, pid);
        CHECK_EQ(info.si_code, CLD_CONTINUED);
    }
    CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
    CHECK(WIFCONTINUED(status));
    // A continue that nobody asked about is over when the next stop comes.
    kill(pid, SIGSTOP);
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    kill(pid, SIGCONT);
    CHECK_SOON(check_state_of(pid) != 'T', 5);
    kill(pid, SIGSTOP);
    CHECK_SOON(check_state_of(pid) == 'T', 5);
    CHECK_EQ(waitpid(pid, &status, WCONTINUED | WNOHANG), 0);
    kill(pid, SIGKILL);
    CHECK_SOON(check_state_of(pid) == 'Z', 5);
    info.si_pid = 0;
    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG), 0);
    CHECK_EQ(info.si_pid, 0); // no WEXITED, no zombie
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
}

static const struct check_case cases[] = {
    {"orphans go to the nearest subreaper", subreaper, 0, false},
    {"an heir waits for what it inherits as if it were its own, and gets SIGCHLD", heir_hears, 0, false},
    {"an heir that ignores SIGCHLD keeps no inherited zombies", heir_discards, 0, false},
    {"a parent is told its child's user and times", told, 0, false},
    {"EC-60 SA_NOCLDWAIT and an ignored SIGCHLD leave no zombies, except of other exit signals", no_zombies, 0, false},
    {"EC-79 wait4 tells what a child, its threads and its children used, and the most memory", used, 0, false},
    {"the status is exit_group's, or that of the first thread", statuses, 0, false},
    {"NB-05 threads that ended do not count against RLIMIT_NPROC", thread_limit, 0, false},
    {"a signal that chose a thread which is just ending goes to another", chosen_thread_ends, 60, false},
    {"a stop is complete when the last thread that did not stop has ended", stop_beside_end, 60, false},
    {"a member's end that orphans its own stopped group continues it with SIGHUP", orphaned_group, 0, false},
    {"EC-115 setpgid and setsid refuse what they must", setpgid_rules, 0, false},
    {"setpgid refuses a child in another session", across_sessions, 0, false},
    {"kill of a group asks for permission for each member", group_permission, 0, false},
    {"wait takes the child that was asked for: by pid, by group, by its own group", which, 0, false},
    {"wait tells stops and continues only when asked, once, and WNOWAIT leaves them", kinds, 0, false},
};
CHECK_MAIN(cases)

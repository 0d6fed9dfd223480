// SPDX-License-Identifier: BSD-2-Clause
// The native calls that make processes: BSD's vfork, 4.4BSD's copying vfork, fork1 with NetBSD's flags, __clone.
#include "lend.h"

#include <lentil.h>
#include <sched.h>
#include <sys/stat.h>

static volatile int word, other;
static volatile pid_t seen_pid, seen_parent;
static char stack[65536] __attribute__((aligned(16)));
static void* const stack_end = stack + sizeof stack;

static void bump(int number) { word += number; }

// --- vfork ---

static __attribute__((noinline)) pid_t native_borrow(void (*act)(void)) {
    pid_t pid = lentil_vfork();
    if (pid == 0) {
        act();
        _exit(0);
    }
    return pid;
}

static void note_ids(void) {
    word = 7;
    seen_pid = getpid();
    seen_parent = getppid();
}
static void two_values(void) {
    word = 0;
    pid_t pid = native_borrow(note_ids);
    CHECK(pid > 0);
    CHECK_EQ(word, 7); // the child ran first, in this memory
    CHECK_EQ(seen_pid, pid);
    CHECK_EQ(seen_parent, getpid());
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), pid);
}

// The raw registers: the stub is left out.
static long raw_vfork(long* second) {
    register long a0 __asm__("a0") = 0;
    register long a1 __asm__("a1") = 77;
    register long a7 __asm__("a7") = -1;
    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a7) : "memory");
    *second = a1;
    return a0;
}
static volatile long child_first, child_second;
static __attribute__((noinline)) void raw_round(long* first, long* second) {
    long one, two;
    one = raw_vfork(&two);
    if (two == 1) {
        child_first = one;
        child_second = two;
        syscall(SYS_exit, 0);
    }
    *first = one;
    *second = two;
}
static void registers(void) {
    long first, second;
    raw_round(&first, &second);
    CHECK(first > 0);
    CHECK_EQ(second, 0);
    CHECK_EQ(child_first, first);
    CHECK_EQ(child_second, 1);
    CHECK_EXITED(check_reap((pid_t)first), 0);
}

static void nest_inner(void) { word = word * 10 + 2; }
static void nest_outer(void) {
    word = 1;
    CHECK(native_borrow(nest_inner) > 0);
    word = word * 10 + 3;
}
static void nested(void) {
    CHECK(native_borrow(nest_outer) > 0);
    CHECK_EQ(word, 123);
}

static long counts[5];
static void read_counts(void) {
    static const char* const names[] = {"forks", "forks_ppwait", "forks_sharevm", "loans"};
    for (int i = 0; i < 4; ++i)
        counts[i] = check_counter(names[i]);
}
static void counted(pid_t (*make)(void), long ppwait, long sharevm, long loans) {
    read_counts();
    long before[4] = {counts[0], counts[1], counts[2], counts[3]};
    pid_t pid = make();
    if (pid == 0)
        _exit(0);
    CHECK(pid > 0);
    check_reap(pid);
    read_counts();
    CHECK_EQ(counts[0] - before[0], 1);
    CHECK_EQ(counts[1] - before[1], ppwait);
    CHECK_EQ(counts[2] - before[2], sharevm);
    CHECK_EQ(counts[3] - before[3], loans);
}
static void do_nothing(void) {}
static pid_t make_vfork(void) { return native_borrow(do_nothing); }
static pid_t make_copying(void) { return lentil_vfork_copying(); }
static pid_t make_plain(void) { return lentil_fork1(0, SIGCHLD); }
static int return_0(void* unused) {
    (void)unused;
    return 0;
}
static pid_t make_sharevm(void) { return lentil_fork1_on(FORK_SHAREVM, SIGCHLD, stack_end, return_0, NULL); }
static void counters(void) {
    counted(make_vfork, 1, 1, 1);
    counted(make_copying, 1, 0, 0);
    counted(make_sharevm, 0, 1, 0);
    counted(make_plain, 0, 0, 0);
}

// --- 4.4BSD's vfork ---

static void copying(void) {
    volatile int* shared = shared_memory(64);
    word = 1;
    pid_t pid = lentil_vfork_copying();
    CHECK(pid >= 0);
    if (pid == 0) {
        word = 2;
        check_sleep_ms(100);
        shared[0] = word;
        _exit(5);
    }
    CHECK_EQ(shared[0], 2); // it has run to its end
    CHECK_EQ(word, 1);      // in memory of its own
    int status;
    CHECK_EQ(waitpid(pid, &status, WNOHANG), pid);
    CHECK_EXITED(status, 5);
}

static void copying_exec(void) {
    int p[2];
    char c;
    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    pid_t pid = lentil_vfork_copying();
    if (pid == 0) {
        execl(check_self, check_self, "@sleep", (char*)NULL);
        _exit(127);
    }
    close(p[1]);
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    CHECK_EQ(read(p[0], &c, 1), 0); // close-on-exec is done
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
}

// --- a program that needs no sharing ---

// Runs a program as a careful caller does, telling of a failed exec through a pipe: what exec said, or the wait status.
enum { by_vfork, by_native_vfork, by_copying_vfork, by_fork, ways };
static __attribute__((noinline)) int run_program(int way, const char* path, const char* word) {
    int p[2], error = 0;
    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    const pid_t pid = way == by_vfork           ? vfork()
                      : way == by_native_vfork  ? lentil_vfork()
                      : way == by_copying_vfork ? lentil_vfork_copying()
                                                : fork();
    if (pid == 0) {
        execl(path, path, word, (char*)NULL);
        const int failure = errno;
        (void)!write(p[1], &failure, sizeof failure);
        _exit(127);
    }
    CHECK(pid > 0);
    close(p[1]);
    const ssize_t told = read(p[0], &error, sizeof error);
    close(p[0]);
    const int status = check_reap(pid);
    if (told == 0)
        return status;
    CHECK_EQ(told, sizeof error);
    CHECK_EXITED(status, 127);
    return -error;
}
static void no_sharing_needed(void) {
    const long loans = check_counter("loans");
    for (int way = 0; way < ways; ++way) {
        CHECK_EXITED(run_program(way, check_self, "@exit"), 0);
        CHECK_EXITED(run_program(way, check_self, "@seven"), 7);
        CHECK_EQ(run_program(way, "/nowhere", "x"), -ENOENT);
        CHECK_EQ(run_program(way, "/etc", "x"), -EACCES);
    }
    CHECK_EQ(check_counter("loans") - loans, 8); // only two of the ways lend
}

// --- fork1's flags ---

static int set_word(void* value) {
    word = (int)(intptr_t)value;
    return 0;
}
static void wait_for(pid_t pid) {
    CHECK(pid > 0);
    CHECK_EXITED(check_reap(pid), 0);
}
static void share_memory(void) {
    word = 0;
    wait_for(lentil_fork1_on(FORK_SHAREVM, SIGCHLD, stack_end, set_word, (void*)8));
    CHECK_EQ(word, 8);
    wait_for(lentil_fork1_on(0, SIGCHLD, stack_end, set_word, (void*)9));
    CHECK_EQ(word, 8);
}

static int note_stack(void* unused) {
    (void)unused;
    char here;
    other = (char*)&here > stack && (char*)&here < stack + sizeof stack;
    return 0;
}
static void stacks(void) {
    wait_for(lentil_fork1_on(FORK_SHAREVM, SIGCHLD, stack_end, note_stack, NULL));
    CHECK_EQ(other, 1);
    other = 0;
    wait_for(lentil_fork1_on(FORK_SHAREVM | FORK_PPWAIT, SIGCHLD, stack_end, note_stack, NULL));
    CHECK_EQ(other, 1);
}

static int change_directory(void* unused) {
    (void)unused;
    umask(0111);
    return chdir("/tmp");
}
static void directories(void) {
    static const unsigned beside[] = {0, FORK_PPWAIT, FORK_SHAREVM, FORK_SHAREVM | FORK_PPWAIT, FORK_SHAREFILES};
    char where[64];
    for (int i = 0; i < 5; ++i) {
        CHECK_EQ(chdir("/"), 0);
        umask(022);
        wait_for(lentil_fork1_on(beside[i], SIGCHLD, stack_end, change_directory, NULL));
        CHECK(getcwd(where, sizeof where) && strcmp(where, "/") == 0);
        CHECK_EQ(umask(022), 022);
        wait_for(lentil_fork1_on(beside[i] | FORK_SHARECWD, SIGCHLD, stack_end, change_directory, NULL));
        CHECK(getcwd(where, sizeof where) && strcmp(where, "/tmp") == 0);
        CHECK_EQ(umask(022), 0111);
    }
}

static int open_30(void* unused) {
    (void)unused;
    return dup2(0, 30) == 30 ? 0 : 1;
}
static void files(void) {
    static const unsigned beside[] = {0, FORK_PPWAIT, FORK_SHAREVM, FORK_SHAREVM | FORK_PPWAIT, FORK_SHARECWD};
    for (int i = 0; i < 5; ++i) {
        wait_for(lentil_fork1_on(beside[i], SIGCHLD, stack_end, open_30, NULL));
        CHECK_ERRNO(fcntl(30, F_GETFD), EBADF);
        wait_for(lentil_fork1_on(beside[i] | FORK_SHAREFILES, SIGCHLD, stack_end, open_30, NULL));
        CHECK_EQ(close(30), 0);
    }
}

static int count_open(void* unused) {
    (void)unused;
    int open_ones = 0;
    for (int fd = 0; fd < 100; ++fd)
        open_ones += fcntl(fd, F_GETFD) >= 0;
    return open_ones;
}
static void clean_files(void) {
    CHECK_EXITED(check_reap(lentil_fork1_on(FORK_CLEANFILES, SIGCHLD, stack_end, count_open, NULL)), 0);
    CHECK_EXITED(
        check_reap(lentil_fork1_on(FORK_CLEANFILES | FORK_SHAREVM | FORK_PPWAIT, SIGCHLD, stack_end, count_open, NULL)),
        0);
    int mine = count_open(NULL);
    CHECK(mine >= 3);
    CHECK_EXITED(check_reap(lentil_fork1_on(FORK_CLEANFILES | FORK_SHAREFILES, SIGCHLD, stack_end, count_open, NULL)),
                 mine);
}

static int set_handler(void* unused) {
    (void)unused;
    return signal(SIGUSR1, bump) == SIG_ERR;
}
static int raise_later(void* unused) {
    (void)unused;
    signal(SIGUSR1, bump);
    check_sleep_ms(50);
    return 0;
}
static void share_signals(void) {
    struct sigaction now;
    wait_for(lentil_fork1_on(0, SIGCHLD, stack_end, set_handler, NULL));
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_handler == SIG_DFL);
    // With memory of its own too: NetBSD's fork1 asks for no FORK_SHAREVM here.
    wait_for(lentil_fork1_on(FORK_SHARESIGS, SIGCHLD, stack_end, set_handler, NULL));
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_handler == bump);
    // The end of one leaves the other's table alone; exec takes a table of its own.
    signal(SIGUSR1, SIG_DFL);
    pid_t pid = lentil_fork1_on(FORK_SHARESIGS | FORK_SHAREVM, SIGCHLD, stack_end, raise_later, NULL);
    wait_for(pid);
    word = 0;
    raise(SIGUSR1);
    CHECK_EQ(word, SIGUSR1);
    pid = lentil_fork1(FORK_SHARESIGS | FORK_PPWAIT, SIGCHLD);
    if (pid == 0) {
        execl(check_self, check_self, "@exit", (char*)NULL);
        _exit(127);
    }
    wait_for(pid);
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_handler == bump);
}

static volatile int* shared_ids;
static int note_parent(void* unused) {
    (void)unused;
    shared_ids[0] = getppid();
    shared_ids[1] = getpid();
    return 0;
}
static void no_wait(void) {
    static const unsigned beside[] = {0, FORK_PPWAIT, FORK_SHAREVM, FORK_SHAREVM | FORK_PPWAIT};
    shared_ids = shared_memory(64);
    for (int i = 0; i < 4; ++i) {
        shared_ids[0] = shared_ids[1] = 0;
        pid_t pid = lentil_fork1_on(FORK_NOWAIT | beside[i], SIGCHLD, stack_end, note_parent, NULL);
        CHECK(pid > 0);
        CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
        if (beside[i] & FORK_PPWAIT)
            CHECK_EQ(shared_ids[1], pid); // the creator was woken, though it is not the parent
        CHECK_SOON(shared_ids[1] == pid, 10);
        CHECK_EQ(shared_ids[0], 1);
        CHECK_SOON(check_state_of(pid) == 0, 10); // init waits for it
    }
}

static volatile int arrived;
static void on_signal(int number) { arrived = number; }
static void exit_signals(void) {
    static const unsigned beside[] = {0, FORK_PPWAIT, FORK_SHAREVM | FORK_PPWAIT};
    for (int i = 0; i < 3; ++i) {
        signal(SIGUSR2, on_signal);
        signal(SIGCHLD, on_signal);
        arrived = 0;
        pid_t pid = lentil_fork1_on(beside[i], SIGUSR2, stack_end, return_0, NULL);
        CHECK(pid > 0);
        CHECK_SOON(arrived != 0, 10);
        CHECK_EQ(arrived, SIGUSR2);
        CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
        CHECK_EQ(waitpid(pid, NULL, __WCLONE), pid);
        arrived = 0;
        pid = lentil_fork1_on(beside[i], 0, stack_end, return_0, NULL);
        CHECK_EQ(waitpid(pid, NULL, __WALL), pid);
        CHECK_EQ(arrived, 0);
    }
}

static void bad_arguments(void) {
    struct {
        unsigned flags;
        int signal;
    } const bad[] = {{FORK_SYSTEM, SIGCHLD}, {0x100, SIGCHLD}, {0x80000000, SIGCHLD}, {0, -1}, {0, 65}};
    for (int i = 0; i < 5; ++i)
        CHECK_ERRNO(lentil_fork1_on(bad[i].flags, bad[i].signal, stack_end, return_0, NULL), EINVAL);
    CHECK_ERRNO(lentil_fork1_on(0, SIGCHLD, NULL, return_0, NULL), EINVAL);
    CHECK_ERRNO(lentil_fork1_on(0, SIGCHLD, stack_end, NULL, NULL), EINVAL);
    CHECK_ERRNO(syscall(-60), ENOSYS);
}

// Every combination: it is made, says what it is told to, ends, and is waited for by whom the flags say.
static int leave_7(void* unused) {
    (void)unused;
    return 7;
}
static void all_combinations(void) {
    for (unsigned flags = 0; flags < 128; ++flags) {
        pid_t pid = lentil_fork1_on(flags, SIGCHLD, stack_end, leave_7, NULL);
        if (pid <= 0)
            check_fail("flags 0x%x: %d, errno %d", flags, (int)pid, errno);
        if (flags & FORK_NOWAIT) {
            CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
            CHECK_SOON(check_state_of(pid) == 0, 10); // the stack is free again
        } else {
            CHECK_EXITED(check_reap(pid), 7);
        }
    }
}

// --- __clone ---

static void clone_rules(void) {
    static const int bad[] = {
        0x1000 | SIGCHLD /* CLONE_PID */,        CLONE_PTRACE | SIGCHLD, CLONE_SIGHAND | SIGCHLD, 65, 255,
        CLONE_THREAD | CLONE_VM | CLONE_SIGHAND, (int)0x80000000};
    for (int i = 0; i < 7; ++i)
        CHECK_ERRNO(lentil_clone(return_0, stack_end, bad[i], NULL), EINVAL);
    CHECK_ERRNO(lentil_clone(NULL, stack_end, SIGCHLD, NULL), EINVAL);
    CHECK_ERRNO(lentil_clone(return_0, NULL, SIGCHLD, NULL), EINVAL);
}
static void clone_shares(void) {
    struct sigaction now;
    word = 0;
    wait_for(lentil_clone(set_word, stack_end, SIGCHLD, (void*)3));
    CHECK_EQ(word, 0);
    wait_for(lentil_clone(set_word, stack_end, CLONE_VM | SIGCHLD, (void*)3));
    CHECK_EQ(word, 3);
    CHECK_EQ(chdir("/"), 0);
    wait_for(lentil_clone(change_directory, stack_end, CLONE_FS | SIGCHLD, NULL));
    char where[64];
    CHECK(getcwd(where, sizeof where) && strcmp(where, "/tmp") == 0);
    wait_for(lentil_clone(open_30, stack_end, CLONE_FILES | SIGCHLD, NULL));
    CHECK_EQ(close(30), 0);
    wait_for(lentil_clone(set_handler, stack_end, CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL));
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_handler == bump);
}
static int set_word_late(void* value) {
    check_sleep_ms(100);
    return set_word(value);
}
static void clone_waits(void) {
    long loans = check_counter("loans");
    word = 0;
    signal(SIGUSR2, on_signal);
    pid_t pid = lentil_clone(set_word_late, stack_end, CLONE_VM | CLONE_VFORK | SIGUSR2, (void*)4);
    CHECK(pid > 0);
    CHECK_EQ(word, 4);
    CHECK_EQ(check_counter("loans") - loans, 1);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG | __WCLONE), pid);
}
static void clone_exit_signal(void) {
    signal(SIGUSR2, on_signal);
    arrived = 0;
    pid_t pid = lentil_clone(return_0, stack_end, CLONE_VM | SIGUSR2, NULL);
    CHECK_SOON(arrived != 0, 10);
    CHECK_EQ(arrived, SIGUSR2);
    CHECK_EQ(waitpid(pid, NULL, __WCLONE), pid);
}

static const struct check_case cases[] = {
    {"BS-01 BS-02 XN-05 the native vfork runs the child first, in the caller's memory", two_values, 0, true},
    {"NB-32 XN-02 vfork's two registers are the pid and 1 in the child, the pid and 0 in the parent", registers, 0,
     true},
    {"XN-03 native vforks nest, and end last in first out", nested, 0, true},
    {"NB-38 forks, forks_ppwait, forks_sharevm and loans count each flavour as NetBSD does", counters, 0, true},
    {"BS-20 NB-19 4.4BSD's vfork copies the memory and still waits for the child's end", copying, 0, true},
    {"BS-20 NB-19 4.4BSD's vfork returns at the child's exec", copying_exec, 0, true},
    {"EC-174 a program that needs no sharing runs the same by vfork, native vfork, copying vfork and fork",
     no_sharing_needed, 0, true},
    {"NB-11 NB-12 FORK_SHAREVM alone makes stores visible to the other", share_memory, 0, true},
    {"NB-29 the child starts on the stack it was given, with and without a loan", stacks, 0, true},
    {"NB-13 FORK_SHARECWD shares directory and umask, whatever else is shared", directories, 0, true},
    {"NB-14 FORK_SHAREFILES shares the descriptors, whatever else is shared", files, 0, true},
    {"NB-15 FORK_CLEANFILES starts without descriptors, and FORK_SHAREFILES wins over it", clean_files, 0, true},
    {"NB-16 FORK_SHARESIGS shares the actions until exec, with or without shared memory", share_signals, 0, true},
    {"NB-17 NB-46 a FORK_NOWAIT child is init's, its creator cannot wait and is released all the same", no_wait, 60,
     true},
    {"NB-33 the exit signal is the one asked for; none still leaves a child for __WALL", exit_signals, 0, true},
    {"NB-18 fork1 refuses FORK_SYSTEM, unknown flags and bad signals with EINVAL", bad_arguments, 0, true},
    {"all 128 combinations of fork1's flags make a child that runs and ends", all_combinations, 60, true},
    {"NB-49 __clone refuses what NetBSD's refuses with EINVAL", clone_rules, 0, true},
    {"NB-50 __clone shares memory, directory, descriptors and actions as asked", clone_shares, 0, true},
    {"NB-50 __clone with CLONE_VM and CLONE_VFORK lends the thread and waits", clone_waits, 0, true},
    {"NB-33 NB-49 __clone's low byte is the exit signal", clone_exit_signal, 0, true},
};

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@sleep") == 0)
        return (int)sleep(60);
    if (argc > 1 && strcmp(argv[1], "@exit") == 0)
        return 0;
    if (argc > 1 && strcmp(argv[1], "@seven") == 0)
        return 7;
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

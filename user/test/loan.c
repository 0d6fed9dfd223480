// SPDX-License-Identifier: BSD-2-Clause
// The loan of a thread (vfork) seen from user mode: order, sharing, and that every attribute of a process is
// its own while the loan is out. Rows BS, XN, LX and EC are those of the project's list of vfork facts.
#include "lend.h"

#include <grp.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static volatile int step, seen[8];

static volatile long value[8];

// --- order and sharing ---

static void log_borrower(void) { seen[step++] = 1; }
static void order(void) {
    step = 0;
    pid_t pid = borrow(log_borrower);
    seen[step++] = 2;
    CHECK(pid > 0);
    CHECK_EQ(step, 2);
    CHECK_EQ(seen[0], 1);
    CHECK_EQ(seen[1], 2);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(waitpid(-1, NULL, 0), -1);
}

static volatile long* on_stack;
static void store(void) {
    value[0] = 42;
    *on_stack = 43;
}
static void stores_are_seen(void) {
    volatile long local = 0;
    on_stack = &local;
    lend_ok(store);
    CHECK_EQ(value[0], 42);
    CHECK_EQ(local, 43);
}

static void sleep_300(void) { check_sleep_ms(300); }
static void lender_waits(void) {
    double start = check_now();
    pid_t pid = borrow(sleep_300);
    CHECK(check_now() - start >= 0.299);
    CHECK_EXITED(check_reap(pid), 0);
}

static void note_ids(void) {
    value[0] = getpid();
    value[1] = getppid();
    value[2] = syscall(SYS_gettid);
    value[3] = getpgrp();
    value[4] = getsid(0);
}
static void ids(void) {
    pid_t me = getpid();
    pid_t pid = borrow(note_ids);
    CHECK_EQ(value[0], pid);
    CHECK_EQ(value[1], me);
    CHECK_EQ(value[2], pid);
    CHECK_EQ(value[3], getpgrp());
    CHECK_EQ(value[4], getsid(0));
    CHECK_EQ(getpid(), me);
    CHECK_EQ(syscall(SYS_gettid), me);
    CHECK(pid != me);
    CHECK_EXITED(check_reap(pid), 0);
}

static __attribute__((noinline)) void scribble_stack(void) {
    volatile char junk[2048];
    for (size_t i = 0; i < sizeof junk; ++i)
        junk[i] = (char)0x5a;
}
static void return_address_survives(void) {
    for (int i = 0; i < 50; ++i)
        lend_ok(scribble_stack);
}

static volatile int exit_code;
static void exit_with(void) { _exit(exit_code); }
static void every_status(void) {
    for (exit_code = 0; exit_code < 256; ++exit_code) {
        int status = lend(exit_with);
        CHECK_EXITED(status, exit_code);
    }
}

static volatile int* volatile nowhere = NULL;
static void crash(void) { *nowhere = 1; }
static void abort_now(void) { raise(SIGABRT); }
static void abnormal_end(void) {
    value[1] = 7;
    CHECK_SIGNALED(lend(crash), SIGSEGV);
    CHECK_SIGNALED(lend(abort_now), SIGABRT);
    CHECK_EQ(value[1], 7);
}

// --- process groups and sessions ---

static void new_group(void) {
    CHECK_EQ(setpgid(0, 0), 0);
    CHECK_EQ(getpgrp(), getpid());
}
static void group(void) {
    pid_t mine = getpgrp();
    lend_ok(new_group);
    CHECK_EQ(getpgrp(), mine);
}

static void new_session(void) {
    CHECK_EQ(setsid(), getpid());
    CHECK_EQ(getsid(0), getpid());
    CHECK_EQ(getpgrp(), getpid());
}
static void session(void) {
    pid_t mine = getsid(0), pg = getpgrp();
    lend_ok(new_session);
    CHECK_EQ(getsid(0), mine);
    CHECK_EQ(getpgrp(), pg);
}

// --- descriptors ---

static volatile int fd_a, fd_b, fd_made;
static void juggle(void) {
    char c;
    CHECK_EQ(read(fd_a, &c, 1), 1);
    CHECK_EQ(c, 'a');
    CHECK_EQ(close(fd_b), 0);
    fd_made = open("/dev/null", O_RDONLY);
    CHECK_EQ(fd_made, fd_b); // the lowest free one, in the borrower's table
    CHECK_EQ(dup2(fd_a, 50), 50);
    CHECK_EQ(close(fd_a), 0);
}
static void descriptors(void) {
    int p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(write(p[1], "abc", 3), 3);
    fd_a = p[0];
    fd_b = p[1];
    lend_ok(juggle);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 1); // still open here, with the shared offset
    CHECK_EQ(c, 'b');
    CHECK_EQ(write(p[1], "d", 1), 1); // still the pipe
    CHECK_ERRNO(fcntl(50, F_GETFD), EBADF);
}

static void share_offset(void) { CHECK_EQ(lseek(fd_a, 100, SEEK_SET), 100); }
static void offsets(void) {
    fd_a = open("/tmp/loan.offsets", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd_a >= 0);
    lend_ok(share_offset);
    CHECK_EQ(lseek(fd_a, 0, SEEK_CUR), 100);
    unlink("/tmp/loan.offsets");
}

static void change_flags(void) {
    CHECK_EQ(fcntl(fd_a, F_SETFD, FD_CLOEXEC), 0);
    CHECK_EQ(fcntl(fd_a, F_SETFL, O_NONBLOCK), 0);
}
static void descriptor_flags(void) {
    int p[2];
    CHECK_EQ(pipe(p), 0);
    fd_a = p[0];
    lend_ok(change_flags);
    CHECK_EQ(fcntl(p[0], F_GETFD), 0);
    CHECK(fcntl(p[0], F_GETFL) & O_NONBLOCK);
}

// --- directories, umask ---

static void move_away(void) {
    char where[64];
    CHECK_EQ(chdir("/tmp"), 0);
    CHECK(getcwd(where, sizeof where) && strcmp(where, "/tmp") == 0);
}
static void directory(void) {
    char where[64];
    CHECK_EQ(chdir("/dev"), 0);
    lend_ok(move_away);
    CHECK(getcwd(where, sizeof where) && strcmp(where, "/dev") == 0);
}

static void change_root(void) {
    CHECK_EQ(chroot("/tmp/loan.root"), 0);
    CHECK_ERRNO(access("/dev/null", F_OK), ENOENT);
    CHECK_EQ(access("/inside", F_OK), 0);
}
static void root_directory(void) {
    mkdir("/tmp/loan.root", 0755);
    mkdir("/tmp/loan.root/inside", 0755);
    lend_ok(change_root);
    CHECK_EQ(access("/dev/null", F_OK), 0);
    CHECK_ERRNO(access("/inside", F_OK), ENOENT);
    rmdir("/tmp/loan.root/inside");
    rmdir("/tmp/loan.root");
}

static void change_umask(void) { CHECK_EQ(umask(0777), 0027); }
static void umasks(void) {
    umask(0027);
    lend_ok(change_umask);
    CHECK_EQ(umask(0), 0027);
}

// --- credentials (by raw calls: libc's wrappers would speak to the lender's other threads) ---

static void drop_everything(void) {
    gid_t groups[2] = {77, 78};
    CHECK_EQ(syscall(SYS_setgroups, 2, groups), 0);
    CHECK_EQ(syscall(SYS_setresgid, 1001, 1002, 1003), 0);
    CHECK_EQ(syscall(SYS_setresuid, 2001, 2002, 2003), 0);
    CHECK_EQ(getuid(), 2001);
    CHECK_EQ(geteuid(), 2002);
    CHECK_EQ(getegid(), 1002);
    CHECK_ERRNO(syscall(SYS_setresuid, 0, 0, 0), EPERM);
}
static void credentials(void) {
    uid_t u[3];
    gid_t g[3], groups[8] = {5, 6, 7};
    CHECK_EQ(setgroups(3, groups), 0);
    lend_ok(drop_everything);
    getresuid(&u[0], &u[1], &u[2]);
    getresgid(&g[0], &g[1], &g[2]);
    CHECK(u[0] == 0 && u[1] == 0 && u[2] == 0);
    CHECK(g[0] == 0 && g[1] == 0 && g[2] == 0);
    CHECK_EQ(getgroups(8, groups), 3);
    CHECK_EQ(groups[0] + groups[1] + groups[2], 18);
}

// --- signals: actions, mask, pending set, alternate stack ---

static volatile int handled, handled_by;
static void on_signal(int number) {
    handled += number ? 1 : 0;
    handled_by = (int)syscall(SYS_getpid);
}
static void change_actions(void) {
    struct sigaction old;
    CHECK_EQ(sigaction(SIGUSR1, NULL, &old), 0);
    CHECK(old.sa_handler == on_signal); // inherited
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, on_signal);
    signal(SIGTERM, SIG_IGN);
}
static void actions(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_NODEFER}, now;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    lend_ok(change_actions);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_handler == on_signal && (now.sa_flags & SA_NODEFER));
    CHECK_EQ(sigaction(SIGUSR2, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
    CHECK_EQ(sigaction(SIGTERM, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
}

static void lend_on(void) {
    struct sigaction now;
    lend_ok(change_actions);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_handler == on_signal);
    CHECK_EQ(sigaction(SIGUSR2, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
    CHECK(syscall(SYS_kcmp, getpid(), getppid(), KCMP_SIGHAND, 0, 0) != 0); // a table of its own, whenever it is made
}
static void actions_nested(void) {
    struct sigaction action = {.sa_handler = on_signal}, now;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    lend_ok(lend_on);
    CHECK_EQ(sigaction(SIGUSR2, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
}
static void take_one(void) {
    struct sigaction now;
    handled = 0;
    raise(SIGUSR1);
    CHECK_EQ(handled, 1);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
}
static void action_for_one_signal(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, now;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    lend_ok(take_one);
    CHECK_EQ(sigaction(SIGUSR1, NULL, &now), 0);
    CHECK(now.sa_handler == on_signal);
    take_one();
}

static void change_mask(void) {
    sigset_t all, now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK(sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2)); // inherited
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}
static void unblock_all(void) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}
static void masks(void) {
    sigset_t set, now;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_SETMASK, &set, NULL);
    void (*acts[])(void) = {change_mask, unblock_all};
    for (int i = 0; i < 2; ++i) {
        lend_ok(acts[i]);
        sigprocmask(SIG_SETMASK, NULL, &now);
        for (int s = 1; s < 65; ++s)
            if (sigismember(&now, s) >= 0)
                CHECK_EQ(sigismember(&now, s), s == SIGUSR1);
    }
}

static void pending_is_empty(void) {
    sigset_t now;
    sigpending(&now);
    CHECK_EQ(sigismember(&now, SIGUSR1), 0);
    CHECK_EQ(sigismember(&now, SIGUSR2), 0);
    raise(SIGHUP); // blocked: stays pending here, and here only
    kill(getpid(), SIGUSR2);
    sigpending(&now);
    CHECK_EQ(sigismember(&now, SIGHUP), 1);
    CHECK_EQ(sigismember(&now, SIGUSR2), 1);
}
static void pending(void) {
    sigset_t all, now;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    raise(SIGUSR1);
    lend_ok(pending_is_empty);
    sigpending(&now);
    CHECK_EQ(sigismember(&now, SIGUSR1), 1);
    CHECK_EQ(sigismember(&now, SIGHUP), 0);
    CHECK_EQ(sigismember(&now, SIGUSR2), 0);
}

static char alternate[2][32768];
static void change_altstack(void) {
    stack_t now, other = {.ss_sp = alternate[1], .ss_size = sizeof alternate[1]};
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK(now.ss_sp == alternate[0] && now.ss_size == sizeof alternate[0]);
    CHECK_EQ(sigaltstack(&other, NULL), 0);
}
static void altstack(void) {
    stack_t now, mine = {.ss_sp = alternate[0], .ss_size = sizeof alternate[0]};
    CHECK_EQ(sigaltstack(&mine, NULL), 0);
    lend_ok(change_altstack);
    CHECK_EQ(sigaltstack(NULL, &now), 0);
    CHECK(now.ss_sp == alternate[0] && now.ss_flags == 0);
}

// --- limits, scheduling ---

static void change_limits(void) {
    struct rlimit small = {11, 22};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
    CHECK_EQ(setrlimit(RLIMIT_CORE, &small), 0);
}
static void limits(void) {
    struct rlimit before[2], after[2];
    getrlimit(RLIMIT_NOFILE, &before[0]);
    getrlimit(RLIMIT_CORE, &before[1]);
    lend_ok(change_limits);
    getrlimit(RLIMIT_NOFILE, &after[0]);
    getrlimit(RLIMIT_CORE, &after[1]);
    CHECK(memcmp(before, after, sizeof before) == 0);
}

static void change_nice(void) {
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 15), 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 15);
}
static void nices(void) {
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 3), 0);
    lend_ok(change_nice);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 3);
}

static void change_affinity(void) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    CHECK_EQ(sched_getaffinity(0, sizeof one, &one), 0);
    CHECK_EQ(CPU_COUNT(&one), 1);
}
static void affinity(void) {
    cpu_set_t before, after;
    CPU_ZERO(&before);
    CPU_ZERO(&after);
    CHECK_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    lend_ok(change_affinity);
    CHECK_EQ(sched_getaffinity(0, sizeof after, &after), 0);
    CHECK(CPU_EQUAL(&before, &after));
}

static void change_policy(void) {
    struct sched_param p = {.sched_priority = 5};
    CHECK_EQ(sched_setscheduler(0, SCHED_FIFO, &p), 0);
    CHECK_EQ(sched_getscheduler(0), SCHED_FIFO);
}
static void policy(void) {
    lend_ok(change_policy);
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
}

// --- timers ---

static void no_timer_here(void) {
    struct itimerval t;
    CHECK_EQ(getitimer(ITIMER_REAL, &t), 0);
    CHECK_EQ(t.it_value.tv_sec, 0);
    CHECK_EQ(t.it_value.tv_usec, 0);
    CHECK_EQ(alarm(1000), 0);
    check_sleep_ms(300); // the lender's alarm comes due meanwhile
    CHECK_EQ(handled, 0);
}
static void alarms(void) {
    signal(SIGALRM, on_signal);
    struct itimerval t = {.it_value = {0, 100000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &t, NULL), 0);
    lend_ok(no_timer_here);
    CHECK_SOON(handled == 1, 5);
    CHECK_EQ(handled_by, getpid());
    CHECK_EQ(alarm(0), 0); // the borrower's thousand seconds are not here
}

static void alarm_of_its_own(void) {
    signal(SIGALRM, SIG_DFL);
    struct itimerval t = {.it_value = {0, 50000}};
    CHECK_EQ(setitimer(ITIMER_REAL, &t, NULL), 0);
    for (;;)
        pause();
}
static void borrower_alarm(void) {
    signal(SIGALRM, on_signal);
    CHECK_SIGNALED(lend(alarm_of_its_own), SIGALRM);
    check_sleep_ms(100);
    CHECK_EQ(handled, 0);
}

// --- per-thread things ---

static void change_name(void) {
    char name[16];
    CHECK_EQ(prctl(PR_SET_NAME, "other"), 0);
    CHECK_EQ(prctl(PR_GET_NAME, name), 0);
    CHECK(strcmp(name, "other") == 0);
}
static void names(void) {
    char name[64];
    CHECK_EQ(prctl(PR_SET_NAME, "mine"), 0);
    lend_ok(change_name);
    CHECK_EQ(prctl(PR_GET_NAME, name), 0);
    CHECK(strcmp(name, "mine") == 0);
    CHECK(check_read_file("/proc/self/comm", name, sizeof name) > 0);
    CHECK(strcmp(name, "mine\n") == 0);
}

static void tls_pointer(void) {
    unsigned long before, during = 0, after;
    __asm__ volatile("mv %0, tp" : "=r"(before));
    pid_t pid;
    // The borrower notes tp, points it elsewhere and leaves by a raw _exit (libc needs tp).
    __asm__ volatile("li a0, 0x4111\n li a1, 0\n li a2, 0\n li a3, 0\n li a4, 0\n li a7, 220\n ecall\n"
                     "bnez a0, 1f\n"
                     "mv t0, tp\n sd t0, (%2)\n li tp, 0x1234\n li a0, 0\n li a7, 94\n ecall\n"
                     "1: mv %0, a0\n mv %1, tp\n"
                     : "=r"(pid), "=r"(after)
                     : "r"(&during)
                     : "a0", "a1", "a2", "a3", "a4", "a7", "t0", "memory");
    CHECK(pid > 0);
    CHECK_EQ(during, before);
    CHECK_EQ(after, before);
    CHECK_EXITED(check_reap(pid), 0);
}

static struct {
    void* next;
    long offset;
    void* pending;
} robust_head;
static void change_robust_list(void) {
    void* head = &robust_head;
    size_t size;
    CHECK_EQ(syscall(SYS_get_robust_list, 0, &head, &size), 0);
    CHECK(head == NULL); // a process starts without one
    robust_head.next = &robust_head;
    CHECK_EQ(syscall(SYS_set_robust_list, &robust_head, sizeof robust_head), 0);
}
static void robust_list(void) {
    void *before, *after;
    size_t size;
    CHECK_EQ(syscall(SYS_get_robust_list, 0, &before, &size), 0);
    CHECK(before != NULL); // glibc set it
    lend_ok(change_robust_list);
    CHECK_EQ(syscall(SYS_get_robust_list, 0, &after, &size), 0);
    CHECK(before == after);
}

static volatile int robust_word[8] __attribute__((aligned(8)));
static void die_with_futex(void) {
    static struct { void* next; } entry;
    robust_head.next = &entry;
    entry.next = &robust_head;
    robust_head.offset = (char*)&robust_word[0] - (char*)&entry;
    robust_head.pending = NULL;
    robust_word[0] = getpid();
    CHECK_EQ(syscall(SYS_set_robust_list, &robust_head, sizeof robust_head), 0);
}
static void robust_exit(void) {
    pid_t pid = borrow(die_with_futex);
    CHECK_EQ(robust_word[0], FUTEX_OWNER_DIED); // by the time vfork returned
    CHECK_EXITED(check_reap(pid), 0);
}

static volatile int tid_word;
static void set_tid_word(void) {
    tid_word = 99;
    CHECK_EQ(syscall(SYS_set_tid_address, &tid_word), getpid());
}
static void clear_child_tid(void) {
    pid_t pid = borrow(set_tid_word);
    CHECK_EQ(tid_word, 0);
    CHECK_EXITED(check_reap(pid), 0);
}

static void* vfork_in_thread(void* unused) {
    lend_ok(set_tid_word);
    return unused;
}
static void join_after_vfork(void) {
    pthread_t thread;
    for (int i = 0; i < 20; ++i) {
        CHECK_EQ(pthread_create(&thread, NULL, vfork_in_thread, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
}

// --- accounting ---

static void spin_300(void) { spin_cpu_ms(300); }
static void cpu_time(void) {
    struct rusage mine, child;
    pid_t pid = borrow(spin_300);
    int status;
    CHECK_EQ(wait4(pid, &status, 0, &child), pid);
    CHECK_EXITED(status, 0);
    getrusage(RUSAGE_SELF, &mine);
    CHECK(cpu_seconds(&child) >= 0.28);
    CHECK(cpu_seconds(&mine) < 0.15);
    getrusage(RUSAGE_CHILDREN, &child);
    CHECK(cpu_seconds(&child) >= 0.28);
}

static void own_clock(void) {
    struct timespec t;
    CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t), 0);
    CHECK(t.tv_sec == 0 && t.tv_nsec < 150000000);
    CHECK_EQ(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    CHECK(t.tv_sec == 0 && t.tv_nsec < 150000000);
}
static void cpu_clock(void) {
    spin_cpu_ms(300);
    lend_ok(own_clock);
}

static char* volatile fresh;
static void touch_fresh(void) {
    for (long i = 0; i < 256; ++i)
        fresh[i * 4096] = 1;
}
static void faults(void) {
    fresh = mmap(NULL, 256 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(fresh != MAP_FAILED);
    madvise(fresh, 256 * 4096, MADV_NOHUGEPAGE);
    struct rusage before, after, child;
    getrusage(RUSAGE_SELF, &before);
    pid_t pid = borrow(touch_fresh);
    getrusage(RUSAGE_SELF, &after);
    CHECK_EQ(wait4(pid, NULL, 0, &child), pid);
    CHECK(child.ru_minflt >= 256 / 16); // a kernel may map pages around a fault
    CHECK(after.ru_minflt - before.ru_minflt < 16);
}

static const struct check_case cases[] = {
    {"BS-01 EC-01 vfork returns in the borrower first, then in the lender with the borrower's pid", order, 0, false},
    {"BS-02 EC-175 the lender sees what the borrower stored, globals and stack", stores_are_seen, 0, false},
    {"BS-03 EC-175 the lender's vfork takes as long as the borrower does", lender_waits, 0, false},
    {"EC-02 pid, ppid, tid, group and session are right in the borrower and in the lender", ids, 0, false},
    {"EC-05 a borrower that calls functions leaves the lender's return path alone", return_address_survives, 0, false},
    {"EC-79 every exit status from 0 to 255 comes through", every_status, 60, false},
    {"BS-04 a borrower that dies of a signal releases the lender and its status says so", abnormal_end, 0, false},
    {"EC-115 a process group made by the borrower is its own", group, 0, false},
    {"EC-115 setsid works in the borrower and leaves the lender's session alone", session, 0, false},
    {"XN-06 EC-110 descriptors closed, opened and duplicated in the borrower are its own", descriptors, 0, false},
    {"EC-110 file offsets are shared", offsets, 0, false},
    {"EC-111 close-on-exec is the borrower's own, O_NONBLOCK is shared", descriptor_flags, 0, false},
    {"EC-112 the working directory is the borrower's own", directory, 0, false},
    {"EC-112 the root directory is the borrower's own", root_directory, 0, false},
    {"EC-112 the umask is the borrower's own", umasks, 0, false},
    {"EC-113 EC-32 user, group and supplementary ids are the borrower's own", credentials, 0, false},
    {"EC-54 LX-09 signal actions are copied, not shared", actions, 0, false},
    {"EC-54 a borrower that lends on keeps its signal actions, as its own lender does", actions_nested, 0, false},
    {"EC-54 an action for one signal that the borrower takes is still there in the lender", action_for_one_signal, 0,
     false},
    {"EC-53 XN-07 the signal mask is the borrower's own", masks, 0, false},
    {"EC-55 LX-10 pending signals belong to whom they were sent", pending, 0, false},
    {"EC-58 LX-17 the alternate stack is inherited and then the borrower's own", altstack, 0, false},
    {"EC-114 resource limits are the borrower's own", limits, 0, false},
    {"EC-114 the nice value is the borrower's own", nices, 0, false},
    {"EC-114 the affinity mask is the borrower's own", affinity, 0, false},
    {"EC-114 the scheduling policy is the borrower's own", policy, 0, false},
    {"EC-120 the lender's alarm rings in the lender, after release", alarms, 0, false},
    {"EC-120 the borrower's alarm rings in the borrower", borrower_alarm, 0, false},
    {"the name set by prctl is the borrower's own", names, 0, false},
    {"EC-04 the TLS pointer is inherited and then the borrower's own", tls_pointer, 0, false},
    {"the robust futex list is the borrower's own", robust_list, 0, false},
    {"LX-19 a robust futex held by a borrower that exits is marked before release", robust_exit, 0, false},
    {"LX-18 the borrower's clear_child_tid word is cleared before release", clear_child_tid, 0, false},
    {"a thread that vforked can be joined: its clear_child_tid word is its own", join_after_vfork, 0, false},
    {"EC-79 EC-140 CPU time is charged to the borrower that used it", cpu_time, 0, false},
    {"EC-140 CPU clocks of a borrower start at zero", cpu_clock, 0, false},
    {"EC-94 page faults are charged to the borrower that took them", faults, 0, false},
};
CHECK_MAIN(cases)

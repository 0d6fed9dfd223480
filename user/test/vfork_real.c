// SPDX-License-Identifier: BSD-2-Clause
// vfork as real code uses it: glibc's vfork, posix_spawn, system and popen, busybox's xargs and time. The
// kernel's own counters prove that threads were lent, and /proc shows the loan while it is out.
#include "lend.h"

#include <spawn.h>

extern char** environ;

static volatile int exit_code;
static void exit_with(void) { _exit(exit_code); }
static void exec_helper(void) {
    execl(check_self, check_self, "@exit", "7", (char*)NULL);
    _exit(127);
}

static void plain_vfork(void) {
    for (exit_code = 0; exit_code < 50; ++exit_code)
        CHECK_EXITED(lend(exit_with), exit_code);
    CHECK_EXITED(lend(exec_helper), 7);
}

// --- posix_spawn ---

static pid_t spawn_helper(const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* attributes,
                          const char* what, const char* word) {
    char* argv[] = {check_self, (char*)(uintptr_t)what, (char*)(uintptr_t)word, NULL};
    pid_t pid = -1;
    int error = posix_spawn(&pid, check_self, actions, attributes, argv, environ);
    if (error)
        check_fail("posix_spawn gave errno %d", error);
    CHECK(pid > 0);
    return pid;
}

static void spawn_plain(void) {
    for (int i = 0; i < 20; ++i) {
        char code[8];
        snprintf(code, sizeof code, "%d", i);
        CHECK_EXITED(check_reap(spawn_helper(NULL, NULL, "@exit", code)), i);
    }
}

static void spawn_redirected(void) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    int fd = open("/tmp/real.in", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK_EQ(write(fd, "from a file\n", 12), 12);
    close(fd);
    int p[2];
    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    posix_spawn_file_actions_addopen(&actions, 0, "/tmp/real.in", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, p[1], 1);
    posix_spawn_file_actions_addclose(&actions, 2);
    pid_t pid = spawn_helper(&actions, NULL, "@copy", "x");
    close(p[1]);
    char text[32] = "";
    CHECK_EQ(read(p[0], text, sizeof text), 12);
    CHECK(strcmp(text, "from a file\n") == 0);
    CHECK_EQ(read(p[0], text, sizeof text), 0);
    CHECK_EXITED(check_reap(pid), 0);
    unlink("/tmp/real.in");
}

static void spawn_attributes(void) {
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t mask, defaults;
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGUSR2);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    posix_spawnattr_setsigmask(&attributes, &mask);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    pid_t pid = spawn_helper(NULL, &attributes, "@attributes", "group");
    CHECK_EXITED(check_reap(pid), 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    pid = spawn_helper(NULL, &attributes, "@attributes", "session");
    CHECK_EXITED(check_reap(pid), 0);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK_EQ(sigismember(&now, SIGUSR1), 0);
    CHECK(signal(SIGUSR2, SIG_DFL) == SIG_IGN);
}

static void spawn_failure(void) {
    char* argv[] = {check_self, NULL};
    pid_t pid = -1;
    CHECK_EQ(posix_spawn(&pid, "/no/such/program", NULL, NULL, argv, environ), ENOENT);
    CHECK_EQ(posix_spawn(&pid, "/tmp", NULL, NULL, argv, environ), EACCES);
    CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
    CHECK_EXITED(check_reap(spawn_helper(NULL, NULL, "@exit", "3")), 3);
}

// --- system, popen, busybox ---

static void call_system(void) {
    CHECK_EXITED(system("exit 3"), 3);
    CHECK_EXITED(system("test 5 -gt 4 && exit 9"), 9);
    CHECK_SIGNALED(system("kill -TERM $$"), SIGTERM);
    CHECK(system(NULL) != 0);
}

static void popen_says(const char* command, const char* expected) {
    FILE* f = popen(command, "r");
    CHECK(f != NULL);
    char text[400];
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    int status = pclose(f);
    CHECK_EXITED(status, 0);
    if (strcmp(text, expected) != 0)
        check_fail("`%s` printed \"%s\", expected \"%s\"", command, text, expected);
}
static void call_popen(void) {
    popen_says("echo one; echo two", "one\ntwo\n");
    FILE* f = popen("cat > /tmp/real.out", "w");
    CHECK(f != NULL);
    CHECK(fputs("written through popen\n", f) >= 0);
    CHECK_EXITED(pclose(f), 0);
    char text[64];
    CHECK(check_read_file("/tmp/real.out", text, sizeof text) > 0);
    CHECK(strcmp(text, "written through popen\n") == 0);
    unlink("/tmp/real.out");
}

static void call_xargs(void) {
    popen_says("echo a b c d | busybox xargs -n 1 echo got", "got a\ngot b\ngot c\ngot d\n");
    popen_says("busybox seq 1 300 | busybox xargs -n 10 echo | busybox wc -l", "30\n");
}

static void call_time(void) {
    char text[400];
    FILE* f = popen("busybox time busybox sleep 1 2>&1", "r");
    CHECK(f != NULL);
    size_t n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    CHECK_EXITED(pclose(f), 0);
    float seconds = -1;
    char* real = strstr(text, "real");
    CHECK(real && sscanf(real, "real 0m %fs", &seconds) == 1);
    CHECK(seconds >= 1.0F);
}

// --- the counters ---

// Reading /proc makes nothing that is counted here.
struct counts {
    long threads, stacks, loans, gifts, forks, ppwait, sharevm;
};
static struct counts read_counts(void) {
    struct counts c = {check_counter("threads_created"), check_counter("kernel_stacks_created"),
                       check_counter("loans"),           check_counter("gifts"),
                       check_counter("forks"),           check_counter("forks_ppwait"),
                       check_counter("forks_sharevm")};
    CHECK(c.threads >= 0 && c.stacks >= 0 && c.loans >= 0 && c.gifts >= 0);
    CHECK(c.forks >= 0 && c.ppwait >= 0 && c.sharevm >= 0);
    return c;
}

static void thousand(void) {
    lend_ok(exit_with); // whatever is made once is made now
    struct counts before = read_counts();
    exit_code = 0;
    for (int i = 0; i < 1000; ++i)
        lend_ok(exit_with);
    struct counts after = read_counts();
    CHECK_EQ(after.loans - before.loans, 1000);
    CHECK_EQ(after.threads - before.threads, 0);
    CHECK_EQ(after.stacks - before.stacks, 0);
    CHECK_EQ(after.gifts - before.gifts, 0);
    CHECK_EQ(after.forks - before.forks, 1000);
    CHECK_EQ(after.ppwait - before.ppwait, 1000);
    CHECK_EQ(after.sharevm - before.sharevm, 1000);
}

static void no_switch(void) {
    lend_ok(exit_with);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < 200; ++i)
        lend_ok(exit_with);
    getrusage(RUSAGE_SELF, &after);
    CHECK_EQ(after.ru_nvcsw - before.ru_nvcsw, 0);
}

static void forks_are_not_loans(void) {
    struct counts before = read_counts();
    for (int i = 0; i < 20; ++i)
        CHECK_EXITED(check_reap(spawn(exit_with)), 0);
    struct counts after = read_counts();
    CHECK_EQ(after.forks - before.forks, 20);
    CHECK_EQ(after.ppwait - before.ppwait, 0);
    CHECK_EQ(after.sharevm - before.sharevm, 0);
    CHECK_EQ(after.loans - before.loans, 0);
    CHECK_EQ(after.threads - before.threads, 20);
}

static void spawns_are_loans(void) {
    CHECK_EXITED(check_reap(spawn_helper(NULL, NULL, "@exit", "0")), 0);
    struct counts before = read_counts();
    for (int i = 0; i < 20; ++i)
        CHECK_EXITED(check_reap(spawn_helper(NULL, NULL, "@exit", "0")), 0);
    struct counts after = read_counts();
    CHECK_EQ(after.loans - before.loans, 20);
    CHECK_EQ(after.gifts - before.gifts, 0);
    CHECK_EQ(after.threads - before.threads, 20); // one for each executed image, none for the loans
}

static long open_before;
static void look_at_open(void) {
    CHECK_EQ(check_counter("loans_open"), open_before + 1);
    CHECK(check_counter("loans_max_depth") >= 1);
}
static void open_loans(void) {
    open_before = check_counter("loans_open");
    CHECK_EQ(open_before, 0);
    lend_ok(look_at_open);
    CHECK_EQ(check_counter("loans_open"), 0);
}

// --- /proc ---

static void status_has(pid_t pid, const char* key, long expected) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    long got = check_value_in(path, key);
    if (got != expected)
        check_fail("%s of %d is %ld, expected %ld", key, (int)pid, got, expected);
}

static pid_t lender;
static void look_at_loan(void) {
    char path[64], text[64];
    status_has(lender, "LentTo", getpid());
    status_has(lender, "BorrowedFrom", -1);
    status_has(getpid(), "BorrowedFrom", lender);
    status_has(getpid(), "LentTo", -1);
    snprintf(path, sizeof path, "/proc/%d/wchan", (int)lender);
    CHECK(check_read_file(path, text, sizeof text) > 0);
    text[strcspn(text, "\n")] = 0;
    if (strcmp(text, "vfork") != 0)
        check_fail("wchan of the lender is \"%s\", expected \"vfork\"", text);
    CHECK_EQ(check_state_of(lender), 'D'); // no signal wakes it
    CHECK_EQ(check_state_of(getpid()), 'R');
    CHECK(check_read_file("/proc/self/wchan", text, sizeof text) > 0);
    CHECK(strcmp(text, "vfork") != 0);
}
static void proc_shows_loan(void) {
    lender = getpid();
    lend_ok(look_at_loan);
    status_has(lender, "LentTo", -1);
    status_has(lender, "BorrowedFrom", -1);
}

// The memory of a loan is one: both show it whole, what either touches is there for both, and it is taken once.
enum { touched = 8 << 20 };
static char* window;
static long resident_of(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    return check_value_in(path, "VmRSS");
}
static long pages_used(void) { return check_value_in("/proc/lentil/objects", "pages_used"); }
static long resident_before, pages_before;
static void measure(void) { CHECK(resident_of(lender) + resident_of(getpid()) + pages_used() > 0); }
static void touch_window(void) {
    CHECK_EQ(resident_of(lender), resident_before);
    CHECK_EQ(resident_of(getpid()), resident_before);
    memset(window, 1, touched);
    CHECK_EQ(resident_of(lender), resident_before + touched / 1024);
    CHECK_EQ(resident_of(getpid()), resident_before + touched / 1024);
    long taken = pages_used() - pages_before;
    CHECK(taken >= touched / 4096 && taken < touched / 4096 + 600); // caches keep some
}
static void one_resident_set(void) {
    lender = getpid();
    window = mmap(NULL, touched, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(window != MAP_FAILED);
    for (int i = 0; i < 2; ++i) { // what the measuring touches is there before
        resident_before = resident_of(lender);
        pages_before = pages_used();
        lend_ok(measure);
    }
    resident_before = resident_of(lender);
    pages_before = pages_used();
    lend_ok(touch_window);
    CHECK_EQ(resident_of(lender), resident_before + touched / 1024);
    struct rusage use;
    CHECK_EQ(getrusage(RUSAGE_SELF, &use), 0);
    CHECK(use.ru_maxrss >= resident_before + touched / 1024 && use.ru_maxrss < 2 * (resident_before + touched / 1024));
}

static void look_at_proc(void) {
    static char maps[2][8192];
    char path[64];
    status_has(getpid(), "PPid", lender);
    status_has(getpid(), "Pid", getpid());
    status_has(lender, "Pid", lender);
    CHECK(check_state_of(getpid()) == 'R');
    CHECK(check_state_of(lender) == 'D' || check_state_of(lender) == 'S');
    snprintf(path, sizeof path, "/proc/%d/maps", (int)lender);
    CHECK(check_read_file(path, maps[0], sizeof maps[0]) > 0);
    CHECK(check_read_file("/proc/self/maps", maps[1], sizeof maps[1]) > 0);
    CHECK(strcmp(maps[0], maps[1]) == 0);
}
static void proc_shows_both(void) {
    lender = getpid();
    lend_ok(look_at_proc);
}

static const struct check_case cases[] = {
    {"glibc's vfork with _exit and with execve", plain_vfork, 0, false},
    {"posix_spawn runs a program and its status comes back", spawn_plain, 0, false},
    {"posix_spawn with file actions redirects the child and only the child", spawn_redirected, 0, false},
    {"posix_spawn attributes: mask, default actions, group, session", spawn_attributes, 0, false},
    {"posix_spawn of what cannot be executed returns the error and leaves no child", spawn_failure, 0, false},
    {"system runs the shell and returns its status", call_system, 0, false},
    {"popen reads from and writes to the shell", call_popen, 0, false},
    {"busybox xargs runs its commands", call_xargs, 60, false},
    {"busybox time times its command", call_time, 0, false},
    {"EC-02 EC-136 LX-32 /proc shows lender and borrower as two processes with one memory", proc_shows_both, 0, false},
    {"XN-01 D13 NB-38 a thousand vforks make no thread and no kernel stack", thousand, 60, true},
    {"a lender that vforks never goes through the scheduler", no_switch, 0, true},
    {"NB-38 a fork is counted as a fork, not as a loan", forks_are_not_loans, 0, true},
    {"posix_spawn lends: one thread for each executed image and none besides", spawns_are_loans, 0, true},
    {"loans_open counts the loan while it is out", open_loans, 0, true},
    {"EC-136 /proc names lender and borrower of a loan while it is out", proc_shows_loan, 0, true},
    {"EC-96 the memory of a loan is resident once, and shown by both", one_resident_set, 0, true},
};

// For test/boot: a loan that stays out.
static void wait_for_ever(void) {
    printf("borrower %d of %d\n", (int)getpid(), (int)getppid());
    fflush(stdout);
    for (;;)
        pause();
}

static int helper(char** argv) {
    if (strcmp(argv[1], "@lend") == 0)
        return lend(wait_for_ever);
    if (strcmp(argv[1], "@exit") == 0)
        return atoi(argv[2]);
    if (strcmp(argv[1], "@copy") == 0) {
        char text[100];
        ssize_t n = read(0, text, sizeof text);
        if (fcntl(2, F_GETFD) != -1 || errno != EBADF)
            return 2;
        return write(1, text, (size_t)n) == n ? 0 : 1;
    }
    if (strcmp(argv[1], "@attributes") == 0) {
        sigset_t now;
        struct sigaction action;
        sigprocmask(SIG_SETMASK, NULL, &now);
        if (!sigismember(&now, SIGUSR1) || sigismember(&now, SIGUSR2))
            return 10;
        sigaction(SIGUSR2, NULL, &action);
        if (action.sa_handler != SIG_DFL)
            return 11;
        sigaction(SIGHUP, NULL, &action);
        if (action.sa_handler != SIG_IGN)
            return 12;
        if (getpgrp() != getpid())
            return 13;
        bool leader = getsid(0) == getpid();
        return leader == (strcmp(argv[2], "session") == 0) ? 0 : 14;
    }
    return 99;
}

int main(int argc, char** argv) {
    if (argc > 2 && argv[1][0] == '@')
        return helper(argv);
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

// SPDX-License-Identifier: BSD-2-Clause
// The native call spawn, alone and beside glibc's posix_spawn: attributes, file actions, errors, and what is true when
// it returns.
#include "lend.h"
#include "objects.h"

#include <lentil.h>
#include <lentil/spawn.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

extern char** environ;

// A plan that both libraries can carry out.
struct step {
    char what; // o open, c close, d dup2, D chdir, F fchdir, f closefrom
    int fd, to;
    const char* path;
    int flags;
};
struct plan {
    const char* path;
    int flags;
    struct step steps[6];
    unsigned long mask, defaults; // bit n: signal n
    pid_t group;
    int policy, priority;
};

static void fill(sigset_t* set, unsigned long bits) {
    sigemptyset(set);
    for (int s = 1; s < 64; ++s)
        if (bits >> s & 1)
            sigaddset(set, s);
}

#define CARRY_OUT(prefix, spawn_function)                                                                              \
    for (const struct step* s = plan->steps; s->what; ++s) {                                                           \
        int e = s->what == 'o'   ? prefix##_file_actions_addopen(&actions, s->fd, s->path, s->flags, 0640)             \
                : s->what == 'c' ? prefix##_file_actions_addclose(&actions, s->fd)                                     \
                : s->what == 'd' ? prefix##_file_actions_adddup2(&actions, s->fd, s->to)                               \
                : s->what == 'D' ? ADDCHDIR(&actions, s->path)                                                         \
                : s->what == 'F' ? ADDFCHDIR(&actions, s->fd)                                                          \
                                 : ADDCLOSEFROM(&actions, s->fd);                                                      \
        if (e)                                                                                                         \
            return -e;                                                                                                 \
    }                                                                                                                  \
    error = spawn_function(&pid, plan->path, &actions, &attributes, argv, environ);                                    \
    prefix##_file_actions_destroy(&actions);

static char helper_word[] = "@state";
static char* const argv[] = {check_self, helper_word, NULL};

// The child's pid, or minus an error number.
static pid_t by_lentil(const struct plan* plan) {
    lentil_posix_spawn_file_actions_t actions;
    lentil_posix_spawnattr_t attributes = {.flags = (short)plan->flags,
                                           .group = plan->group,
                                           .policy = plan->policy,
                                           .param = {.sched_priority = plan->priority}};
    fill(&attributes.mask, plan->mask);
    fill(&attributes.defaults, plan->defaults);
    lentil_posix_spawn_file_actions_init(&actions);
    pid_t pid = 0;
    int error;
#define ADDCHDIR lentil_posix_spawn_file_actions_addchdir
#define ADDFCHDIR lentil_posix_spawn_file_actions_addfchdir
#define ADDCLOSEFROM lentil_posix_spawn_file_actions_addclosefrom
    CARRY_OUT(lentil_posix_spawn, lentil_posix_spawn)
#undef ADDCHDIR
#undef ADDFCHDIR
#undef ADDCLOSEFROM
    return error ? -error : pid;
}

static pid_t by_glibc(const struct plan* plan) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t set;
    struct sched_param param = {.sched_priority = plan->priority};
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, (short)plan->flags);
    fill(&set, plan->mask);
    posix_spawnattr_setsigmask(&attributes, &set);
    fill(&set, plan->defaults);
    posix_spawnattr_setsigdefault(&attributes, &set);
    posix_spawnattr_setpgroup(&attributes, plan->group);
    posix_spawnattr_setschedpolicy(&attributes, plan->policy);
    posix_spawnattr_setschedparam(&attributes, &param);
    pid_t pid = 0;
    int error;
#define ADDCHDIR posix_spawn_file_actions_addchdir_np
#define ADDFCHDIR posix_spawn_file_actions_addfchdir_np
#define ADDCLOSEFROM posix_spawn_file_actions_addclosefrom_np
    CARRY_OUT(posix_spawn, posix_spawn)
    posix_spawnattr_destroy(&attributes);
    return error ? -error : pid;
}

// What the child says about itself on descriptor 1, its wait status at the end. Only one `1 is a pipe` per call.
static void state_of(pid_t (*how)(const struct plan*), const struct plan* plan, char* text, size_t size) {
    int p[2], saved = fcntl(1, F_DUPFD_CLOEXEC, 100);
    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    dup2(p[1], 1);
    pid_t pid = how(plan);
    dup2(saved, 1);
    close(saved);
    close(p[1]);
    size_t length = 0;
    ssize_t n;
    while ((n = read(p[0], text + length, size - 1 - length)) > 0)
        length += (size_t)n;
    close(p[0]);
    text[length] = 0;
    if (pid > 0)
        snprintf(text + length, size - length, " status 0x%x", check_reap(pid));
    else
        snprintf(text + length, size - length, "error %d", -pid);
}

static void same_as_glibc(const struct plan* plan, const char* expected) {
    char ours[1024], theirs[1024];
    state_of(by_glibc, plan, theirs, sizeof theirs);
    state_of(by_lentil, plan, ours, sizeof ours);
    if (strcmp(ours, theirs) != 0)
        check_fail("lentil: <%s> glibc: <%s>", ours, theirs);
    if (!strstr(ours, expected))
        check_fail("no <%s> in <%s>", expected, ours);
}

// --- attributes and actions, beside glibc ---

static void plain(void) {
    struct plan plan = {.path = check_self};
    int held = open("/dev/null", O_RDONLY | O_CLOEXEC), kept = open("/dev/null", O_RDONLY);
    CHECK(held >= 0 && kept >= 0);
    signal(SIGUSR2, SIG_IGN);
    CHECK_EQ(chdir("/"), 0);
    same_as_glibc(&plan, "cwd / ");
    CHECK_EQ(chdir("/tmp"), 0);
    umask(0123);
    same_as_glibc(&plan, "cwd /tmp umask 123");
}

static void signals(void) {
    struct plan plan = {.path = check_self, .flags = POSIX_SPAWN_SETSIGMASK, .mask = 1ul << SIGHUP | 1ul << SIGTERM};
    sigset_t block;
    fill(&block, 1ul << SIGWINCH);
    sigprocmask(SIG_BLOCK, &block, NULL);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    same_as_glibc(&plan, "mask 4001 ignored 1800"); // HUP, TERM; USR2, PIPE
    plan.flags = POSIX_SPAWN_SETSIGDEF;
    plan.defaults = 1ul << SIGPIPE;
    same_as_glibc(&plan, "mask 8000000 ignored 800");
    plan.flags |= POSIX_SPAWN_SETSIGMASK;
    plan.mask = ~0ul; // SIGKILL and SIGSTOP cannot be blocked
    char text[512];
    state_of(by_lentil, &plan, text, sizeof text);
    CHECK(strstr(text, "mask ") && !(strtoul(strstr(text, "mask ") + 5, NULL, 16) & (1ul << 8 | 1ul << 18)));
}

static void groups(void) {
    struct plan plan = {.path = check_self, .flags = POSIX_SPAWN_SETPGROUP};
    same_as_glibc(&plan, "leader 1 session 0");
    plan.group = getpgrp();
    same_as_glibc(&plan, "leader 0 session 0");
    plan.group = 30000; // no such group
    same_as_glibc(&plan, "error 1");
    plan.flags = POSIX_SPAWN_SETSID;
    same_as_glibc(&plan, "leader 1 session 1");
    // A group of the spawned, joined by the next one.
    plan = (struct plan){.path = check_self, .flags = POSIX_SPAWN_SETPGROUP};
    char wait_word[] = "@sleep", *words[] = {check_self, wait_word, NULL};
    pid_t first, second;
    lentil_posix_spawnattr_t own = {.flags = POSIX_SPAWN_SETPGROUP};
    CHECK_EQ(lentil_posix_spawn(&first, check_self, NULL, &own, words, environ), 0);
    CHECK_EQ(getpgid(first), first);
    own.group = first;
    CHECK_EQ(lentil_posix_spawn(&second, check_self, NULL, &own, words, environ), 0);
    CHECK_EQ(getpgid(second), first);
    CHECK_EQ(kill(-first, SIGKILL), 0);
    CHECK_SIGNALED(check_reap(first), SIGKILL);
    CHECK_SIGNALED(check_reap(second), SIGKILL);
}

static void ids(void) {
    struct plan plan = {.path = check_self, .flags = POSIX_SPAWN_RESETIDS};
    CHECK_EQ(chmod("/test", 0755), 0);
    CHECK_EQ(setresgid(0, 3001, 0), 0);
    CHECK_EQ(setresuid(0, 3000, 0), 0);
    same_as_glibc(&plan, "ids 0 0 0 0");
    plan.flags = 0;
    same_as_glibc(&plan, "ids 0 3000 0 3001");
    // The file is opened with the ids that the child has by then.
    CHECK_EQ(setresuid(0, 0, 0), 0);
    CHECK_EQ(setresgid(0, 0, 0), 0);
    CHECK_EQ(close(open("/tmp/spawn.private", O_CREAT | O_WRONLY, 0600)), 0);
    CHECK_EQ(setresuid(3000, 0, 0), 0);
    plan.flags = POSIX_SPAWN_RESETIDS;
    plan.steps[0] = (struct step){'o', 30, 0, "/tmp/spawn.private", O_RDONLY};
    same_as_glibc(&plan, "error 13");
    plan.flags = 0;
    same_as_glibc(&plan, "30");
    CHECK_EQ(setresuid(0, 0, 0), 0);
    unlink("/tmp/spawn.private");
}

static void scheduling(void) {
    struct plan plan = {.path = check_self, .flags = POSIX_SPAWN_SETSCHEDULER, .policy = SCHED_RR, .priority = 7};
    same_as_glibc(&plan, "policy 2 priority 7");
    CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
    plan.priority = 100;
    same_as_glibc(&plan, "error 22");
    plan = (struct plan){.path = check_self, .flags = POSIX_SPAWN_SETSCHEDPARAM, .priority = 3};
    same_as_glibc(&plan, "error 22"); // not for SCHED_OTHER
    plan = (struct plan){.path = check_self, .flags = POSIX_SPAWN_SETSCHEDULER, .policy = SCHED_FIFO, .priority = 1};
    CHECK_EQ(setresuid(3000, 3000, 3000), 0);
    same_as_glibc(&plan, "error 1");
}

static void descriptors(void) {
    int a = open("/dev/null", O_RDWR | O_CLOEXEC), b = open("/dev/null", O_RDWR);
    CHECK(a >= 0 && b >= 0);
    struct plan plan = {.path = check_self,
                        .steps = {{'d', a, 40, 0, 0}, // the copy stays open
                                  {'d', b, b, 0, 0},
                                  {'c', 0, 0, 0, 0},
                                  {'o', 41, 0, "/dev/null", O_RDONLY}}};
    char expected[64];
    snprintf(expected, sizeof expected, "fds 1 2 %d 40 41 60 cwd", b);
    same_as_glibc(&plan, expected);
    CHECK_ERRNO(fcntl(40, F_GETFD), EBADF); // the creator's own are as they were
    CHECK_EQ(fcntl(0, F_GETFD), 0);
    CHECK_EQ(fcntl(a, F_GETFD), FD_CLOEXEC);
    plan = (struct plan){.path = check_self, .steps = {{'d', a, a, 0, 0}}};
    snprintf(expected, sizeof expected, "fds 0 1 2 %d %d 60 cwd", a < b ? a : b, a < b ? b : a);
    same_as_glibc(&plan, expected);
    plan = (struct plan){.path = check_self, .steps = {{'f', 2, 0, 0, 0}}};
    same_as_glibc(&plan, "fds 0 1 cwd");
    // In order: what an earlier step closed is not there for a later one.
    plan = (struct plan){.path = check_self, .steps = {{'c', b, 0, 0, 0}, {'d', b, 40, 0, 0}}};
    same_as_glibc(&plan, "error 9");
    plan = (struct plan){.path = check_self, .steps = {{'c', 77, 0, 0, 0}}};
    same_as_glibc(&plan, "fds 0 1 2");
    plan = (struct plan){.path = check_self, .steps = {{'o', 5000, 0, "/dev/null", O_RDONLY}}};
    same_as_glibc(&plan, "error 9");
}

static void directories(void) {
    mkdir("/tmp/spawn.dir", 0755);
    symlink(check_self, "/tmp/spawn.dir/program");
    int d = open("/tmp/spawn.dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct plan plan = {.path = "./program", .steps = {{'D', 0, 0, "/tmp/spawn.dir", 0}}};
    same_as_glibc(&plan, "cwd /tmp/spawn.dir");
    plan.steps[0] = (struct step){'F', d, 0, 0, 0};
    same_as_glibc(&plan, "cwd /tmp/spawn.dir");
    plan = (struct plan){.path = check_self,
                         .steps = {{'D', 0, 0, "/tmp/spawn.dir", 0}, {'o', 44, 0, "made", O_CREAT | O_WRONLY}}};
    same_as_glibc(&plan, " 44 ");
    struct stat st;
    CHECK_EQ(stat("/tmp/spawn.dir/made", &st), 0);
    CHECK_EQ(st.st_mode & 0777, 0640);
    plan.steps[0].path = "/tmp/spawn.dir/made";
    same_as_glibc(&plan, "error 20");
    plan.steps[0] = (struct step){'F', 1, 0, 0, 0}; // a pipe
    same_as_glibc(&plan, "error 20");
    unlink("/tmp/spawn.dir/made");
    unlink("/tmp/spawn.dir/program");
    rmdir("/tmp/spawn.dir");
}

// --- errors ---

static volatile int children_heard;
static void on_child(int number) {
    (void)number;
    ++children_heard;
}
static void write_file(const char* path, const char* text, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    CHECK_EQ(write(fd, text, strlen(text)), (long)strlen(text));
    close(fd);
    CHECK_EQ(chmod(path, mode), 0);
}

static void errors(void) {
    write_file("/tmp/spawn.text", "no program", 0755);
    write_file("/tmp/spawn.closed", "no program", 0644);
    write_file("/tmp/spawn.script", "#!/no/such/interpreter\n", 0755);
    write_file("/tmp/spawn.elf", "\177ELF\2\1\1", 0755);
    signal(SIGCHLD, on_child);
    static const struct {
        struct plan plan;
        const char* expected;
    } wrong[] = {
        {{.path = "/no/such/file"}, "error 2"},
        {{.path = "/tmp/spawn.text"}, "error 8"},
        {{.path = "/tmp/spawn.elf"}, "error 8"},
        {{.path = "/tmp/spawn.closed"}, "error 13"},
        {{.path = "/tmp"}, "error 13"},
        {{.path = "/tmp/spawn.text/below"}, "error 20"},
        {{.path = "/tmp/spawn.script"}, "error 2"},
        {{.path = ""}, "error 2"},
        {{.path = check_self, .steps = {{'o', 5, 0, "/no/such/file", 0}}}, "error 2"},
        {{.path = check_self, .steps = {{'o', 5, 0, "/tmp/spawn.text", O_CREAT | O_EXCL}}}, "error 17"},
        {{.path = check_self, .steps = {{'d', 55, 5, 0, 0}}}, "error 9"},
        {{.path = check_self, .steps = {{'D', 0, 0, "/no/such/directory", 0}}}, "error 2"},
        {{.path = check_self, .steps = {{'F', 55, 0, 0, 0}}}, "error 9"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; ++i)
        same_as_glibc(&wrong[i].plan, wrong[i].expected);
    // glibc's failing children existed; the kernel's never did.
    children_heard = 0;
    struct object_counts before = settled_objects();
    long forks = check_counter("forks"), procs = check_counter("procs");
    for (int round = 0; round < 5; ++round)
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; ++i)
            CHECK(by_lentil(&wrong[i].plan) < 0);
    CHECK_EQ(check_counter("forks"), forks);
    CHECK_EQ(check_counter("procs"), procs);
    CHECK_EQ(children_heard, 0);
    CHECK_ERRNO(waitpid(-1, NULL, WNOHANG), ECHILD);
    objects_are_back(&before);
    unlink("/tmp/spawn.text");
    unlink("/tmp/spawn.closed");
    unlink("/tmp/spawn.script");
    unlink("/tmp/spawn.elf");
}

static char exit_word[] = "@exit", exit_number[] = "23";
static char* const exit_argv[] = {check_self, exit_word, exit_number, NULL};
static void bad_structures(void) {
    struct {
        struct lentil_spawn spawn;
        uint64_t later[2];
    } both = {.spawn = {.path = (uint64_t)(uintptr_t)check_self,
                        .argv = (uint64_t)(uintptr_t)exit_argv,
                        .envp = (uint64_t)(uintptr_t)environ}};
    struct lentil_spawn* w = &both.spawn;
    CHECK_ERRNO(lentil_spawn(w, sizeof *w - 1), EINVAL);
    CHECK_ERRNO(lentil_spawn(w, 5000), E2BIG);
    both.later[1] = 1;
    CHECK_ERRNO(lentil_spawn(w, sizeof both), E2BIG);
    both.later[1] = 0;
    CHECK_EXITED(check_reap(lentil_spawn(w, sizeof both)), 23);
    CHECK_ERRNO(lentil_spawn((void*)8, sizeof *w), EFAULT);
    w->flags = 0x100000;
    CHECK_ERRNO(lentil_spawn(w, sizeof *w), EINVAL);
    w->flags = LENTIL_SPAWN_SETPGROUP;
    w->group = -5;
    CHECK_ERRNO(lentil_spawn(w, sizeof *w), EINVAL);
    w->flags |= LENTIL_SPAWN_SETSID;
    w->group = getpgrp();
    CHECK_ERRNO(lentil_spawn(w, sizeof *w), EPERM);
    w->flags = 0;
    w->path = 16;
    CHECK_ERRNO(lentil_spawn(w, sizeof *w), EFAULT);
    w->path = (uint64_t)(uintptr_t)check_self;
    w->argv = 16;
    CHECK_ERRNO(lentil_spawn(w, sizeof *w), EFAULT);
    w->argv = (uint64_t)(uintptr_t)exit_argv;
    w->actions = 16;
    w->action_count = 1;
    CHECK_ERRNO(lentil_spawn(w, sizeof *w), EFAULT);
    struct lentil_spawn_action action = {.kind = 99};
    w->actions = (uint64_t)(uintptr_t)&action;
    CHECK_ERRNO(lentil_spawn(w, sizeof *w), EINVAL);
    action = (struct lentil_spawn_action){.kind = LENTIL_SPAWN_CLOSE, .reserved = 1};
    CHECK_ERRNO(lentil_spawn(w, sizeof *w), EINVAL);
    CHECK_ERRNO(waitpid(-1, NULL, WNOHANG), ECHILD);
}

static void limits(void) {
    struct plan plan = {.path = check_self};
    struct rlimit memory = {65536, RLIM_INFINITY}, processes = {1, 1};
    CHECK_EQ(setrlimit(RLIMIT_AS, &memory), 0);
    CHECK_EQ(by_lentil(&plan), -ENOMEM);
    memory.rlim_cur = RLIM_INFINITY;
    CHECK_EQ(setrlimit(RLIMIT_AS, &memory), 0);
    static char word[140000];
    static char* big[3] = {check_self, word, NULL};
    memset(word, 'x', sizeof word - 1);
    CHECK_EQ(lentil_posix_spawn(NULL, check_self, NULL, NULL, big, environ), E2BIG);
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &processes), 0);
    CHECK_EQ(setresuid(3000, 3000, 3000), 0);
    CHECK_EQ(by_lentil(&plan), -EAGAIN);
    CHECK_ERRNO(waitpid(-1, NULL, WNOHANG), ECHILD);
}

// --- what holds at return ---

static char wait_word[] = "@wait-eof", number_word[8];
static char* const wait_argv[] = {check_self, wait_word, number_word, NULL};
static int gate[2];
static pid_t start_waiter(const char* path) {
    pid_t pid = 0;
    CHECK_EQ(pipe(gate), 0);
    fcntl(gate[1], F_SETFD, FD_CLOEXEC);
    snprintf(number_word, sizeof number_word, "%d", gate[0]);
    CHECK_EQ(lentil_posix_spawn(&pid, path, NULL, NULL, wait_argv, environ), 0);
    return pid;
}
static void stop_waiter(pid_t pid) {
    close(gate[1]);
    CHECK_EXITED(check_reap(pid), 0);
    close(gate[0]);
}
static void copy_self(const char* to, mode_t mode) {
    unlink(to);
    int in = open(check_self, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    static char buffer[65536];
    ssize_t n;
    while ((n = read(in, buffer, sizeof buffer)) > 0)
        CHECK_EQ(write(out, buffer, (size_t)n), n);
    close(in);
    close(out);
    CHECK_EQ(chmod(to, mode), 0);
}

static void at_once(void) {
    copy_self("/tmp/spawned", 0755);
    CHECK_EQ(chown("/tmp/spawned", 2000, 2001), 0);
    CHECK_EQ(chmod("/tmp/spawned", 04755), 0);
    for (int i = 0; i < 20; ++i) {
        char path[64], text[2048], c;
        int p[2];
        CHECK_EQ(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
        pid_t pid = start_waiter("/tmp/spawned");
        close(p[1]);
        CHECK_EQ(read(p[0], &c, 1), 0); // close-on-exec is done
        close(p[0]);
        snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
        CHECK(check_read_file(path, text, sizeof text) > 0 && strcmp(text, "spawned\n") == 0);
        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
        CHECK(check_read_file(path, text, sizeof text) > 0 && strcmp(text, check_self) == 0);
        snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
        CHECK(check_read_file(path, text, sizeof text) > 0 && strstr(text, "\nUid:\t0\t2000\t2000\t2000\n"));
        stop_waiter(pid);
    }
    unlink("/tmp/spawned");
}

static void no_copy_no_loan(void) {
    enum { size = 8 << 20 };
    volatile char* big = malloc(size);
    struct rusage before, after;
    long loans = check_counter("loans"), spawns = check_counter("spawns"), forks = check_counter("forks");
    long execs = check_counter("execs"), threads = check_counter("threads_created");
    for (long i = 0; i < size; i += 4096)
        big[i] = 1;
    pid_t pid = start_waiter(check_self);
    getrusage(RUSAGE_SELF, &before);
    for (long i = 0; i < size; i += 4096)
        big[i] = 2;
    getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_minflt - before.ru_minflt < 50); // 2048 if the child had shared the pages
    CHECK_EQ(check_counter("loans"), loans);
    CHECK_EQ(check_counter("spawns"), spawns + 1);
    CHECK_EQ(check_counter("forks"), forks + 1);
    CHECK_EQ(check_counter("execs"), execs + 1);
    CHECK_EQ(check_counter("threads_created"), threads + 1);
    stop_waiter(pid);
}

static void cloexec_default(void) {
    int a = open("/dev/null", O_RDWR), b = open("/dev/null", O_RDWR | O_CLOEXEC), c = open("/dev/null", O_RDWR);
    CHECK(a >= 0 && b >= 0 && c >= 0);
    lentil_posix_spawn_file_actions_t actions;
    CHECK_EQ(chdir("/"), 0);
    lentil_posix_spawnattr_t attributes = {.flags = LENTIL_SPAWN_CLOEXEC_DEFAULT | LENTIL_SPAWN_SETUMASK,
                                           .umask = 0105};
    int p[2];
    pid_t pid;
    char text[512], expected[64];
    CHECK_EQ(pipe(p), 0);
    lentil_posix_spawn_file_actions_init(&actions);
    CHECK_EQ(lentil_posix_spawn_file_actions_addinherit(&actions, b), 0);
    CHECK_EQ(lentil_posix_spawn_file_actions_adddup2(&actions, p[1], 1), 0);
    CHECK_EQ(lentil_posix_spawn_file_actions_addopen(&actions, 50, "/dev/null", O_RDONLY, 0), 0);
    CHECK_EQ(lentil_posix_spawn_file_actions_addopen(&actions, 51, "/dev/null", O_RDONLY | O_CLOEXEC, 0), 0);
    CHECK_EQ(lentil_posix_spawn(&pid, check_self, &actions, &attributes, argv, environ), 0);
    close(p[1]);
    ssize_t n = read(p[0], text, sizeof text - 1);
    CHECK(n > 0);
    text[n] = 0;
    snprintf(expected, sizeof expected, "fds 1 %d 50 cwd / umask 105", b);
    if (!strstr(text, expected))
        check_fail("no <%s> in <%s>", expected, text);
    CHECK_EXITED(check_reap(pid), 0);
    lentil_posix_spawn_file_actions_addinherit(&actions, 77);
    CHECK_EQ(lentil_posix_spawn(&pid, check_self, &actions, &attributes, argv, environ), EBADF);
    lentil_posix_spawn_file_actions_destroy(&actions);
}

static void searches(void) {
    char word[] = "true", *words[] = {word, NULL};
    pid_t pid;
    setenv("PATH", "/no/such:/proc/version:/bin", 1);
    CHECK_EQ(lentil_posix_spawnp(&pid, "true", NULL, NULL, words, environ), 0);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(lentil_posix_spawnp(&pid, "no-such-program", NULL, NULL, words, environ), ENOENT);
}

// --- from odd places ---

static volatile pid_t spawned;
static volatile int spawn_error, exit_status;
static void spawn_and_wait(void) {
    pid_t pid = 0;
    spawn_error = lentil_posix_spawn(&pid, check_self, NULL, NULL, exit_argv, environ);
    spawned = pid;
    int status = 0;
    if (spawn_error == 0 && waitpid(pid, &status, 0) == pid)
        exit_status = WEXITSTATUS(status);
}
static void from_borrower(void) {
    lend_ok(spawn_and_wait);
    CHECK_EQ(spawn_error, 0);
    CHECK_EQ(exit_status, 23);
    CHECK_ERRNO(waitpid(spawned, NULL, 0), ECHILD); // it was the borrower's child
    exit_status = 0;
    spawn_and_wait();
    CHECK_EQ(exit_status, 23);
}

static void* many_spawns(void* count) {
    for (intptr_t i = 0; i < (intptr_t)count; ++i) {
        pid_t pid = 0;
        CHECK_EQ(lentil_posix_spawn(&pid, check_self, NULL, NULL, exit_argv, environ), 0);
        CHECK_EXITED(check_reap(pid), 23);
    }
    return NULL;
}
static void four_threads(int spawns) {
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i)
        CHECK_EQ(pthread_create(&threads[i], NULL, many_spawns, (void*)(intptr_t)spawns), 0);
    for (int i = 0; i < 4; ++i)
        pthread_join(threads[i], NULL);
}
static void from_threads(void) {
    four_threads(1); // the library keeps their stacks
    struct object_counts before = settled_objects();
    four_threads(20);
    objects_are_back(&before);
}

// --- signals while the child is made ---

static char sleep_word[] = "60";
static pid_t spawn_behind_fifo(void) {
    lentil_posix_spawn_file_actions_t actions;
    lentil_posix_spawnattr_t attributes = {.flags = POSIX_SPAWN_SETSIGMASK};
    char name[] = "sleep", *words[] = {name, sleep_word, NULL};
    pid_t pid = 0;
    sigemptyset(&attributes.mask);
    lentil_posix_spawn_file_actions_init(&actions);
    lentil_posix_spawn_file_actions_addopen(&actions, 45, "/tmp/spawn.fifo", O_RDONLY, 0);
    int error = lentil_posix_spawn(&pid, "/bin/sleep", &actions, &attributes, words, environ);
    return error ? -error : pid;
}
static volatile int* marks;
static void kill_group_then_open(void) {
    pid_t group = marks[0];
    setpgid(0, 0);
    CHECK_SOON(check_state_of(group) == 'S', 10);
    check_sleep_ms(30);
    CHECK_EQ(kill(-group, SIGTERM), 0);
    int fd = open("/tmp/spawn.fifo", O_WRONLY);
    CHECK(fd >= 0);
    close(fd);
}
static void group_kill(void) {
    sigset_t block;
    unlink("/tmp/spawn.fifo");
    CHECK_EQ(mkfifo("/tmp/spawn.fifo", 0600), 0);
    fill(&block, 1ul << SIGTERM);
    sigprocmask(SIG_BLOCK, &block, NULL);
    CHECK_EQ(getpgrp(), getpid());
    marks = shared_memory(64);
    marks[0] = getpid();
    pid_t helper = spawn(kill_group_then_open);
    pid_t pid = spawn_behind_fifo();
    CHECK(pid > 0);
    CHECK_SIGNALED(check_reap(pid), SIGTERM); // sent to its group before its birth
    CHECK_EXITED(check_reap(helper), 0);
    unlink("/tmp/spawn.fifo");
}

static void creator_behind_fifo(void) {
    struct sigaction action = {.sa_handler = on_child};
    sigaction(SIGUSR1, &action, NULL);
    marks[1] = spawn_behind_fifo();
}
static void killed_creator(void) {
    marks = shared_memory(64);
    marks[1] = 1;
    long procs = check_counter("procs");
    struct object_counts before = settled_objects();
    CHECK_EQ(mkfifo("/tmp/spawn.fifo", 0600), 0);
    // A handler interrupts the wait, as it does in open(2); SIGKILL ends it.
    for (int round = 0; round < 2; ++round) {
        pid_t creator = spawn(creator_behind_fifo);
        CHECK_SOON(check_state_of(creator) == 'S', 10);
        check_sleep_ms(20);
        CHECK_EQ(kill(creator, round ? SIGKILL : SIGUSR1), 0);
        int status = check_reap(creator);
        if (round)
            CHECK_SIGNALED(status, SIGKILL);
        else
            CHECK_EXITED(status, 0);
        CHECK_EQ(marks[1], -EINTR);
        CHECK_EQ(check_counter("procs"), procs);
    }
    unlink("/tmp/spawn.fifo");
    objects_are_back(&before);
}

// A terminal that no session has: taken from the shell's, and given up.
static void free_terminal(void) {
    signal(SIGHUP, SIG_IGN);
    int fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    CHECK(setsid() > 0);
    CHECK_EQ(ioctl(fd, TIOCSCTTY, 1), 0);
    CHECK_EQ(ioctl(fd, TIOCNOTTY), 0);
}
static void terminals(void) {
    CHECK_EXITED(check_reap(spawn(free_terminal)), 0);
    struct plan plan = {.path = check_self, .flags = POSIX_SPAWN_SETSID};
    same_as_glibc(&plan, "terminal 0");
    plan.steps[0] = (struct step){'o', 30, 0, "/dev/ttyS0", O_RDWR};
    same_as_glibc(&plan, "terminal 1");
    plan.steps[0].flags |= O_NOCTTY;
    same_as_glibc(&plan, "terminal 0");
    plan.steps[0] = (struct step){'o', 30, 0, "/dev/console", O_RDWR};
    same_as_glibc(&plan, "terminal 0");
    plan.steps[0].path = "/dev/tty";
    same_as_glibc(&plan, "error 6");
    plan.steps[0].path = "/dev/ttyS0";
    plan.flags = 0; // no leader of a session
    same_as_glibc(&plan, "terminal 0");
}

static const struct check_case cases[] = {
    {"spawn passes on directory, umask, descriptors and ignored signals as glibc's posix_spawn does", plain, 0, true},
    {"spawn sets mask and default signals as glibc's posix_spawn does", signals, 0, true},
    {"XN-13 spawn makes groups and sessions as glibc's posix_spawn does", groups, 0, true},
    {"spawn resets ids as glibc's posix_spawn does, before it opens files", ids, 0, true},
    {"spawn sets policy and priority with the creator's rights, as glibc's posix_spawn does", scheduling, 0, true},
    {"spawn opens, closes and duplicates descriptors in order, as glibc's posix_spawn does", descriptors, 0, true},
    {"spawn changes directories in order, as glibc's posix_spawn does", directories, 0, true},
    {"a failing spawn gives glibc's errno, and there is no child, no SIGCHLD, no id, no object left", errors, 60, true},
    {"spawn's structure is versioned by its size, and bad ones give errors", bad_structures, 0, true},
    {"spawn reports ENOMEM, E2BIG and EAGAIN", limits, 0, true},
    {"XN-09 EC-74 close-on-exec, name, arguments and ids are in effect when spawn returns", at_once, 60, true},
    {"spawn copies no page, lends no thread, and makes one thread", no_copy_no_loan, 0, true},
    {"with CLOEXEC_DEFAULT only what is asked for stays open", cloexec_default, 0, true},
    {"lentil_posix_spawnp looks for the program in PATH", searches, 0, true},
    {"EC-16 a borrower can spawn, and waits for its own child", from_borrower, 0, true},
    {"four threads spawn at once and nothing is left", from_threads, 60, true},
    {"LX-08 a signal to the group while the child is made reaches the child", group_kill, 60, true},
    {"EC-176 LX-07 a spawn that waits for a FIFO can be killed and leaves nothing", killed_creator, 60, true},
    // Leaves the shell without its terminal.
    {"a new session's leader gets the terminal that it opens as with glibc's posix_spawn", terminals, 0, true},
};

static int print_state(void) {
    static char text[1024], where[256];
    size_t n = 0;
    sigset_t mask;
    unsigned long blocked = 0, ignored = 0;
    struct sched_param param;
#define PRINT(...) n += (size_t)snprintf(text + n, sizeof text - n, __VA_ARGS__)
    PRINT("fds");
    for (int fd = 0; fd < 100; ++fd)
        if (fcntl(fd, F_GETFD) >= 0)
            PRINT(" %d", fd);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int s = 1; s < 32; ++s) {
        struct sigaction action;
        blocked |= sigismember(&mask, s) == 1 ? 1ul << (s - 1) : 0;
        ignored |= sigaction(s, NULL, &action) == 0 && action.sa_handler == SIG_IGN ? 1ul << (s - 1) : 0;
    }
    mode_t u = umask(0);
    sched_getparam(0, &param);
    PRINT(" cwd %s umask %o mask %lx ignored %lx", getcwd(where, sizeof where), u, blocked, ignored);
    PRINT(" leader %d session %d", getpgrp() == getpid(), getsid(0) == getpid());
    PRINT(" terminal %d", open("/dev/tty", O_RDWR | O_NOCTTY) >= 0);
    PRINT(" ids %d %d %d %d", (int)getuid(), (int)geteuid(), (int)getgid(), (int)getegid());
    PRINT(" policy %d priority %d", sched_getscheduler(0), param.sched_priority);
    return write(1, text, n) == (ssize_t)n ? 0 : 1;
}

int main(int argc, char** words) {
    char c;
    if (argc == 2 && strcmp(words[1], "@state") == 0)
        return print_state();
    if (argc == 2 && strcmp(words[1], "@sleep") == 0)
        return (int)sleep(60);
    if (argc == 3 && strcmp(words[1], "@exit") == 0)
        return atoi(words[2]);
    if (argc == 3 && strcmp(words[1], "@wait-eof") == 0)
        return read(atoi(words[2]), &c, 1) == 0 ? 0 : 1;
    return check_main(argc, words, cases, sizeof cases / sizeof cases[0]);
}

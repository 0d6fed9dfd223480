// SPDX-License-Identifier: BSD-2-Clause
// execve by a borrower: failures that leave the loan out, what the new image keeps and loses, and what is
// already true when the lender's vfork returns.
#include "lend.h"

#include <sys/stat.h>

static volatile int step, error_of[8], fd_a;
static volatile pid_t lender;
static void on_signal(int number) { step += number; }
static char other_path[64];

// A copy of this program, or a prefix of it, under another name.
static void copy_self(const char* to, long limit, mode_t mode) {
    unlink(to);
    int in = open(check_self, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    CHECK(in >= 0 && out >= 0);
    static char buffer[65536];
    long done = 0;
    for (;;) {
        long want = (long)sizeof buffer;
        if (limit >= 0 && limit - done < want)
            want = limit - done;
        ssize_t n = want > 0 ? read(in, buffer, (size_t)want) : 0;
        if (n <= 0)
            break;
        CHECK_EQ(write(out, buffer, (size_t)n), n);
        done += n;
    }
    close(in);
    close(out);
    CHECK_EQ(chmod(to, mode), 0);
    snprintf(other_path, sizeof other_path, "%s", to);
}
static void write_file(const char* to, const char* text, mode_t mode) {
    unlink(to);
    int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    CHECK_EQ(write(fd, text, strlen(text)), (long)strlen(text));
    close(fd);
    CHECK_EQ(chmod(to, mode), 0);
}
static void exec_helper(const char* what, const char* word) {
    execl(check_self, check_self, what, word, (char*)NULL);
    _exit(127);
}

// --- failures ---

static void fail_then_succeed(void) {
    char* argv[] = {check_self, NULL};
    char* none[] = {NULL};
    execve("/no/such/file", argv, none);
    error_of[0] = errno;
    execve("/tmp/exec.text", argv, none);
    error_of[1] = errno;
    execve("/tmp/exec.noexec", argv, none);
    error_of[2] = errno;
    execve("/tmp", argv, none);
    error_of[3] = errno;
    syscall(SYS_execve, 8L, argv, none);
    error_of[4] = errno;
    syscall(SYS_execve, check_self, 16L, none);
    error_of[5] = errno;
    execve("/tmp/exec.truncated", argv, none);
    error_of[6] = errno;
    execve("/tmp/exec.text/below", argv, none);
    error_of[7] = errno;
    CHECK_EQ(getppid(), lender);
    check_sleep_ms(50);
    step = 1;
    exec_helper("@exit", "12");
}
static void failures(void) {
    lender = getpid();
    write_file("/tmp/exec.text", "not a program", 0755);
    copy_self("/tmp/exec.noexec", -1, 0644);
    copy_self("/tmp/exec.truncated", 40, 0755);
    pid_t pid = borrow(fail_then_succeed);
    CHECK_EQ(step, 1);
    CHECK_EXITED(check_reap(pid), 12);
    CHECK_EQ(error_of[0], ENOENT);
    CHECK_EQ(error_of[1], ENOEXEC);
    CHECK_EQ(error_of[2], EACCES);
    CHECK_EQ(error_of[3], EACCES);
    CHECK_EQ(error_of[4], EFAULT);
    CHECK_EQ(error_of[5], EFAULT);
    CHECK_EQ(error_of[6], ENOEXEC);
    CHECK_EQ(error_of[7], ENOTDIR);
    unlink("/tmp/exec.text");
    unlink("/tmp/exec.noexec");
    unlink("/tmp/exec.truncated");
}

static void too_big(void) {
    static char word[140000];
    static char* argv[3];
    memset(word, 'x', sizeof word - 1);
    argv[0] = check_self;
    argv[1] = word;
    char* none[] = {NULL};
    execve(check_self, argv, none);
    error_of[0] = errno;
    _exit(127);
}
static void argument_too_long(void) {
    CHECK_EXITED(lend(too_big), 127);
    CHECK_EQ(error_of[0], E2BIG);
}

static void fail_often(void) {
    char* argv[] = {check_self, NULL};
    for (int i = 0; i < 200; ++i) {
        execve("/no/such/file", argv, argv + 1);
        CHECK_EQ(errno, ENOENT);
    }
}
static void many_failures(void) {
    for (int i = 0; i < 5; ++i)
        lend_ok(fail_often);
}

static void exec_other(void) {
    execl(other_path, other_path, "@exit", "0", (char*)NULL);
    error_of[0] = errno;
    _exit(126);
}
static void damaged_images(void) {
    // Cut after the headers: whatever the kernel answers, the loan must end and the lender go on.
    for (long size = 64; size < 40000; size = size * 2 + 17) {
        copy_self("/tmp/exec.cut", size, 0755);
        int status = lend(exec_other);
        CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0));
    }
    unlink("/tmp/exec.cut");
    CHECK_EXITED(lend(exec_other), 126);
    CHECK_EQ(error_of[0], ENOENT);
}

// --- what holds at release ---

static int gate[2];
static const char* waiter_path;
static void exec_waiter(void) {
    char number[16];
    snprintf(number, sizeof number, "%d", fd_a);
    execl(waiter_path, "argv0", "@wait-eof", number, (char*)NULL);
    _exit(127);
}
static pid_t start_waiter(const char* path) { // an executed child that lives until stop_waiter
    waiter_path = path;
    CHECK_EQ(pipe(gate), 0);
    fd_a = gate[0];
    fcntl(gate[1], F_SETFD, FD_CLOEXEC);
    return borrow(exec_waiter);
}
static void stop_waiter(pid_t pid) {
    close(gate[1]);
    CHECK_EXITED(check_reap(pid), 0);
    close(gate[0]);
}

static void cloexec_pipe(bool at_once) {
    for (int i = 0; i < 20; ++i) {
        int p[2];
        char c;
        CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
        pid_t pid = start_waiter(check_self);
        close(p[1]);
        if (at_once)
            fcntl(p[0], F_SETFL, O_NONBLOCK);
        CHECK_EQ(read(p[0], &c, 1), 0);
        close(p[0]);
        stop_waiter(pid);
    }
}
static void cloexec_eof(void) { cloexec_pipe(false); }
static void cloexec_eof_at_once(void) { cloexec_pipe(true); }

static void name_at_once(void) {
    copy_self("/tmp/othername", -1, 0755);
    for (int i = 0; i < 20; ++i) {
        char path[64], name[64];
        pid_t pid = start_waiter("/tmp/othername");
        snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
        CHECK(check_read_file(path, name, sizeof name) > 0);
        if (strcmp(name, "othername\n") != 0)
            check_fail("the name right after vfork is %s", name);
        snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
        CHECK(check_read_file(path, name, sizeof name) > 0);
        CHECK(strcmp(name, "argv0") == 0);
        stop_waiter(pid);
    }
    unlink("/tmp/othername");
}

static void set_id_copy(int uid, int gid, mode_t mode) {
    copy_self("/tmp/exec.suid", -1, 0755);
    CHECK_EQ(chown("/tmp/exec.suid", (uid_t)uid, (gid_t)gid), 0);
    CHECK_EQ(chmod("/tmp/exec.suid", mode), 0);
}
static void credentials_at_once(void) {
    set_id_copy(2000, 2001, 04755);
    for (int i = 0; i < 20; ++i) {
        char path[64], text[2048];
        pid_t pid = start_waiter("/tmp/exec.suid");
        snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
        CHECK(check_read_file(path, text, sizeof text) > 0);
        char* line = strstr(text, "\nUid:\t");
        int real = -1, effective = -1;
        CHECK(line && sscanf(line, "\nUid:\t%d\t%d", &real, &effective) == 2);
        CHECK_EQ(real, 0);
        CHECK_EQ(effective, 2000);
        stop_waiter(pid);
    }
    unlink("/tmp/exec.suid");
}

static void exec_ids(void) {
    execl("/tmp/exec.suid", "suid", "@ids", "2000", (char*)NULL);
    _exit(127);
}
static void set_id(void) {
    set_id_copy(2000, 2001, 06755);
    CHECK_EXITED(lend(exec_ids), 0);
    CHECK_EQ(geteuid(), 0);
    CHECK_EQ(getegid(), 0);
    unlink("/tmp/exec.suid");
}

static void drop_and_exec(void) {
    CHECK_EQ(syscall(SYS_setresuid, 3456, 3456, 3456), 0);
    exec_helper("@ids", "3456");
}
static void drop_privilege(void) {
    CHECK_EXITED(lend(drop_and_exec), 0);
    CHECK_EQ(getuid(), 0);
}

// --- what the new image keeps and loses ---

static void prepare_signals_and_exec(void) {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGWINCH);
    sigaddset(&mask, SIGHUP);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, SIG_IGN);
    kill(getpid(), SIGHUP);
    static char memory[16384];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    sigaltstack(&stack, NULL);
    exec_helper("@signals", "x");
}
static void signal_state(void) {
    sigset_t now;
    struct sigaction action;
    CHECK_EXITED(lend(prepare_signals_and_exec), 0);
    sigprocmask(SIG_SETMASK, NULL, &now);
    CHECK_EQ(sigismember(&now, SIGHUP), 0);
    sigpending(&now);
    CHECK_EQ(sigismember(&now, SIGHUP), 0);
    sigaction(SIGUSR2, NULL, &action);
    CHECK(action.sa_handler == SIG_DFL);
}

static void prepare_descriptors_and_exec(void) {
    CHECK_EQ(dup2(fd_a, 40), 40);
    CHECK_EQ(dup3(fd_a, 41, O_CLOEXEC), 41);
    exec_helper("@descriptors", "x");
}
static void descriptors(void) {
    int p[2];
    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    fd_a = p[0];
    CHECK_EXITED(lend(prepare_descriptors_and_exec), 0);
    CHECK_EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC); // the lender's own stay open
    CHECK_EQ(write(p[1], "x", 1), 1);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_ERRNO(fcntl(40, F_GETFD), EBADF);
}

static void prepare_rest_and_exec(void) {
    CHECK_EQ(chdir("/tmp"), 0);
    umask(0123);
    CHECK_EQ(setpriority(PRIO_PROCESS, 0, 7), 0);
    struct rlimit limit = {44, 88};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    alarm(1000);
    exec_helper("@rest", "x");
}
static void kept(void) {
    CHECK_EQ(chdir("/"), 0);
    umask(022);
    CHECK_EXITED(lend(prepare_rest_and_exec), 0);
    CHECK_EQ(umask(022), 022);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 0);
    CHECK_EQ(alarm(0), 0);
}

static char word_1[] = "@words", word_2[] = "a b", word_3[] = "", word_4[] = "@exit", word_5[] = "19";
static void exec_with_words(void) {
    static char one[] = "ONE=1", two[] = "TWO=two words";
    char *argv[] = {check_self, word_1, word_2, word_3, NULL}, *envp[] = {one, two, NULL};
    execve(check_self, argv, envp);
    _exit(126);
}
static void words(void) { CHECK_EXITED(lend(exec_with_words), 0); }

static void exec_script(void) {
    execl("/tmp/exec.script", "ignored", "more", (char*)NULL);
    _exit(126);
}
static void script(void) {
    char text[400];
    snprintf(text, sizeof text, "#! %s @script one argument\nrest of the file\n", check_self);
    write_file("/tmp/exec.script", text, 0755);
    CHECK_EXITED(lend(exec_script), 0);
    write_file("/tmp/exec.script", "#!/no/such/interpreter\n", 0755);
    CHECK_EXITED(lend(exec_script), 126);
    unlink("/tmp/exec.script");
}

static void exec_by_descriptor(void) {
    char *argv[] = {check_self, word_4, word_5, NULL}, *none[] = {NULL};
    syscall(SYS_execveat, fd_a, "", argv, none, AT_EMPTY_PATH);
    _exit(126);
}
static void by_descriptor(void) {
    fd_a = open(check_self, O_RDONLY | O_CLOEXEC);
    CHECK_EXITED(lend(exec_by_descriptor), 19);
}

// --- more ---

static void exec_vforker(void) { exec_helper("@vfork", "x"); }
static void image_vforks(void) { CHECK_EXITED(lend(exec_vforker), 77); }

static volatile char* big;
static void overwrite_and_exec(void) {
    for (long i = 0; i < 4 << 20; i += 4096)
        big[i] = 2;
    exec_helper("@exit", "1");
}
static void memory_comes_back(void) {
    big = malloc(4 << 20);
    memset((char*)(uintptr_t)big, 1, 4 << 20);
    for (int round = 0; round < 5; ++round) {
        CHECK_EXITED(lend(overwrite_and_exec), 1);
        for (long i = 0; i < 4 << 20; i += 4096)
            CHECK_EQ(big[i] + big[i + 1], 3);
        for (long i = 0; i < 4 << 20; i += 4096)
            big[i] = 5;
    }
}

static void exec_spin(void) { exec_helper("@spin", "150"); }
static void executed_runs_beside(void) {
    pid_t pid = borrow(exec_spin);
    struct rusage mine, child;
    CHECK_EQ(wait4(pid, NULL, 0, &child), pid);
    getrusage(RUSAGE_SELF, &mine);
    CHECK(cpu_seconds(&child) > 0.14);
    CHECK(cpu_seconds(&mine) < 0.14);
}

static void exec_sigkill_self(void) { exec_helper("@kill", "9"); }
static void dies_after_exec(void) { CHECK_SIGNALED(lend(exec_sigkill_self), SIGKILL); }

static const struct check_case cases[] = {
    {"EC-70 EC-71 XN-10 failing execs give their errors, the loan goes on, a later one succeeds", failures, 0, false},
    {"EC-71 an argument that is too long gives E2BIG", argument_too_long, 0, false},
    {"a thousand failed execs in borrowers leave the loan intact", many_failures, 60, false},
    {"EC-72 images cut short never hang the lender", damaged_images, 60, false},
    {"EC-74 end of file on a close-on-exec pipe means exec succeeded", cloexec_eof, 60, false},
    {"EC-74 XN-09 LX-15 close-on-exec is done when vfork returns", cloexec_eof_at_once, 60, true},
    {"XN-09 LX-15 D07 the new name and arguments are in effect when vfork returns", name_at_once, 60, true},
    {"XN-09 NB-52 LX-15 a set-id program has its ids when vfork returns", credentials_at_once, 60, true},
    {"EC-73 a set-id program changes the ids of the borrower alone", set_id, 0, false},
    {"EC-113 a borrower that drops its ids executes with them", drop_privilege, 0, false},
    {"EC-56 FB-11 handlers reset, ignored stays ignored, mask and pending stay, alternate stack goes", signal_state, 0,
     false},
    {"LX-16 close-on-exec closes in the new image and never in the lender", descriptors, 0, false},
    {"directory, umask, nice, limits and alarm go along with exec", kept, 0, false},
    {"arguments and environment arrive", words, 0, false},
    {"EC-83 a script runs its interpreter with one argument", script, 0, false},
    {"EC-83 execveat with a descriptor and AT_EMPTY_PATH", by_descriptor, 0, false},
    {"EC-18 the executed image can vfork", image_vforks, 0, false},
    {"BS-17 the lender has its memory back after the borrower's exec", memory_comes_back, 60, false},
    {"the executed image runs on its own account", executed_runs_beside, 0, false},
    {"an executed image that dies at once is seen to have died", dies_after_exec, 0, false},
};

static int signals_as_prepared(void) {
    sigset_t set;
    struct sigaction action;
    stack_t stack;
    sigaction(SIGUSR1, NULL, &action);
    if (action.sa_handler != SIG_DFL)
        return 2;
    sigaction(SIGUSR2, NULL, &action);
    if (action.sa_handler != SIG_IGN)
        return 3;
    sigprocmask(SIG_SETMASK, NULL, &set);
    if (!sigismember(&set, SIGHUP) || !sigismember(&set, SIGWINCH) || sigismember(&set, SIGUSR1))
        return 4;
    sigpending(&set);
    if (!sigismember(&set, SIGHUP))
        return 5;
    sigaltstack(NULL, &stack);
    return stack.ss_flags == SS_DISABLE ? 0 : 6;
}

static int rest_as_prepared(void) {
    char where[64];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (!getcwd(where, sizeof where) || strcmp(where, "/tmp") != 0)
        return 2;
    if (umask(0) != 0123)
        return 3;
    if (getpriority(PRIO_PROCESS, 0) != 7 || limit.rlim_cur != 44 || limit.rlim_max != 88)
        return 4;
    return alarm(0) > 900 ? 0 : 5;
}

extern char** environ;
static int helper(int argc, char** argv) {
    char c;
    if (strcmp(argv[1], "@exit") == 0)
        return atoi(argv[2]);
    if (strcmp(argv[1], "@wait-eof") == 0)
        return read(atoi(argv[2]), &c, 1) == 0 ? 0 : 1;
    if (strcmp(argv[1], "@ids") == 0) {
        if (atoi(argv[2]) == 3456)
            return getuid() == 3456 && geteuid() == 3456 ? 0 : 1;
        return getuid() == 0 && geteuid() == 2000 && getgid() == 0 && getegid() == 2001 ? 0 : 1;
    }
    if (strcmp(argv[1], "@signals") == 0)
        return signals_as_prepared();
    if (strcmp(argv[1], "@descriptors") == 0)
        return fcntl(40, F_GETFD) == 0 && fcntl(41, F_GETFD) == -1 && errno == EBADF ? 0 : 1;
    if (strcmp(argv[1], "@rest") == 0)
        return rest_as_prepared();
    if (strcmp(argv[1], "@words") == 0)
        return argc == 4 && strcmp(argv[2], "a b") == 0 && argv[3][0] == 0 && !argv[4] &&
                       strcmp(environ[0], "ONE=1") == 0 && strcmp(environ[1], "TWO=two words") == 0 && !environ[2]
                   ? 0
                   : 1;
    if (strcmp(argv[1], "@vfork") == 0) {
        pid_t pid = vfork();
        if (pid == 0)
            _exit(77);
        return WEXITSTATUS(check_reap(pid));
    }
    if (strcmp(argv[1], "@spin") == 0) {
        spin_cpu_ms(atoi(argv[2]));
        return 0;
    }
    if (strcmp(argv[1], "@kill") == 0)
        return kill(getpid(), atoi(argv[2]));
    return 99;
}

int main(int argc, char** argv) {
    if (argc == 4 && strcmp(argv[1], "@script one argument") == 0)
        return strcmp(argv[2], "/tmp/exec.script") == 0 && strcmp(argv[3], "more") == 0 ? 0 : 98;
    if (argc > 2 && argv[1][0] == '@')
        return helper(argc, argv);
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

// SPDX-License-Identifier: BSD-2-Clause
// Process accounting: one record for each process that ends, in place before anybody can wait for it.
#include "lend.h"

#include <pthread.h>
#include <sys/acct.h>

static const char path[] = "/tmp/acct.test";
static struct acct_v3 records[64];

static void start(void) {
    unlink(path);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    close(fd);
    CHECK_EQ(acct(path), 0);
}

static size_t load(void) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    const ssize_t n = read(fd, records, sizeof records);
    close(fd);
    CHECK(n >= 0 && n % (ssize_t)sizeof records[0] == 0);
    return (size_t)n / sizeof records[0];
}

// The one record of this process.
static const struct acct_v3* record_of(pid_t pid) {
    const struct acct_v3* found = NULL;
    const size_t n = load();
    for (size_t i = 0; i < n; ++i)
        if (records[i].ac_pid == (uint32_t)pid) {
            CHECK(!found);
            found = &records[i];
        }
    if (!found)
        check_fail("no record of process %d among %zu", (int)pid, n);
    return found;
}

static long count_of(comp_t c) { return (long)(c & 0x1fff) << (c >> 13) * 3; }

static void exit_7(void) { _exit(7); }
static void forked(void) {
    start();
    const time_t before = time(NULL);
    const pid_t pid = spawn(exit_7);
    CHECK_EXITED(check_reap(pid), 7);
    const struct acct_v3* r = record_of(pid);
    acct(NULL);
    CHECK_EQ(r->ac_version & 0x7f, 3);
    CHECK_EQ(r->ac_flag & (AFORK | ACORE | AXSIG), AFORK);
    CHECK_EQ(r->ac_exitcode, 7 << 8);
    CHECK_EQ(r->ac_uid, getuid());
    CHECK_EQ(r->ac_gid, getgid());
    CHECK_EQ(r->ac_ppid, getpid());
    CHECK(strncmp(r->ac_comm, "acct", sizeof r->ac_comm) == 0);
    CHECK((time_t)r->ac_btime >= before - 1 && (time_t)r->ac_btime <= time(NULL));
    CHECK(count_of(r->ac_mem) > 0);
}

enum { mapped = 64 << 20, touched = 4 << 20, group = 77 };
static int go[2];
static void live_a_second(void) {
    char byte;
    CHECK_EQ(setgid(group), 0);
    char* memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (int at = touched - 4096; at >= 0; at -= 4096) // upwards pages would come in blocks
        memory[at] = 1;
    CHECK_EQ(read(go[0], &byte, 1), 1);
    check_sleep_ms(1100);
}
static void own_session(void) { CHECK(setsid() > 0); }
static void measures(void) {
    start();
    CHECK_EQ(pipe(go), 0);
    const double began = check_now();
    const time_t before = time(NULL);
    const pid_t pid = spawn(live_a_second), alone = spawn(own_session);
    const time_t after = time(NULL); // it ends in a later second
    CHECK_EQ(write(go[1], "", 1), 1);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EXITED(check_reap(alone), 0);
    const double ticks = (check_now() - began) * 100;
    const struct acct_v3* r = record_of(pid);
    CHECK((time_t)r->ac_btime >= before - 1 && (time_t)r->ac_btime <= after);
    CHECK(r->ac_etime >= 110 && (double)r->ac_etime <= ticks);
    CHECK(count_of(r->ac_mem) >= mapped >> 10 && count_of(r->ac_mem) < mapped >> 9);
    CHECK(count_of(r->ac_minflt) >= touched >> 12 && count_of(r->ac_minflt) < touched >> 10);
    CHECK_EQ(count_of(r->ac_majflt), 0);
    CHECK_EQ(count_of(r->ac_io), 1); // bytes it read and wrote; none of a disk
    CHECK_EQ(count_of(r->ac_rw), 0);
    CHECK_EQ(r->ac_gid, group);
    int tty = open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CHECK(tty >= 0);
    CHECK_EQ(r->ac_tty, 5 << 8 | 1); // the console
    r = record_of(alone);
    acct(NULL);
    CHECK_EQ(r->ac_tty, 0);
}

static void* end_all(void* unused) {
    check_sleep_ms(20);
    _exit(9);
    return unused;
}
static void leave_thread(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, end_all, NULL), 0);
    syscall(SYS_exit, 1);
}
static void last_thread(void) {
    start();
    const pid_t pid = spawn(leave_thread);
    CHECK_EXITED(check_reap(pid), 9);
    const struct acct_v3* r = record_of(pid);
    acct(NULL);
    CHECK_EQ(r->ac_exitcode, 9 << 8);
}

static void exec_exit(void) {
    char* arguments[] = {check_self, "@exit", NULL};
    execv(check_self, arguments);
    _exit(99);
}
static void execed(void) {
    start();
    const pid_t pid = spawn(exec_exit);
    CHECK_EXITED(check_reap(pid), 3);
    const pid_t lent = borrow(exec_exit);
    CHECK_EXITED(check_reap(lent), 3);
    const struct acct_v3* r = record_of(pid);
    CHECK_EQ(r->ac_flag & AFORK, 0);
    CHECK_EQ(r->ac_exitcode, 3 << 8);
    r = record_of(lent);
    acct(NULL);
    CHECK_EQ(r->ac_flag & AFORK, 0);
    CHECK_EQ(r->ac_exitcode, 3 << 8);
}

static void spin_then_exit(void) {
    spin_cpu_ms(200);
    _exit(5);
}
static void borrower(void) {
    start();
    const pid_t pid = borrow(spin_then_exit);
    const struct acct_v3* r = record_of(pid); // before the wait: vfork has returned
    acct(NULL);
    CHECK_EXITED(check_reap(pid), 5);
    CHECK_EQ(r->ac_flag & (AFORK | AXSIG), AFORK);
    CHECK_EQ(r->ac_exitcode, 5 << 8);
    CHECK_EQ(r->ac_ppid, getpid());
    const long ticks = count_of(r->ac_utime) + count_of(r->ac_stime);
    CHECK(ticks >= 18);
    CHECK(r->ac_etime >= 19 && r->ac_etime < 6000);
    CHECK_EQ(count_of(r->ac_mem), 0); // it had none of its own
}

static void die(void) { raise(SIGTERM); }
static void killed(void) {
    start();
    const pid_t one = spawn(die), lent = borrow(die);
    CHECK_SIGNALED(check_reap(one), SIGTERM);
    CHECK_SIGNALED(check_reap(lent), SIGTERM);
    const struct acct_v3* r = record_of(one);
    CHECK_EQ(r->ac_flag & AXSIG, AXSIG);
    CHECK_EQ(r->ac_exitcode, SIGTERM);
    r = record_of(lent);
    acct(NULL);
    CHECK_EQ(r->ac_flag & AXSIG, AXSIG);
    CHECK_EQ(r->ac_exitcode, SIGTERM);
}

static void use_privilege(void) { CHECK_EQ(sethostname("lentil", 6), 0); }
static void no_files(void) {
    struct rlimit none = {0, 0};
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
    _exit(4);
}
static void flags(void) {
    start();
    const pid_t plain = spawn(exit_7), super = spawn(use_privilege), small = spawn(no_files);
    check_reap(plain);
    CHECK_EXITED(check_reap(super), 0);
    CHECK_EXITED(check_reap(small), 4); // its limits are not the file's
    const int of_plain = record_of(plain)->ac_flag, of_super = record_of(super)->ac_flag;
    record_of(small);
    acct(NULL);
    CHECK_EQ(of_plain & ASU, 0);
    CHECK_EQ(of_super & ASU, ASU);
}

static void not_root(void) {
    CHECK_EQ(setuid(4242), 0);
    CHECK_ERRNO(acct(path), EPERM);
}
static void on_and_off(void) {
    start();
    check_reap(spawn(exit_7));
    CHECK_EQ(load(), 1);
    CHECK_EQ(acct(NULL), 0);
    check_reap(spawn(exit_7));
    CHECK_EQ(load(), 1);
    CHECK_EQ(acct(path), 0); // goes on behind what is there
    check_reap(spawn(exit_7));
    CHECK_EQ(load(), 2);
    CHECK_ERRNO(acct("/tmp"), EISDIR);
    CHECK_ERRNO(acct("/dev/null"), EACCES);
    CHECK_ERRNO(acct("/tmp/no/such"), ENOENT);
    CHECK_EXITED(check_reap(spawn(not_root)), 0);
    CHECK_EQ(acct(NULL), 0);
}

static const struct check_case cases[] = {
    {"NB-41 a forked process leaves a record with AFORK, its status, ids, name and begin", forked, 0, false},
    {"a record has begin and length, memory, faults, group and terminal of the process", measures, 0, true},
    {"a record has the status of the whole process, not that of its first thread", last_thread, 0, false},
    {"NB-41 EC-80 exec clears AFORK, in a child and in a borrower", execed, 0, false},
    {"EC-80 NB-41 a borrower that never exec'd leaves a record with its own times, before its lender goes on", borrower,
     0, true},
    {"EC-80 a signal's victim has AXSIG and the signal, borrowers too", killed, 0, false},
    {"ASU says that privilege was used; the limits of a dying process do not touch the file", flags, 0, true},
    {"acct turns on and off, appends, and refuses what is no file and whoever is not privileged", on_and_off, 0, true},
};
int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@exit") == 0)
        return 3;
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

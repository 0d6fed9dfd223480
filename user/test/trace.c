// SPDX-License-Identifier: BSD-2-Clause
// The static probes and the trace rings, read back through /proc/lentil/trace: what fires, as whom, and in which order.
#include "lend.h"

#include <lentil.h>
#include <lentil/spawn.h>
#include <pthread.h>

extern char** environ;

struct event {
    long long time;
    long hart, thread, pid, tid;
    char probe[32], values[160];
};

static struct event* events;
static size_t event_count;
enum { most_events = 40000 };

static void control(const char* words) {
    int fd = open("/proc/lentil/trace_control", O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, words, strlen(words)), strlen(words));
    close(fd);
}

// Forgets what was recorded and turns on `words` alone.
static void record(const char* words) {
    control("off clear");
    control(words);
}

// Turns everything off and reads what was recorded.
static void load(void) {
    control("off");
    events = mmap(NULL, most_events * sizeof *events, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(events != MAP_FAILED);
    event_count = 0;
    FILE* file = fopen("/proc/lentil/trace", "re");
    CHECK(file);
    char line[400];
    CHECK(fgets(line, sizeof line, file));
    CHECK(strcmp(line, "# lentil trace 1\n") == 0);
    while (fgets(line, sizeof line, file)) {
        if (line[0] == '#')
            continue;
        CHECK(event_count < most_events);
        struct event* e = &events[event_count++];
        const int n = sscanf(line, "%lld %ld %ld %ld %ld %31s %159[^\n]", &e->time, &e->hart, &e->thread, &e->pid,
                             &e->tid, e->probe, e->values);
        CHECK_EQ(n, 7);
    }
    fclose(file);
}

static long value_of(const struct event* e, const char* name) {
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%s=", name);
    const char* at = strstr(e->values, wanted);
    CHECK(at);
    return (long)strtoull(at + strlen(wanted), NULL, 0);
}

// The first event at or after `from` of this probe and, unless 0, this pid; NULL if there is none.
static struct event* look(size_t from, const char* probe, pid_t pid) {
    for (size_t i = from; i < event_count; ++i)
        if (strcmp(events[i].probe, probe) == 0 && (pid == 0 || events[i].pid == pid))
            return &events[i];
    return NULL;
}
static struct event* find(size_t from, const char* probe, pid_t pid) {
    struct event* e = look(from, probe, pid);
    if (!e)
        check_fail("no %s of %d from %zu on, of %zu events", probe, (int)pid, from, event_count);
    return e;
}
static size_t after(const struct event* e) { return (size_t)(e - events) + 1; }

static void exit_7(void) { _exit(7); }

static void loan_ended_by_exit(void) {
    const pid_t me = getpid();
    record("proc");
    const pid_t child = borrow(exit_7);
    load();
    CHECK_EXITED(check_reap(child), 7);
    struct event* create = find(0, "proc:::create", me);
    CHECK_EQ(value_of(create, "child"), child);
    CHECK_EQ(value_of(create, "parent"), me);
    CHECK_EQ(value_of(create, "thread"), 0);
    struct event* opened = find(after(create), "proc:::loan-open", me);
    CHECK_EQ(value_of(opened, "child"), child);
    CHECK_EQ(value_of(opened, "depth"), 1);
    struct event* ended = find(after(opened), "proc:::exit", child);
    CHECK_EQ(value_of(ended, "status"), 7 << 8);
    struct event* released = find(after(ended), "proc:::loan-release", child);
    CHECK_EQ(value_of(released, "child"), child);
    CHECK_EQ(value_of(released, "lender"), me);
    CHECK_EQ(value_of(released, "back"), 1);
    // One Mach thread all along.
    CHECK_EQ(opened->thread, create->thread);
    CHECK_EQ(ended->thread, create->thread);
    CHECK_EQ(released->thread, create->thread);
}

static void exec_self(void) {
    char* arguments[] = {check_self, "@exit", NULL};
    execv(check_self, arguments);
    _exit(99);
}
static void loan_ended_by_exec(void) {
    const pid_t me = getpid();
    record("proc");
    const pid_t child = borrow(exec_self);
    const int status = check_reap(child);
    load();
    CHECK_EXITED(status, 3);
    struct event* opened = find(0, "proc:::loan-open", me);
    struct event* execed = find(after(opened), "proc:::exec-success", child);
    CHECK(strncmp(execed->values, "name=trace ", 11) == 0);
    CHECK_EQ(execed->thread, opened->thread);
    struct event* released = find(after(execed), "proc:::loan-release", child);
    CHECK_EQ(released->thread, opened->thread);
    CHECK_EQ(value_of(released, "lender"), me);
    struct event* ended = find(after(released), "proc:::exit", child);
    CHECK(ended->thread != opened->thread);
    CHECK_EQ(ended->thread, value_of(execed, "thread"));
}

static void spawned(void) {
    const pid_t me = getpid();
    char exit_word[] = "@exit", *arguments[] = {check_self, exit_word, NULL};
    record("proc");
    const struct lentil_spawn what = {.path = (uint64_t)(uintptr_t)check_self,
                                      .argv = (uint64_t)(uintptr_t)arguments,
                                      .envp = (uint64_t)(uintptr_t)environ};
    const pid_t child = lentil_spawn(&what, sizeof what);
    CHECK(child > 0);
    const int status = check_reap(child);
    load();
    CHECK_EXITED(status, 3);
    struct event* create = find(0, "proc:::create", me);
    CHECK_EQ(value_of(create, "child"), child);
    struct event* execed = find(after(create), "proc:::exec-success", child);
    CHECK(strncmp(execed->values, "name=trace ", 11) == 0);
    CHECK_EQ(execed->thread, value_of(create, "thread"));
    CHECK_EQ(value_of(execed, "thread"), execed->thread);
    CHECK_EQ(find(after(execed), "proc:::exit", child)->thread, execed->thread);
    CHECK(look(0, "proc:::exec-success", me) == NULL);
}

static void identity_in_the_window(void) {
    const pid_t me = getpid();
    record("syscall loan");
    const pid_t child = borrow(exit_7);
    load();
    check_reap(child);
    struct event* opened = find(0, "proc:::loan-open", me);
    struct event* released = find(after(opened), "proc:::loan-release", child);
    const long thread = opened->thread;
    bool borrowed = false, own = false;
    for (struct event* e = events; e < events + event_count; ++e) {
        if (strncmp(e->probe, "syscall", 7) != 0 || e->thread != thread)
            continue;
        if (e < opened || e > released) {
            CHECK_EQ(e->pid, me);
            own = true;
        } else {
            CHECK_EQ(e->pid, child);
            CHECK_EQ(e->tid, child);
            borrowed = true;
        }
    }
    CHECK(own && borrowed);
}

static void failed_fork(void) {
    CHECK_EQ(setuid(4242), 0); // the superuser may always
    struct rlimit none = {0, 0};
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &none), 0);
    CHECK_ERRNO(fork(), EAGAIN);
}
static void no_create_on_failure(void) {
    record("create");
    const pid_t child = spawn(failed_fork);
    CHECK_EXITED(check_reap(child), 0);
    load();
    for (size_t i = 0; i < event_count; ++i)
        CHECK(events[i].pid != child);
    find(0, "proc:::create", getpid());
}

static void* make_it_a_gift(void* unused) {
    (void)unused;
    return NULL;
}
static void start_thread(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, make_it_a_gift, NULL), 0);
    pthread_join(thread, NULL);
}
static void gift(void) {
    const pid_t me = getpid();
    record("proc");
    const pid_t child = borrow(start_thread);
    load();
    CHECK_EXITED(check_reap(child), 0);
    struct event* opened = find(0, "proc:::loan-open", me);
    struct event* given = find(after(opened), "proc:::loan-gift", 0);
    CHECK_EQ(value_of(given, "child"), child);
    CHECK_EQ(value_of(given, "lender"), me);
    CHECK_EQ(value_of(given, "thread"), opened->thread);
    CHECK(value_of(given, "fresh") != opened->thread);
    struct event* made = find(after(given), "proc:::lwp-create", child);
    find(after(made), "proc:::lwp-exit", child);
    struct event* released = find(after(given), "proc:::loan-release", child);
    CHECK_EQ(value_of(released, "back"), 0);
    CHECK_EQ(value_of(released, "lender"), me);
}

static void signal_sent(void) {
    signal(SIGUSR1, SIG_IGN);
    record("signal-send");
    kill(getpid(), SIGUSR1);
    syscall(SYS_tkill, getpid(), SIGUSR1);
    load();
    struct event* whole = find(0, "proc:::signal-send", getpid());
    CHECK_EQ(value_of(whole, "pid"), getpid());
    CHECK_EQ(value_of(whole, "tid"), 0);
    CHECK_EQ(value_of(whole, "signal"), SIGUSR1);
    CHECK_EQ(value_of(whole, "code"), SI_USER);
    struct event* one = find(after(whole), "proc:::signal-send", getpid());
    CHECK_EQ(value_of(one, "tid"), getpid());
    CHECK_EQ(value_of(one, "code"), SI_TKILL);
}

static void calls_and_results(void) {
    record("syscall");
    close(-1);
    load();
    struct event* e = find(0, "syscall:::entry", getpid());
    while (value_of(e, "number") != SYS_close || value_of(e, "a0") != -1)
        e = find(after(e), "syscall:::entry", getpid());
    struct event* r = find(after(e), "syscall:::return", getpid());
    CHECK_EQ(value_of(r, "number"), SYS_close);
    CHECK_EQ(value_of(r, "result"), -EBADF);
    CHECK_EQ(value_of(r, "replaced"), 0);
}

// On every hart a thread leaves before the next one comes, and the one that comes is the one it left to.
static void on_and_off(void) {
    record("sched");
    for (int i = 0; i < 5; ++i)
        check_sleep_ms(20); // on a slow machine one may be over before the thread leaves its hart
    load();
    long next[64];
    memset(next, 0, sizeof next);
    long long last = 0;
    int blocked = 0, woken = 0;
    for (struct event* e = events; e < events + event_count; ++e) {
        CHECK(e->time >= last);
        last = e->time;
        if (strcmp(e->probe, "sched:::off-cpu") == 0) {
            CHECK_EQ(next[e->hart], 0);
            next[e->hart] = value_of(e, "to");
            if (e->pid == getpid() && value_of(e, "why") == 2) {
                CHECK(strstr(e->values, "wait=nanoslee"));
                ++blocked;
            }
        } else if (strcmp(e->probe, "sched:::on-cpu") == 0) {
            CHECK_EQ(e->thread, next[e->hart]);
            next[e->hart] = 0;
        } else if (strcmp(e->probe, "sched:::wakeup") == 0) {
            ++woken;
        }
    }
    if (blocked == 0 || woken == 0)
        check_fail("%d times blocked, %d woken, of %zu events", blocked, woken, event_count);
}

static void overwriting(void) {
    const long room = check_value_in("/proc/lentil/trace_control", "records");
    CHECK(room >= 64);
    cpu_set_t one; // one hart's ring is enough
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    CHECK_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    record("entry");
    for (long i = 0; i < room + 500; ++i)
        syscall(SYS_getppid);
    syscall(SYS_close, -77);
    load();
    char text[4096];
    CHECK(check_read_file("/proc/lentil/trace_control", text, sizeof text) > 0);
    long recorded = 0, lost = 0;
    CHECK_EQ(sscanf(strstr(text, "hart 0 "), "hart 0 recorded %ld lost %ld", &recorded, &lost), 2);
    CHECK(recorded >= room + 501);
    CHECK(lost >= 501 && lost < recorded);
    size_t kept = 0;
    bool newest = false;
    for (size_t i = 0; i < event_count; ++i) {
        kept += events[i].hart == 0;
        newest |= value_of(&events[i], "a0") == -77;
    }
    CHECK_EQ(kept, recorded - lost);
    CHECK(newest);
}

static void exec_blank(void) {
    char* arguments[] = {check_self, "@exit", NULL};
    execv("/tmp/a b\tc", arguments);
    _exit(99);
}
static void blanks(void) {
    unlink("/tmp/a b\tc");
    CHECK_EQ(symlink(check_self, "/tmp/a b\tc"), 0);
    record("exec-success");
    const pid_t pid = borrow(exec_blank);
    CHECK_EXITED(check_reap(pid), 3);
    load();
    unlink("/tmp/a b\tc");
    bool found = false;
    for (size_t i = 0; i < event_count; ++i)
        found |= events[i].pid == pid && strncmp(events[i].values, "name=a?b?c ", 11) == 0;
    CHECK(found);
}

static void nothing_when_off(void) {
    control("all");
    control("off");
    control("clear");
    check_reap(borrow(exit_7));
    load();
    CHECK_EQ(event_count, 0);
    int fd = open("/proc/lentil/trace_control", O_WRONLY);
    CHECK_ERRNO(write(fd, "no-such-probe", 13), EINVAL);
    CHECK_ERRNO(write(fd, "records=1024", 12), EBUSY);
    CHECK_ERRNO(write(fd, "records=63", 10), EINVAL);
    CHECK_ERRNO(write(fd, "records=1048577", 15), EINVAL);
    CHECK_EQ(setuid(4242), 0);
    CHECK_ERRNO(open("/proc/lentil/trace", O_RDONLY), EACCES);
}

static const struct check_case cases[] = {
    {"EC-80 EC-141 NB-36 create and loan-open fire as the lender, exit and loan-release as the borrower",
     loan_ended_by_exit, 0, true},
    {"EC-141 an exec in the window fires as the borrower, and its exit on a thread of its own", loan_ended_by_exec, 0,
     true},
    {"a spawned child's exec fires as the child, on its own thread", spawned, 0, true},
    {"EC-141 D12 system calls in the window carry the borrower's identity, before and after it the lender's",
     identity_in_the_window, 0, true},
    {"NB-36 proc:::create does not fire for a fork that fails", no_create_on_failure, 0, true},
    {"EC-141 loan-gift names the borrower, the lender and both threads", gift, 0, true},
    {"proc:::signal-send tells a thread's signal from a process's", signal_sent, 0, true},
    {"syscall:::entry and return show number, arguments and errno", calls_and_results, 0, true},
    {"sched:::off-cpu and on-cpu alternate on every hart, in order of time", on_and_off, 0, true},
    {"a full ring overwrites the oldest records and counts them as lost", overwriting, 0, true},
    {"a name with blanks is one field", blanks, 0, true},
    {"probes that are off record nothing, and only root reads the trace", nothing_when_off, 0, true},
};
int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@exit") == 0)
        return 3;
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

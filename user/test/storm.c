// SPDX-License-Identifier: BSD-2-Clause
// Storms: ten thousand forks, a fork bomb, memory limits, and a minute of random signals; afterwards the
// kernel has as many objects of every kind as before. STORM_SECONDS in the environment sets the length of the
// signal storm.
#include "lend.h"
#include "objects.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

static unsigned long seed = 88172645463325252UL;
static unsigned long next_random(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}
static void warm_up(void) { // whatever the kernel makes once and keeps
    for (int i = 0; i < 20; ++i) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(0);
        CHECK_EXITED(check_reap(pid), 0);
    }
}

static void exit_7(void) { _exit(7); }
static void exec_true(void) {
    execl(check_self, check_self, "@exit", "7", (char*)NULL);
    _exit(9);
}
static void ten_thousand(void) {
    enum { workers = 5, each = 2000 };
    warm_up();
    struct object_counts before = settled_objects();
    pid_t worker[workers];
    for (int w = 0; w < workers; ++w) {
        worker[w] = fork();
        CHECK(worker[w] >= 0);
        if (worker[w] == 0) {
            for (int i = 0; i < each; ++i) {
                int status;
                if (i % 4 == 3) {
                    status = lend(exit_7);
                } else {
                    pid_t pid = fork();
                    if (pid < 0)
                        check_fail("fork %d: errno %d", i, errno);
                    if (pid == 0)
                        _exit(7);
                    status = check_reap(pid);
                }
                CHECK_EXITED(status, 7);
            }
            _exit(0);
        }
    }
    for (int w = 0; w < workers; ++w)
        CHECK_EXITED(check_reap(worker[w]), 0);
    objects_are_back(&before);
}

static void five_hundred_execs(void) {
    warm_up();
    CHECK_EXITED(lend(exec_true), 7);
    struct object_counts before = settled_objects();
    for (int i = 0; i < 500; ++i)
        CHECK_EXITED(lend(exec_true), 7);
    objects_are_back(&before);
}

static void many_alive(void) {
    enum { count = 400 };
    static pid_t pid[count];
    warm_up();
    struct object_counts before = settled_objects();
    int p[2];
    CHECK_EQ(pipe(p), 0);
    for (int i = 0; i < count; ++i) {
        pid[i] = fork();
        if (pid[i] < 0)
            check_fail("fork %d: errno %d", i, errno);
        if (pid[i] == 0) {
            char c;
            close(p[1]);
            _exit(read(p[0], &c, 1) == 0 ? i % 100 : 101);
        }
    }
    close(p[1]);
    for (int i = 0; i < count; ++i)
        CHECK_EXITED(check_reap(pid[i]), i % 100);
    close(p[0]);
    objects_are_back(&before);
}

// --- the fork bomb ---

static volatile int* refused;
static void bomb(void) {
    CHECK_EQ(setresgid(4000, 4000, 4000), 0);
    struct rlimit limit = {60, 60};
    CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
    CHECK_EQ(setresuid(4000, 4000, 4000), 0);
    for (;;) {
        pid_t pid = fork();
        if (pid < 0) {
            if (errno == EAGAIN)
                __atomic_add_fetch(&refused[0], 1, __ATOMIC_SEQ_CST);
            else
                refused[1] = errno;
            sched_yield();
        } else if (pid > 0) {
            waitpid(-1, NULL, WNOHANG);
        }
    }
}
static void kill_bomb(void) {
    CHECK_EQ(setresuid(4000, 4000, 4000), 0);
    for (int i = 0; i < 50; ++i) {
        kill(-1, SIGKILL); // everybody of this user but us
        sched_yield();
    }
    _exit(0);
}
static void fork_bomb(void) {
    warm_up();
    struct object_counts before = settled_objects();
    refused = shared_memory(4096);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t pid = spawn(bomb);
    check_sleep_ms(3000);
    CHECK(refused[0] > 100);
    CHECK_EQ(refused[1], 0);
    for (int i = 0; i < 20; ++i) // the rest of the system can still make processes
        CHECK_EXITED(lend(exit_7), 7);
    // A zombie keeps its place in the count until it is reaped, so the killer may have to wait for one.
    pid_t killer = spawn(kill_bomb);
    CHECK_EXITED(check_reap(killer), 0);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
    int status;
    while (waitpid(-1, &status, 0) > 0) {
    }
    munmap((void*)(uintptr_t)refused, 4096);
    objects_are_back(&before);
}

static void limit_is_exact(void) {
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit limit = {5, 5};
        CHECK_EQ(setrlimit(RLIMIT_NPROC, &limit), 0);
        CHECK_EQ(setresuid(4100, 4100, 4100), 0);
        for (int round = 0; round < 200; ++round) {
            pid_t made[8];
            int count = 0;
            for (; count < 8; ++count) {
                made[count] = fork();
                if (made[count] < 0)
                    break;
                if (made[count] == 0)
                    for (;;)
                        pause();
            }
            CHECK_EQ(errno, EAGAIN);
            CHECK_EQ(count, 4); // four and this one
            errno = 0;
            CHECK_EQ(vfork(), -1);
            CHECK_EQ(errno, EAGAIN);
            for (int i = 0; i < count; ++i) {
                kill(made[i], SIGKILL);
                CHECK_SIGNALED(check_reap(made[i]), SIGKILL);
            }
        }
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
}

// --- memory limits ---

static void address_space(void) {
    warm_up();
    struct object_counts before = settled_objects();
    for (int i = 0; i < 10; ++i) {
        pid_t pid = fork();
        if (pid == 0) {
            struct rlimit limit = {64 << 20, 64 << 20};
            CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
            size_t got = 0;
            for (;;) {
                char* p = malloc(1 << 20);
                if (!p)
                    break;
                memset(p, 1, 1 << 20);
                got += 1 << 20;
            }
            CHECK_EQ(errno, ENOMEM);
            CHECK(got > (30 << 20) && got < (64 << 20));
            CHECK(mmap(NULL, 64 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
            CHECK_EQ(errno, ENOMEM);
            _exit(0);
        }
        CHECK_EXITED(check_reap(pid), 0);
    }
    objects_are_back(&before);
}

static void descriptors(void) {
    warm_up();
    struct object_counts before = settled_objects();
    for (int i = 0; i < 10; ++i) {
        pid_t pid = fork();
        if (pid == 0) {
            int made = 0, p[2];
            while (pipe(p) == 0)
                ++made;
            CHECK_EQ(errno, EMFILE);
            CHECK(made > 100);
            _exit(0);
        }
        CHECK_EXITED(check_reap(pid), 0);
    }
    objects_are_back(&before);
}

// --- random signals ---

enum { players = 12 };
struct field {
    volatile int stop, rounds[players], wrong;
    volatile pid_t pid[players];
};
static struct field* f;
static volatile int caught;
static void on_signal(int number) { caught += number; }

static const int sent[] = {SIGUSR1, SIGUSR2, SIGHUP,  SIGALRM,  SIGCHLD, SIGCONT, SIGSTOP,
                           SIGCONT, SIGTSTP, SIGCONT, SIGWINCH, SIGURG,  SIGIO,   SIGTERM};
static void send_to_somebody(void) {
    pid_t pid = f->pid[next_random() % players];
    int number = sent[next_random() % (sizeof sent / sizeof sent[0])];
    if (pid > 0)
        kill(pid, number);
}
static void* thread_of_player(void* unused) {
    for (int i = 0; i < 20; ++i)
        sched_yield();
    return unused;
}
static void short_life(void) {
    for (unsigned i = 0; i < next_random() % 3; ++i)
        sched_yield();
    _exit((int)(next_random() % 2 ? 7 : 8));
}
static void wait_one(pid_t pid) {
    int status;
    if (pid <= 0)
        return;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 7 && WEXITSTATUS(status) != 8))
        f->wrong = status;
}
static void player(int number) {
    seed += (unsigned long)number * 7919;
    for (size_t i = 0; i < sizeof sent / sizeof sent[0]; ++i)
        if (sent[i] != SIGSTOP && sent[i] != SIGTSTP && sent[i] != SIGCONT && sent[i] != SIGTERM && sent[i] != SIGCHLD)
            signal(sent[i], on_signal);
    signal(SIGTERM, number % 2 ? on_signal : SIG_IGN);
    f->pid[number] = getpid();
    while (!f->stop) {
        ++f->rounds[number];
        sigset_t set;
        switch (next_random() % 8) {
        case 0: {
            pid_t pid = fork();
            if (pid == 0)
                short_life();
            wait_one(pid);
            break;
        }
        case 1: wait_one(borrow(short_life)); break;
        case 2: wait_one(borrow(exec_true)); break;
        case 3: {
            pthread_t thread;
            if (pthread_create(&thread, NULL, thread_of_player, NULL) == 0)
                pthread_join(thread, NULL);
            break;
        }
        case 4:
            sigfillset(&set);
            sigprocmask(SIG_SETMASK, &set, NULL);
            send_to_somebody();
            sigemptyset(&set);
            sigprocmask(SIG_SETMASK, &set, NULL);
            break;
        case 5: {
            struct timespec brief = {0, (long)(next_random() % 2000000)};
            nanosleep(&brief, NULL);
            break;
        }
        default: send_to_somebody();
        }
    }
    _exit(0);
}
static void signal_storm(void) {
    const char* text = getenv("STORM_SECONDS");
    long seconds = text ? atol(text) : 60;
    warm_up();
    CHECK_EXITED(lend(exec_true), 7);
    struct object_counts before = settled_objects();
    f = (struct field*)(uintptr_t)shared_memory(4096);
    pid_t pid[players];
    for (int i = 0; i < players; ++i) {
        pid[i] = fork();
        CHECK(pid[i] >= 0);
        if (pid[i] == 0)
            player(i);
    }
    double end = check_now() + (double)seconds;
    while (check_now() < end) {
        check_sleep_ms(20);
        for (int i = 0; i < players; ++i) // nobody stays stopped
            kill(pid[i], SIGCONT);
    }
    f->stop = 1;
    for (int i = 0; i < players; ++i) {
        int status;
        double give_up = check_now() + 20;
        while (waitpid(pid[i], &status, WNOHANG) == 0) {
            kill(pid[i], SIGCONT);
            check_sleep_ms(5);
            if (check_now() > give_up)
                check_fail("player %d does not come to its end, state %c", i, check_state_of(pid[i]));
        }
        CHECK_EXITED(status, 0);
        CHECK(f->rounds[i] > 0);
    }
    if (f->wrong)
        check_fail("a child of a player ended with status 0x%x", f->wrong);
    munmap(f, 4096);
    objects_are_back(&before);
}

static void random_kills(void) {
    warm_up();
    struct object_counts before = settled_objects();
    for (int round = 0; round < 150; ++round) {
        pid_t pid = fork();
        if (pid == 0) {
            setpgid(0, 0);
            for (;;) {
                switch (next_random() % 4) {
                case 0: wait_one(borrow(exec_true)); break;
                case 1: wait_one(borrow(short_life)); break;
                case 2: {
                    pthread_t thread;
                    if (pthread_create(&thread, NULL, thread_of_player, NULL) == 0)
                        pthread_detach(thread);
                    break;
                }
                default: {
                    pid_t child = fork();
                    if (child == 0)
                        short_life();
                    wait_one(child);
                }
                }
            }
        }
        seed += (unsigned long)round;
        check_sleep_ms((long)(next_random() % 12));
        setpgid(pid, pid);
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
        CHECK_SIGNALED(check_reap(pid), SIGKILL);
    }
    objects_are_back(&before);
}

static const struct check_case cases[] = {
    {"ten thousand forks leave nothing behind", ten_thousand, 400, false},
    {"five hundred executed borrowers leave nothing behind", five_hundred_execs, 200, false},
    {"four hundred processes alive at once leave nothing behind", many_alive, 100, false},
    {"NB-05 EC-118 a fork bomb under RLIMIT_NPROC is refused with EAGAIN and leaves nothing behind", fork_bomb, 100,
     false},
    {"NB-07 EC-118 RLIMIT_NPROC is exact, and stays exact after a thousand refusals", limit_is_exact, 100, false},
    {"a child that reaches RLIMIT_AS gets ENOMEM and leaves nothing behind", address_space, 100, false},
    {"a child that reaches RLIMIT_NOFILE gets EMFILE and leaves nothing behind", descriptors, 60, false},
    {"SIGKILL at any moment of fork, vfork, exec and thread creation leaves nothing behind", random_kills, 200, false},
    {"a minute of random signals between processes that fork, lend, exec and make threads leaves nothing "
     "behind",
     signal_storm, 300, false},
};

int main(int argc, char** argv) {
    if (argc > 2 && strcmp(argv[1], "@exit") == 0)
        return atoi(argv[2]);
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

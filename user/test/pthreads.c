// SPDX-License-Identifier: BSD-2-Clause
// glibc's threads on four harts: creating and joining, mutexes, condition variables, thread-local storage,
// cancellation, robust mutexes, and floating-point state that survives preemption.
#include "lend.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

static volatile int stop;

static void* add_one(void* total) {
    __atomic_add_fetch((int*)total, 1, __ATOMIC_SEQ_CST);
    return total;
}
static void thousand_in_turn(void) {
    int total = 0;
    for (int i = 0; i < 1000; ++i) {
        pthread_t thread;
        void* result;
        CHECK_EQ(pthread_create(&thread, NULL, add_one, &total), 0);
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK(result == &total);
    }
    CHECK_EQ(total, 1000);
}

static sem_t gate;
static void* pass_gate(void* total) {
    sem_wait(&gate);
    return add_one(total);
}
static void many_at_once(void) {
    enum { count = 100 };
    static pthread_t thread[count];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 65536);
    sem_init(&gate, 0, 0);
    for (int round = 0; round < 4; ++round) {
        int total = 0;
        for (int i = 0; i < count; ++i)
            CHECK_EQ(pthread_create(&thread[i], &small, pass_gate, &total), 0);
        CHECK_EQ(total, 0);
        for (int i = 0; i < count; ++i)
            sem_post(&gate);
        for (int i = 0; i < count; ++i)
            CHECK_EQ(pthread_join(thread[i], NULL), 0);
        CHECK_EQ(total, count);
    }
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static long counter;
static int turn;
static void* count_locked(void* unused) {
    for (int i = 0; i < 20000; ++i) {
        pthread_mutex_lock(&lock);
        ++counter;
        pthread_mutex_unlock(&lock);
    }
    return unused;
}
static void mutex(void) {
    pthread_t thread[8];
    for (int i = 0; i < 8; ++i)
        CHECK_EQ(pthread_create(&thread[i], NULL, count_locked, NULL), 0);
    for (int i = 0; i < 8; ++i)
        pthread_join(thread[i], NULL);
    CHECK_EQ(counter, 160000);
}

enum { players = 4, rounds = 500 };
static void* play(void* number) {
    for (int i = 0; i < rounds; ++i) {
        pthread_mutex_lock(&lock);
        while (turn % players != (int)(long)number)
            pthread_cond_wait(&turn_changed, &lock);
        ++turn;
        pthread_cond_broadcast(&turn_changed);
        pthread_mutex_unlock(&lock);
    }
    return number;
}
static void ping_pong(void) {
    pthread_t thread[players];
    turn = 0;
    for (long i = 0; i < players; ++i)
        CHECK_EQ(pthread_create(&thread[i], NULL, play, (void*)i), 0);
    for (int i = 0; i < players; ++i)
        pthread_join(thread[i], NULL);
    CHECK_EQ(turn, players * rounds);
}

static void timed_condition(void) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        ++until.tv_sec;
    }
    double start = check_now();
    pthread_mutex_lock(&lock);
    CHECK_EQ(pthread_cond_timedwait(&turn_changed, &lock, &until), ETIMEDOUT);
    CHECK(check_now() - start >= 0.09);
    CHECK_EQ(pthread_mutex_trylock(&lock), EBUSY);
    pthread_mutex_unlock(&lock);
}

static pthread_barrier_t barrier;
static volatile int phase[4];
static void* in_phases(void* number) {
    long me = (long)number;
    for (int i = 1; i <= 200; ++i) {
        phase[me] = i;
        pthread_barrier_wait(&barrier);
        for (int k = 0; k < 4; ++k)
            CHECK(phase[k] >= i && phase[k] <= i + 1);
        pthread_barrier_wait(&barrier);
    }
    return number;
}
static void barriers(void) {
    pthread_t thread[4];
    pthread_barrier_init(&barrier, NULL, 4);
    for (long i = 0; i < 4; ++i)
        CHECK_EQ(pthread_create(&thread[i], NULL, in_phases, (void*)i), 0);
    for (int i = 0; i < 4; ++i)
        pthread_join(thread[i], NULL);
}

static __thread long mine = 5;
static void* own_storage(void* number) {
    CHECK_EQ(mine, 5);
    for (int i = 0; i < 1000; ++i) {
        mine = (long)number * 1000 + i;
        if (i % 50 == 0)
            sched_yield();
        CHECK_EQ(mine, (long)number * 1000 + i);
    }
    return number;
}
static void thread_local(void) {
    pthread_t thread[8];
    for (long i = 0; i < 8; ++i)
        CHECK_EQ(pthread_create(&thread[i], NULL, own_storage, (void*)i), 0);
    for (int i = 0; i < 8; ++i)
        pthread_join(thread[i], NULL);
    CHECK_EQ(mine, 5);
}

static void* compute(void* number) {
    // All floating-point registers are in use, and preemption comes at any point; eight such threads on four
    // harts.
    long seed = (long)number;
    unsigned long in[33], out[33];
    for (int i = 0; i < 32; ++i)
        in[i] = 0x3ff0000000000000 + (unsigned long)(seed * 1000 + i);
    in[32] = (unsigned long)(seed % 5) << 5 | (unsigned long)seed;
    double end = check_now() + 2;
    while (check_now() < end) {
        __asm__ volatile(
            ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
            "fld f\\n, (8*\\n)(%0)\n .endr\n ld t0, 256(%0)\n fscsr t0\n"
            "li t1, 100000\n 1: addi t1, t1, -1\n bnez t1, 1b\n"
            ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
            "fsd f\\n, (8*\\n)(%1)\n .endr\n frcsr t0\n sd t0, 256(%1)\n fscsr zero\n" ::"r"(in),
            "r"(out)
            : "t0", "t1", "memory", "f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12",
              "f13", "f14", "f15", "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25", "f26", "f27",
              "f28", "f29", "f30", "f31");
        for (int i = 0; i < 33; ++i)
            if (in[i] != out[i])
                check_fail("thread %ld: f%d (32 is fcsr) is %lx, was %lx", seed, i, out[i], in[i]);
    }
    return number;
}
static void* sums(void* number) {
    double s = 0;
    for (long i = 1; i < 300000; ++i)
        s += 1.0 / (double)(i * (long)number);
    double* result = malloc(sizeof *result);
    *result = s * (double)(long)number;
    return result;
}
static void floats(void) {
    pthread_t thread[8];
    for (long i = 0; i < 8; ++i)
        CHECK_EQ(pthread_create(&thread[i], NULL, compute, (void*)i), 0);
    for (int i = 0; i < 8; ++i)
        pthread_join(thread[i], NULL);
    for (long i = 1; i <= 8; ++i)
        CHECK_EQ(pthread_create(&thread[i - 1], NULL, sums, (void*)i), 0);
    for (int i = 0; i < 8; ++i) {
        void* result;
        pthread_join(thread[i], &result);
        double s = *(double*)result;
        CHECK(s > 13.188 && s < 13.19);
    }
}

static void* wait_forever(void* unused) {
    for (;;)
        pause();
    return unused;
}
static void* spin_cancel(void* unused) {
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    for (;;)
        ++counter;
    return unused;
}
static void cancel(void) {
    void* (*bodies[])(void*) = {wait_forever, spin_cancel};
    for (int i = 0; i < 40; ++i) {
        pthread_t thread;
        void* result;
        CHECK_EQ(pthread_create(&thread, NULL, bodies[i % 2], NULL), 0);
        if (i % 4 < 2)
            check_sleep_ms(2);
        CHECK_EQ(pthread_cancel(thread), 0);
        CHECK_EQ(pthread_join(thread, &result), 0);
        CHECK(result == PTHREAD_CANCELED);
    }
}

static pthread_mutex_t robust;
static void* die_with_lock(void* unused) {
    pthread_mutex_lock(&robust);
    return unused;
}
static void robust_mutex(void) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&robust, &attributes);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, die_with_lock, NULL), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(pthread_mutex_lock(&robust), EOWNERDEAD);
    CHECK_EQ(pthread_mutex_consistent(&robust), 0);
    CHECK_EQ(pthread_mutex_unlock(&robust), 0);
    // Shared between processes, and the holder is killed.
    pthread_mutex_t* shared = (pthread_mutex_t*)(uintptr_t)shared_memory(4096);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(shared, &attributes);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_mutex_lock(shared);
        raise(SIGKILL);
    }
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
    CHECK_EQ(pthread_mutex_lock(shared), EOWNERDEAD);
}

static void shared_between_processes(void) {
    struct {
        pthread_mutex_t lock;
        pthread_cond_t changed;
        int turn;
    }* s = (void*)(uintptr_t)shared_memory(4096);
    pthread_mutexattr_t m;
    pthread_condattr_t c;
    pthread_mutexattr_init(&m);
    pthread_mutexattr_setpshared(&m, PTHREAD_PROCESS_SHARED);
    pthread_condattr_init(&c);
    pthread_condattr_setpshared(&c, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->lock, &m);
    pthread_cond_init(&s->changed, &c);
    pid_t pid = fork();
    int me = pid == 0;
    for (int i = 0; i < 500; ++i) {
        pthread_mutex_lock(&s->lock);
        while (s->turn % 2 != me)
            pthread_cond_wait(&s->changed, &s->lock);
        ++s->turn;
        pthread_cond_signal(&s->changed);
        pthread_mutex_unlock(&s->lock);
    }
    if (pid == 0)
        _exit(0);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(s->turn, 1000);
}

static void* spin_until_stop(void* unused) {
    while (!stop)
        ++counter;
    return unused;
}
static void exit_with_threads(void) {
    for (int i = 0; i < 20; ++i) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t thread;
            for (int k = 0; k < 6; ++k)
                pthread_create(&thread, NULL, k % 2 ? spin_until_stop : wait_forever, NULL);
            if (i % 2)
                raise(SIGKILL);
            exit(12);
        }
        int status = check_reap(pid);
        if (i % 2)
            CHECK_SIGNALED(status, SIGKILL);
        else
            CHECK_EXITED(status, 12);
    }
}
static void exec_with_threads(void) {
    for (int i = 0; i < 10; ++i) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t thread;
            for (int k = 0; k < 6; ++k)
                pthread_create(&thread, NULL, k % 2 ? spin_until_stop : wait_forever, NULL);
            execl(check_self, check_self, "@alone", (char*)NULL);
            _exit(99);
        }
        CHECK_EXITED(check_reap(pid), 0);
    }
}

static void* leader_left(void* unused) {
    check_sleep_ms(50);
    _exit(23);
    return unused;
}
static void leader_exits_first(void) {
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, leader_left, NULL);
        syscall(SYS_exit, 5);
    }
    check_sleep_ms(10);
    CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0); // not over while a thread lives
    CHECK_EXITED(check_reap(pid), 23);
}

static const struct check_case cases[] = {
    {"a thousand threads are made and joined one after the other", thousand_in_turn, 60, false},
    {"a hundred threads live at the same time, four times", many_at_once, 60, false},
    {"a mutex keeps 160000 additions of eight threads whole", mutex, 60, false},
    {"four threads pass a turn 2000 times through a condition variable", ping_pong, 60, false},
    {"a timed wait ends with ETIMEDOUT and the lock held", timed_condition, 0, false},
    {"barriers keep four threads in step", barriers, 60, false},
    {"thread-local storage is each thread's own", thread_local, 0, false},
    {"floating-point state survives preemption, eight threads on four harts", floats, 60, false},
    {"threads that sleep or spin can be cancelled", cancel, 60, false},
    {"a robust mutex whose owner died gives EOWNERDEAD", robust_mutex, 0, false},
    {"mutex and condition variable work between processes", shared_between_processes, 60, false},
    {"a process with spinning and sleeping threads exits and can be killed", exit_with_threads, 60, false},
    {"execve ends all other threads", exec_with_threads, 60, false},
    {"a process lives on when its first thread has exited", leader_exits_first, 0, false},
};

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@alone") == 0)
        return check_value_in("/proc/self/status", "Threads") == 1 ? 0 : 1;
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

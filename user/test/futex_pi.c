// SPDX-License-Identifier: BSD-2-Clause
// Futexes with priority inheritance, by hand and through glibc's mutexes: who gets the lock, who runs with whose priority, and what
// happens when an owner ends.
#include "lend.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>

#ifndef FUTEX_LOCK_PI2
#define FUTEX_LOCK_PI2 13
#endif

static long futex(unsigned* word, int operation, const struct timespec* limit) {
    return syscall(SYS_futex, word, operation, 0, limit, NULL, 0);
}
static unsigned my_tid(void) { return (unsigned)syscall(SYS_gettid); }

// The priority that a thread runs with: 0 for a fair one, else 1 to 99 (proc(5), stat, field 18).
static int priority_of(pid_t process, unsigned tid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/task/%u/stat", (int)process, tid);
    if (check_read_file(path, text, sizeof text) <= 0)
        return -1;
    const char* field = strrchr(text, ')');
    for (int n = 2; n < 18 && field; ++n)
        field = strchr(field + 1, ' ');
    const int value = field ? atoi(field) : 0;
    return value < 0 ? -1 - value : 0;
}
static char state_of(unsigned tid) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/self/task/%u/stat", tid);
    if (check_read_file(path, text, sizeof text) <= 0)
        return '?';
    return strrchr(text, ')')[2];
}
static void become_real_time(int priority) {
    struct sched_param param = {.sched_priority = priority};
    CHECK_EQ(sched_setscheduler(0, priority ? SCHED_FIFO : SCHED_OTHER, &param), 0);
}

// --- threads that lock, say so, and unlock when told ---

struct locker {
    unsigned *word, *second; // `second` is locked after `word`
    int priority;
    pthread_t thread;
    volatile unsigned tid;
    volatile int locked, may_unlock, result, order, priority_after;
};
static volatile int next_order;

static void* locks(void* argument) {
    struct locker* l = (struct locker*)argument;
    become_real_time(l->priority);
    l->tid = my_tid();
    unsigned* const words[] = {l->word, l->second};
    for (int i = 0; i < 2 && words[i]; ++i) {
        unsigned expected = 0;
        if (!__atomic_compare_exchange_n(words[i], &expected, l->tid, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED) &&
            futex(words[i], FUTEX_LOCK_PI_PRIVATE, NULL) != 0) {
            l->result = errno;
            break;
        }
        l->locked = i + 1;
    }
    l->order = __atomic_add_fetch(&next_order, 1, __ATOMIC_SEQ_CST);
    while (!l->may_unlock)
        check_sleep_ms(1);
    for (int i = l->locked - 1; i >= 0; --i) {
        unsigned mine = l->tid;
        if (!__atomic_compare_exchange_n(words[i], &mine, 0, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
            CHECK_EQ(futex(words[i], FUTEX_UNLOCK_PI_PRIVATE, NULL), 0);
    }
    l->priority_after = priority_of(getpid(), l->tid);
    return NULL;
}
static void start(struct locker* l, unsigned* word, unsigned* second, int priority) {
    *l = (struct locker){.word = word, .second = second, .priority = priority};
    CHECK_EQ(pthread_create(&l->thread, NULL, locks, l), 0);
}
static void starts_and_locks(struct locker* l, unsigned* word, int priority) {
    start(l, word, NULL, priority);
    CHECK_SOON(l->locked, 10);
}
static void starts_and_waits(struct locker* l, unsigned* word, int priority) {
    start(l, word, NULL, priority);
    CHECK_SOON((*word & FUTEX_WAITERS) != 0 && l->tid && state_of(l->tid) == 'S', 10);
    check_sleep_ms(20);
}
static void ends(struct locker* l) {
    l->may_unlock = 1;
    CHECK_EQ(pthread_join(l->thread, NULL), 0);
}

// --- cases ---

static void word_says_who(void) {
    unsigned word = 0;
    CHECK_EQ(futex(&word, FUTEX_LOCK_PI_PRIVATE, NULL), 0);
    CHECK_EQ(word, my_tid());
    CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI_PRIVATE, NULL), EDEADLK);
    CHECK_ERRNO(futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, NULL), EDEADLK);
    CHECK_EQ(futex(&word, FUTEX_UNLOCK_PI_PRIVATE, NULL), 0);
    CHECK_EQ(word, 0u);
    CHECK_ERRNO(futex(&word, FUTEX_UNLOCK_PI_PRIVATE, NULL), EPERM);
    CHECK_EQ(futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, NULL), 0);
    CHECK_EQ(word, my_tid());

    word = FUTEX_OWNER_DIED; // free, and its next owner is told
    CHECK_EQ(futex(&word, FUTEX_LOCK_PI_PRIVATE, NULL), 0);
    CHECK_EQ(word, my_tid() | FUTEX_OWNER_DIED);
    word = 0x3fffffff; // nobody's id
    CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI_PRIVATE, NULL), ESRCH);
    CHECK_ERRNO(futex((unsigned*)((char*)&word + 1), FUTEX_LOCK_PI_PRIVATE, NULL), EINVAL);
    CHECK_ERRNO(futex((unsigned*)8, FUTEX_LOCK_PI_PRIVATE, NULL), EFAULT);
    CHECK_ERRNO(futex((unsigned*)8, FUTEX_UNLOCK_PI_PRIVATE, NULL), EFAULT);
    CHECK_ERRNO(futex(&word, FUTEX_LOCK_PI_PRIVATE | FUTEX_CLOCK_REALTIME, NULL), ENOSYS);
}

static void owner_inherits(void) {
    unsigned word = 0;
    struct locker owner, low, high;
    starts_and_locks(&owner, &word, 0);
    CHECK_EQ(priority_of(getpid(), owner.tid), 0);
    starts_and_waits(&low, &word, 10);
    CHECK_EQ(priority_of(getpid(), owner.tid), 10);
    starts_and_waits(&high, &word, 20);
    CHECK_EQ(priority_of(getpid(), owner.tid), 20);
    CHECK_EQ(sched_getscheduler((pid_t)owner.tid), SCHED_OTHER); // what it asked for is still the same

    // A waiter's new priority reaches the owner; so does the owner's own.
    struct sched_param param = {.sched_priority = 30};
    CHECK_EQ(sched_setscheduler((pid_t)low.tid, SCHED_FIFO, &param), 0);
    CHECK_EQ(priority_of(getpid(), owner.tid), 30);
    param.sched_priority = 40;
    CHECK_EQ(sched_setscheduler((pid_t)owner.tid, SCHED_RR, &param), 0);
    CHECK_EQ(priority_of(getpid(), owner.tid), 40);
    param.sched_priority = 0;
    CHECK_EQ(sched_setscheduler((pid_t)owner.tid, SCHED_OTHER, &param), 0);
    CHECK_EQ(priority_of(getpid(), owner.tid), 30);

    ends(&owner);
    CHECK_EQ(owner.priority_after, 0);
    CHECK_SOON(low.locked, 10); // 30 before 20
    CHECK_EQ(high.locked, 0);
    CHECK_EQ(word, low.tid | FUTEX_WAITERS);
    CHECK_EQ(priority_of(getpid(), low.tid), 30);
    ends(&low);
    CHECK_SOON(high.locked, 10);
    ends(&high);
    CHECK_EQ(word, 0u);
}

static void chain_inherits(void) {
    unsigned first = 0, second = 0;
    struct locker last, middle, high;
    starts_and_locks(&last, &second, 0);
    start(&middle, &first, &second, 0); // owns the first, waits for the second
    CHECK_SOON((second & FUTEX_WAITERS) != 0 && middle.locked == 1, 10);
    starts_and_waits(&high, &first, 33);
    CHECK_EQ(priority_of(getpid(), middle.tid), 33);
    CHECK_EQ(priority_of(getpid(), last.tid), 33);
    last.may_unlock = 1;
    CHECK_SOON(middle.locked == 2, 10);
    CHECK_SOON(priority_of(getpid(), middle.tid) == 33, 5);
    ends(&middle);
    CHECK_SOON(high.locked, 10);
    ends(&high);
    CHECK_EQ(pthread_join(last.thread, NULL), 0);
    CHECK_EQ(first | second, 0u);
}

static void best_first(void) {
    unsigned word = 0;
    struct locker owner, w[5];
    static const int priorities[5] = {5, 0, 50, 5, 0}, expected[5] = {2, 4, 1, 3, 5};
    starts_and_locks(&owner, &word, 0);
    for (int i = 0; i < 5; ++i)
        starts_and_waits(&w[i], &word, priorities[i]);
    next_order = 0;
    for (int i = 0; i < 5; ++i)
        w[i].may_unlock = 1;
    ends(&owner);
    for (int i = 0; i < 5; ++i)
        CHECK_EQ(pthread_join(w[i].thread, NULL), 0);
    for (int i = 0; i < 5; ++i)
        CHECK_EQ(w[i].order, expected[i]);
    CHECK_EQ(word, 0u);
}

static void deadlock(void) {
    unsigned first = 0, second = 0;
    CHECK_EQ(futex(&first, FUTEX_LOCK_PI_PRIVATE, NULL), 0);
    struct locker other;
    start(&other, &second, &first, 0); // owns the second, waits for ours
    CHECK_SOON((first & FUTEX_WAITERS) != 0, 10);
    CHECK_ERRNO(futex(&second, FUTEX_LOCK_PI_PRIVATE, NULL), EDEADLK);
    CHECK_EQ(futex(&first, FUTEX_UNLOCK_PI_PRIVATE, NULL), 0);
    CHECK_SOON(other.locked == 2, 10);
    ends(&other);
}

static struct timespec in_ms(clockid_t clock, long ms) {
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}
static void time_limits(void) {
    unsigned word = 0;
    struct locker owner;
    starts_and_locks(&owner, &word, 0);
    become_real_time(15);
    static const struct {
        int operation;
        clockid_t clock;
    } ways[] = {{FUTEX_LOCK_PI_PRIVATE, CLOCK_REALTIME},
                {FUTEX_LOCK_PI2 | FUTEX_PRIVATE_FLAG, CLOCK_MONOTONIC},
                {FUTEX_LOCK_PI2 | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME, CLOCK_REALTIME}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; ++i) {
        struct timespec limit = in_ms(ways[i].clock, 60);
        const double before = check_now();
        CHECK_ERRNO(futex(&word, ways[i].operation, &limit), ETIMEDOUT);
        CHECK(check_now() - before >= 0.055);
        CHECK_EQ(priority_of(getpid(), owner.tid), 0); // nothing of ours is left
    }
    CHECK_ERRNO(futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, NULL), EAGAIN);
    become_real_time(0);
    ends(&owner); // the word may still say that somebody waits
    CHECK_EQ(word, 0u);
}

static volatile int handled;
static void handler(int signo) { handled = signo; }
static void signal_while_waiting(void) {
    struct sigaction action = {.sa_handler = handler}; // no SA_RESTART
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    unsigned word = 0;
    struct locker owner, waiter;
    starts_and_locks(&owner, &word, 0);
    starts_and_waits(&waiter, &word, 0);
    CHECK_EQ(pthread_kill(waiter.thread, SIGUSR1), 0);
    CHECK_SOON(handled == SIGUSR1, 10);
    CHECK_SOON(state_of(waiter.tid) == 'S', 10);
    CHECK_EQ(waiter.result, 0);
    CHECK_EQ(waiter.locked, 0);
    ends(&owner);
    CHECK_SOON(waiter.locked, 10);
    ends(&waiter);
}

// --- glibc's mutexes ---

static pthread_mutex_t mutex;
static long total;
static void* counts(void* unused) {
    for (int i = 0; i < 1000; ++i) {
        pthread_mutex_lock(&mutex);
        ++total;
        if (i % 64 == 0)
            sched_yield();
        pthread_mutex_unlock(&mutex);
    }
    return unused;
}
static void make_mutex(pthread_mutex_t* m, bool robust, bool shared) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    CHECK_EQ(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT), 0);
    CHECK_EQ(pthread_mutexattr_setrobust(&attributes, robust ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED), 0);
    CHECK_EQ(pthread_mutexattr_setpshared(&attributes, shared ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE), 0);
    CHECK_EQ(pthread_mutex_init(m, &attributes), 0);
}
static void mutex_counts(void) {
    make_mutex(&mutex, false, false);
    pthread_t threads[6];
    for (int i = 0; i < 6; ++i)
        CHECK_EQ(pthread_create(&threads[i], NULL, counts, NULL), 0);
    for (int i = 0; i < 6; ++i)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(total, 6 * 1000);
    CHECK_EQ(pthread_mutex_destroy(&mutex), 0);
}

static pthread_mutex_t* shared_mutex;
static volatile int* stage;
static void locks_and_waits_for_death(void) {
    CHECK_EQ(pthread_mutex_lock(shared_mutex), 0);
    *stage = 1;
    for (;;)
        pause();
}
static void waits_for_mutex(void) {
    *stage = 2;
    const int result = pthread_mutex_lock(shared_mutex);
    if (result == EOWNERDEAD) {
        pthread_mutex_consistent(shared_mutex);
        pthread_mutex_unlock(shared_mutex);
    }
    _exit(result);
}
static void robust_owner_killed(void) {
    shared_mutex = (pthread_mutex_t*)shared_memory(4096);
    stage = (volatile int*)(shared_mutex + 1);
    for (int waits = 0; waits < 2; ++waits) {
        make_mutex(shared_mutex, true, true);
        *stage = 0;
        const pid_t owner = spawn(locks_and_waits_for_death);
        CHECK_SOON(*stage == 1, 10);
        pid_t waiter = 0;
        if (waits) {
            waiter = spawn(waits_for_mutex);
            CHECK_SOON(*stage == 2 && check_state_of(waiter) == 'S', 10);
            check_sleep_ms(20);
        }
        kill(owner, SIGKILL);
        CHECK_SIGNALED(check_reap(owner), SIGKILL);
        if (waits) {
            CHECK_EXITED(check_reap(waiter), EOWNERDEAD);
            CHECK_EQ(pthread_mutex_lock(shared_mutex), 0);
        } else {
            CHECK_EQ(pthread_mutex_lock(shared_mutex), EOWNERDEAD);
            CHECK_EQ(pthread_mutex_consistent(shared_mutex), 0);
        }
        CHECK_EQ(pthread_mutex_unlock(shared_mutex), 0);
    }
}

static unsigned* shared_word;
static void locks_word_and_pauses(void) {
    CHECK_EQ(futex(shared_word, FUTEX_LOCK_PI, NULL), 0);
    for (;;)
        pause();
}
static void locks_word_and_ends(void) { CHECK_EQ(futex(shared_word, FUTEX_LOCK_PI, NULL), 0); }
static void owner_killed(void) {
    shared_word = (unsigned*)shared_memory(4096);
    const pid_t owner = spawn(locks_word_and_pauses);
    CHECK_SOON(*shared_word == (unsigned)owner, 10);
    const pid_t waiter = spawn(locks_word_and_ends);
    CHECK_SOON(*shared_word == ((unsigned)owner | FUTEX_WAITERS) && check_state_of(waiter) == 'S', 10);
    check_sleep_ms(20);
    kill(owner, SIGKILL);
    CHECK_SIGNALED(check_reap(owner), SIGKILL);
    CHECK_EXITED(check_reap(waiter), 0);
    // The waiter got it, was told so by the word, and ended without unlocking.
    CHECK_EQ(*shared_word & ~FUTEX_WAITERS, (unsigned)waiter | FUTEX_OWNER_DIED);
    CHECK_ERRNO(futex(shared_word, FUTEX_LOCK_PI, NULL), ESRCH);
}

static void borrower_locks(void) {
    CHECK_EQ(futex(shared_word, FUTEX_LOCK_PI_PRIVATE, NULL), 0);
    CHECK_SOON((*shared_word & FUTEX_WAITERS) != 0, 10);
}
static void borrower_locks_and_executes(void) {
    borrower_locks();
    execl(check_self, check_self, "@exit", (char*)NULL);
    _exit(120);
}
static void* locks_after_borrower(void* argument) {
    CHECK_SOON(*shared_word != 0, 10);
    return locks(argument);
}
static void borrower_owns(void) {
    static unsigned word;
    shared_word = &word;
    void (*const ways[])(void) = {borrower_locks, borrower_locks_and_executes};
    for (int i = 0; i < 2; ++i) {
        struct locker waiter = {.word = &word};
        word = 0;
        CHECK_EQ(pthread_create(&waiter.thread, NULL, locks_after_borrower, &waiter), 0);
        lend_ok(ways[i]);
        CHECK_SOON(waiter.locked, 10);
        CHECK_EQ(word & ~FUTEX_WAITERS, waiter.tid | FUTEX_OWNER_DIED);
        word = waiter.tid; // as a user's lock does that takes note of the mark
        ends(&waiter);
        CHECK_EQ(word, 0u);
    }
}

static const struct check_case cases[] = {
    {"the word holds its owner's id; what cannot be locked says why", word_says_who, 0, false},
    {"an owner runs with the best real-time priority among its waiters, and only until it unlocks", owner_inherits, 0,
     false},
    {"priority is inherited along a chain of owners that wait", chain_inherits, 0, false},
    {"the waiter with the best priority gets the lock, the longest waiting of equals", best_first, 0, false},
    {"a lock that would close a circle of waiters is refused", deadlock, 0, false},
    {"a time limit, on either clock, ends the wait and gives back what was lent", time_limits, 0, false},
    {"a signal's handler runs and the wait goes on", signal_while_waiting, 0, false},
    {"glibc's mutexes with PTHREAD_PRIO_INHERIT exclude", mutex_counts, 0, false},
    {"a robust one tells its next owner that the last was killed", robust_owner_killed, 0, false},
    {"the lock of an owner that was killed goes to who waits for it, with FUTEX_OWNER_DIED", owner_killed, 0, false},
    {"LX-18 what a borrower has locked goes to who waits for it when the borrower ends or executes", borrower_owns, 0,
     false},
};

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@exit") == 0)
        return 0;
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

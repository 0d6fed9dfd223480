// SPDX-License-Identifier: BSD-2-Clause
// Memory calls and futexes: flags, ranges and errors as Linux has them.
#include "check.h"

#include <linux/futex.h>
#include <pthread.h>

enum { page = 4096 };

static char* map(size_t size, int prot, int flags) {
    char* p = mmap(NULL, size, prot, MAP_ANONYMOUS | flags, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

static void mmap_rules(void) {
    char* p = map(4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    CHECK_ERRNO((long)mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERRNO((long)mmap(NULL, page, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
    CHECK_ERRNO((long)mmap(p + 1, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
    CHECK_ERRNO((long)mmap(NULL, page, PROT_READ, MAP_PRIVATE, 555, 0), EBADF);
    CHECK_ERRNO((long)syscall(SYS_mmap, 0, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 100), EINVAL);
    CHECK_ERRNO((long)mmap(NULL, (size_t)1 << 62, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
    CHECK_ERRNO((long)mmap(p, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
    CHECK(mmap(p + page, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + page);
    int fd = open("/proc/self/exe", O_RDONLY), pipes[2];
    CHECK_EQ(pipe(pipes), 0);
    CHECK_ERRNO((long)mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
    char* text = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(text != MAP_FAILED && memcmp(text, "\177ELF", 4) == 0);
    text[0] = 'x'; // a private copy
    char* again = mmap(NULL, page, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK_EQ(again[0], 0177);
    CHECK_ERRNO((long)mmap(NULL, page, PROT_READ, MAP_PRIVATE, pipes[0], 0), ENODEV);
    CHECK_ERRNO(munmap(p + 1, page), EINVAL);
    CHECK_ERRNO(munmap(p, 0), EINVAL);
    CHECK_EQ(munmap(p, 4 * page), 0);
    CHECK_EQ(munmap(p, 4 * page), 0); // nothing there is no error
}

static void protect_rules(void) {
    char* p = map(3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    CHECK_EQ(munmap(p + page, page), 0);
    CHECK_ERRNO(mprotect(p, 3 * page, PROT_READ), ENOMEM);
    CHECK_ERRNO(mprotect(p + 1, page, PROT_READ), EINVAL);
    CHECK_EQ(mprotect(p, 0, PROT_READ), 0);
    int zero = open("/dev/zero", O_RDONLY);
    CHECK_EQ(mprotect(p + 2 * page, page, PROT_NONE), 0);
    CHECK_ERRNO(read(zero, p + 2 * page, 1), EFAULT);
    CHECK_EQ(mprotect(p + 2 * page, page, PROT_READ | PROT_WRITE), 0);
    CHECK_EQ(read(zero, p + 2 * page, 1), 1);
}

static void remap_and_residence(void) {
    char* p = map(2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    strcpy(p + page, "moves");
    char* wall = mmap(p + 2 * page, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(wall != MAP_FAILED);
    char* q = mremap(p, 2 * page, 64 * page, MREMAP_MAYMOVE);
    CHECK(q != MAP_FAILED);
    CHECK(strcmp(q + page, "moves") == 0);
    CHECK_EQ(q[63 * page], 0);
    CHECK_ERRNO((long)mremap(q, page, 0, 0), EINVAL);
    CHECK_ERRNO((long)mremap(q + 1, page, page, 0), EINVAL);
    CHECK_ERRNO((long)mremap(q, page, page, MREMAP_FIXED, q), EINVAL);
    CHECK(mremap(q, 64 * page, page, 0) == q);
    CHECK_ERRNO(msync(q + page, page, MS_SYNC), ENOMEM);
    CHECK_ERRNO(msync(q, page, MS_SYNC | MS_ASYNC), EINVAL);
    unsigned char in[2];
    char* r = map(2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    r[page] = 1;
    CHECK_EQ(mincore(r, 2 * page, in), 0);
    CHECK_EQ(in[1] & 1, 1);
    CHECK_ERRNO(mincore(r + 1, page, in), EINVAL);
    CHECK_ERRNO(mincore(r, 2 * page, (void*)8), EFAULT);
    CHECK_EQ(madvise(r, 2 * page, MADV_DONTNEED), 0);
    CHECK_EQ(r[page], 0);
    CHECK_ERRNO(madvise(r, page, 9999), EINVAL);
    CHECK_ERRNO(madvise(r + 1, page, MADV_DONTNEED), EINVAL);
    CHECK_EQ(mlock(r, page), 0);
    CHECK_EQ(munlock(r, page), 0);
}

static void break_moves(void) {
    char* end = sbrk(0);
    CHECK(sbrk(8 * page) == end);
    end[8 * page - 1] = 1;
    CHECK(sbrk(-8 * page) == end + 8 * page);
    CHECK(sbrk(0) == end);
    CHECK_EQ(syscall(SYS_brk, 1), (long)end); // an impossible end changes nothing
}

static long futex(void* word, int operation, unsigned value, const struct timespec* limit, void* second,
                  unsigned third) {
    return syscall(SYS_futex, word, operation, value, limit, second, third);
}

static void futex_rules(void) {
    static unsigned word = 5;
    struct timespec soon = {0, 20000000}, bad = {0, -1};
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 4, NULL, NULL, 0), EAGAIN);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 5, &soon, NULL, 0), ETIMEDOUT);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_PRIVATE, 5, &bad, NULL, 0), EINVAL);
    CHECK_ERRNO(futex((char*)&word + 1, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(futex((void*)16, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), EFAULT);
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 5, NULL, NULL, 0), EINVAL);
    CHECK_ERRNO(futex(&word, 99, 5, NULL, NULL, 0), ENOSYS);
    CHECK_EQ(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 0);
    struct timespec past = {0, 1};
    CHECK_ERRNO(futex(&word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 5, &past, NULL, ~0U), ETIMEDOUT);
}

static unsigned shared_words[2];
static int woken;
static void* sleeper(void* mask) {
    while (futex(&shared_words[0], FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, (unsigned)(uintptr_t)mask) != 0)
        if (errno != EINTR && errno != EAGAIN)
            return NULL;
    __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void futex_wakes(void) {
    pthread_t threads[6];
    for (int i = 0; i < 6; ++i)
        CHECK_EQ(pthread_create(&threads[i], NULL, sleeper, (void*)(uintptr_t)(i < 2 ? 1 : 2)), 0);
    long moved = 0; // all sleep once a requeue finds all of them
    CHECK_SOON((moved += futex(&shared_words[0], FUTEX_REQUEUE_PRIVATE, 0, (void*)100, &shared_words[1], 0)) == 6, 10);
    CHECK_EQ(futex(&shared_words[0], FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0), 0);
    CHECK_EQ(futex(&shared_words[1], FUTEX_WAKE_BITSET_PRIVATE, 1, NULL, NULL, 1), 1);
    CHECK_EQ(futex(&shared_words[1], FUTEX_WAKE_BITSET_PRIVATE, 100, NULL, NULL, 2), 4);
    shared_words[0] = 7;
    CHECK_ERRNO(futex(&shared_words[1], FUTEX_CMP_REQUEUE_PRIVATE, 1, (void*)1, &shared_words[0], 9), EAGAIN);
    CHECK_EQ(futex(&shared_words[1], FUTEX_WAKE_OP_PRIVATE, 1, (void*)1, &shared_words[0],
                   FUTEX_OP(FUTEX_OP_ADD, 5, FUTEX_OP_CMP_EQ, 7)),
             1);
    CHECK_EQ(shared_words[0], 12);
    for (int i = 0; i < 6; ++i)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_EQ(woken, 6);
}

// FUTEX_WAKE_OP changes the second word, and wakes there if what it was compares as asked.
static int op_word;
static void* op_sleeper(void* unused) {
    while (futex(&op_word, FUTEX_WAIT_BITSET_PRIVATE, (unsigned)op_word, NULL, NULL, 4) != 0)
        if (errno != EINTR && errno != EAGAIN)
            check_fail("a waiter got errno %d", errno);
    return unused;
}
static void futex_wake_op(void) {
    static const struct {
        int operation, was, argument, becomes;
    } changes[] = {
        {FUTEX_OP_SET, 6, 3, 3},  {FUTEX_OP_ADD, 6, -7, -1}, {FUTEX_OP_OR, 6, 3, 7},
        {FUTEX_OP_ANDN, 6, 3, 4}, {FUTEX_OP_XOR, 6, 3, 5},   {FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 6, 9, 512},
    };
    static const int comparisons[] = {FUTEX_OP_CMP_EQ, FUTEX_OP_CMP_NE, FUTEX_OP_CMP_LT,
                                      FUTEX_OP_CMP_LE, FUTEX_OP_CMP_GT, FUTEX_OP_CMP_GE};
    enum { waiters = 9 }; // as many comparisons hold below
    static int nobody, parked;
    pthread_t threads[waiters];
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; ++i) {
        op_word = changes[i].was;
        CHECK_EQ(futex(&nobody, FUTEX_WAKE_OP_PRIVATE, 1, (void*)1, &op_word,
                       (unsigned)FUTEX_OP(changes[i].operation, changes[i].argument, FUTEX_OP_CMP_EQ, 0)),
                 0);
        CHECK_EQ(op_word, changes[i].becomes);
    }
    op_word = -5;
    for (int i = 0; i < waiters; ++i)
        CHECK_EQ(pthread_create(&threads[i], NULL, op_sleeper, NULL), 0);
    long moved = 0; // to another word and back: then all sleep
    CHECK_SOON((moved += futex(&op_word, FUTEX_REQUEUE_PRIVATE, 0, (void*)100, &parked, 0)) == waiters, 10);
    CHECK_EQ(futex(&parked, FUTEX_REQUEUE_PRIVATE, 0, (void*)100, &op_word, 0), waiters);
    for (int limit = -6; limit <= -4; ++limit)
        for (int i = 0; i < 6; ++i) {
            const bool holds[] = {op_word == limit, op_word != limit, op_word<limit, op_word <= limit, op_word> limit,
                                  op_word >= limit};
            long got = futex(&nobody, FUTEX_WAKE_OP_PRIVATE, 1, (void*)1, &op_word,
                             (unsigned)FUTEX_OP(FUTEX_OP_ADD, 0, comparisons[i], limit));
            if (got != holds[i])
                check_fail("%d compared with %d by rule %d woke %ld", op_word, limit, comparisons[i], got);
        }
    for (int i = 0; i < waiters; ++i)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_ERRNO(futex(&nobody, FUTEX_WAKE_OP_PRIVATE, 1, (void*)1, &op_word, FUTEX_OP(7, 0, 0, 0)), ENOSYS);
    CHECK_ERRNO(futex(&nobody, FUTEX_WAKE_OP_PRIVATE, 1, (void*)1, &op_word, FUTEX_OP(0, 0, 7, 0)), ENOSYS);
}

static void futex_between_processes(void) {
    unsigned* word = (void*)map(page, PROT_READ | PROT_WRITE, MAP_SHARED);
    pid_t child = fork();
    if (child == 0) {
        while (*(volatile unsigned*)word == 0)
            futex(word, FUTEX_WAIT, 0, NULL, NULL, 0);
        _exit(3);
    }
    check_sleep_ms(50);
    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
    futex(word, FUTEX_WAKE, 1, NULL, NULL, 0);
    CHECK_EXITED(check_reap(child), 3);
}

static const struct check_case cases[] = {
    {"mmap and munmap check what they are asked", mmap_rules, 0, false},
    {"mprotect covers a whole range or fails", protect_rules, 0, false},
    {"mremap, mincore, madvise and msync keep to the range", remap_and_residence, 0, false},
    {"brk moves the end of the heap both ways", break_moves, 0, false},
    {"futex checks what it is asked", futex_rules, 0, false},
    {"futex wakes by mask, moves waiters and does its operation", futex_wakes, 0, false},
    {"FUTEX_WAKE_OP computes, compares and wakes as each of its operations says", futex_wake_op, 0, false},
    {"a futex in shared memory works between processes", futex_between_processes, 0, false},
};
CHECK_MAIN(cases)

// SPDX-License-Identifier: BSD-2-Clause
// One memory for lender and borrower: what either does to the map, and what exec leaves of it. `@other` is an image.
#include "lend.h"

#include <pthread.h>
#include <setjmp.h>

enum { page = 4096 };
static char* volatile memory;

static char* map_pages(long count) {
    char* p = mmap(NULL, (size_t)count * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}
static long resident_pages(pid_t pid) {
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    CHECK(check_read_file(path, text, sizeof text) > 0);
    return atol(strchr(text, ' '));
}

static sigjmp_buf back;
static void jump_back(int number) {
    (void)number;
    siglongjmp(back, 1);
}
// Whether a store to `at` faults.
static bool faults(volatile char* at) {
    signal(SIGSEGV, jump_back);
    if (sigsetjmp(back, 1))
        return true;
    *at = 1;
    return false;
}

// --- changes of the map ---

static void maps_more(void) {
    memory = map_pages(64);
    memset(memory, 9, 64 * page);
}
static void mapped(void) {
    long before = resident_pages(getpid());
    lend_ok(maps_more);
    for (long i = 0; i < 64 * page; ++i)
        CHECK_EQ(memory[i], 9);
    long more = resident_pages(getpid()) - before;
    CHECK(more >= 64 && more < 80); // once, not for each of the two
    CHECK_EQ(munmap(memory, 64 * page), 0);
}

static volatile int sibling_stop, sibling_looks;
static void* keep_translation(void* at) { // on another hart: has the page's translation until it is told to forget it
    while (!sibling_stop)
        sibling_looks += *(volatile char*)at != 99;
    return NULL;
}
static void unmaps(void) {
    if (munmap(memory + page, page) != 0)
        _exit(1);
}
static void unmapped(void) {
    memory = map_pages(3);
    memset(memory, 1, 3 * page);
    pthread_t other;
    CHECK_EQ(pthread_create(&other, NULL, keep_translation, memory), 0);
    CHECK_SOON(sibling_looks > 0, 10);
    lend_ok(unmaps);
    CHECK(!faults(memory));
    CHECK(faults(memory + page));
    CHECK(!faults(memory + 2 * page));
    sibling_stop = 1;
    pthread_join(other, NULL);
}
static void* die_on_page(void* at) {
    while (!sibling_stop) {
        ++sibling_looks;
        (void)*(volatile char*)at;
    }
    return NULL;
}
static void unmapped_elsewhere(void) { // a thread on another hart that uses the page faults
    sibling_stop = sibling_looks = 0;
    memory = map_pages(3);
    memset(memory, 1, 3 * page);
    pthread_t other;
    CHECK_EQ(pthread_create(&other, NULL, die_on_page, memory + page), 0);
    CHECK_SOON(sibling_looks > 0, 10);
    borrow(unmaps);
    check_sleep_ms(5000);
    _exit(9);
}
static void shot_down(void) {
    pid_t pid = spawn(unmapped_elsewhere);
    CHECK_SIGNALED(check_reap(pid), SIGSEGV);
}

static char* volatile moved;
static char* volatile break_before;
static void changes_map(void) {
    if (mprotect(memory, page, PROT_READ) != 0)
        _exit(1);
    break_before = sbrk(0);
    if (sbrk(8 * page) != break_before)
        _exit(2);
    memset(break_before, 7, 8 * page);
    if (mlock(memory + page, page) != 0)
        _exit(3);
    if (madvise(memory + 2 * page, page, MADV_DONTNEED) != 0)
        _exit(4);
    moved = mremap(memory + 3 * page, page, 4 * page, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED)
        _exit(5);
}
static void changed_map(void) {
    memory = map_pages(4);
    memset(memory, 5, 4 * page);
    (void)sbrk(0);
    lend_ok(changes_map);
    CHECK(faults(memory));
    CHECK_EQ(memory[0], 5);
    CHECK(sbrk(0) == break_before + 8 * page);
    CHECK_EQ(break_before[8 * page - 1], 7);
    CHECK_EQ(memory[page], 5);
    CHECK_EQ(memory[2 * page], 0);
    CHECK_EQ(moved[0], 5);
    CHECK(!faults(moved + 4 * page - 1));
}

// --- pages ---

static void writes_shared(void) {
    for (int i = 0; i < 64; ++i)
        memory[i * page] = 2;
}
static void copied_once(void) {
    memory = map_pages(64);
    memset(memory, 1, 64 * page);
    int gate[2];
    char c;
    CHECK_EQ(pipe(gate), 0);
    pid_t copy = fork(); // from here on the pages are shared, to be copied at a write
    if (copy == 0) {
        close(gate[1]);
        (void)!read(gate[0], &c, 1);
        for (int i = 0; i < 64; ++i)
            if (memory[i * page] != 1)
                _exit(1);
        _exit(0);
    }
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    lend_ok(writes_shared);
    for (int i = 0; i < 64; ++i) {
        CHECK_EQ(memory[i * page], 2); // the borrower's copy is ours
        memory[i * page] = 3;
    }
    getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_minflt - before.ru_minflt < 32); // nothing was left to copy
    close(gate[1]);
    CHECK_EXITED(check_reap(copy), 0);
}

static __attribute__((noinline)) int recurse(int depth) {
    char frame[page];
    memset(frame, 0, sizeof frame);
    __asm__ volatile("" : : "r"(frame) : "memory"); // so that each call needs a frame of its own
    return depth == 0 ? 0 : recurse(depth - 1) + frame[depth % page];
}
static void deep(void) {
    if (recurse(1000) != 0)
        _exit(1);
}
static void too_deep(void) { recurse(1 << 20); }
static void grown_stack(void) {
    lend_ok(deep);
    CHECK_SIGNALED(lend(too_deep), SIGSEGV);
    CHECK_EQ(recurse(1000), 0);
}

// --- exec ---

static char pattern[16 * page];
static void exec_other(void) {
    execl(check_self, check_self, "@other", (char*)NULL);
    _exit(127);
}
// The image that is executed has the same addresses as this one and writes to all of its own.
static int other(void) {
    memset(pattern, 0x55, sizeof pattern);
    for (int i = 0; i < 2000; ++i)
        for (int k = 0; k < 16; ++k)
            if (pattern[k * page] != 0x55)
                return 1;
    return 0;
}
static void own_space(void) {
    static char before[16384], after[16384];
    pid_t pid[30];
    memset(pattern, 0x33, sizeof pattern);
    CHECK(check_read_file("/proc/self/maps", before, sizeof before) > 0);
    for (int i = 0; i < 30; ++i) {
        pid[i] = borrow(exec_other);
        CHECK(pid[i] > 0);
        for (size_t k = 0; k < sizeof pattern; ++k)
            CHECK_EQ(pattern[k], 0x33);
        pattern[0] = 0x33; // and our stores stay ours
    }
    for (int i = 0; i < 30; ++i)
        CHECK_EXITED(check_reap(pid[i]), 0);
    CHECK(check_read_file("/proc/self/maps", after, sizeof after) > 0);
    CHECK(strcmp(before, after) == 0);
}

// --- cost ---

static void do_nothing(void) {}
static void constant_cost(void) { // counted, not timed: what a fork makes of a large parent, a vfork does not
    static const char* const names[] = {"pages_used", "kernel_stacks", "threads", "vm_maps", "pmaps"};
    long sum[2] = {0, 0};
    for (int large = 0; large < 2; ++large) {
        if (large) {
            char* p = map_pages(8192);
            memset(p, 1, 8192 * page);
        }
        struct rusage before, after;
        getrusage(RUSAGE_SELF, &before);
        for (int i = 0; i < 50; ++i)
            lend_ok(do_nothing);
        getrusage(RUSAGE_SELF, &after);
        sum[large] = after.ru_minflt - before.ru_minflt;
    }
    CHECK(sum[1] <= sum[0] + 4); // no page was write-protected, so none faults afterwards
    long used = check_value_in("/proc/lentil/objects", names[0]),
         stacks = check_value_in("/proc/lentil/objects", names[1]);
    pid_t pid = vfork();
    if (pid == 0) {
        long now = check_value_in("/proc/lentil/objects", names[0]);
        long more = check_value_in("/proc/lentil/objects", names[1]);
        _exit(now - used < 16 && more == stacks ? 0 : 1); // a copy of the page tables alone would take seventeen
    }
    CHECK_EXITED(check_reap(pid), 0);
}

static const struct check_case cases[] = {
    {"EC-90 what a borrower maps is the lender's afterwards, and counts once", mapped, 0, false},
    {"EC-91 what a borrower unmaps is gone for the lender", unmapped, 0, false},
    {"EC-91 EC-100 a translation that another hart holds is gone too", shot_down, 0, false},
    {"EC-92 mprotect, brk, mlock, madvise and mremap in a borrower act on the lender's map", changed_map, 0, false},
    {"EC-93 a page shared with an earlier fork is copied once for lender and borrower", copied_once, 0, false},
    {"EC-95 a borrower can grow the stack up to its limit, and dies beyond", grown_stack, 60, false},
    {"FB-10 EC-100 an executed borrower has a new address space, the lender's is untouched", own_space, 60, false},
    {"EC-99 a vfork of a large parent copies no more than one of a small parent", constant_cost, 60, true},
};

int main(int argc, char** argv) {
    if (argc > 1 && strcmp(argv[1], "@other") == 0)
        return other();
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

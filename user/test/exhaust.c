// SPDX-License-Identifier: BSD-2-Clause
// Memory runs out for real: whoever takes it gets an error or is killed, the kernel and everybody else go on.
// Meant for a machine with little memory.
#include "lend.h"
#include "objects.h"

static void take_everything(void) {
    for (;;) {
        char* p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            _exit(errno == ENOMEM ? 44 : 45);
        for (int i = 0; i < 1 << 20; i += 4096)
            p[i] = 1;
    }
}
static void came_to_its_end(int status) {
    if (!(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) && !(WIFEXITED(status) && WEXITSTATUS(status) == 44))
        check_fail("it ended with status 0x%x", status);
}
static void exit_7(void) { _exit(7); }
static void still_works(void) {
    for (int i = 0; i < 20; ++i) {
        CHECK_EXITED(check_reap(spawn(exit_7)), 7);
        CHECK_EXITED(lend(exit_7), 7);
    }
    char* p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 1, 4 << 20);
    CHECK_EQ(munmap(p, 4 << 20), 0);
}

static void one_taker(void) {
    still_works();
    struct object_counts before = settled_objects();
    for (int i = 0; i < 3; ++i) {
        came_to_its_end(check_reap(spawn(take_everything)));
        still_works();
    }
    objects_are_back(&before);
}

static void several_takers(void) {
    still_works();
    struct object_counts before = settled_objects();
    pid_t pid[6];
    for (int i = 0; i < 6; ++i)
        pid[i] = spawn(take_everything);
    for (int i = 0; i < 6; ++i)
        came_to_its_end(check_reap(pid[i]));
    still_works();
    objects_are_back(&before);
}

static void taker_with_copies(void) { // the memory goes in breaking shared pages
    size_t size = 8 << 20;
    char* p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    memset(p, 3, size);
    still_works();
    struct object_counts before = settled_objects();
    pid_t pid[60];
    int made = 0, p2[2];
    CHECK_EQ(pipe(p2), 0);
    for (; made < 60; ++made) {
        pid[made] = fork();
        if (pid[made] < 0)
            break; // ENOMEM is a right answer
        if (pid[made] == 0) {
            char c;
            close(p2[1]);
            memset(p, made, size);
            for (size_t i = 0; i < size; i += 4096)
                if (p[i] != (char)made)
                    _exit(46);
            _exit(read(p2[0], &c, 1) == 0 ? 44 : 45);
        }
    }
    CHECK(made > 2);
    check_sleep_ms(2000);
    close(p2[1]);
    for (int i = 0; i < made; ++i)
        came_to_its_end(check_reap(pid[i]));
    close(p2[0]);
    for (size_t i = 0; i < size; i += 4096)
        CHECK_EQ(p[i], 3);
    still_works();
    objects_are_back(&before);
}

static void fill_files(void) {
    still_works();
    struct object_counts before = settled_objects();
    int fd = open("/tmp/exhaust.fill", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    pid_t pid = fork();
    if (pid == 0) {
        static char block[65536];
        memset(block, 7, sizeof block);
        while (write(fd, block, sizeof block) > 0) {
        }
        _exit(errno == ENOSPC || errno == ENOMEM ? 44 : 45);
    }
    came_to_its_end(check_reap(pid));
    CHECK_EQ(ftruncate(fd, 0), 0);
    close(fd);
    unlink("/tmp/exhaust.fill");
    still_works();
    objects_are_back(&before);
}

static void borrower_takes(void) { // in a borrower the memory is the lender's too: either may be chosen, nothing hangs
    pid_t pid = fork();
    if (pid == 0) {
        pid_t child = vfork();
        if (child == 0)
            take_everything();
        int status = check_reap(child);
        _exit(WIFSIGNALED(status) ? 44 : WEXITSTATUS(status));
    }
    came_to_its_end(check_reap(pid));
    still_works();
}

static char* volatile big;
enum { big_size = 1 << 30 };
static void touch_until_the_end(void) {
    big = mmap(NULL, big_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (big == MAP_FAILED)
        _exit(44);
    for (long i = 0; i < big_size; i += 4096)
        big[i] = 1;
    _exit(45);
}
static void lender_survives(void) {
    struct object_counts before = settled_objects();
    for (int i = 0; i < 3; ++i) {
        pid_t pid = borrow(touch_until_the_end);
        if (big != MAP_FAILED)
            munmap(big, big_size); // before anything else: it is the lender's memory, and all there is
        came_to_its_end(check_reap(pid));
    }
    objects_are_back(&before);
    still_works();
}

// A parent whose list of mappings alone needs more than there is left: it can lend, and it can fork, since the child shares
// pages, page tables and list until one side changes its own. That is refused then.
static void nothing(void) {}
static char* comb_start;
static void changes_a_mapping(void) { CHECK_ERRNO(mprotect(comb_start, 4096, PROT_READ | PROT_WRITE), ENOMEM); }
static void no_room_for_a_copy(void) {
    enum { mappings = 60000, spare_pages = 1000 };
    const size_t comb_size = (size_t)mappings * 4096;
    char* comb = mmap(NULL, comb_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(comb != MAP_FAILED);
    for (long i = 0; i < mappings; i += 2)
        CHECK_EQ(mprotect(comb + i * 4096, 4096, PROT_READ), 0);
    long left = check_value_in("/proc/lentil/objects", "pages_free") - spare_pages;
    CHECK(left > 0);
    char* rest = mmap(NULL, (size_t)left * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(rest != MAP_FAILED);
    for (long i = 0; i < left; ++i)
        rest[i * 4096] = 1;
    long procs = check_counter("procs"), forks = check_counter("forks");
    comb_start = comb;
    for (int i = 0; i < 5; ++i) {
        lend_ok(nothing);
        CHECK_EXITED(check_reap(spawn(changes_a_mapping)), 0);
    }
    CHECK_EQ(check_counter("procs"), procs);
    CHECK_EQ(check_counter("forks"), forks + 10);
    CHECK_EQ(mprotect(comb, 4096, PROT_READ | PROT_WRITE), 0); // nobody shares the list any more
    munmap(rest, (size_t)left * 4096);
    munmap(comb, comb_size);
    CHECK_EXITED(check_reap(spawn(nothing)), 0);
}

// A child that touches this much of memory of its own and waits; killed by whoever started it, or by the kernel.
struct holder {
    pid_t pid;
    long pages;
};
static void start_holder(struct holder* holder, long pages, const char* adjustment) {
    int ready[2];
    char c;
    CHECK_EQ(pipe(ready), 0);
    holder->pages = pages;
    holder->pid = fork();
    CHECK(holder->pid >= 0);
    if (holder->pid == 0) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY);
        if (write(fd, adjustment, strlen(adjustment)) < 0)
            _exit(50);
        char* p = mmap(NULL, (size_t)pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (long i = 0; i < pages; ++i)
            p[i * 4096] = 1;
        if (write(ready[1], "r", 1) != 1)
            _exit(51);
        for (;;)
            pause();
    }
    CHECK_EQ(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
}
static bool is_alive(const struct holder* holder) { return waitpid(holder->pid, NULL, WNOHANG) == 0; }
static void end_holder(const struct holder* holder) {
    CHECK_EQ(kill(holder->pid, SIGKILL), 0);
    CHECK_SIGNALED(check_reap(holder->pid), SIGKILL);
}
static long oom_score_of(const struct holder* holder) {
    char name[64], text[32] = "";
    snprintf(name, sizeof name, "/proc/%d/oom_score", holder->pid);
    CHECK(check_read_file(name, text, sizeof text) > 0);
    return atol(text);
}
// Touches pages until one of both is gone; returns whether that was `expected`.
static void one_goes(const struct holder* expected, const struct holder* other) {
    long pages = check_value_in("/proc/lentil/objects", "pages_free") + 64; // a little more than there is
    char* p = mmap(NULL, (size_t)pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    for (long i = 0; i < pages; ++i)
        p[i * 4096] = 1;
    munmap(p, (size_t)pages * 4096);
    CHECK_SIGNALED(check_reap(expected->pid), SIGKILL);
    CHECK(is_alive(other));
}

static void largest_goes(void) {
    long free_pages = check_value_in("/proc/lentil/objects", "pages_free");
    struct holder small, large;
    start_holder(&large, free_pages / 2, "0");
    start_holder(&small, free_pages / 4, "0");
    CHECK(oom_score_of(&large) > oom_score_of(&small));
    CHECK(oom_score_of(&small) > 0);
    one_goes(&large, &small);
    end_holder(&small);
}
static void adjustment_counts(void) {
    long free_pages = check_value_in("/proc/lentil/objects", "pages_free");
    struct holder small, large, keeper;
    start_holder(&keeper, free_pages / 4, "-1000");
    start_holder(&large, free_pages / 2, "0");
    CHECK_EQ(oom_score_of(&keeper), 0);
    one_goes(&large, &keeper);
    start_holder(&large, free_pages / 2, "0");
    start_holder(&small, free_pages / 16, "500"); // half of memory more than it has
    CHECK(oom_score_of(&small) > oom_score_of(&large));
    one_goes(&small, &large);
    end_holder(&large);
    end_holder(&keeper);
}
static void borrowed_holder(void) {
    for (long i = 0; i < big_size; i += 4096)
        big[i] = 1;
    _exit(45);
}
// The lender holds nearly all there is, its borrower adds the rest.
static void borrower_goes_of_two(void) {
    struct holder bystander;
    start_holder(&bystander, check_value_in("/proc/lentil/objects", "pages_free") / 8, "0");
    big = mmap(NULL, big_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(big != MAP_FAILED);
    long mine = check_value_in("/proc/lentil/objects", "pages_free") * 3 / 4;
    for (long i = 0; i < mine; ++i)
        big[i * 4096] = 1;
    pid_t pid = borrow(borrowed_holder);
    munmap(big, big_size);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
    CHECK(is_alive(&bystander));
    end_holder(&bystander);
}

static const struct check_case cases[] = {
    {"a child that takes all memory gets ENOMEM or is killed, and all of it comes back", one_taker, 300, false},
    {"six children that take all memory at once come to an end", several_takers, 300, false},
    {"memory that runs out while shared pages are copied harms nobody else", taker_with_copies, 300, false},
    {"a file that takes all memory gives ENOSPC, and its pages come back", fill_files, 300, false},
    {"a borrower that takes all memory does not hang its lender", borrower_takes, 300, false},
    {"LX-23 EC-96 a borrower that runs out of memory ends, its lender never in its stead", lender_survives, 300, true},
    {"BS-10 EC-98 where there is no room for a copy, vfork works, and fork too until a side changes its mappings",
     no_room_for_a_copy, 300, true},
    {"memory that is taken by several ends the one that has most, not whoever asks next", largest_goes, 300, true},
    {"oom_score_adj moves the choice, and with -1000 a process is never chosen", adjustment_counts, 300, true},
    {"LX-23 EC-96 of a lender and a borrower it is the borrower who goes, whoever touched the memory",
     borrower_goes_of_two, 300, true},
};
CHECK_MAIN(cases)

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

// A parent whose list of mappings alone needs more than there is left: it cannot be copied, but it can lend. (Its pages
// and page tables would not do: the child shares those.)
static void nothing(void) {}
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
    for (int i = 0; i < 5; ++i) {
        CHECK_ERRNO(fork(), ENOMEM);
        lend_ok(nothing);
    }
    CHECK_EQ(check_counter("procs"), procs);
    CHECK_EQ(check_counter("forks"), forks + 5);
    munmap(rest, (size_t)left * 4096);
    munmap(comb, comb_size);
    CHECK_EXITED(check_reap(spawn(nothing)), 0);
}

static const struct check_case cases[] = {
    {"a child that takes all memory gets ENOMEM or is killed, and all of it comes back", one_taker, 300, false},
    {"six children that take all memory at once come to an end", several_takers, 300, false},
    {"memory that runs out while shared pages are copied harms nobody else", taker_with_copies, 300, false},
    {"a file that takes all memory gives ENOSPC, and its pages come back", fill_files, 300, false},
    {"a borrower that takes all memory does not hang its lender", borrower_takes, 300, false},
    {"LX-23 EC-96 a borrower that runs out of memory ends, its lender never in its stead", lender_survives, 300, true},
    {"BS-10 EC-98 where the copy for a fork has no room, fork gives ENOMEM and vfork works", no_room_for_a_copy, 300,
     true},
};
CHECK_MAIN(cases)

// SPDX-License-Identifier: BSD-2-Clause
// A file much larger than memory, in the current directory: written, read, mapped and changed, while processes come and go. A
// boot test runs it from a disk in a machine with little memory; elsewhere it is only slow.
#include "check.h"

#include <sys/stat.h>

enum { page = 4096, chunk = 16 * page };
static const char path[] = "pressure-file";

static long file_pages(void) {
    const char* wanted = getenv("PRESSURE_MIB");
    return (wanted ? atol(wanted) : 8) * 256;
}

static uint64_t word_of(long index, long word, uint64_t round) {
    return ((uint64_t)index * 512 + (uint64_t)word) * 0x9e3779b97f4a7c15u + round;
}

static void make(char* to, long index, uint64_t round) {
    for (long i = 0; i < page / 8; i += 64) {
        uint64_t value = word_of(index, i, round);
        memcpy(to + i * 8, &value, 8);
    }
}

static void check_page(const char* at, long index, uint64_t round) {
    for (long i = 0; i < page / 8; i += 64) {
        uint64_t value;
        memcpy(&value, at + i * 8, 8);
        if (value != word_of(index, i, round))
            check_fail("word %ld of page %ld is wrong in round %d", i, index, (int)round);
    }
}

// Others that live meanwhile: each has some memory, forks, and sees that what it stored stays.
static pid_t neighbour(void) {
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    enum { own = 1 << 20 };
    char* memory = mmap(NULL, own, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        _exit(1);
    for (int round = 0;; ++round) {
        memset(memory, round, own);
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < own; i += page)
                if (memory[i] != (char)round)
                    _exit(2);
            _exit(0);
        }
        int status = 1;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            _exit(3);
        check_sleep_ms(50);
    }
}

static void larger_than_memory(void) {
    const long pages = file_pages();
    static char block[chunk];
    unlink(path);
    pid_t other = neighbour();
    CHECK(other > 0);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    CHECK(fd >= 0);
    for (long i = 0; i < pages; i += chunk / page) {
        for (long k = 0; k < chunk / page; ++k)
            make(block + k * page, i + k, 0);
        CHECK_EQ(write(fd, block, chunk), chunk);
    }
    for (long i = 0; i < pages; i += chunk / page) {
        CHECK_EQ(pread(fd, block, chunk, (off_t)i * page), chunk);
        for (long k = 0; k < chunk / page; ++k)
            check_page(block + k * page, i + k, 0);
    }
    char* map = mmap(NULL, (size_t)pages * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    for (long i = 0; i < pages; i += 3) // every third page, through the mapping
        make(map + i * page, i, 1);
    for (long i = 0; i < pages; ++i)
        check_page(map + i * page, i, i % 3 == 0);
    CHECK_EQ(munmap(map, (size_t)pages * page), 0);
    CHECK_EQ(fsync(fd), 0);
    for (long i = 0; i < pages; i += 7) {
        CHECK_EQ(pread(fd, block, page, (off_t)i * page), page);
        check_page(block, i, i % 3 == 0);
    }
    int status;
    CHECK_EQ(waitpid(other, &status, WNOHANG), 0); // it goes on
    CHECK_EQ(kill(other, SIGKILL), 0);
    CHECK_SIGNALED(check_reap(other), SIGKILL);
    CHECK_EQ(unlink(path), 0);
}

static const struct check_case cases[] = {
    {"a file much larger than memory is written, read, mapped and changed while others go on", larger_than_memory, 300,
     false},
};

CHECK_MAIN(cases)

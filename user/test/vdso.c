// SPDX-License-Identifier: BSD-2-Clause
// The vDSO as a C library sees it: found through AT_SYSINFO_EHDR, looked up by name, and right about the time.
#include "lend.h"

#include <elf.h>
#include <sys/auxv.h>

typedef int clock_function(int, struct timespec*);

// What the dynamic linker does with it.
static void* find(const char* name) {
    const char* base = (const char*)getauxval(AT_SYSINFO_EHDR);
    CHECK(base != NULL);
    const Elf64_Ehdr* header = (const Elf64_Ehdr*)(const void*)base;
    CHECK(memcmp(header->e_ident, ELFMAG, SELFMAG) == 0);
    CHECK_EQ(header->e_type, ET_DYN);
    CHECK_EQ(header->e_machine, EM_RISCV);
    const Elf64_Phdr* phdrs = (const Elf64_Phdr*)(const void*)(base + header->e_phoff);
    const Elf64_Dyn* dynamic = NULL;
    for (int i = 0; i < header->e_phnum; i++)
        if (phdrs[i].p_type == PT_DYNAMIC)
            dynamic = (const Elf64_Dyn*)(const void*)(base + phdrs[i].p_vaddr);
    CHECK(dynamic != NULL);
    const char* strings = NULL;
    const Elf64_Sym* symbols = NULL;
    const uint32_t* hash = NULL;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        const char* at = base + dynamic->d_un.d_ptr;
        if (dynamic->d_tag == DT_STRTAB)
            strings = at;
        else if (dynamic->d_tag == DT_SYMTAB)
            symbols = (const Elf64_Sym*)(const void*)at;
        else if (dynamic->d_tag == DT_HASH)
            hash = (const uint32_t*)(const void*)at;
    }
    CHECK(strings && symbols && hash);
    for (uint32_t i = 0; i < hash[1]; i++)
        if (symbols[i].st_shndx != SHN_UNDEF && strcmp(strings + symbols[i].st_name, name) == 0)
            return (void*)(uintptr_t)(base + symbols[i].st_value);
    check_fail("no %s", name);
}

static void has_the_names(void) {
    const char* names[] = {"__vdso_rt_sigreturn", "__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_clock_getres",
                           "__vdso_getcpu",       "__vdso_flush_icache",  "__vdso_riscv_hwprobe"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        CHECK(find(names[i]) != NULL);
}

static int64_t ns_of(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }
static int64_t by_call(int clock) {
    struct timespec t;
    CHECK_EQ(syscall(SYS_clock_gettime, clock, &t), 0);
    return ns_of(t);
}
static int64_t by_vdso(int clock) {
    struct timespec t;
    CHECK_EQ(((clock_function*)(uintptr_t)find("__vdso_clock_gettime"))(clock, &t), 0);
    CHECK(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
    return ns_of(t);
}

static void is_between_two_calls(void) {
    const int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME,
                          CLOCK_PROCESS_CPUTIME_ID};
    for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++)
        for (int n = 0; n < 200; n++) {
            int64_t before = by_call(clocks[i]), here = by_vdso(clocks[i]), after = by_call(clocks[i]);
            if (here < before || here > after)
                check_fail("clock %d: %ld, then %ld, then %ld", clocks[i], (long)before, (long)here, (long)after);
        }
    struct timeval t;
    int64_t before = by_call(CLOCK_REALTIME) / 1000;
    CHECK_EQ(((int (*)(struct timeval*, void*))(uintptr_t)find("__vdso_gettimeofday"))(&t, NULL), 0);
    int64_t here = (int64_t)t.tv_sec * 1000000 + t.tv_usec;
    CHECK(here >= before && here <= by_call(CLOCK_REALTIME) / 1000);
}

static void follows_a_clock_that_is_set(void) {
    int ready[2], done[2];
    CHECK_EQ(pipe(ready), 0);
    CHECK_EQ(pipe(done), 0);
    pid_t other = fork();
    if (other == 0) {
        int64_t far = by_call(CLOCK_REALTIME) + 5000 * (int64_t)1000000000;
        char c = 0;
        CHECK_EQ(write(ready[1], &c, 1), 1);
        CHECK_EQ(read(done[0], &c, 1), 1);
        CHECK(by_vdso(CLOCK_REALTIME) > far);
        CHECK(by_vdso(CLOCK_MONOTONIC) < far);
        _exit(0);
    }
    char c = 0;
    CHECK_EQ(read(ready[0], &c, 1), 1);
    int64_t was = by_call(CLOCK_REALTIME), monotonic = by_call(CLOCK_MONOTONIC);
    struct timespec later = {was / 1000000000 + 10000, 0};
    CHECK_EQ(syscall(SYS_clock_settime, CLOCK_REALTIME, &later), 0);
    int64_t seen = by_vdso(CLOCK_REALTIME);
    CHECK_EQ(write(done[1], &c, 1), 1);
    int status;
    CHECK_EQ(waitpid(other, &status, 0), other);
    int64_t passed = by_call(CLOCK_MONOTONIC) - monotonic;
    struct timespec back = {(was + passed) / 1000000000, (was + passed) % 1000000000};
    CHECK_EQ(syscall(SYS_clock_settime, CLOCK_REALTIME, &back), 0);
    CHECK(seen >= ns_of(later));
    CHECK_EQ(status, 0);
}

static void an_unknown_clock_is_the_kernels_business(void) {
    struct timespec t;
    CHECK_EQ(((clock_function*)(uintptr_t)find("__vdso_clock_gettime"))(12345, &t), -EINVAL);
    CHECK_EQ(((clock_function*)(uintptr_t)find("__vdso_clock_getres"))(CLOCK_MONOTONIC, &t), 0);
    CHECK_EQ(ns_of(t), 1);
    unsigned cpu = 1000;
    CHECK_EQ(((int (*)(unsigned*, unsigned*, void*))(uintptr_t)find("__vdso_getcpu"))(&cpu, NULL, NULL), 0);
    CHECK(cpu < 64);
}

static void nobody_writes_to_it(void) {
    volatile char* base = (volatile char*)getauxval(AT_SYSINFO_EHDR);
    for (int page = 0; page < 2; page++) {
        pid_t child = fork();
        if (child == 0) {
            base[page * 4096 + 24] = 1; // the wall clock's offset, on the second page
            _exit(0);
        }
        int status;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    }
    CHECK_EQ(mprotect((void*)(uintptr_t)(base + 4096), 4096, PROT_READ | PROT_WRITE), 0);
    int64_t before = by_call(CLOCK_REALTIME);
    pid_t child = fork();
    if (child == 0) {
        memset((void*)(uintptr_t)(base + 4096), 0, 4096); // its own copy, as of any private page
        _exit(0);
    }
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK(by_vdso(CLOCK_REALTIME) >= before);
}

struct pair {
    int64_t key;
    uint64_t value;
};
static void tells_what_harts_can_do(void) {
    typedef int probe(struct pair*, size_t, size_t, void*, unsigned);
    probe* const here = (probe*)(uintptr_t)find("__vdso_riscv_hwprobe");
    uint64_t all = ~UINT64_C(0), none = 0;
    struct pair asked[9], answered[9];
    for (int i = 0; i < 9; i++)
        asked[i] = answered[i] = (struct pair){i < 7 ? i - 1 : i * 100000, 0x5555};
    CHECK_EQ(syscall(258, asked, 9, 0, NULL, 0), 0);
    CHECK_EQ(here(answered, 9, 0, NULL, 0), 0);
    CHECK_EQ(memcmp(asked, answered, sizeof asked), 0);
    CHECK_EQ(answered[0].key, -1);
    CHECK_EQ(answered[4].value & 1, 1);
    CHECK_EQ(here(answered, 1, sizeof all, &all, 0), 0);
    CHECK_EQ(here(answered, 1, sizeof none, &none, 0), -EINVAL);
    CHECK_EQ(here(answered, 1, 0, NULL, ~0U), -EINVAL);
}

static const struct check_case cases[] = {
    {"AT_SYSINFO_EHDR leads to a shared object with the names that Linux's has", has_the_names, 0, false},
    {"a clock read through it lies between two readings by system call", is_between_two_calls, 0, false},
    {"after clock_settime it says the new time, in every process", follows_a_clock_that_is_set, 0, true},
    {"what it does not know it asks the kernel", an_unknown_clock_is_the_kernels_business, 0, false},
    {"it says of the harts what riscv_hwprobe says", tells_what_harts_can_do, 0, false},
    {"no process can change what others read there", nobody_writes_to_it, 0, true},
};
CHECK_MAIN(cases)

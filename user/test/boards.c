// SPDX-License-Identifier: BSD-2-Clause
// What programs see of the harts: riscv_hwprobe, AT_HWCAP and /proc/cpuinfo say the same, for all harts and for some. And what
// harts do to programs: accessed and dirty bits that fault, addresses that come cut off.
#include "check.h"

#include <sched.h>
#include <sys/auxv.h>
#include <ucontext.h>

enum { vendor = 0, architecture = 1, implementation = 2, base_behaviour = 3, extensions = 4 };
enum { most_harts = 8 };

struct pair {
    int64_t key;
    uint64_t value;
};

static long probe(struct pair* pairs, size_t count, size_t set_size, const void* set, unsigned flags) {
    return syscall(258 /* riscv_hwprobe */, pairs, count, set_size, set, flags);
}
static uint64_t value_of(int64_t key, uint64_t harts) {
    struct pair pair = {key, 0x5555};
    CHECK_EQ(probe(&pair, 1, harts ? sizeof harts : 0, harts ? &harts : NULL, 0), 0);
    CHECK_EQ(pair.key, key);
    return pair.value;
}

// The ISA strings of /proc/cpuinfo, by processor.
static char isa[most_harts][512];
static int read_strings(void) {
    char text[16384];
    CHECK(check_read_file("/proc/cpuinfo", text, sizeof text) > 0);
    int harts = 0, number = -1;
    for (char* line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (sscanf(line, "processor : %d", &number) == 1)
            CHECK_EQ(number, harts);
        else if (sscanf(line, "isa : %511s", isa[harts]) == 1)
            CHECK(++harts < most_harts);
    }
    CHECK(harts > 0);
    CHECK_EQ(harts, sysconf(_SC_NPROCESSORS_CONF));
    return harts;
}
static bool names(const char* string, const char* extension) {
    if (!extension[1]) { // a letter stands before the first underscore
        const char* end = strchr(string, '_');
        const char* at = strchr(string + 4, extension[0]);
        return at && (!end || at < end);
    }
    const size_t length = strlen(extension);
    for (const char* at = strchr(string, '_'); at; at = strchr(at + 1, '_'))
        if (strncmp(at + 1, extension, length) == 0 && (at[1 + length] == '_' || !at[1 + length]))
            return true;
    return false;
}
static bool all_name(int harts, const char* extension) {
    for (int i = 0; i < harts; i++)
        if (!names(isa[i], extension))
            return false;
    return true;
}

static const struct {
    const char* name;
    unsigned bit;
} known[] = {{"zba", 3}, {"zbb", 4}, {"zbs", 5}, {"zbc", 7}, {"zfh", 27}, {"zfhmin", 28}, {"zihintpause", 36}};

static void what_all_share(void) {
    const int harts = read_strings();
    const unsigned long hwcap = getauxval(AT_HWCAP);
    const uint64_t shared = value_of(extensions, 0);
    for (const char* letter = "imafdc"; *letter; letter++) {
        const char name[2] = {*letter, 0};
        if ((hwcap >> (*letter - 'a') & 1) != all_name(harts, name))
            check_fail("AT_HWCAP is %#lx: '%s' is not as the %d harts have it", hwcap, name, harts);
    }
    CHECK_EQ(hwcap >> ('v' - 'a') & 1, 0); // the kernel keeps no vector registers
    CHECK_EQ(value_of(base_behaviour, 0) & 1, 1);
    CHECK_EQ(shared & 1, all_name(harts, "f") && all_name(harts, "d"));
    CHECK_EQ(shared >> 1 & 1, all_name(harts, "c"));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if ((shared >> known[i].bit & 1) != all_name(harts, known[i].name))
            check_fail("hwprobe says %#lx: %s is not as the %d harts have it", (long)shared, known[i].name, harts);
}

static void what_each_has(void) {
    const int harts = read_strings();
    uint64_t shared = ~UINT64_C(0);
    for (int hart = 0; hart < harts; hart++) {
        const uint64_t own = value_of(extensions, UINT64_C(1) << hart);
        shared &= own;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            if ((own >> known[i].bit & 1) != names(isa[hart], known[i].name))
                check_fail("hwprobe says %#lx of hart %d: %s is not as in %s", (long)own, hart, known[i].name,
                           isa[hart]);
    }
    CHECK_EQ(value_of(extensions, 0), shared);
    CHECK_EQ(value_of(extensions, (UINT64_C(1) << harts) - 1), shared);
    for (int64_t key = vendor; key <= implementation; key++) {
        uint64_t same = value_of(key, 1);
        for (int hart = 1; hart < harts; hart++)
            if (value_of(key, UINT64_C(1) << hart) != same)
                same = ~UINT64_C(0);
        CHECK_EQ(value_of(key, 0), same);
    }
}

static void strange_questions(void) {
    const int harts = read_strings();
    struct pair pairs[3] = {{base_behaviour, 7}, {123456, 7}, {-5, 7}};
    CHECK_EQ(probe(pairs, 3, 0, NULL, 0), 0);
    CHECK_EQ(pairs[0].value & 1, 1);
    CHECK_EQ(pairs[1].key, -1);
    CHECK_EQ(pairs[1].value, 0);
    CHECK_EQ(pairs[2].key, -1);
    const uint64_t none = 0, absent = ~UINT64_C(0) << harts, mixed = absent | 1;
    CHECK_ERRNO(probe(pairs, 1, sizeof none, &none, 0), EINVAL);
    CHECK_ERRNO(probe(pairs, 1, sizeof absent, &absent, 0), EINVAL);
    CHECK_ERRNO(probe(pairs, 1, 0, &mixed, 0), EINVAL);
    CHECK_ERRNO(probe(pairs, 1, 0, NULL, ~0U), EINVAL);
    CHECK_ERRNO(probe((struct pair*)8, 1, 0, NULL, 0), EFAULT);
    CHECK_ERRNO(probe(pairs, 1, sizeof none, (void*)8, 0), EFAULT);
    pairs[0].key = base_behaviour;
    CHECK_EQ(probe(pairs, 1, sizeof mixed, &mixed, 0), 0); // those that exist
}

// Floating point on every hart that there is.
static void every_hart_computes(void) {
    const int harts = read_strings();
    for (int hart = 0; hart < harts; hart++) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(hart, &set);
        CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
        CHECK_EQ(sched_getcpu(), hart);
        volatile double third = 1.0 / (3.0 + hart);
        CHECK(third * (3.0 + hart) > 0.99);
    }
}

static long faults(void) {
    struct rusage usage;
    CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}
static void first_uses(void) {
    const bool rule = check_counter("ad_faults") == 1;
    enum { pages = 64, page = 4096 };
    volatile char* area =
        mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    CHECK(area != MAP_FAILED);
    const long start = faults();
    for (int i = 0; i < pages; i++)
        (void)area[i * page];
    const long reads = faults() - start;
    for (int i = 0; i < pages; i++)
        area[i * page] = 1;
    const long writes = faults() - start - reads;
    for (int i = 0; i < pages; i++)
        area[i * page] = 2;
    const long rest = faults() - start - reads - writes;
    if (rule ? writes < pages || rest > 8 : reads + writes + rest > 8)
        check_fail("%d pages: %ld faults of first reads, %ld of first writes, %ld of later ones", pages, reads, writes,
                   rest);
}

// Some of SiFive's harts leave out the upper bits of an address that could not be fetched: the kernel puts them back. What
// they look like is known by bit 38, whatever stood above it.
extern char after_jump[];
static volatile uintptr_t where;
static void note(int signo, siginfo_t* info, void* context) {
    (void)signo;
    where = (uintptr_t)info->si_addr;
    ((ucontext_t*)context)->uc_mcontext.__gregs[REG_PC] = (unsigned long)after_jump;
}
static __attribute__((noinline, noclone)) void far_jump(uintptr_t to) {
    __asm__ volatile("jalr ra, 0(%0)\n.globl after_jump\nafter_jump: nop" ::"r"(to) : "ra", "memory");
}
static void far_jumps(void) {
    const struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_NODEFER};
    CHECK_EQ(sigaction(SIGSEGV, &action, NULL), 0);
    const bool cut_off = value_of(vendor, 0) == 0x489 && value_of(architecture, 0) == UINT64_C(0x8000000000000007) &&
                         value_of(implementation, 0) == 0x20181004;
    far_jump(0x4000000000);
    CHECK_EQ(where, cut_off ? 0xffffffc000000000 : 0x4000000000);
    far_jump(0x3ffffff000);
    CHECK_EQ(where, 0x3ffffff000);
    far_jump(0xffffffff80000000);
    CHECK_EQ(where, 0xffffffff80000000);
}

static const struct check_case cases[] = {
    {"AT_HWCAP and hwprobe name what all harts of /proc/cpuinfo share", what_all_share, 0, true},
    {"hwprobe answers for each hart what its ISA string says, and for some what they share", what_each_has, 0, true},
    {"hwprobe refuses sets without a hart, and does not know unknown keys", strange_questions, 0, true},
    {"every hart computes with floating point", every_hart_computes, 0, false},
    {"a populated page faults at its first write under ad_faults, else never", first_uses, 0, true},
    {"a jump to nowhere tells the whole address, on harts with erratum CIP-453 too", far_jumps, 0, true},
};

CHECK_MAIN(cases)

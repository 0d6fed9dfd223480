// SPDX-License-Identifier: MIT
// How much more two harts do than one: the same operation on one hart, then on several at once, each in a process of its own
// that stays on its hart, for a while each.
//
// usage: scaling [MILLISECONDS]
//
// Prints "ROW HARTS NUMBER op/s", and on a kernel that counts what harts do to each other (/proc/lentil/counters) a line "ROW HARTS
// COUNTER NUMBER per-op" for each that counted. Takes /bin/cost's place in the benchmark's machine (scripts/bench --harts).
// The figures are times: they mean something beside those of another kernel in the same minute, with a host core for each
// hart, and no otherwise.
#include "bench.h"

#include <ctype.h>

volatile long sink;

static struct shared {
    _Atomic int ready;
    _Atomic int go, stop;
    struct {
        _Alignas(128) _Atomic uint64_t done;
    } hart[8];
} * shared;

struct row {
    const char* name;
    long (*chunk)(int hart); // some operations, about a millisecond of them: how many
};

static void impossible(const char* what) {
    printf("# %s: %s\n", what, strerror(errno));
    fflush(stdout);
    _exit(1);
}

static void reap(pid_t pid) {
    if (pid < 0 || waitpid(pid, NULL, 0) != pid)
        impossible("a child");
}

static long getppids(int hart) {
    (void)hart;
    for (int i = 0; i < 2000; ++i)
        sink = syscall(SYS_getppid);
    return 2000;
}

static long page_faults(int hart) {
    static char* memory;
    enum { pages = 256 };
    (void)hart;
    if (!memory) {
        memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            impossible("memory");
        madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
    }
    for (size_t i = 0; i < pages * PAGE; i += PAGE)
        ((volatile char*)memory)[i] = 1;
    madvise(memory, pages * PAGE, MADV_DONTNEED);
    return pages;
}

static long forks(int hart) {
    (void)hart;
    const pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    reap(pid);
    return 1;
}

static long vforks(int hart) {
    (void)hart;
    for (int i = 0; i < 10; ++i) {
        const pid_t pid = vfork();
        if (pid == 0)
            _exit(0);
        reap(pid);
    }
    return 10;
}

static long spawns(int hart) {
    (void)hart;
    pid_t pid;
    errno = posix_spawn(&pid, "/bin/ytrue-raw", NULL, NULL, (char*[]){"true", NULL}, (char*[]){NULL});
    reap(errno ? -1 : pid);
    return 1;
}

static long opens(int hart) {
    char path[40];
    snprintf(path, sizeof path, "/tmp/file-of-%d", hart);
    for (int i = 0; i < 200; ++i) {
        const int fd = open(path, O_RDWR | O_CREAT, 0600);
        if (fd < 0)
            impossible(path);
        close(fd);
    }
    return 200;
}

// A byte to a process on the same hart and back.
static long pipes(int hart) {
    static int to[2], from[2];
    char byte = 0;
    (void)hart;
    if (!to[1]) {
        if (pipe(to) < 0 || pipe(from) < 0)
            impossible("pipes");
        const pid_t pid = fork();
        if (pid == 0) {
            close(to[1]); // so that this ends with the other
            while (read(to[0], &byte, 1) == 1 && write(from[1], &byte, 1) == 1) {
            }
            _exit(0);
        }
    }
    for (int i = 0; i < 50; ++i)
        if (write(to[1], &byte, 1) != 1 || read(from[0], &byte, 1) != 1)
            impossible("a pipe");
    return 50;
}

static const struct row rows[] = {
    {"getppid", getppids}, {"page_fault", page_faults}, {"fork", forks},
    {"vfork", vforks},     {"spawn", spawns},           {"open", opens},
    {"pipe", pipes},
};

static void work(const struct row* row, int hart) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(hart, &one);
    if (sched_setaffinity(0, sizeof one, &one) < 0)
        impossible("a hart");
    row->chunk(hart); // what is new the first time
    atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load(&shared->go)) {
    }
    while (!atomic_load(&shared->stop)) {
        const uint64_t n = (uint64_t)row->chunk(hart);
        atomic_fetch_add_explicit(&shared->hart[hart].done, n, memory_order_relaxed);
    }
    _exit(0);
}

static uint64_t done_by(int harts) {
    uint64_t sum = 0;
    for (int hart = 0; hart < harts; ++hart)
        sum += atomic_load(&shared->hart[hart].done);
    return sum;
}

// What the kernel counts, if it does: parallel lists of names and numbers.
enum { most_counters = 64 };
struct counters {
    int size;
    char name[most_counters][32];
    uint64_t value[most_counters];
};
static void read_counters(struct counters* c) {
    c->size = 0;
    FILE* file = fopen("/proc/lentil/counters", "r");
    if (!file)
        return;
    while (c->size < most_counters && fscanf(file, "%31s %lu", c->name[c->size], &c->value[c->size]) == 2)
        ++c->size;
    fclose(file);
}

static void measure(const struct row* row, int harts, unsigned milliseconds) {
    static struct counters before, after;
    memset(shared, 0, sizeof *shared);
    pid_t workers[8];
    for (int hart = 0; hart < harts; ++hart)
        if ((workers[hart] = fork()) == 0)
            work(row, hart);
    while (atomic_load(&shared->ready) < harts)
        usleep(1000);
    read_counters(&before);
    atomic_store(&shared->go, 1);
    const uint64_t began = now(), first = done_by(harts);
    usleep(milliseconds * 1000);
    const uint64_t done = done_by(harts) - first, took = now() - began;
    read_counters(&after);
    atomic_store(&shared->stop, 1);
    for (int hart = 0; hart < harts; ++hart)
        reap(workers[hart]);
    printf("%s %d %.0f op/s\n", row->name, harts, (double)done * 1e9 / (double)took);
    const char* const told[] = {"ipis", "shootdowns", "firmware_calls", "spin_waits"};
    for (int i = 0; i < after.size && i < before.size && done > 0; ++i)
        for (size_t n = 0; n < sizeof told / sizeof *told; ++n)
            if (strcmp(after.name[i], told[n]) == 0 && after.value[i] != before.value[i])
                printf("%s %d %s %.5f per-op\n", row->name, harts, told[n],
                       (double)(after.value[i] - before.value[i]) / (double)done);
    fflush(stdout);
}

int main(int argc, char** argv) {
    unsigned milliseconds = 300;
    for (int i = 1; i < argc; ++i)
        if (isdigit((unsigned char)argv[i][0]))
            milliseconds = (unsigned)atoi(argv[i]);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        impossible("shared memory");
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    sleep(1); // what a kernel does after it has started the first process
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        for (int harts = 1; harts <= online && harts <= 8; harts *= 2)
            measure(&rows[i], harts, milliseconds);
    return 0;
}

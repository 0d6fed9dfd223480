// SPDX-License-Identifier: BSD-2-Clause
// Copy on write as fork gives it: who sees which bytes, whoever writes them, and that no hart goes on using a
// mapping that was changed on another.
#include "lend.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>

enum { page_size = 4096 };
static char* map_private(size_t size) {
    char* p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}
static void fill(char* p, size_t size, int seed) {
    for (size_t i = 0; i < size; i += sizeof(long))
        *(long*)(void*)(p + i) = (long)i * 31 + seed;
}
static void check_filled(const char* p, size_t size, int seed) {
    for (size_t i = 0; i < size; i += sizeof(long)) {
        long found = *(const long*)(const void*)(p + i);
        if (found != (long)i * 31 + seed)
            check_fail("at offset %zu is %lx, expected %lx", i, found, (long)i * 31 + seed);
    }
}

// --- eight writers ---

enum { region = 4 << 20, writers = 8 };
static void eight_children(void) {
    char* memory = map_private(region);
    fill(memory, region, 1);
    volatile int* meet = shared_memory(page_size);
    pid_t child[writers];
    for (int c = 0; c < writers; ++c) {
        child[c] = fork();
        CHECK(child[c] >= 0);
        if (child[c] == 0) {
            size_t part = region / writers, start = part * (size_t)c;
            __atomic_add_fetch(meet, 1, __ATOMIC_SEQ_CST);
            while (*meet < writers)
                sched_yield();
            for (int round = 0; round < 4; ++round)
                fill(memory + start, part, 100 * c + round);
            check_filled(memory + start, part, 100 * c + 3);
            for (size_t i = 0; i < region; i += sizeof(long))
                if (i < start || i >= start + part)
                    CHECK_EQ(*(long*)(void*)(memory + i), (long)i * 31 + 1);
            _exit(c);
        }
    }
    check_filled(memory, region, 1);
    for (int c = 0; c < writers; ++c)
        CHECK_EXITED(check_reap(child[c]), c);
    check_filled(memory, region, 1);
}

static void writers_and_parent(void) {
    char* memory = map_private(region);
    fill(memory, region, 7);
    pid_t child[writers];
    for (int c = 0; c < writers; ++c) {
        child[c] = fork();
        if (child[c] == 0) {
            check_filled(memory, region, 7 + c);
            fill(memory, region, 50 + c);
            check_filled(memory, region, 50 + c);
            _exit(0);
        }
        fill(memory, region, 8 + c); // while the child reads its snapshot
    }
    for (int c = 0; c < writers; ++c)
        CHECK_EXITED(check_reap(child[c]), 0);
    check_filled(memory, region, 7 + writers);
}

// --- the kernel as the writer ---

static void kernel_writes(char* page, int p[2]) {
    // Each call below stores into a page that is still shared.
    char* q = page;
    CHECK_EQ(write(p[1], "from the pipe", 13), 13);
    CHECK_EQ(read(p[0], q, 13), 13);
    CHECK(memcmp(q, "from the pipe", 13) == 0);
    q += page_size;
    CHECK(getcwd(q, 100) != NULL);
    CHECK(q[0] == '/');
    q += page_size;
    CHECK_EQ(clock_gettime(CLOCK_REALTIME, (struct timespec*)(void*)q), 0);
    CHECK(*(long*)(void*)q != 0x5555555555555555);
    q += page_size;
    CHECK_EQ(pipe((int*)(void*)q), 0);
    CHECK(*(int*)(void*)q < 100);
    close(((int*)(void*)q)[0]);
    close(((int*)(void*)q)[1]);
    q += page_size;
    pid_t pid = fork();
    if (pid == 0)
        _exit(3);
    CHECK_EQ(waitpid(pid, (int*)(void*)q, 0), pid);
    CHECK_EXITED(*(int*)(void*)q, 3);
}
static void kernel_breaks_sharing(void) {
    enum { pages = 8 };
    char* memory = map_private(pages * page_size);
    memset(memory, 0x55, pages * page_size);
    int p[2], go[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        kernel_writes(memory, p);
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    for (int i = 0; i < pages * page_size; ++i)
        CHECK_EQ(memory[i], 0x55);
    // And the other way round.
    pid = fork();
    if (pid == 0) {
        char c;
        CHECK_EQ(read(go[0], &c, 1), 1);
        for (int i = 0; i < pages * page_size; ++i)
            CHECK_EQ(memory[i], 0x55);
        _exit(0);
    }
    kernel_writes(memory, p);
    CHECK_EQ(write(go[1], "g", 1), 1);
    CHECK_EXITED(check_reap(pid), 0);
}

static char signal_stack[65536] __attribute__((aligned(4096)));
static volatile int handled;
static void on_signal(int number) { handled += number; }
static void signal_frame(void) {
    stack_t stack = {.ss_sp = signal_stack, .ss_size = sizeof signal_stack};
    memset(signal_stack, 0x33, sizeof signal_stack);
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGUSR1);
        _exit(handled == SIGUSR1 ? 0 : 1);
    }
    CHECK_EXITED(check_reap(pid), 0);
    for (size_t i = 0; i < sizeof signal_stack; ++i)
        CHECK_EQ(signal_stack[i], 0x33);
}

static void read_across(void) {
    // One read that fills sixteen shared pages, starting inside the first.
    enum { bytes = 16 * page_size };
    char* memory = map_private(bytes + page_size);
    memset(memory, 0x44, bytes + page_size);
    int fd = open("/tmp/cow.file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char* source = map_private(bytes);
    fill(source, bytes, 9);
    CHECK_EQ(write(fd, source, bytes), bytes);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(pread(fd, memory + 100, bytes, 0), bytes);
        CHECK(memcmp(memory + 100, source, bytes) == 0);
        CHECK_EQ(memory[99], 0x44);
        CHECK_EQ(memory[100 + bytes], 0x44);
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    for (int i = 0; i < bytes + page_size; ++i)
        CHECK_EQ(memory[i], 0x44);
    unlink("/tmp/cow.file");
}

// --- shared memory stays shared ---

static void shared_stays(void) {
    volatile int* counter = shared_memory(64 * page_size);
    for (int depth = 0; depth < 4; ++depth) {
        pid_t pid = fork();
        if (pid == 0) {
            for (int i = 0; i < 64; ++i)
                __atomic_add_fetch(&counter[i * 1024], 1, __ATOMIC_SEQ_CST);
            continue; // and fork again from here
        }
        CHECK_EXITED(check_reap(pid), 0);
        if (depth > 0)
            _exit(0);
        break;
    }
    if (counter[0] == 4 && getppid() != 0)
        for (int i = 0; i < 64; ++i)
            CHECK_EQ(counter[i * 1024], 4);
}

// --- generations ---

static double fault_time(char* memory, int pages) {
    double start = check_now();
    for (int i = 0; i < pages; ++i)
        memory[i * page_size] += 1;
    return check_now() - start;
}
static void thousand_generations(void) {
    enum { generations = 1000, pages = 64 };
    char* memory = map_private(pages * page_size);
    double* times = (double*)(uintptr_t)shared_memory(3 * page_size);
    int p[2];
    CHECK_EQ(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[0]);
        for (int g = 1; g <= generations; ++g) {
            pid_t next = fork();
            if (next < 0)
                check_fail("fork in generation %d: errno %d", g, errno);
            if (next > 0)
                _exit(0); // the child goes on as the next generation
            times[g] = fault_time(memory, pages);
            memory[g % pages * page_size + 8] = (char)g;
        }
        for (int i = 0; i < pages; ++i)
            CHECK_EQ(memory[i * page_size], (char)generations);
        for (int g = generations - pages + 1; g <= generations; ++g)
            CHECK_EQ(memory[g % pages * page_size + 8], (char)g);
        CHECK_EQ(write(p[1], "x", 1), 1);
        _exit(0);
    }
    close(p[1]);
    char c;
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EXITED(check_reap(pid), 0);
    for (int i = 0; i < pages; ++i)
        CHECK_EQ(memory[i * page_size], 0);
    // The best of fifty early and fifty late generations: a chain that grew would show.
    double early = 1e9, late = 1e9;
    for (int g = 1; g <= 50; ++g) {
        early = times[g] < early ? times[g] : early;
        late = times[generations - 50 + g] < late ? times[generations - 50 + g] : late;
    }
    if (late > early * 4 + 0.001)
        check_fail("faults took %.0f us in an early generation and %.0f us in a late one", early * 1e6, late * 1e6);
}

static void parent_goes_first(void) {
    char* memory = map_private(region);
    fill(memory, region, 3);
    int p[2];
    CHECK_EQ(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        fill(memory, region / 2, 4);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            char c;
            CHECK_EQ(read(p[0], &c, 1), 1);
            check_filled(memory, region / 2, 4);
            for (size_t i = region / 2; i < region; i += sizeof(long))
                CHECK_EQ(*(long*)(void*)(memory + i), (long)i * 31 + 3);
            fill(memory, region, 5);
            CHECK_EQ(write(p[1], "y", 1), 1);
            _exit(0);
        }
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    munmap(memory, region); // the grandchild is the only one left
    CHECK_EQ(write(p[1], "x", 1), 1);
    char c = 'x';
    check_sleep_ms(50);
    CHECK_SOON(read(p[0], &c, 1) == 1 && c == 'y', 10);
}

// --- what one side does to its mappings ---

static void change_mappings(char* memory) {
    enum { quarter = region / 4 };
    CHECK_EQ(munmap(memory, quarter), 0);
    CHECK_EQ(mprotect(memory + quarter, quarter, PROT_READ), 0);
    CHECK_EQ(madvise(memory + 2 * quarter, quarter, MADV_DONTNEED), 0);
    for (int i = 0; i < quarter; i += 512)
        CHECK_EQ(memory[2 * quarter + i], 0);
    char* moved = mremap(memory + 3 * quarter, quarter, 2 * quarter, MREMAP_MAYMOVE);
    CHECK(moved != MAP_FAILED);
    for (size_t i = 0; i < quarter; i += sizeof(long))
        CHECK_EQ(*(long*)(void*)(moved + i), (long)(i + 3 * quarter) * 31 + 6);
    memset(moved, 1, 2 * quarter);
    char* fresh = mmap(memory, quarter, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(fresh == memory);
    for (int i = 0; i < quarter; i += 512)
        CHECK_EQ(fresh[i], 0);
    memset(fresh, 2, quarter);
}
static void mappings_are_own(void) {
    int go[2];
    CHECK_EQ(pipe(go), 0);
    char* memory = map_private(region);
    fill(memory, region, 6);
    pid_t pid = fork();
    if (pid == 0) {
        change_mappings(memory);
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    check_filled(memory, region, 6);
    pid = fork();
    if (pid == 0) {
        char c;
        CHECK_EQ(read(go[0], &c, 1), 1);
        check_filled(memory, region, 6);
        fill(memory, region, 8);
        check_filled(memory, region, 8);
        _exit(0);
    }
    change_mappings(memory);
    CHECK_EQ(write(go[1], "g", 1), 1);
    CHECK_EXITED(check_reap(pid), 0);
}

static void untouched_pages(void) {
    char* memory = map_private(region);
    volatile char sum = 0;
    for (int i = 0; i < region / 2; i += page_size)
        sum = (char)(sum + memory[i]); // read, never written
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < region; i += page_size) {
            CHECK_EQ(memory[i], 0);
            memory[i] = 1;
        }
        _exit(0);
    }
    for (int i = 0; i < region; i += page_size) {
        CHECK_EQ(memory[i + 1], 0);
        memory[i + 1] = 2;
    }
    CHECK_EXITED(check_reap(pid), 0);
    for (int i = 0; i < region; i += page_size)
        CHECK(memory[i] == 0 && memory[i + 1] == 2);
}

// --- several harts ---

static void pin_to(int hart) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(hart, &set);
    CHECK_EQ(sched_setaffinity(0, sizeof set, &set), 0);
}

static volatile long* volatile target;
static volatile int stop, faults;
static volatile long current;
static __thread sigjmp_buf recover;
static void on_fault(int number) {
    __atomic_add_fetch(&faults, 1, __ATOMIC_SEQ_CST);
    siglongjmp(recover, number);
}
static void catch_faults(void) {
    struct sigaction action = {.sa_handler = on_fault, .sa_flags = SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}

static void* read_never_stale(void* unused) {
    while (!stop) {
        if (sigsetjmp(recover, 0) == 0) {
            while (!stop) {
                long before = __atomic_load_n(&current, __ATOMIC_SEQ_CST);
                long found = *target;
                // A page that was unmapped before `current` was raised must not be seen any more.
                if (found != 0 && found < before)
                    check_fail("read %ld from a page that was replaced by %ld", found, before);
            }
        }
    }
    return unused;
}
static void unmap_seen_everywhere(void) {
    catch_faults();
    target = (volatile long*)(void*)map_private(page_size);
    char* const elsewhere = map_private(page_size);
    *target = 1;
    pthread_t thread[3];
    for (int i = 0; i < 3; ++i)
        CHECK_EQ(pthread_create(&thread[i], NULL, read_never_stale, NULL), 0);
    for (long g = 2; g < 500; ++g) {
        if (g % 2) // the page goes, or moves away
            CHECK_EQ(munmap((void*)(uintptr_t)target, page_size), 0);
        else
            CHECK(mremap((void*)(uintptr_t)target, page_size, page_size, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) ==
                  elsewhere);
        void* p = mmap((void*)(uintptr_t)target, page_size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        CHECK(p == (void*)(uintptr_t)target);
        __atomic_store_n(&current, g, __ATOMIC_SEQ_CST);
        *target = g;
    }
    stop = 1;
    for (int i = 0; i < 3; ++i)
        pthread_join(thread[i], NULL);
}

static void* write_always(void* number) {
    volatile long* mine = target + (long)number * 8;
    while (!stop) {
        if (sigsetjmp(recover, 0) == 0)
            while (!stop)
                ++*mine;
        else
            sched_yield();
    }
    return number;
}
static void protect_seen_everywhere(void) {
    catch_faults();
    target = (volatile long*)(void*)map_private(page_size);
    pthread_t thread[3];
    for (long i = 0; i < 3; ++i)
        CHECK_EQ(pthread_create(&thread[i], NULL, write_always, (void*)i), 0);
    CHECK_SOON(target[0] && target[8] && target[16], 10);
    for (int round = 0; round < 200; ++round) {
        long before[3];
        const int faults_before = faults;
        CHECK_EQ(mprotect((void*)(uintptr_t)target, page_size, PROT_READ), 0);
        for (int i = 0; i < 3; ++i)
            before[i] = target[i * 8];
        for (int spin = 0; spin < 2000; ++spin)
            for (int i = 0; i < 3; ++i)
                CHECK_EQ(target[i * 8], before[i]);
        if (round % 20 == 0) // on a busy host the writers may need a while to come and try
            CHECK_SOON(faults > faults_before, 10);
        CHECK_EQ(mprotect((void*)(uintptr_t)target, page_size, PROT_READ | PROT_WRITE), 0);
        if (round % 20 == 0)
            CHECK_SOON(target[0] != before[0] && target[8] != before[1] && target[16] != before[2], 10);
    }
    stop = 1;
    for (int i = 0; i < 3; ++i)
        pthread_join(thread[i], NULL);
}

static volatile long* volatile watched;
static volatile long last_seen, looks;
static void* watch(void* unused) {
    pin_to(1);
    while (!stop) {
        last_seen = *watched;
        ++looks;
    }
    return unused;
}
static void look_again(void) { // the other hart has the page as it is now
    const long before = looks;
    CHECK_SOON(looks > before + 100, 10);
}
// The watcher never enters the kernel by itself: what it goes by is what it is told to forget.
static void replacement_seen_everywhere(void) {
    pthread_t thread;
    pin_to(0);
    watched = (volatile long*)(void*)map_private(page_size);
    CHECK_EQ(pthread_create(&thread, NULL, watch, NULL), 0);
    look_again(); // it sees the zero page
    *watched = -1;
    CHECK_SOON(last_seen == -1, 10);
    for (long round = 1; round <= 20; ++round) {
        pid_t pid = fork(); // holds the page, so that the next store makes a copy
        if (pid == 0)
            for (;;)
                pause();
        CHECK(pid > 0);
        look_again();
        *watched = round;
        CHECK_SOON(last_seen == round, 10);
        kill(pid, SIGKILL);
        CHECK_SIGNALED(check_reap(pid), SIGKILL);
    }
    stop = 1;
    pthread_join(thread, NULL);
}

static void snapshot_of(char* memory) {
    catch_faults();
    target = (volatile long*)(void*)memory;
    pthread_t thread[3];
    for (long i = 0; i < 3; ++i)
        CHECK_EQ(pthread_create(&thread[i], NULL, write_always, (void*)i), 0);
    CHECK_SOON(target[0] && target[8] && target[16], 10);
    for (int round = 0; round < 50; ++round) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            long before[3] = {target[0], target[8], target[16]};
            for (int spin = 0; spin < 5000; ++spin)
                for (int i = 0; i < 3; ++i)
                    if (target[i * 8] != before[i])
                        _exit(1); // the parent's threads wrote into our page
            _exit(0);
        }
        CHECK_EXITED(check_reap(pid), 0);
        if (round % 10 == 0) {
            long before[3] = {target[0], target[8], target[16]};
            CHECK_SOON(target[0] != before[0] && target[8] != before[1] && target[16] != before[2], 10);
        }
    }
    stop = 1;
    for (int i = 0; i < 3; ++i)
        pthread_join(thread[i], NULL);
}

static void fork_takes_a_snapshot(void) { snapshot_of(map_private(page_size)); }
static void fork_takes_a_large_snapshot(void) {
    // Full page tables are shared in another way than those with few pages.
    char* memory = map_private(region);
    for (int i = 0; i < region; i += page_size)
        memory[i] = 1;
    memset(memory + region / 2, 0, page_size);
    snapshot_of(memory + region / 2);
    for (int i = 0; i < region; i += page_size)
        CHECK(memory[i] == 1 || i == region / 2);
}

enum { crowd_pages = 24 };
static char* volatile crowd;
static void* touch_crowd(void* number) {
    // All threads fault on the same pages at the same time; each adds once to each page.
    while (!stop)
        sched_yield();
    for (int i = 0; i < crowd_pages; ++i)
        __atomic_add_fetch((int*)(void*)(crowd + (long)i * page_size), 1, __ATOMIC_SEQ_CST);
    return number;
}
static void same_page_at_once(void) {
    crowd = map_private(crowd_pages * page_size);
    memset(crowd, 0, crowd_pages * page_size);
    for (int round = 0; round < 3; ++round) {
        pid_t pid = fork(); // the pages are shared now
        if (pid == 0) {
            pthread_t thread[4];
            stop = 0;
            for (int i = 0; i < 4; ++i)
                CHECK_EQ(pthread_create(&thread[i], NULL, touch_crowd, NULL), 0);
            stop = 1;
            for (int i = 0; i < 4; ++i)
                pthread_join(thread[i], NULL);
            for (int i = 0; i < crowd_pages; ++i)
                CHECK_EQ(*(int*)(void*)(crowd + (long)i * page_size), 4);
            _exit(0);
        }
        for (int i = 0; i < crowd_pages; ++i)
            CHECK_EQ(*(int*)(void*)(crowd + (long)i * page_size), 0);
        CHECK_EXITED(check_reap(pid), 0);
    }
}

static const struct check_case cases[] = {
    {"eight children write different parts of one 4 MiB region at once, the parent's copy is untouched", eight_children,
     60, false},
    {"a parent that writes does not disturb the snapshots of eight children", writers_and_parent, 60, false},
    {"what the kernel itself stores breaks sharing too", kernel_breaks_sharing, 0, false},
    {"one read(2) into sixteen shared pages changes one side only", read_across, 0, false},
    {"a signal frame on a shared stack changes one side only", signal_frame, 0, false},
    {"shared anonymous memory stays shared over four generations", shared_stays, 0, false},
    {"a thousand generations of fork lengthen no chain", thousand_generations, 100, false},
    {"a grandchild keeps its pages when both ancestors let go", parent_goes_first, 0, false},
    {"munmap, mprotect, mremap, madvise and mmap after fork touch one side only", mappings_are_own, 60, false},
    {"pages that were read but never written are zero for both", untouched_pages, 0, false},
    {"a page unmapped or moved on one hart is not seen on another any more", unmap_seen_everywhere, 60, false},
    {"a page protected on one hart is not written on another any more", protect_seen_everywhere, 60, false},
    {"a page that a store replaces is seen by a thread that reads it on another hart", replacement_seen_everywhere, 60,
     false},
    {"fork takes a snapshot of pages that other threads write", fork_takes_a_snapshot, 60, false},
    {"fork takes a snapshot of one page among many that other threads write", fork_takes_a_large_snapshot, 60, false},
    {"four threads that break sharing of the same page at once lose no store", same_page_at_once, 60, false},
};
CHECK_MAIN(cases)

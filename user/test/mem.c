// SPDX-License-Identifier: BSD-2-Clause
// The memory calls: mmap and its relatives, file mappings on tmpfs, brk, stack growth, and the errors they
// give.
#include "lend.h"

#include <setjmp.h>

enum { page_size = 4096 };
static sigjmp_buf recover;
static volatile int fault_code;
static void on_fault(int number, siginfo_t* info, void* context) {
    (void)context;
    fault_code = info->si_code;
    siglongjmp(recover, number);
}
static void catch_faults(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}
// The signal that a load (or a store) at this address raises, or 0.
static int load_fault(const volatile char* at) {
    int number = sigsetjmp(recover, 1);
    if (number == 0)
        (void)*at;
    return number;
}
static int store_fault(volatile char* at) {
    int number = sigsetjmp(recover, 1);
    if (number == 0)
        *at = 1;
    return number;
}
static char* map(size_t size, int prot, int flags, int fd) {
    char* p = mmap(NULL, size, prot, flags, fd, 0);
    CHECK(p != MAP_FAILED);
    return p;
}
static char* anonymous(size_t size) { return map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1); }
static int file_of(const char* path, size_t size) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    unlink(path);
    for (size_t i = 0; i < size; ++i) {
        char c = (char)(i / page_size + 'a');
        CHECK_EQ(write(fd, &c, 1), 1);
    }
    return fd;
}

static void basics(void) {
    catch_faults();
    char* p = anonymous(8 * page_size);
    for (int i = 0; i < 8 * page_size; ++i)
        CHECK_EQ(p[i], 0);
    memset(p, 1, 8 * page_size);
    CHECK_EQ(munmap(p + 2 * page_size, page_size), 0); // a hole
    CHECK_EQ(load_fault(p + 2 * page_size), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_MAPERR);
    CHECK_EQ(load_fault(p + 2 * page_size - 1), 0);
    CHECK_EQ(load_fault(p + 3 * page_size), 0);
    CHECK_EQ(munmap(p, 8 * page_size), 0); // over the hole
    CHECK_EQ(munmap(p, 8 * page_size), 0); // nothing there is no error
    CHECK_ERRNO(munmap(p + 1, page_size), EINVAL);
    CHECK_ERRNO(munmap(p, 0), EINVAL);
    CHECK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    CHECK(mmap(NULL, 1UL << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
    CHECK(mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, -1, 0) == MAP_FAILED && errno == EBADF);
    CHECK(mmap(NULL, page_size, PROT_READ, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
}

static void fixed(void) {
    char* p = anonymous(4 * page_size);
    memset(p, 7, 4 * page_size);
    char* q = mmap(p + page_size, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    CHECK(q == p + page_size);
    CHECK_EQ(p[0], 7);
    CHECK_EQ(p[page_size], 0);
    CHECK_EQ(p[2 * page_size], 7);
    CHECK(mmap(p, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
    CHECK_EQ(errno, EEXIST);
    CHECK(mmap(p + 1, page_size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
    CHECK_EQ(errno, EINVAL);
}

static void protection(void) {
    catch_faults();
    char* p = anonymous(3 * page_size);
    CHECK_EQ(mprotect(p + page_size, page_size, PROT_READ), 0);
    CHECK_EQ(store_fault(p), 0);
    CHECK_EQ(load_fault(p + page_size), 0);
    CHECK_EQ(store_fault(p + page_size), SIGSEGV);
    CHECK_EQ(fault_code, SEGV_ACCERR);
    CHECK_EQ(store_fault(p + 2 * page_size), 0);
    CHECK_EQ(mprotect(p, 3 * page_size, PROT_NONE), 0);
    CHECK_EQ(load_fault(p), SIGSEGV);
    CHECK_EQ(mprotect(p, 3 * page_size, PROT_READ | PROT_WRITE), 0);
    CHECK_EQ(p[0], 1); // still there
    CHECK_ERRNO(mprotect(p + 1, page_size, PROT_READ), EINVAL);
    munmap(p + page_size, page_size);
    CHECK_ERRNO(mprotect(p, 3 * page_size, PROT_READ), ENOMEM);
    int fd = open(check_self, O_RDONLY);
    char* code = map(page_size, PROT_READ, MAP_SHARED, fd);
    CHECK_ERRNO(mprotect(code, page_size, PROT_READ | PROT_WRITE), EACCES);
    // Code that was just written runs.
    unsigned* text = (unsigned*)(void*)anonymous(page_size);
    text[0] = 0x02a00513; // li a0, 42
    text[1] = 0x00008067; // ret
    CHECK_EQ(mprotect(text, page_size, PROT_READ | PROT_EXEC), 0);
    __builtin___clear_cache((char*)text, (char*)text + 8);
    CHECK_EQ(((int (*)(void))(uintptr_t)text)(), 42);
}

static void remap(void) {
    char* p = anonymous(4 * page_size);
    for (int i = 0; i < 4; ++i)
        p[i * page_size] = (char)(i + 1);
    char* q = mremap(p, 4 * page_size, 2 * page_size, 0); // shrink
    CHECK(q == p);
    q = mremap(p, 2 * page_size, 64 * page_size, MREMAP_MAYMOVE);
    CHECK(q != MAP_FAILED);
    CHECK(q[0] == 1 && q[page_size] == 2 && q[2 * page_size] == 0 && q[63 * page_size] == 0);
    char* to = anonymous(2 * page_size);
    q = mremap(q, 2 * page_size, 2 * page_size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    CHECK(q == to && q[0] == 1 && q[page_size] == 2);
    CHECK(mremap(q + 1, page_size, page_size, 0) == MAP_FAILED && errno == EINVAL);
    munmap(q, 2 * page_size);
    CHECK(mremap(q, page_size, 2 * page_size, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
}

static void advice(void) {
    char* p = anonymous(4 * page_size);
    memset(p, 5, 4 * page_size);
    CHECK_EQ(madvise(p + page_size, page_size, MADV_DONTNEED), 0);
    CHECK(p[0] == 5 && p[page_size] == 0 && p[2 * page_size] == 5);
    CHECK_EQ(madvise(p, 4 * page_size, MADV_WILLNEED), 0);
    CHECK_ERRNO(madvise(p, page_size, 9999), EINVAL);
    CHECK_ERRNO(madvise(p + 1, page_size, MADV_DONTNEED), EINVAL);
    unsigned char in_core[4];
    char* fresh = anonymous(4 * page_size);
    fresh[page_size] = 1;
    CHECK_EQ(mincore(fresh, 4 * page_size, in_core), 0);
    CHECK_EQ(in_core[1] & 1, 1);
    munmap(fresh, 4 * page_size);
    CHECK_ERRNO(mincore(fresh, 4 * page_size, in_core), ENOMEM);
}

static void file_private(void) {
    int fd = file_of("/tmp/mem.private", 3 * page_size);
    char* p = map(3 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
    CHECK(p[0] == 'a' && p[page_size] == 'b' && p[2 * page_size] == 'c');
    p[page_size] = 'X';
    char c;
    CHECK_EQ(pread(fd, &c, 1, page_size), 1);
    CHECK_EQ(c, 'b'); // the file is not changed
    CHECK_EQ(p[page_size + 1], 'b');
    char* q = mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, fd, 2 * page_size);
    CHECK(q != MAP_FAILED && q[0] == 'c');
    CHECK(mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, fd, 100) == MAP_FAILED && errno == EINVAL);
    close(fd);
    CHECK_EQ(p[0], 'a'); // the mapping keeps the file
}

static void file_shared(void) {
    int fd = file_of("/tmp/mem.shared", 2 * page_size);
    char* p = map(2 * page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    char* q = map(2 * page_size, PROT_READ, MAP_SHARED, fd);
    p[10] = 'Y';
    CHECK_EQ(q[10], 'Y');
    char c;
    CHECK_EQ(pread(fd, &c, 1, 10), 1);
    CHECK_EQ(c, 'Y');
    CHECK_EQ(pwrite(fd, "Z", 1, page_size), 1);
    CHECK(p[page_size] == 'Z' && q[page_size] == 'Z');
    pid_t pid = fork();
    if (pid == 0) {
        p[20] = 'W';
        _exit(0);
    }
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(q[20], 'W');
    CHECK_EQ(msync(p, 2 * page_size, MS_SYNC), 0);
    CHECK_ERRNO(msync(p + 1, page_size, MS_SYNC), EINVAL);
    int read_only = open(check_self, O_RDONLY);
    CHECK(mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, read_only, 0) == MAP_FAILED && errno == EACCES);
    int p2[2];
    CHECK_EQ(pipe(p2), 0);
    CHECK(mmap(NULL, page_size, PROT_READ, MAP_PRIVATE, p2[0], 0) == MAP_FAILED && errno == ENODEV);
}

static void beyond_the_end(void) {
    catch_faults();
    int fd = file_of("/tmp/mem.end", page_size + 10);
    char* p = map(4 * page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
    CHECK_EQ(p[page_size + 9], 'b');
    CHECK_EQ(p[page_size + 10], 0); // the rest of the last page reads as zeros
    CHECK_EQ(load_fault(p + 2 * page_size), SIGBUS);
    CHECK_EQ(fault_code, BUS_ADRERR);
    CHECK_EQ(ftruncate(fd, 4 * page_size), 0);
    CHECK_EQ(load_fault(p + 2 * page_size), 0);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(load_fault(p), SIGBUS); // what was mapped is gone
}

static void program_break(void) {
    catch_faults();
    char* start = sbrk(0);
    CHECK(sbrk(10 * page_size) == start);
    memset(start, 1, 10 * page_size);
    CHECK(sbrk(-10 * page_size) == start + 10 * page_size);
    char* page = (char*)(((uintptr_t)start + page_size - 1) & ~(uintptr_t)(page_size - 1));
    CHECK_EQ(load_fault(page + page_size), SIGSEGV);
    CHECK(sbrk(10 * page_size) == start);
    CHECK_EQ(page[page_size], 0); // fresh again
    struct rlimit limit = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_DATA, &limit);
    CHECK(sbrk(64 << 20) == (void*)-1 && errno == ENOMEM);
}

static __attribute__((noinline)) int use_stack(int levels) {
    volatile char space[16384];
    space[0] = (char)levels;
    space[sizeof space - 1] = 1;
    return levels <= 0 ? 0 : use_stack(levels - 1) + (space[0] != (char)levels);
}
static void stack_growth(void) {
    CHECK_EQ(use_stack(400), 0); // more than 6 MiB under a limit of 8 MiB
    pid_t pid = fork();
    if (pid == 0) {
        use_stack(100000);
        _exit(0);
    }
    CHECK_SIGNALED(check_reap(pid), SIGSEGV);
}

static void bad_pointers(void) {
    char* hole = anonymous(3 * page_size);
    munmap(hole + page_size, page_size);
    int p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_ERRNO(write(p[1], hole + page_size, 10), EFAULT);
    CHECK_ERRNO(write(p[1], (void*)(uintptr_t)-4096, 10), EFAULT);
    CHECK_EQ(write(p[1], "0123456789", 10), 10);
    CHECK_ERRNO(read(p[0], hole + page_size, 10), EFAULT);
    CHECK_ERRNO(syscall(SYS_pipe2, hole + page_size, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_clock_gettime, 0, 0xffffffc000000000), EFAULT);
    CHECK_ERRNO(syscall(SYS_openat, AT_FDCWD, hole + page_size, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_getcwd, hole + page_size, 100), EFAULT);
    CHECK_ERRNO(syscall(SYS_nanosleep, hole + page_size, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_uname, hole + page_size), EFAULT);
    mprotect(hole, page_size, PROT_READ);
    CHECK_ERRNO(syscall(SYS_uname, hole), EFAULT); // not to read-only memory either
    // A name that ends at the last byte of a mapping is whole.
    char* edge = hole + 3 * page_size - 5;
    memcpy(edge, "/tmp", 5);
    CHECK_EQ(access(edge, F_OK), 0);
}

static void maps_file(void) {
    static char text[16384];
    char* p = anonymous(5 * page_size);
    char line[64];
    CHECK(check_read_file("/proc/self/maps", text, sizeof text) > 0);
    // Neighbours may be joined: look for the line that holds the page.
    bool found = false;
    for (char* at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        unsigned long from, to;
        if (sscanf(at, "%lx-%lx %60s", &from, &to, line) == 3 && from <= (unsigned long)p && (unsigned long)p < to)
            found = strcmp(line, "rw-p") == 0;
    }
    CHECK(found);
    CHECK(strstr(text, "[stack]") != NULL);
    CHECK(strstr(text, "r-xp") != NULL);
}

static const struct check_case cases[] = {
    {"mmap gives zeros, munmap makes holes, and wrong arguments are refused", basics, 0, false},
    {"MAP_FIXED replaces and MAP_FIXED_NOREPLACE does not", fixed, 0, false},
    {"mprotect changes what is allowed, page by page, and lets new code run", protection, 0, false},
    {"mremap shrinks, grows, moves and keeps the bytes", remap, 0, false},
    {"madvise and mincore", advice, 0, false},
    {"a private file mapping keeps its changes to itself", file_private, 0, false},
    {"a shared file mapping, read, write and other processes see the same bytes", file_shared, 0, false},
    {"beyond the end of a mapped file is SIGBUS, also after truncation", beyond_the_end, 0, false},
    {"brk grows, shrinks, gives zeros and obeys RLIMIT_DATA", program_break, 0, false},
    {"the stack grows to its limit and not beyond", stack_growth, 60, false},
    {"bad pointers give EFAULT", bad_pointers, 0, false},
    {"/proc/self/maps shows the mappings", maps_file, 0, false},
};
CHECK_MAIN(cases)

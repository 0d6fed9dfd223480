// SPDX-License-Identifier: MIT
// The benchmark's table, and the program that measures it.
//
// usage: cost [-l|-n|-q] [PATTERN...]
//   -l        list the rows and exit
//   -n        do not wait for the system to settle first
//   -q        as -n, and one batch after a first one that does not count: enough where instructions are counted
//   PATTERN   only rows whose name contains one of the patterns
//
// Prints a line for each row: NAME VALUE UNIT. VALUE is the median of a few batches; UNIT is ns (for one operation) or MB/s. A row
// that cannot run prints "NAME fail ERRNO-TEXT". Under "qemu -icount shift=0" an instruction takes exactly a nanosecond, so ns
// is the number of instructions of user code, kernel and firmware together, whatever the host is and does.
//
// Needs /bin/ytrue-raw, /bin/ytrue-static, /bin/ytrue-dyn (true.c), a writable /tmp, /dev/zero and /dev/null. Runs on Linux too:
// linux-debian.txt and linux-lean.txt in test/cost are what it printed there.
#include "bench.h"

int failed;
volatile long sink;

int make_file(const char* path, size_t size) {
    static char page[PAGE];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return -1;
    memset(page, 'y', sizeof page);
    for (size_t o = 0; o < size; o += PAGE)
        if (write(fd, page, PAGE) != (ssize_t)PAGE) {
            close(fd);
            return -1;
        }
    return fd;
}

char* map_anon(size_t len, enum pages pages) {
    char* m = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m == MAP_FAILED)
        return NULL;
    if (pages == PAGES_4K)
        madvise(m, len, MADV_NOHUGEPAGE);
    return m;
}

void touch(char* m, size_t len) {
    for (size_t i = 0; i < len; i += PAGE)
        ((volatile char*)m)[i] = 1;
}

#define RAW "/bin/ytrue-raw"
#define STATIC "/bin/ytrue-static"
#define DYN "/bin/ytrue-dyn"

// A row for each number of things that the parent has.
#define COUNTED(row, unit, iters, run, a, b, c)                                                                        \
    {row "_" #a unit, iters, 3, run, a}, {row "_" #b unit, iters, 3, run, b}, { row "_" #c unit, iters, 3, run, c }
// A row for each size of the parent, in MiB.
#define SIZED(row, pages, iters, run, path)                                                                            \
    {row "_1M" pages, iters, 1, run, 1, path}, {row "_4M" pages, iters, 1, run, 4, path},                              \
        {row "_16M" pages, iters, 1, run, 16, path}, {row "_64M" pages, iters, 1, run, 64, path},                      \
        {row "_256M" pages, iters, 1, run, 256, path}, {                                                               \
        row "_512M" pages, iters, 1, run, 512, path                                                                    \
    }

static const struct bench table[] = {
    // calls
    {"null_getppid", 20000, 5, b_getppid},
    {"getpid", 20000, 5, b_getpid},
    {"gettid", 20000, 5, b_gettid},
    {"clock_gettime_libc", 20000, 5, b_clock_libc},
    {"clock_gettime_syscall", 20000, 5, b_clock_sys},
    {"getrusage", 10000, 5, b_getrusage},
    {"sched_yield_alone", 10000, 5, b_yield},
    {"read_1B_dev_zero", 10000, 5, b_read1, .path = "/dev/zero"},
    {"write_1B_dev_null", 10000, 5, b_write1, .path = "/dev/null"},
    {"pread_4K_tmpfs", 5000, 5, b_pread, 4096},
    {"pwrite_4K_tmpfs", 5000, 5, b_pwrite, 4096},
    {"open_close", 3000, 5, b_open_close, .path = "/bin/ytrue-raw"},
    {"open_close_deep", 3000, 5, b_open_close, .path = "/tmp/a/b/c/d/e/f"},
    {"stat", 5000, 5, b_stat, .path = "/bin/ytrue-raw"},
    {"stat_missing", 5000, 5, b_stat_miss, .path = "/bin/no-such-file"},
    {"fstat", 10000, 5, b_fstat},
    {"creat_unlink", 2000, 5, b_creat_unlink},
    {"dup_close", 10000, 5, b_dup_close},
    {"poll_1fd", 10000, 5, b_poll, 1},
    {"poll_64fd", 2000, 5, b_poll, 64},

    {"sig_install", 10000, 5, b_sig_install},
    {"sig_catch", 5000, 5, b_sig_catch},
    {"sig_procmask", 10000, 5, b_sigprocmask},
    {"sig_segv_mprotect", 3000, 5, b_sig_segv},
    {"sig_pingpong_rt", 2000, 5, b_sig_pingpong},

    {"pipe_self_1B", 5000, 5, b_pipe_self},
    {"pipe_rt_1B", 3000, 5, b_chan_rt},
    {"unix_rt_1B", 2000, 5, b_chan_rt, .path = "sock"},
    {"pipe_bw_4K", 4000, 5, b_pipe_bw, 4096, .bytes_per_op = 4096},
    {"pipe_bw_64K", 500, 5, b_pipe_bw, 65536, .bytes_per_op = 65536},
    {"eventfd_write_read", 5000, 5, b_eventfd},
    {"ctx_ring_2p", 4000, 5, b_ctx_ring, 2},
    {"ctx_ring_8p", 4000, 5, b_ctx_ring, 8},
    {"ctx_ring_32p", 4000, 5, b_ctx_ring, 32},
    {"ctx_yield_2p", 5000, 5, b_yield2},
    {"futex_wake_none", 10000, 5, b_futex_wake},
    {"futex_rt_threads", 3000, 5, b_futex_thr},
    {"futex_rt_procs", 3000, 5, b_futex_proc},
    {"pthread_create_join", 500, 5, b_pthread},

    {"fault_anon_4k", 4096, 5, b_fault_anon, PAGES_4K},
    {"fault_anon_def", 4096, 5, b_fault_anon, PAGES_DEFAULT},
    {"fault_zero_4k", 4096, 5, b_fault_zero, PAGES_4K},
    {"fault_cow_4k", 4096, 5, b_fault_cow, PAGES_4K},
    {"fault_cow_def", 4096, 5, b_fault_cow, PAGES_DEFAULT},
    {"fault_file_read_private", 2048, 5, b_fault_file, 0},
    {"fault_file_write_shared", 2048, 5, b_fault_file, 1},
    {"mmap_munmap_64K", 3000, 5, b_mmap_munmap, 65536},
    {"mmap_touch_munmap_64K", 500, 5, b_mmap_touch, 65536},
    {"mmap_touch_munmap_4M", 8, 5, b_mmap_touch, 4 * MIB},
    {"mprotect_64K", 3000, 5, b_mprotect},
    {"brk_grow_shrink_64K", 3000, 5, b_brk},
    {"touch_dontneed_64K", 500, 5, b_dontneed},

    {"fork_exit", 100, 5, b_fork_exit},
    {"vfork_exit", 300, 5, b_vfork_exit},
    {"fork_exec_raw", 100, 5, b_fork_exec, .path = RAW},
    {"vfork_exec_raw", 100, 5, b_vfork_exec, .path = RAW},
    {"spawn_raw", 100, 5, b_spawn, .path = RAW},
    {"fork_exec_static", 50, 5, b_fork_exec, .path = STATIC},
    {"vfork_exec_static", 50, 5, b_vfork_exec, .path = STATIC},
    {"spawn_static", 50, 5, b_spawn, .path = STATIC},
    {"fork_exec_dyn", 30, 5, b_fork_exec, .path = DYN},
    {"vfork_exec_dyn", 30, 5, b_vfork_exec, .path = DYN},
    {"spawn_dyn", 30, 5, b_spawn, .path = DYN},
    {"exec_chain_raw", 100, 5, b_exec_chain, .path = RAW},
    {"exec_chain_static", 50, 5, b_exec_chain, .path = STATIC},
    {"exec_chain_dyn", 30, 5, b_exec_chain, .path = DYN},
    {"fork_exit_8thr", 50, 5, b_fork_exit_mt, 8},
    {"vfork_exit_8thr", 100, 5, b_vfork_exit_mt, 8},
    {"vfork_exec_raw_8thr", 50, 5, b_vfork_exec_mt, 8, RAW},
    {"spawn_raw_8thr", 50, 5, b_spawn_mt, 8, RAW},
    {"fork_exit_256fd", 50, 5, b_fork_exit_fd, 256},
    {"vfork_exit_256fd", 100, 5, b_vfork_exit_fd, 256},
    {"vfork_exec_raw_256fd", 50, 5, b_vfork_exec_fd, 256, RAW},

    SIZED("fork_exit", "_4k", 3, b_fork_exit_big_PAGES_4K, NULL),
    SIZED("fork_exit", "_def", 10, b_fork_exit_big_PAGES_DEFAULT, NULL),
    SIZED("vfork_exit", "_4k", 50, b_vfork_exit_big_PAGES_4K, NULL),
    SIZED("vfork_exec_raw", "_4k", 25, b_vfork_exec_big_PAGES_4K, RAW),
    SIZED("spawn_raw", "_4k", 25, b_spawn_big_PAGES_4K, RAW),
    // growth
    COUNTED("fork_exit", "fd", 32, b_fork_exit_fd, 16, 128, 1000),
    COUNTED("vfork_exit", "fd", 50, b_vfork_exit_fd, 16, 128, 1000),
    COUNTED("fork_exit", "thr", 32, b_fork_exit_mt, 1, 16, 64),
    COUNTED("vfork_exit", "thr", 50, b_vfork_exit_mt, 1, 16, 64),
    COUNTED("fork_exit", "map", 32, b_fork_exit_map, 100, 1000, 10000),
    COUNTED("vfork_exit", "map", 20, b_vfork_exit_map, 100, 1000, 10000),
    // what fork puts off, paid in full; per page
    {"fork_parent_rewrites_16M", 4096, 3, b_fork_then, PARENT_REWRITES},
    {"fork_child_writes_16M", 4096, 3, b_fork_then, CHILD_WRITES},
    {"fork_child_reads_16M", 4096, 3, b_fork_then, CHILD_READS},
};

static int cmp_double(const void* a, const void* b) {
    double x = *(const double*)a, y = *(const double*)b;
    return (x > y) - (x < y);
}

static bool quick;

static void measure(const struct bench* b) {
    double v[MAX_BATCHES];
    const int n = quick ? 1 : b->batches;

    failed = 0;
    if (b->batches >= 3)
        b->run(b); // warm up: one batch not counted
    for (int i = 0; i < n && !failed; i++)
        v[i] = (double)b->run(b);
    if (failed) {
        printf("%-26s fail %s\n", b->name, strerror(failed));
        return;
    }
    qsort(v, (size_t)n, sizeof v[0], cmp_double);
    double per_op = v[n / 2] / (double)b->iters;
    if (b->bytes_per_op)
        printf("%-26s %14.1f MB/s\n", b->name, (double)b->bytes_per_op * 1e3 / per_op);
    else
        printf("%-26s %14.1f ns\n", b->name, per_op);
}

// A kernel may still be busy for a while after it has started process 1
// (Linux is, for over two seconds, which more than doubles what a system call
// seems to cost).  Sleep, then wait for 50 quiet measurements in a row.
static void settle(void) {
    uint64_t best = UINT64_MAX;
    int quiet = 0;

    sleep(5);
    for (int i = 0; i < 5000 && quiet < 50; i++) {
        uint64_t t = TIMED(500, sink = syscall(SYS_getppid));
        if (t < best)
            best = t;
        quiet = t <= best + best / 10 ? quiet + 1 : 0;
        usleep(1000);
    }
    if (quiet < 50)
        puts("# the system never became quiet");
}

int main(int argc, char** argv) {
    const char* option = argc > 1 && argv[1][0] == '-' ? argv[1] : "";
    const bool list = !strcmp(option, "-l"), hasty = !strcmp(option, "-n");
    const int first = *option ? 2 : 1;
    quick = !strcmp(option, "-q");

    // Never let a broken kernel keep us waiting on a dead peer.
    signal(SIGPIPE, SIG_IGN);
    mkdir("/tmp/a", 0755);
    mkdir("/tmp/a/b", 0755);
    mkdir("/tmp/a/b/c", 0755);
    mkdir("/tmp/a/b/c/d", 0755);
    mkdir("/tmp/a/b/c/d/e", 0755);
    close(creat("/tmp/a/b/c/d/e/f", 0644));

    if (!list && !hasty && !quick)
        settle();
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int wanted = first >= argc;
        for (int a = first; a < argc; a++)
            wanted |= strstr(table[i].name, argv[a]) != NULL;
        if (!wanted)
            continue;
        if (list)
            puts(table[i].name);
        else
            measure(&table[i]);
        fflush(stdout);
    }
    return 0;
}

// SPDX-License-Identifier: MIT
// What the parts of the benchmark share: a row of the table, the clock, and how a row that cannot run says so.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define MIB (1UL << 20)
#define MAX_BATCHES 9

extern char** environ;

struct bench {
    const char* name;
    long iters; // operations in one batch
    int batches;
    uint64_t (*run)(const struct bench* b); // returns ns of one batch
    long arg;                               // size, count, ...
    const char* path;                       // program or file
    long bytes_per_op;                      // not 0: print MB/s
};

static inline uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// A row that cannot go on ends its whole run through this; errno says why.
extern int failed;
static inline uint64_t fail(void) {
    failed = errno ? errno : EINVAL;
    return 0;
}

#define TIMED(n, stmt)                                                                                                 \
    ({                                                                                                                 \
        uint64_t t0_ = now();                                                                                          \
        for (long i_ = 0; i_ < (n); i_++) {                                                                            \
            stmt;                                                                                                      \
        }                                                                                                              \
        now() - t0_;                                                                                                   \
    })

extern volatile long sink; // where results go that nobody wants

enum after_fork { PARENT_REWRITES, CHILD_WRITES, CHILD_READS }; // the last while the parent writes a tenth
enum pages { PAGES_DEFAULT, PAGES_4K }; // _4k rows ask for base pages, _def rows leave their size to the kernel

// A new file of `size` bytes, open for reading and writing; -1 if that fails.
int make_file(const char* path, size_t size);
char* map_anon(size_t len, enum pages pages);
void touch(char* m, size_t len); // writes to each page

// syscalls.c
uint64_t b_getppid(const struct bench* b);
uint64_t b_getpid(const struct bench* b);
uint64_t b_gettid(const struct bench* b);
uint64_t b_clock_libc(const struct bench* b);
uint64_t b_clock_sys(const struct bench* b);
uint64_t b_getrusage(const struct bench* b);
uint64_t b_yield(const struct bench* b);
uint64_t b_read1(const struct bench* b);
uint64_t b_write1(const struct bench* b);
uint64_t b_pread(const struct bench* b);
uint64_t b_pwrite(const struct bench* b);
uint64_t b_open_close(const struct bench* b);
uint64_t b_stat(const struct bench* b);
uint64_t b_stat_miss(const struct bench* b);
uint64_t b_fstat(const struct bench* b);
uint64_t b_creat_unlink(const struct bench* b);
uint64_t b_dup_close(const struct bench* b);
uint64_t b_poll(const struct bench* b);

// signals.c
uint64_t b_sig_install(const struct bench* b);
uint64_t b_sig_catch(const struct bench* b);
uint64_t b_sigprocmask(const struct bench* b);
uint64_t b_sig_segv(const struct bench* b);
uint64_t b_sig_pingpong(const struct bench* b);

// channels.c
uint64_t b_pipe_self(const struct bench* b);
uint64_t b_chan_rt(const struct bench* b);
uint64_t b_pipe_bw(const struct bench* b);
uint64_t b_eventfd(const struct bench* b);
uint64_t b_ctx_ring(const struct bench* b);
uint64_t b_yield2(const struct bench* b);

// threads.c
uint64_t b_futex_wake(const struct bench* b);
uint64_t b_futex_thr(const struct bench* b);
uint64_t b_futex_proc(const struct bench* b);
uint64_t b_pthread(const struct bench* b);

// memory.c
uint64_t b_fault_anon(const struct bench* b);
uint64_t b_fault_zero(const struct bench* b);
uint64_t b_fault_cow(const struct bench* b);
uint64_t b_fault_file(const struct bench* b);
uint64_t b_mmap_munmap(const struct bench* b);
uint64_t b_mmap_touch(const struct bench* b);
uint64_t b_mprotect(const struct bench* b);
uint64_t b_brk(const struct bench* b);
uint64_t b_dontneed(const struct bench* b);
uint64_t b_fork_then(const struct bench* b);

// processes.c
uint64_t b_fork_exit(const struct bench* b);
uint64_t b_vfork_exit(const struct bench* b);
uint64_t b_fork_exec(const struct bench* b);
uint64_t b_vfork_exec(const struct bench* b);
uint64_t b_spawn(const struct bench* b);
uint64_t b_exec_chain(const struct bench* b);
uint64_t b_fork_exit_big_PAGES_4K(const struct bench* b);
uint64_t b_fork_exit_big_PAGES_DEFAULT(const struct bench* b);
uint64_t b_vfork_exit_big_PAGES_4K(const struct bench* b);
uint64_t b_vfork_exec_big_PAGES_4K(const struct bench* b);
uint64_t b_spawn_big_PAGES_4K(const struct bench* b);
uint64_t b_fork_exit_mt(const struct bench* b);
uint64_t b_vfork_exit_mt(const struct bench* b);
uint64_t b_vfork_exec_mt(const struct bench* b);
uint64_t b_spawn_mt(const struct bench* b);
uint64_t b_fork_exit_fd(const struct bench* b);
uint64_t b_vfork_exit_fd(const struct bench* b);
uint64_t b_vfork_exec_fd(const struct bench* b);
uint64_t b_fork_exit_map(const struct bench* b);
uint64_t b_vfork_exit_map(const struct bench* b);

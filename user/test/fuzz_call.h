// SPDX-License-Identifier: BSD-2-Clause
// One random system call: chosen from the table that scripts/fuzz_table.py makes of kernel/abi/*.def, with arguments of the
// kinds that the call takes, or close to them. Nothing here uses the C library's state: a borrower, and a thread made by a raw
// clone, run it too.
#pragma once
#include "check.h"

#include <lentil/spawn.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <termios.h>

enum { // what the C library of the build machine may not know yet
    fuzz_dontunmap = 4,
};
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP fuzz_dontunmap
#endif

enum way { way_plain, way_rare, way_clone, way_clone3, way_vfork, way_fork1 };

struct fuzz_stream;
struct argument {
    uint64_t (*take)(struct fuzz_stream*, const struct argument*);
    int count;
    const uint64_t* values;
};
struct call {
    int number;
    const char* name;
    enum way way;
    int count;
    struct argument arguments[6];
};

enum {
    fuzz_slots = 16,      // threads that a round starts with
    fuzz_known_pids = 64, // pids that calls may be aimed at
    fuzz_playground = 4 << 20,
    fuzz_history = 8,
    fuzz_buffers = 16 << 10, // for structures, a part for each thread
};

// One for each thread of the start, in memory shared with the program that watches. Calls may scribble on it.
struct fuzz_slot {
    _Atomic int pid, tid;
    _Atomic unsigned beats;            // calls so far
    _Atomic int left;                  // calls to make
    _Atomic int history[fuzz_history]; // numbers of the last calls
};

struct fuzz_shared {
    struct fuzz_slot slots[fuzz_slots];
    _Atomic int makers_left; // processes and threads that may still be made
    _Atomic int known_pids[fuzz_known_pids];
    _Atomic unsigned next_pid;
    _Atomic int not_started; // what a worker's start failed with: a line of fuzz.c, and the errno; 0 if none did
};

struct fuzz_stream {
    uint64_t state;
    struct fuzz_shared* shared;
    struct fuzz_slot* slot;
    char* buffers;
    int depth; // how many makers lie between this and a thread of the start
};

static char* const playground = (char*)0x10000000;
static char fuzz_stacks[64][8192] __attribute__((aligned(16)));
static _Atomic unsigned fuzz_next_stack;

static uint64_t draw(struct fuzz_stream* s) { // splitmix64
    uint64_t z = (s->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
static uint64_t below(struct fuzz_stream* s, uint64_t n) { return draw(s) % n; }
static bool one_in(struct fuzz_stream* s, uint64_t n) { return below(s, n) == 0; }

static uint64_t take_word(struct fuzz_stream* s, const struct argument* a) {
    (void)a;
    static const uint64_t words[] = {0,
                                     1,
                                     ~UINT64_C(0),
                                     0x1000,
                                     0x8000000000000000u,
                                     0xffffffff80200000u,
                                     0xffffffc000000000u,
                                     0x3ffffffff8,
                                     0x4000000000,
                                     0x7fffffff,
                                     0x80000000u,
                                     0x10001,
                                     4095,
                                     0x7fffffffffffffff};
    return one_in(s, 4) ? draw(s) : words[below(s, sizeof words / sizeof *words)];
}

// Most arguments are of their kind; some are anything.
static bool wild(struct fuzz_stream* s) { return one_in(s, 40); }

static uint64_t take_one(struct fuzz_stream* s, const struct argument* a) {
    return wild(s) ? (uint32_t)draw(s) | 0x10000u : a->values[below(s, (uint64_t)a->count)];
}
static uint64_t take_mixed(struct fuzz_stream* s, const struct argument* a);
static uint64_t take_bits(struct fuzz_stream* s, const struct argument* a) {
    uint64_t bits = 0;
    for (uint64_t n = below(s, 4); n > 0; --n)
        bits |= a->values[below(s, (uint64_t)a->count)];
    return wild(s) ? bits | UINT64_C(1) << below(s, 32) : bits;
}
static uint64_t take_flags(struct fuzz_stream* s, const struct argument* a) {
    (void)a;
    return one_in(s, 2) ? 0 : one_in(s, 8) ? (uint32_t)draw(s) : UINT64_C(1) << below(s, 32);
}
static uint64_t take_small(struct fuzz_stream* s, const struct argument* a) {
    return wild(s) ? take_word(s, a) : below(s, 20) - 2;
}
static uint64_t take_eight(struct fuzz_stream* s, const struct argument* a) { return wild(s) ? take_word(s, a) : 8; }
static uint64_t take_fd(struct fuzz_stream* s, const struct argument* a) {
    return wild(s) ? take_word(s, a) : one_in(s, 20) ? 60 + below(s, 10) : 3 + below(s, 24);
}
static uint64_t take_at(struct fuzz_stream* s, const struct argument* a) {
    return one_in(s, 2) ? (uint64_t)AT_FDCWD : take_fd(s, a);
}
static uint64_t take_mode(struct fuzz_stream* s, const struct argument* a) {
    return wild(s) ? take_word(s, a) : one_in(s, 3) ? below(s, 010000) : 0777;
}
static uint64_t take_user(struct fuzz_stream* s, const struct argument* a) {
    (void)a;
    static const uint64_t users[] = {0, 1000, 1001, 0xffffffff, 65534};
    return users[below(s, 5)];
}
static uint64_t take_offset(struct fuzz_stream* s, const struct argument* a) {
    return wild(s) ? take_word(s, a) : one_in(s, 3) ? below(s, 1 << 20) : below(s, 9000);
}
static uint64_t take_size(struct fuzz_stream* s, const struct argument* a) {
    return wild(s) ? take_word(s, a) : one_in(s, 3) ? below(s, 100000) : below(s, 5000);
}
static uint64_t take_signal(struct fuzz_stream* s, const struct argument* a) {
    return wild(s)         ? take_word(s, a)
           : one_in(s, 12) ? (uint64_t)SIGKILL
           : one_in(s, 12) ? (uint64_t)SIGSTOP
                           : below(s, 66);
}

// Own processes, groups and threads alone: signals to every process there is, or to the one that watches, end the run.
static uint64_t take_pid(struct fuzz_stream* s, const struct argument* a) {
    (void)a;
    int pid = atomic_load(&s->shared->known_pids[below(s, fuzz_known_pids)]);
    if (pid <= 0 || one_in(s, 4))
        return one_in(s, 3) ? 4000000 : 0;
    return one_in(s, 6) ? (uint64_t) - (int64_t)pid : (uint64_t)pid;
}
static void learn_pid(struct fuzz_stream* s, int pid) {
    if (pid > 1)
        atomic_store(&s->shared->known_pids[atomic_fetch_add(&s->shared->next_pid, 1) % fuzz_known_pids], pid);
}

static uint64_t take_address(struct fuzz_stream* s, const struct argument* a) {
    if (wild(s))
        return take_word(s, a);
    uint64_t page = one_in(s, 2) ? below(s, 32) : below(s, fuzz_playground / 4096);
    return (uint64_t)playground + page * 4096 + (one_in(s, 6) ? below(s, 4096) : one_in(s, 3) ? below(s, 64) * 4 : 0);
}
static uint64_t take_length(struct fuzz_stream* s, const struct argument* a) {
    return wild(s)        ? take_word(s, a)
           : one_in(s, 8) ? below(s, 1 << 21)
           : one_in(s, 4) ? below(s, 16384)
                          : (1 + below(s, 16)) * 4096;
}

static char* scratch(struct fuzz_stream* s, size_t size) {
    return s->buffers + (below(s, fuzz_buffers - size) & ~UINT64_C(7));
}

static uint64_t take_pointer(struct fuzz_stream* s, const struct argument* a) {
    if (wild(s))
        return take_word(s, a);
    if (one_in(s, 3))
        return take_address(s, a);
    return one_in(s, 20) ? 0 : (uint64_t)scratch(s, 8192);
}
#define TAKE_MIXED_OR(chance)                                                                                          \
    if (one_in(s, chance))                                                                                             \
        return take_pointer(s, a);
static uint64_t take_mixed(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(2)
    return a->values[below(s, (uint64_t)a->count)];
}
static uint64_t take_small_struct(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(6)
    uint64_t* words = (uint64_t*)scratch(s, 64);
    for (int i = 0; i < 8; ++i)
        words[i] = below(s, 100);
    return (uint64_t)words;
}
static uint64_t take_timespec(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(8)
    struct timespec* time = (struct timespec*)scratch(s, 64);
    time[0] =
        (struct timespec){one_in(s, 50) ? (long)draw(s) : 0, one_in(s, 30) ? (long)draw(s) : (long)below(s, 2000000)};
    time[1] = (struct timespec){(long)below(s, 3), one_in(s, 4) ? UTIME_OMIT : (long)below(s, 1000)};
    return (uint64_t)time;
}
static uint64_t take_itimer(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(8)
    struct itimerval* timer = (struct itimerval*)scratch(s, 64);
    *timer = (struct itimerval){{0, (long)below(s, 20000)}, {0, (long)below(s, 20000)}};
    return (uint64_t)timer;
}
static uint64_t take_sigset(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(8)
    uint64_t* set = (uint64_t*)scratch(s, 64);
    *set = one_in(s, 3) ? draw(s) : one_in(s, 2) ? UINT64_C(1) << below(s, 64) : draw(s) & draw(s) & draw(s);
    set[1] = 8; // where it is the size of another one's set
    return (uint64_t)set;
}
static uint64_t take_iovec(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(10)
    struct iovec* vector = (struct iovec*)scratch(s, sizeof(struct iovec) * 16);
    for (int i = 0; i < 16; ++i)
        vector[i] = (struct iovec){(void*)take_pointer(s, a), one_in(s, 20) ? take_size(s, a) : below(s, 500)};
    return (uint64_t)vector;
}
static uint64_t take_pollfd(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(10)
    struct pollfd* fds = (struct pollfd*)scratch(s, sizeof(struct pollfd) * 20);
    for (int i = 0; i < 20; ++i)
        fds[i] = (struct pollfd){(int)take_fd(s, a), (short)draw(s), (short)draw(s)};
    return (uint64_t)fds;
}
static uint64_t take_epoll_event(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(6)
    struct epoll_event* event = (struct epoll_event*)scratch(s, 64);
    event->events =
        one_in(s, 3) ? (uint32_t)draw(s) : (uint32_t)(EPOLLIN | EPOLLOUT | (one_in(s, 2) ? EPOLLET : EPOLLONESHOT));
    event->data.u64 = draw(s);
    return (uint64_t)event;
}
static uint64_t take_rlimit(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(3)
    struct rlimit* limit = (struct rlimit*)scratch(s, 64);
    *limit = (struct rlimit){below(s, 1000) << below(s, 20), UINT64_C(1) << 33};
    return (uint64_t)limit;
}

static void fuzz_handler(int number) { (void)number; }

static uint64_t take_sigaction(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(30)
    uint64_t* action = (uint64_t*)scratch(s, 64); // the kernel's: handler, flags, mask
    action[0] = one_in(s, 10) ? 0 : one_in(s, 4) ? 1 : (uint64_t)fuzz_handler;
    static const uint64_t flags[] = {SA_RESTART, SA_ONSTACK, SA_NODEFER, SA_SIGINFO, SA_NOCLDWAIT, SA_NOCLDSTOP};
    action[1] = flags[below(s, 6)] | (one_in(s, 2) ? flags[below(s, 6)] : 0) | (one_in(s, 30) ? draw(s) : 0);
    action[2] = draw(s) & draw(s) & draw(s);
    return (uint64_t)action;
}
static uint64_t take_stack(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(30)
    stack_t* stack = (stack_t*)scratch(s, 64);
    *stack = (stack_t){(void*)take_address(s, a), one_in(s, 4) ? SS_DISABLE : 0, one_in(s, 8) ? 100 : 16384};
    return (uint64_t)stack;
}

static uint64_t take_path(struct fuzz_stream* s, const struct argument* a) {
    static const char* const paths[] = {"f0",
                                        "f1",
                                        "f2",
                                        "f0",
                                        "d0",
                                        "d0/f",
                                        "d1",
                                        "d1/../f1",
                                        "d1/new",
                                        "fifo",
                                        "link",
                                        "loop",
                                        "dangling",
                                        "proc/self/maps",
                                        "proc/self/fd/5",
                                        "proc/self/fd",
                                        "proc/self/comm",
                                        "proc/self/mem",
                                        "proc/self/task",
                                        "proc/self/exe",
                                        "proc/self/status",
                                        "proc/self/stat",
                                        "proc/self/cwd",
                                        "proc/self/root",
                                        "proc/self/smaps",
                                        "proc/self/limits",
                                        "proc/self/fdinfo",
                                        "proc/mounts",
                                        "proc/self/environ",
                                        "proc/self/oom_score_adj",
                                        "proc",
                                        "proc/lentil/objects",
                                        "dev/null",
                                        "dev/zero",
                                        "dev/full",
                                        ".",
                                        "..",
                                        "/",
                                        "",
                                        "missing",
                                        "bin",
                                        "bin/fuzz",
                                        "damaged",
                                        "script",
                                        "n0",
                                        "n1",
                                        "n2",
                                        "n3",
                                        "d0/n",
                                        "d0/m",
                                        "/d0/../d1/n",
                                        "n0/n1"};
    static char long_path[5000];
    if (wild(s)) {
        if (one_in(s, 2))
            return take_word(s, a);
        for (size_t i = 0; i < sizeof long_path - 1; ++i)
            long_path[i] = i % 100 == 99 ? '/' : 'x';
        return (uint64_t)long_path;
    }
    return (uint64_t)paths[below(s, sizeof paths / sizeof *paths)];
}
static uint64_t take_fstype(struct fuzz_stream* s, const struct argument* a) {
    static const char* const types[] = {"tmpfs", "proc", "devtmpfs", "ext4", ""};
    return wild(s) ? take_word(s, a) : (uint64_t)types[below(s, 5)];
}
static uint64_t take_argv(struct fuzz_stream* s, const struct argument* a) {
    static const char* arguments[] = {"fuzz", "@end", NULL};
    return one_in(s, 8) ? take_pointer(s, a) : (uint64_t)arguments;
}
static uint64_t take_sigevent(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(8)
    struct sigevent* event = (struct sigevent*)scratch(s, 128);
    memset(event, 0, sizeof *event);
    event->sigev_notify = one_in(s, 3) ? SIGEV_NONE : one_in(s, 6) ? 4 : SIGEV_SIGNAL; // 4: to a thread
    event->sigev_signo = (int)below(s, 66);
    return (uint64_t)event;
}
static uint64_t take_kevent(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(8)
    static const short filters[] = {EVFILT_READ, EVFILT_WRITE, EVFILT_PROC, EVFILT_SIGNAL, EVFILT_TIMER, 0};
    struct kevent* changes = (struct kevent*)scratch(s, sizeof(struct kevent) * 20);
    for (int i = 0; i < 20; ++i) {
        short filter = filters[below(s, 6)];
        uint64_t ident = filter == EVFILT_PROC                               ? take_pid(s, a)
                         : filter == EVFILT_SIGNAL || filter == EVFILT_TIMER ? below(s, 66)
                                                                             : take_fd(s, a);
        unsigned short flags =
            one_in(s, 3) ? EV_DELETE : (unsigned short)(EV_ADD | (one_in(s, 3) ? draw(s) & 0xff : 0));
        unsigned notes = filter == EVFILT_PROC ? NOTE_FORK | NOTE_EXEC | NOTE_EXIT | (one_in(s, 2) ? NOTE_TRACK : 0)
                                               : (unsigned)below(s, 16);
        EV_SET(&changes[i], ident, filter, flags, notes, (int64_t)below(s, 20), NULL);
    }
    return (uint64_t)changes;
}
static uint64_t take_spawn(struct fuzz_stream* s, const struct argument* a) {
    TAKE_MIXED_OR(8)
    static const char* const arguments[] = {"fuzz", "@end", NULL};
    if (atomic_fetch_sub(&s->shared->makers_left, 1) <= 0)
        return 0;
    struct lentil_spawn_action* actions = (struct lentil_spawn_action*)scratch(s, sizeof *actions * 8);
    for (int i = 0; i < 8; ++i)
        actions[i] =
            (struct lentil_spawn_action){(uint32_t)below(s, 9),
                                         (int32_t)take_fd(s, a),
                                         (int32_t)take_fd(s, a),
                                         one_in(s, 3) ? (uint32_t)draw(s) : O_RDWR | (one_in(s, 2) ? O_CREAT : 0),
                                         0666,
                                         0,
                                         take_path(s, a)};
    struct lentil_spawn* what = (struct lentil_spawn*)scratch(s, sizeof *what);
    *what = (struct lentil_spawn){.path = one_in(s, 3) ? take_path(s, a) : (uint64_t) "bin/fuzz",
                                  .argv = (uint64_t)arguments,
                                  .envp = (uint64_t)(arguments + 2),
                                  .actions = (uint64_t)actions,
                                  .action_count = (uint32_t)(one_in(s, 2) ? 0 : below(s, 9)),
                                  .flags = one_in(s, 2) ? 0 : (uint32_t)(draw(s) & draw(s)),
                                  .mask = draw(s),
                                  .defaults = draw(s),
                                  .group = (int32_t)take_pid(s, a),
                                  .umask = 022};
    return (uint64_t)what;
}

#include "fuzz_table.h"

static const char *fuzz_only, *fuzz_without; // names with commas between them; NULL: no list

static bool is_listed(const char* list, const char* name) {
    size_t length = strlen(name);
    for (const char* at = list; (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ',') && (at[length] == 0 || at[length] == ','))
            return true;
    return false;
}

// ---- making a call ---------------------------------------------------------------------------------------------------
// a0 to a5, then a7. A child runs `run(stream)` and exits; it never returns from here, so the frame of a lender stays whole.
long fuzz_make(const uint64_t words[7], void (*run)(struct fuzz_stream*), struct fuzz_stream* stream);
__asm__(".text\n.globl fuzz_make\nfuzz_make:\n"
        "  addi sp, sp, -16\n  sd s0, 0(sp)\n  sd s1, 8(sp)\n  mv s0, a1\n  mv s1, a2\n  mv t0, a0\n"
        "  ld a7, 48(t0)\n  ld a0, 0(t0)\n  ld a1, 8(t0)\n  ld a2, 16(t0)\n  ld a3, 24(t0)\n  ld a4, 32(t0)\n  ld a5, "
        "40(t0)\n"
        "  mv t1, a7\n  ecall\n"
        "  bltz a0, 2f\n  bltz t1, 1f\n  beqz a0, 3f\n  j 2f\n"
        "1: bnez a1, 3f\n" // native calls: a1 says which of the two this is
        "2: ld s0, 0(sp)\n  ld s1, 8(sp)\n  addi sp, sp, 16\n  ret\n"
        "3: andi sp, sp, -16\n  mv a0, s1\n  jalr s0\n  li a0, 0\n  li a7, 93\n  ecall\n  unimp\n");

static long plain_call(long number, const uint64_t* words) {
    register uint64_t a0 __asm__("a0") = words[0];
    register uint64_t a1 __asm__("a1") = words[1];
    register uint64_t a2 __asm__("a2") = words[2];
    register uint64_t a3 __asm__("a3") = words[3];
    register uint64_t a4 __asm__("a4") = words[4];
    register uint64_t a5 __asm__("a5") = words[5];
    register long a7 __asm__("a7") = number;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
    return (long)a0;
}

static void fuzz_calls(struct fuzz_stream* s, int count);

// What a child does: some calls on a stream of its own, then it exits.
static void child_calls(struct fuzz_stream* parent) {
    struct fuzz_stream mine = *parent;
    mine.state ^= 0x123456789abcdefu;
    mine.depth++;
    uint64_t none[6] = {0};
    learn_pid(&mine, (int)plain_call(SYS_gettid, none));
    fuzz_calls(&mine, (int)below(&mine, 25));
}

static void make_child(struct fuzz_stream* s, const struct call* call) {
    if (s->depth > 3 || atomic_fetch_sub(&s->shared->makers_left, 1) <= 0)
        return;
    uint64_t words[7] = {0};
    words[6] = (uint64_t)(int64_t)call->number;
    char* stack = NULL;
    unsigned next = atomic_fetch_add(&fuzz_next_stack, 1);
    if (next < sizeof fuzz_stacks / sizeof *fuzz_stacks)
        stack = fuzz_stacks[next] + sizeof *fuzz_stacks;
    static const uint64_t usual[] = {0,
                                     CLONE_VM | CLONE_VFORK,
                                     CLONE_VM | CLONE_VFORK,
                                     CLONE_VFORK,
                                     CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
                                     CLONE_VM | CLONE_SIGHAND,
                                     CLONE_FILES,
                                     CLONE_FS,
                                     CLONE_PARENT,
                                     CLONE_VM};
    uint64_t flags = usual[below(s, sizeof usual / sizeof *usual)];
    if (one_in(s, 2))
        flags |= UINT64_C(256) << below(s, 24); // from CLONE_VM up
    if (one_in(s, 20))
        flags = draw(s) & 0xffffff00u;
    flags &= ~(uint64_t)CLONE_SETTLS;
    uint64_t signal = flags & CLONE_THREAD || one_in(s, 5) ? 0 : one_in(s, 8) ? below(s, 70) : (uint64_t)SIGCHLD;
    bool own_stack = (flags & CLONE_VM && !(flags & CLONE_VFORK)) || one_in(s, 4);
    if (own_stack && !stack)
        return; // two threads on one stack would tell nothing
    uint64_t at = own_stack ? (uint64_t)stack : 0;
    const struct argument any = {0};
    switch (call->way) {
    case way_clone:
        words[0] = flags | signal;
        words[1] = at;
        words[2] = take_pointer(s, &any);
        words[4] = take_address(s, &any);
        break;
    case way_clone3: {
        uint64_t* args = (uint64_t*)scratch(s, 128);
        memset(args, 0, 88);
        args[0] = flags & ~UINT64_C(0xff);
        args[1] = take_pointer(s, &any);
        args[2] = take_address(s, &any);
        args[3] = take_pointer(s, &any);
        args[4] = signal;
        args[5] = at ? at - sizeof *fuzz_stacks : 0;
        args[6] = at ? sizeof *fuzz_stacks : 0;
        words[0] = (uint64_t)args;
        words[1] = one_in(s, 8) ? below(s, 120) : 64;
        break;
    }
    case way_fork1:
        words[0] = one_in(s, 3) ? below(s, 256) : below(s, 4);
        words[1] = signal;
        words[2] = words[0] & 2 || at ? (uint64_t)stack : 0;
        if (words[0] & 2 && !stack)
            return;
        break;
    default: break;
    }
    long result = fuzz_make(words, child_calls, s);
    if (result > 0)
        learn_pid(s, (int)result);
}

static void fuzz_calls(struct fuzz_stream* s, int count) {
    for (int i = 0; i < count; ++i) {
        const struct call* call = &calls[below(s, sizeof calls / sizeof *calls)];
        if (call->way == way_rare && !one_in(s, 50))
            continue;
        if ((fuzz_only && !is_listed(fuzz_only, call->name)) || (fuzz_without && is_listed(fuzz_without, call->name)))
            continue;
        if (call->way > way_rare && one_in(s, 2))
            continue;
        unsigned beat = atomic_fetch_add(&s->slot->beats, 1);
        atomic_store(&s->slot->history[beat % fuzz_history], call->number);
        if (call->way > way_rare) {
            make_child(s, call);
            continue;
        }
        uint64_t words[6] = {0};
        for (int n = 0; n < call->count; ++n)
            words[n] = call->arguments[n].take(s, &call->arguments[n]);
        plain_call(call->number, words);
    }
}

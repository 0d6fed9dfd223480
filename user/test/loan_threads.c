// SPDX-License-Identifier: BSD-2-Clause
// The loan with nesting, with other threads of the lender, with threads that the borrower makes (the gift),
// and the registers it must give back bit for bit.
#include "lend.h"

#include <pthread.h>
#include <sched.h>
#include <spawn.h>

struct stage {
    volatile int borrower, inner, go, beats, returned, done, count;
    volatile long value;
};
static struct stage* s;
static void set_stage(void) { s = (struct stage*)(uintptr_t)shared_memory(4096); }

static volatile int stored, log_size, log_of[128];
static void until_go(void) {
    s->borrower = getpid();
    while (!s->go) {
        ++s->beats;
        check_sleep_ms(1);
    }
}
static void exit_21(void) { _exit(21); }
static void exec_exit(const char* code) {
    execl(check_self, check_self, "@exit", code, (char*)NULL);
    _exit(127);
}

// --- nesting ---

enum { depth_wanted = 60 };
static __attribute__((noinline)) void descend(int depth) {
    if (depth == depth_wanted)
        return;
    pid_t me = getpid();
    pid_t pid = vfork();
    if (pid == 0) {
        CHECK_EQ(getppid(), me);
        descend(depth + 1);
        log_of[log_size++] = depth;
        _exit(depth);
    }
    CHECK(pid > 0);
    CHECK_EQ(getpid(), me);
    CHECK_EXITED(check_reap(pid), depth);
}
static void nest(void) {
    log_size = 0;
    descend(0);
    CHECK_EQ(log_size, depth_wanted);
    for (int i = 0; i < depth_wanted; ++i)
        CHECK_EQ(log_of[i], depth_wanted - 1 - i); // last in, first out
}

static __attribute__((noinline)) void descend_exec(int depth) {
    pid_t pid = vfork();
    if (pid == 0) {
        if (depth > 0)
            descend_exec(depth - 1);
        exec_exit("5");
    }
    CHECK_EXITED(check_reap(pid), 5);
}
static void nest_exec(void) { descend_exec(10); }

static void inner_borrower(void) {
    s->inner = getpid();
    while (!s->go) {
        ++s->beats;
        check_sleep_ms(1);
    }
    s->done = 1;
}
static void middle(void) {
    s->borrower = getpid();
    borrow(inner_borrower);
    s->value = 666; // never: it was killed
}
static void kill_middle(void) {
    CHECK_SOON(s->inner, 5);
    check_sleep_ms(20);
    CHECK_EQ(kill(s->borrower, SIGKILL), 0);
}
static void middle_killed(void) {
    set_stage();
    pid_t k = spawn(kill_middle);
    pid_t pid = borrow(middle);
    CHECK_EQ(pid, s->borrower);
    CHECK_SIGNALED(check_reap(pid), SIGKILL);
    CHECK_EQ(s->done, 0); // the inner one is still out
    int before = s->beats;
    CHECK_SOON(s->beats > before, 5);
    CHECK_EXITED(lend(exit_21), 21); // and the outer one lends again meanwhile
    s->go = 1;
    CHECK_SOON(s->done, 5);
    check_sleep_ms(20);
    CHECK_EQ(s->value, 0);
    CHECK_EXITED(check_reap(k), 0);
}

static void kill_outer(void) {
    CHECK_SOON(s->inner, 5);
    CHECK_EQ(kill(s->count, SIGKILL), 0);
}
static void outer(void) {
    borrow(middle);
    s->value = 667;
}
static void outermost_killed(void) {
    set_stage();
    s->count = spawn(outer);
    pid_t k = spawn(kill_outer);
    CHECK_SIGNALED(check_reap(s->count), SIGKILL);
    CHECK_EXITED(check_reap(k), 0);
    CHECK_EQ(kill(s->borrower, SIGKILL), 0); // the middle one too
    int before = s->beats;
    CHECK_SOON(s->beats > before, 5);
    s->go = 1;
    CHECK_SOON(s->done, 5);
    check_sleep_ms(20);
    CHECK_EQ(s->value, 0);
}

// --- what a borrower may make ---

static void fork_inside(void) {
    stored = 1;
    pid_t me = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        if (getppid() != me)
            _exit(2);
        stored = 2; // a copy: nobody sees it
        _exit(9);
    }
    CHECK_EXITED(check_reap(pid), 9);
    CHECK_EQ(stored, 1);
    stored = 3;
}
static void fork_in_window(void) {
    lend_ok(fork_inside);
    CHECK_EQ(stored, 3);
}

extern char** environ;
static void spawn_inside(void) {
    char word[] = "@exit", code[] = "8";
    char* argv[] = {check_self, word, code, NULL};
    pid_t pid;
    CHECK_EQ(posix_spawn(&pid, check_self, NULL, NULL, argv, environ), 0);
    CHECK_EXITED(check_reap(pid), 8);
}
static void spawn_in_window(void) { lend_ok(spawn_inside); }

static char thread_stack[65536] __attribute__((aligned(16)));
enum {
    thread_flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
};
static volatile int thread_word;
static int thread_stores(void* unused) {
    (void)unused;
    s->value = syscall(SYS_getpid);
    s->inner = (int)syscall(SYS_gettid);
    thread_word = 7;
    syscall(SYS_exit, 0);
    return 0;
}
static void make_thread(void) {
    pid_t tid = clone(thread_stores, thread_stack + sizeof thread_stack, thread_flags, NULL);
    CHECK(tid > 0);
    CHECK_SOON(thread_word == 7, 5);
    CHECK_EQ(s->value, getpid());
    CHECK_EQ(s->inner, tid);
    CHECK(tid != getpid());
    check_sleep_ms(20);
    CHECK_EQ(s->returned, 0);
}
static void gift(void) {
    set_stage();
    for (int i = 0; i < 20; ++i) {
        thread_word = 0;
        s->returned = 0;
        pid_t pid = borrow(make_thread);
        s->returned = 1;
        CHECK_EXITED(check_reap(pid), 0);
    }
    CHECK_EXITED(lend(exit_21), 21);
}

static int thread_exits_group(void* unused) {
    (void)unused;
    syscall(SYS_exit_group, 44);
    return 0;
}
static void thread_ends_borrower(void) {
    clone(thread_exits_group, thread_stack + sizeof thread_stack, thread_flags, NULL);
    for (;;)
        pause();
}
static void group_exit_in_thread(void) {
    CHECK_EXITED(lend(thread_ends_borrower), 44);
    CHECK_EXITED(lend(exit_21), 21);
}

static int thread_execs(void* unused) {
    (void)unused;
    exec_exit("5");
    return 0;
}
static void thread_execs_for_borrower(void) {
    clone(thread_execs, thread_stack + sizeof thread_stack, thread_flags, NULL);
    for (;;)
        pause();
}
static void exec_in_thread(void) {
    CHECK_EXITED(lend(thread_execs_for_borrower), 5);
    CHECK_EXITED(lend(exit_21), 21);
}

static int thread_waits(void* unused) {
    (void)unused;
    for (;;)
        syscall(SYS_sched_yield);
    return 0;
}
static void execs_with_thread(void) {
    clone(thread_waits, thread_stack + sizeof thread_stack, thread_flags, NULL);
    exec_exit("5");
}
static void exec_beside_thread(void) {
    CHECK_EXITED(lend(execs_with_thread), 5);
    CHECK_EXITED(lend(exit_21), 21);
}

// --- other threads of the lender ---

static void* count_on(void* unused) {
    while (!s->borrower)
        check_sleep_ms(1);
    stored = 10; // seen by the borrower
    CHECK_SOON(stored == 11, 5);
    s->go = 1;
    return unused;
}
static void answer_store(void) {
    s->borrower = getpid();
    CHECK_SOON(stored == 10, 5);
    stored = 11;
    CHECK_SOON(s->go, 5);
}
static void sibling_runs(void) {
    set_stage();
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, count_on, NULL), 0);
    lend_ok(answer_store);
    pthread_join(thread, NULL);
}

enum { at_once = 6 };
static volatile int out;
static void meet(void) {
    __atomic_add_fetch(&out, 1, __ATOMIC_SEQ_CST);
    CHECK_SOON(__atomic_load_n(&out, __ATOMIC_SEQ_CST) % at_once == 0,
               10); // all six are out at the same time
}
static void* vfork_and_meet(void* number) {
    long mine = (long)number;
    pid_t pid = vfork();
    if (pid == 0) {
        meet();
        _exit((int)mine);
    }
    CHECK_EXITED(check_reap(pid), mine);
    return number;
}
static void six_at_once(void) {
    for (int round = 0; round < 20; ++round) {
        pthread_t thread[at_once];
        out = 0;
        for (long i = 0; i < at_once; ++i)
            CHECK_EQ(pthread_create(&thread[i], NULL, vfork_and_meet, (void*)(i + 1)), 0);
        for (int i = 0; i < at_once; ++i)
            pthread_join(thread[i], NULL);
        CHECK_EQ(out, at_once);
    }
}

static void exit_3(void) { _exit(3); }
static void exec_3(void) { exec_exit("3"); }
static void* vfork_often(void* number) {
    for (int i = 0; i < 100; ++i) {
        int status = lend(i % 10 == 0 ? exec_3 : exit_3);
        CHECK_EXITED(status, 3);
    }
    return number;
}
static void six_storms(void) {
    pthread_t thread[at_once];
    for (int i = 0; i < at_once; ++i)
        CHECK_EQ(pthread_create(&thread[i], NULL, vfork_often, NULL), 0);
    for (int i = 0; i < at_once; ++i)
        pthread_join(thread[i], NULL);
}

static volatile int reaped, reaper_stops;
static void* reap_all(void* unused) {
    while (!reaper_stops || reaped < 300) {
        int status;
        pid_t pid = wait4(-1, &status, 0, NULL);
        if (pid > 0) {
            CHECK_EXITED(status, 21);
            ++reaped;
        } else {
            sched_yield();
        }
    }
    return unused;
}
static volatile pid_t noted;
static void note_and_exit(void) {
    noted = getpid();
    _exit(21);
}
static void reaped_by_sibling(void) {
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, reap_all, NULL), 0);
    for (int i = 0; i < 300; ++i)
        CHECK_EQ(borrow(note_and_exit), noted);
    reaper_stops = 1;
    pthread_join(thread, NULL);
    CHECK_EQ(reaped, 300);
}

static void* poll_for_child(void* unused) {
    CHECK_SOON(s->borrower, 5);
    CHECK_EQ(waitpid(s->borrower, NULL, WNOHANG), 0);
    s->go = 1;
    return unused;
}
static void no_child_in_window(void) {
    set_stage();
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, poll_for_child, NULL), 0);
    lend_ok(until_go);
    pthread_join(thread, NULL);
}
static void zombie_at_release(void) {
    for (int i = 0; i < 500; ++i) {
        int status = 0;
        pid_t pid = borrow(exit_21);
        CHECK_EQ(waitpid(pid, &status, WNOHANG), pid);
        CHECK_EXITED(status, 21);
    }
}

// --- a sibling thread that ends or replaces the lender ---

static void orphan(void) {
    pid_t parent = getppid();
    until_go();
    CHECK(getppid() != parent);
    s->value = stored; // the old address space is still there
    s->done = 1;
}
static void* sibling_exits(void* unused) {
    CHECK_SOON(s->borrower, 5);
    syscall(SYS_exit_group, 17);
    return unused;
}
static void* sibling_execs(void* unused) {
    CHECK_SOON(s->borrower, 5);
    exec_exit("18");
    return unused;
}
static void* (*sibling)(void*);
static void lender_with_sibling(void) {
    stored = 4321;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, sibling, NULL), 0);
    borrow(orphan);
    s->returned = 1;
    pause();
}
static void lender_ends(void* (*act)(void*), int code) {
    set_stage();
    sibling = act;
    pid_t lender = spawn(lender_with_sibling);
    double start = check_now();
    CHECK_EXITED(check_reap(lender), code);
    CHECK(check_now() - start < 10);
    CHECK_EQ(kill(s->borrower, 0), 0);
    s->go = 1;
    CHECK_SOON(s->done, 5);
    CHECK_EQ(s->value, 4321);
    CHECK_EQ(s->returned, 0);
}
static void exit_group_beside(void) { lender_ends(sibling_exits, 17); }

static void lives_on(void) {
    until_go();
    s->value = stored;
    s->done = 1;
    check_sleep_ms(100);
    _exit(35);
}
static void* sibling_execs_waiter(void* unused) {
    CHECK_SOON(s->borrower, 5);
    char pid[16];
    snprintf(pid, sizeof pid, "%d", s->borrower);
    execl(check_self, check_self, "@wait", pid, (char*)NULL);
    return unused;
}
static void lender_that_execs(void) {
    stored = 4321;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, sibling_execs_waiter, NULL), 0);
    borrow(lives_on);
    s->returned = 1;
    pause();
}
static void exec_beside(void) {
    lender_ends(sibling_execs, 18);
    // The new image is still the borrower's parent and can wait for it.
    set_stage();
    pid_t lender = spawn(lender_that_execs);
    CHECK_SOON(s->borrower, 5);
    check_sleep_ms(100);
    s->go = 1;
    CHECK_SOON(s->done, 5);
    CHECK_EQ(s->value, 4321);
    CHECK_EXITED(check_reap(lender), 35);
    CHECK_EQ(s->returned, 0);
}

static void* sibling_forks(void* unused) {
    CHECK_SOON(s->borrower, 5);
    pid_t me = getpid();
    pid_t pid = fork();
    if (pid == 0) {
        char where[64];
        if (getppid() != me)
            _exit(2);
        if (fcntl(50, F_GETFD) != -1) // the borrower's descriptor, not ours
            _exit(3);
        _exit(getcwd(where, sizeof where) && strcmp(where, "/dev") == 0 ? 0 : 4);
    }
    CHECK_EXITED(check_reap(pid), 0);
    s->go = 1;
    return unused;
}
static void change_then_wait(void) {
    CHECK_EQ(dup2(1, 50), 50);
    CHECK_EQ(chdir("/"), 0);
    until_go();
}
static void sibling_fork(void) {
    set_stage();
    pthread_t thread;
    CHECK_EQ(chdir("/dev"), 0);
    CHECK_EQ(pthread_create(&thread, NULL, sibling_forks, NULL), 0);
    lend_ok(change_then_wait);
    pthread_join(thread, NULL);
}

static volatile int shared_fd;
static void* sibling_changes(void* unused) {
    CHECK_SOON(s->borrower, 5);
    close(shared_fd);
    CHECK_EQ(syscall(SYS_setresuid, 1234, 1234, 1234), 0);
    s->inner = 1;
    return unused;
}
static void unchanged_by_sibling(void) {
    s->borrower = getpid();
    CHECK_SOON(s->inner, 5);
    CHECK_EQ(fcntl(shared_fd, F_GETFD), 0);
    CHECK_EQ(getuid(), 0);
}
static void sibling_closes(void) {
    set_stage();
    pthread_t thread;
    shared_fd = dup(1);
    CHECK_EQ(pthread_create(&thread, NULL, sibling_changes, NULL), 0);
    lend_ok(unchanged_by_sibling);
    pthread_join(thread, NULL);
    CHECK_ERRNO(fcntl(shared_fd, F_GETFD), EBADF);
}

static char* volatile page;
static void* sibling_unmaps(void* unused) {
    CHECK_SOON(s->borrower, 5);
    munmap(page, 4096);
    return unused;
}
static void touch_page(void) {
    s->borrower = getpid();
    for (;;)
        page[0] = 1;
}
static void unmapped_under_borrower(void) {
    set_stage();
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, sibling_unmaps, NULL), 0);
    CHECK_SIGNALED(lend(touch_page), SIGSEGV);
    pthread_join(thread, NULL);
}

static volatile pid_t first;
static void exec_sleeper(void) {
    first = getpid();
    execl(check_self, check_self, "@sleep", "150", (char*)NULL);
    _exit(127);
}
static void two_windows(void) {
    borrow(exec_sleeper);
    pid_t one = first;
    set_stage();
    double start = check_now();
    pid_t two = fork();
    if (two == 0) {
        check_sleep_ms(400);
        s->go = 1;
        _exit(0);
    }
    lend_ok(until_go);
    CHECK(check_now() - start >= 0.39); // the first child's exit in between releases nobody
    CHECK_EXITED(check_reap(one), 0);
    CHECK_EXITED(check_reap(two), 0);
}

// --- registers ---

enum { integers = 32, floats = 32 };
struct registers {
    unsigned long x[integers], f[floats], fcsr;
};
// Loads all registers from `in`, makes a clone(CLONE_VFORK | CLONE_VM) whose child overwrites every register
// and calls `act` on its own stack, and stores what the parent finds to `out`. x0, sp, gp and tp are left
// alone; a0..a4 and a7 carry the call; t6 holds `out` (it is checked like the others: `in` carries its
// value).
void lend_registers(const struct registers* in, struct registers* out, void (*act)(void), void* stack);
__asm__(".text\n.globl lend_registers\n.type lend_registers, @function\nlend_registers:\n"
        "addi sp, sp, -256\n"
        "sd ra, 0(sp)\n sd s0, 8(sp)\n sd s1, 16(sp)\n sd s2, 24(sp)\n sd s3, 32(sp)\n sd s4, 40(sp)\n sd s5, "
        "48(sp)\n"
        "sd s6, 56(sp)\n sd s7, 64(sp)\n sd s8, 72(sp)\n sd s9, 80(sp)\n sd s10, 88(sp)\n sd s11, 96(sp)\n"
        "fsd fs0, 104(sp)\n fsd fs1, 112(sp)\n fsd fs2, 120(sp)\n fsd fs3, 128(sp)\n fsd fs4, 136(sp)\n"
        "fsd fs5, 144(sp)\n fsd fs6, 152(sp)\n fsd fs7, 160(sp)\n fsd fs8, 168(sp)\n fsd fs9, 176(sp)\n"
        "fsd fs10, 184(sp)\n fsd fs11, 192(sp)\n frcsr t0\n sd t0, 200(sp)\n"
        "sd a1, 208(sp)\n sd a2, 216(sp)\n sd a3, 224(sp)\n"
        "mv t6, a0\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "fld f\\n, (256 + 8*\\n)(t6)\n .endr\n"
        "ld t0, 512(t6)\n fscsr t0\n"
        ".irp n,1,5,6,7,8,9,15,16,18,19,20,21,22,23,24,25,26,27,28,29,30\n"
        "ld x\\n, (8*\\n)(t6)\n .endr\n"
        "li a0, 0x4111\n li a1, 0\n li a2, 0\n li a3, 0\n li a4, 0\n li a7, 220\n"
        "ecall\n"
        "beqz a0, 1f\n"
        "sd t6, 232(sp)\n ld t6, 208(sp)\n" // out
        ".irp n,1,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30\n"
        "sd x\\n, (8*\\n)(t6)\n .endr\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "fsd f\\n, (256 + 8*\\n)(t6)\n .endr\n"
        "frcsr t0\n sd t0, 512(t6)\n ld t0, 232(sp)\n sd t0, 248(t6)\n"
        "ld ra, 0(sp)\n ld s0, 8(sp)\n ld s1, 16(sp)\n ld s2, 24(sp)\n ld s3, 32(sp)\n ld s4, 40(sp)\n ld s5, "
        "48(sp)\n"
        "ld s6, 56(sp)\n ld s7, 64(sp)\n ld s8, 72(sp)\n ld s9, 80(sp)\n ld s10, 88(sp)\n ld s11, 96(sp)\n"
        "fld fs0, 104(sp)\n fld fs1, 112(sp)\n fld fs2, 120(sp)\n fld fs3, 128(sp)\n fld fs4, 136(sp)\n"
        "fld fs5, 144(sp)\n fld fs6, 152(sp)\n fld fs7, 160(sp)\n fld fs8, 168(sp)\n fld fs9, 176(sp)\n"
        "fld fs10, 184(sp)\n fld fs11, 192(sp)\n ld t0, 200(sp)\n fscsr t0\n"
        "addi sp, sp, 256\n ret\n"
        "1: ld t0, 216(sp)\n ld sp, 224(sp)\n" // the child: act, on its stack, with every register overwritten
        ".irp n,1,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "li x\\n, -(1000 + \\n)\n .endr\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "fmv.d.x f\\n, a0\n .endr\n"
        "li t1, 0x7f\n fscsr t1\n jalr t0\n li a0, 0\n li a7, 94\n ecall\n"
        ".size lend_registers, .-lend_registers\n");

static void exit_now(void) { syscall(SYS_exit_group, 0); }
static void nap_then_exit(void) { // its registers are saved while it sleeps, and clean when it ends
    const struct timespec nap = {.tv_nsec = 2000000};
    syscall(SYS_nanosleep, &nap, NULL);
    syscall(SYS_exit_group, 0);
}
static void exec_now(void) { exec_exit("0"); }
static void gift_then_exit(void) {
    thread_word = 0;
    make_thread();
    syscall(SYS_exit_group, 0);
}
static void killed(void) {
    for (;;)
        kill((pid_t)syscall(SYS_getpid), SIGKILL);
}
static char other_stack[65536] __attribute__((aligned(16)));
static void registers_after(void (*act)(void), bool dies) {
    static struct registers in, found;
    set_stage();
    for (int round = 0; round < 10; ++round) {
        unsigned long seed = 0x9e3779b97f4a7c15UL * (unsigned long)(round + 1);
        for (int i = 0; i < integers; ++i) {
            seed = seed * 6364136223846793005UL + 1442695040888963407UL;
            in.x[i] = seed;
            seed = seed * 6364136223846793005UL + 1442695040888963407UL;
            in.f[i] = seed;
        }
        in.fcsr = (unsigned long)(round % 5) << 5 | (unsigned long)(round * 7 % 32);
        memset(&found, 0, sizeof found);
        lend_registers(&in, &found, act, other_stack + sizeof other_stack);
        int status = check_reap((pid_t)found.x[10]);
        if (dies)
            CHECK_SIGNALED(status, SIGKILL);
        else
            CHECK_EXITED(status, 0);
        in.x[11] = in.x[12] = in.x[13] = in.x[14] = 0; // the call's arguments, which the kernel keeps too
        in.x[17] = 220;
        for (int i = 1; i < integers - 1; ++i) {
            if (i == 10 || (i >= 2 && i <= 4))
                continue;
            if (found.x[i] != in.x[i])
                check_fail("x%d is %lx, was %lx", i, found.x[i], in.x[i]);
        }
        CHECK_EQ(found.x[31], &in); // t6 held that
        for (int i = 0; i < floats; ++i)
            if (found.f[i] != in.f[i])
                check_fail("f%d is %lx, was %lx", i, found.f[i], in.f[i]);
        CHECK_EQ(found.fcsr, in.fcsr);
    }
}
static void registers_exit(void) { registers_after(exit_now, false); }
static void registers_nap(void) { registers_after(nap_then_exit, false); }
static void registers_exec(void) { registers_after(exec_now, false); }
static void registers_kill(void) { registers_after(killed, true); }
static void registers_gift(void) { registers_after(gift_then_exit, false); }

// --- the family that does not lend: no shared memory, or no waiting ---

static void* copied_stack(void) { return other_stack + sizeof other_stack; }
static int store_late(void* unused) {
    (void)unused;
    check_sleep_ms(100);
    stored = 5;
    s->done = 1;
    _exit(3);
}
static void wait_without_sharing(void) {
    set_stage();
    stored = 1;
    pid_t pid = clone(store_late, copied_stack(), CLONE_VFORK | SIGCHLD, NULL);
    CHECK_EQ(s->done, 1); // it waited
    CHECK_EQ(stored, 1);  // and shared nothing
    CHECK_EXITED(check_reap(pid), 3);
}
static void share_without_waiting(void) {
    set_stage();
    stored = 1;
    pid_t pid = clone(store_late, copied_stack(), CLONE_VM | SIGCHLD, NULL);
    CHECK_EQ(s->done, 0);
    CHECK_SOON(stored == 5, 5);
    CHECK_EXITED(check_reap(pid), 3);
}
static void share_and_wait_on_own_stack(void) {
    set_stage();
    stored = 1;
    pid_t pid = clone(store_late, copied_stack(), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    CHECK_EQ(s->done, 1);
    CHECK_EQ(stored, 5);
    CHECK_EXITED(check_reap(pid), 3);
}
static int change_shared(void* unused) {
    (void)unused;
    CHECK_EQ(dup2(1, 51), 51);
    CHECK_EQ(chdir("/tmp"), 0);
    CHECK(signal(SIGUSR2, SIG_IGN) == SIG_DFL);
    _exit(0);
}
static void shared_parts(void) {
    char where[64];
    CHECK_EQ(chdir("/"), 0);
    pid_t pid = clone(change_shared, copied_stack(),
                      CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD, NULL);
    CHECK_EXITED(check_reap(pid), 0);
    CHECK_EQ(fcntl(51, F_GETFD), 0);
    CHECK(getcwd(where, sizeof where) && strcmp(where, "/tmp") == 0);
    CHECK(signal(SIGUSR2, SIG_DFL) == SIG_IGN);
}
static void on_signal(int number) { stored = number; }
static void exit_signal(void) {
    set_stage();
    signal(SIGUSR1, on_signal);
    stored = 0;
    pid_t pid = clone(store_late, copied_stack(), CLONE_VFORK | SIGUSR1, NULL);
    CHECK_SOON(stored == SIGUSR1, 5);
    int status;
    CHECK_ERRNO(waitpid(pid, &status, WNOHANG), ECHILD); // not a child of the usual kind
    CHECK_EQ(waitpid(pid, &status, __WALL), pid);
    CHECK_EXITED(status, 3);
    pid = clone(store_late, copied_stack(), CLONE_VFORK | 0, NULL);
    CHECK_EQ(waitpid(pid, &status, __WCLONE), pid);
    CHECK_EXITED(status, 3);
    CHECK_ERRNO(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, 0, 0, 0, 0), EINVAL);
    CHECK_ERRNO(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, 0, 0, 0, 0), EINVAL);
}

static const struct check_case cases[] = {
    {"EC-10 EC-11 vforks nest to depth 60 and release last in, first out", nest, 60, false},
    {"EC-10 nested borrowers that exec release one after the other", nest_exec, 60, false},
    {"EC-12 a killed middle borrower releases the outer lender once, the inner one lives on", middle_killed, 0, false},
    {"EC-12 a nested borrower outlives both of its lenders", outermost_killed, 0, false},
    {"EC-13 EC-14 a borrower can fork and wait, and its child gets a copy", fork_in_window, 0, false},
    {"EC-16 a borrower can posix_spawn", spawn_in_window, 0, false},
    {"EC-15 a borrower can make a thread, which belongs to the borrower", gift, 60, false},
    {"EC-75 exit_group in a thread that the borrower made releases the lender once", group_exit_in_thread, 0, false},
    {"EC-76 execve in a thread that the borrower made releases the lender once", exec_in_thread, 0, false},
    {"EC-15 a borrower with a thread can exec", exec_beside_thread, 0, false},
    {"EC-20 LX-29 other threads of the lender run on in the same memory", sibling_runs, 0, false},
    {"EC-21 six threads have six loans out at the same time", six_at_once, 60, false},
    {"EC-173 six threads lend and exec as fast as they can", six_storms, 100, false},
    {"EC-22 NB-45 vfork returns the right pid when another thread reaps the child first", reaped_by_sibling, 60, false},
    {"EC-23 wait4 finds nothing while the loan is out", no_child_in_window, 0, false},
    {"EC-23 LX-14 D07 wait4 with WNOHANG finds the child as soon as vfork returns", zombie_at_release, 60, true},
    {"EC-24 LX-13 exit_group in another thread ends the lender, the borrower lives on", exit_group_beside, 0, false},
    {"EC-25 LX-13 execve in another thread replaces the lender, the borrower keeps the old memory", exec_beside, 0,
     false},
    {"EC-26 a fork in another thread copies the lender, not the borrower", sibling_fork, 0, false},
    {"EC-27 EC-29 descriptors and ids changed by another thread are not the borrower's", sibling_closes, 0, false},
    {"EC-28 memory unmapped under the borrower ends the borrower alone", unmapped_under_borrower, 0, false},
    {"EC-17 the exit of an earlier child does not end a later loan", two_windows, 0, false},
    {"EC-04 XN-08 every register is given back bit for bit after exit", registers_exit, 0, false},
    {"EC-04 XN-08 every register is given back bit for bit after a sleep of the borrower", registers_nap, 0, false},
    {"EC-04 XN-08 every register is given back bit for bit after exec", registers_exec, 0, false},
    {"EC-04 XN-08 every register is given back bit for bit after SIGKILL", registers_kill, 0, false},
    {"EC-04 XN-08 every register is given back bit for bit after a gift", registers_gift, 0, false},
    {"BS-20 clone with CLONE_VFORK alone waits and copies", wait_without_sharing, 0, false},
    {"D14 clone with CLONE_VM alone shares and does not wait", share_without_waiting, 0, false},
    {"clone with CLONE_VM, CLONE_VFORK and a stack shares and waits", share_and_wait_on_own_stack, 0, false},
    {"NB-50 CLONE_FILES, CLONE_FS and CLONE_SIGHAND share what they name during a loan", shared_parts, 0, false},
    {"EC-61 the exit signal is the one asked for, and wait4 tells the kinds apart", exit_signal, 0, false},
};

int main(int argc, char** argv) {
    if (argc > 2 && strcmp(argv[1], "@exit") == 0)
        return atoi(argv[2]);
    if (argc > 2 && strcmp(argv[1], "@sleep") == 0) {
        check_sleep_ms(atoi(argv[2]));
        return 0;
    }
    if (argc > 2 && strcmp(argv[1], "@wait") == 0) {
        int status = 0;
        return waitpid(atoi(argv[2]), &status, 0) == atoi(argv[2]) && WIFEXITED(status) ? WEXITSTATUS(status) : 99;
    }
    return check_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}

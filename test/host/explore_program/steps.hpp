// SPDX-License-Identifier: BSD-2-Clause
// Steps that the explored program is made of: signals with a box to count them in, births, execs, threads, and what must be true
// of each. For main.cpp alone.
#pragma once

#include "calls.hpp"

namespace {

bool chaos = false; ///< somebody kills processes at random: then an end by SIGKILL is always a possible one
constexpr long most_depth = 3;
long focus =
    0; ///< what this run does more often than else: 0 nothing, 1 loans, 2 siblings, 3 stops, 4 siblings in haste, 5 spawn,
       ///< 6 processes that are watched, 7 terminals

using Body = long (*)(void*);

// ---- signals -----------------------------------------------------------------------------------------------------------

/// Where the signals of one test go: queued with a pointer to it.
struct Mailbox {
    long pid = 0, tid = 0; ///< who is to handle them; 0: not known yet, resp. any thread
    volatile long by = 0;  ///< with tid 0: the thread that must, for no other can
    volatile long sent = 0, handled = 0;
};

struct Siginfo {
    int signo, error, code, pad;
    int pid, uid;
    Mailbox* box;
    long rest[12];
};

void on_signal(int, Siginfo* info, void*) {
    Mailbox& box = *info->box;
    const long pid = getpid(), tid = gettid();
    expect(box.pid == 0 || pid == box.pid, "a signal is handled by another process", pid, box.pid);
    expect(box.tid == 0 || tid == box.tid, "a signal is handled by another thread", tid, box.tid);
    expect(box.by == 0 || tid == box.by, "a signal is handled by a thread that cannot", tid, box.by);
    __atomic_fetch_add(&box.handled, 1, __ATOMIC_SEQ_CST);
    cover(Case::signal_handled);
}

void set_handler(long signal) {
    const struct {
        void (*handler)(int, Siginfo*, void*);
        unsigned long flags, mask;
    } action = {on_signal, 4 | 0x10000000, 0}; // SA_SIGINFO, SA_RESTART
    expect(syscall6(nr_sigaction, signal, word(&action), 0, 8) == 0, "sigaction fails");
}

/// The process or the thread of the box is known to be there.
void send(Mailbox& box, long signal = sigrt) {
    Siginfo info = {};
    info.signo = static_cast<int>(signal);
    info.code = -1;
    info.pid = static_cast<int>(getpid());
    info.box = &box;
    __atomic_fetch_add(&box.sent, 1, __ATOMIC_SEQ_CST);
    const long result = box.tid ? syscall6(nr_tgsigqueueinfo, box.pid, box.tid, signal, word(&info))
                                : syscall6(nr_sigqueueinfo, box.pid, signal, word(&info));
    expect(result == 0 || (chaos && result == e_srch), "a signal cannot be sent", result, box.pid);
}

// ---- processes ---------------------------------------------------------------------------------------------------------

constexpr int ended(long code) { return static_cast<int>((code & 0xff) << 8); }
constexpr int killed(long signal) { return static_cast<int>(signal); }

/// Waits for one child, which must end (or stop, or go on) so.
void reap(long pid, int expected, long options = 0) {
    int status = -1;
    long got;
    if (one_in(4))
        // As a shell that looks now and then.
        while ((got = wait4(pid, &status, options | w_nohang)) == 0)
            sleep_us(random(300));
    else
        got = wait4(pid, &status, options);
    expect(got == pid, "wait4 does not find the child", got, pid);
    expect(status == expected || (chaos && status == killed(sigkill)), "wait4 tells another status", status, expected,
           pid);
    cover(Case::waited);
}

/// The clone flags of fork, vfork, and of a vfork without memory shared.
constexpr long as_fork = sigchld, as_vfork = clone_vm | clone_vfork | sigchld, as_waiting_fork = clone_vfork | sigchld,
               as_native_vfork = -1;

long born(Body body, void* argument, long flags) {
    const long pid = birth(body, argument, random(1 << 30), flags);
    expect(pid != -4000, "a register is not what it was");
    expect(pid > 1 || pid == e_again || pid == e_nomem, "clone returns something else", pid, flags);
    if (pid > 0)
        cover(flags & clone_vfork ? Case::vforked : Case::forked);
    return pid;
}

void pause_a_little() {
    for (long n = random(4); n > 0; n--)
        if (one_in(2))
            yield();
        else
            sleep_us(random(200));
}

char decimal(long digit) { return static_cast<char>('0' + digit); }

/// The arguments of a fresh image of this program that ends the process `victim` (0: none), does `depth` more and ends with
/// `code`.
struct Image {
    Image(long depth, long code, long victim = 0)
        : pid{decimal(victim / 1000), decimal(victim / 100 % 10), decimal(victim / 10 % 10), decimal(victim % 10), 0},
          numbers{decimal(depth),     0, decimal(code / 100), decimal(code / 10 % 10),
                  decimal(code % 10), 0, decimal(chaos),      0} {}
    Image(const Image&) = delete;
    Image& operator=(const Image&) = delete;
    char pid[5], numbers[8];
    const char* arguments[6] = {"init", numbers, numbers + 2, numbers + 6, pid, nullptr};
    const char* environment[1] = {nullptr};
};

/// Becomes it. Returns only on an error.
long exec(long depth, long code, long victim = 0) {
    const Image image(depth, code, victim);
    return syscall6(nr_execve, word("/init"), word(image.arguments), word(image.environment));
}

/// A child that is it from the beginning.
long spawn(long depth, long code) {
    const Image image(depth, code);
    const struct {
        const char* path;
        const char* const* arguments;
        const char* const* environment;
        unsigned long actions;
        unsigned action_count, flags;
        unsigned long mask, defaults;
        int group, policy, priority;
        unsigned umask;
    } what = {"/init", image.arguments, image.environment, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    const long pid = syscall6(nr_spawn, word(&what), sizeof what);
    expect(pid > 1 || pid == e_again || pid == e_nomem, "spawn returns something else", pid);
    if (pid > 0)
        cover(Case::spawned);
    return pid;
}

// ---- threads -----------------------------------------------------------------------------------------------------------

constexpr long stack_bytes = 16384;

struct ThreadPlan {
    Body body;
    void* argument;
    volatile int done = 0;
};
long run_thread(void* argument) {
    ThreadPlan& plan = *static_cast<ThreadPlan*>(argument);
    plan.body(plan.argument);
    plan.done = 1;
    return 0;
}
/// False if there is no memory. With `wait` it returns when the thread has ended.
bool start_thread(ThreadPlan& plan, bool wait = false) {
    const long stack = syscall6(nr_mmap, 0, stack_bytes, 3, 0x22, -1, 0);
    if (stack < 0)
        return false;
    if (thread(run_thread, &plan, reinterpret_cast<void*>(stack + stack_bytes),
               wait ? thread_flags | clone_vfork : thread_flags) < 0)
        return false;
    cover(Case::thread_made);
    if (wait)
        expect(plan.done == 1, "a creator does not wait for its thread");
    return true;
}
void join(const ThreadPlan& plan) {
    while (!plan.done)
        sleep_us(random(300));
}

} // namespace

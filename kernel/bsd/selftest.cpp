// SPDX-License-Identifier: BSD-2-Clause
// fork1's test of itself, for what only the kernel can ask of it: entry functions, FORK_SYSTEM, hooks. Runs as pid 1.
#include <bsd/exit.hpp>
#include <bsd/fork.hpp>
#include <bsd/selftest.hpp>
#include <sched/selftest_internal.hpp>

namespace lentil {

namespace {

using selftest::check;

/// What the children of these tests report.
struct Seen {
    std::atomic<uint32_t> runs{0}, children_left{0};
    void* argument = nullptr;
    pid_t pid = 0, parent = 0;
    const Proc* self = nullptr;
    bool discards = false;
};
constinit Seen seen;
constinit RefPtr<Proc>* handed = nullptr;
constinit bool handed_in_time = false;

[[noreturn]] void end(int code) { proc_exit(wait_status::exited(code)); }

void child(void* argument) {
    machine::irq_enable();
    Proc& self = current_proc();
    seen.argument = argument;
    seen.pid = self.pid;
    {
        ProcTreeGuard guard(proc_tree_lock);
        seen.parent = self.parent->pid;
    }
    seen.self = &self;
    handed_in_time = handed && handed->get() == &self;
    seen.runs++;
    end(7);
}

int32_t status_of(pid_t pid) {
    const Result<WaitOutcome> outcome = proc_wait(WaitFor::pid, pid, wait_options::exited);
    return outcome ? outcome->status : -1;
}

Result<ForkOutcome> fork_function(void (*function)(void*), void* argument, uint32_t flags = 0,
                                  RefPtr<Proc>* new_proc = nullptr) {
    ForkRequest request;
    request.flags = flags;
    request.func = function;
    request.arg = argument;
    request.new_proc = new_proc;
    return fork1(request);
}

void entry_function() {
    constexpr std::string_view sentence =
        "NB-30 a child with a kernel entry function runs it once, with its argument as given, null too";
    int something = 0;
    bool holds = true;
    for (void* argument : {static_cast<void*>(&something), static_cast<void*>(nullptr)}) {
        seen.runs = 0;
        const Result<ForkOutcome> made = fork_function(child, argument);
        const int32_t status = made ? status_of(made->pid) : -1;
        holds = holds && made && status == wait_status::exited(7) && seen.runs == 1 && seen.argument == argument &&
                seen.pid == made->pid && seen.parent == current_proc().pid;
    }
    check(holds, sentence, "pid {}, parent {}, {} runs", seen.pid, seen.parent, seen.runs.load());
}

void hand_over() {
    RefPtr<Proc> made;
    handed = &made;
    handed_in_time = false;
    const Result<ForkOutcome> outcome = fork_function(child, nullptr, 0, &made);
    const int32_t status = outcome ? status_of(outcome->pid) : -1;
    handed = nullptr;
    check(outcome && status == wait_status::exited(7) && handed_in_time && made && made->pid == outcome->pid,
          "NB-31 fork1 hands the new process to its caller before it runs, and it stays valid after its end",
          "status {:#x}, in time: {}", status, handed_in_time ? 1 : 0);
}

void system_child(void*) {
    machine::irq_enable();
    const bool is_system = current_proc().is_system;
    const Result<ForkOutcome> grandchild = fork_function(child, nullptr);
    // Nobody waits for it: it goes by itself, and then there is no child.
    const Result<WaitOutcome> outcome = proc_wait(WaitFor::any, 0, wait_options::exited);
    seen.discards = grandchild && !outcome && outcome.error() == Errno::child;
    end(is_system ? 1 : 0);
}

void system_process() {
    seen.discards = false;
    const Result<ForkOutcome> made = fork_function(system_child, nullptr, fork_flags::system);
    const int32_t status = made ? status_of(made->pid) : -1;
    check(status == wait_status::exited(1) && seen.discards,
          "NB-18 FORK_SYSTEM makes a process of the system, whose children leave no zombies", "status {:#x}", status);
}

// ---- hooks -----------------------------------------------------------------------------------------------------------

/// What the hooks did, in order: a letter for a call, a capital one for an undo.
struct HookLog {
    char text[32] = {};
    unsigned size = 0;
    bool sane = true;
    pid_t pid = 0;
    void note(char c) {
        if (size < sizeof text - 1)
            text[size++] = c;
    }
    std::string_view view() const { return {text, size}; }
};
constinit HookLog log;
constinit Errno third_fails{};

template<char Name>
Result<void> prepare(Proc& made, Proc& parent, uint32_t flags) {
    log.note(Name);
    log.pid = made.pid;
    // Complete, with its task and thread, but nobody can find it.
    log.sane = log.sane && &parent == &current_proc() && flags == fork_flags::sharecwd && made.task && made.fds &&
               !proc_find(made.pid) && made.state == ProcState::embryo;
    if (Name == 'c' && third_fails != Errno{})
        return third_fails;
    return {};
}
template<char Name>
void undo(Proc& made) {
    log.note(static_cast<char>(Name - 'a' + 'A'));
    log.sane = log.sane && made.pid == log.pid && !proc_find(made.pid);
}

constinit ForkHook first{prepare<'a'>, undo<'a'>}, second{prepare<'b'>, undo<'b'>}, third{prepare<'c'>, undo<'c'>},
    without_undo{prepare<'d'>};

uint64_t live_objects() {
    uint64_t sum = 0;
    for_each_zone([](const char*, size_t, uint64_t in_use, void* to) { *static_cast<uint64_t*>(to) += in_use; }, &sum);
    return sum;
}

void hooks() {
    for (ForkHook* hook : {&without_undo, &first, &second, &third})
        fork_hook_add(*hook);
    log = {};
    const Result<ForkOutcome> made = fork_function(child, nullptr, fork_flags::sharecwd);
    const int32_t status = made ? status_of(made->pid) : -1;
    check(status == wait_status::exited(7) && log.view() == "dabc" && log.sane && log.pid == made->pid,
          "NB-34 NB-35 every fork hook runs once, in order, when the child is complete and before it can be found",
          "{}, sane: {}", log.view(), log.sane ? 1 : 0);

    const uint64_t forks = proc_counts.forks, procs = proc_counts.procs, uthreads = proc_counts.uthreads;
    bool holds = true;
    uint64_t objects = 0;
    for (int round = 0; round < 20; round++) {
        log = {};
        seen.runs = 0;
        third_fails = round % 2 == 0 ? Errno::perm : Errno::nomem;
        const Result<ForkOutcome> refused = fork_function(child, nullptr, fork_flags::sharecwd);
        holds = holds && !refused && refused.error() == third_fails && log.view() == "dabcBA" && log.sane &&
                seen.runs == 0 && !proc_find(log.pid) && proc_counts.forks == forks && proc_counts.procs == procs &&
                proc_counts.uthreads == uthreads;
        if (round == 9) // stacks and caches have settled
            objects = live_objects();
    }
    holds = holds && live_objects() == objects;
    third_fails = Errno{};
    check(holds,
          "EC-162 NB-35 NB-36 a hook that fails undoes those before it, last first, and the fork leaves nothing behind",
          "{}, {} objects, were {}", log.view(), live_objects(), objects);

    for (ForkHook* hook : {&second, &first, &third, &without_undo})
        fork_hook_remove(*hook);
    log = {};
    const Result<ForkOutcome> plain = fork_function(child, nullptr, fork_flags::sharecwd);
    check(plain && status_of(plain->pid) == wait_status::exited(7) && log.size == 0,
          "a hook that was removed runs no more", "{}", log.view());
}

} // namespace

void fork_selftest() {
    entry_function();
    hand_over();
    system_process();
    hooks();
    selftest::finish();
}

} // namespace lentil

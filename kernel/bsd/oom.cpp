// SPDX-License-Identifier: BSD-2-Clause
// The choice of a victim when memory has run out, one victim at a time.
#include <algorithm>

#include <bsd/exit.hpp>
#include <bsd/oom.hpp>
#include <libkern/format.hpp>
#include <sched/clock.hpp>
#include <sched/killed.hpp>
#include <vm/vm_cache.hpp>

namespace lentil {

namespace {

constexpr nanos_t pause_ns = 1'000'000;
constexpr nanos_t patience_ns = 10'000'000'000; ///< for a victim to end; nothing but a lock that is held holds one up
constexpr int32_t never = -1000;

/// Who was killed last. Not a reference: what is left of a proc would stay as long as nobody else is chosen.
struct Victim {
    pid_t pid = 0;
    nanos_t start_ns = 0; ///< tells it from a later proc with its pid
    nanos_t deadline_ns = 0;
};
constinit Victim victim; ///< t

enum class Exit : uint32_t { over, under_way, overdue };

/// Of the last victim; a zombie has given its memory back. proc_tree_lock held.
Exit victims_exit_locked() {
    const Proc* proc = victim.pid != 0 ? proc_find_locked(victim.pid) : nullptr;
    if (!proc || proc->start_ns != victim.start_ns || proc->state != ProcState::active)
        return Exit::over;
    return monotonic_ns() < victim.deadline_ns ? Exit::under_way : Exit::overdue;
}

Exit victims_exit() {
    ProcTreeGuard guard(proc_tree_lock);
    return victims_exit_locked();
}

RefPtr<Proc> choose() {
    RefPtr<Proc> chosen;
    uint64_t highest = 0;
    for (RefPtr<Proc> proc = proc_next(1); proc; proc = proc_next(proc->pid + 1)) {
        const uint64_t score = oom_score(*proc);
        if (score == 0 || score < highest - highest / 8)
            continue;
        highest = std::max(highest, score);
        chosen = proc;
    }
    return chosen;
}

/// Kills `proc`, unless somebody is on the way out since we looked.
void kill(Proc& proc) {
    bool killed = false;
    {
        ProcTreeGuard guard(proc_tree_lock);
        if (victims_exit_locked() == Exit::under_way)
            return;
        victim = {proc.pid, proc.start_ns, monotonic_ns() + patience_ns};
        killed = proc.state == ProcState::active && signal_begin_group_exit_locked(proc, wait_status::killed(sig_kill));
    }
    if (killed) // else it was ending by itself
        kprint("out of memory: killed process {} ({})\n", proc.pid, static_cast<const char*>(proc.comm));
}

} // namespace

uint64_t oom_score(const Proc& proc) {
    const int64_t adjustment = proc.oom_score_adj.load(std::memory_order_relaxed);
    if (&proc == init_proc || proc.is_system || adjustment == never)
        return 0;
    const RefPtr<VmMap> map = proc_map(proc);
    if (!map)
        return 0;
    const auto pages = static_cast<int64_t>(map->own_pages());
    const auto all_pages = static_cast<int64_t>(page_counts().total);
    return static_cast<uint64_t>(std::max<int64_t>(pages + adjustment * all_pages / 1000, 0));
}

bool oom_make_room() {
    if (being_killed())
        return false;
    if (VmCachedObject::ask_for_room()) // files' pages that are mapped or dirty
        return true;
    if (const Exit exit = victims_exit(); exit != Exit::under_way) {
        Proc& self = current_proc();
        const RefPtr<Proc> chosen = exit == Exit::over ? choose() : nullptr;
        kill(chosen ? *chosen : self); // ourselves for want of anybody else, or of one who ends in time
        if (being_killed())
            return false;
    }
    (void)sleep_until(monotonic_ns() + pause_ns, "out of memory", Interruptible::killable);
    return !being_killed();
}

} // namespace lentil

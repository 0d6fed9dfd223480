// SPDX-License-Identifier: BSD-2-Clause
// Process and thread ids, the tables that find procs, uthreads and groups by number, and admission: how many there may be.
#include <algorithm>

#include <bsd/proc.hpp>
#include <bsd/vfork.hpp>
#include <libkern/format.hpp>
#include <sched/clock.hpp>
#include <vm/fail.hpp>

namespace lentil {

constinit SpinLock<Rank::proc_tree> proc_tree_lock;
constinit ProcCounts proc_counts;
constinit BootStatic<ProcList<&ProcLinks::all_link>> all_procs;
constinit std::atomic<uint32_t> max_procs{0};
constinit std::atomic<pid_t> pid_max{pid_limit};
constinit std::atomic<uint32_t> fork_refused_sleep_ms{0};

namespace {

constexpr unsigned bucket_count = 256;
constexpr unsigned bucket(pid_t id) { return static_cast<unsigned>(id) % bucket_count; }

using PidList = ProcList<&ProcLinks::pid_link>;
using TidList = List<Uthread, &Uthread::tid_link>;
using GroupList = List<ProcessGroup, &ProcessGroup::link>;

/// Everything here is guarded by proc_tree_lock.
struct Tables {
    PidList procs[bucket_count];
    TidList uthreads[bucket_count]; ///< but the procs' own leaders
    GroupList groups[bucket_count];
    uint64_t used[pid_limit / 64] = {1}; ///< ids of living uthreads and of procs that were not reaped; 0 is nobody's
    pid_t last = 0;

    bool is_used(pid_t id) const { return used[id / 64] >> (id % 64) & 1; }
    void set_used(pid_t id) { used[id / 64] |= uint64_t{1} << (id % 64); }
    void set_free(pid_t id) { used[id / 64] &= ~(uint64_t{1} << (id % 64)); }
};
constinit BootStatic<Tables> tables;

template<class L, class Match>
auto* find_in(L& list, Match match) {
    for (auto& item : list)
        if (match(item))
            return &item;
    return static_cast<decltype(&*list.begin())>(nullptr);
}

constinit BootStatic<List<UserCounts, &UserCounts::link>> uid_counts; // proc_tree_lock
/// Some stay for signals that were queued for processes of theirs, which went or changed user. proc_tree_lock
constinit bool users_linger = false;

/// Takes records away that count nothing any more. proc_tree_lock held.
void sweep_users_locked() {
    users_linger = false;
    for (auto it = uid_counts->begin(); it != uid_counts->end();) {
        UserCounts& user = *it;
        ++it;
        if (user.uthreads > 0)
            continue;
        if (user.signals.load(std::memory_order_acquire) > 0) {
            users_linger = true;
            continue;
        }
        uid_counts->erase(uid_counts->iterator_to(user));
        zone_delete(&user);
    }
}

/// "Table is full", at most once in ten seconds for the whole system (NB-03).
void report_full() {
    static constinit std::atomic<nanos_t> last{-10'000'000'000};
    const nanos_t now = machine::now_ns();
    nanos_t before = last.load();
    if (now - before >= 10'000'000'000 && last.compare_exchange_strong(before, now))
        kprint("proc: table is full - the limit is {} processes\n", max_procs.load());
}

} // namespace

UserCounts* user_counts_locked(uid_t uid) {
    return find_in(*uid_counts, [&](const UserCounts& u) { return u.uid == uid; });
}

void proc_init() {
    tables.construct();
    all_procs.construct();
    uid_counts.construct();
    // An eighth of memory in processes of eight pages each, as a bound against fork bombs; ids bound it from above.
    const uint64_t by_memory = page_counts().total / 64;
    max_procs = static_cast<uint32_t>(std::clamp<uint64_t>(by_memory, 64, pid_limit - 2048));
}

namespace {

Result<pid_t> take_number_locked(pid_t wanted) {
    if (wanted != 0) {
        if (wanted < 0 || wanted >= pid_limit)
            return Errno::inval;
        if (tables->is_used(wanted) || group_find_locked(wanted))
            return Errno::exist;
        tables->set_used(wanted);
        return wanted;
    }
    pid_t id = tables->last;
    const pid_t end = pid_max.load(std::memory_order_relaxed);
    for (pid_t tries = 0; tries < end; tries++) {
        id = id + 1 < end ? id + 1 : 2; // 1 is init's for good
        // A group or session keeps its number busy after its leader's end, or a newcomer would find strangers in "its" group.
        if (!tables->is_used(id) && !group_find_locked(id)) {
            tables->set_used(id);
            tables->last = id;
            return id;
        }
    }
    return Errno::again;
}

} // namespace

void pid_free_locked(pid_t pid) { tables->set_free(pid); }

void pid_insert_locked(Proc& proc) { tables->procs[bucket(proc.pid)].push_back(proc); }
void pid_remove_locked(Proc& proc) {
    PidList& list = tables->procs[bucket(proc.pid)];
    list.erase(list.iterator_to(proc));
}
void pid_insert_locked(Uthread& uthread) { tables->uthreads[bucket(uthread.tid)].push_back(uthread); }
void pid_remove_locked(Uthread& uthread) {
    TidList& list = tables->uthreads[bucket(uthread.tid)];
    list.erase(list.iterator_to(uthread));
}
void pid_insert_locked(ProcessGroup& group) { tables->groups[bucket(group.id)].push_back(group); }
void pid_remove_locked(ProcessGroup& group) {
    GroupList& list = tables->groups[bucket(group.id)];
    list.erase(list.iterator_to(group));
}

Proc* proc_find_locked(pid_t pid) {
    if (pid <= 0)
        return nullptr;
    auto* links =
        find_in(tables->procs[bucket(pid)], [&](const ProcLinks& l) { return static_cast<const Proc&>(l).pid == pid; });
    return links ? &proc_of(*links) : nullptr;
}

Uthread* uthread_find_locked(pid_t tid) {
    if (tid <= 0)
        return nullptr;
    if (Uthread* uthread = find_in(tables->uthreads[bucket(tid)], [&](const Uthread& u) { return u.tid == tid; }))
        return uthread;
    Proc* proc = proc_find_locked(tid);
    return proc && proc->leader.proc_link.is_linked() ? &proc->leader : nullptr;
}

ProcessGroup* group_find_locked(pid_t id) {
    if (id <= 0)
        return nullptr;
    return find_in(tables->groups[bucket(id)], [&](const ProcessGroup& g) { return g.id == id; });
}

RefPtr<Proc> proc_find(pid_t pid) {
    ProcTreeGuard guard(proc_tree_lock);
    return ref(proc_find_locked(pid));
}

RefPtr<Uthread> uthread_find(pid_t tid) {
    ProcTreeGuard guard(proc_tree_lock);
    return ref(uthread_find_locked(tid));
}

RefPtr<ProcessGroup> group_find(pid_t id) {
    ProcTreeGuard guard(proc_tree_lock);
    return ref(group_find_locked(id));
}

RefPtr<VmMap> proc_map(const Proc& proc) {
    ProcTreeGuard guard(proc_tree_lock);
    if (proc.task)
        return proc.task->map_ref();
    return loan_map_locked(proc);
}

RefPtr<Proc> proc_next(pid_t pid) {
    ProcTreeGuard guard(proc_tree_lock);
    for (pid_t id = pid < 1 ? 1 : pid; id < pid_limit; id++) {
        if ((id & 63) == 0 && tables->used[id / 64] == 0) {
            id += 63;
            continue;
        }
        if (tables->is_used(id))
            if (Proc* proc = proc_find_locked(id))
                return ref(proc);
    }
    return nullptr;
}

void for_each_proc(void (*visit)(Proc&, void*), void* context) {
    for (RefPtr<Proc> proc = proc_next(1); proc; proc = proc_next(proc->pid + 1))
        visit(*proc, context);
}

Result<Birthright> Birthright::reserve(const Cred& cred, uint64_t nproc_limit, bool process, pid_t wanted) {
    if (allocation_must_fail())
        return Errno::again;
    const bool bypass = cred.uid == 0 || cred.has(Capability::sys_resource) || cred.has(Capability::sys_admin);
    const bool privileged = cred.has(Capability::sys_resource) || cred.has(Capability::sys_admin);

    UserCounts* fresh = nullptr; // made only for the first proc of a uid, and never under the tree's lock
    for (;;) {
        ProcTreeGuard guard(proc_tree_lock);
        const uint64_t procs = proc_counts.procs.load(std::memory_order_relaxed);
        const uint32_t limit = max_procs.load(std::memory_order_relaxed);
        UserCounts* count = user_counts_locked(cred.uid);
        const bool full = process && procs + (privileged ? 0 : procs_reserved) >= limit;
        const bool too_many = !bypass && (count ? count->uthreads : 0) + uint64_t{1} > nproc_limit;
        if (!full && !too_many && !count && !fresh) {
            guard.unlock();
            fresh = TRY(zone_new<UserCounts>());
            fresh->uid = cred.uid;
            continue;
        }
        Result<pid_t> number = Errno::again;
        if (!full && !too_many && (number = take_number_locked(wanted))) {
            if (!count) {
                uid_counts->push_back(*fresh);
                count = std::exchange(fresh, nullptr);
            }
            count->uthreads++;
            proc_counts.uthreads.fetch_add(1, std::memory_order_relaxed);
            if (process)
                proc_counts.procs.fetch_add(1, std::memory_order_relaxed);
        }
        guard.unlock();
        if (fresh)
            zone_delete(fresh);
        if (full)
            report_full();
        if (full || too_many) {
            if (const nanos_t pause = fork_refused_sleep_ms.load(std::memory_order_relaxed) * nanos_t{1'000'000})
                sleep_until(monotonic_ns() + pause, full ? "forkmx" : "forkulim", Interruptible::killable);
            return Errno::again;
        }
        if (!number)
            return number.error();
        return Birthright(cred.uid, process, *number);
    }
}

Birthright::~Birthright() {
    if (number_ == 0)
        return;
    ProcTreeGuard guard(proc_tree_lock);
    proc_slot_release(uid_, process_);
    pid_free_locked(number_);
}

void proc_slot_release(uid_t uid, bool process) {
    UserCounts* count = user_counts_locked(uid);
    ASSERT(count && count->uthreads > 0);
    proc_counts.uthreads.fetch_sub(1, std::memory_order_relaxed);
    if (process)
        proc_counts.procs.fetch_sub(1, std::memory_order_relaxed);
    if (--count->uthreads == 0 || users_linger)
        sweep_users_locked();
}

uint32_t proc_slots_of(uid_t uid) {
    ProcTreeGuard guard(proc_tree_lock);
    const UserCounts* count = user_counts_locked(uid);
    return count ? count->uthreads : 0;
}

Result<void> proc_slot_move(uid_t from, uid_t to, unsigned moved) {
    UserCounts* fresh = TRY(zone_new<UserCounts>());
    fresh->uid = to;
    {
        ProcTreeGuard guard(proc_tree_lock);
        UserCounts* old_count = user_counts_locked(from);
        UserCounts* new_count = user_counts_locked(to);
        ASSERT(old_count && old_count->uthreads >= moved);
        if (!new_count) {
            uid_counts->push_back(*fresh);
            new_count = std::exchange(fresh, nullptr);
        }
        new_count->uthreads += moved;
        old_count->uthreads -= moved;
        if (old_count->uthreads == 0)
            sweep_users_locked();
    }
    if (fresh)
        zone_delete(fresh);
    return {};
}

} // namespace lentil

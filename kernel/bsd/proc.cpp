// SPDX-License-Identifier: BSD-2-Clause
// Tables of a proc that are replaced as a whole, and what it consumed.
#include <bsd/itimer.hpp>
#include <bsd/usage.hpp>

namespace lentil {

Proc* init_proc = nullptr;

// ---- lives ---------------------------------------------------------------------------------------------------------------
//
// A proc is made for nearly every process that ever is, so one that ended is kept as it was constructed and becomes another.
// Most of it is as new by then, since a process ends by giving back what it had: renew() sets the rest. Checked builds compare
// the result with a new one, byte by byte, and then destroy it.

namespace {

void clear_name(char (&name)[16]) { reinterpret_cast<uint64_t*>(name)[0] = reinterpret_cast<uint64_t*>(name)[1] = 0; }

} // namespace

Proc::Proc() : own_fds(*this), own_cwd(*this), loan_record(*this) {
    leader.proc = this;
    itimer_prepare(*this);
}

Result<RefPtr<Proc>> Proc::create() { return RefPtr<Proc>::adopt(TRY(zone_new_or_kept<Proc>())); }

void Proc::last_unref() { zone_keep(this); }

void Proc::abandon() {
    fds.reset();
    cwd.reset();
}

void Proc::renew() {
    renew_count();
    pid = 0;
    state = ProcState::embryo;
    set_parent_locked(nullptr);
    group.reset();
    uthread_count.store(0, std::memory_order_relaxed);
    exit_signal = sig_chld;
    exit_status = 0;
    has_execed = nproc_exceeded = is_subreaper = no_children_wait = is_system = raises_privileges = false;
    leader_trace = nullptr;
    recall_wanted.store(0, std::memory_order_relaxed);
    task.reset();
    cred_.reset();
    sigacts.reset();
    sigacts_lent = false;
    limits_.reset();
    executable.reset();
    sig.renew();
    clear_name(comm);
    dumpable = true;
    no_new_privs = keep_caps = used_privilege = false;
    start_ns = 0;
    itimer_renew(*this);
    if (has_dead_usage)
        dead_uthreads_usage = {};
    if (has_children_usage)
        children_usage = {};
    has_dead_usage = has_children_usage = false;
    memory_at_end = 0;
    personality = 0;
    oom_score_adj.store(0, std::memory_order_relaxed);
    leader.renew();
    own_fds.renew();
    own_cwd.renew();
    loan_record.renew();
}

void Uthread::renew() {
    renew_count();
    tid = 0;
    thread.store(nullptr, std::memory_order_relaxed);
    state.store(UthreadState::embryo, std::memory_order_relaxed);
    lent = nullptr;
    sig.renew();
    sched = {};
    pi_waits = nullptr;
    pi_inherited = 0;
    pi_left.store(false, std::memory_order_relaxed);
    set_child_tid = clear_child_tid = robust_list = robust_list_size = 0;
    clear_name(name);
    in_syscall = false;
    syscall_number = -1;
    if (restart.function)
        restart = {};
    parent_death_signal = 0;
    step = {};
    fail_nth = 0;
    usage = {};
}

void Uthread::last_unref() {
    if (proc && this == &proc->leader)
        proc->unref();
    else
        zone_delete(this);
}

bool Cred::in_group(gid_t g) const {
    if (g == fsgid)
        return true;
    for (uint32_t i = 0; i < group_count; i++)
        if (groups[i] == g)
            return true;
    return false;
}

Result<RefPtr<Cred>> Cred::copy() const {
    RefPtr<Cred> fresh = TRY(make_ref<Cred>());
    fresh->uid = uid, fresh->euid = euid, fresh->suid = suid, fresh->fsuid = fsuid;
    fresh->gid = gid, fresh->egid = egid, fresh->sgid = sgid, fresh->fsgid = fsgid;
    fresh->group_count = group_count;
    fresh->groups = groups;
    fresh->cap_effective = cap_effective, fresh->cap_permitted = cap_permitted;
    fresh->cap_inheritable = cap_inheritable, fresh->cap_bounding = cap_bounding, fresh->cap_ambient = cap_ambient;
    fresh->securebits = securebits;
    return fresh;
}

void Proc::set_cred(RefPtr<const Cred> fresh) {
    SpinGuard guard(tables_lock);
    std::swap(cred_, fresh);
    guard.unlock(); // the old one goes outside the lock
}

Result<void> Proc::set_limit(Limit l, LimitValue value) {
    // Limits are shared after fork (NB-23): a change makes a private copy.
    RefPtr<Limits> fresh = TRY(make_ref<Limits>());
    SpinGuard guard(tables_lock);
    fresh->values = limits_->values;
    (*fresh)[l] = value;
    RefPtr<const Limits> old = std::move(limits_);
    limits_ = std::move(fresh);
    guard.unlock();
    return {};
}

Usage Uthread::usage_locked() const { return usage_of_locked(*this); }

Usage Proc::usage() const {
    ProcTreeGuard guard(proc_tree_lock);
    return usage_locked();
}

Usage Proc::usage_locked() const { return usage_of_locked(*this); }

void uthread_charge(Uthread& uthread) {
    Thread& self = current_thread();
    const CpuTimes times = thread_take_times(self);
    uthread.usage.user += times.user;
    uthread.usage.system += times.system;
    if (self.switches_voluntary.load(std::memory_order_relaxed) != 0)
        uthread.usage.voluntary_switches += self.switches_voluntary.exchange(0, std::memory_order_relaxed);
    if (self.switches_involuntary.load(std::memory_order_relaxed) != 0)
        uthread.usage.involuntary_switches += self.switches_involuntary.exchange(0, std::memory_order_relaxed);
}

} // namespace lentil

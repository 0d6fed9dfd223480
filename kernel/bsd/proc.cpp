// SPDX-License-Identifier: BSD-2-Clause
// Tables of a proc that are replaced as a whole, and what it consumed.
#include <bsd/usage.hpp>

namespace lentil {

Proc* init_proc = nullptr;

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
    uthread.usage.voluntary_switches += self.switches_voluntary.exchange(0, std::memory_order_relaxed);
    uthread.usage.involuntary_switches += self.switches_involuntary.exchange(0, std::memory_order_relaxed);
}

} // namespace lentil

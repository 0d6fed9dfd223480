// SPDX-License-Identifier: BSD-2-Clause
// Scheduling policy, priority and affinity.
#include <algorithm>

#include <abi/creator.hpp>
#include <abi/sys_misc.hpp>
#include <bsd/priority.hpp>
#include <sched/hart.hpp>

namespace lentil::abi {
namespace {

Result<RefPtr<Uthread>> find_thread(pid_t tid) {
    if (tid < 0)
        return Errno::inval;
    if (tid == 0)
        return ref(current_uthread());
    RefPtr<Uthread> uthread = uthread_find(tid);
    if (!uthread)
        return Errno::srch;
    return uthread;
}

SchedParams params_of(const Uthread& uthread) {
    ProcTreeGuard guard(proc_tree_lock);
    return uthread_sched_locked(uthread);
}

/// Changing another's scheduling wants its user, or the capability.
bool may_change(const Uthread& target) {
    const RefPtr<const Cred> self = current_proc().cred();
    const RefPtr<const Cred> other = target.proc->cred();
    return self->euid == other->euid || self->euid == other->uid || self->capable(Capability::sys_nice);
}

bool is_policy(int policy) { return policy == 0 || policy == 1 || policy == 2 || policy == 3 || policy == 5; }

/// Rules of sched_setscheduler(2) for the caller's rights.
Result<void> check_rights(const Uthread& target, const SchedParams& old, const SchedParams& fresh) {
    const RefPtr<const Cred> self = current_proc().cred();
    if (self->capable(Capability::sys_nice))
        return {};
    if (!may_change(target))
        return Errno::perm;
    if (fresh.rt_priority > 0) {
        const uint64_t limit = target.proc->limit(Limit::rtprio).soft;
        if (fresh.policy != old.policy && limit == 0)
            return Errno::perm;
        if (fresh.rt_priority > old.rt_priority && static_cast<uint64_t>(fresh.rt_priority) > limit)
            return Errno::perm;
    }
    if (fresh.nice<old.nice&& static_cast<uint64_t>(20 - fresh.nice)> target.proc->limit(Limit::nice).soft)
        return Errno::perm;
    return {};
}

/// -1: as it is.
Result<SchedParams> with_policy(const SchedParams& old, int policy, int32_t priority) {
    SchedParams fresh = old;
    if (policy >= 0) {
        if (!is_policy(policy))
            return Errno::inval;
        fresh.policy = static_cast<SchedPolicy>(policy);
    }
    if (is_real_time(fresh.policy) ? priority < 1 || priority > 99 : priority != 0)
        return Errno::inval;
    fresh.rt_priority = priority;
    return fresh;
}

Result<void> change_policy(pid_t tid, int policy, int32_t priority, const int32_t* nice) {
    const RefPtr<Uthread> uthread = TRY(find_thread(tid));
    const SchedParams old = params_of(*uthread);
    SchedParams fresh = TRY(with_policy(old, policy, priority));
    if (nice)
        fresh.nice = std::clamp(*nice, -20, 19);
    TRY(check_rights(*uthread, old, fresh));
    uthread_set_sched(*uthread, fresh);
    return {};
}

/// Calls `visit` for each uthread that getpriority's which and who name; srch if there is none.
template<class Visit>
Result<void> for_each_target(int which, int who, Visit visit) {
    enum { process = 0, group = 1, user = 2 };
    if (which < process || which > user)
        return Errno::inval;
    if (which == process) {
        const RefPtr<Uthread> uthread = TRY(find_thread(who < 0 ? INT32_MAX : who));
        visit(*uthread);
        return {};
    }
    const uid_t uid = which == user && who == 0 ? current_proc().cred()->uid : static_cast<uid_t>(who);
    RefPtr<ProcessGroup> wanted;
    if (which == group) {
        ProcTreeGuard guard(proc_tree_lock);
        wanted = who == 0 ? current_proc().group : ref(group_find_locked(who));
        if (!wanted)
            return Errno::srch;
    }
    bool found = false;
    for (RefPtr<Proc> proc = proc_next(1); proc; proc = proc_next(proc->pid + 1)) {
        if (which == user) {
            if (proc->cred()->uid != uid)
                continue;
        } else {
            ProcTreeGuard guard(proc_tree_lock);
            if (!(proc->group == wanted))
                continue;
        }
        // Threads may come and go meanwhile: each is found anew by its number.
        pid_t last = 0;
        for (;;) {
            RefPtr<Uthread> next;
            {
                ProcTreeGuard guard(proc_tree_lock);
                for (Uthread& u : proc->uthreads)
                    if (u.tid > last && (!next || u.tid < next->tid))
                        next = ref(u);
            }
            if (!next)
                break;
            last = next->tid;
            found = true;
            visit(*next);
        }
    }
    if (!found)
        return Errno::srch;
    return {};
}

} // namespace

Result<SchedParams> changed_policy(const Uthread& target, const SchedParams& old, int policy, int32_t priority) {
    SchedParams fresh = TRY(with_policy(old, policy < 0 ? -1 : policy, priority));
    TRY(check_rights(target, old, fresh));
    return fresh;
}

Result<void> sys_sched_yield() {
    thread_yield();
    return {};
}

Result<void> sys_sched_setparam(pid_t tid, UserPtr<SchedParam> param) {
    if (!param || tid < 0)
        return Errno::inval;
    const SchedParam p = TRY(param.read());
    return change_policy(tid, -1, p.priority, nullptr);
}

Result<void> sys_sched_setscheduler(pid_t tid, int policy, UserPtr<SchedParam> param) {
    if (!param || tid < 0 || policy < 0)
        return Errno::inval;
    const SchedParam p = TRY(param.read());
    return change_policy(tid, policy, p.priority, nullptr);
}

Result<uint32_t> sys_sched_getscheduler(pid_t tid) {
    const RefPtr<Uthread> uthread = TRY(find_thread(tid));
    return static_cast<uint32_t>(params_of(*uthread).policy);
}

Result<void> sys_sched_getparam(pid_t tid, UserPtr<SchedParam> param) {
    if (!param)
        return Errno::inval;
    const RefPtr<Uthread> uthread = TRY(find_thread(tid));
    return param.write({params_of(*uthread).rt_priority});
}

Result<void> sys_sched_setaffinity(pid_t tid, uint32_t size, UserPtr<uint64_t> mask) {
    uint64_t bits = 0;
    TRY(copyin(&bits, mask.address(), std::min<size_t>(size, sizeof bits)));
    if (tid < 0)
        return Errno::srch; // not inval, as for policies
    const RefPtr<Uthread> uthread = TRY(find_thread(tid));
    if (!may_change(*uthread))
        return Errno::perm;
    SchedParams params = params_of(*uthread);
    params.affinity = HartSet(bits) & sched_harts();
    if (params.affinity.empty())
        return Errno::inval;
    uthread_set_sched(*uthread, params);
    return {};
}

Result<uint64_t> sys_sched_getaffinity(pid_t tid, uint32_t size, UserPtr<uint64_t> mask) {
    if (size % 8 != 0 || size * uint64_t{8} < machine::boot_info.hart_count)
        return Errno::inval;
    if (tid < 0)
        return Errno::srch;
    const RefPtr<Uthread> uthread = TRY(find_thread(tid));
    TRY(mask.write((params_of(*uthread).affinity & sched_harts()).bits()));
    return sizeof(uint64_t);
}

Result<int> sys_sched_get_priority_max(int policy) {
    if (!is_policy(policy))
        return Errno::inval;
    return is_real_time(static_cast<SchedPolicy>(policy)) ? 99 : 0;
}

Result<int> sys_sched_get_priority_min(int policy) {
    if (!is_policy(policy))
        return Errno::inval;
    return is_real_time(static_cast<SchedPolicy>(policy)) ? 1 : 0;
}

Result<void> sys_sched_rr_get_interval(pid_t tid, UserPtr<Timespec> out) {
    const RefPtr<Uthread> uthread = TRY(find_thread(tid));
    const SchedPolicy policy = params_of(*uthread).policy;
    const nanos_t slice = policy == SchedPolicy::fifo          ? 0
                          : policy == SchedPolicy::round_robin ? sched_time::rr_slice_ns
                                                               : sched_time::slice_ns;
    return out.write(Timespec::from_ns(slice));
}

Result<void> sys_sched_setattr(pid_t tid, uint64_t attr, uint32_t flags) {
    constexpr uint64_t keep_policy = 8, keep_params = 16;
    if (attr == 0 || tid < 0 || flags != 0)
        return Errno::inval;
    uint32_t size = TRY(UserPtr<uint32_t>(attr).read());
    if (size == 0)
        size = sched_attr_size_0;
    if (size < sched_attr_size_0 || size > page_size) {
        TRY(UserPtr<uint32_t>(attr).write(sizeof(SchedAttr)));
        return Errno::toobig;
    }
    SchedAttr a{};
    TRY(copyin(&a, attr, std::min<size_t>(size, sizeof a)));
    // Fields that are not known here must be zero.
    for (uint64_t at = sizeof a; at < size; at++)
        if (TRY(UserPtr<uint8_t>(attr + at).read()) != 0) {
            TRY(UserPtr<uint32_t>(attr).write(sizeof(SchedAttr)));
            return Errno::toobig;
        }
    if (a.flags & ~(keep_policy | keep_params)) // reset-on-fork, deadline and clamping flags
        return Errno::inval;
    const RefPtr<Uthread> uthread = TRY(find_thread(tid));
    const SchedParams old = params_of(*uthread);
    const bool keep = a.flags & keep_params;
    const int32_t nice = keep ? old.nice : a.nice;
    return change_policy(tid, a.flags & keep_policy ? -1 : static_cast<int>(a.policy),
                         keep ? old.rt_priority : static_cast<int32_t>(a.priority), &nice);
}

Result<void> sys_sched_getattr(pid_t tid, uint64_t attr, uint32_t size, uint32_t flags) {
    if (attr == 0 || tid < 0 || size < sched_attr_size_0 || size > page_size || flags != 0)
        return Errno::inval;
    const RefPtr<Uthread> uthread = TRY(find_thread(tid));
    const SchedParams params = params_of(*uthread);
    SchedAttr a{};
    a.size = static_cast<uint32_t>(std::min<size_t>(size, sizeof a));
    a.policy = static_cast<uint32_t>(params.policy);
    a.nice = params.nice;
    a.priority = static_cast<uint32_t>(params.rt_priority);
    a.runtime = is_real_time(params.policy) ? 0 : static_cast<uint64_t>(sched_time::slice_ns);
    return copyout(attr, &a, a.size);
}

Result<int> sys_getpriority(int which, int who) {
    int best = 0; // 20 - nice, so that no result looks like an error
    TRY(for_each_target(which, who, [&](Uthread& u) { best = std::max(best, 20 - params_of(u).nice); }));
    return best;
}

Result<void> sys_setpriority(int which, int who, int nice) {
    nice = std::clamp(nice, -20, 19);
    Errno failure{};
    TRY(for_each_target(which, who, [&](Uthread& u) {
        if (!may_change(u)) {
            failure = Errno::perm;
            return;
        }
        SchedParams params = params_of(u);
        if (nice<params.nice&& static_cast<uint64_t>(20 - nice)> u.proc->limit(Limit::nice).soft &&
            !current_proc().cred()->capable(Capability::sys_nice)) {
            failure = Errno::acces;
            return;
        }
        params.nice = nice;
        uthread_set_sched(u, params);
    }));
    if (failure != Errno{})
        return failure;
    return {};
}

Result<void> sys_getcpu(UserPtr<uint32_t> cpu, UserPtr<uint32_t> node) {
    if (cpu)
        TRY(cpu.write(current_hart().index));
    if (node)
        TRY(node.write(0));
    return {};
}

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// Resource limits and usage.
#include <abi/sys_misc.hpp>
#include <bsd/itimer.hpp>
#include <bsd/usage.hpp>

namespace lentil::abi {
namespace {

constexpr uint64_t max_open_files = 1 << 20; ///< no process may ask for more descriptors

/// What else must know about a new limit. A borrower's limits are its own, the map it runs in is its lender's.
void apply_limit(Proc& proc, Limit which, const LimitValue& value) {
    RefPtr<VmMap> map;
    {
        ProcTreeGuard guard(proc_tree_lock);
        if (proc.task)
            map = proc.task->map_ref();
    }
    if (which == Limit::cpu)
        itimer_cpu_limit_changed(proc);
    if (!map)
        return;
    if (which == Limit::as)
        map->size_limit.store(value.soft, std::memory_order_relaxed);
    if (which == Limit::stack)
        map->stack_limit.store(value.soft, std::memory_order_relaxed);
}

Result<void> set_limit(Proc& proc, Limit which, const LimitValue& value) {
    if (value.soft > value.hard)
        return Errno::inval;
    if (which == Limit::nofile && value.hard > max_open_files)
        return Errno::perm;
    if (value.hard > proc.limit(which).hard && !current_proc().cred()->capable(Capability::sys_resource))
        return Errno::perm;
    TRY(proc.set_limit(which, value));
    apply_limit(proc, which, value);
    return {};
}

Result<Limit> limit_from(uint32_t resource) {
    if (resource >= static_cast<uint32_t>(Limit::count))
        return Errno::inval;
    return static_cast<Limit>(resource);
}

/// prlimit(2): the same ids all over, or the capability.
bool may_change(const Cred& self, const Cred& target) {
    return (self.uid == target.euid && self.uid == target.suid && self.uid == target.uid && self.gid == target.egid &&
            self.gid == target.sgid && self.gid == target.gid) ||
           self.capable(Capability::sys_resource);
}

} // namespace

Result<void> sys_getrlimit(uint32_t resource, UserPtr<Rlimit> out) {
    const LimitValue value = current_proc().limit(TRY(limit_from(resource)));
    return out.write({value.soft, value.hard});
}

Result<void> sys_setrlimit(uint32_t resource, UserPtr<Rlimit> value) {
    const Rlimit wanted = TRY(value.read());
    const Limit which = TRY(limit_from(resource));
    return set_limit(current_proc(), which, {wanted.current, wanted.maximum});
}

Result<void> sys_prlimit64(pid_t pid, uint32_t resource, UserPtr<Rlimit> value, UserPtr<Rlimit> old) {
    const Limit which = TRY(limit_from(resource));
    Rlimit wanted{};
    if (value)
        wanted = TRY(value.read());
    RefPtr<Proc> proc = pid == 0 ? ref(current_proc()) : proc_find(pid);
    if (!proc)
        return Errno::srch;
    if (proc.get() != &current_proc() && !may_change(*current_proc().cred(), *proc->cred()))
        return Errno::perm;
    const LimitValue before = proc->limit(which);
    if (value)
        TRY(set_limit(*proc, which, {wanted.current, wanted.maximum}));
    if (old)
        TRY(old.write({before.soft, before.hard}));
    return {};
}

Result<void> sys_getrusage(int who, UserPtr<Rusage> out) {
    constexpr int self = 0, children = -1, thread = 1;
    Proc& proc = current_proc();
    Usage usage;
    switch (who) {
    case self: {
        ProcTreeGuard guard(proc_tree_lock);
        const Rusage own = Rusage::from(usage_of_locked(proc));
        guard.unlock();
        return out.write(own);
    }
    case children: {
        ProcTreeGuard guard(proc_tree_lock);
        usage = proc.children_usage;
        break;
    }
    case thread: {
        ProcTreeGuard guard(proc_tree_lock);
        usage = current_uthread().usage_locked();
        usage.max_resident_bytes = proc.usage_locked().max_resident_bytes; // of the process: memory is shared
        break;
    }
    default: return Errno::inval;
    }
    return out.write(Rusage::from(usage));
}

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// Process groups and sessions.
#include <bsd/spawn.hpp>

namespace lentil {

void group_join_locked(Proc& proc, RefPtr<ProcessGroup> group) {
    if (group->members.empty())
        pid_insert_locked(*group);
    group->members.push_back(proc);
    proc.group = std::move(group);
}

void group_leave_locked(Proc& proc) {
    ProcessGroup& group = *proc.group;
    group.members.erase(group.members.iterator_to(proc));
    if (group.members.empty())
        pid_remove_locked(group);
}

bool group_is_orphaned_locked(const ProcessGroup& group, const Proc* leaving) {
    for (const ProcLinks& links : group.members) {
        const Proc& member = static_cast<const Proc&>(links);
        if (&member == leaving || member.state != ProcState::active || !member.parent || member.parent == init_proc)
            continue;
        if (member.parent->group != member.group && member.parent->group->session == member.group->session)
            return false;
    }
    return true;
}

Result<void> proc_setpgid(pid_t pid, pid_t id) {
    if (id < 0)
        return Errno::inval;
    Proc& self = current_proc();
    // Made beforehand: whether it is needed shows only under the lock.
    RefPtr<ProcessGroup> fresh = TRY(make_ref<ProcessGroup>());
    RefPtr<ProcessGroup> old; // dropped after the lock
    ProcTreeGuard guard(proc_tree_lock);
    Proc* target = pid == 0 ? &self : proc_find_locked(pid);
    if (!target || target->state != ProcState::active)
        return Errno::srch;
    if (target != &self) {
        if (target->parent != &self)
            return Errno::srch;
        if (target->group->session != self.group->session)
            return Errno::perm;
        if (target->has_execed)
            return Errno::acces;
    }
    if (target->group->session->leader == target)
        return Errno::perm;
    if (id == 0)
        id = target->pid;
    RefPtr<ProcessGroup> group;
    if (id == target->pid) {
        group = ref(group_find_locked(id));
        if (!group) {
            fresh->id = id;
            fresh->session = target->group->session;
            group = std::move(fresh);
        }
    } else {
        group = ref(group_find_locked(id));
        if (!group)
            return Errno::perm;
    }
    if (group->session != target->group->session)
        return Errno::perm;
    if (group == target->group)
        return {};
    old = target->group;
    group_leave_locked(*target);
    group_join_locked(*target, std::move(group));
    guard.unlock();
    return {};
}

Result<pid_t> proc_setsid() {
    Proc& self = current_proc();
    RefPtr<Session> session = TRY(make_ref<Session>());
    RefPtr<ProcessGroup> group = TRY(make_ref<ProcessGroup>());
    RefPtr<ProcessGroup> old;
    ProcTreeGuard guard(proc_tree_lock);
    if (group_find_locked(self.pid))
        return Errno::perm; // it leads a group already
    session->id = self.pid;
    session->leader = &self;
    group->id = self.pid;
    group->session = std::move(session);
    old = self.group;
    group_leave_locked(self);
    group_join_locked(self, std::move(group));
    guard.unlock();
    return self.pid;
}

Result<void> group_signal(pid_t id, const SigInfo& info, bool check) {
    // The whole walk is under the tree's lock: a fork meanwhile either sees the signal pending in its parent and starts
    // over, or has inserted the child for us to find (LX-08: nobody escapes a kill of the group).
    ProcTreeGuard guard(proc_tree_lock);
    ProcessGroup* group = group_find_locked(id);
    if (!group)
        return Errno::srch;
    bool any = false, allowed = false;
    for (ProcLinks& links : group->members) {
        Proc& member = proc_of(links);
        if (member.state == ProcState::embryo)
            continue;
        any = true;
        if (check && !signal_allowed(member, info.signo))
            continue;
        allowed = true;
        if (info.signo != 0 && member.state == ProcState::active)
            signal_send_locked(member, info);
    }
    if (!any)
        return Errno::srch;
    if (allowed)
        Spawn::collect_locked(*group, info.signo);
    if (!allowed)
        return Errno::perm;
    return {};
}

} // namespace lentil

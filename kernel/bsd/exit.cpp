// SPDX-License-Identifier: BSD-2-Clause
// The end of uthreads and procs. A proc ends with its last uthread, which takes the tables down in process context; what
// is left is a zombie for the parent.
#include <bsd/acct.hpp>
#include <bsd/exit.hpp>
#include <bsd/futex_pi.hpp>
#include <bsd/itimer.hpp>
#include <bsd/kqueue.hpp>
#include <bsd/pidfd.hpp>
#include <bsd/posix_timer.hpp>
#include <bsd/priority.hpp>
#include <bsd/ptrace.hpp>
#include <bsd/robust.hpp>
#include <bsd/signal_impl.hpp>
#include <bsd/sysv_sem.hpp>
#include <bsd/tty.hpp>
#include <bsd/vfork.hpp>
#include <debug/trace.hpp>
#include <libkern/format.hpp>
#include <mach/futex.hpp>

namespace lentil {

namespace {

/// Orphans go to the nearest subreaper, or to init.
Proc& heir_of_locked(const Proc& proc) {
    for (Proc* p = proc.parent; p && p != init_proc; p = p->parent)
        if (p->is_subreaper && p->state == ProcState::active && p->living_uthreads() > 0)
            return *p;
    return *init_proc;
}

SigInfo kernel_signal(int signo) {
    SigInfo info;
    info.signo = signo;
    info.code = si_code::kernel;
    return info;
}

/// SIGHUP and SIGCONT for a group that loses its last tie to the rest of its session and has stopped members (POSIX).
void orphan_group_locked(ProcessGroup& group, const Proc* leaving) {
    if (!group_is_orphaned_locked(group, leaving))
        return;
    bool any_stopped = false;
    for (ProcLinks& links : group.members)
        any_stopped |= &proc_of(links) != leaving && proc_of(links).sig.stopped;
    if (!any_stopped)
        return;
    for (ProcLinks& links : group.members) {
        if (&proc_of(links) == leaving || proc_of(links).state != ProcState::active)
            continue;
        signal_send_locked(proc_of(links), kernel_signal(sig_hup));
        signal_send_locked(proc_of(links), kernel_signal(sig_cont));
    }
}

/// Whether `parent` wants no zombies: SIGCHLD ignored, SA_NOCLDWAIT, or FORK_SYSTEM.
bool parent_discards_locked(const Proc& parent, const Proc& child) {
    if (parent.no_children_wait)
        return true;
    if (child.exit_signal != sig_chld)
        return false;
    if (const SigActs* resting = signals::resting_actions_locked(parent); resting && resting->is_default(sig_chld))
        return false;
    RefPtr<SigActs> actions;
    {
        SpinGuard guard(parent.tables_lock);
        if (parent.sigacts->is_default(sig_chld))
            return false;
        actions = parent.sigacts;
    }
    const SigAction action = actions->get(sig_chld);
    return action.handler == SigAction::ignore || (action.flags & sa_flags::nocldwait);
}

SigInfo end_info(const Proc& child) {
    const int32_t status = child.exit_status;
    SigInfo info;
    info.signo = child.exit_signal;
    info.pid = child.pid;
    info.uid = child.cred_->uid; // its last uthread is the caller, or gone
    const Usage usage = child.usage_locked();
    info.utime = usage.user;
    info.stime = usage.system;
    if ((status & 0x7f) == 0) {
        info.code = si_code::cld_exited;
        info.status = status >> 8 & 0xff;
    } else {
        info.code = status & 0x80 ? si_code::cld_dumped : si_code::cld_killed;
        info.status = status & 0x7f;
    }
    return info;
}

void reparent_children_locked(Proc& proc, ReapedProcs& reaped) {
    if (proc.children.empty()) [[likely]]
        return;
    Proc& heir = heir_of_locked(proc);
    while (!proc.children.empty()) {
        Proc& child = proc_of(proc.children.front());
        proc.children.pop_front();
        child.set_parent_locked(&heir);
        heir.children.push_back(child);
        for (const Uthread& uthread : child.uthreads)
            if (uthread.parent_death_signal != 0) {
                SigInfo info;
                info.signo = uthread.parent_death_signal;
                info.pid = proc.pid;
                signal_send_locked(child, info);
            }
        if (child.group != proc.group)
            orphan_group_locked(*child.group, nullptr);
        child.exit_signal = sig_chld; // whatever its creator wanted: an heir waits for all
        if (child.state == ProcState::zombie)
            proc_report_end_locked(child, reaped);
    }
}

/// Takes a uthread out of its proc; its reference goes to the caller.
RefPtr<Uthread> end_uthread_locked(Uthread& uthread, int32_t status) {
    Proc& proc = *uthread.proc;
    uthread_charge(uthread);
    loan_release_locked(uthread);
    if (&uthread != &proc.leader) {
        proc.dead_uthreads_usage.add(uthread.usage);
        proc.has_dead_usage = true;
    }
    proc.uthreads.erase(proc.uthreads.iterator_to(uthread));
    if (&uthread != &proc.leader)
        pid_remove_locked(uthread);
    const bool awaited = ptrace_uthread_gone_locked(uthread, status);
    if (uthread.tid != proc.pid && !awaited)
        pid_free_locked(uthread.tid); // the leader's is the proc's, until it is reaped
    uthread.state.store(UthreadState::dead, std::memory_order_relaxed);
    uthread.thread.store(nullptr, std::memory_order_relaxed);
    return RefPtr<Uthread>::adopt(&uthread);
}

/// Everything that may sleep: timers, files, directories, memory.
void take_down(Proc& proc) {
    itimer_exit(proc);
    posix_timers_end(proc);
    if (proc.sem_undos.load(std::memory_order_relaxed)) [[unlikely]]
        sysv::sem_exit(proc);

    RefPtr<FdTable> fds;
    RefPtr<CwdInfo> cwd;
    RefPtr<MappedFile> executable;
    {
        SpinGuard guard(proc.tables_lock);
        fds = std::move(proc.fds);
        cwd = std::move(proc.cwd);
        executable = std::move(proc.executable);
    }
    fds.reset();
    cwd.reset();
    executable.reset();

    // A borrower has no task: the map, and the thread's place in it, are the lender's. (A gift may bring it one all the same:
    // end_proc sees to that.)
    RefPtr<Task> task;
    if (!loan_is_borrower(proc)) {
        ProcTreeGuard guard(proc_tree_lock);
        task = std::move(proc.task);
    }
    if (task) {
        OwnUsage& usage = current_uthread().usage;
        usage.max_resident_bytes = std::max<uint64_t>(usage.max_resident_bytes, task->peak_resident_bytes());
        if (acct_is_on())
            proc.memory_at_end = task->map().totals().size;
        task_leave();
        task.reset();
    }
}

/// The last uthread ends the proc.
[[noreturn]] void end_proc(Uthread& self, Proc& proc, int32_t status) {
    take_down(proc);
    loan_await_late_gift(proc);
    if (acct_is_on()) [[unlikely]]
        acct_record(proc); // before anybody can wait for it

    ReapedProcs reaped;
    RefPtr<Uthread> ended;
    RefPtr<Task> gift;
    RefPtr<VforkLoan> loan;
    LoanEnd loan_end;
    {
        ProcTreeGuard guard(proc_tree_lock);
        if (Session& session = *proc.group->session; session.leader == &proc) [[unlikely]]
            session_leader_ends_locked(session);
        if (!proc.tracees.empty()) [[unlikely]]
            ptrace_tracer_ends_locked(proc, reaped);
        reparent_children_locked(proc, reaped);
        if (proc.sig.group_exit)
            proc.exit_status = proc.sig.group_exit_status;
        ended = end_uthread_locked(self, status);
        if (trace_on(Probe::proc_exit)) [[unlikely]] {
            const Usage usage = proc.usage_locked();
            trace(Probe::proc_exit, proc.exit_status, usage.user, usage.system);
        }
        current_thread().uthread = nullptr;
        if (proc.parent->group != proc.group) // else it was no tie of its group to the rest of the session
            orphan_group_locked(*proc.group, &proc);
        proc_counts.exits.fetch_add(1, std::memory_order_relaxed);

        // First the zombie and its SIGCHLD, then the release: wait4(WNOHANG) by the lender finds it (D07).
        proc.state = ProcState::zombie;
        // No signal comes to a zombie, so one look without their lock is enough.
        if (!(proc.sig.shared.set | ended->sig.pending.set).empty()) [[unlikely]]
            signal_proc_gone_locked(proc, *ended);
        kqueue_note_exit_locked(proc);
        pidfd_note_locked(proc);
        proc_report_end_locked(proc, reaped);
        loan_end = loan_release_locked(proc, loan);
        gift = std::move(proc.task); // the lender was killed while its borrower was taken down: a task came after all
        loan_check_locked();
    }
    // From here on the proc may be gone.
    ended.reset();
    drop_reaped(reaped);
    if (loan_end == LoanEnd::handed_back) {
        loan_restore(std::move(loan));
        uthread_apply_sched();
        thread_return_to_user();
    }
    loan.reset();
    if (gift) {
        proc_counts.late_gifts.fetch_add(1, std::memory_order_relaxed);
        task_leave();
        gift.reset();
    }
    thread_exit();
}

} // namespace

void uthread_leave_map(Uthread& self) {
    robust_list_exit(self);
    futex_pi_exit(self);
    const vaddr_t address = std::exchange(self.clear_child_tid, 0);
    // With nobody left to see it the store would only fault pages in.
    const bool alone = !loan_is_borrower(*self.proc) && current_map().ref_count() == 1 && self.proc->is_single();
    if (address == 0 || alone)
        return;
    const int32_t zero = 0;
    if (copyout(address, &zero, sizeof zero).ok())
        (void)futex_wake(current_map(), address, 1, futex_match_any, false);
}

void proc_report_end_locked(Proc& proc, ReapedProcs& reaped) {
    if (proc.leader_trace && ptrace_takes_end_locked(proc, end_info(proc))) [[unlikely]]
        return;
    Proc& parent = *proc.parent;
    const bool discard = !proc.leader_trace && parent_discards_locked(parent, proc);
    if (proc.exit_signal != 0 && !signals::is_void_locked(parent, proc.exit_signal))
        signal_send_locked(parent, end_info(proc));
    if (discard)
        proc_reap_locked(proc, reaped);
    parent.child_waitq.wake_all();
}

void proc_reap_locked(Proc& proc, ReapedProcs& reaped) {
    ASSERT(proc.state == ProcState::zombie);
    if (proc.leader_trace)
        ptrace_drop_locked(*proc.leader_trace);
    proc.state = ProcState::dead;
    pidfd_note_locked(proc);
    if (proc.parent)
        proc.parent->children.erase(proc.parent->children.iterator_to(proc));
    all_procs->erase(all_procs->iterator_to(proc));
    pid_remove_locked(proc);
    pid_free_locked(proc.pid);
    group_leave_locked(proc);
    proc_slot_release(proc.cred_->uid, true);
    reaped.push_back(proc);
}

void drop_reaped(ReapedProcs& reaped) {
    while (!reaped.empty()) {
        Proc& proc = proc_of(reaped.front());
        reaped.pop_front();
        proc.unref(); // the tables'
    }
}

void uthread_exit(int32_t status) {
    Uthread& self = current_uthread();
    Proc& proc = *self.proc;
    if (self.traced.load(std::memory_order_relaxed)) [[unlikely]]
        ptrace_exit_event(status);
    uthread_leave_map(self);
    // The last one takes task and map down as soon as nobody else counts: so leave both first. (A borrower is the only
    // uthread of its proc, and the task is its lender's.)
    if (!loan_is_borrower(proc))
        task_leave();

    RefPtr<Uthread> ended;
    if (proc.is_single()) { // nobody else changes the count, and nobody looks at the status before the proc is a zombie
        if (self.tid == proc.pid)
            proc.exit_status = status;
        proc.uthread_count.store(0, std::memory_order_release);
    } else {
        ProcTreeGuard guard(proc_tree_lock);
        if (self.tid == proc.pid)
            proc.exit_status = status;
        if (proc.uthread_count.fetch_sub(1, std::memory_order_release) > 1) {
            trace(Probe::proc_lwp_exit, self.tid);
            ended = end_uthread_locked(self, status);
            current_thread().uthread = nullptr;
            proc_slot_release(proc.cred_->uid, false);
            // Another takes over what this one was chosen for; execve may wait to be alone.
            signal_uthread_gone_locked(*ended);
            proc.uthreads_waitq.wake_all();
        }
    }
    if (!ended) {
        if (&proc == init_proc) {
            kprint("init ended with wait status {:#x}\n", status);
            panic("init ended");
        }
        end_proc(self, proc, status);
    }
    ended.reset();
    task_leave(); // a borrower whose loan became a gift meanwhile
    thread_exit();
}

void proc_exit(int32_t status) {
    signal_begin_own_exit(current_proc(), status); // the first one's status counts
    uthread_exit(status);
}

} // namespace lentil

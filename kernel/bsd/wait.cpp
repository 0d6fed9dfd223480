// SPDX-License-Identifier: BSD-2-Clause
// wait4 and waitid: which child, what happened to it, and the end of zombies.
#include <bsd/ptrace.hpp>

namespace lentil {

namespace {

struct Criteria {
    WaitFor what;
    pid_t id;
    uint32_t options;
    const Proc* only;

    bool selects(pid_t tid, pid_t group) const {
        return what == WaitFor::any || (what == WaitFor::pid ? tid : group) == id;
    }
    /// Tracees are waited for whatever signal they end with.
    bool matches(const Proc& child, bool traced) const {
        using namespace wait_options;
        if (!selects(child.pid, child.group->id) || (only && only != &child))
            return false;
        if (traced || (options & all))
            return true;
        // A "clone" child is one that does not end with SIGCHLD (EC-61).
        return (child.exit_signal != sig_chld) == ((options & clone) != 0);
    }
};

enum class Scan { found, nothing_yet, no_child };

/// A zombie's usage is its parent's from now on.
void charge_parent(Proc& parent, const Proc& proc) {
    Usage& sum = parent.children_usage;
    sum.add(proc.leader.usage);
    if (proc.has_dead_usage)
        sum.add(proc.dead_uthreads_usage);
    if (proc.has_children_usage)
        sum.add(proc.children_usage);
    parent.has_children_usage = true;
}

/// What a zombie has to report. False if the caller's tracees of its uthreads come first.
bool report_zombie(const Proc& proc, WaitOutcome& out) {
    if (proc.leader_trace && ptrace_has_unwaited_uthreads_locked(*proc.leader_trace))
        return false;
    out.status = proc.exit_status;
    out.uid = proc.cred_->uid;
    if (out.usage) {
        *out.usage = proc.usage_locked();
        out.usage->add(proc.children_usage);
    }
    return true;
}

/// One tracee with something to report, those that are children left out where scan_locked has seen to them.
Scan scan_tracees_locked(Proc& self, const Criteria& criteria, WaitOutcome& out, ReapedProcs& reaped) {
    using namespace wait_options;
    bool any = false;
    const bool keep = criteria.options & nowait;
    for (Tracing& tracing : self.tracees) {
        if (!criteria.selects(tracing.tid, tracing.proc ? tracing.proc->group->id : tracing.group) ||
            (criteria.only && criteria.only != tracing.proc))
            continue;
        any = true;
        out.pid = tracing.tid;
        if (tracing.ended) {
            if (!(criteria.options & exited))
                continue;
            out.status = tracing.end_status;
            out.uid = tracing.end_uid;
            if (out.usage)
                *out.usage = tracing.end_usage;
            if (!keep) {
                pid_free_locked(tracing.tid);
                ptrace_drop_locked(tracing);
            }
            return Scan::found;
        }
        Proc& proc = *tracing.proc;
        if (proc.state == ProcState::zombie) {
            if (proc.parent == &self || !(criteria.options & exited) || !report_zombie(proc, out))
                continue;
            if (!keep) {
                ptrace_drop_locked(tracing);
                proc_report_end_locked(proc, reaped); // now its parent hears of it
            }
            return Scan::found;
        }
        if (tracing.reportable()) {
            out.status = tracing.stop->code << 8 | 0x7f;
            out.trapped = true;
            out.uid = proc.cred_->uid;
            if (out.usage)
                *out.usage = proc.usage_locked();
            tracing.stop->unreported = keep;
            return Scan::found;
        }
    }
    return any ? Scan::nothing_yet : Scan::no_child;
}

/// One child with something to report. Takes the report unless WNOWAIT.
Scan scan_locked(Proc& self, const Criteria& criteria, WaitOutcome& out, ReapedProcs& reaped) {
    using namespace wait_options;
    bool any = false;
    const bool keep = criteria.options & nowait;
    for (ProcLinks& links : self.children) {
        Proc& child = proc_of(links);
        const bool mine = child.leader_trace && child.leader_trace->tracer == &self;
        if (!criteria.matches(child, mine))
            continue;
        any = true;
        out.pid = child.pid;
        if (child.state == ProcState::zombie) {
            if (child.leader_trace && !mine)
                continue; // its tracer comes first
            if (!(criteria.options & exited) || !report_zombie(child, out))
                continue;
            if (!keep) {
                charge_parent(self, child);
                proc_reap_locked(child, reaped);
            }
            return Scan::found;
        }
        SpinGuard guard(child.sig.lock);
        bool report = false;
        if (child.sig.stop_unreported && (criteria.options & untraced) && !mine) {
            out.status = wait_status::stopped(child.sig.stop_signal);
            child.sig.stop_unreported = keep;
            report = true;
        } else if (child.sig.continued_unreported && (criteria.options & continued)) {
            out.status = wait_status::continued;
            child.sig.continued_unreported = keep;
            report = true;
        }
        guard.unlock();
        if (report) {
            out.uid = child.cred_->uid;
            if (out.usage)
                *out.usage = child.usage_locked();
            return Scan::found;
        }
    }
    const Scan tracees = scan_tracees_locked(self, criteria, out, reaped);
    if (tracees == Scan::found)
        return tracees;
    out = WaitOutcome{.usage = out.usage};
    if (out.usage)
        *out.usage = {};
    return any ? Scan::nothing_yet : tracees;
}

} // namespace

Result<void> proc_wait(WaitOutcome& out, WaitFor what, pid_t id, uint32_t options, const Proc* only) {
    Proc& self = current_proc();
    if (what == WaitFor::group && id == 0) {
        ProcTreeGuard guard(proc_tree_lock);
        id = self.group->id;
    }
    const Criteria criteria{what, id, options, only};
    ReapedProcs reaped;
    Scan scan = Scan::nothing_yet;
    const auto ready = [&] {
        ProcTreeGuard guard(proc_tree_lock);
        scan = scan_locked(self, criteria, out, reaped);
        return scan != Scan::nothing_yet;
    };
    WaitResult result = WaitResult::awoken;
    if (options & wait_options::nohang)
        ready();
    else
        result = wait_until(self.child_waitq, "wait", ready);
    drop_reaped(reaped);
    if (result != WaitResult::awoken)
        return Errno::restart_sys;
    if (scan == Scan::no_child)
        return Errno::child;
    return {};
}

} // namespace lentil

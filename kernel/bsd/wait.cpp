// SPDX-License-Identifier: BSD-2-Clause
// wait4 and waitid: which child, what happened to it, and the end of zombies.
#include <bsd/exit.hpp>

namespace lentil {

namespace {

struct Criteria {
    WaitFor what;
    pid_t id;
    uint32_t options;

    bool matches(const Proc& child) const {
        using namespace wait_options;
        if (what == WaitFor::pid && child.pid != id)
            return false;
        if (what == WaitFor::group && child.group->id != id)
            return false;
        if (options & all)
            return true;
        // A "clone" child is one that does not end with SIGCHLD (EC-61).
        return (child.exit_signal != sig_chld) == ((options & clone) != 0);
    }
};

enum class Scan { found, nothing_yet, no_child };

/// One child with something to report. Takes the report unless WNOWAIT.
Scan scan_locked(Proc& self, const Criteria& criteria, WaitOutcome& out, ReapedProcs& reaped) {
    using namespace wait_options;
    bool any = false;
    const bool keep = criteria.options & nowait;
    for (ProcLinks& links : self.children) {
        Proc& child = proc_of(links);
        if (!criteria.matches(child))
            continue;
        any = true;
        out.pid = child.pid;
        if (child.state == ProcState::zombie) {
            if (!(criteria.options & exited))
                continue;
            out.status = child.exit_status;
            out.uid = child.cred_->uid;
            out.usage = child.final_usage;
            out.usage.add(child.children_usage);
            if (!keep) {
                self.children_usage.add(out.usage);
                proc_reap_locked(child, reaped);
            }
            return Scan::found;
        }
        SpinGuard guard(child.sig.lock);
        bool report = false;
        if (child.sig.stop_unreported && (criteria.options & untraced)) {
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
            out.usage = child.usage_locked();
            return Scan::found;
        }
    }
    out = WaitOutcome{};
    return any ? Scan::nothing_yet : Scan::no_child;
}

} // namespace

Result<WaitOutcome> proc_wait(WaitFor what, pid_t id, uint32_t options) {
    Proc& self = current_proc();
    if (what == WaitFor::group && id == 0) {
        ProcTreeGuard guard(proc_tree_lock);
        id = self.group->id;
    }
    const Criteria criteria{what, id, options};
    WaitOutcome out;
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
    return out;
}

} // namespace lentil

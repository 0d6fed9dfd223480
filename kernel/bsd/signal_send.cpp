// SPDX-License-Identifier: BSD-2-Clause
// Sending signals: what is ignored, stops and continues, which uthread takes it, and the beginning of a forced end.
#include <bsd/exit.hpp>
#include <bsd/kqueue.hpp>
#include <bsd/signal_impl.hpp>
#include <debug/trace.hpp>

namespace lentil {

using signals::SignalGuard;

namespace {

/// Whether `uthread` could be woken to take `signo` now. One that is on its way to its signals already need not be.
bool wants(const Proc& proc, const Uthread& uthread, int signo) {
    Thread* thread = uthread.thread.load(std::memory_order_relaxed);
    if (!thread || uthread.state.load(std::memory_order_relaxed) != UthreadState::executing)
        return false;
    if (signals::blocked_for(uthread).has(signo) && !uthread.sig.waiting_for.has(signo))
        return false;
    if (uthread.sig.stopped && proc.sig.stopping)
        return false;
    return thread->interrupt_level.load(std::memory_order_relaxed) == 0;
}

/// Whether `uthread`, executing or parked, lets `signo` end its proc. In a stop it does not look before SIGCONT.
bool dies_of(const Proc& proc, const Uthread& uthread, int signo) {
    const UthreadState state = uthread.state.load(std::memory_order_relaxed);
    if (state == UthreadState::dead || (proc.sig.stopping && (uthread.sig.stopped || state == UthreadState::parked)))
        return false;
    return !uthread.sig.mask.has(signo);
}

/// `handler` is the signal's.
bool is_fatal(const Proc& proc, Uthread* target, int signo, vaddr_t handler) {
    if (handler != SigAction::default_action || default_action(signo) != DefaultAction::terminate ||
        signals::is_unkillable(proc))
        return false;
    if (signo == sig_kill)
        return true;
    if (ptrace_watches(proc, target))
        return false; // the tracer may want it otherwise
    if (target)
        return dies_of(proc, *target, signo);
    for (const Uthread& u : proc.uthreads)
        if (dies_of(proc, u, signo))
            return true;
    return false;
}

bool is_ignored(const Proc& proc, const Uthread* target, int signo, vaddr_t handler) {
    if (signo != sig_kill && ptrace_watches(proc, target))
        return false; // the tracer hears of it
    // A blocked signal is kept: its action may be another one by the time it is unblocked.
    if (!target && !proc.uthreads.empty())
        target = &*proc.uthreads.begin();
    if (target && target->sig.mask.has(signo))
        return false;
    return discards(handler, signo) || (signals::is_unkillable(proc) && handler == SigAction::default_action);
}

/// Drops `set` from every queue of the proc.
void drop_everywhere(Proc& proc, SigSet set) {
    pending_drop(proc.sig.shared, set);
    for (Uthread& u : proc.uthreads)
        pending_drop(u.sig.pending, set);
}

bool mark_exit(ProcSignals& sig, int32_t wait_status) {
    if (sig.group_exit)
        return false;
    sig.group_exit = true;
    sig.group_exit_status = wait_status;
    sig.stopping = sig.stopped = sig.stop_unreported = sig.continued_unreported = false;
    return true;
}

bool group_exit(Proc& proc, int32_t wait_status) {
    ProcSignals& sig = proc.sig;
    if (!mark_exit(sig, wait_status))
        return false;
    bool parked = false;
    for (Uthread& u : proc.uthreads) {
        parked |= u.state.load(std::memory_order_relaxed) == UthreadState::parked;
        if (Thread* thread = u.thread.load(std::memory_order_relaxed))
            thread_interrupt(*thread, 2);
    }
    sig.stop_waitq.wake_all();
    if (parked)
        loan_recall(proc);
    return true;
}

/// SIGCONT takes effect when it is sent, whether or not it is blocked or ignored. True if the parent is to be told.
bool resume(Proc& proc) {
    ProcSignals& sig = proc.sig;
    drop_everywhere(proc, stop_signals);
    const bool was_stopping = sig.stopping, was_stopped = sig.stopped;
    sig.stopping = sig.stopped = sig.stop_unreported = false;
    ptrace_job_control_changed(proc);
    if (!was_stopping)
        return false;
    sig.continued_unreported = was_stopped;
    sig.stop_waitq.wake_all();
    // What the stop held back ends the proc now, also if all its uthreads are parked.
    for (int signo = 1; signo <= signal_count; signo++)
        if (sig.shared.set.has(signo) && is_fatal(proc, nullptr, signo, signals::handler_of(proc, signo))) {
            group_exit(proc, wait_status::killed(signo));
            break;
        }
    return was_stopped;
}

/// A signal just became pending: wakes whoever takes it. One uthread is enough; the main one if it wants it.
void notify(Proc& proc, Uthread* target, int signo, vaddr_t handler) {
    signal_waitq(proc).wake_all();
    if (is_fatal(proc, target, signo, handler)) {
        group_exit(proc, wait_status::killed(signo));
        return;
    }
    if (target) {
        if (wants(proc, *target, signo))
            thread_interrupt(*target->thread.load(std::memory_order_relaxed), 1);
        return;
    }
    for (Uthread& u : proc.uthreads)
        if (wants(proc, u, signo)) {
            thread_interrupt(*u.thread.load(std::memory_order_relaxed), 1);
            return;
        }
}

} // namespace

Waitq& signal_waitq(const Proc& proc) {
    static constexpr size_t count = 64;
    static constinit Waitq queues[count];
    return queues[static_cast<size_t>(proc.pid) % count];
}

namespace signals {

void begin_stop(Proc& proc, int signo) {
    ProcSignals& sig = proc.sig;
    if (sig.stopping)
        return;
    sig.stopping = true;
    sig.stopped = sig.continued_unreported = false;
    sig.stop_signal = signo;
    ptrace_job_control_changed(proc);
    for (Uthread& u : proc.uthreads)
        if (Thread* thread = u.thread.load(std::memory_order_relaxed))
            thread_interrupt(*thread, 1);
}

bool complete_stop(Proc& proc) {
    ProcSignals& sig = proc.sig;
    if (!sig.stopping || sig.stopped)
        return false;
    for (const Uthread& u : proc.uthreads) {
        const UthreadState state = u.state.load(std::memory_order_relaxed);
        const Tracing* tracing = u.traced.load(std::memory_order_relaxed);
        if (!u.sig.stopped && !(tracing && tracing->stop_seen) && state != UthreadState::parked &&
            state != UthreadState::dead)
            return false;
    }
    sig.stopped = sig.stop_unreported = true;
    return true;
}

void report_to_parent(Proc& proc, int32_t code, int32_t status) {
    Proc* parent = proc.parent;
    if (!parent)
        return;
    const SigAction action = action_of(*parent, sig_chld);
    if (action.handler != SigAction::ignore && !(action.flags & sa_flags::nocldstop)) {
        SigInfo info{.signo = sig_chld, .code = code, .pid = proc.pid, .status = status};
        info.uid = proc.cred()->uid;
        signal_send_locked(*parent, info);
    }
    parent->child_waitq.wake_all();
}

bool is_void_locked(const Proc& proc, int signo) {
    // Stop signals and SIGCONT act on other signals, whatever is thrown away.
    if (proc.knotes || trace_on(Probe::proc_signal_send) || signo == sig_cont || stop_signals.has(signo))
        return false;
    if (const SigActs* actions = resting_actions_locked(proc))
        return is_ignored(proc, &proc.uthreads.front(), signo, actions->handler(signo));
    SignalGuard guard(proc.sig.lock);
    vaddr_t handler = SigAction::default_action;
    if (SpinGuard tables(proc.tables_lock); proc.sigacts)
        handler = proc.sigacts->handler(signo);
    return is_ignored(proc, nullptr, signo, handler);
}

void retarget(Proc& proc, const Uthread& except) {
    for (Uthread& u : proc.uthreads)
        if (&u != &except && u.state.load(std::memory_order_relaxed) == UthreadState::executing)
            signal_recalculate(u);
}

} // namespace signals

Result<void> signal_queue_locked(Proc& proc, Uthread* target, const SigInfo& info) {
    const int signo = info.signo;
    ASSERT(is_signal(signo));
    if (proc.state != ProcState::active)
        return {};
    trace(Probe::proc_signal_send, proc.pid, target ? target->tid : 0, signo, info.code);
    kqueue_note_signal_locked(proc, signo);
    SignalGuard guard(proc.sig.lock);
    if (proc.sig.group_exit) {
        if (signo == sig_kill) {
            proc.sig.kill_repeated = true;
            proc.sig.stop_waitq.wake_all();
        }
        return {};
    }
    bool resumed = false;
    if (signo == sig_cont)
        resumed = resume(proc);
    else if (stop_signals.has(signo))
        drop_everywhere(proc, SigSet::of(sig_cont));

    Result<void> result;
    const vaddr_t handler = signals::handler_of(proc, signo);
    if (!proc.sig.group_exit && !is_ignored(proc, target, signo, handler)) {
        SignalQuota quota;
        if (!is_exempt(info))
            quota.limit = proc.limit(Limit::sigpending).soft;
        if (UserCounts* user = user_counts_locked(proc.real_uid()))
            quota.count = &user->signals;
        Pending& pending = target ? target->sig.pending : proc.sig.shared;
        switch (pending_add(pending, quota, info)) {
        case Enqueued::added:
        case Enqueued::bare: notify(proc, target, signo, handler); break;
        case Enqueued::coalesced: break;
        case Enqueued::refused: result = Errno::again; break;
        }
    }
    guard.unlock();
    if (resumed)
        signals::report_to_parent(proc, si_code::cld_continued, sig_cont);
    return result;
}

bool signal_queue_own_locked(Proc& proc, Uthread* target, QueuedSignal& entry) {
    const int signo = entry.info.signo;
    ASSERT(entry.left && !entry.link.is_linked());
    if (proc.state != ProcState::active ||
        (target && target->state.load(std::memory_order_relaxed) == UthreadState::dead))
        return false;
    trace(Probe::proc_signal_send, proc.pid, target ? target->tid : 0, signo, entry.info.code);
    SignalGuard guard(proc.sig.lock);
    if (proc.sig.group_exit)
        return false;
    const bool resumed = signo == sig_cont && resume(proc);
    if (stop_signals.has(signo))
        drop_everywhere(proc, SigSet::of(sig_cont));
    const vaddr_t handler = signals::handler_of(proc, signo);
    const bool wanted = !proc.sig.group_exit && !is_ignored(proc, target, signo, handler);
    if (wanted) {
        Pending& pending = target ? target->sig.pending : proc.sig.shared;
        pending.queue.push_back(entry);
        pending.set.add(signo);
        notify(proc, target, signo, handler);
    }
    guard.unlock();
    if (resumed)
        signals::report_to_parent(proc, si_code::cld_continued, sig_cont);
    return wanted;
}

void signal_send_locked(Proc& proc, const SigInfo& info) { (void)signal_queue_locked(proc, nullptr, info); }

void signal_send_locked(Uthread& uthread, const SigInfo& info) {
    if (uthread.state.load(std::memory_order_relaxed) != UthreadState::dead)
        (void)signal_queue_locked(*uthread.proc, &uthread, info);
}

void signal_send(Proc& proc, const SigInfo& info) {
    ProcTreeGuard tree(proc_tree_lock);
    signal_send_locked(proc, info);
}

void signal_send(Uthread& uthread, const SigInfo& info) {
    ProcTreeGuard tree(proc_tree_lock);
    signal_send_locked(uthread, info);
}

void signal_send_kernel(Proc& proc, int signo) { signal_send(proc, SigInfo{.signo = signo, .code = si_code::kernel}); }

void signal_force(const SigInfo& info) {
    Uthread& self = current_uthread();
    Proc& proc = *self.proc;
    {
        SignalGuard guard(proc.sig.lock);
        const SigAction action = signals::action_of(proc, info.signo);
        const bool handled = !self.sig.mask.has(info.signo) && action.handler > SigAction::ignore;
        if (handled || ptrace_watches(proc, &self)) {
            if (self.sig.mask.has(info.signo) || action.handler == SigAction::ignore) {
                if (!sigacts_own(proc).ok()) {
                    guard.unlock();
                    signal_begin_group_exit(proc, wait_status::killed(info.signo));
                    return;
                }
                signals::set_action(proc, info.signo, {}); // what the tracer lets through ends it all the same
                self.sig.mask.remove(info.signo);
            }
            pending_add(self.sig.pending, {}, info);
            thread_interrupt(current_thread(), 1);
            return;
        }
    }
    signal_begin_group_exit(proc, wait_status::killed(info.signo));
}

void signal_broken_pipe() {
    if (!has_uthread())
        return;
    const Proc& self = current_proc();
    signal_send(current_uthread(),
                {.signo = sig_pipe, .code = si_code::user, .pid = self.pid, .uid = self.cred()->uid});
}

bool signal_begin_group_exit_locked(Proc& proc, int32_t wait_status) {
    SignalGuard guard(proc.sig.lock);
    return group_exit(proc, wait_status);
}

bool signal_begin_exec_locked(Proc& proc, Uthread& survivor) {
    SignalGuard guard(proc.sig.lock);
    if (proc.sig.group_exit || proc.sig.exec_survivor)
        return false;
    proc.sig.exec_survivor = &survivor;
    bool parked = false;
    for (Uthread& uthread : proc.uthreads) {
        if (&uthread == &survivor)
            continue;
        parked |= uthread.state == UthreadState::parked;
        signal_recalculate(uthread);
    }
    proc.sig.stop_waitq.wake_all();
    guard.unlock();
    if (parked)
        loan_recall(proc);
    return true;
}

void signal_end_exec_locked(Proc& proc) {
    SignalGuard guard(proc.sig.lock);
    proc.sig.exec_survivor = nullptr;
}

bool signal_begin_group_exit(Proc& proc, int32_t wait_status) {
    ProcTreeGuard tree(proc_tree_lock);
    return signal_begin_group_exit_locked(proc, wait_status);
}

void signal_begin_own_exit(Proc& proc, int32_t wait_status) {
    if (!proc.is_single()) {
        signal_begin_group_exit(proc, wait_status);
        return;
    }
    // Nobody is to be told, and nobody is parked. What it still waits for is cut short.
    SignalGuard guard(proc.sig.lock);
    if (mark_exit(proc.sig, wait_status))
        current_thread().interrupt_level.store(2, std::memory_order_relaxed);
}

bool signal_allowed(const Proc& target, int signo) {
    const Proc& self = current_proc();
    // Who shares the caller's credentials, as relatives do until one changes them, has its user.
    if (&self == &target || self.cred_.get() == target.cred_.get())
        return true;
    const RefPtr<const Cred> mine = self.cred(), theirs = target.cred();
    if (!theirs)
        return true;
    if (mine->euid == theirs->suid || mine->euid == theirs->uid || mine->uid == theirs->suid ||
        mine->uid == theirs->uid || mine->capable(Capability::kill))
        return true;
    return signo == sig_cont && self.group && target.group && self.group->session == target.group->session;
}

void signal_uthread_gone_locked(Uthread& uthread) {
    Proc& proc = *uthread.proc;
    SignalGuard guard(proc.sig.lock);
    pending_drop(uthread.sig.pending, SigSet{~uint64_t{0}});
    if (!proc.sig.group_exit)
        signals::retarget(proc, uthread);
    const bool stopped = !proc.uthreads.empty() && signals::complete_stop(proc);
    const int32_t signo = proc.sig.stop_signal;
    guard.unlock();
    if (stopped)
        signals::report_to_parent(proc, si_code::cld_stopped, signo);
}

void signal_proc_gone_locked(Proc& proc, Uthread& last) {
    SignalGuard guard(proc.sig.lock);
    pending_drop(last.sig.pending, SigSet{~uint64_t{0}});
    pending_drop(proc.sig.shared, SigSet{~uint64_t{0}});
}

} // namespace lentil

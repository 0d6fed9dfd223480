// SPDX-License-Identifier: BSD-2-Clause
// Tracing, the tracer's side: who may trace whom, attach and detach, orders to a stopped tracee, and the ends of both.
//
// A tracee keeps its parent; the tracer is a second proc that waits for it. What the tracer has not waited for, the parent
// does not see: the end of a leader goes to the tracer first, and on to the parent when that has waited or is gone. A
// uthread that is not its proc's leader has an end of its own for its tracer, and keeps its tid until then.
//
// A traced uthread never lends its thread, and a borrower gets a task of its own before it is traced: so whatever stops or
// ends a tracee is about a thread that nobody else counts on.
#include <bsd/exit.hpp>
#include <bsd/ptrace_impl.hpp>

namespace lentil {

using signals::SignalGuard;

namespace {

/// A record that goes again unless it is linked.
class Fresh {
public:
    static Result<Fresh> make() { return Fresh(TRY(zone_new<Tracing>())); }
    Fresh(Fresh&& o) noexcept : tracing_(std::exchange(o.tracing_, nullptr)) {}
    ~Fresh() {
        if (tracing_)
            zone_delete(tracing_);
    }
    Tracing& operator*() { return *tracing_; }
    Tracing* keep() { return std::exchange(tracing_, nullptr); }

private:
    explicit Fresh(Tracing* tracing) : tracing_(tracing) {}
    Tracing* tracing_;
};

/// From here on `tracer` traces `uthread`. proc_tree_lock and the signal lock of its proc held.
void link(Tracing& tracing, Proc& tracer, Uthread& uthread) {
    Proc& proc = *uthread.proc;
    tracing.tracer = &tracer;
    tracing.proc = &proc;
    tracing.uthread = &uthread;
    tracing.pid = proc.pid;
    tracing.tid = uthread.tid;
    tracer.tracees.push_back(tracing);
    uthread.traced = &tracing;
    if (Thread* const thread = uthread.thread)
        thread->arch.calls_watched.store(1, std::memory_order_relaxed);
    if (tracing.is_leader())
        proc.leader_trace = &tracing;
}

/// The opposite; a tracee that is stopped goes on. Same locks, or only proc_tree_lock once the uthread is gone.
void unlink(Tracing& tracing) {
    tracing.tracer->tracees.erase(tracing.tracer->tracees.iterator_to(tracing));
    if (tracing.proc && tracing.proc->leader_trace == &tracing)
        tracing.proc->leader_trace = nullptr;
    if (Uthread* uthread = std::exchange(tracing.uthread, nullptr)) {
        uthread->traced = nullptr;
        if (Thread* const thread = uthread->thread)
            thread->arch.calls_watched.store(0, std::memory_order_relaxed);
        signal_recalculate(*uthread); // a job-control stop that it left may still be on
    }
}

bool capabilities_include(const Cred& mine, const Cred& theirs) {
    return (theirs.cap_permitted & ~mine.cap_permitted) == 0;
}

/// The record of `tid` if it is traced by the current proc.
Tracing* own_tracee_locked(pid_t tid) {
    Proc& self = current_proc();
    for (Tracing& tracing : self.tracees)
        if (tracing.tid == tid && tracing.uthread)
            return &tracing;
    return nullptr;
}

Result<int32_t> check_signal(uint64_t signo) {
    if (signo > signal_count)
        return Errno::io;
    return static_cast<int32_t>(signo);
}

/// `signo` instead of what it stopped for: as if the tracer had sent it.
void replace_signal(TraceStop& stop, int32_t signo) {
    if (signo == 0 || signo == stop.info.signo)
        return;
    const Proc& self = current_proc();
    stop.info = {.signo = signo, .code = si_code::user, .pid = self.pid};
    stop.info.uid = self.cred()->uid;
}

/// Takes a tracee that goes on alone out of its tracer's hands.
void set_free_locked(Tracing& tracing, int32_t signo) {
    {
        SignalGuard guard(tracing.proc->sig.lock);
        if (tracing.stop)
            tracing::end_stop(tracing, signo);
        unlink(tracing);
    }
    zone_delete(&tracing);
}

} // namespace

namespace tracing {

void end_stop(Tracing& tracing, int32_t signo) {
    TraceStop& stop = *std::exchange(tracing.stop, nullptr);
    tracing.listening = false;
    stop.signo = signo;
    stop.over = true;
    tracing.proc->sig.stop_waitq.wake_all();
}

} // namespace tracing

// ---- becoming a tracee -------------------------------------------------------------------------------------------------

Result<void> ptrace_check_access(const Proc& target) {
    const Proc& self = current_proc();
    if (&self == &target)
        return {};
    const RefPtr<const Cred> mine = self.cred(), theirs = target.cred();
    if (!theirs || target.is_system)
        return Errno::perm;
    if (mine->capable(Capability::sys_ptrace))
        return {};
    const bool same = mine->uid == theirs->euid && mine->uid == theirs->suid && mine->uid == theirs->uid &&
                      mine->gid == theirs->egid && mine->gid == theirs->sgid && mine->gid == theirs->gid;
    if (!same || !target.dumpable || !capabilities_include(*mine, *theirs))
        return Errno::perm;
    return {};
}

Result<void> ptrace_trace_me() {
    Uthread& self = current_uthread();
    Proc& proc = *self.proc;
    TRY(loan_become_owner(proc));
    Fresh fresh = TRY(Fresh::make());
    ProcTreeGuard tree(proc_tree_lock);
    Proc* parent = proc.parent;
    if (!parent)
        return Errno::perm;
    const RefPtr<const Cred> mine = proc.cred(), theirs = parent->cred();
    if (!theirs || (!capabilities_include(*theirs, *mine) && !theirs->capable(Capability::sys_ptrace)))
        return Errno::perm;
    (*fresh).silent = loan_is_awaited_by(proc, *parent);
    SignalGuard guard(proc.sig.lock);
    if (self.traced.load(std::memory_order_relaxed))
        return Errno::perm;
    link(*fresh.keep(), *parent, self);
    return {};
}

Result<void> ptrace_attach(pid_t tid, bool seize, uint32_t options) {
    const RefPtr<Uthread> target = uthread_find(tid);
    if (!target)
        return Errno::srch;
    RefPtr<Proc> proc;
    {
        ProcTreeGuard tree(proc_tree_lock);
        if (target->state.load(std::memory_order_relaxed) == UthreadState::dead)
            return Errno::srch;
        proc = ref(target->proc);
    }
    if (proc.get() == &current_proc())
        return Errno::perm;
    TRY(ptrace_check_access(*proc));
    TRY(loan_become_owner(*proc));
    Fresh fresh = TRY(Fresh::make());
    (*fresh).seized = seize;
    (*fresh).options = options;

    ProcTreeGuard tree(proc_tree_lock);
    if (target->state.load(std::memory_order_relaxed) == UthreadState::dead || proc->state != ProcState::active)
        return Errno::srch;
    SignalGuard guard(proc->sig.lock);
    if (target->traced.load(std::memory_order_relaxed) || proc->raises_privileges || proc->sig.group_exit)
        return Errno::perm;
    Tracing& tracing = *fresh.keep();
    link(tracing, current_proc(), *target);
    if (target->sig.stopped) { // by job control: from now on as a tracee
        tracing.traps |= Tracing::trap_stop;
        proc->sig.stop_waitq.wake_all();
    }
    guard.unlock();
    if (!seize)
        signal_send_locked(*target, {.signo = sig_stop, .code = si_code::kernel});
    return {};
}

// ---- orders ------------------------------------------------------------------------------------------------------------

Result<Tracing*> ptrace_stopped_locked(pid_t tid) {
    Tracing* tracing = own_tracee_locked(tid);
    if (!tracing || !tracing->stop || tracing->listening)
        return Errno::srch;
    return tracing;
}

Result<RefPtr<VmMap>> ptrace_map(pid_t tid) {
    ProcTreeGuard tree(proc_tree_lock);
    const Tracing* tracing = TRY(ptrace_stopped_locked(tid));
    if (!tracing->proc->task)
        return Errno::srch;
    return tracing->proc->task->map_ref();
}

Result<void> ptrace_interrupt(pid_t tid) {
    ProcTreeGuard tree(proc_tree_lock);
    Tracing* tracing = own_tracee_locked(tid);
    if (!tracing)
        return Errno::srch;
    if (!tracing->seized)
        return Errno::io;
    SignalGuard guard(tracing->proc->sig.lock);
    if (tracing->stop && !tracing->listening)
        return {}; // it is stopped: that will do
    tracing->traps |= Tracing::trap_stop;
    if (tracing->stop)
        tracing::end_stop(*tracing, 0); // listened: it stops again, and is seen
    signal_recalculate(*tracing->uthread);
    return {};
}

Result<void> ptrace_listen(pid_t tid) {
    ProcTreeGuard tree(proc_tree_lock);
    Tracing* tracing = TRY(ptrace_stopped_locked(tid));
    SignalGuard guard(tracing->proc->sig.lock);
    if (!tracing->seized || tracing->stop->code >> 8 != static_cast<int32_t>(trace_events::stop))
        return Errno::io;
    tracing->listening = true;
    if (tracing->traps & Tracing::trap_notify)
        tracing::end_stop(*tracing, 0); // things changed before it began to listen
    return {};
}

Result<void> ptrace_kill(pid_t tid) {
    ProcTreeGuard tree(proc_tree_lock);
    Tracing* tracing = own_tracee_locked(tid);
    if (!tracing)
        return Errno::srch;
    signal_send_locked(*tracing->proc, {.signo = sig_kill, .code = si_code::user, .pid = current_proc().pid});
    return {};
}

Result<void> ptrace_resume(pid_t tid, TraceResume how, uint64_t signal) {
    const int32_t signo = TRY(check_signal(signal));
    ProcTreeGuard tree(proc_tree_lock);
    Tracing* tracing = TRY(ptrace_stopped_locked(tid));
    SignalGuard guard(tracing->proc->sig.lock);
    tracing->resume = how;
    replace_signal(*tracing->stop, signo);
    tracing::end_stop(*tracing, signo);
    return {};
}

Result<void> ptrace_detach(pid_t tid, uint64_t signal) {
    const int32_t signo = TRY(check_signal(signal));
    ProcTreeGuard tree(proc_tree_lock);
    Tracing* tracing = TRY(ptrace_stopped_locked(tid));
    {
        SignalGuard guard(tracing->proc->sig.lock);
        replace_signal(*tracing->stop, signo);
    }
    set_free_locked(*tracing, signo);
    return {};
}

// ---- ends --------------------------------------------------------------------------------------------------------------

void ptrace_drop_locked(Tracing& tracing) {
    ASSERT(!tracing.uthread);
    unlink(tracing);
    zone_delete(&tracing);
}

bool ptrace_has_unwaited_uthreads_locked(const Tracing& leader) {
    for (const Tracing& tracing : leader.tracer->tracees)
        if (tracing.ended && tracing.pid == leader.pid)
            return true;
    return false;
}

bool ptrace_takes_end_locked(Proc& proc, SigInfo info) {
    const Tracing* tracing = proc.leader_trace;
    if (!tracing || tracing->tracer == proc.parent)
        return false;
    info.signo = sig_chld; // whatever the parent is to get
    tracing::tell_tracer(*tracing, info);
    return true;
}

bool ptrace_uthread_gone_locked(Uthread& uthread, int32_t wait_status) {
    if (uthread.traced.load(std::memory_order_relaxed) == nullptr) [[likely]]
        return false;
    Proc& proc = *uthread.proc;
    Tracing* tracing = nullptr;
    {
        SignalGuard guard(proc.sig.lock);
        tracing = uthread.traced.exchange(nullptr);
        tracing->uthread = nullptr;
        tracing->traps = 0;
    }
    if (tracing->is_leader())
        return false;
    const RefPtr<const Cred> cred = proc.cred();
    tracing->proc = nullptr;
    tracing->group = proc.group->id;
    tracing->ended = true;
    tracing->end_status = proc.sig.group_exit ? proc.sig.group_exit_status : wait_status;
    tracing->end_uid = cred->uid;
    tracing->end_usage = uthread.usage;
    const bool killed = (wait_status & 0x7f) != 0;
    SigInfo info{.signo = sig_chld, .code = killed ? si_code::cld_killed : si_code::cld_exited, .pid = tracing->tid};
    info.uid = cred->uid;
    info.status = killed ? wait_status & 0x7f : wait_status >> 8 & 0xff;
    tracing::tell_tracer(*tracing, info);
    return true;
}

void ptrace_exec_leader_locked(Proc& proc, Uthread& survivor) {
    if (proc.leader_trace) // the old leader's: it ends unseen, its tid lives on in the survivor
        ptrace_drop_locked(*proc.leader_trace);
    SignalGuard guard(proc.sig.lock);
    if (Tracing* tracing = survivor.traced.load(std::memory_order_relaxed)) {
        tracing->tid = proc.pid;
        proc.leader_trace = tracing;
    }
}

void ptrace_tracer_ends_locked(Proc& self, ReapedProcs& reaped) {
    while (!self.tracees.empty()) {
        Tracing& tracing = self.tracees.front();
        if (tracing.ended) {
            const pid_t tid = tracing.tid;
            ptrace_drop_locked(tracing);
            pid_free_locked(tid);
            continue;
        }
        Proc& proc = *tracing.proc;
        const bool fatal = tracing.options & trace_options::exitkill;
        const bool gone = !tracing.uthread; // the leader, maybe with the whole proc
        const bool pending_signal = tracing.stop && tracing.stop->kind == TraceStopKind::signal;
        if (gone)
            ptrace_drop_locked(tracing);
        else
            set_free_locked(tracing, pending_signal ? tracing.stop->info.signo : 0);
        if (proc.state == ProcState::zombie)
            proc_report_end_locked(proc, reaped);
        else if (fatal)
            signal_send_locked(proc, {.signo = sig_kill, .code = si_code::kernel});
    }
}

// ---- births ------------------------------------------------------------------------------------------------------------

void TracedBirth::drop() { zone_delete(fresh_); }

Result<TracedBirth> TracedBirth::prepare(const Uthread& caller, uint32_t event, bool force) {
    TracedBirth birth;
    if (!caller.traced.load(std::memory_order_relaxed)) [[likely]]
        return birth;
    bool wanted = false;
    {
        SignalGuard guard(caller.proc->sig.lock);
        const Tracing* tracing = caller.traced.load(std::memory_order_relaxed);
        if (!tracing || tracing->silent)
            return birth;
        if (event != trace_events::none && (tracing->options >> event & 1))
            birth.event_ = event;
        wanted = force || birth.event_ != trace_events::none;
    }
    if (wanted)
        birth.fresh_ = TRY(zone_new<Tracing>());
    return birth;
}

void TracedBirth::link_locked(Uthread& child) {
    const Tracing* tracing = current_uthread().traced.load(std::memory_order_relaxed);
    if (!fresh_ || !tracing)
        return;
    Tracing& fresh = *std::exchange(fresh_, nullptr);
    fresh.options = tracing->options;
    fresh.seized = tracing->seized;
    Proc& proc = *child.proc;
    SignalGuard guard(proc.sig.lock);
    link(fresh, *tracing->tracer, child);
    if (fresh.seized)
        fresh.traps = Tracing::trap_stop;
    else
        pending_add(child.sig.pending, {}, {.signo = sig_stop, .code = si_code::kernel});
    signal_recalculate(child);
}

void TracedBirth::report(pid_t child) const {
    if (event_ != trace_events::none) [[unlikely]]
        ptrace_event(event_, static_cast<uint64_t>(child));
}

} // namespace lentil

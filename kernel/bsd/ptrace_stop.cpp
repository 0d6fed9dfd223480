// SPDX-License-Identifier: BSD-2-Clause
// Tracing, the tracee's side: where it stops, what the tracer then sees, and how it goes on.
#include <bsd/exit.hpp>
#include <bsd/ptrace_impl.hpp>

namespace lentil {

using signals::SignalGuard;

namespace {

/// Both locks, in order, for the current uthread.
struct Locks {
    explicit Locks(Uthread& self) : tree(proc_tree_lock), signal(self.proc->sig.lock) {}
    void unlock() {
        signal.unlock();
        tree.unlock();
    }
    void relock() {
        tree.relock();
        signal.relock();
    }
    ProcTreeGuard tree;
    SignalGuard signal;
};

/// The record, unless the tracer cannot be told anything now.
Tracing* tracing_of(const Uthread& self) {
    Tracing* tracing = self.traced.load(std::memory_order_relaxed);
    return tracing && !tracing->silent ? tracing : nullptr;
}

bool must_go_on(const TraceStop& stop, const Uthread& self) {
    const Proc& proc = *self.proc;
    return stop.over || (stop.fatal_only ? proc.sig.kill_repeated : signals::must_end(proc, self));
}

/// Sleeps as `stop` says until the tracer lets it go on, or it is killed. Called with the locks held, returns with them.
/// `stop.over` tells whether it was the tracer.
void stop_here(Uthread& self, Tracing& tracing, TraceStop& stop, Locks& locks) {
    if (must_go_on(stop, self))
        return;
    Proc& proc = *self.proc;
    Thread& thread = current_thread();
    machine::fp_save(thread.arch); // so that the tracer finds all registers in memory
    tracing.stop = &stop;
    tracing.listening = false;
    SigInfo info{.signo = sig_chld, .code = si_code::cld_trapped, .pid = self.tid, .status = stop.code & 0x7f};
    bool complete = false;
    const int32_t stop_signal = proc.sig.stop_signal;
    if (stop.kind == TraceStopKind::group) {
        info.code = si_code::cld_stopped;
        tracing.stop_seen = self.sig.stopped = true;
        complete = signals::complete_stop(proc);
    }
    locks.signal.unlock();
    info.uid = proc.cred()->uid;
    tracing::tell_tracer(tracing, info);
    if (complete && proc.parent != tracing.tracer)
        signals::report_to_parent(proc, si_code::cld_stopped, stop_signal);
    locks.tree.unlock();

    wait_until(
        proc.sig.stop_waitq, "ptrace",
        [&] {
            SignalGuard guard(proc.sig.lock);
            return must_go_on(stop, self);
        },
        Interruptible::no);

    locks.relock();
    if (!stop.over) {
        if (Tracing* left = self.traced.load(std::memory_order_relaxed); left && left->stop == &stop)
            left->stop = nullptr;
    }
    if (stop.kind == TraceStopKind::group)
        self.sig.stopped = false;
    if (stop.fp_changed)
        machine::fp_load(thread.arch);
}

/// What PTRACE_GETSIGINFO shows of a stop that is not about a signal.
SigInfo stop_info(const Uthread& self, int32_t signo, int32_t code) {
    SigInfo info{.signo = signo, .code = code, .pid = self.tid};
    info.uid = self.proc->cred()->uid;
    return info;
}

TraceStop event_stop(const Uthread& self, int32_t signo, uint32_t event) {
    TraceStop stop;
    stop.kind = TraceStopKind::event;
    stop.code = signo | static_cast<int32_t>(event) << 8;
    stop.info = stop_info(self, signo, stop.code);
    return stop;
}

/// Job control or PTRACE_INTERRUPT. False if there is no reason to stop any more.
bool trap(Uthread& self, Tracing& tracing, Locks& locks) {
    const Proc& proc = *self.proc;
    const bool in_group = proc.sig.stopping;
    TraceStop stop;
    if (tracing.seized) {
        stop = event_stop(self, in_group ? proc.sig.stop_signal : int32_t{sig_trap}, trace_events::stop);
        tracing.traps &= ~(Tracing::trap_stop | Tracing::trap_notify);
    } else {
        tracing.traps &= ~Tracing::trap_stop;
        if (!in_group)
            return false;
        stop.code = proc.sig.stop_signal;
        stop.has_info = false;
    }
    if (in_group)
        stop.kind = TraceStopKind::group;
    stop_here(self, tracing, stop, locks);
    return true;
}

/// Stops around a system call; the tracer may send a signal with its order to go on.
TraceStop syscall_stop(Uthread& self, TraceStopKind kind) {
    TraceStop stop;
    {
        Locks locks(self);
        Tracing* tracing = tracing_of(self);
        if (!tracing)
            return stop;
        if (kind == TraceStopKind::syscall_exit && tracing->resume == TraceResume::step) {
            tracing->traps |= Tracing::trap_step; // the call was the instruction
            signal_recalculate(self);
        }
        if (tracing->resume != TraceResume::syscall)
            return stop;
        stop.kind = kind;
        stop.code = sig_trap | (tracing->options & trace_options::sysgood ? 0x80 : 0);
        stop.info = stop_info(self, sig_trap, stop.code);
        tracing->message = kind == TraceStopKind::syscall_entry ? 1 : 2;
        stop_here(self, *tracing, stop, locks);
    }
    if (stop.over && stop.signo != 0)
        signal_send(self, {.signo = stop.signo, .code = si_code::kernel});
    return stop;
}

} // namespace

namespace tracing {

void tell_tracer(const Tracing& tracing, SigInfo info) {
    Proc& tracer = *tracing.tracer;
    const SigAction action = signals::action_of(tracer, sig_chld);
    const bool stop = info.code == si_code::cld_trapped || info.code == si_code::cld_stopped;
    if (action.handler != SigAction::ignore && !(stop && (action.flags & sa_flags::nocldstop)))
        signal_send_locked(tracer, info);
    tracer.child_waitq.wake_all();
}

} // namespace tracing

// ---- system calls and events -------------------------------------------------------------------------------------------

bool ptrace_syscall_entry(machine::Trapframe& frame) {
    Uthread& self = current_uthread();
    const int64_t before = frame.syscall_number();
    const TraceStop stop = syscall_stop(self, TraceStopKind::syscall_entry);
    if (signals::must_end(*self.proc, self))
        return false;
    self.syscall_number = frame.syscall_number();
    // Linux's way to skip a call is the number -1, which means something else to us.
    return !stop.over || self.syscall_number >= 0 || self.syscall_number == before;
}

void ptrace_syscall_exit(machine::Trapframe&) { (void)syscall_stop(current_uthread(), TraceStopKind::syscall_exit); }

void ptrace_event(uint32_t event, uint64_t message) {
    Uthread& self = current_uthread();
    Locks locks(self);
    Tracing* tracing = tracing_of(self);
    if (!tracing || !(tracing->options >> event & 1))
        return;
    tracing->message = message;
    TraceStop stop = event_stop(self, sig_trap, event);
    stop_here(self, *tracing, stop, locks);
}

void ptrace_exec_done(pid_t old_tid) {
    Uthread& self = current_uthread();
    Locks locks(self);
    Tracing* tracing = self.traced.load(std::memory_order_relaxed);
    if (!tracing)
        return;
    tracing->silent = false;
    if (tracing->options & trace_options::exec) {
        tracing->message = static_cast<uint64_t>(old_tid);
        TraceStop stop = event_stop(self, sig_trap, trace_events::exec);
        stop_here(self, *tracing, stop, locks);
    } else if (!tracing->seized) {
        tracing->traps |= Tracing::trap_exec;
        signal_recalculate(self);
    }
}

void ptrace_exit_event(int32_t wait_status) {
    Uthread& self = current_uthread();
    Locks locks(self);
    Tracing* tracing = tracing_of(self);
    if (!tracing || !(tracing->options & trace_options::exit))
        return;
    const Proc& proc = *self.proc;
    tracing->message = static_cast<uint32_t>(proc.sig.group_exit ? proc.sig.group_exit_status : wait_status);
    TraceStop stop = event_stop(self, sig_trap, trace_events::exit);
    stop.fatal_only = true;
    stop_here(self, *tracing, stop, locks);
}

// ---- signals -----------------------------------------------------------------------------------------------------------

TracedDelivery ptrace_before_signals(Uthread& self) {
    TracedDelivery out{};
    {
        Locks locks(self);
        Tracing* tracing = tracing_of(self);
        if (!tracing || signals::must_end(*self.proc, self))
            return out;
        out.intercepts = true;
        if (self.proc->sig.stopping && !tracing->stop_seen)
            tracing->traps |= Tracing::trap_stop;
        if (tracing->traps & (Tracing::trap_stop | Tracing::trap_notify)) {
            out.stopped = trap(self, *tracing, locks);
            if (out.stopped)
                return out;
        }
        if (tracing->traps & Tracing::trap_exec) {
            tracing->traps &= ~Tracing::trap_exec;
            out.info = stop_info(self, sig_trap, si_code::user);
        } else if (tracing->traps & Tracing::trap_step) {
            tracing->traps &= ~Tracing::trap_step;
            out.info = {.signo = sig_trap, .code = si_code::trap_trace};
            out.info.address = machine::user_frame(current_thread().arch).pc();
        } else {
            return out;
        }
    }
    out.has_signal = ptrace_signal_stop(self, out.info);
    out.stopped = !out.has_signal;
    return out;
}

bool ptrace_signal_stop(Uthread& self, SigInfo& info) {
    Locks locks(self);
    Tracing* tracing = tracing_of(self);
    if (!tracing)
        return true;
    TraceStop stop;
    stop.code = info.signo;
    stop.info = info;
    stop_here(self, *tracing, stop, locks);
    info = stop.info;
    return stop.over && stop.signo != 0;
}

bool ptrace_watches(const Proc& proc, const Uthread* uthread) {
    if (uthread)
        return tracing_of(*uthread) != nullptr;
    for (const Uthread& u : proc.uthreads)
        if (tracing_of(u))
            return true;
    return false;
}

void ptrace_job_control_changed(Proc& proc) {
    for (Uthread& uthread : proc.uthreads) {
        Tracing* tracing = uthread.traced.load(std::memory_order_relaxed);
        if (!tracing)
            continue;
        tracing->stop_seen = false;
        if (!tracing->seized)
            continue;
        tracing->traps |= Tracing::trap_notify;
        if (tracing->stop && tracing->listening)
            tracing::end_stop(*tracing, 0);
        signal_recalculate(uthread);
    }
}

} // namespace lentil

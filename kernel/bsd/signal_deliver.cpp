// SPDX-License-Identifier: BSD-2-Clause
// Taking signals on the way to user mode: handlers, default actions, stops, ends, and the fate of the system call that
// was interrupted.
#include <bsd/exit.hpp>
#include <bsd/ptrace.hpp>
#include <bsd/signal_impl.hpp>
#include <debug/trace.hpp>

namespace lentil {

using signals::SignalGuard;

constinit SignalHooks signal_hooks;

namespace {

/// The restart code that the interrupted system call left in the result register, or 0.
int64_t restart_code(const Uthread& self, const machine::Trapframe& frame) {
    return self.in_syscall ? -static_cast<int64_t>(frame.return_value()) : 0;
}
constexpr int64_t code_of(Errno e) { return static_cast<int64_t>(e); }

void fail_with_intr(Uthread& self, machine::Trapframe& frame) {
    self.in_syscall = false;
    frame.set_return(static_cast<uint64_t>(-code_of(Errno::intr)));
}

void restart(Uthread& self, machine::Trapframe& frame) {
    self.in_syscall = false;
    frame.restart_syscall();
}

/// While a tracer may look, an interrupted call shows as one that is about to be made again (as on Linux riscv64): so a
/// debugger can go elsewhere and come back. Afterwards all is as it was, unless the tracer changed pc or result.
class RestartView {
public:
    RestartView(Uthread& self, machine::Trapframe& frame)
        : self_(self), frame_(frame), code_(restart_code(self, frame)) {
        if (code_ < code_of(Errno::restart_sys)) {
            code_ = 0;
            return;
        }
        pc_ = frame.pc();
        frame.restart_syscall();
        shown_pc_ = frame.pc();
        shown_value_ = frame.return_value();
    }
    ~RestartView() {
        if (code_ == 0)
            return;
        if (frame_.pc() != shown_pc_ || frame_.return_value() != shown_value_) {
            self_.in_syscall = false;
            return;
        }
        frame_.set_pc(pc_);
        frame_.set_return(static_cast<uint64_t>(-code_));
    }
    RestartView(const RestartView&) = delete;
    RestartView& operator=(const RestartView&) = delete;

private:
    Uthread& self_;
    machine::Trapframe& frame_;
    int64_t code_;
    vaddr_t pc_ = 0, shown_pc_ = 0;
    uint64_t shown_value_ = 0;
};

/// A handler is about to run: decides what the interrupted call returns after it.
void interrupt_syscall(Uthread& self, machine::Trapframe& frame, const SigAction& action) {
    switch (restart_code(self, frame)) {
    case code_of(Errno::restart_nointr): return restart(self, frame);
    case code_of(Errno::restart_sys):
        if (action.flags & sa_flags::restart)
            return restart(self, frame);
        [[fallthrough]];
    case code_of(Errno::restart_nohand):
    case code_of(Errno::restart_block): return fail_with_intr(self, frame);
    default: self.in_syscall = false;
    }
}

/// No handler ran: the call goes on where it can. True if it ran again right here, so that signals must be looked at
/// again.
bool continue_syscall(Uthread& self, machine::Trapframe& frame) {
    switch (restart_code(self, frame)) {
    case code_of(Errno::restart_nointr):
    case code_of(Errno::restart_sys):
    case code_of(Errno::restart_nohand): restart(self, frame); return false;
    case code_of(Errno::restart_block): {
        if (!self.restart.function) {
            fail_with_intr(self, frame);
            return false;
        }
        // Continued in place rather than through restart_syscall(2): so a7 keeps its value, as compilers expect.
        const Result<uint64_t> result = self.restart.function(self.restart);
        frame.set_return(result.ok() ? *result : static_cast<uint64_t>(-code_of(result.error())));
        self.in_syscall = !result.ok() && code_of(result.error()) >= code_of(Errno::restart_sys);
        return self.in_syscall;
    }
    default: self.in_syscall = false; return false;
    }
}

/// Stays here while the proc is stopped.
void stop_self(Uthread& self) {
    Proc& proc = *self.proc;
    {
        ProcTreeGuard tree(proc_tree_lock);
        SignalGuard guard(proc.sig.lock);
        if (!proc.sig.stopping || signals::must_end(proc, self))
            return;
        self.sig.stopped = true;
        const bool complete = signals::complete_stop(proc);
        const int32_t signo = proc.sig.stop_signal;
        guard.unlock();
        if (complete)
            signals::report_to_parent(proc, si_code::cld_stopped, signo);
    }
    wait_until(
        proc.sig.stop_waitq, "stopped",
        [&] {
            SignalGuard guard(proc.sig.lock);
            return !proc.sig.stopping || signals::must_end(proc, self) || signals::is_trapped(self);
        },
        Interruptible::killable);
    SignalGuard guard(proc.sig.lock);
    self.sig.stopped = false;
}

/// A stop signal with its default action is next: acts on it with both locks held, so that no SIGCONT comes between
/// taking it and stopping.
void take_stop_signal(Uthread& self) {
    Proc& proc = *self.proc;
    ProcTreeGuard tree(proc_tree_lock);
    SignalGuard guard(proc.sig.lock);
    SigInfo info;
    if (!signals::take_signal(self, stop_signals & ~signals::blocked_for(self), info))
        return;
    if (signals::action_of(proc, info.signo).handler != SigAction::default_action)
        return; // the action changed just now: as if it had changed after the signal was ignored
    if (info.signo != sig_stop && proc.group && group_is_orphaned_locked(*proc.group, nullptr))
        return; // nobody could continue it
    signals::begin_stop(proc, info.signo);
}

/// A stop signal that the tracer let through: unlike one that was just taken from the queue, no SIGCONT undoes it.
void stop_as_traced(Uthread& self, int signo) {
    Proc& proc = *self.proc;
    ProcTreeGuard tree(proc_tree_lock);
    SignalGuard guard(proc.sig.lock);
    if (signo != sig_stop && proc.group && group_is_orphaned_locked(*proc.group, nullptr))
        return;
    if (Tracing* tracing = self.traced.load(std::memory_order_relaxed))
        tracing->stop_seen = false; // the proc may be stopped already, and this tracee have gone on
    signals::begin_stop(proc, signo);
    signal_recalculate(self);
}

/// The signal that a traced uthread is about to take: the tracer's word on it. False if nothing is left to deliver.
bool ask_tracer(Uthread& self, machine::Trapframe& frame, SigInfo& info) {
    RestartView view(self, frame);
    if (!ptrace_signal_stop(self, info))
        return false;
    Proc& proc = *self.proc;
    SignalGuard guard(proc.sig.lock);
    if (!signals::blocked_for(self).has(info.signo))
        return true;
    pending_add(self.sig.pending, {}, info); // another one than it was: it waits
    return false;
}

/// Runs `action` for `info`. False if the frame could not be written; then a SIGSEGV is on its way.
bool run_handler(Uthread& self, machine::Trapframe& frame, const SigInfo& info, const SigAction& action) {
    Proc& proc = *self.proc;
    interrupt_syscall(self, frame, action);
    const SigSet old_mask = self.sig.has_saved_mask ? self.sig.saved_mask : self.sig.mask;
    if (!signal_hooks.push_frame(frame, info, action, old_mask).ok()) {
        if (info.signo == sig_segv)
            signal_begin_group_exit(proc, wait_status::killed(sig_segv));
        else
            signal_force({.signo = sig_segv, .code = si_code::kernel});
        return false;
    }
    self.sig.has_saved_mask = false;
    SigSet blocked = action.mask;
    if (!(action.flags & sa_flags::nodefer))
        blocked.add(info.signo);
    signals::block_more(self, blocked);
    return true;
}

enum class Step : uint32_t { done, again };

/// One thing to do about the current uthread's signals.
Step take_one(machine::Trapframe& frame) {
    Uthread& self = current_uthread();
    Proc& proc = *self.proc;
    thread_clear_interrupt(current_thread());
    SigInfo info;
    bool taken = false, intercepted = false;
    if (self.traced.load(std::memory_order_relaxed)) [[unlikely]] {
        RestartView view(self, frame);
        const TracedDelivery traced = ptrace_before_signals(self);
        if (traced.stopped)
            return Step::again;
        intercepted = traced.intercepts;
        taken = traced.has_signal;
        if (taken)
            info = traced.info;
    }
    SignalGuard guard(proc.sig.lock);
    if (proc.sig.group_exit) {
        const int32_t status = proc.sig.group_exit_status;
        guard.unlock();
        proc_exit(status);
    }
    if (signals::must_end(proc, self)) {
        guard.unlock();
        uthread_exit(wait_status::killed(sig_kill));
    }
    if (proc.sig.stopping && !intercepted) {
        guard.unlock();
        stop_self(self);
        return Step::again;
    }
    if (self.sig.has_saved_mask && restart_code(self, frame) != code_of(Errno::restart_nohand)) {
        self.sig.mask = self.sig.saved_mask;
        self.sig.has_saved_mask = false;
    }

    const SigSet wanted = ~signals::blocked_for(self);
    Pending* from = &self.sig.pending;
    int signo = taken ? info.signo : next_signal(from->set, ~wanted);
    if (signo == 0) {
        from = &proc.sig.shared;
        signo = next_signal(from->set, ~wanted);
    }
    if (signo == 0) {
        if (!self.sig.has_saved_mask)
            return Step::done;
        self.sig.mask = self.sig.saved_mask;
        self.sig.has_saved_mask = false;
        return signals::needed_level(self) != 0 ? Step::again : Step::done;
    }
    if (intercepted && !taken && signo != sig_kill) {
        taken = signals::take_signal(self, SigSet::of(signo), info);
        guard.unlock();
        if (!taken || !ask_tracer(self, frame, info))
            return Step::again;
        guard.relock(); // `from` counts no more: it is taken
        signo = info.signo;
    }
    SigAction action = signals::action_of(proc, signo);
    if (action.handler == SigAction::default_action && default_action(signo) == DefaultAction::stop) {
        guard.unlock();
        if (taken)
            stop_as_traced(self, signo);
        else
            take_stop_signal(self);
        return Step::again;
    }
    if (!taken)
        pending_take(*from, signo, info);
    if (discards(action, signo))
        return Step::again;
    if (action.handler == SigAction::default_action) {
        guard.unlock();
        if (!signals::is_unkillable(proc))
            signal_begin_group_exit(proc, wait_status::killed(signo));
        return Step::again;
    }
    if (action.flags & sa_flags::resethand) {
        SigAction fresh = action;
        fresh.handler = SigAction::default_action;
        signals::set_action(proc, signo, fresh);
    }
    guard.unlock();
    const bool runs = run_handler(self, frame, info, action);
    return runs && current_thread().interrupt_level.load(std::memory_order_relaxed) == 0 ? Step::done : Step::again;
}

} // namespace

bool signal_self_at_once(machine::Trapframe& frame, int signo, int32_t code) {
    Uthread& self = current_uthread();
    Proc& proc = *self.proc;
    // What sending does besides, and who else could take it or hear of it.
    constexpr SigSet not_alone{stop_signals.bits | SigSet::of(sig_cont).bits};
    if (not_alone.has(signo) || (code != si_code::tkill && !proc.is_single()) || proc.knotes ||
        trace_on(Probe::proc_signal_send) || self.traced.load(std::memory_order_relaxed) ||
        signal_waitq(proc).has_waiters()) [[unlikely]]
        return false;
    SignalGuard guard(proc.sig.lock);
    // Of what takes precedence, whoever begins it interrupts the thread under the lock.
    if (current_thread().interrupt_level.load(std::memory_order_relaxed) != 0 || self.sig.has_saved_mask ||
        proc.sig.group_exit || proc.sig.exec_survivor || proc.sig.stopping || signals::blocked_for(self).has(signo))
        [[unlikely]]
        return false;
    const SigAction action = signals::action_of(proc, signo);
    if (action.handler <= SigAction::ignore || (action.flags & sa_flags::resethand)) [[unlikely]]
        return false;
    guard.unlock();
    frame.set_return(0);
    (void)run_handler(self, frame, {.signo = signo, .code = code, .pid = proc.pid, .uid = proc.real_uid()}, action);
    return true;
}

void signal_ast(machine::Trapframe& frame) {
    if (current_uthread().step.original != 0) [[unlikely]]
        (void)ptrace_step_disarm(current_uthread(), frame);
    for (;;) {
        machine::irq_enable();
        while (take_one(frame) == Step::again) {
        }
        if (continue_syscall(current_uthread(), frame))
            continue;
        Uthread& self = current_uthread();
        if (self.traced.load(std::memory_order_relaxed) && !ptrace_step_arm(self, frame)) [[unlikely]]
            continue;
        machine::irq_disable();
        if (current_thread().interrupt_level.load(std::memory_order_relaxed) == 0)
            return;
    }
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// System calls about signals and interval timers.
#include <bit>

#include <abi/files.hpp>
#include <abi/leaf_calls.hpp>
#include <abi/signal_frame.hpp>
#include <abi/sys_signal.hpp>
#include <bsd/itimer.hpp>
#include <bsd/pidfd.hpp>
#include <bsd/signal_pick.hpp>
#include <sched/clock.hpp>

namespace lentil::abi {

namespace {

Result<void> check_size(uint64_t size) {
    if (size != sizeof(uint64_t))
        return Errno::inval;
    return {};
}

SigInfo info_of_caller(int signo, int code) {
    Proc& self = current_proc();
    return {.signo = signo, .code = code, .pid = self.pid, .uid = self.real_uid()};
}

Result<void> check_signo_or_zero(int signo) {
    if (signo < 0 || signo > signal_count)
        return Errno::inval;
    return {};
}

/// Sends `info` to `proc` (or its `uthread`) with the rules of kill(2). proc_tree_lock held.
Result<void> send_checked_locked(Proc& proc, Uthread* uthread, const SigInfo& info) {
    if (!signal_allowed(proc, info.signo))
        return Errno::perm;
    if (info.signo == 0)
        return {};
    return signal_queue_locked(proc, uthread, info);
}

/// The thread `tid` (of the proc `pid`, if that is not 0).
Result<void> send_to_thread(int pid, int tid, const SigInfo& info) {
    ProcTreeGuard tree(proc_tree_lock);
    Uthread* uthread = uthread_find_locked(tid);
    if (!uthread || (pid != 0 && uthread->proc->pid != pid)) {
        // The main thread of a zombie can still be named, and takes no notice.
        Proc* zombie = proc_find_locked(tid);
        if (!uthread && zombie && zombie->state == ProcState::zombie && (pid == 0 || pid == tid))
            return send_checked_locked(*zombie, nullptr, info);
        return Errno::srch;
    }
    return send_checked_locked(*uthread->proc, uthread, info);
}

/// kill(-1): everybody but init and the caller itself.
Result<void> send_to_all(const SigInfo& info) {
    bool found = false, sent = false;
    Proc& self = current_proc();
    pid_t next = 2;
    while (RefPtr<Proc> proc = proc_next(next)) {
        next = proc->pid + 1;
        if (proc.get() == &self || proc->is_system)
            continue;
        found = true;
        ProcTreeGuard tree(proc_tree_lock);
        sent |= send_checked_locked(*proc, nullptr, info).ok();
        tree.unlock();
    }
    if (!found)
        return Errno::srch;
    return sent ? Result<void>{} : Result<void>{Errno::perm};
}

/// siginfo_t of sigqueue: who lies about being the kernel or kill(2) may only lie to itself.
Result<SigInfo> copyin_info(int target, int signo, vaddr_t from) {
    LinuxSiginfo in;
    TRY(copyin(&in, from, sizeof in));
    TRY(check_signo_or_zero(signo));
    if ((in.code >= 0 || in.code == si_code::tkill) && current_proc().pid != target)
        return Errno::perm;
    return from_linux(in, signo);
}

Result<nanos_t> to_ns(const Timeval& t) {
    if (t.microseconds < 0 || t.microseconds >= 1'000'000)
        return Errno::inval;
    return Timespec{t.seconds, t.microseconds * 1000}.to_ns();
}

Result<Itimer> to_itimer(int which) {
    if (which < 0 || which > 2)
        return Errno::inval;
    return static_cast<Itimer>(which);
}

LinuxItimerval to_linux_itimer(const ItimerValue& v) {
    return {Timeval::from_ns(v.interval_ns), Timeval::from_ns(v.left_ns)};
}

} // namespace

Result<void> sys_getitimer(int which, UserPtr<LinuxItimerval> value) {
    const Itimer timer = TRY(to_itimer(which));
    return value.write(to_linux_itimer(itimer_get(current_proc(), timer)));
}

Result<void> sys_setitimer(int which, UserPtr<LinuxItimerval> value, UserPtr<LinuxItimerval> old) {
    ItimerValue fresh;
    if (value) {
        const LinuxItimerval in = TRY(value.read());
        fresh.interval_ns = TRY(to_ns(in.interval));
        fresh.left_ns = TRY(to_ns(in.value));
    }
    const Itimer timer = TRY(to_itimer(which));
    const ItimerValue was = itimer_set(current_proc(), timer, fresh);
    if (old)
        TRY(old.write(to_linux_itimer(was)));
    return {};
}

Result<uint64_t> sys_restart_syscall() {
    Uthread& self = current_uthread();
    if (!self.restart.function)
        return Errno::intr;
    return self.restart.function(self.restart);
}

Result<void> sys_kill(int pid, int signo) {
    TRY(check_signo_or_zero(signo));
    const SigInfo info = info_of_caller(signo, si_code::user);
    if (pid == -1)
        return send_to_all(info);
    if (pid == INT32_MIN)
        return Errno::srch;
    if (pid <= 0) {
        pid_t group = -pid;
        if (pid == 0) {
            ProcTreeGuard tree(proc_tree_lock);
            group = current_proc().group->id;
        }
        return group_signal(group, info, true);
    }
    ProcTreeGuard tree(proc_tree_lock);
    Proc* proc = proc_find_locked(pid);
    if (!proc) { // Linux takes the id of any thread for its process
        Uthread* uthread = uthread_find_locked(pid);
        if (!uthread)
            return Errno::srch;
        proc = uthread->proc;
    }
    return send_checked_locked(*proc, nullptr, info);
}

Result<void> sys_tkill(int tid, int signo) {
    if (tid <= 0)
        return Errno::inval;
    TRY(check_signo_or_zero(signo));
    return send_to_thread(0, tid, info_of_caller(signo, si_code::tkill));
}

Result<void> sys_tgkill(int pid, int tid, int signo) {
    if (pid <= 0 || tid <= 0)
        return Errno::inval;
    TRY(check_signo_or_zero(signo));
    return send_to_thread(pid, tid, info_of_caller(signo, si_code::tkill));
}

Result<void> sys_sigaltstack(UserPtr<LinuxStack> stack, UserPtr<LinuxStack> old) {
    Uthread& self = current_uthread();
    const vaddr_t sp = user_frame().sp();
    const LinuxStack was = get_altstack(self, sp);
    if (stack) {
        const LinuxStack in = TRY(stack.read());
        TRY(set_altstack(self, in, sp));
    }
    if (old)
        TRY(old.write(was));
    return {};
}

Result<void> sys_rt_sigsuspend(UserPtr<uint64_t> mask, uint64_t size) {
    TRY(check_size(size));
    const SigSet set{TRY(mask.read())};
    signal_set_temporary_mask(current_uthread(), set);
    while (sleep_until(no_deadline, "sigsuspend") != WaitResult::interrupted) {
    }
    return Errno::restart_nohand;
}

Result<void> sys_rt_sigaction(int signo, UserPtr<LinuxSigaction> action, UserPtr<LinuxSigaction> old, uint64_t size) {
    TRY(check_size(size));
    static_assert(sizeof(LinuxSigaction) == sizeof(SigAction) && offsetof(SigAction, handler) == 0 &&
                  offsetof(SigAction, flags) == 8 && offsetof(SigAction, mask) == 16);
    SigAction fresh, was;
    if (action)
        TRY(copyin_value(fresh, action.address()));
    TRY(signal_set_action(signo, action ? &fresh : nullptr, old ? &was : nullptr));
    return old ? copyout_value(old.address(), was) : Result<void>{};
}

Result<void> sys_rt_sigprocmask(int how, UserPtr<uint64_t> set, UserPtr<uint64_t> old, uint64_t size) {
    TRY(check_size(size));
    Uthread& self = current_uthread();
    const SigSet was = self.sig.mask; // only its owner changes it
    if (set) {
        const SigSet in{TRY(set.read())};
        enum { block = 0, unblock = 1, replace = 2 };
        switch (how) {
        case block: signal_set_mask(self, was | in); break;
        case unblock: signal_set_mask(self, was & ~in); break;
        case replace: signal_set_mask(self, in); break;
        default: return Errno::inval;
        }
    }
    if (old)
        TRY(old.write(was.bits));
    return {};
}

Result<void> sys_rt_sigpending(UserPtr<uint64_t> set, uint64_t size) {
    if (size > sizeof(uint64_t))
        return Errno::inval;
    Uthread& self = current_uthread();
    uint64_t pending;
    {
        SpinGuard guard(self.proc->sig.lock);
        pending = ((self.sig.pending.set | self.proc->sig.shared.set) & self.sig.mask).bits;
    }
    return copyout(set.address(), &pending, size);
}

Result<int> sys_rt_sigtimedwait(UserPtr<uint64_t> set, vaddr_t info, UserPtr<Timespec> timeout, uint64_t size) {
    TRY(check_size(size));
    const SigSet wanted{TRY(set.read())};
    nanos_t deadline = no_deadline;
    if (timeout) {
        const Timespec limit = TRY(timeout.read());
        const nanos_t left = TRY(limit.to_ns()), now = monotonic_ns();
        deadline = left == 0 ? 0 : left > no_deadline - now ? no_deadline : now + left;
    }
    const SigInfo taken = TRY(signal_wait(wanted, deadline));
    if (info != 0) {
        const LinuxSiginfo out = to_linux(taken);
        TRY(copyout(info, &out, sizeof out));
    }
    return taken.signo;
}

Result<void> sys_rt_sigqueueinfo(int pid, int signo, vaddr_t info) {
    const SigInfo fresh = TRY(copyin_info(pid, signo, info));
    ProcTreeGuard tree(proc_tree_lock);
    Proc* proc = proc_find_locked(pid);
    if (!proc)
        return Errno::srch;
    return send_checked_locked(*proc, nullptr, fresh);
}

Result<void> sys_rt_tgsigqueueinfo(int pid, int tid, int signo, vaddr_t info) {
    if (pid <= 0 || tid <= 0)
        return Errno::inval;
    const SigInfo fresh = TRY(copyin_info(pid, signo, info));
    return send_to_thread(pid, tid, fresh);
}

Result<void> sys_pidfd_send_signal(int pidfd, int signo, vaddr_t info, uint32_t flags) {
    constexpr uint32_t thread = 1, group = 4, known = thread | 2 | group; // 2: the process, which is what else there is
    if ((flags & ~known) != 0 || !std::has_single_bit(flags | (flags == 0)))
        return Errno::inval;
    const FileHold file = TRY(open_file(pidfd));
    const PidFile* const pidfd_file = file->pidfd();
    FsNode* const directory = file->node(); // of /proc: what names processes for those who have no pidfds
    const RefPtr<Proc> proc(pidfd_file ? pidfd_file->proc() : directory ? directory->process() : nullptr);
    if (!proc)
        return pidfd_file ? Errno::srch : Errno::badf;
    TRY(check_signo_or_zero(signo));
    SigInfo fresh = info_of_caller(signo, flags == thread ? si_code::tkill : si_code::user);
    if (info) {
        LinuxSiginfo claimed;
        TRY(copyin(&claimed, info, sizeof claimed));
        if (claimed.signo != signo)
            return Errno::inval;
        fresh = TRY(copyin_info(proc->pid, signo, info));
    }
    ProcTreeGuard tree(proc_tree_lock);
    if (proc->state == ProcState::dead)
        return Errno::srch;
    if (flags == group) {
        const pid_t id = proc->group->id;
        tree.unlock();
        return group_signal(id, fresh, true);
    }
    return send_checked_locked(*proc, flags == thread ? uthread_find_locked(proc->pid) : nullptr, fresh);
}

namespace {
void return_from_signal(machine::Trapframe& frame) {
    if (!pop_signal_frame(frame).ok()) [[unlikely]]
        signal_force({.signo = sig_segv, .code = si_code::kernel});
}
} // namespace

Result<void> sys_rt_sigreturn() {
    return_from_signal(user_frame());
    syscall_frame_replaced();
    return {};
}

bool call_with_frame(machine::Trapframe& frame) {
    constexpr int64_t kill = 129, tgkill = 131, rt_sigreturn = 139;
    bool done = true;
    switch (frame.syscall_number()) {
    case rt_sigreturn:
        return_from_signal(frame);
        current_uthread().in_syscall = false;
        break;
    case kill: done = signal_self_at_once(frame, static_cast<int32_t>(frame.arg(1)), si_code::user); break;
    case tgkill: done = signal_self_at_once(frame, static_cast<int32_t>(frame.arg(2)), si_code::tkill); break;
    default: return false;
    }
    detail::check_after_call();
    return done;
}

} // namespace lentil::abi

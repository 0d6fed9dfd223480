// SPDX-License-Identifier: BSD-2-Clause
// /proc/PID/stat, statm and status (proc(5)), and the loan's lines.
#include <bit>

#include <bsd/priority.hpp>
#include <bsd/tty.hpp>
#include <bsd/vfork.hpp>
#include <sched/hart.hpp>
#include <vfs/procfs.hpp>

namespace lentil {

namespace {

/// What the process tree says, taken in one go.
struct Snapshot {
    pid_t parent = 0, group = 0, session = 0, terminal_group = -1, tracer = 0;
    uint64_t terminal = 0;
    unsigned threads = 0;
    int32_t exit_signal = 0, exit_status = 0;
    Usage usage, children;
    int processor = 0;
    SchedParams sched;
    int32_t rt_priority = 0; ///< it runs with, what it inherits included
    const char* wait_channel = nullptr;
};

Snapshot look(const ProcTarget& target, const Uthread* uthread) {
    Snapshot s;
    const Proc& proc = *target.proc;
    ProcTreeGuard guard(proc_tree_lock);
    s.parent = proc.parent ? proc.parent->pid : 0;
    if (proc.group) {
        s.group = proc.group->id;
        s.session = proc.group->session->id;
        if (const Tty* tty = proc.group->session->tty) {
            s.terminal = tty->device_number();
            const pid_t foreground = tty->foreground_id_locked();
            s.terminal_group = foreground != 0 ? foreground : -1;
        }
    }
    s.threads = proc.living_uthreads();
    s.exit_signal = proc.exit_signal;
    s.exit_status = proc.exit_status;
    s.usage = target.uthread ? target.uthread->usage_locked() : proc.usage_locked();
    s.children = proc.children_usage;
    if (uthread) {
        s.sched = uthread->sched;
        const SchedParams effective = uthread_effective_sched(*uthread);
        s.rt_priority = is_real_time(effective.policy) ? effective.rt_priority : 0;
        if (const Tracing* tracing = uthread->traced.load(std::memory_order_relaxed))
            s.tracer = tracing->tracer->pid;
        if (const Thread* thread = uthread->thread.load(std::memory_order_relaxed))
            if (const Hart* hart = thread->hart.load(std::memory_order_relaxed))
                s.processor = static_cast<int>(hart->index);
    }
    return s;
}

/// Signals by what happens to them.
struct SignalSets {
    SigSet pending, shared, blocked, ignored, caught;
    uint32_t queued = 0;
};

SignalSets look_at_signals(const Proc& proc, const Uthread* uthread) {
    SignalSets s;
    {
        ProcTreeGuard guard(proc_tree_lock);
        if (const UserCounts* user = user_counts_locked(proc.cred()->uid))
            s.queued = user->signals.load(std::memory_order_relaxed);
    }
    {
        SpinGuard guard(proc.sig.lock);
        s.shared = proc.sig.shared.set;
        if (uthread) {
            s.pending = uthread->sig.pending.set;
            s.blocked = uthread->sig.mask;
        }
    }
    RefPtr<SigActs> acts;
    {
        SpinGuard guard(proc.tables_lock);
        acts = proc.sigacts;
    }
    if (!acts)
        return s;
    s.ignored = acts->ignored();
    s.caught = acts->caught();
    return s;
}

std::string_view name_of(const ProcTarget& target, std::span<char, 16> buffer) {
    // Written by its owner without a lock: a torn name is harmless, an endless one is not.
    const char* text = target.uthread && target.uthread->name[0] ? target.uthread->name : target.proc->comm;
    __builtin_memcpy(buffer.data(), text, 16);
    return {buffer.data(), strnlen(buffer.data(), 15)};
}

} // namespace

ProcLetter procfs_state(const ProcTarget& target) {
    const Proc& proc = *target.proc;
    RefPtr<Uthread> uthread = target.one_uthread();
    {
        SpinGuard guard(proc.sig.lock);
        const Tracing* tracing = uthread ? uthread->traced.load(std::memory_order_relaxed) : nullptr;
        if (tracing && tracing->stop)
            return {'t', "tracing stop"};
        if (proc.sig.stopped && uthread && !(tracing && !tracing->silent))
            return {'T', "stopped"};
    }
    ProcTreeGuard guard(proc_tree_lock);
    if (proc.state == ProcState::dead)
        return {'X', "dead"};
    if (proc.state == ProcState::zombie || !uthread)
        return {'Z', "zombie"};
    if (uthread->state.load(std::memory_order_relaxed) == UthreadState::parked)
        return {'D', "disk sleep"}; // it lent its thread away
    const Thread* thread = uthread->thread.load(std::memory_order_relaxed);
    if (!thread || thread->state.load(std::memory_order_relaxed) != ThreadState::waiting)
        return {'R', "running"};
    if (thread->wait_interruptible.load(std::memory_order_relaxed) == Interruptible::yes)
        return {'S', "sleeping"};
    return {'D', "disk sleep"};
}

Result<void> procfs_stat(TextBuffer& out, const ProcTarget& target) {
    const Proc& proc = *target.proc;
    const RefPtr<Uthread> uthread = target.one_uthread();
    const Snapshot s = look(target, uthread.get());
    const SignalSets signals = look_at_signals(proc, uthread.get());
    const RefPtr<VmMap> map = target.map();
    const VmMap::Totals memory = map ? map->totals() : VmMap::Totals{};
    const VmMap::Layout layout = map ? map->layout : VmMap::Layout{};
    const bool inspect = target.may_inspect();
    char name[16];
    out.add("{} ({}) {} {} {} {} {} {} 0 ", target.id(), name_of(target, name), procfs_state(target).letter, s.parent,
            s.group, s.session, s.terminal, s.terminal_group);
    out.add("{} {} {} {} {} {} {} {} ", s.usage.minor_faults, s.children.minor_faults, s.usage.major_faults,
            s.children.major_faults, ticks_of(s.usage.user), ticks_of(s.usage.system), ticks_of(s.children.user),
            ticks_of(s.children.system));
    out.add("{} {} {} 0 {} {} {} {} ", s.rt_priority > 0 ? -1 - s.rt_priority : 20 + s.sched.nice, s.sched.nice,
            s.threads, ticks_of(proc.start_ns), memory.size, memory.resident / page_size, proc.limit(Limit::rss).soft);
    out.add("{} {} {} 0 0 ", inspect ? layout.code_start : 1, inspect ? layout.code_end : 1,
            inspect ? layout.stack_start : 0);
    out.add("{} {} {} {} 0 0 0 {} {} {} {} 0 0 0 ", signals.pending.bits & 0x7fffffff,
            signals.blocked.bits & 0x7fffffff, signals.ignored.bits & 0x7fffffff, signals.caught.bits & 0x7fffffff,
            s.exit_signal, s.processor, is_real_time(s.sched.policy) ? s.sched.rt_priority : 0,
            static_cast<uint32_t>(s.sched.policy));
    if (inspect)
        out.add("{} {} {} {} {} {} {} {}\n", layout.data_start, layout.data_end, layout.break_start, layout.arg_start,
                layout.arg_end, layout.env_start, layout.env_end, s.exit_status);
    else
        out.text("0 0 0 0 0 0 0 0\n");
    return {};
}

Result<void> procfs_statm(TextBuffer& out, const ProcTarget& target) {
    const RefPtr<VmMap> map = target.map();
    const VmMap::Totals m = map ? map->totals() : VmMap::Totals{};
    out.add("{} {} {} {} 0 {} 0\n", m.size / page_size, m.resident / page_size, m.shared_resident / page_size,
            m.text / page_size, (m.data + m.stack) / page_size);
    return {};
}

namespace {

void memory_lines(TextBuffer& out, VmMap& map) {
    const VmMap::Totals m = map.totals();
    const auto line = [&](std::string_view name, uint64_t bytes) { out.add("{}:\t{:8} kB\n", name, bytes / 1024); };
    line("VmSize", m.size);
    line("VmLck", 0);
    line("VmPin", 0);
    line("VmHWM", m.peak_resident);
    line("VmRSS", m.resident);
    line("RssAnon", m.resident - m.shared_resident);
    line("RssFile", m.shared_resident);
    line("RssShmem", 0);
    line("VmData", m.data);
    line("VmStk", m.stack);
    line("VmExe", m.text);
    line("VmPTE", m.page_tables);
    line("VmSwap", 0);
}

/// A set of harts as Linux writes cpu masks: groups of 32 bits, and as a list of ranges.
void hart_lines(TextBuffer& out, HartSet wanted) {
    const HartSet harts = wanted & sched_harts();
    const uint64_t bits = harts.bits();
    if (bits >> 32)
        out.add("Cpus_allowed:\t{:08x},{:08x}\n", bits >> 32, bits & 0xffffffff);
    else
        out.add("Cpus_allowed:\t{:x}\n", bits);
    out.text("Cpus_allowed_list:\t");
    for (unsigned i = 0, count = 0; i < max_harts; i++) {
        if (!harts.has(i))
            continue;
        unsigned end = i;
        while (end + 1 < max_harts && harts.has(end + 1))
            end++;
        out.text(count++ ? "," : "");
        if (end > i)
            out.add("{}-{}", i, end);
        else
            out.add("{}", i);
        i = end;
    }
    out.text("\n");
}

} // namespace

Result<void> procfs_status(TextBuffer& out, const ProcTarget& target) {
    Proc& proc = *target.proc;
    const RefPtr<Uthread> uthread = target.one_uthread();
    const Snapshot s = look(target, uthread.get());
    const SignalSets signals = look_at_signals(proc, uthread.get());
    const RefPtr<const Cred> cred = proc.cred();
    const ProcLetter state = procfs_state(target);
    char name[16];
    out.add("Name:\t{}\n", name_of(target, name));
    if (const RefPtr<CwdInfo> cwd = proc.cwd_info())
        out.add("Umask:\t{:04o}\n", cwd->umask.load(std::memory_order_relaxed));
    out.add("State:\t{} ({})\nTgid:\t{}\nNgid:\t0\nPid:\t{}\nPPid:\t{}\nTracerPid:\t{}\n", state.letter, state.word,
            proc.pid, target.id(), s.parent, s.tracer);
    out.add("Uid:\t{}\t{}\t{}\t{}\n", cred->uid, cred->euid, cred->suid, cred->fsuid);
    out.add("Gid:\t{}\t{}\t{}\t{}\n", cred->gid, cred->egid, cred->sgid, cred->fsgid);
    const RefPtr<FdTable> fds = proc.fd_table();
    out.add("FDSize:\t{}\nGroups:\t", fds ? fds->capacity() : 0);
    for (uint32_t i = 0; i < cred->group_count; i++)
        out.add("{} ", cred->groups[i]);
    out.add("\nNStgid:\t{}\nNSpid:\t{}\nNSpgid:\t{}\nNSsid:\t{}\n", proc.pid, target.id(), s.group, s.session);
    if (const RefPtr<VmMap> map = target.map())
        memory_lines(out, *map);
    out.add("Threads:\t{}\n", s.threads);
    out.add("SigQ:\t{}/{}\n", signals.queued, proc.limit(Limit::sigpending).soft);
    out.add("SigPnd:\t{:016x}\nShdPnd:\t{:016x}\n", signals.pending.bits, signals.shared.bits);
    out.add("SigBlk:\t{:016x}\nSigIgn:\t{:016x}\nSigCgt:\t{:016x}\n", signals.blocked.bits, signals.ignored.bits,
            signals.caught.bits);
    out.add("CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}\n",
            cred->cap_inheritable, cred->cap_permitted, cred->cap_effective, cred->cap_bounding, cred->cap_ambient);
    out.add("NoNewPrivs:\t{}\nSeccomp:\t0\n", proc.no_new_privs ? 1 : 0);
    hart_lines(out, s.sched.affinity);
    out.add("voluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t{}\n", s.usage.voluntary_switches,
            s.usage.involuntary_switches);
    // The loan, while there is one.
    if (uthread) {
        if (const pid_t borrower = loan_lent_to(*uthread))
            out.add("LentTo:\t{}\n", borrower);
    }
    if (const pid_t lender = loan_borrowed_from(proc))
        out.add("BorrowedFrom:\t{}\n", lender);
    return {};
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// fork1. First everything is made that can fail to be made, owned by locals that give it back; then one critical section
// makes it visible, and from there on nothing fails.
#include <bsd/fork.hpp>
#include <bsd/itimer.hpp>
#include <bsd/kqueue.hpp>
#include <bsd/pidfd.hpp>
#include <bsd/ptrace.hpp>
#include <bsd/spawn.hpp>
#include <bsd/sysv_sem.hpp>
#include <bsd/vfork.hpp>
#include <debug/trace.hpp>
#include <machine/lent_frame.hpp>
#include <sched/clock.hpp>
#include <vm/vm_cache.hpp>

namespace lentil {

namespace {

using namespace fork_flags;

/// First code of a new thread that returns to user mode as the copy of its creator.
void child_return(void*) {
    machine::irq_enable();
    Uthread& self = current_uthread();
    if (self.set_child_tid)
        // Linux ignores a bad address here too: the child lives, its memory is its own business.
        (void)copyout(self.set_child_tid, &self.tid, sizeof self.tid);
    thread_return_to_user();
}

/// The user registers that the child starts with.
void set_child_registers(machine::Trapframe& frame, const ForkRequest& request, pid_t pid) {
    frame.set_return(request.native_return ? static_cast<uint64_t>(pid) : 0);
    if (request.native_return)
        frame.set_return2(1);
    if (request.stack)
        frame.set_sp(request.stack);
    if (request.set_tls)
        frame.set_tls(request.tls);
}

/// Descriptors, directories, handlers, limits and credentials of the child, shared or copied as `flags` say.
/// `lends`: to a borrower.
Result<void> copy_tables(Proc& parent, Proc& child, uint32_t flags, bool lends) {
    // The caller is a uthread of the parent: nobody replaces these tables of it meanwhile.
    FdTable* const fds = parent.fds.get();
    if (flags & sharefiles) // wins over cleanfiles (NB-15)
        child.fds = parent.fds;
    else if (flags & cleanfiles)
        child.fds = TRY(FdTable::create());
    else
        child.fds = TRY(fds->copy(&child));

    child.cwd = flags & sharecwd ? parent.cwd : TRY(parent.cwd->copy(&child));
    if (flags & sharesigs) {
        TRY(sigacts_own(parent));
        parent.sigacts->mark_unsteady();
        child.sigacts = parent.sigacts;
    } else if (lends && !(flags & clear_sighand) && parent.is_single() && parent.sigacts->is_steady()) {
        child.sigacts = parent.sigacts; // nobody can change it before the loan ends, but the borrower
        child.sigacts_lent = true;
    } else {
        child.sigacts = TRY(parent.sigacts->copy());
    }
    if (flags & clear_sighand)
        child.sigacts->keep_only_ignored();

    SpinGuard guard(parent.tables_lock);
    child.limits_ = parent.limits_; // copied on the first change (NB-23)
    child.cred_ = parent.cred_;
    child.executable = parent.executable;
    return {};
}

/// Aligned, and too short for a function.
void copy_name(char (&to)[16], const char (&from)[16]) {
    const auto* words = reinterpret_cast<const uint64_t*>(from);
    reinterpret_cast<uint64_t*>(to)[0] = words[0];
    reinterpret_cast<uint64_t*>(to)[1] = words[1];
}

/// What a child inherits without a choice.
void inherit(const Proc& parent, Proc& child) {
    copy_name(child.comm, parent.comm);
    child.dumpable = parent.dumpable;
    child.no_new_privs = parent.no_new_privs;
    child.personality = parent.personality;
    child.oom_score_adj = parent.oom_score_adj.load();
    child.start_ns = monotonic_ns();
}

void inherit(const Uthread& parent, Uthread& child, const ForkRequest& request) {
    copy_name(child.name, parent.name);
    signal_fork(parent, child);
    child.sched = parent.sched;
    // A second thread on the same memory must not start on its creator's alternate stack (LX-17).
    const bool beside_its_creator =
        request.kind == ForkKind::thread ||
        (request.kind == ForkKind::fork && (request.flags & sharevm) && !(request.flags & ppwait));
    if (beside_its_creator) {
        child.sig.altstack_base = child.sig.altstack_size = 0;
        child.sig.altstack_flags = 2;
    }
    child.set_child_tid = request.child_tid_set;
    child.clear_child_tid = request.child_tid_clear;
}

/// A proc before its birth. Unless that comes, what lies in it must let go of it.
class Embryo {
public:
    explicit Embryo(Proc& proc) : proc_(&proc) {}
    Embryo(const Embryo&) = delete;
    Embryo& operator=(const Embryo&) = delete;
    ~Embryo() {
        if (proc_)
            proc_->abandon();
    }
    void keep() { proc_ = nullptr; }

private:
    Proc* proc_;
};

/// A thread for `uthread` that will start with a copy of the caller's user registers, or run the request's function.
Result<RefPtr<Thread>> make_thread(Uthread& uthread, const ForkRequest& request, Task& task) {
    Thread& self = current_thread();
    RefPtr<Thread> thread = TRY(Thread::create("", request.func ? request.func : child_return, request.arg));
    copy_name(thread->name, uthread.name);
    if (request.frame) {
        machine::fp_save(self.arch);
        thread->arch.fp = self.arch.fp;
        machine::Trapframe& frame = machine::user_frame(thread->arch);
        frame = *request.frame;
        set_child_registers(frame, request, uthread.tid);
        if (request.kind == ForkKind::thread) // C libraries save a jump buffer in each
            machine::fp_expect(thread->arch);
    }
    if (uthread.sched != SchedParams{}) // which a new thread has
        thread_set_params(*thread, uthread.sched);
    task.adopt(*thread);
    return thread;
}

/// Takes a thread that was never started out of its task again.
struct ThreadUndo {
    RefPtr<Thread> thread;
    ~ThreadUndo() {
        if (thread && thread->task)
            thread->task->remove(*thread);
    }
    RefPtr<Thread> keep() { return std::move(thread); }
};

constinit ForkHook* fork_hooks = nullptr;

/// Hooks that ran for a child; undone unless it is born.
class HooksRun {
public:
    explicit HooksRun(Proc& child) : child_(child) {}
    HooksRun(const HooksRun&) = delete;
    HooksRun& operator=(const HooksRun&) = delete;
    Result<void> run(Proc& parent, uint32_t flags) {
        for (ForkHook* hook = fork_hooks; hook; hook = hook->next) {
            TRY(hook->prepare(child_, parent, flags));
            last_ = hook;
        }
        return {};
    }
    ~HooksRun() {
        while (last_) {
            ForkHook* before = nullptr;
            for (ForkHook* hook = fork_hooks; hook != last_; hook = hook->next)
                before = hook;
            if (last_->undo)
                last_->undo(child_);
            last_ = before;
        }
    }
    void keep() { last_ = nullptr; }

private:
    Proc& child_;
    ForkHook* last_ = nullptr;
};

/// Nobody may be born to a caller that is being killed, or past a signal that waits for it: the signal is handled first
/// and the call starts over (LX-06). Under proc_tree_lock this also closes the race with kill(-pgrp) (LX-08).
Result<void> check_no_signal(const Uthread& caller) {
    // What pends for the only uthread of a proc, or stops or ends that, has interrupted its thread.
    if (caller.proc->is_single() && !caller.traced.load(std::memory_order_relaxed) &&
        current_thread().interrupt_level.load(std::memory_order_relaxed) == 0) [[likely]]
        return {};
    if (signal_pending(caller))
        return Errno::restart_nointr;
    return {};
}

void link_uthread_locked(Proc& proc, Uthread& uthread) {
    uthread.ref(); // the list's
    proc.uthreads.push_back(uthread);
    proc.uthread_count.fetch_add(1, std::memory_order_relaxed);
    if (&uthread != &proc.leader) // who is found through its proc
        pid_insert_locked(uthread);
}

void link_proc_locked(Proc& child, Proc* parent, Uthread& uthread, RefPtr<ProcessGroup> group) {
    child.set_parent_locked(parent);
    if (parent)
        parent->children.push_back(child);
    all_procs->push_back(child);
    pid_insert_locked(child);
    group_join_locked(child, std::move(group));
    link_uthread_locked(child, uthread);
    child.state = ProcState::active;
    child.ref(); // the tables'; dropped when it is reaped
}

void start_thread_locked(Uthread& uthread, Thread& thread) { uthread_execute_on(uthread, thread); }

/// What a tracer of the creator hears (ptrace(2)): LX-22.
inline Result<TracedBirth> prepare_traced_birth(const Uthread& caller, const ForkRequest& request) {
    if (!caller.traced.load(std::memory_order_relaxed)) [[likely]]
        return TracedBirth{};
    uint32_t event = trace_events::fork;
    if (request.flags & ppwait)
        event = trace_events::vfork;
    else if (request.kind == ForkKind::thread || request.exit_signal != sig_chld)
        event = trace_events::clone;
    return TracedBirth::prepare(caller, request.untraced ? uint32_t{trace_events::none} : event,
                                request.trace_child && !request.untraced);
}

void report_tid(vaddr_t address, pid_t tid) {
    if (address)
        (void)copyout(address, &tid, sizeof tid); // a bad address is the caller's loss, as on Linux
}

Result<ForkOutcome> fork_thread(const ForkRequest& request) {
    Proc& proc = current_proc();
    Uthread& caller = current_uthread();
    TRY(loan_become_owner(proc)); // a thread needs a task of its proc's own
    TRY(sigacts_own(proc));       // while there is nobody else who looks at it
    Birthright right = TRY(Birthright::reserve(*proc.cred(), proc.limit(Limit::nproc).soft, false, request.wanted_pid));
    const pid_t tid = right.number();
    RefPtr<Uthread> uthread = TRY(make_ref<Uthread>());
    uthread->proc = &proc;
    uthread->tid = tid;
    inherit(caller, *uthread, request);
    RefPtr<VforkLoan> loan;
    if (request.flags & ppwait)
        loan = TRY(loan_prepare());
    ThreadUndo thread{TRY(make_thread(*uthread, request, *proc.task))};
    TracedBirth birth = TRY(prepare_traced_birth(caller, request));

    ProcTreeGuard guard(proc_tree_lock);
    TRY(check_no_signal(caller));
    trace(Probe::proc_lwp_create, tid, thread.thread->id);
    link_uthread_locked(proc, *uthread);
    start_thread_locked(*uthread, *thread.thread);
    birth.link_locked(*uthread);
    if (loan)
        loan_expect_locked(loan, *uthread);
    guard.unlock();

    const ForkOutcome outcome{tid, false};
    right.keep();
    report_tid(request.parent_tid, outcome.pid);
    thread_start(*thread.keep());
    birth.report(outcome.pid);
    if (loan && loan_wait(*loan))
        ptrace_event(trace_events::vfork_done, static_cast<uint64_t>(outcome.pid));
    return outcome;
}

Result<ForkOutcome> fork_once(const ForkRequest& request);

} // namespace

Result<ForkOutcome> fork1(const ForkRequest& request) {
    Result<ForkOutcome> outcome = fork_once(request);
    // Memory may be full of files' pages, which go with the help of a thread that writes them. (What a spawn prepared is used up.)
    if (!outcome.ok() && outcome.error() == Errno::nomem && !request.spawn && VmCachedObject::ask_for_room())
        [[unlikely]]
        outcome = fork_once(request);
    return outcome;
}

void fork_hook_add(ForkHook& hook) {
    ForkHook** end = &fork_hooks;
    while (*end)
        end = &(*end)->next;
    hook.next = nullptr;
    *end = &hook;
}

void fork_hook_remove(ForkHook& hook) {
    for (ForkHook** at = &fork_hooks; *at; at = &(*at)->next)
        if (*at == &hook) {
            *at = hook.next;
            return;
        }
}

namespace {

Result<ForkOutcome> fork_once(const ForkRequest& request) {
    if (request.kind == ForkKind::thread)
        return fork_thread(request);

    Proc& parent = current_proc();
    Uthread& caller = current_uthread();
    if (request.kind == ForkKind::vfork && caller.traced.load(std::memory_order_relaxed)) [[unlikely]] {
        // A tracee stops on its own behalf while its child runs or stops on its own: that takes two threads.
        ForkRequest waiting = request;
        waiting.kind = ForkKind::fork;
        waiting.flags |= sharevm | ppwait;
        return fork_once(waiting);
    }
    const bool lends = request.kind == ForkKind::vfork;
    const bool waits = lends || (request.flags & ppwait);
    Spawn* const spawn = request.spawn;
    TRY(check_no_signal(caller));

    // -- what can fail -------------------------------------------------------------------------------------------------
    const auto cred =
        parent.is_single() ? Hold<const Cred>::borrowed(parent.cred_.get()) : Hold<const Cred>(parent.cred());
    Birthright right = TRY(Birthright::reserve(*cred, parent.limit(Limit::nproc).soft, true, request.wanted_pid));
    const pid_t pid = right.number();
    RefPtr<Proc> child = TRY(Proc::create());
    Embryo embryo(*child);
    RefPtr<Uthread> uthread = child->house(child->leader);
    child->pid = uthread->tid = pid;
    child->exit_signal = request.exit_signal;
    child->is_system = child->no_children_wait = request.flags & fork_flags::system;
    TRY(copy_tables(parent, *child, request.flags, lends));
    inherit(parent, *child);
    inherit(caller, *uthread, request);
    if (spawn)
        TRY(spawn->prepare(*child, *uthread));

    TracedBirth birth = TRY(prepare_traced_birth(caller, request));
    PidfdReservation pidfd;
    if (request.pidfd) [[unlikely]]
        TRY(pidfd.make(parent, request.pidfd));
    if (request.flags & share_sem_undos) [[unlikely]]
        TRY(sysv::sem_prepare_sharing(parent));
    RefPtr<VforkLoan> loan;
    if (waits)
        loan = loan_prepare(*child);
    ThreadUndo thread;
    const bool frame_stays = lends && request.frame_may_stay && machine::frame_can_stay(current_thread().arch);
    if (lends) {
        loan_park(*loan, request.native_return, frame_stays);
    } else {
        RefPtr<VmMap> map;
        if (spawn)
            map = spawn->map();
        else if (request.flags & sharevm)
            map = ref(current_map());
        else
            map = TRY(current_map().fork());
        child->task = TRY(Task::create(std::move(map)));
        thread.thread = TRY(make_thread(*uthread, request, *child->task));
        if (spawn)
            spawn->enter(*thread.thread);
    }
    HooksRun hooks(*child);
    TRY(hooks.run(parent, request.flags));

    KnoteReserve knotes;
    if (parent.knotes) [[unlikely]]
        knotes.fill(parent);

    // -- the birth -----------------------------------------------------------------------------------------------------
    ProcTreeGuard guard(proc_tree_lock);
    RefPtr<ProcessGroup> group = parent.group;
    if (spawn)
        group = TRY(spawn->admit_locked(parent, *child));
    else
        TRY(check_no_signal(caller));
    if (itimer_limits_cpu(*child)) [[unlikely]]
        itimer_init(*child);
    Proc* new_parent = &parent;
    if (request.flags & nowait) {
        new_parent = init_proc;
        child->exit_signal = sig_chld; // what init waits for, whatever the creator wanted
    } else if ((request.flags & same_parent) && parent.parent) {
        new_parent = parent.parent;
        child->exit_signal = parent.exit_signal; // nobody chooses what signal somebody else's parent gets
    }
    trace(Probe::proc_create, child->pid, new_parent->pid, request.flags | static_cast<uint32_t>(request.kind) << 16,
          lends ? 0 : thread.thread->id);
    link_proc_locked(*child, new_parent, *uthread, std::move(group));
    pidfd.keep_locked(*child);
    if (request.flags & share_sem_undos) [[unlikely]]
        sysv::sem_share(parent, *child);
    kqueue_note_fork_locked(parent, *child, knotes);
    const ForkOutcome outcome{pid, lends, frame_stays};
    right.keep();
    hooks.keep();
    embryo.keep();
    if (request.new_proc)
        *request.new_proc = child;
    proc_counts.forks.fetch_add(1, std::memory_order_relaxed);
    if (waits)
        proc_counts.forks_ppwait.fetch_add(1, std::memory_order_relaxed);
    if (lends || (request.flags & sharevm))
        proc_counts.forks_sharevm.fetch_add(1, std::memory_order_relaxed);

    if (lends) {
        loan_open_locked(std::move(loan), *child, *uthread);
        loan_check_locked();
        guard.unlock();
        // The same flow of control, as the child from here on.
        if (!frame_stays)
            set_child_registers(machine::user_frame(current_thread().arch), request, outcome.pid);
        report_tid(request.parent_tid, outcome.pid);
        report_tid(request.child_tid_set, outcome.pid);
        return outcome;
    }

    start_thread_locked(*uthread, *thread.thread);
    if (spawn)
        spawn->born_locked(*child);
    birth.link_locked(*uthread);
    if (waits)
        loan_expect_locked(loan, *child);
    guard.unlock();
    report_tid(request.parent_tid, outcome.pid);
    thread_start(*thread.keep());
    birth.report(outcome.pid);
    if (waits && loan_wait(*loan) && !request.untraced && caller.traced.load(std::memory_order_relaxed)) [[unlikely]]
        ptrace_event(trace_events::vfork_done, static_cast<uint64_t>(outcome.pid));
    return outcome;
}

} // namespace

Result<RefPtr<Proc>> proc_create_init(RefPtr<FsNode> root, void (*entry)(void*), void* arg) {
    RefPtr<Cred> cred = TRY(make_ref<Cred>());
    RefPtr<Limits> limits = TRY(make_ref<Limits>());
    const uint64_t processes = max_procs.load() / 2;
    (*limits)[Limit::stack].soft = uint64_t{8} << 20;
    (*limits)[Limit::nofile] = {1024, 4096};
    (*limits)[Limit::nproc] = {processes, processes};
    (*limits)[Limit::sigpending] = {processes, processes};
    (*limits)[Limit::core].soft = 0;
    (*limits)[Limit::memlock] = {uint64_t{8} << 20, uint64_t{8} << 20};
    (*limits)[Limit::msgqueue] = {819200, 819200};
    (*limits)[Limit::nice] = (*limits)[Limit::rtprio] = {0, 0};

    Birthright right = TRY(Birthright::reserve(*cred, limit_infinity, true, 1));
    const pid_t pid = right.number();
    RefPtr<Proc> proc = TRY(Proc::create());
    RefPtr<Uthread> uthread = proc->house(proc->leader);
    RefPtr<Session> session = TRY(make_ref<Session>());
    RefPtr<ProcessGroup> group = TRY(make_ref<ProcessGroup>());
    proc->pid = uthread->tid = pid;
    proc->cred_ = std::move(cred);
    proc->limits_ = std::move(limits);
    proc->fds = TRY(FdTable::create());
    proc->cwd = TRY(CwdInfo::create(root, root, 022));
    proc->sigacts = TRY(make_ref<SigActs>());
    RefPtr<VmMap> map = TRY(VmMap::create());
    proc->task = TRY(Task::create(std::move(map)));
    proc->start_ns = monotonic_ns();
    __builtin_memcpy(proc->comm, "init", 5);
    __builtin_memcpy(uthread->name, "init", 5);
    RefPtr<Thread> thread = TRY(Thread::create("init", entry, arg));
    proc->task->adopt(*thread);

    session->id = group->id = 1;
    session->leader = proc.get();
    group->session = std::move(session);
    ProcTreeGuard guard(proc_tree_lock);
    itimer_init(*proc);
    link_proc_locked(*proc, nullptr, *uthread, std::move(group));
    init_proc = proc.get();
    start_thread_locked(*uthread, *thread);
    right.keep();
    guard.unlock();
    thread_start(*thread);
    return proc;
}

} // namespace lentil

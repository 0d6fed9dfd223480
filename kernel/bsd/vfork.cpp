// SPDX-License-Identifier: BSD-2-Clause
//
// The loan: vfork by lending the parent's thread.
//
//   before                                       during the loan
//
//   thread ---> task                             thread ---> task           one flow of control, one kernel stack, one
//     |^         |                                 |^         |             address space; the scheduler takes no part
//     v|         |                                 v|         |
//   lender <--> parent                           borrower <--> child        lender <--> parent
//                                                              loan ------> parked, with its user registers, on the
//                                                              (no task)    child's wait channel
//
// A Mach thread executes as one uthread. Lending swaps that one pointer: the lender's uthread is parked with its
// registers, the borrower's takes its place. Signals, masks, credentials, timers, descriptors all belong to proc and
// uthread, so nothing addressed to one can reach the other.
//
// A loan goes through these states, each change made under proc_tree_lock:
//
//               open                      gift                       release
//   (prepared) -----> lent ------------------------------> awaited -----------> released
//                      |                                     ^                      ^
//                      |  release: hand the thread back      | expect (FORK_PPWAIT)  |
//                      +-------------------------------------|----------------------+
//
//   lent       the borrower executes on `thread`; the lender is parked.
//   awaited    the lender (if it still lives) executes on a thread of its own and sleeps in loan_wait.
//   released   the child exec'd or ended; nothing points from the child to the lender any more (vfork-facts D15).
//
// Loans nest. A thread that was lent on carries a stack of parked uthreads: each is the lender of the loan of the one
// above. Release is last in, first out by construction, since only the topmost uthread executes.
//
// The gift splits such a stack: the borrower and all above it keep the thread, in-flight system call and all, in a new
// task that shares the map; the lender and all below it get a fresh thread, which sleeps in loan_wait as the lender. A
// lender that is being killed finds that out there and ends like any other thread. So every end of every party is
// ordinary code, and the hard cases of lending (vfork-facts W1, W2, W6, EC-12, EC-24, EC-25, EC-40) are not special.
#include <bsd/priority.hpp>
#include <bsd/vfork.hpp>
#include <debug/trace.hpp>
#include <machine/lent_frame.hpp>

namespace lentil {

using State = VforkLoan::State;

namespace {

/// Loans in the stack of `thread`, from the borrower's down: each lender's own loan, while it is lent on this thread.
VforkLoan* loan_below(const VforkLoan& loan) {
    VforkLoan* below = loan.lender->proc->loan;
    return below && below->state == State::lent && below->borrower == loan.lender.get() ? below : nullptr;
}

unsigned loan_depth(const VforkLoan& loan) {
    unsigned depth = 1;
    for (const VforkLoan* l = loan_below(loan); l; l = loan_below(*l))
        depth++;
    return depth;
}

/// Takes the lender's registers away from the kernel stack, if they are still there.
void settle_frame(VforkLoan& loan) {
    machine::Trapframe& parked = loan.parked_frame.value;
    if (loan.frame == &parked)
        return;
    parked = *loan.frame;
    loan.frame = &parked;
}

/// The lender's return from vfork: its registers as they were, and the child's pid.
void restore_lender(const VforkLoan& loan, machine::Trapframe& frame) {
    if (loan.frame != &frame)
        frame = *loan.frame;
    frame.set_return(static_cast<uint64_t>(loan.child_pid));
    if (loan.native_return)
        frame.set_return2(0);
}

} // namespace

// ---- opening -----------------------------------------------------------------------------------------------------------

RefPtr<VforkLoan> loan_prepare(Proc& child) { return child.house(child.loan_record); }
Result<RefPtr<VforkLoan>> loan_prepare() { return make_ref<VforkLoan>(); }

void VforkLoan::renew() {
    renew_count();
    state.store(State::prepared, std::memory_order_relaxed);
    borrower = nullptr;
    thread = nullptr;
    child_pid = 0;
    native_return = false;
    fp_stays = false;
    fp_mark = 0;
    frame = nullptr;
}

void VforkLoan::last_unref() {
    if (!home)
        return zone_delete(this);
    lender.reset();
    home->unref();
}

void loan_start(Proc& child) {
    Thread& thread = current_thread();
    machine::enter_user_beside(thread.arch);
    // Something pends, which may change the registers.
    ProcTreeGuard guard(proc_tree_lock);
    if (child.loan && child.loan->state == State::lent)
        settle_frame(*child.loan);
}

void loan_park(VforkLoan& loan, bool native_return, bool frame_stays) {
    Thread& thread = current_thread();
    machine::fp_save(thread.arch);
    loan.frame = &machine::user_frame(thread.arch);
    if (!frame_stays)
        settle_frame(loan);
    loan.parked_fp.value = thread.arch.fp;
    loan.fp_mark = machine::fp_mark(thread.arch);
    loan.fp_stays = true;
    loan.lender = ref(*thread.uthread);
    loan.thread = &thread;
    loan.native_return = native_return;
}

void loan_open_locked(RefPtr<VforkLoan> loan, Proc& child, Uthread& borrower) {
    Thread& thread = *loan->thread;
    Uthread& lender = *thread.uthread;
    uthread_charge(lender);
    loan->borrower = &borrower;
    loan->child_pid = child.pid;
    loan->state.store(State::lent, std::memory_order_release);
    const uint64_t depth = loan_depth(*loan);
    trace(Probe::loan_open, child.pid, borrower.tid, depth);

    lender.lent = loan.get();
    lender.state.store(UthreadState::parked, std::memory_order_relaxed);
    lender.thread.store(nullptr, std::memory_order_relaxed);

    // The borrower takes the thread: from here on current_proc() is the child.
    child.loan = loan.release();
    uthread_execute_on(borrower, thread);

    proc_counts.loans.fetch_add(1, std::memory_order_relaxed);
    proc_counts.loans_open.fetch_add(1, std::memory_order_relaxed);
    if (depth > proc_counts.loans_max_depth.load(std::memory_order_relaxed))
        proc_counts.loans_max_depth = depth;
    proc_counts.pages_not_copied.fetch_add(current_map().pmap().resident(), std::memory_order_relaxed);
}

namespace {

/// The current uthread will wait for whoever has the number `id`.
void expect_locked(VforkLoan& loan, pid_t id) {
    loan.lender = ref(current_uthread());
    loan.child_pid = id;
    loan.state = State::awaited;
    current_uthread().lent = &loan;
    proc_counts.loans_open++;
}

} // namespace

void loan_expect_locked(RefPtr<VforkLoan> loan, Proc& child) {
    expect_locked(*loan, child.pid);
    child.loan = loan.release();
}

void loan_expect_locked(RefPtr<VforkLoan> loan, Uthread& uthread) {
    expect_locked(*loan, uthread.tid);
    uthread.awaited_by = loan.release();
}

bool loan_wait(VforkLoan& loan) {
    const WaitResult result = wait_until(
        loan.p_vforkwait, "vfork", [&] { return loan.state == State::released; }, Interruptible::killable);
    if (result == WaitResult::awoken)
        return true;
    // Killed while waiting: leave nothing behind that names us. The child goes on alone (LX-12).
    RefPtr<Uthread> lender;
    ProcTreeGuard guard(proc_tree_lock);
    lender = std::move(loan.lender);
    current_uthread().lent = nullptr;
    guard.unlock();
    return false;
}

// ---- release -----------------------------------------------------------------------------------------------------------

LoanEnd loan_release_locked(Proc& child, RefPtr<VforkLoan>& ended) {
    VforkLoan* const loan = child.loan;
    if (!loan)
        return LoanEnd::not_ours;
    child.loan = nullptr;
    ended = RefPtr<VforkLoan>::adopt(loan);
    const State was = loan->state.load(std::memory_order_relaxed);
    loan->state.store(State::released);
    proc_counts.loans_open.fetch_sub(1, std::memory_order_relaxed);
    Uthread* const lender = loan->lender.get(); // it keeps its reference until loan_restore(), or the end of the record
    if (trace_on(Probe::loan_release)) [[unlikely]] // at its end the child has left its thread already
        trace_record_as(current_thread(), child.pid, child.pid, Probe::loan_release,
                        {static_cast<uint64_t>(child.pid), static_cast<uint64_t>(lender ? lender->proc->pid : 0),
                         static_cast<uint64_t>(lender ? lender->tid : 0), was == State::lent});
    if (lender)
        lender->lent = nullptr;
    if (was == State::awaited) {
        loan->p_vforkwait.wake_all();
        return LoanEnd::not_ours;
    }

    ASSERT(was == State::lent && loan->thread == &current_thread());
    Thread& thread = *loan->thread;
    if (loan->borrower->state.load(std::memory_order_relaxed) != UthreadState::dead)
        uthread_charge(*loan->borrower); // at its end it was charged already, before its usage was added up
    loan->borrower->thread.store(nullptr, std::memory_order_relaxed);
    uthread_execute_on(*lender, thread);
    lender->in_syscall = false; // its call is over: no restart logic may touch the restored registers

    // What arrived for the lender meanwhile is looked at on the way out; what the borrower left does not count.
    SpinGuard guard(lender->proc->sig.lock);
    signal_recalculate(*lender);
    return LoanEnd::handed_back;
}

void loan_restore(RefPtr<VforkLoan> loan) {
    Thread& thread = current_thread();
    IrqGuard irq;
    const bool fp_unchanged = loan->fp_stays && machine::fp_unchanged(thread.arch, loan->fp_mark); // its frame says so
    if (loan->frame != &loan->parked_frame.value)
        machine::frame_returns(thread.arch, *loan->frame);
    restore_lender(*loan, machine::user_frame(thread.arch));
    if (!fp_unchanged) {
        thread.arch.fp = loan->parked_fp.value;
        machine::fp_load(thread.arch);
    }
}

void loan_release_locked(Uthread& uthread) {
    RefPtr<VforkLoan> loan = RefPtr<VforkLoan>::adopt(std::exchange(uthread.awaited_by, nullptr));
    if (!loan)
        return;
    loan->state = State::released;
    proc_counts.loans_open--;
    if (const RefPtr<Uthread> creator = std::move(loan->lender))
        creator->lent = nullptr;
    loan->p_vforkwait.wake_all();
}

// ---- gift --------------------------------------------------------------------------------------------------------------

namespace {

/// First code of a lender's fresh thread: it sleeps where the parked uthread slept, then returns to user mode.
void gifted_lender_entry(void* argument) {
    machine::irq_enable();
    RefPtr<VforkLoan> loan = RefPtr<VforkLoan>::adopt(static_cast<VforkLoan*>(argument));
    (void)loan_wait(*loan);
    loan.reset();
    thread_return_to_user();
}

/// Turns `loan` into a gift if it is still lent. nomem, and then nothing changed.
Result<void> loan_give(RefPtr<VforkLoan> loan) {
    // The map cannot change while a thread of its task is lent: exec in that task recalls the loan first.
    RefPtr<VmMap> map;
    {
        ProcTreeGuard guard(proc_tree_lock);
        if (loan->state != State::lent)
            return {};
        map = loan->thread->task->map_ref();
    }
    RefPtr<Task> task = TRY(Task::create(std::move(map)));
    RefPtr<Thread> fresh = TRY(Thread::create("lender", gifted_lender_entry, loan.get()));

    ProcTreeGuard guard(proc_tree_lock);
    if (loan->state != State::lent) {
        guard.unlock();
        return {}; // released meanwhile; the fresh thread was never started
    }
    Thread& thread = *loan->thread;
    Task& lender_task = *thread.task;
    Proc& child = *loan->borrower->proc;
    Uthread& lender = *loan->lender;

    lender_task.transfer(thread, *task);
    child.task = std::move(task);
    lender_task.adopt(*fresh);
    thread_set_params(*fresh, uthread_effective_sched(lender));

    uthread_execute_on(lender, *fresh);
    restore_lender(*loan, machine::user_frame(fresh->arch));
    fresh->arch.fp = loan->parked_fp.value;
    lender.in_syscall = false;

    for (VforkLoan* below = loan_below(*loan); below; below = loan_below(*below)) {
        settle_frame(*below); // the stack stays with the thread
        below->thread = fresh.get();
        below->fp_stays = false;
    }
    loan->borrower = nullptr;
    loan->thread = nullptr;
    loan->state = State::awaited;
    loan->ref(); // the fresh thread's
    proc_counts.gifts++;
    trace(Probe::loan_gift, child.pid, lender.proc->pid, thread.id, fresh->id);
    {
        SpinGuard signals(lender.proc->sig.lock);
        signal_recalculate(lender);
    }
    loan_check_locked();
    guard.unlock();
    thread_start(*fresh);
    return {};
}

} // namespace

Result<void> loan_become_owner(Proc& proc) {
    RefPtr<VforkLoan> loan;
    {
        ProcTreeGuard guard(proc_tree_lock);
        if (proc.loan && proc.loan->state == State::lent)
            loan = ref(proc.loan);
    }
    if (!loan)
        return {};
    return loan_give(std::move(loan));
}

// ---- recall: the service thread ------------------------------------------------------------------------------------------

namespace {

constinit Waitq recall_waitq;
constinit std::atomic<uint32_t> recalls_wanted{0};

/// One parked uthread's loan of a proc that must have none, with a reference.
RefPtr<VforkLoan> recalled_loan(Proc& proc) {
    ProcTreeGuard guard(proc_tree_lock);
    for (Uthread& uthread : proc.uthreads)
        if (uthread.state == UthreadState::parked)
            return ref(uthread.lent);
    return nullptr;
}

void recall_service(void*) {
    for (;;) {
        wait_until(
            recall_waitq, "loans", [] { return recalls_wanted.load() != 0; }, Interruptible::no);
        recalls_wanted = 0;
        for (RefPtr<Proc> proc = proc_next(1); proc; proc = proc_next(proc->pid + 1)) {
            if (proc->recall_wanted.exchange(0) == 0)
                continue;
            while (RefPtr<VforkLoan> loan = recalled_loan(*proc))
                // Out of memory is no reason to keep a killed lender alive for ever: somebody will free some.
                if (!loan_give(std::move(loan)).ok())
                    sleep_until(machine::now_ns() + 10'000'000, "loans", Interruptible::no);
        }
    }
}

} // namespace

void loan_recall(Proc& proc) {
    proc.recall_wanted = 1;
    recalls_wanted = 1;
    recall_waitq.wake_all();
}

void loan_await_late_gift(const Proc& proc) {
    if constexpr (!checks_enabled)
        return;
    {
        ProcTreeGuard guard(proc_tree_lock);
        const VforkLoan* loan = proc.loan;
        if (!loan || loan->state != State::lent || !loan->lender->proc->sig.group_exit || proc.pid % 2 == 0)
            return;
    }
    // The record stays: only this very flow of control releases the loan.
    for (int tries = 0; tries < 50 && loan_is_borrower(proc); tries++)
        sleep_until(machine::now_ns() + 100'000, "loans", Interruptible::no);
}

void loan_init() { MUST(kernel_thread_start("loans", recall_service, nullptr)); /* at boot there is memory */ }

// ---- asking ---------------------------------------------------------------------------------------------------------------

bool loan_is_borrower(const Proc& proc) {
    // Read without the lock: the answer is about the current proc, or a hint that the caller looks at again.
    const VforkLoan* loan = proc.loan;
    return loan && loan->state == State::lent;
}

bool loan_is_awaited_by(const Proc& child, const Proc& creator) {
    return child.loan && child.loan->lender && child.loan->lender->proc == &creator;
}

bool loan_defers_signal(const Proc& proc, int signo) {
    return (signo == sig_tstp || signo == sig_ttin || signo == sig_ttou) && proc.loan != nullptr;
}

bool loan_exempts_from_job_control(const Proc& proc) { return proc.loan != nullptr; }

pid_t loan_lent_to(const Uthread& uthread) {
    ProcTreeGuard guard(proc_tree_lock);
    return uthread.lent ? uthread.lent->child_pid : 0;
}

pid_t loan_borrowed_from(const Proc& proc) {
    ProcTreeGuard guard(proc_tree_lock);
    return proc.loan && proc.loan->lender ? proc.loan->lender->proc->pid : 0;
}

RefPtr<VmMap> loan_map_locked(const Proc& proc) {
    // The thread's task changes under the lock only, and leaves with the loan.
    return proc.loan && proc.loan->state == State::lent ? proc.loan->thread->task->map_ref() : nullptr;
}

pid_t loan_lender_at_panic(const Proc& proc) {
    const VforkLoan* loan = proc.loan;
    return loan && loan->state == State::lent && loan->lender ? loan->lender->proc->pid : 0;
}

void loan_check_locked() {
    if constexpr (!checks_enabled)
        return;
    for (const ProcLinks& links : *all_procs) {
        const Proc& proc = static_cast<const Proc&>(links);
        if (proc.state != ProcState::active)
            continue;
        for (const Uthread& u : proc.uthreads) {
            const Thread* thread = u.thread;
            switch (u.state.load()) {
            case UthreadState::executing:
                ASSERT(thread && thread->uthread == &u);
                ASSERT(!u.lent || u.lent->state == State::awaited);
                break;
            case UthreadState::parked:
                ASSERT(!thread && u.lent && u.lent->state == State::lent && u.lent->lender.get() == &u);
                ASSERT(u.lent->borrower->proc->loan == u.lent);
                break;
            default: ASSERT(!thread);
            }
        }
        if (proc.loan && proc.loan->state == State::lent)
            ASSERT(!proc.task && proc.loan->thread->uthread != nullptr);
    }
}

} // namespace lentil

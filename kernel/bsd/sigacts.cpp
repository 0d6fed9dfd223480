// SPDX-License-Identifier: BSD-2-Clause
// Actions and masks: what a uthread changes about its own signals, and what fork and exec make of them.
#include <bsd/signal_impl.hpp>
#include <sched/clock.hpp>

namespace lentil {

using signals::SignalGuard;

namespace {

RefPtr<SigActs> table_of(const Proc& proc) {
    SpinGuard guard(proc.tables_lock);
    return proc.sigacts;
}

/// The set of changed actions is written under the table's lock, and whole, so that one question can be asked without it:
/// whether an action is that of a new process. What another thread changes just now comes before or after.
SigSet load(const SigSet& set) { return {__atomic_load_n(&set.bits, __ATOMIC_RELAXED)}; }
void store(SigSet& set, SigSet value) { __atomic_store_n(&set.bits, value.bits, __ATOMIC_RELEASE); }

/// Calls `visit(signo)` for each member of a set, lowest first.
template<class F>
void for_each(SigSet set, F visit) {
    for (; !set.empty(); set.bits &= set.bits - 1)
        visit(std::countr_zero(set.bits) + 1);
}

} // namespace

SigAction SigActs::get(int signo) const {
    if (!load(set_).has(signo))
        return {};
    SpinGuard guard(lock_);
    return set_.has(signo) ? at(signo) : SigAction{};
}

vaddr_t SigActs::handler(int signo) const {
    // No lock for one word: that of an action which others change just now is the old one or the new one.
    if (!SigSet{__atomic_load_n(&set_.bits, __ATOMIC_ACQUIRE)}.has(signo))
        return SigAction::default_action;
    return __atomic_load_n(&at(signo).handler, __ATOMIC_RELAXED);
}

void SigActs::set(int signo, const SigAction& action) { exchange(signo, action, nullptr); }

void SigActs::exchange(int signo, const SigAction& action, SigAction* old) {
    if (action.is_default() && !load(set_).has(signo)) {
        if (old)
            *old = {};
        return;
    }
    SpinGuard guard(lock_);
    SigSet set = set_;
    const bool had_one = set.has(signo);
    SigAction& here = at(signo);
    if (old)
        *old = had_one ? here : SigAction{};
    if (action.is_default()) {
        set.remove(signo);
    } else {
        set.add(signo);
        here = action;
        if (action.flags & sa_flags::resethand)
            mark_unsteady();
    }
    store(set_, set);
}

SigSet SigActs::with_handler(bool ignore) const {
    SigSet found;
    for_each(set_, [&](int signo) {
        const vaddr_t handler = at(signo).handler;
        if (handler != SigAction::default_action && (handler == SigAction::ignore) == ignore)
            found.add(signo);
    });
    return found;
}

SigSet SigActs::ignored() const {
    SpinGuard guard(lock_);
    return with_handler(true);
}

SigSet SigActs::caught() const {
    SpinGuard guard(lock_);
    return with_handler(false);
}

void SigActs::keep_only_ignored() {
    SpinGuard guard(lock_);
    const SigSet kept = with_handler(true);
    store(set_, kept);
    for_each(kept, [&](int signo) { at(signo) = {SigAction::ignore, 0, {}}; });
}

Result<RefPtr<SigActs>> SigActs::copy() const {
    RefPtr<SigActs> fresh = TRY(make_ref<SigActs>());
    SpinGuard guard(lock_);
    fresh->set_ = set_;
    fresh->unsteady_ = unsteady_;
    for_each(set_, [&](int signo) { fresh->at(signo) = at(signo); });
    return fresh;
}

namespace signals {

namespace {

/// look(table or nullptr) with the table of `proc`.
template<class F>
auto with_table(const Proc& proc, F look) {
    // Its own table nobody takes from the current proc.
    if (const Uthread* self = current_thread().uthread; self && self->proc == &proc && proc.sigacts)
        return look(proc.sigacts.get());
    const RefPtr<SigActs> table = table_of(proc);
    return look(table.get());
}

} // namespace

SigAction action_of(const Proc& proc, int signo) {
    return with_table(proc, [&](const SigActs* table) { return table ? table->get(signo) : SigAction{}; });
}

vaddr_t handler_of(const Proc& proc, int signo) {
    return with_table(proc,
                      [&](const SigActs* table) { return table ? table->handler(signo) : SigAction::default_action; });
}

void set_action(Proc& proc, int signo, const SigAction& action) { table_of(proc)->set(signo, action); }

SigSet blocked_for(const Uthread& uthread) {
    SigSet blocked = uthread.sig.mask;
    // One question for three signals: the rule is the same for all that the terminal sends.
    if (loan_defers_signal(*uthread.proc, sig_tstp))
        blocked = blocked | tty_stop_signals;
    return blocked & ~unblockable;
}

uint32_t needed_level(const Uthread& uthread) {
    const Proc& proc = *uthread.proc;
    if (must_end(proc, uthread))
        return 2;
    const Tracing* tracing = uthread.traced.load(std::memory_order_relaxed);
    if (is_trapped(uthread))
        return 1;
    if (proc.sig.stopping && !uthread.sig.stopped && !(tracing && tracing->stop_seen))
        return 1;
    const SigSet pending = uthread.sig.pending.set | proc.sig.shared.set;
    return !pending.empty() && next_signal(pending, blocked_for(uthread)) != 0 ? 1 : 0;
}

bool take_signal(Uthread& uthread, SigSet wanted, SigInfo& info) {
    Proc& proc = *uthread.proc;
    Pending* from = &uthread.sig.pending;
    int signo = next_signal(from->set, ~wanted);
    if (signo == 0) {
        from = &proc.sig.shared;
        signo = next_signal(from->set, ~wanted);
    }
    if (signo == 0)
        return false;
    pending_take(*from, signo, info);
    return true;
}

} // namespace signals

bool signal_pending(const Uthread& uthread) {
    SignalGuard guard(uthread.proc->sig.lock);
    return signals::needed_level(uthread) != 0;
}

void signal_recalculate(Uthread& uthread) {
    Thread* thread = uthread.thread.load(std::memory_order_relaxed);
    if (!thread)
        return;
    if (thread == &current_thread()) // nobody else may lower it; a loan's thread changes who it looks for
        thread_clear_interrupt(*thread);
    if (const uint32_t level = signals::needed_level(uthread); level != 0)
        thread_interrupt(*thread, level);
}

namespace {

/// What `uthread` was chosen for and does not take any more.
void offer_to_others(Uthread& uthread) {
    Proc& proc = *uthread.proc;
    ProcTreeGuard tree(proc_tree_lock);
    SignalGuard guard(proc.sig.lock);
    signals::retarget(proc, uthread);
}

} // namespace

void signal_set_mask(Uthread& uthread, SigSet mask) {
    Proc& proc = *uthread.proc;
    bool others = false;
    {
        SignalGuard guard(proc.sig.lock);
        const SigSet newly_blocked = mask & ~uthread.sig.mask;
        uthread.sig.mask = mask & ~unblockable;
        // Whoever stops or ends the proc or makes a signal pend interrupts the thread under the lock.
        if ((uthread.sig.pending.set | proc.sig.shared.set).empty() &&
            current_thread().interrupt_level.load(std::memory_order_relaxed) == 0) [[likely]]
            return;
        signal_recalculate(uthread);
        others = !(proc.sig.shared.set & newly_blocked).empty();
    }
    if (others)
        offer_to_others(uthread);
}

void signals::block_more(Uthread& uthread, SigSet more) {
    Proc& proc = *uthread.proc;
    bool others = false;
    {
        SignalGuard guard(proc.sig.lock);
        const SigSet newly_blocked = more & ~uthread.sig.mask;
        uthread.sig.mask = (uthread.sig.mask | more) & ~unblockable;
        others = !(proc.sig.shared.set & newly_blocked).empty();
    }
    if (others)
        offer_to_others(uthread);
}

void signal_set_temporary_mask(Uthread& uthread, SigSet mask) {
    SignalGuard guard(uthread.proc->sig.lock);
    if (!uthread.sig.has_saved_mask) {
        uthread.sig.saved_mask = uthread.sig.mask;
        uthread.sig.has_saved_mask = true;
    }
    uthread.sig.mask = mask & ~unblockable;
    signal_recalculate(uthread);
    current_thread().arch.ast_pending.store(1, std::memory_order_relaxed); // the way out restores
}

Result<void> sigacts_own(Proc& proc) {
    if (!proc.sigacts_lent)
        return {};
    RefPtr<SigActs> fresh = TRY(proc.sigacts->copy());
    SpinGuard guard(proc.tables_lock);
    proc.sigacts_lent = false;
    std::swap(proc.sigacts, fresh);
    guard.unlock(); // the lender's goes outside the lock
    return {};
}

Result<void> signal_set_action(int signo, const SigAction* action, SigAction* old) {
    if (!is_signal(signo) || (action && unblockable.has(signo)))
        return Errno::inval;
    Proc& proc = current_proc();
    if (!action) {
        if (old)
            *old = proc.sigacts->get(signo);
        return {};
    }
    const SigAction fresh{action->handler, action->flags & sa_flags::known, action->mask & ~unblockable};
    while (proc.sigacts_lent && !(fresh.is_default() && proc.sigacts->is_default(signo)))
        if (!sigacts_own(proc).ok() && // nobody expects this call to want memory
            sleep_until(machine::now_ns() + 10'000'000, "memory", Interruptible::killable) == WaitResult::interrupted)
            return Errno::intr;
    SigActs& actions = *proc.sigacts; // only the proc's own uthreads replace it, when one of them is left
    if (!discards(fresh, signo)) {
        actions.exchange(signo, fresh, old);
        return {};
    }
    // POSIX: what pends is thrown away, blocked or not. Senders look at the action under these locks.
    ProcTreeGuard tree(proc_tree_lock);
    SignalGuard guard(proc.sig.lock);
    actions.exchange(signo, fresh, old);
    pending_drop(proc.sig.shared, SigSet::of(signo));
    for (Uthread& u : proc.uthreads)
        pending_drop(u.sig.pending, SigSet::of(signo));
    return {};
}

void signal_exec(Uthread& uthread, RefPtr<SigActs> fresh) {
    Proc& proc = *uthread.proc;
    SignalGuard guard(proc.sig.lock);
    (fresh ? *fresh : *proc.sigacts).keep_only_ignored();
    if (fresh) {
        SpinGuard tables(proc.tables_lock);
        std::swap(proc.sigacts, fresh);
    }
    proc.sigacts_lent = false; // a copy, or the lender is no more
    uthread.sig.altstack_base = uthread.sig.altstack_size = 0;
    uthread.sig.altstack_flags = 2;
    guard.unlock(); // before `fresh`, now the old table, may go
}

void signal_fork(const Uthread& parent, Uthread& child) {
    // The parent is the caller: nobody else changes its mask or stack.
    child.sig.mask = parent.sig.has_saved_mask ? parent.sig.saved_mask : parent.sig.mask;
    child.sig.has_saved_mask = false;
    if (child.proc == parent.proc)
        return;
    child.sig.altstack_base = parent.sig.altstack_base;
    child.sig.altstack_size = parent.sig.altstack_size;
    child.sig.altstack_flags = parent.sig.altstack_flags;
}

} // namespace lentil

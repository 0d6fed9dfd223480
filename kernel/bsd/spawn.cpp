// SPDX-License-Identifier: BSD-2-Clause
// The parts of fork1 that belong to a spawned child alone.
#include <bsd/exec_internal.hpp>
#include <bsd/kqueue.hpp>
#include <bsd/spawn.hpp>
#include <bsd/tty.hpp>

namespace lentil {

constinit Dlist<Spawn, &Spawn::link_> Spawn::births_;

Spawn::~Spawn() {
    if (!collecting_)
        return;
    ProcTreeGuard guard(proc_tree_lock);
    end_locked();
}

/// From here on signals to the caller's group are kept for the child too. What pends already is handled first.
Result<void> Spawn::begin() {
    ProcTreeGuard guard(proc_tree_lock);
    if (signal_pending(current_uthread()))
        return Errno::restart_nointr;
    creator_ = &current_proc();
    collecting_ = true;
    births_.push_back(*this);
    return {};
}

void Spawn::end_locked() {
    if (std::exchange(collecting_, false))
        births_.erase(*this);
}

void Spawn::collect_locked(const ProcessGroup& group, int signo) {
    for (Spawn* s = births_.first(); s; s = births_.next(*s)) {
        if (signo == 0 || s->creator_->group.get() != &group)
            continue;
        // As in a queue: the last of stop and go on counts.
        if (signo == sig_cont)
            s->collected_ = s->collected_ & ~stop_signals;
        else if (stop_signals.has(signo))
            s->collected_.remove(sig_cont);
        s->collected_.add(signo);
    }
}

Result<void> Spawn::prepare(Proc& child, Uthread& uthread) {
    TRY(begin());
    if (new_session || set_group) {
        fresh_group_ = TRY(make_ref<ProcessGroup>());
        if (new_session)
            fresh_session_ = TRY(make_ref<Session>());
    }
    ExecRequest request = TRY(set_up(child, uthread));
    exec::Prepared prepared;
    TRY(exec::prepare(child, request, prepared));
    map_ = std::move(prepared.image.map);
    entry_ = prepared.image.entry;
    stack_pointer_ = prepared.image.stack_pointer;
    exec::commit_identity(child, uthread, prepared);
    child.has_execed = true;
    return {};
}

void Spawn::enter(Thread& thread) const { exec::enter_image(thread, {map_, nullptr, entry_, stack_pointer_}); }

Result<RefPtr<ProcessGroup>> Spawn::admit_locked(const Proc& creator, Proc& child) {
    // What the steps did to files must not happen twice: only the caller's own end is a reason to give up here.
    if (current_thread().interrupt_level.load(std::memory_order_relaxed) >= 2)
        return Errno::restart_nointr;
    if (!fresh_group_)
        return creator.group;
    if (!new_session && group != 0 && group != child.pid) {
        RefPtr<ProcessGroup> existing = ref(group_find_locked(group));
        if (!existing || existing->session != creator.group->session)
            return Errno::perm;
        return existing;
    }
    fresh_group_->id = child.pid;
    fresh_group_->session = creator.group->session;
    if (new_session) {
        fresh_session_->id = child.pid;
        fresh_session_->leader = &child;
        fresh_group_->session = std::move(fresh_session_);
    }
    return std::move(fresh_group_);
}

void Spawn::born_locked(Proc& child) {
    end_locked();
    kqueue_note_exec_locked(child);
    proc_counts.execs.fetch_add(1, std::memory_order_relaxed);
    proc_counts.spawns.fetch_add(1, std::memory_order_relaxed);
    const Thread& thread = *child.uthreads.front().thread.load(std::memory_order_relaxed);
    exec::trace_success(thread, child, thread);
    if (new_session && terminal)
        terminal->opened_by_locked(child);
    if (child.group != creator_->group)
        return;
    for (int signo = 1; signo <= signal_count; signo++)
        if (collected_.has(signo))
            signal_send_locked(child, {.signo = signo, .code = si_code::user});
}

} // namespace lentil

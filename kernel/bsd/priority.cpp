// SPDX-License-Identifier: BSD-2-Clause
// Keeps what a uthread asked for, and its thread's parameters in step.
#include <bsd/futex_pi.hpp>
#include <bsd/priority.hpp>

namespace lentil {
namespace {

bool same(const SchedParams& a, const SchedParams& b) {
    return a.policy == b.policy && a.rt_priority == b.rt_priority && a.nice == b.nice && a.affinity == b.affinity;
}

} // namespace

SchedParams uthread_sched_locked(const Uthread& uthread) { return uthread.sched; }

SchedParams uthread_effective_sched(const Uthread& uthread) {
    SchedParams params = uthread.sched;
    if (uthread.pi_inherited > (is_real_time(params.policy) ? params.rt_priority : 0)) {
        if (!is_real_time(params.policy))
            params.policy = SchedPolicy::fifo;
        params.rt_priority = uthread.pi_inherited;
    }
    return params;
}

namespace {

/// Changes what the thread runs with by `change`, and has it run so.
template<class F>
void change_sched(Uthread& uthread, F change) {
    Thread* thread = nullptr;
    SchedParams params;
    {
        ProcTreeGuard guard(proc_tree_lock);
        change();
        params = uthread_effective_sched(uthread);
        thread = uthread.thread.load();
        if (thread && thread != &current_thread())
            thread_set_params(*thread, params); // under the lock: it cannot be handed on meanwhile
    }
    if (thread == &current_thread())
        thread_set_params(*thread, params); // may have to leave this hart
}

} // namespace

void uthread_set_sched(Uthread& uthread, const SchedParams& params) {
    change_sched(uthread, [&] { uthread.sched = params; });
    futex_pi_sched_changed(uthread);
}

void uthread_set_inherited(Uthread& uthread, int32_t priority) {
    change_sched(uthread, [&] { uthread.pi_inherited = priority; });
}

void uthread_apply_sched() {
    Thread& self = current_thread();
    if (!self.uthread)
        return;
    if (self.uthread->pi_inherited == 0 && same(self.params, self.uthread->sched)) [[likely]]
        return;
    const SchedParams wanted = uthread_effective_sched(*self.uthread);
    if (!same(self.params, wanted))
        thread_set_params(self, wanted);
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Keeps what a uthread asked for, and its thread's parameters in step.
#include <bsd/priority.hpp>

namespace lentil {
namespace {

bool same(const SchedParams& a, const SchedParams& b) {
    return a.policy == b.policy && a.rt_priority == b.rt_priority && a.nice == b.nice && a.affinity == b.affinity;
}

} // namespace

SchedParams uthread_sched_locked(const Uthread& uthread) { return uthread.sched; }

void uthread_set_sched(Uthread& uthread, const SchedParams& params) {
    Thread* thread = nullptr;
    {
        ProcTreeGuard guard(proc_tree_lock);
        uthread.sched = params;
        thread = uthread.thread.load();
        if (thread && thread != &current_thread())
            thread_set_params(*thread, params); // under the lock: it cannot be handed on meanwhile
    }
    if (thread == &current_thread())
        thread_set_params(*thread, params); // may have to leave this hart
}

void uthread_apply_sched() {
    Thread& self = current_thread();
    if (self.uthread && !same(self.params, self.uthread->sched))
        thread_set_params(self, self.uthread->sched);
}

} // namespace lentil

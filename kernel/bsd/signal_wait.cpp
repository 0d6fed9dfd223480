// SPDX-License-Identifier: BSD-2-Clause
// Synchronous acceptance of signals: sigtimedwait.
#include <bsd/signal_impl.hpp>
#include <sched/clock.hpp>

namespace lentil {

using signals::SignalGuard;

Result<SigInfo> signal_wait(SigSet set, nanos_t deadline_ns) {
    set = set & ~unblockable;
    Uthread& self = current_uthread();
    Proc& proc = *self.proc;
    SigInfo info;
    for (;;) {
        SignalGuard guard(proc.sig.lock);
        if (signals::take_signal(self, set, info)) {
            signal_recalculate(self);
            return info;
        }
        if (deadline_ns <= monotonic_ns())
            return Errno::again;
        self.sig.waiting_for = set;
        guard.unlock();
        // What arrives from here on interrupts the sleep, though it is blocked.
        const WaitResult result = sleep_until(deadline_ns, "sigtimedwait", Interruptible::yes);
        guard.relock();
        self.sig.waiting_for = {};
        const bool taken = signals::take_signal(self, set, info);
        signal_recalculate(self);
        if (taken)
            return info;
        if (result == WaitResult::interrupted)
            return Errno::intr;
        if (result == WaitResult::timed_out)
            return Errno::again;
    }
}

} // namespace lentil

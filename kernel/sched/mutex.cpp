// SPDX-License-Identifier: BSD-2-Clause
// The sleeping lock: one compare-and-swap to take it free, one exchange to leave it without waiters.
//
// release() writes `owner_`, then reads `waiting_`; a waiter writes `waiting_`, then tries `owner_` again before it sleeps.
// All four are sequentially consistent, so one of the two sees the other. The lock is not handed over: whoever comes first
// after a release has it, and the woken waiter tries again.
#include <sched/mutex.hpp>

namespace lentil {

namespace {
/// Tries before it sleeps, if another hart may be about to release.
constexpr unsigned spins = 64;
} // namespace

bool MutexBase::try_acquire() {
    Thread* nobody = nullptr;
    return owner_.compare_exchange_strong(nobody, machine::current_thread(), std::memory_order_seq_cst,
                                          std::memory_order_relaxed);
}

void MutexBase::acquire(const char* channel) {
    if (try_acquire())
        return;
    ASSERT(!held_by_current());
    if (sched_harts().count() > 1)
        for (unsigned i = 0; i < spins; i++) {
            if (owner_.load(std::memory_order_relaxed) == nullptr && try_acquire())
                return;
            machine::cpu_relax();
        }
    waiting_.fetch_add(1, std::memory_order_seq_cst);
    wait_until(
        queue_, channel, [this] { return try_acquire(); }, Interruptible::no, no_deadline, true);
    waiting_.fetch_sub(1, std::memory_order_relaxed);
}

void MutexBase::release() {
    ASSERT(held_by_current());
    owner_.store(nullptr, std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (waiting_.load(std::memory_order_relaxed) != 0)
        queue_.wake_one();
}

} // namespace lentil

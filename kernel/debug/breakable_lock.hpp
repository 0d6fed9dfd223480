// SPDX-License-Identifier: BSD-2-Clause
// The lock of whatever a panic needs to speak. It is not a ranked SpinLock: a panic ignores it, whoever holds it.
#pragma once

#include <atomic>

#include <machine/machine.hpp>

namespace lentil {

class BreakableLock {
public:
    constexpr BreakableLock() = default;

    /// For panic: from now on nobody waits for any lock of this kind.
    static void break_all() { broken_.store(1, std::memory_order_relaxed); }

private:
    friend class BreakableGuard;
    std::atomic<uint32_t> locked_{0};
    static inline constinit std::atomic<uint32_t> broken_{0};
};

/// Holds it for a scope, interrupts off.
class [[nodiscard]] BreakableGuard {
public:
    explicit BreakableGuard(BreakableLock& lock) : lock_(lock), irq_(machine::irq_save()) {
        while (BreakableLock::broken_.load(std::memory_order_relaxed) == 0 &&
               lock_.locked_.exchange(1, std::memory_order_acquire) != 0)
            machine::cpu_relax();
    }
    ~BreakableGuard() {
        lock_.locked_.store(0, std::memory_order_release);
        machine::irq_restore(irq_);
    }
    BreakableGuard(const BreakableGuard&) = delete;
    BreakableGuard& operator=(const BreakableGuard&) = delete;

private:
    BreakableLock& lock_;
    bool irq_;
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Spin locks with ranks and the guards that are the only way to take them. A spin lock disables interrupts on its
// hart (and with them preemption), so it may be taken in interrupt handlers.
#pragma once

#include <atomic>

#include <machine/machine.hpp>
#include <sync/lock_check.hpp>
#include <sync/rank.hpp>

namespace lentil {

/// How often a hart had to wait for another to leave a spin lock, since boot.
inline constinit std::atomic<uint64_t> spin_waits{0};

/// One word, taken by whoever comes first after a release. Not a queue on purpose: in a virtual machine the next in a
/// queue may be a hart that its host has stopped for milliseconds, and all others would wait for it.
template<Rank R>
class SpinLock {
    static_assert(!is_blocking(R));

public:
    static constexpr Rank rank = R;
    constexpr SpinLock() = default;
    SpinLock(const SpinLock&) = delete;
    SpinLock& operator=(const SpinLock&) = delete;

    /// For assertions only: another hart may hold it.
    bool is_locked() const { return __atomic_load_n(&held_, __ATOMIC_RELAXED) != 0; }

private:
    template<Rank>
    friend class SpinGuard;
    template<Rank>
    friend class LeafGuard;
    friend struct
        RunqLock; ///< sched/: the run-queue lock is handed over by a context switch, which no scope can express

    void acquire() {
        while (!try_acquire())
            [[unlikely]] {
                spin_waits.fetch_add(1, std::memory_order_relaxed);
                do
                    machine::cpu_relax();
                while (is_locked());
            }
    }
    void release() {
#if defined(__SANITIZE_THREAD__)
        __atomic_store_n(&held_, 0, __ATOMIC_RELEASE);
#else
        std::atomic_thread_fence(std::memory_order_release);
        *const_cast<volatile uint32_t*>(&held_) = 0; // see Word
#endif
    }
    bool try_acquire() { return __atomic_exchange_n(&held_, 1, __ATOMIC_ACQUIRE) == 0; }

    uint32_t held_ = 0;
};

enum class Nesting : bool { no, yes }; ///< yes: another lock of the same rank is held, in the order rank.hpp names

/// Holds a spin lock for its scope; interrupts are off meanwhile. May be unlocked early, and locked again.
template<Rank R>
class [[nodiscard]] SpinGuard {
public:
    explicit SpinGuard(SpinLock<R>& lock, Nesting nesting = Nesting::no,
                       SourceLine where = {__builtin_FILE(), __builtin_LINE()})
        : lock_(&lock), nesting_(nesting), where_(where) {
        relock();
    }
    SpinGuard(const SpinGuard&) = delete;
    SpinGuard& operator=(const SpinGuard&) = delete;
    ~SpinGuard() {
        if (held_)
            unlock();
    }

    void unlock() {
        lock_check::released(lock_, R);
        held_ = false;
        lock_->release();
        machine::irq_restore(irq_);
    }
    void relock() {
        irq_ = machine::irq_save();
        lock_check::acquiring(lock_, R, nesting_ == Nesting::yes, where_);
        lock_->acquire();
        held_ = true;
    }

private:
    SpinLock<R>* lock_;
    Nesting nesting_;
    bool irq_ = false;
    bool held_ = false;
    SourceLine where_;
};
template<Rank R>
SpinGuard(SpinLock<R>&) -> SpinGuard<R>;
template<Rank R>
SpinGuard(SpinLock<R>&, Nesting) -> SpinGuard<R>;

/// The same for a leaf system call (machine/machine.hpp), which has interrupts off and no other lock: false if it would have
/// to wait.
template<Rank R>
class [[nodiscard]] LeafGuard {
public:
    explicit LeafGuard(SpinLock<R>& lock) : lock_(lock), held_(lock.try_acquire()) {}
    LeafGuard(const LeafGuard&) = delete;
    LeafGuard& operator=(const LeafGuard&) = delete;
    ~LeafGuard() {
        if (held_)
            lock_.release();
    }
    explicit operator bool() const { return held_; }

private:
    SpinLock<R>& lock_;
    const bool held_;
};

/// Disables interrupts for its scope.
class [[nodiscard]] IrqGuard {
public:
    IrqGuard() : irq_(machine::irq_save()) {}
    ~IrqGuard() { machine::irq_restore(irq_); }
    IrqGuard(const IrqGuard&) = delete;
    IrqGuard& operator=(const IrqGuard&) = delete;

private:
    bool irq_;
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The sleeping lock. Knows its owner; not recursive; checked against the lock order like every other lock.
#pragma once

#include <sched/waitq.hpp>

namespace lentil {

/// The untyped part, so that the code exists once.
class MutexBase {
public:
    MutexBase() = default;
    MutexBase(const MutexBase&) = delete;
    MutexBase& operator=(const MutexBase&) = delete;

    bool held_by_current() const { return owner_.load(std::memory_order_relaxed) == machine::current_thread(); }

protected:
    void acquire(const char* channel);
    bool try_acquire();
    void release();
    // The same inline, for the few places that are worth the room.
    void acquire_inline(const char* channel) {
        Thread* nobody = nullptr;
        if (!owner_.compare_exchange_strong(nobody, machine::current_thread(), std::memory_order_seq_cst,
                                            std::memory_order_relaxed)) [[unlikely]]
            acquire(channel);
    }
    void release_inline() {
        DEBUG_ASSERT(held_by_current());
        owner_.store(nullptr, std::memory_order_seq_cst);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (waiting_.load(std::memory_order_relaxed) != 0) [[unlikely]]
            queue_.wake_one();
    }

private:
    std::atomic<Thread*> owner_{nullptr};
    std::atomic<uint32_t> waiting_{0};
    Waitq queue_;
};

template<Rank R>
class Mutex : public MutexBase {
    static_assert(is_blocking(R));
    template<Rank>
    friend class MutexGuard;
    template<Rank>
    friend class TryMutexGuard;
    template<Rank>
    friend class ShortMutexGuard;
};

/// Holds a mutex for its scope.
template<Rank R>
class [[nodiscard]] MutexGuard {
public:
    explicit MutexGuard(Mutex<R>& mutex, Nesting nesting = Nesting::no,
                        SourceLine where = {__builtin_FILE(), __builtin_LINE()})
        : mutex_(&mutex) {
        lock_check::assert_may_sleep(where);
        lock_check::acquiring(mutex_, R, nesting == Nesting::yes, where);
        mutex_->acquire("mutex");
    }
    MutexGuard(const MutexGuard&) = delete;
    MutexGuard& operator=(const MutexGuard&) = delete;
    ~MutexGuard() {
        if (mutex_)
            unlock();
    }
    void unlock() {
        lock_check::released(mutex_, R);
        mutex_->release();
        mutex_ = nullptr;
    }

private:
    Mutex<R>* mutex_;
};
template<Rank R>
MutexGuard(Mutex<R>&) -> MutexGuard<R>;
template<Rank R>
MutexGuard(Mutex<R>&, Nesting) -> MutexGuard<R>;

/// MutexGuard where a few instructions count, for the whole of its scope.
template<Rank R>
class [[nodiscard]] ShortMutexGuard {
public:
    explicit ShortMutexGuard(Mutex<R>& mutex, SourceLine where = {__builtin_FILE(), __builtin_LINE()}) : mutex_(mutex) {
        lock_check::assert_may_sleep(where);
        lock_check::acquiring(&mutex_, R, false, where);
        mutex_.acquire_inline("mutex");
    }
    ShortMutexGuard(const ShortMutexGuard&) = delete;
    ShortMutexGuard& operator=(const ShortMutexGuard&) = delete;
    ~ShortMutexGuard() {
        lock_check::released(&mutex_, R);
        mutex_.release_inline();
    }

private:
    Mutex<R>& mutex_;
};

/// Holds a mutex for its scope if it was free. Never sleeps, so the lock order does not matter; nothing that sleeps may be
/// taken while it is held.
template<Rank R>
class [[nodiscard]] TryMutexGuard {
public:
    explicit TryMutexGuard(Mutex<R>& mutex) : mutex_(mutex), held_(mutex.try_acquire()) {}
    TryMutexGuard(const TryMutexGuard&) = delete;
    TryMutexGuard& operator=(const TryMutexGuard&) = delete;
    ~TryMutexGuard() {
        if (held_)
            mutex_.release();
    }
    explicit operator bool() const { return held_; }

private:
    Mutex<R>& mutex_;
    const bool held_;
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// A word that one side at a time writes and others read.
#pragma once

#include <atomic>
#include <type_traits>

namespace lentil {

/// As std::atomic without read-modify-write operations. GCC makes a store to that an atomic exchange on RISC-V, whatever its
/// order; here it is a store.
template<class T>
class Word {
    static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));

public:
    constexpr Word() = default;
    constexpr Word(T value) : value_(value) {}
    Word(const Word&) = delete;
    Word& operator=(const Word&) = delete;

#if defined(__SANITIZE_THREAD__) // knows nothing of fences
    T load(std::memory_order order = std::memory_order_seq_cst) const {
        T value;
        __atomic_load(&value_, &value, static_cast<int>(order));
        return value;
    }
    void store(T value, std::memory_order order = std::memory_order_seq_cst) {
        __atomic_store(&value_, &value, static_cast<int>(order));
    }
#else
    T load(std::memory_order order = std::memory_order_seq_cst) const {
        if (order == std::memory_order_seq_cst)
            std::atomic_thread_fence(order);
        const T value = *const_cast<const volatile T*>(&value_);
        if (order != std::memory_order_relaxed)
            std::atomic_thread_fence(std::memory_order_acquire);
        return value;
    }
    void store(T value, std::memory_order order = std::memory_order_seq_cst) {
        if (order != std::memory_order_relaxed)
            std::atomic_thread_fence(std::memory_order_release);
        *const_cast<volatile T*>(&value_) = value;
        if (order == std::memory_order_seq_cst)
            std::atomic_thread_fence(order);
    }
#endif

private:
    T value_{};
};

} // namespace lentil

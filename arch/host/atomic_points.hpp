// SPDX-License-Identifier: BSD-2-Clause
// Put in front of every source of the explored kernel (-include): makes each operation on a std::atomic a point where
// another hart may go on.
#pragma once

// What uses the library's own atomics has to be read before the name changes its meaning.
#include <algorithm>
#include <atomic>

namespace lentil::machine {
extern bool exploring;
void explore_point();
} // namespace lentil::machine

namespace std {

template<class T>
class explored_atomic : private atomic<T> {
    using Base = atomic<T>;
    static constexpr memory_order any = memory_order_seq_cst;
    static void point() {
        if (lentil::machine::exploring)
            lentil::machine::explore_point();
    }

public:
    using value_type = T;
    constexpr explored_atomic() noexcept = default;
    constexpr explored_atomic(T v) noexcept : Base(v) {}
    explored_atomic(const explored_atomic&) = delete;
    explored_atomic& operator=(const explored_atomic&) = delete;

    T load(memory_order order = any) const noexcept {
        point();
        return Base::load(order);
    }
    void store(T v, memory_order order = any) noexcept {
        point();
        Base::store(v, order);
    }
    T exchange(T v, memory_order order = any) noexcept {
        point();
        return Base::exchange(v, order);
    }
    template<class... Orders>
    bool compare_exchange_strong(T& expected, T v, Orders... orders) noexcept {
        point();
        return Base::compare_exchange_strong(expected, v, orders...);
    }
    template<class... Orders>
    bool compare_exchange_weak(T& expected, T v, Orders... orders) noexcept {
        point();
        return Base::compare_exchange_weak(expected, v, orders...);
    }
    T fetch_add(T v, memory_order order = any) noexcept {
        point();
        return Base::fetch_add(v, order);
    }
    T fetch_sub(T v, memory_order order = any) noexcept {
        point();
        return Base::fetch_sub(v, order);
    }
    T fetch_or(T v, memory_order order = any) noexcept {
        point();
        return Base::fetch_or(v, order);
    }
    T fetch_and(T v, memory_order order = any) noexcept {
        point();
        return Base::fetch_and(v, order);
    }
    T operator=(T v) noexcept {
        store(v);
        return v;
    }
    operator T() const noexcept { return load(); }
    T operator++() noexcept { return fetch_add(1) + 1; }
    T operator++(int) noexcept { return fetch_add(1); }
    T operator--() noexcept { return fetch_sub(1) - 1; }
    T operator--(int) noexcept { return fetch_sub(1); }
    T operator+=(T v) noexcept { return fetch_add(v) + v; }
    T operator-=(T v) noexcept { return fetch_sub(v) - v; }
    T operator|=(T v) noexcept { return fetch_or(v) | v; }
    T operator&=(T v) noexcept { return fetch_and(v) & v; }
};

} // namespace std

#define atomic explored_atomic

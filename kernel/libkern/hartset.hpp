// SPDX-License-Identifier: BSD-2-Clause
// A set of harts by their dense kernel index (0 .. max_harts-1; not the firmware's hart ids).
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

namespace lentil {

inline constexpr unsigned max_harts = 64;

class HartSet {
public:
    constexpr HartSet() = default;
    constexpr explicit HartSet(uint64_t bits) : bits_(bits) {}
    static constexpr HartSet of(unsigned hart) { return HartSet(uint64_t{1} << hart); }
    static constexpr HartSet all() { return HartSet(~uint64_t{0}); }

    constexpr bool has(unsigned hart) const { return bits_ >> hart & 1; }
    constexpr void add(unsigned hart) { bits_ |= uint64_t{1} << hart; }
    constexpr void remove(unsigned hart) { bits_ &= ~(uint64_t{1} << hart); }
    constexpr bool empty() const { return bits_ == 0; }
    constexpr unsigned count() const { return static_cast<unsigned>(std::popcount(bits_)); }
    constexpr bool is_single() const { return bits_ != 0 && (bits_ & (bits_ - 1)) == 0; }
    constexpr unsigned first() const { return static_cast<unsigned>(std::countr_zero(bits_)); }
    constexpr uint64_t bits() const { return bits_; }

    friend constexpr HartSet operator&(HartSet a, HartSet b) { return HartSet(a.bits_ & b.bits_); }
    friend constexpr HartSet operator|(HartSet a, HartSet b) { return HartSet(a.bits_ | b.bits_); }
    friend constexpr bool operator==(HartSet, HartSet) = default;

    template<class F>
    constexpr void for_each(F&& f) const {
        for (uint64_t left = bits_; left != 0; left &= left - 1)
            f(static_cast<unsigned>(std::countr_zero(left)));
    }

private:
    uint64_t bits_ = 0;
};

/// The same, changed by several harts at once.
class AtomicHartSet {
public:
    void add(unsigned hart) { bits_.fetch_or(uint64_t{1} << hart, std::memory_order_seq_cst); }
    void remove(unsigned hart) { bits_.fetch_and(~(uint64_t{1} << hart), std::memory_order_seq_cst); }
    void keep(HartSet harts) { bits_.fetch_and(harts.bits(), std::memory_order_seq_cst); } ///< removes all others
    /// Removes `hart`; returns whether it was there (of several callers, one gets true).
    bool claim(unsigned hart) {
        const uint64_t bit = uint64_t{1} << hart;
        return bits_.fetch_and(~bit, std::memory_order_seq_cst) & bit;
    }
    HartSet load() const { return HartSet(bits_.load(std::memory_order_seq_cst)); }
    /// In no order with anything else.
    HartSet peek() const { return HartSet(bits_.load(std::memory_order_relaxed)); }

private:
    std::atomic<uint64_t> bits_{0};
};

} // namespace lentil

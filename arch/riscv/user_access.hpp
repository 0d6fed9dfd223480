// SPDX-License-Identifier: BSD-2-Clause
// Range checks in front of usercopy.S, inline because most copies are a word or two. Supervisor mode can read kernel
// addresses whatever SUM says, so a range must be proven to lie in the user half first.
#pragma once

#include <cstddef>
#include <riscv/sv39.hpp>

namespace lentil::machine {

extern "C" size_t riscv_user_copy(void* to, const void* from, size_t n);

/// The part of [address, address + n) that lies in the user half.
inline size_t clamp_user(vaddr_t address, size_t n) {
    if (address >= Pte::user_end)
        return 0;
    return n < Pte::user_end - address ? n : Pte::user_end - address;
}

inline size_t user_read(void* to, vaddr_t from, size_t n) {
    const size_t allowed = clamp_user(from, n);
    return allowed - riscv_user_copy(to, reinterpret_cast<const void*>(from), allowed);
}

inline size_t user_write(vaddr_t to, const void* from, size_t n) {
    const size_t allowed = clamp_user(to, n);
    return allowed - riscv_user_copy(reinterpret_cast<void*>(to), from, allowed);
}

extern "C" {
bool riscv_user_read_1(uint64_t* to, vaddr_t from);
bool riscv_user_read_2(uint64_t* to, vaddr_t from);
bool riscv_user_read_3(uint64_t* to, vaddr_t from);
bool riscv_user_read_4(uint64_t* to, vaddr_t from);
bool riscv_user_write_1(vaddr_t to, const uint64_t* from);
bool riscv_user_write_2(vaddr_t to, const uint64_t* from);
bool riscv_user_write_3(vaddr_t to, const uint64_t* from);
bool riscv_user_write_4(vaddr_t to, const uint64_t* from);
}

/// Aligned words need no loop, and no word of them lies in two pages of which one may fault.
template<size_t n>
inline bool user_read_words(uint64_t* to, vaddr_t from) {
    constexpr bool (*read[])(uint64_t*, vaddr_t) = {riscv_user_read_1, riscv_user_read_2, riscv_user_read_3,
                                                    riscv_user_read_4};
    if (from > Pte::user_end - n * 8)
        return false;
    if (from % 8 != 0) [[unlikely]]
        return riscv_user_copy(to, reinterpret_cast<const void*>(from), n * 8) == 0;
    return read[n - 1](to, from);
}
template<size_t n>
inline bool user_write_words(vaddr_t to, const uint64_t* from) {
    constexpr bool (*write[])(vaddr_t, const uint64_t*) = {riscv_user_write_1, riscv_user_write_2, riscv_user_write_3,
                                                           riscv_user_write_4};
    if (to > Pte::user_end - n * 8)
        return false;
    if (to % 8 != 0) [[unlikely]]
        return riscv_user_copy(reinterpret_cast<void*>(to), from, n * 8) == 0;
    return write[n - 1](to, from);
}

} // namespace lentil::machine

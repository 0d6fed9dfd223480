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

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// Range checks in front of usercopy.S, inline because most copies are a word or two. Supervisor mode can read kernel
// addresses whatever SUM says, so a range must be proven to lie in the user half first.
#pragma once

#include <cstddef>
#include <iterator>
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
bool riscv_user_write_16(vaddr_t to, const uint64_t* from);
bool riscv_user_write_18(vaddr_t to, const uint64_t* from);
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
    if constexpr (n > std::size(write))
        return n == 16 ? riscv_user_write_16(to, from) : riscv_user_write_18(to, from);
    else
        return write[n - 1](to, from);
}

// Of leaf system calls (machine/machine.hpp). A fault is not resolved: then all is as it was, sepc too, and the other
// function of the call shall see to it.
#define LEAF_ACCESS_BEGIN "csrr %[pc], sepc\n csrrw %[stack], sscratch, zero\n csrs sstatus, %[sum]\n"
#define LEAF_ACCESS(label, instruction)                                                                                \
#label ": " instruction "\n .pushsection __ex_table, \"a\"\n .balign 8\n .dword " #label "b, 9f\n .popsection\n"
#define LEAF_ACCESS_END                                                                                                \
    "csrc sstatus, %[sum]\n csrw sscratch, %[stack]\n"                                                                 \
    ".pushsection .text.leaf_faults, \"ax\"\n"                                                                         \
    "9: csrc sstatus, %[sum]\n csrw sscratch, %[stack]\n csrw sepc, %[pc]\n j %l[fault]\n .popsection\n"

/// Words that lie in the user half, at an address that is a multiple of 8.
template<size_t n>
[[gnu::always_inline]] inline bool leaf_range_ok(vaddr_t at) {
    return at <= Pte::user_end - n * 8 && at % 8 == 0;
}

/// One word, or three.
template<size_t n>
[[gnu::always_inline]] inline bool leaf_read_words(uint64_t (&to)[n], vaddr_t from) {
    static_assert(n == 1 || n == 3);
    if (!leaf_range_ok<n>(from)) [[unlikely]]
        return false;
    uint64_t pc, stack, w0, w1, w2; // not `to` itself: GCC 12 has no answer to elements of arrays here
    if constexpr (n == 1) {
        asm volatile goto(LEAF_ACCESS_BEGIN LEAF_ACCESS(1, "ld %[w0], 0(%[at])") LEAF_ACCESS_END
                          : [pc] "=&r"(pc), [stack] "=&r"(stack), [w0] "=&r"(w0)
                          : [at] "r"(from), [sum] "r"(uint64_t{SSTATUS_SUM})
                          : "memory"
                          : fault);
    } else {
        asm volatile goto(LEAF_ACCESS_BEGIN LEAF_ACCESS(1, "ld %[w0], 0(%[at])") LEAF_ACCESS(2, "ld %[w1], 8(%[at])")
                              LEAF_ACCESS(3, "ld %[w2], 16(%[at])") LEAF_ACCESS_END
                          : [pc] "=&r"(pc), [stack] "=&r"(stack), [w0] "=&r"(w0), [w1] "=&r"(w1), [w2] "=&r"(w2)
                          : [at] "r"(from), [sum] "r"(uint64_t{SSTATUS_SUM})
                          : "memory"
                          : fault);
        to[1] = w1;
        to[2] = w2;
    }
    to[0] = w0;
    return true;
fault:
    return false;
}

template<size_t n>
[[gnu::always_inline]] inline bool leaf_write_words(vaddr_t to, const uint64_t (&from)[n]) {
    static_assert(n >= 1 && n <= 3);
    if (!leaf_range_ok<n>(to)) [[unlikely]]
        return false;
    uint64_t pc, stack;
    if constexpr (n == 1)
        asm volatile goto(LEAF_ACCESS_BEGIN LEAF_ACCESS(1, "sd %z[w0], 0(%[at])") LEAF_ACCESS_END
                          : [pc] "=&r"(pc), [stack] "=&r"(stack)
                          : [at] "r"(to), [sum] "r"(uint64_t{SSTATUS_SUM}), [w0] "rJ"(from[0])
                          : "memory"
                          : fault);
    else if constexpr (n == 2)
        asm volatile goto(LEAF_ACCESS_BEGIN LEAF_ACCESS(1, "sd %z[w0], 0(%[at])") LEAF_ACCESS(2, "sd %z[w1], 8(%[at])")
                              LEAF_ACCESS_END
                          : [pc] "=&r"(pc), [stack] "=&r"(stack)
                          : [at] "r"(to), [sum] "r"(uint64_t{SSTATUS_SUM}), [w0] "rJ"(from[0]), [w1] "rJ"(from[1])
                          : "memory"
                          : fault);
    else
        asm volatile goto(
            LEAF_ACCESS_BEGIN LEAF_ACCESS(1, "sd %z[w0], 0(%[at])") LEAF_ACCESS(2, "sd %z[w1], 8(%[at])")
                LEAF_ACCESS(3, "sd %z[w2], 16(%[at])") LEAF_ACCESS_END
            : [pc] "=&r"(pc), [stack] "=&r"(stack)
            : [at] "r"(to), [sum] "r"(uint64_t{SSTATUS_SUM}), [w0] "rJ"(from[0]), [w1] "rJ"(from[1]), [w2] "rJ"(from[2])
            : "memory"
            : fault);
    return true;
fault:
    return false;
}
#undef LEAF_ACCESS_BEGIN
#undef LEAF_ACCESS
#undef LEAF_ACCESS_END

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// What a thread keeps while it does not run in the kernel: the registers that a function call preserves, and gp. All but
// ra and sp may still be its user's (trap.S).
#pragma once

#include <cstddef>
#include <riscv/trapframe.hpp>

namespace lentil::machine {

extern "C" void riscv_context_start();

/// Means nothing before init() or the first switch away.
struct Context {
    uint64_t ra;
    uint64_t sp;
    uint64_t s[12];
    uint64_t gp;
    uint64_t t3[4]; ///< t3 .. t6

    /// `entry(arg)` runs at the first switch, interrupts disabled, below the place of the user trapframe. It finds no frame of a
    /// caller in s0, and may find anything in the others.
    void init(void* stack_top, void (*entry)(void*), void* arg) {
        s[0] = 0;
        ra = reinterpret_cast<uint64_t>(&riscv_context_start);
        sp = (reinterpret_cast<uint64_t>(stack_top) & ~uint64_t{15}) - sizeof(Trapframe);
        s[1] = reinterpret_cast<uint64_t>(entry);
        s[2] = reinterpret_cast<uint64_t>(arg);
    }
};

static_assert(offsetof(Context, ra) == CTX_RA && offsetof(Context, sp) == CTX_SP && offsetof(Context, s) == CTX_S(0));
static_assert(offsetof(Context, gp) == CTX_GP && offsetof(Context, t3) == CTX_T(3));
static_assert(sizeof(Context) == CTX_SIZE);

} // namespace lentil::machine

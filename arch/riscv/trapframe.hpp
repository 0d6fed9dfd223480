// SPDX-License-Identifier: BSD-2-Clause
// The registers that a trap left behind.
#pragma once

#include <cstddef>
#include <riscv/csr.hpp>

#include <libkern/types.hpp>

namespace lentil::machine {

/// For a trap from user mode it lies at the top of the thread's kernel stack; a trap in the kernel pushes one on the
/// stack in use.
struct Trapframe {
    uint64_t x[31] = {}; ///< x1 .. x31
    uint64_t sepc = 0;
    uint64_t sstatus = 0;
    uint64_t scause = 0;
    uint64_t stval = 0;
    uint64_t orig_a0 = 0; ///< a0 at a system call's entry, for its restart
    uint64_t thread = 0;  ///< of a trap from user mode: whose kernel stack this is; trap.S alone reads and writes it
    uint64_t unused = 0;

    uint64_t& reg(unsigned n) { return x[n - 1]; }
    uint64_t reg(unsigned n) const { return n == 0 ? 0 : x[n - 1]; }

    static constexpr unsigned ra = 1, sp_ = 2, tp = 4, s0 = 8, a0 = 10, a1 = 11, a7 = 17;

    int64_t syscall_number() const { return static_cast<int64_t>(reg(a7)); }
    uint64_t arg(unsigned i) const { return reg(a0 + i); }
    void set_arg(unsigned i, uint64_t v) { reg(a0 + i) = v; }
    void set_return(uint64_t v) { reg(a0) = v; }
    void set_return2(uint64_t v) { reg(a1) = v; }
    uint64_t return_value() const { return reg(a0); }
    vaddr_t pc() const { return sepc; }
    void set_pc(vaddr_t v) { sepc = v; }
    vaddr_t sp() const { return reg(sp_); }
    void set_sp(vaddr_t v) { reg(sp_) = v; }
    void set_tls(uint64_t v) { reg(tp) = v; }
    void set_link(vaddr_t v) { reg(ra) = v; }
    void restart_syscall() {
        sepc -= 4; // ecall has no compressed form
        reg(a0) = orig_a0;
    }
    bool from_user() const { return (sstatus & riscv::sstatus_spp) == 0; }

    uint64_t fs() const { return sstatus & riscv::sstatus_fs; }
    void set_fs(uint64_t v) { sstatus = (sstatus & ~riscv::sstatus_fs) | v; }
};

static_assert(offsetof(Trapframe, x) == TF_X(1));
static_assert(offsetof(Trapframe, sepc) == TF_PC);
static_assert(offsetof(Trapframe, sstatus) == TF_STATUS);
static_assert(offsetof(Trapframe, scause) == TF_CAUSE);
static_assert(offsetof(Trapframe, stval) == TF_TVAL);
static_assert(offsetof(Trapframe, orig_a0) == TF_ORIG_A0);
static_assert(offsetof(Trapframe, thread) == TF_THREAD);
static_assert(sizeof(Trapframe) == TF_SIZE && TF_SIZE % 16 == 0);

} // namespace lentil::machine

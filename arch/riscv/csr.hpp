// SPDX-License-Identifier: BSD-2-Clause
// Typed access to the control and status registers of supervisor mode (RISC-V privileged specification, volume II).
#pragma once

#include <cstdint>
#include <riscv/asm_layout.h>

namespace lentil::riscv {

enum class Csr : unsigned {
    sstatus = 0x100,
    sie = 0x104,
    stvec = 0x105,
    scounteren = 0x106,
    sscratch = 0x140,
    sepc = 0x141,
    scause = 0x142,
    stval = 0x143,
    sip = 0x144,
    stimecmp = 0x14d, ///< Sstc only
    siselect = 0x150, ///< this and the next: Ssaia only
    sireg = 0x151,
    stopei = 0x15c,
    satp = 0x180,
    time = 0xc01,
};

template<Csr c>
inline uint64_t csr_read() {
    uint64_t v;
    asm volatile("csrr %0, %1" : "=r"(v) : "i"(static_cast<unsigned>(c)) : "memory");
    return v;
}

template<Csr c>
inline void csr_write(uint64_t v) {
    asm volatile("csrw %0, %1" ::"i"(static_cast<unsigned>(c)), "rK"(v) : "memory");
}

/// Sets bits and returns the old value.
template<Csr c>
inline uint64_t csr_set(uint64_t bits) {
    uint64_t old;
    asm volatile("csrrs %0, %1, %2" : "=r"(old) : "i"(static_cast<unsigned>(c)), "rK"(bits) : "memory");
    return old;
}

/// Clears bits and returns the old value.
template<Csr c>
inline uint64_t csr_clear(uint64_t bits) {
    uint64_t old;
    asm volatile("csrrc %0, %1, %2" : "=r"(old) : "i"(static_cast<unsigned>(c)), "rK"(bits) : "memory");
    return old;
}

// ---- sstatus -----------------------------------------------------------------------------------------------------
inline constexpr uint64_t sstatus_sie = SSTATUS_SIE;   ///< interrupts enabled
inline constexpr uint64_t sstatus_spie = SSTATUS_SPIE; ///< they were, before the trap
inline constexpr uint64_t sstatus_spp = SSTATUS_SPP;   ///< the trap came from supervisor mode
inline constexpr uint64_t sstatus_fs = SSTATUS_FS;     ///< state of the floating-point unit:
inline constexpr uint64_t fs_off = 0x0000;
inline constexpr uint64_t fs_initial = 0x2000;
inline constexpr uint64_t fs_clean = 0x4000;
inline constexpr uint64_t fs_dirty = 0x6000;
inline constexpr uint64_t sstatus_sum = SSTATUS_SUM; ///< supervisor may touch user pages
inline constexpr uint64_t sstatus_uxl = uint64_t{3} << 32;

// ---- sie, sip, scause --------------------------------------------------------------------------------------------
inline constexpr uint64_t interrupt_bit = uint64_t{1} << 63; ///< of scause
inline constexpr unsigned irq_software = 1, irq_timer = 5, irq_external = 9;

enum class Cause : uint64_t {
    fetch_misaligned = 0,
    fetch_access = 1,
    illegal_instruction = 2,
    breakpoint = 3,
    load_misaligned = 4,
    load_access = 5,
    store_misaligned = 6,
    store_access = 7,
    user_ecall = 8,
    supervisor_ecall = 9,
    fetch_page_fault = 12,
    load_page_fault = 13,
    store_page_fault = 15,
};

// ---- satp --------------------------------------------------------------------------------------------------------
inline constexpr uint64_t satp_sv39 = uint64_t{8} << 60;
inline constexpr unsigned satp_asid_shift = 44;
inline constexpr uint64_t satp_asid_mask = 0xffff;
inline constexpr uint64_t satp_ppn_mask = (uint64_t{1} << 44) - 1;

} // namespace lentil::riscv

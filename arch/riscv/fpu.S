// SPDX-License-Identifier: BSD-2-Clause
// Saves and loads the floating-point registers; the only code of the kernel that touches them.
#include <riscv/asm_layout.h>
#include <riscv/fixup.inc>

    .option arch, +d
    .text

.macro each_register op
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    \op     f\n, \n * 8(a0)
    .endr
.endm

    .globl riscv_fp_save            // (FpState*)
riscv_fp_save:
    li      t0, SSTATUS_FS
    csrs    sstatus, t0
    each_register fsd
    frcsr   t1
    sd      t1, 256(a0)
    csrc    sstatus, t0
    ret

    .globl riscv_fp_restore         // (const FpState*)
riscv_fp_restore:
    li      t0, SSTATUS_FS
    csrs    sstatus, t0
    each_register fld
    ld      t1, 256(a0)
    fscsr   t1
    csrc    sstatus, t0
    ret

// The same straight to and from user memory, whose access may not be waited for: interrupts are disabled.
.macro each_of_user op
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    X user_fault, \op f\n, \n * 8(a0)
    .endr
.endm

    .globl riscv_fp_to_user         // bool (to): false after a fault
riscv_fp_to_user:
    li      t0, SSTATUS_FS | SSTATUS_SUM
    csrs    sstatus, t0
    each_of_user fsd
    frcsr   t1
    X user_fault, sd t1, 256(a0)
    csrc    sstatus, t0
    li      a0, 1
    ret

    .globl riscv_fp_from_user       // bool (from)
riscv_fp_from_user:
    li      t0, SSTATUS_FS | SSTATUS_SUM
    csrs    sstatus, t0
    X user_fault, ld t1, 256(a0)
    each_of_user fld
    andi    t1, t1, 0xff
    fscsr   t1
    csrc    sstatus, t0
    li      a0, 1
    ret

user_fault:
    csrc    sstatus, t0
    li      a0, 0
    ret

// SPDX-License-Identifier: BSD-2-Clause
// Trap entry and return. sscratch is the Thread in user mode and 0 in the kernel.
#include <riscv/asm_layout.h>

// Everything but sp (x2), tp (x4) and t0 (x5).
.macro save_most
    sd      x1, TF_X(1)(sp)
    sd      x3, TF_X(3)(sp)
    .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    sd      x\n, TF_X(\n)(sp)
    .endr
.endm

.macro save_cause
    csrr    s1, sepc
    csrr    s2, sstatus
    csrr    s3, scause
    csrr    s4, stval
    sd      s1, TF_PC(sp)
    sd      s2, TF_STATUS(sp)
    sd      s3, TF_CAUSE(sp)
    sd      s4, TF_TVAL(sp)
.endm

// Everything but sp and tp; sepc and sstatus first.
.macro restore_most
    ld      t0, TF_PC(sp)
    ld      t1, TF_STATUS(sp)
    addi    t2, sp, TF_PC
    sc.d    zero, t0, (t2)          // drops a reservation that was taken before the trap
    csrw    sepc, t0
    csrw    sstatus, t1
    ld      x1, TF_X(1)(sp)
    ld      x3, TF_X(3)(sp)
    .irp n, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    ld      x\n, TF_X(\n)(sp)
    .endr
.endm

    .text
    .balign 4
    .globl riscv_trap_entry
riscv_trap_entry:
    csrrw   tp, sscratch, tp
    beqz    tp, from_kernel

from_user:
    sd      sp, TA_SCRATCH(tp)
    ld      sp, TA_FRAME(tp)
    sd      t0, TF_X(5)(sp)
    save_most
    csrrw   t0, sscratch, zero      // the user's tp
    ld      t1, TA_SCRATCH(tp)
    sd      t0, TF_X(4)(sp)
    sd      t1, TF_X(2)(sp)
    save_cause
    li      s0, 0                   // backtraces end here
    mv      a0, sp
    call    riscv_user_trap
user_return:                        // interrupts disabled, sp = the frame, nothing pending
    csrw    sscratch, tp
    restore_most
    ld      tp, TF_X(4)(sp)
    ld      sp, TF_X(2)(sp)
    sret

    .globl riscv_enter_user         // (Trapframe*): the top of this thread's kernel stack
riscv_enter_user:
    mv      sp, a0
    li      s0, 0
    call    riscv_prepare_user
    j       user_return

from_kernel:
    csrr    tp, sscratch
    csrw    sscratch, t0
    ld      t0, TA_STACK_LIMIT(tp)
    addi    sp, sp, -TF_SIZE
    bltu    sp, t0, stack_overflow
    csrrw   t0, sscratch, zero
    sd      t0, TF_X(5)(sp)
    save_most
    addi    t0, sp, TF_SIZE
    sd      t0, TF_X(2)(sp)
    sd      tp, TF_X(4)(sp)
    save_cause
    li      t0, SSTATUS_SUM         // a nested trap starts without access to user pages
    csrc    sstatus, t0
    mv      a0, sp
    call    riscv_kernel_trap
    restore_most                    // tp is this thread, before as after
    ld      sp, TF_X(2)(sp)
    sret

// The kernel stack has no room for a frame: report on the hart's emergency stack. t0's value is in sscratch.
stack_overflow:
    sd      zero, TA_STACK_LIMIT(tp)
    ld      t0, TA_HART(tp)
    ld      t0, HART_EMERGENCY_TOP(t0)
    addi    t0, t0, -TF_SIZE
    sd      sp, TF_X(2)(t0)
    mv      sp, t0
    csrrw   t0, sscratch, zero
    sd      t0, TF_X(5)(sp)
    save_most
    ld      t0, TF_X(2)(sp)
    addi    t0, t0, TF_SIZE
    sd      t0, TF_X(2)(sp)
    sd      tp, TF_X(4)(sp)
    save_cause
    mv      a0, sp
    call    riscv_stack_overflow
    unimp

// SPDX-License-Identifier: BSD-2-Clause
// Trap entry and return. sscratch is the thread's user trapframe in user mode and 0 in the kernel.
#include <riscv/asm_layout.h>

// The registers that the kernel's C++ may change, but ra (x1), sp (x2), tp (x4), t0 (x5), t1 (x6) and a0 (x10), of which
// a system call from user mode has saved those it needs. It is built so that t3 to t6 are never used (-ffixed), and gp (x3)
// it does not use either: a context switch keeps these like s0 to s11.
.macro save_more
    .irp n, 7, 11, 12, 13, 14, 15, 16, 17
    sd      x\n, TF_X(\n)(sp)
    .endr
.endm

// All of them but sp, tp and t0.
.macro save_changing
    sd      ra, TF_X(1)(sp)
    sd      t1, TF_X(6)(sp)
    sd      a0, TF_X(10)(sp)
    save_more
.endm

// Of a trap from user mode; from here on the hart is in the kernel for another trap too. a6 and t1 are free.
.macro save_user_pc_status skip
    csrrw   t1, sscratch, zero      // the user's sp
    csrr    a6, sepc
    sd      t1, TF_X(2)(sp)
    csrr    t1, sstatus
    .if \skip
    addi    a6, a6, \skip
    .endif
    sd      t1, TF_STATUS(sp)
    sd      a6, TF_PC(sp)
.endm

// Those that it leaves as they were: still the user's after any call that returned.
.macro save_kept
    .irp n, 3, 8, 9, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    sd      x\n, TF_X(\n)(sp)
    .endr
.endm

// User time ends and begins here. Two registers are free.
.macro enter_kernel_time now, sum
    rdtime  \now
    ld      \sum, TA_SYSTEM(tp)
    sub     \sum, \sum, \now
    sd      \sum, TA_SYSTEM(tp)
.endm
.macro leave_kernel_time now, sum
    rdtime  \now
    ld      \sum, TA_SYSTEM(tp)
    add     \sum, \sum, \now
    sd      \sum, TA_SYSTEM(tp)
.endm

// Where the trap goes back to. t0 and t1 are free.
.macro restore_target
    ld      t0, TF_PC(sp)
    ld      t1, TF_STATUS(sp)
    csrw    sepc, t0
    csrw    sstatus, t1
.endm

// A reservation that was taken before the trap must not outlive what the kernel may have done meanwhile. (A system call
// that returns directly need not: no user program expects one to survive a call, and a context switch drops it too.)
.macro drop_reservation
    ld      t0, TF_PC(sp)
    addi    t1, sp, TF_PC
    sc.d    zero, t0, (t1)          // fails, or stores what is there
.endm

.macro restore_changing_but_a0
    .irp n, 1, 5, 6, 7, 11, 12, 13, 14, 15, 16, 17
    ld      x\n, TF_X(\n)(sp)
    .endr
.endm

.macro restore_kept
    .irp n, 3, 8, 9, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    ld      x\n, TF_X(\n)(sp)
    .endr
.endm

.macro restore_user_stack
    ld      tp, TF_X(4)(sp)
    ld      sp, TF_X(2)(sp)
.endm

    .text
    .balign 4
    .globl riscv_trap_entry
riscv_trap_entry:
    csrrw   sp, sscratch, sp
    beqz    sp, from_kernel

// A system call that is a leaf: its function is built to keep every register but these three and a0, its result. It runs
// with interrupts off, cannot sleep, and calls for nothing that pends: others who let something pend send an interrupt.
from_user:
    sd      tp, TF_X(4)(sp)
    ld      tp, TF_THREAD(sp)
    sd      t0, TF_X(5)(sp)
    sd      t1, TF_X(6)(sp)
    sd      ra, TF_X(1)(sp)
    csrr    t0, scause
    addi    t0, t0, -CAUSE_USER_ECALL
    bnez    t0, other_trap
    enter_kernel_time t0, t1
    ld      t0, TA_DIRECT_LIMIT(tp)
    bgeu    a7, t0, whole_call
    slli    t0, a7, 4
    .option push
    .option norelax
1:  auipc   t1, %pcrel_hi(lentil_direct_calls)
    add     t1, t1, t0
    ld      t0, %pcrel_lo(1b)(t1)
    .option pop
    ld      t1, TA_CALLS(tp)
    beqz    t0, whole_call
    addi    t1, t1, 1
    sd      t1, TA_CALLS(tp)
    sd      a0, TF_X(10)(sp)
    andi    t1, t0, DIRECT_CALL_LEAF
    beqz    t1, direct_call
    jalr    t0                      // which drops the mark
    li      t0, LEAF_WANTS_FRAME + 1
    blt     a0, t0, leaf_declined
    csrr    t0, sepc
    addi    t0, t0, 4
    csrw    sepc, t0
    leave_kernel_time t0, t1
    ld      ra, TF_X(1)(sp)
    ld      t0, TF_X(5)(sp)
    ld      t1, TF_X(6)(sp)
    ld      tp, TF_X(4)(sp)
    csrrw   sp, sscratch, sp
    sret

leaf_declined:
    andi    t0, a0, 1
    ld      a0, TF_X(10)(sp)
    bnez    t0, leaf_wants_frame
    slli    t0, a7, 4
    la      t1, lentil_direct_calls
    add     t1, t1, t0
    ld      t0, DIRECT_CALL_OTHER(t1)
    beqz    t0, whole_call          // traced since

// Of other traps from user mode only what C++ may change is saved. The others pass through the kernel in its callees'
// care, and are written to the frame by whoever needs a whole one: `whole_call`, and the way out when something pends.
direct_call:
    save_more
    save_user_pc_status 4
    csrsi   sstatus, SSTATUS_SIE
    jalr    t0                      // the arguments are where a C function expects them, and so is the result
    csrci   sstatus, SSTATUS_SIE
    ld      t0, TA_PENDING(tp)
    bnez    t0, pending_after_call
    leave_kernel_time t0, t1
    csrw    sscratch, sp
    restore_target
    restore_changing_but_a0
    restore_user_stack
    sret

pending_after_call:
    ld      t0, TF_X(10)(sp)
    sd      t0, TF_ORIG_A0(sp)
    sd      a0, TF_X(10)(sp)
pending:
    save_kept
    mv      a0, sp
    call    riscv_prepare_user
user_return:                        // interrupts disabled, sp = a whole frame, nothing pending
    sd      tp, TF_THREAD(sp)       // it may be a copy of another thread's
    leave_kernel_time t0, t1
    csrw    sscratch, sp
    drop_reservation
    restore_target
    restore_kept
    ld      a0, TF_X(10)(sp)
    restore_changing_but_a0
    restore_user_stack
    sret

.if LEAF_DECLINES & 1 || !(LEAF_WANTS_FRAME & 1)
    .error "leaf_declined tells them by their lowest bit"
.endif
leaf_wants_frame:
    save_more
    save_user_pc_status 4
    save_kept
    mv      a0, sp
    call    riscv_user_call_with_frame
    mv      sp, a0
    j       user_return

whole_call:
    sd      a0, TF_X(10)(sp)
    save_more
    save_user_pc_status 4
    save_kept
    mv      a0, sp
    call    riscv_user_call
    mv      sp, a0
    j       user_return

other_trap:
    enter_kernel_time t0, t1
    sd      a0, TF_X(10)(sp)
    save_more
    save_user_pc_status 0
    csrr    t2, scause
    csrr    t1, stval
    sd      t2, TF_CAUSE(sp)
    sd      t1, TF_TVAL(sp)
    bltz    t2, part_is_enough
    li      t0, CAUSE_FIRST_PAGE_FAULT
    bltu    t2, t0, whole_exception
part_is_enough:                     // interrupts and page faults
    mv      a0, sp
    call    riscv_user_trap
    ld      t0, TA_PENDING(tp)
    bnez    t0, pending
    leave_kernel_time t0, t1
    csrw    sscratch, sp
    drop_reservation
    restore_target
    ld      a0, TF_X(10)(sp)
    restore_changing_but_a0
    restore_user_stack
    sret

whole_exception:                    // rare, and whoever handles it may look at every register
    save_kept
    mv      a0, sp
    call    riscv_user_trap
    mv      a0, sp
    call    riscv_prepare_user
    j       user_return

    .globl riscv_enter_user         // (Trapframe*): the top of this thread's kernel stack
riscv_enter_user:
    mv      sp, a0
    li      s0, 0                   // backtraces end here
    call    riscv_prepare_user
    j       user_return

    .globl riscv_enter_user_beside  // (Trapframe*: to resume from, Trapframe*: of the next trap), interrupts disabled
riscv_enter_user_beside:
    mv      sp, a0
    sd      tp, TF_THREAD(a1)
    sd      a1, TA_FRAME(tp)
    leave_kernel_time t0, t1
    csrw    sscratch, a1
    drop_reservation
    restore_target
    restore_kept
    restore_changing_but_a0
    li      a0, 0
    restore_user_stack
    sret

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

from_kernel:
    csrr    sp, sscratch
    csrw    sscratch, t0
    ld      t0, TA_STACK_LIMIT(tp)
    addi    sp, sp, -TF_SIZE
    bltu    sp, t0, stack_overflow
    csrrw   t0, sscratch, zero
    sd      t0, TF_X(5)(sp)
    save_changing
    save_kept
    addi    t0, sp, TF_SIZE
    sd      t0, TF_X(2)(sp)
    sd      tp, TF_X(4)(sp)
    save_cause
    li      t0, SSTATUS_SUM         // a nested trap starts without access to user pages
    csrc    sstatus, t0
    mv      a0, sp
    call    riscv_kernel_trap
    drop_reservation
    restore_target
    restore_kept
    ld      a0, TF_X(10)(sp)
    restore_changing_but_a0         // tp is this thread, before as after
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
    save_changing
    save_kept
    ld      t0, TF_X(2)(sp)
    addi    t0, t0, TF_SIZE
    sd      t0, TF_X(2)(sp)
    sd      tp, TF_X(4)(sp)
    save_cause
    mv      a0, sp
    call    riscv_stack_overflow
    unimp

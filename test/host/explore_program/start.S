// SPDX-License-Identifier: BSD-2-Clause
// Entry, system calls, and births that check the registers on both sides, of the explored program.

    .text
    .globl _start
_start:
    .option push
    .option norelax
    la      gp, __global_pointer$
    .option pop
    mv      a0, sp
    andi    sp, sp, -16
    call    start
    unimp

    .globl ask                  // (a0 .. a4, number): see questions.hpp
ask:
    mv      a7, a5
    .insn   i 0x0b, 0, x0, x0, 0
    ret

    .globl syscall6             // (number, six arguments)
syscall6:
    mv      a7, a0
    mv      a0, a1
    mv      a1, a2
    mv      a2, a3
    mv      a3, a4
    mv      a4, a5
    mv      a5, a6
    ecall
    ret

    // (function, argument, pattern, flags of clone, or -1 for the native vfork): the child runs function(argument) on this
    // stack, or on its copy, and ends with what that returns. The parent gets the pid, or -4000 if a register is not what
    // it was.
    .globl birth
birth:
    addi    sp, sp, -160
    sd      ra, 96(sp)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    sd      s\n, 8*\n(sp)
    .endr
    sd      a0, 104(sp)
    sd      a1, 112(sp)
    sd      a2, 120(sp)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    addi    s\n, a2, \n
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    addi    t0, a2, 100 + \n
    fmv.d.x f\n, t0
    .endr
    mv      t6, sp
    mv      a0, a3
    li      t3, -1
    li      a1, 9
    li      a7, -1
    beq     a0, t3, 1f
    li      a1, 0
    li      a2, 0
    li      a3, 0
    li      a4, 0
    li      a7, 220
    ecall
    li      t4, 220
    bne     a7, t4, changed
    beqz    a0, in_child
    j       2f
1:  ecall
    bne     a7, t3, changed
    li      t1, 1
    beq     a1, t1, in_child
    li      t1, 9
    bltz    a0, 2f              // an error: a1 is no result
    bnez    a1, changed
2:  bne     t6, sp, changed
    ld      t0, 120(sp)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    addi    t1, t0, \n
    bne     t1, s\n, changed
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    addi    t1, t0, 100 + \n
    fmv.x.d t2, f\n
    bne     t1, t2, changed
    .endr
back:
    ld      ra, 96(sp)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    ld      s\n, 8*\n(sp)
    .endr
    addi    sp, sp, 160
    ret
changed:
    li      a0, -4000
    j       back
in_child:
    // Its registers are its own to spoil.
    ld      t0, 120(sp)
    addi    t1, t0, 7
    bne     t1, s7, child_changed
    addi    t1, t0, 117
    fmv.x.d t2, f17
    bne     t1, t2, child_changed
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    li      s\n, -1
    fmv.d.x f\n, x0
    .endr
    ld      t0, 104(sp)
    ld      a0, 112(sp)
    jalr    t0
    li      a7, 94
    ecall
    unimp
child_changed:
    unimp

    .globl thread               // (function, argument, top of its stack, flags of clone)
thread:
    mv      t0, a0
    mv      t1, a1
    mv      a1, a2
    mv      a0, a3
    li      a2, 0
    li      a3, 0
    li      a4, 0
    li      a7, 220
    ecall
    beqz    a0, in_thread
    ret
in_thread:
    mv      a0, t1
    jalr    t0
    li      a7, 93
    ecall
    unimp

/* SPDX-License-Identifier: BSD-2-Clause */
/* Stubs of the native calls that return twice. The kernel's second result is 1 in the child and 0 in the parent, the first
 * the child's pid in both: so first & (second - 1) is what C expects. No stub touches the stack before its return: the
 * child of a loan returns through it first. */

#define NATIVE_vfork -1
#define NATIVE_fork1 -2
#define NATIVE_clone -3
#define LINUX_exit 93

    .macro function name
    .globl \name
    .type \name, @function
    .balign 4
\name:
    .endm

    .text

function lentil_vfork
    li      a7, NATIVE_vfork
    j       1f

function lentil_vfork_copying
    li      a0, 1               /* FORK_PPWAIT */
    li      a1, 17              /* SIGCHLD */

function lentil_fork1
    li      a2, 0
    li      a7, NATIVE_fork1
1:  ecall
    bltz    a0, 2f
    addi    a1, a1, -1
    and     a0, a0, a1
    ret
2:  tail    lentil_result

/* (flags, exit signal, stack, function, argument) */
function lentil_fork1_on
    mv      t1, a3
    mv      t2, a4
    mv      t3, a2
    li      a7, NATIVE_fork1
    j       3f

/* (function, stack, flags, argument) */
function lentil_clone
    mv      t1, a0
    mv      t2, a3
    mv      t3, a1
    mv      a0, a2
    li      a7, NATIVE_clone
3:  beqz    t1, 5f
    beqz    t3, 5f
    andi    t3, t3, -16
    addi    t3, t3, -16
    sd      t1, 0(t3)           /* the child finds them on its own stack */
    sd      t2, 8(t3)
    li      t0, NATIVE_clone
    mv      a2, t3
    bne     a7, t0, 4f
    mv      a1, t3
4:  ecall
    bltz    a0, 2b
    bnez    a1, 6f
    ret
5:  li      a0, -22             /* EINVAL */
    j       2b
6:  ld      t1, 0(sp)
    ld      a0, 8(sp)
    addi    sp, sp, 16
    jalr    t1
    li      a7, LINUX_exit
    ecall

    .section .note.GNU-stack, "", @progbits

// SPDX-License-Identifier: BSD-2-Clause
// Context switch between two threads in the kernel.
#include <riscv/asm_layout.h>

    .text
    .globl riscv_context_switch     // (Context* from, Context* to)
riscv_context_switch:
    sd      ra, CTX_RA(a0)
    sd      sp, CTX_SP(a0)
    sc.d    zero, ra, (a0)          // drops a reservation of the one that leaves: fails, or stores what is there
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    sd      s\n, CTX_S(\n)(a0)
    .endr
    sd      gp, CTX_GP(a0)
    .irp n, 3, 4, 5, 6
    sd      t\n, CTX_T(\n)(a0)
    .endr
    ld      ra, CTX_RA(a1)
    ld      sp, CTX_SP(a1)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    ld      s\n, CTX_S(\n)(a1)
    .endr
    ld      gp, CTX_GP(a1)
    .irp n, 3, 4, 5, 6
    ld      t\n, CTX_T(\n)(a1)
    .endr
    ret

    .globl riscv_context_start      // first return of a new context: s1 = entry, s2 = argument
riscv_context_start:
    mv      a0, s2
    jalr    s1
    unimp

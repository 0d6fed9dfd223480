// SPDX-License-Identifier: BSD-2-Clause
// A first process that says what the machine's time counter had reached at its first instruction, and powers off. It runs on
// any riscv64 Linux too.
    .globl _start
_start:
    rdtime  s0
    la      a1, text_end            // the number's digits, from the last to the first
    li      t1, 10
1:  remu    t0, s0, t1
    divu    s0, s0, t1
    addi    t0, t0, '0'
    addi    a1, a1, -1
    sb      t0, 0(a1)
    bnez    s0, 1b
    la      a2, line_end
    sub     a2, a2, a1
    li      a0, 1
    li      a7, 64                  // write
    ecall
    li      a0, 0xfee1dead          // reboot: power off
    li      a1, 672274793
    li      a2, 0x4321fedc
    li      a3, 0
    li      a7, 142
    ecall
    unimp

    .data
    .space  20
text_end:
    .ascii " ticks\n"
line_end:

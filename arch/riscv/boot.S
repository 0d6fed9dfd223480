// SPDX-License-Identifier: BSD-2-Clause
// Entry from the firmware: image header, first tables, jump to the high half; entry of the other harts.
#include <riscv/asm_layout.h>

    .section .head.text, "ax"
    .option norvc
    .globl _start
_start:                             // RISC-V boot image header of Linux, version 0.2
    j       boot_hart_entry         // code0
    nop                             // code1
    .dword  0x200000                // load offset from a 2 MiB boundary of memory
    .dword  __image_size            // with bss
    .dword  0                       // flags: little-endian
    .word   2                       // version 0.2
    .word   0
    .dword  0
    .ascii  "RISCV\0\0\0"
    .ascii  "RSC\x05"
    .word   0
    .option rvc

// a0 = hart id, a1 = physical address of the device tree, no translation, any 2 MiB-aligned place.
    .org    _start + 64
boot_hart_entry:
    csrw    sie, zero
    csrw    satp, zero
    la      t0, boot_taken
    li      t1, 1
    amoswap.w.aqrl t1, t1, (t0)
    bnez    t1, strayed_hart
    li      t0, SSTATUS_FS | SSTATUS_SUM | SSTATUS_SIE
    csrc    sstatus, t0
    mv      s1, a0
    mv      s2, a1
    la      t0, __bss_start
    la      t1, __bss_end
1:  sd      zero, 0(t0)
    sd      zero, 8(t0)
    addi    t0, t0, 16
    bltu    t0, t1, 1b

    la      sp, first_stack_top
    la      a0, _start
    mv      s3, a0
    slli    t0, a0, 64 - 21
    bnez    t0, misplaced
    call    early_map               // a0 = satp
    la      t0, riscv_kernel_satp
    sd      a0, 0(t0)
    call    enter_high_half
    la      tp, riscv_first_thread
    mv      a0, s1
    mv      a1, s2
    mv      a2, s3
    li      s0, 0
    call    riscv_boot
    unimp

// OpenSBI before 1.3 lets a hart that is asked to start while it still initialises see the request before the address,
// and enter here. What it was to do is in the table, under its id.
strayed_hart:
    la      a1, riscv_secondary_start
    li      t0, MAX_HARTS
5:  ld      t1, 16(a1)
    beq     t1, a0, riscv_secondary_entry
    addi    a1, a1, 24
    addi    t0, t0, -1
    bnez    t0, 5b
6:  wfi                             // nobody asked for it
    j       6b

misplaced:                          // not 2 MiB-aligned: say so (legacy SBI console), then power off
    la      s1, misplaced_text
2:  lbu     a0, 0(s1)
    beqz    a0, 3f
    li      a7, 1
    ecall
    addi    s1, s1, 1
    j       2b
3:  li      a7, 0x53525354          // SRST: shutdown, system failure
    li      a6, 0
    li      a0, 0
    li      a1, 1
    ecall
4:  wfi
    j       4b

// a0 = satp. Returns to the caller's virtual address, with sp moved as well. The store to satp takes the ground from
// under the program counter; the fetch fault goes to stvec, which names the next instruction's virtual address.
enter_high_half:
    la      t0, _start
    li      t1, IMAGE_BASE
    sub     t1, t1, t0
    add     ra, ra, t1
    add     sp, sp, t1
    la      t2, 1f
    add     t2, t2, t1
    csrw    stvec, t2
    sfence.vma
    csrw    satp, a0
    unimp
    .balign 4
1:  sfence.vma
    la      t0, riscv_trap_entry
    csrw    stvec, t0
    csrw    sscratch, zero
    ret

// Started through SBI HSM: a0 = hart id, a1 = physical address of a SecondaryStart (hart.cpp), no translation.
    .balign 4
    .globl riscv_secondary_entry
riscv_secondary_entry:
    csrw    sie, zero
    csrw    satp, zero
    li      t0, SSTATUS_FS | SSTATUS_SUM | SSTATUS_SIE
    csrc    sstatus, t0
    mv      s1, a1
    la      t0, riscv_kernel_satp
    ld      a0, 0(t0)
    ld      s2, 0(s1)               // thread
    ld      s3, 8(s1)               // stack top
    call    enter_high_half
    mv      tp, s2
    mv      sp, s3
    li      s0, 0
    call    riscv_secondary
    unimp

// riscv_call_on(stack_top, function): leaves this stack for good.
    .globl riscv_call_on
riscv_call_on:
    mv      sp, a0
    li      s0, 0
    jalr    a1
    unimp

    .section .data
    .balign 4
boot_taken:
    .word   0

    .section .rodata
misplaced_text:
    .asciz "lentil: the image must be loaded at a multiple of 2 MiB\n"

    .section .bss
    .balign 16
    .space  8192
first_stack_top:

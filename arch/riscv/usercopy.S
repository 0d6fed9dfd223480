// SPDX-License-Identifier: BSD-2-Clause
// Copies to and from user memory. Any access may fault: trap.cpp asks the vm layer to resolve the fault, and if that
// fails continues at the fixup that the exception table names for the instruction.
#include <riscv/asm_layout.h>
#include <riscv/fixup.inc>

// No routine here touches t3 to t6, which the kernel's code leaves as they are (see trap.S).
.macro begin_user_access
    li      t2, SSTATUS_SUM
    csrs    sstatus, t2
.endm

.macro end_user_access              // t2 as begin_user_access left it
    csrc    sstatus, t2
.endm

.macro copy_four at
    .set .Lcopy_at, \at
    .irp r, a4, a5, a6, a7
    X copy_bytes, ld \r, .Lcopy_at(a1)
    .set .Lcopy_at, .Lcopy_at + 8
    .endr
    .set .Lcopy_at, \at
    .irp r, a4, a5, a6, a7
    X copy_bytes, sd \r, .Lcopy_at(a0)
    .set .Lcopy_at, .Lcopy_at + 8
    .endr
.endm
.macro copy_words at                // eight of them
    copy_four \at
    copy_four (\at+32)
.endm

    .text
// size_t riscv_user_copy(to, from, n): how many bytes were not copied. Either side may be the user's.
    .globl riscv_user_copy
riscv_user_copy:
    add     a3, a0, a2              // end of the destination
    begin_user_access
    or      t0, a0, a1
    andi    t0, t0, 7
    beqz    t0, copy_aligned
    li      t0, 16
    bltu    a2, t0, copy_short
1:  andi    t0, a0, 7               // align the destination
    beqz    t0, 2f
    X copy_done, lb t1, 0(a1)
    X copy_done, sb t1, 0(a0)
    addi    a0, a0, 1
    addi    a1, a1, 1
    j       1b
2:  sub     a2, a3, a0
    andi    a6, a1, 7
    bnez    a6, copy_shifted
copy_aligned:                       // both sides, a2 bytes
    srli    t0, a2, 8
    beqz    t0, copy_less
    srli    t1, a2, 9
    beqz    t1, 2f
3:  .irp at, 0, 64, 128, 192, 256, 320, 384, 448
    copy_words \at
    .endr
    addi    a0, a0, 512
    addi    a1, a1, 512
    addi    t1, t1, -1
    bnez    t1, 3b
2:  andi    t0, t0, 1
    andi    a2, a2, 255
    beqz    t0, copy_less
    copy_words 0
    copy_words 64
    copy_words 128
    copy_words 192
    addi    a0, a0, 256
    addi    a1, a1, 256
copy_less:
    srli    t0, a2, 6
    beqz    t0, 4f
3:  copy_words 0
    addi    a0, a0, 64
    addi    a1, a1, 64
    addi    t0, t0, -1
    bnez    t0, 3b
    andi    a2, a2, 63
4:  andi    t0, a2, 32
    beqz    t0, 4f
    copy_four 0
    addi    a0, a0, 32
    addi    a1, a1, 32
    andi    a2, a2, 31
4:  srli    t0, a2, 3
    andi    a2, a2, 7
    beqz    t0, 6f
5:  X copy_bytes, ld t1, 0(a1)
    X copy_bytes, sd t1, 0(a0)
    addi    a0, a0, 8
    addi    a1, a1, 8
    addi    t0, t0, -1
    bnez    t0, 5b
6:  beqz    a2, copy_done
copy_short:                         // fewer than 16 bytes; often one aligned word of four
    or      t0, a0, a1
    andi    t0, t0, 3
    srli    a6, a2, 2
    bnez    t0, copy_bytes
    beqz    a6, copy_bytes
7:  X copy_bytes, lw t1, 0(a1)
    X copy_bytes, sw t1, 0(a0)
    addi    a0, a0, 4
    addi    a1, a1, 4
    addi    a6, a6, -1
    bnez    a6, 7b

copy_bytes:                         // the rest; also finds the exact byte after a fault in the loops above
    bgeu    a0, a3, copy_done
    X copy_done, lb t1, 0(a1)
    X copy_done, sb t1, 0(a0)
    addi    a0, a0, 1
    addi    a1, a1, 1
    j       copy_bytes
copy_done:
    end_user_access
    sub     a0, a3, a0
    ret

copy_shifted:                       // a1 = a6 mod 8, not 0: aligned loads, which touch no word without a wanted byte
    addi    a7, a3, -8
    bltu    a7, a0, copy_bytes
    sub     a1, a1, a6
    slli    a4, a6, 3               // shift right
    neg     a5, a4                  // shift left: 64 - a4, modulo 64
    X shifted_fault, ld t0, 0(a1)
8:  X shifted_fault, ld t1, 8(a1)
    srl     t0, t0, a4
    sll     a2, t1, a5
    or      t0, t0, a2
    X shifted_fault, sd t0, 0(a0)
    mv      t0, t1
    addi    a0, a0, 8
    addi    a1, a1, 8
    bgeu    a7, a0, 8b
shifted_fault:
    add     a1, a1, a6
    j       copy_bytes

// bool riscv_user_read_N(to, from), riscv_user_write_N(to, from): N words, aligned; all or, after a fault, nothing good.
// Only one side is the user's, and only its accesses are made while user pages can be accessed.
.macro user_words n, registers:vararg
    .globl riscv_user_read_\n
riscv_user_read_\n:
    begin_user_access
    .set .Lword_at, 0
    .irp r, \registers
    X word_fault, ld \r, .Lword_at(a1)
    .set .Lword_at, .Lword_at + 8
    .endr
    end_user_access
    .set .Lword_at, 0
    .irp r, \registers
    sd      \r, .Lword_at(a0)
    .set .Lword_at, .Lword_at + 8
    .endr
    li      a0, 1
    ret
    .globl riscv_user_write_\n
riscv_user_write_\n:
    .set .Lword_at, 0
    .irp r, \registers
    ld      \r, .Lword_at(a1)
    .set .Lword_at, .Lword_at + 8
    .endr
    begin_user_access
    .set .Lword_at, 0
    .irp r, \registers
    X word_fault, sd \r, .Lword_at(a0)
    .set .Lword_at, .Lword_at + 8
    .endr
    end_user_access
    li      a0, 1
    ret
.endm
user_words 1, a2
user_words 2, a2, a3
user_words 3, a2, a3, a4
user_words 4, a2, a3, a4, a5

.macro write_fours times
    .set .Lword_at, 0
    .rept \times
    .irp r, a2, a3, a4, a5
    ld      \r, .Lword_at(a1)
    .set .Lword_at, .Lword_at + 8
    .endr
    .set .Lword_at, .Lword_at - 32
    .irp r, a2, a3, a4, a5
    X word_fault, sd \r, .Lword_at(a0)
    .set .Lword_at, .Lword_at + 8
    .endr
    .endr
    end_user_access
    li      a0, 1
    ret
.endm
// Eight: see machine/signal_frame.hpp, and the next two.
    .globl machine_user_write_8
machine_user_write_8:
    begin_user_access
    write_fours 2
// As riscv_user_write_N, but after a fault some of it may have been written.
    .globl riscv_user_write_18
riscv_user_write_18:
    ld      a2, 128(a1)
    ld      a3, 136(a1)
    begin_user_access
    X word_fault, sd a2, 128(a0)
    X word_fault, sd a3, 136(a0)
    j       1f
    .globl riscv_user_write_16
riscv_user_write_16:
    begin_user_access
1:  write_fours 4

.macro register_pairs load_fixup, store_fixup
    .irp at, 0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224
    \load_fixup a2, \at(a1)
    \load_fixup a3, (\at+8)(a1)
    \store_fixup a2, \at(a0)
    \store_fixup a3, (\at+8)(a0)
    .endr
    \load_fixup a2, 240(a1)
    \store_fixup a2, 240(a0)
.endm
.macro kernel_load register, place:vararg
    ld      \register, \place
.endm
.macro kernel_store register, place:vararg
    sd      \register, \place
.endm
.macro user_load register, place:vararg
    X word_fault, ld \register, \place
.endm
.macro user_store register, place:vararg
    X word_fault, sd \register, \place
.endm
    .globl machine_user_write_registers
machine_user_write_registers:
    begin_user_access
    register_pairs kernel_load, user_store
    end_user_access
    li      a0, 1
    ret
    .globl machine_user_read_registers
machine_user_read_registers:
    begin_user_access
    register_pairs user_load, kernel_store
    end_user_access
    li      a0, 1
    ret

// size_t riscv_user_zero(to, n): how many bytes were not cleared.
    .globl riscv_user_zero
riscv_user_zero:
    add     a3, a0, a1
    begin_user_access
1:  bgeu    a0, a3, zero_done
    andi    t0, a0, 7
    beqz    t0, 2f
    X zero_done, sb zero, 0(a0)
    addi    a0, a0, 1
    j       1b
2:  addi    a4, a3, -64
    bltu    a4, a0, zero_words
3:
    .irp at, 0, 8, 16, 24, 32, 40, 48, 56
    X zero_bytes, sd zero, \at(a0)
    .endr
    addi    a0, a0, 64
    bgeu    a4, a0, 3b
zero_words:
    addi    a4, a3, -8
    bltu    a4, a0, zero_bytes
4:  X zero_bytes, sd zero, 0(a0)
    addi    a0, a0, 8
    bgeu    a4, a0, 4b
zero_bytes:
    bgeu    a0, a3, zero_done
    X zero_done, sb zero, 0(a0)
    addi    a0, a0, 1
    j       zero_bytes
zero_done:
    end_user_access
    sub     a0, a3, a0
    ret

// long riscv_user_string(to, from, max): length without the terminator, max if there is none, -1 on a fault.
    .globl riscv_user_string
riscv_user_string:
    mv      a3, a1
    add     a4, a1, a2
    begin_user_access
    li      a5, 8
1:  sub     t1, a4, a1              // eight bytes at a time, as long as so many are left; no sum here may wrap
    bltu    t1, a5, 3f
    .irp at, 0, 1, 2, 3, 4, 5, 6, 7
    X string_fault, lb t0, \at(a1)
    sb      t0, \at(a0)
    beqz    t0, string_end_\at
    .endr
    addi    a0, a0, 8
    addi    a1, a1, 8
    j       1b
3:  bgeu    a1, a4, 2f
    X string_fault, lb t0, 0(a1)
    sb      t0, 0(a0)
    beqz    t0, 2f
    addi    a0, a0, 1
    addi    a1, a1, 1
    j       3b
    .irp at, 1, 2, 3, 4, 5, 6, 7
string_end_\at:
    addi    a1, a1, \at
    j       2f
    .endr
string_end_0:
2:  end_user_access
    sub     a0, a1, a3
    ret
string_fault:
    end_user_access
    li      a0, -1
    ret

// {used, left << 1 | ended} riscv_user_strings(to, vector, room, starts, most): see user_read_strings(). Of the vector `most` + 1
// words lie in the user half; `room` is 8 at least and fits 16 bits.
    .globl riscv_user_strings
riscv_user_strings:
    begin_user_access
    mv      a5, a0                  // where they begin
    li      a7, USER_END            // below it a string that has room ends in the user half
    sub     a7, a7, a2
    add     a6, a0, a2              // eight bytes below the end of the room
    addi    a6, a6, -8
1:  beqz    a4, strings_done
    X strings_done, ld a2, 0(a1)
    beqz    a2, strings_ended
    bgtu    a2, a7, strings_done
    mv      t1, a0                  // what is whole
    sub     t0, a0, a5
    sh      t0, 0(a3)
2:  bgtu    a0, a6, strings_fault
    .irp at, 0, 1, 2, 3, 4, 5, 6, 7
    X strings_fault, lb t0, \at(a2)
    sb      t0, \at(a0)
    beqz    t0, strings_next_\at
    .endr
    addi    a0, a0, 8
    addi    a2, a2, 8
    j       2b
    .irp at, 0, 1, 2, 3, 4, 5, 6
strings_next_\at:
    addi    a0, a0, \at+1
    j       3f
    .endr
strings_next_7:
    addi    a0, a0, 8
3:  addi    a1, a1, 8
    addi    a3, a3, 2
    addi    a4, a4, -1
    j       1b
strings_fault:
    mv      a0, t1
strings_done:
    end_user_access
    sub     a0, a0, a5
    slli    a1, a4, 1
    ret
strings_ended:
    end_user_access
    sub     a0, a0, a5
    slli    a1, a4, 1
    ori     a1, a1, 1
    ret

// bool riscv_user_load32(value, from)
    .globl riscv_user_load32
riscv_user_load32:
    begin_user_access
    X word_fault, lw t0, 0(a1)
    end_user_access
    sw      t0, 0(a0)
    li      a0, 1
    ret

// bool riscv_user_cmpxchg32(old, at, expected, desired)
    .globl riscv_user_cmpxchg32
riscv_user_cmpxchg32:
    begin_user_access
    sext.w  a2, a2                  // as lr.w leaves it
1:  X word_fault, lr.w.aqrl t0, (a1)
    bne     t0, a2, 2f
    X word_fault, sc.w.rl t1, a3, (a1)
    bnez    t1, 1b
2:  end_user_access
    sw      t0, 0(a0)
    li      a0, 1
    ret
word_fault:
    end_user_access
    li      a0, 0
    ret

// SPDX-License-Identifier: BSD-2-Clause
// Switches between stacks of the host program: what a function call preserves is saved on the stack that is left.
#if defined(__x86_64__)

    .text
    .globl host_switch_stack    // (void** save_sp, void* load_sp)
    .type host_switch_stack, @function
host_switch_stack:
    push    %rbp
    push    %rbx
    push    %r12
    push    %r13
    push    %r14
    push    %r15
    mov     %rsp, (%rdi)
    mov     %rsi, %rsp
    pop     %r15
    pop     %r14
    pop     %r13
    pop     %r12
    pop     %rbx
    pop     %rbp
    ret

    .globl host_start_stack     // (void* top, void (*function)()): goes on there, forgets this stack
    .type host_start_stack, @function
host_start_stack:
    mov     %rdi, %rsp
    xor     %ebp, %ebp
    push    $0                  // a return address that is none; also aligns the stack as at a call
    jmp     *%rsi

    .section .note.GNU-stack, "", @progbits

#elif defined(__aarch64__)

    .text
    .globl host_switch_stack
    .type host_switch_stack, %function
host_switch_stack:
    sub     sp, sp, #160
    stp     x19, x20, [sp]
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    stp     d8, d9, [sp, #96]
    stp     d10, d11, [sp, #112]
    stp     d12, d13, [sp, #128]
    stp     d14, d15, [sp, #144]
    mov     x9, sp
    str     x9, [x0]
    mov     sp, x1
    ldp     x19, x20, [sp]
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    ldp     d8, d9, [sp, #96]
    ldp     d10, d11, [sp, #112]
    ldp     d12, d13, [sp, #128]
    ldp     d14, d15, [sp, #144]
    add     sp, sp, #160
    ret

    .globl host_start_stack
    .type host_start_stack, %function
host_start_stack:
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    br      x1

    .section .note.GNU-stack, "", %progbits

#else
#error "the simulated harts need a stack switch for this machine"
#endif

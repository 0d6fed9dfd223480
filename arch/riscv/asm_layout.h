// SPDX-License-Identifier: BSD-2-Clause
// Numbers that assembly and C++ share: the virtual layout and structure offsets. The C++ side proves every offset with
// a static_assert next to the structure.
#pragma once

// ---- virtual layout (Sv39, kernel half) --------------------------------------------------------------------------
#define USER_END 0x4000000000              // the user half's
#define DIRECT_MAP_BASE 0xffffffc000000000 // physical address 0 upwards, 128 GiB, by gigapages
#define KMEM_BASE 0xffffffe000000000       // kernel stacks and mappings; the vm layer fills it
#define KMEM_END 0xffffffe100000000        // four root entries: their tables are part of the image
#define IMAGE_BASE 0xffffffff80000000      // the kernel image, wherever it was loaded
#define HART_AREA_BASE 0xffffffffc0000000  // boot and emergency stacks of the harts, with guard pages

#define HART_AREA_SIZE 0x10000
#define MAX_HARTS 64 // of libkern/hartset.hpp
#define BOOT_STACK_SIZE 0x4000
#define EMERGENCY_STACK_SIZE 0x2000

// ---- Trapframe ---------------------------------------------------------------------------------------------------
#define TF_X(n) (((n)-1) * 8) // x1 .. x31
#define TF_PC 248
#define TF_STATUS 256
#define TF_CAUSE 264
#define TF_TVAL 272
#define TF_ORIG_A0 280
#define TF_THREAD 288 // of a user trapframe: the Thread that tp is in the kernel
#define TF_SIZE 304

// ---- ThreadArch: first member of Thread, so tp points to it --------------------------------------------------------
#define TA_FRAME 0         // address of the user trapframe: where the kernel stack starts for a trap from user mode
#define TA_STACK_LIMIT 8   // lowest address of the kernel stack
#define TA_DIRECT_LIMIT 16 // numbers of system calls from here on are not entered directly
#define TA_HART 24         // the HartArch that runs it
#define TA_PENDING 32      // two words: what must be looked at on the way to user mode
#define TA_CALLS 40        // system calls that were entered directly
#define TA_SYSTEM 48       // time spent in the kernel

// ---- HartArch ------------------------------------------------------------------------------------------------------
#define HART_EMERGENCY_TOP 0

// ---- causes ---------------------------------------------------------------------------------------------------------
#define CAUSE_USER_ECALL 8
#define CAUSE_FIRST_PAGE_FAULT 12 // of exceptions nothing but page faults from here on

// ---- system calls --------------------------------------------------------------------------------------------------
#define DIRECT_CALL_LIMIT 512 // the highest TA_DIRECT_LIMIT
#define DIRECT_CALL_LEAF 1    // added to the address of a leaf
#define DIRECT_CALL_OTHER 8   // DirectCalls::other
// What a leaf returns that leaves the call to another function, or to one that is given all of the user's registers; no other
// result of a leaf is as small as these.
#define LEAF_DECLINES (-1024)
#define LEAF_WANTS_FRAME (-1023)

// ---- Context -------------------------------------------------------------------------------------------------------
#define CTX_RA 0
#define CTX_SP 8
#define CTX_S(n) (16 + (n)*8) // s0 .. s11
#define CTX_GP 112
#define CTX_T(n) (120 + ((n)-3) * 8) // t3 .. t6
#define CTX_SIZE 152

// ---- sstatus bits that assembly needs -------------------------------------------------------------------------------
#define SSTATUS_SIE 0x2
#define SSTATUS_SPIE 0x20
#define SSTATUS_SPP 0x100
#define SSTATUS_FS 0x6000
#define SSTATUS_SUM 0x40000

// SPDX-License-Identifier: BSD-2-Clause
// Linux riscv64's structures about signals, as user mode lays them out (asm-generic/siginfo.h, asm/sigcontext.h,
// asm/ucontext.h of the Linux UAPI).
#pragma once

#include <cstddef>

#include <bsd/signal.hpp>

namespace lentil::abi {

struct LinuxSigaction {
    uint64_t handler;
    uint64_t flags;
    uint64_t mask;
};
static_assert(sizeof(LinuxSigaction) == 24);

struct LinuxStack {
    uint64_t base;
    uint32_t flags;
    uint32_t zero;
    uint64_t size;
};
static_assert(sizeof(LinuxStack) == 24 && offsetof(LinuxStack, size) == 16);

namespace stack_flags {
inline constexpr uint32_t onstack = 1, disable = 2, autodisarm = 1u << 31;
inline constexpr uint64_t least_size = 2048;
} // namespace stack_flags

/// siginfo_t: three numbers and a union, 128 bytes. Every member of the union begins at 16.
struct LinuxSiginfo {
    int32_t signo, error, code, zero;
    union {
        struct {
            int32_t pid;
            uint32_t uid;
            uint64_t value;
        } queue; ///< kill (no value), sigqueue
        struct {
            int32_t id, overrun;
            uint64_t value;
        } timer;
        struct {
            int32_t pid;
            uint32_t uid;
            int32_t status, zero;
            int64_t utime, stime; ///< hundredths of a second
        } child;
        struct {
            uint64_t address;
        } fault;
        struct {
            int64_t band;
            int32_t fd;
        } poll;
        uint8_t bytes[112];
    };
};
static_assert(sizeof(LinuxSiginfo) == 128 && offsetof(LinuxSiginfo, queue) == 16);

/// union __riscv_fp_state: the D registers at the start of room for the Q ones; the rest is zero, which also reads as
/// the end of the list of further extensions.
struct alignas(16) LinuxFpState {
    uint64_t f[32];
    uint32_t fcsr;
    uint32_t zero[67];
};
static_assert(sizeof(LinuxFpState) == 528);

struct LinuxSigcontext {
    uint64_t regs[32]; ///< pc, x1 .. x31
    LinuxFpState fp;
};
static_assert(sizeof(LinuxSigcontext) == 784);

struct LinuxUcontext {
    uint64_t flags;
    uint64_t link;
    LinuxStack stack;
    uint64_t mask;
    uint8_t mask_room[120];
    uint64_t zero; ///< alignment of the context below
    LinuxSigcontext context;
};
static_assert(offsetof(LinuxUcontext, mask) == 40 && offsetof(LinuxUcontext, context) == 176);
static_assert(sizeof(LinuxUcontext) == 960);

struct LinuxSigframe {
    LinuxSiginfo info;
    LinuxUcontext uc;
};
static_assert(offsetof(LinuxSigframe, uc) == 128 && sizeof(LinuxSigframe) == 1088);

/// What user mode sees of `info`; all bytes are set.
LinuxSiginfo to_linux(const SigInfo& info);
/// What rt_sigqueueinfo or PTRACE_SETSIGINFO was given.
SigInfo from_linux(const LinuxSiginfo& info, int signo);

} // namespace lentil::abi

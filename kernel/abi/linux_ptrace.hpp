// SPDX-License-Identifier: BSD-2-Clause
// Linux's numbers and structures of ptrace(2) and process_vm_readv(2) (include/uapi/linux/ptrace.h, elf.h, audit.h;
// arch/riscv/include/uapi/asm/ptrace.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lentil::abi {

namespace ptrace_request {
inline constexpr int64_t traceme = 0, peektext = 1, peekdata = 2, pokeuser = 6, poketext = 4, pokedata = 5, cont = 7,
                         kill = 8, singlestep = 9, attach = 16, detach = 17, syscall = 24, setoptions = 0x4200,
                         geteventmsg = 0x4201, getsiginfo = 0x4202, setsiginfo = 0x4203, getregset = 0x4204,
                         setregset = 0x4205, seize = 0x4206, interrupt = 0x4207, listen = 0x4208, peeksiginfo = 0x4209,
                         getsigmask = 0x420a, setsigmask = 0x420b, get_syscall_info = 0x420e;
}

/// ELF note types that name register sets.
enum class RegisterSet : uint64_t { general = 1, floating_point = 2 };

/// struct user_regs_struct: pc, x1 .. x31.
struct LinuxUserRegs {
    uint64_t pc, x[31];
};
static_assert(sizeof(LinuxUserRegs) == 256);

/// struct __riscv_d_ext_state.
struct LinuxUserFp {
    uint64_t f[32];
    uint32_t fcsr, zero;
};
static_assert(sizeof(LinuxUserFp) == 264 && offsetof(LinuxUserFp, fcsr) == 256);

struct LinuxIovec {
    uint64_t base, length;
};

struct PtracePeekSiginfoArgs {
    uint64_t offset;
    uint32_t flags;
    int32_t count;
};
inline constexpr uint32_t peek_siginfo_shared = 1;

/// struct ptrace_syscall_info.
struct PtraceSyscallInfo {
    enum Operation : uint8_t { none = 0, entry = 1, exit = 2 };
    uint8_t operation;
    uint8_t zero[3];
    uint32_t arch;
    uint64_t instruction_pointer, stack_pointer;
    union {
        struct {
            uint64_t number, args[6];
        } entry_info;
        struct {
            int64_t value;
            uint8_t is_error;
        } exit_info;
        uint64_t words[8]; ///< of the seccomp stop, the largest
    };
};
static_assert(sizeof(PtraceSyscallInfo) == 88 && offsetof(PtraceSyscallInfo, entry_info) == 24);
inline constexpr uint32_t audit_arch_riscv64 = 0xc00000f3;

} // namespace lentil::abi

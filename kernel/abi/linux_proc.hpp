// SPDX-License-Identifier: BSD-2-Clause
// Linux riscv64 structures and constants of process calls (include/uapi/linux/sched.h, wait.h).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lentil::abi {

namespace clone_flags {
inline constexpr uint64_t signal_mask = 0xff, vm = 0x100, fs = 0x200, files = 0x400, sighand = 0x800, pidfd = 0x1000,
                          ptrace = 0x2000, vfork = 0x4000, parent = 0x8000, thread = 0x10000, newns = 0x20000,
                          sysvsem = 0x40000, settls = 0x80000, parent_settid = 0x100000, child_cleartid = 0x200000,
                          detached = 0x400000, untraced = 0x800000, child_settid = 0x1000000, newcgroup = 0x2000000,
                          newuts = 0x4000000, newipc = 0x8000000, newuser = 0x10000000, newpid = 0x20000000,
                          newnet = 0x40000000, io = 0x80000000, clear_sighand = 0x100000000, into_cgroup = 0x200000000;
}

/// struct clone_args; older callers pass a shorter one.
struct CloneArgs {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    uint64_t set_tid, set_tid_size; ///< since version 1
    uint64_t cgroup;                ///< since version 2
};
inline constexpr uint64_t clone_args_size_0 = 64;
static_assert(sizeof(CloneArgs) == 88);

/// The part of siginfo_t that waitid fills in.
struct WaitInfo {
    int32_t signo, error, code, pad;
    int32_t pid;
    uint32_t uid;
    int32_t status, pad2;
    uint64_t rest[12];
};
static_assert(sizeof(WaitInfo) == 128 && offsetof(WaitInfo, pid) == 16);

namespace waitid_which {
inline constexpr int all = 0, pid = 1, pgid = 2, pidfd = 3;
}

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// Handlers of the calls that make, end and name processes; the signatures are the ABI.
#pragma once

#include <abi/linux_proc.hpp>
#include <abi/linux_time.hpp>
#include <abi/syscall.hpp>
#include <bsd/exit.hpp>

namespace lentil::abi {

void sys_exit(int code);
void sys_exit_group(int code);
Result<void> sys_waitid(int which, int id, vaddr_t info, int options, UserPtr<Rusage> usage);
Result<int> sys_set_tid_address(vaddr_t address);
Result<void> sys_setpgid(int pid, int group);
Result<int> sys_getpgid(int pid);
Result<int> sys_getsid(int pid);
Result<int> sys_setsid();
Result<int> sys_getpid();
Result<int> sys_getppid();
Result<int> sys_gettid();
/// riscv64 order of arguments: flags, stack, parent_tid, tls, child_tid (CONFIG_CLONE_BACKWARDS).
Result<int> sys_clone(uint64_t flags, vaddr_t stack, vaddr_t parent_tid, vaddr_t tls, vaddr_t child_tid);
Result<void> sys_execve(vaddr_t path, vaddr_t argv, vaddr_t envp);
Result<int> sys_wait4(int pid, vaddr_t status, int options, UserPtr<Rusage> usage);
Result<void> sys_execveat(int directory, vaddr_t path, vaddr_t argv, vaddr_t envp, int flags);
// abi/sys_ptrace.cpp
Result<int64_t> sys_ptrace(int64_t request, int pid, vaddr_t address, uint64_t data);
Result<uint64_t> sys_process_vm_readv(int pid, vaddr_t local, uint64_t local_count, vaddr_t remote,
                                      uint64_t remote_count, uint64_t flags);
Result<uint64_t> sys_process_vm_writev(int pid, vaddr_t local, uint64_t local_count, vaddr_t remote,
                                       uint64_t remote_count, uint64_t flags);
Result<int> sys_kcmp(int first, int second, int kind, uint64_t index1, uint64_t index2);
Result<int> sys_clone3(vaddr_t args, uint64_t size);
// abi/sys_pidfd.cpp
Result<int> sys_pidfd_open(int pid, uint32_t flags);
Result<int> sys_pidfd_getfd(int pidfd, int fd, uint32_t flags);
/// waitid with P_PIDFD: again if the descriptor does not block and there is nothing to report.
Result<WaitOutcome> wait_for_pidfd(int pidfd, uint32_t options, Usage* usage);

} // namespace lentil::abi

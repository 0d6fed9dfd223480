// SPDX-License-Identifier: BSD-2-Clause
// Handlers of the signal calls; the signatures are the ABI.
#pragma once

#include <abi/linux_signal.hpp>
#include <abi/linux_time.hpp>
#include <abi/syscall.hpp>

namespace lentil::abi {

struct LinuxItimerval {
    Timeval interval, value;
};

Result<int> sys_signalfd4(int fd, UserPtr<uint64_t> mask, uint64_t size, uint32_t flags);
Result<void> sys_getitimer(int which, UserPtr<LinuxItimerval> value);
Result<void> sys_setitimer(int which, UserPtr<LinuxItimerval> value, UserPtr<LinuxItimerval> old);
Result<uint64_t> sys_restart_syscall();
Result<void> sys_kill(int pid, int signo);
Result<void> sys_tkill(int tid, int signo);
Result<void> sys_tgkill(int pid, int tid, int signo);
Result<void> sys_sigaltstack(UserPtr<LinuxStack> stack, UserPtr<LinuxStack> old);
Result<void> sys_rt_sigsuspend(UserPtr<uint64_t> mask, uint64_t size);
Result<void> sys_rt_sigaction(int signo, UserPtr<LinuxSigaction> action, UserPtr<LinuxSigaction> old, uint64_t size);
Result<void> sys_rt_sigprocmask(int how, UserPtr<uint64_t> set, UserPtr<uint64_t> old, uint64_t size);
Result<void> sys_rt_sigpending(UserPtr<uint64_t> set, uint64_t size);
Result<int> sys_rt_sigtimedwait(UserPtr<uint64_t> set, vaddr_t info, UserPtr<Timespec> timeout, uint64_t size);
Result<void> sys_rt_sigqueueinfo(int pid, int signo, vaddr_t info);
Result<void> sys_rt_sigreturn();
Result<void> sys_pidfd_send_signal(int pidfd, int signo, vaddr_t info, uint32_t flags);
Result<void> sys_rt_tgsigqueueinfo(int pid, int tid, int signo, vaddr_t info);

} // namespace lentil::abi

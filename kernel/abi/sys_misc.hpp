// SPDX-License-Identifier: BSD-2-Clause
// Handlers of the remaining calls; the signatures are the ABI.
#pragma once

#include <abi/linux_misc.hpp>
#include <abi/linux_time.hpp>
#include <abi/syscall.hpp>

namespace lentil::abi {

// -- process accounting (sys_acct.cpp): an address of 0 ends it
Result<void> sys_acct(vaddr_t path);

// -- credentials (sys_cred.cpp) ------------------------------------------------------------------------------------------
Result<void> sys_capget(UserPtr<CapabilityHeader> header, UserPtr<CapabilityData> data);
Result<void> sys_capset(UserPtr<CapabilityHeader> header, UserPtr<CapabilityData> data);
Result<void> sys_setregid(gid_t real, gid_t effective);
Result<void> sys_setgid(gid_t gid);
Result<void> sys_setreuid(uid_t real, uid_t effective);
Result<void> sys_setuid(uid_t uid);
Result<void> sys_setresuid(uid_t real, uid_t effective, uid_t saved);
Result<void> sys_getresuid(UserPtr<uid_t> real, UserPtr<uid_t> effective, UserPtr<uid_t> saved);
Result<void> sys_setresgid(gid_t real, gid_t effective, gid_t saved);
Result<void> sys_getresgid(UserPtr<gid_t> real, UserPtr<gid_t> effective, UserPtr<gid_t> saved);
Result<uid_t> sys_setfsuid(uid_t uid);
Result<gid_t> sys_setfsgid(gid_t gid);
Result<int> sys_getgroups(int size, UserPtr<gid_t> list);
Result<void> sys_setgroups(int size, UserPtr<gid_t> list);
Result<uid_t> sys_getuid();
Result<uid_t> sys_geteuid();
Result<gid_t> sys_getgid();
Result<gid_t> sys_getegid();

// -- futexes (sys_futex.cpp) -----------------------------------------------------------------------------------------------
Result<uint64_t> sys_futex(uint64_t address, uint32_t operation, uint32_t value, uint64_t timeout, uint64_t second,
                           uint32_t value3);
Result<void> sys_set_robust_list(uint64_t head, uint64_t size);
Result<void> sys_get_robust_list(pid_t tid, UserPtr<uint64_t> head, UserPtr<uint64_t> size);

// -- scheduling (sys_sched.cpp) ----------------------------------------------------------------------------------------------
Result<void> sys_sched_setparam(pid_t tid, UserPtr<SchedParam> param);
Result<void> sys_sched_setscheduler(pid_t tid, int policy, UserPtr<SchedParam> param);
Result<uint32_t> sys_sched_getscheduler(pid_t tid);
Result<void> sys_sched_getparam(pid_t tid, UserPtr<SchedParam> param);
Result<void> sys_sched_setaffinity(pid_t tid, uint32_t size, UserPtr<uint64_t> mask);
Result<uint64_t> sys_sched_getaffinity(pid_t tid, uint32_t size, UserPtr<uint64_t> mask);
Result<void> sys_sched_yield();
Result<int> sys_sched_get_priority_max(int policy);
Result<int> sys_sched_get_priority_min(int policy);
Result<void> sys_sched_rr_get_interval(pid_t tid, UserPtr<Timespec> out);
Result<void> sys_sched_setattr(pid_t tid, uint64_t attr, uint32_t flags);
Result<void> sys_sched_getattr(pid_t tid, uint64_t attr, uint32_t size, uint32_t flags);
Result<void> sys_setpriority(int which, int who, int nice);
Result<int> sys_getpriority(int which, int who);
Result<void> sys_getcpu(UserPtr<uint32_t> cpu, UserPtr<uint32_t> node);

// -- limits and usage (sys_limit.cpp) ----------------------------------------------------------------------------------------
Result<void> sys_getrlimit(uint32_t resource, UserPtr<Rlimit> out);
Result<void> sys_setrlimit(uint32_t resource, UserPtr<Rlimit> value);
Result<void> sys_prlimit64(pid_t pid, uint32_t resource, UserPtr<Rlimit> value, UserPtr<Rlimit> old);
Result<void> sys_getrusage(int who, UserPtr<Rusage> out);

// -- the system as a whole (sys_misc.cpp) ------------------------------------------------------------------------------------
Result<uint32_t> sys_personality(uint32_t persona);
Result<uint64_t> sys_syslog(int type, uint64_t buffer, int size);
Result<void> sys_reboot(uint32_t magic1, uint32_t magic2, uint32_t command, uint64_t argument);
Result<void> sys_uname(uint64_t out);
Result<void> sys_sethostname(uint64_t name, int length);
Result<void> sys_setdomainname(uint64_t name, int length);
Result<uint64_t> sys_prctl(int option, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
Result<void> sys_sysinfo(UserPtr<Sysinfo> out);
Result<uint64_t> sys_getrandom(uint64_t buffer, uint64_t n, uint32_t flags);

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// Handlers of the native (BSD and Mach) calls: negative numbers, as XNU numbers its Mach traps.
#pragma once

#include <abi/linux_time.hpp>
#include <abi/syscall.hpp>
#include <bsd/kqueue.hpp>

namespace lentil::abi {

/// BSD's vfork: returns twice on one thread, with two values. Child: pid and 1; parent, later: pid and 0. The stub computes
/// first & (second - 1) (NB-32).
Result<int> sys_native_vfork();
/// NetBSD's fork1 as a call: FORK_* flags (ppwait, sharevm, sharecwd, sharefiles, sharesigs, nowait, cleanfiles) in any
/// combination, exit signal (0: none), stack pointer (0: the caller's). Two return values as above. inval for unknown
/// flags, FORK_SYSTEM, and a bad signal.
Result<int> sys_native_fork1(uint32_t flags, int exit_signal, vaddr_t stack);
/// NetBSD's __clone: Linux's CLONE_VM, FS, FILES, SIGHAND and VFORK, the exit signal in the low byte. Two return values.
/// inval for any other flag, for SIGHAND without VM, and a bad signal (NB-49).
Result<int> sys_native_clone(uint32_t flags, vaddr_t stack);
/// PROC_CREATE_SPAWN: a child that starts with a program; `args` is a SpawnArgs of `size` bytes (abi/native.hpp). Returns
/// its pid once the program is in place. Every failure of an attribute, an action or the image is an errno, and then there
/// was no child.
Result<int> sys_native_spawn(vaddr_t args, uint64_t size);

// -- kqueue.cpp
/// A new kqueue; O_CLOEXEC or nothing. The descriptor is never copied by fork.
Result<int> sys_native_kqueue(uint32_t flags);
/// Makes the changes, then takes what happened: the number of `events` filled in. NULL `timeout`: as long as it takes.
Result<int> sys_native_kevent(int kqueue, UserPtr<Kevent> changes, int change_count, UserPtr<Kevent> events,
                              int event_count, UserPtr<Timespec> timeout);

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// Handlers of the native (BSD and Mach) calls: negative numbers, as XNU numbers its Mach traps.
#pragma once

#include <abi/syscall.hpp>

namespace lentil::abi {

/// BSD's vfork: returns twice on one thread, with two values. Child: pid and 1; parent, later: pid and 0. The stub computes
/// first & (second - 1) (NB-32).
Result<int> sys_native_vfork();
/// NetBSD's fork1 as a call: FORK_* flags (ppwait, sharevm, sharecwd, sharefiles, sharesigs, nowait, cleanfiles), exit
/// signal, stack pointer (0: the caller's). Two return values as above. inval for unknown flags, FORK_SYSTEM, and a bad
/// signal.
Result<int> sys_native_fork1(uint32_t flags, int exit_signal, vaddr_t stack);

} // namespace lentil::abi

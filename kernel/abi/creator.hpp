// SPDX-License-Identifier: BSD-2-Clause
// What the calls that change a process share with the one that makes a process already changed (spawn).
#pragma once

#include <abi/syscall.hpp>
#include <bsd/exec.hpp>

namespace lentil::abi {

/// Copies argument and environment strings for exec, within the bounds that `stack_limit` (bytes) sets: toobig, fault.
Result<void> copyin_arguments(ExecRequest& request, uint64_t stack_limit, vaddr_t argv, vaddr_t envp);

/// A structure whose size is its version (clone3's rule): `known` bytes here, at least `least` from the caller, who may
/// pass more if the rest is zero. inval, toobig, fault. `to` was zeroed.
Result<void> copyin_versioned(void* to, size_t known, size_t least, vaddr_t from, uint64_t size);

/// `old` with another policy (-1: the same) and real-time priority, if the current proc may set that for `target`: inval,
/// perm.
Result<SchedParams> changed_policy(const Uthread& target, const SchedParams& old, int policy, int32_t priority);

/// "Effect of user ID changes on capabilities" (capabilities(7)): what the changed ids of `fresh` do to its sets.
void follow_ids(const Cred& old, Cred& fresh, bool keep_caps);

} // namespace lentil::abi

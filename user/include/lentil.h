// SPDX-License-Identifier: BSD-2-Clause
// Making processes by Lentil's native calls. Manual pages: docs/man/vfork.2, fork1.2, clone.2.
// Failures are -1 with errno; ENOSYS from every call means that the kernel is not Lentil.
#ifndef LENTIL_H
#define LENTIL_H
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

// fork1's flags, with NetBSD's values; they combine freely.
#define FORK_PPWAIT 0x0001     // the caller returns after the child's exec or end
#define FORK_SHAREVM 0x0002    // one address space
#define FORK_SHARECWD 0x0004   // one root, working directory and umask
#define FORK_SHAREFILES 0x0008 // one descriptor table
#define FORK_SHARESIGS 0x0010  // one set of signal actions
#define FORK_NOWAIT 0x0020     // the child is init's from its birth
#define FORK_CLEANFILES 0x0040 // the child starts without descriptors; FORK_SHAREFILES wins over it
#define FORK_SYSTEM 0x0080     // for the kernel alone: EINVAL

// BSD's vfork: the child runs on the caller's thread, which comes back when the child execs or ends.
pid_t lentil_vfork(void) __attribute__((returns_twice));

// 4.4BSD's vfork: a copy like fork's, but the caller waits until the child execs or ends.
pid_t lentil_vfork_copying(void) __attribute__((returns_twice));

// A new process that goes on from here, as fork's child does; `exit_signal` (0: none) tells the parent of its end.
// With FORK_SHAREVM and without FORK_PPWAIT two processes would run on one stack: use lentil_fork1_on.
pid_t lentil_fork1(unsigned flags, int exit_signal) __attribute__((returns_twice));

// The same, but the child calls function(argument) on the stack that ends at `stack`, and ends with its result.
pid_t lentil_fork1_on(unsigned flags, int exit_signal, void* stack, int (*function)(void*), void* argument);

// NetBSD's __clone: Linux's flags CLONE_VM, FS, FILES, SIGHAND and VFORK, with the exit signal in the low byte. The child
// calls function(argument) on the stack that ends at `stack`, and ends with its result.
pid_t lentil_clone(int (*function)(void*), void* stack, int flags, void* argument);

#ifdef __cplusplus
}
#endif
#endif

// SPDX-License-Identifier: BSD-2-Clause
// fork1: the one function that makes every process and thread. Kinds are XNU's, flags are NetBSD's.
#pragma once

#include <bsd/proc.hpp>

namespace lentil {

class Spawn;

enum class ForkKind : uint32_t {
    fork,  ///< PROC_CREATE_FORK: a whole process, running beside its parent
    spawn, ///< PROC_CREATE_SPAWN: a process that starts with the image of ForkRequest::spawn
    vfork, ///< PROC_CREATE_VFORK: borrows the caller's thread until it execs or ends
    thread ///< another uthread of the caller's proc (CLONE_THREAD)
};

/// NetBSD's FORK_* flags (fork1(9)), freely combined.
namespace fork_flags {
inline constexpr uint32_t ppwait = 0x0001, sharevm = 0x0002, sharecwd = 0x0004, sharefiles = 0x0008, sharesigs = 0x0010,
                          nowait = 0x0020, cleanfiles = 0x0040, system = 0x0080;
/// Ours, for what Linux adds.
inline constexpr uint32_t clear_sighand = 0x0100, same_parent = 0x0200, share_sem_undos = 0x0400;
} // namespace fork_flags

struct ForkRequest {
    ForkKind kind = ForkKind::fork;
    uint32_t flags = 0;
    int32_t exit_signal = sig_chld;
    vaddr_t stack = 0;             ///< user stack pointer of the child; 0: the parent's
    void (*func)(void*) = nullptr; ///< kernel entry instead of the return to user mode; starts with interrupts off
    void* arg = nullptr;
    const machine::Trapframe* frame = nullptr; ///< the caller's user registers; the child starts with a copy
    vaddr_t tls = 0;                           ///< if set_tls
    vaddr_t parent_tid = 0;                    ///< CLONE_PARENT_SETTID: written before the child can run
    vaddr_t child_tid_set = 0;                 ///< CLONE_CHILD_SETTID: written in the child's memory
    vaddr_t child_tid_clear = 0;               ///< CLONE_CHILD_CLEARTID
    pid_t wanted_pid = 0;                      ///< clone3 set_tid
    bool set_tls = false;
    bool native_return = false;  ///< second return register: 1 in the child, 0 in the parent (NB-32)
    bool untraced = false;       ///< CLONE_UNTRACED: the creator's tracer hears nothing and gets nobody
    bool trace_child = false;    ///< CLONE_PTRACE: the creator's tracer, if there is one, gets the child
    bool frame_may_stay = false; ///< of a borrower, which needs but another result: the caller then calls loan_start()
    vaddr_t pidfd = 0;           ///< CLONE_PIDFD: where a descriptor of the new process is written, before it is born
    Spawn* spawn = nullptr;      ///< what a spawned child is (bsd/spawn.hpp)
    RefPtr<Proc>* new_proc = nullptr; ///< empty; gets the new process before that can run (NB-31)

    ForkRequest() {} // not defaulted, or all of it would be cleared before it is filled
};

struct ForkOutcome {
    pid_t pid = 0;            ///< of the new process or thread
    bool lent = false;        ///< the caller's thread now runs as the child: return 0 to user mode, as it
    bool frame_stays = false; ///< through loan_start()
};

/// Makes it. Everything that can fail fails before anything is visible and leaves every count as it was: again for
/// limits and ids, nomem for memory (D09). With FORK_PPWAIT and no loan it returns after the child's exec or end.
Result<ForkOutcome> fork1(const ForkRequest& request);

/// Called for every process that fork1 makes, in order of registration, with the child complete and nobody to find it yet.
/// One that fails ends the fork with its error; those before it are undone, the last first, as they are when the fork
/// does not come about for another reason (NB-34, NB-35, EC-162). No lock is held.
struct ForkHook {
    Result<void> (*prepare)(Proc& child, Proc& parent, uint32_t flags) = nullptr;
    void (*undo)(Proc& child) = nullptr;
    ForkHook* next = nullptr; ///< the list's
};
/// Adds a hook at the end, or takes it away; at boot, while nobody forks.
void fork_hook_add(ForkHook& hook);
void fork_hook_remove(ForkHook& hook);

/// The first process, made at boot from nothing: pid 1, stdin/out/err on the console, runs `entry` in the kernel first.
Result<RefPtr<Proc>> proc_create_init(RefPtr<FsNode> root, void (*entry)(void*), void* arg);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The end of uthreads and procs, and waiting for it.
#pragma once

#include <bsd/proc.hpp>

namespace lentil {

namespace wait_status {
constexpr int32_t exited(int code) { return (code & 0xff) << 8; }
constexpr int32_t killed(int signo, bool core = false) { return signo | (core ? 0x80 : 0); }
constexpr int32_t stopped(int signo) { return signo << 8 | 0x7f; }
inline constexpr int32_t continued = 0xffff;
} // namespace wait_status

/// exit_group(2) or a fatal signal: the whole proc ends with `wait_status`. Does not return, except that a borrower's
/// thread goes on as its lender.
[[noreturn]] void proc_exit(int32_t wait_status);
/// exit(2): this uthread ends; the last one takes the proc with it.
[[noreturn]] void uthread_exit(int32_t wait_status);

/// Tells others on the same memory that the current uthread leaves it, by its end or by execve: robust mutexes, then the
/// clear_child_tid futex (LX-18, LX-19: both before a lender can run).
void uthread_leave_map(Uthread& self);

/// Procs that were reaped under proc_tree_lock and wait to be dropped outside it.
using ReapedProcs = ProcList<&ProcLinks::all_link>;
/// A zombie reports its end: to a tracer that is not its parent, else to the parent. proc_tree_lock held.
void proc_report_end_locked(Proc& proc, ReapedProcs& reaped);
/// Takes a zombie out of every table. proc_tree_lock held.
void proc_reap_locked(Proc& proc, ReapedProcs& reaped);
void drop_reaped(ReapedProcs& reaped);

enum class WaitFor : uint32_t { any, pid, group };
namespace wait_options {
inline constexpr uint32_t nohang = 1, untraced = 2, exited = 4, continued = 8, nowait = 0x01000000,
                          nothread = 0x20000000, all = 0x40000000, clone = 0x80000000;
}
struct WaitOutcome {
    pid_t pid = 0;        ///< or the tid of a tracee; 0: nohang and nothing to report
    int32_t status = 0;   ///< wait status
    bool trapped = false; ///< it stopped for its tracer, the caller
    uid_t uid = 0;
    Usage* usage = nullptr; ///< if it is wanted: where the child's goes, with its waited-for descendants; fresh
};
/// wait4/waitid in one. child if there is none to wait for; restart_sys if a signal came. With `only` nobody else will do,
/// whatever ids say.
/// `out` is fresh but for what it says is wanted.
Result<void> proc_wait(WaitOutcome& out, WaitFor what, pid_t id, uint32_t options, const Proc* only = nullptr);
inline Result<WaitOutcome> proc_wait(WaitFor what, pid_t id, uint32_t options, const Proc* only = nullptr,
                                     Usage* usage = nullptr) {
    WaitOutcome out;
    out.usage = usage;
    TRY(proc_wait(out, what, id, options, only));
    return out;
}

} // namespace lentil

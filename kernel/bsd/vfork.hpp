// SPDX-License-Identifier: BSD-2-Clause
// The loan: vfork by lending the parent's thread. All rules about it live in vfork.cpp; other files ask the questions
// below and never look into a loan.
#pragma once

#include <bsd/proc.hpp>

namespace lentil {

// -- opening (fork1 alone) -------------------------------------------------------------------------------------------------

/// Everything a loan will ever need to end well, made before anything is visible: for a new process, and for a new thread.
RefPtr<VforkLoan> loan_prepare(Proc& child);
Result<RefPtr<VforkLoan>> loan_prepare();

/// Writes down what the current uthread will be parked with, which the caller then goes straight on to open: nobody sees it yet,
/// and dropping the loan undoes it. `native_return`: the lender gets 0 in the second result register at release (NB-32).
/// `frame_stays`: machine::frame_can_stay() said so, and the caller goes on to loan_start(), which spares two copies of the
/// registers. No lock needed.
void loan_park(VforkLoan& loan, bool native_return, bool frame_stays);
/// Parks the current uthread and makes its thread execute as `borrower`, the first uthread of `child`. proc_tree_lock
/// held, `child` is being inserted in the tree, and loan_park() was called. Cannot fail.
void loan_open_locked(RefPtr<VforkLoan> loan, Proc& child, Uthread& borrower);
/// The first way to user mode of `child`, the current proc, with its lender's registers and 0 as the result. May return: then
/// the system call is to, with that result. No lock held, and nothing on the stack owns anything.
void loan_start(Proc& child);

/// FORK_PPWAIT where no thread is lent: the creator will wait for `child` with loan_wait. proc_tree_lock held.
void loan_expect_locked(RefPtr<VforkLoan> loan, Proc& child);

/// CLONE_VFORK of a thread: the creator will wait with loan_wait for the exec or end of `uthread`, its sibling (LX-31).
/// proc_tree_lock held.
void loan_expect_locked(RefPtr<VforkLoan> loan, Uthread& uthread);

/// Waits for the release; false if the caller is being killed first (LX-12). Called with the loan's own reference.
bool loan_wait(VforkLoan& loan);

// -- ending ----------------------------------------------------------------------------------------------------------------

/// What happened to the calling thread at the release.
enum class LoanEnd : uint32_t {
    not_ours,   ///< no loan, or one whose creator waits on a thread of its own and was woken
    handed_back ///< the calling thread executes as the lender again, and owes it loan_restore()
};

/// The borrower exec'd or is a zombie: wakes `p_vforkwait`. If the thread was lent, hands it back. proc_tree_lock held;
/// afterwards nothing of `child` refers to the lender. Cannot fail. The record goes to `ended`, to be dropped without the lock.
LoanEnd loan_release_locked(Proc& child, RefPtr<VforkLoan>& ended);
/// What is left after LoanEnd::handed_back, and nobody else's business: the lender's registers. No lock held.
void loan_restore(RefPtr<VforkLoan> ended);

/// `uthread` exec'd or ends: wakes a sibling that waits for it. proc_tree_lock held. Cannot fail.
void loan_release_locked(Uthread& uthread);

/// The borrower needs what only a task has (it makes a thread, it is traced): the loan becomes a gift. Nothing happens
/// if `proc` is no borrower. nomem.
Result<void> loan_become_owner(Proc& proc);

/// Some uthreads of `proc` are parked and must end: it was killed, ends, or execs in another thread. Callable with
/// locks held and from interrupts: the loan service thread does the work.
void loan_recall(Proc& proc);

/// Checked kernels: a borrower that is already taken down waits here a little, half the times, for a gift that its killed
/// lender owes it. Without that the two hardly ever meet in this order, which is the hard one for exit.cpp. May sleep.
void loan_await_late_gift(const Proc& proc);

/// Starts the loan service thread. Once, at boot.
void loan_init();

// -- asking -------------------------------------------------------------------------------------------------------------------

/// Whether `proc` runs on a thread that it borrowed: it has no task of its own.
bool loan_is_borrower(const Proc& proc);
/// Whether a uthread of `creator` waits for `child` to exec or end: it cannot wait4 for it. proc_tree_lock held.
bool loan_is_awaited_by(const Proc& child, const Proc& creator);
/// Whether a stop signal stays pending for `proc` until its loan ends: SIGTSTP, SIGTTIN, SIGTTOU for a borrower
/// (SIGSTOP stops it). vfork-facts BS-14 as decided in EC-49.
bool loan_defers_signal(const Proc& proc, int signo);
/// Whether `proc` as a borrower is exempt from background terminal rules: writes and ioctls go through, reads see the
/// end of file (BS-11, BS-12, BS-13).
bool loan_exempts_from_job_control(const Proc& proc);
/// For /proc: the pid of the proc that `uthread` lent its thread to (0: none), and whom `proc` borrows from.
pid_t loan_lent_to(const Uthread& uthread);
pid_t loan_borrowed_from(const Proc& proc);
/// The map that `proc` borrows; nullptr if it is no borrower. proc_tree_lock held.
RefPtr<VmMap> loan_map_locked(const Proc& proc);
/// The pid of the proc whose thread `proc` borrows (0: none), without a lock: for a panic's report, all else stands still.
pid_t loan_lender_at_panic(const Proc& proc);

/// The integrity checker: asserts the first rule of the loan for every uthread (LENTIL_CHECKS; proc_tree_lock held).
void loan_check_locked();

} // namespace lentil

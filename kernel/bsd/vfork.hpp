// SPDX-License-Identifier: BSD-2-Clause
// The loan: vfork by lending the parent's thread. All rules about it live in vfork.cpp; other files ask the questions
// below and never look into a loan.
#pragma once

#include <bsd/proc.hpp>

namespace lentil {

struct VforkLoan;

/// Whether `proc` runs on a thread that it borrowed: it has no task of its own.
bool loan_is_borrower(const Proc& proc);
/// Whether a stop signal stays pending for `proc` until its loan ends: SIGTSTP, SIGTTIN, SIGTTOU for a borrower
/// (SIGSTOP stops it). vfork-facts BS-14 as decided in EC-49.
bool loan_defers_signal(const Proc& proc, int signo);
/// Whether `proc` as a borrower is exempt from background terminal rules: writes and ioctls go through, reads see the
/// end of file (BS-11, BS-12, BS-13).
bool loan_exempts_from_job_control(const Proc& proc);
/// Some uthreads of `proc` are parked and it must end, stop lending, or exec: their loans become gifts. Callable with
/// locks held and from interrupts: the work is done by the loan service thread.
void loan_recall(Proc& proc);
/// For /proc: the pid of the proc that `uthread` lent its thread to (0: none), and whom `proc` borrows from.
pid_t loan_lent_to(const Uthread& uthread);
pid_t loan_borrowed_from(const Proc& proc);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The record of a loan. Rules, and everybody else's questions: bsd/vfork.hpp.
#pragma once

#include <bsd/uthread.hpp>

namespace lentil {

/// One loan, from fork1 to the release. Only vfork.cpp looks into it. A new process has room for its creator's in itself
/// (Proc::loan_record); that of a thread has memory of its own.
struct VforkLoan : RefCounted<VforkLoan> {
    static constexpr const char* zone_name = "vfork_loans";

    VforkLoan() {}
    explicit VforkLoan(Proc& in) : home(&in) {}
    void last_unref();
    void renew();

    enum class State : uint32_t { prepared, lent, awaited, released };
    std::atomic<State> state{State::prepared}; ///< changes under proc_tree_lock
    RefPtr<Uthread> lender;                    ///< t; until the release, or its own end
    Uthread* borrower = nullptr;               ///< t; while lent: the one uthread of the child
    Thread* thread = nullptr;                  ///< t; while lent: what the borrower executes on
    pid_t child_pid = 0;                       ///< what vfork returns: no look into a child that may be gone (NB-45)
    bool native_return = false;
    bool fp_stays = false; ///< t; `thread` is the one that the mark is of
    uint32_t fp_mark = 0;  ///< of the thread that was lent, when the lender's floating-point registers were parked
    Waitq p_vforkwait;     ///< the lender's place to sleep while awaited
    Proc* home = nullptr;  ///< in which it lies, if it does

    /// The lender's user registers at the moment of the loan: in `parked_frame`, or where the trap left them.
    machine::Trapframe* frame = nullptr; ///< t; while lent
    Uninitialized<machine::Trapframe> parked_frame;
    Uninitialized<machine::FpState> parked_fp;
};

} // namespace lentil

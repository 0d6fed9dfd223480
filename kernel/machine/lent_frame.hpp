// SPDX-License-Identifier: BSD-2-Clause
// What a loan needs of an arch so that the lender's user registers stay where its trap left them: the borrower's next trap puts
// its own elsewhere on the same kernel stack. An arch may do without.
#pragma once

#include <machine/machine.hpp>

namespace lentil::machine {

/// Whether the current thread, in a system call whose frame is whole, could enter_user_beside().
bool frame_can_stay(const ThreadArch& ta);
/// Resumes user mode from the frame of the current thread, as enter_user does but with 0 as the result, and leaves that frame
/// alone from then on. Returns, having changed nothing, if something must be looked at on the way. Nothing on the stack may own
/// anything.
void enter_user_beside(ThreadArch& ta);
/// The thread uses `frame` again, in which it stayed. It is the current one, with interrupts disabled.
void frame_returns(ThreadArch& ta, Trapframe& frame);

} // namespace lentil::machine

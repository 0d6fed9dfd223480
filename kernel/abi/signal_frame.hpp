// SPDX-License-Identifier: BSD-2-Clause
// Signal frames and alternate stacks. The uthread is the current one in all of these.
#pragma once

#include <abi/linux_signal.hpp>
#include <bsd/proc.hpp>

namespace lentil::abi {

/// SignalHooks::push_frame: fault if the user's stack cannot take the frame; then nothing changed.
Result<void> push_signal_frame(machine::Trapframe& frame, const SigInfo& info, const SigAction& action,
                               SigSet old_mask);
/// rt_sigreturn: registers, mask and alternate stack from the frame at the stack pointer; fault or inval if it is none.
Result<void> pop_signal_frame(machine::Trapframe& frame);

/// sigaltstack(2) for a caller whose stack pointer is `sp`. perm while it runs on that stack, inval, nomem if too small.
LinuxStack get_altstack(const Uthread& uthread, vaddr_t sp);
Result<void> set_altstack(Uthread& uthread, const LinuxStack& stack, vaddr_t sp);

/// Fills in bsd's signal_hooks. Once, at boot.
void signal_init();

} // namespace lentil::abi

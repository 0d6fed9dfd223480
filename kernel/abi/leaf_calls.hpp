// SPDX-License-Identifier: BSD-2-Clause
// Leaf system calls: the short ways of calls that mostly need next to nothing (machine/machine.hpp says what a leaf may do).
// Each decides whether it has all it needs, and else declines: then the handler of the same name in sys_*.cpp does it. A
// call has one meaning, so what a leaf does is what the handler would have done.
#pragma once

#include <machine/machine.hpp>

namespace lentil::abi {

#define LEAF(name) int64_t leaf_##name(uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
LEAF(clock_gettime); ///< the wall clock and the monotonic one
LEAF(futex);         ///< a private wake-up that finds nobody
LEAF(getpid);
LEAF(getppid);
LEAF(gettid);
LEAF(rt_sigaction);   ///< all that neither drops what pends nor asks for more than one thing
LEAF(rt_sigprocmask); ///< while nothing pends
// These want the frame (call_with_frame), mostly.
LEAF(kill);   ///< to itself
LEAF(tgkill); ///< likewise
LEAF(rt_sigreturn);
#undef LEAF

/// hooks.call_with_frame: for these, which came here without being watched.
bool call_with_frame(machine::Trapframe& frame);

} // namespace lentil::abi

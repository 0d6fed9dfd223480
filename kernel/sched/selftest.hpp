// SPDX-License-Identifier: BSD-2-Clause
// The scheduler's test of itself on real harts: `selftest=sched` on the command line.
#pragma once

namespace lentil {

/// Entry of a kernel thread: prints `ok` and `not ok` lines and `1..N`, then powers off (failing if a test did).
[[noreturn]] void sched_selftest(void*);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// fork1's test of itself: `selftest=fork` on the command line.
#pragma once

namespace lentil {

/// Runs in pid 1 before it becomes a program; prints `ok` and `not ok` lines and powers off.
[[noreturn]] void fork_selftest();

} // namespace lentil

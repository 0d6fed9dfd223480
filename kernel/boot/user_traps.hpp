// SPDX-License-Identifier: BSD-2-Clause
// What a trap from user mode does: system calls, faults, and the AST on the way back.
#pragma once

namespace lentil {

/// Fills in machine::hooks for user mode.
void install_user_traps();

} // namespace lentil

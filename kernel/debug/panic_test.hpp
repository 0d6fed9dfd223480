// SPDX-License-Identifier: BSD-2-Clause
// Breaks the kernel on request, so that tests see what a broken kernel says.
#pragma once

#include <string_view>

namespace lentil {

/// The word `panic_test=KIND` of the command line: `panic`, `fault` (a load from nowhere), `overflow` (endless
/// recursion), `write_text`, `execute_data`. Does not return if KIND is one of these.
void panic_test(std::string_view command_line);

} // namespace lentil

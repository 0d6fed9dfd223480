// SPDX-License-Identifier: BSD-2-Clause
// The kernel's command line: words that mean something to the kernel; the rest goes to init (KEY=VALUE as environment,
// other words as arguments), as on Linux.
#pragma once

#include <string_view>

namespace lentil {

/// Splits the line into words; double quotes keep blanks together and are taken off. Once, before anything else here.
void cmdline_init();
/// The value of the last `name=value` word; empty if there is none.
std::string_view cmdline_value(std::string_view name);
/// Whether `name` stands as a word of its own.
bool cmdline_has(std::string_view name);
/// Calls `visit` for each word in order, up to a lone "--" (then `after_dashes` is true).
void cmdline_for_each(void (*visit)(std::string_view word, bool after_dashes, void* context), void* context);
/// Whether the kernel itself uses this word.
bool cmdline_is_kernels(std::string_view word);

} // namespace lentil

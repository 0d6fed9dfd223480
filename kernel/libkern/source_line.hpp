// SPDX-License-Identifier: BSD-2-Clause
// Where in the source something was called.
#pragma once

#include <cstdint>

namespace lentil {

/// std::source_location without the function's name: nobody prints that, and each name is a string in the image, with every
/// template argument spelled out. The caller's line, as a default argument: {__builtin_FILE(), __builtin_LINE()}, in these
/// words. A function that wraps them would give its own line, or that of the default argument.
struct SourceLine {
    const char* file = "";
    uint32_t line = 0;
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// panic() and ASSERT. Declared here so that every layer may use them; defined by debug/ in the kernel and by the test
// runner on the host (where it fails the test case).
#pragma once

#include <string_view>

#include <libkern/source_line.hpp>

namespace lentil {

/// Stops the machine with a report. For broken invariants of the kernel only: a user's mistake is an Errno, a user's
/// fault a signal.
[[noreturn]] void panic(std::string_view reason, SourceLine where = {__builtin_FILE(), __builtin_LINE()});

#define ASSERT(...)                                                                                                    \
    do {                                                                                                               \
        if (!(__VA_ARGS__)) [[unlikely]]                                                                               \
            ::lentil::panic("assertion failed: " #__VA_ARGS__);                                                        \
    } while (0)

/// Checked only where LENTIL_CHECKS is set: for what costs too much on a hot path.
#if defined(LENTIL_CHECKS)
#define DEBUG_ASSERT(...) ASSERT(__VA_ARGS__)
inline constexpr bool checks_enabled = true;
#else
#define DEBUG_ASSERT(...)                                                                                              \
    do {                                                                                                               \
    } while (0)
inline constexpr bool checks_enabled = false;
#endif

/// Unwraps a Result that cannot fail here; the call's comment says why.
#define MUST(...)                                                                                                      \
    ({                                                                                                                 \
        auto must_result_ = (__VA_ARGS__);                                                                             \
        ASSERT(must_result_.has_value());                                                                              \
        ::lentil::detail::take(std::move(must_result_));                                                               \
    })

} // namespace lentil

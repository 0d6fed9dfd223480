// SPDX-License-Identifier: BSD-2-Clause
// What the kernel's lowest layer expects of whoever hosts it, for test programs: panic() becomes an exception.
#pragma once

#include <string>

/// Thrown by lentil::panic(), so that a test can say `CHECK_THROWS_AS(..., Panicked)`; uncaught, it fails the test case.
struct Panicked {
    std::string reason;
};

/// What kprint() wrote since the last call.
std::string take_console();

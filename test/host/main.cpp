// SPDX-License-Identifier: BSD-2-Clause
// doctest's main for every host test program.
// Signals are the address sanitizer's, and the simulated machine's (arch/host/memory.cpp).
#define DOCTEST_CONFIG_NO_POSIX_SIGNALS
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

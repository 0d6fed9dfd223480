// SPDX-License-Identifier: BSD-2-Clause
// doctest's main for every host test program.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

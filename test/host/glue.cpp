// SPDX-License-Identifier: BSD-2-Clause
// Host definitions of panic(), kprint() and Boost's assertion handler.
#include "glue.hpp"

#include <doctest/doctest.h>
#include <utility>

#include <libkern/assert.hpp>
#include <libkern/format.hpp>

static std::string console;

std::string take_console() { return std::exchange(console, {}); }

namespace lentil {

void panic(std::string_view reason, SourceLine where) {
    throw Panicked{std::string(reason) + " at " + where.file + ":" + std::to_string(where.line)};
}

void vkprint(std::string_view format, std::span<const FormatArg> args) {
    vformat({[](void*, std::string_view piece) { console += piece; }, nullptr}, format, args);
}

} // namespace lentil

namespace boost {
void assertion_failed(char const* expression, char const*, char const*, long) { lentil::panic(expression); }
} // namespace boost

REGISTER_EXCEPTION_TRANSLATOR(const Panicked& panicked) { return ("panic: " + panicked.reason).c_str(); }

// SPDX-License-Identifier: BSD-2-Clause
// What a panic says about the machine: cause in words, registers by name, a walk along the frame pointers.
#pragma once

#include <source_location>
#include <string_view>

#include <machine/machine.hpp>

namespace lentil::machine {

/// Ends the machine with a report about the trap that `frame` describes.
[[noreturn]] void panic_trap(Trapframe& frame, std::string_view reason,
                             std::source_location where = std::source_location::current());

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// The instructions that a signal handler returns to. exec maps them at VmMap::layout.vdso. Debuggers and unwinders know
// a signal frame by exactly these two.
#include <bsd/signal.hpp>

namespace lentil {

namespace {
constexpr uint8_t code[] = {
    0x93, 0x08, 0xb0, 0x08, // li a7, 139 (rt_sigreturn)
    0x73, 0x00, 0x00, 0x00, // ecall
};
}

std::span<const uint8_t> signal_trampoline() { return code; }

} // namespace lentil

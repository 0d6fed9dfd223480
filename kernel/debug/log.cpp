// SPDX-License-Identifier: BSD-2-Clause
// The kernel's log: everything that kprint writes.
#include <libkern/format.hpp>
#include <riscv/sbi.hpp>

namespace lentil {

void vkprint(std::string_view format, std::span<const FormatArg> args) {
    vformat({[](void*, std::string_view piece) { sbi::console_write(piece); }, nullptr}, format, args);
}

} // namespace lentil

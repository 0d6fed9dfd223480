// SPDX-License-Identifier: BSD-2-Clause
// Names of the kernel's functions, for backtraces. The table is made from the linked kernel by scripts/ksyms.py.
#pragma once

#include <span>
#include <string_view>

#include <libkern/types.hpp>

namespace lentil {

struct Symbol {
    std::string_view name; ///< "?" if the address is in no function
    uint64_t offset = 0;   ///< of the address from the function's start
};

/// The name is written to `room`, as far as it fits.
Symbol symbol_of(vaddr_t address, std::span<char> room = {});

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Protection bits of a mapping.
#pragma once

#include <cstdint>

namespace lentil::machine {

/// What a mapping allows; also what an access asks for.
enum class Prot : uint32_t { none = 0, read = 1, write = 2, exec = 4 };
constexpr Prot operator|(Prot a, Prot b) {
    return static_cast<Prot>(static_cast<uint32_t>(a) | static_cast<uint32_t>(b));
}
constexpr Prot operator&(Prot a, Prot b) {
    return static_cast<Prot>(static_cast<uint32_t>(a) & static_cast<uint32_t>(b));
}
constexpr Prot operator~(Prot a) { return static_cast<Prot>(~static_cast<uint32_t>(a) & 7); }
constexpr bool has(Prot set, Prot bit) { return (set & bit) == bit; }

} // namespace lentil::machine

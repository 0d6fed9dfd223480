// SPDX-License-Identifier: BSD-2-Clause
// What the writing and the replay of the log share.
#pragma once

#include <cstdint>

namespace lentil::ext4 {

// By hand: without the bit-manipulation extension the built-in ones are calls to a library.
constexpr uint16_t be16(uint16_t v) { return static_cast<uint16_t>(v << 8 | v >> 8); }
constexpr uint32_t be32(uint32_t v) { return v << 24 | (v & 0xff00) << 8 | (v >> 8 & 0xff00) | v >> 24; }
constexpr uint64_t be64(uint64_t v) {
    return uint64_t{be32(static_cast<uint32_t>(v))} << 32 | be32(static_cast<uint32_t>(v >> 32));
}

} // namespace lentil::ext4

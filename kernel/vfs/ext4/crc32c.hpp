// SPDX-License-Identifier: BSD-2-Clause
// CRC-32C (Castagnoli), as ext4's metadata and its journal use it: no inversion at either end.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lentil::ext4 {

uint32_t crc32c(uint32_t crc, const void* data, size_t n);

} // namespace lentil::ext4

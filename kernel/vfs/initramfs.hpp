// SPDX-License-Identifier: BSD-2-Clause
// The initial file system: a cpio archive in memory, unpacked into the root.
#pragma once

#include <span>

#include <libkern/result.hpp>

namespace lentil {

struct InitramfsCounts {
    uint64_t entries = 0, bytes = 0;
};

/// Unpacks `archive` into the first root. On an error what came before it stays, and `message` has a text for the console
/// (cut off to it, no terminator; its length in `message_length`).
Result<InitramfsCounts> initramfs_unpack(std::span<const uint8_t> archive, std::span<char> message,
                                         size_t& message_length);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Inode numbers of files that no file system has: pipes, eventfds.
#pragma once

#include <libkern/types.hpp>

namespace lentil {

inline constexpr uint64_t anonymous_device = 0xffe; ///< st_dev of all of them
/// A number never given before.
uint64_t anonymous_inode();

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// eventfd: a counter to wait for.
#pragma once

#include <bsd/file.hpp>

namespace lentil {

/// eventfd2 without the descriptor. `flags`: nonblock. With `semaphore` a read takes one, else all.
Result<RefPtr<File>> eventfd_create(uint64_t initial, uint32_t flags, bool semaphore);

} // namespace lentil

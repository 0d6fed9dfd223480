// SPDX-License-Identifier: BSD-2-Clause
// eventfd(2): a counter that can be waited for.
#pragma once

#include <bsd/file.hpp>

namespace lentil {

/// `flags`: open_flags::nonblock. With `semaphore` a read takes one, else all.
Result<RefPtr<File>> eventfd_create(uint64_t initial, bool semaphore, uint32_t flags);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Disks and partitions as files: /dev/vda, /dev/vda1.
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

/// The volume of that number as an open file: nxio. Its contents go through a cache of their own: changes made here while the
/// volume is mounted are not seen by the file system, and the reverse.
Result<RefPtr<File>> block_open(Vnode& node, uint64_t number, uint32_t flags);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Open regular files and directories: a position over a vnode.
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

/// Opens `node` as itself; what Vnode::open of files and directories returns. nomem.
Result<RefPtr<File>> vnode_file_open(Vnode& node, uint32_t flags);
/// An O_PATH descriptor: names the node, does nothing with it.
Result<RefPtr<File>> path_file_open(Vnode& node, uint32_t flags);
/// The name of a mapped file for /proc/PID/maps. nomem.
Result<RefPtr<MappedFile>> mapped_file_of(Vnode& node);

} // namespace lentil

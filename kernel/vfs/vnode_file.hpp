// SPDX-License-Identifier: BSD-2-Clause
// Open regular files and directories: a position over a vnode.
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

/// Opens `node` as itself; what Vnode::open of files and directories returns. nomem.
Result<RefPtr<File>> vnode_file_open(Vnode& node, uint32_t flags);
/// An O_PATH descriptor: names the node, does nothing with it.
Result<RefPtr<File>> path_file_open(Vnode& node, uint32_t flags);
/// fallocate(2), modes as Linux 6.12 checks them: badf, inval, opnotsupp, fbig, spipe, isdir, nodev, and the node's own.
Result<void> vnode_file_allocate(File& file, uint32_t mode, off_t offset, off_t length);
/// The name of a mapped file for /proc/PID/maps. nomem.
Result<RefPtr<MappedFile>> mapped_file_of(Vnode& node);

} // namespace lentil

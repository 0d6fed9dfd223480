// SPDX-License-Identifier: BSD-2-Clause
// Shared by the parts of vfs.hpp's implementation.
#pragma once

#include <vfs/vfs.hpp>

namespace lentil::vfs {

/// Makes `at.name` in `at.parent`, which has no such entry: checks permission, applies the umask and the directory's
/// set-gid rule.
Result<RefPtr<Vnode>> create_node(const VfsContext& context, const Located& at, VnodeType type, mode_t mode,
                                  uint64_t rdevice = 0, std::string_view target = {});

} // namespace lentil::vfs

// SPDX-License-Identifier: BSD-2-Clause
// Regular files of tmpfs.
#pragma once

#include <vfs/tmpfs.hpp>

namespace lentil {

Result<RefPtr<TmpfsNode>> tmpfs_make_file(TmpfsMount& fs, const Vnode::NewNode& fresh);

} // namespace lentil

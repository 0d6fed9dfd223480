// SPDX-License-Identifier: BSD-2-Clause
// Regular files of tmpfs.
#pragma once

#include <vfs/tmpfs.hpp>

namespace lentil {

/// Nobody can add seals (file_seals::seal is there) until set_first_seals.
Result<RefPtr<TmpfsNode>> tmpfs_make_file(TmpfsMount& fs, const Vnode::NewNode& fresh);
/// Which seals a regular file of a tmpfs begins with; before anybody sees it.
void tmpfs_set_first_seals(Vnode& file, uint32_t seals);

} // namespace lentil

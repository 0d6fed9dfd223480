// SPDX-License-Identifier: BSD-2-Clause
// Regular files of tmpfs.
#pragma once

#include <vfs/tmpfs.hpp>

namespace lentil {

/// Nobody can add seals (file_seals::seal is there) unless it becomes a memfd.
Result<RefPtr<TmpfsNode>> tmpfs_make_file(TmpfsMount& fs, const Vnode::NewNode& fresh);
/// Which seals a regular file of a tmpfs begins with, and what it is shown as; before anybody sees it.
void tmpfs_become_memfd(Vnode& file, uint32_t seals, Buffer<char> shown_as);

} // namespace lentil

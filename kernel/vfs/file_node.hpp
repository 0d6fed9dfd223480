// SPDX-License-Identifier: BSD-2-Clause
// A node for an open file that has none (a pipe): where /proc/PID/fd/N leads.
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

/// `mount` is the one of the link. Opening the node opens the file again (File::reopen). nomem.
Result<RefPtr<Vnode>> file_node(Mount& mount, RefPtr<File> file);

} // namespace lentil

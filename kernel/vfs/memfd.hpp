// SPDX-License-Identifier: BSD-2-Clause
// memfd_create(2): files without a name, on a tmpfs that is mounted nowhere.
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

/// A new empty file with these seals (file_seals), open for reading and writing; /proc shows it as "/memfd:NAME (deleted)".
/// nomem.
Result<RefPtr<File>> memfd_create(std::string_view name, bool executable, uint32_t seals);

} // namespace lentil

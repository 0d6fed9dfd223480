// SPDX-License-Identifier: BSD-2-Clause
// Permission checks on nodes (path_resolution(7)): file-system ids, groups, capabilities.
#pragma once

#include <vfs/vnode.hpp>

namespace lentil {

namespace may {
inline constexpr uint32_t exec = 1, write = 2, read = 4;
}

/// The same as check_access(), with a look at who asks.
Result<void> check_access_of(Vnode& node, const Cred& cred, uint32_t mask);
/// Whether `cred` may do `mask` with the node: acces.
inline Result<void> check_access(Vnode& node, const Cred& cred, uint32_t mask) {
    if (node.mode_at) { // what everybody may needs no look at who asks
        const uint32_t mode = node.mode_at->load(std::memory_order_relaxed);
        if ((mode >> 6 & mode >> 3 & mode & mask) == mask) [[likely]]
            return {};
    }
    return check_access_of(node, cred, mask);
}
/// The same with the real ids (access(2)).
Result<void> check_access_real(Vnode& node, const Cred& cred, uint32_t mask);
/// Whether `cred` may change what only an owner may: perm.
Result<void> check_owner(Vnode& node, const Cred& cred);
/// Whether `cred` may remove or replace `victim` in `directory`: write permission and the sticky rule.
Result<void> check_delete(Vnode& directory, Vnode& victim, const Cred& cred);
/// rofs if the node's mount is read-only.
Result<void> check_writable(Vnode& node);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Bind mounts: a directory or file of a mounted file system, seen at another place too.
//
// A bind mount has nodes of its own, views: one for each node of the file system that somebody holds through it. A view
// passes everything on to the node, and is where the mount itself makes the difference: `mount` is the bind mount with its
// flags, what is mounted over a view is seen there alone, and its name and parent are those from the bind mount's root.
// So working directories, open files and walks need to know nothing of all this: `node.mount` is the mount that was used.
// What concerns the file rather than the place (names, watches, locks, sockets) asks for Vnode::real().
//
// Views are made by look-ups and go with their last user; the name cache knows none, so walks through bind mounts ask the
// file system for each name.
#pragma once

#include <vfs/mount.hpp>

namespace lentil {

/// A new mount that shows `node`, a node or a view of one, as its root; not attached yet. It has the flags of the node's
/// mount. nomem.
Result<RefPtr<Mount>> bind_mount_make(Vnode& node);
/// `real` as it is seen through `bind`, which bind_mount_make() made.
Result<RefPtr<Vnode>> bind_view(Mount& bind, RefPtr<Vnode> real);

} // namespace lentil

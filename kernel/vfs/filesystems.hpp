// SPDX-License-Identifier: BSD-2-Clause
// The file systems that the kernel has: how each is mounted.
#pragma once

#include <vfs/mount.hpp>

namespace lentil {

/// Options: size=, nr_inodes=, mode=, uid=, gid=.
Result<RefPtr<Mount>> tmpfs_mount(const MountRequest& request);
/// A tmpfs with a node for every registered device.
Result<RefPtr<Mount>> devfs_mount(const MountRequest& request);
/// Ptys of its own: their slaves, and ptmx. Options: uid=, gid=, mode=, ptmxmode=, max=; newinstance is what it does anyway.
Result<RefPtr<Mount>> devpts_mount(const MountRequest& request);
Result<RefPtr<Mount>> procfs_mount(const MountRequest& request);
Result<RefPtr<Mount>> sysfs_mount(const MountRequest& request);
/// A disk or partition by its path in /dev, its name, or PARTUUID= (vfs/ext4).
Result<RefPtr<Mount>> ext4_mount(const MountRequest& request);

/// All POSIX message queues (vfs/mqueue_fs.hpp).
Result<RefPtr<Mount>> mqueue_mount(const MountRequest& request);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The root file system and the first process.
#pragma once

namespace lentil {

/// Mounts the root, unpacks the initramfs, makes pid 1 and lets it run init. Without one of these the machine says why on
/// the console and powers off with a failure. May sleep: a kernel thread calls it.
void start_init();

} // namespace lentil

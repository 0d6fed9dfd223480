// SPDX-License-Identifier: BSD-2-Clause
// The mount table, for those who change it.
#pragma once

#include <sched/mutex.hpp>
#include <vfs/mount.hpp>

namespace lentil::mount_table {

extern SpinLock<Rank::mount> lock;
/// One change of the table at a time; what may sleep is done with this one alone, under which the table stays as it is.
extern Mutex<Rank::mount_change> change_lock;
extern Mount* first; ///< both locks to change it; each in the table has a reference for that

// With the change lock:
/// Puts `upper`, new or not, over `directory` and into the table if it is not there: inval if the directory is in a tree that
/// was detached; busy, noent.
Result<void> attach(Vnode& directory, Mount& upper);
inline bool is_on(const Mount& upper, const Mount& lower) { return upper.covered && upper.covered->mount == &lower; }
inline bool is_root(const Vnode& node) { return node.mount->root.get() == &node; }

} // namespace lentil::mount_table

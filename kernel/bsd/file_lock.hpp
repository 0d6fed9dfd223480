// SPDX-License-Identifier: BSD-2-Clause
// Advisory locks on files: POSIX record locks (fcntl), the same owned by open files (OFD), and flock.
#pragma once

#include <bsd/fdtable.hpp>

namespace lentil {

enum class LockType : uint32_t { read = 0, write = 1, unlock = 2 }; ///< F_RDLCK, F_WRLCK, F_UNLCK

/// flock's locks and record locks do not see each other.
enum class LockKind : uint32_t { record, whole };

struct LockRequest {
    LockKind kind = LockKind::record;
    LockType type = LockType::read;
    uint64_t start = 0, end = UINT64_MAX; ///< bytes, end included
    const void* owner = nullptr;          ///< the FdTable for POSIX locks, the File for OFD locks and flock
    pid_t pid = 0;                        ///< whom F_GETLK names; -1 for OFD locks
};

/// Sets or removes a lock on the node behind `file`. again if somebody else's is in the way and not `wait`; waiting ends
/// with restart_sys on a signal and deadlk where it could never end. nolck if there is no memory, inval without a node.
Result<void> file_lock_set(File& file, const LockRequest& request, bool wait);

/// The first lock in the way of `request`; type unlock if there is none.
LockRequest file_lock_test(File& file, const LockRequest& request);

struct HeldFileLock {
    LockRequest lock;
    RefPtr<FsNode> node;
};
/// The `index`th lock of all, for /proc; false past the end. No lock held.
bool file_lock_at(size_t index, HeldFileLock& out);

/// A descriptor for `file` in `table` was closed: the table's record locks on the node go (POSIX).
void file_locks_closed(FdTable& table, File& file);
/// `owner` is gone: so are all its locks.
void file_locks_forget(const void* owner);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The end of an open file.
#include <bsd/epoll.hpp>
#include <bsd/file.hpp>
#include <bsd/file_lock.hpp>
#include <bsd/kqueue.hpp>
#include <bsd/sigio.hpp>

namespace lentil {

constinit const ReadyWord ready_by_asking{-1};

Result<size_t> File::read_piece(vaddr_t to, size_t n) {
    const UioSegment segment{to, n};
    Uio uio{std::span(&segment, 1)};
    return read(uio);
}

Result<size_t> File::write_piece(vaddr_t from, size_t n) {
    const UioSegment segment{from, n};
    Uio uio{std::span(&segment, 1)};
    return write(uio);
}

void File::last_unref() {
    if (may_hold_locks.load(std::memory_order_relaxed) != 0)
        file_locks_forget(this);
    const uint32_t by = watched.load(std::memory_order_relaxed);
    if (by != 0) {
        if (by & watched_by_epoll)
            epoll_forget(*this);
        if (by & watched_by_kqueue)
            kqueue_forget(*this);
        if (by & has_owner)
            sigio_forget(*this);
    }
    if ((by & knows_its_name) || fs_watches.load(std::memory_order_relaxed) != 0) [[unlikely]]
        if (FsNode* const of = node())
            of->file_ended(*this);
    dispose();
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The end of an open file.
#include <bsd/epoll.hpp>
#include <bsd/file.hpp>
#include <bsd/file_lock.hpp>

namespace lentil {

void File::last_unref() {
    if (may_hold_locks.load(std::memory_order_relaxed) != 0)
        file_locks_forget(this);
    if (watched.load(std::memory_order_relaxed) != 0)
        epoll_forget(*this);
    dispose();
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// epoll(7): a set of files to watch, and the list of those that became ready.
#pragma once

#include <bsd/file.hpp>

namespace lentil {

/// Bits of an item's events beside poll_events; Linux values.
namespace epoll_events {
inline constexpr uint32_t exclusive = 1u << 28, wakeup = 1u << 29, one_shot = 1u << 30, edge = 1u << 31;
}

struct EpollResult {
    uint32_t events = 0;
    uint64_t data = 0;
};

enum class EpollOperation : uint32_t { add = 1, remove = 2, modify = 3 };

Result<RefPtr<File>> epoll_create();
/// inval if `epoll` is no epoll or `file` is it; exist, noent, perm (files that are always ready), loop, nomem.
Result<void> epoll_control(File& epoll, EpollOperation operation, File& file, int fd, uint32_t events, uint64_t data);
/// Waits until something is ready; how many of `out` were filled. 0 at the deadline, restart_nohand on a signal.
Result<size_t> epoll_wait(File& epoll, std::span<EpollResult> out, nanos_t deadline_ns);

/// The open file ends: no epoll watches it any more.
void epoll_forget(File& file);

} // namespace lentil

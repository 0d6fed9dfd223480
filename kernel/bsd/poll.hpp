// SPDX-License-Identifier: BSD-2-Clause
// Waiting for one of several files: what ppoll, pselect6 and epoll have in common.
#pragma once

#include <span>

#include <bsd/fdtable.hpp>

namespace lentil {

/// One file to watch. `events` are poll_events; `revents` what was found.
struct PollItem {
    FileHold file; ///< nullptr: skipped, `revents` stays as it is and counts if not 0
    uint32_t events = 0;
    uint32_t revents = 0;
};

/// Sleeps until at least one item has events, the deadline passes (0 items ready) or a signal comes (restart_nohand).
/// Returns how many have events. A deadline in the past only looks. nomem.
Result<unsigned> poll_files(std::span<PollItem> items, nanos_t deadline_ns);

} // namespace lentil

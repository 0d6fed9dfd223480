// SPDX-License-Identifier: BSD-2-Clause
// The queues behind a pending set. Knows no process.
#pragma once

#include <bsd/signal.hpp>

namespace lentil {

enum class Enqueued : uint32_t {
    added,
    coalesced, ///< a standard signal that was pending already
    bare,      ///< pending, but without its information: no memory, or over the limit
    refused    ///< a real-time signal of sigqueue that would lose its information: nothing changed
};

/// Puts `info` behind `pending`. `count` is how many entries the owner has queued, `limit` how many it may (signals that the
/// kernel itself generates are exempt from it).
Enqueued pending_add(Pending& pending, uint32_t& count, const SigInfo& info, uint64_t limit);
/// Takes the oldest `signo`; the bit goes with the last one.
SigInfo pending_take(Pending& pending, uint32_t& count, int signo);
/// Drops all signals of `set`.
void pending_drop(Pending& pending, uint32_t& count, SigSet set);

} // namespace lentil

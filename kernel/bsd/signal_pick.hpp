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

/// Whose queues grow, and how long they may get together. nullptr: nobody's, without limit.
struct SignalQuota {
    std::atomic<uint32_t>* count = nullptr;
    uint64_t limit = ~uint64_t{0};
};

/// Signals that the kernel itself generates count, but are exempt from the limit.
constexpr bool is_exempt(const SigInfo& info) { return !is_real_time(info.signo) && info.code >= 0; }
/// Puts `info` behind `pending`.
Enqueued pending_add(Pending& pending, const SignalQuota& quota, const SigInfo& info);
/// Takes the oldest `signo` into `info`; the bit goes with the last one.
void pending_take(Pending& pending, int signo, SigInfo& info);
/// Drops all signals of `set`.
void pending_drop(Pending& pending, SigSet set);
/// Takes an entry that belongs to somebody out of its queue without telling anyone.
void pending_remove(Pending& pending, QueuedSignal& entry);

} // namespace lentil

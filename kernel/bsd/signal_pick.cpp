// SPDX-License-Identifier: BSD-2-Clause
// Pending sets and their queues.
#include <bsd/signal_pick.hpp>

namespace lentil {

namespace {

/// `entry` left its queue: back to its owner, or gone.
void leave(QueuedSignal& entry, SigInfo* taken) {
    if (entry.charged)
        entry.charged->fetch_sub(1, std::memory_order_release);
    if (entry.left)
        entry.left(entry, taken);
    else
        zone_delete(&entry);
}

} // namespace

Pending::~Pending() { pending_drop(*this, SigSet{~uint64_t{0}}); }

void ProcSignals::renew() {
    pending_drop(shared, SigSet{~uint64_t{0}});
    group_exit = kill_repeated = stopping = stopped = stop_unreported = continued_unreported = false;
    group_exit_status = stop_signal = 0;
    exec_survivor = nullptr;
}

void UthreadSignals::renew() {
    pending_drop(pending, SigSet{~uint64_t{0}});
    mask = saved_mask = waiting_for = {};
    has_saved_mask = stopped = false;
    altstack_base = altstack_size = 0;
    altstack_flags = 2;
}

Enqueued pending_add(Pending& pending, const SignalQuota& quota, const SigInfo& info) {
    const int signo = info.signo;
    if (!is_real_time(signo) && pending.set.has(signo))
        return Enqueued::coalesced;
    const bool exempt = is_exempt(info);
    QueuedSignal* entry = nullptr;
    const uint32_t before = quota.count ? quota.count->fetch_add(1, std::memory_order_relaxed) : 0;
    if (exempt || before < quota.limit)
        if (auto fresh = zone_new<QueuedSignal>(); fresh.ok())
            entry = *fresh;
    if (!entry) {
        if (quota.count)
            quota.count->fetch_sub(1, std::memory_order_relaxed);
        if (is_real_time(signo) && info.code != si_code::user && info.code != si_code::kernel)
            return Enqueued::refused;
        pending.set.add(signo);
        return Enqueued::bare;
    }
    entry->info = info;
    entry->charged = quota.count;
    pending.queue.push_back(*entry);
    pending.set.add(signo);
    return Enqueued::added;
}

void pending_take(Pending& pending, int signo, SigInfo& info) {
    // Mostly it is all that pends.
    if (const auto first = pending.queue.begin(); pending.set == SigSet::of(signo) && first != pending.queue.end() &&
                                                  std::next(first) == pending.queue.end()) [[likely]] {
        QueuedSignal& entry = *first;
        pending.set = {};
        info = entry.info;
        pending.queue.erase(first);
        return leave(entry, &info);
    }
    QueuedSignal* oldest = nullptr;
    bool more = false;
    for (QueuedSignal& entry : pending.queue) {
        if (entry.info.signo != signo)
            continue;
        if (oldest) {
            more = true;
            break;
        }
        oldest = &entry;
    }
    if (!more)
        pending.set.remove(signo);
    if (!oldest) {
        info = {.signo = signo}; // lost its information: as if sent by nobody
        return;
    }
    info = oldest->info;
    pending.queue.erase(pending.queue.iterator_to(*oldest));
    leave(*oldest, &info);
}

void pending_drop(Pending& pending, SigSet set) {
    if ((pending.set & set).empty())
        return;
    pending.set = pending.set & ~set;
    for (auto it = pending.queue.begin(); it != pending.queue.end();) {
        QueuedSignal& entry = *it;
        if (!set.has(entry.info.signo)) {
            ++it;
            continue;
        }
        it = pending.queue.erase(it);
        leave(entry, nullptr);
    }
}

void pending_remove(Pending& pending, QueuedSignal& entry) {
    pending.queue.erase(pending.queue.iterator_to(entry));
    for (const QueuedSignal& other : pending.queue)
        if (other.info.signo == entry.info.signo)
            return;
    pending.set.remove(entry.info.signo);
}

} // namespace lentil

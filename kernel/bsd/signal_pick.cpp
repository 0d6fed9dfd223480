// SPDX-License-Identifier: BSD-2-Clause
// Pending sets and their queues.
#include <bsd/signal_pick.hpp>

namespace lentil {

Pending::~Pending() {
    uint32_t count = ~uint32_t{0};
    pending_drop(*this, count, SigSet{~uint64_t{0}});
}

Enqueued pending_add(Pending& pending, uint32_t& count, const SigInfo& info, uint64_t limit) {
    const int signo = info.signo;
    if (!is_real_time(signo) && pending.set.has(signo))
        return Enqueued::coalesced;
    const bool exempt = !is_real_time(signo) && info.code >= 0;
    QueuedSignal* entry = nullptr;
    if (exempt || count < limit)
        if (auto fresh = zone_new<QueuedSignal>(); fresh.ok())
            entry = *fresh;
    if (!entry) {
        if (is_real_time(signo) && info.code != si_code::user && info.code != si_code::kernel)
            return Enqueued::refused;
        pending.set.add(signo);
        return Enqueued::bare;
    }
    entry->info = info;
    pending.queue.push_back(*entry);
    count++;
    pending.set.add(signo);
    return Enqueued::added;
}

SigInfo pending_take(Pending& pending, uint32_t& count, int signo) {
    SigInfo info{.signo = signo}; // what is known of one that lost its information: as if sent by nobody
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
    if (oldest) {
        info = oldest->info;
        pending.queue.erase(pending.queue.iterator_to(*oldest));
        zone_delete(oldest);
        count--;
    }
    if (!more)
        pending.set.remove(signo);
    return info;
}

void pending_drop(Pending& pending, uint32_t& count, SigSet set) {
    if ((pending.set & set).empty())
        return;
    for (auto it = pending.queue.begin(); it != pending.queue.end();) {
        QueuedSignal& entry = *it;
        if (!set.has(entry.info.signo)) {
            ++it;
            continue;
        }
        it = pending.queue.erase(it);
        zone_delete(&entry);
        count--;
    }
    pending.set = pending.set & ~set;
}

} // namespace lentil

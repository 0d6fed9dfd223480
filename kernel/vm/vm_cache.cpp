// SPDX-License-Identifier: BSD-2-Clause
// The list of all caches, and taking pages back from them in turn.
#include <algorithm>

#include <machine/machine.hpp>
#include <sched/clock.hpp>
#include <sched/waitq.hpp>
#include <vm/vm_cache.hpp>

namespace lentil {

struct VmCacheList {
    static constinit SpinLock<Rank::reclaim> lock;
    static constinit Dlist<VmCachedObject, &VmCachedObject::cache_link_> members;
};
constinit SpinLock<Rank::reclaim> VmCacheList::lock;
constinit Dlist<VmCachedObject, &VmCachedObject::cache_link_> VmCacheList::members;

VmCachedObject::VmCachedObject() {
    SpinGuard guard(VmCacheList::lock);
    VmCacheList::members.push_back(*this);
}

VmCachedObject::~VmCachedObject() {
    SpinGuard guard(VmCacheList::lock);
    VmCacheList::members.erase(*this);
}

size_t VmCachedObject::reclaim_round(size_t want, bool hard) {
    constexpr unsigned most = 4096; // members a round; more are looked at by the next
    size_t got = 0;
    const VmCachedObject* first = nullptr;
    for (unsigned i = 0; i < most && got < want; i++) {
        // The list's lock keeps the object: its destructor takes it too.
        SpinGuard guard(VmCacheList::lock);
        VmCachedObject* object = VmCacheList::members.pop_front();
        if (!object)
            break;
        VmCacheList::members.push_back(*object);
        if (object == first)
            break;
        if (!first)
            first = object;
        got += object->drop_unused(want - got, hard);
    }
    return got;
}

namespace {
constinit Waitq asked_waitq, ended_waitq;
constinit std::atomic<uint32_t> helper_there{0}, asked{0}, rounds{0}, freed_last{0};
constexpr nanos_t patience_ns = 3'000'000'000; // the helper may wait for a lock that the asker has
} // namespace

bool VmCachedObject::ask_for_room() {
    if (helper_there.load(std::memory_order_acquire) == 0)
        return false;
    const uint32_t seen = rounds.load(std::memory_order_acquire);
    asked.store(1, std::memory_order_release);
    asked_waitq.wake_all();
    (void)wait_until(
        ended_waitq, "memory", [&] { return rounds.load(std::memory_order_acquire) != seen; }, Interruptible::killable,
        machine::now_ns() + patience_ns);
    return rounds.load(std::memory_order_acquire) != seen && freed_last.load(std::memory_order_relaxed) != 0;
}

bool VmCachedObject::wait_until_asked(nanos_t deadline_ns) {
    helper_there.store(1, std::memory_order_release);
    (void)wait_until(
        asked_waitq, "flusher", [] { return asked.load(std::memory_order_acquire) != 0; }, Interruptible::no,
        deadline_ns);
    return asked.exchange(0, std::memory_order_acq_rel) != 0;
}

void VmCachedObject::round_ended(size_t freed) {
    freed_last.store(static_cast<uint32_t>(std::min<size_t>(freed, UINT32_MAX)), std::memory_order_relaxed);
    rounds.fetch_add(1, std::memory_order_release);
    ended_waitq.wake_all();
}

size_t VmCachedObject::reclaim_mapped(size_t want) {
    constexpr unsigned most = 256;
    size_t got = reclaim(want);
    for (unsigned i = 0; i < most && got < want; i++) {
        RefPtr<VmCachedObject> object;
        {
            SpinGuard guard(VmCacheList::lock);
            VmCachedObject* first = VmCacheList::members.pop_front();
            if (!first)
                break;
            VmCacheList::members.push_back(*first);
            if (first->resident_pages() != 0 && first->try_ref()) // else it is on its way out
                object = RefPtr<VmCachedObject>::adopt(first);
        }
        if (!object)
            continue;
        forget_mappings(*object);
        got += object->drop_unused(want - got, true);
    }
    return got;
}

uint64_t VmCachedObject::pages_of_all() {
    SpinGuard guard(VmCacheList::lock);
    uint64_t pages = 0;
    for (VmCachedObject* object = VmCacheList::members.first(); object; object = VmCacheList::members.next(*object))
        pages += object->resident_pages();
    return pages;
}

size_t VmCachedObject::reclaim(size_t want) {
    const size_t got = reclaim_round(want, false);
    return got < want ? got + reclaim_round(want - got, true) : got;
}

} // namespace lentil

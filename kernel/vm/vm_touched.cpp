// SPDX-License-Identifier: BSD-2-Clause
#include <cstring>
#include <utility>

#include <vm/vm_touched.hpp>

namespace lentil {

namespace {
constinit SpinLock<Rank::reclaim> list_lock;
constinit Dlist<TouchedPages, &TouchedPages::link> list;
} // namespace

void TouchedPages::begin_run() {
    if (++runs < most_runs)
        return;
    runs = faults = 0;
    std::memset(accessed, 0, sizeof accessed);
    std::memset(written, 0, sizeof written);
}

void TouchedPages::drop(VmObject& object) {
    SpinGuard guard(list_lock);
    TouchedPages* const its = object.touched_.load(std::memory_order_relaxed);
    if (!its) // it was given back just now
        return;
    list.erase(*its);
    object.touched_.store(nullptr, std::memory_order_relaxed);
    zone_delete(its);
}

void TouchedPages::give_back() {
    // The list's lock keeps each object: its destructor comes by here first.
    SpinGuard guard(list_lock);
    for (TouchedPages* at = list.first(); at;) {
        TouchedPages* const following = list.next(*at);
        if (const TryMutexGuard held(at->object->lock_); held) {
            list.erase(*at);
            at->object->touched_.store(nullptr, std::memory_order_relaxed);
            zone_delete(at);
        }
        at = following;
    }
}

void VmObject::image_begins() {
    if (size() <= page_size)
        return; // one fault brings all there is
    TouchedPages* fresh = nullptr;
    if (!is_image()) {
        const auto made = zone_new<TouchedPages>(*this);
        if (!made)
            return;
        fresh = *made;
    }
    {
        MutexGuard guard(lock_);
        if (TouchedPages* const its = touched_.load(std::memory_order_relaxed)) {
            its->begin_run();
        } else if (fresh) {
            SpinGuard spin(list_lock);
            list.push_back(*fresh);
            touched_.store(std::exchange(fresh, nullptr), std::memory_order_relaxed);
        }
    }
    if (fresh)
        zone_delete(fresh);
}

VmObject::Noted VmObject::note_touched(uint64_t index, bool written) {
    MutexGuard guard(lock_);
    TouchedPages* const its = touched_.load(std::memory_order_relaxed);
    if (!its || index >= TouchedPages::most_pages)
        return Noted::unknown;
    const bool known = its->has(index);
    its->note(index, written);
    if (!its->learning())
        return known ? Noted::known : Noted::unknown;
    if (++its->faults == TouchedPages::most_learned)
        its->runs = 1;
    return Noted::learning;
}

} // namespace lentil

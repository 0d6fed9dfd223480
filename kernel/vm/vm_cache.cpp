// SPDX-License-Identifier: BSD-2-Clause
// The list of all caches, and taking pages back from them in turn.
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

size_t VmCachedObject::reclaim(size_t want) {
    const size_t got = reclaim_round(want, false);
    return got < want ? got + reclaim_round(want - got, true) : got;
}

} // namespace lentil

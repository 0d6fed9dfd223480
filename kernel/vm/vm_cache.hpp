// SPDX-License-Identifier: BSD-2-Clause
// Memory objects whose clean pages can be had back: caches of files on a disk.
#pragma once

#include <libkern/dlist.hpp>
#include <vm/vm_object.hpp>

namespace lentil {

class VmCachedObject : public VmObject {
public:
    VmCachedObject();
    ~VmCachedObject() override; ///< the derived destructor has called drop_all

    /// Frees up to `want` pages of any cache: those not used lately first. Never sleeps; callable with any lock below
    /// Rank::reclaim. Returns how many.
    static size_t reclaim(size_t want);
    /// The pages of all caches together. Looks at every cache.
    static uint64_t pages_of_all();

    // Pages that are mapped, or dirty, go only with the help of a thread that writes what is dirty.
    /// For a thread that found no memory, without spin locks: waits for a round of that thread. True: it freed something.
    static bool ask_for_room();
    /// That thread: sleeps until the time, or until it is asked (true: then it owes a round).
    static bool wait_until_asked(nanos_t deadline_ns);
    /// Takes the mappings of clean pages away, which come back by faults, and frees up to `want` pages. No lock of
    /// Rank::vm_map or above is held.
    static size_t reclaim_mapped(size_t want);
    /// The round that was asked for is over.
    static void round_ended(size_t freed);

private:
    static size_t reclaim_round(size_t want, bool hard);
    DlistLinks<VmCachedObject> cache_link_;
    friend struct VmCacheList;
};

/// Takes all translations of shared mappings away; faults bring them back. No lock of Rank::vm_map or above is held.
void forget_mappings(VmObject& object);
/// The pages [first, last] read as zeros from here on, in every shared mapping too: they go, or where someone holds one it is
/// cleared. A cache has forgotten before where they lay on its disk. The caller holds off set_size, and holds no lock of
/// Rank::vm_map or above.
void punch_pages(VmObject& object, uint64_t first, uint64_t last);

} // namespace lentil

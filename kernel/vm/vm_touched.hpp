// SPDX-License-Identifier: BSD-2-Clause
// Which pages of a program or a library its last runs needed, so that the next one has them with its first fault. A hint by
// page number: what is in the file now is what gets mapped, and a wrong bit costs a mapping or a fault.
#pragma once

#include <libkern/dlist.hpp>
#include <vm/vm_object.hpp>

namespace lentil {

/// Belongs to the object, under its lock; memory pressure takes it. Two sets of bits: pages that were accessed, and those of
/// them that a private mapping wrote to.
struct TouchedPages {
    static constexpr uint64_t most_pages = 4096; ///< what lies behind them is not noted
    static constexpr uint32_t most_runs = 64;    ///< then all is forgotten, and learned anew
    static constexpr uint32_t most_learned =
        512; ///< faults of a run that learns, without neighbours: then it has enough

    VmObject* object;
    DlistLinks<TouchedPages> link; ///< all of them
    uint32_t words;                ///< of each set
    uint32_t runs = 0;
    uint32_t faults = 0; ///< noted since `runs` was 0
    uint64_t bits[];     ///< accessed, then written

    bool learning() const { return runs == 0; }
    static constexpr size_t bytes(uint32_t words) { return sizeof(TouchedPages) + 2 * words * sizeof(uint64_t); }

    /// One for `object`, empty and in the list; nullptr without memory. No lock of Rank::reclaim or above is held.
    static TouchedPages* create(VmObject& object);
    void begin_run();
    void note(uint64_t index, bool written) {
        bits[index / 64] |= uint64_t{1} << index % 64;
        if (written)
            bits[words + index / 64] |= uint64_t{1} << index % 64;
    }
    bool has(uint64_t index) const { return bits[index / 64] >> index % 64 & 1; }

    /// The object ends: its own goes with it.
    static void drop(VmObject& object);
    /// Frees all whose objects are not in use just now. Never sleeps; callable with any lock below Rank::reclaim.
    static void give_back();
};

} // namespace lentil

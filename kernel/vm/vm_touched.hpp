// SPDX-License-Identifier: BSD-2-Clause
// Which pages of a program or a library its last runs needed, so that the next one has them with its first fault. A hint by
// page number: what is in the file now is what gets mapped, and a wrong bit costs a mapping or a fault.
#pragma once

#include <libkern/dlist.hpp>
#include <vm/vm_object.hpp>

namespace lentil {

/// visit(i) for each bit i of a word, from the lowest on.
template<class F>
void for_each_bit(uint64_t bits, F visit) {
    for (unsigned i = 0; bits != 0;) {
        const unsigned skip = (bits & 0xff) == 0 ? 8 : (bits & 0xf) == 0 ? 4 : (bits & 3) == 0 ? 2 : 1;
        if (bits & 1)
            visit(i);
        bits >>= skip;
        i += skip;
    }
}

/// Belongs to the object, under its lock; memory pressure takes it. Two sets of bits: pages that were accessed, and those of
/// them that a private mapping wrote to.
struct TouchedPages {
    static constexpr const char* zone_name = "touched_pages";
    static constexpr uint64_t most_pages = 1024; ///< what lies behind them is not noted
    static constexpr unsigned words = most_pages / 64;
    static constexpr uint32_t most_runs = 64; ///< then all is forgotten
    /// Faults of a run that learns, each of which brings one page: then it has learned.
    static constexpr uint32_t most_learned = 512;

    VmObject* object;
    DlistLinks<TouchedPages> link; ///< all of them
    uint32_t runs = 0;
    uint32_t faults = 0; ///< noted since `runs` was 0
    uint64_t accessed[words] = {}, written[words] = {};

    explicit TouchedPages(VmObject& its) : object(&its) {}
    bool learning() const { return runs == 0; }
    void begin_run();
    void note(uint64_t index, bool writes) {
        accessed[index / 64] |= uint64_t{1} << index % 64;
        if (writes)
            written[index / 64] |= uint64_t{1} << index % 64;
    }
    bool has(uint64_t index) const { return accessed[index / 64] >> index % 64 & 1; }

    /// The object ends: its own goes with it.
    static void drop(VmObject& object);
    /// Frees all whose objects are not in use just now. Never sleeps; callable with any lock below Rank::reclaim.
    static void give_back();
};

} // namespace lentil

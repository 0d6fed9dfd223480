// SPDX-License-Identifier: BSD-2-Clause
// Filling a map that nobody runs in yet: exec's.
#pragma once

#include <vm/vm_map.hpp>

namespace lentil {

/// What is to be mapped privately at a fixed place; whoever asks keeps the object and the file meanwhile.
struct NewMapping {
    vaddr_t start, end; ///< page-aligned
    Prot prot;
    EntryKind kind = EntryKind::plain;
    bool grows_down = false;
    VmObject* object = nullptr; ///< nullptr: anonymous
    uint64_t offset = 0;        ///< page-aligned
    MappedFile* file = nullptr;
};
/// VmMap::map() of that, for a map that nobody else changes; best from below: behind all that there is, nothing is looked up.
/// Fails as that does.
Result<void> map_in_new(VmMap& map, const NewMapping& mapping);

/// The page at `va`, if it is of a file's code and can be had.
void bring_code_in_new(VmMap& map, vaddr_t va);

/// A private mapping of a file goes on to the end of the page that holds `at`, which is not its first byte, with zeros of its
/// own. nomem, also for what cannot be read.
Result<void> cut_off_in_new(VmMap& map, vaddr_t at);

} // namespace lentil

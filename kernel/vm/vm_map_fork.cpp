// SPDX-License-Identifier: BSD-2-Clause
// The copy of a map that fork makes.
#include <vm/vm_map_internal.hpp>

namespace lentil {

Result<RefPtr<VmMap>> VmMap::fork() {
    using I = VmMapInternals;
    RefPtr<VmMap> child = TRY(create());
    const Result<void> result = [&]() -> Result<void> {
        MutexGuard guard(lock_);
        // The child can be found through the objects that it maps from the first entry on.
        MutexGuard child_guard(child->lock_, Nesting::yes);
        child->layout = layout;
        child->size_limit.store(size_limit.load(std::memory_order_relaxed), std::memory_order_relaxed);
        child->stack_limit.store(stack_limit.load(std::memory_order_relaxed), std::memory_order_relaxed);
        bool parts = false; // the child gets not all that is mapped
        for (VmMapEntry& entry : entries_) {
            parts = parts || entry.dont_fork || entry.wipe_on_fork;
            if (entry.dont_fork)
                continue;
            VmMapEntry* copy = TRY(I::new_entry(*child));
            I::copy_attributes(*copy, entry);
            copy->start = entry.start;
            copy->end = entry.end;
            copy->offset = entry.offset;
            I::append(*child, copy, &entry);
        }
        TRY(pmap_.fork_to(child->pmap_));
        if (!parts)
            return {};
        for (const VmMapEntry& entry : entries_) {
            if (!entry.dont_fork && !entry.wipe_on_fork)
                continue;
            TRY(child->pmap_.prepare_remove(entry.start, entry.end));
            child->pmap_.remove(entry.start, entry.end);
        }
        return {};
    }();
    if (!result)
        return result.error(); // the child drops what it got
    return child;
}

} // namespace lentil

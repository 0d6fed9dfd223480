// SPDX-License-Identifier: BSD-2-Clause
// The copy of a map that fork makes.
#include <vm/vm_map_internal.hpp>

namespace lentil {

Result<RefPtr<VmMap>> VmMap::fork() {
    using I = VmMapInternals;
    RefPtr<VmMap> child = TRY(create());
    Result<void> result;
    {
        MutexGuard guard(lock_);
        // The child can be found through the objects that it maps from the first entry on.
        MutexGuard child_guard(child->lock_, Nesting::yes);
        child->layout = layout;
        child->size_limit.store(size_limit.load(std::memory_order_relaxed), std::memory_order_relaxed);
        child->stack_limit.store(stack_limit.load(std::memory_order_relaxed), std::memory_order_relaxed);
        for (VmMapEntry& entry : entries_) {
            if (entry.dont_fork)
                continue;
            auto copy = I::new_entry(*child);
            if (!copy) {
                result = copy.error();
                break;
            }
            I::copy_attributes(**copy, entry);
            (*copy)->start = entry.start;
            (*copy)->end = entry.end;
            (*copy)->offset = entry.offset;
            I::insert(*child, *copy, &entry);
            if (entry.wipe_on_fork)
                continue;
            result = pmap_.copy_to(child->pmap_, entry.start, entry.end, !entry.shared);
            if (!result)
                break;
        }
        pmap_.finish_copy();
    }
    if (!result)
        return result.error(); // the child drops what it got
    return child;
}

} // namespace lentil

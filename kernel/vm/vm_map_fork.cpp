// SPDX-License-Identifier: BSD-2-Clause
// The copy of a map that fork makes.
#include <vm/pmap_internal.hpp>
#include <vm/vm_map_internal.hpp>

namespace lentil {

using machine::has;

Result<RefPtr<VmMap>> VmMap::fork() {
    using I = VmMapInternals;
    RefPtr<VmMap> child = TRY(make_ref<VmMap>());
    TRY(child->pmap_.init());
    VmSharer& in_child = child->sharers_[0];
    const Result<void> result = [&]() -> Result<void> {
        MutexGuard guard(lock_);
        child->layout = layout;
        child->size_limit.store(size_limit.load(std::memory_order_relaxed), std::memory_order_relaxed);
        child->stack_limit.store(stack_limit.load(std::memory_order_relaxed), std::memory_order_relaxed);
        child->membarrier_registered.store(membarrier_registered.load(std::memory_order_relaxed),
                                           std::memory_order_relaxed);
        PmapInternals::ForkCopies copies;
        static_assert(PmapInternals::ForkCopies::most >= CopiedPages::capacity);
        entries_->copied_pages.age();
        for (unsigned i = 0; i < CopiedPages::capacity; i++) {
            const vaddr_t va = entries_->copied_pages.at(i);
            if (va == 0)
                break;
            const VmMapEntry* e = I::find(*this, va);
            if (e && !e->shared && !e->dont_fork && !e->wipe_on_fork && has(e->prot, Prot::write) &&
                !has(e->prot, Prot::exec))
                copies.consider(pmap_, va, e->prot);
        }
        TRY(pmap_.fork_to(child->pmap_));
        TRY(copies.make(pmap_, child->pmap_));
        if (entries_->some_dont_fork || entries_->some_wipe) [[unlikely]]
            for (const VmMapEntry& entry : entries_->tree) {
                if (!entry.dont_fork && !entry.wipe_on_fork)
                    continue;
                TRY(child->pmap_.prepare_remove(entry.start, entry.end));
                child->pmap_.remove(entry.start, entry.end);
            }
        if (!entries_->some_dont_fork && !entries_->some_attached) [[likely]] {
            child->entries_ = entries_;
            entries_->join(in_child, &sharers_[sharer_]);
            return {};
        }
        // The child can be found through the objects that it maps from the first entry on.
        MutexGuard child_guard(child->lock_, Nesting::yes);
        child->entries_ = TRY(make_ref<VmEntries>());
        child->entries_->join(in_child, nullptr);
        return I::copy_entries(*entries_, *child->entries_, true);
    }();
    if (!result)
        return result.error(); // the child drops what it got
    return child;
}

} // namespace lentil

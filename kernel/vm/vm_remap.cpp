// SPDX-License-Identifier: BSD-2-Clause
// mremap: shrink, grow in place, or move the pages elsewhere.
#include <algorithm>

#include <vm/vm_map_internal.hpp>

namespace lentil {

namespace {

bool overlap(vaddr_t a, uint64_t a_length, vaddr_t b, uint64_t b_length) {
    return a < b + b_length && b < a + a_length;
}

} // namespace

Result<vaddr_t> VmMap::remap(vaddr_t old_address, uint64_t old_length, uint64_t new_length, bool may_move, bool fixed,
                             vaddr_t new_address) {
    using I = VmMapInternals;
    const PageRange old = TRY(PageRange::of(old_address, old_length));
    if (old.start == old.end || new_length == 0 || new_length > I::user_end)
        return Errno::inval;
    old_length = old.end - old.start;
    new_length = page_ceil(new_length);
    if (fixed) {
        TRY(PageRange::of(new_address, new_length));
        if (!may_move || overlap(old.start, old_length, new_address, new_length))
            return Errno::inval;
        if (new_address < I::min_address)
            return Errno::perm;
    }

    DeadEntries dead;
    MutexGuard guard(lock_);
    VmMapEntry* entry = I::find(*this, old.start);
    if (!entry || entry->end < old.end)
        return Errno::fault;

    if (!fixed && new_length <= old_length) {
        TRY(I::unmap(*this, old.start + new_length, old.end, dead));
        return old.start;
    }
    if (new_length > old_length && !I::within_limit(*this, new_length - old_length))
        return Errno::nomem;
    if (!fixed && old.end == entry->end && new_length <= I::user_end - old.start &&
        I::is_free(*this, old.end, old.start + new_length, true)) {
        TRY(I::own_entries(*this));
        entry = I::find(*this, old.start);
        entries_->size_bytes += new_length - old_length;
        entry->end = old.start + new_length;
        I::merge(*this, entry->start, entry->end);
        return old.start;
    }
    if (!may_move)
        return Errno::nomem;

    TRY(I::own_entries(*this));
    VmMapEntry* moved = TRY(I::new_entry());
    Result<vaddr_t> result = [&]() -> Result<vaddr_t> {
        vaddr_t to = new_address;
        if (fixed) {
            TRY(I::prepare_remove(*this, to, to + new_length));
            TRY(I::prepare_remove(*this, old.start, old.end)); // what does not move goes, too
            I::remove(*this, to, to + new_length, dead);
        } else {
            to = TRY(I::find_space(*this, new_length));
            TRY(I::split(*this, old.start, old.end));
        }
        entry = I::find(*this, old.start);
        if (auto done = pmap_.move(old.start, to, std::min(old_length, new_length)); !done) {
            I::merge(*this, old.start, old.end);
            return done.error();
        }
        I::copy_attributes(*moved, *entry);
        moved->start = to;
        moved->end = to + new_length;
        moved->offset = entry->offset;
        I::insert(*this, moved, entry);
        I::remove(*this, old.start, old.end, dead);
        I::merge(*this, to, to + new_length);
        moved = nullptr;
        return to;
    }();
    if (moved)
        zone_delete(moved);
    return result;
}

} // namespace lentil

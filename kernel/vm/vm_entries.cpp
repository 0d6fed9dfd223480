// SPDX-License-Identifier: BSD-2-Clause
// Entries that maps share: joining and leaving, and the copy that a map makes before it changes one.
//
// Truncation has to find every map that sees an object, while maps fork, copy their entries and end. Its marks on the
// object's mappings (vm_object.cpp) say which entries it has been to; an entry counts as visited when all maps that share it
// were. So:
//   - a visit leaves its own mark in the list of sharers and moves it behind a map only with that map's lock held, when the
//     work there is done; a child is put right behind its parent, so it comes to lie on the side of the mark on which its
//     parent was when it forked, and has the translations that the parent had;
//   - a map that makes a copy of the entries is in both lists until every copy stands in its object's list, with the mark of
//     the entry that it was made from: whoever finds it through the copies waits for its lock, and whoever finds it through
//     the old ones cannot finish with these before it has left;
//   - the reference of a visit, together with having held each map's lock since it was taken, keeps entries as they are: a
//     map with the only other reference makes a copy too.
#include <vm/vm_map_internal.hpp>

namespace lentil {

VmEntries::~VmEntries() {
    DeadEntries dead;
    tree.clear_and_dispose([&](VmMapEntry* entry) {
        if (entry->object)
            entry->object->remove_mapping(*entry);
        dead.add(entry);
    });
}

void VmEntries::join(VmSharer& sharer, VmSharer* like) {
    SpinGuard guard(lock_);
    sharers_.insert(like ? std::next(sharers_.iterator_to(*like)) : sharers_.end(), sharer);
}

void VmEntries::leave(VmSharer& sharer) {
    SpinGuard guard(lock_);
    sharers_.erase(sharers_.iterator_to(sharer));
}

Result<void> VmMapInternals::copy_entries(const VmEntries& from, VmEntries& to, bool for_child) {
    for (const VmMapEntry& entry : from.tree) {
        if (for_child && entry.dont_fork)
            continue;
        VmMapEntry* copy = TRY(new_entry());
        copy_attributes(*copy, entry);
        copy->start = entry.start;
        copy->end = entry.end;
        copy->offset = entry.offset;
        append(to, copy, &entry);
    }
    return {};
}

Result<void> VmMapInternals::copy_shared_entries(VmMap& map) {
    RefPtr<VmEntries> copies = TRY(make_ref<VmEntries>());
    VmSharer& now = map.sharers_[map.sharer_];
    VmSharer& then = map.sharers_[map.sharer_ ^ 1];
    copies->join(then, nullptr);
    if (auto copied = copy_entries(*map.entries_, *copies, false); !copied) {
        copies->leave(then); // the copies' files are the entries' too: none is closed here
        return copied;
    }
    for (unsigned i = 0; i < CopiedPages::capacity; i++) {
        const vaddr_t va = map.entries_->copied_pages.at(i);
        if (va == 0)
            break;
        copies->copied_pages.note(va);
    }
    map.entries_->leave(now);
    map.last_found_ = nullptr;
    map.entries_ = std::move(copies); // others that left meanwhile may leave us the last: likewise
    map.sharer_ ^= 1;
    return {};
}

} // namespace lentil

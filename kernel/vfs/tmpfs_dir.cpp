// SPDX-License-Identifier: BSD-2-Clause
// Directories of tmpfs: names by tree, positions for getdents, rename.
#include <algorithm>
#include <cstring>
#include <optional>

#include <vfs/tmpfs.hpp>

namespace lentil {

// ---- entries -----------------------------------------------------------------------------------------------------

Result<TmpfsEntry*> TmpfsEntry::create(std::string_view name) {
    char* text = nullptr;
    if (name.size() > inline_name) {
        text = static_cast<char*>(kmalloc(name.size()));
        if (!text)
            return Errno::nomem;
    }
    Result<TmpfsEntry*> made = zone_new<TmpfsEntry>();
    if (!made) {
        if (text)
            kfree(text, name.size());
        return made;
    }
    TmpfsEntry& entry = **made;
    entry.long_name = text;
    entry.length = static_cast<uint32_t>(name.size());
    memcpy(text ? text : entry.short_name, name.data(), name.size());
    return made;
}

TmpfsEntry::~TmpfsEntry() {
    if (long_name)
        kfree(long_name, length);
}

namespace {
/// Deletes an entry that did not make it into a directory, or left it.
struct EntryOwner {
    TmpfsEntry* entry;
    explicit EntryOwner(TmpfsEntry* e) : entry(e) {}
    EntryOwner(const EntryOwner&) = delete;
    EntryOwner& operator=(const EntryOwner&) = delete;
    ~EntryOwner() {
        if (entry)
            zone_delete(entry);
    }
    TmpfsEntry& release() { return *std::exchange(entry, nullptr); }
};
} // namespace

// ---- the two trees; lock_ held ---------------------------------------------------------------------------------------

TmpfsDirectory::~TmpfsDirectory() { ASSERT(names_.empty()); }

TmpfsEntry* TmpfsDirectory::find(std::string_view name) {
    auto at = names_.find(name);
    return at == names_.end() ? nullptr : &*at;
}

void TmpfsDirectory::attach(TmpfsEntry& entry, RefPtr<TmpfsNode> node) {
    RefPtr<TmpfsDirectory> old_parent;
    if (node->type == VnodeType::directory) {
        links.fetch_add(1, std::memory_order_relaxed);
        if (node->links.load(std::memory_order_relaxed) == 0) // new: its own "." and the name
            node->links.store(2, std::memory_order_relaxed);
    } else {
        node->links.fetch_add(1, std::memory_order_relaxed);
    }
    SpinGuard guard(tmpfs_link_lock);
    node->named_by = &entry;
    if (node->type == VnodeType::directory) {
        auto& directory = static_cast<TmpfsDirectory&>(*node);
        old_parent = std::exchange(directory.parent_, RefPtr<TmpfsDirectory>(this));
    }
    entry.node = std::move(node);
    guard.unlock();
}

RefPtr<TmpfsNode> TmpfsDirectory::detach(TmpfsEntry& entry) {
    RefPtr<TmpfsNode> node = std::move(entry.node);
    if (node->type == VnodeType::directory) {
        links.fetch_sub(1, std::memory_order_relaxed); // the node's own stay: it may only be moving
    } else {
        node->links.fetch_sub(1, std::memory_order_relaxed);
    }
    SpinGuard guard(tmpfs_link_lock);
    if (node->named_by == &entry)
        node->named_by = nullptr;
    return node;
}

void TmpfsDirectory::insert(TmpfsEntry& entry, RefPtr<TmpfsNode> node) {
    entry.directory = this;
    entry.position = next_position_++;
    names_.insert(entry);
    positions_.insert(positions_.end(), entry);
    count_++;
    attach(entry, std::move(node));
    touch_modification();
}

RefPtr<TmpfsNode> TmpfsDirectory::erase(TmpfsEntry& entry) {
    names_.erase(names_.iterator_to(entry));
    positions_.erase(positions_.iterator_to(entry));
    count_--;
    RefPtr<TmpfsNode> node = detach(entry);
    node->touch_change();
    touch_modification();
    return node;
}

TmpfsNode::Extent TmpfsDirectory::extent() { return {40 + 20 * count_, 0}; }

// ---- the tree as a whole ---------------------------------------------------------------------------------------------

RefPtr<TmpfsDirectory> TmpfsDirectory::parent_directory() const {
    SpinGuard guard(tmpfs_link_lock);
    return parent_;
}

Result<RefPtr<Vnode>> TmpfsDirectory::parent() {
    RefPtr<TmpfsDirectory> up = parent_directory();
    if (!up) // the root, or left over from a detached file system
        up = RefPtr<TmpfsDirectory>(this);
    return RefPtr<Vnode>(std::move(up));
}

bool TmpfsDirectory::is_ancestor(const TmpfsDirectory& ancestor, const TmpfsDirectory& of) {
    // Parents change only with the rename lock, which is held, and a directory keeps its parent alive.
    for (const TmpfsDirectory* at = &of; at; at = at->parent_.get())
        if (at == &ancestor)
            return true;
    return false;
}

TmpfsEntry* TmpfsDirectory::take_any() {
    MutexGuard guard(lock_);
    if (names_.empty())
        return nullptr;
    TmpfsEntry& entry = *names_.begin();
    RefPtr<TmpfsNode> node = erase(entry);
    entry.node = std::move(node);
    removed_ = true;
    return &entry;
}

RefPtr<TmpfsDirectory> TmpfsDirectory::leave_parent() {
    SpinGuard guard(tmpfs_link_lock);
    return std::move(parent_);
}

bool TmpfsDirectory::subtree_in_use(uint64_t& seen) {
    // In order of positions, without recursion: down into a directory, back up through its entry. `at` always has one
    // reference of this walk (of the caller, for the top).
    RefPtr<TmpfsDirectory> hold;
    TmpfsDirectory* at = this;
    off_t from = 0;
    for (;;) {
        RefPtr<TmpfsDirectory> down;
        {
            MutexGuard guard(at->lock_);
            if (from == 0) {
                // its entry's (the mount's), and this walk's
                uint32_t expected = 2 + at->views.load(std::memory_order_relaxed);
                for (auto& e : at->names_)
                    expected += e.node->type == VnodeType::directory;
                if (at->ref_count() != expected)
                    return true;
                seen++;
            }
            for (auto next = at->positions_.lower_bound(from); next != at->positions_.end(); ++next) {
                if (next->node->type == VnodeType::directory) {
                    down = RefPtr<TmpfsDirectory>(static_cast<TmpfsDirectory*>(next->node.get()));
                    break;
                }
                if (next->node->ref_count() != next->node->links.load(std::memory_order_relaxed) +
                                                   next->node->views.load(std::memory_order_relaxed))
                    return true;
                if (next->node->named_by == &*next || !next->node->named_by) // once for all its names
                    seen++;
            }
        }
        if (down) {
            hold = std::move(down);
            at = hold.get();
            from = 0;
            continue;
        }
        if (at == this)
            return false;
        RefPtr<TmpfsDirectory> up;
        {
            SpinGuard guard(tmpfs_link_lock);
            if (!at->named_by)
                return true; // removed while we looked: someone works here
            from = at->named_by->position + 1;
            up = at->parent_;
        }
        at = up.get();
        if (at == this)
            hold.reset();
        else
            hold = std::move(up);
    }
}

// ---- operations --------------------------------------------------------------------------------------------------

Result<RefPtr<Vnode>> TmpfsDirectory::lookup(std::string_view name) {
    MutexGuard guard(lock_);
    TmpfsEntry* entry = find(name);
    if (!entry)
        return Errno::noent;
    if (entry->node->named_by != entry) { // of several names, the last one used is what paths show
        SpinGuard link(tmpfs_link_lock);
        entry->node->named_by = entry;
    }
    return RefPtr<Vnode>(entry->node);
}

Result<RefPtr<Vnode>> TmpfsDirectory::create(std::string_view name, const NewNode& fresh) {
    EntryOwner entry(TRY(TmpfsEntry::create(name)));
    RefPtr<TmpfsNode> node = TRY(tmpfs_make_node(fs(), fresh));
    MutexGuard guard(lock_);
    if (removed_)
        return Errno::noent;
    if (find(name))
        return Errno::exist;
    insert(entry.release(), node);
    return RefPtr<Vnode>(node);
}

Result<RefPtr<Vnode>> TmpfsDirectory::create_unnamed(const NewNode& fresh) {
    return RefPtr<Vnode>(TRY(tmpfs_make_node(fs(), fresh)));
}

Result<void> TmpfsDirectory::link(std::string_view name, Vnode& target) {
    if (target.type == VnodeType::directory)
        return Errno::perm;
    EntryOwner entry(TRY(TmpfsEntry::create(name)));
    RefPtr<TmpfsNode> node(static_cast<TmpfsNode*>(&target));
    MutexGuard guard(lock_);
    if (removed_)
        return Errno::noent;
    if (find(name))
        return Errno::exist;
    node->touch_change();
    insert(entry.release(), std::move(node));
    return {};
}

Result<void> TmpfsDirectory::unlink(std::string_view name) {
    RefPtr<TmpfsNode> gone; // dropped, like the entry, after the lock
    EntryOwner owner(nullptr);
    MutexGuard guard(lock_);
    TmpfsEntry* entry = find(name);
    if (!entry)
        return Errno::noent;
    if (entry->node->type == VnodeType::directory)
        return Errno::isdir;
    gone = erase(*entry);
    owner.entry = entry;
    return {};
}

Result<void> TmpfsDirectory::rmdir(std::string_view name) {
    RefPtr<TmpfsNode> gone;
    EntryOwner owner(nullptr);
    MutexGuard guard(lock_);
    TmpfsEntry* entry = find(name);
    if (!entry)
        return Errno::noent;
    if (entry->node->type != VnodeType::directory)
        return Errno::notdir;
    auto& victim = static_cast<TmpfsDirectory&>(*entry->node);
    MutexGuard inner(victim.lock_, Nesting::yes);
    if (victim.count_ != 0)
        return Errno::notempty;
    if (victim.covered_by.load(std::memory_order_acquire))
        return Errno::busy;
    victim.removed_ = true;
    gone = erase(*entry);
    gone->links.store(0, std::memory_order_relaxed);
    owner.entry = entry;
    return {};
}

Result<void> TmpfsDirectory::cover(Mount& upper) {
    MutexGuard guard(lock_); // rmdir looks at both with it
    if (removed_)
        return Errno::noent;
    return TmpfsNode::cover(upper);
}

Result<void> TmpfsDirectory::rename(std::string_view name, Vnode& new_directory, std::string_view new_name,
                                    uint32_t flags) {
    if (new_directory.type != VnodeType::directory)
        return Errno::notdir;
    auto& to = static_cast<TmpfsDirectory&>(new_directory);
    EntryOwner fresh(TRY(TmpfsEntry::create(new_name)));
    RefPtr<TmpfsNode> replaced; // both dropped after the locks
    EntryOwner old_entry(nullptr), replaced_entry(nullptr);

    MutexGuard tree(fs().rename_lock);
    TmpfsDirectory *first = this, *second = &to;
    if (is_ancestor(to, *this) || (!is_ancestor(*this, to) && &to < this))
        std::swap(first, second);
    MutexGuard first_guard(first->lock_);
    std::optional<MutexGuard<Rank::vnode>> second_guard, victim_guard;
    if (first != second)
        second_guard.emplace(second->lock_, Nesting::yes);

    TmpfsEntry* source = find(name);
    if (!source || to.removed_)
        return Errno::noent;
    TmpfsEntry* target = to.find(new_name);
    if (target && (flags & rename_flags::no_replace))
        return Errno::exist;
    const bool exchange = flags & rename_flags::exchange;
    if (!target && exchange)
        return Errno::noent;
    if (target && target->node == source->node)
        return {}; // two names of one file: nothing happens (POSIX)
    auto* moved =
        source->node->type == VnodeType::directory ? static_cast<TmpfsDirectory*>(source->node.get()) : nullptr;
    auto* victim = target && target->node->type == VnodeType::directory
                       ? static_cast<TmpfsDirectory*>(target->node.get())
                       : nullptr;
    if (moved && is_ancestor(*moved, to))
        return Errno::inval;
    if (victim && is_ancestor(*victim, *this))
        return exchange ? Errno::inval : Errno::notempty;
    if (source->node->covered_by.load(std::memory_order_acquire) ||
        (target && target->node->covered_by.load(std::memory_order_acquire)))
        return Errno::busy;

    if (exchange) {
        RefPtr<TmpfsNode> one = detach(*source), two = to.detach(*target);
        attach(*source, two);
        to.attach(*target, one);
        one->touch_change();
        two->touch_change();
        touch_modification();
        to.touch_modification();
        return {};
    }
    if (target) {
        if (moved && !victim)
            return Errno::notdir;
        if (!moved && victim)
            return Errno::isdir;
        if (victim) {
            victim_guard.emplace(victim->lock_, Nesting::yes);
            if (victim->count_ != 0)
                return Errno::notempty;
            victim->removed_ = true;
        }
        replaced = to.erase(*target);
        if (victim)
            replaced->links.store(0, std::memory_order_relaxed);
        replaced_entry.entry = target;
    }
    RefPtr<TmpfsNode> node = erase(*source);
    old_entry.entry = source;
    to.insert(fresh.release(), std::move(node));
    return {};
}

Result<void> TmpfsDirectory::read_directory(off_t& position, DirectorySink& sink) {
    MutexGuard guard(lock_);
    touch_access();
    if (removed_)
        return Errno::noent;
    constexpr uint32_t directory_type = entry_type_of(VnodeType::directory);
    if (position == 0) {
        if (!sink.put({".", inode(), directory_type, 1}))
            return {};
        position = 1;
    }
    if (position == 1) {
        RefPtr<TmpfsDirectory> up = parent_directory();
        if (!sink.put({"..", up ? up->inode() : inode(), directory_type, 2}))
            return {};
        position = 2;
    }
    for (auto at = positions_.lower_bound(position); at != positions_.end(); ++at) {
        if (!sink.put({at->name(), at->node->inode(), entry_type_of(at->node->type), at->position + 1}))
            break;
        position = at->position + 1;
    }
    return {};
}

} // namespace lentil

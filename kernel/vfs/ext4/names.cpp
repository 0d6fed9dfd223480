// SPDX-License-Identifier: BSD-2-Clause
// Looking up, making, removing and moving names.
//
// Each is one operation of the journal, with the locks of the directories it changes. What can fail for want of room is
// tried before anything is changed; where that is not possible, what was changed is taken back in the same operation.
#include <algorithm>
#include <cstring>

#include <vfs/ext4/directory.hpp>

namespace lentil::ext4 {

namespace {

constexpr uint32_t max_links = 65000;

/// A directory's count of subdirectories: past the limit it says 1, "unknown" ("Index Nodes", dir_nlink).
void add_link(Node& directory) {
    const uint32_t n = directory.links.load(std::memory_order_relaxed);
    directory.links.store(n == 1 || n + 1 >= max_links ? 1 : n + 1, std::memory_order_relaxed);
}
void drop_link(Node& directory) {
    const uint32_t n = directory.links.load(std::memory_order_relaxed);
    if (n > 2)
        directory.links.store(n - 1, std::memory_order_relaxed);
}

} // namespace

/// The node of an entry here: uclean for what no name may lead to. lock_ is held.
Result<RefPtr<Node>> Node::child(uint32_t inode) {
    if (inode < fs().super.first_inode || inode > fs().super.inodes)
        return fs().fail("a name of a reserved inode");
    if (inode == number)
        return fs().fail("a directory in itself");
    RefPtr<Node> node = TRY(fs().node(inode));
    if (node->links.load(std::memory_order_relaxed) == 0)
        return fs().fail("a name of an inode that is free");
    // Directories have one name: locks of a parent come before those of its children.
    if (node->type == VnodeType::directory && TRY(Directory(*node).parent_number()) != number)
        return fs().fail("a directory in two places");
    return node;
}

Result<RefPtr<Vnode>> Node::lookup(std::string_view name) {
    if (type != VnodeType::directory)
        return Errno::notdir;
    MutexGuard guard(lock_);
    if (removed_)
        return Errno::noent;
    Directory directory(*this);
    const uint32_t inode = TRY(directory.find(name)).entry()->inode;
    RefPtr<Node> node = TRY(child(inode));
    node->remember_name(*this, name);
    return RefPtr<Vnode>(std::move(node));
}

Result<RefPtr<Vnode>> Node::parent() {
    if (type != VnodeType::directory)
        return Errno::notdir;
    if (number == root_inode)
        return RefPtr<Vnode>(this);
    MutexGuard guard(lock_);
    Directory directory(*this);
    const uint32_t above = TRY(directory.parent_number());
    RefPtr<Node> up = TRY(fs().node(above));
    if (up->type != VnodeType::directory)
        return fs().fail("a directory whose parent is none");
    return RefPtr<Vnode>(std::move(up));
}

Result<void> Node::cover(Mount& upper) {
    MutexGuard guard(lock_);
    if (removed_)
        return Errno::noent;
    return Vnode::cover(upper);
}

/// A new inode of that kind, in the operation under way, with its contents; no name yet, links as given. The caller stores it.
Result<RefPtr<Node>> Node::make_child(const NewNode& fresh, uint32_t link_count) {
    const bool is_directory = fresh.type == VnodeType::directory;
    const uint32_t inode = TRY(fs().allocate_inode(number, is_directory));
    const auto fill = [&]() -> Result<RefPtr<Node>> {
        RefPtr<Node> node = TRY(Node::make(fs(), inode, fresh));
        node->links.store(link_count, std::memory_order_relaxed);
        if (is_directory) {
            TRY(Directory(*node).create(number));
        } else if (fresh.type == VnodeType::symlink && node->has_extents()) {
            if (fresh.target.size() >= fs().block_bytes)
                return Errno::nametoolong;
            MutexGuard guard(node->map_lock);
            const BlockRun run = TRY(fs().allocate(node->goal_for(0), 1, false));
            TRY(node->insert_extent(0, 1, run.start, false));
            const MetaRef block = TRY(fs().buffers.get_fresh(run.start));
            memcpy(block.data(), fresh.target.data(), fresh.target.size());
            fs().journal.modify(*block);
            node->disk_size_ = fresh.target.size();
            node->size_.store(node->disk_size_, std::memory_order_relaxed);
        }
        return node;
    };
    Result<RefPtr<Node>> node = fill();
    if (!node)
        (void)fs().free_inode(inode, is_directory);
    return node;
}

Result<RefPtr<Vnode>> Node::create(std::string_view name, const NewNode& fresh) {
    if (type != VnodeType::directory)
        return Errno::notdir;
    const bool is_directory = fresh.type == VnodeType::directory;
    MutexGuard guard(lock_);
    if (removed_)
        return Errno::noent;
    Directory directory(*this);
    if (const Result<Directory::Found> there = directory.find(name); there || there.error() != Errno::noent)
        return there ? Errno::exist : there.error();
    Op op(fs());
    TRY(op.begin());
    TRY(fs().room_for(8));
    RefPtr<Node> node = TRY(make_child(fresh, is_directory ? 2 : 1));
    if (const Result<void> added = directory.add(name, node->number, fresh.type); !added) {
        TRY(take_back(*node));
        return added.error();
    }
    if (is_directory)
        add_link(*this);
    touch_modification();
    TRY(node->store());
    node->data_changed_in_.store(fs().journal.running_id(),
                                 std::memory_order_release); // fdatasync keeps an empty file too
    TRY(store());
    fs().add_node(*node);
    node->remember_name(*this, name);
    return RefPtr<Vnode>(std::move(node));
}

/// A child that cannot get its name: its blocks and its inode are free again.
Result<void> Node::take_back(Node& child) {
    if (child.has_extents()) {
        MutexGuard guard(child.map_lock);
        TRY(child.remove_extents(0, UINT32_MAX, true));
    }
    child.links.store(0, std::memory_order_relaxed);
    child.disk_size_ = 0;
    TRY(child.store());
    return fs().free_inode(child.number, child.type == VnodeType::directory);
}

Result<RefPtr<Vnode>> Node::create_unnamed(const NewNode& fresh) {
    if (type != VnodeType::directory)
        return Errno::notdir;
    Op op(fs());
    TRY(op.begin());
    RefPtr<Node> node = TRY(make_child(fresh, 0));
    TRY(fs().orphan_add(*node));
    fs().add_node(*node);
    return RefPtr<Vnode>(std::move(node));
}

Result<void> Node::link(std::string_view name, Vnode& target) {
    if (type != VnodeType::directory)
        return Errno::notdir;
    Node& node = static_cast<Node&>(target);
    if (node.type == VnodeType::directory)
        return Errno::perm;
    MutexGuard guard(lock_);
    if (removed_)
        return Errno::noent;
    Directory directory(*this);
    if (const Result<Directory::Found> there = directory.find(name); there || there.error() != Errno::noent)
        return there ? Errno::exist : there.error();
    Op op(fs());
    TRY(op.begin());
    const uint32_t count = node.links.load(std::memory_order_relaxed);
    if (count >= max_links)
        return Errno::mlink;
    if (count == 0 && !node.is_orphan)
        return Errno::noent; // its last name just went
    TRY(fs().room_for(4));
    TRY(directory.add(name, node.number, node.type));
    node.links.store(count + 1, std::memory_order_relaxed);
    TRY(fs().orphan_remove(node)); // of O_TMPFILE
    node.touch_change();
    touch_modification();
    TRY(node.store());
    return store();
}

/// One name of `node` less, in the operation under way: without any it is an orphan until its last user goes.
Result<void> Node::lose_name(Node& node) {
    const bool is_directory = node.type == VnodeType::directory;
    const uint32_t count = node.links.load(std::memory_order_relaxed);
    const uint32_t left = is_directory || count == 0 ? 0 : count - 1;
    node.links.store(left, std::memory_order_relaxed);
    node.touch_change();
    if (is_directory)
        node.removed_ = true;
    if (left == 0)
        return fs().orphan_add(node);
    return node.store();
}

Result<void> Node::unlink(std::string_view name) {
    if (type != VnodeType::directory)
        return Errno::notdir;
    RefPtr<Node> node;
    {
        MutexGuard guard(lock_);
        if (removed_)
            return Errno::noent;
        Directory directory(*this);
        Directory::Found found = TRY(directory.find(name));
        node = TRY(child(found.entry()->inode));
        if (node->type == VnodeType::directory)
            return Errno::isdir;
        if (node->flags & (inode_flags::immutable | inode_flags::append_only))
            return Errno::perm;
        Op op(fs());
        TRY(op.begin());
        directory.remove(found);
        touch_modification();
        TRY(lose_name(*node));
        TRY(store());
    }
    node->forget_name_if(*this, name);
    fs().end_if_unused(std::move(node));
    return {};
}

Result<void> Node::rmdir(std::string_view name) {
    if (type != VnodeType::directory)
        return Errno::notdir;
    RefPtr<Node> node;
    {
        MutexGuard guard(lock_);
        if (removed_)
            return Errno::noent;
        Directory directory(*this);
        Directory::Found found = TRY(directory.find(name));
        node = TRY(child(found.entry()->inode));
        if (node->type != VnodeType::directory)
            return Errno::notdir;
        MutexGuard inner(node->lock_, Nesting::yes);
        if (!TRY(Directory(*node).is_empty()))
            return Errno::notempty;
        if (node->covered_by.load(std::memory_order_acquire))
            return Errno::busy;
        Op op(fs());
        TRY(op.begin());
        directory.remove(found);
        drop_link(*this);
        touch_modification();
        TRY(lose_name(*node));
        TRY(store());
    }
    node->forget_name_if(*this, name);
    fs().end_if_unused(std::move(node));
    return {};
}

/// Whether `ancestor` is `of` or above it. With the rename lock and no directory's.
Result<bool> Node::is_ancestor(Node& ancestor, Node& of) {
    if (ancestor.type != VnodeType::directory)
        return false;
    RefPtr<Node> at(&of);
    for (uint32_t steps = 0; steps < 65536; steps++) {
        if (at.get() == &ancestor)
            return true;
        if (at->number == root_inode)
            return false;
        RefPtr<Vnode> up = TRY(at->parent());
        at = RefPtr<Node>(static_cast<Node*>(up.get()));
    }
    return ancestor.fs().fail("directories in a circle");
}

Result<void> Node::rename(std::string_view name, Vnode& new_directory, std::string_view new_name,
                          uint32_t flags_wanted) {
    for (;;) {
        const Result<void> done = try_rename(name, new_directory, new_name, flags_wanted);
        if (done || done.error() != Errno::again)
            return done;
    }
}

/// again: the names changed while their places in the tree were looked at.
Result<void> Node::try_rename(std::string_view name, Vnode& new_directory, std::string_view new_name,
                              uint32_t flags_wanted) {
    if (type != VnodeType::directory || new_directory.type != VnodeType::directory)
        return Errno::notdir;
    Node& to = static_cast<Node&>(new_directory);
    RefPtr<Node> replaced;
    {
        MutexGuard tree(fs().rename_lock);
        // What is above what cannot change with the rename lock, so it is looked at before the directories are locked.
        const auto peek = [](Node& directory, std::string_view which) -> Result<RefPtr<Node>> {
            RefPtr<Vnode> found = TRY(directory.lookup(which));
            return RefPtr<Node>(static_cast<Node*>(found.get()));
        };
        const RefPtr<Node> seen_moved = TRY(peek(*this, name));
        RefPtr<Node> seen_victim;
        if (Result<RefPtr<Node>> seen = peek(to, new_name))
            seen_victim = std::move(*seen);
        else if (seen.error() != Errno::noent)
            return seen.error();
        const bool into_itself = TRY(is_ancestor(*seen_moved, to));
        const bool victim_above = seen_victim && TRY(is_ancestor(*seen_victim, *this));
        Node *first = this, *second = &to;
        const bool to_above = TRY(is_ancestor(to, *this));
        if (to_above || (!TRY(is_ancestor(*this, to)) && &to < this))
            std::swap(first, second);
        MutexGuard first_guard(first->lock_);
        std::optional<MutexGuard<Rank::vnode>> second_guard, victim_guard;
        if (first != second)
            second_guard.emplace(second->lock_, Nesting::yes);
        if (removed_ || to.removed_)
            return Errno::noent;
        Directory here(*this), there(to);
        Directory::Found source = TRY(here.find(name));
        RefPtr<Node> moved = TRY(child(source.entry()->inode));
        RefPtr<Node> victim;
        Result<Directory::Found> target = there.find(new_name);
        if (!target && target.error() != Errno::noent)
            return target.error();
        if (target)
            victim = TRY(to.child(target->entry()->inode));
        const bool exchange = flags_wanted & rename_flags::exchange;
        if (victim && (flags_wanted & rename_flags::no_replace))
            return Errno::exist;
        if (!victim && exchange)
            return Errno::noent;
        if (victim == moved)
            return {}; // two names of one file: nothing happens (POSIX)
        const bool moves_directory = moved->type == VnodeType::directory;
        const bool victim_directory = victim && victim->type == VnodeType::directory;
        if ((moved->flags | (victim ? victim->flags : 0)) & (inode_flags::immutable | inode_flags::append_only))
            return Errno::perm;
        if (moved != seen_moved || (victim_directory && victim != seen_victim))
            return Errno::again; // another thread changed the names meanwhile: see below
        if (into_itself)
            return Errno::inval;
        if (victim_above && victim == seen_victim)
            return exchange ? Errno::inval : Errno::notempty;
        if (moved->covered_by.load(std::memory_order_acquire) ||
            (victim && victim->covered_by.load(std::memory_order_acquire)))
            return Errno::busy;
        if (victim && !exchange) {
            if (moves_directory && !victim_directory)
                return Errno::notdir;
            if (!moves_directory && victim_directory)
                return Errno::isdir;
            if (victim_directory) {
                victim_guard.emplace(victim->lock_, Nesting::yes);
                if (!TRY(Directory(*victim).is_empty()))
                    return Errno::notempty;
            } else if (moved->pages_ && moved->pages_->is_dirty()) {
                // Who replaces a file by a new one wants either whole after a crash, even without fsync.
                TRY(moved->write_back());
            }
        }
        Op op(fs());
        TRY(op.begin(60));
        if (exchange) {
            here.point_to(source, victim->number, victim->type);
            there.point_to(*target, moved->number, moved->type);
            if (this != &to) {
                if (moves_directory)
                    TRY(Directory(*moved).set_parent(to.number));
                if (victim_directory)
                    TRY(Directory(*victim).set_parent(number));
                if (moves_directory != victim_directory) {
                    drop_link(moves_directory ? *this : to);
                    add_link(moves_directory ? to : *this);
                }
            }
            victim->touch_change();
            TRY(victim->store());
        } else {
            if (victim) {
                there.point_to(*target, moved->number, moved->type);
            } else {
                TRY(fs().room_for(8));
                TRY(there.add(new_name, moved->number, moved->type));
                if (this == &to || here.has_index()) // the entry may have moved
                    source = TRY(here.find(name));
            }
            here.remove(source);
            if (victim) {
                TRY(lose_name(*victim));
                replaced = victim;
                if (victim_directory)
                    drop_link(to);
            }
            if (moves_directory && this != &to) {
                TRY(Directory(*moved).set_parent(to.number));
                drop_link(*this);
                add_link(to);
            }
        }
        moved->touch_change();
        touch_modification();
        if (this != &to)
            to.touch_modification();
        TRY(moved->store());
        TRY(store());
        if (this != &to)
            TRY(to.store());
        moved->remember_name(to, new_name);
        if (exchange)
            victim->remember_name(*this, name);
    }
    if (replaced) {
        replaced->forget_name_if(to, new_name);
        fs().end_if_unused(std::move(replaced));
    }
    return {};
}

} // namespace lentil::ext4

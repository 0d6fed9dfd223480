// SPDX-License-Identifier: BSD-2-Clause
// What changes the tree of mounts: bind mounts, moves, pivot_root. All with the change lock.
#include <bsd/proc.hpp>
#include <vfs/bind.hpp>
#include <vfs/lookup.hpp>
#include <vfs/mount_internal.hpp>

namespace lentil {

using namespace mount_table;

namespace {

bool is_attached(const Mount& mount) { return mount.attached.load(std::memory_order_relaxed); }
bool is_directory(const Vnode& node) { return node.type == VnodeType::directory; }

/// The mount whose root is `root`, one that lies on a directory: nullptr if it is none.
Mount* movable(Vnode& root) {
    return is_root(root) && is_attached(*root.mount) && root.mount->covered ? root.mount : nullptr;
}

/// Whether `mount` is `top` or lies, through any number of others, on it.
bool is_in_tree(const Mount& mount, const Mount& top) {
    const Mount* at = &mount;
    while (at != &top) {
        if (!at->covered)
            return false;
        at = at->covered->mount;
    }
    return true;
}

/// Whether `node` is `top`, a node of the same mount, or lies below it.
bool lies_below(RefPtr<Vnode> node, const Vnode& top) {
    for (char name[name_max + 1];;) {
        if (node.get() == &top)
            return true;
        if (is_root(*node))
            return false;
        Result<RefPtr<Vnode>> above = Errno::noent;
        if (is_directory(*node))
            above = node->parent();
        else if (Result<Vnode::Name> found = node->name(name))
            above = std::move(found->directory);
        if (!above || *above == node)
            return false;
        node = std::move(*above);
    }
}

/// Copies of mounts that are not attached yet, with the place of each in `covered`.
class Copies {
public:
    ~Copies() {
        while (RefPtr<Mount> copy = take_first())
            copy->teardown();
        for (Mount* m = first; m; m = m->next)
            m->copy = nullptr;
    }
    /// A copy of `mount`, showing `root`, to lie on `place` (nullptr: the caller knows).
    Result<Mount*> add(Mount& mount, Vnode& root, RefPtr<Vnode> place) {
        RefPtr<Mount> made = TRY(bind_mount_make(root));
        made->covered = std::move(place);
        mount.copy = made.get();
        *end_ = made.release();
        Mount* const last = *end_;
        end_ = &last->next;
        return last;
    }
    RefPtr<Mount> take_first() {
        Mount* const taken = first_copy_;
        if (!taken)
            return nullptr;
        first_copy_ = taken->next;
        if (!first_copy_)
            end_ = &first_copy_;
        taken->next = nullptr;
        taken->covered.reset();
        return RefPtr<Mount>::adopt(taken);
    }
    Vnode* first_place() const { return first_copy_ ? first_copy_->covered.get() : nullptr; }

private:
    Mount* first_copy_ = nullptr;
    Mount** end_ = &first_copy_;
};

} // namespace

Result<void> mount_bind(Vnode& source, RefPtr<Vnode> directory, bool recursive) {
    MutexGuard change(change_lock);
    Mount& from = *source.mount;
    if (!is_attached(from) || from.unbindable.load(std::memory_order_relaxed))
        return Errno::inval;
    if (!is_attached(*directory->mount))
        return Errno::inval;
    if (is_directory(source) != is_directory(*directory))
        return Errno::notdir;
    Copies copies;
    TRY(copies.add(from, source, std::move(directory)));
    // Whatever lies on a mount that has a copy gets one too, until there is none left.
    for (bool more = recursive; more;) {
        more = false;
        for (Mount* m = first; m; m = m->next) {
            if (m->copy || !m->covered || !m->covered->mount->copy || m->unbindable.load(std::memory_order_relaxed))
                continue;
            if (m->covered->mount == &from && !lies_below(m->covered, source))
                continue;
            RefPtr<Vnode> place = TRY(bind_view(*m->covered->mount->copy, ref(m->covered->real())));
            TRY(copies.add(*m, *m->root, std::move(place)));
            more = true;
        }
    }
    // Each lies on one before it. Only the first can fail: the others' places are seen by nobody else.
    for (bool is_first = true;; is_first = false) {
        const RefPtr<Vnode> place = ref(copies.first_place());
        const RefPtr<Mount> mount = copies.take_first();
        if (!mount)
            return {};
        if (const Result<void> placed = attach(*place, *mount); !placed) {
            mount->teardown();
            if (is_first)
                return placed;
        }
    }
}

Result<void> mount_move(Vnode& root, RefPtr<Vnode> directory) {
    MutexGuard change(change_lock);
    Mount* const mount = movable(root);
    if (!mount || !is_attached(*directory->mount) || is_directory(root) != is_directory(*directory))
        return Errno::inval;
    if (is_in_tree(*directory->mount, *mount))
        return Errno::loop;
    return attach(*directory, *mount);
}

Result<void> mount_set_propagation(Vnode& root, uint64_t kind, bool recursive) {
    using namespace mount_flags;
    if (kind != private_ && kind != slave && kind != unbindable)
        return Errno::inval;
    MutexGuard change(change_lock);
    if (!is_root(root) || !is_attached(*root.mount))
        return Errno::inval;
    for (Mount* m = first; m; m = m->next)
        if (m == root.mount || (recursive && is_in_tree(*m, *root.mount)))
            m->unbindable.store(kind == unbindable, std::memory_order_relaxed);
    return {};
}

namespace {

class LeftRoot;
constinit LeftRoot* last_left = nullptr; // mount_table::lock

/// A root that pivot_root took from processes. Each keeps those that were taken after it, so a process needs the first only:
/// a call of it that is under way may use any of them without a reference of its own (VfsContext::current).
class LeftRoot final : public LeftDirectory {
public:
    static constexpr const char* zone_name = "left_roots";
    explicit LeftRoot(Vnode& root) : root_(&root) {
        root_->views.fetch_add(1, std::memory_order_relaxed); // does not make its mount busy
    }
    ~LeftRoot() override { root_->views.fetch_sub(1, std::memory_order_relaxed); }
    void dispose() override {
        // One after the other, not each within the one before: there may be many.
        RefPtr<LeftRoot> later = take_later();
        zone_delete(this);
        while (later && later->ref_count() == 1)
            later = later->take_later();
    }
    /// The one that was taken last.
    void enter() {
        SpinGuard guard(mount_table::lock);
        if (last_left)
            last_left->later_ = RefPtr<LeftRoot>(this);
        last_left = this;
    }

private:
    RefPtr<LeftRoot> take_later() {
        SpinGuard guard(mount_table::lock);
        if (last_left == this)
            last_left = nullptr;
        return std::move(later_);
    }

    RefPtr<Vnode> root_;
    RefPtr<LeftRoot> later_; ///< mount_table::lock
};

struct Pivot {
    Vnode& from;
    Vnode& to;
    LeftDirectory& left;
};

void follow_root(Proc& proc, void* context) {
    const auto& pivot = *static_cast<Pivot*>(context);
    if (const RefPtr<CwdInfo> info = proc.cwd_info())
        info->replace(pivot.from, pivot.to, pivot.left);
}

} // namespace

Result<void> mount_pivot(Vnode& root, Vnode& new_root, RefPtr<Vnode> put_old) {
    MutexGuard change(change_lock);
    Mount &old_mount = *root.mount, &new_mount = *new_root.mount;
    if (!is_attached(old_mount) || !is_attached(new_mount) || !is_attached(*put_old->mount))
        return Errno::inval;
    if (TRY(new_root.stat()).links == 0)
        return Errno::noent;
    if (&new_mount == &old_mount || put_old->mount == &old_mount)
        return Errno::busy;
    if (!movable(root) || !movable(new_root))
        return Errno::inval;
    if (!is_in_tree(*put_old->mount, new_mount) || !is_in_tree(new_mount, old_mount))
        return Errno::inval;
    if (put_old->covered_by.load(std::memory_order_relaxed))
        put_old = mount_cross_down(std::move(put_old));
    const RefPtr<LeftRoot> left = TRY(make_ref<LeftRoot>(root));
    TRY(put_old->cover(old_mount));
    RefPtr<Vnode> from; // where the new one was
    {
        SpinGuard guard(mount_table::lock);
        RefPtr<Vnode> above = std::exchange(old_mount.covered, std::move(put_old));
        from = std::exchange(new_mount.covered, std::move(above));
        from->uncover();
        new_mount.covered->covered_by.store(&new_mount, std::memory_order_release);
    }
    left->enter();
    Pivot pivot{root, new_root, *left};
    for_each_proc(follow_root, &pivot);
    return {};
}

bool mount_covers_view_of(Vnode& node) {
    if (node.views.load(std::memory_order_relaxed) == 0)
        return false;
    SpinGuard guard(mount_table::lock);
    for (const Mount* m = first; m; m = m->next)
        if (m->covered && &m->covered->real() == &node)
            return true;
    return false;
}

size_t mount_root_path(Mount& mount, std::span<char> buffer) {
    const RefPtr<Vnode> top = mount.super().root, root = mount.root;
    if (!mount.bound || !top || !root) {
        buffer[0] = '/';
        return 1;
    }
    const Result<size_t> length = path_of(*top, root->real(), buffer);
    return length ? *length : 0;
}

} // namespace lentil

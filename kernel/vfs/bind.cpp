// SPDX-License-Identifier: BSD-2-Clause
// Bind mounts and their views of nodes: see bind.hpp.
#include <cstring>

#include <sync/spinlock.hpp>
#include <vfs/bind.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

namespace {

class View;

class BindMount final : public Mount {
public:
    static constexpr const char* zone_name = "bind_mounts";
    explicit BindMount(Mount& shown) {
        bound = RefPtr<Mount>(&shown);
        bound->binds.fetch_add(1, std::memory_order_relaxed);
    }
    void dispose() override { zone_delete(this); }
    FsStat fs_stat() override { return bound->fs_stat(); }
    bool in_use() override { return live.load(std::memory_order_relaxed) > 1 || root->ref_count() > 2; }
    void teardown() override {
        root.reset();
        bound->binds.fetch_sub(1, std::memory_order_release);
    }
    size_t describe_options(std::span<char> buffer) override { return bound->describe_options(buffer); }
    Result<void> sync() override { return bound->sync(); }
    void background(bool write) override {
        if (!bound->attached.load(std::memory_order_relaxed)) // or it is told itself
            bound->background(write);
    }

    Result<RefPtr<Vnode>> view_of(RefPtr<Vnode> real);
    void forget(View& view);

    SpinLock<Rank::vnode_link> lock;
    std::atomic<uint32_t> live{0};    ///< views
    std::atomic<uint32_t> covered{0}; ///< views that have a mount on them

private:
    static constexpr size_t chains = 32;
    View*& chain(const Vnode& real) {
        return views_[(reinterpret_cast<uintptr_t>(&real) >> 6) * 0x9e3779b97f4a7c15 >> 59];
    }
    View* find_locked(Vnode& real, uint64_t inode);

    View* views_[chains] = {}; ///< lock
};

class View final : public Vnode {
public:
    static constexpr const char* zone_name = "bind_views";
    View(BindMount& bind, RefPtr<Vnode> node)
        : Vnode(node->type, bind), real_(std::move(node)), below_root_(real_ != real_->mount->root) {
        is_view = true;
        mode_at = real_->mode_at;
        real_->views.fetch_add(1, std::memory_order_relaxed);
        if (below_root_)
            real_->mount->viewed.fetch_add(1, std::memory_order_relaxed);
        bind.live.fetch_add(1, std::memory_order_relaxed);
    }
    ~View() override {
        if (below_root_)
            real_->mount->viewed.fetch_sub(1, std::memory_order_relaxed);
        real_->views.fetch_sub(1, std::memory_order_relaxed);
        bind().live.fetch_sub(1, std::memory_order_relaxed);
    }
    void dispose() override {
        bind().forget(*this);
        zone_delete(this);
    }
    BindMount& bind() const { return static_cast<BindMount&>(*mount); }

    Result<FileStat> stat() override { return real_->stat(); }
    NodeOwner owner() override { return real_->owner(); }
    Result<void> change(const AttributeChange& wanted) override { return real_->change(wanted); }
    Result<RefPtr<File>> open(uint32_t flags, Vnode& as) override { return real_->open(flags, as); }

    Result<RefPtr<Vnode>> see(RefPtr<Vnode> node) override { return bind().view_of(std::move(node)); }
    Result<RefPtr<Vnode>> lookup(std::string_view text) override { return see(TRY(real_->lookup(text))); }
    Result<RefPtr<Vnode>> parent() override {
        // What was moved out of what the mount shows has nothing above it that could be seen from here.
        if (&bind().root->real() != real_->mount->super().root.get() && !lies_below_root())
            return Errno::noent;
        return see(TRY(real_->parent()));
    }
    Result<RefPtr<Vnode>> create(std::string_view text, const NewNode& fresh) override {
        return see(TRY(real_->create(text, fresh)));
    }
    Result<RefPtr<Vnode>> create_unnamed(const NewNode& fresh) override {
        return see(TRY(real_->create_unnamed(fresh)));
    }
    Result<void> link(std::string_view text, Vnode& node) override { return real_->link(text, node.real()); }
    Result<void> unlink(std::string_view text) override { return real_->unlink(text); }
    Result<void> rmdir(std::string_view text) override { return real_->rmdir(text); }
    Result<void> rename(std::string_view from, Vnode& directory, std::string_view to, uint32_t flags) override {
        return real_->rename(from, directory.real(), to, flags);
    }
    Result<void> read_directory(off_t& position, DirectorySink& sink) override {
        return real_->read_directory(position, sink);
    }
    Result<void> cover(Mount& upper) override {
        if (TRY(real_->stat()).links == 0)
            return Errno::noent;
        TRY(Vnode::cover(upper));
        bind().covered.fetch_add(1, std::memory_order_relaxed);
        return {};
    }
    void uncover() override {
        bind().covered.fetch_sub(1, std::memory_order_relaxed);
        Vnode::uncover();
    }

    Result<size_t> get_xattr(std::string_view name, std::span<char> to) override { return real_->get_xattr(name, to); }
    Result<void> set_xattr(std::string_view name, std::string_view value, uint32_t flags) override {
        return real_->set_xattr(name, value, flags);
    }
    Result<void> remove_xattr(std::string_view name) override { return real_->remove_xattr(name); }
    Result<size_t> list_xattrs(std::span<char> names, bool trusted) override {
        return real_->list_xattrs(names, trusted);
    }
    Result<size_t> read_link(std::span<char> buffer) override { return real_->read_link(buffer); }
    Result<RefPtr<Vnode>> follow() override { return real_->follow(); }
    Result<size_t> read_at(Uio& uio, off_t at) override { return real_->read_at(uio, at); }
    Result<size_t> write_at(Uio& uio, off_t& at, bool append) override { return real_->write_at(uio, at, append); }
    Result<off_t> seek_data(off_t at, bool data) override { return real_->seek_data(at, data); }
    Result<void> allocate(uint32_t how, uint64_t at, uint64_t end) override { return real_->allocate(how, at, end); }
    Result<void> sync(bool data_only) override { return real_->sync(data_only); }
    RefPtr<VmObject> object() override { return real_->object(); }
    Result<Name> name(std::span<char> buffer) override {
        Name found = TRY(real_->name(buffer));
        found.directory = TRY(see(std::move(found.directory)));
        return found;
    }
    bool is_named_once() override { return false; }
    Proc* process() override { return real_->process(); }

    View* next = nullptr; ///< the mount's lock

private:
    Vnode& below() override { return *real_; }
    bool lies_below_root() const {
        const Vnode* const top = &bind().root->real();
        RefPtr<Vnode> at = real_;
        while (at.get() != top) {
            Result<RefPtr<Vnode>> above = at->parent();
            if (!above || *above == at)
                return false;
            at = std::move(*above);
        }
        return true;
    }

    const RefPtr<Vnode> real_;
    const bool below_root_; ///< of the file system
};

/// With the lock. File systems that make a node at each look-up make others for a place that a mount lies on: it is that one
/// for as long as it does.
View* BindMount::find_locked(Vnode& real, uint64_t inode) {
    for (View* v = chain(real); v; v = v->next)
        if (&v->real() == &real && v->try_ref())
            return v;
    if (inode == 0)
        return nullptr;
    for (View* first : views_)
        for (View* v = first; v; v = v->next)
            if (v->covered_by.load(std::memory_order_relaxed) && v->type == real.type) {
                const Result<FileStat> st = v->stat();
                if (st && st->inode == inode && v->try_ref())
                    return v;
            }
    return nullptr;
}

Result<RefPtr<Vnode>> BindMount::view_of(RefPtr<Vnode> real) {
    uint64_t inode = 0; // looked at if there is a covered view that this may be
    if (!bound->keeps_names && covered.load(std::memory_order_relaxed) != 0)
        inode = TRY(real->stat()).inode;
    {
        SpinGuard guard(lock);
        if (View* there = find_locked(*real, inode))
            return RefPtr<Vnode>(RefPtr<View>::adopt(there));
    }
    RefPtr<View> fresh = TRY(make_ref<View>(*this, std::move(real)));
    {
        SpinGuard guard(lock);
        View* const there = find_locked(fresh->real(), inode);
        if (!there) {
            View*& first = chain(fresh->real());
            fresh->next = first;
            first = fresh.get();
            return RefPtr<Vnode>(std::move(fresh));
        }
        guard.unlock();
        return RefPtr<Vnode>(RefPtr<View>::adopt(there)); // and the fresh one goes
    }
}

void BindMount::forget(View& view) {
    SpinGuard guard(lock);
    for (View** at = &chain(view.real()); *at; at = &(*at)->next)
        if (*at == &view) {
            *at = view.next;
            return;
        }
}

} // namespace

Result<RefPtr<Mount>> bind_mount_make(Vnode& node) {
    Mount& from = *node.mount;
    RefPtr<BindMount> mount = TRY(make_ref<BindMount>(from.super()));
    mount->type_name = from.type_name;
    memcpy(mount->source, from.source, sizeof mount->source);
    mount->flags.store(from.flags.load(std::memory_order_relaxed), std::memory_order_relaxed);
    mount->device = from.device;
    Result<RefPtr<Vnode>> root = mount->view_of(ref(&node.real()));
    if (!root) {
        mount->teardown();
        return root.error();
    }
    mount->root = std::move(*root);
    return RefPtr<Mount>(std::move(mount));
}

Result<RefPtr<Vnode>> bind_view(Mount& bind, RefPtr<Vnode> real) {
    return static_cast<BindMount&>(bind).view_of(std::move(real));
}

} // namespace lentil

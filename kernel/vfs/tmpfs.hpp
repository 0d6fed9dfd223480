// SPDX-License-Identifier: BSD-2-Clause
// tmpfs: files in memory. The contents of a file are a VmObject, so that read, write and mmap share the pages.
#pragma once

#include <libkern/intrusive.hpp>
#include <sched/mutex.hpp>
#include <vfs/filesystems.hpp>
#include <vfs/xattr.hpp>

namespace lentil {

class TmpfsDirectory;
class TmpfsNode;

class TmpfsMount final : public Mount {
public:
    static constexpr const char* zone_name = "tmpfs_mounts";
    void dispose() override { zone_delete(this); }
    FsStat fs_stat() override;
    bool in_use() override;
    void teardown() override;
    size_t describe_options(std::span<char> buffer) override;
    Result<void> remount(std::string_view options) override;

    struct Options {
        uint64_t max_pages, max_nodes;
        uint32_t mode;
        uid_t uid;
        gid_t gid;
    };
    /// A file system with an empty root directory.
    static Result<RefPtr<TmpfsMount>> create(const Options& options, const Options& defaults);
    /// size=, nr_inodes=, mode=, uid=, gid= over `base`; inval.
    static Result<Options> parse(std::string_view text, Options base);
    static Options defaults();

    Options options{};
    Options base{};                 ///< the defaults then: /proc/mounts shows what differs
    std::atomic<uint64_t> pages{0}; ///< that files hold
    std::atomic<uint64_t> nodes{0}; ///< alive, in the tree or not
    std::atomic<uint64_t> next_inode{1};
    Mutex<Rank::rename> rename_lock; ///< where directories are in the tree
};

/// One name in a directory.
struct TmpfsEntry {
    static constexpr const char* zone_name = "tmpfs_entries";
    static constexpr size_t inline_name = 40;

    TreeHook name_link, position_link;
    RefPtr<TmpfsNode> node;
    TmpfsDirectory* directory = nullptr; ///< that it is in
    off_t position = 0;                  ///< for getdents; grows, never used again
    uint32_t length = 0;
    char short_name[inline_name];
    char* long_name = nullptr;

    TmpfsEntry() {} // a name comes into short_name, or not
    std::string_view name() const { return {long_name ? long_name : short_name, length}; }
    static Result<TmpfsEntry*> create(std::string_view name);
    ~TmpfsEntry();
};

/// What all kinds of nodes have.
class TmpfsNode : public Vnode {
public:
    TmpfsNode(VnodeType node_type, TmpfsMount& fs, const NewNode& fresh);
    ~TmpfsNode() override;

    Result<FileStat> stat() override;
    NodeOwner owner() override {
        return {mode_.load(std::memory_order_relaxed), uid_.load(std::memory_order_relaxed),
                gid_.load(std::memory_order_relaxed)};
    }
    Result<void> change(const AttributeChange& change) override;
    Result<RefPtr<File>> open(uint32_t flags, Vnode& as) override;
    Result<Name> name(std::span<char> buffer) override;
    bool is_named_once() override { return type == VnodeType::directory || links.load(std::memory_order_relaxed) == 1; }
    Result<size_t> get_xattr(std::string_view name, std::span<char> value) override;
    Result<void> set_xattr(std::string_view name, std::string_view value, uint32_t flags) override;
    Result<void> remove_xattr(std::string_view name) override;
    Result<size_t> list_xattrs(std::span<char> names, bool trusted) override;

    TmpfsMount& fs() const { return static_cast<TmpfsMount&>(*mount); }
    void touch_change();       ///< ctime
    void touch_modification(); ///< mtime and ctime
    void touch_access();       ///< atime, as relatime has it

    uint64_t inode() const { return inode_; }
    std::atomic<uint32_t> links{0};
    TmpfsEntry* named_by = nullptr; ///< one of its names; guarded by tmpfs_link_lock

protected:
    /// What stat tells of the contents.
    struct Extent {
        uint64_t bytes = 0, pages = 0;
    };
    virtual Extent extent() { return {}; }
    virtual Result<void> set_size(uint64_t) { return Errno::inval; }
    virtual Result<void> check_mode(uint32_t) { return {}; } ///< before it changes; perm
    Mutex<Rank::vnode> lock_; ///< directories: entries; files: writes and size; all: changes of attributes

    std::atomic<uint32_t> mode_;
    std::atomic<uint32_t> uid_, gid_;
    std::atomic<nanos_t> atime_, mtime_, ctime_;
    const nanos_t btime_;
    const uint64_t inode_;
    const uint64_t rdevice_;
    XattrList* xattrs_ = nullptr; ///< lock_; made with the first
};

class TmpfsDirectory final : public TmpfsNode {
public:
    static constexpr const char* zone_name = "tmpfs_directories";
    TmpfsDirectory(TmpfsMount& fs, const NewNode& fresh) : TmpfsNode(VnodeType::directory, fs, fresh) {}
    ~TmpfsDirectory() override;
    void dispose() override { zone_delete(this); }

    Result<RefPtr<Vnode>> lookup(std::string_view name) override;
    Result<RefPtr<Vnode>> parent() override;
    Result<RefPtr<Vnode>> create(std::string_view name, const NewNode& fresh) override;
    Result<RefPtr<Vnode>> create_unnamed(const NewNode& fresh) override;
    Result<void> link(std::string_view name, Vnode& node) override;
    Result<void> unlink(std::string_view name) override;
    Result<void> rmdir(std::string_view name) override;
    Result<void> cover(Mount& upper) override;
    Result<void> rename(std::string_view name, Vnode& new_directory, std::string_view new_name,
                        uint32_t flags) override;
    Result<void> read_directory(off_t& position, DirectorySink& sink) override;

    /// For teardown: takes one entry out, which the caller deletes (nullptr: there is none); forgets the parent.
    TmpfsEntry* take_any();
    RefPtr<TmpfsDirectory> leave_parent();
    /// For umount: whether a node below (or this one) has more references than the tree gives it; counts nodes into
    /// `seen`. With the mount's rename lock held; the caller has one reference to this directory.
    bool subtree_in_use(uint64_t& seen);

protected:
    Extent extent() override;

private:
    struct NameOf {
        using type = std::string_view;
        std::string_view operator()(const TmpfsEntry& e) const { return e.name(); }
    };
    struct PositionOf {
        using type = off_t;
        off_t operator()(const TmpfsEntry& e) const { return e.position; }
    };
    // All with lock_ held.
    TmpfsEntry* find(std::string_view name);
    void insert(TmpfsEntry& entry, RefPtr<TmpfsNode> node);
    RefPtr<TmpfsNode> erase(TmpfsEntry& entry); ///< unlinks, does not delete the entry
    void attach(TmpfsEntry& entry,
                RefPtr<TmpfsNode> node); ///< link counts, name and parent of a node that gets a name here
    RefPtr<TmpfsNode> detach(TmpfsEntry& entry);
    static bool is_ancestor(const TmpfsDirectory& ancestor,
                            const TmpfsDirectory& of); ///< or the same; rename lock held
    RefPtr<TmpfsDirectory> parent_directory() const;

    Tree<TmpfsEntry, &TmpfsEntry::name_link, NameOf> names_;
    Tree<TmpfsEntry, &TmpfsEntry::position_link, PositionOf> positions_;
    off_t next_position_ = 2; ///< 0 and 1 are "." and ".."
    uint64_t count_ = 0;
    bool removed_ = false;          ///< rmdir'ed: nothing can be made in it any more
    RefPtr<TmpfsDirectory> parent_; ///< tmpfs_link_lock; stays after removal
};

/// Makes a node of `fresh.type` that has no name yet. nospc at the limit of nodes, nomem.
Result<RefPtr<TmpfsNode>> tmpfs_make_node(TmpfsMount& fs, const Vnode::NewNode& fresh);

/// Names and parents of all tmpfs nodes: pointer work only.
extern SpinLock<Rank::vnode_link> tmpfs_link_lock;

} // namespace lentil

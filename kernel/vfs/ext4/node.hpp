// SPDX-License-Identifier: BSD-2-Clause
// A node of an ext4 file system that is in use: the vnode, its inode in memory, its extents, its pages.
#pragma once

#include <bsd/pipe.hpp>
#include <vfs/ext4/fs.hpp>
#include <vfs/page_cache.hpp>

namespace lentil {
class XattrList;
}

namespace lentil::ext4 {

/// What a range of a file's blocks is.
struct Mapping {
    enum Kind : uint32_t { hole, written, unwritten } kind = hole;
    uint32_t length = 0; ///< blocks, from the one asked for on
    uint64_t block = 0;  ///< on the volume, unless a hole
};

class Node;

/// The pages of a regular file.
class FilePages final : public PageCache {
public:
    static constexpr const char* zone_name = "ext4_pages";
    FilePages(Node& node, BlockVolume& volume, uint32_t block_bytes) : PageCache(volume, block_bytes), node_(&node) {}
    ~FilePages() override { drop_all(); }
    void dispose() override { zone_delete(this); }
    Result<void> sync_range(uint64_t start, uint64_t end) override;

protected:
    Result<Place> place_of(uint64_t offset, uint64_t most) override;
    Result<void> reserve_page() override;
    void unreserve_page() override;
    Result<void> write_pages(uint64_t first, std::span<VmPage* const> pages) override;

private:
    Node* const node_; ///< outlives the pages: who maps them holds it
};

class Node final : public Vnode {
public:
    static constexpr const char* zone_name = "ext4_nodes";
    Node(VnodeType node_type, Fs& mount_fs, uint32_t inode_number) : Vnode(node_type, mount_fs), number(inode_number) {
        mode_at = &mode;
    }
    ~Node() override;
    void dispose() override { zone_delete(this); }
    Fs& fs() const { return static_cast<Fs&>(*mount); }

    // ---- as a vnode ----
    Result<FileStat> stat() override;
    NodeOwner owner() override {
        return {mode.load(std::memory_order_relaxed), uid.load(std::memory_order_relaxed),
                gid.load(std::memory_order_relaxed)};
    }
    Result<void> change(const AttributeChange& change) override;
    Result<RefPtr<File>> open(uint32_t flags, Vnode& as) override;
    Result<RefPtr<Vnode>> lookup(std::string_view name) override;
    Result<RefPtr<Vnode>> parent() override;
    Result<RefPtr<Vnode>> create(std::string_view name, const NewNode& fresh) override;
    Result<RefPtr<Vnode>> create_unnamed(const NewNode& fresh) override;
    Result<void> link(std::string_view name, Vnode& node) override;
    Result<void> unlink(std::string_view name) override;
    Result<void> rmdir(std::string_view name) override;
    Result<void> rename(std::string_view name, Vnode& new_directory, std::string_view new_name,
                        uint32_t flags) override;
    Result<void> read_directory(off_t& position, DirectorySink& sink) override;
    Result<void> cover(Mount& upper) override;
    Result<size_t> read_link(std::span<char> buffer) override;
    Result<size_t> read_at(Uio& uio, off_t at) override;
    Result<size_t> write_at(Uio& uio, off_t& position, bool append) override;
    RefPtr<VmObject> object() override { return pages_; }
    Result<Vnode::Name> name(std::span<char> buffer) override;
    bool is_named_once() override { return type == VnodeType::directory || links.load(std::memory_order_relaxed) == 1; }
    Result<off_t> seek_data(off_t from, bool data) override;
    Result<void> allocate(uint32_t mode, uint64_t offset, uint64_t end) override;
    Result<size_t> get_xattr(std::string_view name, std::span<char> value) override;
    Result<void> set_xattr(std::string_view name, std::string_view value, uint32_t flags) override;
    Result<void> remove_xattr(std::string_view name) override;
    Result<size_t> list_xattrs(std::span<char> names, bool trusted) override;
    Result<void> sync(bool data_only) override;

    // ---- the inode (node.cpp) ----
    /// From the disk: uclean if it makes no sense.
    static Result<RefPtr<Node>> load(Fs& fs, uint32_t number);
    /// A new one in an inode that was allocated in this operation; written by store().
    static Result<RefPtr<Node>> make(Fs& fs, uint32_t number, const NewNode& fresh);
    /// Into its block, in an operation.
    Result<void> store();
    uint64_t size_bytes() const { return pages_ ? pages_->size() : size_.load(std::memory_order_relaxed); }
    bool has_dirty_pages() const { return pages_ && pages_->is_dirty(); }
    bool needs_store() const { return attributes_dirty_.load(std::memory_order_relaxed) != 0; }
    /// Data, then attributes if they changed; not the commit.
    Result<void> write_back();
    /// No name and no user any more: gives everything back. In no operation.
    Result<void> destroy();
    /// Frees blocks from `from` (bytes, rounded up) on, in operations of its own; write-back lock held.
    Result<void> free_from(uint64_t from);
    void touch_change();
    void touch_modification();
    void touch_access();

    const uint32_t number;
    std::atomic<uint32_t> mode{0}, uid{0}, gid{0}, links{0};
    uint32_t generation = 0, flags = 0; ///< op lock
    uint32_t next_orphan = 0;           ///< op lock; 0: last of the list
    bool is_orphan = false;             ///< op lock
    /// Op lock: its neighbours among the orphans made since the mount, in the order of the list on the disk. They live: an
    /// orphan goes only after it left the list, or when nothing is written any more.
    Node *orphan_before = nullptr, *orphan_behind = nullptr;

    // ---- extents (extents.cpp); with map_lock_, changes in an operation ----
    /// Any lock up to fs_map but that; takes it.
    Result<Mapping> map_blocks(uint32_t first, uint32_t most);
    Result<Mapping> find_mapping(uint32_t first, uint32_t most);
    /// The range is a hole before.
    Result<void> insert_extent(uint32_t first, uint32_t length, uint64_t block, bool unwritten);
    /// Unmaps (and frees) part of [first, end); true: there is more.
    Result<bool> remove_extents(uint32_t first, uint32_t end, bool free);
    /// The place behind the last extent before `first`: where the next block should be.
    uint64_t goal_for(uint32_t first);
    Mutex<Rank::fs_map> map_lock;
    bool has_extents() const { return flags & inode_flags::extents; }

    // ---- the table of nodes ----
    Node* table_next = nullptr;              ///< fs.table_lock
    std::atomic<uint32_t> named_children{0}; ///< nodes that hold a reference for their name

private:
    friend class FilePages;
    friend struct Extents;
    friend struct Directory;
    friend class Fs;
    void forget_name();
    void forget_name_if(const Node& directory, std::string_view name);
    Result<RefPtr<Node>> child(uint32_t inode);
    Result<RefPtr<Node>> make_child(const NewNode& fresh, uint32_t link_count);
    Result<void> take_back(Node& child);
    Result<void> lose_name(Node& node);
    static Result<bool> is_ancestor(Node& ancestor, Node& of);
    Result<void> try_rename(std::string_view name, Vnode& new_directory, std::string_view new_name, uint32_t flags);
    void remember_name(Node& directory, std::string_view name);
    Result<void> set_size(uint64_t size);
    Result<void> grow(uint64_t old_size, uint64_t size);
    uint64_t max_size() const { return (uint64_t{UINT32_MAX} - 1) << fs().block_shift; }
    // preallocate.cpp
    Result<void> zero_bytes(uint64_t start, uint64_t end);
    Result<void> free_pages(uint64_t first, uint64_t last);
    Result<void> set_aside(uint32_t first, uint32_t end, bool zero);
    // xattr.cpp
    std::span<uint8_t> xattr_space(uint8_t* raw) const;
    Result<MetaRef> xattr_block();
    Result<void> read_xattrs(XattrList& to);
    Result<void> write_xattrs(XattrList& from);
    Result<void> leave_xattr_block();
    void drop_privilege_bits();
    void changed() { attributes_dirty_.store(1, std::memory_order_relaxed); }

    Mutex<Rank::vnode> lock_;          ///< a directory's contents, a file's size
    Mutex<Rank::writeback> write_lock; ///< write-back and truncation of a file
    RefPtr<FilePages> pages_;          ///< regular files
    std::atomic<uint64_t> size_{0};    ///< of others
    uint64_t disk_size_ = 0;           ///< op lock; what the inode on the disk says
    uint64_t blocks_ = 0;              ///< op lock; in file-system blocks, the extents' own included
    std::atomic<uint64_t> blocks_shown_{0};
    uint64_t file_acl_ = 0;
    uint64_t rdevice_ = 0;
    alignas(4) uint8_t root_[60] = {}; ///< map_lock: extents; or a short symbolic link's text, or a device's number
    std::atomic<nanos_t> atime_{0}, mtime_{0}, ctime_{0};
    nanos_t created_ = 0;
    uint16_t extra_size_ = 32;
    std::atomic<uint32_t> attributes_dirty_{0};
    std::atomic<uint32_t> changed_in_{0};      ///< number of the transaction with its last change
    std::atomic<uint32_t> data_changed_in_{0}; ///< the same for what fdatasync promises
    std::atomic<uint32_t> write_error_{0};     ///< of a write-back that nobody was told yet
    bool removed_ = false;                     ///< lock_
    Fifo fifo_;

    // one of its names, fs.table_lock; the directory has a reference
    Node* name_directory_ = nullptr;
    char* name_ = nullptr;
    uint32_t name_length_ = 0;
};

} // namespace lentil::ext4

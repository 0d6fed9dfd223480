// SPDX-License-Identifier: BSD-2-Clause
// The contents of a directory: its blocks, and the hash tree over them. With the directory's lock; changes in an operation.
#pragma once

#include <vfs/ext4/node.hpp>

namespace lentil::ext4 {

struct Directory {
    Node& node;
    Fs& fs;
    explicit Directory(Node& n) : node(n), fs(n.fs()) {}

    struct Found {
        MetaRef block;
        uint32_t offset = 0;
        uint32_t previous = none; ///< the entry before it in its block
        static constexpr uint32_t none = ~0u;
        DirEntry* entry() const { return block.at<DirEntry>(offset); }
    };
    static constexpr uint32_t record_for(size_t name_length) {
        return static_cast<uint32_t>((sizeof(DirEntry) + name_length + 3) & ~size_t{3});
    }
    static std::string_view name_of(const DirEntry* e) { return {e->name, e->name_length}; }
    static uint8_t type_code(VnodeType type);
    static uint32_t entry_type(uint8_t code); ///< DT_*

    uint32_t block_count() const { return static_cast<uint32_t>(node.size_bytes() >> fs.block_shift); }
    bool has_index() const { return node.flags & inode_flags::index; }
    uint32_t tail_bytes() const { return fs.checksums() ? sizeof(DirTail) : 0; }
    /// Block `n`, checked: uclean.
    Result<MetaRef> block(uint32_t n);
    /// noent.
    Result<Found> find(std::string_view name);
    Result<Found> find_in(MetaRef block, std::string_view name);
    Result<bool> is_empty();
    Result<uint32_t> parent_number();

    Result<void> add(std::string_view name, uint32_t inode, VnodeType type);
    /// False: no room in this block.
    bool add_to(MetaRef& block, std::string_view name, uint32_t inode, uint8_t code);
    void remove(Found& found);
    void point_to(Found& found, uint32_t inode, VnodeType type);
    Result<void> set_parent(uint32_t inode);
    /// A new directory's first block.
    Result<void> create(uint32_t parent);
    /// One more block at the end, empty; its number in `n`.
    Result<MetaRef> append(uint32_t& n);
    void make_empty_leaf(MetaRef& block);
    void modified(MetaRef& block);

    // ---- htree.cpp ----
    /// The leaf with a name's hash; opnotsupp: an index that we do not know, search all blocks.
    Result<Found> find_by_hash(std::string_view name);
    Result<void> add_by_hash(std::string_view name, uint32_t inode, uint8_t code);
    /// The only block is full: it becomes a leaf under a root.
    Result<void> make_index();

private:
    struct HashPath;
    Result<void> check(MetaRef& block, uint32_t n);
    bool is_hash_node(const uint8_t* data, uint32_t n) const;
    bool index_ok(const MetaRef& block, uint32_t entries) const;
    Result<uint32_t> hash_of(std::string_view name, uint8_t version) const;
    Result<HashPath> descend(uint32_t hash);
    Result<void> split_leaf(HashPath& path, uint8_t version);
    Result<void> split_index(HashPath& path);
};

} // namespace lentil::ext4

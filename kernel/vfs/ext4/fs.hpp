// SPDX-License-Identifier: BSD-2-Clause
// One mounted ext4 file system: its geometry, the allocator, and the table of nodes in use.
//
// Locks, outermost first: rename_lock; a node's own lock (Rank::vnode: contents of a directory, size of a file); a file's
// write-back lock; op_lock (one change of metadata at a time, see journal.hpp; all of the allocator and the inode table); a
// node's map lock (its extents: also taken by page faults); the spin lock of the table of nodes.
#pragma once

#include <vfs/ext4/journal.hpp>
#include <vfs/mount.hpp>

namespace lentil::ext4 {

class Node;

constexpr uint64_t join(uint32_t low, uint32_t high) { return low | uint64_t{high} << 32; }

struct Group {
    VmPage* freed = nullptr; ///< bits of blocks freed in the running transaction: not to be used before its commit
    VmPage* held = nullptr;  ///< bits of blocks that get their data now, in no bitmap on the disk yet
    uint32_t held_count = 0;
    bool blocks_touched = false, inodes_touched = false; ///< bitmaps to seal at the commit
    bool checked_blocks = false, checked_inodes = false; ///< bitmaps whose checksums were compared
};

struct BlockRun {
    uint64_t start = 0;
    uint32_t length = 0;
};

class Fs final : public Mount {
public:
    static constexpr const char* zone_name = "ext4_mounts";
    Fs() : journal(*this) {}
    ~Fs() override;
    void dispose() override { zone_delete(this); }
    FsStat fs_stat() override;
    bool in_use() override;
    void teardown() override;
    Result<void> change_flags(uint64_t from, uint64_t to) override;
    Result<void> sync() override;
    void background(bool write) override;

    /// Reads and checks the super block, opens the journal, clears up after a crash. inval: this is no ext4 that we know.
    Result<void> open(BlockVolume& disk, uint64_t flags, std::string_view options);

    // ---- geometry, constant after open ----
    bool with(uint32_t ro) const { return super.ro_compat & ro; }
    bool checksums() const { return with(ro_compat::metadata_checksum); }
    uint64_t group_start(uint32_t group) const {
        return super.first_data_block + uint64_t{group} * super.blocks_per_group;
    }
    uint32_t group_blocks(uint32_t group) const;
    /// Whether these blocks may hold data or metadata of a file: inside the volume and no part of the fixed layout.
    bool data_blocks_ok(uint64_t start, uint64_t length) const;
    uint32_t inode_seed(uint32_t inode, uint32_t generation) const;

    SuperBlock super{}; ///< as read; counts are kept below and put into the block at each commit
    uint32_t block_bytes = 0, block_shift = 0, group_count = 0, descriptor_bytes = 0, seed = 0;
    uint64_t block_count = 0;
    bool unsigned_hash = false;

    // ---- metadata, with op_lock unless it says otherwise ----
    Mutex<Rank::fs> op_lock;
    Mutex<Rank::rename> rename_lock;
    MetaCache buffers;
    Journal journal;
    /// The descriptor of a group, in a buffer to be marked if it changes.
    Result<MetaRef> descriptor(uint32_t group, GroupDescriptor*& out);
    Result<MetaRef> block_bitmap(uint32_t group);
    Result<MetaRef> inode_bitmap(uint32_t group);
    /// Whether a bitmap has the checksum that its group's descriptor says; true where there are none.
    bool bitmap_is_sound(const MetaRef& map, uint32_t bits, uint16_t sum_lo, uint16_t sum_hi) const;
    /// Up to `want` neighbouring blocks near `goal`. `hold` sets them aside only (commit_held, drop_held). nospc.
    Result<BlockRun> allocate(uint64_t goal, uint32_t want, bool hold);
    Result<void> commit_held(BlockRun run);
    void drop_held(BlockRun run);
    void drop_held_if(BlockRun run); ///< those bits of it that are still held
    Result<void> free_blocks(uint64_t start, uint32_t length);
    Result<uint32_t> allocate_inode(uint32_t near, bool directory);
    Result<void> free_inode(uint32_t inode, bool directory);
    /// The block and the place of an inode. Any lock up to fs_map.
    Result<MetaRef> inode_place(uint32_t inode, uint32_t& offset);
    /// Inodes to clear up after a crash: a list through DiskInode::dtime.
    Result<void> orphan_add(Node& node);
    Result<void> orphan_remove(Node& node);
    /// Something on the disk or of us is wrong: nothing is changed from here on. Returns `error`.
    Errno fail(const char* what, Errno error = Errno::uclean);
    bool is_writing() const { return writing_; } ///< mounted for writing
    bool failed() const { return failed_.load(std::memory_order_relaxed) != 0; }
    /// Before a commit writes: checksums of bitmaps and descriptors, counts.
    Result<void> seal_groups();
    void seal(MetaBlock& buffer) const;
    void transaction_ended(); ///< freed blocks may be used

    /// Blocks set aside for pages that have no place yet. nospc.
    Result<void> reserve(uint32_t blocks);
    /// Whether so many blocks of metadata can be had besides: nospc.
    Result<void> room_for(uint32_t blocks) const;
    void unreserve(uint32_t blocks) { reserved_.fetch_sub(blocks, std::memory_order_relaxed); }

    // ---- nodes ----
    /// The node of an inode: uclean if it makes no sense. `fresh`: was just made, needs no look at the disk.
    Result<RefPtr<Node>> node(uint32_t inode);
    void add_node(Node& fresh);
    /// Ends nodes that nobody uses and that have no name; all that are not in use if `all` (they stay if dirty).
    void evict(bool all);
    /// A node whose last name went: ends it now if the caller is the last user.
    void end_if_unused(RefPtr<Node> node);
    /// Writes dirty files and inodes, then commits.
    Result<void> write_back_all();

    std::atomic<uint64_t> free_block_count{0}, free_inode_count{0};
    SpinLock<Rank::fs_buffer> table_lock;

private:
    Result<void> read_super();
    Result<void> check_groups();
    Result<void> sort_system_ranges();
    uint16_t group_checksum(uint32_t group, const GroupDescriptor* d) const;
    void seal_super(SuperBlock& s) const;
    void seal_hash_node(MetaBlock& block) const;
    RefPtr<Node> take_unused(bool all, bool force = false);
    bool evict_one();
    Result<void> start_writing();
    Result<void> process_orphans();
    Result<void> stop_writing();
    bool has_super(uint32_t group) const;
    void add_system_range(uint64_t start, uint64_t length);
    template<class Visit>
    void for_each_node(Visit visit);
    bool free_word_run(uint32_t group, const uint8_t* bitmap, uint32_t from, uint32_t want, BlockRun& out) const;
    Result<VmPage*> overlay(VmPage*& page);

    BlockVolume* disk_ = nullptr;
    Group* groups_ = nullptr;
    struct Range {
        uint64_t start, end;
    };
    Buffer<Range> system_;
    size_t system_count_ = 0;
    std::atomic<uint64_t> reserved_{0};
    std::atomic<uint32_t> failed_{0};
    bool writing_ = false;
    Mutex<Rank::fs_background> background_lock_; ///< who holds nodes without being a user of them
    static constexpr unsigned node_buckets = 512;
    Node* nodes_[node_buckets] = {};
    Node* first_orphan_ = nullptr; ///< op lock
    size_t node_count_ = 0;
};

} // namespace lentil::ext4

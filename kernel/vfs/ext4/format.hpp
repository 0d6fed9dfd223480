// SPDX-License-Identifier: BSD-2-Clause
// What lies on the disk, little-endian except the journal. Sections are those of "ext4 Data Structures and Algorithms" in
// the Linux kernel's documentation (filesystems/ext4).
#pragma once

#include <cstddef>
#include <cstdint>

namespace lentil::ext4 {

/// "Super Block". At byte 1024 of the volume.
struct SuperBlock {
    uint32_t inodes, blocks_lo, reserved_lo, free_blocks_lo;
    uint32_t free_inodes, first_data_block, log_block_size, log_cluster_size;
    uint32_t blocks_per_group, clusters_per_group, inodes_per_group, mount_time;
    uint32_t write_time;
    uint16_t mounts, max_mounts, magic, state, errors, minor_revision;
    uint32_t last_check, check_interval, creator, revision;
    uint16_t reserved_uid, reserved_gid;
    uint32_t first_inode;
    uint16_t inode_size, group_of_this;
    uint32_t compat, incompat, ro_compat;
    uint8_t uuid[16];
    char volume_name[16], last_mounted[64];
    uint32_t algorithm_usage;
    uint8_t prealloc_blocks, prealloc_dir_blocks;
    uint16_t reserved_gdt_blocks;
    uint8_t journal_uuid[16];
    uint32_t journal_inode, journal_device, last_orphan;
    uint32_t hash_seed[4];
    uint8_t default_hash, journal_backup_type;
    uint16_t descriptor_size;
    uint32_t default_mount_options, first_meta_group, made_time;
    uint32_t journal_backup[17];
    uint32_t blocks_hi, reserved_hi, free_blocks_hi;
    uint16_t min_extra_size, want_extra_size;
    uint32_t flags;
    uint16_t raid_stride, mmp_interval;
    uint64_t mmp_block;
    uint32_t raid_stripe_width;
    uint8_t log_groups_per_flex, checksum_type;
    uint16_t reserved_pad;
    uint8_t rest_1[0x270 - 0x178];
    uint32_t checksum_seed;
    uint8_t rest_2[0x3fc - 0x274];
    uint32_t checksum;
};
static_assert(sizeof(SuperBlock) == 1024 && offsetof(SuperBlock, first_inode) == 0x54 &&
              offsetof(SuperBlock, journal_uuid) == 0xd0 && offsetof(SuperBlock, descriptor_size) == 0xfe &&
              offsetof(SuperBlock, blocks_hi) == 0x150 && offsetof(SuperBlock, mmp_block) == 0x168 &&
              offsetof(SuperBlock, log_groups_per_flex) == 0x174);
inline constexpr uint16_t super_magic = 0xef53;
inline constexpr uint16_t state_valid = 1, state_errors = 2;
inline constexpr uint32_t super_unsigned_hash = 2; ///< SuperBlock::flags

namespace compat {
inline constexpr uint32_t has_journal = 4, extended_attributes = 8, dir_index = 0x20, sparse_super2 = 0x200,
                          fast_commit = 0x400, orphan_file = 0x1000;
}
namespace incompat {
inline constexpr uint32_t filetype = 2, recover = 4, extents = 0x40, bits64 = 0x80, flex_bg = 0x200,
                          checksum_seed = 0x2000;
inline constexpr uint32_t known = filetype | recover | extents | bits64 | flex_bg | checksum_seed;
inline constexpr uint32_t needed = filetype | extents;
} // namespace incompat
namespace ro_compat {
inline constexpr uint32_t sparse_super = 1, large_file = 2, huge_file = 8, gdt_checksum = 0x10, dir_nlink = 0x20,
                          extra_size = 0x40, metadata_checksum = 0x400, orphan_present = 0x10000;
inline constexpr uint32_t writable =
    sparse_super | large_file | huge_file | gdt_checksum | dir_nlink | extra_size | metadata_checksum;
} // namespace ro_compat

/// "Block Group Descriptors"; the second half only with 64-bit descriptors.
struct GroupDescriptor {
    uint32_t block_bitmap_lo, inode_bitmap_lo, inode_table_lo;
    uint16_t free_blocks_lo, free_inodes_lo, directories_lo, flags;
    uint32_t exclude_bitmap_lo;
    uint16_t block_bitmap_checksum_lo, inode_bitmap_checksum_lo, unused_inodes_lo, checksum;
    uint32_t block_bitmap_hi, inode_bitmap_hi, inode_table_hi;
    uint16_t free_blocks_hi, free_inodes_hi, directories_hi, unused_inodes_hi;
    uint32_t exclude_bitmap_hi;
    uint16_t block_bitmap_checksum_hi, inode_bitmap_checksum_hi;
    uint32_t reserved;
};
static_assert(sizeof(GroupDescriptor) == 64 && offsetof(GroupDescriptor, checksum) == 0x1e);
namespace group_flags {
inline constexpr uint16_t inodes_unused = 1, blocks_unused = 2, inodes_zeroed = 4;
}

/// "Index Nodes".
struct DiskInode {
    uint16_t mode, uid_lo;
    uint32_t size_lo, atime, ctime, mtime, dtime;
    uint16_t gid_lo, links;
    uint32_t blocks_lo, flags, version;
    uint8_t block[60];
    uint32_t generation, file_acl_lo, size_hi, obsolete_fragment;
    uint16_t blocks_hi, file_acl_hi, uid_hi, gid_hi, checksum_lo, reserved;
    uint16_t extra_size, checksum_hi;
    uint32_t ctime_extra, mtime_extra, atime_extra, created, created_extra, version_hi, project;
};
static_assert(sizeof(DiskInode) == 160 && offsetof(DiskInode, block) == 0x28 &&
              offsetof(DiskInode, generation) == 0x64 && offsetof(DiskInode, checksum_lo) == 0x7c &&
              offsetof(DiskInode, extra_size) == 0x80);
inline constexpr uint32_t root_inode = 2, first_extra = 128;
namespace inode_flags {
inline constexpr uint32_t immutable = 0x10, append_only = 0x20, index = 0x1000, huge_file = 0x40000, extents = 0x80000,
                          ea_inode = 0x200000, inline_data = 0x10000000, encrypted = 0x800;
}

/// "Extent Tree".
struct ExtentHeader {
    uint16_t magic, entries, max, depth;
    uint32_t generation;
};
struct ExtentIndex {
    uint32_t first, child_lo;
    uint16_t child_hi, unused;
};
struct Extent {
    uint32_t first;
    uint16_t length, start_hi; ///< length above 32768: not written yet, 32768 less
    uint32_t start_lo;
};
static_assert(sizeof(ExtentHeader) == 12 && sizeof(ExtentIndex) == 12 && sizeof(Extent) == 12);
inline constexpr uint16_t extent_magic = 0xf30a;
inline constexpr uint32_t extent_max_length = 32768;

/// "Directory Entries"; records are multiples of 4 bytes and do not cross blocks.
struct DirEntry {
    uint32_t inode;
    uint16_t record_length;
    uint8_t name_length, type;
    char name[];
};
struct DirTail {
    uint32_t zero;
    uint16_t record_length;    ///< 12
    uint8_t zero_length, type; ///< 0xde
    uint32_t checksum;
};
static_assert(sizeof(DirEntry) == 8 && sizeof(DirTail) == 12);
/// "Hash Tree Directories".
struct HashEntry {
    uint32_t hash, block;
};
struct HashCount { ///< lies over the `hash` of the first entry
    uint16_t limit, count;
};
struct HashRootInfo {
    uint32_t zero;
    uint8_t hash_version, info_length, levels, flags;
};
inline constexpr uint32_t hash_root_offset = 0x18, hash_root_entries = 0x20, hash_node_entries = 8;

/// "Journal (jbd2)", big-endian.
struct JournalHeader {
    uint32_t magic, type, sequence;
};
inline constexpr uint32_t journal_magic = 0xc03b3998;
enum JournalType : uint32_t {
    journal_descriptor = 1,
    journal_commit = 2,
    journal_super_1 = 3,
    journal_super_2 = 4,
    journal_revoke = 5
};
struct JournalSuper {
    JournalHeader header;
    uint32_t block_size, max_length, first, sequence, start, error;
    uint32_t compat, incompat, ro_compat;
    uint8_t uuid[16];
    uint32_t users, dynamic_super, max_transaction, max_transaction_data;
    uint8_t checksum_type, padding_1[3];
    uint32_t fast_commit_blocks, head, padding_2[40];
    uint32_t checksum;
    uint8_t user_ids[768];
};
static_assert(sizeof(JournalSuper) == 1024 && offsetof(JournalSuper, checksum) == 0xfc);
namespace journal_incompat {
inline constexpr uint32_t revoke = 1, bits64 = 2, async_commit = 4, checksum_2 = 8, checksum_3 = 0x10;
inline constexpr uint32_t known = revoke | bits64 | async_commit | checksum_2 | checksum_3;
} // namespace journal_incompat
struct JournalTag3 {
    uint32_t block, flags, block_hi, checksum;
};
namespace journal_tag {
inline constexpr uint32_t escaped = 1, same_uuid = 2, deleted = 4, last = 8;
}

} // namespace lentil::ext4

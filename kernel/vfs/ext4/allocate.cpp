// SPDX-License-Identifier: BSD-2-Clause
// The allocator: bitmaps and group descriptors ("Block and inode Bitmaps", "Block Group Descriptors"). All of it runs with
// the operation lock.
#include <algorithm>
#include <cstring>

#include <bsd/proc.hpp>
#include <vfs/ext4/crc32c.hpp>
#include <vfs/ext4/fs.hpp>
#include <vfs/ext4/node.hpp>

namespace lentil::ext4 {

namespace {

bool bit(const uint8_t* map, uint32_t i) { return map[i / 8] >> i % 8 & 1; }
void set_bit(uint8_t* map, uint32_t i) { map[i / 8] = static_cast<uint8_t>(map[i / 8] | 1u << i % 8); }
void clear_bit(uint8_t* map, uint32_t i) { map[i / 8] = static_cast<uint8_t>(map[i / 8] & ~(1u << i % 8)); }
uint8_t* bits_of(VmPage* page) { return static_cast<uint8_t*>(page_data(page)); }

uint32_t free_blocks_of(const GroupDescriptor& d) { return d.free_blocks_lo | uint32_t{d.free_blocks_hi} << 16; }
uint32_t free_inodes_of(const GroupDescriptor& d) { return d.free_inodes_lo | uint32_t{d.free_inodes_hi} << 16; }
void set_free_blocks(GroupDescriptor& d, uint32_t n) {
    d.free_blocks_lo = static_cast<uint16_t>(n);
    d.free_blocks_hi = static_cast<uint16_t>(n >> 16);
}
void set_free_inodes(GroupDescriptor& d, uint32_t n) {
    d.free_inodes_lo = static_cast<uint16_t>(n);
    d.free_inodes_hi = static_cast<uint16_t>(n >> 16);
}
void add_directories(GroupDescriptor& d, int n) {
    const uint32_t count = (d.directories_lo | uint32_t{d.directories_hi} << 16) + static_cast<uint32_t>(n);
    d.directories_lo = static_cast<uint16_t>(count);
    d.directories_hi = static_cast<uint16_t>(count >> 16);
}

} // namespace

uint32_t Fs::group_blocks(uint32_t group) const {
    return static_cast<uint32_t>(std::min<uint64_t>(super.blocks_per_group, block_count - group_start(group)));
}

Result<MetaRef> Fs::descriptor(uint32_t group, GroupDescriptor*& out) {
    const uint32_t per_block = block_bytes / descriptor_bytes;
    MetaRef block = TRY(buffers.get(super.first_data_block + 1 + group / per_block));
    out = block.at<GroupDescriptor>(group % per_block * descriptor_bytes);
    return block;
}

namespace {
/// The fields of the second half are only there with 64-bit descriptors: a copy makes both alike.
struct Described {
    Fs* fs;
    MetaRef block;
    GroupDescriptor* on_disk = nullptr;
    GroupDescriptor d{};

    static Result<Described> get(Fs& fs, uint32_t group) {
        Described r{&fs, {}, nullptr, {}};
        r.block = TRY(fs.descriptor(group, r.on_disk));
        memcpy(&r.d, r.on_disk, fs.descriptor_bytes < sizeof r.d ? fs.descriptor_bytes : sizeof r.d);
        return r;
    }
    void put() {
        memcpy(on_disk, &d, fs->descriptor_bytes < sizeof d ? fs->descriptor_bytes : sizeof d);
        fs->journal.modify(*block);
    }
};
} // namespace

bool Fs::has_super(uint32_t group) const {
    if (group == 0 || !with(ro_compat::sparse_super))
        return true;
    for (const uint32_t base : {3u, 5u, 7u}) {
        uint64_t power = 1;
        while (power < group)
            power *= base;
        if (power == group)
            return true;
    }
    return false;
}

bool Fs::bitmap_is_sound(const MetaRef& map, uint32_t bits, uint16_t sum_lo, uint16_t sum_hi) const {
    if (!checksums())
        return true;
    const uint32_t sum = crc32c(seed, map.data(), bits / 8);
    return descriptor_bytes >= 64 ? sum == (sum_lo | uint32_t{sum_hi} << 16) : (sum & 0xffff) == sum_lo;
}

Result<MetaRef> Fs::block_bitmap(uint32_t group) {
    Described desc = TRY(Described::get(*this, group));
    const uint64_t at = join(desc.d.block_bitmap_lo, desc.d.block_bitmap_hi);
    Group& g = groups_[group];
    if (desc.d.flags & group_flags::blocks_unused) {
        // Never written: what lies in the group by its layout is in use, the rest is free.
        MetaRef map = TRY(buffers.get_fresh(at));
        const uint64_t start = group_start(group), count = group_blocks(group);
        const auto mark = [&](uint64_t block, uint64_t n) {
            for (; n > 0; n--, block++)
                if (block >= start && block < start + count)
                    set_bit(map.data(), static_cast<uint32_t>(block - start));
        };
        if (has_super(group)) {
            const uint32_t per_block = block_bytes / descriptor_bytes;
            mark(start, 1 + (group_count + per_block - 1) / per_block + super.reserved_gdt_blocks);
        }
        mark(at, 1);
        mark(join(desc.d.inode_bitmap_lo, desc.d.inode_bitmap_hi), 1);
        mark(join(desc.d.inode_table_lo, desc.d.inode_table_hi),
             uint64_t{super.inodes_per_group} * super.inode_size >> block_shift);
        for (auto i = static_cast<uint32_t>(count); i < block_bytes * 8; i++)
            set_bit(map.data(), i);
        desc.d.flags = static_cast<uint16_t>(desc.d.flags & ~group_flags::blocks_unused);
        desc.put();
        journal.modify(*map);
        g.blocks_touched = g.checked_blocks = true;
        return map;
    }
    MetaRef map = TRY(buffers.get(at));
    if (!g.checked_blocks &&
        !bitmap_is_sound(map, super.blocks_per_group, desc.d.block_bitmap_checksum_lo, desc.d.block_bitmap_checksum_hi))
        return fail("a block bitmap with a wrong checksum");
    g.checked_blocks = true;
    return map;
}

Result<MetaRef> Fs::inode_bitmap(uint32_t group) {
    Described desc = TRY(Described::get(*this, group));
    const uint64_t at = join(desc.d.inode_bitmap_lo, desc.d.inode_bitmap_hi);
    Group& g = groups_[group];
    if (desc.d.flags & group_flags::inodes_unused) {
        MetaRef map = TRY(buffers.get_fresh(at));
        for (uint32_t i = super.inodes_per_group; i < block_bytes * 8; i++)
            set_bit(map.data(), i);
        desc.d.flags = static_cast<uint16_t>(desc.d.flags & ~group_flags::inodes_unused);
        desc.put();
        journal.modify(*map);
        g.inodes_touched = g.checked_inodes = true;
        return map;
    }
    MetaRef map = TRY(buffers.get(at));
    if (!g.checked_inodes &&
        !bitmap_is_sound(map, super.inodes_per_group, desc.d.inode_bitmap_checksum_lo, desc.d.inode_bitmap_checksum_hi))
        return fail("an inode bitmap with a wrong checksum");
    g.checked_inodes = true;
    return map;
}

Result<VmPage*> Fs::overlay(VmPage*& page) {
    if (!page)
        page = TRY(page_alloc_zeroed());
    return page;
}

/// The first run of free blocks from bit `from` on.
bool Fs::free_word_run(uint32_t group, const uint8_t* bitmap, uint32_t from, uint32_t want, BlockRun& out) const {
    const Group& g = groups_[group];
    const uint32_t end = group_blocks(group);
    const auto used = [&](uint32_t i) {
        return bit(bitmap, i) || (g.freed && bit(bits_of(g.freed), i)) || (g.held && bit(bits_of(g.held), i));
    };
    for (uint32_t i = from; i < end; i++) {
        if (bitmap[i / 8] == 0xff) {
            i |= 7;
            continue;
        }
        if (used(i))
            continue;
        uint32_t n = 1;
        while (n < want && i + n < end && !used(i + n))
            n++;
        out = {group_start(group) + i, n};
        return true;
    }
    return false;
}

Result<BlockRun> Fs::allocate(uint64_t goal, uint32_t want, bool hold) {
    if (goal < super.first_data_block || goal >= block_count)
        goal = super.first_data_block;
    const auto first = static_cast<uint32_t>((goal - super.first_data_block) / super.blocks_per_group);
    const auto from = static_cast<uint32_t>((goal - super.first_data_block) % super.blocks_per_group);
    for (uint32_t i = 0; i <= group_count; i++) { // the first group twice: behind the goal, then all of it
        const uint32_t group = (first + i) % group_count;
        Described desc = TRY(Described::get(*this, group));
        if (free_blocks_of(desc.d) <= groups_[group].held_count)
            continue;
        const MetaRef map = TRY(block_bitmap(group));
        desc = TRY(Described::get(*this, group)); // may have changed its flags
        BlockRun run;
        if (!free_word_run(group, map.data(), i == 0 ? from : 0, want, run))
            continue;
        if (!data_blocks_ok(run.start, run.length))
            return fail("a bitmap that says metadata is free");
        const auto at = static_cast<uint32_t>(run.start - group_start(group));
        if (hold) {
            uint8_t* const held = bits_of(TRY(overlay(groups_[group].held)));
            for (uint32_t b = 0; b < run.length; b++)
                set_bit(held, at + b);
            groups_[group].held_count += run.length;
            return run;
        }
        const uint32_t had = free_blocks_of(desc.d);
        if (had < run.length)
            return fail("a group with a wrong count of free blocks");
        for (uint32_t b = 0; b < run.length; b++)
            set_bit(map.data(), at + b);
        journal.modify(*map);
        groups_[group].blocks_touched = true;
        set_free_blocks(desc.d, had - run.length);
        desc.put();
        free_block_count.fetch_sub(run.length, std::memory_order_relaxed);
        return run;
    }
    return Errno::nospc;
}

void Fs::drop_held(BlockRun run) {
    const auto group = static_cast<uint32_t>((run.start - super.first_data_block) / super.blocks_per_group);
    const auto at = static_cast<uint32_t>(run.start - group_start(group));
    for (uint32_t b = 0; b < run.length; b++)
        clear_bit(bits_of(groups_[group].held), at + b);
    groups_[group].held_count -= run.length;
}

void Fs::drop_held_if(BlockRun run) {
    const auto group = static_cast<uint32_t>((run.start - super.first_data_block) / super.blocks_per_group);
    const auto at = static_cast<uint32_t>(run.start - group_start(group));
    if (groups_[group].held && bit(bits_of(groups_[group].held), at))
        drop_held(run);
}

Result<void> Fs::commit_held(BlockRun run) {
    const auto group = static_cast<uint32_t>((run.start - super.first_data_block) / super.blocks_per_group);
    const auto at = static_cast<uint32_t>(run.start - group_start(group));
    const MetaRef map = TRY(block_bitmap(group));
    Described desc = TRY(Described::get(*this, group));
    drop_held(run);
    const uint32_t had = free_blocks_of(desc.d);
    if (had < run.length)
        return fail("a group with a wrong count of free blocks");
    for (uint32_t b = 0; b < run.length; b++)
        set_bit(map.data(), at + b);
    journal.modify(*map);
    groups_[group].blocks_touched = true;
    set_free_blocks(desc.d, had - run.length);
    desc.put();
    free_block_count.fetch_sub(run.length, std::memory_order_relaxed);
    return {};
}

Result<void> Fs::free_blocks(uint64_t start, uint32_t length) {
    if (!data_blocks_ok(start, length))
        return fail("blocks to free that are no file's");
    while (length > 0) {
        const auto group = static_cast<uint32_t>((start - super.first_data_block) / super.blocks_per_group);
        const auto at = static_cast<uint32_t>(start - group_start(group));
        const uint32_t n = std::min(length, group_blocks(group) - at);
        const MetaRef map = TRY(block_bitmap(group));
        Described desc = TRY(Described::get(*this, group));
        uint8_t* const freed = bits_of(TRY(overlay(groups_[group].freed)));
        for (uint32_t b = 0; b < n; b++) {
            if (!bit(map.data(), at + b))
                return fail("a block that is freed twice");
            clear_bit(map.data(), at + b);
            set_bit(freed, at + b);
        }
        journal.modify(*map);
        groups_[group].blocks_touched = true;
        set_free_blocks(desc.d, free_blocks_of(desc.d) + n);
        desc.put();
        free_block_count.fetch_add(n, std::memory_order_relaxed);
        start += n;
        length -= n;
    }
    return {};
}

void Fs::transaction_ended() {
    for (uint32_t i = 0; i < group_count; i++)
        if (groups_[i].freed)
            page_unref(std::exchange(groups_[i].freed, nullptr));
}

Result<void> Fs::reserve(uint32_t blocks) {
    // Some more than asked for stay free for the blocks of extent trees and directories.
    const uint64_t reserved = reserved_.fetch_add(blocks, std::memory_order_relaxed) + blocks;
    const uint64_t free = free_block_count.load(std::memory_order_relaxed);
    uint64_t kept = 16 + reserved / 64;
    if (has_uthread() && current_proc().cred()->fsuid != super.reserved_uid &&
        !current_proc().cred()->capable(Capability::sys_resource))
        kept += join(super.reserved_lo, super.reserved_hi);
    if (reserved + kept <= free)
        return {};
    reserved_.fetch_sub(blocks, std::memory_order_relaxed);
    return Errno::nospc;
}

Result<void> Fs::room_for(uint32_t blocks) const {
    if (reserved_.load(std::memory_order_relaxed) + blocks > free_block_count.load(std::memory_order_relaxed))
        return Errno::nospc;
    return {};
}

// ---- inodes ----------------------------------------------------------------------------------------------------------

Result<MetaRef> Fs::inode_place(uint32_t inode, uint32_t& offset) {
    if (inode == 0 || inode > super.inodes)
        return fail("an inode number out of range");
    const uint32_t group = (inode - 1) / super.inodes_per_group;
    const uint64_t at = uint64_t{(inode - 1) % super.inodes_per_group} * super.inode_size;
    const Described desc = TRY(Described::get(*this, group));
    offset = static_cast<uint32_t>(at & (block_bytes - 1));
    return buffers.get(join(desc.d.inode_table_lo, desc.d.inode_table_hi) + (at >> block_shift));
}

Result<uint32_t> Fs::allocate_inode(uint32_t near, bool directory) {
    const uint32_t first = (near - 1) / super.inodes_per_group;
    for (uint32_t i = 0; i < group_count; i++) {
        const uint32_t group = (first + i) % group_count;
        Described desc = TRY(Described::get(*this, group));
        if (free_inodes_of(desc.d) == 0)
            continue;
        const MetaRef map = TRY(inode_bitmap(group));
        desc = TRY(Described::get(*this, group));
        uint32_t at = group == 0 ? super.first_inode - 1 : 0;
        while (at < super.inodes_per_group && bit(map.data(), at))
            at = bit(map.data(), at | 7) && map.data()[at / 8] == 0xff ? (at | 7) + 1 : at + 1;
        if (at >= super.inodes_per_group)
            continue;
        set_bit(map.data(), at);
        journal.modify(*map);
        groups_[group].inodes_touched = true;
        set_free_inodes(desc.d, free_inodes_of(desc.d) - 1);
        if (directory)
            add_directories(desc.d, 1);
        const uint32_t behind = super.inodes_per_group - (at + 1);
        if ((desc.d.unused_inodes_lo | uint32_t{desc.d.unused_inodes_hi} << 16) > behind) {
            desc.d.unused_inodes_lo = static_cast<uint16_t>(behind);
            desc.d.unused_inodes_hi = static_cast<uint16_t>(behind >> 16);
        }
        desc.put();
        free_inode_count.fetch_sub(1, std::memory_order_relaxed);
        return group * super.inodes_per_group + at + 1;
    }
    return Errno::nospc;
}

Result<void> Fs::free_inode(uint32_t inode, bool directory) {
    const uint32_t group = (inode - 1) / super.inodes_per_group, at = (inode - 1) % super.inodes_per_group;
    const MetaRef map = TRY(inode_bitmap(group));
    Described desc = TRY(Described::get(*this, group));
    if (!bit(map.data(), at))
        return fail("an inode that is freed twice");
    clear_bit(map.data(), at);
    journal.modify(*map);
    groups_[group].inodes_touched = true;
    set_free_inodes(desc.d, free_inodes_of(desc.d) + 1);
    if (directory)
        add_directories(desc.d, -1);
    desc.put();
    free_inode_count.fetch_add(1, std::memory_order_relaxed);
    return {};
}

// ---- seals -----------------------------------------------------------------------------------------------------------

Result<void> Fs::seal_groups() {
    for (uint32_t i = 0; i < group_count; i++) {
        Group& g = groups_[i];
        if (!g.blocks_touched && !g.inodes_touched)
            continue;
        Described desc = TRY(Described::get(*this, i));
        if (checksums() && g.blocks_touched) {
            const MetaRef map = TRY(block_bitmap(i));
            const uint32_t sum = crc32c(seed, map.data(), super.blocks_per_group / 8);
            desc.d.block_bitmap_checksum_lo = static_cast<uint16_t>(sum);
            desc.d.block_bitmap_checksum_hi = static_cast<uint16_t>(sum >> 16);
        }
        if (checksums() && g.inodes_touched) {
            const MetaRef map = TRY(inode_bitmap(i));
            const uint32_t sum = crc32c(seed, map.data(), super.inodes_per_group / 8);
            desc.d.inode_bitmap_checksum_lo = static_cast<uint16_t>(sum);
            desc.d.inode_bitmap_checksum_hi = static_cast<uint16_t>(sum >> 16);
        }
        desc.d.checksum = 0;
        desc.put();
        desc.on_disk->checksum = group_checksum(i, desc.on_disk);
        g.blocks_touched = g.inodes_touched = false;
    }
    const MetaRef block = TRY(buffers.get(1024 / block_bytes));
    auto* const s = block.at<SuperBlock>(1024 % block_bytes);
    const uint64_t free = free_block_count.load(std::memory_order_relaxed);
    s->free_blocks_lo = static_cast<uint32_t>(free);
    s->free_blocks_hi = static_cast<uint32_t>(free >> 32);
    s->free_inodes = static_cast<uint32_t>(free_inode_count.load(std::memory_order_relaxed));
    seal_super(*s);
    journal.modify(*block);
    return {};
}

} // namespace lentil::ext4

// SPDX-License-Identifier: BSD-2-Clause
// Directory blocks ("Linear Directories").
#include <algorithm>
#include <cstring>

#include <vfs/ext4/crc32c.hpp>
#include <vfs/ext4/directory.hpp>

namespace lentil::ext4 {

uint8_t Directory::type_code(VnodeType type) {
    switch (type) {
    case VnodeType::regular: return 1;
    case VnodeType::directory: return 2;
    case VnodeType::character: return 3;
    case VnodeType::block: return 4;
    case VnodeType::fifo: return 5;
    case VnodeType::socket: return 6;
    case VnodeType::symlink: return 7;
    }
    return 0;
}

uint32_t Directory::entry_type(uint8_t code) {
    constexpr uint8_t types[] = {0, 8, 4, 2, 6, 1, 12, 10};
    return code < std::size(types) ? types[code] : 0;
}

bool Directory::is_hash_node(const uint8_t* data, uint32_t n) const {
    const auto* first = reinterpret_cast<const DirEntry*>(data);
    return has_index() && (n == 0 || (first->inode == 0 && first->record_length == fs.block_bytes));
}

bool Directory::index_ok(const MetaRef& block, uint32_t entries) const {
    const auto* count = block.at<HashCount>(entries);
    const uint32_t room = (fs.block_bytes - entries - (fs.checksums() ? 8 : 0)) / sizeof(HashEntry);
    return count->limit == room && count->count <= count->limit && count->count > 0;
}

Result<void> Directory::check(MetaRef& block, uint32_t n) {
    const uint32_t size = fs.block_bytes;
    const bool hash = is_hash_node(block.data(), n);
    const uint32_t seed = fs.inode_seed(node.number, node.generation);
    for (uint32_t at = 0; at < size;) {
        const auto* e = block.at<DirEntry>(at);
        const uint32_t length = size - at >= sizeof(DirEntry) ? e->record_length : 0;
        if (length < 12 || length % 4 != 0 || length > size - at || sizeof(DirEntry) + e->name_length > length ||
            e->inode > fs.super.inodes || (e->inode != 0 && e->name_length == 0))
            return fs.fail("a damaged directory");
        at += length;
    }
    if (n == 0) { // "." and ".."
        const auto *self = block.at<DirEntry>(0), *up = block.at<DirEntry>(self->record_length);
        if (self->record_length != 12 || name_of(self) != "." || self->inode != node.number || name_of(up) != ".." ||
            up->inode == 0)
            return fs.fail("a directory without . or ..");
    }
    if (hash && (n == 0 || fs.checksums())) { // without checksums an empty leaf looks like a node: see descend
        const uint32_t entries = n == 0 ? hash_root_entries : hash_node_entries;
        const auto* count = block.at<HashCount>(entries);
        if (!index_ok(block, entries))
            return fs.fail("a damaged directory index");
        if (fs.checksums()) {
            const uint32_t tail = entries + count->limit * sizeof(HashEntry), zero = 0;
            uint32_t sum = crc32c(seed, block.data(), entries + count->count * sizeof(HashEntry));
            sum = crc32c(crc32c(sum, block.data() + tail, 4), &zero, 4);
            if (sum != *block.at<uint32_t>(tail + 4))
                return fs.fail("a directory index with a wrong checksum");
        }
    } else if (fs.checksums()) {
        const auto* tail = block.at<DirTail>(size - sizeof(DirTail));
        if (tail->zero != 0 || tail->record_length != sizeof(DirTail) || tail->zero_length != 0 || tail->type != 0xde ||
            tail->checksum != crc32c(seed, block.data(), size - sizeof(DirTail)))
            return fs.fail("a directory block with a wrong checksum");
    }
    return {};
}

void Fs::seal_hash_node(MetaBlock& block) const {
    const auto* first = reinterpret_cast<const DirEntry*>(block.data);
    const uint32_t entries = first->record_length == block_bytes ? hash_node_entries : hash_root_entries;
    const auto* count = reinterpret_cast<const HashCount*>(block.data + entries);
    const uint32_t tail = entries + count->limit * sizeof(HashEntry), zero = 0;
    uint32_t sum = crc32c(block.seed, block.data, entries + count->count * sizeof(HashEntry));
    sum = crc32c(crc32c(sum, block.data + tail, 4), &zero, 4);
    memcpy(block.data + tail + 4, &sum, 4);
}

Result<MetaRef> Directory::block(uint32_t n) {
    const Mapping m = TRY(node.map_blocks(n, 1));
    if (m.kind != Mapping::written)
        return fs.fail("a directory with a hole");
    MetaRef block = TRY(fs.buffers.get(m.block));
    if (!block->verified.load(std::memory_order_acquire)) {
        TRY(check(block, n));
        block->verified.store(1, std::memory_order_release);
    }
    return block;
}

void Directory::modified(MetaRef& block) {
    const auto* first = block.at<DirEntry>(0);
    const bool root = has_index() && first->inode == node.number && name_of(first) == ".";
    block->seal = root || is_hash_node(block.data(), 1) ? Seal::hash_node : Seal::directory;
    block->seed = fs.inode_seed(node.number, node.generation);
    fs.journal.modify(*block);
}

Result<Directory::Found> Directory::find_in(MetaRef block, std::string_view name) {
    uint32_t previous = Found::none;
    for (uint32_t at = 0; at < fs.block_bytes;) {
        const auto* e = block.at<DirEntry>(at);
        if (e->inode != 0 && name_of(e) == name)
            return Found{std::move(block), at, previous};
        previous = at;
        at += e->record_length;
    }
    return Errno::noent;
}

Result<Directory::Found> Directory::find(std::string_view name) {
    if (has_index()) {
        Result<Found> found = find_by_hash(name);
        if (found || found.error() != Errno::opnotsupp)
            return found;
    }
    for (uint32_t n = 0; n < block_count(); n++) {
        Result<Found> found = find_in(TRY(block(n)), name);
        if (found || found.error() != Errno::noent)
            return found;
    }
    return Errno::noent;
}

Result<bool> Directory::is_empty() {
    for (uint32_t n = 0; n < block_count(); n++) {
        const MetaRef b = TRY(block(n));
        for (uint32_t at = 0; at < fs.block_bytes;) {
            const auto* e = b.at<DirEntry>(at);
            if (e->inode != 0 && name_of(e) != "." && name_of(e) != "..")
                return false;
            at += e->record_length;
        }
    }
    return true;
}

Result<uint32_t> Directory::parent_number() {
    const MetaRef first = TRY(block(0));
    return first.at<DirEntry>(12)->inode;
}

Result<void> Directory::set_parent(uint32_t inode) {
    MetaRef first = TRY(block(0));
    first.at<DirEntry>(12)->inode = inode;
    modified(first);
    return {};
}

bool Directory::add_to(MetaRef& block, std::string_view name, uint32_t inode, uint8_t code) {
    const uint32_t needed = record_for(name.size());
    for (uint32_t at = 0; at < fs.block_bytes - tail_bytes();) {
        auto* e = block.at<DirEntry>(at);
        const uint32_t used = e->inode ? record_for(e->name_length) : 0;
        if (e->record_length - used < needed) {
            at += e->record_length;
            continue;
        }
        auto* fresh = block.at<DirEntry>(at + used);
        fresh->record_length = static_cast<uint16_t>(e->record_length - used);
        if (used)
            e->record_length = static_cast<uint16_t>(used);
        fresh->inode = inode;
        fresh->name_length = static_cast<uint8_t>(name.size());
        fresh->type = code;
        memcpy(fresh->name, name.data(), name.size());
        modified(block);
        return true;
    }
    return false;
}

void Directory::make_empty_leaf(MetaRef& block) {
    const uint32_t size = fs.block_bytes;
    memset(block.data(), 0, size);
    block.at<DirEntry>(0)->record_length = static_cast<uint16_t>(size - tail_bytes());
    if (tail_bytes())
        *block.at<DirTail>(size - sizeof(DirTail)) = {0, sizeof(DirTail), 0, 0xde, 0};
}

Result<MetaRef> Directory::append(uint32_t& n) {
    n = block_count();
    MutexGuard guard(node.map_lock);
    const BlockRun run = TRY(fs.allocate(node.goal_for(n), 1, false));
    if (const Result<void> mapped = node.insert_extent(n, 1, run.start, false); !mapped) {
        (void)fs.free_blocks(run.start, 1);
        return mapped.error();
    }
    MetaRef block = TRY(fs.buffers.get_fresh(run.start));
    make_empty_leaf(block);
    node.disk_size_ = uint64_t{n + 1} << fs.block_shift;
    node.size_.store(node.disk_size_, std::memory_order_relaxed);
    modified(block);
    return block;
}

Result<void> Directory::create(uint32_t parent) {
    uint32_t n;
    MetaRef block = TRY(append(n));
    auto* self = block.at<DirEntry>(0);
    self->inode = node.number;
    self->record_length = 12;
    self->name_length = 1;
    self->type = type_code(VnodeType::directory);
    self->name[0] = '.';
    auto* up = block.at<DirEntry>(12);
    up->inode = parent;
    up->record_length = static_cast<uint16_t>(fs.block_bytes - 12 - tail_bytes());
    up->name_length = 2;
    up->type = type_code(VnodeType::directory);
    up->name[0] = up->name[1] = '.';
    modified(block);
    return {};
}

Result<void> Directory::add(std::string_view name, uint32_t inode, VnodeType type) {
    const uint8_t code = type_code(type);
    if (has_index()) {
        const Result<void> added = add_by_hash(name, inode, code);
        if (added || added.error() != Errno::opnotsupp)
            return added;
        return fs.fail("a directory with an index of an unknown kind", Errno::opnotsupp);
    }
    for (uint32_t n = 0; n < block_count(); n++) {
        MetaRef b = TRY(block(n));
        if (add_to(b, name, inode, code))
            return {};
    }
    if (block_count() == 1 && (fs.super.compat & compat::dir_index)) {
        TRY(make_index());
        return add_by_hash(name, inode, code);
    }
    uint32_t n;
    MetaRef fresh = TRY(append(n));
    if (!add_to(fresh, name, inode, code))
        return fs.fail("a name that fits nowhere");
    return {};
}

void Directory::remove(Found& found) {
    DirEntry* const e = found.entry();
    if (found.previous != Found::none) {
        auto* before = found.block.at<DirEntry>(found.previous);
        before->record_length = static_cast<uint16_t>(before->record_length + e->record_length);
    }
    e->inode = 0;
    modified(found.block);
}

void Directory::point_to(Found& found, uint32_t inode, VnodeType type) {
    found.entry()->inode = inode;
    found.entry()->type = type_code(type);
    modified(found.block);
}

Result<void> Node::read_directory(off_t& position, DirectorySink& sink) {
    if (type != VnodeType::directory)
        return Errno::notdir;
    MutexGuard guard(lock_);
    touch_access();
    if (removed_)
        return Errno::noent;
    Directory directory(*this);
    // A position is a place in the blocks; where an entry went away meanwhile, the next one behind it is meant.
    for (;;) {
        const uint64_t at = static_cast<uint64_t>(position);
        if (at >= size_bytes())
            return {};
        const auto n = static_cast<uint32_t>(at >> fs().block_shift);
        const uint64_t start = uint64_t{n} << fs().block_shift;
        const MetaRef block = TRY(directory.block(n));
        for (uint32_t offset = 0; offset < fs().block_bytes;) {
            const auto* e = block.at<DirEntry>(offset);
            const uint64_t next = start + offset + e->record_length;
            if (start + offset >= at) {
                if (e->inode != 0 && !sink.put({Directory::name_of(e), e->inode, Directory::entry_type(e->type),
                                                static_cast<off_t>(next)}))
                    return {};
                position = static_cast<off_t>(next);
            }
            offset += e->record_length;
        }
        position = static_cast<off_t>(start + fs().block_bytes);
    }
}

} // namespace lentil::ext4

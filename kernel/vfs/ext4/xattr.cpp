// SPDX-License-Identifier: BSD-2-Clause
// Extended attributes ("Extended Attributes"): what fits lies in the inode behind its fields, the rest in one block, which
// other files with the same attributes may share. A change reads all of them, and writes all of them again.
#include <algorithm>
#include <cstring>

#include <vfs/ext4/crc32c.hpp>
#include <vfs/ext4/node.hpp>
#include <vfs/xattr.hpp>

namespace lentil::ext4 {

namespace {

constexpr uint32_t xattr_magic = 0xea020000;

struct XattrHeader { ///< of the block
    uint32_t magic, users, blocks, hash, checksum, reserved[3];
};
struct XattrEntry {
    uint8_t name_length, space;
    uint16_t value_offset; ///< from the block's start, or in an inode from the first entry
    uint32_t value_inode, value_size, hash;
    char name[];
};
static_assert(sizeof(XattrHeader) == 32 && sizeof(XattrEntry) == 16);

struct Space {
    uint8_t number;
    std::string_view prefix;
};
constexpr Space spaces[] = {
    {1, "user."},  {2, "system.posix_acl_access"}, {3, "system.posix_acl_default"}, {4, "trusted."}, {6, "security."},
    {7, "system."}};

size_t round4(size_t n) { return (n + 3) & ~size_t{3}; }

const Space& space_of(std::string_view name) {
    const Space* found = spaces; // the calls let no other through, and what was read had one
    for (const Space& s : spaces)
        if (name.starts_with(s.prefix) && (found == spaces || s.prefix.size() > found->prefix.size()))
            found = &s;
    return *found;
}

/// Bytes that an attribute takes.
size_t room_for(const XattrList::Entry& e) {
    return sizeof(XattrEntry) + round4(e.name.size() - space_of(e.name_view()).prefix.size()) + round4(e.value.size());
}

uint32_t hash_of(std::string_view name, const uint8_t* value, size_t size) {
    uint32_t hash = 0;
    for (const char c : name)
        hash = hash << 5 ^ hash >> 27 ^ static_cast<uint8_t>(c);
    for (size_t i = 0; i < size; i += 4) { // padded with zeros
        uint32_t word;
        memcpy(&word, value + i, 4);
        hash = hash << 16 ^ hash >> 16 ^ word;
    }
    return hash;
}

/// Reads the entries of [first, end), whose values count from `base`. False: they make no sense.
Result<bool> parse(const uint8_t* base, const uint8_t* first, const uint8_t* end, XattrList& to) {
    for (const uint8_t* at = first;;) {
        uint32_t word = 0;
        if (end - at < 4)
            return at == end; // no room for the mark of the end, nor for anything else
        memcpy(&word, at, 4);
        if (word == 0)
            return true;
        const auto* e = reinterpret_cast<const XattrEntry*>(at);
        const auto left = static_cast<size_t>(end - at);
        if (left < sizeof *e || left < sizeof *e + round4(e->name_length) || e->value_inode != 0)
            return false;
        if (e->value_size > static_cast<size_t>(end - base) ||
            (e->value_size > 0 && e->value_offset > static_cast<size_t>(end - base) - e->value_size))
            return false;
        const auto* space =
            std::find_if(std::begin(spaces), std::end(spaces), [&](const Space& s) { return s.number == e->space; });
        if (space != std::end(spaces)) {
            char name[xattr_name_max + 32];
            memcpy(name, space->prefix.data(), space->prefix.size());
            memcpy(name + space->prefix.size(), e->name, e->name_length);
            TRY(to.append({name, space->prefix.size() + e->name_length},
                          {reinterpret_cast<const char*>(base) + e->value_offset, e->value_size}));
        } else {
            return Errno::opnotsupp; // of a kind that would be lost
        }
        at += sizeof *e + round4(e->name_length);
    }
}

/// Writes entries into [first, end), which is zero, values from the end down.
class Writer {
public:
    Writer(uint8_t* base, uint8_t* first, uint8_t* end) : base_(base), at_(first), values_(end) {}
    bool fits(const XattrList::Entry& e) const {
        return static_cast<size_t>(values_ - at_) >= room_for(e) + 4; // and the mark of the end
    }
    uint32_t put(const XattrList::Entry& from) {
        const Space& space = space_of(from.name_view());
        const std::string_view name = from.name_view().substr(space.prefix.size());
        auto* const e = reinterpret_cast<XattrEntry*>(at_);
        e->name_length = static_cast<uint8_t>(name.size());
        e->space = space.number;
        memcpy(e->name, name.data(), name.size());
        e->value_size = static_cast<uint32_t>(from.value.size());
        if (from.value.size() > 0) {
            values_ -= round4(from.value.size());
            memcpy(values_, from.value.data(), from.value.size());
            e->value_offset = static_cast<uint16_t>(values_ - base_);
        }
        e->hash = hash_of(name, values_, from.value.size());
        at_ += sizeof *e + round4(name.size());
        return e->hash;
    }

private:
    uint8_t *base_, *at_, *values_;
};

/// The order of entries in a block.
bool before(const XattrList::Entry& a, const XattrList::Entry& b) {
    const Space &x = space_of(a.name_view()), &y = space_of(b.name_view());
    if (x.number != y.number)
        return x.number < y.number;
    const std::string_view m = a.name_view().substr(x.prefix.size()), n = b.name_view().substr(y.prefix.size());
    return m.size() != n.size() ? m.size() < n.size() : m < n;
}

void seal_block(const Fs& fs, uint64_t number, const MetaRef& block) {
    if (!fs.checksums())
        return;
    auto* const h = block.at<XattrHeader>(0);
    h->checksum = 0;
    h->checksum = crc32c(crc32c(fs.seed, &number, 8), block.data(), fs.block_bytes);
}

} // namespace

/// Where attributes lie in an inode, the magic number first: none if there is no room.
std::span<uint8_t> Node::xattr_space(uint8_t* raw) const {
    const size_t from = first_extra + extra_size_, end = fs().super.inode_size;
    if (extra_size_ == 0 || from + 8 > end)
        return {};
    return {raw + from, end - from};
}

Result<MetaRef> Node::xattr_block() {
    if (!fs().data_blocks_ok(file_acl_, 1))
        return fs().fail("a block of attributes that is no file's");
    MetaRef block = TRY(fs().buffers.get(file_acl_));
    const auto* h = block.at<XattrHeader>(0);
    if (!block->verified.load(std::memory_order_acquire)) {
        if (h->magic != xattr_magic || h->blocks != 1 || h->users == 0)
            return fs().fail("a damaged block of attributes");
        if (fs().checksums()) {
            const uint32_t stored = h->checksum, zero = 0;
            constexpr size_t at = offsetof(XattrHeader, checksum);
            uint32_t sum = crc32c(crc32c(fs().seed, &file_acl_, 8), block.data(), at);
            sum = crc32c(crc32c(sum, &zero, 4), block.data() + at + 4, fs().block_bytes - at - 4);
            if (sum != stored)
                return fs().fail("a block of attributes with a wrong checksum");
        }
        block->verified.store(1, std::memory_order_release);
    } else if (h->magic != xattr_magic) {
        return fs().fail("a block of attributes that is something else");
    }
    return block;
}

/// All attributes; lock_ is held. Without any no memory is asked for.
Result<void> Node::read_xattrs(XattrList& to) {
    uint32_t offset = 0;
    const MetaRef place = TRY(fs().inode_place(number, offset));
    const std::span<uint8_t> space = xattr_space(place.data() + offset);
    uint32_t magic = 0;
    if (!space.empty())
        memcpy(&magic, space.data(), 4);
    if (magic == xattr_magic && !TRY(parse(space.data() + 4, space.data() + 4, space.data() + space.size(), to)))
        return fs().fail("damaged attributes in an inode");
    if (file_acl_ == 0)
        return {};
    const MetaRef block = TRY(xattr_block());
    if (!TRY(parse(block.data(), block.data() + sizeof(XattrHeader), block.data() + fs().block_bytes, to)))
        return fs().fail("a damaged block of attributes");
    return {};
}

/// One user of the block of attributes less; in an operation.
Result<void> Node::leave_xattr_block() {
    const MetaRef block = TRY(xattr_block());
    const uint64_t block_number = std::exchange(file_acl_, 0);
    blocks_ -= std::min<uint64_t>(blocks_, 1);
    auto* const h = block.at<XattrHeader>(0);
    if (h->users <= 1) {
        fs().journal.forget(block_number);
        block->verified.store(0, std::memory_order_release);
        return fs().free_blocks(block_number, 1);
    }
    h->users--;
    seal_block(fs(), block_number, block);
    fs().journal.modify(*block);
    return {};
}

/// Puts all of them back, one operation; nospc before anything is changed.
Result<void> Node::write_xattrs(XattrList& from) {
    if (!(fs().super.compat & compat::extended_attributes))
        return Errno::opnotsupp;
    Op op(fs());
    TRY(op.begin(12));
    uint32_t offset = 0;
    const MetaRef place = TRY(fs().inode_place(number, offset));
    const std::span<uint8_t> space = xattr_space(place.data() + offset);
    // Who goes into the inode: those that fit, in order.
    size_t in_inode = space.size() < 8 ? 0 : space.size() - 8, in_block = fs().block_bytes - sizeof(XattrHeader) - 4;
    size_t count = 0, in_block_count = 0;
    for (const auto* e = from.first(); e; e = e->next, count++) {
        const size_t n = room_for(*e);
        if (n <= in_inode) {
            in_inode -= n;
        } else if (n <= in_block) {
            in_block -= n;
            in_block_count++;
        } else {
            return Errno::nospc;
        }
    }
    Buffer<const XattrList::Entry*> sorted = TRY(Buffer<const XattrList::Entry*>::create(in_block_count));
    MetaRef block;
    if (in_block_count > 0) {
        bool own = false;
        if (file_acl_ != 0) {
            block = TRY(xattr_block());
            own = block.at<XattrHeader>(0)->users == 1;
        }
        if (!own) {
            TRY(fs().room_for(4));
            const BlockRun run =
                TRY(fs().allocate(fs().group_start((number - 1) / fs().super.inodes_per_group), 1, false));
            auto fresh = fs().buffers.get_fresh(run.start);
            if (!fresh) {
                (void)fs().free_blocks(run.start, 1);
                return fresh.error();
            }
            block = std::move(*fresh);
            if (file_acl_ != 0)
                TRY(leave_xattr_block());
            file_acl_ = run.start;
            blocks_++;
        }
    } else if (file_acl_ != 0) {
        TRY(leave_xattr_block());
    }
    // Nothing fails from here on.
    if (!space.empty())
        memset(space.data(), 0, space.size());
    Writer inode(space.data() + 4, space.data() + 4, space.data() + space.size());
    size_t sorted_count = 0;
    bool any = false;
    for (const auto* e = from.first(); e; e = e->next) {
        if (space.size() >= 8 && inode.fits(*e)) {
            inode.put(*e);
            any = true;
        } else {
            sorted[sorted_count++] = e;
        }
    }
    if (any)
        memcpy(space.data(), &xattr_magic, 4);
    if (in_block_count > 0) {
        std::sort(sorted.begin(), sorted.begin() + sorted_count,
                  [](const auto* a, const auto* b) { return before(*a, *b); });
        memset(block.data(), 0, fs().block_bytes);
        auto* const h = block.at<XattrHeader>(0);
        *h = {xattr_magic, 1, 1, 0, 0, {}};
        Writer writer(block.data(), block.data() + sizeof *h, block.data() + fs().block_bytes);
        uint32_t hash = 0;
        for (size_t i = 0; i < sorted_count; i++)
            hash = hash << 16 ^ hash >> 16 ^ writer.put(*sorted[i]);
        h->hash = hash;
        seal_block(fs(), file_acl_, block);
        fs().journal.modify(*block);
    }
    touch_change();
    return store();
}

Result<size_t> Node::get_xattr(std::string_view name, std::span<char> value) {
    MutexGuard guard(lock_);
    XattrList list;
    TRY(read_xattrs(list));
    return list.get(name, value);
}

Result<size_t> Node::list_xattrs(std::span<char> names, bool trusted) {
    MutexGuard guard(lock_);
    XattrList list;
    TRY(read_xattrs(list));
    return list.list(names, trusted);
}

Result<void> Node::set_xattr(std::string_view name, std::string_view value, uint32_t flags_wanted) {
    MutexGuard guard(lock_);
    if (flags & (inode_flags::immutable | inode_flags::append_only))
        return Errno::perm;
    XattrList list;
    TRY(read_xattrs(list));
    TRY(list.set(name, value, flags_wanted, fs().block_bytes * 2));
    return write_xattrs(list);
}

Result<void> Node::remove_xattr(std::string_view name) {
    MutexGuard guard(lock_);
    if (flags & (inode_flags::immutable | inode_flags::append_only))
        return Errno::perm;
    XattrList list;
    TRY(read_xattrs(list));
    TRY(list.remove(name));
    return write_xattrs(list);
}

} // namespace lentil::ext4

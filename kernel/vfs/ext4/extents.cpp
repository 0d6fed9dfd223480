// SPDX-License-Identifier: BSD-2-Clause
// The extent tree ("Extent Tree"): where a file's blocks are. The root lies in the inode, other nodes in blocks; every node
// is sorted, and an index entry carries the first block that its child holds.
#include <algorithm>
#include <cstring>

#include <vfs/ext4/crc32c.hpp>
#include <vfs/ext4/node.hpp>

namespace lentil::ext4 {

namespace {

constexpr unsigned max_depth = 5;

uint64_t child_of(const ExtentIndex& i) { return join(i.child_lo, i.child_hi); }
uint64_t start_of(const Extent& e) { return join(e.start_lo, e.start_hi); }
void set_start(Extent& e, uint64_t block) {
    e.start_lo = static_cast<uint32_t>(block);
    e.start_hi = static_cast<uint16_t>(block >> 32);
}
bool is_unwritten(const Extent& e) { return e.length > extent_max_length; }
uint32_t length_of(const Extent& e) { return is_unwritten(e) ? e.length - extent_max_length : e.length; }
void set_length(Extent& e, uint32_t length, bool unwritten) {
    e.length = static_cast<uint16_t>(unwritten ? length + extent_max_length : length);
}
Extent make_extent(uint32_t first, uint32_t length, uint64_t block, bool unwritten) {
    Extent e{};
    e.first = first;
    set_start(e, block);
    set_length(e, length, unwritten);
    return e;
}

} // namespace

/// Walks and changes one node's tree; its map lock is held.
struct Extents {
    struct Level {
        MetaRef block; ///< none for the root
        ExtentHeader* header = nullptr;
        int at = -1; ///< the entry with the largest key not above the block looked for; -1: before all
    };
    Node& node;
    Fs& fs;
    Level levels[max_depth + 1];
    unsigned depth = 0; ///< of the leaf

    explicit Extents(Node& n) : node(n), fs(n.fs()) {}

    ExtentHeader* root() const { return reinterpret_cast<ExtentHeader*>(node.root_); }
    static Extent* extents(ExtentHeader* h) { return reinterpret_cast<Extent*>(h + 1); }
    static ExtentIndex* indexes(ExtentHeader* h) { return reinterpret_cast<ExtentIndex*>(h + 1); }
    uint32_t block_room() const {
        return (fs.block_bytes - sizeof(ExtentHeader) - (fs.checksums() ? 4 : 0)) / sizeof(Extent);
    }
    Level& leaf() { return levels[depth]; }

    /// Whether a node's entries are in order and point to where they may.
    bool is_sound(const ExtentHeader* h, unsigned expected_depth, uint32_t room) const {
        if (h->magic != extent_magic || h->depth != expected_depth || h->max > room || h->entries > h->max ||
            (expected_depth > 0 && h->entries == 0))
            return false;
        auto* header = const_cast<ExtentHeader*>(h);
        uint64_t next = 0;
        for (unsigned i = 0; i < h->entries; i++) {
            if (expected_depth == 0) {
                const Extent& e = extents(header)[i];
                if (e.first < next || e.length == 0 || uint64_t{e.first} + length_of(e) > UINT32_MAX ||
                    !fs.data_blocks_ok(start_of(e), length_of(e)))
                    return false;
                next = uint64_t{e.first} + length_of(e);
            } else {
                const ExtentIndex& x = indexes(header)[i];
                if ((i > 0 && x.first < next) || !fs.data_blocks_ok(child_of(x), 1))
                    return false;
                next = uint64_t{x.first} + 1;
            }
        }
        return true;
    }
    bool root_is_sound() const { return root()->depth <= max_depth && is_sound(root(), root()->depth, 4); }

    Result<MetaRef> get(uint64_t number, unsigned expected_depth) {
        MetaRef block = TRY(fs.buffers.get(number));
        if (!block->verified.load(std::memory_order_acquire)) {
            const auto* h = block.at<ExtentHeader>(0);
            if (!is_sound(h, expected_depth, block_room()))
                return fs.fail("a damaged extent block");
            if (fs.checksums()) {
                uint32_t stored;
                const uint32_t at = sizeof(ExtentHeader) + h->max * sizeof(Extent);
                memcpy(&stored, block.data() + at, 4);
                if (stored != crc32c(fs.inode_seed(node.number, node.generation), block.data(), at))
                    return fs.fail("an extent block with a wrong checksum");
            }
            block->verified.store(1, std::memory_order_release);
        } else if (block.at<ExtentHeader>(0)->magic != extent_magic ||
                   block.at<ExtentHeader>(0)->depth != expected_depth) {
            return fs.fail("a block of two extent trees");
        }
        return block;
    }

    static int search(ExtentHeader* h, uint32_t first) {
        int low = -1, high = h->entries; // keys at low are <= first, at high above it
        while (high - low > 1) {
            const int middle = (low + high) / 2;
            const uint32_t key = h->depth ? indexes(h)[middle].first : extents(h)[middle].first;
            (key <= first ? low : high) = middle;
        }
        return low;
    }

    /// The path to the leaf in which `first` is or would be.
    Result<void> descend(uint32_t first) {
        levels[0].block = MetaRef();
        levels[0].header = root();
        depth = 0;
        for (;;) {
            Level& l = levels[depth];
            l.at = search(l.header, first);
            if (l.header->depth == 0)
                return {};
            if (l.at < 0)
                l.at = 0; // before the first: it would go there
            const unsigned below = l.header->depth - 1u;
            const uint64_t child = child_of(indexes(l.header)[l.at]);
            if (depth == max_depth)
                return fs.fail("an extent tree that is too deep");
            Level& next = levels[++depth];
            next.block = TRY(get(child, below));
            next.header = next.block.at<ExtentHeader>(0);
        }
    }

    void modified(Level& l) {
        if (!l.block)
            return; // the root: stored with the inode
        l.block->seal = Seal::extents;
        l.block->seed = fs.inode_seed(node.number, node.generation);
        fs.journal.modify(*l.block);
    }

    /// After the first key of a level changed: the keys above say the same.
    void fix_keys(unsigned level) {
        while (level > 0) {
            ExtentHeader* h = levels[level].header;
            const uint32_t key = h->depth ? indexes(h)[0].first : extents(h)[0].first;
            Level& up = levels[level - 1];
            if (indexes(up.header)[up.at].first == key)
                return;
            indexes(up.header)[up.at].first = key;
            modified(up);
            if (up.at != 0)
                return;
            level--;
        }
    }

    template<class E>
    static void insert_at(ExtentHeader* h, int at, const E& entry) {
        E* const list = reinterpret_cast<E*>(h + 1);
        memmove(list + at + 1, list + at, (h->entries - static_cast<unsigned>(at)) * sizeof(E));
        list[at] = entry;
        h->entries++;
    }
    static void erase_at(ExtentHeader* h, int at) {
        Extent* const list = extents(h);
        memmove(list + at, list + at + 1, (h->entries - static_cast<unsigned>(at) - 1) * sizeof(Extent));
        h->entries--;
    }

    Result<MetaRef> new_block(uint64_t goal, uint16_t node_depth) {
        const BlockRun run = TRY(fs.allocate(goal, 1, false));
        auto block = fs.buffers.get_fresh(run.start);
        if (!block) {
            (void)fs.free_blocks(run.start, 1);
            return block.error();
        }
        *(*block).at<ExtentHeader>(0) = {extent_magic, 0, static_cast<uint16_t>(block_room()), node_depth, 0};
        node.blocks_++;
        return block;
    }

    /// Makes room for one more entry in the leaf; the path is to be walked again.
    Result<void> make_room() {
        const uint64_t goal = fs.group_start(node.number / fs.super.inodes_per_group);
        unsigned level = depth;
        while (level > 0 && levels[level - 1].header->entries == levels[level - 1].header->max)
            level--;
        if (level == 0) { // the root is full too: its entries move to a block of their own
            if (root()->depth == max_depth)
                return Errno::fbig;
            Level fresh;
            fresh.block = TRY(new_block(goal, root()->depth));
            fresh.header = fresh.block.at<ExtentHeader>(0);
            memcpy(fresh.header + 1, root() + 1, root()->entries * sizeof(Extent));
            fresh.header->entries = root()->entries;
            modified(fresh);
            const uint32_t first = root()->depth ? indexes(root())[0].first : extents(root())[0].first;
            root()->depth++;
            root()->entries = 1;
            indexes(root())[0] = {first, static_cast<uint32_t>(fresh.block->block),
                                  static_cast<uint16_t>(fresh.block->block >> 32), 0};
            return {};
        }
        // levels[level] is full, its parent is not: split it. At the end of a file that grows only the last entry moves.
        Level& full = levels[level];
        ExtentHeader* const h = full.header;
        const unsigned move = full.at == h->entries - 1 ? 1 : h->entries / 2;
        Level fresh;
        fresh.block = TRY(new_block(goal, h->depth));
        fresh.header = fresh.block.at<ExtentHeader>(0);
        memcpy(fresh.header + 1, extents(h) + (h->entries - move), move * sizeof(Extent));
        fresh.header->entries = static_cast<uint16_t>(move);
        h->entries = static_cast<uint16_t>(h->entries - move);
        modified(full);
        modified(fresh);
        const uint32_t key = h->depth ? indexes(fresh.header)[0].first : extents(fresh.header)[0].first;
        Level& up = levels[level - 1];
        insert_at(up.header, up.at + 1,
                  ExtentIndex{key, static_cast<uint32_t>(fresh.block->block),
                              static_cast<uint16_t>(fresh.block->block >> 32), 0});
        modified(up);
        return {};
    }

    Result<void> insert(uint32_t first, uint32_t length, uint64_t block, bool unwritten) {
        const uint32_t longest = unwritten ? extent_max_length - 1 : extent_max_length;
        for (;;) {
            TRY(descend(first));
            ExtentHeader* const h = leaf().header;
            const int at = leaf().at;
            if (at >= 0) {
                Extent& before = extents(h)[at];
                if (before.first + length_of(before) == first && start_of(before) + length_of(before) == block &&
                    is_unwritten(before) == unwritten && length_of(before) + length <= longest) {
                    set_length(before, length_of(before) + length, unwritten);
                    modified(leaf());
                    return {};
                }
            }
            if (at + 1 < h->entries) {
                Extent& after = extents(h)[at + 1];
                if (first + length == after.first && block + length == start_of(after) &&
                    is_unwritten(after) == unwritten && length_of(after) + length <= longest) {
                    after = make_extent(first, length_of(after) + length, block, unwritten);
                    modified(leaf());
                    if (at + 1 == 0)
                        fix_keys(depth);
                    return {};
                }
            }
            if (h->entries < h->max) {
                insert_at(h, at + 1, make_extent(first, length, block, unwritten));
                modified(leaf());
                if (at + 1 == 0)
                    fix_keys(depth);
                return {};
            }
            TRY(make_room());
        }
    }

    /// The leaf is empty: it goes, with every node above that holds nothing else.
    Result<void> drop_empty_leaf() {
        unsigned level = depth;
        while (level > 0 && levels[level].header->entries == 0) {
            const uint64_t block = levels[level].block->block;
            levels[level].block = MetaRef();
            fs.journal.forget(block);
            TRY(fs.free_blocks(block, 1));
            node.blocks_--;
            level--;
            erase_at(levels[level].header, levels[level].at);
            modified(levels[level]);
            if (levels[level].header->entries > 0 && levels[level].at == 0)
                fix_keys(level);
        }
        if (root()->entries == 0)
            root()->depth = 0;
        return {};
    }

    /// The path to the first extent that ends behind `first`; false: there is none.
    Result<bool> descend_to_next(uint32_t first) {
        for (;;) {
            TRY(descend(first));
            Level& l = leaf();
            if (l.at >= 0 && extents(l.header)[l.at].first + length_of(extents(l.header)[l.at]) > first)
                return true;
            if (l.at + 1 < l.header->entries) {
                l.at++;
                return true;
            }
            // The next leaf begins with the next key of the nearest level that has one.
            unsigned level = depth;
            while (level > 0 && levels[level - 1].at + 1 >= levels[level - 1].header->entries)
                level--;
            if (level == 0)
                return false;
            const uint32_t next = indexes(levels[level - 1].header)[levels[level - 1].at + 1].first;
            if (next <= first)
                return fs.fail("an extent index out of order");
            first = next;
        }
    }
};

Result<Mapping> Node::find_mapping(uint32_t first, uint32_t most) {
    if (!has_extents())
        return size_bytes() == 0 ? Result<Mapping>(Mapping{Mapping::hole, most, 0}) : Result<Mapping>(Errno::opnotsupp);
    Extents tree(*this);
    if (!tree.root_is_sound())
        return fs().fail("a damaged extent root");
    if (!TRY(tree.descend_to_next(first)))
        return Mapping{Mapping::hole, most, 0};
    const Extent& e = Extents::extents(tree.leaf().header)[tree.leaf().at];
    if (e.first > first)
        return Mapping{Mapping::hole, std::min(most, e.first - first), 0};
    const uint32_t skip = first - e.first;
    return Mapping{is_unwritten(e) ? Mapping::unwritten : Mapping::written, std::min(most, length_of(e) - skip),
                   start_of(e) + skip};
}

Result<Mapping> Node::map_blocks(uint32_t first, uint32_t most) {
    MutexGuard guard(map_lock);
    return find_mapping(first, most);
}

uint64_t Node::goal_for(uint32_t first) {
    Extents tree(*this);
    if (has_extents() && tree.root_is_sound() && tree.descend(first).ok() && tree.leaf().at >= 0) {
        const Extent& e = Extents::extents(tree.leaf().header)[tree.leaf().at];
        return start_of(e) + length_of(e);
    }
    return fs().group_start((number - 1) / fs().super.inodes_per_group);
}

Result<void> Node::insert_extent(uint32_t first, uint32_t length, uint64_t block, bool unwritten) {
    Extents tree(*this);
    if (!has_extents() || !tree.root_is_sound())
        return fs().fail("a damaged extent root");
    while (length > 0) {
        const uint32_t n = std::min(length, extent_max_length - 1);
        TRY(tree.insert(first, n, block, unwritten));
        blocks_ += n;
        first += n;
        block += n;
        length -= n;
    }
    return {};
}

Result<bool> Node::remove_extents(uint32_t first, uint32_t end, bool free) {
    constexpr unsigned at_once = 24; // bounds what one operation changes
    if (!has_extents())
        return false;
    Extents tree(*this);
    if (!tree.root_is_sound())
        return fs().fail("a damaged extent root");
    for (unsigned i = 0; i < at_once; i++) {
        if (!TRY(tree.descend_to_next(first)))
            return false;
        ExtentHeader* const h = tree.leaf().header;
        const int at = tree.leaf().at;
        Extent& e = Extents::extents(h)[at];
        if (e.first >= end)
            return false;
        const uint32_t from = std::max(first, e.first), to = std::min(end, e.first + length_of(e));
        const uint32_t behind = e.first + length_of(e) - to, before = from - e.first;
        const uint64_t block = start_of(e) + before;
        const bool unwritten = is_unwritten(e);
        if (before > 0) {
            set_length(e, before, unwritten);
            tree.modified(tree.leaf());
            if (behind > 0)
                TRY(tree.insert(to, behind, block + (to - from), unwritten));
        } else if (behind > 0) {
            e = make_extent(to, behind, block + (to - from), unwritten);
            tree.modified(tree.leaf());
            if (at == 0)
                tree.fix_keys(tree.depth);
        } else {
            Extents::erase_at(h, at);
            tree.modified(tree.leaf());
            if (h->entries == 0)
                TRY(tree.drop_empty_leaf());
            else if (at == 0)
                tree.fix_keys(tree.depth);
        }
        blocks_ -= to - from;
        if (free) {
            if (type != VnodeType::regular) // these went through the journal: replay must not bring them back
                for (uint32_t n = 0; n < to - from; n++)
                    fs().journal.forget(block + n);
            TRY(fs().free_blocks(block, to - from));
        }
        first = to;
    }
    return true;
}

} // namespace lentil::ext4

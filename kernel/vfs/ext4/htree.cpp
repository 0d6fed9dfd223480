// SPDX-License-Identifier: BSD-2-Clause
// Hash tree directories: names sorted by a hash into leaf blocks, with one or two levels of index above them. Block 0 is the
// root. The lowest bit of a key in the index says that the leaf before ends with names of the same hash.
#include <algorithm>
#include <cstring>

#include <vfs/ext4/directory.hpp>

namespace lentil::ext4 {

namespace {

constexpr uint32_t rotate(uint32_t v, unsigned n) { return v << n | v >> (32 - n); }

/// Three rounds of MD4 over eight words.
void half_md4(uint32_t (&state)[4], const uint32_t (&in)[8]) {
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    const auto f = [](uint32_t x, uint32_t y, uint32_t z) { return z ^ (x & (y ^ z)); };
    const auto g = [](uint32_t x, uint32_t y, uint32_t z) { return (x & y) + ((x ^ y) & z); };
    const auto h = [](uint32_t x, uint32_t y, uint32_t z) { return x ^ y ^ z; };
    const auto round = [&](auto mix, uint32_t constant, const unsigned(&order)[8], const unsigned(&shifts)[4]) {
        for (unsigned i = 0; i < 8; i++) {
            const uint32_t sum = rotate(a + mix(b, c, d) + in[order[i]] + constant, shifts[i % 4]);
            a = d; // the roles of the four words move on
            d = c;
            c = b;
            b = sum;
        }
    };
    round(f, 0, {0, 1, 2, 3, 4, 5, 6, 7}, {3, 7, 11, 19});
    round(g, 0x5a827999, {1, 3, 5, 7, 0, 2, 4, 6}, {3, 5, 9, 13});
    round(h, 0x6ed9eba1, {3, 7, 2, 6, 1, 5, 0, 4}, {3, 9, 11, 15});
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

void tea(uint32_t (&state)[4], const uint32_t (&in)[4]) {
    uint32_t sum = 0, x = state[0], y = state[1];
    for (int i = 0; i < 16; i++) {
        sum += 0x9e3779b9;
        x += ((y << 4) + in[0]) ^ (y + sum) ^ ((y >> 5) + in[1]);
        y += ((x << 4) + in[2]) ^ (x + sum) ^ ((x >> 5) + in[3]);
    }
    state[0] += x;
    state[1] += y;
}

uint32_t widen(char c, bool is_unsigned) {
    return is_unsigned ? static_cast<unsigned char>(c) : static_cast<uint32_t>(static_cast<signed char>(c));
}

/// The name as words, filled up with its length.
template<size_t N>
void words_of(std::string_view name, uint32_t (&words)[N], bool is_unsigned) {
    uint32_t pad = static_cast<uint32_t>(name.size()) | static_cast<uint32_t>(name.size()) << 8;
    pad |= pad << 16;
    const size_t n = std::min(name.size(), N * 4);
    uint32_t value = pad;
    size_t word = 0;
    for (size_t i = 0; i < n; i++) {
        value = widen(name[i], is_unsigned) + (value << 8);
        if (i % 4 == 3) {
            words[word++] = value;
            value = pad;
        }
    }
    if (word < N)
        words[word++] = value;
    while (word < N)
        words[word++] = pad;
}

uint32_t legacy_hash(std::string_view name, bool is_unsigned) {
    uint32_t one = 0x12a3fe2d, two = 0x37abe8f9;
    for (const char c : name) {
        uint32_t hash = two + (one ^ widen(c, is_unsigned) * 7152373);
        if (hash & 0x80000000)
            hash -= 0x7fffffff;
        two = one;
        one = hash;
    }
    return one << 1;
}

constexpr uint32_t hash_end = 0xfffffffe; ///< never a name's

} // namespace

Result<uint32_t> Directory::hash_of(std::string_view name, uint8_t version) const {
    if (version <= 2 && fs.unsigned_hash)
        version = static_cast<uint8_t>(version + 3);
    if (version > 5)
        return Errno::opnotsupp;
    const bool is_unsigned = version >= 3;
    uint32_t state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    if (fs.super.hash_seed[0] | fs.super.hash_seed[1] | fs.super.hash_seed[2] | fs.super.hash_seed[3])
        memcpy(state, fs.super.hash_seed, sizeof state);
    uint32_t hash = 0;
    switch (version % 3) {
    case 0: hash = legacy_hash(name, is_unsigned); break;
    case 1:
        for (std::string_view rest = name; !rest.empty(); rest.remove_prefix(std::min<size_t>(32, rest.size()))) {
            uint32_t in[8];
            words_of(rest, in, is_unsigned);
            half_md4(state, in);
        }
        hash = state[1];
        break;
    case 2:
        for (std::string_view rest = name; !rest.empty(); rest.remove_prefix(std::min<size_t>(16, rest.size()))) {
            uint32_t in[4];
            words_of(rest, in, is_unsigned);
            tea(state, in);
        }
        hash = state[0];
        break;
    }
    hash &= ~1u;
    return hash == hash_end ? hash_end - 2 : hash;
}

/// The way from the root to a leaf.
struct Directory::HashPath {
    static constexpr unsigned max_levels = 3;
    struct Level {
        MetaRef block;
        uint32_t entries = 0; ///< offset of the first in the block
        unsigned at = 0;
        HashEntry* entry(unsigned i) const { return block.at<HashEntry>(entries) + i; }
        HashCount* count() const { return block.at<HashCount>(entries); }
        bool full() const { return count()->count == count()->limit; }
    };
    Level levels[max_levels];
    unsigned depth = 0; ///< the index level above the leaves
    uint8_t version = 0;
    Level& last() { return levels[depth]; }
};

Result<Directory::HashPath> Directory::descend(uint32_t hash) {
    HashPath path;
    path.levels[0].block = TRY(block(0));
    path.levels[0].entries = hash_root_entries;
    const auto* info = path.levels[0].block.at<HashRootInfo>(hash_root_offset);
    if (info->levels >= HashPath::max_levels - 1 + 1u || info->info_length != 8 || info->zero != 0)
        return Errno::opnotsupp;
    path.version = info->hash_version;
    for (;;) {
        HashPath::Level& l = path.last();
        unsigned low = 0, high = l.count()->count; // the key of entry 0 counts as 0
        while (high - low > 1) {
            const unsigned middle = (low + high) / 2;
            (l.entry(middle)->hash <= hash ? low : high) = middle;
        }
        l.at = low;
        if (path.depth == info->levels)
            return path;
        const uint32_t child = l.entry(low)->block & 0x0fffffff;
        HashPath::Level& next = path.levels[++path.depth];
        if (child == 0 || child >= block_count())
            return fs.fail("a damaged directory index");
        next.block = TRY(block(child));
        if (!is_hash_node(next.block.data(), child) || !index_ok(next.block, hash_node_entries))
            return fs.fail("a damaged directory index");
        next.entries = hash_node_entries;
    }
}

Result<Directory::Found> Directory::find_by_hash(std::string_view name) {
    if (name == "." || name == "..")
        return find_in(TRY(block(0)), name);
    const auto version = TRY(block(0)).at<HashRootInfo>(hash_root_offset)->hash_version;
    const uint32_t hash = TRY(hash_of(name, version));
    HashPath path = TRY(descend(hash));
    for (;;) {
        const uint32_t leaf = path.last().entry(path.last().at)->block & 0x0fffffff;
        if (leaf == 0 || leaf >= block_count())
            return fs.fail("a damaged directory index");
        Result<Found> found = find_in(TRY(block(leaf)), name);
        if (found || found.error() != Errno::noent)
            return found;
        // Names of one hash may go on in the next leaf.
        unsigned level = path.depth;
        while (path.levels[level].at + 1u >= path.levels[level].count()->count) {
            if (level == 0)
                return Errno::noent;
            level--;
        }
        path.levels[level].at++;
        if (path.levels[level].entry(path.levels[level].at)->hash != (hash | 1))
            return Errno::noent;
        while (level < path.depth) {
            const uint32_t child = path.levels[level].entry(path.levels[level].at)->block & 0x0fffffff;
            level++;
            if (child == 0 || child >= block_count())
                return fs.fail("a damaged directory index");
            path.levels[level].block = TRY(block(child));
            if (!is_hash_node(path.levels[level].block.data(), child) ||
                !index_ok(path.levels[level].block, hash_node_entries))
                return fs.fail("a damaged directory index");
            path.levels[level].at = 0;
        }
    }
}

Result<void> Directory::make_index() {
    MetaRef root = TRY(block(0));
    uint32_t n;
    MetaRef leaf = TRY(append(n));
    // All names but the first two move, one behind the other.
    const uint32_t end = fs.block_bytes - tail_bytes();
    uint32_t to = 0, last = 0;
    for (uint32_t at = 12 + root.at<DirEntry>(12)->record_length; at < end;) {
        const auto* e = root.at<DirEntry>(at);
        if (e->inode != 0) {
            const uint32_t length = record_for(e->name_length);
            memcpy(leaf.data() + to, e, sizeof(DirEntry) + e->name_length);
            leaf.at<DirEntry>(to)->record_length = static_cast<uint16_t>(length);
            last = to;
            to += length;
        }
        at += e->record_length;
    }
    leaf.at<DirEntry>(last)->record_length = static_cast<uint16_t>(end - last);
    memset(root.data() + 24, 0, fs.block_bytes - 24);
    root.at<DirEntry>(12)->record_length = static_cast<uint16_t>(fs.block_bytes - 12);
    auto* info = root.at<HashRootInfo>(hash_root_offset);
    info->hash_version = fs.super.default_hash <= 2 ? fs.super.default_hash : 1;
    info->info_length = 8;
    auto* entry = root.at<HashEntry>(hash_root_entries);
    entry->block = n;
    auto* count = root.at<HashCount>(hash_root_entries);
    count->limit =
        static_cast<uint16_t>((fs.block_bytes - hash_root_entries - (fs.checksums() ? 8 : 0)) / sizeof *entry);
    count->count = 1;
    node.flags |= inode_flags::index;
    modified(root);
    modified(leaf);
    return {};
}

Result<void> Directory::add_by_hash(std::string_view name, uint32_t inode, uint8_t code) {
    const auto version = TRY(block(0)).at<HashRootInfo>(hash_root_offset)->hash_version;
    const uint32_t hash = TRY(hash_of(name, version));
    for (unsigned tries = 0; tries < 8; tries++) {
        HashPath path = TRY(descend(hash));
        const uint32_t leaf = path.last().entry(path.last().at)->block & 0x0fffffff;
        if (leaf == 0 || leaf >= block_count())
            return fs.fail("a damaged directory index");
        MetaRef b = TRY(block(leaf));
        if (fs.checksums() && is_hash_node(b.data(), leaf))
            return fs.fail("a damaged directory index");
        if (add_to(b, name, inode, code))
            return {};
        if (path.last().full())
            TRY(split_index(path));
        else
            TRY(split_leaf(path, version));
    }
    return Errno::nospc; // hundreds of names with one hash
}

Result<void> Directory::split_leaf(HashPath& path, uint8_t version) {
    struct Item {
        uint32_t hash;
        uint16_t offset, length;
    };
    constexpr size_t most = 4096 / 12;
    Buffer<Item> items = TRY(Buffer<Item>::create(most));
    Buffer<uint8_t> copy = TRY(Buffer<uint8_t>::create(fs.block_bytes));
    MetaRef old_leaf = TRY(block(path.last().entry(path.last().at)->block & 0x0fffffff));
    memcpy(copy.data(), old_leaf.data(), fs.block_bytes);
    size_t count = 0;
    uint32_t total = 0;
    for (uint32_t at = 0; at < fs.block_bytes;) {
        const auto* e = reinterpret_cast<const DirEntry*>(copy.data() + at);
        if (e->inode != 0 && count < most) {
            const uint32_t length = record_for(e->name_length);
            items[count++] = {TRY(hash_of(name_of(e), version)), static_cast<uint16_t>(at),
                              static_cast<uint16_t>(length)};
            total += length;
        }
        at += e->record_length;
    }
    if (count < 2)
        return fs.fail("a directory block that cannot be split");
    std::sort(items.begin(), items.begin() + count,
              [](const Item& a, const Item& b) { return a.hash != b.hash ? a.hash < b.hash : a.offset < b.offset; });
    size_t split = 0;
    for (uint32_t size = 0; split < count - 1 && size + items[split].length <= total / 2; split++)
        size += items[split].length;
    if (split == 0)
        split = 1;
    uint32_t n;
    MetaRef fresh = TRY(append(n));
    const uint32_t end = fs.block_bytes - tail_bytes();
    const auto pack = [&](MetaRef& leaf, size_t from, size_t to) {
        make_empty_leaf(leaf);
        uint32_t at = 0;
        for (size_t i = from; i < to; i++) {
            memcpy(leaf.data() + at, copy.data() + items[i].offset, items[i].length);
            leaf.at<DirEntry>(at)->record_length = static_cast<uint16_t>(i + 1 == to ? end - at : items[i].length);
            at += items[i].length;
        }
        modified(leaf);
    };
    pack(old_leaf, 0, split);
    pack(fresh, split, count);
    const uint32_t key = items[split].hash | (items[split].hash == items[split - 1].hash ? 1 : 0);
    HashPath::Level& l = path.last();
    const unsigned entries = l.count()->count;
    memmove(l.entry(l.at + 2), l.entry(l.at + 1), (entries - l.at - 1) * sizeof(HashEntry));
    *l.entry(l.at + 1) = {key, n};
    l.count()->count = static_cast<uint16_t>(entries + 1);
    modified(l.block);
    return {};
}

Result<void> Directory::split_index(HashPath& path) {
    const auto node_limit =
        static_cast<uint16_t>((fs.block_bytes - hash_node_entries - (fs.checksums() ? 8 : 0)) / sizeof(HashEntry));
    const auto make_node = [&](MetaRef& block) {
        memset(block.data(), 0, fs.block_bytes);
        block.at<DirEntry>(0)->record_length = static_cast<uint16_t>(fs.block_bytes);
        block.at<HashCount>(hash_node_entries)->limit = node_limit;
    };
    HashPath::Level& full = path.last();
    uint32_t n;
    if (path.depth == 0) { // the root's entries move down
        MetaRef fresh = TRY(append(n));
        make_node(fresh);
        const unsigned count = full.count()->count;
        memcpy(fresh.at<HashEntry>(hash_node_entries) + 1, full.entry(1), (count - 1) * sizeof(HashEntry));
        fresh.at<HashEntry>(hash_node_entries)->block = full.entry(0)->block;
        fresh.at<HashCount>(hash_node_entries)->count = static_cast<uint16_t>(count);
        full.entry(0)->block = n;
        full.count()->count = 1;
        full.block.at<HashRootInfo>(hash_root_offset)->levels = 1;
        modified(full.block);
        modified(fresh);
        return {};
    }
    HashPath::Level& up = path.levels[path.depth - 1];
    if (up.full())
        return Errno::nospc; // two levels hold all that a directory may
    MetaRef fresh = TRY(append(n));
    make_node(fresh);
    const unsigned count = full.count()->count, kept = count / 2;
    const uint32_t key = full.entry(kept)->hash;
    memcpy(fresh.at<HashEntry>(hash_node_entries) + 1, full.entry(kept + 1), (count - kept - 1) * sizeof(HashEntry));
    fresh.at<HashEntry>(hash_node_entries)->block = full.entry(kept)->block;
    fresh.at<HashCount>(hash_node_entries)->count = static_cast<uint16_t>(count - kept);
    full.count()->count = static_cast<uint16_t>(kept);
    const unsigned above = up.count()->count;
    memmove(up.entry(up.at + 2), up.entry(up.at + 1), (above - up.at - 1) * sizeof(HashEntry));
    *up.entry(up.at + 1) = {key, n};
    up.count()->count = static_cast<uint16_t>(above + 1);
    modified(full.block);
    modified(fresh);
    modified(up.block);
    return {};
}

} // namespace lentil::ext4

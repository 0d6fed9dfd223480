// SPDX-License-Identifier: BSD-2-Clause
// The name cache: what (directory, name) led to, missing names included, so that a walk is one probe for each name. It owns
// nothing: a node that goes takes its entries along, so neither memory nor a file system is held by it.
//
// Readers take no lock. A reader's section runs with interrupts off and is marked in a word of its hart; whoever took an
// entry out waits until no section that may have seen it is left, before the entry is used again or its node goes.
// What a directory says about a name while that changes is not kept: each change is a NameChange.
#pragma once

#include <type_traits>

#include <libkern/hartset.hpp>
#include <vfs/vnode.hpp>

namespace lentil {

namespace name_cache {
class Name;
}

struct NameEntry {
    std::atomic<uint64_t> key{0}; ///< hash and length of directory and name; 0: free, and no reader looks at the rest
    uint64_t directory = 0;       ///< Vnode::names_id
    Vnode* node = nullptr;        ///< nullptr: there is no such name
    NameEntry* next = nullptr;    ///< lock; of the same node
    uint64_t words[4] = {};       ///< the name, filled up with zeros

    inline bool is(uint64_t in, const name_cache::Name& name) const; ///< of what has the key
};
static_assert(sizeof(NameEntry) == 64);

namespace name_cache {

/// A name as entries have it: eight bytes to a word. The words behind the first lie in an array of the caller's, so that the
/// rest, which is most names, can stay in registers.
class Name {
public:
    static constexpr size_t longest = sizeof NameEntry::words; ///< longer ones are not kept
    using More = uint64_t[longest / 8 - 1];
    uint64_t first = 0;
    uint64_t hash = 0; ///< of directory and name
    size_t length = 0;
    uint64_t* const more; ///< set as far as the name reaches

    explicit Name(More& room) : more(room) {}

    /// Reads a name of the directory with that id; it begins at `p`, which lies before `end`, and ends there or at a slash:
    /// where that is, nullptr if it is too long.
    [[gnu::always_inline]] const char* read(uint64_t directory, const char* p, const char* end) {
        const char* const begin = p;
        bool over = false;
        first = word_at(p, end, over);
        uint64_t mixed = mix(directory * factor, first);
        for (uint64_t* to = more; !over; to++) {
            if (to == more + std::extent_v<More>)
                return nullptr;
            *to = word_at(p, end, over);
            mixed = mix(mixed, *to);
        }
        hash = mixed;
        length = static_cast<size_t>(p - begin);
        return p;
    }
    uint64_t key() const { return (hash & ~uint64_t{0xff}) | length; }
    NameEntry* pair() const; ///< the two entries that may be its
    uint64_t word(size_t i) const { return i == 0 ? first : more[i - 1]; }

private:
    static constexpr uint64_t factor = 0x9e3779b97f4a7c15;

    static uint64_t mix(uint64_t hash, uint64_t word) {
        hash = (hash ^ word) * factor;
        return hash ^ hash >> 32;
    }
    /// Up to eight bytes from `p` on, which goes behind them; `over`: the name ends there.
    [[gnu::always_inline]] static uint64_t word_at(const char*& p, const char* end, bool& over) {
        uint64_t word = 0;
        over = true;
#pragma GCC unroll 8
        for (unsigned shift = 0; shift < 64; shift += 8) {
            const auto c = static_cast<uint8_t>(*p);
            if (c == '/')
                return word;
            word |= uint64_t{c} << shift;
            if (++p == end)
                return word;
        }
        over = *p == '/';
        return word;
    }
};

struct alignas(64) HartWord {
    std::atomic<uint32_t> reading{0};
};
extern HartWord hart_words[max_harts];
extern std::atomic<NameEntry*> table; ///< nullptr until there is something in it
extern size_t index_mask;             ///< of the pair's first entry; set before `table`

} // namespace name_cache

inline bool NameEntry::is(uint64_t in, const name_cache::Name& name) const {
    if (directory != in || words[0] != name.first)
        return false;
    for (size_t i = 1; i * 8 < name.length; i++)
        if (words[i] != name.more[i - 1])
            return false;
    return true;
}

namespace name_cache {

inline NameEntry* Name::pair() const { return table.load(std::memory_order_relaxed) + (hash >> 40 & index_mask); }

/// While one lives, nodes that it found stay in memory. The thread must not wait meanwhile, nor let go of a node.
class [[nodiscard]] Reader {
public:
    Reader() : irq_(machine::irq_save()), word_(hart_words[machine::hart_index()].reading) {
        word_.exchange(1, std::memory_order_seq_cst);
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    ~Reader() {
        word_.store(0, std::memory_order_release);
        machine::irq_restore(irq_);
    }

    /// The entry of `name` in the directory with that id; nullptr: nothing is known. There is a table.
    const NameEntry* find(uint64_t directory, const Name& name) const {
        const uint64_t key = name.key();
        NameEntry* const at = name.pair();
        if (at->key.load(std::memory_order_acquire) == key && at->is(directory, name))
            return at;
        if (at[1].key.load(std::memory_order_acquire) == key && at[1].is(directory, name))
            return at + 1;
        return nullptr;
    }

private:
    const bool irq_;
    std::atomic<uint32_t>& word_;
};

/// To be asked before `directory` is, and to be given to enter().
inline uint64_t changes_of(const Vnode& directory) { return directory.name_changes.load(std::memory_order_acquire); }
/// What the directory said about `name` (nullptr: it is not there), unless something changed since `before`.
void enter(Vnode& directory, std::string_view name, Vnode* node, uint64_t before);
/// No entry leads to `node` any more, and nobody who found it through one has not got a reference of his own.
void forget(Vnode& node);
/// All readers' sections that were under way are over.
void wait_for_readers();

} // namespace name_cache

/// A change of what `name` in `directory` means: the cache knows nothing about it while one lives.
class [[nodiscard]] NameChange {
public:
    NameChange(Vnode& directory, std::string_view name);
    NameChange(const NameChange&) = delete;
    NameChange& operator=(const NameChange&) = delete;
    ~NameChange();
    /// It means this from now on (nullptr: nothing). The last that is done with it.
    void now(Vnode* node);

private:
    Vnode& directory_;
    name_cache::Name::More more_;
    name_cache::Name name_{more_}; ///< as far as it is kept_
    uint64_t begun_;
    bool kept_ = false, ended_ = false;
};

} // namespace lentil

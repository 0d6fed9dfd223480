// SPDX-License-Identifier: BSD-2-Clause
// What the files of pmap share: tables as records of what is in use, and their links.
#pragma once

#include <algorithm>
#include <bit>
#include <span>

#include <vm/page_batch.hpp>
#include <vm/pmap.hpp>

namespace lentil {

using machine::Pte;

/// page_at() for a loop over a table: keeps what they look up each time.
class PageNumbers {
public:
    VmPage* at(paddr_t pa) const {
        const uint64_t index = (pa >> page_shift) - first_;
        if (index < count_) [[likely]]
            return records_ + index;
        return page_at_elsewhere(pa);
    }
    struct Table table_behind(Pte link) const;

private:
    VmPage* const records_ = main_pages.records;
    const uint64_t first_ = main_pages.first, count_ = main_pages.count;
};

/// A table and its record. `record->owner` has one bit for each group of eight entries: set if one of them is not
/// empty (of a root table: in the user half). `record->refs` counts the links to it.
struct Table {
    static constexpr unsigned group = Pte::entries / 64;
    static_assert(Pte::entries == 512);

    Pte* entries;
    VmPage* record;

    static Table at(paddr_t pa) { return {static_cast<Pte*>(machine::direct_map(pa)), page_at(pa)}; }
    static Table behind(Pte link) { return at(link.address()); }
    static Pte load(const Pte& entry) {
        Pte value;
        __atomic_load(&entry, &value, __ATOMIC_RELAXED);
        return value;
    }
    /// Release: what the entry points to is seen before the entry is.
    static void store(Pte& entry, Pte value) { __atomic_store(&entry, &value, __ATOMIC_RELEASE); }
    static bool is_empty(Pte entry) { return entry == Pte{}; }

    Pte get(unsigned i) const { return load(entries[i]); }
    /// For an entry that was empty, or is not made so.
    void set(unsigned i, Pte value) const {
        store(entries[i], value);
        record->owner |= uint64_t{1} << i / group;
    }
    /// The entries [first, end), one at least, were stored to.
    void mark_used(unsigned first, unsigned end) const { record->owner |= groups_of(first, end); }
    static uint64_t groups_of(unsigned first, unsigned end) {
        const unsigned low = first / group, high = (end - 1) / group;
        return (~uint64_t{0} << low) & (~uint64_t{0} >> (63 - high));
    }
    /// Clears an entry; forget_empty() has to follow.
    void clear(unsigned i) const { store(entries[i], Pte{}); }
    /// Takes the groups around entries [first, end) off the record that became empty.
    void forget_empty(unsigned first, unsigned end) const {
        unsigned g = first / group;
        for (uint64_t groups = record->owner >> g; groups != 0; groups >>= 1, g++) {
            if ((groups & 1) == 0) {
                const auto unused = static_cast<unsigned>(std::countr_zero(groups));
                groups >>= unused;
                g += unused;
            }
            if (g * group >= end)
                break;
            bool used = false;
            for (unsigned i = 0; i < group && !used; i++)
                used = !is_empty(get(g * group + i));
            if (!used)
                record->owner &= ~(uint64_t{1} << g);
        }
    }
    bool empty() const { return record->owner == 0; }

    /// visit(index, value) for the entries of [first, end) that are not empty.
    template<class F>
    void for_each(unsigned first, unsigned end, F visit) const {
        unsigned g = first / group;
        for (uint64_t groups = record->owner >> g; groups != 0; groups >>= 1, g++) {
            if ((groups & 1) == 0) {
                const auto unused = static_cast<unsigned>(std::countr_zero(groups));
                groups >>= unused;
                g += unused;
            }
            if (g * group >= end)
                break;
            for (unsigned i = std::max(first, g * group); i < std::min(end, (g + 1) * group); i++)
                if (const Pte value = get(i); !is_empty(value))
                    visit(i, value);
        }
    }
    template<class F>
    void for_each(F visit) const {
        for_each_place(
            [first = entries, &visit](Pte& place, Pte value) { visit(static_cast<size_t>(&place - first), value); });
    }
    /// visit(place, value) for all that are not empty.
    template<class F>
    void for_each_place(F visit) const {
        Pte* at = entries;
        for (uint64_t groups = record->owner; groups != 0; groups >>= 1) {
            if ((groups & 1) == 0) {
                const auto unused = static_cast<unsigned>(std::countr_zero(groups));
                groups >>= unused;
                at += unused * group;
            }
            for (Pte* const end = at + group; at != end; at++)
                if (const Pte value = load(*at); !is_empty(value))
                    visit(*at, value);
        }
    }

    /// Nobody else links the table: it may be changed.
    bool is_sole() const { return record->refs.load(std::memory_order_acquire) == 1; }
    bool is_sealed() const { return record->flags.load(std::memory_order_acquire) & page_sealed_table; }
    /// Takes write permission from every entry, for as long as the table is shared; whoever shares it may. Returns
    /// whether one had it.
    bool seal() const;
    /// Drops one link's reference; with the last one what the table holds. Any level, if upper tables are empty.
    void unref() const {
        if (drop_link())
            free();
    }
    /// Drops one link's reference, unless it is the last: then the caller frees the table.
    bool drop_link() const {
        if (is_sole())
            return true;
        if (record->refs.fetch_sub(1, std::memory_order_acq_rel) != 1)
            return false;
        record->refs.store(1, std::memory_order_relaxed); // all others left in between
        return true;
    }
    /// The last reference.
    void free() const;
    /// False: the entries [first, end), one at least, are empty.
    bool uses(unsigned first, unsigned end) const { return record->owner & groups_of(first, end); }
    /// Whether at most `count` groups are in use.
    bool uses_at_most(unsigned count) const {
        uint64_t groups = record->owner;
        for (; count > 0; count--)
            groups &= groups - 1;
        return groups == 0;
    }
};

inline Table PageNumbers::table_behind(Pte link) const {
    return {static_cast<Pte*>(machine::direct_map(link.address())), at(link.address())};
}

/// Pages and tables whose entries are gone, on their way out. Only when it is full is there more than one
/// shoot-down in an operation.
class Gather {
public:
    explicit Gather(machine::AddressSpace& space) : space_(space) {}
    Gather(const Gather&) = delete;
    Gather& operator=(const Gather&) = delete;
    ~Gather() { flush(); }

    void add(VmPage* page, vaddr_t va) {
        extend(va, va + page_size);
        pages_[page_count_++] = page;
        if (page_count_ == std::size(pages_))
            flush();
    }
    void add_table(VmPage* record) {
        tables_[table_count_++] = record;
        if (table_count_ == std::size(tables_))
            flush();
    }
    /// Entries of the range changed, no page left.
    void extend(vaddr_t start, vaddr_t end) {
        start_ = std::min(start_, start);
        end_ = std::max(end_, end);
    }
    void flush();

private:
    machine::AddressSpace& space_;
    vaddr_t start_ = ~vaddr_t{0}, end_ = 0;
    unsigned page_count_ = 0, table_count_ = 0;
    VmPage* pages_[120];
    VmPage* tables_[16];
};

/// What needs the pmap's private parts.
struct PmapInternals {
    static constexpr unsigned top_level = Pte::levels - 1;
    static_assert(Pte::levels == 3);
    static constexpr vaddr_t span_of(unsigned level) { return vaddr_t{page_size} << (9 * level); }
    /// A forked table with at most this many groups in use is sealed right away: cheaper than a fault later.
    static constexpr unsigned sealed_at_once = 4;

    static void add_resident(Pmap& pmap, int64_t pages) {
        const uint64_t now = pmap.resident_.load(std::memory_order_relaxed) + static_cast<uint64_t>(pages);
        pmap.resident_.store(now, std::memory_order_relaxed);
        if (pages > 0 && now > pmap.peak_resident_.load(std::memory_order_relaxed))
            pmap.peak_resident_.store(now, std::memory_order_relaxed);
    }
    /// Tables of this pmap, shared or not; the pages that tables use are counted where they are made and freed.
    static void count_tables(Pmap& pmap, int64_t tables) {
        pmap.table_pages_.store(pmap.table_pages_.load(std::memory_order_relaxed) + static_cast<uint64_t>(tables),
                                std::memory_order_relaxed);
    }
    static Table root(const Pmap& pmap) { return Table::at(pmap.space_.root); }
    static Result<Table> new_table() {
        VmPage* page = TRY(page_alloc_cleared());
        page_count_kernel(1);
        return Table{static_cast<Pte*>(page_data(page)), page};
    }
    static Pmap::Mapping describe(Table table, Pte entry);

    /// The level-1 entry that links the leaf table of `va`, which may be empty; nullptr if there is not even that.
    static Pte* link_of(const Pmap& pmap, vaddr_t va) {
        auto* table = static_cast<Pte*>(machine::direct_map(pmap.space_.root));
        for (unsigned level = top_level; level > 1; level--) {
            const Pte value = Table::load(table[Pte::index(va, level)]);
            if (Table::is_empty(value))
                return nullptr;
            table = static_cast<Pte*>(machine::direct_map(value.address()));
        }
        return &table[Pte::index(va, 1)];
    }
    /// The leaf table behind a link, made this pmap's own if it is not. nomem changes nothing.
    static Result<Table> own(Pmap& pmap, Pte& link);
    /// The leaf table that covers `va`, this pmap's own; made if there is none.
    static Result<Table> leaf_for(Pmap& pmap, vaddr_t va);
    /// The same where the root table has nothing yet.
    static Result<Table> first_leaf_for(Pmap& pmap, vaddr_t va);

    /// Maps a page in a table of this pmap's own, taking over a reference.
    static void put(Pmap& pmap, Table leaf, vaddr_t va, VmPage* page, Prot prot);
    /// The same for neighbours where nothing is mapped, in a claimed table; not the zero page.
    static void put_new(Pmap& pmap, const Pmap::Claim& claim, vaddr_t va, PageRun pages, Prot prot);

    /// The same for pages of an object: `pages` begins at `va`, nullptr where there is none, and lies in the claimed table.
    /// Takes over the references, and drops those of pages for which something is mapped already.
    static void put_missing(Pmap& pmap, const Pmap::Claim& claim, vaddr_t va, std::span<VmPage* const> pages,
                            Prot prot);

    /// Maps the zero page behind the one just entered at `va`, up to `most` times and where nothing is mapped, if the pages
    /// below are it too.
    static void zeros_ahead(const Pmap::Claim& claim, vaddr_t va, unsigned most, Prot prot);

    /// Copies the pages behind the one just copied at `va`, up to `most` and as far as others have them too, if those below
    /// were written before. `prot` with write permission.
    static void copy_ahead(Pmap& pmap, const Pmap::Claim& claim, vaddr_t va, unsigned most, Prot prot);

    /// Whether one leaf table covers [start, end), which is not empty.
    static bool in_one_leaf(vaddr_t start, vaddr_t end) { return (start ^ (end - 1)) < span_of(1); }
    /// visit(link, from, to) for the leaf tables of [start, end) that are there; the link is an entry of level 1.
    template<class F>
    static void for_each_leaf(const Pmap& pmap, vaddr_t start, vaddr_t end, F visit) {
        if (start < end && in_one_leaf(start, end)) {
            if (Pte* link = link_of(pmap, start); link && !Table::is_empty(Table::load(*link)))
                visit(*link, start, end);
            return;
        }
        walk(root(pmap), top_level, start, end, visit);
    }
    template<class F>
    static void walk(Table table, unsigned level, vaddr_t start, vaddr_t end, F& visit) {
        if (start >= end)
            return;
        const vaddr_t base = start & ~(span_of(level + 1) - 1);
        table.for_each(Pte::index(start, level), Pte::index(end - 1, level) + 1, [&](unsigned i, Pte value) {
            const vaddr_t at = base + i * span_of(level);
            const vaddr_t from = std::max(start, at), to = std::min(end, at + span_of(level));
            if (level > 1)
                walk(Table::behind(value), level - 1, from, to, visit);
            else
                visit(table.entries[i], from, to);
        });
    }

    /// Pages that a child of fork gets a copy of at once, so that neither side takes a fault when it writes.
    class ForkCopies {
    public:
        static constexpr unsigned most = 16; ///< further ones are left out
        /// Before fork_to(): the page at `va` of the parent, if nobody else has it. `prot` is what private memory there
        /// allows, with the right to write.
        void consider(const Pmap& parent, vaddr_t va, Prot prot);
        /// After it, harts cannot write to the parent's pages until they are copied. nomem for a table; memory for pages is
        /// no need.
        Result<void> make(Pmap& parent, Pmap& child);

    private:
        struct Page {
            vaddr_t va;
            VmPage* page;
            Prot prot;
            bool written; ///< by the parent, who will again
        };
        unsigned count_ = 0;
        Page pages_[most];
    };

    /// Clears [start, end) below `table` of `level` > 0.
    static void remove(Pmap& pmap, Gather& gather, Table table, unsigned level, vaddr_t start, vaddr_t end);
    /// Of one leaf table; true if it was unlinked.
    static bool remove_leaf(Pmap& pmap, Gather& gather, Pte& link, vaddr_t start, vaddr_t end);
    /// After the leaf table of `va` was unlinked: the one above goes too if that was its last.
    static void forget_table(Pmap& pmap, Gather& gather, vaddr_t va);
    static int64_t resident_in(Table leaf);
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The pmap: walking and changing the page tables of one map. Pages leave in three steps: their entries are
// cleared, all harts that could still translate forget them, then the references are dropped.
#include <cstring>

#include <vm/fail.hpp>
#include <vm/first_use.hpp>
#include <vm/pmap_internal.hpp>

namespace lentil {

#if defined(LENTIL_CHECKS) && !defined(LENTIL_AD_FAULTS)
constinit bool first_use_faults = false;
#endif

// ---- tables -----------------------------------------------------------------------------------------------

bool Table::seal() const {
    if (is_sealed())
        return false;
    bool any = false;
    // Two that share the table may do this at a time: both store the same.
    for_each([&](size_t i, Pte value) {
        if (value.valid() && machine::has(value.prot(), Prot::write)) {
            store(entries[i], value.with_prot(value.prot() & ~Prot::write));
            any = true;
        }
    });
    record->flags.fetch_or(page_sealed_table, std::memory_order_release);
    return any;
}

void Table::free() const {
    {
        PageDrop pages;
        for_each_place([&, numbers = PageNumbers()](Pte& place, Pte value) {
            place = Pte{}; // nobody walks it any more
            pages.add(numbers.at(value.address()));
        });
    }
    page_count_kernel(-1);
    page_unref_keeping(record, PageContents::zeros);
}

void Gather::flush() {
    if (table_count_ != 0)
        machine::tlb_shootdown(space_, 0, Pte::user_end);
    else if (start_ < end_)
        machine::tlb_shootdown(space_, start_, end_ - start_);
    {
        PageDrop pages;
        for (unsigned i = 0; i < page_count_; i++)
            pages.add(pages_[i]);
    }
    for (unsigned i = 0; i < table_count_; i++)
        Table{static_cast<Pte*>(page_data(tables_[i])), tables_[i]}.unref();
    page_count_ = 0;
    table_count_ = 0;
    start_ = ~vaddr_t{0};
    end_ = 0;
}

Pmap::Mapping PmapInternals::describe(Table table, Pte entry) {
    const uint32_t links = table.record->refs.load(std::memory_order_relaxed);
    Prot prot = entry.valid() ? entry.prot() : Prot::none;
    if (links > 1)
        prot = prot & ~Prot::write;
    return {page_at(entry.address()), prot, entry.accessed(), entry.dirty(), links - 1};
}

Result<Table> PmapInternals::own(Pmap& pmap, Pte& link) {
    const Pte value = Table::load(link);
    const Table shared = Table::behind(value);
    if (shared.is_sole()) {
        if (shared.is_sealed())
            shared.record->flags.fetch_and(~uint32_t{page_sealed_table}, std::memory_order_relaxed);
        // No flush: a hart that remembers the revoked link takes one more fault, which finds this one.
        if (!value.valid())
            Table::store(link, Pte::table(value.address()));
        return shared;
    }
    const Table copy = TRY(new_table());
    shared.seal(); // before our reference goes: whoever is left alone with the table has to find its pages shared
    copy.record->owner = shared.record->owner;
    shared.for_each([to = copy.entries, numbers = PageNumbers()](size_t i, Pte entry) {
        page_ref(numbers.at(entry.address()));
        to[i] = entry;
    });
    Table::store(link, Pte::table(page_pa(copy.record)));
    if (value.valid()) // else nobody can have followed it
        machine::tlb_shootdown(pmap.space_, 0, Pte::user_end);
    shared.unref();
    return copy;
}

Result<Table> PmapInternals::first_leaf_for(Pmap& pmap, vaddr_t va) {
    static_assert(top_level == 2);
    VmPage* made[2];
    TRY(page_alloc_cleared(made));
    page_count_kernel(2);
    count_tables(pmap, 2);
    const paddr_t leaf = page_pa(made[0]), middle = page_pa(made[1]);
    const Table between{static_cast<Pte*>(machine::direct_map(middle)), made[1]};
    between.set(Pte::index(va, 1), Pte::table(leaf));
    root(pmap).set(Pte::index(va, top_level), Pte::table(middle));
    return Table{static_cast<Pte*>(machine::direct_map(leaf)), made[0]};
}

Result<Table> PmapInternals::leaf_for(Pmap& pmap, vaddr_t va) {
    Table table = root(pmap);
    if (Table::is_empty(table.get(Pte::index(va, top_level))))
        return first_leaf_for(pmap, va);
    for (unsigned level = top_level; level > 0; level--) {
        const unsigned i = Pte::index(va, level);
        const Pte value = table.get(i);
        if (Table::is_empty(value)) {
            // What is made here stays if a lower one cannot be made: it is found the next time, or with its map's end.
            const Table next = TRY(new_table());
            count_tables(pmap, 1);
            table.set(i, Pte::table(page_pa(next.record)));
            table = next;
        } else if (level > 1) {
            table = Table::behind(value);
        } else {
            return own(pmap, table.entries[i]);
        }
    }
    return table;
}

int64_t PmapInternals::resident_in(Table leaf) {
    int64_t pages = 0;
    const paddr_t zero = page_pa(zero_page());
    leaf.for_each([&](size_t, Pte value) { pages += value.address() != zero; });
    return pages;
}

// ---- removal ----------------------------------------------------------------------------------------------

bool PmapInternals::remove_leaf(Pmap& pmap, Gather& gather, Pte& link, vaddr_t start, vaddr_t end) {
    const Pte value = Table::load(link);
    const Table leaf = Table::behind(value);
    if (end - start == span_of(1)) {
        add_resident(pmap, -resident_in(leaf));
    } else {
        ASSERT(leaf.is_sole()); // see prepare_remove
        if (!value.valid())
            Table::store(link, Pte::table(value.address()));
        int64_t resident = 0;
        const unsigned first = Pte::index(start, 0), last = Pte::index(end - page_size, 0);
        VmPage* const zero = zero_page();
        const PageNumbers numbers;
        leaf.for_each(first, last + 1, [&](unsigned i, Pte entry) {
            leaf.clear(i);
            VmPage* page = numbers.at(entry.address());
            resident += page != zero;
            gather.add(page, start + (i - first) * page_size);
        });
        leaf.forget_empty(first, last + 1);
        add_resident(pmap, -resident);
        if (!leaf.empty())
            return false;
    }
    Table::store(link, Pte{});
    count_tables(pmap, -1);
    gather.add_table(leaf.record);
    return true;
}

void PmapInternals::forget_table(Pmap& pmap, Gather& gather, vaddr_t va) {
    static_assert(top_level == 2);
    const Table upper = root(pmap);
    const unsigned i = Pte::index(va, 2), below = Pte::index(va, 1);
    const Table middle = Table::behind(upper.get(i));
    middle.forget_empty(below, below + 1);
    if (!middle.empty())
        return;
    upper.clear(i);
    count_tables(pmap, -1);
    gather.add_table(middle.record);
    upper.forget_empty(i, i + 1);
}

void PmapInternals::remove(Pmap& pmap, Gather& gather, Table table, unsigned level, vaddr_t start, vaddr_t end) {
    if (start >= end)
        return;
    const vaddr_t base = start & ~(span_of(level + 1) - 1);
    const unsigned first = Pte::index(start, level), last = Pte::index(end - 1, level);
    bool any = false;
    table.for_each(first, last + 1, [&](unsigned i, Pte value) {
        const vaddr_t at = base + i * span_of(level);
        const vaddr_t from = std::max(start, at), to = std::min(end, at + span_of(level));
        if (level == 1) {
            any = remove_leaf(pmap, gather, table.entries[i], from, to) || any;
            return;
        }
        const Table below = Table::behind(value);
        remove(pmap, gather, below, level - 1, from, to);
        if (below.empty()) {
            table.clear(i);
            count_tables(pmap, -1);
            gather.add_table(below.record);
            any = true;
        }
    });
    if (any)
        table.forget_empty(first, last + 1);
}

// ---- the pmap ---------------------------------------------------------------------------------------------

namespace {

/// Tables on their way out, cleared, that nobody walks any more: they go together.
class TableDrop {
public:
    TableDrop() = default;
    TableDrop(const TableDrop&) = delete;
    TableDrop& operator=(const TableDrop&) = delete;
    ~TableDrop() { flush(); }
    void add(VmPage* record) {
        if (count_ == std::size(records_))
            flush();
        records_[count_++] = record;
    }

private:
    void flush() {
        page_count_kernel(-int64_t{count_});
        page_unref_keeping(std::span(records_, count_), PageContents::zeros);
        count_ = 0;
    }
    unsigned count_ = 0;
    VmPage* records_[12];
};

} // namespace

Pmap::~Pmap() {
    if (space_.root == 0)
        return;
    ASSERT(space_.active.load().empty());
    machine::address_space_ends(space_);
    [[maybe_unused]] uint64_t tables = 1, resident = 0;
    const Table root = PmapInternals::root(*this);
    {
        TableDrop dead;
        PageDrop pages;
        const PageNumbers numbers;
        root.for_each_place([&](Pte& upper_place, Pte upper) {
            upper_place = Pte{};
            const Table middle = numbers.table_behind(upper);
            middle.for_each_place([&](Pte& place, Pte link) {
                place = Pte{};
                const Table leaf = numbers.table_behind(link);
                if constexpr (checks_enabled)
                    resident += static_cast<uint64_t>(PmapInternals::resident_in(leaf)), tables++;
                if (!leaf.drop_link())
                    return;
                leaf.for_each_place([&](Pte& at, Pte value) {
                    at = Pte{};
                    pages.add(numbers.at(value.address()));
                });
                dead.add(leaf.record);
            });
            if constexpr (checks_enabled)
                tables++;
            dead.add(middle.record);
        });
    }
    page_unref_keeping(root.record, PageContents::root_table);
    page_count_kernel(-1);
    DEBUG_ASSERT(tables == table_pages_.load(std::memory_order_relaxed));
    DEBUG_ASSERT(resident == resident_.load(std::memory_order_relaxed));
}

Result<void> Pmap::init() {
    if (allocation_must_fail())
        return Errno::nomem;
    VmPage* page = page_take_kept(PageContents::root_table);
    if (!page) {
        page = TRY(page_alloc());
        machine::init_root(page_data(page));
    }
    page_count_kernel(1);
    PmapInternals::count_tables(*this, 1);
    space_.root = page_pa(page);
    return {};
}

void PmapInternals::put(Pmap& pmap, Table leaf, vaddr_t va, VmPage* page, Prot prot) {
    const unsigned i = Pte::index(va, 0);
    const Pte old = leaf.get(i);
    leaf.set(i, Pte::leaf(page_pa(page), first_use_faults ? Prot::none : prot, true));
    int64_t resident = page != zero_page();
    if (Table::is_empty(old)) { // No flush: a hart that remembers it takes one more fault, which finds this one.
        add_resident(pmap, resident);
        return;
    }
    VmPage* replaced = page_at(old.address());
    resident -= replaced != zero_page();
    if (resident != 0)
        add_resident(pmap, resident);
    machine::tlb_shootdown(pmap.space_, va, page_size);
    page_unref(replaced);
}

void PmapInternals::put_new(Pmap& pmap, const Pmap::Claim& claim, vaddr_t va, PageRun pages, Prot prot) {
    const unsigned first = Pte::index(va, 0);
    const paddr_t pa = page_pa(pages.first);
    if (first_use_faults)
        prot = Prot::none;
    for (unsigned i = 0; i < pages.count; i++)
        Table::store(claim.table[first + i], Pte::leaf(pa + i * page_size, prot, true));
    Table{claim.table, claim.record}.mark_used(first, first + pages.count);
    add_resident(pmap, pages.count);
}

void PmapInternals::put_missing(Pmap& pmap, const Pmap::Claim& claim, vaddr_t va, std::span<VmPage* const> pages,
                                Prot prot) {
    const Table leaf{claim.table, claim.record};
    if (first_use_faults)
        prot = Prot::none;
    unsigned i = Pte::index(va, 0);
    int64_t resident = 0;
    uint64_t groups = 0;
    for (VmPage* page : pages) {
        if (page) {
            if (Table::is_empty(leaf.get(i))) {
                Table::store(leaf.entries[i], Pte::leaf(page_pa(page), prot, true));
                groups |= uint64_t{1} << i / Table::group;
                resident++;
            } else {
                page_unref(page);
            }
        }
        i++;
    }
    leaf.record->owner |= groups;
    add_resident(pmap, resident);
}

Result<void> Pmap::enter(vaddr_t va, VmPage* page, Prot prot) {
    PmapInternals::put(*this, TRY(PmapInternals::leaf_for(*this, va)), va, page, prot);
    return {};
}

Result<void> Pmap::enter(const Claim& claim, vaddr_t va, VmPage* page, Prot prot) {
    if (!claim.table)
        return enter(va, page, prot);
    PmapInternals::put(*this, Table{claim.table, claim.record}, va, page, prot);
    return {};
}

void PmapInternals::zeros_ahead(const Pmap::Claim& claim, vaddr_t va, unsigned most, Prot prot) {
    constexpr unsigned run = 2; // pages that were read one after the other before it is believed
    const Table leaf{claim.table, claim.record};
    const unsigned at = Pte::index(va, 0);
    const paddr_t zero = page_pa(zero_page());
    if (at < run)
        return;
    for (unsigned i = at - run; i < at; i++)
        if (const Pte below = leaf.get(i); Table::is_empty(below) || below.address() != zero)
            return;
    const Pte entry = Pte::leaf(zero, first_use_faults ? Prot::none : prot, true);
    const unsigned end = std::min(at + 1 + most, Pte::entries);
    unsigned i = at + 1;
    for (; i < end && Table::is_empty(leaf.get(i)); i++)
        Table::store(leaf.entries[i], entry);
    if (i == at + 1)
        return;
    zero_page()->refs.fetch_add(i - at - 1, std::memory_order_relaxed);
    leaf.mark_used(at + 1, i);
}

void PmapInternals::copy_ahead(Pmap& pmap, const Pmap::Claim& claim, vaddr_t va, unsigned most, Prot prot) {
    constexpr unsigned run = 4; // pages that were written one after the other before it is believed
    const Table leaf{claim.table, claim.record};
    const unsigned at = Pte::index(va, 0);
    if (at < run)
        return;
    for (unsigned i = at - run; i < at; i++)
        if (const Pte below = leaf.get(i); !below.valid() || !machine::has(below.prot(), Prot::write))
            return;
    const unsigned end = std::min(at + 1 + most, Pte::entries);
    for (unsigned i = at + 1; i < end; i++) {
        const Pte entry = leaf.get(i);
        if (!entry.valid() || machine::has(entry.prot(), Prot::write))
            return;
        const VmPage* shared = page_at(entry.address());
        if (shared == zero_page() || shared->refs.load(std::memory_order_acquire) == 1)
            return;
        const PageRun made = page_alloc_run(1);
        if (made.count == 0)
            return;
        std::memcpy(page_data(made.first), page_data(shared), page_size);
        put(pmap, leaf, va + (i - at) * page_size, made.first, prot);
    }
}

unsigned Pmap::room_behind_run(const Claim& claim, vaddr_t va, unsigned before, unsigned most) {
    const unsigned at = Pte::index(va, 0);
    if (!claim.table || at < before)
        return 0;
    const Table leaf{claim.table, claim.record};
    for (unsigned i = at - before; i < at; i++)
        if (Table::is_empty(leaf.get(i)))
            return 0;
    unsigned room = 0;
    while (room < most && at + room < Pte::entries && Table::is_empty(leaf.get(at + room)))
        room++;
    return room;
}

Pmap::Mapping Pmap::lookup(vaddr_t va) const {
    const Pte* link = PmapInternals::link_of(*this, va);
    if (!link || Table::is_empty(Table::load(*link)))
        return {};
    const Table leaf = Table::behind(Table::load(*link));
    const Pte value = leaf.get(Pte::index(va, 0));
    return Table::is_empty(value) ? Mapping{} : PmapInternals::describe(leaf, value);
}

Result<Pmap::Claim> Pmap::claim(vaddr_t va, bool write) {
    Pte* link = PmapInternals::link_of(*this, va);
    if (!link)
        return Claim{};
    const Pte value = Table::load(*link);
    if (Table::is_empty(value))
        return Claim{};
    Table leaf = Table::behind(value);
    Claim claim;
    if (const bool sole = leaf.is_sole(); sole || write) {
        if (!sole || leaf.is_sealed() || !value.valid())
            leaf = TRY(PmapInternals::own(*this, *link));
        claim.table = leaf.entries;
        claim.record = leaf.record;
    } else if (!value.valid()) {
        leaf.seal();
        Table::store(*link, Pte::table(value.address()));
    }
    const Pte entry = leaf.get(Pte::index(va, 0));
    if (!Table::is_empty(entry))
        claim.mapping = PmapInternals::describe(leaf, entry);
    return claim;
}

Result<void> Pmap::prepare_remove(vaddr_t start, vaddr_t end) {
    constexpr vaddr_t span = PmapInternals::span_of(1);
    if (start >= end)
        return {};
    const auto own_at = [&](vaddr_t va) -> Result<void> {
        Pte* link = PmapInternals::link_of(*this, va);
        if (link && !Table::is_empty(Table::load(*link)))
            TRY(PmapInternals::own(*this, *link));
        return {};
    };
    if (start % span != 0 || end - start < span)
        TRY(own_at(start));
    if (end % span != 0 && (start ^ (end - 1)) >= span)
        TRY(own_at(end - 1));
    return {};
}

void Pmap::remove(vaddr_t start, vaddr_t end) {
    if (start < end && PmapInternals::in_one_leaf(start, end)) {
        Pte* link = PmapInternals::link_of(*this, start);
        if (!link || Table::is_empty(Table::load(*link)))
            return;
        if (!Table::behind(Table::load(*link)).uses(Pte::index(start, 0), Pte::index(end - 1, 0) + 1))
            return;
        Gather gather(space_);
        if (PmapInternals::remove_leaf(*this, gather, *link, start, end))
            PmapInternals::forget_table(*this, gather, start);
        return;
    }
    Gather gather(space_);
    PmapInternals::remove(*this, gather, PmapInternals::root(*this), PmapInternals::top_level, start, end);
}

namespace {

/// What stays of `has` if at most `allowed` may.
Prot kept_of(Prot has, Prot allowed) {
    // Write implies read in every entry format, so losing write must not leave read behind unasked.
    if (!machine::has(allowed, Prot::write) && !machine::has(allowed, Prot::read))
        return has & allowed & Prot::exec;
    return has & allowed;
}

} // namespace

Result<void> Pmap::prepare_restrict(vaddr_t start, vaddr_t end, Prot prot) {
    Result<void> result;
    PmapInternals::for_each_leaf(*this, start, end, [&](Pte& link, vaddr_t from, vaddr_t to) {
        const Table leaf = Table::behind(Table::load(link));
        if (!result || leaf.is_sole())
            return;
        bool more = false; // than what sealing takes away
        leaf.for_each(Pte::index(from, 0), Pte::index(to - 1, 0) + 1, [&](unsigned, Pte value) {
            const Prot read = value.prot() & ~Prot::write;
            more = more || (value.valid() && kept_of(read, prot) != read);
        });
        if (more)
            if (auto owned = PmapInternals::own(*this, link); !owned)
                result = owned.error();
    });
    return result;
}

void Pmap::restrict_prot(vaddr_t start, vaddr_t end, Prot prot) {
    Gather gather(space_);
    PmapInternals::for_each_leaf(*this, start, end, [&](Pte& link, vaddr_t from, vaddr_t to) {
        const Table leaf = Table::behind(Table::load(link));
        if (!leaf.is_sole()) {
            leaf.seal(); // no hart follows a link to it that was not sealed
            return;
        }
        const unsigned first = Pte::index(from, 0);
        leaf.for_each(first, Pte::index(to - 1, 0) + 1, [&](unsigned i, Pte value) {
            if (!value.valid())
                return;
            const Prot kept = kept_of(value.prot(), prot);
            if (kept == value.prot())
                return;
            leaf.set(i, value.with_prot(kept));
            const vaddr_t va = from + (i - first) * page_size;
            gather.extend(va, va + page_size);
        });
    });
}

void Pmap::raise_prot(vaddr_t va, Prot prot) {
    const Pte* link = PmapInternals::link_of(*this, va);
    ASSERT(link && Table::load(*link).valid());
    const Table leaf = Table::behind(Table::load(*link));
    ASSERT(leaf.is_sole() && !leaf.is_sealed());
    const unsigned i = Pte::index(va, 0);
    if (first_use_faults && !leaf.get(i).valid())
        prot = prot & ~Prot::write;
    leaf.set(i, leaf.get(i).with_prot(prot));
    machine::tlb_flush_local(space_, va, page_size);
}

Result<void> Pmap::fork_to(Pmap& child) {
    bool flush = false;
    Result<void> result;
    const Table child_root = PmapInternals::root(child);
    PmapInternals::root(*this).for_each([&](size_t at, Pte upper) {
        if (!result)
            return;
        auto made = PmapInternals::new_table();
        if (!made) {
            result = made.error();
            return;
        }
        const Table middle = Table::behind(upper), copy = *made;
        int64_t tables = 1;
        child_root.set(at, Pte::table(page_pa(copy.record)));
        copy.record->owner = middle.record->owner;
        middle.for_each([&](size_t i, Pte link) {
            const Table leaf = Table::behind(link);
            if (!leaf.is_sealed()) {
                if (leaf.uses_at_most(PmapInternals::sealed_at_once)) {
                    flush = leaf.seal() || flush;
                } else if (link.valid()) {
                    flush = true;
                    Table::store(middle.entries[i], link.revoked());
                }
            }
            const Pte table = Pte::table(link.address());
            copy.entries[i] = leaf.is_sealed() ? table : table.revoked();
            page_ref(leaf.record);
            tables++;
        });
        PmapInternals::count_tables(child, tables);
    });
    if (flush)
        machine::tlb_shootdown(space_, 0, Pte::user_end);
    if (result)
        PmapInternals::add_resident(child, static_cast<int64_t>(resident()));
    else
        PmapInternals::for_each_leaf(child, 0, Pte::user_end, [&](Pte& link, vaddr_t, vaddr_t) {
            PmapInternals::add_resident(child, PmapInternals::resident_in(Table::behind(Table::load(link))));
        });
    return result;
}

void PmapInternals::ForkCopies::consider(const Pmap& parent, vaddr_t va, Prot prot) {
    if (count_ == most)
        return;
    const Pmap::Mapping mapping = parent.lookup(va);
    // An object's page has the object's reference too. What was not used yet stays like that.
    if (mapping.page && mapping.prot != Prot::none && mapping.other_tables == 0 &&
        mapping.page->refs.load(std::memory_order_acquire) == 1)
        pages_[count_++] = {va, mapping.page, prot, machine::has(mapping.prot, Prot::write)};
}

Result<void> PmapInternals::ForkCopies::make(Pmap& parent, Pmap& child) {
    for (unsigned i = 0; i < count_; i++) {
        const auto& [va, page, prot, written] = pages_[i];
        Pte* const in_child = link_of(child, va);
        Pte* const in_parent = link_of(parent, va);
        const Table leaf = TRY(own(child, *in_child));
        const unsigned at = Pte::index(va, 0);
        if (leaf.get(at).address() != page_pa(page))
            continue; // it was noted twice: two maps that share their entries may do so at once
        const Table parents = Table::behind(Table::load(*in_parent));
        if (!parents.is_sole()) // other forks' children have it too
            continue;
        VmPage* const made = page_alloc_raw(0);
        if (!made)
            return {};
        std::memcpy(page_data(made), page_data(page), page_size);
        leaf.set(at, Pte::leaf(page_pa(made), prot, true));
        page_unref(page); // the child's
        if (!written)     // the parent may never, and then its table can stay sealed
            continue;
        (void)own(parent, *in_parent);
        // No flush: a hart that remembers less takes one more fault.
        parents.set(at, parents.get(at).with_prot(prot));
    }
    return {};
}

Result<void> Pmap::move(vaddr_t from, vaddr_t to, size_t length) {
    // All tables first: after that nothing can fail.
    Result<void> result;
    PmapInternals::for_each_leaf(*this, from, from + length, [&](Pte& link, vaddr_t start, vaddr_t end) {
        if (!result)
            return;
        auto source = PmapInternals::own(*this, link);
        if (!source) {
            result = source.error();
            return;
        }
        const unsigned first = Pte::index(start, 0);
        source->for_each(first, Pte::index(end - 1, 0) + 1, [&](unsigned i, Pte) {
            if (!result)
                return;
            const vaddr_t target = start + (i - first) * page_size - from + to;
            if (auto made = PmapInternals::leaf_for(*this, target); !made)
                result = made.error();
        });
    });
    if (!result) {
        TRY(prepare_remove(to, to + length));
        Gather gather(space_); // of tables that were made in vain
        PmapInternals::remove(*this, gather, PmapInternals::root(*this), PmapInternals::top_level, to, to + length);
        return result;
    }
    Gather gather(space_);
    PmapInternals::for_each_leaf(*this, from, from + length, [&](Pte& link, vaddr_t start, vaddr_t end) {
        const Table source = Table::behind(Table::load(link));
        const unsigned first = Pte::index(start, 0), last = Pte::index(end - 1, 0);
        source.for_each(first, last + 1, [&](unsigned i, Pte value) {
            const vaddr_t va = start + (i - first) * page_size, target = va - from + to;
            const Table leaf = *PmapInternals::leaf_for(*this, target); // made above
            source.clear(i);
            leaf.set(Pte::index(target, 0), value);
            gather.extend(va, va + page_size);
        });
        source.forget_empty(first, last + 1);
    });
    // Frees the tables that became empty.
    PmapInternals::remove(*this, gather, PmapInternals::root(*this), PmapInternals::top_level, from, from + length);
    return {};
}

void Pmap::for_each(vaddr_t start, vaddr_t end, void (*visit)(vaddr_t, const Mapping&, void*), void* context) const {
    PmapInternals::for_each_leaf(*this, start, end, [&](Pte& link, vaddr_t from, vaddr_t to) {
        const Table leaf = Table::behind(Table::load(link));
        const unsigned first = Pte::index(from, 0);
        leaf.for_each(first, Pte::index(to - 1, 0) + 1, [&](unsigned i, Pte value) {
            visit(from + (i - first) * page_size, PmapInternals::describe(leaf, value), context);
        });
    });
}

} // namespace lentil

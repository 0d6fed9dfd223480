// SPDX-License-Identifier: BSD-2-Clause
// The pmap: walking and changing the page tables of one map. Pages leave in three steps: their entries are
// cleared, all harts that could still translate forget them, then the references are dropped.
#include <algorithm>
#include <cstring>

#include <vm/first_use.hpp>
#include <vm/pmap.hpp>

namespace lentil {

using machine::Pte;

#if defined(LENTIL_CHECKS)
constinit bool first_use_faults = false;
#endif

namespace {

constexpr unsigned top_level = Pte::levels - 1;

constexpr vaddr_t span_of(unsigned level) { return vaddr_t{page_size} << (9 * level); }
static_assert(Pte::entries == 512 && Pte::levels >= 2);

Pte* table_at(paddr_t pa) { return static_cast<Pte*>(machine::direct_map(pa)); }
Pte load(const Pte& entry) {
    Pte value;
    __atomic_load(&entry, &value, __ATOMIC_RELAXED);
    return value;
}
/// Release: what the entry points to is seen before the entry is.
void store(Pte& entry, Pte value) { __atomic_store(&entry, &value, __ATOMIC_RELEASE); }
bool is_empty(Pte entry) { return entry == Pte{}; }

Pmap::Mapping describe(Pte entry) {
    return {page_at(entry.address()), entry.valid() ? entry.prot() : Prot::none, entry.accessed(), entry.dirty()};
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
        if (count_ == capacity)
            flush();
        extend(va, va + page_size);
        pages_[count_++] = page;
    }
    void add_table(VmPage* page, vaddr_t va) {
        add(page, va);
        tables_ = true;
    }
    /// Entries of the range changed, no page left.
    void extend(vaddr_t start, vaddr_t end) {
        start_ = std::min(start_, start);
        end_ = std::max(end_, end);
    }
    void flush() {
        if (start_ < end_) {
            if (tables_)
                machine::tlb_shootdown(space_, 0, Pte::user_end);
            else
                machine::tlb_shootdown(space_, start_, end_ - start_);
        }
        for (unsigned i = 0; i < count_; i++)
            page_unref(pages_[i]);
        count_ = 0;
        start_ = ~vaddr_t{0};
        end_ = 0;
        tables_ = false;
    }

private:
    static constexpr unsigned capacity = 120;
    machine::AddressSpace& space_;
    vaddr_t start_ = ~vaddr_t{0}, end_ = 0;
    bool tables_ = false;
    unsigned count_ = 0;
    VmPage* pages_[capacity];
};

} // namespace

/// What needs the pmap's private parts. A table page's `owner` counts its entries that are not empty.
struct PmapInternals {
    static void add_resident(Pmap& pmap, int64_t pages) {
        const uint64_t now = pmap.resident_.load(std::memory_order_relaxed) + static_cast<uint64_t>(pages);
        pmap.resident_.store(now, std::memory_order_relaxed);
        if (pages > 0 && now > pmap.peak_resident_.load(std::memory_order_relaxed))
            pmap.peak_resident_.store(now, std::memory_order_relaxed);
    }
    static void count_tables(Pmap& pmap, int64_t pages) {
        pmap.table_pages_.store(pmap.table_pages_.load(std::memory_order_relaxed) + static_cast<uint64_t>(pages),
                                std::memory_order_relaxed);
        page_count_kernel(pages);
    }

    static Result<VmPage*> new_table(Pmap& pmap) {
        VmPage* page = TRY(page_alloc_zeroed());
        count_tables(pmap, 1);
        return page;
    }

    /// The table of `level` that covers `va`; made if `make`, else nullptr where there is none.
    static Result<Pte*> table_for(Pmap& pmap, vaddr_t va, unsigned level, bool make) {
        Pte* table = table_at(pmap.space_.root);
        VmPage* table_page = nullptr;
        for (unsigned at = top_level; at > level; at--) {
            Pte& entry = table[Pte::index(va, at)];
            const Pte value = load(entry);
            if (is_empty(value)) {
                if (!make)
                    return static_cast<Pte*>(nullptr);
                VmPage* next = TRY(new_table(pmap));
                store(entry, Pte::table(page_pa(next)));
                if (table_page)
                    table_page->owner++;
                table_page = next;
                table = static_cast<Pte*>(page_data(next));
            } else {
                if (at > level + 1 || level > 0)
                    table_page = page_at(value.address());
                table = table_at(value.address());
            }
        }
        return table;
    }

    static const Pte* find(const Pmap& pmap, vaddr_t va) {
        const Pte* table = table_at(pmap.space_.root);
        for (unsigned at = top_level; at > 0; at--) {
            const Pte value = load(table[Pte::index(va, at)]);
            if (is_empty(value))
                return nullptr;
            table = table_at(value.address());
        }
        return &table[Pte::index(va, 0)];
    }

    /// Calls `visit(entry, va)` for every entry of [start, end) in level-0 tables that are there; empty ones
    /// included. `visit_table(table, va of its first entry, first, last)`.
    template<class F>
    static void for_each_table(const Pmap& pmap, vaddr_t start, vaddr_t end, F visit_table) {
        walk(table_at(pmap.space_.root), top_level, start, end, visit_table);
    }
    template<class F>
    static void walk(Pte* table, unsigned level, vaddr_t start, vaddr_t end, F& visit_table) {
        if (level == 0) {
            visit_table(table, start, end);
            return;
        }
        for (vaddr_t va = start; va < end;) {
            const vaddr_t next = std::min((va & ~(span_of(level) - 1)) + span_of(level), end);
            const Pte value = load(table[Pte::index(va, level)]);
            if (!is_empty(value))
                walk(table_at(value.address()), level - 1, va, next, visit_table);
            va = next;
        }
    }

    /// Clears [start, end) below `table` of `level`, whose record is `page` (nullptr: the root, never freed).
    static void remove(Pmap& pmap, Gather& gather, Pte* table, VmPage* table_page, unsigned level, vaddr_t start,
                       vaddr_t end) {
        if (level == 0) {
            uint64_t cleared = 0;
            int64_t resident = 0;
            for (vaddr_t va = start; va < end; va += page_size) {
                Pte& entry = table[Pte::index(va, 0)];
                const Pte value = load(entry);
                if (is_empty(value))
                    continue;
                store(entry, Pte{});
                VmPage* page = page_at(value.address());
                cleared++;
                resident += page != zero_page();
                gather.add(page, va);
            }
            table_page->owner -= cleared;
            add_resident(pmap, -resident);
            return;
        }
        for (vaddr_t va = start; va < end;) {
            const vaddr_t next = std::min((va & ~(span_of(level) - 1)) + span_of(level), end);
            Pte& entry = table[Pte::index(va, level)];
            const Pte value = load(entry);
            if (!is_empty(value)) {
                VmPage* below = page_at(value.address());
                remove(pmap, gather, table_at(value.address()), below, level - 1, va, next);
                if (below->owner == 0) {
                    store(entry, Pte{});
                    if (table_page)
                        table_page->owner--;
                    count_tables(pmap, -1);
                    gather.add_table(below, va);
                }
            }
            va = next;
        }
    }

    /// Everything, of a pmap that no hart uses.
    static void destroy(Pte* table, unsigned level, uint64_t& tables) {
        const unsigned end = level == top_level ? Pte::index(Pte::user_end - 1, level) + 1 : Pte::entries;
        for (unsigned i = 0; i < end; i++) {
            const Pte value = table[i];
            if (is_empty(value))
                continue;
            VmPage* page = page_at(value.address());
            if (level > 0) {
                if (page->owner != 0)
                    destroy(table_at(value.address()), level - 1, tables);
                tables++;
            }
            page_unref(page);
        }
    }
};

Pmap::~Pmap() {
    if (space_.root == 0)
        return;
    ASSERT(space_.active.load().empty());
    uint64_t tables = 1;
    PmapInternals::destroy(table_at(space_.root), top_level, tables);
    page_unref(page_at(space_.root));
    DEBUG_ASSERT(tables == table_pages_.load(std::memory_order_relaxed));
    page_count_kernel(-static_cast<int64_t>(tables));
}

Result<void> Pmap::init() {
    VmPage* root = TRY(PmapInternals::new_table(*this));
    machine::init_root(page_data(root));
    space_.root = page_pa(root);
    return {};
}

Result<void> Pmap::enter(vaddr_t va, VmPage* page, Prot prot) {
    auto table = PmapInternals::table_for(*this, va, 0, true);
    if (!table)
        return table.error();
    Pte& entry = (*table)[Pte::index(va, 0)];
    const Pte old = load(entry);
    store(entry, Pte::leaf(page_pa(page), first_use_faults ? Prot::none : prot, true));
    PmapInternals::add_resident(*this, page != zero_page());
    if (is_empty(old)) {
        // No flush: a hart that remembers the empty entry takes one more fault, which finds this one.
        page_at(machine::direct_map_pa(*table))->owner++;
        return {};
    }
    VmPage* replaced = page_at(old.address());
    PmapInternals::add_resident(*this, -int64_t{replaced != zero_page()});
    machine::tlb_shootdown(space_, va, page_size);
    page_unref(replaced);
    return {};
}

Pmap::Mapping Pmap::lookup(vaddr_t va) const {
    const Pte* entry = PmapInternals::find(*this, va);
    const Pte value = entry ? load(*entry) : Pte{};
    return is_empty(value) ? Mapping{} : describe(value);
}

void Pmap::remove(vaddr_t start, vaddr_t end) {
    Gather gather(space_);
    PmapInternals::remove(*this, gather, table_at(space_.root), nullptr, top_level, start, end);
}

void Pmap::restrict_prot(vaddr_t start, vaddr_t end, Prot prot) {
    Gather gather(space_);
    PmapInternals::for_each_table(*this, start, end, [&](Pte* table, vaddr_t from, vaddr_t to) {
        for (vaddr_t va = from; va < to; va += page_size) {
            Pte& entry = table[Pte::index(va, 0)];
            const Pte value = load(entry);
            if (!value.valid())
                continue;
            Prot kept = value.prot() & prot;
            // Write implies read in every entry format, so losing write must not leave read behind unasked.
            if (!machine::has(prot, Prot::write) && !machine::has(prot, Prot::read))
                kept = kept & Prot::exec;
            if (kept == value.prot())
                continue;
            store(entry, value.with_prot(kept));
            gather.extend(va, va + page_size);
        }
    });
}

void Pmap::raise_prot(vaddr_t va, Prot prot) {
    auto* entry = const_cast<Pte*>(PmapInternals::find(*this, va));
    ASSERT(entry && !is_empty(*entry));
    if (first_use_faults && !load(*entry).valid())
        prot = prot & ~Prot::write;
    store(*entry, load(*entry).with_prot(prot));
    machine::tlb_flush_local(space_, va, page_size);
}

Result<void> Pmap::copy_to(Pmap& child, vaddr_t start, vaddr_t end, bool cow) {
    Result<void> result;
    PmapInternals::for_each_table(*this, start, end, [&](Pte* table, vaddr_t from, vaddr_t to) {
        if (!result)
            return;
        Pte* copy = nullptr;
        uint64_t copied = 0;
        int64_t resident = 0;
        VmPage* const zero = zero_page();
        for (vaddr_t va = from; va < to; va += page_size) {
            Pte& entry = table[Pte::index(va, 0)];
            Pte value = load(entry);
            if (is_empty(value))
                continue;
            if (!copy) {
                auto made = PmapInternals::table_for(child, va, 0, true);
                if (!made) {
                    result = made.error();
                    return;
                }
                copy = *made;
            }
            if (cow && value.valid() && machine::has(value.prot(), Prot::write)) {
                value = value.with_prot(value.prot() & ~Prot::write);
                store(entry, value);
                copy_flush_ = true;
            }
            VmPage* page = page_at(value.address());
            page_ref(page);
            resident += page != zero;
            store(copy[Pte::index(va, 0)], value);
            copied++;
        }
        if (copy) {
            page_at(machine::direct_map_pa(copy))->owner += copied;
            PmapInternals::add_resident(child, resident);
        }
    });
    return result;
}

void Pmap::finish_copy() {
    if (copy_flush_)
        machine::tlb_shootdown(space_, 0, Pte::user_end);
    copy_flush_ = false;
}

Result<void> Pmap::move(vaddr_t from, vaddr_t to, size_t length) {
    // All tables first: after that nothing can fail.
    Result<void> result;
    PmapInternals::for_each_table(*this, from, from + length, [&](Pte* table, vaddr_t start, vaddr_t end) {
        for (vaddr_t va = start; va < end && result; va += page_size)
            if (!is_empty(load(table[Pte::index(va, 0)])))
                if (auto made = PmapInternals::table_for(*this, va - from + to, 0, true); !made)
                    result = made.error();
    });
    Gather gather(space_);
    if (!result) {
        PmapInternals::remove(*this, gather, table_at(space_.root), nullptr, top_level, to, to + length);
        return result;
    }
    PmapInternals::for_each_table(*this, from, from + length, [&](Pte* table, vaddr_t start, vaddr_t end) {
        uint64_t moved = 0;
        for (vaddr_t va = start; va < end; va += page_size) {
            Pte& entry = table[Pte::index(va, 0)];
            const Pte value = load(entry);
            if (is_empty(value))
                continue;
            const vaddr_t target = va - from + to;
            Pte* target_table = *PmapInternals::table_for(*this, target, 0, false); // made above
            store(entry, Pte{});
            store(target_table[Pte::index(target, 0)], value);
            page_at(machine::direct_map_pa(target_table))->owner++;
            moved++;
            gather.extend(va, va + page_size);
        }
        page_at(machine::direct_map_pa(table))->owner -= moved;
    });
    // Frees the tables that became empty.
    PmapInternals::remove(*this, gather, table_at(space_.root), nullptr, top_level, from, from + length);
    return {};
}

void Pmap::for_each(vaddr_t start, vaddr_t end, void (*visit)(vaddr_t, const Mapping&, void*), void* context) const {
    PmapInternals::for_each_table(*this, start, end, [&](Pte* table, vaddr_t from, vaddr_t to) {
        for (vaddr_t va = from; va < to; va += page_size)
            if (const Pte value = load(table[Pte::index(va, 0)]); !is_empty(value))
                visit(va, describe(value), context);
    });
}

} // namespace lentil

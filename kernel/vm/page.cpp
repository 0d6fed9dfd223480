// SPDX-License-Identifier: BSD-2-Clause
// Physical pages: records carved from RAM itself, a buddy allocator, and a small stock of single pages for
// every hart.
#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include <sync/spinlock.hpp>
#include <vm/fail.hpp>
#include <vm/page_batch.hpp>
#include <vm/poison.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

constinit std::atomic<bool (*)()> allocation_fault_hook{nullptr};
constinit RamRange main_pages;

namespace {

using PageNumber = uint32_t; // 44 bits of address are enough for everybody: 16 TiB
constexpr PageNumber no_page = ~PageNumber{0};
constexpr unsigned max_order = 10;
constexpr unsigned max_ranges = 16;

struct FreeList {
    PageNumber head = no_page;
    uint64_t blocks = 0;
};

/// Single pages of one hart; touched by that hart with interrupts off. The counts are read by page_counts elsewhere.
struct Stock {
    static constexpr uint32_t capacity = 64, batch_order = 4, batch = 1 << batch_order;
    std::atomic<uint32_t> count{0};
    VmPage* pages[capacity] = {};

    /// Pages that are free, but whose contents may save work.
    struct Kept {
        static constexpr uint32_t capacity = 12;
        std::atomic<uint32_t> count{0};
        VmPage* pages[capacity] = {};

        VmPage* take() {
            const uint32_t n = count.load(std::memory_order_relaxed);
            if (n == 0)
                return nullptr;
            count.store(n - 1, std::memory_order_relaxed);
            return pages[n - 1];
        }
        bool give(VmPage* page) {
            const uint32_t n = count.load(std::memory_order_relaxed);
            if (n == capacity)
                return false;
            pages[n] = page;
            count.store(n + 1, std::memory_order_relaxed);
            return true;
        }
    } kept[page_contents_count];
};

constinit RamRange ranges[max_ranges];
constinit unsigned range_count = 0;
constinit SpinLock<Rank::page_alloc> lock;
constinit FreeList free_lists[max_order + 1];
constinit std::atomic<uint64_t> free_in_lists{0};
constinit std::atomic<uint64_t> total_pages{0};
constinit std::atomic<int64_t> kernel_pages{0};
constinit Stock stocks[max_harts];
constinit VmPage* the_zero_page = nullptr;

RamRange* range_of(PageNumber number) {
    for (unsigned i = 0; i < range_count; i++)
        if (number - ranges[i].first < ranges[i].count)
            return &ranges[i];
    return nullptr;
}

PageNumber number_of(const VmPage* page) { return static_cast<PageNumber>(page_pa(page) >> page_shift); }

PageNumber number_elsewhere(const VmPage* page) {
    for (unsigned i = 0; i < range_count; i++) {
        const auto index = static_cast<uint64_t>(page - ranges[i].records);
        if (index < ranges[i].count)
            return ranges[i].first + static_cast<PageNumber>(index);
    }
    panic("no such page");
}

VmPage& record(PageNumber number) { return *page_at(paddr_t{number} << page_shift); }

constexpr uint32_t free_flags(unsigned order) { return page_free_block | order << 8; }

void list_push(PageNumber number, unsigned order) {
    VmPage& page = record(number);
    FreeList& list = free_lists[order];
    page.flags.store(free_flags(order), std::memory_order_relaxed);
    page.next = list.head;
    page.prev = no_page;
    if (list.head != no_page)
        record(list.head).prev = number;
    list.head = number;
    list.blocks++;
}

void list_remove(PageNumber number, unsigned order) {
    VmPage& page = record(number);
    FreeList& list = free_lists[order];
    if (page.prev != no_page)
        record(page.prev).next = page.next;
    else
        list.head = page.next;
    if (page.next != no_page)
        record(page.next).prev = page.prev;
    list.blocks--;
    page.flags.store(0, std::memory_order_relaxed);
    page.owner = 0;
}

/// Lock held.
void buddy_free(PageNumber number, unsigned order) {
    free_in_lists.store(free_in_lists.load(std::memory_order_relaxed) + (uint64_t{1} << order),
                        std::memory_order_relaxed);
    const RamRange* range = range_of(number);
    for (; order < max_order; order++) {
        const PageNumber buddy = number ^ (PageNumber{1} << order);
        if (buddy < range->first || buddy - range->first + (PageNumber{1} << order) > range->count)
            break;
        if (range->records[buddy - range->first].flags.load(std::memory_order_relaxed) != free_flags(order))
            break;
        list_remove(buddy, order);
        number &= ~(PageNumber{1} << order);
    }
    list_push(number, order);
}

/// Lock held. nullptr if there is no block of that size.
VmPage* buddy_alloc(unsigned order) {
    for (unsigned from = order; from <= max_order; from++) {
        const PageNumber number = free_lists[from].head;
        if (number == no_page)
            continue;
        list_remove(number, from);
        while (from > order) {
            from--;
            list_push(number + (PageNumber{1} << from), from);
        }
        free_in_lists.store(free_in_lists.load(std::memory_order_relaxed) - (uint64_t{1} << order),
                            std::memory_order_relaxed);
        return &record(number);
    }
    return nullptr;
}

/// Interrupts are disabled. nullptr if there is none.
VmPage* take_single(Stock& stock) {
    uint32_t count = stock.count.load(std::memory_order_relaxed);
    if (count == 0) [[unlikely]] {
        SpinGuard guard(lock);
        // The first taken is the first given out: neighbours come in address order.
        if (VmPage* run = buddy_alloc(Stock::batch_order)) {
            for (count = Stock::batch; count > 0; run++)
                stock.pages[--count] = run;
            count = Stock::batch;
        } else {
            while (count < Stock::batch) {
                VmPage* page = buddy_alloc(0);
                if (!page)
                    break;
                stock.pages[count++] = page;
            }
            if (count == 0) {
                for (Stock::Kept& kept : stock.kept)
                    if (VmPage* page = kept.take())
                        return page;
                return nullptr;
            }
            std::reverse(stock.pages, stock.pages + count);
        }
    }
    VmPage* page = stock.pages[--count];
    stock.count.store(count, std::memory_order_relaxed);
    return page;
}

/// Adds [first, end) to the free lists in the largest aligned blocks. Their records say "free, no
/// references". Lock held.
void free_blocks(PageNumber first, PageNumber end) {
    while (first < end) {
        unsigned order = 0;
        while (order < max_order && (first & ((PageNumber{2} << order) - 1)) == 0 &&
               end - first >= (PageNumber{2} << order))
            order++;
        buddy_free(first, order);
        first += PageNumber{1} << order;
    }
}

void free_run(PageNumber first, PageNumber end) {
    total_pages.fetch_add(end - first, std::memory_order_relaxed);
    SpinGuard guard(lock);
    free_blocks(first, end);
}

/// Gives half of a full stock back: mostly neighbours, that came from one block and go as one.
void empty_half(Stock& stock) {
    constexpr uint32_t kept = Stock::capacity / 2;
    SpinGuard guard(lock);
    for (uint32_t i = kept; i < Stock::capacity;) {
        const PageNumber start = number_of(stock.pages[i++]);
        PageNumber first = start, end = start + 1;
        while (i < Stock::capacity && number_of(stock.pages[i]) == end && range_of(end) == range_of(start))
            end++, i++;
        if (end == start + 1)
            while (i < Stock::capacity && number_of(stock.pages[i]) == first - 1 &&
                   range_of(first - 1) == range_of(start))
                first--, i++;
        free_blocks(first, end);
    }
    stock.count.store(kept, std::memory_order_relaxed);
}

/// Interrupts are disabled.
void give_single(Stock& stock, VmPage* page) {
    if (stock.count.load(std::memory_order_relaxed) == Stock::capacity) [[unlikely]]
        empty_half(stock);
    const uint32_t count = stock.count.load(std::memory_order_relaxed);
    stock.pages[count] = page;
    stock.count.store(count + 1, std::memory_order_relaxed);
}

/// Of a page whose last reference went.
void make_unused(const VmPage* page) {
    DEBUG_ASSERT(!(page->flags.load(std::memory_order_relaxed) & (page_reserved | page_free_block)));
    poison_region(page_data(page), page_size);
}

/// Of a page just taken.
void make_used(VmPage* page, unsigned order) {
    DEBUG_ASSERT(page->refs.load(std::memory_order_relaxed) == 0);
    unpoison_region(page_data(page), page_size << order);
    page->flags.store(0, std::memory_order_relaxed);
    page->owner = 0;
    page->refs.store(1, std::memory_order_relaxed);
}

struct Span {
    PageNumber first = 0, end = 0;
};

/// A small sorted list of spans that touch nowhere.
struct SpanList {
    static constexpr unsigned capacity = 64;
    Span spans[capacity];
    unsigned count = 0;

    void add(Span span) {
        if (span.first >= span.end)
            return;
        ASSERT(count < capacity);
        spans[count++] = span;
        std::sort(spans, spans + count, [](const Span& a, const Span& b) { return a.first < b.first; });
        unsigned kept = 0;
        for (unsigned i = 1; i < count; i++) {
            if (spans[i].first <= spans[kept].end)
                spans[kept].end = std::max(spans[kept].end, spans[i].end);
            else
                spans[++kept] = spans[i];
        }
        count = kept + 1;
    }
};

Span span_inside(paddr_t start, uint64_t size) {
    return {static_cast<PageNumber>(page_ceil(start) >> page_shift),
            static_cast<PageNumber>(page_floor(start + size) >> page_shift)};
}
Span span_around(paddr_t start, uint64_t size) {
    return {static_cast<PageNumber>(page_floor(start) >> page_shift),
            static_cast<PageNumber>(page_ceil(start + size) >> page_shift)};
}

/// First place in `span` with `pages` pages that are not reserved; no_page if there is none.
PageNumber find_room(Span span, PageNumber pages, const SpanList& reserved) {
    PageNumber at = span.first;
    for (unsigned i = 0; i < reserved.count; i++) {
        if (reserved.spans[i].first >= at && reserved.spans[i].first - at >= pages)
            break;
        at = std::max(at, reserved.spans[i].end);
    }
    return at <= span.end && span.end - at >= pages ? at : no_page;
}

/// Calls `visit(first, end)` for every part of `span` outside `reserved`.
template<class F>
void for_each_free(Span span, const SpanList& reserved, F visit) {
    PageNumber at = span.first;
    for (unsigned i = 0; i < reserved.count && at < span.end; i++) {
        if (reserved.spans[i].end <= at)
            continue;
        if (reserved.spans[i].first > at)
            visit(at, std::min(reserved.spans[i].first, span.end));
        at = reserved.spans[i].end;
    }
    if (at < span.end)
        visit(at, span.end);
}

void make_records(Span span, PageNumber where, const SpanList& reserved) {
    RamRange& range = ranges[range_count++];
    range.first = span.first;
    range.count = span.end - span.first;
    range.records = static_cast<VmPage*>(machine::direct_map(paddr_t{where} << page_shift));
    if (range.count > main_pages.count)
        main_pages = range;
    for (PageNumber i = 0; i < range.count; i++)
        new (&range.records[i]) VmPage;
    for (unsigned i = 0; i < reserved.count; i++)
        for (PageNumber n = std::max(reserved.spans[i].first, span.first);
             n < std::min(reserved.spans[i].end, span.end); n++) {
            VmPage& page = range.records[n - span.first];
            page.flags.store(page_reserved, std::memory_order_relaxed);
            page.refs.store(1, std::memory_order_relaxed);
        }
}

} // namespace

void page_init() {
    const machine::BootInfo& info = machine::boot_info;
    SpanList memory, reserved;
    for (unsigned i = 0; i < info.memory_count; i++)
        memory.add(span_inside(info.memory[i].start, info.memory[i].size));
    for (unsigned i = 0; i < info.reserved_count; i++)
        reserved.add(span_around(info.reserved[i].start, info.reserved[i].size));

    // The records of every range first: they are reserved before anything is freed.
    PageNumber places[max_ranges];
    const unsigned used = std::min(memory.count, max_ranges);
    for (unsigned i = 0; i < used; i++) {
        const auto pages = static_cast<PageNumber>(
            page_ceil(uint64_t{memory.spans[i].end - memory.spans[i].first} * sizeof(VmPage)) >> page_shift);
        places[i] = find_room(memory.spans[i], pages, reserved);
        for (unsigned other = 0; other < used && places[i] == no_page; other++)
            places[i] = find_room(memory.spans[other], pages, reserved);
        if (places[i] != no_page)
            reserved.add({places[i], places[i] + pages});
    }
    for (unsigned i = 0; i < used; i++)
        if (places[i] != no_page)
            make_records(memory.spans[i], places[i], reserved);
    for (unsigned i = 0; i < used; i++)
        if (places[i] != no_page)
            for_each_free(memory.spans[i], reserved, free_run);

    the_zero_page = page_alloc_raw(0);
    if (!the_zero_page)
        panic("no usable memory");
    machine::zero_page(page_data(the_zero_page));
}

VmPage* page_alloc_raw(unsigned order) {
    VmPage* page;
    if (order == 0) {
        IrqGuard irq;
        page = take_single(stocks[machine::hart_index()]);
    } else {
        SpinGuard guard(lock);
        page = buddy_alloc(order);
    }
    if (!page)
        return nullptr;
    make_used(page, order);
    return page;
}

PageRun page_alloc_run(unsigned most) {
    PageRun run;
    {
        SpinGuard guard(lock);
        run.count = static_cast<unsigned>(
            std::min<uint64_t>({most, free_in_lists.load(std::memory_order_relaxed) / 16, 1 << max_order}));
        if (run.count == 0)
            return {};
        auto order = static_cast<unsigned>(std::bit_width(run.count - 1));
        while (!(run.first = buddy_alloc(order)))
            if (order-- == 0)
                return {};
        run.count = std::min(run.count, 1u << order);
        const PageNumber number = number_of(run.first);
        free_blocks(number + run.count, number + (1u << order));
    }
    for (unsigned i = 0; i < run.count; i++)
        make_used(run.first + i, 0);
    return run;
}

namespace {

/// After fault injection had its say.
Result<VmPage*> alloc_order(unsigned order) {
    VmPage* page = page_alloc_raw(order);
    if (!page) [[unlikely]] {
        zone_reclaim();
        page = page_alloc_raw(order);
        if (!page)
            return Errno::nomem;
    }
    return page;
}

[[maybe_unused]] bool is_zero(const VmPage* page) {
    auto* words = static_cast<const uint64_t*>(page_data(page));
    return std::all_of(words, words + page_size / sizeof *words, [](uint64_t word) { return word == 0; });
}

} // namespace

Result<VmPage*> page_alloc_order(unsigned order) {
    if (order > max_order || allocation_must_fail())
        return Errno::nomem;
    return alloc_order(order);
}

Result<VmPage*> page_alloc() { return page_alloc_order(0); }

VmPage* page_take_kept(PageContents contents) {
    IrqGuard irq;
    VmPage* page = stocks[machine::hart_index()].kept[static_cast<size_t>(contents)].take();
    if (page)
        make_used(page, 0);
    return page;
}

void page_unref_keeping(VmPage* page, PageContents contents) {
    ASSERT(page->refs.load(std::memory_order_acquire) == 1);
    {
        IrqGuard irq;
        page->refs.store(0, std::memory_order_relaxed);
        make_unused(page);
        if (stocks[machine::hart_index()].kept[static_cast<size_t>(contents)].give(page))
            return;
        page->refs.store(1, std::memory_order_relaxed);
    }
    page_unref(page);
}

void page_unref_keeping(std::span<VmPage* const> pages, PageContents contents) {
    auto at = pages.begin();
    {
        IrqGuard irq;
        Stock::Kept& kept = stocks[machine::hart_index()].kept[static_cast<size_t>(contents)];
        uint32_t count = kept.count.load(std::memory_order_relaxed);
        for (; at != pages.end() && count < Stock::Kept::capacity; ++at) {
            VmPage* const page = *at;
            ASSERT(page->refs.load(std::memory_order_relaxed) == 1);
            page->refs.store(0, std::memory_order_relaxed);
            make_unused(page);
            kept.pages[count++] = page;
        }
        kept.count.store(count, std::memory_order_relaxed);
    }
    for (; at != pages.end(); ++at)
        page_unref(*at);
}

Result<VmPage*> page_alloc_zeroed() {
    if (allocation_must_fail())
        return Errno::nomem;
    VmPage* page = TRY(alloc_order(0));
    machine::zero_page(page_data(page));
    return page;
}

Result<VmPage*> page_alloc_cleared() {
    if (allocation_must_fail())
        return Errno::nomem;
    VmPage* page = page_take_kept(PageContents::zeros);
    if (!page) {
        page = TRY(alloc_order(0));
        machine::zero_page(page_data(page));
    }
    DEBUG_ASSERT(is_zero(page));
    return page;
}

Result<void> page_alloc_cleared(std::span<VmPage*> out) {
    size_t got = 0;
    if constexpr (!checks_enabled) { // else each may be made to fail
        IrqGuard irq;
        Stock::Kept& kept = stocks[machine::hart_index()].kept[static_cast<size_t>(PageContents::zeros)];
        uint32_t count = kept.count.load(std::memory_order_relaxed);
        for (; got < out.size() && count > 0; got++) {
            out[got] = kept.pages[--count];
            make_used(out[got], 0);
        }
        kept.count.store(count, std::memory_order_relaxed);
    }
    for (; got < out.size(); got++) {
        const auto page = page_alloc_cleared();
        if (!page) {
            page_unref_keeping(out.first(got), PageContents::zeros);
            return page.error();
        }
        out[got] = *page;
    }
    return {};
}

void page_free_order(VmPage* first, unsigned order) {
    if (order == 0)
        return page_unref(first);
    ASSERT(first->refs.load(std::memory_order_relaxed) == 1);
    first->refs.store(0, std::memory_order_relaxed);
    poison_region(page_data(first), page_size << order);
    SpinGuard guard(lock);
    buddy_free(number_of(first), order);
}

void page_unref(VmPage* page) {
    if (!PageDrop::drop_ref(page))
        return;
    make_unused(page);
    IrqGuard irq;
    give_single(stocks[machine::hart_index()], page);
}

void PageDrop::give(VmPage* first, VmPage* end) {
    for (const VmPage* page = first; page != end; page++)
        make_unused(page);
    const auto count = static_cast<PageNumber>(end - first);
    if (count >= Stock::batch) { // as one block rather than through the stock
        const PageNumber number = number_of(first);
        if (range_of(number) == range_of(number_of(end - 1))) {
            SpinGuard guard(lock);
            return free_blocks(number, number + count);
        }
    }
    IrqGuard irq;
    Stock& stock = stocks[machine::hart_index()];
    for (VmPage* page = first; page != end; page++)
        give_single(stock, page);
}

paddr_t page_pa_elsewhere(const VmPage* page) { return paddr_t{number_elsewhere(page)} << page_shift; }

VmPage* page_at_elsewhere(paddr_t pa) {
    const uint64_t number = pa >> page_shift;
    if (number >= no_page)
        return nullptr;
    const RamRange* range = range_of(static_cast<PageNumber>(number));
    return range ? &range->records[number - range->first] : nullptr;
}

VmPage* zero_page() { return the_zero_page; }

PageCounts page_counts() {
    PageCounts counts{};
    counts.total = total_pages.load(std::memory_order_relaxed);
    counts.free = free_in_lists.load(std::memory_order_relaxed);
    for (const Stock& stock : stocks) {
        counts.free += stock.count.load(std::memory_order_relaxed);
        for (const Stock::Kept& kept : stock.kept)
            counts.free += kept.count.load(std::memory_order_relaxed);
    }
    counts.kernel = static_cast<uint64_t>(std::max<int64_t>(0, kernel_pages.load(std::memory_order_relaxed)));
    return counts;
}

void page_count_kernel(int64_t pages) { kernel_pages.fetch_add(pages, std::memory_order_relaxed); }

void page_add_range(paddr_t start, uint64_t size) {
    const Span span = span_inside(start, size);
    PageNumber run = span.first;
    for (PageNumber n = span.first; n <= span.end; n++) {
        VmPage* page = n < span.end ? page_at(paddr_t{n} << page_shift) : nullptr;
        if (page && page->flags.load(std::memory_order_relaxed) == page_reserved) {
            page->flags.store(0, std::memory_order_relaxed);
            page->refs.store(0, std::memory_order_relaxed);
            continue;
        }
        if (run < n)
            free_run(run, n);
        run = n + 1;
    }
}

} // namespace lentil

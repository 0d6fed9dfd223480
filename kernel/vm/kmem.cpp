// SPDX-License-Identifier: BSD-2-Clause
// The kernel's window: address ranges, stacks with guard pages, large buffers; and the start of the memory
// system.
#include <cstring>

#include <sched/thread.hpp>
#include <vm/fail.hpp>
#include <vm/kernel_pmap.hpp>
#include <vm/kmem.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

namespace {

/// A stretch of the window, free or in use; together they cover it.
struct KmemRange {
    vaddr_t start = 0, end = 0;
    bool used = false;
    TreeHook link;

    static constexpr const char* zone_name = "kmem_ranges";
};
struct RangeStart {
    using type = vaddr_t;
    vaddr_t operator()(const KmemRange& r) const { return r.start; }
};
using RangeTree = Tree<KmemRange, &KmemRange::link, RangeStart>;

/// Mapped stacks that wait for their next thread, of one hart; touched with interrupts off.
struct StackStock {
    static constexpr uint32_t capacity = 4;
    uint32_t count = 0;
    void* tops[capacity] = {};
};

constinit SpinLock<Rank::kmem> lock;
alignas(RangeTree) constinit unsigned char ranges_storage[sizeof(RangeTree)] = {};
constinit std::atomic<uint64_t> stacks_created{0};
constinit std::atomic<int64_t> stacks_in_use{0};
constinit StackStock stack_stocks[max_harts];

RangeTree& ranges() { return *reinterpret_cast<RangeTree*>(ranges_storage); }

constexpr size_t stack_span = kernel_stack_size + page_size;

/// First fit. Address range without mappings; nullptr if there is none or no memory for its record.
KmemRange* reserve(size_t size) {
    auto spare = zone_new<KmemRange>();
    if (!spare)
        return nullptr;
    KmemRange* found = nullptr;
    {
        SpinGuard guard(lock);
        for (KmemRange& r : ranges())
            if (!r.used && r.end - r.start >= size) {
                found = &r;
                break;
            }
        if (found) {
            if (found->end - found->start > size) {
                KmemRange* rest = *spare;
                *spare = nullptr;
                rest->start = found->start + size;
                rest->end = found->end;
                found->end = rest->start;
                ranges().insert(*rest);
            }
            found->used = true;
        }
    }
    if (*spare)
        zone_delete(*spare);
    return found;
}

/// Gives back a range without mappings, merging it with free neighbours.
void release(vaddr_t start) {
    KmemRange* dead[2] = {};
    {
        SpinGuard guard(lock);
        auto it = ranges().find(start);
        ASSERT(it != ranges().end() && it->used);
        it->used = false;
        if (auto next = std::next(it); next != ranges().end() && !next->used) {
            it->end = next->end;
            dead[0] = &*next;
            ranges().erase(next);
        }
        if (it != ranges().begin())
            if (auto before = std::prev(it); !before->used) {
                before->end = it->end;
                dead[1] = &*it;
                ranges().erase(it);
            }
    }
    for (KmemRange* r : dead)
        if (r)
            zone_delete(r);
}

/// Removes the pages of [start, end), which is mapped from the front up to `end`.
void unmap(vaddr_t start, vaddr_t end) {
    // In portions: pages may be used again only after the shoot-down.
    constexpr unsigned portion = 32;
    while (start < end) {
        VmPage* pages[portion];
        const vaddr_t first = start;
        unsigned n = 0;
        {
            SpinGuard guard(lock);
            for (; n < portion && start < end; start += page_size)
                pages[n++] = kernel_unmap(start);
        }
        machine::tlb_shootdown_kernel(first, start - first);
        page_count_kernel(-static_cast<int64_t>(n));
        while (n > 0)
            page_unref(pages[--n]);
    }
}

/// Fills [start, end) with fresh pages; on nomem nothing stays mapped.
Result<void> populate(vaddr_t start, vaddr_t end, bool zeroed) {
    for (vaddr_t va = start; va < end; va += page_size) {
        VmPage* page = page_alloc_raw(0);
        if (!page) [[unlikely]] {
            zone_reclaim();
            page = page_alloc_raw(0);
        }
        Result<void> mapped = Errno::nomem;
        if (page) {
            if (zeroed)
                std::memset(page_data(page), 0, page_size);
            SpinGuard guard(lock);
            mapped = kernel_map(va, page);
        }
        if (!mapped) {
            if (page)
                page_unref(page);
            unmap(start, va);
            return Errno::nomem;
        }
        page_count_kernel(1);
    }
    return {};
}

/// `guard` bytes below what is returned stay unmapped.
Result<vaddr_t> make(size_t size, size_t guard, bool zeroed) {
    if (size > kernel_window.size)
        return Errno::nomem;
    KmemRange* range = reserve(size + guard);
    if (!range)
        return Errno::nomem;
    const vaddr_t start = range->start + guard;
    if (!populate(start, start + size, zeroed)) {
        release(range->start);
        return Errno::nomem;
    }
    return start;
}

} // namespace

void vm_init() {
    page_init();
    kernel_pmap_init();
    new (ranges_storage) RangeTree;
    auto all = MUST(zone_new<KmemRange>()); // memory is fresh
    all->start = kernel_window.start;
    all->end = kernel_window.start + kernel_window.size;
    ranges().insert(*all);
    sched_set_memory({
        .allocate_thread = [] { return zone_of<Thread>.allocate(); },
        .free_thread = [](void* thread) { zone_of<Thread>.free(thread); },
        .allocate_stack = kernel_stack_allocate,
        .free_stack = kernel_stack_free,
        .stack_size = kernel_stack_size,
    });
}

Result<void*> kernel_stack_allocate() {
    if (allocation_must_fail())
        return Errno::nomem;
    void* top = nullptr;
    {
        IrqGuard irq;
        if (StackStock& stock = stack_stocks[machine::hart_index()]; stock.count > 0)
            top = stock.tops[--stock.count];
    }
    if (!top)
        top = reinterpret_cast<void*>(TRY(make(kernel_stack_size, page_size, false)) + kernel_stack_size);
    stacks_created.fetch_add(1, std::memory_order_relaxed);
    stacks_in_use.fetch_add(1, std::memory_order_relaxed);
    return top;
}

void kernel_stack_free(void* top) {
    stacks_in_use.fetch_sub(1, std::memory_order_relaxed);
    {
        IrqGuard irq;
        if (StackStock& stock = stack_stocks[machine::hart_index()]; stock.count < StackStock::capacity) {
            stock.tops[stock.count++] = top;
            return;
        }
    }
    const auto end = reinterpret_cast<vaddr_t>(top);
    unmap(end - kernel_stack_size, end);
    release(end - stack_span);
}

Result<void*> kmem_alloc(size_t size) {
    if (size == 0 || size > kernel_window.size)
        return Errno::inval;
    if (allocation_must_fail())
        return Errno::nomem;
    // The page below stays empty: running off the end of the buffer before it is a fault.
    return reinterpret_cast<void*>(TRY(make(page_ceil(size), page_size, true)));
}

void kmem_free(void* start, size_t size) {
    const auto first = reinterpret_cast<vaddr_t>(start);
    unmap(first, first + page_ceil(size));
    release(first - page_size);
}

uint64_t kernel_stacks_created() { return stacks_created.load(std::memory_order_relaxed); }
uint64_t kernel_stacks_in_use() {
    const int64_t n = stacks_in_use.load(std::memory_order_relaxed);
    return n > 0 ? static_cast<uint64_t>(n) : 0;
}

} // namespace lentil

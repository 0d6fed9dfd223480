// SPDX-License-Identifier: BSD-2-Clause
// The page allocator on a machine with several ranges of RAM, the largest of 16 GiB.
#include "vm_support.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <random>
#include <set>
#include <vector>

#include <vm/page_batch.hpp>

namespace lentil {
namespace {

constexpr machine::MemoryRange memory[] = {
    {0x80000000, 16 << 20},
    {0x90000800, (2 << 20) + 0x1000}, // not on page boundaries
    {0x100000000, uint64_t{16} << 30},
};
constexpr machine::MemoryRange reserved[] = {
    {0x80000000, 0x80000},  // firmware
    {0x80200000, 0x123456}, // kernel
    {0x80f00000, 0x100000}, // initrd, at the end
    {0x100000000, 0x1000},  // where the records would like to be
};

bool is_usable(paddr_t pa) {
    const bool inside =
        std::ranges::any_of(memory, [&](auto& r) { return pa >= r.start && pa + page_size <= r.start + r.size; });
    return inside &&
           std::ranges::none_of(reserved, [&](auto& r) { return pa < r.start + r.size && pa + page_size > r.start; });
}

struct Machine {
    Machine() { test::start_vm(memory, reserved); }
};

TEST_CASE_FIXTURE(Machine, "every page of every range is handed out once, and reserved memory never") {
    const PageCounts before = page_counts();
    CHECK(before.total > (uint64_t{16} << 30 >> page_shift) / 256 * 255); // one in 256 holds the records
    std::set<paddr_t> low;
    std::vector<VmPage*> pages;
    // The 16 GiB in large blocks, what is left one by one.
    std::vector<VmPage*> blocks;
    for (;;) {
        auto block = page_alloc_order(10);
        if (!block)
            break;
        const paddr_t pa = page_pa(*block);
        CHECK(pa % (page_size << 10) == 0);
        CHECK(is_usable(pa));
        CHECK(is_usable(pa + (page_size << 10) - page_size));
        blocks.push_back(*block);
    }
    CHECK(blocks.size() > 4000);
    for (;;) {
        auto page = page_alloc();
        if (!page)
            break;
        const paddr_t pa = page_pa(*page);
        const bool fresh = low.insert(pa).second;
        if (!fresh || !is_usable(pa) || page_at(pa) != *page)
            FAIL("bad page at ", pa);
        pages.push_back(*page);
    }
    CHECK(page_counts().free == 0);
    CHECK(blocks.size() * 1024 + pages.size() == before.free);
    for (VmPage* page : pages)
        page_unref(page);
    for (VmPage* block : blocks)
        page_free_order(block, 10);
    CHECK(page_counts().free == before.free);
}

TEST_CASE_FIXTURE(Machine, "freed pages grow together to large blocks again") {
    const PageCounts before = page_counts();
    std::vector<VmPage*> pages;
    while (auto page = page_alloc())
        if (pages.push_back(*page); pages.size() == 100000)
            break;
    std::shuffle(pages.begin(), pages.end(), std::minstd_rand(1));
    for (VmPage* page : pages)
        page_unref(page);
    CHECK(page_counts().free == before.free);
    std::vector<VmPage*> blocks;
    while (auto block = page_alloc_order(10))
        blocks.push_back(*block);
    CHECK(blocks.size() > 4000);
    for (VmPage* block : blocks)
        page_free_order(block, 10);
}

TEST_CASE_FIXTURE(Machine, "random orders never overlap and leave the counts as they were") {
    const PageCounts before = page_counts();
    std::minstd_rand random(7);
    struct Block {
        VmPage* page;
        unsigned order;
    };
    std::vector<Block> blocks;
    std::map<paddr_t, paddr_t> used; // start, end
    for (int step = 0; step < 20000; step++) {
        const host::OnHart on(random() % test::harts);
        if (blocks.empty() || random() % 5 < 3) {
            const unsigned order = std::min<unsigned>(random() % 8, random() % 8);
            VmPage* page = *page_alloc_order(order);
            const paddr_t start = page_pa(page), end = start + (page_size << order);
            auto after = used.lower_bound(start);
            REQUIRE((after == used.end() || after->first >= end));
            REQUIRE((after == used.begin() || std::prev(after)->second <= start));
            used[start] = end;
            blocks.push_back({page, order});
        } else {
            std::swap(blocks[random() % blocks.size()], blocks.back());
            used.erase(page_pa(blocks.back().page));
            page_free_order(blocks.back().page, blocks.back().order);
            blocks.pop_back();
        }
    }
    for (const Block& block : blocks)
        page_free_order(block.page, block.order);
    CHECK(page_counts().free == before.free);
}

TEST_CASE_FIXTURE(Machine, "a page is freed with its last reference") {
    const PageCounts before = page_counts();
    VmPage* page = *page_alloc();
    page_ref(page);
    page_ref(page);
    page_unref(page);
    page_unref(page);
    CHECK(page_counts().free == before.free - 1);
    page_unref(page);
    CHECK(page_counts().free == before.free);
}

TEST_CASE_FIXTURE(Machine, "a run is of pages that each live by themselves, and takes no more than its part") {
    const PageCounts before = page_counts();
    for (const unsigned wanted : {1u, 2u, 15u, 63u, 64u, 447u, 512u, 1024u}) {
        const PageRun run = page_alloc_run(wanted);
        REQUIRE(run.count == wanted);
        CHECK(page_counts().free == before.free - wanted);
        for (unsigned i = 0; i < wanted; i++) {
            REQUIRE(run.first[i].refs.load() == 1);
            CHECK(page_pa(run.first + i) == page_pa(run.first) + i * page_size);
        }
        page_ref(run.first + wanted / 2); // one of them stays
        {
            PageDrop drop;
            for (unsigned i = 0; i < wanted; i++)
                drop.add(run.first + i);
        }
        CHECK(page_counts().free == before.free - 1);
        page_unref(run.first + wanted / 2);
        CHECK(page_counts().free == before.free);
    }
    std::vector<VmPage*> blocks;
    while (auto block = page_alloc_order(10))
        blocks.push_back(*block);
    uint64_t left = page_counts().free;
    std::vector<PageRun> runs;
    for (;;) {
        const PageRun run = page_alloc_run(1024);
        CHECK(run.count <= left / 16);
        if (run.count == 0)
            break;
        runs.push_back(run);
        left -= run.count;
        CHECK(page_counts().free == left);
    }
    CHECK(left >= 15); // what is asked for may still have
    for (const PageRun& run : runs)
        for (unsigned i = run.count; i-- > 0;) // backwards: no neighbours for PageDrop
            page_unref(run.first + i);
    for (VmPage* block : blocks)
        page_free_order(block, 10);
    CHECK(page_counts().free == before.free);
}

TEST_CASE_FIXTURE(Machine,
                  "pages kept for their contents are free all the same, and are given out when nothing else is") {
    const PageCounts before = page_counts();
    std::vector<VmPage*> pages;
    for (int i = 0; i < 40; i++) // more than are kept
        pages.push_back(*page_alloc_cleared());
    for (VmPage* page : pages)
        page_unref_keeping(page, PageContents::zeros);
    CHECK(page_counts().free == before.free);
    CHECK(page_take_kept(PageContents::root_table) == nullptr);
    VmPage* kept = page_take_kept(PageContents::zeros);
    REQUIRE(kept);
    CHECK(kept->refs.load() == 1);
    CHECK(page_counts().free == before.free - 1);
    page_unref_keeping(kept, PageContents::zeros);
    std::vector<VmPage*> blocks;
    while (auto block = page_alloc_order(10))
        blocks.push_back(*block);
    pages.clear();
    while (auto page = page_alloc())
        pages.push_back(*page);
    CHECK(page_take_kept(PageContents::zeros) == nullptr);
    for (VmPage* page : pages)
        page_unref(page);
    for (VmPage* block : blocks)
        page_free_order(block, 10);
    CHECK(page_counts().free == before.free);
}

TEST_CASE_FIXTURE(Machine, "zeroed pages are zero though RAM was not, and the zero page stays so") {
    for (int i = 0; i < 200; i++) {
        VmPage* page = *page_alloc_zeroed();
        const char* data = static_cast<const char*>(page_data(page));
        CHECK(std::all_of(data, data + page_size, [](char c) { return c == 0; }));
        __builtin_memset(page_data(page), 1, page_size);
        page_unref(page);
    }
    const char* zero = static_cast<const char*>(page_data(zero_page()));
    CHECK(std::all_of(zero, zero + page_size, [](char c) { return c == 0; }));
}

TEST_CASE_FIXTURE(Machine, "addresses that are not RAM have no page") {
    CHECK(page_at(0x10000000) == nullptr);
    CHECK(page_at(0x81000000) == nullptr);
    CHECK(page_at(0x90000000) == nullptr); // begins inside the page
    CHECK(page_at(0x90001000) != nullptr);
    CHECK(page_at(0x500000000) == nullptr);
    CHECK(page_at(~uint64_t{0}) == nullptr);
}

TEST_CASE_FIXTURE(Machine, "reserved memory can be handed in later, whole pages only, once") {
    const PageCounts before = page_counts();
    page_add_range(0x80f00800, 0xff800);
    CHECK(page_counts().total == before.total + 0xff);
    CHECK(page_counts().free == before.free + 0xff);
    page_add_range(0x80f00800, 0xff800);
    page_add_range(0x10000000, 0x10000); // a device
    CHECK(page_counts().total == before.total + 0xff);
}

TEST_CASE_FIXTURE(Machine, "an allocation can be made to fail") {
    const test::FailNth fail(2);
    auto first = page_alloc();
    CHECK(first.ok());
    CHECK(page_alloc().error() == Errno::nomem);
    CHECK(test::FailNth::failed());
    page_unref(*first);
}

} // namespace
} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Single pages, many at a time.
#pragma once

#include <libkern/assert.hpp>
#include <vm/page.hpp>

namespace lentil {

/// Neighbours in RAM; each is a page by itself, with a reference of its own.
struct PageRun {
    VmPage* first = nullptr;
    unsigned count = 0;
};
/// A run of up to `most` pages that nobody asked for yet: so at most a sixteenth of what is free, in one piece that is
/// there, without emptying caches; empty if there is none.
PageRun page_alloc_run(unsigned most);
/// What a free page may still hold that somebody will want: each hart keeps a few such pages apart. They count as free.
enum class PageContents : uint32_t {
    zeros,     ///< taken by page_alloc_cleared()
    root_table ///< as machine::init_root() makes it
};
inline constexpr size_t page_contents_count = 2;
/// page_unref() of a page that nobody else holds, with such contents.
void page_unref_keeping(VmPage* page, PageContents contents);
void page_unref_keeping(std::span<VmPage* const> pages, PageContents contents);
/// One of them with a reference; nullptr if this hart has none.
VmPage* page_take_kept(PageContents contents);

/// page_alloc_zeroed() for what will be cleared again and given back by page_unref_keeping(): the tables of a pmap.
Result<VmPage*> page_alloc_cleared();
/// All of `out`, or none and nomem.
Result<void> page_alloc_cleared(std::span<VmPage*> out);

/// page_unref() of many: of pages whose records are neighbours the memory goes back as one.
class PageDrop {
public:
    PageDrop() = default;
    PageDrop(const PageDrop&) = delete;
    PageDrop& operator=(const PageDrop&) = delete;
    ~PageDrop() { flush(); }

    void add(VmPage* page) {
        if (!drop_ref(page))
            return;
        if (page != end_) {
            flush();
            first_ = page;
        }
        end_ = page + 1;
    }

    /// Whether it was the last reference.
    static bool drop_ref(VmPage* page) {
        // Whoever holds the only reference is alone with the page: no need for an atomic decrement.
        if (page->refs.load(std::memory_order_relaxed) != 1)
            return drop_shared(page);
        std::atomic_thread_fence(std::memory_order_acquire);
        page->refs.store(0, std::memory_order_relaxed);
        return true;
    }

private:
    static bool drop_shared(VmPage* page) {
        const uint32_t before = page->refs.fetch_sub(1, std::memory_order_acq_rel);
        ASSERT(before != 0);
        return before == 1;
    }
    void flush() {
        if (first_ != end_)
            give(first_, end_);
    }
    static void give(VmPage* first, VmPage* end);

    VmPage* first_ = nullptr;
    VmPage* end_ = nullptr;
};

} // namespace lentil

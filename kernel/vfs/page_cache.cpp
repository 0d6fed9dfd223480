// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>
#include <cstring>

#include <bsd/uthread.hpp>
#include <vfs/page_cache.hpp>
#include <vm/page.hpp>

namespace lentil {

namespace {

constinit std::atomic<uint64_t> dirty_everywhere{0};
constexpr unsigned max_window = 32;
constexpr unsigned around = 16; // what is read at once for a mapping that touches here and there: what a fault maps

char* data_of(VmPage* page) { return static_cast<char*>(page_data(page)); }

/// Less free memory than this, and caches give pages back before they take more.
uint64_t reserve_of(const PageCounts& counts) { return counts.total / 16; }

} // namespace

// ---- transfers -------------------------------------------------------------------------------------------------------

void PageIo::submit_last() {
    if (!open_)
        return;
    open_ = false;
    BatchRequest& request = requests_[requests_used_ - 1];
    request.segments = std::span(segments_ + last_first_, segments_used_ - last_first_);
    batch_.add(request);
    volume_.submit(request);
}

void PageIo::add(uint64_t sector, VmPage* page, uint32_t at, uint32_t bytes) {
    if (segments_used_ == max_segments)
        (void)finish();
    const bool follows = open_ && requests_[requests_used_ - 1].sector + (last_bytes_ >> sector_shift) == sector &&
                         segments_used_ - last_first_ < volume_.device->max_segments &&
                         last_bytes_ + bytes <= volume_.device->max_bytes;
    if (!follows) {
        submit_last();
        if (requests_used_ == max_requests)
            (void)finish();
        BatchRequest& request = requests_[requests_used_++];
        request = BatchRequest();
        request.op = op_;
        request.sector = sector;
        last_first_ = segments_used_;
        last_bytes_ = 0;
        open_ = true;
    }
    segments_[segments_used_++] = {page_pa(page) + at, bytes};
    last_bytes_ += bytes;
}

Result<void> PageIo::finish() {
    submit_last();
    if (!batch_.wait())
        failed_ = true; // stays: the last finish() tells
    requests_used_ = segments_used_ = 0;
    if (failed_)
        return Errno::io;
    return {};
}

// ---- reading ---------------------------------------------------------------------------------------------------------

Result<void> PageCache::read_pages(uint64_t first, std::span<VmPage* const> pages) {
    PageIo io(volume_, BlockOp::read);
    const uint64_t start = first << page_shift, end = start + (pages.size() << page_shift);
    const uint64_t size_now = size();
    const uint64_t blocks_end = std::min(end, (size_now + block_bytes_ - 1) / block_bytes_ * block_bytes_);
    Result<void> located;
    for (uint64_t at = start; at < end;) {
        Place place;
        if (at >= blocks_end) {
            place = {0, end - at, true};
        } else {
            const Result<Place> found = place_of(at, blocks_end - at);
            if (!found) {
                located = found.error();
                break;
            }
            place = *found;
        }
        for (uint64_t left = place.bytes; left > 0;) {
            VmPage* page = pages[(at - start) >> page_shift];
            const uint32_t in_page = at & page_mask;
            const auto n = static_cast<uint32_t>(std::min<uint64_t>(left, page_size - in_page));
            if (place.hole) {
                memset(data_of(page) + in_page, 0, n);
            } else {
                io.add(place.sector, page, in_page, n);
                place.sector += n >> sector_shift;
            }
            at += n;
            left -= n;
        }
    }
    const Result<void> done = io.finish();
    TRY(located);
    TRY(done);
    if (size_now > start && size_now < end) // what lies behind the end on the disk is nobody's business
        memset(data_of(pages[(size_now - start) >> page_shift]) + (size_now & page_mask), 0,
               page_size - (size_now & page_mask));
    return {};
}

Result<void> PageCache::fill(VmPage* page, uint64_t index) {
    const uint64_t pages_total = (size() + page_mask) >> page_shift;
    unsigned window = 1;
    uint64_t first = index; // of what is read
    if (index == next_miss_.load(std::memory_order_relaxed) || index == 0)
        window = std::min(max_window, index == 0 ? 4 : window_.load(std::memory_order_relaxed) * 2);
    if (window < around && is_mapped()) {
        first = index & ~uint64_t{around - 1};
        window = around;
    }
    const PageCounts counts = page_counts();
    // Many at once: finding them means a look at all pages.
    if (counts.free < reserve_of(counts) && reclaim(std::max<size_t>(max_window * 2, counts.total / 32)) < window) {
        window = 1;
        first = index;
    }
    const uint32_t seen = generation();
    // Those that are there already end the run on both sides of what is wanted.
    VmPage* pages[max_window];
    pages_if_present(first, std::span(pages, window));
    const auto wanted = static_cast<unsigned>(index - first);
    unsigned begin = 0, end = window;
    for (unsigned i = 0; i < window; i++) {
        if (!pages[i])
            continue;
        page_unref(pages[i]);
        if (i < wanted)
            begin = i + 1;
        else if (i > wanted) // at `wanted`: somebody was faster, which the caller finds out
            end = std::min(end, i);
    }
    pages[wanted] = page;
    const auto allocated = [&](unsigned i) {
        const auto more = page_alloc();
        pages[i] = more ? *more : nullptr;
        return more.ok();
    };
    end = static_cast<unsigned>(std::min<uint64_t>(end, std::max(pages_total, index + 1) - first));
    for (unsigned i = wanted + 1; i < end; i++)
        if (!allocated(i))
            end = i;
    for (unsigned i = wanted; i-- > begin;)
        if (!allocated(i))
            begin = i + 1;
    window_.store(end - begin, std::memory_order_relaxed);
    next_miss_.store(first + end, std::memory_order_relaxed);
    Result<void> done = read_pages(first + begin, std::span(pages + begin, end - begin));
    const bool all = done.ok();
    if (!done && end - begin > 1) // only one was asked for
        done = read_pages(index, std::span(&pages[wanted], 1));
    for (unsigned i = begin; i < end; i++)
        if (i != wanted && !(all && insert_filled(first + i, pages[i], seen)))
            page_unref(pages[i]);
    return done;
}

/// The page, waited for if memory has run out: several may need its pages at once, so it is tried a few times.
Result<VmPage*> PageCache::page_patiently(uint64_t index) {
    Result<VmPage*> found = page(index);
    for (unsigned tries = 0; !found && found.error() == Errno::nomem && tries < 4 && ask_for_room(); tries++)
        found = page(index);
    return found;
}

Result<size_t> PageCache::read_at(Uio& uio, uint64_t offset) {
    const uint64_t end = size();
    if (offset >= end)
        return size_t{0};
    uio.limit(static_cast<size_t>(std::min<uint64_t>(uio.left(), end - offset)));
    size_t done = 0;
    while (uio.left() > 0) {
        const uint64_t at = offset + done;
        const Result<VmPage*> page = page_patiently(at >> page_shift);
        if (!page) {
            if (done > 0 || page.error() == Errno::overflow) // truncated meanwhile
                break;
            return page.error();
        }
        if (!((*page)->flags.load(std::memory_order_relaxed) & page_referenced))
            (*page)->flags.fetch_or(page_referenced, std::memory_order_relaxed);
        const size_t n = std::min<size_t>(uio.left(), page_size - (at & page_mask));
        const Result<size_t> moved = uio.put(data_of(*page) + (at & page_mask), n);
        page_unref(*page);
        if (!moved) {
            if (done > 0)
                break;
            return moved.error();
        }
        done += *moved;
        if (*moved < n)
            break;
    }
    return done;
}

// ---- writing ---------------------------------------------------------------------------------------------------------

uint64_t PageCache::total_dirty() { return dirty_everywhere.load(std::memory_order_relaxed); }
bool PageCache::too_many_dirty() { return total_dirty() > page_counts().total / 8; }

Result<void> PageCache::prepare(uint64_t index, VmPage* page) {
    if (page->flags.load(std::memory_order_acquire) & page_delayed)
        return {};
    const uint64_t start = index << page_shift;
    const uint64_t end = std::min(start + page_size, (size() + block_bytes_ - 1) / block_bytes_ * block_bytes_);
    bool hole = false;
    for (uint64_t at = start; at < end && !hole;) {
        const Place place = TRY(place_of(at, end - at));
        hole = place.hole && !place.has_room;
        at += place.bytes;
    }
    if (!hole)
        return {};
    TRY(reserve_page());
    bool set = false;
    with_page(index, page,
              [&](VmPage& p) { set = !(p.flags.fetch_or(page_delayed, std::memory_order_acq_rel) & page_delayed); });
    if (!set)
        unreserve_page();
    return {};
}

bool PageCache::mark_dirty(uint64_t index, VmPage* page) {
    return with_page(index, page, [&](VmPage& p) {
        if (p.flags.fetch_or(page_dirty | page_referenced, std::memory_order_acq_rel) & page_dirty)
            return;
        dirty_.fetch_add(1, std::memory_order_relaxed);
        dirty_everywhere.fetch_add(1, std::memory_order_relaxed);
        if (has_uthread())
            current_uthread().usage.blocks_out += page_size >> sector_shift;
    });
}

Result<void> PageCache::before_write(uint64_t index, VmPage* page) {
    TRY(prepare(index, page));
    mark_dirty(index, page); // or it was truncated away: then the mapping is about to go
    return {};
}

void PageCache::dropping(VmPage* page) {
    const uint32_t flags = page->flags.load(std::memory_order_relaxed);
    if (flags & page_dirty) {
        dirty_.fetch_sub(1, std::memory_order_relaxed);
        dirty_everywhere.fetch_sub(1, std::memory_order_relaxed);
        if (has_uthread())
            current_uthread().usage.blocks_cancelled += page_size >> sector_shift;
    }
    if (flags & page_delayed)
        unreserve_page();
}

Result<size_t> PageCache::write_at(Uio& uio, uint64_t offset) {
    size_t done = 0;
    while (uio.left() > 0) {
        const uint64_t at = offset + done, index = at >> page_shift;
        const size_t n = std::min<size_t>(uio.left(), page_size - (at & page_mask));
        const Result<VmPage*> found = page_patiently(index);
        Result<void> prepared;
        if (!found)
            prepared = found.error();
        else if (prepared = prepare(index, *found); !prepared)
            page_unref(*found);
        if (!prepared) {
            if (done > 0)
                break;
            return prepared.error();
        }
        VmPage* page = *found;
        const Result<size_t> moved = uio.take(data_of(page) + (at & page_mask), n);
        if (page->flags.load(std::memory_order_relaxed) & page_icache_ok)
            page->flags.fetch_and(~uint32_t{page_icache_ok}, std::memory_order_relaxed);
        mark_dirty(index, page); // even after a fault: a part may have been copied, and the room is set aside
        page_unref(page);
        if (!moved) {
            if (done > 0)
                break;
            return moved.error();
        }
        done += *moved;
        if (*moved < n)
            break;
    }
    return done;
}

void PageCache::settle(uint64_t first, std::span<VmPage* const> pages) {
    for (size_t i = 0; i < pages.size(); i++) {
        bool was = false;
        with_page(first + i, pages[i], [&](VmPage& p) {
            was = p.flags.fetch_and(~uint32_t{page_delayed}, std::memory_order_acq_rel) & page_delayed;
        });
        if (was)
            unreserve_page();
    }
}

Result<void> PageCache::write_back(uint64_t first, uint64_t last) {
    constexpr unsigned batch = 64;
    struct Gathered {
        PageCache* cache;
        VmPage* pages[batch];
        uint64_t index[batch];
        unsigned count;
    };
    Result<void> result;
    while (is_dirty()) {
        Gathered g;
        g.cache = this;
        g.count = 0;
        visit_flagged(
            first, last, page_dirty,
            [](uint64_t index, VmPage* page, void* context) {
                Gathered& to = *static_cast<Gathered*>(context);
                page->flags.fetch_and(~uint32_t{page_dirty}, std::memory_order_acq_rel);
                to.cache->dirty_.fetch_sub(1, std::memory_order_relaxed);
                dirty_everywhere.fetch_sub(1, std::memory_order_relaxed);
                page_ref(page);
                to.pages[to.count] = page;
                to.index[to.count] = index;
                return ++to.count < batch;
            },
            &g);
        if (g.count == 0)
            break;
        write_protect(g.index[0], g.index[g.count - 1]);
        for (unsigned i = 0; i < g.count;) {
            unsigned n = 1;
            while (i + n < g.count && g.index[i + n] == g.index[i] + n)
                n++;
            if (const Result<void> done = write_pages(g.index[i], std::span(g.pages + i, n)); !done)
                result = done;
            i += n;
        }
        for (unsigned i = 0; i < g.count; i++)
            page_unref(g.pages[i]);
        first = g.index[g.count - 1] + 1; // what gets dirty behind us is for the next time
        if (first > last)
            break;
    }
    return result;
}

} // namespace lentil

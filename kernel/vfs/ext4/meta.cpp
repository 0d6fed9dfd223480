// SPDX-License-Identifier: BSD-2-Clause
#include <cstring>

#include <vfs/ext4/meta.hpp>
#include <vm/page.hpp>

namespace lentil::ext4 {

MetaRef::~MetaRef() {
    if (buffer_)
        cache_->release(*buffer_);
}

void MetaCache::init(BlockVolume& volume, uint32_t block_bytes) {
    volume_ = &volume;
    block_bytes_ = block_bytes;
    limit_ = page_counts().total / 16;
}

MetaCache::~MetaCache() { shrink(0); }

void MetaCache::hold(MetaBlock& buffer) {
    SpinGuard guard(lock_);
    ASSERT(buffer.refs > 0);
    buffer.refs++;
}

void MetaCache::release(MetaBlock& buffer) {
    SpinGuard guard(lock_);
    ASSERT(buffer.refs > 0);
    if (--buffer.refs == 0)
        unused_.push_back(buffer);
}

void MetaCache::shrink(size_t keep) {
    for (;;) {
        MetaBlock* victim = nullptr;
        {
            SpinGuard guard(lock_);
            if (count_ <= keep || !(victim = unused_.pop_front()))
                return;
            bucket(victim->block).erase(*victim);
            count_--;
        }
        page_unref(victim->page);
        zone_delete(victim);
    }
}

MetaBlock* MetaCache::find_locked(uint64_t block) {
    for (MetaBlock* b = bucket(block).first(); b; b = HashList::next(*b))
        if (b->block == block) {
            if (b->refs++ == 0)
                unused_.erase(*b);
            return b;
        }
    return nullptr;
}

MetaRef MetaCache::find(uint64_t block) {
    SpinGuard guard(lock_);
    MetaBlock* b = find_locked(block);
    return b ? MetaRef(*this, b) : MetaRef();
}

Result<MetaRef> MetaCache::find_or_make(uint64_t block) {
    if (MetaRef present = find(block))
        return present;
    shrink(limit_);
    MetaBlock* fresh = TRY(zone_new<MetaBlock>());
    const auto page = page_alloc();
    if (!page) {
        zone_delete(fresh);
        return page.error();
    }
    fresh->block = block;
    fresh->page = *page;
    fresh->data = static_cast<uint8_t*>(page_data(*page));
    fresh->refs = 1;
    MetaBlock* other;
    {
        SpinGuard guard(lock_);
        other = find_locked(block);
        if (!other) {
            bucket(block).push_front(*fresh);
            count_++;
        }
    }
    if (!other)
        return MetaRef(*this, fresh);
    page_unref(fresh->page);
    zone_delete(fresh);
    return MetaRef(*this, other);
}

Result<MetaRef> MetaCache::get(uint64_t block) {
    MetaRef b = TRY(find_or_make(block));
    for (;;) {
        uint32_t state = b->state.load(std::memory_order_acquire);
        if (state == MetaBlock::valid)
            return b;
        if (state == MetaBlock::loading) {
            wait_until(
                loaded_, "ext4 block", [&] { return b->state.load(std::memory_order_acquire) != MetaBlock::loading; },
                Interruptible::no);
            continue;
        }
        // One that failed is tried again by the next who asks.
        if (!b->state.compare_exchange_strong(state, MetaBlock::loading, std::memory_order_acq_rel))
            continue;
        const Result<void> read = volume_->read(sector_of(block), b->data, block_bytes_);
        b->verified.store(0, std::memory_order_relaxed);
        b->state.store(read ? MetaBlock::valid : MetaBlock::failed, std::memory_order_release);
        loaded_.wake_all();
        TRY(read);
        return b;
    }
}

Result<MetaRef> MetaCache::get_fresh(uint64_t block) {
    MetaRef b = TRY(find_or_make(block));
    wait_until(
        loaded_, "ext4 block", [&] { return b->state.load(std::memory_order_acquire) != MetaBlock::loading; },
        Interruptible::no);
    memset(b->data, 0, block_bytes_);
    b->seal = Seal::none;
    b->verified.store(1, std::memory_order_relaxed);
    b->state.store(MetaBlock::valid, std::memory_order_release);
    return b;
}

} // namespace lentil::ext4

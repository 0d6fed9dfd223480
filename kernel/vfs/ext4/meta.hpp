// SPDX-License-Identifier: BSD-2-Clause
// Metadata blocks in memory. Contents change only inside an operation of the journal (journal.hpp); who only reads holds the
// lock of what the block belongs to.
#pragma once

#include <vfs/block.hpp>
#include <vm/page.hpp>
#include <vm/zalloc.hpp>

namespace lentil::ext4 {

/// Which checksum a block carries itself; computed once for each commit.
enum class Seal : uint32_t { none, extents, directory, hash_node };

struct MetaBlock {
    static constexpr const char* zone_name = "ext4_blocks";
    enum State : uint32_t { empty, loading, valid, failed };

    uint64_t block = 0;
    VmPage* page = nullptr;
    uint8_t* data = nullptr;
    std::atomic<uint32_t> state{empty};
    std::atomic<uint32_t> verified{0}; ///< its structure was checked since it was read
    uint32_t refs = 0;                 ///< cache's lock
    // with the operation lock:
    Seal seal = Seal::none;
    uint32_t seed = 0;    ///< of that checksum
    bool running = false; ///< changed since the last commit
    bool logged = false;  ///< committed, not yet at its own place
    DlistLinks<MetaBlock> transaction_link;
    // with the cache's lock:
    DlistLinks<MetaBlock> hash_link, lru_link;
};

class MetaCache;

/// Holds a buffer.
class MetaRef {
public:
    MetaRef() = default;
    MetaRef(MetaCache& cache, MetaBlock* buffer) : cache_(&cache), buffer_(buffer) {}
    MetaRef(MetaRef&& o) noexcept : cache_(o.cache_), buffer_(std::exchange(o.buffer_, nullptr)) {}
    MetaRef& operator=(MetaRef&& o) noexcept {
        std::swap(cache_, o.cache_);
        std::swap(buffer_, o.buffer_);
        return *this;
    }
    ~MetaRef();
    MetaBlock* operator->() const { return buffer_; }
    MetaBlock& operator*() const { return *buffer_; }
    explicit operator bool() const { return buffer_; }
    uint8_t* data() const { return buffer_->data; }
    template<class T>
    T* at(size_t offset) const {
        return reinterpret_cast<T*>(buffer_->data + offset);
    }

private:
    MetaCache* cache_ = nullptr;
    MetaBlock* buffer_ = nullptr;
};

class MetaCache {
public:
    void init(BlockVolume& volume, uint32_t block_bytes);
    ~MetaCache(); ///< nothing is held or dirty any more

    /// The block, read if it is not here: io, nomem. Sleeps; no lock above Rank::fs_map is held.
    Result<MetaRef> get(uint64_t block);
    /// All zeros, without reading: a block that was just allocated.
    Result<MetaRef> get_fresh(uint64_t block);
    /// The block if it is here and valid, nothing else.
    MetaRef find(uint64_t block);
    void hold(MetaBlock& buffer);
    void release(MetaBlock& buffer);
    uint64_t sector_of(uint64_t block) const { return block * (block_bytes_ >> sector_shift); }
    BlockVolume& volume() const { return *volume_; }
    uint32_t block_bytes() const { return block_bytes_; }
    /// Drops what nobody uses.
    void shrink(size_t keep);

private:
    static constexpr unsigned buckets = 1024;
    using HashList = Dlist<MetaBlock, &MetaBlock::hash_link>;
    MetaBlock* find_locked(uint64_t block); ///< with one more reference
    Result<MetaRef> find_or_make(uint64_t block);
    HashList& bucket(uint64_t block) { return hash_[(block ^ block >> 10) % buckets]; }

    BlockVolume* volume_ = nullptr;
    uint32_t block_bytes_ = 0;
    size_t limit_ = 0;
    SpinLock<Rank::fs_buffer> lock_;
    HashList hash_[buckets];
    Dlist<MetaBlock, &MetaBlock::lru_link> unused_; ///< the longest unused first
    size_t count_ = 0;
    Waitq loaded_;
};

} // namespace lentil::ext4

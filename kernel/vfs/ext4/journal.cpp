// SPDX-License-Identifier: BSD-2-Clause
// Transactions: gathering, the log, checkpoints. Opening and replay: journal_replay.cpp.
#include <algorithm>
#include <cstring>

#include <sched/clock.hpp>
#include <vfs/ext4/crc32c.hpp>
#include <vfs/ext4/fs.hpp>
#include <vfs/ext4/journal_format.hpp>
#include <vfs/page_cache.hpp>

namespace lentil::ext4 {

Op::Op(Fs& file_system) : fs(file_system) { guard_.emplace(fs.op_lock); }
Op::~Op() = default;

Result<void> Op::begin(size_t blocks) {
    if (fs.failed())
        return Errno::rofs;
    if (fs.journal.running_blocks() + blocks > fs.journal.transaction_limit())
        TRY(fs.journal.commit());
    return {};
}

void Journal::modify(MetaBlock& block) {
    if (block.running)
        return;
    if (block.logged) {
        logged_.erase(block);
        block.logged = false; // keeps its reference
    } else {
        fs_.buffers.hold(block);
    }
    block.running = true;
    running_.push_back(block);
    running_count_++;
}

void Journal::forget(uint64_t number) {
    forgot_ = true;
    MetaRef block = fs_.buffers.find(number);
    if (!block || (!block->running && !block->logged))
        return;
    if (block->running) {
        running_.erase(*block);
        running_count_--;
    } else {
        logged_.erase(*block);
    }
    block->running = block->logged = false;
    block->seal = Seal::none;
    fs_.buffers.release(*block);
}

void Journal::discard() {
    for (auto* list : {&running_, &logged_})
        while (MetaBlock* block = list->pop_front()) {
            block->running = block->logged = false;
            fs_.buffers.release(*block);
        }
    running_count_ = 0;
}

/// Writes blocks of the log in order; neighbours go together.
class Journal::LogWriter {
public:
    explicit LogWriter(Journal& journal) : journal_(journal), io_(journal.fs_.buffers.volume(), BlockOp::write) {}
    ~LogWriter() { release(); }
    /// The next block of the log gets these bytes, which stay until finish().
    Result<void> add(VmPage* page) {
        const uint64_t block = TRY(journal_.block_of(journal_.head_));
        io_.add(journal_.fs_.buffers.sector_of(block), page, 0, journal_.fs_.block_bytes);
        journal_.head_ = journal_.advance(journal_.head_);
        journal_.used_++;
        return {};
    }
    /// A page of zeros for a block of the log's own, freed after finish().
    Result<VmPage*> own_page() {
        if (own_count_ == max_own)
            TRY(finish());
        VmPage* page = TRY(page_alloc_zeroed());
        own_[own_count_++] = page;
        return page;
    }
    Result<void> finish() {
        const Result<void> done = io_.finish();
        release();
        return done;
    }

private:
    void release() {
        while (own_count_ > 0)
            page_unref(own_[--own_count_]);
    }
    static constexpr unsigned max_own = 32;
    Journal& journal_;
    PageIo io_;
    VmPage* own_[max_own];
    unsigned own_count_ = 0;
};

Result<void> Journal::commit_to_log() {
    const uint32_t id = running_id();
    const size_t block_bytes = fs_.block_bytes, tag_size = tag_bytes();
    const bool sums = has(journal_incompat::checksum_3);
    const size_t tags_end = block_bytes - (sums ? 4 : 0);
    LogWriter log(*this);
    MetaBlock* at = running_.first();
    while (at) {
        // A descriptor with as many tags as fit, then the blocks it describes.
        VmPage* descriptor = TRY(log.own_page());
        auto* const bytes = static_cast<uint8_t*>(page_data(descriptor));
        const JournalHeader header{be32(journal_magic), be32(journal_descriptor), be32(id)};
        memcpy(bytes, &header, sizeof header);
        size_t offset = sizeof header;
        MetaBlock* const from = at;
        unsigned count = 0;
        constexpr unsigned most = 24; // few enough that a page for each escaped block is there
        for (; at && count < most && offset + tag_size + (count == 0 ? 16 : 0) <= tags_end;
             at = decltype(running_)::next(*at)) {
            uint32_t first_word;
            memcpy(&first_word, at->data, 4);
            const bool escaped = first_word == be32(journal_magic);
            uint32_t flags = (count == 0 ? 0 : journal_tag::same_uuid) | (escaped ? journal_tag::escaped : 0);
            if (!decltype(running_)::next(*at) || count + 1 == most || offset + 2 * tag_size + 16 > tags_end)
                flags |= journal_tag::last;
            uint32_t sum = 0;
            if (sums) {
                const uint32_t sequence = be32(id), zero = 0;
                sum = crc32c(seed_, &sequence, 4);
                sum = escaped ? crc32c(sum, &zero, 4) : crc32c(sum, at->data, 4);
                sum = crc32c(sum, at->data + 4, block_bytes - 4);
            }
            put_tag(bytes + offset, at->block, flags, sum);
            offset += tag_size;
            if (count++ == 0) {
                memcpy(bytes + offset, super_.uuid, 16);
                offset += 16;
            }
            if (flags & journal_tag::last) {
                at = decltype(running_)::next(*at);
                break;
            }
        }
        if (sums) {
            const uint32_t sum = be32(crc32c(seed_, bytes, block_bytes));
            memcpy(bytes + block_bytes - 4, &sum, 4);
        }
        TRY(log.add(descriptor));
        for (MetaBlock* b = from; b != at; b = decltype(running_)::next(*b)) {
            uint32_t first_word;
            memcpy(&first_word, b->data, 4);
            VmPage* page = b->page;
            if (first_word == be32(journal_magic)) {
                page = TRY(log.own_page());
                memcpy(static_cast<uint8_t*>(page_data(page)) + 4, b->data + 4, block_bytes - 4);
            }
            TRY(log.add(page));
        }
        TRY(log.finish());
    }
    BlockVolume& volume = fs_.buffers.volume();
    TRY(volume.flush());
    VmPage* commit = TRY(log.own_page());
    auto* const bytes = static_cast<uint8_t*>(page_data(commit));
    const JournalHeader header{be32(journal_magic), be32(journal_commit), be32(id)};
    memcpy(bytes, &header, sizeof header);
    const nanos_t now = realtime_ns();
    const uint64_t seconds = be64(static_cast<uint64_t>(now / 1000000000));
    const uint32_t nanos = be32(static_cast<uint32_t>(now % 1000000000));
    memcpy(bytes + 48, &seconds, 8);
    memcpy(bytes + 56, &nanos, 4);
    if (sums) {
        const uint32_t sum = be32(crc32c(seed_, bytes, block_bytes));
        memcpy(bytes + 16, &sum, 4);
    }
    TRY(log.add(commit));
    TRY(log.finish());
    return volume.flush();
}

Result<void> Journal::write_home(Dlist<MetaBlock, &MetaBlock::transaction_link>& list) {
    PageIo io(fs_.buffers.volume(), BlockOp::write);
    for (MetaBlock* b = list.first(); b; b = std::remove_reference_t<decltype(list)>::next(*b))
        io.add(fs_.buffers.sector_of(b->block), b->page, 0, fs_.block_bytes);
    TRY(io.finish());
    return fs_.buffers.volume().flush();
}

Result<void> Journal::commit() {
    if (fs_.failed())
        return Errno::rofs;
    if (running_count_ == 0)
        return {};
    const auto run = [&]() -> Result<void> {
        TRY(fs_.seal_groups());
        for (MetaBlock* b = running_.first(); b; b = decltype(running_)::next(*b))
            fs_.seal(*b);
        if (has_log())
            return commit_to_log();
        return write_home(running_);
    };
    if (const Result<void> done = run(); !done)
        return fs_.fail("the journal cannot be written", done.error());
    while (MetaBlock* b = running_.pop_front()) {
        b->running = false;
        if (has_log()) {
            b->logged = true;
            logged_.push_back(*b);
        } else {
            fs_.buffers.release(*b);
        }
    }
    running_count_ = 0;
    running_id_.fetch_add(1, std::memory_order_release);
    const bool empty_log = has_log() && (forgot_ || used_ > (log_blocks_ - first_) / 2);
    forgot_ = false;
    if (empty_log)
        TRY(checkpoint());
    fs_.transaction_ended();
    return {};
}

Result<void> Journal::checkpoint() {
    if (!has_log() || used_ == 0)
        return {};
    ASSERT(running_count_ == 0);
    Result<void> done = write_home(logged_);
    if (done) {
        // The log begins where the next transaction will be: what lies there now does not carry its number.
        super_.start = be32(head_);
        super_.sequence = be32(running_id());
        done = write_super();
    }
    if (!done)
        return fs_.fail("blocks cannot be written", done.error());
    used_ = 0;
    while (MetaBlock* b = logged_.pop_front()) {
        b->logged = false;
        fs_.buffers.release(*b);
    }
    return {};
}

Result<void> Journal::close() {
    TRY(commit());
    if (!has_log())
        return {};
    TRY(checkpoint());
    super_.start = 0;
    super_.sequence = be32(running_id());
    return write_super();
}

} // namespace lentil::ext4

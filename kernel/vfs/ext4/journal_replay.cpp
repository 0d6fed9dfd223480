// SPDX-License-Identifier: BSD-2-Clause
// Opening the log, and replaying what a crash left in it: one pass to find its end, one for revocations, one that writes.
#include <algorithm>
#include <cstring>

#include <libkern/format.hpp>
#include <vfs/ext4/crc32c.hpp>
#include <vfs/ext4/fs.hpp>
#include <vfs/ext4/journal_format.hpp>
#include <vfs/ext4/node.hpp>

namespace lentil::ext4 {

bool Journal::has(uint32_t incompat) const { return be32(super_.incompat) & incompat; }

size_t Journal::tag_bytes() const {
    if (has(journal_incompat::checksum_3))
        return sizeof(JournalTag3);
    return 8u + (has(journal_incompat::checksum_2) ? 2 : 0) + (has(journal_incompat::bits64) ? 4 : 0);
}

void Journal::put_tag(uint8_t* to, uint64_t block, uint32_t flags, uint32_t sum) const {
    const uint32_t low = be32(static_cast<uint32_t>(block)), high = be32(static_cast<uint32_t>(block >> 32));
    if (has(journal_incompat::checksum_3)) {
        const JournalTag3 tag{low, be32(flags), high, be32(sum)};
        memcpy(to, &tag, sizeof tag);
        return;
    }
    const uint16_t none = 0, short_flags = be16(static_cast<uint16_t>(flags));
    memcpy(to, &low, 4);
    memcpy(to + 4, &none, 2);
    memcpy(to + 6, &short_flags, 2);
    if (has(journal_incompat::bits64))
        memcpy(to + 8, &high, 4);
}

namespace {
struct Tag {
    uint64_t block;
    uint32_t flags, sum;
};
} // namespace

Result<uint64_t> Journal::block_of(uint32_t log_block) const {
    for (unsigned i = 0; i < run_count_; i++)
        if (log_block - runs_[i].first < runs_[i].count)
            return runs_[i].block + (log_block - runs_[i].first);
    return Errno::uclean;
}

Result<void> Journal::read_log(uint32_t log_block, void* to) {
    return fs_.buffers.volume().read(fs_.buffers.sector_of(TRY(block_of(log_block))), to, fs_.block_bytes);
}

Result<void> Journal::read_super(Node& inode) {
    const uint64_t blocks = inode.size_bytes() >> fs_.block_shift;
    if (blocks < 1024 || blocks > UINT32_MAX)
        return Errno::uclean;
    for (uint32_t at = 0; at < blocks;) {
        const Mapping m = TRY(inode.map_blocks(at, static_cast<uint32_t>(blocks) - at));
        if (m.kind != Mapping::written || run_count_ == std::size(runs_))
            return Errno::uclean;
        runs_[run_count_++] = {at, m.length, m.block};
        at += m.length;
    }
    VmPage* page = TRY(page_alloc());
    const Result<void> read = read_log(0, page_data(page));
    memcpy(&super_, page_data(page), sizeof super_);
    page_unref(page);
    TRY(read);
    log_blocks_ = be32(super_.max_length);
    first_ = be32(super_.first);
    if (be32(super_.header.magic) != journal_magic || be32(super_.header.type) != journal_super_2 ||
        be32(super_.block_size) != fs_.block_bytes || log_blocks_ > blocks || log_blocks_ < 1024 || first_ == 0 ||
        first_ >= log_blocks_ / 2 || (be32(super_.incompat) & ~journal_incompat::known) || super_.ro_compat != 0)
        return Errno::uclean;
    if (has(journal_incompat::checksum_2 | journal_incompat::checksum_3)) {
        JournalSuper copy = super_;
        copy.checksum = 0;
        if (super_.checksum_type != 4 || be32(super_.checksum) != crc32c(~0u, &copy, sizeof copy))
            return Errno::uclean;
    }
    seed_ = crc32c(~0u, super_.uuid, sizeof super_.uuid);
    return {};
}

Result<void> Journal::write_super() {
    if (has(journal_incompat::checksum_2 | journal_incompat::checksum_3)) {
        super_.checksum = 0;
        super_.checksum = be32(crc32c(~0u, &super_, sizeof super_));
    }
    VmPage* page = TRY(page_alloc_zeroed());
    memcpy(page_data(page), &super_, sizeof super_);
    BlockVolume& volume = fs_.buffers.volume();
    const auto write = [&]() -> Result<void> {
        const uint64_t place = TRY(block_of(0));
        TRY(volume.write(fs_.buffers.sector_of(place), page_data(page), sizeof super_));
        return volume.flush();
    };
    const Result<void> written = write();
    page_unref(page);
    return written;
}

Result<void> Journal::open(Node& inode, bool read_only) {
    TRY(read_super(inode));
    if (super_.start != 0) {
        if (read_only)
            return Errno::rofs;
        TRY(replay());
    } else {
        running_id_.store(be32(super_.sequence), std::memory_order_relaxed);
    }
    if (read_only) {
        log_blocks_ = 0;
        return {};
    }
    // Empty now, so its format may change: checksums as the file system has them.
    uint32_t features = be32(super_.incompat) & journal_incompat::revoke;
    if (fs_.block_count > UINT32_MAX || has(journal_incompat::bits64))
        features |= journal_incompat::bits64;
    if (fs_.checksums()) {
        features |= journal_incompat::checksum_3;
        super_.checksum_type = 4;
    }
    super_.incompat = be32(features);
    super_.compat = 0;
    head_ = first_;
    used_ = 0;
    super_.start = be32(head_);
    super_.sequence = be32(running_id());
    super_.header.sequence = 0;
    limit_ = (log_blocks_ - first_) / 4;
    return {};
}

Result<void> Journal::start() {
    if (!has_log())
        return {};
    return write_super();
}

/// The log from `start` on, transaction by transaction, as far as it is whole.
struct Journal::Replay {
    static constexpr unsigned max_revoked = 65536;
    struct Entry {
        uint64_t block;
        uint32_t sequence;
    };
    Journal& log;
    uint8_t *block = nullptr, *data = nullptr; ///< a page each
    Buffer<Entry> revoked{};
    unsigned revoked_count = 0;
    uint32_t end_sequence = 0; ///< the first transaction that is not whole
    unsigned written = 0;

    Result<void> tag_at(size_t& offset, Tag& tag, bool& last) {
        const size_t size = log.tag_bytes();
        const size_t end = log.fs_.block_bytes - 4;
        if (offset + size > end)
            return Errno::uclean;
        uint32_t low, high = 0;
        memcpy(&low, block + offset, 4);
        if (log.has(journal_incompat::checksum_3)) {
            JournalTag3 t;
            memcpy(&t, block + offset, sizeof t);
            tag = {join(be32(t.block), log.has(journal_incompat::bits64) ? be32(t.block_hi) : 0), be32(t.flags),
                   be32(t.checksum)};
        } else {
            uint16_t flags, sum;
            memcpy(&sum, block + offset + 4, 2);
            memcpy(&flags, block + offset + 6, 2);
            if (log.has(journal_incompat::bits64))
                memcpy(&high, block + offset + 8, 4);
            tag = {join(be32(low), be32(high)), be16(flags), be16(sum)};
        }
        offset += size;
        if (!(tag.flags & journal_tag::same_uuid))
            offset += 16;
        last = tag.flags & journal_tag::last;
        return {};
    }

    bool block_sum_ok(uint32_t stored_at) {
        if (!log.has(journal_incompat::checksum_2 | journal_incompat::checksum_3))
            return true;
        uint32_t stored;
        memcpy(&stored, block + stored_at, 4);
        memset(block + stored_at, 0, 4);
        return be32(stored) == crc32c(log.seed_, block, log.fs_.block_bytes);
    }

    bool is_revoked(uint64_t number, uint32_t sequence) const {
        for (unsigned i = 0; i < revoked_count; i++)
            if (revoked[i].block == number && static_cast<int32_t>(revoked[i].sequence - sequence) >= 0)
                return true;
        return false;
    }

    enum Pass { scan, revocations, write };
    Result<void> run(Pass pass) {
        uint32_t sequence = be32(log.super_.sequence), at = be32(log.super_.start);
        const uint32_t length = log.log_blocks_ - log.first_;
        if (at < log.first_ || at >= log.log_blocks_)
            return Errno::uclean;
        for (uint32_t seen = 0; seen <= length; seen++) {
            if (pass != scan && sequence == end_sequence)
                return {};
            TRY(log.read_log(at, block));
            JournalHeader header;
            memcpy(&header, block, sizeof header);
            if (be32(header.magic) != journal_magic || be32(header.sequence) != sequence)
                break;
            at = log.advance(at);
            switch (be32(header.type)) {
            case journal_descriptor: {
                if (!block_sum_ok(log.fs_.block_bytes - 4)) {
                    if (pass == scan)
                        goto ended;
                    return Errno::uclean;
                }
                bool last = false;
                for (size_t offset = sizeof header; !last && seen <= length; seen++) {
                    Tag tag{};
                    if (!tag_at(offset, tag, last)) {
                        if (pass == scan)
                            goto ended;
                        return Errno::uclean;
                    }
                    if (pass == write)
                        TRY(write_block(at, tag, sequence));
                    at = log.advance(at);
                }
                break;
            }
            case journal_commit:
                if (!block_sum_ok(16))
                    goto ended;
                sequence++;
                break;
            case journal_revoke:
                if (pass == revocations)
                    TRY(note_revocations(sequence));
                break;
            default: goto ended;
            }
        }
    ended:
        if (pass == scan)
            end_sequence = sequence;
        return {};
    }

    Result<void> note_revocations(uint32_t sequence) {
        uint32_t used;
        memcpy(&used, block + sizeof(JournalHeader), 4);
        used = be32(used);
        const size_t size = log.has(journal_incompat::bits64) ? 8 : 4;
        if (used > log.fs_.block_bytes || used < 16)
            return Errno::uclean;
        for (size_t at = 16; at + size <= used; at += size) {
            if (revoked_count == revoked.size())
                return Errno::nomem;
            uint32_t words[2] = {};
            memcpy(words, block + at, size);
            revoked[revoked_count++] = {size == 8 ? join(be32(words[1]), be32(words[0])) : be32(words[0]), sequence};
        }
        return {};
    }

    Result<void> write_block(uint32_t at, const Tag& tag, uint32_t sequence) {
        if (is_revoked(tag.block, sequence))
            return {};
        if (tag.block >= log.fs_.block_count)
            return Errno::uclean;
        TRY(log.read_log(at, data));
        if (log.has(journal_incompat::checksum_3 | journal_incompat::checksum_2)) {
            const uint32_t number = be32(sequence);
            uint32_t sum = crc32c(crc32c(log.seed_, &number, 4), data, log.fs_.block_bytes);
            if (!log.has(journal_incompat::checksum_3))
                sum &= 0xffff;
            if (sum != tag.sum)
                return Errno::uclean;
        }
        if (tag.flags & journal_tag::escaped) {
            const uint32_t magic = be32(journal_magic);
            memcpy(data, &magic, 4);
        }
        written++;
        return log.fs_.buffers.volume().write(log.fs_.buffers.sector_of(tag.block), data, log.fs_.block_bytes);
    }
};

Result<void> Journal::replay() {
    Replay r{.log = *this};
    VmPage* pages[2] = {TRY(page_alloc()), nullptr};
    const auto run = [&]() -> Result<void> {
        pages[1] = TRY(page_alloc());
        r.block = static_cast<uint8_t*>(page_data(pages[0]));
        r.data = static_cast<uint8_t*>(page_data(pages[1]));
        r.revoked = TRY(Buffer<Replay::Entry>::create(Replay::max_revoked / 16));
        TRY(r.run(Replay::scan));
        TRY(r.run(Replay::revocations));
        TRY(r.run(Replay::write));
        TRY(fs_.buffers.volume().flush());
        // Its numbers are used up: nothing of it may look like a new transaction.
        running_id_.store(r.end_sequence + 1, std::memory_order_relaxed);
        super_.start = 0;
        super_.sequence = be32(running_id());
        return write_super();
    };
    const Result<void> done = run();
    for (VmPage* page : pages)
        if (page)
            page_unref(page);
    if (done && r.written > 0)
        kprint("ext4: {}: {} blocks restored from the journal\n", std::string_view(fs_.buffers.volume().name),
               r.written);
    return done;
}

} // namespace lentil::ext4

// SPDX-License-Identifier: BSD-2-Clause
// Operations and the journal ("Journal (jbd2)").
//
// An operation (class Op) is one change of metadata that must be on the disk as a whole or not at all: it holds the file
// system's operation lock and marks the blocks it changes. Many operations make a transaction; a commit writes the blocks of
// all to the log, flushes, writes the commit block, flushes. The blocks go to their own places at a checkpoint, which empties
// the log: right after a commit, when no operation is under way, so what is written home is always what was committed.
//
// File data is never in the log. A block of data is written before the operation that maps it, so a committed extent never
// shows what was on the disk before (ordered mode).
//
// A metadata block that is freed may be in the log with its old contents, and replay must not write those over what the block
// holds later. Blocks freed in a transaction are not used again before its commit, and such a commit is followed by a
// checkpoint: so no revocation records are written. Those that others wrote are respected by replay.
#pragma once

#include <optional>

#include <sched/mutex.hpp>
#include <vfs/ext4/format.hpp>
#include <vfs/ext4/meta.hpp>

namespace lentil::ext4 {

class Fs;
class Node;

class Journal {
public:
    static constexpr unsigned max_runs = 64; ///< pieces that the log may lie in
    explicit Journal(Fs& fs) : fs_(fs) {}

    /// Opens the log in the journal's inode and replays what is in it (not with `read_only_device`: rofs then). uclean
    /// if the log makes no sense.
    Result<void> open(Node& inode, bool read_only_device);
    /// Before the first change: the log is known to begin.
    Result<void> start();
    /// Without a journal: commits write blocks to their places.
    void open_without() { limit_ = 512; }

    // all with the operation lock
    /// The block is part of the present transaction from here on.
    void modify(MetaBlock& buffer);
    /// The block is free now: its contents need not get anywhere.
    void forget(uint64_t block);
    /// Commits what is there; io: the file system takes no more changes.
    Result<void> commit();
    /// Everything that was committed goes to its place; nothing may be running.
    Result<void> checkpoint();
    /// At unmount: the log is empty.
    Result<void> close();

    /// Of the transaction that runs now.
    uint32_t running_id() const { return running_id_.load(std::memory_order_acquire); }
    size_t running_blocks() const { return running_count_; }
    size_t transaction_limit() const { return limit_; }
    bool has_log() const { return log_blocks_ != 0; }
    /// Where the log lies, after open.
    template<class Visit>
    void for_each_run(Visit visit) const {
        for (unsigned i = 0; i < run_count_; i++)
            visit(runs_[i].block, runs_[i].count);
    }
    void discard(); ///< after an error: forgets all changes

private:
    struct Run {
        uint32_t first;
        uint32_t count;
        uint64_t block;
    };
    class LogWriter;
    struct Replay;
    Result<uint64_t> block_of(uint32_t log_block) const;
    Result<void> read_log(uint32_t log_block, void* to);
    uint32_t advance(uint32_t log_block, uint32_t n = 1) const {
        log_block += n;
        return log_block >= log_blocks_ ? log_block - log_blocks_ + first_ : log_block;
    }
    Result<void> read_super(Node& inode);
    Result<void> write_super();
    Result<void> replay();
    Result<void> commit_to_log();
    Result<void> write_home(Dlist<MetaBlock, &MetaBlock::transaction_link>& list);
    void put_tag(uint8_t* to, uint64_t block, uint32_t flags, uint32_t sum) const;
    size_t tag_bytes() const;
    bool has(uint32_t incompat) const;

    Fs& fs_;
    Run runs_[max_runs]{};
    unsigned run_count_ = 0;
    JournalSuper super_{}; ///< as on the disk
    uint32_t log_blocks_ = 0, first_ = 0;
    uint32_t seed_ = 0;
    uint32_t head_ = 0, used_ = 0; ///< next block of the log to write; blocks between its tail and there
    std::atomic<uint32_t> running_id_{1};
    Dlist<MetaBlock, &MetaBlock::transaction_link> running_, logged_;
    size_t running_count_ = 0, limit_ = 0;
    bool forgot_ = false; ///< a block that may be in the log was freed
};

/// One atomic change. Not nested.
class Op {
public:
    explicit Op(Fs& fs);
    ~Op();
    /// Room for `blocks` changed blocks; may commit what ran before. rofs once the file system has failed.
    Result<void> begin(size_t blocks = 40);
    Fs& fs;

private:
    std::optional<MutexGuard<Rank::fs>> guard_;
};

} // namespace lentil::ext4

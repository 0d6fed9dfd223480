// SPDX-License-Identifier: BSD-2-Clause
// Pipes, with and without names.
#pragma once

#include <bsd/file.hpp>

namespace lentil {

/// The buffer between the ends. Writes of up to `atomic_size` bytes go in whole or not at all (PIPE_BUF).
class Pipe : public ZonedRefCounted<Pipe> {
public:
    static constexpr const char* zone_name = "pipes";
    static constexpr size_t atomic_size = 4096, default_capacity = 65536, max_capacity = size_t{1} << 20;

    static Result<RefPtr<Pipe>> create() { return make_ref<Pipe>(); }
    Pipe() = default;
    ~Pipe();

    /// Zero at the end of file: empty and no writer. again if nonblocking; restart_sys if a signal came.
    Result<size_t> read(Uio& uio, bool nonblocking);
    /// pipe, with SIGPIPE, if there is no reader.
    Result<size_t> write(Uio& uio, bool nonblocking);
    /// The same for one piece of user memory.
    Result<size_t> read_piece(vaddr_t to, size_t n, bool nonblocking);
    Result<size_t> write_piece(vaddr_t from, size_t n, bool nonblocking);
    uint32_t poll(uint32_t events, PollTable* table, bool readable, bool writable);
    /// What poll() would say of one end; of both nobody keeps it.
    const ReadyWord* ready_word(bool readable, bool writable) const {
        return readable && writable ? &ready_by_asking : readable ? &read_ready_ : &write_ready_;
    }
    Result<uint64_t> ioctl(uint32_t command, uint64_t argument);

    size_t readable_bytes() const { return used(); }
    size_t writable_bytes() const { return space(); }
    size_t capacity() const { return capacity_.load(std::memory_order_relaxed); }
    /// F_SETPIPE_SZ: rounds up; returns the new capacity. busy if more than that is inside, inval, nomem.
    Result<size_t> set_capacity(size_t bytes);

    // For splice and tee. Two who take from one pipe at the same time may both get the same bytes.
    /// Waits for bytes: false at the end of file; again, restart_sys.
    Result<bool> await_bytes(bool nonblocking);
    /// Waits for room for one byte: pipe (with SIGPIPE), again, restart_sys.
    Result<void> await_room(bool nonblocking);
    /// Copies what is inside without taking it; bytes copied. `place` is for `take`.
    size_t peek(std::span<char> out, uint64_t& place);
    /// Takes `n` bytes that peek showed, unless somebody took them meanwhile.
    void take(uint64_t place, size_t n);

    void add_end(bool reader, bool writer);
    /// The last end takes what is inside with it.
    void remove_end(bool reader, bool writer);

private:
    friend class Fifo;
    static constexpr unsigned inline_slots = default_capacity / page_size;
    size_t used() const {
        return static_cast<uint64_t>(read_ready_.load(std::memory_order_acquire)) >> ready_count_shift;
    }
    size_t space() const {
        return static_cast<uint64_t>(write_ready_.load(std::memory_order_acquire)) >> ready_count_shift;
    }
    /// After a change of positions, capacity or ends. The lock is held.
    void publish();
    void publish_space(size_t room, uint32_t events) {
        write_ready_.store(static_cast<int64_t>(room << ready_count_shift | events), std::memory_order_relaxed);
    }
    void publish_used(size_t bytes, uint32_t events) {
        read_ready_.store(static_cast<int64_t>(bytes << ready_count_shift | events), std::memory_order_release);
    }
    static constexpr uint32_t readable_events = poll_events::in | poll_events::rdnorm,
                              writable_events = poll_events::out | poll_events::wrnorm;
    void drop_pages();
    VmPage*& slot_at(uint64_t position) { return slots_[position / page_size & (capacity() / page_size - 1)]; }
    size_t take_piece(vaddr_t to, size_t n);
    int64_t take_pages(Uio& uio);
    size_t take_from_page(vaddr_t to, size_t n);
    bool put_piece(vaddr_t from, size_t n);
    bool put_in_page(vaddr_t from, size_t n);
    size_t put_pages(Uio& uio, size_t left, Errno& error);
    Errno wait_readable(bool nonblocking);
    Result<size_t> write_pages(Uio& uio, bool nonblocking);
    Result<size_t> read_in_pieces(vaddr_t to, size_t n, bool nonblocking);
    Result<size_t> write_in_pieces(vaddr_t from, size_t n, bool nonblocking);

    Mutex<Rank::pipe> lock_;
    VmPage* first_slots_[inline_slots] = {};
    VmPage** slots_ = first_slots_;       ///< ring of capacity/page_size pages, made on first use
    uint64_t read_at_ = 0, write_at_ = 0; ///< bytes since the beginning
    std::atomic<size_t> capacity_{default_capacity};
    // Written with lock_ held: what poll says of either end, and how many bytes can be read or written, which wait predicates
    // read. A page is free only when all of it was read, so that no page of the ring has bytes of both ends.
    ReadyWord read_ready_{0}, write_ready_{int64_t{default_capacity} << ready_count_shift};
    std::atomic<uint32_t> readers_{0}, writers_{0};
    std::atomic<uint32_t> reader_opens_{0}, writer_opens_{0}; ///< ever: whom an open of a FIFO waits for
    Waitq read_waitq_, write_waitq_, open_waitq_;
};

/// Owns one open end (or both) of a pipe.
class PipeEnds {
public:
    PipeEnds(RefPtr<Pipe> pipe, bool reader, bool writer) : pipe_(std::move(pipe)), reader_(reader), writer_(writer) {
        pipe_->add_end(reader, writer);
    }
    PipeEnds(PipeEnds&& o) noexcept = default;
    PipeEnds& operator=(PipeEnds&&) = delete;
    ~PipeEnds() {
        if (pipe_)
            pipe_->remove_end(reader_, writer_);
    }
    Pipe& pipe() const { return *pipe_; }

private:
    RefPtr<Pipe> pipe_;
    bool reader_, writer_;
};

/// A named pipe as its node knows it.
class Fifo {
public:
    /// fifo(7): waits for the other end unless O_NONBLOCK; nxio for a nonblocking writer without a reader.
    Result<PipeEnds> open(uint32_t flags);

private:
    Mutex<Rank::fs> lock_;
    RefPtr<Pipe> pipe_; ///< from the first open on
};

/// pipe2: out[0] reads, out[1] writes. `flags`: nonblock and direct, the rest is the caller's.
Result<void> pipe_create(uint32_t flags, RefPtr<File> out[2]);

} // namespace lentil

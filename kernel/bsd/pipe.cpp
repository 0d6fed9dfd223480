// SPDX-License-Identifier: BSD-2-Clause
// Pipes. State that sleepers wait for is atomic, so that their predicates take no lock.
#include <algorithm>
#include <bit>

#include <bsd/anonymous_file.hpp>
#include <bsd/pipe.hpp>
#include <bsd/proc.hpp>
#include <libkern/format.hpp>
#include <sched/clock.hpp>

namespace lentil {

namespace {
constexpr uint32_t ioctl_bytes_readable = 0x541b; // FIONREAD
constexpr auto end_of_file = static_cast<Errno>(-1);
} // namespace

Pipe::~Pipe() {
    drop_pages();
    if (slots_ != first_slots_)
        kfree(slots_, capacity() / page_size * sizeof(VmPage*));
}

void Pipe::drop_pages() {
    for (size_t i = 0; i < capacity() / page_size; i++)
        if (VmPage* page = std::exchange(slots_[i], nullptr))
            page_unref(page);
    read_at_ = write_at_ = 0;
    publish();
}

void Pipe::publish() {
    using namespace poll_events;
    const size_t bytes = write_at_ - read_at_, room = capacity() - (write_at_ - page_floor(read_at_));
    publish_space(room, (room >= atomic_size ? writable_events : 0) |
                            (readers_.load(std::memory_order_relaxed) == 0 ? err : 0));
    // A FIFO that never had a writer is not at its end yet.
    const bool ended =
        writers_.load(std::memory_order_relaxed) == 0 && writer_opens_.load(std::memory_order_relaxed) != 0;
    publish_used(bytes, (bytes > 0 ? readable_events : 0) | (ended ? hup : 0));
}

void Pipe::add_end(bool reader, bool writer) {
    if (reader) {
        readers_.fetch_add(1, std::memory_order_acq_rel);
        reader_opens_.fetch_add(1, std::memory_order_acq_rel);
    }
    if (writer) {
        writers_.fetch_add(1, std::memory_order_acq_rel);
        writer_opens_.fetch_add(1, std::memory_order_acq_rel);
    }
    {
        MutexGuard guard(lock_);
        publish();
    }
    open_waitq_.wake_all();
}

void Pipe::remove_end(bool reader, bool writer) {
    const bool last_reader = reader && readers_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    const bool last_writer = writer && writers_.fetch_sub(1, std::memory_order_acq_rel) == 1;
    if (!last_reader && !last_writer)
        return;
    {
        MutexGuard guard(lock_);
        if (readers_.load(std::memory_order_acquire) == 0 && writers_.load(std::memory_order_acquire) == 0)
            drop_pages();
        else
            publish();
    }
    if (last_reader)
        write_waitq_.wake_all();
    if (last_writer)
        read_waitq_.wake_all();
}

namespace {

/// Moves up to `n` bytes of `uio` bit by bit, by address where they lie in one piece of user memory.
class Run {
public:
    Run(Uio& uio, size_t n) : uio_(uio), at_(uio.in_one_piece(n)) {}
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;
    ~Run() {
        if (at_ != 0)
            uio_.advance_in_piece(moved_);
    }
    /// Bytes moved: fewer than `n` after a fault.
    size_t put(const char* from, size_t n) {
        if (at_ == 0) [[unlikely]]
            return uio_.put(from, n).value_or(0);
        const size_t moved = machine::user_write(at_ + moved_, from, n);
        moved_ += moved;
        return moved;
    }
    size_t take(char* to, size_t n) {
        if (at_ == 0) [[unlikely]]
            return uio_.take(to, n).value_or(0);
        const size_t moved = machine::user_read(to, at_ + moved_, n);
        moved_ += moved;
        return moved;
    }

private:
    Uio& uio_;
    const vaddr_t at_;
    size_t moved_ = 0;
};

} // namespace

/// With the lock held: bytes taken, -1 for a fault.
[[gnu::noinline]] int64_t Pipe::take_pages(Uio& uio) {
    uint64_t at = read_at_;
    const uint64_t end = write_at_;
    size_t left = std::min(uio.left(), end - at);
    if (left == 0)
        return 0;
    VmPage** const slots = slots_;
    const size_t mask = capacity() / page_size - 1;
    size_t done = 0;
    {
        Run run(uio, left);
        while (left > 0) {
            VmPage*& slot = slots[at / page_size & mask];
            const size_t offset = at % page_size, n = std::min(left, page_size - offset);
            const size_t moved = run.put(static_cast<char*>(page_data(slot)) + offset, n);
            at += moved;
            done += moved;
            left -= moved;
            if (moved < n)
                break;
            if (at == end) { // keep this one page for the next write
                std::swap(slot, slots[0]);
                at = write_at_ = 0;
            } else if (at % page_size == 0) {
                page_unref(std::exchange(slot, nullptr));
            }
        }
    }
    read_at_ = at;
    publish();
    return done == 0 ? -1 : static_cast<int64_t>(done);
}

/// What most reads are: how many bytes it gave; 0: nothing happened, but that some may have been copied.
inline size_t Pipe::take_piece(vaddr_t to, size_t n) {
    const ShortMutexGuard guard(lock_);
    // Mostly all of it is asked for, and lies in the first page.
    const size_t begin = read_at_, end = write_at_, bytes = end - begin;
    if (end > page_size || bytes > n || bytes == 0) [[unlikely]]
        return 0;
    if (machine::user_write(to, static_cast<char*>(page_data(slots_[0])) + begin, bytes) != bytes) [[unlikely]]
        return 0;
    read_at_ = write_at_ = 0;
    // Who reads is a reader, and whether writers are left did not change.
    publish_space(capacity(), writable_events);
    publish_used(0, static_cast<uint32_t>(read_ready_.load(std::memory_order_relaxed)) & poll_events::hup);
    return bytes;
}

/// The same from whatever page is next, if what is wanted and there does not go beyond it.
[[gnu::noinline]] size_t Pipe::take_from_page(vaddr_t to, size_t wanted) {
    const ShortMutexGuard guard(lock_);
    const uint64_t begin = read_at_;
    const size_t offset = begin % page_size, n = std::min(wanted, write_at_ - begin);
    if (n == 0 || offset + n > page_size) [[unlikely]]
        return 0;
    VmPage*& slot = slot_at(begin);
    const size_t moved = machine::user_write(to, static_cast<char*>(page_data(slot)) + offset, n);
    read_at_ = begin + moved;
    if (read_at_ == write_at_) { // keep this one page for the next write
        std::swap(slot, slots_[0]);
        read_at_ = write_at_ = 0;
    } else if (offset + moved == page_size) {
        page_unref(std::exchange(slot, nullptr));
    }
    publish();
    return moved;
}

/// Until there are bytes: Errno{}; `end_of_file`: none will come.
[[gnu::noinline]] Errno Pipe::wait_readable(bool nonblocking) {
    if (writers_.load(std::memory_order_acquire) == 0)
        return used() > 0 ? Errno{} : end_of_file; // some may have been written just before the last writer left
    if (nonblocking)
        return Errno::again;
    const WaitResult result = wait_until(
        read_waitq_, "pipe_read", [this] { return used() > 0 || writers_.load(std::memory_order_acquire) == 0; });
    return result == WaitResult::awoken ? Errno{} : Errno::restart_sys;
}

Result<size_t> Pipe::read(Uio& uio, bool nonblocking) {
    if (uio.left() == 0)
        return size_t{0};
    int64_t done = 0;
    do {
        while (used() == 0)
            if (const Errno none = wait_readable(nonblocking); none != Errno{}) [[unlikely]]
                return none == end_of_file ? Result<size_t>(0) : Result<size_t>(none);
        MutexGuard guard(lock_);
        done = take_pages(uio);
    } while (done == 0); // another reader was faster
    if (done < 0) [[unlikely]]
        return Errno::fault;
    write_waitq_.wake_all();
    return static_cast<size_t>(done);
}

[[gnu::noinline]] Result<size_t> Pipe::read_in_pieces(vaddr_t to, size_t n, bool nonblocking) {
    const UioSegment segment{to, n};
    Uio uio{std::span(&segment, 1)};
    return read(uio, nonblocking);
}

[[gnu::noinline]] Result<size_t> Pipe::write_in_pieces(vaddr_t from, size_t n, bool nonblocking) {
    const UioSegment segment{from, n};
    Uio uio{std::span(&segment, 1)};
    return n == 0 ? Result<size_t>(0) : write_pages(uio, nonblocking);
}

Result<size_t> Pipe::read_piece(vaddr_t to, size_t n, bool nonblocking) {
    if (n == 0) [[unlikely]]
        return size_t{0};
    while (used() == 0)
        if (const Errno none = wait_readable(nonblocking); none != Errno{}) [[unlikely]]
            return none == end_of_file ? Result<size_t>(0) : Result<size_t>(none);
    size_t done = take_piece(to, n);
    if (done == 0) [[unlikely]] {
        done = take_from_page(to, n);
        if (done == 0)
            return read_in_pieces(to, n, nonblocking);
    }
    write_waitq_.wake_all();
    return done;
}

/// What most writes are: there is room in a page. False: nothing happened.
inline bool Pipe::put_piece(vaddr_t from, size_t n) {
    const ShortMutexGuard guard(lock_);
    const uint64_t end = write_at_ + n;
    VmPage* const page = slots_[0];
    // The first page always has room up to its end, unless bytes lie in others (and are read from there on).
    if (end > page_size || !page || readers_.load(std::memory_order_acquire) == 0) [[unlikely]]
        return false;
    if (machine::user_read(static_cast<char*>(page_data(page)) + write_at_, from, n) != n) [[unlikely]]
        return false; // what was copied lies where nothing is yet
    write_at_ = end;
    const size_t room = capacity() - end;
    publish_space(room, room >= atomic_size ? writable_events : 0); // readers_ is not 0
    publish_used(end - read_at_, readable_events);
    return true;
}

/// The same in whatever page is next.
[[gnu::noinline]] bool Pipe::put_in_page(vaddr_t from, size_t n) {
    const ShortMutexGuard guard(lock_);
    const uint64_t begin = write_at_;
    const size_t offset = begin % page_size, room = space();
    if (offset + n > page_size || room < n || readers_.load(std::memory_order_acquire) == 0)
        return false;
    VmPage*& slot = slot_at(begin);
    if (!slot) {
        const Result<VmPage*> page = page_alloc();
        if (!page) [[unlikely]]
            return false;
        slot = *page;
    }
    if (machine::user_read(static_cast<char*>(page_data(slot)) + offset, from, n) != n) [[unlikely]]
        return false;
    write_at_ = begin + n;
    publish_space(room - n, room - n >= atomic_size ? writable_events : 0); // readers_ is not 0, and the caller writes
    publish_used(write_at_ - read_at_, readable_events);
    return true;
}

Result<size_t> Pipe::write(Uio& uio, bool nonblocking) {
    const size_t total = uio.left();
    if (total == 0)
        return size_t{0};
    const vaddr_t from = total <= atomic_size ? uio.in_one_piece(total) : 0;
    if (from == 0 || !put_in_page(from, total))
        return write_pages(uio, nonblocking);
    uio.advance_in_piece(total);
    read_waitq_.wake_all();
    return total;
}

Result<size_t> Pipe::write_piece(vaddr_t from, size_t n, bool nonblocking) {
    if (n - 1 >= atomic_size || (!put_piece(from, n) && !put_in_page(from, n))) [[unlikely]]
        return write_in_pieces(from, n, nonblocking);
    read_waitq_.wake_all();
    return n;
}

/// With the lock held, up to `left` bytes, for which there is room: how many went in. Fewer: `error` says why.
[[gnu::noinline]] size_t Pipe::put_pages(Uio& uio, size_t left, Errno& error) {
    uint64_t at = write_at_;
    VmPage** const slots = slots_;
    const size_t mask = capacity() / page_size - 1;
    size_t done = 0;
    {
        Run run(uio, left);
        while (left > 0) {
            VmPage*& slot = slots[at / page_size & mask];
            if (!slot) {
                const Result<VmPage*> page = page_alloc();
                if (!page) {
                    error = page.error();
                    break;
                }
                slot = *page;
            }
            const size_t offset = at % page_size, n = std::min(left, page_size - offset);
            const size_t moved = run.take(static_cast<char*>(page_data(slot)) + offset, n);
            at += moved;
            done += moved;
            left -= moved;
            if (moved < n) {
                error = Errno::fault;
                break;
            }
        }
    }
    write_at_ = at;
    publish();
    return done;
}

[[gnu::noinline]] Result<size_t> Pipe::write_pages(Uio& uio, bool nonblocking) {
    const size_t total = uio.left();
    size_t done = 0;
    Errno error{};
    while (uio.left() > 0) {
        // What must fit at once before anything goes in.
        const size_t unit = total <= atomic_size ? total : 1;
        {
            MutexGuard guard(lock_);
            if (readers_.load(std::memory_order_acquire) == 0) {
                guard.unlock();
                signal_broken_pipe();
                error = Errno::pipe;
                break;
            }
            if (const size_t room = space(); room >= unit)
                done += put_pages(uio, std::min(uio.left(), room), error);
        }
        if (done > 0)
            read_waitq_.wake_all();
        if (error != Errno{} || uio.left() == 0)
            break;
        if (nonblocking) {
            error = Errno::again;
            break;
        }
        const size_t wanted = std::min(uio.left(), atomic_size);
        const WaitResult result = wait_until(write_waitq_, "pipe_write", [&] {
            return space() >= wanted || readers_.load(std::memory_order_acquire) == 0;
        });
        if (result != WaitResult::awoken) {
            error = Errno::restart_sys;
            break;
        }
    }
    if (done > 0)
        return done;
    return error;
}

Result<bool> Pipe::await_bytes(bool nonblocking) {
    const auto over = [this] { return used() > 0 || writers_.load(std::memory_order_acquire) == 0; };
    if (!over()) {
        if (nonblocking)
            return Errno::again;
        if (wait_until(read_waitq_, "pipe_read", over) != WaitResult::awoken)
            return Errno::restart_sys;
    }
    return used() > 0;
}

Result<void> Pipe::await_room(bool nonblocking) {
    const auto over = [this] { return space() > 0 || readers_.load(std::memory_order_acquire) == 0; };
    if (readers_.load(std::memory_order_acquire) != 0 && !over()) {
        if (nonblocking)
            return Errno::again;
        if (wait_until(write_waitq_, "pipe_write", over) != WaitResult::awoken)
            return Errno::restart_sys;
    }
    if (readers_.load(std::memory_order_acquire) != 0)
        return {};
    signal_broken_pipe();
    return Errno::pipe;
}

size_t Pipe::peek(std::span<char> out, uint64_t& place) {
    MutexGuard guard(lock_);
    place = read_at_;
    const size_t n = std::min(out.size(), used());
    for (size_t done = 0; done < n;) {
        const uint64_t at = read_at_ + done;
        const VmPage* const page = slot_at(at);
        const size_t piece = std::min(n - done, page_size - at % page_size);
        std::copy_n(static_cast<const char*>(page_data(page)) + at % page_size, piece, out.data() + done);
        done += piece;
    }
    return n;
}

void Pipe::take(uint64_t place, size_t n) {
    {
        MutexGuard guard(lock_);
        if (read_at_ != place)
            return;
        n = std::min(n, used());
        for (const uint64_t end = read_at_ + n; read_at_ < end;) {
            VmPage*& slot = slot_at(read_at_);
            read_at_ += std::min(end - read_at_, page_size - read_at_ % page_size);
            if (read_at_ == write_at_) { // keep this one page for the next write
                std::swap(slot, slots_[0]);
                read_at_ = write_at_ = 0;
                break;
            }
            if (read_at_ % page_size == 0)
                page_unref(std::exchange(slot, nullptr));
        }
        publish();
    }
    write_waitq_.wake_all();
}

uint32_t Pipe::poll(uint32_t events, PollTable* table, bool readable, bool writable) {
    using namespace poll_events;
    if (table) {
        if (readable)
            table->add(read_waitq_);
        if (writable)
            table->add(write_waitq_);
    }
    uint32_t ready = 0;
    if (readable)
        ready |= static_cast<uint32_t>(read_ready_.load(std::memory_order_acquire));
    if (writable)
        ready |= static_cast<uint32_t>(write_ready_.load(std::memory_order_acquire));
    return ready & (events | hup | err);
}

Result<uint64_t> Pipe::ioctl(uint32_t command, uint64_t argument) {
    if (command != ioctl_bytes_readable)
        return Errno::notty;
    TRY(UserPtr<int32_t>(argument).write(static_cast<int32_t>(used())));
    return uint64_t{0};
}

Result<size_t> Pipe::set_capacity(size_t bytes) {
    if (bytes > max_capacity)
        return has_uthread() && current_proc().cred()->capable(Capability::sys_resource) ? Errno::inval : Errno::perm;
    const size_t pages = std::bit_ceil((std::max(bytes, page_size) + page_mask) / page_size);
    auto** fresh = static_cast<VmPage**>(kmalloc(pages * sizeof(VmPage*)));
    if (!fresh)
        return Errno::nomem;
    for (size_t i = 0; i < pages; i++)
        fresh[i] = nullptr;
    MutexGuard guard(lock_);
    const size_t old_pages = capacity() / page_size;
    // Pages keep their place in the stream, so they must all have one in the new ring.
    const uint64_t first = read_at_ / page_size, end = (write_at_ + page_mask) / page_size;
    if (used() > 0 && end - first > pages) {
        guard.unlock();
        kfree(fresh, pages * sizeof(VmPage*));
        return Errno::busy;
    }
    for (uint64_t i = first; used() > 0 && i < end; i++)
        fresh[i % pages] = std::exchange(slots_[i % old_pages], nullptr);
    for (size_t i = 0; i < old_pages; i++)
        if (VmPage* page = std::exchange(slots_[i], nullptr))
            page_unref(page);
    if (slots_ != first_slots_)
        kfree(slots_, old_pages * sizeof(VmPage*));
    slots_ = fresh;
    capacity_.store(pages * page_size, std::memory_order_relaxed);
    publish();
    guard.unlock();
    write_waitq_.wake_all();
    return pages * page_size;
}

// ---- named ---------------------------------------------------------------------------------------------------------

Result<PipeEnds> Fifo::open(uint32_t flags) {
    const uint32_t mode = flags & open_flags::access_mode;
    const bool reader = mode != open_flags::write_only, writer = mode != open_flags::read_only;
    RefPtr<Pipe> pipe;
    {
        MutexGuard guard(lock_);
        if (!pipe_)
            pipe_ = TRY(Pipe::create());
        pipe = pipe_;
        ASSERT(pipe);
    }
    const bool nonblocking = flags & open_flags::nonblock;
    if (writer && !reader && nonblocking && pipe->readers_.load(std::memory_order_acquire) == 0)
        return Errno::nxio;
    // Whoever opened the other side after this moment was met, even if gone again by the time we run.
    const uint32_t seen_readers = pipe->reader_opens_.load(std::memory_order_acquire);
    const uint32_t seen_writers = pipe->writer_opens_.load(std::memory_order_acquire);
    // And whoever waits for us is met now: once woken, it may write, close and be gone before we look.
    const bool met = (reader ? pipe->writers_ : pipe->readers_).load(std::memory_order_acquire) != 0;
    PipeEnds ends(pipe, reader, writer);
    if (nonblocking || met || (reader && writer))
        return ends;
    const WaitResult result = wait_until(pipe->open_waitq_, "fifo_open", [&] {
        if (reader)
            return pipe->writers_.load(std::memory_order_acquire) != 0 ||
                   pipe->writer_opens_.load(std::memory_order_acquire) != seen_writers;
        return pipe->readers_.load(std::memory_order_acquire) != 0 ||
               pipe->reader_opens_.load(std::memory_order_acquire) != seen_readers;
    });
    if (result != WaitResult::awoken)
        return Errno::restart_sys;
    return ends;
}

// ---- without a name --------------------------------------------------------------------------------------------------

namespace {

/// One end of pipe(2).
class PipeFile final : public File {
public:
    static constexpr const char* zone_name = "pipe_files";
    PipeFile(uint32_t flags_value, RefPtr<Pipe> pipe, uint64_t inode, nanos_t born)
        : File(flags_value), ends_(std::move(pipe), readable(), writable()), inode_(inode), born_(born) {
        ready_now = ends_.pipe().ready_word(readable(), writable());
        if (has_uthread()) {
            const RefPtr<const Cred> cred = current_proc().cred();
            uid_ = cred->fsuid;
            gid_ = cred->fsgid;
        }
    }
    void dispose() override { zone_delete(this); }
    Result<size_t> read(Uio& uio) override { return ends_.pipe().read(uio, nonblocking()); }
    Result<size_t> write(Uio& uio) override { return ends_.pipe().write(uio, nonblocking()); }
    Result<size_t> read_piece(vaddr_t to, size_t n) override { return ends_.pipe().read_piece(to, n, nonblocking()); }
    Result<size_t> write_piece(vaddr_t from, size_t n) override {
        return ends_.pipe().write_piece(from, n, nonblocking());
    }
    Result<size_t> read_now(Uio& uio) override { return ends_.pipe().read(uio, true); }
    Result<size_t> write_now(Uio& uio) override { return ends_.pipe().write(uio, true); }
    Result<uint64_t> ioctl(uint32_t command, uint64_t argument) override {
        return ends_.pipe().ioctl(command, argument);
    }
    uint32_t poll(uint32_t events, PollTable* table) override {
        return ends_.pipe().poll(events, table, readable(), writable());
    }
    Result<FileStat> stat() override {
        FileStat st = anonymous_stat(inode_, 010600); // S_IFIFO
        st.uid = uid_;
        st.gid = gid_;
        st.atime = st.mtime = st.ctime = st.btime = born_;
        return st;
    }
    size_t describe(std::span<char> buffer) override { return format_to(buffer, "pipe:[{}]", inode_).size(); }
    Pipe* pipe() override { return &ends_.pipe(); }
    Result<RefPtr<File>> reopen(uint32_t flags_value) override {
        return RefPtr<File>(TRY(make_ref<PipeFile>(flags_value, RefPtr<Pipe>(&ends_.pipe()), inode_, born_)));
    }

private:
    PipeEnds ends_;
    const uint64_t inode_;
    const nanos_t born_;
    uid_t uid_ = 0;
    gid_t gid_ = 0;
};

} // namespace

Result<void> pipe_create(uint32_t flags, RefPtr<File> out[2]) {
    const uint32_t kept = flags & (open_flags::nonblock | open_flags::direct);
    const uint64_t inode = anonymous_inode();
    const nanos_t now = realtime_ns();
    RefPtr<Pipe> pipe = TRY(Pipe::create());
    RefPtr<File> reader = TRY(make_ref<PipeFile>(open_flags::read_only | kept, pipe, inode, now));
    out[1] = TRY(make_ref<PipeFile>(open_flags::write_only | kept, pipe, inode, now));
    out[0] = std::move(reader);
    return {};
}

} // namespace lentil

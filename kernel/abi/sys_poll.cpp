// SPDX-License-Identifier: BSD-2-Clause
// ppoll and pselect6: Linux's argument rules in front of poll_files.
#include <algorithm>

#include <abi/files.hpp>
#include <abi/sys_file.hpp>
#include <bsd/poll.hpp>
#include <sched/clock.hpp>

namespace lentil::abi {
namespace {

/// Items of one call: a few on the stack, more in a buffer.
class Items {
public:
    Items() = default;
    Items(const Items&) = delete;
    Items& operator=(const Items&) = delete;
    ~Items() {
        for (size_t i = 0; more_ && i < count_; i++)
            more_[i].~PollItem();
        if (more_)
            kfree(more_, count_ * sizeof(PollItem));
    }
    Result<std::span<PollItem>> make(size_t count) {
        count_ = count;
        if (count <= own_count)
            return std::span(own_, count);
        more_ = static_cast<PollItem*>(kmalloc(count * sizeof(PollItem)));
        if (!more_)
            return Errno::nomem;
        for (size_t i = 0; i < count; i++)
            new (&more_[i]) PollItem;
        return std::span(more_, count);
    }

private:
    static constexpr size_t own_count = 8;
    PollItem own_[own_count];
    PollItem* more_ = nullptr;
    size_t count_ = 0;
};

[[gnu::noinline]] Result<nanos_t> deadline_after(Timespec wanted) {
    const nanos_t span = TRY(wanted.to_ns());
    const nanos_t now = monotonic_ns();
    return span < no_deadline - now ? now + span : no_deadline;
}

inline Result<nanos_t> deadline_from(UserPtr<Timespec> timeout) {
    if (!timeout)
        return no_deadline;
    Timespec wanted;
    static_assert(sizeof wanted == 16);
    if (!machine::user_read_words<2>(reinterpret_cast<uint64_t*>(&wanted), timeout.address())) [[unlikely]]
        return Errno::fault;
    if ((wanted.seconds | wanted.nanoseconds) == 0) [[likely]]
        return 0;
    return deadline_after(wanted);
}

[[gnu::noinline]] void write_time_until(UserPtr<Timespec> timeout, nanos_t deadline_ns) {
    const nanos_t left = deadline_ns - monotonic_ns();
    (void)timeout.write(Timespec::from_ns(left > 0 ? left : 0));
}

/// Linux writes what is left back; a program whose timeout lies in read-only memory sees no error.
inline void write_time_left(UserPtr<Timespec> timeout, nanos_t deadline_ns) {
    if (deadline_ns != no_deadline && deadline_ns != 0) // of no time none is left, as it says
        write_time_until(timeout, deadline_ns);
}

/// The mask to wait with; the way out puts the old one back.
Result<void> use_mask(UserPtr<uint64_t> mask, uint64_t mask_size) {
    if (!mask)
        return {};
    if (mask_size != sizeof(SigSet))
        return Errno::inval;
    signal_set_temporary_mask(current_uthread(), SigSet{TRY(mask.read())});
    return {};
}

/// What the file behind a descriptor says that others may close.
uint32_t look_counted(int fd, uint32_t wanted) {
    if (fd < 0)
        return 0;
    const Result<FileHold> file = any_file(fd);
    return file.ok() ? (*file)->poll_now(wanted) : poll_events::nval;
}

constexpr uint32_t always = poll_events::err | poll_events::hup;

/// The events of a descriptor whose file is not known or keeps no word.
[[gnu::noinline]] uint32_t look_by_asking(File* file, int fd, uint32_t wanted) {
    if (file)
        return file->poll(wanted, nullptr) & (wanted | always);
    return look_counted(fd, wanted) & (wanted | always | poll_events::nval);
}

Result<void> write_revents(UserPtr<Pollfd> fd, uint64_t revents) {
    return UserPtr<uint16_t>(fd.address() + offsetof(Pollfd, revents)).write(static_cast<uint16_t>(revents));
}

/// look_once() for one.
inline Result<unsigned> look_at_one(UserPtr<Pollfd> fd) {
    uint64_t raw;
    if (!machine::user_read_words<1>(&raw, fd.address())) [[unlikely]]
        return Errno::fault;
    const auto number = static_cast<int32_t>(raw);
    const uint64_t wanted = raw >> 32;
    Proc& proc = current_proc();
    File* const file = proc.is_single() ? proc.fds->borrow(number) : nullptr;
    int64_t ready = -1;
    if (file) [[likely]]
        ready = file->ready_now->load(std::memory_order_relaxed);
    uint64_t revents = static_cast<uint64_t>(ready) & (wanted | always);
    if (ready < 0) [[unlikely]]
        revents = look_by_asking(file, number, static_cast<uint16_t>(wanted));
    if (revents != raw >> 48) [[unlikely]]
        TRY(write_revents(fd, revents));
    return revents != 0 ? 1 : 0;
}

/// Asks each file once. Most calls need no more: something is ready, or nobody wants to wait. Writes what was found where
/// that is not what is there already.
[[gnu::noinline]] Result<unsigned> look_once(UserPtr<Pollfd> fds, uint32_t count) {
    constexpr uint32_t batch = 64;
    alignas(uint64_t) Pollfd some[batch];
    unsigned found = 0;
    Proc& proc = current_proc();
    // Asked once for all.
    const std::span<File* const> files = proc.is_single() ? proc.fds->borrow_all() : std::span<File* const>();
    for (uint32_t from = 0; from < count; from += batch) {
        const uint32_t n = std::min(batch, count - from);
        const vaddr_t place = (fds + from).address();
        if (n == 1) {
            if (!machine::user_read_words<1>(reinterpret_cast<uint64_t*>(some), place))
                return Errno::fault;
        } else {
            TRY(copyin(some, place, n * sizeof(Pollfd)));
        }
        for (const Pollfd *fd = some, *const end = some + n; fd != end; fd++) {
            // All of it at once: fd, events, revents.
            const auto raw = __builtin_bit_cast(uint64_t, *fd);
            const auto number = static_cast<size_t>(static_cast<int32_t>(raw));
            const uint64_t wanted = raw >> 32, old = raw >> 48;
            File* const file = number < files.size() ? files[number] : nullptr;
            int64_t ready = -1;
            if (file) [[likely]]
                ready = file->ready_now->load(std::memory_order_relaxed);
            // No word has events where those in `raw` are that were found before.
            uint64_t revents = static_cast<uint64_t>(ready) & (wanted | always);
            if (ready < 0) [[unlikely]]
                revents = look_by_asking(file, fd->fd, static_cast<uint16_t>(wanted));
            found += revents != 0;
            if (revents != old) [[unlikely]]
                TRY(write_revents(fds + from + static_cast<size_t>(fd - some), revents));
        }
    }
    return found;
}

[[gnu::noinline]] Result<unsigned> wait_for_events(UserPtr<Pollfd> fds, uint32_t count, UserPtr<Timespec> timeout,
                                                   nanos_t deadline);

} // namespace

Result<unsigned> sys_ppoll(UserPtr<Pollfd> fds, uint32_t count, UserPtr<Timespec> timeout, UserPtr<uint64_t> mask,
                           uint64_t mask_size) {
    const nanos_t deadline = TRY(deadline_from(timeout));
    TRY(use_mask(mask, mask_size));
    if (count > current_proc().limit(Limit::nofile).soft)
        return Errno::inval;
    if (const unsigned found = TRY(count == 1 ? look_at_one(fds) : look_once(fds, count));
        found != 0 || deadline == 0) {
        write_time_left(timeout, deadline);
        return found;
    }
    return wait_for_events(fds, count, timeout, deadline);
}

namespace {

Result<unsigned> wait_for_events(UserPtr<Pollfd> fds, uint32_t count, UserPtr<Timespec> timeout, nanos_t deadline) {
    Items storage;
    std::span<PollItem> items = TRY(storage.make(count));
    for (uint32_t i = 0; i < count; i++) {
        const Pollfd fd = TRY((fds + i).read());
        if (fd.fd < 0)
            continue;
        Result<FileHold> file = any_file(fd.fd);
        if (!file.ok()) {
            items[i].revents = poll_events::nval;
            continue;
        }
        items[i].file = std::move(*file);
        items[i].events = static_cast<uint16_t>(fd.events);
    }
    const Result<unsigned> found = poll_files(items, deadline);
    if (found.ok())
        for (uint32_t i = 0; i < count; i++) {
            const vaddr_t at = (fds + i).address() + offsetof(Pollfd, revents);
            TRY(UserPtr<uint16_t>(at).write(static_cast<uint16_t>(items[i].revents)));
        }
    write_time_left(timeout, deadline);
    return found;
}

} // namespace

Result<unsigned> sys_pselect6(int count, uint64_t in, uint64_t out, uint64_t except, UserPtr<Timespec> timeout,
                              UserPtr<SigsetArgument> mask) {
    using namespace poll_events;
    constexpr uint32_t readable = rdnorm | rdband | poll_events::in | hup | err,
                       writable = wrnorm | wrband | poll_events::out | err, exceptional = pri;
    const nanos_t deadline = TRY(deadline_from(timeout));
    if (mask) {
        const SigsetArgument argument = TRY(mask.read());
        TRY(use_mask(UserPtr<uint64_t>(argument.address), argument.size));
    }
    if (count < 0)
        return Errno::inval;
    // Bits of descriptors that cannot exist are ignored, as on Linux.
    const uint32_t bits = std::min(static_cast<uint32_t>(count), current_proc().fds->capacity());
    const size_t words = (bits + 63) / 64;
    Buffer<uint64_t> sets = TRY(Buffer<uint64_t>::create(words * 3));
    const uint64_t addresses[3] = {in, out, except};
    for (unsigned s = 0; s < 3; s++)
        if (addresses[s] != 0)
            TRY(copyin(&sets[s * words], addresses[s], words * 8));
    auto wants = [&](unsigned s, uint32_t fd) {
        return fd < bits && (sets[s * words + fd / 64] >> (fd % 64) & 1) != 0;
    };

    size_t watched = 0;
    for (uint32_t fd = 0; fd < bits; fd++)
        watched += wants(0, fd) || wants(1, fd) || wants(2, fd);
    Items storage;
    std::span<PollItem> items = TRY(storage.make(watched));
    size_t n = 0;
    for (uint32_t fd = 0; fd < bits; fd++) {
        const uint32_t events =
            (wants(0, fd) ? readable : 0) | (wants(1, fd) ? writable : 0) | (wants(2, fd) ? exceptional : 0);
        if (events == 0)
            continue;
        items[n].file = TRY(any_file(static_cast<int>(fd)));
        items[n++].events = events;
    }
    const Result<unsigned> found = poll_files(items, deadline);
    write_time_left(timeout, deadline);
    if (!found.ok())
        return found;

    unsigned results = 0;
    n = 0;
    for (uint32_t fd = 0; fd < bits; fd++) {
        if (!wants(0, fd) && !wants(1, fd) && !wants(2, fd))
            continue;
        const uint32_t revents = items[n++].revents;
        const uint32_t masks[3] = {readable, writable, exceptional};
        for (unsigned s = 0; s < 3; s++) {
            if (!wants(s, fd))
                continue;
            if (revents & masks[s])
                results++;
            else
                sets[s * words + fd / 64] &= ~(uint64_t{1} << (fd % 64));
        }
    }
    for (unsigned s = 0; s < 3; s++)
        if (addresses[s] != 0)
            TRY(copyout(addresses[s], &sets[s * words], words * 8));
    return results;
}

} // namespace lentil::abi

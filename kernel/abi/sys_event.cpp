// SPDX-License-Identifier: BSD-2-Clause
// Files that have no name: eventfd, epoll, memfd.
#include <algorithm>

#include <abi/files.hpp>
#include <abi/sys_file.hpp>
#include <bsd/epoll.hpp>
#include <bsd/eventfd.hpp>
#include <sched/clock.hpp>
#include <vfs/memfd.hpp>

namespace lentil::abi {
namespace {

Result<int> wait_for_events(int epoll, UserPtr<EpollEvent> events, int count, nanos_t deadline_ns,
                            UserPtr<uint64_t> mask, uint64_t mask_size) {
    constexpr int most = INT32_MAX / static_cast<int>(sizeof(EpollEvent));
    if (count <= 0 || count > most)
        return Errno::inval;
    if (mask) {
        if (mask_size != sizeof(SigSet))
            return Errno::inval;
        signal_set_temporary_mask(current_uthread(), SigSet{TRY(mask.read())});
    }
    if (!user_range_ok(events.address(), static_cast<size_t>(count) * sizeof(EpollEvent)))
        return Errno::fault;
    const FileHold file = TRY(any_file(epoll));
    EpollResult found[16];
    const size_t n = TRY(epoll_wait(
        *file, std::span(found).first(std::min<size_t>(std::size(found), static_cast<size_t>(count))), deadline_ns));
    for (size_t i = 0; i < n; i++)
        TRY((events + i).write({found[i].events, 0, found[i].data}));
    return static_cast<int>(n);
}

nanos_t deadline_after(nanos_t span) {
    const nanos_t now = monotonic_ns();
    return span < no_deadline - now ? now + span : no_deadline;
}

} // namespace

Result<int> sys_eventfd2(uint32_t initial, uint32_t flags) {
    constexpr uint32_t semaphore = 1;
    if (flags & ~(semaphore | open_flags::cloexec | open_flags::nonblock))
        return Errno::inval;
    RefPtr<File> file = TRY(eventfd_create(initial, flags & open_flags::nonblock, flags & semaphore));
    return install_file(std::move(file), flags & open_flags::cloexec);
}

Result<int> sys_epoll_create1(uint32_t flags) {
    if (flags & ~open_flags::cloexec)
        return Errno::inval;
    return install_file(TRY(epoll_create()), flags & open_flags::cloexec);
}

Result<void> sys_epoll_ctl(int epoll, int operation, int fd, UserPtr<EpollEvent> event) {
    EpollEvent wanted{};
    if (operation != static_cast<int>(EpollOperation::remove))
        wanted = TRY(event.read());
    const FileHold set = TRY(any_file(epoll));
    const FileHold file = TRY(open_file(fd));
    return epoll_control(*set, static_cast<EpollOperation>(operation), *file, fd, wanted.events, wanted.data);
}

Result<int> sys_epoll_pwait(int epoll, UserPtr<EpollEvent> events, int count, int timeout_ms, UserPtr<uint64_t> mask,
                            uint64_t mask_size) {
    const nanos_t deadline = timeout_ms < 0    ? no_deadline
                             : timeout_ms == 0 ? 0
                                               : deadline_after(nanos_t{timeout_ms} * 1'000'000);
    return wait_for_events(epoll, events, count, deadline, mask, mask_size);
}

Result<int> sys_epoll_pwait2(int epoll, UserPtr<EpollEvent> events, int count, UserPtr<Timespec> timeout,
                             UserPtr<uint64_t> mask, uint64_t mask_size) {
    nanos_t deadline = no_deadline;
    if (timeout) {
        const Timespec wanted = TRY(timeout.read());
        const nanos_t span = TRY(wanted.to_ns());
        deadline = span == 0 ? 0 : deadline_after(span);
    }
    return wait_for_events(epoll, events, count, deadline, mask, mask_size);
}

Result<int> sys_memfd_create(UserPath name, uint32_t flags) {
    constexpr uint32_t close_on_exec = 1, allow_sealing = 2, no_exec_seal = 8, exec = 0x10; // no huge pages
    constexpr size_t name_limit = 249;
    if ((flags & ~(close_on_exec | allow_sealing | no_exec_seal | exec)) || ((flags & no_exec_seal) && (flags & exec)))
        return Errno::inval;
    const Result<UserString> text = UserString::copy(name.address, name_limit + 1);
    if (!text.ok())
        return text.error() == Errno::nametoolong ? Errno::inval : text.error();
    const bool executable = !(flags & no_exec_seal);
    const uint32_t seals = !executable ? file_seals::exec : flags & allow_sealing ? 0 : file_seals::seal;
    RefPtr<File> file = TRY(memfd_create(text->view(), executable, seals));
    return install_file(std::move(file), flags & close_on_exec);
}

} // namespace lentil::abi

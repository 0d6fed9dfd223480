// SPDX-License-Identifier: BSD-2-Clause
// The native calls kqueue and kevent.
#include <algorithm>

#include <abi/files.hpp>
#include <abi/sys_native.hpp>
#include <sched/clock.hpp>
#include <sched/killed.hpp>

namespace lentil::abi {
namespace {

/// Makes the changes in order. What fails, and what wants a receipt, is reported in `events` as long as there is room; the
/// first failure without room ends it. How many reports there are.
Result<int> make_changes(File& kqueue, UserPtr<Kevent> changes, int change_count, UserPtr<Kevent> events,
                         int event_count) {
    int reported = 0;
    for (int i = 0; i < change_count; i++) {
        if (being_killed())
            return Errno::intr;
        Kevent change = TRY((changes + static_cast<size_t>(i)).read());
        const Result<void> made = kevent_change(kqueue, change);
        if (made.ok() && !(change.flags & kevent_flags::receipt))
            continue;
        if (reported == event_count) {
            if (!made.ok())
                return made.error();
            continue;
        }
        change.flags = kevent_flags::error;
        change.data = made.ok() ? 0 : static_cast<int64_t>(made.error());
        TRY((events + static_cast<size_t>(reported++)).write(change));
    }
    return reported;
}

} // namespace

Result<int> sys_native_kqueue(uint32_t flags) {
    if (flags & ~open_flags::cloexec)
        return Errno::inval;
    return install_file(TRY(kqueue_create(0)), flags & open_flags::cloexec);
}

Result<int> sys_native_kevent(int fd, UserPtr<Kevent> changes, int change_count, UserPtr<Kevent> events,
                              int event_count, UserPtr<Timespec> timeout) {
    if (change_count < 0 || event_count < 0)
        return Errno::inval;
    nanos_t deadline = no_deadline;
    if (timeout) {
        const Timespec wanted = TRY(timeout.read());
        const nanos_t span = TRY(wanted.to_ns()), now = monotonic_ns();
        deadline = span == 0 ? 0 : span < no_deadline - now ? now + span : no_deadline;
    }
    const FileHold file = TRY(any_file(fd));
    if (!file->kqueue())
        return Errno::badf;
    const int reported = TRY(make_changes(*file, changes, change_count, events, event_count));
    if (reported > 0 || event_count == 0)
        return reported;
    Kevent found[kevent_batch];
    const size_t room = std::min<size_t>(kevent_batch, static_cast<size_t>(event_count));
    const size_t n = TRY(kevent_wait(*file, std::span(found).first(room), deadline));
    TRY(copyout(events.address(), found, n * sizeof(Kevent)));
    return static_cast<int>(n);
}

} // namespace lentil::abi

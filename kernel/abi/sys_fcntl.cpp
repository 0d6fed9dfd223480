// SPDX-License-Identifier: BSD-2-Clause
// Descriptors: dup, fcntl, ioctl, close.
#include <abi/files.hpp>
#include <abi/sys_file.hpp>

namespace lentil::abi {
namespace {

/// What F_SETFL can change.
constexpr uint32_t settable_flags =
    open_flags::append | open_flags::nonblock | open_flags::direct | open_flags::noatime;
/// What open(2) consumes: F_GETFL does not show it.
constexpr uint32_t creation_flags =
    open_flags::creat | open_flags::excl | open_flags::noctty | open_flags::trunc | open_flags::cloexec;

void change_flags(File& file, uint32_t mask, uint32_t value) {
    uint32_t old = file.flags.load(std::memory_order_relaxed);
    while (!file.flags.compare_exchange_weak(old, (old & ~mask) | (value & mask), std::memory_order_relaxed)) {
    }
}

Result<uint64_t> duplicate(RefPtr<File> file, uint64_t from, bool close_on_exec) {
    Proc& proc = current_proc();
    const uint64_t limit = proc.limit(Limit::nofile).soft;
    if (from >= limit || from > INT32_MAX)
        return Errno::inval;
    const int fd = TRY(proc.fds->install(std::move(file), close_on_exec, limit, static_cast<int>(from)));
    return static_cast<uint64_t>(fd);
}

} // namespace

Result<int> sys_dup(int fd) {
    return install_file(TRY(any_file(fd)), false);
}

Result<int> sys_dup3(int fd, int wanted, uint32_t flags) {
    if ((flags & ~open_flags::cloexec) || fd == wanted)
        return Errno::inval;
    Proc& proc = current_proc();
    const uint64_t limit = proc.limit(Limit::nofile).soft;
    if (wanted < 0 || static_cast<uint64_t>(wanted) >= limit)
        return Errno::badf;
    RefPtr<File> file = TRY(any_file(fd));
    TRY(proc.fds->install_at(wanted, std::move(file), flags & open_flags::cloexec, limit));
    return wanted;
}

Result<uint64_t> sys_fcntl(int fd, uint32_t command, uint64_t argument) {
    using namespace fcntl_command;
    FdTable& fds = *current_proc().fds;
    const RefPtr<File> file = TRY(any_file(fd));
    switch (command) {
    case dupfd:
        return duplicate(file, argument, false);
    case dupfd_cloexec:
        return duplicate(file, argument, true);
    case getfd:
        return TRY(fds.close_on_exec(fd)) ? fd_cloexec : 0;
    case setfd:
        TRY(fds.set_close_on_exec(fd, argument & fd_cloexec));
        return 0;
    case getfl:
        return file->flags.load(std::memory_order_relaxed) & ~creation_flags;
    default:
        break;
    }
    if (file->flags.load(std::memory_order_relaxed) & open_flags::path)
        return Errno::badf;
    switch (command) {
    case setfl:
        change_flags(*file, settable_flags, static_cast<uint32_t>(argument));
        return 0;
    case setown:
        file->owner_pid.store(static_cast<int32_t>(argument), std::memory_order_relaxed);
        return 0;
    case getown:
        return static_cast<uint64_t>(int64_t{file->owner_pid.load(std::memory_order_relaxed)});
    default:
        return Errno::inval;
    }
}

Result<uint64_t> sys_ioctl(int fd, uint32_t command, uint64_t argument) {
    const RefPtr<File> file = TRY(open_file(fd));
    switch (command) {
    case ioctl_command::fioclex:
    case ioctl_command::fionclex:
        TRY(current_proc().fds->set_close_on_exec(fd, command == ioctl_command::fioclex));
        return 0;
    case ioctl_command::fionbio:
        change_flags(*file, open_flags::nonblock,
                     TRY(UserPtr<int32_t>(argument).read()) != 0 ? open_flags::nonblock : 0);
        return 0;
    default:
        return file->ioctl(command, argument);
    }
}

Result<void> sys_close(int fd) {
    return current_proc().fds->close(fd);
}

Result<void> sys_close_range(uint32_t first, uint32_t last, uint32_t flags) {
    constexpr uint32_t unshare = 2, mark_cloexec = 4;
    if ((flags & ~(unshare | mark_cloexec)) || first > last)
        return Errno::inval;
    Proc& proc = current_proc();
    if ((flags & unshare) && proc.fds->ref_count() > 1) {
        RefPtr<FdTable> own = TRY(proc.fds->copy());
        SpinGuard guard(proc.tables_lock);
        std::swap(proc.fds, own); // the old one goes after the lock
        guard.unlock();
        own.reset();
    }
    return proc.fds->close_range(first, last, flags & mark_cloexec);
}

} // namespace lentil::abi

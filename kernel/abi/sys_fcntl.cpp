// SPDX-License-Identifier: BSD-2-Clause
// Descriptors: dup, fcntl, ioctl, close.
#include <abi/files.hpp>
#include <abi/sys_file.hpp>
#include <bsd/file_lock.hpp>
#include <bsd/pipe.hpp>
#include <bsd/sigio.hpp>

namespace lentil::abi {
namespace {

/// What F_SETFL can change.
constexpr uint32_t settable_flags =
    open_flags::append | open_flags::nonblock | open_flags::direct | open_flags::noatime | open_flags::async;
/// What open(2) consumes: F_GETFL does not show it.
constexpr uint32_t creation_flags =
    open_flags::creat | open_flags::excl | open_flags::noctty | open_flags::trunc | open_flags::cloexec;

void change_flags(File& file, uint32_t mask, uint32_t value) {
    uint32_t old = file.flags.load(std::memory_order_relaxed);
    while (!file.flags.compare_exchange_weak(old, (old & ~mask) | (value & mask), std::memory_order_relaxed)) {
    }
}

/// O_ASYNC as F_SETFL sets it: a flag and nothing more of files that tell nobody.
Result<void> set_async(File& file, int fd, bool on) {
    if (on != ((file.flags.load(std::memory_order_relaxed) & open_flags::async) != 0) && file.can_send_sigio())
        return sigio_set(file, fd, on);
    return {};
}

/// F_SETOWN: a process, or minus a group.
Result<void> set_owner(File& file, int32_t who) {
    if (who == INT32_MIN)
        return Errno::inval;
    return sigio_set_owner(file, who < 0 ? OwnerName{OwnerKind::group, -who} : OwnerName{OwnerKind::process, who});
}

Result<void> set_owner_ex(File& file, UserPtr<fcntl_command::OwnerEx> from) {
    const fcntl_command::OwnerEx wanted = TRY(from.read());
    if (wanted.type < 0 || wanted.type > static_cast<int32_t>(OwnerKind::group))
        return Errno::inval;
    if (wanted.pid < 0)
        return Errno::srch;
    return sigio_set_owner(file, {static_cast<OwnerKind>(wanted.type), wanted.pid});
}

Result<uint64_t> duplicate(RefPtr<File> file, uint64_t from, bool close_on_exec) {
    Proc& proc = current_proc();
    const uint64_t limit = proc.limit(Limit::nofile).soft;
    if (from >= limit || from > INT32_MAX)
        return Errno::inval;
    const int fd = TRY(proc.fds->install(std::move(file), close_on_exec, limit, static_cast<int>(from)));
    return static_cast<uint64_t>(fd);
}

/// The bytes that a struct flock means: inval before the start of the file, overflow past what can be said.
Result<void> lock_range(File& file, const Flock& lock, LockRequest& request) {
    off_t base = 0;
    switch (static_cast<Whence>(lock.whence)) {
    case Whence::set: break;
    case Whence::current: base = TRY(file.seek(0, Whence::current)); break;
    case Whence::end: base = static_cast<off_t>(TRY(file.stat()).size); break;
    default: return Errno::inval;
    }
    off_t start = 0, last = INT64_MAX;
    if (__builtin_add_overflow(base, lock.start, &start))
        return Errno::overflow;
    if (lock.length > 0) {
        if (__builtin_add_overflow(start, lock.length - 1, &last))
            return Errno::overflow;
    } else if (lock.length < 0) {
        last = start - 1;
        start += lock.length;
    }
    if (start < 0 || last < start)
        return Errno::inval;
    request.start = static_cast<uint64_t>(start);
    request.end = last == INT64_MAX ? UINT64_MAX : static_cast<uint64_t>(last);
    return {};
}

/// F_GETLK, F_SETLK, F_SETLKW and their OFD kin.
Result<uint64_t> record_lock(File& file, uint32_t command, UserPtr<Flock> argument) {
    using namespace fcntl_command;
    Flock lock = TRY(argument.read());
    const bool by_file = command >= ofd_getlk;
    if (by_file && lock.pid != 0)
        return Errno::inval;
    if (lock.type < 0 || lock.type > 2)
        return Errno::inval;
    LockRequest request;
    request.type = static_cast<LockType>(lock.type);
    FdTable& table = *current_proc().fds;
    request.owner = by_file ? static_cast<const void*>(&file) : &table;
    request.pid = by_file ? -1 : current_proc().pid;
    TRY(lock_range(file, lock, request));

    if (command == getlk || command == ofd_getlk) {
        if (request.type == LockType::unlock)
            return Errno::inval;
        const LockRequest found = file_lock_test(file, request);
        lock.type = static_cast<int16_t>(found.type);
        if (found.type != LockType::unlock) {
            lock.whence = 0;
            lock.start = static_cast<int64_t>(found.start);
            lock.length = found.end == UINT64_MAX ? 0 : static_cast<int64_t>(found.end - found.start + 1);
            lock.pid = found.pid;
        }
        TRY(argument.write(lock));
        return 0;
    }
    if ((request.type == LockType::read && !file.readable()) || (request.type == LockType::write && !file.writable()))
        return Errno::badf;
    (by_file ? file.may_hold_locks : table.may_hold_locks).store(1, std::memory_order_relaxed);
    TRY(file_lock_set(file, request, command == setlkw || command == ofd_setlkw));
    return 0;
}

} // namespace

Result<void> sys_flock(int fd, uint32_t operation) {
    constexpr uint32_t shared = 1, exclusive = 2, no_block = 4, unlock = 8;
    const FileHold file = TRY(open_file(fd));
    LockRequest request;
    switch (operation & ~no_block) {
    case shared: request.type = LockType::read; break;
    case exclusive: request.type = LockType::write; break;
    case unlock: request.type = LockType::unlock; break;
    default: return Errno::inval;
    }
    request.kind = LockKind::whole;
    request.owner = file.get();
    request.pid = current_proc().pid;
    file->may_hold_locks.store(1, std::memory_order_relaxed);
    return file_lock_set(*file, request, !(operation & no_block));
}

namespace {
[[gnu::noinline]] CallValue dup_counted(int fd) {
    const Result<FileHold> file = any_file(fd);
    if (!file.ok())
        return file.error();
    const Result<int> copy = install_file(file->keep(), false);
    return copy.ok() ? CallValue(static_cast<uint64_t>(*copy)) : CallValue(copy.error());
}
} // namespace

CallValue sys_dup(int fd) {
    Proc& proc = current_proc();
    File* const file = proc.is_single() ? proc.fds->borrow(fd) : nullptr;
    if (!file) [[unlikely]]
        return dup_counted(fd);
    file->ref();
    const int copy = proc.fds->install_lowest(file, false, proc.limit(Limit::nofile).soft);
    if (copy < 0) [[unlikely]] {
        file->unref(); // not the last
        return dup_counted(fd);
    }
    return static_cast<uint64_t>(copy);
}

Result<int> sys_dup3(int fd, int wanted, uint32_t flags) {
    if ((flags & ~open_flags::cloexec) || fd == wanted)
        return Errno::inval;
    Proc& proc = current_proc();
    const uint64_t limit = proc.limit(Limit::nofile).soft;
    if (wanted < 0 || static_cast<uint64_t>(wanted) >= limit)
        return Errno::badf;
    RefPtr<File> file = TRY(any_file(fd)).keep();
    TRY(proc.fds->install_at(wanted, std::move(file), flags & open_flags::cloexec, limit));
    return wanted;
}

Result<uint64_t> sys_fcntl(int fd, uint32_t command, uint64_t argument) {
    using namespace fcntl_command;
    FdTable& fds = *current_proc().fds;
    const FileHold file = TRY(any_file(fd));
    switch (command) {
    case dupfd: return duplicate(file.keep(), argument, false);
    case dupfd_cloexec: return duplicate(file.keep(), argument, true);
    case getfd: return TRY(fds.close_on_exec(fd)) ? fd_cloexec : 0;
    case setfd: TRY(fds.set_close_on_exec(fd, argument & fd_cloexec)); return 0;
    case getfl: return file->flags.load(std::memory_order_relaxed) & ~creation_flags;
    default: break;
    }
    if (file->flags.load(std::memory_order_relaxed) & open_flags::path)
        return Errno::badf;
    switch (command) {
    case setfl:
        TRY(set_async(*file, fd, argument & open_flags::async));
        change_flags(*file, settable_flags, static_cast<uint32_t>(argument));
        return 0;
    case getlk:
    case setlk:
    case setlkw:
    case ofd_getlk:
    case ofd_setlk:
    case ofd_setlkw: return record_lock(*file, command, UserPtr<Flock>(argument));
    case setpipe_size: {
        Pipe* pipe = file->pipe();
        if (!pipe)
            return Errno::badf;
        return TRY(pipe->set_capacity(argument));
    }
    case getpipe_size:
        if (!file->pipe())
            return Errno::badf;
        return file->pipe()->capacity();
    case add_seals:
        if (!file->writable())
            return Errno::perm;
        if ((argument & UINT32_MAX & ~uint64_t{file_seals::all}) || !file->seals())
            return Errno::inval;
        TRY(file->seals()->add_seals(static_cast<uint32_t>(argument)));
        return 0;
    case get_seals:
        if (!file->seals())
            return Errno::inval;
        return file->seals()->now();
    case setown: TRY(set_owner(*file, static_cast<int32_t>(argument))); return 0;
    case getown: {
        const OwnerName owner = sigio_owner(*file);
        return static_cast<uint64_t>(int64_t{owner.kind == OwnerKind::group ? -owner.id : owner.id});
    }
    case setown_ex: TRY(set_owner_ex(*file, UserPtr<OwnerEx>(argument))); return 0;
    case getown_ex: {
        const OwnerName owner = sigio_owner(*file);
        TRY(UserPtr<OwnerEx>(argument).write({static_cast<int32_t>(owner.kind), owner.id}));
        return 0;
    }
    case setsig:
        if (argument != 0 && !is_signal(static_cast<int64_t>(argument)))
            return Errno::inval;
        TRY(sigio_set_signal(*file, static_cast<int>(argument)));
        return 0;
    case getsig: return static_cast<uint64_t>(sigio_signal(*file));
    default: return Errno::inval;
    }
}

Result<uint64_t> sys_ioctl(int fd, uint32_t command, uint64_t argument) {
    const FileHold file = TRY(open_file(fd));
    switch (command) {
    case ioctl_command::fioclex:
    case ioctl_command::fionclex:
        TRY(current_proc().fds->set_close_on_exec(fd, command == ioctl_command::fioclex));
        return 0;
    case ioctl_command::fionbio:
        change_flags(*file, open_flags::nonblock,
                     TRY(UserPtr<int32_t>(argument).read()) != 0 ? open_flags::nonblock : 0);
        return 0;
    case ioctl_command::fioasync: {
        const bool on = TRY(UserPtr<int32_t>(argument).read()) != 0;
        if (on != ((file->flags.load(std::memory_order_relaxed) & open_flags::async) != 0)) {
            TRY(sigio_set(*file, fd, on));
            change_flags(*file, open_flags::async, on ? open_flags::async : 0);
        }
        return 0;
    }
    default: return file->ioctl(command, argument);
    }
}

Result<void> sys_close(int fd) { return current_proc().fds->close(fd); }

Result<void> sys_close_range(uint32_t first, uint32_t last, uint32_t flags) {
    constexpr uint32_t unshare = 2, mark_cloexec = 4;
    if ((flags & ~(unshare | mark_cloexec)) || first > last)
        return Errno::inval;
    Proc& proc = current_proc();
    if ((flags & unshare) && proc.fds->ref_count() > 1) {
        RefPtr<FdTable> own = TRY(proc.fds->copy());
        SpinGuard guard(proc.tables_lock);
        std::swap(proc.fds, own); // the old one goes after the lock
        // Other threads use the proc's table without a reference. They would have kept the old one (on Linux it is theirs for
        // as long as they live), so it goes with the new one.
        if (!proc.is_single())
            proc.fds->replaced = std::move(own);
        guard.unlock();
        own.reset();
    }
    return proc.fds->close_range(first, last, flags & mark_cloexec);
}

} // namespace lentil::abi

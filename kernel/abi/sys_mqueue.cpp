// SPDX-License-Identifier: BSD-2-Clause
// POSIX message queues: Linux's calls in front of bsd/mqueue.
#include <algorithm>

#include <abi/files.hpp>
#include <abi/sys_ipc.hpp>
#include <vfs/access.hpp>
#include <vfs/lookup.hpp>
#include <vfs/mqueue_fs.hpp>

namespace lentil::abi {
namespace {

/// The queue behind a descriptor: badf.
Result<MessageQueue*> queue_of(File& file) {
    MessageQueue* const queue = mqueue_of(file);
    if (!queue)
        return Errno::badf;
    return queue;
}

/// A name without slashes; what the C library leaves of "/name".
Result<UserString> copy_name(UserPath path) {
    UserString name = TRY(path.copy());
    if (name.view().empty())
        return Errno::noent;
    if (name.view().find('/') != std::string_view::npos || name.view() == "." || name.view() == "..")
        return Errno::acces;
    if (name.view().size() > mqueue_name_most)
        return Errno::nametoolong;
    return name;
}

/// Whether the caller may do `mask` (may::*) with the queue: the rule of files.
Result<void> check_queue(const MessageQueue& queue, uint32_t mask) {
    const RefPtr<const Cred> cred = current_proc().cred();
    const uint32_t mode = queue.mode.load(std::memory_order_relaxed);
    const gid_t group = queue.gid.load(std::memory_order_relaxed);
    uint32_t granted = mode;
    if (cred->fsuid == queue.uid.load(std::memory_order_relaxed))
        granted = mode >> 6;
    else if (cred->fsgid == group || cred->in_group(group))
        granted = mode >> 3;
    if ((mask & ~granted) == 0 || cred->capable(Capability::dac_override))
        return {};
    return Errno::acces;
}

Result<nanos_t> deadline_of(UserPtr<Timespec> timeout) {
    if (!timeout)
        return no_deadline;
    const Timespec until = TRY(timeout.read());
    return monotonic_at_realtime(TRY(until.to_ns()));
}

} // namespace

Result<int> sys_mq_open(UserPath path, uint32_t flags, mode_t mode, UserPtr<MqAttr> attributes) {
    MqueueRoom room;
    bool has_room = false;
    if (attributes) {
        const MqAttr wanted = TRY(attributes.read());
        room = {wanted.messages_most, wanted.bytes_each};
        has_room = true;
    }
    const UserString name = TRY(copy_name(path));
    const uint32_t access = flags & open_flags::access_mode;
    RefPtr<MessageQueue> queue;
    bool created = false;
    for (;;) {
        Result<RefPtr<MessageQueue>> there = MessageQueue::find(name.view());
        if (there) {
            if ((flags & open_flags::creat) && (flags & open_flags::excl))
                return Errno::exist;
            queue = std::move(*there);
            break;
        }
        if (!(flags & open_flags::creat))
            return Errno::noent;
        if (has_room && (room.messages <= 0 || room.bytes_each <= 0))
            return Errno::inval;
        Result<RefPtr<MessageQueue>> made =
            MessageQueue::create(name.view(), mode & ~VfsContext::current().umask, room);
        if (made) {
            queue = std::move(*made);
            created = true;
            break;
        }
        if (made.error() != Errno::exist)
            return made.error();
    }
    if (access == open_flags::access_mode)
        return Errno::inval;
    if (!created) {
        const uint32_t mask = access == open_flags::read_only    ? may::read
                              : access == open_flags::write_only ? may::write
                                                                 : may::read | may::write;
        TRY(check_queue(*queue, mask));
    }
    RefPtr<File> file = TRY(mqueue_open(std::move(queue), access | (flags & open_flags::nonblock)));
    return install_file(std::move(file), true);
}

Result<void> sys_mq_unlink(UserPath path) {
    const UserString name = TRY(copy_name(path));
    const RefPtr<MessageQueue> queue = TRY(MessageQueue::find(name.view()));
    const RefPtr<const Cred> cred = current_proc().cred();
    // The directory is everybody's and sticky.
    if (cred->fsuid != queue->uid.load(std::memory_order_relaxed) && cred->fsuid != 0 &&
        !cred->capable(Capability::fowner))
        return Errno::perm;
    return queue->unlink();
}

Result<void> sys_mq_timedsend(int fd, uint64_t text, uint64_t size, uint32_t priority, UserPtr<Timespec> timeout) {
    const nanos_t deadline = TRY(deadline_of(timeout));
    if (priority >= mqueue_priority_most)
        return Errno::inval;
    const FileHold file = TRY(open_file(fd));
    MessageQueue& queue = *TRY(queue_of(*file));
    if (!file->writable())
        return Errno::badf;
    if (size > static_cast<uint64_t>(queue.room().bytes_each))
        return Errno::msgsize;
    Buffer<char> copy = TRY(Buffer<char>::create_uninitialized(size));
    TRY(copyin(copy.data(), text, size));
    return queue.send(copy.span(), priority, file->nonblocking(), deadline);
}

Result<uint64_t> sys_mq_timedreceive(int fd, uint64_t text, uint64_t size, UserPtr<uint32_t> priority,
                                     UserPtr<Timespec> timeout) {
    const nanos_t deadline = TRY(deadline_of(timeout));
    const FileHold file = TRY(open_file(fd));
    MessageQueue& queue = *TRY(queue_of(*file));
    if (!file->readable())
        return Errno::badf;
    if (size < static_cast<uint64_t>(queue.room().bytes_each))
        return Errno::msgsize;
    MessageQueue::Received got = TRY(queue.receive(file->nonblocking(), deadline));
    if (priority)
        TRY(priority.write(got.priority));
    TRY(copyout(text, got.text.data(), got.text.size()));
    return got.text.size();
}

Result<void> sys_mq_notify(int fd, UserPtr<Sigevent> event) {
    Sigevent wanted{};
    if (event) {
        wanted = TRY(event.read());
        if (wanted.notify == sigev::thread)
            return Errno::notsock; // the C library's way goes through a netlink socket
        if (wanted.notify != sigev::none && wanted.notify != sigev::signal)
            return Errno::inval;
        if (wanted.notify == sigev::signal && (wanted.signo < 0 || wanted.signo > signal_count))
            return Errno::inval;
    }
    const FileHold file = TRY(open_file(fd));
    MessageQueue& queue = *TRY(queue_of(*file));
    if (!event) {
        queue.notify_nobody(current_proc());
        return {};
    }
    return queue.notify(wanted.notify == sigev::signal ? wanted.signo : 0, wanted.value);
}

Result<void> sys_mq_getsetattr(int fd, UserPtr<MqAttr> fresh, UserPtr<MqAttr> old) {
    MqAttr wanted{};
    if (fresh) {
        wanted = TRY(fresh.read());
        if (wanted.flags & ~int64_t{open_flags::nonblock})
            return Errno::inval;
    }
    const FileHold file = TRY(open_file(fd));
    const MessageQueue& queue = *TRY(queue_of(*file));
    const MqAttr before{file->flags.load(std::memory_order_relaxed) & open_flags::nonblock,
                        queue.room().messages,
                        queue.room().bytes_each,
                        static_cast<int64_t>(queue.state().messages),
                        {}};
    if (fresh) {
        if (wanted.flags & open_flags::nonblock)
            file->flags.fetch_or(open_flags::nonblock, std::memory_order_relaxed);
        else
            file->flags.fetch_and(~open_flags::nonblock, std::memory_order_relaxed);
    }
    if (old)
        TRY(old.write(before));
    return {};
}

} // namespace lentil::abi

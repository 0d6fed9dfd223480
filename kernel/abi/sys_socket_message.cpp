// SPDX-License-Identifier: BSD-2-Clause
// Sockets: sending and receiving, with names, credentials and descriptors beside the bytes.
#include <algorithm>
#include <cstring>

#include <abi/files.hpp>
#include <abi/iovec.hpp>
#include <abi/sys_socket.hpp>
#include <sched/clock.hpp>

namespace lentil::abi {

namespace {

constexpr uint32_t more_batches = 0x10000; ///< MSG_WAITFORONE
constexpr uint32_t most_messages = 1024;   ///< of one sendmmsg or recvmmsg
constexpr size_t most_control = 65536;

/// Whether the caller may say that it is `creds`: perm.
Result<void> check_creds(const SocketCreds& creds) {
    const Proc& self = current_proc();
    const RefPtr<const Cred> mine = self.cred();
    const bool uid = creds.uid == mine->uid || creds.uid == mine->euid || creds.uid == mine->suid,
               gid = creds.gid == mine->gid || creds.gid == mine->egid || creds.gid == mine->sgid;
    if (creds.pid != self.pid) {
        if (!mine->capable(Capability::sys_admin))
            return Errno::perm;
        if (!proc_find(creds.pid))
            return Errno::srch;
    }
    if ((!uid && !mine->capable(Capability::setuid)) || (!gid && !mine->capable(Capability::setgid)))
        return Errno::perm;
    return {};
}

Result<void> add_rights(OwnedRights& rights, std::span<const char> fds) {
    const size_t count = fds.size() / sizeof(int32_t);
    if (count == 0)
        return {};
    if (count > UnixRights::max_files)
        return Errno::inval;
    if (!rights)
        rights = OwnedRights(TRY(zone_new<UnixRights>()));
    if (rights->count + count > UnixRights::max_files)
        return Errno::inval;
    for (size_t i = 0; i < count; i++) {
        int32_t fd = 0;
        memcpy(&fd, fds.data() + i * sizeof fd, sizeof fd);
        rights->files[rights->count] = TRY(current_proc().fd_table()->get(fd));
        rights->count++;
    }
    return {};
}

/// The control messages of one sendmsg.
struct OutgoingControl {
    SocketCreds creds;

    Result<void> load(const Msghdr& header, SocketSend& how) {
        if (header.control == 0 || header.control_length == 0)
            return {};
        if (header.control_length > most_control)
            return Errno::inval; // Linux: nobufs, for a limit of its own
        Buffer<char> bytes = TRY(Buffer<char>::create_uninitialized(header.control_length));
        TRY(copyin(bytes.data(), header.control, bytes.size()));
        for (size_t at = 0; at + sizeof(Cmsghdr) <= bytes.size();) {
            Cmsghdr c;
            memcpy(&c, bytes.data() + at, sizeof c);
            if (c.length < sizeof c || c.length > bytes.size() - at)
                return Errno::inval;
            const std::span<const char> data(bytes.data() + at + sizeof c, c.length - sizeof c);
            at += align_up(c.length, size_t{8});
            if (c.level != socket_level)
                continue;
            switch (c.type) {
            case control_rights: TRY(add_rights(how.rights, data)); break;
            case control_credentials:
                if (data.size() != sizeof creds)
                    return Errno::inval;
                memcpy(&creds, data.data(), sizeof creds);
                TRY(check_creds(creds));
                how.creds = &creds;
                break;
            default: return Errno::inval;
            }
        }
        return {};
    }
};

/// The control messages of one recvmsg, as far as there is room.
class IncomingControl {
public:
    explicit IncomingControl(const Msghdr& header) : at_(header.control), left_(header.control_length) {}

    Result<void> put_creds(const SocketCreds& creds) { return put(control_credentials, &creds, sizeof creds); }
    /// Descriptors for the files, as many as there is room and RLIMIT_NOFILE lets.
    Result<void> put_rights(UnixRights& rights, bool close_on_exec) {
        const size_t room = left_ > sizeof(Cmsghdr) ? (left_ - sizeof(Cmsghdr)) / sizeof(int32_t) : 0;
        int32_t fds[UnixRights::max_files];
        size_t count = 0;
        while (count < std::min<size_t>(room, rights.count)) {
            const Result<int> fd = install_file(rights.files[count], close_on_exec);
            if (!fd.ok())
                break;
            fds[count++] = *fd;
        }
        truncated_ |= count < rights.count;
        if (count == 0)
            return {};
        const Result<void> told = put(control_rights, fds, count * sizeof(int32_t));
        if (!told.ok())
            for (size_t i = 0; i < count; i++)
                (void)current_proc().fds->close(fds[i]);
        return told;
    }
    bool truncated() const { return truncated_; }
    uint64_t used() const { return used_; }

private:
    Result<void> put(uint32_t type, const void* data, size_t n) {
        if (at_ == 0 || left_ < sizeof(Cmsghdr)) {
            truncated_ = true;
            return {};
        }
        Cmsghdr c{sizeof(Cmsghdr) + n, socket_level, type};
        if (c.length > left_) {
            truncated_ = true;
            c.length = left_;
        }
        TRY(copyout(at_, &c, sizeof c));
        TRY(copyout(at_ + sizeof c, data, c.length - sizeof c));
        const uint64_t step = std::min<uint64_t>(align_up(c.length, uint64_t{8}), left_);
        at_ += step;
        left_ -= step;
        used_ += step;
        return {};
    }

    uint64_t at_, left_, used_ = 0;
    bool truncated_ = false;
};

Result<size_t> send_one(HeldSocket& socket, const Msghdr& header, uint32_t flags) {
    Segments segments;
    Uio uio{TRY(segments.load(UserPtr<Iovec>(header.vector), header.vector_count))};
    SocketSend how;
    how.flags = flags;
    OutgoingControl control;
    TRY(control.load(header, how));
    if (header.name != 0 && header.name_length != 0) {
        if (socket->type() == SocketType::datagram)
            how.to = TRY(named_socket(header.name, header.name_length, SocketType::datagram));
        else if (socket->type() == SocketType::stream)
            return socket->peer_address().ok() ? Errno::isconn : Errno::opnotsupp;
    }
    return socket->send(uio, how, socket.file->nonblocking());
}

/// The sender's name for `how`: connections have it from their peer.
RefPtr<UnixAddress> sender_of(UnixSocket& socket, const SocketReceive& how) {
    if (socket.type() == SocketType::datagram)
        return how.from;
    const Result<RefPtr<UnixAddress>> peer = socket.peer_address();
    return peer.ok() ? *peer : nullptr;
}

Result<size_t> receive_one(HeldSocket& socket, UserPtr<Msghdr> where, uint32_t flags) {
    Msghdr header = TRY(where.read());
    if (static_cast<int32_t>(header.name_length) < 0)
        return Errno::inval;
    Segments segments;
    Uio uio{TRY(segments.load(UserPtr<Iovec>(header.vector), header.vector_count))};
    SocketReceive how;
    how.flags = flags;
    const size_t n = TRY(socket->receive(uio, how, socket.file->nonblocking()));
    header.flags = how.trunc ? message_flags::trunc : 0;
    if (flags & message_flags::cmsg_cloexec)
        header.flags |= message_flags::cmsg_cloexec;
    if (header.name != 0) {
        const RefPtr<UnixAddress> from = sender_of(*socket, how);
        TRY(put_address(from, header.name, header.name_length, header.name_length, false));
    }
    IncomingControl control(header);
    if (socket->pass_creds.load(std::memory_order_relaxed) != 0)
        TRY(control.put_creds(how.creds));
    if (how.rights)
        TRY(control.put_rights(*how.rights.get(), flags & message_flags::cmsg_cloexec));
    if (control.truncated())
        header.flags |= message_flags::ctrunc;
    header.control_length = control.used();
    TRY(copyout(where.address() + offsetof(Msghdr, name_length), &header.name_length, sizeof header.name_length));
    TRY(copyout(where.address() + offsetof(Msghdr, control_length), &header.control_length,
                sizeof header.control_length));
    TRY(copyout(where.address() + offsetof(Msghdr, flags), &header.flags, sizeof header.flags));
    return n;
}

} // namespace

Result<size_t> sys_sendto(int fd, uint64_t buffer, uint64_t n, uint32_t flags, uint64_t address, uint32_t length) {
    HeldSocket socket = TRY(held_socket(fd));
    const UioSegment segment = TRY(one_segment(buffer, n));
    Uio uio{std::span(&segment, 1)};
    SocketSend how;
    how.flags = flags;
    if (address != 0 && length != 0) {
        if (socket->type() == SocketType::datagram)
            how.to = TRY(named_socket(address, length, SocketType::datagram));
        else if (socket->type() == SocketType::stream)
            return socket->peer_address().ok() ? Errno::isconn : Errno::opnotsupp;
    }
    return socket->send(uio, how, socket.file->nonblocking());
}

Result<size_t> sys_recvfrom(int fd, uint64_t buffer, uint64_t n, uint32_t flags, uint64_t address,
                            UserPtr<uint32_t> length) {
    HeldSocket socket = TRY(held_socket(fd));
    const UioSegment segment = TRY(one_segment(buffer, n));
    Uio uio{std::span(&segment, 1)};
    SocketReceive how;
    how.flags = flags;
    const size_t got = TRY(socket->receive(uio, how, socket.file->nonblocking()));
    if (address != 0) {
        uint32_t room = TRY(length.read());
        if (static_cast<int32_t>(room) < 0)
            return Errno::inval;
        TRY(put_address(sender_of(*socket, how), address, room, room, false));
        TRY(length.write(room));
    }
    return got;
}

Result<size_t> sys_sendmsg(int fd, UserPtr<Msghdr> message, uint32_t flags) {
    HeldSocket socket = TRY(held_socket(fd));
    return send_one(socket, TRY(message.read()), flags);
}

Result<size_t> sys_recvmsg(int fd, UserPtr<Msghdr> message, uint32_t flags) {
    HeldSocket socket = TRY(held_socket(fd));
    return receive_one(socket, message, flags);
}

Result<unsigned> sys_sendmmsg(int fd, UserPtr<Mmsghdr> messages, uint32_t count, uint32_t flags) {
    HeldSocket socket = TRY(held_socket(fd));
    count = std::min(count, most_messages);
    unsigned done = 0;
    for (; done < count; done++) {
        const vaddr_t at = (messages + done).address();
        const auto send = [&]() -> Result<void> {
            const Msghdr header = TRY(UserPtr<Msghdr>(at).read());
            const uint32_t n = static_cast<uint32_t>(TRY(send_one(socket, header, flags)));
            return UserPtr<uint32_t>(at + offsetof(Mmsghdr, length)).write(n);
        };
        if (const Result<void> sent = send(); !sent.ok()) {
            if (done == 0)
                return sent.error();
            break;
        }
    }
    return done;
}

Result<unsigned> sys_recvmmsg(int fd, UserPtr<Mmsghdr> messages, uint32_t count, uint32_t flags,
                              UserPtr<Timespec> timeout) {
    HeldSocket socket = TRY(held_socket(fd));
    nanos_t until = no_deadline;
    if (timeout) {
        const Timespec limit = TRY(timeout.read());
        const nanos_t span = TRY(limit.to_ns());
        const nanos_t now = monotonic_ns();
        until = span < no_deadline - now ? now + span : no_deadline;
    }
    count = std::min(count, most_messages);
    unsigned done = 0;
    for (; done < count; done++) {
        const vaddr_t at = (messages + done).address();
        const auto receive = [&]() -> Result<void> {
            const uint32_t n =
                static_cast<uint32_t>(TRY(receive_one(socket, UserPtr<Msghdr>(at), flags & ~more_batches)));
            return UserPtr<uint32_t>(at + offsetof(Mmsghdr, length)).write(n);
        };
        if (const Result<void> got = receive(); !got.ok()) {
            if (done == 0)
                return got.error();
            break;
        }
        if (flags & more_batches)
            flags |= message_flags::dontwait;
        if (until != no_deadline && monotonic_ns() >= until) { // looked at between messages only, as on Linux
            done++;
            break;
        }
    }
    return done;
}

} // namespace lentil::abi

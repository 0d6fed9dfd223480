// SPDX-License-Identifier: BSD-2-Clause
// Sockets: making, naming and connecting them, and their options.
#include <algorithm>
#include <cstring>

#include <abi/files.hpp>
#include <abi/sys_socket.hpp>
#include <vfs/access.hpp>
#include <vfs/vfs.hpp>

namespace lentil::abi {

namespace {

constexpr uint32_t kept_flags = open_flags::nonblock | open_flags::cloexec;

/// Of the only family there is: afnosupport, socktnosupport, protonosupport.
Result<SocketType> type_of(uint32_t family, uint32_t type, uint32_t protocol) {
    if (type & ~(socket_type_mask | kept_flags))
        return Errno::inval;
    if (family != family_unix)
        return Errno::afnosupport;
    if (protocol != 0 && protocol != family_unix)
        return Errno::protonosupport;
    switch (type & socket_type_mask) {
    case 1: return SocketType::stream;
    case 2:
    case socket_type_raw: return SocketType::datagram;
    case 5: return SocketType::seqpacket;
    default: return Errno::socktnosupport;
    }
}

/// The address as the program wrote it. inval; the name lacks its node still.
Result<RefPtr<UnixAddress>> copy_address(uint64_t from, uint32_t length) {
    constexpr size_t head = offsetof(SockaddrUn, path);
    if (length < head || length > sizeof(SockaddrUn))
        return Errno::inval;
    SockaddrUn raw{};
    TRY(copyin(&raw, from, length));
    if (raw.family != family_unix)
        return Errno::inval;
    RefPtr<UnixAddress> address = TRY(make_ref<UnixAddress>());
    memcpy(address->path, raw.path, length - head);
    address->length = static_cast<uint32_t>(length - head);
    if (address->length != 0 && !address->is_abstract())
        address->length = static_cast<uint32_t>(strnlen(address->path, UnixAddress::max_length)) + 1;
    return address;
}

std::string_view path_of(const UnixAddress& address) { return {address.path, address.length - 1}; }

Result<int> accept(int fd, uint64_t address, UserPtr<uint32_t> length, uint32_t flags) {
    if (flags & ~kept_flags)
        return Errno::inval;
    const HeldSocket socket = TRY(held_socket(fd));
    RefPtr<File> file = TRY(socket->accept(flags & open_flags::nonblock, socket.file->nonblocking()));
    if (address != 0) {
        uint32_t room = TRY(length.read());
        if (static_cast<int32_t>(room) < 0)
            return Errno::inval;
        const Result<RefPtr<UnixAddress>> name = file->socket()->peer_address();
        TRY(put_address(name.ok() ? *name : nullptr, address, room, room, true));
        TRY(length.write(room));
    }
    return install_file(std::move(file), flags & open_flags::cloexec);
}

/// Sizes are doubled, since Linux counts its own structures into them.
uint32_t buffer_size(int32_t wanted) {
    const uint32_t size =
        static_cast<uint32_t>(std::clamp(wanted, 0, static_cast<int32_t>(UnixSocket::most_buffer / 2)));
    return std::max(size * 2, UnixSocket::least_buffer);
}

Result<void> set_timeout(std::atomic<nanos_t>& of, uint64_t value, uint32_t size) {
    if (size < sizeof(Timeval))
        return Errno::inval;
    const Timeval limit = TRY(UserPtr<Timeval>(value).read());
    constexpr int64_t million = 1'000'000;
    if (limit.microseconds < 0 || limit.microseconds >= million)
        return Errno::dom;
    constexpr int64_t longest = int64_t{1} << 32;
    of.store(limit.seconds < 0 ? 0 : std::min(limit.seconds, longest) * 1'000'000'000 + limit.microseconds * 1000,
             std::memory_order_relaxed);
    return {};
}

} // namespace

Result<HeldSocket> held_socket(int fd) {
    FileHold file = TRY(open_file(fd));
    UnixSocket* socket = file->socket();
    if (!socket)
        return Errno::notsock;
    return HeldSocket{std::move(file), socket};
}

Result<RefPtr<UnixSocket>> named_socket(uint64_t from, uint32_t length, SocketType type) {
    const RefPtr<UnixAddress> address = TRY(copy_address(from, length));
    if (address->length == 0)
        return Errno::inval;
    if (!address->is_abstract()) {
        const VfsContext context = VfsContext::current();
        const RefPtr<Vnode> node = TRY(vfs::resolve(context, vfs::at_cwd, path_of(*address), 0));
        TRY(check_access(*node, *context.cred, may::write));
        if (node->type != VnodeType::socket)
            return Errno::connrefused;
        address->node = ref(node->real());
    }
    return UnixSocket::find(*address, type);
}

Result<void> put_address(const RefPtr<UnixAddress>& name, uint64_t to, uint32_t room, uint32_t& length, bool named) {
    SockaddrUn raw{};
    raw.family = family_unix;
    length = named ? offsetof(SockaddrUn, path) : 0;
    if (name) {
        memcpy(raw.path, name->path, std::min<size_t>(name->length, sizeof raw.path));
        length = static_cast<uint32_t>(offsetof(SockaddrUn, path)) + name->length;
    }
    return copyout(to, &raw, std::min({size_t{room}, size_t{length}, sizeof raw}));
}

Result<int> sys_socket(uint32_t family, uint32_t type, uint32_t protocol) {
    const SocketType kind = TRY(type_of(family, type, protocol));
    return install_file(TRY(UnixSocket::create(kind, type & open_flags::nonblock)), type & open_flags::cloexec);
}

Result<void> sys_socketpair(uint32_t family, uint32_t type, uint32_t protocol, UserPtr<int32_t> fds) {
    const SocketType kind = TRY(type_of(family, type, protocol));
    RefPtr<File> ends[2];
    TRY(UnixSocket::create_pair(kind, type & open_flags::nonblock, ends));
    const bool close_on_exec = type & open_flags::cloexec;
    FdTable& table = *current_proc().fds;
    int32_t both[2] = {TRY(install_file(std::move(ends[0]), close_on_exec)), -1};
    const Result<int> second = install_file(std::move(ends[1]), close_on_exec);
    Result<void> told = second.ok() ? Result<void>() : Result<void>(second.error());
    if (second.ok()) {
        both[1] = *second;
        told = copyout(fds.address(), both, sizeof both);
    }
    if (!told.ok())
        for (const int32_t fd : both)
            if (fd >= 0)
                (void)table.close(fd);
    return told;
}

Result<void> sys_bind(int fd, uint64_t from, uint32_t length) {
    const HeldSocket socket = TRY(held_socket(fd));
    RefPtr<UnixAddress> address = TRY(copy_address(from, length));
    if (address->length == 0)
        return socket->bind_anywhere();
    if (address->is_abstract())
        return socket->bind(std::move(address));
    if (socket->address())
        return Errno::inval;
    const VfsContext context = VfsContext::current();
    const UnixAddress& kept = *address;
    const Result<RefPtr<Vnode>> node = vfs::make_socket(context, path_of(kept));
    if (!node.ok())
        return node.error() == Errno::exist ? Errno::addrinuse : node.error();
    address->node = ref((*node)->real());
    return socket->bind(std::move(address));
}

Result<void> sys_listen(int fd, int backlog) { return TRY(held_socket(fd))->listen(backlog); }

Result<int> sys_accept(int fd, uint64_t address, UserPtr<uint32_t> length) { return accept(fd, address, length, 0); }

Result<int> sys_accept4(int fd, uint64_t address, UserPtr<uint32_t> length, uint32_t flags) {
    return accept(fd, address, length, flags);
}

Result<void> sys_connect(int fd, uint64_t address, uint32_t length) {
    const HeldSocket socket = TRY(held_socket(fd));
    if (socket->type() == SocketType::datagram && length >= sizeof(uint16_t) &&
        TRY(UserPtr<uint16_t>(address).read()) == family_unspecified)
        return socket->connect(nullptr, true);
    if (socket->pass_creds.load(std::memory_order_relaxed) != 0)
        TRY(socket->bind_anywhere());
    return socket->connect(TRY(named_socket(address, length, socket->type())), socket.file->nonblocking());
}

namespace {
Result<void> tell_name(const RefPtr<UnixAddress>& name, uint64_t address, UserPtr<uint32_t> length) {
    uint32_t room = TRY(length.read());
    if (static_cast<int32_t>(room) < 0)
        return Errno::inval;
    TRY(put_address(name, address, room, room, true));
    return length.write(room);
}
} // namespace

Result<void> sys_getsockname(int fd, uint64_t address, UserPtr<uint32_t> length) {
    return tell_name(TRY(held_socket(fd))->address(), address, length);
}

Result<void> sys_getpeername(int fd, uint64_t address, UserPtr<uint32_t> length) {
    const HeldSocket socket = TRY(held_socket(fd));
    return tell_name(TRY(socket->peer_address()), address, length);
}

Result<void> sys_shutdown(int fd, uint32_t how) { return TRY(held_socket(fd))->shutdown(how); }

Result<void> sys_setsockopt(int fd, uint32_t level, uint32_t option, uint64_t value, uint32_t size) {
    using namespace socket_option;
    const HeldSocket socket = TRY(held_socket(fd));
    if (static_cast<int32_t>(size) < 0)
        return Errno::inval;
    if (level != socket_level)
        return Errno::opnotsupp;
    if (option == receive_timeout || option == send_timeout)
        return set_timeout(option == receive_timeout ? socket->receive_timeout_ns : socket->send_timeout_ns, value,
                           size);
    if (size < sizeof(int32_t))
        return Errno::inval;
    const int32_t number = TRY(UserPtr<int32_t>(value).read());
    switch (option) {
    case pass_creds: socket->pass_creds.store(number != 0, std::memory_order_relaxed); break;
    case send_buffer_force:
    case receive_buffer_force:
        if (!current_proc().cred()->capable(Capability::sys_admin))
            return Errno::perm;
        [[fallthrough]];
    case send_buffer:
    case receive_buffer:
        (option == send_buffer || option == send_buffer_force ? socket->send_buffer : socket->receive_buffer)
            .store(buffer_size(number), std::memory_order_relaxed);
        break;
    case receive_low_water:
        socket->low_water.store(number < 0 ? INT32_MAX : std::max(number, 1), std::memory_order_relaxed);
        break;
    // Without meaning for this family, and taken as Linux takes them.
    case reuse_address:
    case reuse_port:
    case dont_route:
    case broadcast:
    case keep_alive:
    case oob_inline:
    case priority:
    case linger: break;
    default: return Errno::noprotoopt;
    }
    return {};
}

Result<void> sys_getsockopt(int fd, uint32_t level, uint32_t option, uint64_t value, UserPtr<uint32_t> size) {
    using namespace socket_option;
    const HeldSocket socket = TRY(held_socket(fd));
    uint32_t room = TRY(size.read());
    if (static_cast<int32_t>(room) < 0)
        return Errno::inval;
    if (level != socket_level)
        return Errno::opnotsupp;
    const auto answer = [&](const void* from, size_t n) -> Result<void> {
        room = std::min(room, static_cast<uint32_t>(n));
        TRY(copyout(value, from, room));
        return size.write(room);
    };
    int32_t number = 0;
    switch (option) {
    case type: number = static_cast<int32_t>(socket->type()); break;
    case domain: number = family_unix; break;
    case protocol: break;
    case error: number = socket->take_error(); break;
    case accepts: number = socket->listens(); break;
    case send_buffer: number = static_cast<int32_t>(socket->send_buffer.load(std::memory_order_relaxed)); break;
    case receive_buffer: number = static_cast<int32_t>(socket->receive_buffer.load(std::memory_order_relaxed)); break;
    case pass_creds: number = static_cast<int32_t>(socket->pass_creds.load(std::memory_order_relaxed)); break;
    case receive_low_water: number = static_cast<int32_t>(socket->low_water.load(std::memory_order_relaxed)); break;
    case send_low_water: number = 1; break;
    case reuse_address:
    case reuse_port:
    case dont_route:
    case broadcast:
    case keep_alive:
    case oob_inline:
    case priority: break;
    case linger: {
        const int32_t off[2] = {0, 0};
        return answer(off, sizeof off);
    }
    case peer_creds: {
        const SocketCreds creds = socket->peer_creds();
        return answer(&creds, sizeof creds);
    }
    case receive_timeout:
    case send_timeout: {
        const Timeval limit =
            Timeval::from_ns((option == receive_timeout ? socket->receive_timeout_ns : socket->send_timeout_ns)
                                 .load(std::memory_order_relaxed));
        return answer(&limit, sizeof limit);
    }
    default: return Errno::noprotoopt;
    }
    return answer(&number, sizeof number);
}

} // namespace lentil::abi

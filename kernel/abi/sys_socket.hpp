// SPDX-License-Identifier: BSD-2-Clause
// Handlers of the socket calls; the signatures are the ABI.
#pragma once

#include <abi/linux_socket.hpp>
#include <abi/syscall.hpp>

namespace lentil::abi {

// -- making, naming, connecting (sys_socket.cpp) ---------------------------------------------------------------------------
Result<int> sys_socket(uint32_t family, uint32_t type, uint32_t protocol);
Result<void> sys_socketpair(uint32_t family, uint32_t type, uint32_t protocol, UserPtr<int32_t> fds);
Result<void> sys_bind(int fd, uint64_t address, uint32_t length);
Result<void> sys_listen(int fd, int backlog);
Result<int> sys_accept(int fd, uint64_t address, UserPtr<uint32_t> length);
Result<int> sys_accept4(int fd, uint64_t address, UserPtr<uint32_t> length, uint32_t flags);
Result<void> sys_connect(int fd, uint64_t address, uint32_t length);
Result<void> sys_getsockname(int fd, uint64_t address, UserPtr<uint32_t> length);
Result<void> sys_getpeername(int fd, uint64_t address, UserPtr<uint32_t> length);
Result<void> sys_setsockopt(int fd, uint32_t level, uint32_t option, uint64_t value, uint32_t size);
Result<void> sys_getsockopt(int fd, uint32_t level, uint32_t option, uint64_t value, UserPtr<uint32_t> size);
Result<void> sys_shutdown(int fd, uint32_t how);

// -- messages (sys_socket_message.cpp) ---------------------------------------------------------------------------------------
Result<size_t> sys_sendto(int fd, uint64_t buffer, uint64_t n, uint32_t flags, uint64_t address, uint32_t length);
Result<size_t> sys_recvfrom(int fd, uint64_t buffer, uint64_t n, uint32_t flags, uint64_t address,
                            UserPtr<uint32_t> length);
Result<size_t> sys_sendmsg(int fd, UserPtr<Msghdr> message, uint32_t flags);
Result<size_t> sys_recvmsg(int fd, UserPtr<Msghdr> message, uint32_t flags);
Result<unsigned> sys_sendmmsg(int fd, UserPtr<Mmsghdr> messages, uint32_t count, uint32_t flags);
Result<unsigned> sys_recvmmsg(int fd, UserPtr<Mmsghdr> messages, uint32_t count, uint32_t flags,
                              UserPtr<Timespec> timeout);

/// An open socket: notsock for other files.
struct HeldSocket {
    FileHold file;
    UnixSocket* socket; ///< never nullptr
    UnixSocket& operator*() const { return *socket; }
    UnixSocket* operator->() const { return socket; }
};
Result<HeldSocket> held_socket(int fd);
/// The socket that a program's address names: inval, connrefused, and what a path may fail with.
Result<RefPtr<UnixSocket>> named_socket(uint64_t address, uint32_t length, SocketType type);
/// Gives a program a name, cut off to the room it has; `*length` becomes the full one.
Result<void> put_address(const RefPtr<UnixAddress>& name, uint64_t to, uint32_t room, uint32_t& length, bool named);

} // namespace lentil::abi

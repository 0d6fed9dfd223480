// SPDX-License-Identifier: BSD-2-Clause
// Linux riscv64 structures and constants of sockets (asm-generic, 64-bit).
#pragma once

#include <cstddef>
#include <cstdint>

#include <abi/linux_file.hpp>
#include <bsd/unix_socket.hpp>

namespace lentil::abi {

inline constexpr uint32_t family_unspecified = 0, family_unix = 1;
/// socket(2)'s type argument: the type in the low bits, and flags.
inline constexpr uint32_t socket_type_mask = 15, socket_type_raw = 3;

struct SockaddrUn {
    uint16_t family;
    char path[UnixAddress::max_length];
};
static_assert(sizeof(SockaddrUn) == 110);

struct Msghdr {
    uint64_t name;
    uint32_t name_length, pad1;
    uint64_t vector, vector_count, control, control_length;
    uint32_t flags, pad2;
};
static_assert(sizeof(Msghdr) == 56 && offsetof(Msghdr, flags) == 48);

struct Mmsghdr {
    Msghdr header;
    uint32_t length, pad;
};
static_assert(sizeof(Mmsghdr) == 64);

struct Cmsghdr {
    uint64_t length; ///< of this and what follows
    uint32_t level, type;
};
static_assert(sizeof(Cmsghdr) == 16);

inline constexpr uint32_t control_rights = 1, control_credentials = 2; ///< SCM_*
inline constexpr uint32_t socket_level = 1;                            ///< SOL_SOCKET

/// SO_* of level SOL_SOCKET.
namespace socket_option {
inline constexpr uint32_t reuse_address = 2, type = 3, error = 4, dont_route = 5, broadcast = 6, send_buffer = 7,
                          receive_buffer = 8, keep_alive = 9, oob_inline = 10, priority = 12, linger = 13,
                          reuse_port = 15, pass_creds = 16, peer_creds = 17, receive_low_water = 18,
                          send_low_water = 19, receive_timeout = 20, send_timeout = 21, accepts = 30,
                          send_buffer_force = 32, receive_buffer_force = 33, protocol = 38, domain = 39;
}

} // namespace lentil::abi

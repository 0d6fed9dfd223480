// SPDX-License-Identifier: BSD-2-Clause
// System V message queues.
#pragma once

#include <bsd/sysv_ipc.hpp>

namespace lentil::sysv {

extern std::atomic<uint32_t> msg_max; ///< bytes in one message
extern std::atomic<uint32_t> msg_mnb; ///< bytes that a new queue holds
extern std::atomic<uint32_t> msg_mni; ///< queues

/// Flags of msgrcv.
namespace msg_flags {
inline constexpr uint32_t no_error = 010000, except = 020000, copy = 040000;
}

struct MsgStatus {
    Owner owner;
    uint64_t bytes = 0, messages = 0, bytes_most = 0;
    int64_t send_s = 0, receive_s = 0, change_s = 0;
    pid_t last_sender = 0, last_receiver = 0;
};
struct MsgTotals {
    uint32_t used = 0;
    uint64_t messages = 0, bytes = 0;
    int32_t last_place = -1;
};

Result<int32_t> msg_get(int32_t key, uint32_t flags);
/// `flags`: get_flags::no_wait. again, intr, idrm, acces, inval, nomem.
Result<void> msg_send(int32_t id, int64_t type, vaddr_t user_text, uint64_t size, uint32_t flags);
/// What a receiver got, with its text; freed with it.
struct Received {
    int64_t type = 0;
    Buffer<char> text;
};
/// At most `size` bytes of the first message that `type` asks for. toobig, nomsg, intr, idrm, acces, inval.
Result<Received> msg_receive(int32_t id, uint64_t size, int64_t type, uint32_t flags);
Result<MsgStatus> msg_status(int32_t id, bool check);
Result<MsgStatus> msg_status_at(int32_t place, bool check);
Result<void> msg_set(int32_t id, const NewOwner& to, uint64_t bytes_most);
Result<void> msg_remove(int32_t id);
MsgTotals msg_totals();

} // namespace lentil::sysv

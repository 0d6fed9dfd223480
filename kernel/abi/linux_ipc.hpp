// SPDX-License-Identifier: BSD-2-Clause
// Linux riscv64 structures of System V IPC (asm-generic, 64-bit).
#pragma once

#include <cstddef>
#include <cstdint>

#include <bsd/sysv_msg.hpp>
#include <bsd/sysv_sem.hpp>
#include <bsd/sysv_shm.hpp>

namespace lentil::abi {

struct IpcPerm {
    int32_t key;
    uint32_t uid, gid, cuid, cgid, mode;
    uint16_t sequence, pad;
    uint32_t pad1;
    uint64_t unused[2];

    static constexpr IpcPerm from(const sysv::Owner& o) {
        return {o.key, o.uid, o.gid, o.cuid, o.cgid, o.mode, o.sequence(), 0, 0, {}};
    }
    constexpr sysv::NewOwner to_set() const { return {uid, gid, mode}; }
};
static_assert(sizeof(IpcPerm) == 48 && offsetof(IpcPerm, sequence) == 24 && offsetof(IpcPerm, unused) == 32);

struct ShmidDs {
    IpcPerm perm;
    uint64_t size;
    int64_t attach_s, detach_s, change_s;
    int32_t creator, last;
    uint64_t attached, unused[2];

    static ShmidDs from(const sysv::ShmStatus& s) {
        return {IpcPerm::from(s.owner), s.size, s.attach_s, s.detach_s, s.change_s, s.creator, s.last, s.attached, {}};
    }
};
static_assert(sizeof(ShmidDs) == 112);

struct Shminfo {
    uint64_t max, min, mni, seg, all, unused[4];
};
struct ShmInfo {
    int32_t used, pad;
    uint64_t total, resident, swapped, swap_attempts, swap_successes;
};
static_assert(sizeof(Shminfo) == 72 && sizeof(ShmInfo) == 48);

struct SemidDs {
    IpcPerm perm;
    int64_t operation_s, change_s;
    uint64_t count, unused[2];

    static SemidDs from(const sysv::SemStatus& s) {
        return {IpcPerm::from(s.owner), s.operation_s, s.change_s, s.count, {}};
    }
};
static_assert(sizeof(SemidDs) == 88);

struct Seminfo {
    int32_t map, mni, mns, mnu, msl, opm, ume, usz, vmx, aem;
};
static_assert(sizeof(Seminfo) == 40);

struct MsqidDs {
    IpcPerm perm;
    int64_t send_s, receive_s, change_s;
    uint64_t bytes, messages, bytes_most;
    int32_t last_sender, last_receiver;
    uint64_t unused[2];

    static MsqidDs from(const sysv::MsgStatus& s) {
        return {IpcPerm::from(s.owner), s.send_s,      s.receive_s,     s.change_s, s.bytes, s.messages,
                s.bytes_most,           s.last_sender, s.last_receiver, {}};
    }
};
static_assert(sizeof(MsqidDs) == 120);

struct Msginfo {
    int32_t pool, map, max, mnb, mni, ssz, tql;
    uint16_t seg, pad;
};
static_assert(sizeof(Msginfo) == 32);

struct MqAttr {
    int64_t flags, messages_most, bytes_each, messages, reserved[4];
};
static_assert(sizeof(MqAttr) == 64);

/// Commands of the *ctl calls.
namespace ipc_command {
inline constexpr int32_t remove = 0, set = 1, stat = 2, info = 3;
inline constexpr int32_t shm_lock = 11, shm_unlock = 12, shm_stat = 13, shm_info = 14, shm_stat_any = 15;
inline constexpr int32_t get_pid = 11, get_value = 12, get_all = 13, get_waiting_for_more = 14,
                         get_waiting_for_zero = 15, set_value = 16, set_all = 17, sem_stat = 18, sem_info = 19,
                         sem_stat_any = 20;
inline constexpr int32_t msg_stat = 11, msg_info = 12, msg_stat_any = 13;
} // namespace ipc_command

} // namespace lentil::abi

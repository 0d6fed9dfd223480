// SPDX-License-Identifier: BSD-2-Clause
// System V shared memory. A segment is a vm_object; whoever attached it has an entry in his map that names it, so forks,
// exits and execs count themselves.
#pragma once

#include <bsd/sysv_ipc.hpp>

namespace lentil::sysv {

inline constexpr uint64_t shm_max_default = ~uint64_t{0} - (uint64_t{1} << 24), shm_all_default = shm_max_default;
extern std::atomic<uint64_t> shm_max; ///< bytes in one segment
extern std::atomic<uint64_t> shm_all; ///< pages in all
extern std::atomic<uint32_t> shm_mni; ///< segments

/// Bits of Owner::mode beside the permissions.
inline constexpr uint32_t shm_destroyed = 01000, shm_locked = 02000;
/// Flags of shmat.
namespace shm_flags {
inline constexpr uint32_t read_only = 010000, round = 020000, remap = 040000, exec = 0100000;
}

struct ShmStatus {
    Owner owner;
    uint64_t size = 0, attached = 0, resident_pages = 0;
    int64_t attach_s = 0, detach_s = 0, change_s = 0;
    pid_t creator = 0, last = 0;
};
struct ShmTotals {
    uint32_t used = 0;
    uint64_t pages = 0, resident_pages = 0;
    int32_t last_place = -1;
};

Result<int32_t> shm_get(int32_t key, uint64_t size, uint32_t flags);
/// inval, idrm, acces, nomem; the address.
Result<vaddr_t> shm_attach(int32_t id, vaddr_t address, uint32_t flags);
Result<void> shm_detach(vaddr_t address);
Result<ShmStatus> shm_status(int32_t id, bool check);
/// By place in the table; inval if there is none.
Result<ShmStatus> shm_status_at(int32_t place, bool check);
Result<void> shm_set(int32_t id, const NewOwner& to);
Result<void> shm_remove(int32_t id);
Result<void> shm_lock(int32_t id, bool locked);
ShmTotals shm_totals();

} // namespace lentil::sysv

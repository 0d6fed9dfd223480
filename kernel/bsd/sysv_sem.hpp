// SPDX-License-Identifier: BSD-2-Clause
// System V semaphores: sets of counters that are changed several at a time, all or none; and what the end of a process
// takes back (SEM_UNDO).
#pragma once

#include <bsd/sysv_ipc.hpp>

namespace lentil::sysv {

inline constexpr uint32_t sem_value_most = 32767, sem_ops_most = 500, sem_per_set_most = 32000;
inline constexpr uint64_t sem_all_most = uint64_t{32000} * sem_per_set_most;
inline constexpr uint32_t sem_sets_most = 32000;

/// struct sembuf.
struct SemOp {
    uint16_t number;
    int16_t change; ///< 0: wait until it is 0
    int16_t flags;  ///< get_flags::no_wait, sem_undo
};
inline constexpr int16_t sem_undo = 010000;

struct SemStatus {
    Owner owner;
    uint32_t count = 0;
    int64_t operation_s = 0, change_s = 0;
};
struct SemTotals {
    uint32_t used = 0;
    uint64_t semaphores = 0;
    int32_t last_place = -1;
};

Result<int32_t> sem_get(int32_t key, uint32_t count, uint32_t flags);
/// `ops` in order, all or none. again at the deadline (or at once, with no_wait), intr, idrm, fbig, range, acces.
Result<void> sem_operate(int32_t id, std::span<const SemOp> ops, nanos_t deadline_ns);
Result<SemStatus> sem_status(int32_t id, bool check);
Result<SemStatus> sem_status_at(int32_t place, bool check);
Result<void> sem_set(int32_t id, const NewOwner& to);
Result<void> sem_remove(int32_t id);
enum class SemQuestion : uint32_t { value, last_pid, waiting_for_more, waiting_for_zero };
Result<int32_t> sem_ask(int32_t id, int32_t number, SemQuestion question);
Result<void> sem_set_value(int32_t id, int32_t number, int32_t value);
/// How many values there are to get or to set, for who may.
Result<uint32_t> sem_count(int32_t id, uint32_t wanted);
/// inval if the set has not as many any more.
Result<void> sem_get_all(int32_t id, std::span<uint16_t> out);
Result<void> sem_set_all(int32_t id, std::span<const uint16_t> values);
SemTotals sem_totals();

/// What the end of a process takes back; shared by those made with CLONE_SYSVSEM. Made at the first SEM_UNDO.
class SemUndos;
/// For a child that is to share its creator's: first, which can fail with nomem, and then, which cannot.
Result<void> sem_prepare_sharing(Proc& parent);
void sem_share(Proc& parent, Proc& child);
/// The process leaves it: what the last of those who shared it did is undone.
void sem_exit(Proc& proc);

} // namespace lentil::sysv

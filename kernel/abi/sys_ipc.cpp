// SPDX-License-Identifier: BSD-2-Clause
// System V IPC: Linux's commands and structures in front of bsd/sysv_*.
#include <algorithm>

#include <abi/sys_ipc.hpp>

namespace lentil::abi {
namespace {

using namespace sysv;

template<class T>
Result<int> answer(uint64_t buffer, const T& value, int result) {
    TRY(UserPtr<T>(buffer).write(value));
    return result;
}

/// What the INFO commands of all three return.
int highest(int32_t last_place) { return std::max(last_place, 0); }

int32_t limit_of(uint64_t value) { return static_cast<int32_t>(std::min<uint64_t>(value, INT32_MAX)); }

} // namespace

// ---- shared memory ---------------------------------------------------------------------------------------------------

Result<int> sys_shmget(int32_t key, uint64_t size, uint32_t flags) { return shm_get(key, size, flags); }

Result<uint64_t> sys_shmat(int32_t id, uint64_t address, uint32_t flags) { return shm_attach(id, address, flags); }

Result<void> sys_shmdt(uint64_t address) { return shm_detach(address); }

Result<int> sys_shmctl(int32_t id, int32_t command, uint64_t buffer) {
    using namespace ipc_command;
    if (command < 0 || id < 0)
        return Errno::inval;
    switch (command) {
    case info: {
        const Shminfo limits{shm_max.load(std::memory_order_relaxed), 1,
                             shm_mni.load(std::memory_order_relaxed), shm_mni.load(std::memory_order_relaxed),
                             shm_all.load(std::memory_order_relaxed), {}};
        return answer(buffer, limits, highest(shm_totals().last_place));
    }
    case ipc_command::shm_info: {
        const ShmTotals t = shm_totals();
        return answer(buffer, ShmInfo{static_cast<int32_t>(t.used), 0, t.pages, t.resident_pages, 0, 0, 0},
                      highest(t.last_place));
    }
    case stat: {
        const ShmStatus s = TRY(shm_status(id, true));
        return answer(buffer, ShmidDs::from(s), 0);
    }
    case shm_stat:
    case shm_stat_any: {
        const ShmStatus s = TRY(shm_status_at(id, command == shm_stat));
        return answer(buffer, ShmidDs::from(s), s.owner.id);
    }
    case set: {
        const ShmidDs wanted = TRY(UserPtr<ShmidDs>(buffer).read());
        TRY(shm_set(id, wanted.perm.to_set()));
        return 0;
    }
    case ipc_command::remove: TRY(shm_remove(id)); return 0;
    case ipc_command::shm_lock:
    case shm_unlock: TRY(sysv::shm_lock(id, command == ipc_command::shm_lock)); return 0;
    default: return Errno::inval;
    }
}

// ---- semaphores --------------------------------------------------------------------------------------------------------

Result<int> sys_semget(int32_t key, int32_t count, uint32_t flags) {
    if (count < 0)
        return Errno::inval;
    return sem_get(key, static_cast<uint32_t>(count), flags);
}

namespace {
Result<void> operate(int32_t id, uint64_t address, uint32_t count, nanos_t deadline_ns) {
    if (count < 1 || id < 0)
        return Errno::inval;
    if (count > sem_ops_most)
        return Errno::toobig;
    constexpr uint32_t few = 16;
    SemOp own[few];
    Buffer<SemOp> more;
    std::span<SemOp> ops(own, std::min(count, few));
    if (count > few) {
        more = TRY(Buffer<SemOp>::create(count));
        ops = more.span();
    }
    static_assert(sizeof(SemOp) == 6);
    TRY(copyin(ops.data(), address, ops.size_bytes()));
    return sem_operate(id, ops, deadline_ns);
}
} // namespace

Result<void> sys_semop(int32_t id, uint64_t ops, uint32_t count) { return operate(id, ops, count, no_deadline); }

Result<void> sys_semtimedop(int32_t id, uint64_t ops, uint32_t count, UserPtr<Timespec> timeout) {
    nanos_t deadline = no_deadline;
    if (timeout) {
        const Timespec wanted = TRY(timeout.read());
        const nanos_t span = TRY(wanted.to_ns());
        const nanos_t now = monotonic_ns();
        deadline = span < no_deadline - now ? now + span : no_deadline;
    }
    return operate(id, ops, count, deadline);
}

Result<int> sys_semctl(int32_t id, int32_t number, int32_t command, uint64_t argument) {
    using namespace ipc_command;
    if (id < 0)
        return Errno::inval;
    switch (command) {
    case info:
    case ipc_command::sem_info: {
        const SemTotals t = sem_totals();
        Seminfo i{limit_of(sem_all_most), sem_sets_most, limit_of(sem_all_most), limit_of(sem_all_most),
                  sem_per_set_most,       sem_ops_most,  sem_ops_most,           20,
                  sem_value_most,         sem_value_most};
        if (command == ipc_command::sem_info) {
            i.usz = static_cast<int32_t>(t.used);
            i.aem = limit_of(t.semaphores);
        }
        return answer(argument, i, highest(t.last_place));
    }
    case stat: {
        const SemStatus s = TRY(sem_status(id, true));
        return answer(argument, SemidDs::from(s), 0);
    }
    case sem_stat:
    case sem_stat_any: {
        const SemStatus s = TRY(sem_status_at(id, command == sem_stat));
        return answer(argument, SemidDs::from(s), s.owner.id);
    }
    case set: {
        const SemidDs wanted = TRY(UserPtr<SemidDs>(argument).read());
        TRY(sysv::sem_set(id, wanted.perm.to_set()));
        return 0;
    }
    case ipc_command::remove: TRY(sem_remove(id)); return 0;
    case get_pid: return sem_ask(id, number, SemQuestion::last_pid);
    case get_value: return sem_ask(id, number, SemQuestion::value);
    case get_waiting_for_more: return sem_ask(id, number, SemQuestion::waiting_for_more);
    case get_waiting_for_zero: return sem_ask(id, number, SemQuestion::waiting_for_zero);
    case set_value: TRY(sem_set_value(id, number, static_cast<int32_t>(argument))); return 0;
    case get_all: {
        const uint32_t count = TRY(sem_count(id, may_read));
        Buffer<uint16_t> values = TRY(Buffer<uint16_t>::create(count));
        TRY(sem_get_all(id, values.span()));
        TRY(copyout(argument, values.data(), values.span().size_bytes()));
        return 0;
    }
    case set_all: {
        const uint32_t count = TRY(sem_count(id, may_write));
        Buffer<uint16_t> values = TRY(Buffer<uint16_t>::create(count));
        TRY(copyin(values.data(), argument, values.span().size_bytes()));
        TRY(sem_set_all(id, values.span()));
        return 0;
    }
    default: return Errno::inval;
    }
}

// ---- messages ------------------------------------------------------------------------------------------------------------

Result<int> sys_msgget(int32_t key, uint32_t flags) { return msg_get(key, flags); }

Result<void> sys_msgsnd(int32_t id, UserPtr<int64_t> message, uint64_t size, uint32_t flags) {
    const int64_t type = TRY(message.read());
    return msg_send(id, type, message.address() + sizeof type, size, flags);
}

Result<uint64_t> sys_msgrcv(int32_t id, UserPtr<int64_t> message, uint64_t size, int64_t type, uint32_t flags) {
    Received got = TRY(msg_receive(id, size, type, flags));
    const uint64_t length = std::min<uint64_t>(size, got.text.size());
    TRY(message.write(got.type));
    TRY(copyout(message.address() + sizeof got.type, got.text.data(), length));
    return length;
}

Result<int> sys_msgctl(int32_t id, int32_t command, uint64_t buffer) {
    using namespace ipc_command;
    if (command < 0 || id < 0)
        return Errno::inval;
    switch (command) {
    case info:
    case ipc_command::msg_info: {
        const MsgTotals t = msg_totals();
        const auto max = static_cast<int32_t>(msg_max.load(std::memory_order_relaxed)),
                   mnb = static_cast<int32_t>(msg_mnb.load(std::memory_order_relaxed)),
                   mni = static_cast<int32_t>(msg_mni.load(std::memory_order_relaxed));
        Msginfo i{limit_of(uint64_t{msg_mni.load()} * msg_mnb.load() / 1024), mnb, max, mnb, mni, 16, mnb, 0xffff, 0};
        if (command == ipc_command::msg_info) {
            i.pool = static_cast<int32_t>(t.used);
            i.map = limit_of(t.messages);
            i.tql = limit_of(t.bytes);
        }
        return answer(buffer, i, highest(t.last_place));
    }
    case stat: {
        const MsgStatus s = TRY(msg_status(id, true));
        return answer(buffer, MsqidDs::from(s), 0);
    }
    case msg_stat:
    case msg_stat_any: {
        const MsgStatus s = TRY(msg_status_at(id, command == msg_stat));
        return answer(buffer, MsqidDs::from(s), s.owner.id);
    }
    case set: {
        const MsqidDs wanted = TRY(UserPtr<MsqidDs>(buffer).read());
        TRY(msg_set(id, wanted.perm.to_set(), wanted.bytes_most));
        return 0;
    }
    case ipc_command::remove: TRY(msg_remove(id)); return 0;
    default: return Errno::inval;
    }
}

} // namespace lentil::abi

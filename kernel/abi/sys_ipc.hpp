// SPDX-License-Identifier: BSD-2-Clause
// Handlers of System V IPC and of POSIX message queues; the signatures are the ABI.
#pragma once

#include <abi/linux_ipc.hpp>
#include <abi/linux_time.hpp>
#include <abi/syscall.hpp>

namespace lentil::abi {

// -- System V (sys_ipc.cpp) --------------------------------------------------------------------------------------------
Result<int> sys_shmget(int32_t key, uint64_t size, uint32_t flags);
Result<uint64_t> sys_shmat(int32_t id, uint64_t address, uint32_t flags);
Result<void> sys_shmdt(uint64_t address);
Result<int> sys_shmctl(int32_t id, int32_t command, uint64_t buffer);
Result<int> sys_semget(int32_t key, int32_t count, uint32_t flags);
Result<void> sys_semop(int32_t id, uint64_t ops, uint32_t count);
Result<void> sys_semtimedop(int32_t id, uint64_t ops, uint32_t count, UserPtr<Timespec> timeout);
Result<int> sys_semctl(int32_t id, int32_t number, int32_t command, uint64_t argument);
Result<int> sys_msgget(int32_t key, uint32_t flags);
Result<void> sys_msgsnd(int32_t id, UserPtr<int64_t> message, uint64_t size, uint32_t flags);
Result<uint64_t> sys_msgrcv(int32_t id, UserPtr<int64_t> message, uint64_t size, int64_t type, uint32_t flags);
Result<int> sys_msgctl(int32_t id, int32_t command, uint64_t buffer);

// -- POSIX message queues (sys_mqueue.cpp) -----------------------------------------------------------------------------
Result<int> sys_mq_open(UserPath path, uint32_t flags, mode_t mode, UserPtr<MqAttr> attributes);
Result<void> sys_mq_unlink(UserPath path);
Result<void> sys_mq_timedsend(int fd, uint64_t text, uint64_t size, uint32_t priority, UserPtr<Timespec> timeout);
Result<uint64_t> sys_mq_timedreceive(int fd, uint64_t text, uint64_t size, UserPtr<uint32_t> priority,
                                     UserPtr<Timespec> timeout);
Result<void> sys_mq_notify(int fd, UserPtr<Sigevent> event);
Result<void> sys_mq_getsetattr(int fd, UserPtr<MqAttr> fresh, UserPtr<MqAttr> old);

} // namespace lentil::abi

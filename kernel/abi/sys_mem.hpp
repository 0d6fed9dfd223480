// SPDX-License-Identifier: BSD-2-Clause
// Handlers of the mem calls; the signatures are the ABI.
#pragma once

#include <abi/linux_misc.hpp>
#include <abi/syscall.hpp>

namespace lentil::abi {

Result<uint64_t> sys_brk(uint64_t end);
Result<uint64_t> sys_mmap(uint64_t address, uint64_t length, uint32_t prot, uint32_t flags, int fd, uint64_t offset);
Result<void> sys_munmap(uint64_t start, uint64_t length);
Result<uint64_t> sys_mremap(uint64_t old_address, uint64_t old_length, uint64_t new_length, uint32_t flags,
                            uint64_t new_address);
Result<void> sys_mprotect(uint64_t start, uint64_t length, uint32_t prot);
Result<void> sys_msync(uint64_t start, uint64_t length, uint32_t flags);
Result<void> sys_mlock(uint64_t start, uint64_t length);
Result<void> sys_munlock(uint64_t start, uint64_t length);
Result<void> sys_mlockall(uint32_t flags);
Result<void> sys_munlockall();
Result<void> sys_mincore(uint64_t start, uint64_t length, uint64_t vector);
Result<void> sys_madvise(uint64_t start, uint64_t length, int advice);
Result<void> sys_riscv_hwprobe(UserPtr<HwprobePair> pairs, uint64_t count, uint64_t set_size, uint64_t set,
                               uint32_t flags);
/// Tells the vDSO what the harts that are up have in common: when one has come up, and when there is a vDSO.
void hwprobe_publish();
Result<void> sys_riscv_flush_icache(uint64_t start, uint64_t end, uint64_t flags);
Result<int> sys_membarrier(int command, uint32_t flags, int hart);
Result<void> sys_mlock2(uint64_t start, uint64_t length, uint32_t flags);

} // namespace lentil::abi

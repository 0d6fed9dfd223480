// SPDX-License-Identifier: BSD-2-Clause
// Linux riscv64 structures of the remaining calls: system information, limits, scheduling, capabilities, futexes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lentil::abi {

struct Utsname {
    char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};
static_assert(sizeof(Utsname) == 390);

struct Sysinfo {
    int64_t uptime;
    uint64_t loads[3]; ///< in 1/65536
    uint64_t total_ram, free_ram, shared_ram, buffer_ram, total_swap, free_swap;
    uint16_t procs, pad;
    uint32_t pad1;
    uint64_t total_high, free_high;
    uint32_t memory_unit, pad2;
};
static_assert(sizeof(Sysinfo) == 112 && offsetof(Sysinfo, memory_unit) == 104);

struct Rlimit {
    uint64_t current, maximum;
};

struct SchedParam {
    int32_t priority;
};

struct SchedAttr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
    uint32_t util_min, util_max;
};
inline constexpr uint32_t sched_attr_size_0 = 48;
static_assert(sizeof(SchedAttr) == 56);

struct CapabilityHeader {
    uint32_t version;
    int32_t pid;
};
struct CapabilityData {
    uint32_t effective, permitted, inheritable;
};
inline constexpr uint32_t capability_v1 = 0x19980330, capability_v2 = 0x20071026, capability_v3 = 0x20080522;

struct RobustListHead {
    uint64_t next;
    int64_t futex_offset;
    uint64_t pending;
};
static_assert(sizeof(RobustListHead) == 24);

struct HwprobePair {
    int64_t key;
    uint64_t value;
};

} // namespace lentil::abi

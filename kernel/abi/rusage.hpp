// SPDX-License-Identifier: BSD-2-Clause
// Usage as Linux's struct rusage.
#pragma once

#include <abi/linux_proc.hpp>
#include <bsd/limits.hpp>
#include <vm/vm_user.hpp>

namespace lentil::abi {

inline Result<void> copyout_rusage(vaddr_t address, const Usage& usage) {
    const auto timeval = [](nanos_t ns) { return LinuxTimeval{ns / 1'000'000'000, ns / 1000 % 1'000'000}; };
    LinuxRusage out{};
    out.user = timeval(usage.user);
    out.system = timeval(usage.system);
    out.max_resident_kib = static_cast<int64_t>(usage.max_resident_bytes / 1024);
    out.minor_faults = static_cast<int64_t>(usage.minor_faults);
    out.major_faults = static_cast<int64_t>(usage.major_faults);
    out.blocks_in = static_cast<int64_t>(usage.blocks_in);
    out.blocks_out = static_cast<int64_t>(usage.blocks_out);
    out.voluntary_switches = static_cast<int64_t>(usage.voluntary_switches);
    out.involuntary_switches = static_cast<int64_t>(usage.involuntary_switches);
    return copyout(address, &out, sizeof out);
}

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
#include <atomic>
#include <riscv/errata.hpp>

#include <libkern/format.hpp>

namespace lentil::machine {

namespace {
constinit std::atomic<uint32_t> found{0};
}

bool has_erratum(Erratum erratum) {
    return (found.load(std::memory_order_relaxed) & static_cast<uint32_t>(erratum)) != 0;
}

void errata_init_self(const HartIdentity& self) {
    const uint32_t set = errata_of(self);
    const uint32_t fresh = set & ~found.fetch_or(set, std::memory_order_relaxed);
    if (fresh & static_cast<uint32_t>(Erratum::fault_address))
        kprint("errata: CIP-453 worked around\n");
    if (fresh & static_cast<uint32_t>(Erratum::fence_by_address))
        kprint("errata: CIP-1200 worked around\n");
}

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// What a hart says about its make. Defined by the arch.
#pragma once

#include <cstdint>

namespace lentil::machine {

/// mvendorid, marchid and mimpid; 0 where the firmware does not say.
struct HartIdentity {
    uint64_t vendor = 0, architecture = 0, implementation = 0;
};
/// Of hart `index` of boot_info.harts, once it has started.
const HartIdentity& hart_identity(unsigned index);

} // namespace lentil::machine

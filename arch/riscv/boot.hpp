// SPDX-License-Identifier: BSD-2-Clause
// What the steps of the arch's start share.
#pragma once

#include <machine/machine.hpp>

namespace lentil::machine {

/// Physical address of an object in the kernel image.
paddr_t image_pa(const void* p);

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// What the writing and reading of a signal frame needs of an arch: the registers as blocks, straight to user memory and
// from there. The addresses are multiples of 8 and lie in the user half, whole; false on a fault.
#pragma once

#include <machine/machine.hpp>

namespace lentil::machine {

extern "C" {
/// Eight words.
bool machine_user_write_8(vaddr_t to, const uint64_t* from);
/// x1 to x31. After a fault some may have been read.
bool machine_user_write_registers(vaddr_t to, const uint64_t* from);
bool machine_user_read_registers(uint64_t* to, vaddr_t from);
}

/// The floating-point state of the current thread, laid out as FpState. What was read is what the user sees from the next
/// return on; after a fault the state is undefined.
bool fp_to_user(ThreadArch& ta, vaddr_t to);
bool fp_from_user(ThreadArch& ta, vaddr_t from);

} // namespace lentil::machine

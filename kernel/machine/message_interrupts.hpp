// SPDX-License-Identifier: BSD-2-Clause
// Messages to the running hart that are interrupts, on boards that have such. Defined by the arch.
#pragma once

#include <cstdint>

namespace lentil::machine {

/// Begins to take them.
void message_interrupts_init();
/// Lets one identity through.
void message_interrupt_enable(uint32_t identity);
/// The next one that has come, which ends it; 0: none.
uint32_t message_interrupt_take();

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// The end of the machine, by the board's device if it has one (its exit code reaches an emulator's caller), else by SBI.
#include <machine/machine.hpp>
#include <platform/platform.hpp>
#include <riscv/sbi.hpp>

namespace lentil::machine {

void early_console_write(std::string_view text) { sbi::console_write(text); }

void power(PowerAction action) {
    irq_disable();
    platform::board_power(action);
    if (action == PowerAction::reboot)
        sbi::reset(sbi::ResetType::cold_reboot, sbi::ResetReason::none);
    else
        sbi::reset(sbi::ResetType::shutdown, action == PowerAction::off ? sbi::ResetReason::none : sbi::ResetReason::system_failure);
    sbi::console_write("lentil: the firmware cannot end this machine; halted\n");
    for (;;)
        wait_for_interrupt();
}

} // namespace lentil::machine

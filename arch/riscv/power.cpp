// SPDX-License-Identifier: BSD-2-Clause
// The end of the machine: by the board's device if it has one (its exit code reaches an emulator's caller), by the
// firmware, or by whoever listens to semihosting calls.
#include <riscv/sbi.hpp>

#include <machine/machine.hpp>
#include <platform/platform.hpp>

extern "C" uint64_t riscv_semihosting_call(uint64_t operation, const void* argument);

namespace lentil::machine {

namespace {

void semihosting_exit(uint64_t code) {
    constexpr uint64_t exit_extended = 0x20, application_exit = 0x20026;
    const uint64_t block[2] = {application_exit, code};
    riscv_semihosting_call(exit_extended, block);
}

} // namespace

void early_console_write(std::string_view text) { sbi::console_write(text); }

void power(PowerAction action) {
    irq_disable();
    platform::board_power(action);
    if (action == PowerAction::reboot) {
        sbi::reset(sbi::ResetType::cold_reboot, sbi::ResetReason::none);
        platform::last_board_power(action);
    } else {
        const bool failed = action == PowerAction::off_failure;
        sbi::reset(sbi::ResetType::shutdown, failed ? sbi::ResetReason::system_failure : sbi::ResetReason::none);
        platform::last_board_power(action);
        semihosting_exit(failed);
    }
    early_console_write("lentil: halted; this machine cannot switch itself off\n");
    for (;;)
        wait_for_interrupt();
}

} // namespace lentil::machine

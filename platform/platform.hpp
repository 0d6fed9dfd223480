// SPDX-License-Identifier: BSD-2-Clause
// The board: what the kernel asks of its devices.
#pragma once

#include <span>
#include <string_view>

#include <libkern/types.hpp>
#include <machine/machine.hpp>
#include <platform/fdt.hpp>

namespace lentil::platform {

/// The firmware's description of the board; opened by the arch before kernel_main.
DeviceTree& device_tree();

/// Finds the device that ends the machine, so that even a failing boot gives its exit code. Right after the tree is open.
void probe_early_devices();

/// Finds all others that a driver fits. Once, on the boot hart, interrupts off. What is missing is done without: the
/// firmware's console goes on if there is no UART.
void probe_devices();

/// On each hart but the boot hart when it starts, interrupts off: what interrupt controllers hold for it is set up again.
void hart_is_up();

/// For hooks.external_interrupt.
void handle_external_interrupt();

using InputHandler = void (*)(char);

/// Before probe_devices: the console is to be the line of this name, if it is found ("hvc0"; what follows a comma is left out).
void console_prefer(std::string_view name);

/// The line that was asked for, else the serial line that /chosen names, else the first one found, else the firmware's console
/// (output only).
class Console {
public:
    /// Returns when all of it is on its way. Any context; up to 64 bytes stay together when others write too.
    void write(std::string_view text);
    /// `handler` gets every byte received, in interrupt context, interrupts off; also those that came before it was set.
    void set_input_handler(InputHandler handler);
};
Console& console();

/// Nanoseconds since the epoch of 1970 by the board's clock, 0 if it has none.
nanos_t wall_clock_ns();

/// `sink` gets the random bytes of the board's source, if it has one, in interrupt context: the first soon, more when asked for.
void entropy_connect(void (*sink)(const void* bytes, size_t n));
/// In any context.
void entropy_ask();

/// Ends or restarts the machine; returns if no device of the board can.
void board_power(machine::PowerAction action);
/// The same, after the firmware could not either.
void last_board_power(machine::PowerAction action);

} // namespace lentil::platform

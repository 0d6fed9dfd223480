// SPDX-License-Identifier: BSD-2-Clause
// The kernel's log: what kprint writes goes to a ring (dmesg) and, unless quiet, to the console.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace lentil {

using ConsoleWriter = void (*)(std::string_view);

/// Where log text appears from now on. The arch attaches the firmware's console first, a driver its own later. The
/// writer runs with interrupts off and may not log.
void log_attach(ConsoleWriter writer);

/// `quiet` on the command line: the ring only. A panic speaks all the same.
void log_set_quiet(bool quiet);

/// Copies log text from position `from` on (a count of characters since boot; moved up if they are gone already).
/// Returns how many were copied; they start at the new `from`.
size_t log_read(std::span<char> to, uint64_t& from);
/// Positions of the oldest character kept and past the newest one.
uint64_t log_begin();
uint64_t log_end();

/// For panic: from now on nobody waits for the console's locks, and nothing is quiet.
void log_break_lock();

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The end: a report, then power-off with a failure code.
#include <libkern/assert.hpp>
#include <libkern/format.hpp>
#include <machine/machine.hpp>

namespace lentil {

void panic(std::string_view reason, std::source_location where) {
    machine::irq_disable();
    kprint("\npanic: {}\n  at {}:{}\n", reason, where.file_name(), where.line());
    machine::power(machine::PowerAction::off_failure);
}

} // namespace lentil

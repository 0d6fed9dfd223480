// SPDX-License-Identifier: BSD-2-Clause
// Time, interrupts between harts and power of the simulated machine.
#include <host/simulator.hpp>

namespace lentil::machine {

namespace {
constinit nanos_t now = 1'000'000'000;
}

nanos_t now_ns() { return now; }
void timer_arm(nanos_t) {}
void ipi_send(HartSet, Ipi) {}
Result<void> hart_start(unsigned) { return Errno::nosys; }
void early_console_write(std::string_view) {}
void power(PowerAction) { panic("the machine was switched off"); }

} // namespace lentil::machine

namespace lentil::host {

void set_time(nanos_t now_ns) { machine::now = now_ns; }

} // namespace lentil::host

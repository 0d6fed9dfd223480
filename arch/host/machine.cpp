// SPDX-License-Identifier: BSD-2-Clause
// Time, interrupts between harts and power of the simulated machine.
#include <host/simulator.hpp>

#include <machine/hart_identity.hpp>
#include <machine/lent_frame.hpp>

namespace lentil::machine {

bool frame_can_stay(const ThreadArch&) { return false; }
void enter_user_beside(ThreadArch&) {}
void frame_returns(ThreadArch&, Trapframe&) {}

namespace {
constinit nanos_t now = 1'000'000'000;
}

nanos_t now_ns() { return now; }
nanos_t ticks_to_ns(uint64_t ticks) { return static_cast<nanos_t>(ticks); }
const HartIdentity& hart_identity(unsigned) {
    static constexpr HartIdentity nobody{};
    return nobody;
}
uint64_t ns_per_tick() { return uint64_t{1} << 32; }

void timer_arm(nanos_t deadline) { host_harts[host_hart].timer = deadline; }

void ipi_send(HartSet targets, Ipi reason) {
    targets.for_each([&](unsigned hart) { host_harts[hart].ipis |= static_cast<uint32_t>(reason); });
    if (exploring)
        explore_point();
}

// There are no instructions to step through.
extern const uint8_t step_fill[2] = {};
StepPlan step_plan(Trapframe&, std::span<const uint8_t>) { return {}; }

} // namespace lentil::machine

namespace lentil::host {

void set_time(nanos_t now_ns) { machine::now = now_ns; }
void pass_time(nanos_t ns) { machine::now += ns; }

} // namespace lentil::host

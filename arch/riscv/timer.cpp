// SPDX-License-Identifier: BSD-2-Clause
// Time counter and one-shot timer: Sstc's stimecmp where every hart has it, else through SBI.
#include <riscv/hart.hpp>
#include <riscv/sbi.hpp>

namespace lentil::machine {

namespace {

/// ticks = ns * ticks_per_ns >> 60, which fits for 1 kHz up to 4 GHz, as tick_ns does.
constinit uint64_t ticks_per_ns = 0;
constinit bool use_stimecmp = false;

/// (numerator << shift) / divisor without 128-bit division.
constexpr uint64_t scaled_quotient(uint64_t numerator, unsigned shift, uint64_t divisor) {
    uint64_t quotient = numerator / divisor;
    uint64_t rest = numerator % divisor;
    for (; shift > 0; shift--) {
        rest <<= 1;
        quotient = quotient << 1 | (rest >= divisor);
        if (rest >= divisor)
            rest -= divisor;
    }
    return quotient;
}
static_assert(scaled_quotient(1'000'000'000, 32, 10'000'000) == uint64_t{100} << 32);

void set_ticks(uint64_t ticks) {
    if (use_stimecmp)
        riscv::csr_write<riscv::Csr::stimecmp>(ticks);
    else
        sbi::set_timer(ticks);
}

} // namespace

constinit uint64_t tick_ns = 0;

void time_init(uint64_t ticks_per_second, bool sstc) {
    tick_ns = scaled_quotient(1'000'000'000, 32, ticks_per_second);
    ticks_per_ns = scaled_quotient(ticks_per_second, 60, 1'000'000'000);
    use_stimecmp = sstc;
}

void timer_init_self() { set_ticks(~uint64_t{0}); }

uint64_t ns_per_tick() { return tick_ns; }

void timer_arm(nanos_t deadline_ns) {
    if (deadline_ns == no_deadline)
        return set_ticks(~uint64_t{0});
    const uint64_t ns = deadline_ns < 0 ? 0 : static_cast<uint64_t>(deadline_ns);
    set_ticks(static_cast<uint64_t>(static_cast<unsigned __int128>(ns) * ticks_per_ns >> 60) + 1); // never too early
}

} // namespace lentil::machine

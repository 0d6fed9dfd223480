// SPDX-License-Identifier: BSD-2-Clause
// Explores interleavings: every simulated hart runs the real kernel, one at a time, and a scheduler that follows a seed
// decides at every point (a lock, an atomic access, an interrupt, a trap, an instruction of user mode) who goes on. The
// same seed with the same plan gives the same run. Memory is sequentially consistent.
#pragma once

#include <host/simulator.hpp>
#include <string_view>

namespace lentil::host {

/// What came of an instruction of user mode.
enum class Step : uint32_t {
    done,
    call,
    fetch_fault,
    load_fault,
    store_fault,
    illegal,
    breakpoint,
    misaligned,
    question
};
struct Stepped {
    Step what = Step::done;
    vaddr_t address = 0; ///< of the fault
};

struct Plan {
    uint64_t seed = 0;
    unsigned switch_one_in = 8; ///< at a point another hart goes on with this probability
    unsigned stall_one_in = 0; ///< at a point the hart stops with this probability (0: never), as its host may stop it,
    unsigned longest_stall = 1000;              ///< for at most so many points
    unsigned burst = 8;                         ///< most instructions of user mode between two points
    nanos_t step_ns = 1000;                     ///< what a point takes, at most, of the harts' time
    uint64_t most_points = 20'000'000;          ///< a run that goes on longer has failed
    void (*boot)() = nullptr;                   ///< on hart 0; does not return
    void (*secondary)(unsigned hart) = nullptr; ///< on a hart that was started; does not return
    /// What machine::power asks for; does not return.
    void (*powered_off)(machine::PowerAction) = nullptr;
    /// User mode came to the instruction custom-0: a question to the test, which may change the registers, or do what an
    /// interrupt of the board would: interrupts are off. Not a trap: the kernel hears nothing else of it.
    void (*question)(machine::Trapframe&) = nullptr;
    /// The kernel's, by number, of which leaves are called; nullptr: none.
    const machine::DirectCalls* direct_calls = nullptr;
    /// No hart can go on: time is about to jump to the first timer. No point may be in it.
    void (*standstill)() = nullptr;
    /// Called at a synchronous trap of user mode, and when it was handled: for a record of the run. No point may be in it.
    void (*trapped)(const machine::Trapframe&, Stepped, bool handled) = nullptr;
};

/// Runs the plan after start(). The process is the machine from here on, and ends in one of the plan's functions or in a
/// panic: no hart can go on for all wait, or they go on for ever.
[[noreturn]] void explore(const Plan& plan);

/// How far the run is.
uint64_t explored_points();
uint64_t explored_switches();
/// The next number of the seed's sequence below `limit` (> 0).
uint64_t explore_random(uint64_t limit);
/// Whether no hart but this one can go on.
bool others_wait();

/// Runs one instruction of user mode on this hart (RV64IMA without lr and sc, and moves to and from floating-point
/// registers).
Stepped user_step(machine::Trapframe& frame, machine::FpState& fp);

} // namespace lentil::host

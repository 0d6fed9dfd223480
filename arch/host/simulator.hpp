// SPDX-License-Identifier: BSD-2-Clause
// What tests can do to the simulated machine. Every hart has a TLB that forgets nothing by itself and an
// instruction cache that never looks again: a missing shoot-down or instruction fence shows at once, and
// always.
#pragma once

#include <cstring>
#include <span>

#include <machine/machine.hpp>

namespace lentil::host {

struct Config {
    std::span<const machine::MemoryRange> memory;
    std::span<const machine::MemoryRange> reserved;
    unsigned harts = 1;
};
/// Makes the machine as firmware would leave it, with the flow of control on hart 0. Once in a program.
void start(const Config& config);

/// Moves the flow of control to another hart for the guard's scope. No lock may be held.
class OnHart {
public:
    explicit OnHart(unsigned index) : before_(machine::host_hart) { machine::host_hart = index; }
    ~OnHart() { machine::host_hart = before_; }
    OnHart(const OnHart&) = delete;
    OnHart& operator=(const OnHart&) = delete;

private:
    unsigned before_;
};

/// Panics if any hart's TLB holds a translation of the space it has loaded that the page tables do not (or
/// not with as many rights): to be called when no operation is under way.
void check_translations();

/// The instruction word that user mode would fetch at `address` (2-aligned). False on a fault that was not
/// resolved.
bool user_fetch32(uint32_t* word, vaddr_t address);

/// Where `address` lies in RAM as user mode on this hart sees it; nullptr if the access faults. No fault is taken.
char* user_memory(vaddr_t address, machine::Prot access);
/// The instruction word at `address` as the hart fetches it, likewise.
bool user_instruction(uint32_t* word, vaddr_t address);

/// memcpy for memory that user mode shares as it likes, which is no business of the thread sanitizer's.
inline void copy_user_bytes(void* to, const void* from, size_t n) {
#if defined(LENTIL_TSAN)
    for (size_t i = 0; i < n; i++)
        static_cast<volatile char*>(to)[i] = static_cast<const volatile char*>(from)[i];
#else
    std::memcpy(to, from, n);
#endif
}

/// The harts' clock.
void set_time(nanos_t now_ns);
void pass_time(nanos_t ns);

/// Called in every shoot-down of user translations, on the hart that makes it: a place to let another hart do
/// something while this one waits. nullptr: nothing.
void set_shootdown_hook(void (*hook)());

/// Counts since start.
struct Counters {
    uint64_t shootdowns = 0;     ///< calls of tlb_shootdown
    uint64_t remote_targets = 0; ///< other harts that they reached
    uint64_t instruction_syncs = 0;
    uint64_t user_faults = 0;
};
Counters& counters();

} // namespace lentil::host

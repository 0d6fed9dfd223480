// SPDX-License-Identifier: BSD-2-Clause
// Supervisor binary interface: typed calls into the firmware (RISC-V SBI specification 2.0; legacy console for 0.x).
#pragma once

#include <string_view>

#include <libkern/hartset.hpp>
#include <libkern/result.hpp>
#include <libkern/types.hpp>

namespace lentil::sbi {

enum class Extension : uint32_t {
    set_timer_legacy = 0,
    putchar_legacy = 1,
    base = 0x10,
    timer = 0x54494d45,
    ipi = 0x735049,
    rfence = 0x52464e43,
    hsm = 0x48534d,
    reset = 0x53525354,
    console = 0x4442434e,
};

/// SBI's error codes as ours.
Result<uint64_t> call(Extension ext, uint32_t function, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0,
                      uint64_t a3 = 0, uint64_t a4 = 0);

bool has(Extension ext);

/// mvendorid, marchid, mimpid of the running hart; 0 where the firmware does not say.
uint64_t machine_vendor();
uint64_t machine_architecture();
uint64_t machine_implementation();

/// How often the firmware was called since boot.
uint64_t calls();

/// Absolute, in ticks of the time counter; also clears a pending timer interrupt.
void set_timer(uint64_t ticks);
/// Harts by their dense index.
void send_ipi(HartSet harts);
void remote_fence_i(HartSet harts);
/// `length` ~0 means everything.
void remote_sfence_vma(HartSet harts, vaddr_t start, uint64_t length);

Result<> hart_start(uint64_t id, paddr_t entry, uint64_t argument);

enum class ResetType : uint32_t { shutdown = 0, cold_reboot = 1 };
enum class ResetReason : uint32_t { none = 0, system_failure = 1 };
/// Returns only if the firmware cannot.
void reset(ResetType type, ResetReason reason);

/// Works from the first instruction on, wherever the text lies (direct map or image).
void console_write(std::string_view text);

} // namespace lentil::sbi

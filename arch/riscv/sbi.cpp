// SPDX-License-Identifier: BSD-2-Clause
#include <riscv/sbi.hpp>

#include <machine/machine.hpp>

namespace lentil::sbi {

namespace {

struct Return {
    int64_t error;
    uint64_t value;
};

constinit std::atomic<uint64_t> call_count{0};

Return ecall(Extension ext, uint32_t function, uint64_t v0, uint64_t v1, uint64_t v2, uint64_t v3, uint64_t v4) {
    call_count.fetch_add(1, std::memory_order_relaxed);
    register uint64_t a0 asm("a0") = v0;
    register uint64_t a1 asm("a1") = v1;
    register uint64_t a2 asm("a2") = v2;
    register uint64_t a3 asm("a3") = v3;
    register uint64_t a4 asm("a4") = v4;
    register uint64_t a6 asm("a6") = function;
    register uint64_t a7 asm("a7") = static_cast<uint64_t>(ext);
    asm volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7) : "memory");
    return {static_cast<int64_t>(a0), a1};
}

Errno errno_of(int64_t error) {
    switch (error) {
    case -2: // not supported
        return Errno::nosys;
    case -3: // invalid parameter
        return Errno::inval;
    case -4: // denied
        return Errno::perm;
    case -5: // invalid address
        return Errno::fault;
    case -6: // already available
    case -7: // already started
    case -8: // already stopped
        return Errno::already;
    default: return Errno::io;
    }
}

/// SBI names harts by a base id and a mask of 64 above it; our set may need several such calls.
template<class F>
void for_each_mask(HartSet harts, F&& f) {
    while (!harts.empty()) {
        uint64_t base = ~uint64_t{0};
        harts.for_each([&](unsigned h) { base = std::min(base, machine::boot_info.harts[h].id); });
        uint64_t mask = 0;
        HartSet rest;
        harts.for_each([&](unsigned h) {
            const uint64_t offset = machine::boot_info.harts[h].id - base;
            if (offset < 64)
                mask |= uint64_t{1} << offset;
            else
                rest.add(h);
        });
        f(mask, base);
        harts = rest;
    }
}

} // namespace

uint64_t calls() { return call_count.load(std::memory_order_relaxed); }

Result<uint64_t> call(Extension ext, uint32_t function, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3,
                      uint64_t a4) {
    const Return r = ecall(ext, function, a0, a1, a2, a3, a4);
    if (r.error < 0)
        return errno_of(r.error);
    return r.value;
}

bool has(Extension ext) {
    const auto r = call(Extension::base, 3, static_cast<uint64_t>(ext));
    return r && *r != 0;
}

uint64_t machine_vendor() {
    const auto r = call(Extension::base, 4);
    return r ? *r : 0;
}
uint64_t machine_architecture() {
    const auto r = call(Extension::base, 5);
    return r ? *r : 0;
}
uint64_t machine_implementation() {
    const auto r = call(Extension::base, 6);
    return r ? *r : 0;
}

void set_timer(uint64_t ticks) { call(Extension::timer, 0, ticks).ok(); }

void send_ipi(HartSet harts) {
    for_each_mask(harts, [](uint64_t mask, uint64_t base) { call(Extension::ipi, 0, mask, base).ok(); });
}

void remote_fence_i(HartSet harts) {
    for_each_mask(harts, [](uint64_t mask, uint64_t base) { call(Extension::rfence, 0, mask, base).ok(); });
}

void remote_sfence_vma(HartSet harts, vaddr_t start, uint64_t length) {
    for_each_mask(harts,
                  [&](uint64_t mask, uint64_t base) { call(Extension::rfence, 1, mask, base, start, length).ok(); });
}

Result<> hart_start(uint64_t id, paddr_t entry, uint64_t argument) {
    TRY(call(Extension::hsm, 0, id, entry, argument));
    return {};
}

void reset(ResetType type, ResetReason reason) {
    call(Extension::reset, 0, static_cast<uint64_t>(type), static_cast<uint64_t>(reason)).ok();
}

void console_write(std::string_view text) {
    // The console extension takes physical addresses; its one-byte call works wherever the text lies.
    enum : uint32_t { unknown, extension, legacy };
    static constinit uint32_t kind = unknown;
    if (kind == unknown)
        kind = has(Extension::console) ? extension : legacy;
    for (const char c : text)
        ecall(kind == extension ? Extension::console : Extension::putchar_legacy, kind == extension ? 2 : 0,
              static_cast<unsigned char>(c), 0, 0, 0, 0);
}

} // namespace lentil::sbi

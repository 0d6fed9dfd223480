// SPDX-License-Identifier: BSD-2-Clause
// User memory: range checks in front of usercopy.S. Supervisor mode can read kernel addresses whatever SUM says, so a
// range must be proven to lie in the user half first.
#include <algorithm>

#include <machine/machine.hpp>

namespace lentil::machine {

extern "C" {
size_t riscv_user_copy(void* to, const void* from, size_t n);
size_t riscv_user_zero(void* to, size_t n);
long riscv_user_string(char* to, const void* from, size_t max);
uint32_t riscv_user_load32(uint32_t* value, vaddr_t address);
uint32_t riscv_user_cmpxchg32(uint32_t* old, vaddr_t address, uint32_t expected, uint32_t desired);
}

namespace {

/// The part of [address, address + n) that lies in the user half.
size_t clamp(vaddr_t address, size_t n) {
    return address >= Pte::user_end ? 0 : std::min<size_t>(n, Pte::user_end - address);
}

} // namespace

size_t user_read(void* to, vaddr_t from, size_t n) {
    const size_t allowed = clamp(from, n);
    return allowed - riscv_user_copy(to, reinterpret_cast<const void*>(from), allowed);
}

size_t user_write(vaddr_t to, const void* from, size_t n) {
    const size_t allowed = clamp(to, n);
    return allowed - riscv_user_copy(reinterpret_cast<void*>(to), from, allowed);
}

size_t user_zero(vaddr_t to, size_t n) {
    const size_t allowed = clamp(to, n);
    return allowed - riscv_user_zero(reinterpret_cast<void*>(to), allowed);
}

long user_read_string(char* to, vaddr_t from, size_t max) {
    const size_t allowed = clamp(from, max);
    const long length = riscv_user_string(to, reinterpret_cast<const void*>(from), allowed);
    return length == static_cast<long>(allowed) && allowed < max ? -1 : length; // ran into the end of the user half
}

bool user_load32(uint32_t* value, vaddr_t address) {
    return clamp(address, sizeof(uint32_t)) == sizeof(uint32_t) && riscv_user_load32(value, address);
}

bool user_cmpxchg32(uint32_t* old, vaddr_t address, uint32_t expected, uint32_t desired) {
    return clamp(address, sizeof(uint32_t)) == sizeof(uint32_t) &&
           riscv_user_cmpxchg32(old, address, expected, desired);
}

} // namespace lentil::machine

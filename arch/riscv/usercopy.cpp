// SPDX-License-Identifier: BSD-2-Clause
// User memory: what user_access.hpp has no room for.
#include <riscv/asm_layout.h>

#include <machine/machine.hpp>

namespace lentil::machine {

static_assert(USER_END == Pte::user_end);

extern "C" {
size_t riscv_user_zero(void* to, size_t n);
long riscv_user_string(char* to, const void* from, size_t max);
struct RawStrings {
    size_t used;
    uint64_t left_and_ended;
};
RawStrings riscv_user_strings(char* to, vaddr_t vector, size_t room, uint16_t* starts, uint64_t most);
uint32_t riscv_user_load32(uint32_t* value, vaddr_t address);
uint32_t riscv_user_cmpxchg32(uint32_t* old, vaddr_t address, uint32_t expected, uint32_t desired);
}

size_t user_zero(vaddr_t to, size_t n) {
    const size_t allowed = clamp_user(to, n);
    return allowed - riscv_user_zero(reinterpret_cast<void*>(to), allowed);
}

long user_read_string(char* to, vaddr_t from, size_t max) {
    const size_t allowed = clamp_user(from, max);
    const long length = riscv_user_string(to, reinterpret_cast<const void*>(from), allowed);
    return length == static_cast<long>(allowed) && allowed < max ? -1 : length; // ran into the end of the user half
}

UserStrings user_read_strings(char* to, vaddr_t vector, size_t room, uint16_t* starts, unsigned most) {
    if (vector % 8 != 0 || vector > Pte::user_end - (uint64_t{most} + 1) * 8 || room < 8 || room > UINT16_MAX)
        [[unlikely]]
        return {0, most, false};
    const RawStrings raw = riscv_user_strings(to, vector, room, starts, most);
    return {raw.used, static_cast<unsigned>(raw.left_and_ended >> 1), (raw.left_and_ended & 1) != 0};
}

bool user_load32(uint32_t* value, vaddr_t address) {
    return clamp_user(address, sizeof(uint32_t)) == sizeof(uint32_t) && riscv_user_load32(value, address);
}

bool user_cmpxchg32(uint32_t* old, vaddr_t address, uint32_t expected, uint32_t desired) {
    return clamp_user(address, sizeof(uint32_t)) == sizeof(uint32_t) &&
           riscv_user_cmpxchg32(old, address, expected, desired);
}

} // namespace lentil::machine

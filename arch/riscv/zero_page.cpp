// SPDX-License-Identifier: BSD-2-Clause
// Zeroing a page: by cbo.zero (extension Zicboz) where every hart has it, else by stores.
#include <riscv/hart.hpp>

namespace lentil::machine {

namespace {

constinit uint64_t zero_block = 0; ///< bytes that one cbo.zero fills; 0: there is none
constexpr uint64_t unrolled = 16;

/// Zeroes `unrolled` blocks. The assembler need not know the extension.
inline uint64_t zero_blocks(uint64_t at, uint64_t block) {
    asm volatile(".rept 16\n"
                 ".insn i 0x0f, 2, x0, %0, 4\n"
                 "add %0, %0, %1\n"
                 ".endr"
                 : "+r"(at)
                 : "r"(block)
                 : "memory");
    return at;
}
static_assert(unrolled == 16);

constexpr uint64_t stored = 128 * 8;
/// Zeroes `stored` bytes.
inline void store_zeros(uint64_t at) {
    asm volatile(".set .Lzero_at, 0\n"
                 ".rept 128\n"
                 "sd zero, .Lzero_at(%0)\n"
                 ".set .Lzero_at, .Lzero_at + 8\n"
                 ".endr" ::"r"(at)
                 : "memory");
}
static_assert(stored == 1024 && page_size % stored == 0);

} // namespace

void zero_page_init(uint64_t block) {
    // A size that does not divide the page evenly is no block size of any hart.
    zero_block = block >= 8 && block <= page_size / unrolled && (block & (block - 1)) == 0 ? block : 0;
}

void zero_page(void* page) {
    const uint64_t block = zero_block;
    uint64_t at = reinterpret_cast<uint64_t>(page);
    if (block == 0) {
        for (const uint64_t end = at + page_size; at != end; at += stored)
            store_zeros(at);
        return;
    }
    for (const uint64_t end = at + page_size; at != end;)
        at = zero_blocks(at, block);
}

} // namespace lentil::machine

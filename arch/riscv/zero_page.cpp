// SPDX-License-Identifier: BSD-2-Clause
// Zeroing a page: by cbo.zero (extension Zicboz) where every hart has it, else by stores.
#include <cstring>
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

} // namespace

void zero_page_init(uint64_t block) {
    // A size that does not divide the page evenly is no block size of any hart.
    zero_block = block >= 8 && block <= page_size / unrolled && (block & (block - 1)) == 0 ? block : 0;
}

void zero_page(void* page) {
    const uint64_t block = zero_block;
    if (block == 0) {
        std::memset(page, 0, page_size);
        return;
    }
    uint64_t at = reinterpret_cast<uint64_t>(page);
    for (const uint64_t end = at + page_size; at != end;)
        at = zero_blocks(at, block);
}

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// Page-table entries of the simulated machine: three levels of 512 entries of 8 bytes. The fields lie
// elsewhere than in any real format, so that nothing can lean on one.
#pragma once

#include <libkern/types.hpp>
#include <machine/prot.hpp>

namespace lentil::machine {

class Pte {
public:
    static constexpr unsigned levels = 3;
    static constexpr unsigned entries = 512;
    static constexpr vaddr_t user_end = vaddr_t{1} << 38;

    constexpr Pte() = default;

    static constexpr unsigned index(vaddr_t va, unsigned level) {
        return va >> (page_shift + 9 * level) & (entries - 1);
    }
    static constexpr Pte table(paddr_t pa) { return Pte(pa << address_shift | is_valid | is_table); }
    static constexpr Pte leaf(paddr_t pa, Prot prot, bool user) {
        return Pte(pa << address_shift | (user ? is_user : 0) | bits_of(prot));
    }

    constexpr Pte revoked() const { return Pte(bits_ & ~is_valid); }

    constexpr bool valid() const { return bits_ & is_valid; }
    constexpr bool is_leaf() const { return valid() && !(bits_ & is_table); }
    constexpr bool user() const { return bits_ & is_user; }
    constexpr paddr_t address() const { return bits_ >> address_shift & ~paddr_t{page_mask}; }
    constexpr Prot prot() const { return static_cast<Prot>(bits_ & 7); }
    constexpr bool accessed() const { return bits_ & was_accessed; }
    constexpr bool dirty() const { return bits_ & was_written; }
    constexpr Pte with_prot(Prot prot) const {
        return Pte((bits_ & ~(uint64_t{7} | is_valid | was_accessed | was_written)) | bits_of(prot));
    }
    constexpr Pte with_accessed(bool on) const { return Pte(on ? bits_ | was_accessed : bits_ & ~was_accessed); }

    friend constexpr bool operator==(Pte, Pte) = default;

private:
    static constexpr unsigned address_shift = 4; // 56 bits of address end at bit 59; bits 4 to 15 are free for flags
    static constexpr uint64_t is_valid = 8, is_table = 16, is_user = 32, was_accessed = 64, was_written = 128;

    constexpr explicit Pte(uint64_t bits) : bits_(bits) {}

    static constexpr uint64_t bits_of(Prot prot) {
        if (prot == Prot::none)
            return 0;
        const bool write = has(prot, Prot::write);
        const Prot effective = write ? prot | Prot::read : prot;
        return static_cast<uint64_t>(effective) | is_valid | was_accessed | (write ? was_written : 0);
    }

    uint64_t bits_ = 0;
};

static_assert(Pte::leaf(0x1234000, Prot::none, true) != Pte() && !Pte::leaf(0x1234000, Prot::none, true).valid());
static_assert(Pte::leaf(0x1234000, Prot::write, true).address() == 0x1234000);
static_assert(Pte::leaf(0x1234000, Prot::write, true).prot() == (Prot::read | Prot::write));
static_assert(Pte::table(0xff1234000).address() == 0xff1234000 && !Pte::table(0x1000).is_leaf());

} // namespace lentil::machine

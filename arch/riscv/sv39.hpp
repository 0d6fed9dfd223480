// SPDX-License-Identifier: BSD-2-Clause
// Page-table entries of Sv39 (privileged specification, section "Sv39"): three levels of 512 entries.
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
    constexpr explicit Pte(uint64_t bits) : bits_(bits) {}

    static constexpr unsigned index(vaddr_t va, unsigned level) {
        return va >> (page_shift + 9 * level) & (entries - 1);
    }
    /// Bytes that one entry of `level` maps.
    static constexpr uint64_t span(unsigned level) { return uint64_t{page_size} << (9 * level); }

    /// Points to the next lower table.
    static constexpr Pte table(paddr_t pa) { return Pte(pa >> page_shift << ppn_shift | v); }

    /// Maps a page (or, in an upper level, a mega- or gigapage). Accessed is preset, dirty where writable, so that
    /// harts that fault instead of setting them never do. Kernel leaves are global. No protection: not valid.
    static constexpr Pte leaf(paddr_t pa, Prot prot, bool user) {
        return Pte(pa >> page_shift << ppn_shift | bits_of(prot) | (user ? u : g));
    }

    /// A link to a table that no hart follows, because all bits but V mean nothing without it.
    constexpr Pte revoked() const { return Pte(bits_ & ~v); }

    constexpr bool valid() const { return bits_ & v; }
    constexpr bool is_leaf() const { return valid() && (bits_ & (r | w | x)); }
    constexpr bool is_user() const { return bits_ & u; }
    constexpr paddr_t address() const { return (bits_ >> ppn_shift & ppn_mask) << page_shift; }
    constexpr Prot prot() const {
        return (bits_ & r ? Prot::read : Prot::none) | (bits_ & w ? Prot::write : Prot::none) |
               (bits_ & x ? Prot::exec : Prot::none);
    }
    constexpr bool accessed() const { return bits_ & a; }
    constexpr bool dirty() const { return bits_ & d; }
    constexpr Pte with_prot(Prot prot) const { return Pte((bits_ & ~(v | r | w | x | a | d)) | bits_of(prot)); }
    constexpr Pte with_accessed(bool on) const { return Pte(on ? bits_ | a : bits_ & ~a); }
    constexpr uint64_t raw() const { return bits_; }

    friend constexpr bool operator==(Pte, Pte) = default;

private:
    static constexpr uint64_t v = 1, r = 2, w = 4, x = 8, u = 16, g = 32, a = 64, d = 128;
    static constexpr unsigned ppn_shift = 10;
    static constexpr uint64_t ppn_mask = (uint64_t{1} << 44) - 1;

    /// Writable without readable is reserved by the specification: write brings read.
    static constexpr uint64_t bits_of(Prot prot) {
        if (prot == Prot::none)
            return 0;
        return v | a |
               (has(prot, Prot::write)  ? r | w | d
                : has(prot, Prot::read) ? r
                                        : 0) |
               (has(prot, Prot::exec) ? x : 0);
    }

    uint64_t bits_ = 0;
};

static_assert(Pte::index(0xffffffff80000000, 2) == 510 && Pte::index(0x3fffffffff, 2) == 255);
static_assert(Pte::index(0x40201000, 2) == 1 && Pte::index(0x40201000, 1) == 1 && Pte::index(0x40201000, 0) == 1);
static_assert(Pte::span(0) == 4096 && Pte::span(1) == 2 << 20 && Pte::span(2) == 1 << 30);
static_assert(Pte::table(0x80201000).raw() == (0x80201u << 10 | 1) && !Pte::table(0x80201000).is_leaf());
static_assert(Pte::table(0x80201000).address() == 0x80201000);
static_assert(Pte::table(0x80201000).revoked().address() == 0x80201000 && !Pte::table(0x80201000).revoked().valid());
static_assert(Pte::leaf(0x1000, Prot::read, true).raw() == (1 << 10 | 0x53));
static_assert(Pte::leaf(0x1000, Prot::write, true).raw() == (1 << 10 | 0xd7));
static_assert(Pte::leaf(0x1000, Prot::read | Prot::exec, false).raw() == (1 << 10 | 0x6b));
static_assert(!Pte::leaf(0x1000, Prot::none, true).valid());
static_assert(Pte::leaf(0x1000, Prot::read | Prot::write, true).with_prot(Prot::read) ==
              Pte::leaf(0x1000, Prot::read, true));
static_assert(Pte::leaf(0xfffffffffff000, Prot::exec, true).address() == 0xfffffffffff000);
static_assert(!Pte::leaf(0x1000, Prot::read, true).with_accessed(false).accessed());

} // namespace lentil::machine

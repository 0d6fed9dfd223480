// SPDX-License-Identifier: BSD-2-Clause
// Faults of hardware that the kernel works around, and which harts have them.
#pragma once

#include <cstdint>

#include <machine/hart_identity.hpp>

namespace lentil::machine {

enum class Erratum : uint32_t {
    none = 0,
    /// CIP-453 (SiFive): after a fetch fault stval lacks the sign extension of kernel addresses.
    fault_address = 1,
    /// CIP-1200 (SiFive): sfence.vma of one address, or of one address space, may leave translations; only that of all of them is to
    /// be trusted, here and in what the firmware is asked to do on other harts.
    fence_by_address = 2,
};
constexpr uint32_t operator|(Erratum a, Erratum b) { return static_cast<uint32_t>(a) | static_cast<uint32_t>(b); }

/// The set of errata (bits of Erratum) of such a hart, as SiFive's errata lists and Linux have them.
constexpr uint32_t errata_of(const HartIdentity& hart) {
    constexpr uint64_t sifive = 0x489, series_7 = 0x8000000000000007, series_5 = 1;
    constexpr uint64_t date = 0xffffff; // of mimpid: the lower digits of the year, month and day
    if (hart.vendor != sifive)
        return 0;
    uint32_t set = 0;
    if (hart.architecture == series_7 && hart.implementation >= 0x20181004 && hart.implementation <= 0x20191105)
        set |= static_cast<uint32_t>(Erratum::fault_address);
    if ((hart.architecture == series_7 || hart.architecture == series_5) && (hart.implementation & date) <= 0x200630 &&
        hart.implementation != 0x1200626)
        set |= static_cast<uint32_t>(Erratum::fence_by_address);
    return set;
}

/// What stval was meant to be: bit 38 goes on to the top.
constexpr uint64_t sign_extended_fault(uint64_t stval) { return stval >> 38 & 1 ? stval | ~uint64_t{0} << 39 : stval; }

// FU740-C000 of the HiFive Unmatched; a later core; another vendor's.
static_assert(errata_of({0x489, 0x8000000000000007, 0x20181004}) ==
              (Erratum::fault_address | Erratum::fence_by_address));
static_assert(errata_of({0x489, 0x8000000000000007, 0x20191105}) ==
              (Erratum::fault_address | Erratum::fence_by_address));
static_assert(errata_of({0x489, 0x8000000000000007, 0x4210427}) == 0);
static_assert(errata_of({0x489, 1, 0x1200626}) == 0);
static_assert(errata_of({0, 0x8000000000000007, 0x20181004}) == 0);
static_assert(sign_extended_fault(0x3fffffffff) == 0x3fffffffff &&
              sign_extended_fault(0x7f80000000) == 0xffffffff80000000);

/// Whether any hart that has started has it. Errata of single harts are worked around on all.
bool has_erratum(Erratum erratum);
/// Looks at the running hart. Before it loads any user translation.
void errata_init_self(const HartIdentity& self);

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// Harts that fault at the first access and at the first write of a page, instead of setting its accessed and dirty bits, are
// never asked to: a mapping has both set from the start. Debug kernels can play such harts, to show that nothing depends on
// an access going through at once.
#pragma once

namespace lentil {

#if defined(LENTIL_AD_FAULTS)
inline constexpr bool first_use_faults = true; ///< a build of its own, in which every test can run
inline void first_use_choose(bool) {}
#elif defined(LENTIL_CHECKS)
/// User pages are mapped without rights at first; the first fault gives them all but writing, the next that too.
extern bool first_use_faults;
/// Before the first user mapping.
inline void first_use_choose(bool on) { first_use_faults = on; }
#else
inline constexpr bool first_use_faults = false;
inline void first_use_choose(bool) {}
#endif

} // namespace lentil

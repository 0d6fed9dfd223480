// SPDX-License-Identifier: BSD-2-Clause
// The kernel's random numbers: ChaCha20 keyed from the firmware's seed, rekeyed after every batch of 256
// bytes. Neither key nor bytes that were given out can be found in memory afterwards.
#pragma once

#include <cstddef>

namespace lentil {

/// Seeds the generator from machine::boot_info and the clock. Once, at boot.
void random_init();
/// Stirs in something that an outsider cannot know (device timing, a hardware generator).
void random_stir(const void* bytes, size_t n);
/// Fills `out`. Callable anywhere, interrupts included.
void random_bytes(void* out, size_t n);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The kernel's random numbers: ChaCha20 keyed from the firmware's seed, rekeyed after every batch of 256
// bytes. Neither key nor bytes that were given out can be found in memory afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <libkern/result.hpp>

namespace lentil {

class Uio;

/// Seeds the generator from machine::boot_info and the clock. Once, at boot.
void random_init();
/// Stirs in something that an outsider cannot know (device timing, a hardware generator).
void random_stir(const void* bytes, size_t n);
/// `ask` is called after every megabyte or so, in any context, and has something stirred in later.
void random_set_source(void (*ask)());
/// Fills `out`. Callable anywhere, interrupts included.
void random_bytes(void* out, size_t n);
/// What a new program starts with: its addresses and AT_RANDOM, many times a second. As unpredictable, from a quicker stream
/// that the generator keys (ChaCha8).
void random_for_image(std::span<uint64_t> out);
/// What getrandom and reads of urandom give, and what writes to it stir in: the whole Uio, or less after a fault; as on Linux
/// a signal ends it only between pages, so requests of up to a page are whole.
Result<size_t> random_give(Uio& uio);
Result<size_t> random_take(Uio& uio);

} // namespace lentil

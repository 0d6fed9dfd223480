// SPDX-License-Identifier: BSD-2-Clause
// Plain types and page arithmetic that every layer uses.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lentil {

using vaddr_t = uint64_t; ///< virtual address (user or kernel)
using paddr_t = uint64_t; ///< physical address
using nanos_t = int64_t;  ///< nanoseconds; a deadline of this type counts from boot (monotonic clock)
using pid_t = int32_t;
using uid_t = uint32_t;
using gid_t = uint32_t;
using mode_t = uint32_t;
using off_t = int64_t;

inline constexpr nanos_t no_deadline = INT64_MAX;

inline constexpr unsigned page_shift = 12;
inline constexpr size_t page_size = size_t{1} << page_shift;
inline constexpr size_t page_mask = page_size - 1;

constexpr uint64_t page_floor(uint64_t a) { return a & ~uint64_t{page_mask}; }
/// Wraps to 0 for the last page of the address space: callers check ranges first.
constexpr uint64_t page_ceil(uint64_t a) { return (a + page_mask) & ~uint64_t{page_mask}; }
constexpr bool is_page_aligned(uint64_t a) { return (a & page_mask) == 0; }

template<class T>
constexpr T align_up(T v, T alignment) {
    return (v + alignment - 1) & ~(alignment - 1);
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Tells the address sanitizer which memory belongs to nobody, in host builds; nothing elsewhere.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace lentil {

#if defined(__SANITIZE_ADDRESS__)
inline void poison_region(void* memory, size_t size) { __asan_poison_memory_region(memory, size); }
inline void unpoison_region(void* memory, size_t size) { __asan_unpoison_memory_region(memory, size); }
inline bool is_poisoned_region(const void* memory) { return __asan_address_is_poisoned(memory); }
inline constexpr bool has_poison = true;
#else
inline void poison_region(void*, size_t) {}
inline void unpoison_region(void*, size_t) {}
inline bool is_poisoned_region(const void*) { return false; }
inline constexpr bool has_poison = false;
#endif

} // namespace lentil

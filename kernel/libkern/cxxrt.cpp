// SPDX-License-Identifier: BSD-2-Clause
// What the C++ compiler, Boost and the C headers call behind our back in a freestanding build.
#include <cstddef>

#include <libkern/assert.hpp>

namespace {
/// Of its 64 rotations' highest six bits no two are alike: multiplied by a bit alone they tell which one it is.
constexpr unsigned long de_bruijn = 0x03f79d71b4cb0a89;
constexpr struct BitPlaces {
    unsigned char of[64] = {};
    constexpr BitPlaces() {
        for (unsigned i = 0; i < 64; i++)
            of[(1ul << i) * de_bruijn >> 58] = static_cast<unsigned char>(i);
    }
} bit_places;
} // namespace

extern "C" {

void* __dso_handle = nullptr;

int __cxa_atexit(void (*)(void*), void*, void*) { return 0; }

void __cxa_pure_virtual() { lentil::panic("pure virtual function called"); }

int __ctzdi2(unsigned long v) { return bit_places.of[(v & -v) * de_bruijn >> 58]; }

int __clzdi2(unsigned long v) {
    int n = 0;
    if (v >> 32 == 0)
        n += 32, v <<= 32;
    if (v >> 48 == 0)
        n += 16, v <<= 16;
    if (v >> 56 == 0)
        n += 8, v <<= 8;
    if (v >> 60 == 0)
        n += 4, v <<= 4;
    if (v >> 62 == 0)
        n += 2, v <<= 2;
    return n + static_cast<int>(v >> 63 == 0);
}

int __popcountdi2(unsigned long v) {
    v -= v >> 1 & 0x5555555555555555;
    v = (v & 0x3333333333333333) + (v >> 2 & 0x3333333333333333);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return static_cast<int>(v * 0x0101010101010101 >> 56);
}

[[noreturn]] void __assert_fail(const char*, const char*, unsigned, const char*) {
    lentil::panic("assertion failed in a library");
}

} // extern "C"

namespace boost {
[[noreturn]] void assertion_failed(const char* expression, const char*, const char*, long) {
    lentil::panic(expression);
}
[[noreturn]] void assertion_failed_msg(const char* expression, const char*, const char*, const char*, long) {
    lentil::panic(expression);
}
} // namespace boost

// Virtual destructors make the compiler name these; objects live in zones and never reach them.
void operator delete(void*) noexcept { lentil::panic("operator delete called"); }
void operator delete(void*, std::size_t) noexcept { lentil::panic("operator delete called"); }

namespace std {
// What the library calls for string_view::substr beyond the end. From release 13 on a freestanding one has it inline, and ends.
#if _GLIBCXX_RELEASE < 13
[[noreturn]] void __throw_out_of_range_fmt(const char* message, ...) { lentil::panic(message); }
#else
[[noreturn]] void terminate() noexcept { lentil::panic("std::terminate called"); }
#endif
} // namespace std

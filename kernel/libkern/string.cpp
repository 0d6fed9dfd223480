// SPDX-License-Identifier: BSD-2-Clause
// The C memory and string functions that the compiler and the freestanding headers expect. Word-wise where it pays.
#pragma GCC optimize("no-tree-loop-distribute-patterns") // else GCC turns the loops below into calls to themselves
#include <cstddef>
#include <cstdint>

/// memcpy of what lies differently in its words: aligned words are read, and put together by shifts. No word is read that has
/// not a byte of the source in it, so none in another page.
[[gnu::noinline]] static void* copy_askew(void* to, const void* from, size_t n) {
    auto* d = static_cast<unsigned char*>(to);
    auto* s = static_cast<const unsigned char*>(from);
    if (n >= 32) {
        for (; (reinterpret_cast<uintptr_t>(d) & 7) != 0; n--)
            *d++ = *s++;
        const unsigned skew = reinterpret_cast<uintptr_t>(s) & 7, right = 8 * skew, left = 64 - right;
        auto* w = reinterpret_cast<const uint64_t*>(s - skew);
        auto* out = reinterpret_cast<uint64_t*>(d);
        uint64_t a = w[0];
        for (; n >= 32; n -= 32, w += 4, out += 4, s += 32) {
            const uint64_t b = w[1], c = w[2], e = w[3], f = w[4];
            out[0] = a >> right | b << left, out[1] = b >> right | c << left;
            out[2] = c >> right | e << left, out[3] = e >> right | f << left;
            a = f;
        }
        d = reinterpret_cast<unsigned char*>(out);
    }
    for (const unsigned char* const end = s + n; s != end;)
        *d++ = *s++;
    return to;
}

/// Eight words: all loads first, since a store may have to wait for what it stores.
[[gnu::always_inline]] static inline void copy_8(uint64_t* to, const uint64_t* from) {
    const uint64_t a = from[0], b = from[1], c = from[2], d = from[3], e = from[4], f = from[5], g = from[6],
                   h = from[7];
    to[0] = a, to[1] = b, to[2] = c, to[3] = d, to[4] = e, to[5] = f, to[6] = g, to[7] = h;
    asm volatile("" ::: "memory"); // more at a time would need more registers than are free
}

[[gnu::always_inline]] static inline void copy_32(uint64_t* to, const uint64_t* from) {
    copy_8(to, from);
    copy_8(to + 8, from + 8);
    copy_8(to + 16, from + 16);
    copy_8(to + 24, from + 24);
}

extern "C" {

void* memcpy(void* __restrict to, const void* __restrict from, size_t n) {
    auto* d = static_cast<unsigned char*>(to);
    auto* s = static_cast<const unsigned char*>(from);
    if (((reinterpret_cast<uintptr_t>(d) ^ reinterpret_cast<uintptr_t>(s)) & 7) != 0)
        return copy_askew(to, from, n);
    for (; n > 0 && (reinterpret_cast<uintptr_t>(d) & 7) != 0; n--)
        *d++ = *s++;
    auto* dw = reinterpret_cast<uint64_t*>(d);
    auto* sw = reinterpret_cast<const uint64_t*>(s);
    for (; n >= 1024; n -= 1024, dw += 128, sw += 128) { // pages, mostly
        copy_32(dw, sw);
        copy_32(dw + 32, sw + 32);
        copy_32(dw + 64, sw + 64);
        copy_32(dw + 96, sw + 96);
    }
    for (; n >= 64; n -= 64, dw += 8, sw += 8)
        copy_8(dw, sw);
    if (n & 32) {
        dw[0] = sw[0], dw[1] = sw[1], dw[2] = sw[2], dw[3] = sw[3];
        dw += 4, sw += 4;
    }
    if (n & 16) {
        dw[0] = sw[0], dw[1] = sw[1];
        dw += 2, sw += 2;
    }
    if (n & 8)
        *dw++ = *sw++;
    n &= 7;
    d = reinterpret_cast<unsigned char*>(dw);
    s = reinterpret_cast<const unsigned char*>(sw);
    for (const unsigned char* const end = s + n; s != end;)
        *d++ = *s++;
    return to;
}

void* memmove(void* to, const void* from, size_t n) {
    auto* d = static_cast<unsigned char*>(to);
    auto* s = static_cast<const unsigned char*>(from);
    if (d == s || n == 0)
        return to;
    if (d < s || d >= s + n)
        return memcpy(to, from, n);
    while (n > 0) {
        n--;
        d[n] = s[n];
    }
    return to;
}

void* memset(void* to, int value, size_t n) {
    auto* d = static_cast<unsigned char*>(to);
    const auto byte = static_cast<unsigned char>(value);
    for (; n > 0 && (reinterpret_cast<uintptr_t>(d) & 7) != 0; n--)
        *d++ = byte;
    auto* w = reinterpret_cast<uint64_t*>(d);
    const uint64_t word = byte * 0x0101010101010101u;
    for (; n >= 64; n -= 64, w += 8)
        w[0] = word, w[1] = word, w[2] = word, w[3] = word, w[4] = word, w[5] = word, w[6] = word, w[7] = word;
    if (n & 32) {
        w[0] = word, w[1] = word, w[2] = word, w[3] = word;
        w += 4;
    }
    if (n & 16) {
        w[0] = word, w[1] = word;
        w += 2;
    }
    if (n & 8)
        *w++ = word;
    d = reinterpret_cast<unsigned char*>(w);
    for (n &= 7; n > 0; n--)
        *d++ = byte;
    return to;
}

int memcmp(const void* left, const void* right, size_t n) {
    auto* a = static_cast<const unsigned char*>(left);
    auto* b = static_cast<const unsigned char*>(right);
    if (((reinterpret_cast<uintptr_t>(a) | reinterpret_cast<uintptr_t>(b)) & 7) == 0)
        for (; n >= 8; n -= 8, a += 8, b += 8)
            if (*reinterpret_cast<const uint64_t*>(a) != *reinterpret_cast<const uint64_t*>(b))
                break; // the bytes say which is less
    for (; n > 0; n--, a++, b++)
        if (*a != *b)
            return *a - *b;
    return 0;
}

void* memchr(const void* in, int value, size_t n) {
    auto* p = static_cast<const unsigned char*>(in);
    for (; n > 0; n--, p++)
        if (*p == static_cast<unsigned char>(value))
            return const_cast<unsigned char*>(p);
    return nullptr;
}

size_t strlen(const char* s) {
    const char* p = s;
    for (; (reinterpret_cast<uintptr_t>(p) & 7) != 0; p++)
        if (!*p)
            return static_cast<size_t>(p - s);
    // An aligned word never reaches into another page. It has a zero byte if one borrows, and was below 128.
    constexpr uint64_t ones = 0x0101010101010101u;
    for (auto* w = reinterpret_cast<const uint64_t*>(p);; w++)
        if (((*w - ones) & ~*w & (ones << 7)) != 0) {
            for (p = reinterpret_cast<const char*>(w); *p; p++) {
            }
            return static_cast<size_t>(p - s);
        }
}

size_t strnlen(const char* s, size_t max) {
    size_t n = 0;
    while (n < max && s[n])
        n++;
    return n;
}

int strcmp(const char* a, const char* b) {
    for (; *a && *a == *b; a++, b++) {
    }
    return static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
}

int strncmp(const char* a, const char* b, size_t n) {
    for (; n > 0 && *a && *a == *b; n--, a++, b++) {
    }
    return n == 0 ? 0 : static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
}

char* strchr(const char* s, int c) {
    for (;; s++) {
        if (*s == static_cast<char>(c))
            return const_cast<char*>(s);
        if (!*s)
            return nullptr;
    }
}

char* strrchr(const char* s, int c) {
    const char* last = nullptr;
    for (;; s++) {
        if (*s == static_cast<char>(c))
            last = s;
        if (!*s)
            return const_cast<char*>(last);
    }
}

} // extern "C"

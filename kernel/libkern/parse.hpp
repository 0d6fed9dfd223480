// SPDX-License-Identifier: BSD-2-Clause
// Numbers and options in text.
#pragma once

#include <string_view>

#include <libkern/result.hpp>

namespace lentil {

/// The whole of `text` as an unsigned number to `base` (2..16); inval if it is none, range if it does not fit.
constexpr Result<uint64_t> parse_number(std::string_view text, unsigned base) {
    if (text.empty())
        return Errno::inval;
    uint64_t value = 0;
    for (char c : text) {
        unsigned digit = 16;
        if (c >= '0' && c <= '9')
            digit = static_cast<unsigned>(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = static_cast<unsigned>(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = static_cast<unsigned>(c - 'A') + 10;
        if (digit >= base)
            return Errno::inval;
        if (__builtin_mul_overflow(value, uint64_t{base}, &value) ||
            __builtin_add_overflow(value, uint64_t{digit}, &value))
            return Errno::range;
    }
    return value;
}

/// A decimal number that k, m, g or t may follow: powers of 1024.
constexpr Result<uint64_t> parse_size(std::string_view text) {
    unsigned shift = 0;
    if (!text.empty()) {
        switch (text.back() | 0x20) {
        case 'k': shift = 10; break;
        case 'm': shift = 20; break;
        case 'g': shift = 30; break;
        case 't': shift = 40; break;
        default: break;
        }
    }
    if (shift != 0)
        text.remove_suffix(1);
    const Result<uint64_t> value = parse_number(text, 10);
    if (!value)
        return value;
    if (*value > ~uint64_t{0} >> shift)
        return Errno::range;
    return *value << shift;
}

/// One word of a comma-separated list such as mount(2) takes: KEY or KEY=VALUE.
struct OptionWord {
    std::string_view key, value;
};
/// Takes the first one off `text`, which is not empty.
constexpr OptionWord take_option(std::string_view& text) {
    const std::string_view word = text.substr(0, text.find(','));
    text.remove_prefix(word.size() < text.size() ? word.size() + 1 : text.size());
    const size_t equals = word.find('=');
    return {word.substr(0, equals), equals == word.npos ? std::string_view() : word.substr(equals + 1)};
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Type-safe formatting without allocation: "{}" placeholders as in std::format, a small subset.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace lentil {

/// One argument of a format call.
struct FormatArg {
    enum class Kind : uint8_t { integer, unsigned_integer, text, character, pointer } kind;
    uint64_t number = 0;
    std::string_view text{};

    template<class T>
    static constexpr FormatArg of(const T& v) {
        if constexpr (std::is_convertible_v<const T&, std::string_view>)
            return {Kind::text, 0, std::string_view(v)};
        else if constexpr (std::same_as<T, bool>)
            return {Kind::text, 0, v ? "true" : "false"};
        else if constexpr (std::same_as<T, char>)
            return {Kind::character, static_cast<uint64_t>(static_cast<unsigned char>(v))};
        else if constexpr (std::is_enum_v<T>)
            return of(static_cast<std::underlying_type_t<T>>(v));
        else if constexpr (std::is_pointer_v<T>)
            return {Kind::pointer, reinterpret_cast<uint64_t>(v)};
        else if constexpr (std::signed_integral<T>)
            return {Kind::integer, static_cast<uint64_t>(static_cast<int64_t>(v))};
        else
            return {Kind::unsigned_integer, static_cast<uint64_t>(v)};
    }
};

/// Where formatted text goes, piece by piece.
struct FormatSink {
    void (*write)(void* context, std::string_view piece);
    void* context;

    template<class... A>
    void add(std::string_view format, const A&... args) const;
};

/// Placeholders: `{}`, `{:5}` `{:<5}` (width, right- or left-aligned), `{:05}` (zeros), `{:x}` `{:#x}` `{:o}` (base),
/// `{{` and `}}`. Missing arguments print as `{?}`: a message must never fail.
void vformat(FormatSink sink, std::string_view format, std::span<const FormatArg> args);

template<class... A>
void FormatSink::add(std::string_view format, const A&... args) const {
    const FormatArg list[] = {FormatArg::of(args)..., FormatArg{FormatArg::Kind::integer}};
    vformat(*this, format, std::span(list, sizeof...(args)));
}

/// Formats into `buffer` (no terminator, cut off when full) and returns the part that was written.
std::string_view vformat_to(std::span<char> buffer, std::string_view format, std::span<const FormatArg> args);

template<class... A>
std::string_view format_to(std::span<char> buffer, std::string_view format, const A&... args) {
    const FormatArg list[] = {FormatArg::of(args)..., FormatArg{FormatArg::Kind::integer}};
    return vformat_to(buffer, format, std::span(list, sizeof...(args)));
}

/// Writes to the kernel's console and log. Defined by debug/ in the kernel, by the test runner on the host. Callable
/// from anywhere, interrupts included.
void vkprint(std::string_view format, std::span<const FormatArg> args);

template<class... A>
void kprint(std::string_view format, const A&... args) {
    const FormatArg list[] = {FormatArg::of(args)..., FormatArg{FormatArg::Kind::integer}};
    vkprint(format, std::span(list, sizeof...(args)));
}

} // namespace lentil

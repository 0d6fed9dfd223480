// SPDX-License-Identifier: BSD-2-Clause
#include <cstring>

#include <libkern/format.hpp>

namespace lentil {

namespace {

struct Spec {
    unsigned width = 0;
    unsigned base = 10;
    bool zero = false;
    bool left = false;
    bool prefix = false;
};

void pad(FormatSink sink, char c, size_t n) {
    for (; n > 0; n--)
        sink.write(sink.context, std::string_view(&c, 1));
}

void put_text(FormatSink sink, const Spec& spec, std::string_view text) {
    const size_t fill = spec.width > text.size() ? spec.width - text.size() : 0;
    if (!spec.left)
        pad(sink, ' ', fill);
    sink.write(sink.context, text);
    if (spec.left)
        pad(sink, ' ', fill);
}

void put_number(FormatSink sink, const Spec& spec, uint64_t value, bool negative) {
    char digits[24];
    char* p = digits + sizeof digits;
    do {
        *--p = "0123456789abcdef"[value % spec.base];
        value /= spec.base;
    } while (value != 0);
    const std::string_view body(p, static_cast<size_t>(digits + sizeof digits - p));
    const std::string_view sign = negative ? "-" : spec.prefix && spec.base == 16 ? "0x" : "";
    const size_t length = sign.size() + body.size();
    const size_t fill = spec.width > length ? spec.width - length : 0;
    if (!spec.left && !spec.zero)
        pad(sink, ' ', fill);
    sink.write(sink.context, sign);
    if (!spec.left && spec.zero)
        pad(sink, '0', fill);
    sink.write(sink.context, body);
    if (spec.left)
        pad(sink, ' ', fill);
}

void put_arg(FormatSink sink, Spec spec, const FormatArg& arg) {
    switch (arg.kind) {
    case FormatArg::Kind::text: return put_text(sink, spec, arg.text);
    case FormatArg::Kind::character: {
        const char c = static_cast<char>(arg.number);
        return put_text(sink, spec, std::string_view(&c, 1));
    }
    case FormatArg::Kind::pointer:
        spec.base = 16;
        spec.prefix = true;
        return put_number(sink, spec, arg.number, false);
    case FormatArg::Kind::integer: {
        const bool negative = spec.base == 10 && static_cast<int64_t>(arg.number) < 0;
        return put_number(sink, spec, negative ? 0 - arg.number : arg.number, negative);
    }
    case FormatArg::Kind::unsigned_integer: return put_number(sink, spec, arg.number, false);
    }
}

Spec parse_spec(std::string_view text) {
    Spec spec;
    for (const char c : text) {
        if (c == '<')
            spec.left = true;
        else if (c == '#')
            spec.prefix = true;
        else if (c == 'x')
            spec.base = 16;
        else if (c == 'o')
            spec.base = 8;
        else if (c == '0' && spec.width == 0)
            spec.zero = true;
        else if (c >= '0' && c <= '9')
            spec.width = spec.width * 10 + static_cast<unsigned>(c - '0');
    }
    return spec;
}

} // namespace

void vformat(FormatSink sink, std::string_view format, std::span<const FormatArg> args) {
    size_t next = 0;
    while (!format.empty()) {
        const size_t brace = format.find_first_of("{}");
        if (brace == std::string_view::npos)
            return sink.write(sink.context, format);
        if (brace > 0)
            sink.write(sink.context, format.substr(0, brace));
        if (brace + 1 < format.size() && format[brace + 1] == format[brace]) {
            sink.write(sink.context, format.substr(brace, 1));
            format.remove_prefix(brace + 2);
            continue;
        }
        const size_t end = format.find('}', brace);
        if (format[brace] == '}' || end == std::string_view::npos)
            return sink.write(sink.context, format.substr(brace));
        std::string_view spec = format.substr(brace + 1, end - brace - 1);
        if (!spec.empty() && spec[0] == ':')
            spec.remove_prefix(1);
        if (next < args.size())
            put_arg(sink, parse_spec(spec), args[next++]);
        else
            sink.write(sink.context, "{?}");
        format.remove_prefix(end + 1);
    }
}

std::string_view vformat_to(std::span<char> buffer, std::string_view format, std::span<const FormatArg> args) {
    struct State {
        std::span<char> buffer;
        size_t used = 0;
    } state{buffer};
    const FormatSink sink{[](void* context, std::string_view piece) {
                              State& s = *static_cast<State*>(context);
                              const size_t n = std::min(piece.size(), s.buffer.size() - s.used);
                              if (n == 0)
                                  return; // an empty buffer has no address to copy to
                              std::memcpy(s.buffer.data() + s.used, piece.data(), n);
                              s.used += n;
                          },
                          &state};
    vformat(sink, format, args);
    return {buffer.data(), state.used};
}

} // namespace lentil

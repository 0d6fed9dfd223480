// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>

#include <debug/breakable_lock.hpp>
#include <debug/log.hpp>
#include <libkern/format.hpp>

namespace lentil {

namespace {

constexpr size_t ring_size = 64 << 10;
constinit char ring[ring_size] = {};
constinit uint64_t written = 0; ///< characters since boot; the newest ring_size of them are in the ring
constinit ConsoleWriter console = nullptr;
constinit bool quiet = false;

constinit BreakableLock lock;

void put(void*, std::string_view piece) {
    for (const char c : piece)
        ring[written++ % ring_size] = c;
    if (console && !quiet)
        console(piece);
}

} // namespace

void vkprint(std::string_view format, std::span<const FormatArg> args) {
    const BreakableGuard guard(lock);
    vformat({put, nullptr}, format, args);
}

void log_attach(ConsoleWriter writer) {
    const BreakableGuard guard(lock);
    console = writer;
}

void log_set_quiet(bool on) { quiet = on; }

uint64_t log_end() { return written; }
uint64_t log_begin() { return written > ring_size ? written - ring_size : 0; }

size_t log_read(std::span<char> to, uint64_t& from) {
    const BreakableGuard guard(lock);
    from = std::clamp(from, log_begin(), written);
    const size_t n = std::min<uint64_t>(to.size(), written - from);
    for (size_t i = 0; i < n; i++)
        to[i] = ring[(from + i) % ring_size];
    return n;
}

void log_break_lock() {
    BreakableLock::break_all();
    quiet = false;
}

} // namespace lentil

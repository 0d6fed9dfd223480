// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>

#include <debug/panic.hpp>
#include <debug/panic_test.hpp>
#include <libkern/assert.hpp>
#include <libkern/format.hpp>

namespace lentil {

namespace {

constinit volatile uint64_t some_data = 1;

void test_panic() { panic("on request"); }

void test_fault() { some_data = *reinterpret_cast<volatile uint64_t*>(some_data * 0x1238); }

uint64_t recurse(uint64_t depth) {
    volatile uint64_t frame[16];
    frame[depth % 16] = depth;
    return some_data == 0 ? 0 : recurse(depth + 1) + frame[depth % 16];
}
void test_overflow() { some_data = recurse(0); }

void test_write_text() { *reinterpret_cast<volatile uint32_t*>(&test_panic) = 0; }

void test_execute_data() { reinterpret_cast<void (*)()>(const_cast<uint64_t*>(&some_data))(); }

void test_nested() {
    panic_describe_process = [](std::span<char>) -> std::string_view { panic("while it describes"); };
    panic("on request");
}

struct Kind {
    std::string_view name;
    void (*run)();
};
constexpr Kind kinds[] = {
    {"panic", test_panic},
    {"fault", test_fault},
    {"overflow", test_overflow},
    {"write_text", test_write_text},
    {"execute_data", test_execute_data},
    {"nested", test_nested},
};

} // namespace

void panic_test(std::string_view command_line) {
    constexpr std::string_view word = "panic_test=";
    const size_t at = command_line.find(word);
    if (at == std::string_view::npos)
        return;
    command_line.remove_prefix(at + word.size());
    const std::string_view name = command_line.substr(0, command_line.find(' '));
    for (const Kind& kind : kinds)
        if (kind.name == name)
            kind.run();
    kprint("panic_test: no such kind: {}\n", name);
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The console: which serial line it is, and the bytes that come in before anyone reads them.
#include <debug/breakable_lock.hpp>
#include <debug/log.hpp>
#include <libkern/format.hpp>
#include <platform/boot_tree.hpp>
#include <platform/driver.hpp>

namespace lentil::platform {

namespace {

constinit Console the_console;
constinit Uart uart{nullptr, {}};
enum class Claim { first, chosen, asked_for };
constinit Claim claim = Claim::first; ///< why it is this line
constinit std::string_view wanted;    ///< what the command line asks for
constinit BreakableLock output_lock;

constinit BreakableLock input_lock;
constinit InputHandler input_handler = nullptr;
constinit char early_input[256] = {};
constinit unsigned early_count = 0;

void write_log(std::string_view text) { the_console.write(text); }

} // namespace

Console& console() { return the_console; }

void Console::write(std::string_view text) {
    if (!uart.write)
        return machine::early_console_write(text);
    // In pieces, so that a slow line does not keep interrupts off for long.
    constexpr size_t piece = 64;
    for (; !text.empty(); text.remove_prefix(text.size() < piece ? text.size() : piece)) {
        const BreakableGuard guard(output_lock);
        uart.write(text.substr(0, piece));
    }
}

void Console::set_input_handler(InputHandler handler) {
    const BreakableGuard guard(input_lock);
    input_handler = handler;
    if (!handler)
        return;
    for (unsigned i = 0; i < early_count; i++)
        handler(early_input[i]);
    early_count = 0;
}

void console_prefer(std::string_view name) { wanted = name; }

bool console_offer(Node node, const Uart& offered) {
    const bool asked_for = !offered.name.empty() && wanted.substr(0, wanted.find(',')) == offered.name;
    const Claim its = asked_for                                               ? Claim::asked_for
                      : console_node(device_tree()).offset() == node.offset() ? Claim::chosen
                                                                              : Claim::first;
    if (uart.write && claim >= its)
        return false;
    uart = offered;
    claim = its;
    log_attach(write_log);
    return true;
}

void console_received(char c) {
    const BreakableGuard guard(input_lock);
    if (input_handler)
        input_handler(c);
    else if (early_count < sizeof early_input)
        early_input[early_count++] = c;
}

} // namespace lentil::platform

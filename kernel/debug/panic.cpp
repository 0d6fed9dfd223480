// SPDX-License-Identifier: BSD-2-Clause
#include <atomic>

#include <debug/log.hpp>
#include <debug/panic.hpp>
#include <debug/symbols.hpp>
#include <libkern/format.hpp>

namespace lentil {

constinit PanicDescriber panic_describe_process = nullptr;
constinit const char* panic_activity = nullptr;

namespace {

/// The hart that reports, plus one. Others that panic meanwhile just stop.
constinit std::atomic<uint32_t> reporter{0};
constinit unsigned depth = 0; ///< of panics within the report, the reporter's alone

std::string_view source_name(const char* file) {
    std::string_view name = file;
    while (name.starts_with("../"))
        name.remove_prefix(3);
    return name;
}

void print_backtrace(const machine::Trapframe* frame) {
    vaddr_t addresses[32];
    const size_t count = machine::backtrace(frame, addresses);
    kprint("backtrace:\n");
    for (size_t i = 0; i < count; i++) {
        // A return address may be the first of the next function: the call before it is what counts.
        const unsigned back = frame && i == 0 ? 0 : 1;
        char room[80];
        const Symbol symbol = symbol_of(addresses[i] - back, room);
        kprint("  {:#x} {}+{:#x}\n", addresses[i], symbol.name, symbol.offset + back);
    }
}

[[noreturn]] void report(const machine::Trapframe* frame, std::string_view reason, SourceLine where) {
    machine::irq_disable();
    const uint32_t self = machine::hart_index() + 1;
    uint32_t nobody = 0;
    if (!reporter.compare_exchange_strong(nobody, self) && nobody != self)
        for (;;)
            machine::wait_for_interrupt();
    log_break_lock();
    if (depth++ > 0) { // the report itself failed: say so once, then end without it
        if (depth == 2)
            kprint("\npanic within the report: {} ({}:{})\n", reason, source_name(where.file), where.line);
        machine::power(machine::PowerAction::off_failure);
    }
    const unsigned deaf = machine::stop_other_harts();

    const machine::BootInfo& info = machine::boot_info;
    kprint("\npanic: {}{}{}\n", reason, panic_activity ? " while " : "", panic_activity ? panic_activity : "");
    kprint("at {}:{}, hart {} (id {})", source_name(where.file), where.line, self - 1, info.harts[self - 1].id);
    if (deaf != 0)
        kprint(", {} harts did not stop", deaf);
    char who[80];
    if (panic_describe_process)
        kprint(", {}", panic_describe_process(std::span<char>(who)));
    kprint("\n");
    if (frame)
        machine::print_trap(*frame);
    print_backtrace(frame);
    kprint("end of panic\n");
    machine::power(machine::PowerAction::off_failure);
}

} // namespace

void panic(std::string_view reason, SourceLine where) { report(nullptr, reason, where); }

void panic_at(const machine::Trapframe& frame, std::string_view reason, SourceLine where) {
    report(&frame, reason, where);
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// What a panic says about this machine: the cause in words, the registers by name, the way along the frame pointers.
#include <algorithm>
#include <riscv/hart.hpp>

#include <debug/panic.hpp>
#include <libkern/format.hpp>

extern "C" const char __text_end[];

namespace lentil::machine {

namespace {

constexpr std::string_view exceptions[] = {
    "misaligned fetch",
    "fetch access fault",
    "illegal instruction",
    "breakpoint",
    "misaligned load",
    "load access fault",
    "misaligned store",
    "store access fault",
    "call from user mode",
    "call from supervisor mode",
    "reserved",
    "call from machine mode",
    "fetch page fault",
    "load page fault",
    "reserved",
    "store page fault",
};

constexpr std::string_view registers[] = {
    "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0",  "a1",  "a2", "a3", "a4", "a5", "a6",
    "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
};

std::string_view cause_text(uint64_t cause) {
    if (cause & riscv::interrupt_bit)
        return "interrupt";
    return cause < std::size(exceptions) ? exceptions[cause] : "unknown";
}

} // namespace

void print_trap(const Trapframe& frame) {
    kprint("cause {:#x}: {}, value {:#x}, pc {:#x}, sstatus {:#x}\n", frame.scause, cause_text(frame.scause),
           frame.stval, frame.sepc, frame.sstatus);
    for (unsigned i = 0; i < std::size(registers); i++)
        kprint("{:3} {:016x}{}", registers[i], frame.x[i], i % 4 == 3 || i + 1 == std::size(registers) ? "\n" : "  ");
}

size_t backtrace(const Trapframe* frame, std::span<vaddr_t> to) {
    const auto is_text = [](uint64_t a) { return a >= IMAGE_BASE && a < reinterpret_cast<uint64_t>(__text_end); };
    constexpr uint64_t largest_frame = 1 << 16;
    // Below the last frame lies s0 as user mode left it, which may be anything.
    const uint64_t end = reinterpret_cast<uint64_t>(arch_of(current_thread()).frame);
    const auto is_caller = [end](uint64_t caller, uint64_t fp) {
        return caller > fp && caller - fp <= largest_frame && (fp > end || caller <= end);
    };

    size_t n = 0;
    const auto add = [&](uint64_t address) {
        if (n < to.size() && (n == 0 || to[n - 1] != address)) // an endless recursion is one line
            to[n++] = address;
    };
    uint64_t fp = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
    if (frame) {
        add(frame->sepc);
        fp = frame->reg(Trapframe::s0);
    }
    // Below the frame pointer lie the return address, then the caller's frame pointer. A function that calls nobody
    // keeps its return address in ra, and the caller's frame pointer alone lies there.
    for (bool first = true; n < to.size() && fp >= direct_map_base && fp % 8 == 0; first = false) {
        const uint64_t* const record = reinterpret_cast<const uint64_t*>(fp);
        if (is_text(record[-1])) {
            add(record[-1]);
            if (!is_caller(record[-2], fp))
                break;
            fp = record[-2];
        } else if (first && is_caller(record[-1], fp)) {
            add(frame ? frame->reg(Trapframe::ra) : reinterpret_cast<uint64_t>(__builtin_return_address(0)));
            fp = record[-1];
        } else {
            break;
        }
    }
    return n;
}

unsigned stop_other_harts() {
    const unsigned self = hart_index();
    HartSet others = online_harts.load();
    others.remove(self);
    if (others.empty())
        return 0;
    ipi_send(others, Ipi::halt);
    const nanos_t limit = now_ns() + 200'000'000;
    do {
        others = online_harts.load();
        others.remove(self);
    } while (!others.empty() && now_ns() < limit);
    return others.count();
}

} // namespace lentil::machine

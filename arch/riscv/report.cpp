// SPDX-License-Identifier: BSD-2-Clause
// What a panic says about this machine: the cause in words, the registers by name, the way along the frame pointers.
#include <algorithm>

#include <debug/panic.hpp>
#include <libkern/format.hpp>
#include <riscv/hart.hpp>

namespace lentil::machine {

namespace {

constexpr std::string_view exceptions[] = {
    "misaligned fetch", "fetch access fault",    "illegal instruction", "breakpoint",       "misaligned load",
    "load access fault", "misaligned store",     "store access fault",  "call from user mode", "call from supervisor mode",
    "reserved",          "call from machine mode", "fetch page fault",  "load page fault",  "reserved",
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
    kprint("cause {:#x}: {}, value {:#x}, pc {:#x}, sstatus {:#x}\n", frame.scause, cause_text(frame.scause), frame.stval,
           frame.sepc, frame.sstatus);
    for (unsigned i = 0; i < std::size(registers); i++)
        kprint("{:3} {:016x}{}", registers[i], frame.x[i], i % 4 == 3 || i + 1 == std::size(registers) ? "\n" : "  ");
}

size_t backtrace(const Trapframe* frame, std::span<vaddr_t> to) {
    size_t n = 0;
    uint64_t fp = reinterpret_cast<uint64_t>(__builtin_frame_address(0));
    if (frame) {
        if (n < to.size())
            to[n++] = frame->sepc;
        fp = frame->reg(Trapframe::s0);
        // A leaf that has made no stack frame yet still has its return address in ra.
        if (n < to.size() && frame->reg(Trapframe::ra) >= IMAGE_BASE)
            to[n++] = frame->reg(Trapframe::ra);
    }
    // A frame record lies below the frame pointer: return address, then the caller's frame pointer, which is higher.
    constexpr uint64_t largest_frame = 1 << 16;
    while (n < to.size() && fp >= direct_map_base && fp % 8 == 0) {
        const uint64_t* const record = reinterpret_cast<const uint64_t*>(fp) - 2;
        const uint64_t caller = record[0], address = record[1];
        if (address < IMAGE_BASE)
            break;
        if (n == 0 || to[n - 1] != address)
            to[n++] = address;
        if (caller <= fp || caller - fp > largest_frame)
            break;
        fp = caller;
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

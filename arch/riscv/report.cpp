// SPDX-License-Identifier: BSD-2-Clause
// What a panic says about this machine: the cause in words, the registers by name, the way back through the callers.
#include <algorithm>
#include <riscv/hart.hpp>

#include <debug/panic.hpp>
#include <debug/symbols.hpp>
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

namespace {

/// What a function's code did to the stack on the way from its start to some place in it.
struct StackUse {
    uint64_t size = 0;        ///< of its frame so far
    uint64_t ra_from_top = 0; ///< where the return address lies, below the frame's top; 0: still in ra
};

/// The kernel is built without frame pointers, so its code says where the return addresses are: a function makes its frame
/// once, by taking from sp, and puts ra into it. What gives back to sp ends a way that did not lead here. Encodings: The
/// RISC-V Instruction Set Manual, volume I, RV64I and "C".
StackUse stack_use(uint64_t start, uint64_t pc) {
    StackUse use;
    int64_t t0 = 0; // holds the size of a frame that is too large for one instruction
    const auto signed_bits = [](uint64_t value, unsigned width) {
        return static_cast<int64_t>(value << (64 - width)) >> (64 - width);
    };
    const auto take = [&](int64_t more) {
        if (more < 0)
            use.size += static_cast<uint64_t>(-more);
    };
    const auto save_ra = [&](int64_t above_sp) {
        if (use.ra_from_top == 0)
            use.ra_from_top = use.size - static_cast<uint64_t>(above_sp);
    };
    for (uint64_t at = start; at < pc;) {
        const auto* const parcel = reinterpret_cast<const uint16_t*>(at);
        const uint32_t c = parcel[0];
        if ((c & 3) != 3) {
            at += 2;
            const uint64_t imm6 = (c >> 7 & 0x20) | (c >> 2 & 0x1f);
            if ((c & 0xef83) == 0x6101) // c.addi16sp
                take(signed_bits(
                    (c >> 3 & 0x200) | (c << 4 & 0x180) | (c << 1 & 0x40) | (c << 3 & 0x20) | (c >> 2 & 0x10), 10));
            else if ((c & 0xef83) == 0x0101) // c.addi sp
                take(signed_bits(imm6, 6));
            else if ((c & 0xe07f) == 0xe006) // c.sdsp ra
                save_ra((c >> 7 & 0x38) | (c >> 1 & 0x1c0));
            else if ((c & 0xef83) == 0x6281) // c.lui t0
                t0 = signed_bits(imm6, 6) << 12;
            else if ((c & 0xef83) == 0x4281) // c.li t0
                t0 = signed_bits(imm6, 6);
            else if ((c & 0xef83) == 0x0281 || (c & 0xef83) == 0x2281) // c.addi, c.addiw t0
                t0 += signed_bits(imm6, 6);
            else if (c == 0x9116) // c.add sp, t0
                take(t0);
            continue;
        }
        at += 4;
        const uint32_t word = c | uint32_t{parcel[1]} << 16;
        const int64_t imm_i = signed_bits(word >> 20, 12);
        if ((word & 0xfffff) == 0x10113) // addi sp, sp
            take(imm_i);
        else if ((word & 0x01fff07f) == 0x00113023) // sd ra, (sp)
            save_ra(signed_bits((word >> 20 & 0xfe0) | (word >> 7 & 0x1f), 12));
        else if ((word & 0xfff) == 0x2b7) // lui t0
            t0 = signed_bits(word & 0xfffff000, 32);
        else if ((word & 0xfffff) == 0x293) // li t0
            t0 = imm_i;
        else if ((word & 0xfffff) == 0x28293 || (word & 0xfffff) == 0x2829b) // addi, addiw t0, t0
            t0 += imm_i;
        else if (word == 0x510133) // add sp, sp, t0
            take(t0);
    }
    return use;
}

} // namespace

size_t backtrace(const Trapframe* frame, std::span<vaddr_t> to) {
    const auto is_text = [](uint64_t a) { return a >= IMAGE_BASE && a < reinterpret_cast<uint64_t>(__text_end); };
    constexpr uint64_t largest_frame = 1 << 16;
    // Above it lies nothing of this stack; the report may be made on another one.
    const uint64_t end = reinterpret_cast<uint64_t>(arch_of(current_thread()).frame);

    size_t n = 0;
    const auto add = [&](uint64_t address) {
        if (n < to.size() && (n == 0 || to[n - 1] != address)) // an endless recursion is one line
            to[n++] = address;
    };
    uint64_t pc, sp, ra = 0;
    asm volatile("mv %0, sp\n auipc %1, 0" : "=r"(sp), "=r"(pc));
    bool innermost = true; // its return address may be in ra, and pc is not behind a call
    const auto go_to_trap = [&](const Trapframe& trap) {
        pc = trap.sepc;
        sp = trap.reg(Trapframe::sp_);
        ra = trap.reg(Trapframe::ra);
        innermost = true;
        add(pc);
        if (!is_text(pc) && is_text(ra)) { // a call of what is no function
            pc = ra;
            innermost = false;
            add(pc);
        }
    };
    if (frame)
        go_to_trap(*frame);
    while (n < to.size() && is_text(pc) && sp >= direct_map_base && sp % 8 == 0) {
        const Symbol here = symbol_of(innermost ? pc : pc - 1);
        if (!innermost && here.name == "from_kernel") { // trap.S: its frame is what it hands to C
            const auto& trap = *reinterpret_cast<const Trapframe*>(sp);
            if (trap.reg(Trapframe::sp_) <= sp)
                break;
            go_to_trap(trap);
            continue;
        }
        const StackUse use = stack_use(innermost ? pc - here.offset : pc - 1 - here.offset, pc);
        const uint64_t caller_sp = sp + use.size;
        if (use.size > largest_frame || use.ra_from_top > use.size || (sp <= end && caller_sp > end))
            break;
        if (use.ra_from_top != 0)
            ra = *reinterpret_cast<const uint64_t*>(caller_sp - use.ra_from_top);
        else if (!innermost)
            break;
        if (!is_text(ra))
            break;
        add(ra);
        pc = ra;
        sp = caller_sp;
        innermost = false;
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

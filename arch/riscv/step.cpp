// SPDX-License-Identifier: BSD-2-Clause
// What a single step must know of instructions: which depend on their own address, which trap, and which belong together.
#include <riscv/hart.hpp>

namespace lentil::machine {

extern const uint8_t step_fill[2] = {0x02, 0x90}; // c.ebreak

namespace {

/// Bits [low, low+count) of `word`, moved to bit `to`.
constexpr uint64_t field(uint32_t word, unsigned low, unsigned count, unsigned to) {
    return static_cast<uint64_t>(word >> low & ((1U << count) - 1)) << to;
}
constexpr int64_t sign_extend(uint64_t value, unsigned bits) {
    return static_cast<int64_t>(value << (64 - bits)) >> (64 - bits);
}

/// Opcodes and formats: RISC-V unprivileged specification, chapters "RV32I", "A" and "C".
enum Opcode : uint32_t {
    op_auipc = 0x17,
    op_amo = 0x2f,
    op_branch = 0x63,
    op_jalr = 0x67,
    op_jal = 0x6f,
    op_system = 0x73
};

struct Instruction {
    uint32_t word = 0;
    unsigned length = 0; ///< 0: not all of it is there

    uint32_t opcode() const { return word & 0x7f; }
    unsigned rd() const { return word >> 7 & 31; }
    unsigned rs1() const { return word >> 15 & 31; }
    unsigned rs2() const { return word >> 20 & 31; }
    unsigned funct3() const { return length == 2 ? word >> 13 & 7 : word >> 12 & 7; }
    bool is_lr() const { return length == 4 && opcode() == op_amo && word >> 27 == 2; }
    bool is_sc() const { return length == 4 && opcode() == op_amo && word >> 27 == 3; }
    bool is_branch() const {
        return length == 4 ? opcode() == op_branch : (word & 3) == 1 && funct3() >= 6; // c.beqz, c.bnez
    }
    int64_t branch_offset() const {
        if (length == 4)
            return sign_extend(
                field(word, 31, 1, 12) | field(word, 7, 1, 11) | field(word, 25, 6, 5) | field(word, 8, 4, 1), 13);
        return sign_extend(field(word, 12, 1, 8) | field(word, 10, 2, 3) | field(word, 5, 2, 6) | field(word, 3, 2, 1) |
                               field(word, 2, 1, 5),
                           9);
    }
    int64_t jal_offset() const {
        return sign_extend(
            field(word, 31, 1, 20) | field(word, 12, 8, 12) | field(word, 20, 1, 11) | field(word, 21, 10, 1), 21);
    }
    int64_t cj_offset() const {
        return sign_extend(field(word, 12, 1, 11) | field(word, 11, 1, 4) | field(word, 9, 2, 8) |
                               field(word, 8, 1, 10) | field(word, 7, 1, 6) | field(word, 6, 1, 7) |
                               field(word, 3, 3, 1) | field(word, 2, 1, 5),
                           12);
    }
    bool is_cj() const { return length == 2 && (word & 3) == 1 && funct3() == 5; }
    /// c.jr, c.jalr, c.ebreak; c.mv and c.add have a second register.
    bool is_cr_jump() const { return length == 2 && (word & 3) == 2 && funct3() == 4 && (word >> 2 & 31) == 0; }
    bool leaves() const {
        if (length == 2)
            return is_cj() || is_cr_jump();
        return opcode() == op_jal || opcode() == op_jalr || opcode() == op_auipc || opcode() == op_system;
    }
};

Instruction fetch(std::span<const uint8_t> code) {
    Instruction i;
    if (code.size() < 2)
        return i;
    i.word = code[0] | static_cast<uint32_t>(code[1]) << 8;
    if ((i.word & 3) != 3) {
        i.length = 2;
    } else if (code.size() >= 4) {
        i.word |= static_cast<uint32_t>(code[2]) << 16 | static_cast<uint32_t>(code[3]) << 24;
        i.length = 4;
    }
    return i;
}

bool taken(const Instruction& i, const Trapframe& frame) {
    if (i.length == 2) {
        const uint64_t value = frame.reg(8 + (i.word >> 7 & 7));
        return (value == 0) == (i.funct3() == 6);
    }
    const uint64_t a = frame.reg(i.rs1()), b = frame.reg(i.rs2());
    const bool inverted = i.funct3() & 1;
    switch (i.funct3() >> 1) {
    case 0: return (a == b) != inverted;
    case 2: return (static_cast<int64_t>(a) < static_cast<int64_t>(b)) != inverted;
    default: return (a < b) != inverted;
    }
}

uint64_t get(const Trapframe& frame, unsigned n) { return frame.reg(n); }
void set(Trapframe& frame, unsigned n, uint64_t value) {
    if (n != 0)
        frame.reg(n) = value;
}

/// From a load that reserves to its conditional store, if between them nothing leaves the copy: its length; else the
/// load's own. One by one they would never succeed: a trap in between drops the reservation.
size_t reserved_sequence(std::span<const uint8_t> code) {
    constexpr unsigned longest = 16; // what the A extension guarantees to succeed at last
    size_t at = 0;
    for (unsigned n = 0; n <= longest; n++) {
        const Instruction i = fetch(code.subspan(at));
        if (i.length == 0 || i.leaves() || (n > 0 && i.is_lr()))
            break;
        if (i.is_branch()) {
            const int64_t target = static_cast<int64_t>(at) + i.branch_offset();
            if (target < 0 || target >= static_cast<int64_t>(step_room))
                break;
        }
        at += i.length;
        if (i.is_sc())
            return at;
    }
    return 4;
}

} // namespace

StepPlan step_plan(Trapframe& frame, std::span<const uint8_t> code) {
    using Kind = StepPlan::Kind;
    const Instruction i = fetch(code);
    const uint64_t pc = frame.pc(), next = pc + i.length;
    const auto go = [&](uint64_t to) {
        frame.set_pc(to & ~uint64_t{1});
        return StepPlan{Kind::done, 0};
    };
    if (i.length == 0)
        return {};
    if (i.is_branch())
        return go(taken(i, frame) ? pc + static_cast<uint64_t>(i.branch_offset()) : next);
    if (i.length == 2) {
        if (i.is_cj())
            return go(pc + static_cast<uint64_t>(i.cj_offset()));
        if (!i.is_cr_jump())
            return {Kind::copied, 2};
        if (i.rd() == 0)
            return {}; // c.ebreak, or nothing that exists
        const uint64_t target = get(frame, i.rd());
        if (i.word >> 12 & 1)
            set(frame, Trapframe::ra, next);
        return go(target);
    }
    switch (i.opcode()) {
    case op_auipc:
        set(frame, i.rd(), pc + static_cast<uint64_t>(sign_extend(i.word & 0xfffff000, 32)));
        return go(next);
    case op_jal: set(frame, i.rd(), next); return go(pc + static_cast<uint64_t>(i.jal_offset()));
    case op_jalr: {
        const uint64_t target = get(frame, i.rs1()) + static_cast<uint64_t>(sign_extend(i.word >> 20, 12));
        set(frame, i.rd(), next);
        return go(target);
    }
    case op_system:
        if (i.funct3() == 0)
            return {};
        return {Kind::copied, 4};
    default: return {Kind::copied, i.is_lr() ? reserved_sequence(code) : 4};
    }
}

} // namespace lentil::machine

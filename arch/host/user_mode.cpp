// SPDX-License-Identifier: BSD-2-Clause
// User mode of the simulated harts: one RISC-V instruction at a time (The RISC-V Instruction Set Manual, volume I: RV64I,
// M, A without lr and sc, and fmv between integer and floating-point registers).
#include <cstring>
#include <host/explorer.hpp>

namespace lentil::host {

using namespace machine;

namespace {

struct Instruction {
    uint32_t word;
    uint32_t bits(unsigned from, unsigned n) const { return word >> from & ((1u << n) - 1); }
    uint32_t opcode() const { return bits(0, 7); }
    unsigned rd() const { return bits(7, 5); }
    unsigned rs1() const { return bits(15, 5); }
    unsigned rs2() const { return bits(20, 5); }
    unsigned funct3() const { return bits(12, 3); }
    unsigned funct7() const { return bits(25, 7); }
    int64_t sign_extended(uint32_t value, unsigned width) const {
        return static_cast<int64_t>(uint64_t{value} << (64 - width)) >> (64 - width);
    }
    int64_t imm_i() const { return sign_extended(bits(20, 12), 12); }
    int64_t imm_s() const { return sign_extended(bits(25, 7) << 5 | bits(7, 5), 12); }
    int64_t imm_b() const {
        return sign_extended(bits(31, 1) << 12 | bits(7, 1) << 11 | bits(25, 6) << 5 | bits(8, 4) << 1, 13);
    }
    int64_t imm_u() const { return sign_extended(word & 0xfffff000, 32); }
    int64_t imm_j() const {
        return sign_extended(bits(31, 1) << 20 | bits(12, 8) << 12 | bits(20, 1) << 11 | bits(21, 10) << 1, 21);
    }
};

int64_t as_signed(uint64_t v) { return static_cast<int64_t>(v); }
uint64_t extend32(uint64_t v) { return static_cast<uint64_t>(int64_t{static_cast<int32_t>(v)}); }

/// funct3 and funct7 of OP and OP-IMM without multiplication. False: no such instruction.
bool alu(unsigned funct3, unsigned funct7, uint64_t a, uint64_t b, uint64_t& out) {
    switch (funct3) {
    case 0: out = funct7 == 0x20 ? a - b : a + b; return funct7 == 0 || funct7 == 0x20;
    case 1: out = a << (b & 63); return funct7 == 0;
    case 2: out = as_signed(a) < as_signed(b); return funct7 == 0;
    case 3: out = a < b; return funct7 == 0;
    case 4: out = a ^ b; return funct7 == 0;
    case 5:
        out = funct7 == 0x20 ? static_cast<uint64_t>(as_signed(a) >> (b & 63)) : a >> (b & 63);
        return funct7 == 0 || funct7 == 0x20;
    case 6: out = a | b; return funct7 == 0;
    default: out = a & b; return funct7 == 0;
    }
}

uint64_t multiply(unsigned funct3, uint64_t a, uint64_t b) {
    switch (funct3) {
    case 0: return a * b;
    case 1: return static_cast<uint64_t>(static_cast<__int128>(as_signed(a)) * as_signed(b) >> 64);
    case 2: return static_cast<uint64_t>(static_cast<__int128>(as_signed(a)) * static_cast<__int128>(b) >> 64);
    case 3: return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
    case 4:
        if (b == 0)
            return ~uint64_t{0};
        return as_signed(a) == INT64_MIN && as_signed(b) == -1 ? a : static_cast<uint64_t>(as_signed(a) / as_signed(b));
    case 5: return b == 0 ? ~uint64_t{0} : a / b;
    case 6:
        if (b == 0)
            return a;
        return as_signed(a) == INT64_MIN && as_signed(b) == -1 ? 0 : static_cast<uint64_t>(as_signed(a) % as_signed(b));
    default: return b == 0 ? a : a % b;
    }
}

/// The M instructions on 32 bits.
bool multiply32(unsigned funct3, uint64_t a, uint64_t b, uint64_t& out) {
    const bool is_signed = funct3 == 0 || funct3 == 4 || funct3 == 6;
    a = is_signed ? extend32(a) : a & 0xffffffff;
    b = is_signed ? extend32(b) : b & 0xffffffff;
    if (funct3 >= 1 && funct3 <= 3)
        return false;
    // A division by zero gives 32 ones, or the dividend; both extended, which extend32 does.
    out = extend32(multiply(funct3, a, b));
    return true;
}

bool branch_taken(unsigned funct3, uint64_t a, uint64_t b) {
    switch (funct3) {
    case 0: return a == b;
    case 1: return a != b;
    case 4: return as_signed(a) < as_signed(b);
    case 5: return as_signed(a) >= as_signed(b);
    case 6: return a < b;
    default: return a >= b;
    }
}

/// What an AMO stores. False: no such instruction (or lr and sc).
bool amo(unsigned funct5, uint64_t old, uint64_t operand, bool word, uint64_t& out) {
    const uint64_t a = word ? old & 0xffffffff : old, b = word ? operand & 0xffffffff : operand;
    const int64_t sa = as_signed(word ? extend32(old) : old), sb = as_signed(word ? extend32(operand) : operand);
    switch (funct5) {
    case 0x00: out = a + b; return true;
    case 0x01: out = b; return true;
    case 0x04: out = a ^ b; return true;
    case 0x08: out = a | b; return true;
    case 0x0c: out = a & b; return true;
    case 0x10: out = sa < sb ? a : b; return true;
    case 0x14: out = sa > sb ? a : b; return true;
    case 0x18: out = a < b ? a : b; return true;
    case 0x1c: out = a > b ? a : b; return true;
    default: return false;
    }
}

} // namespace

Stepped user_step(Trapframe& frame, FpState& fp) {
    const vaddr_t pc = frame.pc_;
    uint32_t word = 0;
    if (pc % 4 != 0)
        return {Step::misaligned, pc};
    if (!user_instruction(&word, pc))
        return {Step::fetch_fault, pc};
    const Instruction i{word};
    const auto get = [&](unsigned n) { return n == 0 ? 0 : frame.get(n); };
    const auto set = [&](uint64_t v) {
        if (i.rd() != 0)
            frame.reg(i.rd()) = v;
    };
    const uint64_t a = get(i.rs1()), b = get(i.rs2());
    uint64_t out = 0;
    vaddr_t next = pc + 4;

    switch (i.opcode()) {
    case 0x37: set(static_cast<uint64_t>(i.imm_u())); break;
    case 0x17: set(pc + static_cast<uint64_t>(i.imm_u())); break;
    case 0x6f:
        set(next);
        next = pc + static_cast<uint64_t>(i.imm_j());
        break;
    case 0x67:
        set(next);
        next = (a + static_cast<uint64_t>(i.imm_i())) & ~uint64_t{1};
        break;
    case 0x63:
        if (i.funct3() == 2 || i.funct3() == 3)
            return {Step::illegal, pc};
        if (branch_taken(i.funct3(), a, b))
            next = pc + static_cast<uint64_t>(i.imm_b());
        break;
    case 0x03: {
        const vaddr_t at = a + static_cast<uint64_t>(i.imm_i());
        const unsigned size = 1u << (i.funct3() & 3);
        if (i.funct3() == 7)
            return {Step::illegal, pc};
        if (at % size != 0)
            return {Step::misaligned, at};
        const char* const memory = user_memory(at, Prot::read);
        if (!memory)
            return {Step::load_fault, at};
        copy_user_bytes(&out, memory, size);
        if (i.funct3() < 3)
            out = static_cast<uint64_t>(as_signed(out << (64 - 8 * size)) >> (64 - 8 * size));
        set(out);
        break;
    }
    case 0x23: {
        const vaddr_t at = a + static_cast<uint64_t>(i.imm_s());
        if (i.funct3() > 3)
            return {Step::illegal, pc};
        const unsigned size = 1u << i.funct3();
        if (at % size != 0)
            return {Step::misaligned, at};
        char* const memory = user_memory(at, Prot::write);
        if (!memory)
            return {Step::store_fault, at};
        copy_user_bytes(memory, &b, size);
        break;
    }
    case 0x13: {
        // The shifts keep funct7 (without its lowest bit, which counts to the amount); the others have none.
        const bool shift = i.funct3() == 1 || i.funct3() == 5;
        const uint64_t operand = shift ? i.bits(20, 6) : static_cast<uint64_t>(i.imm_i());
        if (!alu(i.funct3(), shift ? i.bits(26, 6) << 1 : 0, a, operand, out))
            return {Step::illegal, pc};
        set(out);
        break;
    }
    case 0x33:
        if (i.funct7() == 1)
            out = multiply(i.funct3(), a, b);
        else if (!alu(i.funct3(), i.funct7(), a, b, out))
            return {Step::illegal, pc};
        set(out);
        break;
    case 0x1b:
    case 0x3b: {
        const bool immediate = i.opcode() == 0x1b;
        if (!immediate && i.funct7() == 1) {
            if (!multiply32(i.funct3(), a, b, out))
                return {Step::illegal, pc};
            set(out);
            break;
        }
        const bool shift = i.funct3() == 1 || i.funct3() == 5;
        if (!shift && i.funct3() != 0)
            return {Step::illegal, pc};
        const uint64_t operand = !immediate ? (shift ? b & 31 : b) : shift ? i.rs2() : static_cast<uint64_t>(i.imm_i());
        const unsigned funct7 = immediate && !shift ? 0 : i.funct7();
        const uint64_t left = i.funct3() != 5 ? a : funct7 == 0x20 ? extend32(a) : a & 0xffffffff;
        if (!alu(i.funct3(), funct7, left, operand, out))
            return {Step::illegal, pc};
        set(extend32(out));
        break;
    }
    case 0x2f: {
        const bool is_word = i.funct3() == 2;
        if (i.funct3() != 2 && i.funct3() != 3)
            return {Step::illegal, pc};
        const unsigned size = is_word ? 4 : 8;
        if (a % size != 0)
            return {Step::misaligned, a};
        char* const memory = user_memory(a, Prot::write);
        if (!memory)
            return {Step::store_fault, a};
        uint64_t old = 0;
        copy_user_bytes(&old, memory, size);
        if (!amo(i.bits(27, 5), old, b, is_word, out))
            return {Step::illegal, pc};
        copy_user_bytes(memory, &out, size);
        set(is_word ? extend32(old) : old);
        break;
    }
    case 0x0f: break; // fences: memory is sequentially consistent
    case 0x53:
        if (i.funct7() == 0x71 && i.funct3() == 0) // fmv.x.d
            set(fp.f[i.rs1()]);
        else if (i.funct7() == 0x79 && i.funct3() == 0) // fmv.d.x
            fp.f[i.rd()] = a;
        else
            return {Step::illegal, pc};
        break;
    case 0x73:
        if (word == 0x73)
            return {Step::call, pc};
        if (word == 0x100073)
            return {Step::breakpoint, pc};
        return {Step::illegal, pc};
    case 0x0b: return {Step::question, pc};
    default: return {Step::illegal, pc};
    }
    frame.pc_ = next;
    return {};
}

} // namespace lentil::host

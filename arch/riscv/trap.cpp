// SPDX-License-Identifier: BSD-2-Clause
// What a trap was, and who answers it.
#include <algorithm>
#include <riscv/errata.hpp>
#include <riscv/hart.hpp>

#include <debug/panic.hpp>
#include <libkern/format.hpp>
#include <machine/lent_frame.hpp>

namespace lentil::machine {

namespace {

using riscv::Cause;

static_assert(static_cast<unsigned>(Cause::user_ecall) == CAUSE_USER_ECALL && direct_call_limit == DIRECT_CALL_LIMIT &&
              static_cast<unsigned>(Cause::fetch_page_fault) == CAUSE_FIRST_PAGE_FAULT &&
              leaf_declines == LEAF_DECLINES && offsetof(DirectCalls, other) == DIRECT_CALL_OTHER &&
              sizeof(DirectCalls) == 16);

/// Where a faulting access of usercopy.S continues if its fault cannot be resolved (or semihosting.S, if nobody listens).
struct Fixup {
    uint64_t instruction;
    uint64_t target;
};
extern "C" const Fixup __ex_table_start[], __ex_table_end[];

/// In the table's order, which is that of the code.
constexpr auto by_instruction = [](const Fixup& f, uint64_t pc) { return f.instruction < pc; };

const Fixup* find_fixup(uint64_t pc) {
    const Fixup* const f = std::lower_bound(__ex_table_start, __ex_table_end, pc, by_instruction);
    return f != __ex_table_end && f->instruction == pc ? f : nullptr;
}

/// What an access of this cause wanted; none if it is no page fault.
Prot page_fault_access(Cause cause) {
    switch (cause) {
    case Cause::fetch_page_fault: return Prot::exec;
    case Cause::load_page_fault: return Prot::read;
    case Cause::store_page_fault: return Prot::write;
    default: return Prot::none;
    }
}

/// stval of a fetch fault, as it was meant.
void correct_address(Trapframe& frame) {
    const Cause cause = static_cast<Cause>(frame.scause);
    if ((cause == Cause::fetch_page_fault || cause == Cause::fetch_access) && has_erratum(Erratum::fault_address))
        frame.stval = sign_extended_fault(frame.stval);
}

UserException exception_of(Cause cause) {
    switch (cause) {
    case Cause::breakpoint: return UserException::breakpoint;
    case Cause::fetch_misaligned:
    case Cause::load_misaligned:
    case Cause::store_misaligned: return UserException::misaligned;
    case Cause::fetch_access:
    case Cause::load_access:
    case Cause::store_access: return UserException::access_fault;
    default: return UserException::illegal_instruction;
    }
}

void interrupt(uint64_t cause) {
    switch (cause & ~riscv::interrupt_bit) {
    case riscv::irq_software: return ipi_receive();
    case riscv::irq_timer:
        timer_arm(no_deadline); // until the handler arms the next
        if (hooks.timer_interrupt)
            hooks.timer_interrupt();
        return;
    case riscv::irq_external:
        if (hooks.external_interrupt)
            return hooks.external_interrupt();
        riscv::csr_clear<riscv::Csr::sie>(1 << riscv::irq_external);
        kprint("riscv: external interrupt without a handler: switched off\n");
        return;
    default: kprint("riscv: unknown interrupt {:#x}\n", cause);
    }
}

/// What pends on a way back to user mode. The frame is whole: all of it may be read and changed.
void prepare_user(Trapframe& frame) {
    ThreadArch& ta = arch_of(current_thread());
    while (ta.ast_pending.load(std::memory_order_acquire) != 0)
        hooks.ast(frame);
    fp_enter_user(ta, frame);
    // Only the floating-point state is the frame's to choose: user mode, interrupts on, 64 bits.
    const uint64_t fixed = riscv::csr_read<riscv::Csr::sstatus>() & riscv::sstatus_uxl;
    frame.sstatus = (frame.sstatus & riscv::sstatus_fs) | riscv::sstatus_spie | fixed;
}

} // namespace

void fixups_check() {
    ASSERT(std::is_sorted(__ex_table_start, __ex_table_end,
                          [](const Fixup& a, const Fixup& b) { return a.instruction < b.instruction; }));
}

extern "C" void riscv_prepare_user(Trapframe& frame) { prepare_user(frame); }

extern "C" [[noreturn]] void riscv_enter_user_beside(Trapframe* frame, Trapframe* below);

bool frame_can_stay(const ThreadArch& ta) {
    constexpr uint64_t depth = 15 << 10; // what is left must be about a whole stack: one or two may stay
    return reinterpret_cast<uint64_t>(ta.frame - 1) - ta.stack_limit >= depth;
}

void enter_user_beside(ThreadArch& ta) {
    irq_disable();
    if (ta.ast_pending.load(std::memory_order_acquire) == 0 && ta.fp_pending == 0) [[likely]]
        riscv_enter_user_beside(ta.frame, ta.frame - 1);
    irq_enable();
}

void frame_returns(ThreadArch& ta, Trapframe& frame) { ta.frame = &frame; }

/// A system call that is not entered directly; the frame is whole. Returns the one to go on from: a borrower's execve goes back
/// to the lender's (machine/lent_frame.hpp).
extern "C" Trapframe* riscv_user_call(Trapframe& frame) {
    frame.orig_a0 = frame.reg(Trapframe::a0);
    irq_enable();
    hooks.syscall(frame);
    irq_disable();
    Trapframe& now = *arch_of(current_thread()).frame;
    prepare_user(now);
    return &now;
}

/// The same for a leaf that wants the frame.
extern "C" Trapframe* riscv_user_call_with_frame(Trapframe& frame) {
    frame.orig_a0 = frame.reg(Trapframe::a0);
    irq_enable();
    if (!hooks.call_with_frame(frame)) {
        arch_of(current_thread()).direct_calls--; // counted as one, and now as the other
        hooks.syscall(frame);
    }
    irq_disable();
    Trapframe& now = *arch_of(current_thread()).frame;
    prepare_user(now);
    return &now;
}

/// Any other trap from user mode. After an interrupt or a page fault the frame has only what C functions may change.
extern "C" void riscv_user_trap(Trapframe& frame) {
    if (frame.scause & riscv::interrupt_bit)
        return interrupt(frame.scause);
    const Cause cause = static_cast<Cause>(frame.scause);
    if (cause == Cause::illegal_instruction && fp_first_use(frame))
        return;
    correct_address(frame);
    irq_enable();
    if (const Prot access = page_fault_access(cause); access != Prot::none)
        hooks.page_fault(frame, frame.stval, access, false);
    else
        hooks.user_exception(frame, exception_of(cause), frame.stval);
    irq_disable();
}

extern "C" void riscv_kernel_trap(Trapframe& frame) {
    if (frame.scause & riscv::interrupt_bit) {
        interrupt(frame.scause);
        if (hooks.kernel_preempt)
            hooks.kernel_preempt();
        return;
    }
    correct_address(frame);
    const Fixup* const fixup = find_fixup(frame.sepc);
    const Cause cause = static_cast<Cause>(frame.scause);
    if (!fixup || (frame.stval >= Pte::user_end && cause != Cause::breakpoint))
        panic_at(frame, "a trap in the kernel");
    // With interrupts off it could not be waited for: the access fails (a leaf's, see user_access.hpp).
    if (const Prot access = page_fault_access(cause);
        access != Prot::none && hooks.page_fault && (frame.sstatus & riscv::sstatus_spie)) {
        irq_enable();
        const bool resolved = hooks.page_fault(frame, frame.stval, access, true);
        irq_disable();
        if (resolved)
            return;
    }
    frame.sepc = fixup->target;
}

extern "C" void riscv_stack_overflow(Trapframe& frame) { panic_at(frame, "kernel stack overflow"); }

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// Faults of user mode become signals.
#include <bsd/oom.hpp>
#include <bsd/ptrace.hpp>
#include <bsd/signal_impl.hpp>
#include <vm/vm_user.hpp>

namespace lentil {

void user_exception(machine::Trapframe& frame, machine::UserException what, vaddr_t address) {
    using machine::UserException;
    Uthread& self = current_uthread();
    self.in_syscall = false;
    if (self.step.original != 0 && ptrace_step_disarm(self, frame) && what == UserException::breakpoint) [[unlikely]]
        return;
    SigInfo info;
    switch (what) {
    case UserException::illegal_instruction:
        info = {.signo = sig_ill, .code = si_code::ill_illopc, .address = frame.pc()};
        break;
    case UserException::breakpoint:
        info = {.signo = sig_trap, .code = si_code::trap_brkpt, .address = frame.pc()};
        break;
    case UserException::misaligned: info = {.signo = sig_bus, .code = si_code::bus_adraln, .address = address}; break;
    case UserException::access_fault: // as Linux riscv reports it
        info = {.signo = sig_segv, .code = si_code::segv_accerr, .address = address};
        break;
    }
    signal_force(info);
}

bool user_page_fault(machine::Trapframe& frame, vaddr_t address, machine::Prot access, bool in_kernel) {
    if (!has_uthread() || !current_thread().map)
        return false;
    Uthread& self = current_uthread();
    FaultResult result = FaultResult::no_mapping;
    const uint64_t read_before = self.usage.blocks_in;
    const uint32_t fail_nth = checks_enabled ? std::exchange(self.fail_nth, 0) : 0; // of calls, not of faults
    if (user_range_ok(address, 1))
        do
            result = current_map().fault(address, access);
        while (result == FaultResult::out_of_memory && oom_make_room());
    if constexpr (checks_enabled)
        self.fail_nth = fail_nth;
    if (result == FaultResult::ok) [[likely]] {
        (self.usage.blocks_in == read_before ? self.usage.minor_faults : self.usage.major_faults)++;
        return true;
    }
    SigInfo info{.signo = sig_segv, .address = address};
    switch (result) {
    case FaultResult::ok: break;
    case FaultResult::no_mapping: info.code = si_code::segv_maperr; break;
    case FaultResult::protection: info.code = si_code::segv_accerr; break;
    case FaultResult::beyond_end:
        info.signo = sig_bus;
        info.code = si_code::bus_adrerr;
        break;
    case FaultResult::out_of_memory: // The caller is ending.
        // Also for the kernel's own copies: EFAULT would tell the program a lie about its pointer.
        return false;
    }
    if (in_kernel)
        return false;
    self.in_syscall = false;
    if (self.step.original != 0) [[unlikely]]
        (void)ptrace_step_disarm(self, frame);
    signal_force(info);
    return false;
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
#include <abi/leaf_calls.hpp>
#include <abi/signal_frame.hpp>
#include <abi/syscall.hpp>
#include <boot/user_traps.hpp>
#include <bsd/signal.hpp>
#include <bsd/uthread.hpp>
#include <sched/hart.hpp>

namespace lentil {
namespace {

bool on_page_fault(machine::Trapframe& frame, vaddr_t address, machine::Prot access, bool in_kernel) {
    HartCounters::bump(current_hart().counters.page_faults); // lost or misplaced if it moves just now: no matter
    return user_page_fault(frame, address, access, in_kernel);
}

/// Everything that waits for a thread to return to user mode: another thread's turn, signals, stops, its end.
void on_ast(machine::Trapframe& frame) {
    Thread& self = current_thread();
    while (self.arch.ast_pending.exchange(0, std::memory_order_acq_rel) != 0) {
        if (self.need_resched.load(std::memory_order_relaxed) != 0)
            sched_user_preempt();
        const Uthread& uthread = current_uthread();
        if (self.interrupt_level.load(std::memory_order_relaxed) != 0 || uthread.in_syscall ||
            uthread.sig.has_saved_mask)
            signal_ast(frame);
    }
}

} // namespace

void install_user_traps() {
    machine::hooks.syscall = abi::dispatch;
    machine::hooks.call_with_frame = abi::call_with_frame;
    machine::hooks.page_fault = on_page_fault;
    machine::hooks.user_exception = user_exception;
    machine::hooks.ast = on_ast;
    abi::signal_init();
    abi::syscalls_init();
}

} // namespace lentil

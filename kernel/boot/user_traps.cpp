// SPDX-License-Identifier: BSD-2-Clause
#include <abi/signal_frame.hpp>
#include <abi/syscall.hpp>
#include <boot/user_traps.hpp>
#include <bsd/signal.hpp>
#include <bsd/uthread.hpp>
#include <sched/hart.hpp>

namespace lentil {
namespace {

/// User time ends where a trap begins, and begins where it ends.
class KernelTime {
public:
    KernelTime() { sched_enter_kernel(current_thread()); }
    ~KernelTime() { sched_leave_kernel(current_thread()); }
    KernelTime(const KernelTime&) = delete;
    KernelTime& operator=(const KernelTime&) = delete;
};

void on_syscall(machine::Trapframe& frame) {
    KernelTime time;
    abi::dispatch(frame);
}

bool on_page_fault(machine::Trapframe& frame, vaddr_t address, machine::Prot access, bool in_kernel) {
    HartCounters::bump(current_hart().counters.page_faults); // lost or misplaced if it moves just now: no matter
    if (in_kernel)                                           // inside a user copy: the time is the kernel's already
        return user_page_fault(frame, address, access, true);
    KernelTime time;
    return user_page_fault(frame, address, access, false);
}

void on_user_exception(machine::Trapframe& frame, machine::UserException what, vaddr_t address) {
    KernelTime time;
    user_exception(frame, what, address);
}

/// Everything that waits for a thread to return to user mode: another thread's turn, signals, stops, its end.
void on_ast(machine::Trapframe& frame) {
    Thread& self = current_thread();
    KernelTime time;
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
    machine::hooks.syscall = on_syscall;
    machine::hooks.page_fault = on_page_fault;
    machine::hooks.user_exception = on_user_exception;
    machine::hooks.ast = on_ast;
    abi::signal_init();
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Single steps. RISC-V has none in user mode, so the instruction is executed elsewhere: jumps and what reads pc are done by
// the kernel, system calls and breakpoints trap by themselves, everything else runs as a copy in the vdso page with
// breakpoints behind it. The program's own code is not touched: it may be shared with a lender, or run by other threads.
//
// A copy is set up on the way to user mode (arm) and dissolved at the next signal, fault or breakpoint (disarm), when pc
// tells whether it ran. Other traps find the thread in its copy, and leave it there.
#include <algorithm>
#include <cstring>

#include <bsd/ptrace_impl.hpp>
#include <bsd/vdso.hpp>

namespace lentil {

using signals::SignalGuard;

namespace {

constexpr size_t first_place = LENTIL_VDSO_FREE; ///< of the vdso page
constexpr unsigned places = (page_size - first_place) / machine::step_room;
static_assert(places <= 32);

/// A free place, or 0 while all are in use.
vaddr_t take_place(VmMap& map) {
    uint32_t used = map.step_places.load(std::memory_order_relaxed);
    for (;;) {
        const unsigned n = static_cast<unsigned>(std::countr_one(used));
        if (n >= places)
            return 0;
        if (map.step_places.compare_exchange_weak(used, used | 1U << n, std::memory_order_acquire))
            return map.layout.vdso + first_place + n * machine::step_room;
    }
}

void leave_place(VmMap& map, vaddr_t place) {
    const size_t n = (place - map.layout.vdso - first_place) / machine::step_room;
    map.step_places.fetch_and(~(1U << n), std::memory_order_release);
}

bool wants_step(const Uthread& self) {
    SignalGuard guard(self.proc->sig.lock);
    const Tracing* tracing = self.traced.load(std::memory_order_relaxed);
    return tracing && tracing->resume == TraceResume::step && tracing->traps == 0;
}

/// The instruction was executed.
void report_step(Uthread& self) {
    SignalGuard guard(self.proc->sig.lock);
    Tracing* tracing = self.traced.load(std::memory_order_relaxed);
    if (!tracing || tracing->resume != TraceResume::step)
        return; // nobody asks any more
    tracing->traps |= Tracing::trap_step;
    signal_recalculate(self);
}

} // namespace

bool ptrace_step_arm(Uthread& self, machine::Trapframe& frame) {
    if (!wants_step(self))
        return true;
    VmMap& map = current_map();
    uint8_t code[machine::step_room];
    const size_t known = map.read_memory(frame.pc(), code, sizeof code / 2);
    const vaddr_t original = frame.pc();
    const machine::StepPlan plan = machine::step_plan(frame, std::span(code).first(known));
    switch (plan.kind) {
    case machine::StepPlan::Kind::in_place: return true;
    case machine::StepPlan::Kind::done: report_step(self); return false;
    case machine::StepPlan::Kind::copied: break;
    }
    for (size_t at = plan.length; at < sizeof code; at += sizeof machine::step_fill)
        std::memcpy(code + at, machine::step_fill, sizeof machine::step_fill);
    vaddr_t place = 0;
    while (map.layout.vdso != 0 && (place = take_place(map)) == 0)
        thread_yield();
    if (place == 0 || map.write_memory(place, code, sizeof code, true) != sizeof code) {
        // The program unmapped the page: an honest end is better than a step that never stops.
        if (place != 0)
            leave_place(map, place);
        signal_begin_group_exit(*self.proc, sig_segv);
        return false;
    }
    self.step = {original, place, static_cast<uint32_t>(plan.length)};
    frame.set_pc(place);
    return true;
}

bool ptrace_step_disarm(Uthread& self, machine::Trapframe& frame) {
    const Uthread::SingleStep step = std::exchange(self.step, {});
    leave_place(current_map(), step.copy);
    const vaddr_t offset = frame.pc() - step.copy;
    if (offset < machine::step_room)
        frame.set_pc(step.original + offset);
    if (offset == 0)
        return false;
    report_step(self);
    return true;
}

} // namespace lentil

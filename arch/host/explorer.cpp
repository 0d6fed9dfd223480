// SPDX-License-Identifier: BSD-2-Clause
// The seeded scheduler of the simulated harts: stacks, interrupts, time, and who goes on.
#include <cstdlib>
#include <cstring>
#include <host/explorer.hpp>
#if defined(LENTIL_TSAN)
#include <sanitizer/tsan_interface.h>
#else
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#include <sys/mman.h>

extern "C" {
void host_switch_stack(void** save_sp, void* load_sp);
[[noreturn]] void host_start_stack(void* top, void (*function)());
}

namespace lentil::machine {

namespace {

host::Plan plan;
uint64_t random_state = 0;
uint64_t points = 0, switches = 0;
uint64_t stalled_until[max_harts] = {}; ///< the point when the hart's host lets it run again
unsigned lonely_spins = 0;              ///< of a hart that waits for another while none can go on

HostHart& self() { return host_harts[host_hart]; }

uint64_t random_word() { // splitmix64
    uint64_t z = random_state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
bool one_in(uint64_t n) { return random_word() % n == 0; }

// ---- stacks ------------------------------------------------------------------------------------------------------------

constexpr size_t stack_size = 256 << 10;
/// Each begins with the address of the next. (No container of the library: the thread sanitizer watches what that calls.)
char* spare_stacks = nullptr;

void take_stack(Flow& flow) {
    flow.size = stack_size;
    if (spare_stacks) {
        flow.bottom = spare_stacks;
        std::memcpy(&spare_stacks, flow.bottom, sizeof spare_stacks);
        return;
    }
    void* const at = ::mmap(nullptr, page_size + stack_size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT(at != MAP_FAILED && ::mprotect(at, page_size, PROT_NONE) == 0);
    flow.bottom = static_cast<char*>(at) + page_size;
}

/// Whatever lay on the stack is gone.
void clear_stack([[maybe_unused]] const Flow& flow) {
#if !defined(LENTIL_TSAN)
    __asan_unpoison_memory_region(flow.bottom, flow.size);
#endif
}

/// `function` runs on the flow's stack at the next switch to it.
void prepare(Flow& flow, void (*function)()) {
    take_stack(flow);
    clear_stack(flow);
#if defined(LENTIL_TSAN)
    flow.sanitizer = __tsan_create_fiber(0); // what was done before it starts is ordered before it
    __tsan_acquire(flow.bottom);             // and so is what the stack was used for before
#endif
    // As host_switch_stack leaves it: registers that do not matter, the address to return to, and above it what a function
    // finds where its caller's return address would be.
    auto** const top = reinterpret_cast<void**>(flow.bottom + flow.size);
#if defined(__aarch64__)
    constexpr size_t saved = 20, return_address = 11;
#else
    constexpr size_t saved = 6, return_address = 6;
#endif
    void** const frame = top - saved - 2;
    for (void** word = frame; word < top; word++)
        *word = nullptr;
    frame[return_address] = reinterpret_cast<void*>(function);
    flow.sp = frame;
}

#if defined(LENTIL_TSAN)
// The thread sanitizer takes every flow for a thread. What one hart does in its order is ordered; that another hart goes on
// orders nothing, as if both ran at the same time.
void switch_flow(Flow& from, Flow& to, bool same_hart) {
    from.sanitizer = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(to.sanitizer, same_hart ? 0 : __tsan_switch_to_fiber_no_sync);
    host_switch_stack(&from.sp, to.sp);
}
void entered() {}
#else
void switch_flow(Flow& from, Flow& to, bool) {
    __sanitizer_start_switch_fiber(&from.sanitizer, to.bottom, to.size);
    host_switch_stack(&from.sp, to.sp);
    __sanitizer_finish_switch_fiber(from.sanitizer, nullptr, nullptr);
}

/// First thing on a new stack.
void entered() { __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr); }
#endif

void run_thread() {
    entered();
    // Nobody else touches what the hart runs before this thread does.
    Context* const context = reinterpret_cast<Context*>(reinterpret_cast<char*>(self().flow) - offsetof(Context, flow));
    context->entry(context->arg);
    panic("a thread's first function returned");
}

void run_boot_flow() {
    entered();
    if (host_hart == 0)
        plan.boot();
    else
        plan.secondary(host_hart);
    panic("a hart's first function returned");
}

// ---- harts -------------------------------------------------------------------------------------------------------------

bool interrupt_pends(const HostHart& hart) { return hart.ipis != 0 || hart.timer <= now_ns(); }
bool can_go_on(const HostHart& hart) { return hart.up && (!hart.waiting || interrupt_pends(hart)); }

/// Another hart that can go on, one that does not stall if there is; host_hart itself if there is none.
unsigned choose_other() {
    unsigned candidates[max_harts];
    unsigned n = 0;
    for (const bool any : {false, true}) {
        for (unsigned i = 0; i < boot_info.hart_count; i++)
            if (i != host_hart && can_go_on(host_harts[i]) && (any || stalled_until[i] <= points))
                candidates[n++] = i;
        if (n > 0)
            return candidates[n == 1 ? 0 : random_word() % n];
    }
    return host_hart;
}

void go_on_with(unsigned hart) {
    if (hart == host_hart)
        return;
    switches++;
    lonely_spins = 0;
    Flow& from = *self().flow;
    host_hart = hart;
    switch_flow(from, *self().flow, false);
}

void count_point() {
    if (++points > plan.most_points)
        panic("the run does not end");
    host::pass_time(static_cast<nanos_t>(random_word() % static_cast<uint64_t>(plan.step_ns)) + 1);
}

/// One of the interrupts that pend, with interrupts disabled on return.
void take_interrupt() {
    HostHart& hart = self();
    hart.irq_enabled = false;
    hart.waiting = false;
    const bool timer = hart.timer <= now_ns();
    if (hart.ipis != 0 && (!timer || one_in(2))) {
        const uint32_t reasons = hart.ipis;
        hart.ipis = 0;
        hooks.ipi(static_cast<Ipi>(reasons));
    } else if (timer) {
        hart.timer = no_deadline;
        hooks.timer_interrupt();
    }
}

void pass_point() {
    count_point();
    if (plan.stall_one_in != 0 && one_in(plan.stall_one_in))
        stalled_until[host_hart] = points + random_word() % plan.longest_stall;
    else if (!one_in(plan.switch_one_in))
        return;
    go_on_with(choose_other());
}

/// The kernel is interrupted here, if it is to be.
void maybe_interrupt_kernel() {
    // An interrupt may come late.
    if (!self().irq_enabled || !interrupt_pends(self()) || one_in(2))
        return;
    take_interrupt();
    hooks.kernel_preempt();
    self().irq_enabled = true; // maybe on another hart
}

} // namespace

Context::~Context() {
    if (flow.bottom) {
        clear_stack(flow);
#if defined(LENTIL_TSAN)
        __tsan_release(flow.bottom);
        if (flow.sanitizer)
            __tsan_destroy_fiber(flow.sanitizer);
#endif
        std::memcpy(flow.bottom, &spare_stacks, sizeof spare_stacks);
        spare_stacks = flow.bottom;
    }
}

void explore_point() {
    pass_point();
    maybe_interrupt_kernel();
}

void explore_relax() {
    count_point();
    const unsigned other = choose_other();
    if (other == host_hart && ++lonely_spins > 100'000)
        panic("a hart waits for another for ever");
    go_on_with(other);
    maybe_interrupt_kernel();
}

void explore_wait_for_interrupt() {
    count_point();
    self().waiting = true;
    while (!interrupt_pends(self())) {
        const unsigned other = choose_other();
        if (other != host_hart) {
            go_on_with(other);
            continue;
        }
        // Nobody can go on: time jumps to the first timer.
        if (plan.standstill)
            plan.standstill();
        nanos_t first = no_deadline;
        for (unsigned i = 0; i < boot_info.hart_count; i++)
            if (host_harts[i].up && host_harts[i].timer < first)
                first = host_harts[i].timer;
        if (first == no_deadline)
            panic("stuck: every hart waits, and no timer is set");
        if (first > now_ns())
            host::set_time(first);
    }
    self().waiting = false;
}

void explore_switch(Context& from, Context& to) {
    HostHart& hart = self();
    if (from.flow.bottom == nullptr && hart.flow == &hart.boot) { // the hart's idle thread, on the stack it began on
        from.flow.bottom = hart.boot.bottom;
        from.flow.size = hart.boot.size;
        hart.boot.bottom = nullptr;
    }
    ASSERT(!hart.irq_enabled && from.flow.bottom);
    if (to.flow.bottom == nullptr)
        prepare(to.flow, run_thread);
    hart.flow = &to.flow;
    switch_flow(from.flow, to.flow, true);
}

Result<void> hart_start(unsigned index) {
    if (!exploring || index >= boot_info.hart_count)
        return Errno::nosys;
    HostHart& hart = host_harts[index];
    ASSERT(!hart.up);
    prepare(hart.boot, run_boot_flow);
    hart.flow = &hart.boot;
    hart.up = true;
    return {};
}

void power(PowerAction action) {
    if (exploring)
        plan.powered_off(action);
    panic("the machine was switched off");
}

void early_console_write(std::string_view) {}

// ---- user mode ---------------------------------------------------------------------------------------------------------

namespace {

ThreadArch& current_arch() { return *reinterpret_cast<ThreadArch*>(current_thread()); }

void prepare_user(Trapframe& frame) {
    ThreadArch& ta = current_arch();
    while (ta.ast_pending.load(std::memory_order_acquire) != 0)
        hooks.ast(frame);
}

/// A system call that is a leaf and does not decline: done here, as trap.S of riscv does it.
bool leaf_done(Trapframe& frame) {
    ThreadArch& ta = current_arch();
    const uint64_t number = frame.get(Trapframe::a7);
    if (!plan.direct_calls || number >= direct_call_limit || ta.calls_watched.load(std::memory_order_relaxed) != 0)
        return false;
    const uintptr_t first = plan.direct_calls[number].first.load(std::memory_order_acquire);
    if ((first & leaf_mark) == 0)
        return false;
    irq_disable();
    const int64_t result = reinterpret_cast<DirectCall>(first ^ leaf_mark)(frame.arg(0), frame.arg(1), frame.arg(2),
                                                                           frame.arg(3), frame.arg(4), frame.arg(5));
    irq_enable();
    if (result == leaf_declines || (result == leaf_wants_frame && !hooks.call_with_frame(frame)))
        return false;
    if (result == leaf_wants_frame)
        return true;
    ta.direct_calls++;
    frame.set_return(static_cast<uint64_t>(result));
    return true;
}

/// The kernel's part of a synchronous trap; interrupts are enabled.
void synchronous_trap(Trapframe& frame, host::Stepped trap) {
    using host::Step;
    const auto exception = [&](UserException what) { hooks.user_exception(frame, what, trap.address); };
    switch (trap.what) {
    case Step::call:
        frame.orig_a0 = frame.reg(Trapframe::a0);
        frame.pc_ += 4;
        if (!leaf_done(frame))
            hooks.syscall(frame);
        break;
    case Step::fetch_fault: hooks.page_fault(frame, trap.address, Prot::exec, false); break;
    case Step::load_fault: hooks.page_fault(frame, trap.address, Prot::read, false); break;
    case Step::store_fault: hooks.page_fault(frame, trap.address, Prot::write, false); break;
    case Step::illegal: exception(UserException::illegal_instruction); break;
    case Step::breakpoint: exception(UserException::breakpoint); break;
    case Step::misaligned: exception(UserException::misaligned); break;
    case Step::done:
    case Step::question: break;
    }
}

[[noreturn]] void run_user() {
    ThreadArch& ta = current_arch();
    Trapframe& frame = ta.frame;
    prepare_user(frame);
    for (;;) {
        self().irq_enabled = true;
        pass_point();
        if (interrupt_pends(self()) && !one_in(4)) {
            take_interrupt();
            prepare_user(frame);
            continue;
        }
        host::Stepped trap;
        ta.system_ticks.store(ta.system_ticks.load(std::memory_order_relaxed) + static_cast<int64_t>(ticks()),
                              std::memory_order_relaxed);
        for (uint64_t n = random_word() % plan.burst + 1; n > 0 && trap.what == host::Step::done; n--)
            trap = host::user_step(frame, ta.fp);
        ta.system_ticks.store(ta.system_ticks.load(std::memory_order_relaxed) - static_cast<int64_t>(ticks()),
                              std::memory_order_relaxed);
        if (trap.what == host::Step::done)
            continue;
        if (trap.what == host::Step::question) {
            irq_disable();
            plan.question(frame);
            frame.pc_ += 4;
            prepare_user(frame);
            continue;
        }
        if (plan.trapped)
            plan.trapped(frame, trap, false);
        synchronous_trap(frame, trap);
        if (plan.trapped)
            plan.trapped(frame, trap, true);
        irq_disable();
        prepare_user(frame);
    }
}

void enter_user_mode() {
    // The stack is new as far as anybody knows: what was called before will not return.
    run_user();
}

} // namespace

void explore_enter_user() {
    ASSERT(!self().irq_enabled);
    const Flow& flow = *self().flow;
#if !defined(LENTIL_TSAN)
    __asan_handle_no_return();
#endif
    clear_stack(flow);
    host_start_stack(flow.bottom + flow.size, enter_user_mode);
}

} // namespace lentil::machine

namespace lentil::host {

using namespace machine;

uint64_t explored_points() { return points; }
uint64_t explored_switches() { return switches; }
uint64_t explore_random(uint64_t limit) { return random_word() % limit; }

bool others_wait() {
    for (unsigned i = 0; i < boot_info.hart_count; i++)
        if (i != host_hart && can_go_on(host_harts[i]))
            return false;
    return true;
}

void explore(const Plan& p) {
    plan = p;
    random_state = p.seed;
    exploring = true;
    MUST(hart_start(0)); // it was not
    static Flow outside;
    switch_flow(outside, host_harts[0].boot, true);
    std::abort();
}

} // namespace lentil::host

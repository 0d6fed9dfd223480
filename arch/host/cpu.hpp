// SPDX-License-Identifier: BSD-2-Clause
// The simulated harts. Without explore() (explorer.hpp) there is one flow of control, which is on one of them at a time
// (simulator.hpp); with it each hart has its own, and one of them runs at a time.
#pragma once

#include <atomic>

#include <libkern/assert.hpp>
#include <libkern/hartset.hpp>
#include <libkern/types.hpp>

namespace lentil {
struct Thread;
}

namespace lentil::machine {

struct AddressSpace;

struct Trapframe {
    uint64_t x[31] = {}; ///< x1 .. x31, as riscv64 user mode numbers them
    vaddr_t pc_ = 0;
    uint64_t orig_a0 = 0;
    bool user = true;

    uint64_t& reg(unsigned n) { return x[n - 1]; }
    uint64_t get(unsigned n) const { return x[n - 1]; }
    static constexpr unsigned ra = 1, sp_ = 2, tp = 4, a0 = 10, a1 = 11, a7 = 17;

    int64_t syscall_number() const { return static_cast<int64_t>(get(a7)); }
    uint64_t arg(unsigned i) const { return get(a0 + i); }
    void set_arg(unsigned i, uint64_t v) { reg(a0 + i) = v; }
    void set_return(uint64_t v) { reg(a0) = v; }
    void set_return2(uint64_t v) { reg(a1) = v; }
    uint64_t return_value() const { return get(a0); }
    vaddr_t pc() const { return pc_; }
    void set_pc(vaddr_t v) { pc_ = v; }
    vaddr_t sp() const { return get(sp_); }
    void set_sp(vaddr_t v) { reg(sp_) = v; }
    void set_tls(uint64_t v) { reg(tp) = v; }
    void set_link(vaddr_t v) { reg(ra) = v; }
    void restart_syscall() {
        pc_ -= 4;
        reg(a0) = orig_a0;
    }
    bool from_user() const { return user; }
};

struct FpState {
    uint64_t f[32] = {};
    uint64_t fcsr = 0;
};

struct ThreadArch {
    Trapframe frame;
    void* stack_limit = nullptr;
    void* stack_top = nullptr;
    std::atomic<uint32_t> ast_pending{0};
    std::atomic<uint32_t> calls_watched{0};
    uint64_t direct_calls = 0; ///< leaf calls: the simulated trap knows no other direct ones
    Word<int64_t> system_ticks{0};
    FpState fp;

    void set_stack(void* bottom, void* top) {
        stack_limit = bottom;
        stack_top = top;
    }
    void take_stack(const ThreadArch& other) { set_stack(other.stack_limit, other.stack_top); }
};

/// A host stack with what was running on it.
struct Flow {
    void* sp = nullptr; ///< while it does not run
    char* bottom = nullptr;
    size_t size = 0;
    void* sanitizer = nullptr; ///< what the address sanitizer keeps for it meanwhile
};

/// A thread runs on a stack of the host's: sanitizers need more room than the kernel gives. It is there from the first
/// switch to the end of the thread.
struct Context {
    Flow flow;
    void (*entry)(void*) = nullptr;
    void* arg = nullptr;

    void init(void*, void (*function)(void*), void* argument) {
        entry = function;
        arg = argument;
    }
    Context() = default;
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;
    ~Context();
};

struct HostHart {
    Thread* thread = nullptr;
    AddressSpace* space = nullptr;
    bool irq_enabled = false;
    // -- under explore() only ------------------------------------------------------------------------------------------
    bool up = false;
    bool waiting = false; ///< for an interrupt
    uint32_t ipis = 0;    ///< reasons that wait to be taken
    nanos_t timer = no_deadline;
    Flow* flow = nullptr; ///< what runs here, or will go on here
    Flow boot;
};
inline constinit HostHart host_harts[max_harts];
inline constinit unsigned host_hart = 0; ///< where the flow of control is
/// The harts are explore()'s: every point below may let others go on before this one does.
inline constinit bool exploring = false;

/// A place where another hart may go on first, or an interrupt may come if they are enabled.
void explore_point();
/// The same for a hart that waits for another.
void explore_relax();
void explore_wait_for_interrupt();
void explore_switch(Context& from, Context& to);
[[noreturn]] void explore_enter_user();

inline uint64_t ticks() { return static_cast<uint64_t>(now_ns()); }

inline Thread* current_thread() { return host_harts[host_hart].thread; }
inline void set_current_thread(Thread* thread) { host_harts[host_hart].thread = thread; }
inline unsigned hart_index() { return host_hart; }

/// Of leaf system calls: a fault is not resolved.
bool leaf_copy(void* to, vaddr_t from, size_t n);
bool leaf_copy(vaddr_t to, const void* from, size_t n);
template<size_t n>
bool leaf_read_words(uint64_t (&to)[n], vaddr_t from) {
    return leaf_copy(to, from, sizeof to);
}
template<size_t n>
bool leaf_write_words(vaddr_t to, const uint64_t (&from)[n]) {
    return leaf_copy(to, from, sizeof from);
}
/// Functions may lie at odd addresses here, but in the lower half of all.
inline constexpr uintptr_t leaf_mark = uintptr_t{1} << 63;
inline uintptr_t leaf_call(int64_t (*leaf)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t)) {
    return reinterpret_cast<uintptr_t>(leaf) | leaf_mark;
}

inline bool irq_save() {
    if (exploring)
        explore_point();
    const bool was = host_harts[host_hart].irq_enabled;
    host_harts[host_hart].irq_enabled = false;
    return was;
}
inline void irq_enable() {
    host_harts[host_hart].irq_enabled = true;
    if (exploring)
        explore_point();
}
inline void irq_disable() { host_harts[host_hart].irq_enabled = false; }
inline void irq_restore(bool enabled) {
    if (enabled)
        irq_enable();
    else if (exploring)
        explore_point();
}
inline bool irq_enabled() { return host_harts[host_hart].irq_enabled; }
inline void cpu_relax() {
    if (!exploring)
        panic("waiting for another hart, but there is one flow of control");
    explore_relax();
}
inline void wait_for_interrupt() {
    if (!exploring)
        panic("waiting for an interrupt, but none is simulated");
    explore_wait_for_interrupt();
}
template<size_t n>
bool user_read_words(uint64_t* to, vaddr_t from) {
    return user_read(to, from, n * 8) == n * 8;
}
template<size_t n>
bool user_write_words(vaddr_t to, const uint64_t* from) {
    return user_write(to, from, n * 8) == n * 8;
}

inline void context_switch(Context& from, Context& to) {
    if (!exploring)
        panic("a context switch, but there is one flow of control");
    explore_switch(from, to);
}
inline Trapframe& user_frame(ThreadArch& ta) { return ta.frame; }
[[noreturn]] inline void enter_user(Trapframe&) {
    if (!exploring)
        panic("user mode, but there is one flow of control");
    explore_enter_user();
}

// The floating-point registers are always in their place.
inline void fp_init(ThreadArch& ta) { ta.fp = {}; }
inline void fp_save(ThreadArch&) {}
inline void fp_load(ThreadArch&) {}
inline void fp_expect(ThreadArch&) {}
inline uint32_t fp_mark(const ThreadArch&) { return 0; }
inline bool fp_unchanged(const ThreadArch&, uint32_t) { return false; }

} // namespace lentil::machine

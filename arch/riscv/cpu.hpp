// SPDX-License-Identifier: BSD-2-Clause
// What the arch keeps per hart and per thread, and the inline operations of the running hart.
#pragma once

#include <atomic>
#include <cstddef>
#include <riscv/context.hpp>
#include <riscv/layout.hpp>

#include <libkern/word.hpp>

namespace lentil {
struct Thread;
}

namespace lentil::machine {

struct HartArch;

/// A thread's floating-point registers (double precision) as user mode left them. Whoever makes a thread that will run in user
/// mode copies another's, or calls fp_init().
struct FpState {
    uint64_t f[32];
    uint64_t fcsr;
};

/// Behaves as a word that is 0 or 1; kept as what trap.S compares the number of a system call with.
class CallLimit {
public:
    void store(uint32_t watched, std::memory_order order) { limit_.store(watched ? 0 : DIRECT_CALL_LIMIT, order); }

private:
    Word<uint64_t> limit_{DIRECT_CALL_LIMIT};
};

/// The mark by which trap.S knows a leaf. Functions lie at even addresses, and a jump drops it.
inline uintptr_t leaf_call(int64_t (*leaf)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t)) {
    return reinterpret_cast<uintptr_t>(leaf) + DIRECT_CALL_LEAF;
}

/// The arch's part of a thread: FIRST member of Thread, so that tp points to both.
struct ThreadArch {
    Trapframe* frame = nullptr; ///< where a trap from user mode puts the registers: the top of the kernel stack
    uint64_t stack_limit = 0;   ///< lowest address of the kernel stack
    CallLimit calls_watched;    ///< no direct system calls: each goes through hooks.syscall
    HartArch* hart = nullptr;   ///< the hart that runs it; set_current_thread() hands it on
    alignas(8) std::atomic<uint32_t> ast_pending{0}; ///< with the next: one load on the way to user mode
    uint32_t fp_pending = 0;                         ///< its registers may have to be loaded
    uint64_t direct_calls = 0;                       ///< made so far; the thread alone counts
    Word<int64_t> system_ticks{0};                   ///< see machine/machine.hpp
    uint32_t fp_hart = no_hart;                      ///< hart whose registers hold (or held last) `fp`
    FpState fp;
    uint32_t fp_changes = 0; ///< how often `fp` was written

    static constexpr uint32_t no_hart = ~uint32_t{0};

    /// Gives the thread its kernel stack; the user trapframe lives at its top.
    void set_stack(void* bottom, void* top) {
        frame = reinterpret_cast<Trapframe*>((reinterpret_cast<uint64_t>(top) & ~uint64_t{15}) - sizeof(Trapframe));
        stack_limit = reinterpret_cast<uint64_t>(bottom);
    }
    /// Goes on on the stack of `other`, which ends as a thread: how a boot flow of control becomes an idle thread.
    void take_stack(const ThreadArch& other) {
        frame = other.frame;
        stack_limit = other.stack_limit;
    }
};

static_assert(offsetof(ThreadArch, frame) == TA_FRAME);
static_assert(offsetof(ThreadArch, stack_limit) == TA_STACK_LIMIT);
static_assert(offsetof(ThreadArch, hart) == TA_HART);
static_assert(offsetof(ThreadArch, ast_pending) == TA_PENDING && offsetof(ThreadArch, fp_pending) == TA_PENDING + 4);
static_assert(offsetof(ThreadArch, calls_watched) == TA_DIRECT_LIMIT && sizeof(CallLimit) == 8 &&
              offsetof(ThreadArch, direct_calls) == TA_CALLS);
static_assert(offsetof(ThreadArch, system_ticks) == TA_SYSTEM);

/// The arch's part of a hart.
struct alignas(64) HartArch {
    uint64_t emergency_top = 0; ///< stack for the report when a kernel stack overflowed
    uint32_t index = 0;         ///< dense: place in boot_info.harts
    std::atomic<uint32_t> ipi_pending{0};
    uint64_t id = 0;                ///< the firmware's
    AddressSpace* space = nullptr;  ///< loaded in satp
    uint64_t asids = 0;             ///< which bits of an ASID it tells spaces apart by: all that are used, or none
    ThreadArch* fp_owner = nullptr; ///< whose floating-point registers were loaded last
    /// For counts(): written by the hart itself.
    Word<uint64_t> space_switches{0}, fences{0};

    static void bump(Word<uint64_t>& counter) {
        counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
};

static_assert(offsetof(HartArch, emergency_top) == HART_EMERGENCY_TOP);

inline Thread* current_thread() {
    Thread* thread;
    asm volatile("mv %0, tp" : "=r"(thread));
    return thread;
}

inline ThreadArch& arch_of(Thread* thread) { return *reinterpret_cast<ThreadArch*>(thread); }

/// The running hart. Interrupts disabled, else the thread may move on.
inline HartArch& this_hart() { return *arch_of(current_thread()).hart; }
/// Its place in boot_info.harts.
inline unsigned hart_index() { return this_hart().index; }

inline uint64_t ticks() { return riscv::csr_read<riscv::Csr::time>(); }

extern uint64_t tick_ns; ///< length of a tick, times 2^32; set once, at boot
inline nanos_t ticks_to_ns(uint64_t ticks) {
    return static_cast<nanos_t>(static_cast<unsigned __int128>(ticks) * tick_ns >> 32);
}
inline nanos_t now_ns() { return ticks_to_ns(ticks()); }

/// The rest of activate() where the hart may remember other translations with this tag, or has no tags.
void activate_flushing(AddressSpace& space, AddressSpace& old);
inline void activate(AddressSpace& space) {
    HartArch& hart = this_hart();
    AddressSpace* const old = hart.space;
    if (old == &space)
        return;
    // Visible as a target before the first walk of its tables: a shoot-down either sees us or we see its entries.
    space.active.add(hart.index);
    hart.space = &space;
    HartArch::bump(hart.space_switches);
    const uint64_t asid = space.asid.load(std::memory_order_relaxed) & hart.asids;
    if (asid == 0 || !space.tagged.peek().has(hart.index)) [[unlikely]]
        return activate_flushing(space, *old);
    riscv::csr_write<riscv::Csr::satp>(riscv::satp_sv39 | asid << riscv::satp_asid_shift | space.root >> page_shift);
    asm volatile("fence.i" ::: "memory"); // sync_instructions told only the harts that were active at its time
    old->active.remove(hart.index);
}

/// Saves the floating-point registers of the current thread if user mode changed them. Interrupts disabled.
void fp_leave(ThreadArch& ta);

/// Interrupts disabled. The one that was current gives up the hart and the floating-point registers.
inline void set_current_thread(Thread* thread) {
    ThreadArch& from = arch_of(current_thread());
    if (from.fp_hart != ThreadArch::no_hart && from.hart->fp_owner == &from) [[unlikely]]
        fp_leave(from);
    arch_of(thread).hart = from.hart;
    asm volatile("mv tp, %0" ::"r"(thread) : "memory");
}

inline bool irq_save() { return riscv::csr_clear<riscv::Csr::sstatus>(riscv::sstatus_sie) & riscv::sstatus_sie; }
inline void irq_enable() { riscv::csr_set<riscv::Csr::sstatus>(riscv::sstatus_sie); }
inline void irq_disable() { riscv::csr_clear<riscv::Csr::sstatus>(riscv::sstatus_sie); }
inline void irq_restore(bool enabled) {
    if (enabled)
        irq_enable();
}
inline bool irq_enabled() { return riscv::csr_read<riscv::Csr::sstatus>() & riscv::sstatus_sie; }
inline void wait_for_interrupt() { asm volatile("wfi" ::: "memory"); }
/// The `pause` hint of Zihintpause; a no-op where that is missing.
inline void cpu_relax() { asm volatile(".4byte 0x0100000f" ::: "memory"); }

extern "C" void riscv_context_switch(Context* from, Context* to);
inline void context_switch(Context& from, Context& to) { riscv_context_switch(&from, &to); }

inline Trapframe& user_frame(ThreadArch& ta) { return *ta.frame; }

extern "C" [[noreturn]] void riscv_enter_user(Trapframe* frame);
[[noreturn]] inline void enter_user(Trapframe& frame) {
    irq_disable();
    riscv_enter_user(&frame);
}

void fp_init(ThreadArch& ta);
void fp_save(ThreadArch& ta);
void fp_load(ThreadArch& ta);
void fp_expect(ThreadArch& ta);
inline uint32_t fp_mark(const ThreadArch& ta) { return ta.fp_changes; }
bool fp_unchanged(const ThreadArch& ta, uint32_t mark);

/// The thread that hart `index` runs on before there is a scheduler: zeroed memory that starts with a ThreadArch.
Thread* boot_thread(unsigned index);

} // namespace lentil::machine

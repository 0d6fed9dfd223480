// SPDX-License-Identifier: BSD-2-Clause
// The contract between the machine-independent kernel and an arch. An arch provides <machine_impl.hpp> with the types
// and inline functions that the concepts below require, and defines the functions that are only declared here.
// arch/riscv is one implementation, arch/host (an ordinary host program, for tests) the other.
#pragma once

#include <array>
#include <concepts>
#include <span>
#include <string_view>

#include <libkern/hartset.hpp>
#include <libkern/result.hpp>
#include <libkern/types.hpp>
#include <libkern/word.hpp>
#include <machine/boot_info.hpp>
#include <machine/prot.hpp>

namespace lentil {

struct Thread;

namespace machine {

/// The translation a hart uses while it runs a thread of some map. The pmap owns it; the scheduler only switches it.
struct AddressSpace {
    paddr_t root = 0;     ///< physical address of the root page table
    AtomicHartSet active; ///< harts that have it loaded: the targets of a shoot-down
    /// The arch's: the tag of its translations where harts have such, 0 for none; and the harts that may remember some with
    /// this tag. A shoot-down takes out those that do not have it loaded: they forget all when they load it again.
    std::atomic<uint32_t> asid{0};
    AtomicHartSet tagged;
};

/// Why an IPI is sent; reasons are bits and may gather before the target looks.
enum class Ipi : uint32_t {
    reschedule = 1, ///< look at the run queue and at pending ASTs
    halt = 2,       ///< panic or power-off elsewhere: stop for good
    timer = 4,      ///< a callout was put on the target's queue: rearm its timer
};

/// A synchronous exception in user mode that is not a page fault, in the words of signals.
enum class UserException : uint32_t {
    illegal_instruction,
    breakpoint,
    misaligned,  ///< load, store or fetch
    access_fault ///< physical memory or bus error
};

struct Trapframe;

/// The few calls from below into higher layers; boot/ fills them in once, before the first user instruction.
/// Interrupts are enabled during `syscall`, `page_fault` and `user_exception`, disabled during the others.
struct Hooks {
    void (*syscall)(Trapframe&) = nullptr;
    /// A fault at a user address, from user mode or from a user-copy routine (which the arch then continues or fails).
    /// `in_kernel` faults may not raise a signal: the copy returns short and the system call says EFAULT.
    bool (*page_fault)(Trapframe&, vaddr_t address, Prot access, bool in_kernel) = nullptr;
    void (*user_exception)(Trapframe&, UserException, vaddr_t address) = nullptr;
    /// For a leaf that returned leaf_wants_frame: as `syscall`, which it leaves the call to, having changed nothing, if it returns
    /// false.
    bool (*call_with_frame)(Trapframe&) = nullptr;
    /// Called on every way back to user mode while `ThreadArch::ast_pending` is set, interrupts disabled; may enable
    /// them, and returns with them disabled and nothing pending.
    void (*ast)(Trapframe&) = nullptr;
    void (*timer_interrupt)() = nullptr;
    void (*ipi)(Ipi reasons) = nullptr;
    void (*external_interrupt)() = nullptr;
    /// At the end of an interrupt that hit the kernel: preempt here if that is wanted and allowed.
    void (*kernel_preempt)() = nullptr;
};
extern Hooks hooks;

/// A system call as the trap enters it: the argument registers as user mode left them; returns the value for the first
/// one. Interrupts are enabled. It sees no more of the user registers than these, the stack pointer and the pc.
using DirectCall = int64_t (*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
inline constexpr size_t direct_call_limit = 512;
/// What a leaf returns that leaves the call to another function, having changed nothing. A leaf is a DirectCall that is
/// entered with interrupts disabled and with most registers still the user's, so it must be built to keep them (meson.build)
/// and calls no function. It neither locks what others may hold for long, nor sleeps, nor makes anything pend for its own
/// thread; user memory it reads and writes through leaf_read_words() and leaf_write_words().
inline constexpr int64_t leaf_declines = -1024;
/// The same, but hooks.call_with_frame is to make the call. No other result of a leaf is as small as these two.
inline constexpr int64_t leaf_wants_frame = -1023;
/// Of one number.
struct DirectCalls {
    Word<uintptr_t> first{0}; ///< a DirectCall, or a leaf_call(); 0: it goes through hooks.syscall
    Word<uintptr_t> other{0}; ///< the DirectCall for what a leaf declines
};

// ---- interrupts, time, other harts: defined by the arch --------------------------------------------------------

/// Monotonic nanoseconds since the time counter was zero. Callable anywhere.
nanos_t now_ns();
/// A stretch of the time counter (see `ticks`) in nanoseconds.
nanos_t ticks_to_ns(uint64_t ticks);
/// The factor of that, times 2^32.
uint64_t ns_per_tick();
/// One-shot timer of this hart; replaces what was armed. `no_deadline` disarms.
void timer_arm(nanos_t deadline_ns);
/// Sends IPIs; `targets` may include the caller.
void ipi_send(HartSet targets, Ipi reason);
/// Starts hart `index` (of boot_info.harts) on its own boot stack; it calls `secondary_main(index)` of boot/.
Result<void> hart_start(unsigned index);

/// Writes to the firmware's console: works from the first instruction on, before and without any driver.
void early_console_write(std::string_view text);

enum class PowerAction { off, reboot, off_failure };
/// Ends the machine: SBI SRST or the board's device. `off_failure` makes the emulator exit with a failing status.
[[noreturn]] void power(PowerAction action);

// ---- translation: defined by the arch --------------------------------------------------------------------------

/// Loads `space` on this hart, keeps `active` of it and of the one left in order. Interrupts disabled.
void activate(AddressSpace& space);
/// The kernel's own space, without any user half: what idle harts and dying maps run on.
AddressSpace& kernel_space();
/// `space` will not be activated any more; its tables are still there.
void address_space_ends(AddressSpace& space);
/// Makes a root table of a page: the kernel half filled in, the user half empty.
void init_root(void* root_table);
/// Makes every hart that has `space` active forget translations in [start, start+length). Returns when all have. The
/// whole user half ([0, Pte::user_end)) forgets inner tables too: needed before a table page is used for anything else.
void tlb_shootdown(AddressSpace& space, vaddr_t start, size_t length);
/// The same on this hart alone: enough after rights were added, since others merely take a fault that finds them.
void tlb_flush_local(AddressSpace& space, vaddr_t start, size_t length);
/// What costs far more than its instructions, of all harts since boot. Not exact while harts are at work.
struct Counts {
    uint64_t space_switches = 0;    ///< loads of another address space
    uint64_t fences = 0;            ///< times a hart forgot translations
    uint64_t remote_shootdowns = 0; ///< times that had to reach another hart
    uint64_t firmware_calls = 0;
};
Counts counts();
/// Forgets kernel translations on every hart.
void tlb_shootdown_kernel(vaddr_t start, size_t length);
/// Fills a page of RAM (by its kernel address) with zeros, the fastest way the harts have.
void zero_page(void* page);
/// After code was written where it will be executed (exec, mprotect to exec): all harts see it.
void sync_instructions(HartSet harts);

// ---- single steps: defined by the arch ---------------------------------------------------------------------------

/// How the one instruction at pc can be executed alone.
struct StepPlan {
    enum class Kind : uint32_t {
        in_place, ///< where it is: it traps by itself (a system call, a breakpoint, what cannot be fetched)
        done,     ///< it was: a jump, or whatever depends on its own address
        copied,   ///< a copy of its first `length` bytes elsewhere does the same; step_fill behind them traps
    } kind = Kind::in_place;
    size_t length = 0;
};
/// What follows `length` bytes of a copy, up to `step_room` bytes: each is a breakpoint, wherever one may jump to.
inline constexpr size_t step_room = 128;
extern const uint8_t step_fill[2];
/// `code` is what lies at pc, as far as it can be read, up to half of step_room. Instructions that only work together (a
/// load that reserves and its store) count as one. `done` changed `frame`.
StepPlan step_plan(Trapframe& frame, std::span<const uint8_t> code);

// ---- user memory: defined by the arch; they may fault, and sleep in the fault ------------------------------------

/// Copies from user memory; returns how many bytes were copied (n unless a fault could not be resolved).
size_t user_read(void* to, vaddr_t from, size_t n);
size_t user_write(vaddr_t to, const void* from, size_t n);
size_t user_zero(vaddr_t to, size_t n);
/// A few words that are copied as wholes or not at all: the inline functions user_read_words<n> and user_write_words<n>
/// take n 8-byte words, 1 to user_words_most; false on a fault, and for a range that is not in the user half.
inline constexpr size_t user_words_most = 4;
/// How many words user_write_words<n> takes besides: as many as struct stat and struct rusage have.
inline constexpr bool is_block_of_words(size_t n) { return n == 16 || n == 18; }
/// Copies a string with its terminator; returns its length without it, or -1 on a fault, or `max` if there was no
/// terminator among the first `max` bytes.
long user_read_string(char* to, vaddr_t from, size_t max);
/// The strings that a vector of user pointers names, one behind the other with their terminators; where each begins goes to
/// `starts`. Up to the vector's end, `most` strings, what has no room, or what cannot be read: whoever calls goes on from there.
struct UserStrings {
    size_t used;   ///< bytes of whole strings
    unsigned left; ///< of `most`
    bool ended;    ///< the vector's null pointer came next
};
UserStrings user_read_strings(char* to, vaddr_t vector, size_t room, uint16_t* starts, unsigned most);
/// Atomic 32-bit operations on user memory, for futexes. `address` is 4-aligned. False on a fault.
bool user_load32(uint32_t* value, vaddr_t address);
/// *old = *address; if it equals `expected`, stores `desired`.
bool user_cmpxchg32(uint32_t* old, vaddr_t address, uint32_t expected, uint32_t desired);

} // namespace machine
} // namespace lentil

/// By number; 0: it needs a whole frame, or is none, and goes through hooks.syscall. Defined by abi/. An arch may send
/// every call through hooks.syscall, and does for a thread whose `calls_watched` is not 0.
extern "C" std::array<lentil::machine::DirectCalls, lentil::machine::direct_call_limit> lentil_direct_calls;

#include <machine_impl.hpp>

namespace lentil::machine {

/// The user registers as the trap left them; lives at the top of the thread's kernel stack. `syscall_number` etc. are
/// only meaningful in a system call.
template<class T>
concept TrapframeContract = requires(T t, const T c, uint64_t v, unsigned i) {
    { c.syscall_number() } -> std::same_as<int64_t>;
    { c.arg(i) } -> std::same_as<uint64_t>; ///< 0..5; arg(0) is the value at entry until set_return
    t.set_arg(i, v);                        ///< for exec of the first instruction, signal handlers
    t.set_return(v);                        ///< first result register
    t.set_return2(v);                       ///< second result register (native calls)
    { c.return_value() } -> std::same_as<uint64_t>;
    { c.pc() } -> std::same_as<vaddr_t>;
    t.set_pc(v);
    { c.sp() } -> std::same_as<vaddr_t>;
    t.set_sp(v);
    t.set_tls(v);
    t.set_link(v);                           ///< return address register
    { t.reg(i) } -> std::same_as<uint64_t&>; ///< 1..31: the integer registers as riscv64 user mode numbers them
    t.restart_syscall();                     ///< pc back to the call instruction, first argument as at entry
    { c.from_user() } -> std::same_as<bool>;
};
static_assert(TrapframeContract<Trapframe>);

/// The arch's part of a thread: the first member of Thread. Before sched_init_hart, machine::current_thread() points to
/// memory that holds nothing else.
template<class T>
concept ThreadArchContract = requires(T t, const T c, void* p) {
    t.set_stack(p, p);                                   ///< lowest address and top of its kernel stack
    t.take_stack(c);                                     ///< goes on on the stack of another, which ends
    t.ast_pending.store(1, std::memory_order_relaxed);   ///< makes every way back to user mode call hooks.ast
    t.calls_watched.store(1, std::memory_order_relaxed); ///< makes every system call go through hooks.syscall
    { t.direct_calls } -> std::same_as<uint64_t&>;       ///< how many did not
    /// Time in the kernel. The trap entry from user mode subtracts ticks() and the way back adds them, as does the
    /// scheduler when it switches away from the thread (adds) and back (subtracts): so it is negative, less by the time
    /// counter, while the thread runs in the kernel, and one word is right at every moment.
    { t.system_ticks } -> std::same_as<Word<int64_t>&>;
};
static_assert(ThreadArchContract<ThreadArch>);

/// Saved kernel context of a thread that does not run.
template<class T>
concept ContextContract = requires(T t, void* stack_top, void (*entry)(void*), void* arg) {
    t.init(stack_top, entry, arg); ///< entry(arg) runs on that stack at the first switch, interrupts disabled
};
static_assert(ContextContract<Context>);

/// A page-table entry format: what kernel/vm/pmap.cpp needs to walk and build tables of any geometry. Only Pte{} is empty:
/// a user leaf with Prot::none (by leaf() or with_prot()) is not valid() but keeps its address(), and with_prot() can give
/// rights back.
template<class P>
concept PteContract = requires(P p, const P c, paddr_t pa, vaddr_t va, unsigned level, Prot prot) {
    { P::levels } -> std::convertible_to<unsigned>;  ///< 3 for Sv39; level 0 maps pages
    { P::entries } -> std::convertible_to<unsigned>; ///< per table
    { P::user_end } -> std::convertible_to<vaddr_t>; ///< first address past the user half
    { P::index(va, level) } -> std::same_as<unsigned>;
    { P::table(pa) } -> std::same_as<P>;
    { c.revoked() } -> std::same_as<P>; ///< of a table(): not valid(), so that no hart follows it; keeps its address()
    { P::leaf(pa, prot, true) } -> std::same_as<P>; ///< page, protection, user?; accessed (and dirty if writable) set
    { c.valid() } -> std::same_as<bool>;
    { c.is_leaf() } -> std::same_as<bool>;
    { c.address() } -> std::same_as<paddr_t>;
    { c.prot() } -> std::same_as<Prot>;
    { c.accessed() } -> std::same_as<bool>;
    { c.dirty() } -> std::same_as<bool>;
    { c.with_prot(prot) } -> std::same_as<P>;
    { c.with_accessed(true) } -> std::same_as<P>;
};
static_assert(PteContract<Pte> && sizeof(Pte) == 8);

/// Inline functions that <machine_impl.hpp> must offer.
template<class T>
concept CpuContract = requires(uint64_t* to, const uint64_t* from, Thread* thread, Context& context, bool enabled,
                               paddr_t pa, vaddr_t va, const void* p, T& fp, Trapframe& frame, ThreadArch& ta) {
    { current_thread() } -> std::same_as<Thread*>;
    set_current_thread(thread);
    { ticks() } -> std::same_as<uint64_t>;      ///< the time counter, what now_ns() is made of
    { hart_index() } -> std::same_as<unsigned>; ///< of the running hart in boot_info.harts; interrupts disabled
    { irq_save() } -> std::same_as<bool>;       ///< disables; returns whether they were enabled
    irq_restore(enabled);
    irq_enable();
    irq_disable();
    { irq_enabled() } -> std::same_as<bool>;
    wait_for_interrupt(); ///< returns when an interrupt pends, even while disabled
    cpu_relax();
    { user_read_words<3>(to, va) } -> std::same_as<bool>;
    { user_write_words<3>(va, from) } -> std::same_as<bool>;
    context_switch(context, context);          ///< saves into the first, resumes the second
    { direct_map(pa) } -> std::same_as<void*>; ///< kernel address of physical memory
    { direct_map_pa(p) } -> std::same_as<paddr_t>;
    { user_frame(ta) } -> std::same_as<Trapframe&>; ///< the frame at the top of the kernel stack
    enter_user(frame); ///< [[noreturn]] resumes user mode from a frame: first return of a new thread
    fp_init(ta);       ///< as after exec: all zero
    fp_save(ta);       ///< current thread: registers to ta.fp if they changed since
    fp_load(ta);       ///< current thread: user sees ta.fp from the next return on
    fp_expect(ta);     ///< new thread: it will use the registers soon, its first return loads them
    /// Current thread: whether ta.fp and the registers still hold what they did at fp_mark(), after fp_save(). May say no.
    { fp_unchanged(ta, fp_mark(ta)) } -> std::same_as<bool>;
    fp = ta.fp;
    { fp.f } -> std::same_as<uint64_t(&)[32]>; ///< as riscv64 user mode numbers them
    { fp.fcsr } -> std::same_as<uint64_t&>;
};
static_assert(CpuContract<FpState>);

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// The signal frame of Linux riscv64: written before a handler runs, read back by rt_sigreturn.
#include <abi/linux_signal.hpp>
#include <abi/signal_frame.hpp>
#include <abi/syscall.hpp>
#include <bsd/vdso.hpp>
#include <machine/signal_frame.hpp>

namespace lentil::abi {

namespace {

/// Which member of siginfo's union `info` uses (siginfo_layout of the ABI).
enum class Layout : uint32_t { queue, timer, child, fault, poll };

Layout layout_of(const SigInfo& info) {
    if (info.code == si_code::timer)
        return Layout::timer;
    if (info.code == si_code::sigio)
        return Layout::poll;
    if (info.code <= 0 || info.code == si_code::kernel)
        return Layout::queue;
    constexpr int32_t largest_fault_code = 15; // beyond: what ptrace stops put there
    switch (info.signo) {
    case sig_ill:
    case sig_fpe:
    case sig_segv:
    case sig_bus:
    case sig_trap: return info.code <= largest_fault_code ? Layout::fault : Layout::queue;
    case sig_chld: return Layout::child;
    case sig_io: return Layout::poll;
    case sig_sys: return Layout::queue;
    default: return info.code <= si_code::poll_last ? Layout::poll : Layout::queue; // of F_SETSIG
    }
}

constexpr nanos_t clock_tick_ns = 10'000'000; ///< USER_HZ is 100

bool on_altstack(const UthreadSignals& sig, vaddr_t sp) {
    if (sig.altstack_flags & stack_flags::autodisarm)
        return false; // in use it is not armed
    return sp > sig.altstack_base && sp - sig.altstack_base <= sig.altstack_size;
}

LinuxStack altstack_of(const UthreadSignals& sig) {
    return {sig.altstack_base, sig.altstack_flags, 0, sig.altstack_size};
}

// The frame goes out and comes in as blocks of words; what none of them covers was the user's before and stays.
/// Of the information only so much is ever used.
constexpr size_t info_words = 8;
static_assert(offsetof(LinuxSiginfo, child.stime) + sizeof(int64_t) <= info_words * 8 &&
              sizeof(LinuxSiginfo) == 2 * info_words * 8);
/// The context up to the mask, and two words of the room behind that.
struct ContextHead {
    uint64_t flags, link;
    LinuxStack stack;
    uint64_t mask;
    uint64_t room[2];
};
static_assert(sizeof(ContextHead) == 64 && offsetof(ContextHead, mask) == offsetof(LinuxUcontext, mask) &&
              offsetof(ContextHead, stack) == offsetof(LinuxUcontext, stack));
constexpr vaddr_t head_at = offsetof(LinuxSigframe, uc);
constexpr vaddr_t stack_at = head_at + offsetof(ContextHead, stack);
constexpr vaddr_t pc_at = offsetof(LinuxSigframe, uc.context);
constexpr vaddr_t x1_at = pc_at + sizeof(uint64_t);
constexpr vaddr_t fp_at = offsetof(LinuxSigframe, uc.context.fp);
static_assert(fp_at == x1_at + 31 * sizeof(uint64_t));
/// What follows the floating-point state ends it: three words that are zero if there are no extensions (of a fourth that
/// means nothing). The kernel's own form of that state has what the frame has up to the control register.
using Extensions = uint64_t[2];
constexpr vaddr_t extensions_at = sizeof(LinuxSigframe) - sizeof(Extensions);
static_assert(offsetof(machine::FpState, fcsr) == offsetof(LinuxFpState, fcsr) &&
              sizeof(machine::FpState) == offsetof(LinuxFpState, fcsr) + sizeof(uint64_t));

/// Where the frame goes; fault if the alternate stack would overflow.
Result<vaddr_t> frame_address(const machine::Trapframe& frame, const UthreadSignals& sig, const SigAction& action) {
    vaddr_t sp = frame.sp();
    const bool inside = on_altstack(sig, sp);
    // An overflow of the alternate stack must end in a fault, not in what lies below it.
    if (inside && !on_altstack(sig, sp - sizeof(LinuxSigframe)))
        return Errno::fault;
    if ((action.flags & sa_flags::onstack) && sig.altstack_size != 0 && !inside)
        sp = sig.altstack_base + sig.altstack_size;
    return (sp - sizeof(LinuxSigframe)) & ~vaddr_t{15};
}

} // namespace

namespace {

/// `out` is all zero: what the kernel leaves unset in its union goes out too.
void fill(LinuxSiginfo& out, const SigInfo& info) {
    out.signo = info.signo;
    out.error = info.error;
    out.code = info.code;
    switch (layout_of(info)) {
    case Layout::queue:
        out.queue.pid = info.pid;
        out.queue.uid = info.uid;
        out.queue.value = info.value;
        break;
    case Layout::timer:
        out.timer.id = info.timer_id;
        out.timer.overrun = info.overrun;
        out.timer.value = info.value;
        break;
    case Layout::child:
        out.child.pid = info.pid;
        out.child.uid = info.uid;
        out.child.status = info.status;
        out.child.utime = info.utime / clock_tick_ns;
        out.child.stime = info.stime / clock_tick_ns;
        break;
    case Layout::fault: out.fault.address = info.address; break;
    case Layout::poll:
        out.poll.band = info.band;
        out.poll.fd = info.fd;
        break;
    }
}

} // namespace

LinuxSiginfo to_linux(const SigInfo& info) {
    LinuxSiginfo out;
    __builtin_memset(&out, 0, sizeof out);
    fill(out, info);
    return out;
}

SigInfo from_linux(const LinuxSiginfo& in, int signo) {
    SigInfo info{.signo = signo, .error = in.error, .code = in.code};
    switch (layout_of(info)) {
    case Layout::queue:
        info.pid = in.queue.pid;
        info.uid = in.queue.uid;
        info.value = in.queue.value;
        break;
    case Layout::timer:
        info.timer_id = in.timer.id;
        info.overrun = in.timer.overrun;
        info.value = in.timer.value;
        break;
    case Layout::child:
        info.pid = in.child.pid;
        info.uid = in.child.uid;
        info.status = in.child.status;
        info.utime = in.child.utime * clock_tick_ns;
        info.stime = in.child.stime * clock_tick_ns;
        break;
    case Layout::fault: info.address = in.fault.address; break;
    case Layout::poll:
        info.band = in.poll.band;
        info.fd = in.poll.fd;
        break;
    }
    return info;
}

Result<void> push_signal_frame(machine::Trapframe& frame, const SigInfo& info, const SigAction& action,
                               SigSet old_mask) {
    Thread& thread = current_thread();
    UthreadSignals& sig = current_uthread().sig;
    const vaddr_t address = TRY(frame_address(frame, sig, action));

    if (!user_range_ok(address, sizeof(LinuxSigframe)))
        return Errno::fault;

    union {
        LinuxSiginfo siginfo;
        uint64_t words[info_words];
    } first;
#pragma GCC unroll 8
    for (uint64_t& word : first.words)
        word = 0;
    fill(first.siginfo, info);
    static constexpr uint64_t zeros[info_words] = {};
    const ContextHead head{0, 0, altstack_of(sig), old_mask.bits, {}};
    const uint64_t pc = frame.pc();
    // Straight to the user's stack.
    if (!machine::machine_user_write_8(address, first.words) ||
        !machine::machine_user_write_8(address + sizeof zeros, zeros) ||
        !machine::machine_user_write_8(address + head_at, &head.flags) ||
        !machine::user_write_words<1>(address + pc_at, &pc) ||
        !machine::machine_user_write_registers(address + x1_at, &frame.reg(1)) ||
        !machine::fp_to_user(thread.arch, address + fp_at) ||
        !machine::user_write_words<2>(address + extensions_at, zeros))
        return Errno::fault;

    if (sig.altstack_flags & stack_flags::autodisarm) {
        sig.altstack_base = sig.altstack_size = 0;
        sig.altstack_flags = stack_flags::disable;
    }
    frame.set_arg(0, static_cast<uint64_t>(info.signo));
    frame.set_arg(1, address + offsetof(LinuxSigframe, info));
    frame.set_arg(2, address + offsetof(LinuxSigframe, uc));
    frame.set_sp(address);
    frame.set_link(current_map().layout.vdso + LENTIL_VDSO_SIGRETURN); // riscv64 has no sa_restorer
    frame.set_pc(action.handler);
    return {};
}

Result<void> pop_signal_frame(machine::Trapframe& frame) {
    Thread& thread = current_thread();
    Uthread& self = current_uthread();
    const vaddr_t address = frame.sp();
    if (!user_range_ok(address, sizeof(LinuxSigframe)) || address % 8 != 0)
        return Errno::fault;
    Extensions extensions;
    struct {
        LinuxStack stack;
        uint64_t mask;
    } head;
    static_assert(sizeof head == 4 * sizeof(uint64_t));
    vaddr_t pc;
    TRY(copyin_value(extensions, address + extensions_at));
    if (extensions[0] >> 32 != 0 || extensions[1] != 0)
        return Errno::inval; // an extension that nobody wrote
    TRY(copyin_value(head, address + stack_at));
    TRY(copyin_value(pc, address + pc_at));
    // Straight to their place, at last: if the frame ends in the midst of them, its owner dies of it or has to
    // know, as on Linux.
    if (!machine::fp_from_user(thread.arch, address + fp_at) ||
        !machine::machine_user_read_registers(&frame.reg(1), address + x1_at))
        return Errno::fault;
    frame.set_pc(pc);
    signal_set_mask(self, SigSet{head.mask});
    // A stack that cannot be set (the handler still ran on it) stays as it is, as on Linux.
    (void)set_altstack(self, head.stack, address);
    return {};
}

LinuxStack get_altstack(const Uthread& uthread, vaddr_t sp) {
    LinuxStack stack = altstack_of(uthread.sig);
    if (uthread.sig.altstack_size == 0)
        stack.flags |= stack_flags::disable;
    else if (on_altstack(uthread.sig, sp))
        stack.flags |= stack_flags::onstack;
    return stack;
}

Result<void> set_altstack(Uthread& uthread, const LinuxStack& stack, vaddr_t sp) {
    if (on_altstack(uthread.sig, sp))
        return Errno::perm;
    const uint32_t mode = stack.flags & ~stack_flags::autodisarm;
    if (mode != 0 && mode != stack_flags::disable && mode != stack_flags::onstack)
        return Errno::inval;
    if (mode == stack_flags::disable) {
        uthread.sig.altstack_base = uthread.sig.altstack_size = 0;
    } else {
        if (stack.size < stack_flags::least_size)
            return Errno::nomem;
        uthread.sig.altstack_base = stack.base;
        uthread.sig.altstack_size = stack.size;
    }
    uthread.sig.altstack_flags = stack.flags;
    return {};
}

void signal_init() { signal_hooks.push_frame = push_signal_frame; }

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// Leaf system calls: see leaf_calls.hpp. Built with flags of its own (meson.build), and the build fails if a function here
// calls one that is not inline.
#include <abi/leaf_calls.hpp>
#include <abi/linux_signal.hpp>
#include <abi/linux_time.hpp>
#include <bsd/proc.hpp>
#include <mach/futex.hpp>
#include <sched/clock.hpp>

namespace lentil::abi {

using machine::leaf_declines;

int64_t leaf_getpid(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) { return current_proc().pid; }

int64_t leaf_gettid(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) { return current_uthread().tid; }

int64_t leaf_getppid(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) {
    return current_proc().parent_pid.load(std::memory_order_relaxed);
}

int64_t leaf_clock_gettime(uint64_t clock, uint64_t out, uint64_t, uint64_t, uint64_t, uint64_t) {
    nanos_t now = monotonic_ns_inline();
    switch (static_cast<int32_t>(clock)) {
    case clock_id::realtime: now += clock_values.wall_minus_monotonic_ns.load(std::memory_order_relaxed); break;
    case clock_id::monotonic:
    case clock_id::monotonic_raw:
    case clock_id::boottime: break;
    default: return leaf_declines;
    }
    if (now < 0)
        return leaf_declines;
    const auto ns = static_cast<uint64_t>(now);
    const uint64_t seconds = ns / ns_per_second;
    const uint64_t words[] = {seconds, ns - seconds * ns_per_second};
    return machine::leaf_write_words(out, words) ? 0 : leaf_declines;
}

namespace {

/// Apart from the question for an action, which would have to keep all the registers that this needs.
[[gnu::noinline]] int64_t leaf_set_action(uint64_t number, uint64_t action) {
    const int signo = static_cast<int32_t>(number);
    uint64_t words[3];
    if (unblockable.has(signo) || !machine::leaf_read_words(words, action))
        return leaf_declines;
    const Uthread& self = current_uthread();
    const Proc& proc = *self.proc;
    SigActs& actions = *proc.sigacts;
    const SigAction fresh{words[0], words[1] & sa_flags::known, SigSet{words[2]} & ~unblockable};
    if (fresh.handler > SigAction::ignore && !proc.sigacts_lent && !(fresh.flags & sa_flags::resethand))
        return actions.leaf_set(signo, fresh) ? 0 : leaf_declines;
    if (!actions.is_default(signo) || !fresh.is_default())
        return leaf_declines;
    // Nothing changes, but of a signal that is ignored by default what pends would be thrown away.
    const bool drops =
        ignored_by_default.has(signo) && (!proc.is_single() || (self.sig.pending.set | proc.sig.shared.set).has(signo));
    return drops ? leaf_declines : 0;
}

/// What posix_spawn of a C library does for each signal: sets what is the default to the default. Needs fewer registers.
[[gnu::noinline]] int64_t leaf_keep_default(uint64_t number, uint64_t action, uint64_t old, uint64_t size) {
    const int signo = static_cast<int32_t>(number);
    if (size != sizeof(uint64_t) || old != 0 || !is_signal(signo))
        return leaf_declines;
    if (!current_proc().sigacts->is_default(signo) || (unblockable | ignored_by_default).has(signo))
        return leaf_set_action(number, action);
    uint64_t words[3];
    if (!machine::leaf_read_words(words, action))
        return leaf_declines;
    if ((words[0] | words[1] | words[2]) != 0)
        return leaf_set_action(number, action);
    return 0;
}

} // namespace

int64_t leaf_rt_sigaction(uint64_t signo, uint64_t action, uint64_t old, uint64_t size, uint64_t, uint64_t) {
    if (action != 0)
        return leaf_keep_default(signo, action, old, size);
    constexpr uint64_t none[3] = {};
    if (size != sizeof(uint64_t) || !is_signal(static_cast<int32_t>(signo)) ||
        !current_proc().sigacts->is_default(static_cast<int32_t>(signo)))
        return leaf_declines;
    return old == 0 || machine::leaf_write_words(old, none) ? 0 : leaf_declines;
}

int64_t leaf_futex(uint64_t address, uint64_t operation, uint64_t, uint64_t, uint64_t, uint64_t) {
    constexpr uint32_t wake = 1, private_flag = 128;
    if (static_cast<uint32_t>(operation) != (wake | private_flag) || address % 4 != 0 || !user_range_ok(address, 4))
        return leaf_declines;
    const VmMap::FutexKey key{reinterpret_cast<uintptr_t>(&current_map()), address};
    std::atomic_thread_fence(std::memory_order_seq_cst);
    return futex_waiting[futex_bucket(key)].load(std::memory_order_relaxed) == 0 ? 0 : leaf_declines;
}

int64_t leaf_rt_sigprocmask(uint64_t how, uint64_t set, uint64_t old, uint64_t size, uint64_t, uint64_t) {
    if (size != sizeof(uint64_t))
        return leaf_declines;
    Uthread& self = current_uthread();
    const uint64_t was[] = {self.sig.mask.bits};
    if (set == 0)
        return old == 0 || machine::leaf_write_words(old, was) ? 0 : leaf_declines;
    uint64_t in[1];
    if (!machine::leaf_read_words(in, set))
        return leaf_declines;
    uint64_t fresh = 0;
    switch (static_cast<int32_t>(how)) {
    case 0: fresh = was[0] | in[0]; break;
    case 1: fresh = was[0] & ~in[0]; break;
    case 2: fresh = in[0]; break;
    default: return leaf_declines;
    }
    Proc& proc = *self.proc;
    const LeafGuard guard(proc.sig.lock);
    // Whoever stops or ends the proc or makes a signal pend interrupts the thread under the lock.
    if (!guard || current_thread().interrupt_level.load(std::memory_order_relaxed) != 0 ||
        !(self.sig.pending.set | proc.sig.shared.set).empty())
        return leaf_declines;
    if (old != 0 && !machine::leaf_write_words(old, was))
        return leaf_declines;
    self.sig.mask = SigSet{fresh} & ~unblockable;
    return 0;
}

namespace {

/// Whether the frame is worth its price: signal_self_at_once() has the last word.
[[gnu::always_inline]] inline int64_t leaf_signal_self(const Proc& proc, uint64_t number) {
    const int signo = static_cast<int32_t>(number);
    const bool caught = is_signal(signo) && !proc.sigacts->is_default(signo);
    return caught ? machine::leaf_wants_frame : leaf_declines;
}

} // namespace

int64_t leaf_kill(uint64_t pid, uint64_t signo, uint64_t, uint64_t, uint64_t, uint64_t) {
    const Proc& proc = current_proc();
    return static_cast<int32_t>(pid) == proc.pid ? leaf_signal_self(proc, signo) : leaf_declines;
}

int64_t leaf_tgkill(uint64_t pid, uint64_t tid, uint64_t signo, uint64_t, uint64_t, uint64_t) {
    const Proc& proc = current_proc();
    const bool self = static_cast<int32_t>(pid) == proc.pid && static_cast<int32_t>(tid) == current_uthread().tid;
    return self ? leaf_signal_self(proc, signo) : leaf_declines;
}

int64_t leaf_rt_sigreturn(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t) {
    return machine::leaf_wants_frame;
}

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// Signals as plain values: numbers, sets, what one carries, actions, and the pure rules about them: default actions and
// which one comes next. Depends on nothing, so tests run it anywhere.
#pragma once

#include <bit>
#include <cstdint>

#include <libkern/types.hpp>

namespace lentil {

/// Linux riscv64 (asm-generic) numbers.
enum Signal : int32_t {
    sig_hup = 1,
    sig_int = 2,
    sig_quit = 3,
    sig_ill = 4,
    sig_trap = 5,
    sig_abrt = 6,
    sig_bus = 7,
    sig_fpe = 8,
    sig_kill = 9,
    sig_usr1 = 10,
    sig_segv = 11,
    sig_usr2 = 12,
    sig_pipe = 13,
    sig_alrm = 14,
    sig_term = 15,
    sig_stkflt = 16,
    sig_chld = 17,
    sig_cont = 18,
    sig_stop = 19,
    sig_tstp = 20,
    sig_ttin = 21,
    sig_ttou = 22,
    sig_urg = 23,
    sig_xcpu = 24,
    sig_xfsz = 25,
    sig_vtalrm = 26,
    sig_prof = 27,
    sig_winch = 28,
    sig_io = 29,
    sig_pwr = 30,
    sig_sys = 31,
    sig_rtmin = 32,
    signal_count = 64,
};

/// A set of signals 1..64, bit n-1, as the Linux sigset_t of 8 bytes.
struct SigSet {
    uint64_t bits = 0;
    static constexpr SigSet of(int sig) { return {uint64_t{1} << (sig - 1)}; }
    constexpr bool has(int sig) const { return bits >> (sig - 1) & 1; }
    constexpr void add(int sig) { bits |= of(sig).bits; }
    constexpr void remove(int sig) { bits &= ~of(sig).bits; }
    constexpr bool empty() const { return bits == 0; }
    friend constexpr SigSet operator|(SigSet a, SigSet b) { return {a.bits | b.bits}; }
    friend constexpr SigSet operator&(SigSet a, SigSet b) { return {a.bits & b.bits}; }
    friend constexpr SigSet operator~(SigSet a) { return {~a.bits}; }
    friend constexpr bool operator==(SigSet, SigSet) = default;
};
inline constexpr SigSet unblockable{SigSet::of(sig_kill).bits | SigSet::of(sig_stop).bits};
inline constexpr SigSet stop_signals{SigSet::of(sig_stop).bits | SigSet::of(sig_tstp).bits | SigSet::of(sig_ttin).bits |
                                     SigSet::of(sig_ttou).bits};

/// What a signal carries, the union of siginfo_t's fields by kind (code says which are meaningful).
struct SigInfo {
    int32_t signo = 0, error = 0,
            code = 0; ///< code: SI_USER 0, SI_KERNEL 0x80, SI_QUEUE -1, SI_TIMER -2, SI_TKILL -6, CLD_*, SEGV_*...
    int32_t pid = 0;
    uid_t uid = 0;
    int32_t status = 0;           ///< SIGCHLD
    uint64_t value = 0;           ///< sigqueue, timers
    vaddr_t address = 0;          ///< faults
    nanos_t utime = 0, stime = 0; ///< SIGCHLD
    int32_t timer_id = 0, overrun = 0, band = 0, fd = 0;
};

namespace si_code {
inline constexpr int32_t user = 0, kernel = 0x80, queue = -1, timer = -2, message_queue = -3, sigio = -5, tkill = -6;
inline constexpr int32_t poll_in = 1, poll_out = 2, poll_last = 6;
inline constexpr int32_t cld_exited = 1, cld_killed = 2, cld_dumped = 3, cld_trapped = 4, cld_stopped = 5,
                         cld_continued = 6;
inline constexpr int32_t segv_maperr = 1, segv_accerr = 2, bus_adraln = 1, bus_adrerr = 2, ill_illopc = 1,
                         trap_brkpt = 1, trap_trace = 2;
} // namespace si_code

struct SigAction {
    static constexpr uint64_t ignore = 1, default_action = 0;
    vaddr_t handler = default_action; ///< or the two values above
    uint64_t flags = 0;               ///< SA_*
    SigSet mask;
    constexpr bool is_default() const { return handler == default_action && flags == 0 && mask.empty(); }
    friend constexpr bool operator==(const SigAction&, const SigAction&) = default;
};
namespace sa_flags {
inline constexpr uint64_t nocldstop = 1, nocldwait = 2, siginfo = 4, onstack = 0x08000000, restart = 0x10000000,
                          nodefer = 0x40000000, resethand = 0x80000000;
inline constexpr uint64_t known = nocldstop | nocldwait | siginfo | onstack | restart | nodefer | resethand;
} // namespace sa_flags

enum class DefaultAction : uint32_t { terminate, ignore, stop, resume };

/// Signals that an instruction of the thread itself caused: delivered before all others.
inline constexpr SigSet synchronous_signals{SigSet::of(sig_segv).bits | SigSet::of(sig_bus).bits |
                                            SigSet::of(sig_ill).bits | SigSet::of(sig_trap).bits |
                                            SigSet::of(sig_fpe).bits | SigSet::of(sig_sys).bits};
inline constexpr SigSet tty_stop_signals{stop_signals.bits & ~SigSet::of(sig_stop).bits};

constexpr bool is_signal(int64_t signo) { return signo >= 1 && signo <= signal_count; }
constexpr bool is_real_time(int signo) { return signo >= sig_rtmin; }

/// Those whose default action has no effect when they are taken (continuing happens when it is sent).
inline constexpr SigSet ignored_by_default{SigSet::of(sig_chld).bits | SigSet::of(sig_urg).bits |
                                           SigSet::of(sig_winch).bits | SigSet::of(sig_cont).bits};

constexpr DefaultAction default_action(int signo) {
    if (stop_signals.has(signo))
        return DefaultAction::stop;
    if (!ignored_by_default.has(signo))
        return DefaultAction::terminate;
    return signo == sig_cont ? DefaultAction::resume : DefaultAction::ignore;
}

/// Whether an action with `handler` throws `signo` away without an effect.
constexpr bool discards(vaddr_t handler, int signo) {
    return handler == SigAction::ignore || (handler == SigAction::default_action && ignored_by_default.has(signo));
}
constexpr bool discards(const SigAction& action, int signo) { return discards(action.handler, signo); }

/// The signal of `pending` to deliver next while `blocked` are not: synchronous ones first, then the lowest number;
/// 0 if there is none.
constexpr int next_signal(SigSet pending, SigSet blocked) {
    SigSet ready = pending & ~blocked;
    if (!(ready & synchronous_signals).empty())
        ready = ready & synchronous_signals;
    return ready.empty() ? 0 : std::countr_zero(ready.bits) + 1;
}

} // namespace lentil

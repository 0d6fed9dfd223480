// SPDX-License-Identifier: BSD-2-Clause
// The pure part of signals: default actions, which signal comes next, and the queues behind a pending set. Knows no
// process, so tests run it anywhere.
#pragma once

#include <bsd/signal.hpp>

namespace lentil {

enum class DefaultAction : uint32_t { terminate, ignore, stop, resume };

/// Signals that an instruction of the thread itself caused: delivered before all others.
inline constexpr SigSet synchronous_signals{SigSet::of(sig_segv).bits | SigSet::of(sig_bus).bits |
                                            SigSet::of(sig_ill).bits | SigSet::of(sig_trap).bits |
                                            SigSet::of(sig_fpe).bits | SigSet::of(sig_sys).bits};
inline constexpr SigSet tty_stop_signals{stop_signals.bits & ~SigSet::of(sig_stop).bits};

constexpr bool is_signal(int64_t signo) { return signo >= 1 && signo <= signal_count; }
constexpr bool is_real_time(int signo) { return signo >= sig_rtmin; }

constexpr DefaultAction default_action(int signo) {
    if (stop_signals.has(signo))
        return DefaultAction::stop;
    switch (signo) {
    case sig_cont:
        return DefaultAction::resume;
    case sig_chld:
    case sig_urg:
    case sig_winch:
        return DefaultAction::ignore;
    default:
        return DefaultAction::terminate;
    }
}

/// Whether `action` throws `signo` away without an effect (continuing happens when it is sent).
constexpr bool discards(const SigAction& action, int signo) {
    if (action.handler == SigAction::ignore)
        return true;
    const DefaultAction d = default_action(signo);
    return action.handler == SigAction::default_action && (d == DefaultAction::ignore || d == DefaultAction::resume);
}

/// The signal of `pending` to deliver next while `blocked` are not: synchronous ones first, then the lowest number;
/// 0 if there is none.
constexpr int next_signal(SigSet pending, SigSet blocked) {
    SigSet ready = pending & ~blocked;
    if (!(ready & synchronous_signals).empty())
        ready = ready & synchronous_signals;
    return ready.empty() ? 0 : std::countr_zero(ready.bits) + 1;
}

enum class Enqueued : uint32_t {
    added,
    coalesced, ///< a standard signal that was pending already
    bare,      ///< pending, but without its information: no memory, or over the limit
    refused    ///< a real-time signal of sigqueue that would lose its information: nothing changed
};

/// Puts `info` behind `pending`. `count` is how many entries the owner has queued, `limit` how many it may (signals that the
/// kernel itself generates are exempt from it).
Enqueued pending_add(Pending& pending, uint32_t& count, const SigInfo& info, uint64_t limit);
/// Takes the oldest `signo`; the bit goes with the last one.
SigInfo pending_take(Pending& pending, uint32_t& count, int signo);
/// Drops all signals of `set`.
void pending_drop(Pending& pending, uint32_t& count, SigSet set);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Static probes and the trace ring of each hart. A probe that is off costs one load and one branch. trace.def lists them;
// /proc/lentil/trace_control and `trace=` on the command line turn them on, /proc/lentil/trace shows what was recorded.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include <libkern/hartset.hpp>
#include <libkern/result.hpp>
#include <libkern/types.hpp>

namespace lentil {

struct Thread;

enum class Probe : uint32_t {
#define PROBE(identifier, name, arguments, when) identifier,
#include <debug/trace.def>
#undef PROBE
    count
};

struct ProbeInfo {
    std::string_view name, arguments, when;
};
const ProbeInfo& probe_info(Probe probe);

using TraceArguments = std::array<uint64_t, 4>;

/// One event. Fixed size; the same layout in every ring.
struct TraceRecord {
    nanos_t time_ns;  ///< monotonic clock of the machine, the same on all harts
    uint64_t thread;  ///< Thread::id of the thread it is about
    int32_t pid, tid; ///< who that thread executed as; 0 for kernel threads
    uint32_t probe, hart;
    TraceArguments args;
};
static_assert(sizeof(TraceRecord) == 64 && std::is_trivially_copyable_v<TraceRecord>);

namespace trace_state {
/// What is on. Bit 0: system calls are printed on the console (abi/syscall_trace.hpp); bit 1 + n: probe n.
extern std::atomic<uint64_t> enabled;
inline constexpr uint64_t console_syscalls = 1;
constexpr uint64_t bit(Probe probe) { return uint64_t{2} << static_cast<uint32_t>(probe); }
/// All that dispatch has to know before and after a system call.
inline constexpr uint64_t syscalls = console_syscalls | bit(Probe::syscall_entry) | bit(Probe::syscall_return);
/// Called when `syscalls` among what is on may have changed; the layer that enters system calls sets it once, at boot.
using SyscallsChanged = void (*)(bool any_on);
extern SyscallsChanged syscalls_changed;
inline bool any(uint64_t mask) { return (enabled.load(std::memory_order_relaxed) & mask) != 0; }
} // namespace trace_state

inline bool trace_on(Probe probe) { return trace_state::any(trace_state::bit(probe)); }

/// Records an event about `subject`, whether or not the probe is on. Callable anywhere, with any lock held; never blocks.
void trace_record(const Thread& subject, Probe probe, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0,
                  uint64_t a3 = 0);
/// The same, as somebody that `subject` does not execute as any more.
void trace_record_as(const Thread& subject, pid_t pid, pid_t tid, Probe probe, const TraceArguments& args);
/// The same about the current thread.
void trace_record_current(Probe probe, uint64_t a0 = 0, uint64_t a1 = 0, uint64_t a2 = 0, uint64_t a3 = 0);

namespace detail {
template<class T>
constexpr uint64_t trace_word(T value) {
    if constexpr (std::is_signed_v<T>)
        return static_cast<uint64_t>(static_cast<int64_t>(value));
    else
        return static_cast<uint64_t>(value);
}
} // namespace detail

/// The probe: if it is on, an event about the current thread.
template<class... A>
[[gnu::always_inline]] inline void trace(Probe probe, A... args) {
    if (trace_on(probe)) [[unlikely]]
        trace_record_current(probe, detail::trace_word(args)...);
}

/// Up to 8 characters of a name in one word, the first in the lowest byte.
constexpr uint64_t trace_text(std::string_view text) {
    uint64_t word = 0;
    for (size_t i = 0; i < text.size() && i < 8 && text[i] != '\0'; i++)
        word |= static_cast<uint64_t>(static_cast<unsigned char>(text[i])) << (8 * i);
    return word;
}

/// Turns probes on and off as `words` say, separated by blanks or commas; each replaces or adds to what is on:
/// `off` (first), `all`, part of a probe's name (`proc`, `loan`, `sched`, `exec-success`), `syscalls` (the console),
/// `clear` forgets what was recorded, `records=N` sets the size of each hart's ring before the first recording.
/// inval for anything else, nomem; then nothing changed. May sleep.
Result<void> trace_configure(std::string_view words);

struct TraceCounts {
    uint64_t recorded = 0; ///< since the last `clear`
    uint64_t lost = 0;     ///< of those: overwritten
};
TraceCounts trace_counts(unsigned hart);
/// Records that each hart keeps.
uint64_t trace_capacity();

/// Walks what all harts recorded up to now in order of time. What is overwritten meanwhile is skipped and counted.
class TraceCursor {
public:
    TraceCursor();
    bool next(TraceRecord& out);
    uint64_t skipped() const { return skipped_; }

private:
    /// Fetches the next record of a hart into its place in `heads_`.
    void advance(unsigned hart);

    uint64_t next_[max_harts], end_[max_harts];
    nanos_t time_[max_harts]; ///< of the hart's next record; no_deadline: none left
    uint64_t skipped_ = 0;
};

/// Writes a record as /proc/lentil/trace shows it (docs/tracing.md), with its line end; returns the part of `to` used.
std::string_view trace_format(std::span<char> to, const TraceRecord& record);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Who used the hart: user and system time of threads, load averages of the machine.
#include <sched/clock.hpp>
#include <sched/hart.hpp>
#include <sched/sched_internal.hpp>

namespace lentil {

// ---- times of threads ------------------------------------------------------------------------------------------------
//
// Two clocks run, both in ticks: all time on a hart (times_total, kept by the switch) and the time in the kernel
// (arch.system_ticks, kept by trap entry and switch; what it means is in machine/machine.hpp). User time is the rest. Each
// is one word that is right at every moment: while its clock runs it is less by the time counter, and so negative.
//
// Only the thread itself writes (or, while it does not run, the switch on its hart). A switch changes neither sum; where
// thread_take_times changes both, a reader on another hart must not see one of them old and one new: times_takes is odd
// meanwhile.

namespace {

/// What a clock shows at `now`.
uint64_t shown(const Word<int64_t>& clock, uint64_t now) {
    const int64_t sum = clock.load(std::memory_order_relaxed);
    return static_cast<uint64_t>(sum < 0 ? sum + static_cast<int64_t>(now) : sum);
}

/// Ticks in user mode. (The two clocks are not read in one moment.)
uint64_t user_part(uint64_t total, uint64_t system) { return total > system ? total - system : 0; }

CpuTimes split(uint64_t total, uint64_t system) {
    return {machine::ticks_to_ns(user_part(total, system)), machine::ticks_to_ns(system)};
}

} // namespace

CpuTimes thread_times(const Thread& thread) {
    for (;;) {
        const uint32_t takes = thread.times_takes.load(std::memory_order_acquire);
        const uint64_t now = machine::ticks();
        const uint64_t total = shown(thread.times_total, now), system = shown(thread.arch.system_ticks, now);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (takes % 2 == 0 && thread.times_takes.load(std::memory_order_relaxed) == takes)
            return split(total, system);
        machine::cpu_relax();
    }
}

CpuTimes thread_take_times(Thread& self) {
    IrqGuard irq;
    const uint64_t now = machine::ticks();
    const uint64_t total = shown(self.times_total, now), system = shown(self.arch.system_ticks, now);
    const uint32_t takes = self.times_takes.load(std::memory_order_relaxed);
    self.times_takes.store(takes + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    self.times_total.store(-static_cast<int64_t>(now), std::memory_order_relaxed);
    self.arch.system_ticks.store(-static_cast<int64_t>(now), std::memory_order_relaxed);
    self.times_takes.store(takes + 2, std::memory_order_release);
    HartCounters::bump(current_hart().counters.user_ticks, total - system);
    return split(total, system);
}

nanos_t hart_user_ns(Hart& hart) {
    SpinGuard guard(hart.lock); // the current thread stays
    const Thread& running = *hart.current;
    const uint64_t now = machine::ticks();
    const uint64_t open = user_part(shown(running.times_total, now), shown(running.arch.system_ticks, now));
    return machine::ticks_to_ns(hart.counters.user_ticks.load(std::memory_order_relaxed) + open);
}

uint64_t hart_syscalls(const Hart& hart) {
    const uint64_t open = &hart == &current_hart() ? current_thread().arch.direct_calls : 0;
    return hart.counters.syscalls.load(std::memory_order_relaxed) + open;
}

// ---- load averages -----------------------------------------------------------------------------------------------------
//
// Exponential averages of the number of runnable threads, sampled every 5 s. No timer does it, since an idle hart takes no
// ticks: whoever switches, or asks, makes up for the samples missed; while all harts were idle the samples are 0.

namespace {

constexpr nanos_t sample_ns = 5'000'000'000;
/// exp(-5/60), exp(-5/300), exp(-5/900) in 1/65536.
constexpr uint64_t decay[3] = {60296, 64453, 65173};

constinit std::atomic<uint64_t> averages[3] = {};

} // namespace

constinit std::atomic<nanos_t> load_average_detail::next_sample_ns{sample_ns},
    load_average_detail::all_idle_since_ns{0};
using load_average_detail::all_idle_since_ns, load_average_detail::next_sample_ns;

void load_average_sample(nanos_t now) {
    nanos_t next = next_sample_ns.load(std::memory_order_relaxed);
    if (now < next) {
        all_idle_since_ns.store(0, std::memory_order_relaxed);
        return;
    }
    const nanos_t missed = (now - next) / sample_ns + 1;
    // One of several harts does it.
    if (!next_sample_ns.compare_exchange_strong(next, next + missed * sample_ns, std::memory_order_relaxed))
        return;
    const nanos_t idle_since = all_idle_since_ns.exchange(0, std::memory_order_relaxed);
    const nanos_t busy = idle_since == 0 ? missed : idle_since < next ? 0 : (idle_since - next) / sample_ns + 1;
    const uint64_t active = uint64_t{sched_runnable()} << 16;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t average = averages[i].load(std::memory_order_relaxed);
        // After some hundred samples nothing changes any more.
        for (nanos_t n = 0; n < missed && n < 2000; n++)
            average = (average * decay[i] + (n < busy ? active : 0) * (65536 - decay[i])) >> 16;
        averages[i].store(average, std::memory_order_relaxed);
    }
}

void load_average_all_idle(nanos_t now) {
    if (harts_idle.load() == harts_up.load() && all_idle_since_ns.load(std::memory_order_relaxed) == 0)
        all_idle_since_ns.store(now, std::memory_order_relaxed);
}

void sched_load_averages(uint64_t out[3]) {
    load_average_update(machine::now_ns());
    for (unsigned i = 0; i < 3; i++)
        out[i] = averages[i].load(std::memory_order_relaxed);
}

} // namespace lentil

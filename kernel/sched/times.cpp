// SPDX-License-Identifier: BSD-2-Clause
// Who used the hart: user and system time of threads, load averages of the machine.
#include <sched/clock.hpp>
#include <sched/hart.hpp>
#include <sched/sched_internal.hpp>

namespace lentil {

// ---- times of threads ------------------------------------------------------------------------------------------------
//
// Two clocks run, both in ticks: all time on a hart (times_total, kept by the switch) and the time in the kernel
// (arch.system_ticks, kept by trap entry and switch; what it means is in machine/machine.hpp). User time is the rest.
//
// Only the thread itself writes (or, while it does not run, the switch on its hart). A reader on another hart must not
// count a stretch twice or not at all: the writer makes the mark invalid while it moves a stretch to the sum, and the
// reader takes its snapshot again if the mark was invalid or changed.

namespace {

constexpr uint64_t changing = ~uint64_t{0};

/// Ticks in the kernel up to `now`.
uint64_t system_ticks(const Thread& t, uint64_t now) {
    const int64_t sum = t.arch.system_ticks.load(std::memory_order_relaxed);
    return static_cast<uint64_t>(sum < 0 ? sum + static_cast<int64_t>(now) : sum);
}

/// The stretch from the mark until now ends; a new one begins now with these totals.
void restart_stretch(Thread& t, uint64_t now, uint64_t total, uint64_t system, uint32_t running) {
    const uint64_t mark = t.times_mark.load(std::memory_order_relaxed);
    const uint64_t length = now - mark, in_kernel = system_ticks(t, now) - t.times_system_before;
    HartCounters::bump(current_hart().counters.user_ticks, length > in_kernel ? length - in_kernel : 0);

    t.times_mark.store(changing, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    t.times_total.store(total, std::memory_order_relaxed);
    t.times_running.store(running, std::memory_order_relaxed);
    t.times_mark.store(now, std::memory_order_release);
    t.times_system_before = system;
}

CpuTimes split(uint64_t total, uint64_t system) {
    return {machine::ticks_to_ns(total > system ? total - system : 0), machine::ticks_to_ns(system)};
}

} // namespace

void times_switch(Thread& from, Thread& to) {
    const uint64_t now = machine::ticks();
    HartCounters::bump(current_hart().counters.syscalls, std::exchange(from.arch.direct_calls, 0));
    const uint64_t system = system_ticks(from, now);
    restart_stretch(from, now,
                    from.times_total.load(std::memory_order_relaxed) +
                        (now - from.times_mark.load(std::memory_order_relaxed)),
                    system, 0);
    from.arch.system_ticks.store(static_cast<int64_t>(system), std::memory_order_relaxed);

    // `to` does not run, so nobody else writes. It was switched away from in the kernel, or starts there.
    const int64_t before = to.arch.system_ticks.load(std::memory_order_relaxed);
    to.times_system_before = static_cast<uint64_t>(before);
    to.times_mark.store(changing, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    to.times_running.store(1, std::memory_order_relaxed);
    to.times_mark.store(now, std::memory_order_release);
    to.arch.system_ticks.store(before - static_cast<int64_t>(now), std::memory_order_relaxed);
}

CpuTimes thread_times(const Thread& thread) {
    for (;;) {
        const uint64_t mark = thread.times_mark.load(std::memory_order_acquire);
        const uint64_t total = thread.times_total.load(std::memory_order_relaxed);
        const uint32_t running = thread.times_running.load(std::memory_order_relaxed);
        const uint64_t now = machine::ticks(), system = system_ticks(thread, now);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (mark != changing && thread.times_mark.load(std::memory_order_relaxed) == mark)
            return split(total + (running != 0 && now > mark ? now - mark : 0), system);
        machine::cpu_relax();
    }
}

CpuTimes thread_take_times(Thread& self) {
    IrqGuard irq;
    const uint64_t now = machine::ticks(), system = system_ticks(self, now);
    const uint64_t total =
        self.times_total.load(std::memory_order_relaxed) + (now - self.times_mark.load(std::memory_order_relaxed));
    restart_stretch(self, now, 0, 0, 1);
    self.arch.system_ticks.store(-static_cast<int64_t>(now), std::memory_order_relaxed);
    return split(total, system);
}

nanos_t hart_user_ns(Hart& hart) {
    SpinGuard guard(hart.lock); // the current thread stays, and so does its mark
    const Thread& running = *hart.current;
    const uint64_t now = machine::ticks(), mark = running.times_mark.load(std::memory_order_relaxed);
    const uint64_t in_kernel = system_ticks(running, now) - running.times_system_before;
    const uint64_t open = mark != changing && now > mark + in_kernel ? now - mark - in_kernel : 0;
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

constinit std::atomic<nanos_t> next_sample_ns{sample_ns};
constinit std::atomic<uint64_t> averages[3] = {};
constinit std::atomic<nanos_t> all_idle_since_ns{0};

} // namespace

void load_average_update(nanos_t now) {
    nanos_t next = next_sample_ns.load(std::memory_order_relaxed);
    if (now < next) [[likely]] {
        if (all_idle_since_ns.load(std::memory_order_relaxed) != 0)
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

// SPDX-License-Identifier: BSD-2-Clause
// Who used the hart: user and system time of threads, load averages of the machine.
#include <sched/clock.hpp>
#include <sched/hart.hpp>
#include <sched/sched_internal.hpp>

namespace lentil {

// ---- times of threads ------------------------------------------------------------------------------------------------
//
// Only the thread itself writes (or, while it does not run, the switch on its hart). A reader on another hart must not
// count a stretch twice or not at all: the writer makes the mark invalid while it moves time from the open stretch to the
// sums, and the reader takes its snapshot again if the mark was invalid or changed.

namespace {

constexpr nanos_t changing = -1;

/// Returns its length.
nanos_t close_stretch(Thread& t, std::atomic<nanos_t>& sum, nanos_t now, uint32_t running) {
    const nanos_t mark = t.times_mark_ns.load(std::memory_order_relaxed);
    t.times_mark_ns.store(changing, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    sum.store(sum.load(std::memory_order_relaxed) + (now - mark), std::memory_order_relaxed);
    t.times_running.store(running, std::memory_order_relaxed);
    t.times_mark_ns.store(now, std::memory_order_release);
    return now - mark;
}

} // namespace

void sched_enter_kernel(Thread& self) {
    // An interrupt in between may switch, and so close the stretch itself: interrupts are off in the hooks' first steps or
    // not; either way the time is right, since each change starts from the mark.
    IrqGuard irq;
    const nanos_t length = close_stretch(self, self.times_user, machine::now_ns(), 1);
    HartCounters::bump(current_hart().counters.user_ns, length);
}

void sched_leave_kernel(Thread& self) {
    IrqGuard irq;
    close_stretch(self, self.times_system, machine::now_ns(), 2);
}

void times_switch(Thread& from, Thread& to, nanos_t now) {
    close_stretch(from, from.times_system, now, 0);
    // `to` does not run, so nobody else writes. It was switched away from in the kernel.
    to.times_mark_ns.store(changing, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    to.times_running.store(1, std::memory_order_relaxed);
    to.times_mark_ns.store(now, std::memory_order_release);
}

CpuTimes thread_times(const Thread& thread) {
    for (;;) {
        const nanos_t mark = thread.times_mark_ns.load(std::memory_order_acquire);
        CpuTimes times{thread.times_user.load(std::memory_order_relaxed),
                       thread.times_system.load(std::memory_order_relaxed)};
        const uint32_t running = thread.times_running.load(std::memory_order_relaxed);
        std::atomic_thread_fence(std::memory_order_acquire);
        if (mark != changing && thread.times_mark_ns.load(std::memory_order_relaxed) == mark) {
            const nanos_t now = machine::now_ns();
            if (running == 1)
                times.system += now - mark;
            else if (running == 2)
                times.user += now - mark;
            return times;
        }
        machine::cpu_relax();
    }
}

CpuTimes thread_take_times(Thread& self) {
    IrqGuard irq;
    close_stretch(self, self.times_system, machine::now_ns(), 1);
    const CpuTimes times{self.times_user.load(std::memory_order_relaxed),
                         self.times_system.load(std::memory_order_relaxed)};
    self.times_user.store(0, std::memory_order_relaxed);
    self.times_system.store(0, std::memory_order_relaxed);
    return times;
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

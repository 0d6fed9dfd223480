// SPDX-License-Identifier: BSD-2-Clause
// Clocks.
#include <atomic>

#include <sched/clock.hpp>
#include <sched/sched_internal.hpp>

namespace lentil {

namespace {
constinit std::atomic<uint32_t> settings{0};
constinit Waitq settings_waitq;

constinit std::atomic<lentil_clock_page*> user_page{nullptr};

/// For readers of the page (user/vdso/vdso.c).
void write_page() {
    if (lentil_clock_page* page = user_page.load(std::memory_order_acquire))
        std::atomic_ref(page->wall_minus_monotonic_ns)
            .store(clock_values.wall_minus_monotonic_ns.load(std::memory_order_relaxed), std::memory_order_relaxed);
}
} // namespace

constinit ClockValues clock_values;

nanos_t monotonic_ns() { return machine::now_ns() - clock_values.boot_ns; }

nanos_t clock_to_machine_ns(nanos_t monotonic) {
    // Saturates: a time limit of centuries is no limit.
    return monotonic > no_deadline - clock_values.boot_ns ? no_deadline : monotonic + clock_values.boot_ns;
}

nanos_t realtime_offset_ns() { return clock_values.wall_minus_monotonic_ns.load(std::memory_order_relaxed); }

nanos_t realtime_ns() { return monotonic_ns() + realtime_offset_ns(); }

nanos_t monotonic_at_realtime(nanos_t time) {
    if (time == no_deadline)
        return no_deadline;
    const nanos_t now = monotonic_ns(), ahead = time - (now + realtime_offset_ns());
    return ahead <= 0 ? 0 : ahead < no_deadline - now ? now + ahead : no_deadline;
}

void set_realtime_ns(nanos_t now) {
    clock_values.wall_minus_monotonic_ns.store(now - monotonic_ns(), std::memory_order_relaxed);
    write_page();
    settings.fetch_add(1, std::memory_order_release);
    settings_waitq.wake_all();
}

uint32_t realtime_settings() { return settings.load(std::memory_order_acquire); }

Waitq& realtime_waitq() { return settings_waitq; }

void clock_publish(lentil_clock_page& page) {
    page.ns_per_tick = machine::ns_per_tick();
    page.boot_ns = clock_values.boot_ns;
    user_page.store(&page, std::memory_order_release);
    write_page();
}

void clock_init() {
    clock_values.ns_per_tick = machine::ns_per_tick();
    clock_values.boot_ns = machine::now_ns();
}

} // namespace lentil

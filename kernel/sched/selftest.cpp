// SPDX-License-Identifier: BSD-2-Clause
// The self-test's frame and helpers.
#include <sched/selftest.hpp>
#include <sched/selftest_internal.hpp>

namespace lentil {

namespace selftest {

namespace {
constinit unsigned tests = 0, failures = 0;
}

void report(bool holds, std::string_view sentence, std::string_view seen) {
    tests++;
    if (holds) {
        kprint("ok {}\n", sentence);
    } else {
        failures++;
        kprint("not ok {}: {}\n", sentence, seen);
    }
}

void finish() {
    kprint("1..{}\n", tests);
    machine::power(failures == 0 ? machine::PowerAction::off : machine::PowerAction::off_failure);
}

unsigned hart_count() { return sched_harts().count(); }

Thread& Crew::start(const char* name, void (*entry)(void*), void* arg, SchedParams params) {
    ASSERT(size_ < capacity);
    threads_[size_] = MUST(kernel_thread_start(name, entry, arg, params)); // the machine has memory for this
    return *threads_[size_++];
}

void Crew::join() {
    for (unsigned i = 0; i < size_; i++) {
        while (threads_[i]->state.load(std::memory_order_acquire) != ThreadState::dead)
            sleep_until(monotonic_ns() + ms, "join", Interruptible::no);
        threads_[i].reset();
    }
    size_ = 0;
}

Thread& Spinners::add(SchedParams params) {
    return crew_.start(
        "spinner",
        [](void* arg) {
            auto& stop = *static_cast<std::atomic<uint32_t>*>(arg);
            while (stop.load(std::memory_order_relaxed) == 0)
                machine::cpu_relax();
        },
        &stop_, params);
}

void Spinners::measure(nanos_t warm_up, nanos_t span) {
    sleep_until(monotonic_ns() + warm_up, "warm-up", Interruptible::no);
    nanos_t before[Crew::capacity];
    const nanos_t start = monotonic_ns();
    for (unsigned i = 0; i < crew_.size(); i++)
        before[i] = thread_times(crew_[i]).system;
    sleep_until(start + span, "measure", Interruptible::no);
    const nanos_t end = monotonic_ns();
    for (unsigned i = 0; i < crew_.size(); i++)
        shares_[i] = static_cast<unsigned>((thread_times(crew_[i]).system - before[i]) * 1000 / (end - start));
}

unsigned Spinners::least() const {
    unsigned n = ~0U;
    for (unsigned i = 0; i < crew_.size(); i++)
        n = shares_[i] < n ? shares_[i] : n;
    return n;
}

unsigned Spinners::most() const {
    unsigned n = 0;
    for (unsigned i = 0; i < crew_.size(); i++)
        n = shares_[i] > n ? shares_[i] : n;
    return n;
}

void Spinners::stop() {
    stop_.store(1, std::memory_order_relaxed);
    crew_.join();
}

} // namespace selftest

void sched_selftest(void*) {
    using namespace selftest;
    // The secondary harts come up on their own; the tests mean all of them.
    while (hart_count() < machine::boot_info.hart_count)
        sleep_ms(5);
    sleep_ms(50);
    test_blocking();
    test_timing();
    test_placement();
    finish();
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Self-test: time limits, accounting, shares of the harts.
#include <sched/selftest_internal.hpp>

namespace lentil::selftest {

namespace {

/// On a loaded host a hart may stand still for a while; only "never early" is exact.
constexpr nanos_t late_limit = 500 * ms;

void sleeping() {
    nanos_t earliest = no_deadline, latest = -no_deadline;
    for (nanos_t n = 0; n < 20; n++) {
        const nanos_t deadline = monotonic_ns() + n * ms;
        const WaitResult result = sleep_until(deadline, "sleep");
        const nanos_t late = monotonic_ns() - deadline;
        earliest = late < earliest ? late : earliest;
        latest = late > latest ? late : latest;
        if (result != WaitResult::timed_out)
            earliest = -1;
    }
    check(earliest >= 0 && latest < late_limit, "a sleep ends at its time, never before", "{} to {} us late",
          earliest / 1000, latest / 1000);
    Waitq nobody_wakes;
    const nanos_t deadline = monotonic_ns() + 30 * ms;
    const WaitResult result = wait_until(
        nobody_wakes, "never", [] { return false; }, Interruptible::no, deadline);
    check(result == WaitResult::timed_out && monotonic_ns() >= deadline,
          "a wait with a time limit ends when nobody wakes it", "result {}", result);
    const WaitResult past = wait_until(
        nobody_wakes, "never", [] { return false; }, Interruptible::no, 1);
    check(past == WaitResult::timed_out, "a time limit in the past ends a wait at once", "result {}", past);
}

void many_sleepers() {
    struct Shared {
        std::atomic<uint32_t> early{0}, seed{1};
    } shared;
    {
        Crew crew;
        for (unsigned i = 0; i < 40; i++)
            crew.start(
                "sleeper",
                [](void* arg) {
                    auto& s = *static_cast<Shared*>(arg);
                    Random random{s.seed.fetch_add(7919) * 2654435761U};
                    for (int k = 0; k < 20; k++) {
                        const nanos_t deadline = monotonic_ns() + static_cast<nanos_t>(random.below(15'000'000));
                        sleep_until(deadline, "sleep");
                        if (monotonic_ns() < deadline)
                            s.early.fetch_add(1);
                    }
                },
                &shared);
    }
    check(shared.early.load() == 0, "800 sleeps of 40 threads all end, none early", "{} early", shared.early.load());
}

void accounting() {
    Spinners spinner;
    Thread& thread = spinner.add();
    const nanos_t start = monotonic_ns();
    const nanos_t before = thread_times(thread).system;
    sleep_ms(200);
    const nanos_t used = thread_times(thread).system - before, passed = monotonic_ns() - start;
    check(used > passed * 9 / 10 && used <= passed, "a thread that spins is charged the time it ran, while it runs",
          "{} of {} us", used / 1000, passed / 1000);
    const nanos_t mine = thread_times(current_thread()).system;
    sleep_ms(100);
    check(thread_times(current_thread()).system - mine < 50 * ms, "a thread that sleeps is not charged", "{} us",
          (thread_times(current_thread()).system - mine) / 1000);
}

/// The emulator's harts are threads of a machine that others use too, and it may stop one of them for a while. So shares
/// count if one measurement of three is right; a wrong scheduler is wrong in all of them.
template<class Right>
void measure_until(Spinners& crew, nanos_t settle_ns, nanos_t length_ns, Right right) {
    for (int attempt = 0; attempt < 3; attempt++) {
        crew.measure(settle_ns, length_ns);
        if (right())
            return;
    }
}

void equal_shares(std::string_view sentence, unsigned spinners, unsigned harts) {
    Spinners crew;
    HartSet set((uint64_t{1} << harts) - 1);
    for (unsigned i = 0; i < spinners; i++)
        crew.add({.affinity = set});
    const unsigned fair = 1000 * harts / spinners;
    // Within 5 %. With more harts than a small host has, a hart may stand still for a slice of the host's at either end.
    const unsigned slack = fair * 5 / 100 + (harts > 4 ? 100 : 0);
    const auto right = [&] { return crew.least() >= fair - slack && crew.most() <= fair + slack; };
    measure_until(crew, 300 * ms, 3000 * ms, right);
    check(right(), sentence, "shares from {} to {} thousandths, fair is {}", crew.least(), crew.most(), fair);
}

void uneven_start() {
    Spinners crew;
    for (unsigned i = 0; i < 4; i++)
        crew.add({.affinity = HartSet::of(i == 0 ? 0 : 1)});
    sleep_ms(100);
    for (unsigned i = 0; i < 4; i++)
        thread_set_params(crew[i], {.affinity = HartSet(3)});
    const auto right = [&] { return crew.least() >= 475 && crew.most() <= 525; };
    measure_until(crew, 300 * ms, 1500 * ms, right);
    check(right(), "queues of one and three threads even out", "shares from {} to {} thousandths", crew.least(),
          crew.most());
}

void nice_shares() {
    Spinners crew;
    for (int nice : {0, 5, 10})
        crew.add({.nice = nice, .affinity = HartSet::of(0)});
    // Weights 1024, 335, 110.
    const auto right = [&] {
        const unsigned all = crew.share(0) + crew.share(1) + crew.share(2);
        const auto near = [&](unsigned i, unsigned weight) {
            const unsigned expected = all * weight / 1469;
            return crew.share(i) + 15 + expected / 10 > expected && crew.share(i) < expected + 15 + expected / 10;
        };
        return near(0, 1024) && near(1, 335) && near(2, 110) && all > 950;
    };
    measure_until(crew, 200 * ms, 3000 * ms, right);
    check(right(), "nice 0, 5 and 10 share one hart by their weights", "shares {}, {}, {} thousandths", crew.share(0),
          crew.share(1), crew.share(2));
}

void nice_across_harts() {
    Spinners crew;
    for (unsigned i = 0; i < 3; i++)
        crew.add({.nice = i == 0 ? 19 : 0, .affinity = HartSet(3)});
    const auto right = [&] { return crew.share(0) < 60 && crew.share(1) > 940 && crew.share(2) > 940; };
    measure_until(crew, 300 * ms, 2000 * ms, right);
    check(right(), "a nice 19 thread does not keep a nice 0 thread from a hart", "shares {}, {}, {} thousandths",
          crew.share(0), crew.share(1), crew.share(2));
}

} // namespace

void test_timing() {
    sleeping();
    many_sleepers();
    accounting();
    const unsigned harts = hart_count();
    equal_shares("twice as many spinners as harts get half a hart each", 2 * harts, harts);
    nice_shares();
    if (harts < 2)
        return;
    equal_shares("three spinners on two harts get two thirds each", 3, 2);
    uneven_start();
    nice_across_harts();
    if (harts >= 4)
        equal_shares("five spinners on four harts get four fifths each", 5, 4);
}

} // namespace lentil::selftest

// SPDX-License-Identifier: BSD-2-Clause
// Run queues in simulated time, the callout tree, and the lock order checker.
#include "glue.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <host/simulator.hpp>
#include <map>
#include <random>
#include <vector>

#include <sched/callout.hpp>
#include <sched/runq.hpp>
#include <sync/spinlock.hpp>

using namespace lentil;

namespace {

/// A hart that only charges and chooses, a millisecond at a time.
struct SimulatedHart {
    explicit SimulatedHart(FairClock& clock) : runq(clock) {}
    ~SimulatedHart() {
        while (runq.take_best()) {
        }
    }

    void add(SchedEntity& entity, bool woken = true) {
        runq.attach(entity, woken);
        runq.enqueue(entity);
    }
    void switch_to_best(Runq::Position position) {
        if (current)
            runq.enqueue(*current, position);
        runq.set_current(nullptr);
        current = runq.take_best();
        runq.set_current(current);
        ran_ns = 0;
    }
    void run_ms() {
        if (!current)
            switch_to_best(Runq::Position::tail);
        if (!current)
            return;
        total[current] += 1;
        runq.charge(1'000'000);
        ran_ns += 1'000'000;
        const nanos_t slice = runq.slice_wanted();
        if (slice != 0 && ran_ns >= slice) {
            if (runq.current_should_yield())
                switch_to_best(Runq::Position::tail);
            ran_ns = 0;
        }
    }

    Runq runq;
    SchedEntity* current = nullptr;
    nanos_t ran_ns = 0;
    std::map<SchedEntity*, int> total;
};

SchedParams fifo(int32_t priority) { return {.policy = SchedPolicy::fifo, .rt_priority = priority}; }

} // namespace

TEST_CASE("one step of nice is a factor of 1.25, and nice 0 is 1024") {
    CHECK(sched_weight(SchedPolicy::other, 0) == 1024);
    for (int32_t n = -20; n < 19; n++) {
        const double factor = double(sched_weight(SchedPolicy::other, n)) / sched_weight(SchedPolicy::other, n + 1);
        CHECK(factor > 1.15);
        CHECK(factor < 1.35);
    }
    CHECK(sched_weight(SchedPolicy::idle, -20) < sched_weight(SchedPolicy::other, 19));
}

TEST_CASE("equal threads get equal time on one hart") {
    FairClock clock;
    SchedEntity threads[5];
    SimulatedHart hart(clock);
    for (auto& t : threads)
        hart.add(t);
    for (int i = 0; i < 10000; i++)
        hart.run_ms();
    for (auto& t : threads)
        CHECK(std::abs(hart.total[&t] - 2000) <= 12);
}

TEST_CASE("nice 0 and nice 5 share a hart three to one") {
    FairClock clock;
    SchedEntity threads[2];
    threads[1].set({.nice = 5});
    SimulatedHart hart(clock);
    for (auto& t : threads)
        hart.add(t);
    for (int i = 0; i < 40000; i++)
        hart.run_ms();
    const double ratio = double(hart.total[&threads[0]]) / hart.total[&threads[1]];
    CHECK(ratio > 2.9);
    CHECK(ratio < 3.2);
}

TEST_CASE("a thread that slept long gets little for it") {
    FairClock clock;
    SchedEntity spinner, sleeper;
    SimulatedHart hart(clock);
    hart.add(spinner);
    hart.add(sleeper);
    for (int i = 0; i < 100; i++)
        hart.run_ms();
    if (hart.current == &sleeper)
        hart.switch_to_best(Runq::Position::tail);
    REQUIRE(hart.current == &spinner);
    hart.runq.dequeue(sleeper);
    hart.runq.detach(sleeper);
    for (int i = 0; i < 10000; i++)
        hart.run_ms();
    hart.add(sleeper);
    const int before = hart.total[&sleeper];
    for (int i = 0; i < 1000; i++)
        hart.run_ms();
    CHECK(hart.total[&sleeper] - before >= 490);
    CHECK(hart.total[&sleeper] - before <= 515);
}

TEST_CASE("a woken thread preempts one that had more, but not one that had as much") {
    FairClock clock;
    SchedEntity running, equal, behind;
    SimulatedHart hart(clock);
    hart.add(running);
    hart.run_ms();
    hart.add(equal);
    CHECK_FALSE(hart.runq.preempts_current(equal));
    hart.runq.charge(5'000'000);
    hart.add(behind);
    CHECK(hart.runq.preempts_current(behind));
}

TEST_CASE("real-time threads run by priority and in order among equals; a preempted one stays first") {
    FairClock clock;
    SchedEntity fair, low, high[3];
    low.set(fifo(1));
    for (auto& t : high)
        t.set(fifo(70));
    SimulatedHart hart(clock);
    hart.add(fair);
    for (auto& t : high)
        hart.add(t);
    hart.add(low);
    CHECK(hart.runq.best_rt_priority() == 70);
    CHECK(hart.runq.take_best() == &high[0]);
    hart.runq.enqueue(high[0], Runq::Position::head); // preempted
    CHECK(hart.runq.take_best() == &high[0]);
    hart.runq.enqueue(high[0], Runq::Position::tail); // its turn is over
    CHECK(hart.runq.take_best() == &high[1]);
    CHECK(hart.runq.take_best() == &high[2]);
    CHECK(hart.runq.take_best() == &high[0]);
    CHECK(hart.runq.take_best() == &low);
    CHECK(hart.runq.take_best() == &fair);
    CHECK(hart.runq.take_best() == nullptr);
    CHECK(hart.runq.best_rt_priority() == 0);
}

TEST_CASE("only a thread whose affinity has the other hart is found for it") {
    FairClock clock;
    SchedEntity pinned, free, urgent_pinned;
    pinned.set({.affinity = HartSet::of(0)});
    urgent_pinned.set({.policy = SchedPolicy::fifo, .rt_priority = 9, .affinity = HartSet::of(0)});
    SimulatedHart hart(clock);
    hart.add(pinned);
    hart.add(urgent_pinned);
    CHECK(hart.runq.find_movable(1) == nullptr);
    hart.add(free);
    CHECK(hart.runq.find_movable(1) == &free);
    CHECK(hart.runq.find_movable_fair(1, 1024) == &free);
    CHECK(hart.runq.find_movable_fair(1, 1023) == nullptr);
    CHECK(hart.runq.find_movable(0) == &urgent_pinned);
}

TEST_CASE("fair time advances with the time that a hart's threads get") {
    FairClock clock;
    SchedEntity alone, crowd[4];
    SimulatedHart one(clock), four(clock);
    one.add(alone);
    for (auto& t : crowd)
        four.add(t);
    const uint64_t start_one = one.runq.fair_time(), start_four = four.runq.fair_time();
    for (int i = 0; i < 1200; i++) {
        one.run_ms();
        four.run_ms();
    }
    const auto gained_one = static_cast<nanos_t>(one.runq.fair_time() - start_one);
    const auto gained_four = static_cast<nanos_t>(four.runq.fair_time() - start_four);
    CHECK(gained_one == 1200'000'000);
    CHECK(std::abs(gained_four - 300'000'000) <= 6'000'000);
}

TEST_CASE(
    "fair threads come out by what they have had, equal ones in the order in which they came, as from a sorted list") {
    std::mt19937_64 random(20);
    for (int round = 0; round < 200; round++) {
        FairClock clock;
        Runq runq(clock);
        std::vector<SchedEntity> entities(1 + random() % 12);
        std::vector<SchedEntity*> outside, sorted; // `sorted`: what waits
        for (auto& e : entities)
            outside.push_back(&e);
        const auto put = [&](SchedEntity* e) {
            sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), e,
                                           [](auto* a, auto* b) { return a->vruntime < b->vruntime; }),
                          e);
        };
        for (int step = 0; step < 300; step++) {
            SchedEntity* e = outside.empty() ? nullptr : outside[random() % outside.size()];
            if (e)
                e->vruntime = (uint64_t{1} << 40) + random() % 6;
            switch (random() % 4) {
            case 0:
            case 1:
                if (!e)
                    break;
                std::erase(outside, e);
                put(e);
                runq.enqueue(*e);
                break;
            case 2: {
                SchedEntity* const best = sorted.empty() ? nullptr : sorted.front();
                CHECK(runq.best() == best);
                if (best && random() % 3 == 0) { // any of them, as when one moves away
                    SchedEntity* const any = sorted[random() % sorted.size()];
                    runq.dequeue(*any);
                    std::erase(sorted, any);
                    outside.push_back(any);
                    break;
                }
                REQUIRE(runq.take_best() == best);
                if (best) {
                    sorted.erase(sorted.begin());
                    outside.push_back(best);
                }
                break;
            }
            case 3:
                if (!e)
                    break;
                std::erase(outside, e);
                put(e);
                REQUIRE(runq.enqueue_and_take_best(*e, Runq::Position::tail) == sorted.front());
                outside.push_back(sorted.front());
                sorted.erase(sorted.begin());
                break;
            }
            CHECK(runq.count() == sorted.size());
        }
        while (runq.take_best()) {
        }
    }
}

TEST_CASE("the short ways of a wake-up and a switch where one thread waits do what the long ones do") {
    // The same random history on two harts, of which one never takes the short ways.
    unsigned joined = 0, left = 0, yielded = 0;
    for (unsigned seed = 1; seed <= 300; seed++) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        struct Side {
            FairClock clock;
            Runq runq{clock};
            SchedEntity threads[4];
            int current = -1;
        } sides[2];
        bool waits[4] = {}; ///< queued
        for (int i = 0; i < 4; i++) {
            SchedParams params;
            if (random() % 3 == 0)
                params.nice = static_cast<int32_t>(random() % 40) - 20;
            if (random() % 8 == 0)
                params.policy = random() % 2 ? SchedPolicy::batch : SchedPolicy::idle;
            for (Side& side : sides)
                side.threads[i].set(params);
        }
        const auto same = [&] {
            CHECK(sides[0].runq.count() == sides[1].runq.count());
            CHECK(sides[0].runq.load() == sides[1].runq.load());
            CHECK(sides[0].runq.fair_time() == sides[1].runq.fair_time());
            CHECK(sides[0].runq.offset() == sides[1].runq.offset());
            CHECK(sides[0].clock.latest.load() == sides[1].clock.latest.load());
            CHECK(sides[0].current == sides[1].current);
            for (int i = 0; i < 4; i++) {
                CHECK(sides[0].threads[i].vruntime == sides[1].threads[i].vruntime);
                CHECK(sides[0].threads[i].attached == sides[1].threads[i].attached);
            }
        };
        const auto index_of = [](Side& side, const SchedEntity* e) {
            return e ? static_cast<int>(e - side.threads) : -1;
        };
        for (int step = 0; step < 200; step++) {
            const nanos_t ran = random() % 4 == 0 ? static_cast<nanos_t>(random() % 400'000'000)
                                                  : static_cast<nanos_t>(random() % 100'000);
            const int who = static_cast<int>(random() % 4);
            const bool elsewhere = random() % 16 == 0;
            const uint64_t progress = random() % 500'000'000;
            switch (random() % 3) {
            case 0: // somebody wakes
                if (who == sides[0].current || waits[who])
                    break;
                waits[who] = true;
                if (elsewhere) // another hart is ahead by now
                    for (Side& side : sides)
                        side.clock.advance(side.clock.latest.load() + progress);
                for (Side& side : sides) {
                    SchedEntity& e = side.threads[who];
                    if (&side == &sides[0] && side.runq.takes_lone(e) && side.runq.is_ordinary(e)) {
                        joined++;
                        const uint64_t load = side.runq.add_lone(e);
                        CHECK(load == side.runq.load());
                        CHECK(side.runq.preempts_fairly(e) == side.runq.preempts_current(e));
                    } else {
                        side.runq.attach(e, true);
                        side.runq.enqueue(e);
                    }
                }
                break;
            case 1: // who runs sleeps
                for (Side& side : sides) {
                    SchedEntity* const lone = side.runq.lone();
                    SchedEntity* const self = side.current < 0 ? nullptr : &side.threads[side.current];
                    if (&side == &sides[0] && lone && self) {
                        left++;
                        side.runq.leave_to_lone(*self, *lone, ran);
                        side.current = index_of(side, lone);
                        continue;
                    }
                    side.runq.charge(ran);
                    if (self)
                        side.runq.detach(*self);
                    SchedEntity* const best = side.runq.take_best();
                    side.runq.set_current(best);
                    side.current = index_of(side, best);
                }
                if (sides[1].current >= 0)
                    waits[sides[1].current] = false;
                break;
            default: // who runs yields
                if (sides[0].current < 0 || sides[0].runq.count() == 0)
                    break;
                waits[sides[0].current] = true;
                for (Side& side : sides) {
                    SchedEntity* const lone = side.runq.lone();
                    SchedEntity& self = side.threads[side.current];
                    if (&side == &sides[0] && lone) {
                        yielded++;
                        side.runq.yield_to_lone(self, *lone, ran);
                        side.current = index_of(side, lone);
                        continue;
                    }
                    side.runq.charge(ran);
                    side.runq.yield_current();
                    SchedEntity* const best = side.runq.enqueue_and_take_best(self, Runq::Position::tail);
                    side.runq.set_current(best);
                    side.current = index_of(side, best);
                }
                waits[sides[1].current] = false;
                break;
            }
            same();
        }
        for (Side& side : sides)
            while (side.runq.take_best()) {
            }
    }
    CHECK(joined > 1000);
    CHECK(left > 1000);
    CHECK(yielded > 1000);
}

TEST_CASE("a thread that moves keeps what it is owed, within the limit") {
    FairClock clock;
    SchedEntity moving, stays, there;
    SimulatedHart from(clock), to(clock);
    from.add(moving);
    from.add(stays);
    to.add(there);
    while (from.current != &stays || stays.vruntime <= moving.vruntime + 4'000'000)
        from.run_ms();
    for (int i = 0; i < 100; i++)
        to.run_ms();
    from.runq.dequeue(moving);
    from.runq.detach(moving);
    to.add(moving, false);
    const auto owed = static_cast<nanos_t>(there.vruntime - moving.vruntime);
    CHECK(owed > 0);
    CHECK(owed <= sched_time::max_lag_ns);
}

TEST_CASE("pinned threads that make a hart slow are forgiven, not owed for ever") {
    FairClock clock;
    SchedEntity fast, slow[4];
    SimulatedHart one(clock), four(clock);
    one.add(fast);
    for (auto& t : slow)
        four.add(t);
    for (int i = 0; i < 5000; i++) {
        one.run_ms();
        four.run_ms();
    }
    four.runq.limit_lag();
    CHECK(static_cast<nanos_t>(one.runq.fair_time() - four.runq.fair_time()) <= sched_time::max_lag_ns);
}

TEST_CASE("callouts come out by deadline, first in first out among equals, whatever is erased") {
    std::mt19937 random(42);
    for (int round = 0; round < 50; round++) {
        CalloutTree tree;
        std::vector<CalloutNode> nodes(200);
        std::vector<CalloutNode*> model;
        for (auto& n : nodes) {
            n.deadline_ns = random() % 50;
            tree.insert(n);
            model.push_back(&n);
        }
        for (int i = 0; i < 100; i++) {
            const size_t victim = random() % model.size();
            tree.erase(*model[victim]);
            model.erase(model.begin() + static_cast<long>(victim));
        }
        std::stable_sort(model.begin(), model.end(), [](auto* a, auto* b) { return a->deadline_ns < b->deadline_ns; });
        for (CalloutNode* expected : model) {
            REQUIRE(tree.first() == expected);
            CHECK(tree.first_deadline_ns() == expected->deadline_ns);
            tree.erase(*expected);
        }
        CHECK(tree.first() == nullptr);
        CHECK(tree.first_deadline_ns() == no_deadline);
    }
}

namespace {

HeldLocks held;

/// The checker watches this test alone.
struct Watched {
    Watched() {
        held = {};
        lock_check::held_by_current = [] { return &held; };
        lock_check::threads_only = true;
        machine::irq_enable();
    }
    ~Watched() {
        lock_check::held_by_current = nullptr;
        lock_check::threads_only = false;
    }
};

SourceLine here(SourceLine where = {__builtin_FILE(), __builtin_LINE()}) { return where; }

} // namespace

TEST_CASE("locks in the order of their ranks pass, in any order of release") {
    Watched watched;
    int a = 0, b = 0, c = 0;
    lock_check::acquiring(&a, Rank::vnode, false, here());
    lock_check::acquiring(&b, Rank::vm_map, false, here());
    lock_check::acquiring(&c, Rank::zone, false, here());
    lock_check::released(&b, Rank::vm_map);
    lock_check::released(&a, Rank::vnode);
    lock_check::released(&c, Rank::zone);
    CHECK(held.count == 0);
}

TEST_CASE("a lock of a lower rank than one held is reported with both places") {
    Watched watched;
    int a = 0, b = 0;
    const auto first = here();
    lock_check::acquiring(&a, Rank::zone, false, first);
    const auto second = here();
    try {
        lock_check::acquiring(&b, Rank::pmap, false, second);
        FAIL("no report");
    } catch (const Panicked& panicked) {
        CHECK(panicked.reason.find("sched_queues.cpp:" + std::to_string(first.line)) != std::string::npos);
        CHECK(panicked.reason.find("sched_queues.cpp:" + std::to_string(second.line)) != std::string::npos);
    }
}

TEST_CASE("two locks of one rank are reported unless the caller says that it nests") {
    Watched watched;
    int a = 0, b = 0;
    lock_check::acquiring(&a, Rank::futex, false, here());
    CHECK_THROWS_AS(lock_check::acquiring(&b, Rank::futex, false, here()), Panicked);
    CHECK_NOTHROW(lock_check::acquiring(&b, Rank::futex, true, here()));
}

TEST_CASE("NB-48 a lock taken twice, or released without being held, is reported") {
    Watched watched;
    int a = 0, b = 0;
    lock_check::acquiring(&a, Rank::futex, false, here());
    CHECK_THROWS_AS(lock_check::acquiring(&a, Rank::futex, true, here()), Panicked);
    CHECK_THROWS_AS(lock_check::released(&b, Rank::futex), Panicked);
    lock_check::released(&a, Rank::futex);
    SpinLock<Rank::futex> lock;
    SpinGuard guard(lock);
    guard.unlock();
    CHECK_THROWS_AS(guard.unlock(), Panicked);
    CHECK(held.count == 0);
}

TEST_CASE("sleeping is allowed with a mutex held, and reported with a spin lock held or interrupts off") {
    Watched watched;
    int mutex = 0, spin = 0;
    lock_check::acquiring(&mutex, Rank::vnode, false, here());
    CHECK_NOTHROW(lock_check::assert_may_sleep());
    lock_check::acquiring(&spin, Rank::zone, false, here());
    CHECK_THROWS_AS(lock_check::assert_may_sleep(), Panicked);
    lock_check::released(&spin, Rank::zone);
    machine::irq_disable();
    CHECK_THROWS_AS(lock_check::assert_may_sleep(), Panicked);
}

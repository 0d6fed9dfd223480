// SPDX-License-Identifier: BSD-2-Clause
// Self-test: affinity, real-time preemption, idle harts.
#include <sched/callout.hpp>
#include <sched/selftest_internal.hpp>

namespace lentil::selftest {

namespace {

/// Notes every hart it ever runs on.
struct Wanderer {
    std::atomic<uint64_t> seen{0};
    std::atomic<uint32_t> stop{0}, looks{0}; ///< how often it looked where it is
    static void run(void* arg) {
        auto& self = *static_cast<Wanderer*>(arg);
        for (uint32_t i = 0; self.stop.load(std::memory_order_relaxed) == 0; i++, self.looks.fetch_add(1)) {
            self.seen.fetch_or(uint64_t{1} << where(), std::memory_order_relaxed);
            if (i % 4096 == 0)
                sleep_until(monotonic_ns() + ms / 4, "wander", Interruptible::no);
        }
    }
};

void pinned() {
    const unsigned harts = hart_count();
    Wanderer wanderers[8];
    Spinners others; // pressure to move
    Crew crew;
    for (unsigned i = 0; i < 8; i++)
        crew.start("pinned", Wanderer::run, &wanderers[i], {.affinity = HartSet::of(i % harts)});
    for (unsigned i = 0; i < harts; i++)
        others.add();
    sleep_ms(500);
    unsigned strays = 0;
    for (unsigned i = 0; i < 8; i++) {
        wanderers[i].stop.store(1);
        strays += wanderers[i].seen.load() != uint64_t{1} << i % harts;
    }
    crew.join();
    check(strays == 0, "a pinned thread never moves", "{} of 8 did", strays);
}

void moved_while_running() {
    const unsigned harts = hart_count();
    Wanderer wanderer;
    Crew crew;
    // Spins without ever entering the scheduler by itself.
    Thread& thread = crew.start("moved",
                                [](void* arg) {
                                    auto& self = *static_cast<Wanderer*>(arg);
                                    while (self.stop.load(std::memory_order_relaxed) == 0)
                                        self.seen.store(where(), std::memory_order_relaxed);
                                },
                                &wanderer, {.affinity = HartSet::of(0)});
    nanos_t slowest = 0;
    unsigned lost = 0;
    for (unsigned i = 1; i <= 40; i++) {
        const unsigned target = i % harts;
        const nanos_t start = monotonic_ns();
        thread_set_params(thread, {.affinity = HartSet::of(target)});
        while (wanderer.seen.load(std::memory_order_relaxed) != target && monotonic_ns() - start < 1000 * ms)
            sleep_until(monotonic_ns() + ms / 10, "moved", Interruptible::no);
        lost += wanderer.seen.load(std::memory_order_relaxed) != target;
        const nanos_t took = monotonic_ns() - start;
        slowest = took > slowest ? took : slowest;
    }
    wanderer.stop.store(1);
    crew.join();
    check(lost == 0 && slowest < 300 * ms, "a running thread moves at once when its affinity changes",
          "{} of 40 did not, slowest {} us", lost, slowest / 1000);
}

void moves_itself() {
    const unsigned harts = hart_count();
    std::atomic<uint32_t> wrong{0};
    Crew crew;
    crew.start(
        "mover",
        [](void* arg) {
            const unsigned n = hart_count();
            for (unsigned i = 0; i < 200; i++) {
                thread_set_params(current_thread(), {.affinity = HartSet::of(i % n)});
                if (where() != i % n)
                    static_cast<std::atomic<uint32_t>*>(arg)->fetch_add(1);
            }
        },
        &wrong);
    crew.join();
    check(wrong.load() == 0, "a thread that changes its own affinity goes on on the new hart",
          "{} of 200 did not ({} harts)", wrong.load(), harts);
}

/// Affinities change at random from several sides while threads block, wake and spin.
void affinity_storm() {
    const unsigned harts = hart_count();
    Wanderer wanderers[12];
    Crew crew;
    for (auto& w : wanderers)
        crew.start("storm", Wanderer::run, &w);
    Random random{4711};
    for (unsigned i = 0; i < 3000; i++) {
        const uint64_t bits = 1 + random.below((uint64_t{1} << harts) - 1);
        const bool urgent = random.below(8) == 0;
        thread_set_params(crew[static_cast<unsigned>(random.below(12))],
                          {.policy = urgent ? SchedPolicy::round_robin : SchedPolicy::other,
                           .rt_priority = urgent ? 1 + static_cast<int32_t>(random.below(5)) : 0,
                           .nice = static_cast<int32_t>(random.below(40)) - 20,
                           .affinity = HartSet(bits)});
        if (i % 8 == 0)
            sleep_until(monotonic_ns() + ms / 20, "storm", Interruptible::no);
    }
    for (unsigned i = 0; i < 12; i++)
        thread_set_params(crew[i], {.affinity = HartSet::of(i % harts)});
    for (auto& w :
         wanderers) { // one that was preempted between its look and its note has still to write down where it was
        const uint32_t before = w.looks.load();
        for (unsigned k = 0; k < 500 && w.looks.load() - before < 2; k++)
            sleep_ms(10);
    }
    for (auto& w : wanderers)
        w.seen.store(0);
    sleep_ms(200);
    unsigned astray = 0, still = 0;
    for (unsigned i = 0; i < 12; i++) {
        // One that hangs or starves shows nothing for seconds; a loaded host makes any of them pause.
        for (unsigned k = 0; k < 50 && wanderers[i].seen.load() == 0; k++)
            sleep_ms(100);
        still += wanderers[i].seen.load() == 0;
        astray += (wanderers[i].seen.load() & ~(uint64_t{1} << i % harts)) != 0;
    }
    for (auto& w : wanderers)
        w.stop.store(1);
    crew.join();
    check(still == 0 && astray == 0, "after 3000 random changes of policy and affinity every thread runs where it must",
          "{} stand still, {} are elsewhere", still, astray);
}

// ---- real-time -----------------------------------------------------------------------------------------------------

/// Measures in work done, not in time: a loaded host stops a hart now and then, and what runs there with it.
struct Urgent {
    static constexpr unsigned rounds = 50;
    std::atomic<uint64_t> work{0}; ///< by a fair thread on the hart
    std::atomic<uint32_t> stop{0};
    Waitq queue;
    std::atomic<uint32_t> called{0}, answered{0};
    uint64_t work_at_call = 0;
    uint64_t late[rounds] = {}; ///< work done between the call and the urgent thread's first step
    Callout callout;

    static void run(void* arg) {
        auto& self = *static_cast<Urgent*>(arg);
        for (uint32_t i = 0; i < rounds; i++) {
            wait_until(
                self.queue, "urgent", [&] { return self.called.load() == i + 1; }, Interruptible::no);
            self.late[i] = self.work.load() - self.work_at_call;
            self.answered.fetch_add(1);
        }
    }
    static void toil(void* arg) {
        auto& self = *static_cast<Urgent*>(arg);
        while (self.stop.load(std::memory_order_relaxed) == 0)
            self.work.fetch_add(1, std::memory_order_relaxed);
    }
    void call() {
        work_at_call = work.load();
        called.fetch_add(1);
        queue.wake_all();
    }
    uint64_t median() {
        for (unsigned i = 1; i < rounds; i++)
            for (unsigned k = i; k > 0 && late[k] < late[k - 1]; k--) {
                const uint64_t v = late[k];
                late[k] = late[k - 1], late[k - 1] = v;
            }
        return late[rounds / 2];
    }
};

void fifo_preempts(bool from_interrupt) {
    const HartSet hart = HartSet::of(hart_count() - 1);
    Urgent urgent;
    urgent.callout.init([](void* arg) { static_cast<Urgent*>(arg)->call(); }, &urgent);
    uint64_t work_per_ms = 0;
    {
        Crew crew;
        crew.start("toil", Urgent::toil, &urgent, {.nice = -20, .affinity = hart});
        crew.start("urgent", Urgent::run, &urgent, {.policy = SchedPolicy::fifo, .rt_priority = 50, .affinity = hart});
        const nanos_t start = monotonic_ns();
        for (unsigned i = 0; i < Urgent::rounds; i++) {
            sleep_ms(3);
            if (from_interrupt) {
                // Armed there, it runs there.
                Crew armer;
                armer.start("arm", [](void* arg) { static_cast<Urgent*>(arg)->callout.arm(monotonic_ns() + ms); },
                            &urgent, {.affinity = hart});
                armer.join();
            } else {
                urgent.call();
            }
            while (urgent.answered.load() != i + 1)
                sleep_ms(1);
        }
        work_per_ms = urgent.work.load() / static_cast<uint64_t>((monotonic_ns() - start) / ms);
        urgent.stop.store(1);
    }
    const uint64_t middle = urgent.median();
    if (from_interrupt)
        check(middle == 0, "a SCHED_FIFO thread woken by an interrupt runs before the interrupted thread goes on",
              "median {} steps, {} make a millisecond", middle, work_per_ms);
    else
        check(middle < work_per_ms / 4, "a SCHED_FIFO thread woken from another hart preempts at once",
              "median {} steps, {} make a millisecond", middle, work_per_ms);
}

/// Above every thread of a test, so that this one goes on even on a single hart.
struct Supervising {
    Supervising() { thread_set_params(current_thread(), {.policy = SchedPolicy::fifo, .rt_priority = 99}); }
    ~Supervising() { thread_set_params(current_thread(), {}); }
};

void fifo_order() {
    Supervising raised;
    // Started in the order of rising priority while the hart is held by a still higher one.
    struct Shared {
        std::atomic<uint32_t> next{0};
        std::atomic<uint32_t> stop{0};
    } shared;
    struct One {
        Shared* shared;
        uint32_t place;
    } ones[4];
    Crew crew;
    const HartSet hart = HartSet::of(hart_count() - 1);
    crew.start("holder",
               [](void* arg) {
                   while (static_cast<Shared*>(arg)->stop.load() == 0)
                       machine::cpu_relax();
               },
               &shared, {.policy = SchedPolicy::fifo, .rt_priority = 90, .affinity = hart});
    const int32_t priorities[4] = {10, 20, 20, 30};
    for (unsigned i = 0; i < 4; i++) {
        ones[i] = {&shared, 99};
        crew.start("ordered",
                   [](void* arg) {
                       auto& one = *static_cast<One*>(arg);
                       one.place = one.shared->next.fetch_add(1);
                   },
                   &ones[i], {.policy = SchedPolicy::fifo, .rt_priority = priorities[i], .affinity = hart});
    }
    sleep_ms(20);
    const bool held = shared.next.load() == 0;
    shared.stop.store(1);
    crew.join();
    check(held && ones[3].place == 0 && ones[1].place == 1 && ones[2].place == 2 && ones[0].place == 3,
          "real-time threads run by priority, and first come, first served among equals", "{} {} {} {} held {}",
          ones[0].place, ones[1].place, ones[2].place, ones[3].place, held);
}

void preempted_stays_first() {
    Supervising raised;
    struct Shared {
        std::atomic<uint32_t> first_may_end{0}, second_ran{0}, urgent_ran{0};
    } shared;
    const HartSet hart = HartSet::of(hart_count() - 1);
    Crew crew;
    crew.start("first",
               [](void* arg) {
                   while (static_cast<Shared*>(arg)->first_may_end.load() == 0)
                       machine::cpu_relax();
               },
               &shared, {.policy = SchedPolicy::fifo, .rt_priority = 20, .affinity = hart});
    sleep_ms(5);
    crew.start("second", [](void* arg) { static_cast<Shared*>(arg)->second_ran.store(1); }, &shared,
               {.policy = SchedPolicy::fifo, .rt_priority = 20, .affinity = hart});
    for (uint32_t i = 1; i <= 5; i++) {
        crew.start("urgent", [](void* arg) { static_cast<Shared*>(arg)->urgent_ran.fetch_add(1); }, &shared,
                   {.policy = SchedPolicy::fifo, .rt_priority = 30, .affinity = hart});
        for (int k = 0; k < 200 && shared.urgent_ran.load() < i; k++)
            sleep_ms(2);
    }
    sleep_ms(5);
    const bool held = shared.second_ran.load() == 0;
    const uint32_t urgent = shared.urgent_ran.load();
    shared.first_may_end.store(1);
    crew.join();
    check(held && urgent == 5 && shared.second_ran.load() == 1,
          "a SCHED_FIFO thread that is preempted stays before others of its priority", "held {}, preempted {} times",
          held, urgent);
}

void round_robin() {
    Supervising raised;
    Spinners crew;
    for (unsigned i = 0; i < 2; i++)
        crew.add({.policy = SchedPolicy::round_robin, .rt_priority = 5, .affinity = HartSet::of(hart_count() - 1)});
    crew.measure(50 * ms, 2000 * ms);
    check(crew.least() > 400, "two SCHED_RR threads of one priority take turns", "shares {} and {} thousandths",
          crew.share(0), crew.share(1));
}

/// More urgent threads than harts: the most urgent ones run, wherever they were queued.
void urgent_spread() {
    const unsigned harts = hart_count();
    Spinners crew;
    // One hart is left to this thread. The threads start in the order of rising priority.
    HartSet set((uint64_t{1} << (harts - 1)) - 1);
    for (unsigned i = 0; i < 2 * (harts - 1); i++)
        crew.add({.policy = SchedPolicy::fifo, .rt_priority = static_cast<int32_t>(10 + i), .affinity = set});
    unsigned wrong = 1;
    for (unsigned k = 0; k < 10 && wrong != 0;
         k++) { // on a loaded host it takes a while until the last IPI has arrived
        crew.measure(50 * ms, 500 * ms);
        wrong = 0;
        for (unsigned i = 0; i < 2 * (harts - 1); i++)
            wrong += i < harts - 1 ? crew.share(i) > 50 : crew.share(i) < 900;
    }
    for (unsigned i = 0; wrong != 0 && i < 2 * (harts - 1); i++)
        kprint("# priority {} on hart {}: {} thousandths\n", 10 + i, crew[i].hart.load()->index, crew.share(i));
    check(wrong == 0, "the most urgent real-time threads have the harts", "{} have what others should", wrong);
}

// ---- idle harts --------------------------------------------------------------------------------------------------------

uint64_t idle_interrupts() {
    uint64_t n = 0;
    sched_harts().for_each([&](unsigned i) { n += hart_by_index(i).counters.idle_timer_interrupts.load(); });
    return n;
}

void silent_idleness() {
    sleep_ms(50);
    const uint64_t before = idle_interrupts();
    nanos_t idle_before = 0, idle_after = 0;
    const nanos_t start = monotonic_ns();
    sched_harts().for_each([&](unsigned i) { idle_before += hart_idle_ns(hart_by_index(i)); });
    sleep_ms(1000);
    sched_harts().for_each([&](unsigned i) { idle_after += hart_idle_ns(hart_by_index(i)); });
    const nanos_t passed = monotonic_ns() - start;
    const uint64_t seen = idle_interrupts() - before;
    check(seen == 1, "idle harts take no timer interrupts but the one that ends a sleep", "{} in a second", seen);
    const nanos_t expected = passed * hart_count();
    check(idle_after - idle_before > expected * 9 / 10 && idle_after - idle_before <= expected,
          "harts without work count as idle", "{} of {} ms", (idle_after - idle_before) / ms, expected / ms);
}

/// The timer of a slice that has lost its purpose does not wake the hart.
void idle_hart_forgets_the_slice() {
    constexpr unsigned rounds = 20;
    const unsigned hart = hart_count() - 1;
    thread_set_params(current_thread(), {.affinity = HartSet::of(0)});
    const Word<uint64_t>& count = hart_by_index(hart).counters.idle_timer_interrupts;
    const uint64_t before = count.load();
    for (unsigned i = 0; i < rounds; i++) {
        Crew crew;
        for (unsigned k = 0; k < 2; k++)
            crew.start("brief",
                       [](void*) {
                           const nanos_t end = monotonic_ns() + sched_time::slice_ns / 8;
                           while (monotonic_ns() < end)
                               machine::cpu_relax();
                       },
                       nullptr, {.affinity = HartSet::of(hart)});
        sleep_ms(10);
    }
    const uint64_t seen = count.load() - before;
    thread_set_params(current_thread(), {});
    check(seen <= 2, "a hart that fell idle before the end of a slice takes no timer interrupt for it",
          "{} in {} rounds", seen, rounds);
}

void lone_spinner_is_not_disturbed() {
    Spinners crew;
    crew.add({.affinity = HartSet::of(0)});
    sleep_ms(50);
    const uint64_t before = hart_by_index(0).counters.timer_interrupts.load();
    sleep_until(monotonic_ns() + 500 * ms, "watch", Interruptible::no);
    const uint64_t seen = hart_by_index(0).counters.timer_interrupts.load() - before;
    check(seen <= 2, "a hart with one thread to run takes no slice interrupts", "{} in half a second", seen);
}

void starts_on_idle_hart() {
    unsigned wrong = 0;
    for (unsigned i = 0; i < 50; i++) {
        std::atomic<uint32_t> child{99};
        const nanos_t limit = monotonic_ns() + 1000 * ms;
        Crew crew;
        unsigned parent_start;
        {
            PreemptGuard stay;
            parent_start = where();
            crew.start(
                "child", [](void* arg) { static_cast<std::atomic<uint32_t>*>(arg)->store(where()); }, &child);
            // The parent does not let go of its hart: only another one can run the child.
            while (child.load() == 99 && monotonic_ns() < limit)
                machine::cpu_relax();
        }
        wrong += child.load() == 99 || child.load() == parent_start;
    }
    check(wrong == 0, "a new thread starts on an idle hart while its maker runs on", "{} of 50 did not", wrong);
}

void idle_hart_takes_work() {
    nanos_t slowest = 0;
    unsigned wrong = 0;
    for (unsigned i = 0; i < 20; i++) {
        Spinners crew;
        crew.add({.affinity = HartSet::of(0)});
        crew.add({.affinity = HartSet::of(0)});
        sleep_ms(10);
        const nanos_t start = monotonic_ns();
        thread_set_params(crew[0], {});
        thread_set_params(crew[1], {});
        Thread &a = crew[0], &b = crew[1];
        auto both_run = [&] { return a.hart.load() != b.hart.load(); };
        while (!both_run() && monotonic_ns() - start < 500 * ms)
            sleep_until(monotonic_ns() + ms / 10, "watch", Interruptible::no);
        wrong += !both_run();
        const nanos_t took = monotonic_ns() - start;
        slowest = took > slowest ? took : slowest;
    }
    check(wrong == 0 && slowest < 200 * ms, "an idle hart takes a thread that waits elsewhere",
          "{} of 20 stayed, slowest {} us", wrong, slowest / 1000);
}

void blocked_current_frees_waiting() {
    // The thread that runs blocks, the one queued behind it must run at once, without any timer.
    std::atomic<uint32_t> order{0};
    Crew crew;
    for (unsigned i = 0; i < 10; i++)
        crew.start("behind",
                   [](void* arg) {
                       static_cast<std::atomic<uint32_t>*>(arg)->fetch_add(1);
                       sleep_ms(1);
                       static_cast<std::atomic<uint32_t>*>(arg)->fetch_add(1);
                   },
                   &order, {.affinity = HartSet::of(0)});
    crew.join();
    check(order.load() == 20, "threads queued behind one that blocks run in its place", "{} of 20 steps", order.load());
}

void waker_runs_on() {
    // Who is woken mostly gets the hart when its waker sleeps. Here it does not sleep: the end of its slice must do.
    struct Shared {
        std::atomic<uint32_t> calls{0}, answers{0};
        unsigned wrong = 0;
        Waitq queue;
    } shared;
    Crew crew;
    const SchedParams here{.affinity = HartSet::of(0)};
    crew.start(
        "woken",
        [](void* arg) {
            auto& s = *static_cast<Shared*>(arg);
            for (uint32_t i = 1; i <= 20; i++) {
                wait_until(
                    s.queue, "call", [&] { return s.calls.load() >= i; }, Interruptible::no);
                s.answers.store(i);
            }
        },
        &shared, here);
    crew.start(
        "waker",
        [](void* arg) {
            auto& s = *static_cast<Shared*>(arg);
            for (uint32_t i = 1; i <= 20; i++) {
                sleep_ms(2); // the other waits by now, and this one just began to run
                s.calls.store(i);
                s.queue.wake_all();
                const nanos_t limit = monotonic_ns() + 2000 * ms;
                while (s.answers.load() < i && monotonic_ns() < limit)
                    machine::cpu_relax();
                s.wrong += s.answers.load() < i;
            }
        },
        &shared, here);
    crew.join();
    check(shared.wrong == 0, "a thread gets the hart in time from the one that woke it and spins on",
          "{} of 20 times it did not", shared.wrong);
}

} // namespace

void test_placement() {
    silent_idleness();
    blocked_current_frees_waiting();
    waker_runs_on();
    pinned();
    fifo_preempts(true);
    fifo_order();
    preempted_stays_first();
    round_robin();
    lone_spinner_is_not_disturbed();
    if (hart_count() < 2)
        return;
    idle_hart_forgets_the_slice();
    fifo_preempts(false);
    moved_while_running();
    moves_itself();
    affinity_storm();
    urgent_spread();
    starts_on_idle_hart();
    idle_hart_takes_work();
}

} // namespace lentil::selftest

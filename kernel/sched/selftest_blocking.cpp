// SPDX-License-Identifier: BSD-2-Clause
// Self-test: threads, wait queues, mutexes, callouts.
#include <sched/callout.hpp>
#include <sched/selftest_internal.hpp>

namespace lentil::selftest {

namespace {

// ---- ping-pong -----------------------------------------------------------------------------------------------------

struct PingPong {
    explicit PingPong(uint32_t n) : rounds(n) {}

    const uint32_t rounds;
    Waitq queues[2];
    std::atomic<uint32_t> turn{0};
    struct Player {
        PingPong* game;
        uint32_t side;
    } players[2] = {{this, 0}, {this, 1}};

    static void play(void* arg) {
        auto& [game, side] = *static_cast<Player*>(arg);
        for (uint32_t i = 0; i < game->rounds; i++) {
            wait_until(
                game->queues[side], "turn", [&] { return game->turn.load(std::memory_order_seq_cst) % 2 == side; },
                Interruptible::no);
            game->turn.fetch_add(1, std::memory_order_seq_cst);
            game->queues[1 - side].wake_one();
        }
    }
};

void ping_pong(std::string_view sentence, uint32_t rounds, HartSet first, HartSet second) {
    PingPong game(rounds);
    {
        Crew crew;
        crew.start("ping", PingPong::play, &game.players[0], {.affinity = first});
        crew.start("pong", PingPong::play, &game.players[1], {.affinity = second});
    }
    check(game.turn.load() == 2 * rounds, sentence, "{} turns", game.turn.load());
}

// ---- many threads --------------------------------------------------------------------------------------------------

void thousand_threads() {
    const uint64_t threads_before = thread_counters.threads_alive.load(),
                   stacks_before = thread_counters.kernel_stacks_alive.load();
    const uint64_t created_before = thread_counters.threads_created.load();
    constexpr uint32_t total = 1000;
    std::atomic<uint32_t> ran{0};
    for (uint32_t i = 0; i < total / 50; i++) {
        Crew crew;
        for (unsigned k = 0; k < 50; k++)
            crew.start(
                "brief", [](void* arg) { static_cast<std::atomic<uint32_t>*>(arg)->fetch_add(1); }, &ran);
    }
    // A dead thread's last reference goes on its hart, a moment after it is seen dead.
    for (int i = 0; i < 200 && thread_counters.threads_alive.load() != threads_before; i++)
        sleep_ms(5);
    check(ran.load() == total && thread_counters.threads_created.load() - created_before == total,
          "1000 kernel threads run and end", "{} ran", ran.load());
    check(thread_counters.threads_alive.load() == threads_before &&
              thread_counters.kernel_stacks_alive.load() == stacks_before,
          "ended threads give back their memory and stacks", "{} threads, {} stacks more than before",
          thread_counters.threads_alive.load() - threads_before,
          thread_counters.kernel_stacks_alive.load() - stacks_before);
}

// ---- mutex -----------------------------------------------------------------------------------------------------------

struct Contention {
    static constexpr uint32_t rounds = 3000;
    Mutex<Rank::file> mutex;
    uint64_t plain = 0; ///< not atomic: only the mutex keeps it right
    static void run(void* arg) {
        auto& self = *static_cast<Contention*>(arg);
        for (uint32_t i = 0; i < rounds; i++) {
            MutexGuard guard(self.mutex);
            const uint64_t seen = *static_cast<volatile uint64_t*>(&self.plain);
            if (i % 64 == 0)
                thread_yield(); // hold it over a switch now and then
            *static_cast<volatile uint64_t*>(&self.plain) = seen + 1;
        }
    }
};

void contention() {
    Contention shared;
    const unsigned n = 2 * hart_count();
    {
        Crew crew;
        for (unsigned i = 0; i < n; i++)
            crew.start("contender", Contention::run, &shared);
    }
    check(shared.plain == uint64_t{n} * Contention::rounds,
          "a mutex keeps two threads per hart out of each other's way", "{} of {}", shared.plain,
          uint64_t{n} * Contention::rounds);
}

// ---- lost wake-ups -----------------------------------------------------------------------------------------------------

/// Tokens go round through queues with random time limits; every token put in is taken out once.
struct Tokens {
    Waitq queue;
    std::atomic<uint32_t> available{0}, taken{0}, timeouts{0};
    uint32_t total = 0;

    bool take() {
        uint32_t n = available.load(std::memory_order_seq_cst);
        while (n != 0)
            if (available.compare_exchange_weak(n, n - 1, std::memory_order_seq_cst))
                return true;
        return false;
    }
    bool all_taken() const { return taken.load(std::memory_order_seq_cst) == total; }
    static void consume(void* arg) {
        auto& self = *static_cast<Tokens*>(arg);
        Random random{reinterpret_cast<uint64_t>(&current_thread()) | 1};
        while (!self.all_taken()) {
            bool got = false;
            const nanos_t limit = random.below(3) == 0 ? static_cast<nanos_t>(random.below(300'000)) : 200 * ms;
            const WaitResult result = wait_until(
                self.queue, "token", [&] { return (got = self.take()) || self.all_taken(); }, Interruptible::no,
                monotonic_ns() + limit, true);
            if (result == WaitResult::timed_out)
                self.timeouts.fetch_add(1);
            if (got && self.taken.fetch_add(1, std::memory_order_seq_cst) + 1 == self.total)
                self.queue.wake_all();
        }
    }
    static void produce(void* arg) {
        auto& self = *static_cast<Tokens*>(arg);
        for (uint32_t i = 0; i < 4000; i++) {
            self.available.fetch_add(1, std::memory_order_seq_cst);
            self.queue.wake_one();
            if (i % 16 == 0)
                thread_yield();
        }
    }
};

void tokens() {
    Tokens shared;
    shared.total = 2 * 4000;
    const nanos_t start = monotonic_ns();
    {
        Crew crew;
        for (unsigned i = 0; i < 6; i++)
            crew.start("consumer", Tokens::consume, &shared);
        crew.start("producer", Tokens::produce, &shared);
        crew.start("producer", Tokens::produce, &shared);
    }
    check(shared.taken.load() == shared.total && shared.available.load() == 0,
          "no wake-up is lost among wake-ups and time limits", "{} of {} taken, {} left, {} ms", shared.taken.load(),
          shared.total, shared.available.load(), (monotonic_ns() - start) / ms);
}

void exclusive_waiters() {
    struct Shared {
        Waitq queue;
        std::atomic<uint32_t> tickets{0}, through{0};
    } shared;
    Crew crew;
    auto wait = [](void* arg) {
        auto& s = *static_cast<Shared*>(arg);
        wait_until(
            s.queue, "ticket",
            [&] {
                uint32_t n = s.tickets.load(std::memory_order_seq_cst);
                while (n != 0)
                    if (s.tickets.compare_exchange_weak(n, n - 1))
                        return true;
                return false;
            },
            Interruptible::no, no_deadline, true);
        s.through.fetch_add(1);
    };
    for (unsigned i = 0; i < 5; i++)
        crew.start("waiter", wait, &shared);
    sleep_ms(50);
    shared.tickets.store(1);
    const unsigned woken = shared.queue.wake_one();
    sleep_ms(50);
    check(woken == 1 && shared.through.load() == 1, "wake_one wakes one of five exclusive waiters",
          "{} woken, {} through", woken, shared.through.load());
    shared.tickets.store(4);
    const unsigned rest = shared.queue.wake_all();
    crew.join();
    check(rest == 4 && shared.through.load() == 5, "wake_all wakes the rest", "{} woken, {} through", rest,
          shared.through.load());
}

// ---- interruption ------------------------------------------------------------------------------------------------------

struct Sleeper {
    Interruptible how = Interruptible::no;
    std::atomic<uint32_t> result{99};
    static void run(void* arg) {
        auto& self = *static_cast<Sleeper*>(arg);
        self.result.store(static_cast<uint32_t>(sleep_until(monotonic_ns() + 400 * ms, "sleeper", self.how)));
        thread_clear_interrupt(current_thread());
    }
};

void interruption() {
    constexpr auto interrupted = static_cast<uint32_t>(WaitResult::interrupted);
    constexpr auto timed_out = static_cast<uint32_t>(WaitResult::timed_out);
    const struct {
        Interruptible how;
        uint32_t level, expected;
        std::string_view sentence;
    } cases[] = {
        {Interruptible::yes, 1, interrupted, "a signal ends an interruptible sleep"},
        {Interruptible::killable, 1, timed_out, "a signal that is not fatal leaves a killable sleep alone"},
        {Interruptible::killable, 2, interrupted, "a fatal signal ends a killable sleep"},
        {Interruptible::no, 2, timed_out, "no signal ends an uninterruptible sleep"},
    };
    for (const auto& c : cases) {
        Sleeper sleeper;
        sleeper.how = c.how;
        Crew crew;
        Thread& thread = crew.start("sleeper", Sleeper::run, &sleeper);
        sleep_ms(50);
        thread_interrupt(thread, c.level);
        crew.join();
        check(sleeper.result.load() == c.expected, c.sentence, "result {}", sleeper.result.load());
    }
}

void two_queues() {
    Waitq a, b;
    std::atomic<uint32_t> event{0};
    struct Shared {
        Waitq &a, &b;
        std::atomic<uint32_t>& event;
        std::atomic<uint32_t> woken{0};
    } shared{a, b, event};
    Crew crew;
    crew.start(
        "poller",
        [](void* arg) {
            auto& s = *static_cast<Shared*>(arg);
            Waiter first, second;
            s.a.add(first);
            s.b.add(second);
            for (;;) {
                prepare_wait(Interruptible::no, "poll");
                if (s.event.load(std::memory_order_seq_cst) != 0) {
                    cancel_wait();
                    break;
                }
                finish_wait(no_deadline);
            }
            s.a.remove(first);
            s.b.remove(second);
            s.woken.store(1);
        },
        &shared);
    sleep_ms(30);
    event.store(1, std::memory_order_seq_cst);
    b.wake_all();
    crew.join();
    check(shared.woken.load() == 1 && !a.has_waiters() && !b.has_waiters(),
          "a thread in two queues is woken through either", "not woken");
}

// ---- callouts --------------------------------------------------------------------------------------------------------------

struct Timers {
    static constexpr unsigned count = 200;
    struct One {
        Callout callout;
        nanos_t deadline = 0;
        std::atomic<uint32_t> runs{0};
        Timers* owner = nullptr;
    } all[count];
    std::atomic<uint32_t> early{0}, out_of_order{0};
    nanos_t last = 0;
};
constinit Timers timers;

void callouts() {
    Random random{12345};
    {
        IrqGuard irq; // all on one hart, so that their order is defined
        const nanos_t start = monotonic_ns() + 20 * ms;
        for (auto& t : timers.all) {
            t.owner = &timers;
            t.deadline = start + static_cast<nanos_t>(random.below(100)) * ms;
            t.callout.init(
                [](void* arg) {
                    auto& one = *static_cast<Timers::One*>(arg);
                    one.runs.fetch_add(1);
                    if (monotonic_ns() < one.deadline)
                        one.owner->early.fetch_add(1);
                    if (one.deadline < one.owner->last)
                        one.owner->out_of_order.fetch_add(1);
                    one.owner->last = one.deadline;
                },
                &t);
            t.callout.arm(t.deadline);
        }
    }
    unsigned cancelled = 0;
    for (unsigned i = 0; i < Timers::count; i += 2)
        cancelled += timers.all[i].callout.cancel();
    sleep_ms(300);
    unsigned wrong = 0;
    for (unsigned i = 0; i < Timers::count; i++)
        wrong += timers.all[i].runs.load() != (i % 2 ? 1U : 0U);
    check(cancelled == Timers::count / 2 && wrong == 0, "callouts run once each, cancelled ones never",
          "{} cancelled, {} with a wrong number of runs", cancelled, wrong);
    check(timers.early.load() == 0 && timers.out_of_order.load() == 0, "callouts run in order and never early",
          "{} early, {} out of order", timers.early.load(), timers.out_of_order.load());
}

/// A callout on one hart that arms itself again and again, cancelled from another: afterwards it must be still.
struct Restless {
    Callout callout;
    std::atomic<uint32_t> runs{0};
    std::atomic<uint32_t> inside{0};
};

void cancel_across_harts() {
    unsigned wrong = 0;
    uint64_t runs = 0;
    for (unsigned round = 0; round < 200; round++) {
        Restless restless;
        restless.callout.init(
            [](void* arg) {
                auto& self = *static_cast<Restless*>(arg);
                self.inside.store(1);
                self.runs.fetch_add(1);
                self.callout.arm(monotonic_ns() + 20'000);
                self.inside.store(0);
            },
            &restless);
        Crew crew;
        crew.start("armer", [](void* arg) { static_cast<Restless*>(arg)->callout.arm(0); }, &restless,
                   {.affinity = HartSet::of(round % hart_count())});
        const nanos_t until = monotonic_ns() + ms;
        while (monotonic_ns() < until || restless.runs.load() == 0)
            machine::cpu_relax();
        restless.callout.cancel();
        wrong += restless.inside.load() != 0;
        const uint32_t after = restless.runs.load();
        crew.join();
        wrong += restless.runs.load() != after;
        runs += after;
    }
    check(wrong == 0, "a callout that arms itself again is still after cancel from any hart",
          "{} of 200 went on ({} runs)", wrong, runs);
}

} // namespace

void test_blocking() {
    const HartSet all = HartSet::all();
    ping_pong("two threads wake each other 10000 times wherever they run", 10000, all, all);
    ping_pong("two threads wake each other 10000 times on one hart", 10000, HartSet::of(0), HartSet::of(0));
    if (hart_count() > 1)
        ping_pong("two threads wake each other 1000 times across harts", 1000, HartSet::of(0), HartSet::of(1));
    thousand_threads();
    contention();
    tokens();
    exclusive_waiters();
    interruption();
    two_queues();
    callouts();
    cancel_across_harts();
}

} // namespace lentil::selftest

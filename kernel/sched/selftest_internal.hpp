// SPDX-License-Identifier: BSD-2-Clause
// What the parts of the scheduler's self-test share.
#pragma once

#include <string_view>

#include <libkern/format.hpp>
#include <sched/clock.hpp>
#include <sched/hart.hpp>
#include <sched/mutex.hpp>
#include <sched/sched.hpp>

namespace lentil::selftest {

inline constexpr nanos_t ms = 1'000'000;

/// One line of the result: a sentence about behaviour, and what was seen if it does not hold.
void report(bool holds, std::string_view sentence, std::string_view seen = {});

template<class... A>
void check(bool holds, std::string_view sentence, std::string_view seen, const A&... args) {
    char text[160];
    report(holds, sentence, format_to(text, seen, args...));
}

/// The last line, and power-off; failing if a test failed.
[[noreturn]] void finish();

unsigned hart_count();
inline void sleep_ms(nanos_t n) { sleep_until(monotonic_ns() + n * ms, "selftest", Interruptible::no); }
/// The hart this thread is on at some moment of the call.
inline unsigned where() {
    IrqGuard irq;
    return current_hart().index;
}

/// Counts down to an event that threads wait for.
class Countdown {
public:
    explicit Countdown(uint32_t n) : left_(n) {}
    void done() {
        if (left_.fetch_sub(1, std::memory_order_seq_cst) == 1)
            queue_.wake_all();
    }
    void wait() {
        wait_until(
            queue_, "countdown", [this] { return left_.load(std::memory_order_seq_cst) == 0; }, Interruptible::no);
    }
    bool wait_for(nanos_t limit) {
        return wait_until(
                   queue_, "countdown", [this] { return left_.load(std::memory_order_seq_cst) == 0; },
                   Interruptible::no, monotonic_ns() + limit) == WaitResult::awoken;
    }

private:
    std::atomic<uint32_t> left_;
    Waitq queue_;
};

/// Threads that do one thing each, and the wait for their end.
class Crew {
public:
    static constexpr unsigned capacity = 64;
    ~Crew() { join(); }
    Thread& start(const char* name, void (*entry)(void*), void* arg, SchedParams params = {});
    Thread& operator[](unsigned i) { return *threads_[i]; }
    unsigned size() const { return size_; }
    /// Waits until every one is dead.
    void join();

private:
    RefPtr<Thread> threads_[capacity];
    unsigned size_ = 0;
};

/// Threads that spin until told to stop, and what they got of the harts.
class Spinners {
public:
    ~Spinners() { stop(); }
    Thread& add(SchedParams params = {});
    Thread& operator[](unsigned i) { return crew_[i]; }
    /// Lets them run for `warm_up`, then for `span`; afterwards share(i) is thread i's part of a hart in 1/1000.
    void measure(nanos_t warm_up, nanos_t span);
    unsigned share(unsigned i) const { return shares_[i]; }
    unsigned least() const;
    unsigned most() const;
    void stop();

private:
    std::atomic<uint32_t> stop_{0};
    Crew crew_;
    unsigned shares_[Crew::capacity] = {};
};

/// A small generator; every use says its seed.
struct Random {
    uint64_t state;
    uint64_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }
    uint64_t below(uint64_t n) { return next() % n; }
};

void test_blocking();
void test_timing();
void test_placement();

} // namespace lentil::selftest

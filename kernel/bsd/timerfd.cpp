// SPDX-License-Identifier: BSD-2-Clause
// timerfd. A periodic timer is armed again when it is read: how often it expired meanwhile is a division.
#include <algorithm>

#include <bsd/anonymous_file.hpp>
#include <bsd/timerfd.hpp>
#include <libkern/dlist.hpp>
#include <libkern/format.hpp>
#include <sched/clock.hpp>

namespace lentil {

namespace {
constinit Mutex<Rank::epoll_watch> wall_timers_lock;
} // namespace

class TimerFile final : public AnonymousFile {
public:
    static constexpr const char* zone_name = "timerfds";
    TimerFile(TimerClock clock, int32_t clock_number, uint32_t flags_value)
        : AnonymousFile(open_flags::read_write | flags_value, "timerfd"), clock_(clock), clock_number_(clock_number) {
        callout_.init([](void* self) { static_cast<TimerFile*>(self)->fired(); }, this);
        if (clock_ == TimerClock::realtime) {
            MutexGuard guard(wall_timers_lock);
            wall_timers_.push_back(*this);
        }
    }
    ~TimerFile() override {
        if (clock_ == TimerClock::realtime) {
            MutexGuard guard(wall_timers_lock);
            wall_timers_.erase(*this);
        }
        callout_.cancel();
    }
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio& uio) override {
        if (uio.left() < sizeof(uint64_t))
            return Errno::inval;
        for (;;) {
            if (const uint64_t expired = TRY(take()); expired != 0)
                return uio.put(&expired, sizeof expired);
            if (nonblocking())
                return Errno::again;
            if (wait_until(waitq_, "timerfd", [this] { return ready_.load(std::memory_order_acquire) != 0; }) !=
                WaitResult::awoken)
                return Errno::restart_sys;
        }
    }
    Result<size_t> write(Uio&) override { return Errno::inval; }
    uint32_t poll(uint32_t events, PollTable* table) override {
        if (table)
            table->add(waitq_);
        return (ready_.load(std::memory_order_acquire) != 0 ? poll_events::in | poll_events::rdnorm : 0) & events;
    }
    void describe_state(const FormatSink& out) override {
        TimerValue value;
        uint32_t expired = 0, set_flags = 0;
        {
            SpinGuard guard(lock_);
            value = value_locked();
            expired = ready_.load(std::memory_order_relaxed);
            set_flags = flags_of_set_;
        }
        constexpr nanos_t second = 1'000'000'000;
        out.add("clockid: {}\nticks: {}\nsettime flags: 0{:o}\n", clock_number_, expired, set_flags);
        out.add("it_value: ({}, {})\nit_interval: ({}, {})\n", value.value_ns / second, value.value_ns % second,
                value.interval_ns / second, value.interval_ns % second);
    }
    TimerFile* timer() override { return this; }

    TimerValue get() {
        SpinGuard guard(lock_);
        return value_locked();
    }
    Result<TimerValue> set(uint32_t set_flags, const TimerValue& value) {
        SpinGuard guard(lock_);
        const TimerValue old = value_locked();
        const bool absolute = set_flags & timerfd_flags::absolute;
        flags_of_set_ = set_flags;
        expired_ = false;
        follows_wall_ = absolute && clock_ == TimerClock::realtime;
        can_be_cancelled_ = follows_wall_ && (set_flags & timerfd_flags::cancel_on_set);
        const bool cancelled = std::exchange(cancelled_, false) && can_be_cancelled_;
        ready_.store(0, std::memory_order_release);
        expiry_ = {.interval_ns = value.interval_ns}; // told back even while it is off, as on Linux
        if (value.value_ns == 0)
            return old; // one that is on its way finds it off
        const nanos_t now = monotonic_ns();
        nanos_t at = value.value_ns;
        if (follows_wall_)
            at -= wall_offset_ns_ = realtime_offset_ns();
        else if (!absolute)
            at = at > no_deadline - now ? no_deadline : now + at;
        expiry_ = Expiry::at(at, value.interval_ns);
        callout_.arm(expiry_.deadline_ns());
        if (cancelled)
            return Errno::canceled;
        return old;
    }

    static void all_clock_set() {
        MutexGuard guard(wall_timers_lock);
        for (TimerFile* timer = wall_timers_.first(); timer; timer = wall_timers_.next(*timer))
            timer->clock_set();
    }

private:
    TimerValue value_locked() const {
        const bool over = ready_.load(std::memory_order_relaxed) != 0 && expiry_.interval_ns == 0;
        return {expiry_.interval_ns, over ? 0 : expiry_.left(monotonic_ns())};
    }

    void fired() {
        {
            SpinGuard guard(lock_);
            if (!expiry_.armed())
                return;
            if (monotonic_ns() < expiry_.at_ns) { // it was set anew
                callout_.arm(expiry_.deadline_ns());
                return;
            }
            expired_ = true;
            ready_.store(1, std::memory_order_release);
        }
        waitq_.wake_all();
    }
    void clock_set() {
        {
            SpinGuard guard(lock_);
            if (!follows_wall_)
                return;
            const nanos_t offset = realtime_offset_ns();
            expiry_.shift(std::exchange(wall_offset_ns_, offset) - offset);
            if (expiry_.armed() && !expired_)
                callout_.arm(expiry_.deadline_ns());
            if (!can_be_cancelled_)
                return;
            cancelled_ = true;
            ready_.store(1, std::memory_order_release);
        }
        waitq_.wake_all();
    }
    /// How often it expired since it was asked last; canceled if it waits for the clock to be set, and that was it.
    Result<uint64_t> take() {
        SpinGuard guard(lock_);
        if (ready_.load(std::memory_order_relaxed) == 0)
            return uint64_t{0};
        ready_.store(0, std::memory_order_relaxed);
        const bool over = std::exchange(expired_, false);
        if (std::exchange(cancelled_, false)) {
            if (over)
                expiry_ = {}; // who asks must set it anew in any case
            return Errno::canceled;
        }
        const nanos_t now = std::max(monotonic_ns(), expiry_.at_ns); // the clock may have gone back meanwhile
        const uint64_t expired = expiry_.pass(now);
        if (expiry_.armed())
            callout_.arm(expiry_.deadline_ns());
        return expired;
    }

    const TimerClock clock_;
    const int32_t clock_number_;
    SpinLock<Rank::file_lock> lock_;
    // -- lock_ -----------------------------------------------------------------------------------------------------
    Expiry expiry_; ///< on the monotonic clock
    uint32_t flags_of_set_ = 0;
    bool expired_ = false;
    bool follows_wall_ = false;     ///< was set for a time of day
    bool can_be_cancelled_ = false; ///< and is to tell when the clock is set
    bool cancelled_ = false;        ///< it was
    nanos_t wall_offset_ns_ = 0;    ///< with which `expiry_` was reckoned
    // --------------------------------------------------------------------------------------------------------------
    Callout callout_;
    std::atomic<uint32_t> ready_{0}; ///< changes under lock_
    Waitq waitq_;
    DlistLinks<TimerFile> wall_link_; ///< wall_timers_lock
    static Dlist<TimerFile, &TimerFile::wall_link_> wall_timers_;
};

constinit Dlist<TimerFile, &TimerFile::wall_link_> TimerFile::wall_timers_;

Result<RefPtr<File>> timerfd_create(TimerClock clock, int32_t clock_number, uint32_t flags) {
    return RefPtr<File>(TRY(make_ref<TimerFile>(clock, clock_number, flags & open_flags::nonblock)));
}

Result<TimerValue> timerfd_get(File& file) {
    TimerFile* const timer = file.timer();
    return timer ? Result<TimerValue>(timer->get()) : Errno::inval;
}

Result<TimerValue> timerfd_set(File& file, uint32_t flags, const TimerValue& value) {
    TimerFile* const timer = file.timer();
    return timer ? timer->set(flags, value) : Errno::inval;
}

void timerfds_clock_set() { TimerFile::all_clock_set(); }

} // namespace lentil

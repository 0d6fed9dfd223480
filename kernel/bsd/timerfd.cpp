// SPDX-License-Identifier: BSD-2-Clause
// timerfd. A periodic timer is armed again when it is read: how often it expired meanwhile is a division.
#include <algorithm>

#include <bsd/inode_number.hpp>
#include <bsd/timerfd.hpp>
#include <libkern/format.hpp>
#include <sched/clock.hpp>

namespace lentil {

class TimerFile final : public File {
public:
    static constexpr const char* zone_name = "timerfds";
    TimerFile(TimerClock clock, uint32_t flags_value) : File(open_flags::read_write | flags_value), clock_(clock) {
        callout_.init([](void* self) { static_cast<TimerFile*>(self)->fired(); }, this);
    }
    ~TimerFile() override { callout_.cancel(); }
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio& uio) override {
        if (uio.left() < sizeof(uint64_t))
            return Errno::inval;
        for (;;) {
            if (const uint64_t expired = take(); expired != 0)
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
    Result<FileStat> stat() override {
        FileStat st;
        st.device = anonymous_device;
        st.mode = 0600;
        st.links = 1;
        return st;
    }
    size_t describe(std::span<char> buffer) override { return format_to(buffer, "anon_inode:[timerfd]").size(); }
    TimerFile* timer() override { return this; }

    TimerValue get() {
        SpinGuard guard(lock_);
        return value_locked();
    }
    TimerValue set(bool absolute, const TimerValue& value) {
        SpinGuard guard(lock_);
        const TimerValue old = value_locked();
        ready_.store(0, std::memory_order_release);
        expiry_ = {};
        if (value.value_ns == 0)
            return old; // one that is on its way finds it off
        const nanos_t now = monotonic_ns();
        nanos_t at = value.value_ns;
        if (absolute && clock_ == TimerClock::realtime)
            at -= realtime_ns() - now;
        else if (!absolute)
            at = at > no_deadline - now ? no_deadline : now + at;
        expiry_ = {std::max<nanos_t>(at, 1), value.interval_ns};
        callout_.arm(expiry_.at_ns);
        return old;
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
                callout_.arm(expiry_.at_ns);
                return;
            }
            ready_.store(1, std::memory_order_release);
        }
        waitq_.wake_all();
    }
    uint64_t take() {
        SpinGuard guard(lock_);
        if (ready_.load(std::memory_order_relaxed) == 0)
            return 0;
        ready_.store(0, std::memory_order_relaxed);
        const uint64_t expired = expiry_.pass(monotonic_ns());
        if (expiry_.armed())
            callout_.arm(expiry_.at_ns);
        return expired;
    }

    const TimerClock clock_;
    SpinLock<Rank::file_lock> lock_;
    Expiry expiry_; ///< lock_; on the monotonic clock
    Callout callout_;
    std::atomic<uint32_t> ready_{0}; ///< changes under lock_
    Waitq waitq_;
};

Result<RefPtr<File>> timerfd_create(TimerClock clock, uint32_t flags) {
    return RefPtr<File>(TRY(make_ref<TimerFile>(clock, flags & open_flags::nonblock)));
}

Result<TimerValue> timerfd_get(File& file) {
    TimerFile* const timer = file.timer();
    return timer ? Result<TimerValue>(timer->get()) : Errno::inval;
}

Result<TimerValue> timerfd_set(File& file, bool absolute, const TimerValue& value) {
    TimerFile* const timer = file.timer();
    return timer ? Result<TimerValue>(timer->set(absolute, value)) : Errno::inval;
}

} // namespace lentil

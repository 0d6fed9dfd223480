// SPDX-License-Identifier: BSD-2-Clause
// The eventfd file.
#include <bsd/eventfd.hpp>

#include <bsd/anonymous.hpp>
#include <libkern/format.hpp>
#include <sched/waitq.hpp>

namespace lentil {
namespace {

class EventFile final : public File {
public:
    static constexpr const char* zone_name = "eventfd_files";
    EventFile(uint64_t initial, bool semaphore, uint32_t open_flags_value)
        : File(open_flags_value), count_(initial), semaphore_(semaphore) {}
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio& uio) override {
        if (uio.left() < sizeof(uint64_t))
            return Errno::inval;
        uint64_t value = 0;
        auto take = [&] {
            SpinGuard guard(lock_);
            if (count_ == 0)
                return false;
            value = semaphore_ ? 1 : count_;
            count_ -= value;
            return true;
        };
        TRY(wait(take));
        queue_.wake_all();
        return uio.put(&value, sizeof value);
    }

    Result<size_t> write(Uio& uio) override {
        if (uio.left() < sizeof(uint64_t))
            return Errno::inval;
        uint64_t value = 0;
        if (TRY(uio.take(&value, sizeof value)) != sizeof value)
            return Errno::fault;
        if (value == UINT64_MAX)
            return Errno::inval;
        auto add = [&] {
            SpinGuard guard(lock_);
            if (value > limit - count_)
                return false;
            count_ += value;
            return true;
        };
        TRY(wait(add));
        queue_.wake_all();
        return sizeof value;
    }

    uint32_t poll(uint32_t events, PollTable* table) override {
        if (table)
            table->add(queue_);
        SpinGuard guard(lock_);
        uint32_t ready = 0;
        if (count_ > 0)
            ready |= poll_events::in | poll_events::rdnorm;
        if (count_ < limit)
            ready |= poll_events::out | poll_events::wrnorm;
        return ready & events;
    }

    Result<FileStat> stat() override { return anonymous_stat(); }
    size_t describe(std::span<char> buffer) override { return format_to(buffer, "anon_inode:[eventfd]").size(); }

private:
    static constexpr uint64_t limit = UINT64_MAX - 1;

    template <class Attempt>
    Result<void> wait(Attempt attempt) {
        if (attempt())
            return {};
        if (nonblocking())
            return Errno::again;
        if (wait_until(queue_, "eventfd", attempt) == WaitResult::interrupted)
            return Errno::restart_sys;
        return {};
    }

    SpinLock<Rank::file_lock> lock_;
    uint64_t count_;
    const bool semaphore_;
    Waitq queue_;
};

} // namespace

Result<RefPtr<File>> eventfd_create(uint64_t initial, bool semaphore, uint32_t flags) {
    return make_ref<EventFile>(initial, semaphore, flags | open_flags::read_write);
}

} // namespace lentil

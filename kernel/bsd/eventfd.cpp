// SPDX-License-Identifier: BSD-2-Clause
// eventfd.
#include <bsd/anonymous_file.hpp>
#include <bsd/eventfd.hpp>
#include <libkern/format.hpp>

namespace lentil {

namespace {

constinit std::atomic<uint32_t> next_id{0};

class EventFile final : public AnonymousFile {
public:
    static constexpr const char* zone_name = "eventfds";
    static constexpr uint64_t max_count = ~uint64_t{0} - 1;
    EventFile(uint64_t initial, uint32_t flags_value, bool semaphore)
        : AnonymousFile(open_flags::read_write | flags_value, "eventfd"), count_(initial), semaphore_(semaphore) {}
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio& uio) override {
        if (uio.left() < sizeof(uint64_t))
            return Errno::inval;
        uint64_t taken = 0;
        for (;;) {
            uint64_t now = count_.load(std::memory_order_acquire);
            if (now == 0) {
                if (nonblocking())
                    return Errno::again;
                if (wait_until(waitq_, "eventfd_read",
                               [this] { return count_.load(std::memory_order_acquire) != 0; }) != WaitResult::awoken)
                    return Errno::restart_sys;
                continue;
            }
            taken = semaphore_ ? 1 : now;
            if (count_.compare_exchange_weak(now, now - taken, std::memory_order_acq_rel))
                break;
        }
        waitq_.wake_all();
        return uio.put(&taken, sizeof taken);
    }
    /// Who finds it as it wants it does not wait, and finds the count unchanged until it changes it itself.
    Result<size_t> read_piece(vaddr_t to, size_t n) override {
        uint64_t now = count_.load(std::memory_order_relaxed);
        const uint64_t taken = semaphore_ ? 1 : now;
        if (n < sizeof taken || now == 0 || !count_.compare_exchange_weak(now, now - taken, std::memory_order_acq_rel))
            [[unlikely]]
            return AnonymousFile::read_piece(to, n);
        waitq_.wake_all();
        if (!machine::user_write_words<1>(to, &taken)) [[unlikely]]
            return Errno::fault;
        return sizeof taken;
    }
    Result<size_t> write_piece(vaddr_t from, size_t n) override {
        uint64_t added;
        if (n < sizeof added || !machine::user_read_words<1>(&added, from)) [[unlikely]]
            return AnonymousFile::write_piece(from, n);
        uint64_t now = count_.load(std::memory_order_relaxed);
        if (added > max_count || now > max_count - added ||
            !count_.compare_exchange_weak(now, now + added, std::memory_order_acq_rel)) [[unlikely]]
            return AnonymousFile::write_piece(from, n);
        waitq_.wake_all();
        return sizeof added;
    }

    Result<size_t> write(Uio& uio) override {
        if (uio.left() < sizeof(uint64_t))
            return Errno::inval;
        uint64_t added = 0;
        TRY(uio.take(&added, sizeof added));
        if (added > max_count)
            return Errno::inval;
        for (;;) {
            uint64_t now = count_.load(std::memory_order_acquire);
            if (now > max_count - added) {
                if (nonblocking())
                    return Errno::again;
                const auto fits = [&] { return count_.load(std::memory_order_acquire) <= max_count - added; };
                if (wait_until(waitq_, "eventfd_write", fits) != WaitResult::awoken)
                    return Errno::restart_sys;
                continue;
            }
            if (count_.compare_exchange_weak(now, now + added, std::memory_order_acq_rel))
                break;
        }
        waitq_.wake_all();
        return sizeof added;
    }

    uint32_t poll(uint32_t events, PollTable* table) override {
        using namespace poll_events;
        if (table)
            table->add(waitq_);
        const uint64_t now = count_.load(std::memory_order_acquire);
        return ((now > 0 ? in | rdnorm : 0) | (now < max_count ? out | wrnorm : 0)) & events;
    }
    void describe_state(const FormatSink& out) override {
        out.add("eventfd-count: {:16x}\neventfd-id: {}\neventfd-semaphore: {}\n",
                count_.load(std::memory_order_relaxed), id_, semaphore_ ? 1 : 0);
    }

private:
    std::atomic<uint64_t> count_;
    const bool semaphore_;
    const uint32_t id_ = next_id.fetch_add(1, std::memory_order_relaxed); ///< tells it from others in /proc
    Waitq waitq_;
};

} // namespace

Result<RefPtr<File>> eventfd_create(uint64_t initial, uint32_t flags, bool semaphore) {
    return RefPtr<File>(TRY(make_ref<EventFile>(initial, flags & open_flags::nonblock, semaphore)));
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The poll loop: stands in every file's queues at once.
#include <algorithm>

#include <bsd/poll.hpp>
#include <sched/clock.hpp>
#include <vm/zalloc.hpp>

namespace lentil {
namespace {

/// The places of the calling thread in the queues; leaves them when it goes. A handful lie on the stack.
class Places final : public PollTable {
public:
    Places() = default;
    Places(const Places&) = delete;
    Places& operator=(const Places&) = delete;
    ~Places() {
        for (size_t i = 0; i < used_; i++)
            place(i).queue->remove(place(i).waiter);
        if (more_)
            kfree(more_, more_count_ * sizeof(Place));
    }

    /// Room for `count` queues.
    Result<void> reserve(size_t count) {
        if (count <= own_count)
            return {};
        more_count_ = count - own_count;
        more_ = static_cast<Place*>(kmalloc(more_count_ * sizeof(Place)));
        if (!more_)
            return Errno::nomem;
        for (size_t i = 0; i < more_count_; i++)
            new (&more_[i]) Place;
        return {};
    }

    void add(Waitq& queue) override {
        if (used_ == own_count + more_count_) {
            overflowed_ = true;
            return;
        }
        Place& place_here = place(used_++);
        place_here.queue = &queue;
        queue.add(place_here.waiter);
    }
    /// Some queue found no room: the caller must look again from time to time.
    bool overflowed() const { return overflowed_; }

private:
    static constexpr size_t own_count = 12;
    struct Place {
        Waiter waiter;
        Waitq* queue = nullptr;
    };
    Place& place(size_t i) { return i < own_count ? own_[i] : more_[i - own_count]; }

    Place own_[own_count];
    Place* more_ = nullptr;
    size_t more_count_ = 0;
    size_t used_ = 0;
    bool overflowed_ = false;
};

unsigned look(std::span<PollItem> items, PollTable* table) {
    unsigned found = 0;
    for (PollItem& item : items) {
        if (item.file)
            item.revents =
                (found == 0 && table ? item.file->poll(item.events, table) : item.file->poll_now(item.events)) &
                (item.events | poll_events::err | poll_events::hup);
        found += item.revents != 0;
    }
    return found;
}

} // namespace

Result<unsigned> poll_files(std::span<PollItem> items, nanos_t deadline_ns) {
    constexpr nanos_t look_again_ns = 20'000'000;
    if (deadline_ns <= 0 || (deadline_ns != no_deadline && deadline_ns <= monotonic_ns()))
        return look(items, nullptr);
    Places places;
    TRY(places.reserve(items.size() * 2));
    PollTable* table = &places; // only the first look registers
    for (;;) {
        prepare_wait(Interruptible::yes, "poll");
        if (const unsigned found = look(items, table)) {
            cancel_wait();
            return found;
        }
        table = nullptr;
        nanos_t until = deadline_ns;
        if (places.overflowed())
            until = std::min(until, monotonic_ns() + look_again_ns);
        const WaitResult result = finish_wait(until);
        if (result == WaitResult::interrupted) {
            if (const unsigned found = look(items, nullptr))
                return found;
            return Errno::restart_nohand;
        }
        if (result == WaitResult::timed_out && until == deadline_ns)
            return look(items, nullptr);
    }
}

} // namespace lentil

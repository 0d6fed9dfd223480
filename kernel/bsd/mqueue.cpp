// SPDX-License-Identifier: BSD-2-Clause
// POSIX message queues.
#include <algorithm>
#include <cstring>

#include <bsd/mqueue.hpp>
#include <sched/clock.hpp>

namespace lentil {

constinit std::atomic<uint32_t> mqueue_queues_max{256}, mqueue_messages_max{10}, mqueue_size_max{8192},
    mqueue_messages_default{10}, mqueue_size_default{8192};

namespace {

constinit SpinLock<Rank::ipc> queues_lock;
constinit Dlist<MessageQueue, &MessageQueue::link> queues; ///< all, by age; those with a name have a reference for that
constinit uint64_t last_number = 0;                        // queues_lock

/// A queue that was found, or none: it may be ending.
RefPtr<MessageQueue> hold(MessageQueue* queue) {
    return queue && queue->try_ref() ? RefPtr<MessageQueue>::adopt(queue) : RefPtr<MessageQueue>();
}

MessageQueue* find_locked(std::string_view name) {
    MessageQueue* q = queues.first();
    while (q && !(q->has_name() && q->name() == name))
        q = queues.next(*q);
    return q;
}

} // namespace

MessageQueue::~MessageQueue() {
    {
        SpinGuard guard(queues_lock);
        if (number_ != 0)
            queues.erase(*this);
    }
    while (MqueueMessage* m = messages_.pop_front())
        zone_delete(m);
}

uint64_t MessageQueue::charge() const {
    constexpr uint64_t per_message = 8, per_priority = 48; // as Linux reckons
    const auto messages = static_cast<uint64_t>(room_.messages);
    return messages * static_cast<uint64_t>(room_.bytes_each) + messages * per_message +
           std::min<uint64_t>(messages, mqueue_priority_most) * per_priority;
}

Result<RefPtr<MessageQueue>> MessageQueue::find(std::string_view name) {
    SpinGuard guard(queues_lock);
    RefPtr<MessageQueue> found = hold(find_locked(name));
    if (!found)
        return Errno::noent;
    return found;
}

Result<RefPtr<MessageQueue>> MessageQueue::create(std::string_view name, mode_t mode, const MqueueRoom& room) {
    constexpr int64_t messages_most = 65536, bytes_most = 16 << 20;
    if (name.size() > mqueue_name_most)
        return Errno::nametoolong;
    const RefPtr<const Cred> cred = current_proc().cred();
    const bool privileged = cred->has(Capability::sys_resource);
    MqueueRoom wanted = room;
    const int64_t messages_max = mqueue_messages_max.load(std::memory_order_relaxed),
                  size_max = mqueue_size_max.load(std::memory_order_relaxed);
    if (room.messages == 0 && room.bytes_each == 0) {
        wanted.messages = std::min<int64_t>(messages_max, mqueue_messages_default.load(std::memory_order_relaxed));
        wanted.bytes_each = std::min<int64_t>(size_max, mqueue_size_default.load(std::memory_order_relaxed));
    }
    if (wanted.messages <= 0 || wanted.bytes_each <= 0 ||
        wanted.messages > (privileged ? messages_most : messages_max) ||
        wanted.bytes_each > (privileged ? bytes_most : size_max))
        return Errno::inval;
    RefPtr<MessageQueue> fresh = TRY(make_ref<MessageQueue>());
    fresh->room_ = wanted;
    fresh->maker_ = cred->uid;
    fresh->mode.store(mode & 0777, std::memory_order_relaxed);
    fresh->uid.store(cred->fsuid, std::memory_order_relaxed);
    fresh->gid.store(cred->fsgid, std::memory_order_relaxed);
    const nanos_t now = realtime_ns();
    fresh->atime = now;
    fresh->mtime = now;
    fresh->ctime = now;
    memcpy(fresh->name_, name.data(), name.size());
    fresh->name_length_ = name.size();
    const uint64_t limit = current_proc().limit(Limit::msgqueue).soft;

    Errno error{};
    {
        SpinGuard guard(queues_lock);
        uint64_t charged = fresh->charge();
        uint32_t named = 0;
        for (const MessageQueue* q = queues.first(); q; q = queues.next(*q)) {
            charged += q->maker_ == fresh->maker_ ? q->charge() : 0;
            named += q->has_name();
        }
        if (find_locked(name))
            error = Errno::exist;
        else if (named >= mqueue_queues_max.load(std::memory_order_relaxed) && !privileged)
            error = Errno::nospc;
        else if (charged > limit)
            error = Errno::mfile;
        if (error == Errno{}) {
            fresh->number_ = ++last_number;
            fresh->named_.store(1, std::memory_order_relaxed);
            fresh->ref(); // the name's
            queues.push_back(*fresh);
        }
    }
    if (error != Errno{})
        return error;
    return fresh;
}

Result<void> MessageQueue::unlink() {
    if (named_.exchange(0, std::memory_order_acq_rel) == 0)
        return Errno::noent;
    unref();
    return {};
}

RefPtr<MessageQueue> MessageQueue::next(uint64_t from) {
    SpinGuard guard(queues_lock);
    for (MessageQueue* q = queues.first(); q; q = queues.next(*q))
        if (q->number_ >= from && q->has_name())
            if (RefPtr<MessageQueue> found = hold(q))
                return found;
    return nullptr;
}

// ---- messages ----------------------------------------------------------------------------------------------------------

namespace {
Errno why(WaitResult result) { return result == WaitResult::timed_out ? Errno::timedout : Errno::restart_sys; }
} // namespace

Result<void> MessageQueue::send(std::span<const char> text, uint32_t priority, bool nonblocking, nanos_t deadline_ns) {
    if (text.size() > static_cast<uint64_t>(room_.bytes_each))
        return Errno::msgsize;
    Buffer<char> copy = TRY(Buffer<char>::create_uninitialized(text.size()));
    std::copy_n(text.data(), text.size(), copy.data());
    MqueueMessage* const fresh = TRY(zone_new<MqueueMessage>());
    fresh->priority = priority;
    fresh->text = std::move(copy);
    const auto most = static_cast<uint64_t>(room_.messages);
    for (;;) {
        bool sent = false;
        RefPtr<Proc> told;
        SigInfo info;
        {
            SpinGuard guard(queues_lock);
            const uint32_t count = count_.load(std::memory_order_relaxed);
            sent = count < most;
            if (sent) {
                MqueueMessage* place = messages_.first(); // behind all that are no less urgent
                while (place && place->priority >= priority)
                    place = messages_.next(*place);
                messages_.insert_before(place, *fresh);
                bytes_ += text.size();
                count_.store(count + 1, std::memory_order_release);
                if (count == 0 && receivers_ == 0 && told_) {
                    told = std::move(told_);
                    info.signo = signo_;
                    info.code = si_code::message_queue;
                    info.value = value_;
                }
            }
        }
        if (sent) {
            const nanos_t now = realtime_ns();
            mtime.store(now, std::memory_order_relaxed);
            ctime.store(now, std::memory_order_relaxed);
            receivers_waitq_.wake_all();
            if (told && info.signo != 0) {
                info.pid = current_proc().pid;
                info.uid = current_proc().real_uid();
                signal_send(*told, info);
            }
            return {};
        }
        Errno error = Errno::again;
        if (!nonblocking) {
            const WaitResult result = wait_until(
                senders_, "mq_send", [&] { return count_.load(std::memory_order_acquire) < most; }, Interruptible::yes,
                deadline_ns);
            if (result == WaitResult::awoken)
                continue;
            error = why(result);
        }
        zone_delete(fresh);
        return error;
    }
}

Result<MessageQueue::Received> MessageQueue::receive(bool nonblocking, nanos_t deadline_ns) {
    bool counted = false; // among those that sleep
    Result<Received> result = Errno::again;
    for (;;) {
        MqueueMessage* message = nullptr;
        {
            SpinGuard guard(queues_lock);
            message = messages_.pop_front();
            if (message) {
                bytes_ -= message->text.size();
                count_.fetch_sub(1, std::memory_order_release);
            } else if (!nonblocking && !counted) {
                counted = true;
                receivers_++;
            }
        }
        if (message) {
            result = Received{std::move(message->text), message->priority};
            zone_delete(message);
            atime.store(realtime_ns(), std::memory_order_relaxed);
            senders_.wake_all();
            break;
        }
        if (nonblocking)
            break;
        const WaitResult waited = wait_until(
            receivers_waitq_, "mq_receive", [&] { return count_.load(std::memory_order_acquire) != 0; },
            Interruptible::yes, deadline_ns);
        if (waited != WaitResult::awoken) {
            result = why(waited);
            break;
        }
    }
    if (counted) {
        SpinGuard guard(queues_lock);
        receivers_--;
    }
    return result;
}

uint32_t MessageQueue::poll(uint32_t events, PollTable* table) {
    using namespace poll_events;
    if (table) {
        table->add(receivers_waitq_);
        table->add(senders_);
    }
    const uint32_t count = count_.load(std::memory_order_acquire);
    return ((count > 0 ? in | rdnorm : 0) | (count < static_cast<uint64_t>(room_.messages) ? out | wrnorm : 0)) &
           events;
}

// ---- who hears of it -----------------------------------------------------------------------------------------------------

Result<void> MessageQueue::notify(int signo, uint64_t value) {
    RefPtr<Proc> self(&current_proc()); // dropped without the lock, if it was not taken
    SpinGuard guard(queues_lock);
    if (told_)
        return Errno::busy;
    told_ = std::move(self);
    signo_ = signo;
    value_ = value;
    return {};
}

void MessageQueue::notify_nobody(const Proc& proc) {
    RefPtr<Proc> gone;
    SpinGuard guard(queues_lock);
    if (told_.get() == &proc)
        gone = std::move(told_);
}

MessageQueue::State MessageQueue::state() const {
    SpinGuard guard(queues_lock);
    return {count_.load(std::memory_order_relaxed), bytes_, told_ ? signo_ : 0, told_ ? told_->pid : 0, bool(told_)};
}

} // namespace lentil

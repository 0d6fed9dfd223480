// SPDX-License-Identifier: BSD-2-Clause
// POSIX message queues: named, with priorities, and one process that hears when an empty one gets a message. vfs shows
// them as the files of an mqueue file system.
#pragma once

#include <bsd/file.hpp>
#include <bsd/proc.hpp>
#include <libkern/dlist.hpp>

namespace lentil {

inline constexpr uint32_t mqueue_priority_most = 32768, mqueue_name_most = 255;
/// For those without Capability::sys_resource, and what a queue gets that nobody said anything about.
extern std::atomic<uint32_t> mqueue_queues_max, mqueue_messages_max, mqueue_size_max, mqueue_messages_default,
    mqueue_size_default;

struct MqueueRoom {
    int64_t messages = 0, bytes_each = 0;
};

struct MqueueMessage {
    static constexpr const char* zone_name = "mqueue_messages";
    uint32_t priority = 0;
    Buffer<char> text;
    DlistLinks<MqueueMessage> link;
};

/// One queue. Its attributes may be read without a lock and change one at a time.
class MessageQueue : public ZonedRefCounted<MessageQueue> {
public:
    static constexpr const char* zone_name = "mqueues";
    ~MessageQueue();

    /// The queue with that name: noent.
    static Result<RefPtr<MessageQueue>> find(std::string_view name);
    /// A new one, owned by the caller: exist, nospc, mfile, inval, nomem. `room` 0: the defaults.
    static Result<RefPtr<MessageQueue>> create(std::string_view name, mode_t mode, const MqueueRoom& room);
    /// Takes its name away; noent if it has none any more.
    Result<void> unlink();
    /// In order of birth, for lists: the first whose number is >= `from`.
    static RefPtr<MessageQueue> next(uint64_t from);
    std::string_view name() const { return {name_, name_length_}; }
    bool has_name() const { return named_.load(std::memory_order_relaxed) != 0; }

    /// again, timed_out as timedout, restart_sys, msgsize.
    Result<void> send(std::span<const char> text, uint32_t priority, bool nonblocking, nanos_t deadline_ns);
    struct Received {
        Buffer<char> text;
        uint32_t priority = 0;
    };
    Result<Received> receive(bool nonblocking, nanos_t deadline_ns);
    uint32_t poll(uint32_t events, PollTable* table);

    /// Tells the caller's process once: `signo` 0 tells nothing, but keeps others from asking. busy.
    Result<void> notify(int signo, uint64_t value);
    void notify_nobody(const Proc& proc); ///< if it is that process which would be told

    struct State {
        uint64_t messages = 0, bytes = 0;
        int32_t signo = 0;
        pid_t pid = 0;
        bool notifies = false;
    };
    State state() const;

    const MqueueRoom& room() const { return room_; }
    uint64_t number() const { return number_; }

    std::atomic<uint32_t> mode{0};
    std::atomic<uint32_t> uid{0}, gid{0};
    std::atomic<nanos_t> atime{0}, mtime{0}, ctime{0};
    DlistLinks<MessageQueue> link;

private:
    uint64_t charge() const; ///< against RLIMIT_MSGQUEUE

    MqueueRoom room_;
    uid_t maker_ = 0;
    uint64_t number_ = 0;
    std::atomic<uint32_t> named_{0};
    std::atomic<uint32_t> count_{0}; ///< messages
    // -- the lock of all queues --------------------------------------------------------------------------------------
    Dlist<MqueueMessage, &MqueueMessage::link> messages_; ///< highest priority first, oldest first
    uint64_t bytes_ = 0;                                  ///< of them
    unsigned receivers_ = 0;                              ///< that sleep
    RefPtr<Proc> told_;                                   ///< who hears of the next message
    int32_t signo_ = 0;
    uint64_t value_ = 0;
    // ----------------------------------------------------------------------------------------------------------------
    Waitq senders_, receivers_waitq_;
    char name_[mqueue_name_most];
    size_t name_length_ = 0;
};

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// System V message queues.
#include <algorithm>

#include <bsd/sysv_msg.hpp>
#include <libkern/dlist.hpp>
#include <vm/vm_user.hpp>

namespace lentil::sysv {

constinit std::atomic<uint32_t> msg_max{8192}, msg_mnb{16384}, msg_mni{32000};

namespace {

constinit SpinLock<Rank::ipc> msg_lock;

struct Message {
    static constexpr const char* zone_name = "msg_messages";
    int64_t type = 0;
    Buffer<char> text;
    DlistLinks<Message> link;
};

struct Queue : ZonedRefCounted<Queue> {
    static constexpr const char* zone_name = "msg_queues";
    ~Queue() {
        while (Message* m = messages.pop_front())
            zone_delete(m);
    }
    Owner owner;
    Dlist<Message, &Message::link> messages; ///< oldest first
    uint64_t bytes = 0, count = 0, bytes_most = 0;
    int64_t send_s = 0, receive_s = 0, change_s = 0;
    pid_t last_sender = 0, last_receiver = 0;
    std::atomic<uint32_t> sends{0}, takes{0}; ///< grow with what sleepers wait for
    std::atomic<uint32_t> removed{0};
    Waitq senders, receivers;
};

constinit Table<Queue> queues; // msg_lock

Result<Queue*> find_locked(int32_t id, uint32_t wanted) {
    Queue* const queue = queues.find(id);
    if (!queue)
        return Errno::inval;
    TRY(queue->owner.check(wanted));
    return queue;
}

/// The message that msgrcv's `type` means, nullptr if there is none.
Message* pick_locked(Queue& queue, int64_t type, uint32_t flags) {
    Message* best = nullptr;
    int64_t number = 0;
    for (Message* m = queue.messages.first(); m; m = queue.messages.next(*m)) {
        if (flags & msg_flags::copy) {
            if (number++ == type)
                return m;
        } else if (type == 0) {
            return m;
        } else if (type > 0) {
            if ((m->type == type) != ((flags & msg_flags::except) != 0))
                return m;
        } else if (m->type <= (type == INT64_MIN ? INT64_MAX : -type) && (!best || m->type < best->type)) {
            best = m;
        }
    }
    return best;
}

} // namespace

Result<int32_t> msg_get(int32_t key, uint32_t flags) {
    RefPtr<Queue> fresh;
    for (;;) {
        if (fresh) // not before something is to be inserted: an empty table takes no memory
            TRY(make_room(queues, msg_lock));
        {
            SpinGuard guard(msg_lock);
            if (Queue* there = key == private_key ? nullptr : queues.find_key(key)) {
                if ((flags & (get_flags::creat | get_flags::exclusive)) == (get_flags::creat | get_flags::exclusive))
                    return Errno::exist;
                TRY(there->owner.check(flags & 0777));
                return there->owner.id;
            }
            if (key != private_key && !(flags & get_flags::creat))
                return Errno::noent;
            if (queues.used() >= msg_mni.load(std::memory_order_relaxed))
                return Errno::nospc;
            if (fresh && !queues.is_full()) {
                fresh->owner = Owner::of_caller(key, flags);
                queues.insert(*fresh);
                return fresh.release()->owner.id; // the table's
            }
        }
        if (fresh)
            continue;
        fresh = TRY(make_ref<Queue>());
        fresh->bytes_most = msg_mnb.load(std::memory_order_relaxed);
        fresh->change_s = now_s();
    }
}

Result<void> msg_send(int32_t id, int64_t type, vaddr_t user_text, uint64_t size, uint32_t flags) {
    if (size > msg_max.load(std::memory_order_relaxed) || id < 0 || type < 1)
        return Errno::inval;
    struct Pending {
        Message* message;
        ~Pending() {
            if (message)
                zone_delete(message);
        }
    } pending{TRY(zone_new<Message>())};
    pending.message->type = type;
    pending.message->text = TRY(Buffer<char>::create_uninitialized(size));
    TRY(copyin(pending.message->text.data(), user_text, size));
    RefPtr<Queue> queue;
    for (;;) {
        uint32_t seen = 0;
        {
            SpinGuard guard(msg_lock);
            if (queue && queue->removed.load(std::memory_order_relaxed))
                return Errno::idrm;
            Queue* const found = TRY(find_locked(id, may_write));
            if (size + found->bytes <= found->bytes_most && found->count + 1 <= found->bytes_most) {
                found->messages.push_back(*std::exchange(pending.message, nullptr));
                found->bytes += size;
                found->count++;
                found->send_s = now_s();
                found->last_sender = current_proc().pid;
                found->sends.fetch_add(1, std::memory_order_release);
                found->receivers.wake_all();
                return {};
            }
            if (flags & get_flags::no_wait)
                return Errno::again;
            seen = found->takes.load(std::memory_order_relaxed);
            queue = ref(found);
        }
        if (wait_until(queue->senders, "msgsnd", [&] {
                return queue->takes.load(std::memory_order_acquire) != seen ||
                       queue->removed.load(std::memory_order_acquire) != 0;
            }) != WaitResult::awoken)
            return Errno::restart_nohand;
    }
}

Result<Received> msg_receive(int32_t id, uint64_t size, int64_t type, uint32_t flags) {
    if (id < 0 || static_cast<int64_t>(size) < 0)
        return Errno::inval;
    const bool copies = flags & msg_flags::copy;
    if (copies && ((flags & msg_flags::except) || !(flags & get_flags::no_wait)))
        return Errno::inval;
    RefPtr<Queue> queue;
    Buffer<char> room; // for a copy
    for (;;) {
        uint32_t seen = 0;
        Message* message = nullptr;
        size_t needed = 0;
        Received received;
        {
            SpinGuard guard(msg_lock);
            if (queue && queue->removed.load(std::memory_order_relaxed))
                return Errno::idrm;
            Queue* const found = TRY(find_locked(id, may_read));
            message = pick_locked(*found, type, flags);
            if (message && message->text.size() > size && !(flags & msg_flags::no_error))
                return Errno::toobig;
            if (message && copies) {
                needed = message->text.size();
                if (room.size() == needed) {
                    std::copy_n(message->text.data(), needed, room.data());
                    received.type = message->type;
                    received.text = std::move(room);
                    return received;
                }
            } else if (message) {
                found->messages.erase(*message);
                found->bytes -= message->text.size();
                found->count--;
                found->receive_s = now_s();
                found->last_receiver = current_proc().pid;
                found->takes.fetch_add(1, std::memory_order_release);
                found->senders.wake_all();
            } else if (flags & get_flags::no_wait) {
                return Errno::nomsg;
            } else {
                seen = found->sends.load(std::memory_order_relaxed);
                queue = ref(found);
            }
        }
        if (message && copies) {
            room = TRY(Buffer<char>::create_uninitialized(needed));
            continue;
        }
        if (message) {
            received.type = message->type;
            received.text = std::move(message->text);
            zone_delete(message);
            return received;
        }
        if (wait_until(queue->receivers, "msgrcv", [&] {
                return queue->sends.load(std::memory_order_acquire) != seen ||
                       queue->removed.load(std::memory_order_acquire) != 0;
            }) != WaitResult::awoken)
            return Errno::restart_nohand;
    }
}

namespace {
Result<MsgStatus> status_checked(const Queue* q, bool check) {
    if (!q)
        return Errno::inval;
    if (check)
        TRY(q->owner.check(may_read));
    return MsgStatus{q->owner,     q->bytes,    q->count,       q->bytes_most,   q->send_s,
                     q->receive_s, q->change_s, q->last_sender, q->last_receiver};
}
} // namespace

Result<MsgStatus> msg_status(int32_t id, bool check) {
    SpinGuard guard(msg_lock);
    return status_checked(queues.find(id), check);
}

Result<MsgStatus> msg_status_at(int32_t place, bool check) {
    SpinGuard guard(msg_lock);
    return status_checked(place < 0 ? nullptr : queues.at(static_cast<size_t>(place)), check);
}

Result<void> msg_set(int32_t id, const NewOwner& to, uint64_t bytes_most) {
    SpinGuard guard(msg_lock);
    Queue* const queue = queues.find(id);
    if (!queue)
        return Errno::inval;
    TRY(queue->owner.check_change());
    if (bytes_most > msg_mnb.load(std::memory_order_relaxed) &&
        !current_proc().cred()->capable(Capability::sys_resource))
        return Errno::perm;
    set_owner(queue->owner, to);
    queue->bytes_most = bytes_most;
    queue->change_s = now_s();
    queue->takes.fetch_add(1, std::memory_order_release); // there may be room now
    queue->sends.fetch_add(1, std::memory_order_release); // or no permission
    queue->senders.wake_all();
    queue->receivers.wake_all();
    return {};
}

Result<void> msg_remove(int32_t id) {
    RefPtr<Queue> gone; // dropped without the lock
    SpinGuard guard(msg_lock);
    Queue* const queue = queues.find(id);
    if (!queue)
        return Errno::inval;
    TRY(queue->owner.check_change());
    gone = queues.remove(*queue);
    queue->removed.store(1, std::memory_order_release);
    queue->senders.wake_all();
    queue->receivers.wake_all();
    return {};
}

MsgTotals msg_totals() {
    SpinGuard guard(msg_lock);
    MsgTotals t{queues.used(), 0, 0, queues.last_place()};
    for (size_t i = 0; static_cast<int64_t>(i) <= t.last_place; i++)
        if (const Queue* q = queues.at(i)) {
            t.messages += q->count;
            t.bytes += q->bytes;
        }
    return t;
}

} // namespace lentil::sysv

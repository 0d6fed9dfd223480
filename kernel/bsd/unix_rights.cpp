// SPDX-License-Identifier: BSD-2-Clause
// Open files on their way through sockets. A socket can be sent through itself, so that no descriptor but only messages
// refer to it: such circles are found and dropped when a socket is closed.
#include <bsd/unix_socket.hpp>
#include <sched/thread.hpp>
#include <sched/waitq.hpp>

namespace lentil {

constinit Mutex<Rank::socket_rights> rights_lock;

constinit Dlist<UnixSocket, &UnixSocket::flight_link_> UnixSocket::flying_;

namespace {

constexpr uint64_t most_in_flight = 65536; ///< files, of all users together

constinit uint64_t in_flight = 0;                   // rights_lock
constinit std::atomic<UnixRights*> doomed{nullptr}; // a stack of those to drop
constinit std::atomic<uint32_t> dropping{0};        // somebody does, and goes on until there are none
constinit std::atomic<uint32_t> collect_wanted{0}, collector_started{0};
constinit Waitq collector_waitq;
constexpr nanos_t collect_pause = 20'000'000, second_look_pause = 500'000'000;

} // namespace

/// What only this file does with sockets. All with rights_lock.
struct UnixRightsInternals {
    static void depart(UnixSocket& socket) {
        if (socket.in_flight_++ == 0)
            UnixSocket::flying_.push_back(socket);
    }
    static void arrive(UnixSocket& socket) {
        if (--socket.in_flight_ == 0)
            UnixSocket::flying_.erase(socket);
    }

    /// Calls `visit` for each socket in flight that lies in the queue of `socket`, or of those that wait for its accept.
    template<class Visit>
    static void each_inside(UnixSocket& socket, Visit visit) {
        SpinGuard connections(socket_lock);
        each_queued(socket, visit);
        for (UnixSocket* waiting = socket.first_waiting_; waiting; waiting = waiting->next_waiting_)
            each_queued(*waiting, visit);
    }
    template<class Visit>
    static void each_queued(UnixSocket& socket, Visit visit) {
        SpinGuard guard(socket.queue_lock_);
        for (UnixMessage* m = socket.first_message(); m; m = m->next)
            if (m->rights)
                for (unsigned i = 0; i < m->rights->count; i++)
                    if (UnixSocket* s = m->rights->files[i]->socket())
                        visit(*s);
    }

    /// The queues of sockets that nothing outside of queues leads to, in one list of messages.
    static UnixMessage* garbage();
    static bool is_candidate(const UnixSocket& s) { return s.file_ && s.file_->ref_count() == s.in_flight_; }
    static void drop(UnixMessage* messages) { UnixSocket::drop_messages(messages); }
};

UnixMessage* UnixRightsInternals::garbage() {
    MutexGuard guard(rights_lock);
    auto& flying = UnixSocket::flying_;
    // Nobody gets at a candidate but by reading a queue, and rights_lock keeps rights in their queues.
    for (UnixSocket* s = flying.first(); s; s = flying.next(*s)) {
        s->is_reached_ = !is_candidate(*s);
        s->tentative_ = s->in_flight_;
    }
    for (UnixSocket* s = flying.first(); s; s = flying.next(*s))
        if (!s->is_reached_)
            each_inside(*s, [](UnixSocket& inside) { inside.tentative_--; });
    // What has a reference from elsewhere is reached, and all that lies in what is reached.
    UnixSocket* to_visit = nullptr;
    const auto reach = [&](UnixSocket& socket) {
        if (socket.is_reached_)
            return;
        socket.is_reached_ = true;
        socket.next_to_visit_ = to_visit;
        to_visit = &socket;
    };
    for (UnixSocket* s = flying.first(); s; s = flying.next(*s))
        if (s->tentative_ != 0)
            reach(*s);
    while (UnixSocket* s = to_visit) {
        to_visit = s->next_to_visit_;
        each_inside(*s, reach);
    }
    UnixMessage* all = nullptr;
    for (UnixSocket* s = flying.first(); s; s = flying.next(*s)) {
        if (s->is_reached_)
            continue;
        const auto take = [&](UnixSocket& of) {
            UnixMessage* first = of.take_queue();
            while (first) {
                UnixMessage* next = first->next;
                first->next = all;
                all = first;
                first = next;
            }
        };
        SpinGuard connections(socket_lock);
        take(*s);
        for (UnixSocket* waiting = s->first_waiting_; waiting; waiting = waiting->next_waiting_)
            take(*waiting);
    }
    return all;
}

namespace {
/// Some time after a descriptor was closed: many closes make one collection. Who closes may be slow to let go of his
/// reference, so there is a second look.
void collector(void*) {
    for (;;) {
        wait_until(
            collector_waitq, "sockets", [] { return collect_wanted.load() != 0; }, Interruptible::no);
        for (const nanos_t pause : {collect_pause, second_look_pause}) {
            sleep_until(machine::now_ns() + pause, "sockets", Interruptible::no);
            collect_wanted.store(0);
            UnixRightsInternals::drop(UnixRightsInternals::garbage());
        }
    }
}
} // namespace

Result<void> rights_take_off(UnixRights& rights) {
    bool any_socket = false;
    for (unsigned i = 0; i < rights.count; i++)
        any_socket |= rights.files[i]->socket() != nullptr;
    if (any_socket && collector_started.exchange(1) == 0)
        if (const auto thread = kernel_thread_start("sockets", collector, nullptr); !thread.ok()) {
            collector_started = 0;
            return thread.error();
        }
    MutexGuard guard(rights_lock);
    if (in_flight + rights.count > most_in_flight)
        return Errno::toomanyrefs;
    in_flight += rights.count;
    for (unsigned i = 0; i < rights.count; i++)
        if (UnixSocket* socket = rights.files[i]->socket())
            UnixRightsInternals::depart(*socket);
    return {};
}

OwnedRights rights_land(UnixRights* rights) {
    MutexGuard guard(rights_lock);
    in_flight -= rights->count;
    for (unsigned i = 0; i < rights->count; i++)
        if (UnixSocket* socket = rights->files[i]->socket())
            UnixRightsInternals::arrive(*socket);
    return OwnedRights(rights);
}

Result<OwnedRights> rights_copy(const UnixRights& rights) {
    OwnedRights copy(TRY(zone_new<UnixRights>()));
    MutexGuard guard(rights_lock); // a collection counts references
    for (; copy->count < rights.count; copy->count++)
        copy->files[copy->count] = rights.files[copy->count];
    return copy;
}

namespace {

/// Until nothing is left to do. Only one thread at a time, and never inside itself: others leave their work to it.
void work_off() {
    for (;;) {
        if (!doomed.load())
            return;
        if (dropping.exchange(1) != 0)
            return;
        while (UnixRights* list = doomed.exchange(nullptr))
            while (list) {
                UnixRights* next = list->next;
                zone_delete(list); // closes files: may come back here, and leaves
                list = next;
            }
        dropping.store(0); // who left work meanwhile saw 1: look once more
    }
}

} // namespace

void rights_drop(UnixRights* rights) {
    rights = rights_land(rights).release();
    UnixRights* first = doomed.load(std::memory_order_relaxed);
    do
        rights->next = first;
    while (!doomed.compare_exchange_weak(first, rights));
    work_off();
}

void rights_collect() {
    if (collector_started.load(std::memory_order_relaxed) == 0)
        return;
    collect_wanted.store(1);
    collector_waitq.wake_all();
}

} // namespace lentil

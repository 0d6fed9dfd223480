// SPDX-License-Identifier: BSD-2-Clause
// Between kqueue.cpp (the queue) and kevent_filters.cpp (what is watched).
//
// Locks. kqueue_lock: one for all kqueues; held while knotes are added, changed, collected or removed by user mode, and
// while files end. It sleeps, so what happens (a wake-up, a note of a proc, a callout) never takes it: that goes under the
// kqueue's own `state_lock`, a leaf but for callouts. Letters: k kqueue_lock, s state_lock, t proc_tree_lock.
#pragma once

#include <bsd/anonymous_file.hpp>
#include <bsd/kqueue.hpp>
#include <libkern/dlist.hpp>
#include <sched/callout.hpp>
#include <sched/waitq.hpp>

namespace lentil {

class Kqueue;

struct Knote {
    static constexpr const char* zone_name = "knotes";
    static constexpr unsigned place_max = 4;

    Kqueue* kqueue = nullptr;
    uint64_t ident = 0;
    int16_t filter = 0;

    uint16_t flags = 0;           ///< s; one_shot, clear, dispatch
    uint32_t wanted = 0;          ///< s; fflags asked for
    int64_t asked = 0;            ///< s; data asked for
    uint64_t udata = 0;           ///< s
    bool disabled = false;        ///< s
    bool pending = false;         ///< s; something happened that was not taken
    bool queued = false;          ///< s; on the ready list
    bool ended = false;           ///< s; its proc did
    uint32_t fflags = 0;          ///< s; what happened
    int64_t data = 0;             ///< s
    pid_t forked = 0;             ///< s; the last child, for NOTE_FORK
    pid_t parent = 0;             ///< s; for NOTE_CHILD
    DlistLinks<Knote> all_link;   ///< s
    DlistLinks<Knote> ready_link; ///< s

    Proc* proc = nullptr;        ///< t; on whose list it is
    DlistLinks<Knote> proc_link; ///< t; and KnoteReserve

    struct Place : Waiter {
        Knote* knote = nullptr;
        Waitq* at = nullptr;
    };
    File* file = nullptr;         ///< k; not counted: the file's end removes the knote
    bool regular = false;         ///< k
    DlistLinks<Knote> watch_link; ///< k
    Place places[place_max];      ///< k
    unsigned place_count = 0;     ///< k

    Callout callout;
    nanos_t interval_ns = 0; ///< s
    nanos_t next_ns = 0;     ///< s
};

extern Mutex<Rank::epoll_watch> kqueue_lock;

class Kqueue final : public AnonymousFile {
public:
    static constexpr const char* zone_name = "kqueues";
    explicit Kqueue(uint32_t open_flags_value) : AnonymousFile(open_flags::read_write | open_flags_value, "kqueue") {
        stays_behind = true;
    }
    ~Kqueue() override;
    void dispose() override { zone_delete(this); }

    Result<size_t> read(Uio&) override { return Errno::nxio; }
    Result<size_t> write(Uio&) override { return Errno::nxio; }
    uint32_t poll(uint32_t events, PollTable* table) override;
    Kqueue* kqueue() override { return this; }

    /// k held.
    Knote* find(uint64_t ident, int16_t filter);
    void insert(Knote& knote);
    void remove(Knote& knote);
    size_t collect(std::span<Kevent> out, std::span<RefPtr<File>> seen);

    /// s held: something happened. The caller wakes `queue` if it returns true, after s.
    bool activate_locked(Knote& knote);
    bool has_ready();

    SpinLock<Rank::epoll_ready> state_lock;
    Waitq queue;
    unsigned inner_count = 0;   ///< k; kqueues that it watches
    unsigned watcher_count = 0; ///< k; kqueues that watch it

private:
    enum class Taken { no, yes, gone };
    Taken take(Knote& knote, Kevent& out, RefPtr<File>& seen, bool& again);

    static constexpr size_t chains = 32;
    using Chain = Dlist<Knote, &Knote::all_link>;
    static size_t chain_of(uint64_t ident, int16_t filter) {
        return (ident ^ ident >> 8 ^ static_cast<uint16_t>(filter)) % chains;
    }
    Chain all_[chains];                      ///< s
    Dlist<Knote, &Knote::ready_link> ready_; ///< s
};

namespace filters {
/// Begins to watch, for a new knote. k held.
Result<void> attach(Knote& knote);
/// Takes the knote off what it watches. k held; afterwards nothing happens to it.
void detach(Knote& knote);
/// A change of `wanted` and `asked` by EV_ADD. k held.
Result<void> change(Knote& knote, const Kevent& change);
/// Whether flags and notes make sense for the filter.
Result<void> check(const Kevent& change);
/// What a file knote would report now. k held; `seen` keeps the file alive until k is free. False: nothing.
enum class FileState { idle, ready, closed };
FileState look(Knote& knote, Kevent& out, RefPtr<File>& seen);
} // namespace filters

} // namespace lentil

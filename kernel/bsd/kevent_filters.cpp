// SPDX-License-Identifier: BSD-2-Clause
// What knotes watch: files, procs and their signals, time.
#include <algorithm>

#include <bsd/kqueue_internal.hpp>
#include <bsd/pipe.hpp>
#include <sched/clock.hpp>

namespace lentil {

using namespace kevent_flags;

namespace {

using StateGuard = SpinGuard<Rank::epoll_ready>;

// ---- files -------------------------------------------------------------------------------------------------------------

constexpr size_t watch_chains = 64;
using WatchChain = Dlist<Knote, &Knote::watch_link>;
constinit WatchChain watched_files[watch_chains]; // kqueue_lock
WatchChain& chain_of(const File& file) { return watched_files[reinterpret_cast<uintptr_t>(&file) / 64 % watch_chains]; }

/// Stands in the file's queues until the knote goes.
class Registration final : public PollTable {
public:
    explicit Registration(Knote& knote) : knote_(knote) {}
    void add(Waitq& queue) override {
        ASSERT(knote_.place_count < Knote::place_max);
        Knote::Place& place = knote_.places[knote_.place_count++];
        place.knote = &knote_;
        place.at = &queue;
        place.notify = [](Waiter& waiter) { // the queue's lock is held, interrupts are off
            Knote& knote = *static_cast<Knote::Place&>(waiter).knote;
            Kqueue& kq = *knote.kqueue;
            StateGuard state(kq.state_lock);
            const bool wake = kq.activate_locked(knote);
            state.unlock();
            if (wake)
                kq.queue.wake_all_nested();
        };
        queue.add(place);
    }

private:
    Knote& knote_;
};

uint32_t wanted_events(const Knote& knote) {
    using namespace poll_events;
    return knote.filter == kevent_filter::read ? in | rdnorm | rdhup | hup | err : out | wrnorm | hup | err;
}

Result<void> attach_file(Knote& knote) {
    if (knote.ident > INT32_MAX)
        return Errno::badf;
    const RefPtr<File> file = TRY(current_proc().fds->get(static_cast<int>(knote.ident)));
    if (file->flags.load(std::memory_order_relaxed) & open_flags::path)
        return Errno::badf;
    if (file->epoll())
        return Errno::inval;
    if (Kqueue* inner = file->kqueue()) {
        // One level, so that there are no circles.
        Kqueue& outer = *knote.kqueue;
        if (inner == &outer || inner->inner_count != 0 || outer.watcher_count != 0)
            return Errno::inval;
        inner->watcher_count++;
        outer.inner_count++;
    }
    constexpr uint32_t type_mask = 0170000, regular = 0100000;
    const Result<FileStat> stat = file->stat();
    knote.regular = stat.ok() && (stat->mode & type_mask) == regular;
    knote.file = file.get();
    file->watched.fetch_or(File::watched_by_kqueue, std::memory_order_relaxed);
    chain_of(*file).push_back(knote);
    Registration registration(knote);
    if (file->poll(wanted_events(knote), &registration) != 0) {
        StateGuard state(knote.kqueue->state_lock);
        knote.pending = true; // the caller enables it: queued then
    }
    return {};
}

void detach_file(Knote& knote) {
    for (unsigned i = 0; i < knote.place_count; i++)
        knote.places[i].at->remove(knote.places[i]); // after this no notify runs
    knote.place_count = 0;
    if (!knote.file)
        return;
    if (Kqueue* inner = knote.file->kqueue()) {
        inner->watcher_count--;
        knote.kqueue->inner_count--;
    }
    chain_of(*knote.file).erase(knote);
    knote.file = nullptr;
}

/// How much could be read or written; at least 1 where nobody can tell.
int64_t amount_of(const Knote& knote, File& file) {
    const bool reads = knote.filter == kevent_filter::read;
    if (knote.regular && reads) {
        const Result<FileStat> stat = file.stat();
        const Result<off_t> at = file.seek(0, Whence::current);
        return stat.ok() && at.ok() ? static_cast<int64_t>(stat->size) - *at : 0;
    }
    if (const Pipe* pipe = file.pipe())
        return static_cast<int64_t>(reads ? pipe->readable_bytes() : pipe->writable_bytes());
    return 1;
}

// ---- procs -------------------------------------------------------------------------------------------------------------

void link_proc_locked(Knote& knote, Proc& proc) {
    knote.proc = &proc;
    knote.proc_link = {proc.knotes, nullptr};
    if (proc.knotes)
        proc.knotes->proc_link.previous = &knote;
    proc.knotes = &knote;
}

void unlink_proc_locked(Knote& knote) {
    DlistLinks<Knote>& links = knote.proc_link;
    (links.previous ? links.previous->proc_link.next : knote.proc->knotes) = links.next;
    if (links.next)
        links.next->proc_link.previous = links.previous;
    links = {};
    knote.proc = nullptr;
}

/// Runs `change` on the knote's state and wakes whoever waits for it, if it says that something happened.
template<class Change>
void happen(Knote& knote, Change change) {
    Kqueue& kq = *knote.kqueue;
    StateGuard state(kq.state_lock);
    const bool wake = change() && kq.activate_locked(knote);
    state.unlock();
    if (wake)
        kq.queue.wake_all();
}

void note_proc(Knote& knote, uint32_t note) {
    happen(knote, [&] {
        knote.fflags |= note & (knote.wanted | kevent_notes::child);
        return knote.fflags != 0;
    });
}

void note_end(Knote& knote, int32_t status) {
    happen(knote, [&] {
        knote.ended = true;
        knote.data = status;
        knote.fflags |= knote.wanted & kevent_notes::exit;
        return true; // unasked for, it only goes away
    });
}

Result<void> attach_proc(Knote& knote) {
    if (knote.ident == 0 || knote.ident > INT32_MAX)
        return Errno::srch;
    ProcTreeGuard tree(proc_tree_lock);
    Proc* proc = proc_find_locked(static_cast<pid_t>(knote.ident));
    if (!proc || proc->state == ProcState::embryo)
        return Errno::srch;
    if (proc->state == ProcState::active)
        link_proc_locked(knote, *proc);
    else // too late, but not for its status
        note_end(knote, proc->exit_status);
    return {};
}

Result<void> attach_signal(Knote& knote) {
    ProcTreeGuard tree(proc_tree_lock);
    link_proc_locked(knote, current_proc());
    return {};
}

// ---- time --------------------------------------------------------------------------------------------------------------

nanos_t interval_of(const Kevent& change) {
    using namespace kevent_notes;
    const nanos_t unit = change.fflags == seconds        ? 1'000'000'000
                         : change.fflags == microseconds ? 1'000
                         : change.fflags == nanoseconds  ? 1
                                                         : 1'000'000;
    nanos_t span = 0;
    if (__builtin_mul_overflow(change.data, unit, &span))
        span = no_deadline / 4;
    return std::clamp<nanos_t>(span, 1, no_deadline / 4);
}

void timer_fires(void* argument) {
    Knote& knote = *static_cast<Knote*>(argument);
    happen(knote, [&] {
        const nanos_t now = monotonic_ns();
        int64_t passed = 1;
        if (!(knote.flags & one_shot)) {
            // A short period on a busy machine: what was missed counts, and does not come one by one.
            passed = now < knote.next_ns ? 1 : (now - knote.next_ns) / knote.interval_ns + 1;
            knote.next_ns += passed * knote.interval_ns;
            knote.callout.arm(std::max(knote.next_ns, now + 50'000));
        }
        knote.data += passed;
        return true;
    });
}

void start_timer(Knote& knote, nanos_t interval_ns) {
    knote.callout.cancel();
    nanos_t first = 0;
    {
        StateGuard state(knote.kqueue->state_lock);
        knote.interval_ns = interval_ns;
        knote.next_ns = first = monotonic_ns() + interval_ns;
        knote.data = 0;
    }
    knote.callout.arm(first);
}

} // namespace

namespace filters {

Result<void> check(const Kevent& change) {
    using namespace kevent_notes;
    switch (change.filter) {
    case kevent_filter::read:
    case kevent_filter::write: return change.fflags == 0 ? Result<void>() : Errno::inval;
    case kevent_filter::proc: {
        constexpr uint32_t notes = kevent_notes::exit | fork | exec | track;
        return (change.fflags & ~notes) == 0 && change.fflags != 0 ? Result<void>() : Errno::inval;
    }
    case kevent_filter::signal:
        return is_signal(static_cast<int64_t>(change.ident)) && change.fflags == 0 ? Result<void>() : Errno::inval;
    case kevent_filter::timer: {
        const uint32_t unit = change.fflags;
        const bool known = unit == 0 || unit == seconds || unit == microseconds || unit == nanoseconds;
        return known && change.data >= 0 ? Result<void>() : Errno::inval;
    }
    default: return Errno::inval;
    }
}

Result<void> attach(Knote& knote) {
    switch (knote.filter) {
    case kevent_filter::proc: return attach_proc(knote);
    case kevent_filter::signal: return attach_signal(knote);
    case kevent_filter::timer:
        knote.callout.init(timer_fires, &knote);
        start_timer(knote, interval_of({0, 0, 0, knote.wanted, knote.asked, 0}));
        return {};
    default: return attach_file(knote);
    }
}

void detach(Knote& knote) {
    switch (knote.filter) {
    case kevent_filter::proc:
    case kevent_filter::signal: {
        ProcTreeGuard tree(proc_tree_lock);
        if (knote.proc)
            unlink_proc_locked(knote);
        return;
    }
    case kevent_filter::timer: knote.callout.cancel(); return;
    default: detach_file(knote);
    }
}

Result<void> change(Knote& knote, const Kevent& change) {
    {
        StateGuard state(knote.kqueue->state_lock);
        knote.wanted = change.fflags;
        knote.asked = change.data;
        knote.flags = change.flags & (one_shot | clear | dispatch);
    }
    if (knote.filter == kevent_filter::timer)
        start_timer(knote, interval_of(change));
    return {};
}

FileState look(Knote& knote, Kevent& out, RefPtr<File>& seen) {
    using namespace poll_events;
    // The descriptor may name another file by now, while this one lives on elsewhere.
    const Result<RefPtr<File>> now = current_proc().fds->get(static_cast<int>(knote.ident));
    if (now.ok())
        seen = *now;
    if (!now.ok() || seen.get() != knote.file)
        return FileState::closed;
    const uint32_t found = seen->poll_now(wanted_events(knote));
    if (found == 0)
        return FileState::idle;
    out.data = amount_of(knote, *seen);
    if (knote.filter == kevent_filter::read ? found & (hup | rdhup) : found & (hup | err))
        out.flags |= eof;
    else if (knote.regular && out.data == 0)
        return FileState::idle;
    return FileState::ready;
}

} // namespace filters

// ---- what happens ------------------------------------------------------------------------------------------------------

void kqueue_forget(File& file) {
    MutexGuard guard(kqueue_lock);
    WatchChain& chain = chain_of(file);
    for (Knote *k = chain.first(), *next; k; k = next) {
        next = WatchChain::next(*k);
        if (k->file == &file)
            k->kqueue->remove(*k);
    }
}

void KnoteReserve::fill(Proc& parent) {
    unsigned wanted = 0;
    {
        ProcTreeGuard tree(proc_tree_lock);
        for (const Knote* k = parent.knotes; k; k = k->proc_link.next)
            wanted += k->filter == kevent_filter::proc && (k->wanted & kevent_notes::track);
    }
    for (; wanted > 0; wanted--) {
        Result<Knote*> knote = zone_new<Knote>();
        if (!knote.ok())
            return;
        (*knote)->proc_link.next = first_;
        first_ = *knote;
    }
}

Knote* KnoteReserve::take() {
    Knote* knote = first_;
    if (knote) {
        first_ = knote->proc_link.next;
        knote->proc_link = {};
    }
    return knote;
}

void KnoteReserve::drop() {
    while (Knote* knote = take())
        zone_delete(knote);
}

namespace detail {

void knotes_fork(Proc& parent, Proc& child, KnoteReserve& reserve) {
    using namespace kevent_notes;
    for (Knote* k = parent.knotes; k; k = k->proc_link.next) {
        if (k->filter != kevent_filter::proc)
            continue;
        uint32_t note = fork;
        if (k->wanted & track) {
            if (Knote* twin = reserve.take()) {
                twin->kqueue = k->kqueue;
                twin->ident = static_cast<uint64_t>(child.pid);
                twin->filter = kevent_filter::proc;
                twin->parent = parent.pid;
                {
                    StateGuard state(k->kqueue->state_lock);
                    twin->flags = k->flags;
                    twin->wanted = k->wanted;
                    twin->udata = k->udata;
                }
                k->kqueue->insert(*twin);
                link_proc_locked(*twin, child);
                note_proc(*twin, kevent_notes::child);
            } else {
                note |= track_error;
            }
        }
        happen(*k, [&] {
            k->forked = child.pid;
            k->fflags |= note & (k->wanted | track_error);
            return k->fflags != 0;
        });
    }
}

void knotes_exec(Proc& proc) {
    for (Knote* k = proc.knotes; k; k = k->proc_link.next)
        if (k->filter == kevent_filter::proc)
            note_proc(*k, kevent_notes::exec);
}

void knotes_exit(Proc& proc) {
    while (Knote* k = proc.knotes) {
        unlink_proc_locked(*k);
        if (k->filter == kevent_filter::proc)
            note_end(*k, proc.exit_status);
    }
}

void knotes_signal(Proc& proc, int signo) {
    for (Knote* k = proc.knotes; k; k = k->proc_link.next)
        if (k->filter == kevent_filter::signal && k->ident == static_cast<uint64_t>(signo))
            happen(*k, [&] { return ++k->data != 0; });
}

} // namespace detail

} // namespace lentil

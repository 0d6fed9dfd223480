// SPDX-License-Identifier: BSD-2-Clause
// The queue: which knotes there are, which have something to say, and taking it.
#include <bsd/kqueue_internal.hpp>
#include <sched/clock.hpp>

namespace lentil {

using namespace kevent_flags;

constinit Mutex<Rank::epoll_watch> kqueue_lock;

namespace {
using StateGuard = SpinGuard<Rank::epoll_ready>;
constexpr uint16_t kept_flags = one_shot | clear | dispatch;
constexpr uint16_t known_flags = add | kevent_flags::remove | enable | disable | receipt | kept_flags;
} // namespace

Kqueue::~Kqueue() {
    MutexGuard guard(kqueue_lock);
    // A knote that tracks may bear another one meanwhile, in a chain that was looked at: until nothing is found.
    for (bool found = true; found;) {
        found = false;
        for (Chain& chain : all_)
            for (;;) {
                StateGuard state(state_lock);
                Knote* knote = chain.first();
                state.unlock();
                if (!knote)
                    break;
                found = true;
                remove(*knote);
            }
    }
}

uint32_t Kqueue::poll(uint32_t events, PollTable* table) {
    if (table)
        table->add(queue);
    return has_ready() ? events & (poll_events::in | poll_events::rdnorm) : 0;
}

bool Kqueue::has_ready() {
    StateGuard state(state_lock);
    return !ready_.empty();
}

Knote* Kqueue::find(uint64_t ident, int16_t filter) {
    StateGuard state(state_lock);
    Knote* ended = nullptr;
    for (Knote* k = all_[chain_of(ident, filter)].first(); k; k = Chain::next(*k)) {
        if (k->ident != ident || k->filter != filter)
            continue;
        // A knote of a proc that ended waits to be taken; the number may be another proc's by now.
        if (!k->ended)
            return k;
        ended = k;
    }
    return ended;
}

void Kqueue::insert(Knote& knote) {
    StateGuard state(state_lock);
    all_[chain_of(knote.ident, knote.filter)].push_back(knote);
}

void Kqueue::remove(Knote& knote) {
    filters::detach(knote);
    {
        StateGuard state(state_lock);
        all_[chain_of(knote.ident, knote.filter)].erase(knote);
        if (knote.queued)
            ready_.erase(knote);
    }
    zone_delete(&knote);
}

bool Kqueue::activate_locked(Knote& knote) {
    knote.pending = true;
    if (knote.disabled || knote.queued)
        return false;
    knote.queued = true;
    ready_.push_back(knote);
    return true;
}

/// What the knote has to say, as one event. `again`: it has more, or is level-triggered.
Kqueue::Taken Kqueue::take(Knote& k, Kevent& out, RefPtr<File>& seen, bool& again) {
    using namespace kevent_notes;
    {
        StateGuard state(state_lock);
        k.pending = k.disabled;
        if (k.disabled)
            return Taken::no;
        out = {k.ident, k.filter, k.flags, 0, 0, k.udata};
    }
    switch (k.filter) {
    case kevent_filter::read:
    case kevent_filter::write:
        switch (filters::look(k, out, seen)) {
        case filters::FileState::idle: return Taken::no;
        case filters::FileState::closed: return Taken::gone;
        case filters::FileState::ready: again = !(k.flags & clear); return Taken::yes;
        }
        return Taken::no;
    case kevent_filter::proc: {
        StateGuard state(state_lock);
        // One thing at a time: each has a meaning of its own for `data`.
        if (k.fflags & child) {
            out.fflags = child;
            out.data = k.parent;
        } else if (const uint32_t lived = k.fflags & ~kevent_notes::exit) {
            out.fflags = lived;
            out.data = lived & fork ? k.forked : 0;
        } else if (k.fflags & kevent_notes::exit) {
            out.fflags = kevent_notes::exit;
            out.data = k.data;
            out.flags |= eof | one_shot;
        } else {
            return k.ended ? Taken::gone : Taken::no;
        }
        k.fflags &= ~out.fflags;
        again = k.fflags != 0;
        return Taken::yes;
    }
    default: {
        StateGuard state(state_lock);
        if (k.data == 0)
            return Taken::no;
        out.data = std::exchange(k.data, 0);
        return Taken::yes;
    }
    }
}

size_t Kqueue::collect(std::span<Kevent> out, std::span<RefPtr<File>> seen) {
    Knote* levels[kevent_batch];
    size_t count = 0, level_count = 0;
    for (size_t looked = 0; looked < seen.size() && count < out.size(); looked++) {
        Knote* k = nullptr;
        {
            StateGuard state(state_lock);
            k = ready_.pop_front();
            if (k)
                k->queued = false;
        }
        if (!k)
            break;
        bool again = false;
        const Taken taken = take(*k, out[count], seen[looked], again);
        if (taken == Taken::gone)
            remove(*k);
        if (taken != Taken::yes)
            continue;
        const bool single = out[count++].flags & one_shot;
        if (single && !(again && k->filter == kevent_filter::proc)) {
            remove(*k);
            continue;
        }
        StateGuard state(state_lock);
        if (k->flags & dispatch) {
            k->disabled = true;
            k->pending |= again;
        } else if (again && k->filter == kevent_filter::proc) {
            activate_locked(*k);
        } else if (again) {
            levels[level_count++] = k;
        }
    }
    StateGuard state(state_lock);
    for (size_t i = 0; i < level_count; i++)
        activate_locked(*levels[i]);
    return count;
}

// ---- for user mode -----------------------------------------------------------------------------------------------------

Result<RefPtr<File>> kqueue_create(uint32_t flags) { return make_ref<Kqueue>(flags); }

namespace {

Result<void> add_or_change(Kqueue& kq, const Kevent& change) {
    TRY(filters::check(change));
    Knote* knote = kq.find(change.ident, change.filter);
    // A descriptor that was closed and opened again is another file; a proc that ended is not the one that is meant.
    if (knote && (knote->ended ||
                  (knote->file && knote->file != TRY(current_proc().fds->get(static_cast<int>(change.ident))).get()))) {
        if (knote->file)
            kq.remove(*knote);
        knote = nullptr;
    }
    if (knote) {
        TRY(filters::change(*knote, change));
        StateGuard state(kq.state_lock);
        knote->flags = change.flags & kept_flags;
        knote->udata = change.udata;
        return {};
    }
    knote = TRY(zone_new<Knote>());
    knote->kqueue = &kq;
    knote->ident = change.ident;
    knote->filter = change.filter;
    knote->flags = change.flags & kept_flags;
    knote->wanted = change.fflags;
    knote->asked = change.data;
    knote->udata = change.udata;
    knote->disabled = change.flags & disable;
    kq.insert(*knote);
    const Result<void> attached = filters::attach(*knote);
    if (!attached.ok())
        kq.remove(*knote);
    return attached;
}

/// Whether what is there already must be looked at: for files that may be ready since long.
bool set_disabled(Kqueue& kq, Knote& knote, bool off) {
    StateGuard state(kq.state_lock);
    knote.disabled = off;
    return !off && (knote.pending || knote.file) && kq.activate_locked(knote);
}

} // namespace

Result<void> kevent_change(File& file, const Kevent& change) {
    Kqueue* kq = file.kqueue();
    if (!kq)
        return Errno::badf;
    if (change.flags & ~known_flags)
        return Errno::inval;
    bool wake = false;
    {
        MutexGuard guard(kqueue_lock);
        if (change.flags & add)
            TRY(add_or_change(*kq, change));
        Knote* knote = kq->find(change.ident, change.filter);
        if (!knote)
            return Errno::noent;
        if (change.flags & kevent_flags::remove)
            kq->remove(*knote);
        else if (change.flags & disable)
            set_disabled(*kq, *knote, true);
        else if (change.flags & (enable | add))
            wake = set_disabled(*kq, *knote, false);
    }
    if (wake)
        kq->queue.wake_all();
    return {};
}

Result<size_t> kevent_wait(File& file, std::span<Kevent> out, nanos_t deadline_ns) {
    Kqueue* kq = file.kqueue();
    if (!kq)
        return Errno::badf;
    for (;;) {
        RefPtr<File> seen[kevent_batch]; // dropped after the lock: the last reference may go here
        size_t count = 0;
        {
            MutexGuard guard(kqueue_lock);
            count = kq->collect(out, seen);
        }
        if (count > 0)
            return count;
        if (kq->has_ready())
            continue;
        if (deadline_ns <= 0 || (deadline_ns != no_deadline && deadline_ns <= monotonic_ns()))
            return size_t{0};
        const WaitResult result = wait_until(
            kq->queue, "kqread", [&] { return kq->has_ready(); }, Interruptible::yes, deadline_ns);
        if (result == WaitResult::interrupted)
            return Errno::intr;
    }
}

} // namespace lentil

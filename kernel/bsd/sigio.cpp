// SPDX-License-Identifier: BSD-2-Clause
// SIGIO. A file that tells its owner has waiters in the queues that poll would sleep on. A wake-up, which may happen with
// any spin lock held, only notes what happened; a callout, which runs as soon as interrupts are on, sends the signals.
#include <bsd/proc.hpp>
#include <bsd/sigio.hpp>
#include <bsd/tty.hpp>
#include <sched/callout.hpp>

namespace lentil {

namespace {

constexpr uint32_t input = 1, output = 2; ///< what happened

/// Everything that is needed to tell. Ids are looked up when there is something to tell; `born_ns` of the process keeps
/// another that got its number from being told.
struct Owner {
    OwnerName name;
    nanos_t born_ns = 0;
    uid_t uid = 0, euid = 0; ///< who set it
    int signo = 0, fd = -1;
};

} // namespace

// s = sigio_lock, r = ready_lock
struct FileOwner {
    static constexpr const char* zone_name = "file_owners";
    static constexpr unsigned place_max = 4;
    struct Place : Waiter {
        FileOwner* of = nullptr;
        Waitq* at = nullptr;
        uint32_t what = 0;
    };
    Owner owner;                      ///< r; changed with s
    bool on = false;                  ///< s
    Place places[place_max];          ///< s
    unsigned place_count = 0;         ///< s
    bool queued = false;              ///< r
    uint32_t happened = 0;            ///< r
    DlistLinks<FileOwner> ready_link; ///< r
};

namespace {

constinit Mutex<Rank::epoll_watch> sigio_lock;
constinit SpinLock<Rank::epoll_ready> ready_lock;
using ReadyGuard = SpinGuard<Rank::epoll_ready>;
constinit Dlist<FileOwner, &FileOwner::ready_link> ready; ///< r
constinit Callout callout;
constinit bool callout_ready = false; ///< s

/// sigio_perm of Linux: as kill(2), with the ids of who made it the owner.
bool may_tell(const Owner& owner, const Proc& proc) {
    const RefPtr<const Cred> cred = proc.cred();
    return owner.euid == 0 || owner.euid == cred->suid || owner.euid == cred->uid || owner.uid == cred->suid ||
           owner.uid == cred->uid;
}

/// Signals whose codes mean something of their own: the reason cannot be one of them.
constexpr SigSet with_codes{SigSet::of(sig_ill).bits | SigSet::of(sig_fpe).bits | SigSet::of(sig_segv).bits |
                            SigSet::of(sig_bus).bits | SigSet::of(sig_trap).bits | SigSet::of(sig_chld).bits |
                            SigSet::of(sig_sys).bits};

void tell_one_locked(const Owner& owner, uint32_t what, Proc& proc, Uthread* thread) {
    using namespace poll_events;
    if (!may_tell(owner, proc))
        return;
    if (owner.signo != 0) {
        SigInfo info{.signo = owner.signo};
        info.code = with_codes.has(owner.signo) ? si_code::sigio : what == input ? si_code::poll_in : si_code::poll_out;
        info.band = static_cast<int32_t>(what == input ? in | rdnorm : out | wrnorm | wrband);
        info.fd = owner.fd;
        if (signal_queue_locked(proc, thread, info).ok())
            return;
    }
    (void)signal_queue_locked(proc, thread, {.signo = sig_io, .code = si_code::kernel});
}

Proc* process_of_locked(const Owner& owner) {
    Proc* const proc = proc_find_locked(owner.name.id);
    return proc && proc->start_ns == owner.born_ns ? proc : nullptr;
}

Uthread* thread_of_locked(const Owner& owner) {
    Uthread* const thread = uthread_find_locked(owner.name.id);
    const bool lives = thread && thread->state.load(std::memory_order_relaxed) != UthreadState::dead;
    return lives && thread->proc->start_ns == owner.born_ns ? thread : nullptr;
}

void tell(const Owner& owner, uint32_t what) {
    ProcTreeGuard tree(proc_tree_lock);
    switch (owner.name.kind) {
    case OwnerKind::thread:
        if (Uthread* const thread = thread_of_locked(owner))
            tell_one_locked(owner, what, *thread->proc, thread);
        break;
    case OwnerKind::process:
        if (Proc* const proc = process_of_locked(owner))
            tell_one_locked(owner, what, *proc, nullptr);
        break;
    case OwnerKind::group:
        if (ProcessGroup* const group = group_find_locked(owner.name.id))
            for (ProcLinks& member : group->members)
                tell_one_locked(owner, what, proc_of(member), nullptr);
        break;
    }
}

void tell_all(void*) {
    for (;;) {
        ReadyGuard guard(ready_lock);
        FileOwner* const of = ready.pop_front();
        if (!of)
            return;
        of->queued = false;
        const uint32_t happened = std::exchange(of->happened, 0);
        const Owner owner = of->owner;
        guard.unlock(); // it may go from here on
        if (owner.name.id == 0)
            continue;
        for (const uint32_t what : {input, output})
            if (happened & what)
                tell(owner, what);
    }
}

/// The queue's lock is held, interrupts are off.
void note(Waiter& waiter) {
    const FileOwner::Place& place = static_cast<FileOwner::Place&>(waiter);
    FileOwner& of = *place.of;
    {
        ReadyGuard guard(ready_lock);
        of.happened |= place.what;
        if (!of.queued) {
            of.queued = true;
            ready.push_back(of);
        }
    }
    if (!callout.is_armed()) // else it has still to look at the list
        callout.arm(0);
}

class Registration final : public PollTable {
public:
    Registration(FileOwner& of, uint32_t what) : of_(of), what_(what) {}
    void add(Waitq& queue) override {
        for (unsigned i = 0; i < of_.place_count; i++)
            if (of_.places[i].at == &queue)
                return; // what wakes readers is input
        ASSERT(of_.place_count < FileOwner::place_max);
        FileOwner::Place& place = of_.places[of_.place_count++];
        place.of = &of_;
        place.at = &queue;
        place.what = what_;
        place.notify = &note;
        queue.add(place);
    }

private:
    FileOwner& of_;
    const uint32_t what_;
};

/// s held.
Result<FileOwner*> owner_of(File& file) {
    if (FileOwner* const there = file.owner.load(std::memory_order_acquire))
        return there;
    FileOwner* const fresh = TRY(zone_new<FileOwner>());
    if (!callout_ready) {
        callout.init(&tell_all, nullptr);
        callout_ready = true;
    }
    file.watched.fetch_or(File::has_owner, std::memory_order_relaxed);
    file.owner.store(fresh, std::memory_order_release);
    return fresh;
}

/// s held. No note runs after it.
void stop(FileOwner& of) {
    for (unsigned i = 0; i < of.place_count; i++)
        of.places[i].at->remove(of.places[i]);
    of.place_count = 0;
    of.on = false;
    ReadyGuard guard(ready_lock);
    if (of.queued)
        ready.erase(of);
    of.queued = false;
    of.happened = 0;
}

/// What an id stands for, whatever it was set as; 0: nothing (any more).
Result<nanos_t> birth_of(pid_t id) {
    ProcTreeGuard tree(proc_tree_lock);
    if (const Proc* const proc = proc_find_locked(id))
        return proc->start_ns;
    if (const Uthread* const thread = uthread_find_locked(id))
        return thread->proc->start_ns;
    if (group_find_locked(id))
        return 0;
    return Errno::srch;
}

/// s held.
Result<void> set_owner(FileOwner& of, OwnerName name) {
    const nanos_t born = name.id != 0 ? TRY(birth_of(name.id)) : 0;
    const RefPtr<const Cred> cred = current_proc().cred();
    ReadyGuard guard(ready_lock);
    of.owner.name = name;
    of.owner.born_ns = born;
    of.owner.uid = cred->uid;
    of.owner.euid = cred->euid;
    return {};
}

} // namespace

Result<void> sigio_set_owner(File& file, OwnerName name) {
    MutexGuard guard(sigio_lock);
    return set_owner(*TRY(owner_of(file)), name);
}

OwnerName sigio_owner(File& file) {
    MutexGuard guard(sigio_lock);
    const FileOwner* const of = file.owner.load(std::memory_order_acquire);
    if (!of)
        return {};
    const Owner owner = of->owner;
    ProcTreeGuard tree(proc_tree_lock);
    const bool there = owner.name.kind == OwnerKind::group     ? group_find_locked(owner.name.id) != nullptr
                       : owner.name.kind == OwnerKind::process ? process_of_locked(owner) != nullptr
                                                               : thread_of_locked(owner) != nullptr;
    return {owner.name.kind, there ? owner.name.id : 0};
}

Result<void> sigio_set_signal(File& file, int signo) {
    MutexGuard guard(sigio_lock);
    FileOwner* const of = TRY(owner_of(file));
    ReadyGuard change(ready_lock);
    of->owner.signo = signo;
    return {};
}

int sigio_signal(File& file) {
    MutexGuard guard(sigio_lock);
    const FileOwner* const of = file.owner.load(std::memory_order_acquire);
    return of ? of->owner.signo : 0;
}

Result<void> sigio_set(File& file, int fd, bool on) {
    using namespace poll_events;
    if (!file.can_send_sigio())
        return Errno::notty;
    MutexGuard guard(sigio_lock);
    FileOwner* const of = TRY(owner_of(file));
    if (!on) {
        stop(*of);
        return {};
    }
    if (Tty* const tty = file.terminal().tty;
        tty && of->owner.name.id == 0) { // whom terminals tell unless told otherwise
        OwnerName name{OwnerKind::process, current_proc().pid};
        {
            ProcTreeGuard tree(proc_tree_lock);
            if (const pid_t group = tty->foreground_id_locked())
                name = {OwnerKind::group, group};
        }
        TRY(set_owner(*of, name));
    }
    {
        ReadyGuard change(ready_lock);
        of->owner.fd = fd;
    }
    if (std::exchange(of->on, true))
        return {};
    if (file.readable()) {
        Registration registration(*of, input);
        file.poll(in | rdnorm, &registration);
    }
    if (file.writable()) {
        Registration registration(*of, output);
        file.poll(out | wrnorm, &registration);
    }
    return {};
}

void sigio_forget(File& file) {
    FileOwner* const of = file.owner.load(std::memory_order_acquire);
    if (!of)
        return;
    {
        MutexGuard guard(sigio_lock);
        stop(*of);
    }
    zone_delete(of);
}

} // namespace lentil

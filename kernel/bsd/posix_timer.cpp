// SPDX-License-Identifier: BSD-2-Clause
// POSIX timers. Each has one entry for the signal queue, so that expiring never needs memory; while the entry is queued,
// further expiries are overruns. A periodic timer of a wall or monotonic clock is armed again only when its signal leaves
// the queue (what it missed is a division then), so a process that does not look costs no interrupts. CPU clocks need the
// process tree's lock to be read, which a taker of signals cannot have: those timers are armed again as they expire.
#include <algorithm>

#include <bsd/posix_timer.hpp>
#include <bsd/signal_pick.hpp>
#include <sched/clock.hpp>

namespace lentil {

namespace {

using TimerGuard = SpinGuard<Rank::signal>;

constexpr nanos_t least_look_ns = 1'000'000;

} // namespace

struct PosixTimer : QueuedSignal {
    static constexpr const char* zone_name = "posix_timers";
    Proc* proc = nullptr;
    int32_t id = 0;
    TimerClock clock = TimerClock::monotonic;
    RefPtr<Uthread> cpu_of;
    TimerNotice notice;
    UserCounts* user = nullptr; ///< charged with one signal as long as the timer is there
    ListHook table_link;        ///< t; PosixTimers::list
    Callout callout;
    // -- the proc's signal lock ------------------------------------------------------------------------------------
    Expiry expiry;              ///< on the monotonic clock, or the CPU clock
    bool follows_wall = false;  ///< was set for a time of day
    nanos_t wall_offset_ns = 0; ///< with which `expiry` was reckoned then
    uint64_t overruns = 0;
    int32_t overruns_reported = 0;
    bool rearm_when_left = false; ///< the entry in the queue is of this setting

    bool is_cpu() const { return clock == TimerClock::process_cpu || clock == TimerClock::thread_cpu; }
    /// What its clock shows. proc_tree_lock held.
    nanos_t now_locked() const {
        if (!is_cpu())
            return monotonic_ns();
        const Usage usage = clock == TimerClock::process_cpu ? proc->usage_locked() : cpu_of->usage_locked();
        return usage.user + usage.system;
    }
    /// Both locks held.
    void arm_locked(nanos_t now) {
        if (!expiry.armed() || !notice.sends_signal)
            return;
        if (!is_cpu()) {
            callout.arm(expiry.deadline_ns());
            return;
        }
        const nanos_t harts = clock == TimerClock::process_cpu ? std::max<nanos_t>(proc->living_uthreads(), 1) : 1;
        callout.arm(monotonic_ns() + std::max((expiry.at_ns - now) / harts, least_look_ns));
    }
    Pending& queue() { return notice.target ? notice.target->sig.pending : proc->sig.shared; }
};

struct PosixTimers {
    static constexpr const char* zone_name = "posix_timer_tables";
    List<PosixTimer, &PosixTimer::table_link> list;
    int32_t next_id = 0;
};

namespace {

int32_t clamp_overruns(uint64_t n) { return static_cast<int32_t>(std::min<uint64_t>(n, INT32_MAX)); }

/// The timer's signal was taken, or dropped (`taken` nullptr). Signal lock held.
void entry_left(QueuedSignal& entry, SigInfo* taken) {
    PosixTimer& timer = static_cast<PosixTimer&>(entry);
    if (timer.rearm_when_left && timer.expiry.armed() && !timer.is_cpu()) {
        const nanos_t now = monotonic_ns();
        if (now >= timer.expiry.at_ns)
            timer.overruns += timer.expiry.pass(now);
        timer.callout.arm(timer.expiry.deadline_ns());
    }
    timer.rearm_when_left = false;
    timer.overruns_reported = clamp_overruns(timer.overruns);
    timer.overruns = 0;
    if (taken)
        taken->overrun = timer.overruns_reported;
}

void timer_fired(void* argument) {
    PosixTimer& timer = *static_cast<PosixTimer*>(argument);
    Proc& proc = *timer.proc;
    ProcTreeGuard tree(proc_tree_lock);
    const nanos_t now = timer.now_locked();
    {
        TimerGuard guard(proc.sig.lock);
        if (!timer.expiry.armed())
            return;
        if (now < timer.expiry.at_ns) { // the CPU time is not used up yet, or it was set anew
            timer.arm_locked(now);
            return;
        }
        const uint64_t passed = timer.expiry.pass(now);
        timer.rearm_when_left = true;
        if (timer.is_cpu())
            timer.arm_locked(now);
        if (timer.link.is_linked()) { // its last signal was not taken yet
            timer.overruns += passed;
            return;
        }
        timer.overruns = passed - 1;
    }
    // Nobody else can queue it or change its setting now: that takes the tree's lock.
    if (signal_queue_own_locked(proc, timer.notice.target.get(), timer))
        return;
    // Ignored, maybe wanted later: go on, but not at a pace that drowns the hart.
    TimerGuard guard(proc.sig.lock);
    timer.rearm_when_left = false;
    timer.overruns = 0;
    if (timer.expiry.armed() && !timer.is_cpu()) {
        if (timer.expiry.at_ns < now + least_look_ns)
            timer.expiry.pass(now + least_look_ns);
        timer.callout.arm(timer.expiry.deadline_ns());
    }
}

PosixTimer* find_locked(Proc& proc, int32_t id) {
    if (proc.timers)
        for (PosixTimer& timer : proc.timers->list)
            if (timer.id == id)
                return &timer;
    return nullptr;
}

/// It is in no list and not armed any more. No lock held.
void destroy(PosixTimer& timer) {
    timer.callout.cancel();
    timer.user->signals.fetch_sub(1, std::memory_order_release);
    zone_delete(&timer);
}

/// Takes it off its lists: both locks held.
void detach_locked(PosixTimer& timer) {
    timer.expiry = {};
    if (timer.link.is_linked())
        pending_remove(timer.queue(), timer);
    timer.proc->timers->list.erase(timer.proc->timers->list.iterator_to(timer));
}

TimerValue value_of(const PosixTimer& timer, nanos_t now) { return {timer.expiry.interval_ns, timer.expiry.left(now)}; }

} // namespace

nanos_t Expiry::left(nanos_t now) const {
    if (!armed())
        return 0;
    if (now < at_ns)
        return at_ns - now;
    return interval_ns == 0 ? 1 : interval_ns - (now - at_ns) % interval_ns;
}

Result<int32_t> posix_timer_create(TimerClock clock, RefPtr<Uthread> cpu_of, TimerNotice notice) {
    Proc& proc = current_proc();
    PosixTimers* fresh_table = nullptr;
    if (!proc.timers) {
        auto made = zone_new<PosixTimers>();
        if (!made.ok())
            return Errno::again;
        fresh_table = *made;
    }
    auto made = zone_new<PosixTimer>();
    PosixTimer* const timer = made.ok() ? *made : nullptr;
    const uint64_t limit = proc.limit(Limit::sigpending).soft;
    Result<int32_t> result = Errno::again;
    {
        ProcTreeGuard tree(proc_tree_lock);
        TimerGuard guard(proc.sig.lock);
        if (!proc.timers)
            proc.timers = std::exchange(fresh_table, nullptr);
        UserCounts* const user = timer ? user_counts_locked(proc.cred()->uid) : nullptr;
        if (user && user->signals.fetch_add(1, std::memory_order_relaxed) >= limit) {
            user->signals.fetch_sub(1, std::memory_order_relaxed);
        } else if (user && proc.timers->next_id < INT32_MAX) {
            timer->proc = &proc;
            timer->id = proc.timers->next_id++;
            timer->clock = clock;
            timer->cpu_of = std::move(cpu_of);
            timer->notice = std::move(notice);
            timer->user = user;
            timer->left = entry_left;
            timer->callout.init(timer_fired, timer);
            timer->info.signo = timer->notice.signo;
            timer->info.code = si_code::timer;
            timer->info.timer_id = timer->id;
            timer->info.value = timer->notice.value_is_id ? static_cast<uint64_t>(timer->id) : timer->notice.value;
            proc.timers->list.push_back(*timer);
            result = timer->id;
        }
    }
    if (fresh_table)
        zone_delete(fresh_table);
    if (timer && !result.ok())
        zone_delete(timer);
    return result;
}

Result<TimerValue> posix_timer_get(int32_t id) {
    Proc& proc = current_proc();
    ProcTreeGuard tree(proc_tree_lock);
    const PosixTimer* timer = find_locked(proc, id);
    if (!timer)
        return Errno::inval;
    const nanos_t now = timer->now_locked();
    TimerGuard guard(proc.sig.lock);
    return value_of(*timer, now);
}

Result<TimerValue> posix_timer_set(int32_t id, bool absolute, const TimerValue& value) {
    Proc& proc = current_proc();
    ProcTreeGuard tree(proc_tree_lock);
    PosixTimer* const timer = find_locked(proc, id);
    if (!timer)
        return Errno::inval;
    const nanos_t now = timer->now_locked();
    TimerGuard guard(proc.sig.lock);
    const TimerValue old = value_of(*timer, now);
    timer->expiry = {};
    timer->rearm_when_left = false;
    timer->overruns = 0;
    timer->overruns_reported = 0;
    if (value.value_ns == 0)
        return old; // one that is on its way finds it disarmed
    nanos_t at = value.value_ns;
    timer->follows_wall = absolute && timer->clock == TimerClock::realtime;
    if (timer->follows_wall)
        at -= timer->wall_offset_ns = realtime_offset_ns();
    else if (!absolute)
        at = at > no_deadline - now ? no_deadline : now + at;
    timer->expiry = Expiry::at(at, value.interval_ns);
    timer->arm_locked(now);
    return old;
}

Result<int32_t> posix_timer_overrun(int32_t id) {
    Proc& proc = current_proc();
    ProcTreeGuard tree(proc_tree_lock);
    const PosixTimer* timer = find_locked(proc, id);
    if (!timer)
        return Errno::inval;
    TimerGuard guard(proc.sig.lock);
    return timer->overruns_reported;
}

Result<void> posix_timer_delete(int32_t id) {
    Proc& proc = current_proc();
    PosixTimer* timer = nullptr;
    {
        ProcTreeGuard tree(proc_tree_lock);
        TimerGuard guard(proc.sig.lock);
        timer = find_locked(proc, id);
        if (!timer)
            return Errno::inval;
        detach_locked(*timer);
    }
    destroy(*timer);
    return {};
}

void posix_timers_clock_set() {
    for_each_proc(
        [](Proc& proc, void*) {
            ProcTreeGuard tree(proc_tree_lock);
            TimerGuard guard(proc.sig.lock);
            if (!proc.timers)
                return;
            for (PosixTimer& timer : proc.timers->list) {
                if (!timer.follows_wall)
                    continue;
                const nanos_t offset = realtime_offset_ns();
                timer.expiry.shift(std::exchange(timer.wall_offset_ns, offset) - offset);
                if (!timer.rearm_when_left)
                    timer.arm_locked(0);
            }
        },
        nullptr);
}

void posix_timers_end(Proc& proc) {
    if (!proc.timers) // made by the proc's own threads, and the one that ends it is the last
        return;
    for (;;) {
        PosixTimer* timer = nullptr;
        PosixTimers* table = nullptr;
        {
            ProcTreeGuard tree(proc_tree_lock);
            TimerGuard guard(proc.sig.lock);
            if (proc.timers->list.empty()) {
                table = std::exchange(proc.timers, nullptr);
            } else {
                timer = &proc.timers->list.front();
                detach_locked(*timer);
            }
        }
        if (table) {
            zone_delete(table);
            return;
        }
        destroy(*timer);
    }
}

} // namespace lentil

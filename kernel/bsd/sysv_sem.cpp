// SPDX-License-Identifier: BSD-2-Clause
// System V semaphores. Whoever cannot go on stands in the set's queue with his operations; who changes the set does them
// for him, oldest first. One spin lock for all sets.
#include <algorithm>

#include <bsd/sysv_sem.hpp>
#include <libkern/dlist.hpp>

namespace lentil::sysv {

namespace {

constinit SpinLock<Rank::ipc> sem_lock;

struct SemSet;

/// What one SemUndos has to give back to one set.
struct Undo {
    static constexpr const char* zone_name = "sem_undos";
    SemUndos* owner = nullptr;
    SemSet* set = nullptr; ///< nullptr once that is gone
    Buffer<int16_t> changes;
    DlistLinks<Undo> owner_link, set_link;
};

/// One sleeping semop; on its stack. Only with sem_lock held.
struct Sleeper {
    std::span<const SemOp> ops;
    Undo* undo;
    pid_t pid;
    uint16_t blocked_by = 0; ///< index into `ops`
    Waitq waitq;
    std::atomic<uint32_t> over{0};
    Result<void> result;
    DlistLinks<Sleeper> link;
};

struct Semaphore {
    int32_t value;
    pid_t last_pid;
};

struct SemSet : ZonedRefCounted<SemSet> {
    static constexpr const char* zone_name = "sem_sets";
    Owner owner;
    Buffer<Semaphore> semaphores;
    Dlist<Sleeper, &Sleeper::link> sleepers;
    Dlist<Undo, &Undo::set_link> undos;
    int64_t operation_s = 0, change_s = 0;
};

constinit Table<SemSet> sets; // sem_lock
constinit uint64_t semaphores_of_all = 0;

} // namespace

class SemUndos : public ZonedRefCounted<SemUndos> {
public:
    static constexpr const char* zone_name = "sem_undo_lists";
    Dlist<Undo, &Undo::owner_link> list; ///< sem_lock
    std::atomic<uint32_t> procs{1};      ///< that share it
};

namespace {

Undo* find_undo_locked(SemUndos& undos, const SemSet& set) {
    Undo* u = undos.list.first();
    while (u && u->set != &set)
        u = undos.list.next(*u);
    return u;
}

enum class Tried { done, failed, blocked };

/// All of the operations, or none. `blocked_by`: which one has to wait.
Tried try_locked(SemSet& set, std::span<const SemOp> ops, Undo* undo, pid_t pid, uint16_t& blocked_by, Errno& error) {
    size_t done = 0;
    Tried outcome = Tried::done;
    for (; done < ops.size(); done++) {
        const SemOp& op = ops[done];
        int32_t& value = set.semaphores[op.number].value;
        const int32_t next = value + op.change;
        const bool undone = op.change != 0 && (op.flags & sem_undo);
        if (op.change == 0 ? value != 0 : next < 0) {
            blocked_by = static_cast<uint16_t>(done);
            outcome = op.flags & static_cast<int16_t>(get_flags::no_wait) ? Tried::failed : Tried::blocked;
            error = Errno::again;
            break;
        }
        if (next > static_cast<int32_t>(sem_value_most)) {
            outcome = Tried::failed;
            error = Errno::range;
            break;
        }
        if (undone) {
            const int32_t back = undo->changes[op.number] - op.change;
            if (back < -static_cast<int32_t>(sem_value_most) - 1 || back > static_cast<int32_t>(sem_value_most)) {
                outcome = Tried::failed;
                error = Errno::range;
                break;
            }
            undo->changes[op.number] = static_cast<int16_t>(back);
        }
        value = next;
    }
    if (outcome == Tried::done) {
        for (const SemOp& op : ops)
            set.semaphores[op.number].last_pid = pid;
        return outcome;
    }
    while (done-- > 0) {
        const SemOp& op = ops[done];
        set.semaphores[op.number].value -= op.change;
        if (op.change != 0 && (op.flags & sem_undo))
            undo->changes[op.number] = static_cast<int16_t>(undo->changes[op.number] + op.change);
    }
    return outcome;
}

void wake_locked(SemSet& set, Sleeper& sleeper, Result<void> result) {
    set.sleepers.erase(sleeper);
    sleeper.result = result;
    sleeper.over.store(1, std::memory_order_release);
    sleeper.waitq.wake_all();
}

/// The set changed: does what sleepers wait for. A sleeper's operations can let another's go on.
void update_locked(SemSet& set) {
    for (Sleeper* s = set.sleepers.first(); s;) {
        Errno error{};
        const Tried tried = try_locked(set, s->ops, s->undo, s->pid, s->blocked_by, error);
        Sleeper* const next = set.sleepers.next(*s);
        if (tried == Tried::blocked) {
            s = next;
            continue;
        }
        const bool changes = std::any_of(s->ops.begin(), s->ops.end(), [](const SemOp& op) { return op.change != 0; });
        if (tried == Tried::done) {
            set.operation_s = now_s();
            wake_locked(set, *s, {});
        } else {
            wake_locked(set, *s, error);
        }
        s = tried == Tried::done && changes ? set.sleepers.first() : next;
    }
}

Result<SemUndos*> own_undos(Proc& proc) {
    if (SemUndos* const own = proc.sem_undos.load(std::memory_order_acquire))
        return own;
    SemUndos* fresh = TRY(zone_new<SemUndos>());
    SemUndos* there = nullptr;
    if (proc.sem_undos.compare_exchange_strong(there, fresh, std::memory_order_acq_rel))
        return fresh;
    fresh->unref(); // another thread was faster
    return there;
}

/// The caller's undo for the set, made if it is missing. nullptr and inval if the set is gone.
Result<Undo*> undo_for(int32_t id) {
    SemUndos& undos = *TRY(own_undos(current_proc()));
    size_t count = 0;
    {
        SpinGuard guard(sem_lock);
        SemSet* const set = sets.find(id);
        if (!set)
            return Errno::inval;
        if (Undo* const there = find_undo_locked(undos, *set))
            return there;
        count = set->semaphores.size();
    }
    Undo* fresh = TRY(zone_new<Undo>());
    Result<Buffer<int16_t>> changes = Buffer<int16_t>::create(count);
    if (!changes) {
        zone_delete(fresh);
        return changes.error();
    }
    fresh->changes = std::move(*changes);
    fresh->owner = &undos;
    Undo* result = nullptr;
    {
        SpinGuard guard(sem_lock);
        if (SemSet* const set = sets.find(id)) {
            result = find_undo_locked(undos, *set);
            if (!result) {
                result = std::exchange(fresh, nullptr);
                result->set = set;
                undos.list.push_back(*result);
                set->undos.push_back(*result);
            }
        }
    }
    if (fresh)
        zone_delete(fresh);
    if (!result)
        return Errno::inval;
    return result;
}

/// The set, if the caller may do `wanted` with it.
Result<SemSet*> find_locked(int32_t id, uint32_t wanted) {
    SemSet* const set = sets.find(id);
    if (!set)
        return Errno::inval;
    TRY(set->owner.check(wanted));
    return set;
}

/// Numbers that were set are no longer to be undone.
void forget_undo_locked(SemSet& set, size_t number) {
    for (Undo* u = set.undos.first(); u; u = set.undos.next(*u))
        u->changes[number] = 0;
}

} // namespace

Result<int32_t> sem_get(int32_t key, uint32_t count, uint32_t flags) {
    if (count > sem_per_set_most)
        return Errno::inval;
    RefPtr<SemSet> fresh;
    for (;;) {
        if (fresh) // not before something is to be inserted: an empty table takes no memory
            TRY(make_room(sets, sem_lock));
        {
            SpinGuard guard(sem_lock);
            if (SemSet* there = key == private_key ? nullptr : sets.find_key(key)) {
                if ((flags & (get_flags::creat | get_flags::exclusive)) == (get_flags::creat | get_flags::exclusive))
                    return Errno::exist;
                if (count > there->semaphores.size())
                    return Errno::inval;
                TRY(there->owner.check(flags & 0777));
                return there->owner.id;
            }
            if (key != private_key && !(flags & get_flags::creat))
                return Errno::noent;
            if (count == 0)
                return Errno::inval;
            if (semaphores_of_all + count > sem_all_most || sets.used() >= sem_sets_most)
                return Errno::nospc;
            if (fresh && !sets.is_full()) {
                fresh->owner = Owner::of_caller(key, flags);
                semaphores_of_all += count;
                sets.insert(*fresh);
                return fresh.release()->owner.id; // the table's
            }
        }
        if (fresh)
            continue;
        fresh = TRY(make_ref<SemSet>());
        fresh->semaphores = TRY(Buffer<Semaphore>::create(count));
        fresh->change_s = now_s();
    }
}

Result<void> sem_operate(int32_t id, std::span<const SemOp> ops, nanos_t deadline_ns) {
    bool undoes = false, alters = false;
    uint16_t highest = 0;
    for (const SemOp& op : ops) {
        undoes |= (op.flags & sem_undo) && op.change != 0;
        alters |= op.change != 0;
        highest = std::max(highest, op.number);
    }
    Undo* const undo = undoes ? TRY(undo_for(id)) : nullptr;
    Sleeper sleeper{.ops = ops, .undo = undo, .pid = current_proc().pid, .waitq = {}, .result = {}, .link = {}};
    RefPtr<SemSet> set; // dropped last, without the lock
    {
        SpinGuard guard(sem_lock);
        SemSet* const found = sets.find(id);
        if (!found)
            return Errno::inval;
        if (highest >= found->semaphores.size())
            return Errno::fbig;
        TRY(found->owner.check(alters ? may_write : may_read));
        if (undo && undo->set != found) // removed, and its id used again, since the undo was found
            return Errno::idrm;
        Errno error{};
        switch (try_locked(*found, ops, undo, sleeper.pid, sleeper.blocked_by, error)) {
        case Tried::failed: return error;
        case Tried::done:
            found->operation_s = now_s();
            if (alters)
                update_locked(*found);
            return {};
        case Tried::blocked: break;
        }
        set = ref(found);
        set->sleepers.push_back(sleeper);
    }
    const WaitResult waited = wait_until(
        sleeper.waitq, "semop", [&] { return sleeper.over.load(std::memory_order_acquire) != 0; }, Interruptible::yes,
        deadline_ns);
    SpinGuard guard(sem_lock); // also: whoever woke us is done with `sleeper`
    if (sleeper.over.load(std::memory_order_relaxed))
        return sleeper.result;
    set->sleepers.erase(sleeper);
    return waited == WaitResult::timed_out ? Errno::again : Errno::intr;
}

namespace {
Result<SemStatus> status_checked(const SemSet* set, bool check) {
    if (!set)
        return Errno::inval;
    if (check)
        TRY(set->owner.check(may_read));
    return SemStatus{set->owner, static_cast<uint32_t>(set->semaphores.size()), set->operation_s, set->change_s};
}
} // namespace

Result<SemStatus> sem_status(int32_t id, bool check) {
    SpinGuard guard(sem_lock);
    return status_checked(sets.find(id), check);
}

Result<SemStatus> sem_status_at(int32_t place, bool check) {
    SpinGuard guard(sem_lock);
    return status_checked(place < 0 ? nullptr : sets.at(static_cast<size_t>(place)), check);
}

Result<void> sem_set(int32_t id, const NewOwner& to) {
    SpinGuard guard(sem_lock);
    SemSet* const set = sets.find(id);
    if (!set)
        return Errno::inval;
    TRY(set->owner.check_change());
    set_owner(set->owner, to);
    set->change_s = now_s();
    return {};
}

Result<void> sem_remove(int32_t id) {
    RefPtr<SemSet> gone; // dropped without the lock
    SpinGuard guard(sem_lock);
    SemSet* const set = sets.find(id);
    if (!set)
        return Errno::inval;
    TRY(set->owner.check_change());
    while (Sleeper* sleeper = set->sleepers.first())
        wake_locked(*set, *sleeper, Errno::idrm);
    while (Undo* undo = set->undos.pop_front())
        undo->set = nullptr; // its owner drops it at its end
    semaphores_of_all -= set->semaphores.size();
    gone = sets.remove(*set);
    set->owner.id = -1;
    return {};
}

Result<int32_t> sem_ask(int32_t id, int32_t number, SemQuestion question) {
    SpinGuard guard(sem_lock);
    SemSet* const set = TRY(find_locked(id, may_read));
    if (number < 0 || static_cast<size_t>(number) >= set->semaphores.size())
        return Errno::inval;
    const Semaphore& semaphore = set->semaphores[static_cast<size_t>(number)];
    if (question == SemQuestion::value)
        return semaphore.value;
    if (question == SemQuestion::last_pid)
        return semaphore.last_pid;
    int32_t waiting = 0;
    for (const Sleeper* s = set->sleepers.first(); s; s = set->sleepers.next(*s)) {
        const SemOp& by = s->ops[s->blocked_by];
        waiting += by.number == number && (by.change == 0) == (question == SemQuestion::waiting_for_zero);
    }
    return waiting;
}

Result<void> sem_set_value(int32_t id, int32_t number, int32_t value) {
    if (value < 0 || value > static_cast<int32_t>(sem_value_most))
        return Errno::range;
    SpinGuard guard(sem_lock);
    SemSet* const set = sets.find(id);
    if (!set || number < 0 || static_cast<size_t>(number) >= set->semaphores.size())
        return Errno::inval;
    TRY(set->owner.check(may_write));
    forget_undo_locked(*set, static_cast<size_t>(number));
    set->semaphores[static_cast<size_t>(number)] = {value, current_proc().pid};
    set->change_s = now_s();
    update_locked(*set);
    return {};
}

Result<uint32_t> sem_count(int32_t id, uint32_t wanted) {
    SpinGuard guard(sem_lock);
    return static_cast<uint32_t>(TRY(find_locked(id, wanted))->semaphores.size());
}

Result<void> sem_get_all(int32_t id, std::span<uint16_t> out) {
    SpinGuard guard(sem_lock);
    SemSet* const set = TRY(find_locked(id, may_read));
    if (set->semaphores.size() != out.size())
        return Errno::idrm;
    for (size_t i = 0; i < out.size(); i++)
        out[i] = static_cast<uint16_t>(set->semaphores[i].value);
    return {};
}

Result<void> sem_set_all(int32_t id, std::span<const uint16_t> values) {
    for (const uint16_t v : values)
        if (v > sem_value_most)
            return Errno::range;
    SpinGuard guard(sem_lock);
    SemSet* const set = TRY(find_locked(id, may_write));
    if (set->semaphores.size() != values.size())
        return Errno::idrm;
    for (size_t i = 0; i < values.size(); i++) {
        set->semaphores[i] = {values[i], current_proc().pid};
        forget_undo_locked(*set, i);
    }
    set->change_s = now_s();
    update_locked(*set);
    return {};
}

SemTotals sem_totals() {
    SpinGuard guard(sem_lock);
    return {sets.used(), semaphores_of_all, sets.last_place()};
}

// ---- the end of processes ----------------------------------------------------------------------------------------------

Result<void> sem_prepare_sharing(Proc& parent) {
    TRY(own_undos(parent));
    return {};
}

void sem_share(Proc& parent, Proc& child) {
    SemUndos* const undos = parent.sem_undos.load(std::memory_order_acquire);
    undos->ref();
    undos->procs.fetch_add(1, std::memory_order_relaxed);
    child.sem_undos.store(undos, std::memory_order_release);
}

void sem_exit(Proc& proc) {
    SemUndos* const undos = proc.sem_undos.exchange(nullptr, std::memory_order_acq_rel);
    if (undos->procs.fetch_sub(1, std::memory_order_acq_rel) == 1)
        for (;;) {
            Undo* undo = nullptr;
            {
                SpinGuard guard(sem_lock);
                undo = undos->list.pop_front();
                if (undo && undo->set) {
                    SemSet& set = *undo->set;
                    set.undos.erase(*undo);
                    for (size_t i = 0; i < set.semaphores.size(); i++)
                        if (undo->changes[i] != 0) {
                            const int32_t value = set.semaphores[i].value + undo->changes[i];
                            set.semaphores[i] = {std::clamp(value, 0, static_cast<int32_t>(sem_value_most)), proc.pid};
                        }
                    update_locked(set);
                }
            }
            if (!undo)
                break;
            zone_delete(undo);
        }
    undos->unref();
}

} // namespace lentil::sysv

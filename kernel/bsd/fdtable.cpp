// SPDX-License-Identifier: BSD-2-Clause
// Descriptor tables. The slots are shared copy-on-write after fork: a copy costs the same whatever is open, and a table
// pays for its own slots at its first change.
#include <algorithm>
#include <bit>
#include <new>

#include <bsd/file_lock.hpp>
#include <bsd/proc.hpp>
#include <sched/waitq.hpp>

namespace lentil {

struct FdTable::Slots : SlotsHead {
    static constexpr uint32_t first_capacity = 56; ///< fills a block of 512 bytes
    static constexpr uint32_t max_capacity = max_descriptors;

    static size_t bytes(uint32_t capacity) {
        return sizeof(Slots) + (capacity + 63) / 64 * 2 * sizeof(uint64_t) + capacity * sizeof(File*);
    }
    static Slots* create(uint32_t capacity) {
        void* memory = kmalloc(bytes(capacity));
        if (!memory)
            return nullptr;
        __builtin_memset(memory, 0, bytes(capacity));
        auto* s = new (memory) Slots;
        s->capacity = capacity;
        s->words = (capacity + 63) / 64;
        s->first = reinterpret_cast<File**>(s->open() + size_t{s->words} * 2);
        return s;
    }
    uint64_t* open() { return reinterpret_cast<uint64_t*>(this + 1); }
    uint64_t* cloexec() { return open() + words; }

    bool is_open(unsigned fd) { return fd < capacity && open()[fd / 64] >> (fd % 64) & 1; }
    static void set(uint64_t* bits, unsigned fd, bool on) {
        const uint64_t bit = uint64_t{1} << (fd % 64);
        bits[fd / 64] = on ? bits[fd / 64] | bit : bits[fd / 64] & ~bit;
    }
    /// Lowest descriptor >= from that is open (closed); capacity if none.
    unsigned find(unsigned from, bool wanted_open) {
        return first_bit(from, [&](unsigned w) { return wanted_open ? open()[w] : ~open()[w]; });
    }
    /// Lowest one >= from that execve closes; capacity if none.
    unsigned find_cloexec(unsigned from) {
        return first_bit(from, [&](unsigned w) { return cloexec()[w]; });
    }
    template<class Word>
    unsigned first_bit(unsigned from, Word word) {
        for (unsigned w = from / 64; w < words; w++) {
            uint64_t bits = word(w);
            if (w == from / 64)
                bits &= ~uint64_t{0} << (from % 64);
            if (bits != 0)
                return std::min(capacity, w * 64 + static_cast<unsigned>(std::countr_zero(bits)));
        }
        return capacity;
    }
    /// A copy of its own for another table; nullptr if there is no memory.
    Slots* copy_without_staying() {
        Slots* fresh = create(capacity);
        for (unsigned fd = find(0, true); fresh && fd < capacity; fd = find(fd + 1, true)) {
            if (files()[fd]->stays_behind)
                continue;
            set(fresh->open(), fd, true);
            set(fresh->cloexec(), fd, cloexec()[fd / 64] >> (fd % 64) & 1);
            fresh->files()[fd] = files()[fd];
            fresh->files()[fd]->ref();
        }
        return fresh;
    }
    void drop() {
        if (refs.fetch_sub(1, std::memory_order_acq_rel) != 1)
            return;
        for (unsigned fd = find(0, true); fd < capacity; fd = find(fd + 1, true)) {
            files()[fd]->descriptor_closed();
            files()[fd]->unref();
        }
        kfree(this, bytes(capacity));
    }
};

namespace {

/// To close a descriptor, or to mark it, may not fail for want of memory, though slots that are shared must be copied
/// first. Somebody will free some; intr only for a caller that is being killed, whose table goes as a whole.
Result<void> wait_for_memory() {
    if (sleep_until(machine::now_ns() + 10'000'000, "memory", Interruptible::killable) == WaitResult::interrupted)
        return Errno::intr;
    return {};
}

void descriptor_closed(FdTable& table, File& file) {
    if (table.may_hold_locks.load(std::memory_order_relaxed) != 0)
        file_locks_closed(table, file);
    file.descriptor_closed();
}

} // namespace

/// Helpers that need the table's lock held.
struct FdTableInternals {
    /// Makes the slots the table's own, with room for `fd`.
    static Result<void> own(FdTable& t, unsigned fd) {
        if (t.slots_->refs.load(std::memory_order_acquire) == 1 && fd < t.slots_->capacity) [[likely]]
            return {};
        return make_own(t, fd);
    }
    [[gnu::noinline]] static Result<void> make_own(FdTable& t, unsigned fd) {
        using Slots = FdTable::Slots;
        Slots* old = t.slots_;
        uint32_t capacity = old->capacity;
        while (capacity <= fd)
            capacity *= 4;
        Slots* fresh = Slots::create(std::min(capacity, Slots::max_capacity));
        if (!fresh)
            return Errno::nomem;
        for (unsigned w = 0; w < old->words; w++) {
            fresh->open()[w] = old->open()[w];
            fresh->cloexec()[w] = old->cloexec()[w];
        }
        for (unsigned i = old->find(0, true); i < old->capacity; i = old->find(i + 1, true)) {
            fresh->files()[i] = old->files()[i];
            fresh->files()[i]->ref();
        }
        fresh->staying = old->staying;
        fresh->lowest = old->lowest;
        t.slots_ = fresh;
        // The files live on in `fresh`, so nothing is destroyed here, whoever drops the old slots last.
        if (old->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            for (unsigned i = old->find(0, true); i < old->capacity; i = old->find(i + 1, true))
                old->files()[i]->unref();
            kfree(old, Slots::bytes(old->capacity));
        }
        return {};
    }
    /// Takes `fd` out of slots that are the table's own.
    static RefPtr<File> remove(FdTable& t, unsigned fd) {
        FdTable::Slots& s = *t.slots_;
        FdTable::Slots::set(s.open(), fd, false);
        FdTable::Slots::set(s.cloexec(), fd, false);
        s.lowest = std::min(s.lowest, fd);
        s.staying -= s.files()[fd]->stays_behind;
        return RefPtr<File>::adopt(std::exchange(s.files()[fd], nullptr));
    }
    static void put(FdTable& t, unsigned fd, RefPtr<File> file, bool close_on_exec) {
        FdTable::Slots& s = *t.slots_;
        FdTable::Slots::set(s.open(), fd, true);
        FdTable::Slots::set(s.cloexec(), fd, close_on_exec);
        s.lowest += s.lowest == fd;
        s.staying += file->stays_behind;
        s.files()[fd] = file.release();
    }
};

Result<RefPtr<FdTable>> FdTable::create() {
    RefPtr<FdTable> table = TRY(make_ref<FdTable>());
    table->slots_ = Slots::create(Slots::first_capacity);
    if (!table->slots_)
        return Errno::nomem;
    return table;
}

void FdTable::clear() {
    if (may_hold_locks.load(std::memory_order_relaxed) != 0) {
        file_locks_forget(this);
        may_hold_locks.store(0, std::memory_order_relaxed);
    }
    if (Slots* slots = std::exchange(slots_, nullptr))
        slots->drop();
    replaced.reset();
}

void FdTable::last_unref() {
    if (!home_)
        return zone_delete(this);
    clear();
    home_->unref();
}

Result<RefPtr<FdTable>> FdTable::copy(Proc* home) {
    RefPtr<FdTable> table = home ? home->house(home->own_fds) : TRY(make_ref<FdTable>());
    MutexGuard guard(lock_);
    if (slots_->staying != 0) [[unlikely]] {
        table->slots_ = slots_->copy_without_staying();
        if (!table->slots_)
            return Errno::nomem;
        return table;
    }
    slots_->refs.fetch_add(1, std::memory_order_relaxed);
    table->slots_ = slots_;
    return table;
}

Result<void> FdTable::prepare_exec() {
    MutexGuard guard(lock_);
    if (slots_->find_cloexec(0) == slots_->capacity)
        return {};
    return FdTableInternals::own(*this, 0);
}

Result<RefPtr<File>> FdTable::get(int fd) {
    MutexGuard guard(lock_);
    if (fd < 0 || !slots_->is_open(static_cast<unsigned>(fd)))
        return Errno::badf;
    return RefPtr<File>(slots_->files()[fd]);
}

Result<FileHold> FdTable::hold_counted(int fd) { return FileHold::counted(TRY(get(fd)).release()); }

int FdTable::install_lowest(File* file, bool close_on_exec, uint64_t limit) {
    const ShortMutexGuard guard(lock_);
    Slots& s = *slots_;
    const unsigned fd = s.lowest;
    if (fd >= s.capacity || fd >= limit || s.files()[fd] || s.refs.load(std::memory_order_acquire) != 1) [[unlikely]]
        return -1;
    s.lowest = fd + 1;
    Slots::set(s.open(), fd, true);
    if (close_on_exec) // one that is free is not marked
        Slots::set(s.cloexec(), fd, true);
    s.staying += file->stays_behind;
    s.files()[fd] = file;
    return static_cast<int>(fd);
}

[[gnu::noinline]] Result<int> FdTable::install_from(RefPtr<File>& file, bool close_on_exec, uint64_t limit, int from) {
    if (from < 0)
        return Errno::inval;
    limit = std::min<uint64_t>(limit, Slots::max_capacity);
    MutexGuard guard(lock_);
    const unsigned first = std::max(static_cast<unsigned>(from), slots_->lowest);
    const unsigned fd = first < slots_->capacity ? slots_->find(first, false) : first;
    if (fd >= limit)
        return Errno::mfile;
    TRY(FdTableInternals::own(*this, fd));
    FdTableInternals::put(*this, fd, std::move(file), close_on_exec);
    if (static_cast<unsigned>(from) <= slots_->lowest)
        slots_->lowest = fd + 1;
    return static_cast<int>(fd);
}

Result<void> FdTable::make_room(uint64_t limit) {
    MutexGuard guard(lock_);
    const unsigned first = slots_->lowest;
    const unsigned fd = first < slots_->capacity && slots_->files()[first] ? slots_->find(first, false) : first;
    if (fd >= std::min<uint64_t>(limit, Slots::max_capacity))
        return Errno::mfile;
    return FdTableInternals::own(*this, fd);
}

Result<void> FdTable::install_at(int fd, RefPtr<File> file, bool close_on_exec, uint64_t limit) {
    const unsigned at = static_cast<unsigned>(fd);
    if (fd < 0 || at >= std::min<uint64_t>(limit, Slots::max_capacity))
        return Errno::badf;
    RefPtr<File> old;
    {
        MutexGuard guard(lock_);
        TRY(FdTableInternals::own(*this, at));
        if (slots_->is_open(at))
            old = FdTableInternals::remove(*this, at);
        FdTableInternals::put(*this, at, std::move(file), close_on_exec);
    }
    if (old)
        descriptor_closed(*this, *old);
    return {};
}

Result<void> FdTable::close(int fd) {
    File* file = nullptr;
    bool own = false;
    {
        const ShortMutexGuard guard(lock_);
        Slots& s = *slots_;
        file = s.find_file(fd);
        if (!file) [[unlikely]]
            return Errno::badf;
        own = s.refs.load(std::memory_order_acquire) == 1;
        if (own) [[likely]]
            (void)FdTableInternals::remove(*this, static_cast<unsigned>(fd)).release();
    }
    if (!own) [[unlikely]]
        return close_shared(fd);
    descriptor_closed(*this, *file);
    file->unref();
    return {};
}

[[gnu::noinline]] Result<void> FdTable::close_shared(int fd) {
    RefPtr<File> file;
    while (!file) {
        {
            MutexGuard guard(lock_);
            if (fd < 0 || !slots_->is_open(static_cast<unsigned>(fd)))
                return Errno::badf;
            if (FdTableInternals::own(*this, 0).ok())
                file = FdTableInternals::remove(*this, static_cast<unsigned>(fd));
        }
        if (!file)
            TRY(wait_for_memory());
    }
    descriptor_closed(*this, *file);
    return {};
}

Result<bool> FdTable::close_on_exec(int fd) {
    MutexGuard guard(lock_);
    if (fd < 0 || !slots_->is_open(static_cast<unsigned>(fd)))
        return Errno::badf;
    return (slots_->cloexec()[fd / 64] >> (fd % 64) & 1) != 0;
}

Result<void> FdTable::set_close_on_exec(int fd, bool on) {
    for (;;) {
        {
            MutexGuard guard(lock_);
            if (fd < 0 || !slots_->is_open(static_cast<unsigned>(fd)))
                return Errno::badf;
            if (FdTableInternals::own(*this, 0).ok()) {
                Slots::set(slots_->cloexec(), static_cast<unsigned>(fd), on);
                return {};
            }
        }
        TRY(wait_for_memory());
    }
}

Result<void> FdTable::close_range(unsigned first, unsigned last, bool only_mark_cloexec) {
    bool owned = true;
    for (unsigned fd = first;; fd++) {
        RefPtr<File> file;
        {
            MutexGuard guard(lock_);
            fd = fd < slots_->capacity ? slots_->find(fd, true) : slots_->capacity;
            if (fd > last || fd >= slots_->capacity)
                return {};
            owned = FdTableInternals::own(*this, 0).ok();
            if (owned && only_mark_cloexec)
                Slots::set(slots_->cloexec(), fd, true);
            else if (owned)
                file = FdTableInternals::remove(*this, fd);
        }
        if (file)
            descriptor_closed(*this, *file);
        if (!owned) {
            TRY(wait_for_memory());
            fd--;
        }
    }
}

void FdTable::close_all_on_exec() {
    for (unsigned fd = 0;;) {
        RefPtr<File> file;
        {
            MutexGuard guard(lock_);
            fd = slots_->find_cloexec(fd);
            if (fd >= slots_->capacity)
                return;
            if (FdTableInternals::own(*this, 0).ok())
                file = FdTableInternals::remove(*this, fd);
        }
        if (file)
            descriptor_closed(*this, *file);
        else
            sleep_until(machine::now_ns() + 10'000'000, "memory", Interruptible::no);
    }
}

int FdTable::next_open(int fd) {
    MutexGuard guard(lock_);
    const unsigned from = static_cast<unsigned>(std::max(fd, 0));
    const unsigned found = from < slots_->capacity ? slots_->find(from, true) : slots_->capacity;
    return found < slots_->capacity ? static_cast<int>(found) : -1;
}

unsigned FdTable::capacity() {
    MutexGuard guard(lock_);
    return slots_->capacity;
}

// ---- directories -----------------------------------------------------------------------------------------------

Result<RefPtr<CwdInfo>> CwdInfo::create(RefPtr<FsNode> root, RefPtr<FsNode> cwd, mode_t umask_value) {
    RefPtr<CwdInfo> info = TRY(make_ref<CwdInfo>());
    info->root_ = std::move(root);
    info->cwd_ = std::move(cwd);
    info->umask.store(umask_value, std::memory_order_relaxed);
    return info;
}

void CwdInfo::renew() {
    renew_count();
    umask.store(022, std::memory_order_relaxed);
}

void CwdInfo::last_unref() {
    if (!home_)
        return zone_delete(this);
    root_.reset();
    cwd_.reset();
    left_.reset();
    home_->unref();
}

Result<RefPtr<CwdInfo>> CwdInfo::copy(Proc* home) {
    RefPtr<CwdInfo> info = home ? home->house(home->own_cwd) : TRY(make_ref<CwdInfo>());
    SpinGuard guard(lock_);
    info->root_ = root_;
    info->cwd_ = cwd_;
    info->umask.store(umask.load(std::memory_order_relaxed), std::memory_order_relaxed);
    return info;
}

RefPtr<FsNode> CwdInfo::root() {
    SpinGuard guard(lock_);
    return root_;
}

RefPtr<FsNode> CwdInfo::cwd() {
    SpinGuard guard(lock_);
    return cwd_;
}

void CwdInfo::set_root(RefPtr<FsNode> node) {
    SpinGuard guard(lock_);
    std::swap(root_, node); // the old one goes after the lock: `guard` is destroyed before the parameter
}

void CwdInfo::set_cwd(RefPtr<FsNode> node) {
    SpinGuard guard(lock_);
    std::swap(cwd_, node);
}

void CwdInfo::replace(FsNode& from, FsNode& to, LeftDirectory& left) {
    SpinGuard guard(lock_);
    for (RefPtr<FsNode>* place : {&root_, &cwd_}) {
        if (place->get() != &from)
            continue;
        *place = RefPtr<FsNode>(&to); // not the last reference that goes
        if (!left_)
            left_ = RefPtr<LeftDirectory>(&left);
    }
}

} // namespace lentil

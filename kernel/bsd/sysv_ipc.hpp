// SPDX-License-Identifier: BSD-2-Clause
// What System V shared memory, semaphores and message queues have in common: keys, ids, owners and permissions.
#pragma once

#include <algorithm>

#include <bsd/proc.hpp>
#include <libkern/format.hpp>
#include <sched/clock.hpp>

namespace lentil::sysv {

/// Flags of the *get calls, Linux values; the low nine bits are permissions.
namespace get_flags {
inline constexpr uint32_t creat = 01000, exclusive = 02000, no_wait = 04000;
}
inline constexpr int32_t private_key = 0;
inline constexpr uint32_t may_read = 0444, may_write = 0222;

/// struct ipc_perm's contents.
struct Owner {
    int32_t key = private_key;
    uid_t uid = 0, cuid = 0;
    gid_t gid = 0, cgid = 0;
    uint32_t mode = 0;
    int32_t id = -1;

    /// Of what the caller makes.
    static Owner of_caller(int32_t key, uint32_t flags);
    /// Whether the caller may do `wanted`, of which the three groups of bits are all looked at: acces.
    Result<void> check(uint32_t wanted) const;
    /// Whether the caller may change or remove it: perm.
    Result<void> check_change() const;
    constexpr uint16_t sequence() const { return static_cast<uint16_t>(static_cast<uint32_t>(id) >> 15); }
};

/// What IPC_SET changes beside numbers of its own.
struct NewOwner {
    uid_t uid;
    gid_t gid;
    uint32_t mode;
};
inline void set_owner(Owner& owner, const NewOwner& to) {
    owner.uid = to.uid;
    owner.gid = to.gid;
    owner.mode = (owner.mode & ~0777u) | (to.mode & 0777);
}

inline int64_t now_s() { return realtime_ns() / 1'000'000'000; }

/// The objects of one kind, by id. An id is a place in the table with a number in front that grows, so that it is not
/// used again soon. Each object in it has one reference for that. All with the kind's lock held.
template<class T>
class Table {
public:
    static constexpr int32_t places_most = 1 << 15, sequence_most = 1 << 16;

    T* find(int32_t id) const {
        if (id < 0)
            return nullptr;
        const auto place = static_cast<size_t>(id % places_most);
        T* const found = place < end_ ? places_[place] : nullptr;
        return found && found->owner.id == id ? found : nullptr;
    }
    T* find_key(int32_t key) const {
        for (size_t i = 0; i < end_; i++)
            if (places_[i] && places_[i]->owner.key == key)
                return places_[i];
        return nullptr;
    }
    /// What is in a place, for SHM_STAT and its like.
    T* at(size_t place) const { return place < end_ ? places_[place] : nullptr; }
    uint32_t used() const { return used_; }
    /// The highest place that is used, -1 if there is none.
    int32_t last_place() const {
        for (size_t i = end_; i > 0; i--)
            if (places_[i - 1])
                return static_cast<int32_t>(i - 1);
        return -1;
    }
    /// More room than this is needed before the next insert; `grow` with memory made without the lock.
    bool is_full() const { return used_ == size_; }
    size_t size() const { return size_; }
    /// Takes `places` (of kmalloc, empty) into use; the old ones, for kfree.
    std::span<T*> grow(std::span<T*> places) {
        const std::span<T*> old(places_, size_);
        std::copy_n(places_, end_, places.data());
        places_ = places.data();
        size_ = places.size();
        return old;
    }
    /// Gives the object its id; takes over the caller's reference.
    void insert(T& object) {
        size_t place = last_ + 1;
        while (place >= size_ || places_[place])
            place = place + 1 >= size_ ? 0 : place + 1;
        if (static_cast<int64_t>(place) <= last_)
            sequence_ = (sequence_ + 1) % sequence_most;
        last_ = static_cast<int64_t>(place);
        places_[place] = &object;
        end_ = place >= end_ ? place + 1 : end_;
        used_++;
        object.owner.id = sequence_ * places_most + static_cast<int32_t>(place);
    }
    /// Takes the object out; its reference goes to the caller.
    RefPtr<T> remove(T& object) {
        places_[static_cast<size_t>(object.owner.id % places_most)] = nullptr;
        if (--used_ == 0) {
            kfree(places_, size_ * sizeof(T*));
            places_ = nullptr;
            size_ = end_ = 0;
        }
        return RefPtr<T>::adopt(&object);
    }

private:
    T** places_ = nullptr;
    size_t size_ = 0, end_ = 0;
    int64_t last_ = -1;
    uint32_t used_ = 0;
    int32_t sequence_ = 0;
};

/// Room for one more in `table`, whose lock is `lock` and not held.
template<class T, Rank R>
Result<void> make_room(Table<T>& table, SpinLock<R>& lock) {
    size_t wanted = 0;
    {
        SpinGuard guard(lock);
        if (!table.is_full())
            return {};
        wanted = table.size() == 0 ? 16 : table.size() * 2;
    }
    if (wanted > Table<T>::places_most)
        return Errno::nospc;
    auto** const memory = static_cast<T**>(kmalloc(wanted * sizeof(T*)));
    if (!memory)
        return Errno::nomem;
    std::span<T*> unused(memory, wanted);
    std::fill(unused.begin(), unused.end(), nullptr);
    {
        SpinGuard guard(lock);
        if (table.size() < wanted)
            unused = table.grow(unused);
    }
    if (!unused.empty())
        kfree(unused.data(), unused.size_bytes());
    return {};
}

} // namespace lentil::sysv

// SPDX-License-Identifier: BSD-2-Clause
// The Mach task: a counted reference to a vm_map and the threads that run in it. Knows nothing of processes.
#pragma once

#include <sched/sched.hpp>
#include <sync/spinlock.hpp>
#include <vm/vm_map.hpp>

namespace lentil {

class Task : public ZonedRefCounted<Task> {
public:
    static constexpr const char* zone_name = "tasks";
    static Result<RefPtr<Task>> create(RefPtr<VmMap> map);

    /// For its own threads: exec replaces the map.
    VmMap& map() const { return *map_.get(); }
    RefPtr<VmMap> map_ref() const {
        SpinGuard guard(lock_);
        return map_;
    }

    /// The map's; for anybody.
    uint64_t peak_resident_bytes() const {
        SpinGuard guard(lock_);
        return map_->peak_resident_bytes();
    }

    /// Puts a thread that does not run yet (or the current one) into the task: its map is what it runs in from now on.
    void adopt(Thread& thread);
    /// Takes a thread out; the caller gives it another task or ends it.
    void remove(Thread& thread);
    /// Gift of a lent thread: moves it to `to`, which shares this task's map, even while it runs.
    void transfer(Thread& thread, Task& to);
    /// exec: the task's only thread, the caller, goes over to `map`; returns the old one, to be dropped by the caller
    /// once nothing needs it.
    RefPtr<VmMap> replace_map(RefPtr<VmMap> map);

    unsigned thread_count() const { return thread_count_.load(std::memory_order_acquire); }

    explicit Task(RefPtr<VmMap> map) : map_(std::move(map)) {}

private:
    mutable SpinLock<Rank::task> lock_;
    RefPtr<VmMap> map_;
    List<Thread, &Thread::task_link> threads_;
    std::atomic<uint32_t> thread_count_{0};
};

/// The current thread leaves its task and runs in the kernel's space from now on: the end of a proc.
void task_leave();

/// Leaves the kernel for the user registers in the current thread's frame, whatever lies on the kernel stack: the first
/// return of a new thread, and the return as somebody else after a loan. Nothing on the stack may own anything.
[[noreturn]] void thread_return_to_user();

/// The map of the calling thread. It must run in a task.
inline VmMap& current_map() { return *current_thread().map; }

} // namespace lentil

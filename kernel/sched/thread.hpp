// SPDX-License-Identifier: BSD-2-Clause
// The Mach thread: a flow of control with a kernel stack. Who it is for user mode (its BSD half) is the uthread it
// executes as; nothing about identity lives here.
#pragma once

#include <atomic>

#include <libkern/intrusive.hpp>
#include <libkern/refptr.hpp>
#include <machine/machine.hpp>
#include <sync/lock_check.hpp>

namespace lentil {

struct Hart;    // sched/hart.hpp
class Task;     // mach/task.hpp: an opaque slot for this layer
struct Uthread; // bsd/uthread.hpp: likewise
class Waitq;

enum class ThreadState : uint32_t {
    embryo,  ///< made, never made runnable
    ready,   ///< on a run queue
    running, ///< on a hart
    waiting, ///< prepared to block, or blocked: a wake-up makes it ready
    dead,    ///< left its last instruction; storage goes with the last reference
};

/// What may end a wait early.
enum class Interruptible : uint32_t {
    no,      ///< only a wake-up or the time limit
    killable,///< a fatal signal too
    yes      ///< any signal that is not blocked
};

enum class WaitResult : uint32_t { awoken, timed_out, interrupted };

/// Scheduling classes and priorities: 0..99 real-time (higher runs first), -20..19 nice for the time-shared rest.
enum class SchedPolicy : uint32_t { other = 0, fifo = 1, round_robin = 2, batch = 3, idle = 5 };

struct SchedParams {
    SchedPolicy policy = SchedPolicy::other;
    int32_t rt_priority = 0; ///< 1..99 for fifo and round_robin
    int32_t nice = 0;        ///< -20..19
    HartSet affinity = HartSet::all();
};

/// Nanoseconds a thread ran, for whoever is charged (see thread_times).
struct CpuTimes {
    nanos_t user = 0;
    nanos_t system = 0;
};

/// A base only so that it comes before the reference count: entry code finds it through the thread register.
struct ThreadHead {
    machine::ThreadArch arch;
};

struct Thread : ThreadHead, RefCounted<Thread> {
    machine::Context context; ///< valid while not running

    // -- identity slots of the layers above; owned and interpreted by them ------------------------------------------
    Uthread* uthread = nullptr;                 ///< who it executes as; nullptr for kernel threads
    Task* task = nullptr;                       ///< whose map it runs in; nullptr for kernel threads
    machine::AddressSpace* space = nullptr;     ///< loaded when it runs; nullptr: kernel_space()
    bool user_frame_replaced = false;           ///< t; the system call in flight wrote the user registers itself

    // -- scheduling: r = run-queue lock of `hart`, t = the thread itself while it runs --------------------------------
    std::atomic<ThreadState> state{ThreadState::embryo};
    std::atomic<Hart*> hart{nullptr};           ///< where it runs, or ran last, or is queued
    SchedParams params;                         ///< r
    ListHook runq_link;                         ///< r
    uint64_t vruntime = 0;                      ///< r; weighted nanoseconds for the fair class
    nanos_t slice_end_ns = 0;                   ///< r
    uint32_t preempt_disabled = 0;              ///< t; kernel preemption is off while > 0
    std::atomic<uint32_t> need_resched{0};      ///< set from anywhere, looked at on the way out of a trap
    std::atomic<uint32_t> on_hart{0};           ///< still using its kernel stack on some hart (switch in progress)

    // -- waiting ----------------------------------------------------------------------------------------------------------
    Interruptible wait_interruptible = Interruptible::no; ///< t, read by thread_interrupt
    std::atomic<uint32_t> interrupt_level{0};   ///< t; 1: a signal pends, 2: a fatal one; set by thread_interrupt
    const char* wait_channel = nullptr;         ///< name for /proc/PID/wchan while waiting

    // -- accounting: charged to the uthread's clock by the hooks of the layer above -----------------------------------------
    nanos_t times_mark_ns = 0;                  ///< t; when the current stretch of user or system time began
    CpuTimes times;                             ///< t
    uint64_t switches_voluntary = 0, switches_involuntary = 0;

    HeldLocks locks;                            ///< lock order checks
    char name[16] = {};                         ///< for kernel threads and panics
    uint64_t id = 0;                            ///< unique number, never reused
    ListHook all_link;                          ///< list of all threads (sched/thread.cpp)
    ListHook task_link;                         ///< Task's list

    static constexpr const char* zone_name = "threads";
    void last_unref();

    /// A thread with a kernel stack that will run `entry(arg)` once thread_start()ed. Counts in threads_created and
    /// kernel_stacks_created. Fails with nomem.
    static Result<RefPtr<Thread>> create(const char* name, void (*entry)(void*), void* arg);
};

inline Thread& current_thread() { return *machine::current_thread(); }

/// Kernel threads: created and started at once; run in kernel_space with interrupts on.
Result<RefPtr<Thread>> kernel_thread_start(const char* name, void (*entry)(void*), void* arg, SchedParams params = {});

/// Calls `visit` for every thread alive, with the list's spin lock held.
void for_each_thread(void (*visit)(Thread&, void* context), void* context);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The Mach thread: a flow of control with a kernel stack. Who it is for user mode (its BSD half) is the uthread it
// executes as; nothing about identity lives here.
#pragma once

#include <atomic>

#include <libkern/intrusive.hpp>
#include <libkern/refptr.hpp>
#include <libkern/word.hpp>
#include <machine/machine.hpp>
#include <sched/params.hpp>
#include <sched/runq.hpp>
#include <sync/lock_check.hpp>

namespace lentil {

struct Hart;    // sched/hart.hpp
class Task;     // mach/task.hpp: an opaque slot for this layer
class VmMap;    // vm/vm_map.hpp: another
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
    no,       ///< only a wake-up or the time limit
    killable, ///< a fatal signal too
    yes       ///< any signal that is not blocked
};

/// Where the scheduler has a thread, whatever its state says.
enum class ThreadPlace : uint32_t {
    none,   ///< blocked for good until woken, not started, or dead
    moving, ///< some hart is putting it on the queue of `hart`, which nobody else may do
    queue,  ///< on the queue of `hart`
    hart,   ///< current on `hart`
};

enum class WaitResult : uint32_t { awoken, timed_out, interrupted };

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
    Uthread* uthread = nullptr;             ///< who it executes as; nullptr for kernel threads
    Task* task = nullptr;                   ///< it belongs to; nullptr for kernel threads
    VmMap* map = nullptr;                   ///< the task's, of which a gift of the running thread changes nothing
    machine::AddressSpace* space = nullptr; ///< loaded when it runs; nullptr: kernel_space()
    bool user_frame_replaced = false;       ///< t; the system call in flight wrote the user registers itself

    // -- scheduling: r = run-queue lock of `hart`, t = the thread itself while it runs --------------------------------
    /// Changed by the thread itself to `waiting` and back to `running`, by wakers from `waiting` (r). A thread preempted
    /// between prepare_wait and thread_block stays `waiting` on its run queue: it goes on when its turn comes.
    Word<ThreadState> state{ThreadState::embryo};
    std::atomic<Hart*> hart{nullptr};      ///< where it runs, or ran last, or is queued; changes under the old one's r
    ThreadPlace place = ThreadPlace::none; ///< r
    SchedParams params;                    ///< r
    SchedEntity sched;                     ///< r
    uint32_t preempt_disabled = 0;         ///< t; kernel preemption is off while > 0
    Word<uint32_t> need_resched{0};        ///< set by its own hart, looked at on the way out of a trap

    // -- waiting ----------------------------------------------------------------------------------------------------------
    Word<Interruptible> wait_interruptible{Interruptible::no}; ///< t, read by thread_interrupt
    std::atomic<uint32_t> interrupt_level{0}; ///< t; 1: a signal pends, 2: a fatal one; set by thread_interrupt
    const char* wait_channel = nullptr;       ///< name for /proc/PID/wchan while waiting

    // -- accounting: charged to the uthread's clock by the hooks of the layer above -----------------------------------------
    /// Ticks on a hart, less by the time counter (and so negative) while it is on one. Written by the thread (or the switch
    /// to it) alone, read by others through thread_times(): see there. The part of it spent in the kernel is
    /// arch.system_ticks.
    Word<int64_t> times_total{0};
    Word<uint32_t> times_takes{0};                                        ///< odd while both sums begin anew
    std::atomic<uint64_t> switches_voluntary{0}, switches_involuntary{0}; ///< written by its hart alone

    void (*entry)(void*) = nullptr; ///< what create() was given
    void* entry_argument = nullptr;
    void* stack_top = nullptr; ///< kernel stack; nullptr for the idle threads, which use the boot stacks
    bool is_idle = false;
    [[no_unique_address]] HeldLocks locks; ///< lock order checks
    alignas(uint64_t) char name[16] = {};  ///< for kernel threads and panics
    uint64_t id = 0;                       ///< unique number, never reused
    DlistLinks<Thread> all_link;           ///< list of all threads (sched/thread.cpp)
    ListHook task_link;                    ///< Task's list

    static constexpr const char* zone_name = "threads";
    /// Frees thread and stack; interrupts may be off (after the switch away from a dead thread), so nothing below sleeps.
    void last_unref();

    /// A thread with a kernel stack that will run `entry(arg)` once thread_start()ed. Counts in threads_created and
    /// kernel_stacks_created. Fails with nomem.
    static Result<RefPtr<Thread>> create(const char* name, void (*entry)(void*), void* arg);
};

inline Thread& current_thread() { return *machine::current_thread(); }

/// Kernel threads: created and started at once; run in kernel_space with interrupts on.
Result<RefPtr<Thread>> kernel_thread_start(const char* name, void (*entry)(void*), void* arg, SchedParams params = {});

/// What vm/ gives the scheduler at boot: it lies above, so the scheduler cannot name its zones.
struct SchedMemory {
    void* (*allocate_thread)() = nullptr; ///< storage for one Thread, aligned for it; nullptr if memory is out
    void (*free_thread)(void*) = nullptr;
    Result<void*> (*allocate_stack)() = nullptr; ///< returns the top
    void (*free_stack)(void* top) = nullptr;
    size_t stack_size = 0;
};
/// Before the first Thread::create. May be called with interrupts off; the functions must not sleep.
void sched_set_memory(const SchedMemory& memory);

struct ThreadCounters {
    std::atomic<uint64_t> threads_created{0}, threads_alive{0}, kernel_stacks_created{0}, kernel_stacks_alive{0};
};
extern ThreadCounters thread_counters;

/// Calls `visit` for every thread alive, with the list's spin lock held. One whose last reference is going may be among
/// them: RefCounted::try_ref() before keeping it.
void for_each_thread(void (*visit)(Thread&, void* context), void* context);

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Making and freeing threads, and the list of all of them.
#include <cstring>
#include <new>

#include <sched/clock.hpp>
#include <sched/hart.hpp>
#include <sched/sched_internal.hpp>
#include <sched/thread.hpp>

namespace lentil {

constinit ThreadCounters thread_counters;

namespace {

constinit SchedMemory memory;
constinit std::atomic<uint64_t> next_id{1};
constinit SpinLock<Rank::thread_list> list_lock;
constinit Dlist<Thread, &Thread::all_link> all_threads;
/// The boot hart's idle thread is made before the zones can be relied on.
alignas(Thread) constinit unsigned char boot_idle_storage[sizeof(Thread)] = {};
constinit bool boot_idle_taken = false;

void set_name(Thread& thread, const char* name) {
    size_t n = 0;
    for (; name[n] != 0 && n < sizeof thread.name - 1; n++)
        thread.name[n] = name[n];
    thread.name[n] = 0;
}

Thread& construct(void* storage, const char* name) {
    Thread& thread = *new (storage) Thread;
    thread.id = next_id.fetch_add(1, std::memory_order_relaxed);
    thread.sched.thread = &thread;
    set_name(thread, name);
    return thread;
}

} // namespace

void sched_set_memory(const SchedMemory& m) { memory = m; }

Result<RefPtr<Thread>> Thread::create(const char* name, void (*entry)(void*), void* arg) {
    void* const storage = memory.allocate_thread();
    if (!storage)
        return Errno::nomem;
    Result<void*> stack = memory.allocate_stack();
    if (!stack) {
        memory.free_thread(storage);
        return stack.error();
    }
    Thread& thread = construct(storage, name);
    thread.stack_top = *stack;
    thread.entry = entry;
    thread.entry_argument = arg;
    thread.arch.set_stack(static_cast<char*>(*stack) - memory.stack_size, *stack);
    thread.context.init(*stack, thread_trampoline, &thread);
    thread_counters.threads_created.fetch_add(1, std::memory_order_relaxed);
    thread_counters.threads_alive.fetch_add(1, std::memory_order_relaxed);
    thread_counters.kernel_stacks_created.fetch_add(1, std::memory_order_relaxed);
    thread_counters.kernel_stacks_alive.fetch_add(1, std::memory_order_relaxed);
    SpinGuard guard(list_lock);
    all_threads.push_back(thread);
    return RefPtr<Thread>::adopt(&thread);
}

void Thread::last_unref() {
    // Never started, or switched away from for the last time: nobody is on its stack.
    const ThreadState now = state.load(std::memory_order_relaxed);
    ASSERT(now == ThreadState::embryo || now == ThreadState::dead);
    {
        SpinGuard guard(list_lock);
        all_threads.erase(*this);
    }
    memory.free_stack(stack_top);
    thread_counters.kernel_stacks_alive.fetch_sub(1, std::memory_order_relaxed);
    thread_counters.threads_alive.fetch_sub(1, std::memory_order_relaxed);
    this->~Thread();
    memory.free_thread(this);
}

Thread& thread_make_idle(Hart& hart) {
    void* storage = boot_idle_storage;
    if (boot_idle_taken)
        storage = memory.allocate_thread();
    else
        boot_idle_taken = true; // the boot hart comes first, alone
    if (!storage)
        panic("no memory for an idle thread");
    Thread& idle = construct(storage, "idle");
    idle.is_idle = true;
    idle.preempt_disabled = 1; // its loop gives way by itself
    idle.state.store(ThreadState::running, std::memory_order_relaxed);
    idle.place = ThreadPlace::hart;
    idle.hart.store(&hart, std::memory_order_relaxed);
    idle.sched.affinity = HartSet::of(hart.index);
    // Until now the hart ran on an arch's boot thread, of which only the arch's part exists.
    idle.arch.take_stack(*reinterpret_cast<const machine::ThreadArch*>(machine::current_thread()));
    const uint64_t now = machine::ticks();
    idle.times_total.store(-static_cast<int64_t>(now), std::memory_order_relaxed);
    idle.arch.system_ticks.store(-static_cast<int64_t>(now), std::memory_order_relaxed);
    return idle;
}

Result<RefPtr<Thread>> kernel_thread_start(const char* name, void (*entry)(void*), void* arg, SchedParams params) {
    RefPtr<Thread> thread = TRY(Thread::create(name, entry, arg));
    thread_set_params(*thread, params);
    thread_start(*thread);
    return thread;
}

void for_each_thread(void (*visit)(Thread&, void* context), void* context) {
    SpinGuard guard(list_lock);
    for (Thread* t = all_threads.first(); t; t = t->all_link.next)
        visit(*t, context);
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
#include <mach/task.hpp>

namespace lentil {

Result<RefPtr<Task>> Task::create(RefPtr<VmMap> map) { return make_ref<Task>(std::move(map)); }

void Task::adopt(Thread& thread) {
    {
        SpinGuard guard(lock_);
        ASSERT(thread.task == nullptr);
        threads_.push_back(thread);
        thread_count_.fetch_add(1, std::memory_order_release);
        thread.task = this;
        thread.map = map_.get();
    }
    // With interrupts off this hart cannot switch to the thread between the store and the load of the new space.
    IrqGuard irq;
    thread.space = &map_->pmap().space();
    if (&thread == machine::current_thread())
        machine::activate(*thread.space);
}

void Task::remove(Thread& thread) {
    SpinGuard guard(lock_);
    ASSERT(thread.task == this);
    threads_.erase(threads_.iterator_to(thread));
    thread_count_.fetch_sub(1, std::memory_order_release);
    thread.task = nullptr;
    thread.map = nullptr;
}

void Task::transfer(Thread& thread, Task& to) {
    ASSERT(map_ == to.map_);
    {
        SpinGuard guard(lock_);
        ASSERT(thread.task == this);
        threads_.erase(threads_.iterator_to(thread));
        thread_count_.fetch_sub(1, std::memory_order_release);
    }
    SpinGuard guard(to.lock_);
    to.threads_.push_back(thread);
    to.thread_count_.fetch_add(1, std::memory_order_release);
    // The thread may be running meanwhile. It looks at `map` alone, which stays, until it knows of its new task.
    thread.task = &to;
}

RefPtr<VmMap> Task::replace_map(RefPtr<VmMap> map) {
    Thread& self = current_thread();
    ASSERT(self.task == this && thread_count() == 1);
    IrqGuard irq;
    {
        SpinGuard guard(lock_);
        std::swap(map_, map);
    }
    self.map = map_.get();
    self.space = &map_->pmap().space();
    machine::activate(*self.space);
    return map;
}

void thread_return_to_user() {
    Thread& self = current_thread();
    machine::irq_disable();
    machine::enter_user(machine::user_frame(self.arch));
}

void task_leave() {
    Thread& self = current_thread();
    if (self.task)
        self.task->remove(self);
    IrqGuard irq;
    self.space = nullptr;
    machine::activate(machine::kernel_space());
}

} // namespace lentil

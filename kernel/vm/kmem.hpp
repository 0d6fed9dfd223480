// SPDX-License-Identifier: BSD-2-Clause
// The kernel's own mappings: stacks with guard pages, and large buffers that need not be physically contiguous.
#pragma once

#include <libkern/result.hpp>

namespace lentil {

inline constexpr size_t kernel_stack_size = 16384;

/// Memory system start-up: pages, zones, the kmem window; hands stacks to sched/. Called once on the boot hart.
void vm_init();

/// A kernel stack with an unmapped page below it; returns its top. Counted in kernel_stacks_created.
Result<void*> kernel_stack_allocate();
void kernel_stack_free(void* top);

/// `size` bytes of zeroed kernel memory, page-granular.
Result<void*> kmem_alloc(size_t size);
void kmem_free(void* start, size_t size);

uint64_t kernel_stacks_created();
uint64_t kernel_stacks_in_use();

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Translations of the kernel's own window, where stacks and large buffers live. One implementation walks page
// tables (kernel_pmap.cpp); a host program has no such tables and brings its own (arch/host).
#pragma once

#include <vm/page.hpp>

namespace lentil {

struct KernelWindow {
    vaddr_t start = 0;
    uint64_t size = 0;
};
/// Fixed from kernel_pmap_init() on.
extern KernelWindow kernel_window;

inline bool in_kernel_window(const void* p) {
    return reinterpret_cast<vaddr_t>(p) - kernel_window.start < kernel_window.size;
}

/// Makes the window's upper tables, which every later root table shares. Called once, before the first Pmap.
void kernel_pmap_init();

/// Readable and writable mapping of one page of the window, to a page that the caller keeps. Callers hold the
/// kmem lock. nomem for a table.
Result<void> kernel_map(vaddr_t va, VmPage* page);
/// Removes one; returns its page. The caller shoots the range down before the page or the address is used
/// again.
VmPage* kernel_unmap(vaddr_t va);

} // namespace lentil

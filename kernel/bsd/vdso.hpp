// SPDX-License-Identifier: BSD-2-Clause
// The vDSO: pages that every process sees, with code that user mode runs instead of asking the kernel (user/vdso). The
// code's page, which is a process's own once a debugger or a single step writes to it, and the clock page behind it.
#pragma once

#include <sched/clock_page.h>
#include <vm/vm_object.hpp>

namespace lentil {

inline constexpr uint64_t vdso_bytes = 2 * page_size;

/// Makes the pages; the clocks are set by then or later. Once, at boot.
void vdso_init();
/// What user mode reads there; nullptr until vdso_init.
lentil_clock_page* vdso_page();
/// What exec maps at VmMap::layout.vdso; it stays.
VmObject* vdso_object();

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The harts: their arch data, stacks and state. Shared by the files of arch/riscv only.
#pragma once

#include <machine/machine.hpp>

namespace lentil::machine {

extern HartArch hart_table[max_harts];
/// Harts that run the kernel: targets of kernel-wide shoot-downs and of a halt.
extern AtomicHartSet online_harts;

/// Physical address of an object in the kernel image.
paddr_t image_pa(const void* p);

/// Makes stacks and boot threads of every hart in boot_info.harts. Panics if there is no memory for them.
void harts_init();
/// Top of a hart's boot stack.
void* boot_stack_top(unsigned index);
/// Interrupt sources, user-visible counters and translation state of the running hart; it is online afterwards.
void hart_init_self();

/// From the device tree; before hart_init_self.
void time_init(uint64_t ticks_per_second, bool sstc);
void timer_init_self();
/// Whether it has ASIDs; after what is known of its errata.
void tlb_init_self(HartArch& hart);
/// What cbo.zero fills, in bytes; 0: not every hart has it. Before the first page is zeroed.
void zero_page_init(uint64_t block);
void fixups_check(); ///< that their order is what a search takes it for

/// Which other part of the machine may save and restore floating-point registers: all harts have F and D.
extern bool has_fp;
/// Loads the registers or leaves the unit off, as the frame says. Interrupts disabled, on the way to user mode.
void fp_enter_user(ThreadArch& ta, Trapframe& frame);
/// An illegal instruction with the unit off: turns it on. False if it was not that.
bool fp_first_use(Trapframe& frame);

/// The interrupt of scause code 1: takes what ipi_send left.
void ipi_receive();

[[noreturn]] void halt_forever();

} // namespace lentil::machine

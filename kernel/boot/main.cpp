// SPDX-License-Identifier: BSD-2-Clause
// kernel_main: where the machine-independent kernel starts.
#include <libkern/format.hpp>
#include <machine/machine.hpp>
#include <platform/platform.hpp>

using namespace lentil;

extern "C" [[noreturn]] void secondary_main(unsigned index) {
    kprint("lentil: hart {} is up (id {})\n", index, machine::boot_info.harts[index].id);
    machine::irq_enable();
    for (;;)
        machine::wait_for_interrupt();
}

extern "C" [[noreturn]] void kernel_main() {
    const machine::BootInfo& info = machine::boot_info;
    kprint("lentil: {}, {} harts, boot hart {}\n", info.model, info.hart_count, info.harts[info.boot_hart].id);
    kprint("lentil: isa {}, hwcap {:#x}\n", info.harts[0].isa, info.hwcap);
    for (unsigned i = 0; i < info.memory_count; i++)
        kprint("memory   {:#x} + {:#x}\n", info.memory[i].start, info.memory[i].size);
    for (unsigned i = 0; i < info.reserved_count; i++)
        kprint("reserved {:#x} + {:#x}\n", info.reserved[i].start, info.reserved[i].size);
    platform::probe_devices();
    machine::hooks.external_interrupt = platform::handle_external_interrupt;
    platform::console().set_input_handler([](char c) { kprint("got {}\n", c); });
    kprint("wall clock {} s\n", platform::wall_clock_ns() / 1000000000);
    kprint("command line: {}\n", info.command_line);
    static constinit int timers = 0;
    machine::hooks.timer_interrupt = [] {
        kprint("timer at {} ms\n", machine::now_ns() / 1000000);
        if (++timers < 3)
            machine::timer_arm(machine::now_ns() + 100000000);
    };
    machine::hooks.ipi = [](machine::Ipi r) { kprint("ipi {} on {}\n", r, machine::hart_index()); };
    for (unsigned i = 0; i < info.hart_count; i++)
        if (i != info.boot_hart && !machine::hart_start(i))
            kprint("lentil: hart {} does not start\n", i);
    machine::irq_enable();
    machine::timer_arm(machine::now_ns() + 100000000);
    while (timers < 2)
        machine::wait_for_interrupt();
    machine::ipi_send(HartSet((1 << info.hart_count) - 1), machine::Ipi::reschedule);
    machine::tlb_shootdown_kernel(0xffffffe000000000, 4096);
    machine::sync_instructions(HartSet::all());
    if (std::string_view(info.command_line).find("panic=test") != std::string_view::npos)
        *reinterpret_cast<volatile int*>(0x1234) = 1;
    while (timers < 3)
        machine::wait_for_interrupt();
    machine::power(machine::PowerAction::off);
}

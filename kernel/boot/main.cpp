// SPDX-License-Identifier: BSD-2-Clause
// kernel_main: where the machine-independent kernel starts.
#include <string_view>

#include <debug/panic_test.hpp>
#include <libkern/format.hpp>
#include <machine/machine.hpp>
#include <platform/platform.hpp>
#include <sched/clock.hpp>
#include <sched/sched.hpp>
#include <sched/selftest.hpp>
#include <vm/kmem.hpp>

using namespace lentil;

namespace {

bool has_word(std::string_view word) {
    std::string_view line = machine::boot_info.command_line;
    while (!line.empty()) {
        const size_t end = line.find(' ');
        if (line.substr(0, end) == word)
            return true;
        line.remove_prefix(end == line.npos ? line.size() : end + 1);
    }
    return false;
}

} // namespace

extern "C" [[noreturn]] void secondary_main(unsigned index) {
    sched_init_hart(index);
    sched_idle();
}

extern "C" [[noreturn]] void kernel_main() {
    const machine::BootInfo& info = machine::boot_info;
    kprint("lentil: {}, {} harts, boot hart {}\n", info.model, info.hart_count, info.harts[info.boot_hart].id);
    kprint("lentil: isa {}, hwcap {:#x}\n", info.harts[0].isa, info.hwcap);
    vm_init();
    clock_init();
    sched_init_hart(info.boot_hart);
    machine::hooks.timer_interrupt = sched_timer_interrupt;
    machine::hooks.ipi = sched_ipi;
    machine::hooks.kernel_preempt = sched_kernel_preempt;
    platform::probe_devices();
    machine::hooks.external_interrupt = platform::handle_external_interrupt;
    set_realtime_ns(platform::wall_clock_ns());
    for (unsigned i = 0; i < info.hart_count; i++)
        if (i != info.boot_hart && !machine::hart_start(i))
            kprint("lentil: hart {} does not start\n", i);
    panic_test(info.command_line);
    if (has_word("selftest=sched"))
        (void)MUST(kernel_thread_start("selftest", sched_selftest, nullptr)); // memory is fresh
    sched_idle();
}

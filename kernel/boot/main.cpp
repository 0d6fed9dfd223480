// SPDX-License-Identifier: BSD-2-Clause
// kernel_main: reads like a table of contents. The boot flow of control brings up what cannot sleep and becomes the boot
// hart's idle thread; a kernel thread does the rest and makes init.
#include <lentil_version.hpp>

#include <abi/sys_mem.hpp>
#include <boot/cmdline.hpp>
#include <boot/init_process.hpp>
#include <boot/user_traps.hpp>
#include <bsd/exec.hpp>
#include <bsd/proc.hpp>
#include <bsd/random.hpp>
#include <bsd/tty.hpp>
#include <bsd/vdso.hpp>
#include <bsd/vfork.hpp>
#include <debug/log.hpp>
#include <debug/panic.hpp>
#include <debug/panic_test.hpp>
#include <debug/trace.hpp>
#include <libkern/format.hpp>
#include <platform/platform.hpp>
#include <sched/clock.hpp>
#include <sched/hart.hpp>
#include <sched/sched.hpp>
#include <sched/selftest.hpp>
#include <vfs/mount.hpp>
#include <vm/first_use.hpp>
#include <vm/kmem.hpp>
#include <vm/page.hpp>

namespace lentil {
namespace {

/// The few calls from below into higher layers.
void install_hooks() {
    install_user_traps();
    machine::hooks.timer_interrupt = sched_timer_interrupt;
    machine::hooks.ipi = sched_ipi;
    machine::hooks.kernel_preempt = sched_kernel_preempt;
    machine::hooks.external_interrupt = platform::handle_external_interrupt;
    panic_describe_process = [](std::span<char> buffer) -> std::string_view {
        const Thread* thread = machine::current_thread();
        if (!thread->uthread)
            return format_to(buffer, "kernel thread {}", std::string_view(thread->name));
        const Proc& proc = *thread->uthread->proc;
        const size_t length =
            format_to(buffer, "process {} ({}), thread {}", proc.pid, std::string_view(proc.comm), thread->uthread->tid)
                .size();
        const pid_t lender = loan_lender_at_panic(proc);
        if (lender == 0)
            return {buffer.data(), length};
        return {buffer.data(), length + format_to(buffer.subspan(length), ", lent by {}", lender).size()};
    };
}

/// The console's terminal talks through the board's console.
void connect_console() {
    console_tty().attach([](void*, std::string_view bytes) { platform::console().write(bytes); }, nullptr);
    platform::console().set_input_handler([](char c) { console_tty().input({&c, 1}); });
}

void start_other_harts() {
    const machine::BootInfo& info = machine::boot_info;
    for (unsigned i = 0; i < info.hart_count; i++)
        if (i != info.boot_hart && !machine::hart_start(i).ok())
            kprint("lentil: hart {} (id {}) does not start\n", i, info.harts[i].id);
}

/// What may sleep: file systems, the initramfs, the first process.
void finish_boot(void*) {
    vdso_init();
    abi::hwprobe_publish();
    loan_init();
    mount_start_sweeper();
    if (const std::string_view wanted = cmdline_value("trace"); !wanted.empty() && !trace_configure(wanted).ok())
        kprint("lentil: trace={}: no such probe, or no memory\n", wanted);
    if (cmdline_value("selftest") == "sched")
        sched_selftest(nullptr);
    start_init();
}

} // namespace
} // namespace lentil

using namespace lentil;

extern "C" [[noreturn]] void kernel_main() {
    const machine::BootInfo& info = machine::boot_info;
    cmdline_init();
    log_set_quiet(cmdline_has("quiet"));
    kprint("{} on {}, {} hart{}\n", version_string, info.model, info.hart_count, info.hart_count == 1 ? "" : "s");
    if (cmdline_has("norandmaps"))
        randomize_va_space = 0;
    vm_init();
    first_use_choose(cmdline_has("ad_faults"));
    if (first_use_faults)
        kprint("ad_faults: user pages fault at their first access and at their first write\n");
    sched_init_hart(info.boot_hart);
    clock_init();
    install_hooks();
    platform::console_prefer(cmdline_value("console"));
    platform::probe_devices();
    if (const nanos_t now = platform::wall_clock_ns(); now != 0)
        set_realtime_ns(now);
    random_init();
    random_set_source(platform::entropy_ask);
    platform::entropy_connect(random_stir);
    proc_init();
    tty_init();
    connect_console();
    const PageCounts pages = page_counts();
    kprint("memory: {} KiB free of {} KiB\n", pages.free * (page_size / 1024), pages.total * (page_size / 1024));
    start_other_harts();
    panic_test(info.command_line);
    if (!kernel_thread_start("boot", finish_boot, nullptr).ok())
        panic("no memory for the boot thread");
    sched_idle();
}

extern "C" [[noreturn]] void secondary_main(unsigned index) {
    sched_init_hart(index);
    platform::hart_is_up();
    abi::hwprobe_publish();
    sched_idle();
}

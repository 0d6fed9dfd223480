// SPDX-License-Identifier: BSD-2-Clause
// The boot hart's way from boot.S to kernel_main.
#include <riscv/hart.hpp>
#include <riscv/sbi.hpp>

#include <debug/log.hpp>
#include <debug/panic.hpp>
#include <libkern/format.hpp>
#include <platform/boot_memory.hpp>
#include <platform/boot_tree.hpp>
#include <platform/platform.hpp>

extern "C" [[noreturn]] void kernel_main();
extern "C" [[noreturn]] void riscv_call_on(void* stack_top, void (*function)());
extern "C" const char __image_start[], __image_end[];

namespace lentil::machine {

constinit Hooks hooks;
constinit BootInfo boot_info;

extern "C" {
constinit uint64_t riscv_kernel_satp = 0;
/// A page for the thread object that stands in until the device tree has told which hart this is.
alignas(page_size) constinit char riscv_first_thread[page_size] = {};
}

namespace {

constexpr size_t largest_device_tree = 4 << 20;
/// Extensions F and D in AT_HWCAP's form.
constexpr uint64_t fp_capabilities = 1 << ('f' - 'a') | 1 << ('d' - 'a');

constinit HartArch first_hart;
constinit paddr_t image_base = 0;

void check(const char* complaint) {
    if (!complaint)
        return;
    panic_activity = nullptr; // the complaint says it
    panic(complaint);
}

/// What no hart can work without. Single features that may be missing are asked for where they are used.
void check_firmware() {
    using sbi::Extension;
    for (const Extension needed : {Extension::timer, Extension::ipi, Extension::rfence, Extension::hsm})
        if (!sbi::has(needed))
            panic("the firmware lacks an SBI extension: one of TIME, IPI, RFENCE, HSM");
}

/// Firmware that reserves nothing below the image does not say where it lives itself: all of that memory is left to it.
void reserve_silent_firmware(paddr_t image) {
    for (unsigned m = 0; m < boot_info.memory_count; m++) {
        const MemoryRange memory = boot_info.memory[m];
        if (image <= memory.start || image - memory.start >= memory.size)
            continue;
        for (unsigned i = 0; i < boot_info.reserved_count; i++)
            if (boot_info.reserved[i].start < image &&
                boot_info.reserved[i].start + boot_info.reserved[i].size > memory.start)
                return;
        platform::boot_memory_reserve(boot_info, memory.start, image - memory.start);
    }
}

/// The rest of the start, on the boot hart's own stack and thread.
[[noreturn]] void boot_on_own_stack() {
    hart_init_self();
    kernel_main();
}

} // namespace

paddr_t image_pa(const void* p) { return reinterpret_cast<uint64_t>(p) - IMAGE_BASE + image_base; }

extern "C" [[noreturn]] void riscv_boot(uint64_t hart_id, paddr_t tree_address, paddr_t image) {
    log_attach(sbi::console_write);
    image_base = image;
    ThreadArch& first = *new (riscv_first_thread) ThreadArch;
    first.hart = &first_hart;
    first_hart.id = hart_id;
    first_hart.emergency_top = reinterpret_cast<uint64_t>(riscv_first_thread + page_size);

    check_firmware();
    if (tree_address == 0 || tree_address % 8 != 0 || tree_address >= direct_map_size - largest_device_tree)
        panic("there is no device tree: the firmware passed no usable address in a1");
    platform::DeviceTree& tree = platform::device_tree();
    panic_activity = "reading the device tree";
    check(tree.open(direct_map(tree_address), largest_device_tree));
    platform::probe_early_devices();
    platform::TreeFacts facts;
    check(platform::read_boot_tree(tree, hart_id, direct_map_size, boot_info, facts));
    panic_activity = nullptr;
    if (facts.lesser_harts != 0)
        kprint("harts left alone, for they lack what the boot hart has: {}\n", facts.lesser_harts);
    reserve_silent_firmware(image);
    platform::boot_memory_reserve(boot_info, image, static_cast<uint64_t>(__image_end - __image_start));
    platform::boot_memory_reserve(boot_info, tree_address, tree.size());

    time_init(facts.ticks_per_second, facts.sstc);
    zero_page_init(facts.zero_block);
    fixups_check();
    has_fp = (boot_info.hwcap & fp_capabilities) == fp_capabilities;
    harts_init();
    asm volatile("mv tp, %0" ::"r"(boot_thread(boot_info.boot_hart)) : "memory");
    riscv_call_on(boot_stack_top(boot_info.boot_hart), boot_on_own_stack);
}

} // namespace lentil::machine

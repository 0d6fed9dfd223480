// SPDX-License-Identifier: BSD-2-Clause
// The boot hart's way from boot.S to kernel_main.
#include <riscv/boot.hpp>

#include <libkern/assert.hpp>
#include <libkern/format.hpp>
#include <riscv/sbi.hpp>

extern "C" [[noreturn]] void kernel_main();

namespace lentil::machine {

constinit Hooks hooks;
constinit BootInfo boot_info;

extern "C" {
constinit uint64_t riscv_kernel_satp = 0;
/// Stands in until the device tree has told which hart this is.
constinit ThreadArch riscv_first_thread;
}

namespace {
constinit HartArch first_hart;
constinit paddr_t image_base = 0;
} // namespace

paddr_t image_pa(const void* p) { return reinterpret_cast<uint64_t>(p) - IMAGE_BASE + image_base; }

extern "C" [[noreturn]] void riscv_boot(uint64_t hart_id, paddr_t device_tree, paddr_t image) {
    image_base = image;
    riscv_first_thread.hart = &first_hart;
    first_hart.id = hart_id;
    kprint("lentil: hart {}, device tree at {:#x}, image at {:#x}\n", hart_id, device_tree, image);
    kernel_main();
}

extern "C" [[noreturn]] void riscv_secondary() { panic("not yet"); }

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// Harts: stacks with guard pages, start through SBI HSM, set-up of the running one.
#include <algorithm>
#include <cstring>
#include <riscv/errata.hpp>
#include <riscv/hart.hpp>
#include <riscv/sbi.hpp>

#include <libkern/assert.hpp>
#include <platform/boot_memory.hpp>

extern "C" [[noreturn]] void secondary_main(unsigned index);
extern "C" uint64_t riscv_kernel_satp;
extern "C" void riscv_secondary_entry();

namespace lentil::machine {

constinit HartArch hart_table[max_harts];
constinit AtomicHartSet online_harts;

namespace {
constinit HartIdentity identities[max_harts];
}
const HartIdentity& hart_identity(unsigned index) { return identities[index]; }

namespace {

// One hart area: guard page, emergency stack, guard page, boot stack, boot thread.
constexpr vaddr_t emergency_at = page_size;
constexpr vaddr_t stack_at = emergency_at + EMERGENCY_STACK_SIZE + page_size;
constexpr vaddr_t thread_at = stack_at + BOOT_STACK_SIZE;
static_assert(thread_at + page_size <= HART_AREA_SIZE);

vaddr_t area(unsigned index) { return HART_AREA_BASE + vaddr_t{HART_AREA_SIZE} * index; }

/// What a starting hart reads before it has translation; boot.S knows the layout.
struct SecondaryStart {
    Thread* thread = nullptr;
    void* stack_top = nullptr;
    uint64_t hart_id = ~uint64_t{0};
};
static_assert(sizeof(SecondaryStart) == 24 && MAX_HARTS == max_harts);
extern "C" {
constinit SecondaryStart riscv_secondary_start[max_harts];
}

/// The lowest tables of the hart areas exist since early_map.cpp.
void map_area(vaddr_t start, uint64_t size) {
    const paddr_t memory = platform::boot_memory_take(size);
    std::memset(direct_map(memory), 0, size);
    for (uint64_t at = 0; at < size; at += page_size) {
        paddr_t table = (riscv_kernel_satp & riscv::satp_ppn_mask) << page_shift;
        for (unsigned level = Pte::levels - 1; level > 0; level--)
            table = static_cast<Pte*>(direct_map(table))[Pte::index(start + at, level)].address();
        static_cast<Pte*>(direct_map(table))[Pte::index(start + at, 0)] =
            Pte::leaf(memory + at, Prot::read | Prot::write, false);
    }
}

} // namespace

Thread* boot_thread(unsigned index) { return reinterpret_cast<Thread*>(area(index) + thread_at); }

void* boot_stack_top(unsigned index) { return reinterpret_cast<void*>(area(index) + stack_at + BOOT_STACK_SIZE); }

void harts_init() {
    for (unsigned i = 0; i < boot_info.hart_count; i++) {
        map_area(area(i) + emergency_at, EMERGENCY_STACK_SIZE);
        map_area(area(i) + stack_at, BOOT_STACK_SIZE + page_size);
    }
    asm volatile("sfence.vma" ::: "memory");
    for (unsigned i = 0; i < boot_info.hart_count; i++) {
        hart_table[i].index = i;
        hart_table[i].id = boot_info.harts[i].id;
        hart_table[i].emergency_top = area(i) + emergency_at + EMERGENCY_STACK_SIZE;
        hart_table[i].space = &kernel_space();
        ThreadArch& ta = *new (boot_thread(i)) ThreadArch;
        ta.hart = &hart_table[i];
        ta.set_stack(reinterpret_cast<void*>(area(i) + stack_at), boot_stack_top(i));
        riscv_secondary_start[i] = {boot_thread(i), boot_stack_top(i), boot_info.harts[i].id};
    }
}

void hart_init_self() {
    using namespace riscv;
    HartArch& hart = this_hart();
    HartIdentity& self = identities[hart.index];
    self = {sbi::machine_vendor(), sbi::machine_architecture(), sbi::machine_implementation()};
    errata_init_self(self);
    csr_write<Csr::scounteren>(2); // user mode may read the time counter, nothing else
    timer_init_self();
    tlb_init_self(hart);
    kernel_space().active.add(hart.index);
    online_harts.add(hart.index);
    csr_write<Csr::sie>(1 << irq_software | 1 << irq_timer | 1 << irq_external);
}

Result<void> hart_start(unsigned index) {
    if (index >= boot_info.hart_count)
        return Errno::inval;
    return sbi::hart_start(boot_info.harts[index].id, image_pa(reinterpret_cast<void*>(&riscv_secondary_entry)),
                           image_pa(&riscv_secondary_start[index]));
}

extern "C" [[noreturn]] void riscv_secondary() {
    hart_init_self();
    secondary_main(hart_index());
}

} // namespace lentil::machine

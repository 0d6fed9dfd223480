// SPDX-License-Identifier: BSD-2-Clause
// Which translation a hart uses, and making harts forget old ones. The simplest correct scheme: ASID 0 everywhere (so
// it does not matter how many ASID bits a hart has) and a flush of the non-global entries at every switch.
#include <cstring>
#include <riscv/errata.hpp>
#include <riscv/hart.hpp>
#include <riscv/sbi.hpp>

extern "C" uint64_t riscv_kernel_satp;

namespace lentil::machine {

namespace {

constexpr size_t flush_all_above = 32 * page_size; ///< longer ranges: one full flush is cheaper

constinit AddressSpace the_kernel_space;
constinit std::atomic<uint64_t> remote_shootdowns{0};

void flush_all_local() { asm volatile("sfence.vma" ::: "memory"); }

void flush_user_local() {
    HartArch::bump(this_hart().fences);
    if (has_erratum(Erratum::fence_by_address)) // which spares no fence that chooses
        return flush_all_local();
    uint64_t asid = 0; // in a register: rs2 = x0 would drop the kernel's global entries too
    asm volatile("sfence.vma zero, %0" ::"r"(asid) : "memory");
}

void flush_local(vaddr_t start, size_t length) {
    HartArch::bump(this_hart().fences); // a lost count does not matter
    if (length > flush_all_above || has_erratum(Erratum::fence_by_address))
        return flush_all_local();
    for (vaddr_t va = page_floor(start); va < start + length; va += page_size)
        asm volatile("sfence.vma %0" ::"r"(va) : "memory");
}

void flush(HartSet harts, vaddr_t start, size_t length) {
    const bool irq = irq_save();
    const unsigned self = hart_index();
    if (harts.has(self))
        flush_local(start, length);
    harts.remove(self);
    if (!harts.empty()) {
        remote_shootdowns.fetch_add(1, std::memory_order_relaxed);
        const bool all = length > flush_all_above || has_erratum(Erratum::fence_by_address);
        if (all)
            sbi::remote_sfence_vma(harts, 0, ~uint64_t{0});
        else
            sbi::remote_sfence_vma(harts, start, length);
    }
    irq_restore(irq);
}

} // namespace

AddressSpace& kernel_space() {
    if (the_kernel_space.root == 0) [[unlikely]]
        the_kernel_space.root = (riscv_kernel_satp & riscv::satp_ppn_mask) << page_shift;
    return the_kernel_space;
}

void init_root(void* root_table) {
    constexpr size_t half = page_size / 2;
    std::memset(root_table, 0, half);
    std::memcpy(static_cast<char*>(root_table) + half, static_cast<const char*>(direct_map(kernel_space().root)) + half,
                half);
}

void activate(AddressSpace& space) {
    HartArch& hart = this_hart();
    AddressSpace* const old = hart.space;
    if (old == &space)
        return;
    // Visible as a target before the first walk of its tables: a shoot-down either sees us or we see its entries.
    space.active.add(hart.index);
    hart.space = &space;
    HartArch::bump(hart.space_switches);
    riscv::csr_write<riscv::Csr::satp>(riscv::satp_sv39 | uint64_t{space.asid} << riscv::satp_asid_shift |
                                       space.root >> page_shift);
    flush_user_local();
    asm volatile("fence.i" ::: "memory"); // sync_instructions told only the harts that were active at its time
    old->active.remove(hart.index);
}

void tlb_shootdown(AddressSpace& space, vaddr_t start, size_t length) {
    std::atomic_thread_fence(std::memory_order_seq_cst); // entries first, then who is active
    flush(space.active.load(), start, length);
}

Counts counts() {
    Counts sum{.remote_shootdowns = remote_shootdowns.load(std::memory_order_relaxed), .firmware_calls = sbi::calls()};
    online_harts.load().for_each([&](unsigned i) {
        sum.space_switches += hart_table[i].space_switches.load(std::memory_order_relaxed);
        sum.fences += hart_table[i].fences.load(std::memory_order_relaxed);
    });
    return sum;
}

void tlb_flush_local(AddressSpace&, vaddr_t start, size_t length) { flush_local(start, length); }

void tlb_shootdown_kernel(vaddr_t start, size_t length) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    flush(online_harts.load(), start, length);
}

void sync_instructions(HartSet harts) {
    const bool irq = irq_save();
    std::atomic_thread_fence(std::memory_order_seq_cst);
    asm volatile("fence.i" ::: "memory");
    harts.remove(hart_index());
    harts = harts & online_harts.load();
    if (!harts.empty())
        sbi::remote_fence_i(harts);
    irq_restore(irq);
}

} // namespace lentil::machine

// SPDX-License-Identifier: BSD-2-Clause
// Which translation a hart uses, and making harts forget old ones.
//
// A space has an ASID for as long as it lives, if one is free and the harts have them, so that a switch to it need not
// flush. `AddressSpace::tagged` are the harts that may remember translations with it; a hart that is not among them flushes
// what it remembers with that tag (of a space before, or from before a shoot-down that left it out) and joins them.
// ASID 0 is that of the kernel's own space, and of every space that has none: those flush at each switch.
//
// activate() adds itself to `active`, then looks at `tagged`; tlb_shootdown() takes harts out of `tagged`, then looks at
// `active`. One of the two sees the other.
#include <bit>
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

constexpr uint32_t asid_count = 1024; ///< those that are used; a power of two
/// Taken ones. 0 is nobody's.
constinit std::atomic<uint64_t> taken_asids[asid_count / 64] = {1};
constinit std::atomic<uint32_t> asid_hint{0}; ///< where to begin the search

/// None is free: stays 0, which is right too.
void take_asid(AddressSpace& space) {
    const uint32_t begin = asid_hint.load(std::memory_order_relaxed);
    for (uint32_t n = 0; n < asid_count / 64; n++) {
        const uint32_t word = (begin + n) % (asid_count / 64);
        uint64_t taken = taken_asids[word].load(std::memory_order_relaxed);
        while (~taken != 0) {
            const uint64_t bit = ~taken & (taken + 1);
            taken = taken_asids[word].fetch_or(bit, std::memory_order_relaxed);
            if (taken & bit)
                continue;
            if (n != 0)
                asid_hint.store(word, std::memory_order_relaxed);
            const uint32_t asid = word * 64 + static_cast<uint32_t>(std::countr_zero(bit));
            uint32_t none = 0;
            if (!space.asid.compare_exchange_strong(none, asid, std::memory_order_relaxed)) // another hart gave it one
                taken_asids[word].fetch_and(~bit, std::memory_order_relaxed);
            return;
        }
    }
}

void flush_all_local() { asm volatile("sfence.vma" ::: "memory"); }

/// All that is remembered with one tag, but for what is in every space.
void flush_tag_local(HartArch& hart, uint64_t asid) {
    HartArch::bump(hart.fences);
    if (has_erratum(Erratum::fence_by_address)) // which spares no fence that chooses
        return flush_all_local();
    // In a register: rs2 = x0 would drop the kernel's global entries too.
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

void tlb_init_self(HartArch& hart) {
    if (has_erratum(Erratum::fence_by_address))
        return;
    const uint64_t satp = riscv::csr_read<riscv::Csr::satp>();
    riscv::csr_write<riscv::Csr::satp>(satp | riscv::satp_asid_mask << riscv::satp_asid_shift);
    const uint64_t kept = riscv::csr_read<riscv::Csr::satp>() >> riscv::satp_asid_shift & riscv::satp_asid_mask;
    riscv::csr_write<riscv::Csr::satp>(satp);
    flush_all_local();
    if ((kept & (asid_count - 1)) == asid_count - 1)
        hart.asids = asid_count - 1;
}

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

void activate_flushing(AddressSpace& space, AddressSpace& old) {
    HartArch& hart = this_hart();
    if (hart.asids != 0 && space.asid.load(std::memory_order_relaxed) == 0 && &space != &the_kernel_space) [[unlikely]]
        take_asid(space);
    const uint64_t asid = space.asid.load(std::memory_order_relaxed) & hart.asids;
    riscv::csr_write<riscv::Csr::satp>(riscv::satp_sv39 | asid << riscv::satp_asid_shift | space.root >> page_shift);
    if (asid == 0) {
        flush_tag_local(hart, 0);
    } else if (!space.tagged.load().has(hart.index)) {
        space.tagged.add(hart.index);
        flush_tag_local(hart, asid);
    }
    asm volatile("fence.i" ::: "memory");
    old.active.remove(hart.index);
}

void address_space_ends(AddressSpace& space) {
    // What harts remember with it they forget when they load the next space that has it: it starts with no hart in `tagged`.
    if (const uint32_t asid = space.asid.load(std::memory_order_relaxed); asid != 0)
        taken_asids[asid / 64].fetch_and(~(uint64_t{1} << asid % 64), std::memory_order_release);
}

void tlb_shootdown(AddressSpace& space, vaddr_t start, size_t length) {
    std::atomic_thread_fence(std::memory_order_seq_cst); // entries first, then who is active
    // Harts that do not have it loaded flush when they load it again. One that loads or leaves it just now is told too.
    const HartSet before = space.active.load();
    if (!(space.tagged.load() == before))
        space.tagged.keep(before);
    flush(before | space.active.load(), start, length);
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

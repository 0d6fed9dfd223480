// SPDX-License-Identifier: BSD-2-Clause
// The kernel's page tables, built once before translation is on. Runs at the physical address: everything here is
// relative to the program counter, no absolute pointer (no switch tables, no strings, no calls elsewhere).
#include <riscv/csr.hpp>

#include <machine/machine.hpp>

extern "C" const char __image_start[], __text_end[], __rodata_end[], __image_end[];

namespace lentil::machine {

namespace {

struct alignas(page_size) Table {
    Pte entry[Pte::entries];
};

/// Tables for the kmem window, and at most for: the image (1 + 8), its part of the direct map (2 + 9), hart areas (1 + 2).
constexpr unsigned kmem_tables = (kmem_end - kmem_start) / Pte::span(2);
constexpr unsigned pool_size = kmem_tables + 23;
constinit Table pool[pool_size];
constinit unsigned pool_used = 0;

/// The table below `slot`: made if missing, a larger page split into smaller ones.
Table* descend(Pte& slot, unsigned level) {
    if (slot.valid() && !slot.is_leaf())
        return reinterpret_cast<Table*>(slot.address());
    Table* table = &pool[pool_used++]; // cannot run out: the linker script bounds the image
    if (slot.is_leaf())
        for (unsigned i = 0; i < Pte::entries; i++)
            table->entry[i] = Pte::leaf(slot.address() + i * Pte::span(level - 1), slot.prot(), false);
    slot = Pte::table(reinterpret_cast<paddr_t>(table));
    return table;
}

void map_page(Table& root, vaddr_t va, paddr_t pa, Prot prot) {
    Table* middle = descend(root.entry[Pte::index(va, 2)], 2);
    Table* bottom = descend(middle->entry[Pte::index(va, 1)], 1);
    bottom->entry[Pte::index(va, 0)] = Pte::leaf(pa, prot, false);
}

} // namespace

/// Gives the value for satp. The image lies at its linked order from `image` on; bss is clear.
extern "C" uint64_t early_map(paddr_t image) {
    Table& root = pool[pool_used++];
    for (paddr_t pa = 0; pa < direct_map_size; pa += Pte::span(2))
        root.entry[Pte::index(direct_map_base + pa, 2)] = Pte::leaf(pa, Prot::read | Prot::write, false);
    for (vaddr_t va = kmem_start; va < kmem_end; va += Pte::span(2))
        descend(root.entry[Pte::index(va, 2)], 2);
    for (unsigned hart = 0; hart < max_harts; hart++)
        descend(descend(root.entry[Pte::index(HART_AREA_BASE, 2)], 2)->entry[hart * HART_AREA_SIZE / Pte::span(1)], 1);

    const uint64_t text = static_cast<uint64_t>(__text_end - __image_start);
    const uint64_t rodata = static_cast<uint64_t>(__rodata_end - __image_start);
    const uint64_t size = static_cast<uint64_t>(__image_end - __image_start);
    for (uint64_t at = 0; at < size; at += page_size) {
        const Prot prot = at < text ? Prot::read | Prot::exec : at < rodata ? Prot::read : Prot::read | Prot::write;
        map_page(root, IMAGE_BASE + at, image + at, prot);
        if (at < rodata)
            map_page(root, direct_map_base + image + at, image + at, Prot::read);
    }
    return riscv::satp_sv39 | reinterpret_cast<paddr_t>(&root) >> page_shift;
}

} // namespace lentil::machine

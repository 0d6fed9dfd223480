// SPDX-License-Identifier: BSD-2-Clause
// Page tables of the kernel's window.
#include <algorithm>
#include <cstring>

#include <vm/kernel_pmap.hpp>
#include <vm/pmap.hpp>

namespace lentil {

using machine::Pte;

constinit KernelWindow kernel_window;

namespace {

constexpr uint64_t root_entry_span = uint64_t{page_size} << (9 * (Pte::levels - 1));
constexpr uint64_t window_size = std::min<uint64_t>(machine::kmem_end - machine::kmem_start, 4 * root_entry_span);

Pte* table_at(paddr_t pa) { return static_cast<Pte*>(machine::direct_map(pa)); }

Result<void> add_table(Pte& entry) {
    VmPage* page = page_alloc_raw(0);
    if (!page)
        return Errno::nomem;
    page_count_kernel(1);
    std::memset(page_data(page), 0, page_size);
    const Pte value = Pte::table(page_pa(page));
    __atomic_store(&entry, &value, __ATOMIC_RELEASE);
    return {};
}

Result<Pte*> walk(vaddr_t va, bool make) {
    Pte* table = table_at(machine::kernel_space().root);
    for (unsigned level = Pte::levels - 1; level > 0; level--) {
        Pte& entry = table[Pte::index(va, level)];
        if (!entry.valid()) {
            if (!make)
                return Errno::fault;
            TRY(add_table(entry));
        }
        table = table_at(entry.address());
    }
    return &table[Pte::index(va, 0)];
}

} // namespace

void kernel_pmap_init() {
    Pte* root = table_at(machine::kernel_space().root);
    const unsigned first = Pte::index(machine::kmem_start, Pte::levels - 1);
    for (unsigned i = 0; i < window_size / root_entry_span; i++)
        if (!root[first + i].valid())
            MUST(add_table(root[first + i])); // the first allocations of all
    kernel_window = {machine::kmem_start, window_size};
}

Result<void> kernel_map(vaddr_t va, VmPage* page) {
    Pte* entry = TRY(walk(va, true));
    ASSERT(!entry->valid());
    const Pte value = Pte::leaf(page_pa(page), Prot::read | Prot::write, false);
    __atomic_store(entry, &value, __ATOMIC_RELEASE);
    return {};
}

VmPage* kernel_unmap(vaddr_t va) {
    Pte* entry = MUST(walk(va, false)); // it was mapped
    ASSERT(entry->valid());
    VmPage* page = page_at(entry->address());
    const Pte none{};
    __atomic_store(entry, &none, __ATOMIC_RELAXED);
    return page;
}

} // namespace lentil

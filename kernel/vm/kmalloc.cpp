// SPDX-License-Identifier: BSD-2-Clause
// Memory of any size: zones of size classes, then contiguous pages, then pages mapped one by one.
#include <array>
#include <bit>

#include <vm/fail.hpp>
#include <vm/kernel_pmap.hpp>
#include <vm/kmem.hpp>
#include <vm/page.hpp>
#include <vm/zalloc.hpp>

namespace lentil {

namespace {

constinit Zone classes[] = {
    {"kmalloc-16", 16, 16},     {"kmalloc-32", 32, 16},     {"kmalloc-48", 48, 16},   {"kmalloc-64", 64, 16},
    {"kmalloc-96", 96, 16},     {"kmalloc-128", 128, 16},   {"kmalloc-192", 192, 16}, {"kmalloc-256", 256, 16},
    {"kmalloc-384", 384, 16},   {"kmalloc-512", 512, 16},   {"kmalloc-768", 768, 16}, {"kmalloc-1024", 1024, 16},
    {"kmalloc-1536", 1536, 16}, {"kmalloc-2048", 2048, 16},
};
constexpr size_t max_class_size = 2048;
constexpr unsigned max_contiguous_order = 4; ///< above, free memory may well be there in pieces only

/// Index of the smallest class that holds `size`: two classes for every power of two from 32 on.
constexpr unsigned class_of(size_t size) {
    if (size <= 16)
        return 0;
    if (size <= 32)
        return 1;
    const auto log = static_cast<unsigned>(std::bit_width(size - 1)); // 2^(log-1) < size <= 2^log, log >= 6
    const bool lower_half = size <= (size_t{3} << (log - 2));
    return (log - 6) * 2 + (lower_half ? 2 : 3);
}
/// The same from a table: by size in units of 16, rounded up.
constexpr auto class_by_16 = [] {
    std::array<uint8_t, max_class_size / 16 + 1> table{};
    for (size_t i = 0; i < table.size(); i++)
        table[i] = static_cast<uint8_t>(class_of(i * 16));
    return table;
}();
Zone& zone_for(size_t size) { return classes[class_by_16[(size + 15) / 16]]; }
static_assert(class_of(33) == 2 && class_of(48) == 2 && class_of(49) == 3 && class_of(64) == 3 && class_of(65) == 4 &&
              class_of(97) == 5 && class_of(1537) == 13 && class_of(2048) == 13);

constexpr unsigned order_of(size_t size) {
    unsigned order = 0;
    while ((page_size << order) < size)
        order++;
    return order;
}

} // namespace

void* kmalloc(size_t size) {
    if (size <= max_class_size)
        return zone_for(size).allocate();
    const unsigned order = size <= (page_size << max_contiguous_order) ? order_of(size) : max_contiguous_order + 1;
    if (order <= max_contiguous_order) {
        if (allocation_must_fail())
            return nullptr;
        if (VmPage* page = page_alloc_raw(order)) {
            page_count_kernel(int64_t{1} << order);
            return page_data(page);
        }
    }
    auto memory = kmem_alloc(size);
    return memory ? *memory : nullptr;
}

void kfree(void* memory, size_t size) {
    if (!memory)
        return;
    if (size <= max_class_size)
        return zone_for(size).free(memory);
    if (in_kernel_window(memory))
        return kmem_free(memory, size);
    const unsigned order = order_of(size);
    page_count_kernel(-(int64_t{1} << order));
    page_free_order(page_at(machine::direct_map_pa(memory)), order);
}

} // namespace lentil

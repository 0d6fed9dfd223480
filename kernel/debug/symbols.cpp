// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>

#include <debug/symbols.hpp>

namespace lentil {

namespace {

struct Entry {
    uint32_t offset; ///< of the function from the image's start; the table is sorted by it
    uint32_t name;   ///< position in the names
};

/// The whole table; the names follow the entries. Absent in the first of the two links.
struct Table {
    uint32_t count;
    uint32_t names; ///< where they start, from the table's own address
    Entry entries[];
};

extern "C" {
extern const Table __ksyms_start, __ksyms_end;
extern const char __image_start[], __text_end[];
}

} // namespace

Symbol symbol_of(vaddr_t address) {
    const Table& table = __ksyms_start;
    const vaddr_t start = reinterpret_cast<vaddr_t>(__image_start);
    if (&table == &__ksyms_end || address < start || address >= reinterpret_cast<vaddr_t>(__text_end))
        return {"?", address};
    const uint64_t offset = address - start;
    const Entry* const after = std::upper_bound(table.entries, table.entries + table.count, offset,
                                                [](uint64_t value, const Entry& e) { return value < e.offset; });
    if (after == table.entries)
        return {"?", address};
    return {reinterpret_cast<const char*>(&table) + table.names + after[-1].name, offset - after[-1].offset};
}

} // namespace lentil

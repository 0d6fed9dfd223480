// SPDX-License-Identifier: BSD-2-Clause
// Finds a function's name in the packed table.
#include <algorithm>

#include <debug/symbols.hpp>

namespace lentil {

namespace {

/// Where a search may begin: every so many functions.
struct Group {
    uint32_t offset; ///< of its first function from the image's start; groups are sorted by it
    uint32_t place;  ///< in the stream
};

/// The whole table. Behind the groups lie pairs of codes and, for each function, how far behind the last one of its group it
/// starts (in units of two bytes, seven bits a byte, low ones first), the number of its name's codes, and those. Codes up
/// to 127 are characters, others stand for a pair. Absent in the first of the two links.
struct Table {
    uint32_t functions;
    uint32_t group_count;
    uint32_t pairs, stream; ///< where they start, from the table's own address
    Group groups[];
};
constexpr uint32_t functions_in_group = 32;
constexpr uint8_t first_pair = 128;

extern "C" {
extern const Table __ksyms_start, __ksyms_end;
extern const char __image_start[], __text_end[];
}

/// Writes what `code` stands for. A pair's codes are smaller than its own, so this ends.
void unpack(const uint8_t* pairs, uint8_t code, std::span<char>& room) {
    if (code >= first_pair) {
        const uint8_t* const pair = pairs + (code - first_pair) * 2;
        unpack(pairs, pair[0], room);
        unpack(pairs, pair[1], room);
    } else if (!room.empty()) {
        room[0] = static_cast<char>(code);
        room = room.subspan(1);
    }
}

} // namespace

Symbol symbol_of(vaddr_t address, std::span<char> room) {
    const Table& table = __ksyms_start;
    const vaddr_t start = reinterpret_cast<vaddr_t>(__image_start);
    if (&table == &__ksyms_end || address < start || address >= reinterpret_cast<vaddr_t>(__text_end))
        return {"?", address};
    const uint64_t offset = address - start;
    const Group* const behind = std::upper_bound(table.groups, table.groups + table.group_count, offset,
                                                 [](uint64_t value, const Group& g) { return value < g.offset; });
    if (behind == table.groups)
        return {"?", address};
    const Group& group = behind[-1];
    const auto first = static_cast<uint32_t>(&group - table.groups) * functions_in_group;
    const auto* const bytes = reinterpret_cast<const uint8_t*>(&table);
    const uint8_t* at = bytes + table.stream + group.place;
    const uint8_t* name = nullptr;
    uint64_t begin = group.offset, found = begin;
    for (uint32_t i = first; i < std::min(first + functions_in_group, table.functions); i++) {
        for (unsigned shift = 1;; shift += 7) {
            const uint8_t part = *at++;
            begin += uint64_t{part & 0x7fu} << shift;
            if (part < 0x80)
                break;
        }
        if (begin > offset)
            break;
        found = begin;
        name = at;
        at += 1 + *at;
    }
    std::span<char> left = room;
    for (unsigned i = 1; i <= *name; i++)
        unpack(bytes + table.pairs, name[i], left);
    return {std::string_view(room.data(), room.size() - left.size()), offset - found};
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Partition tables: GPT (UEFI Specification 2.10, section 5.3) and the MBR's with its extended partitions.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <libkern/result.hpp>

namespace lentil {

struct Partition {
    unsigned number = 0;             ///< from 1
    uint64_t first = 0, sectors = 0; ///< in units of 512 bytes, inside the disk
    uint8_t unique_id[16] = {};
    bool has_unique_id = false;
};

/// CRC-32 as zlib and GPT have it.
uint32_t crc32_ieee(uint32_t crc, const void* data, size_t n);

/// Whether a GUID as it lies on the disk is the one written out (any case).
bool partition_id_is(const uint8_t (&id)[16], std::string_view text);

/// What the decoders share; all offsets are checked against the sector they are given.
struct GptHeader {
    uint64_t entries_sector = 0;
    uint32_t count = 0, entry_bytes = 0, entries_crc = 0;
};
Result<GptHeader> gpt_header(const uint8_t (&sector)[512], uint64_t at, uint64_t disk_sectors);
/// noent for an unused entry; inval for one that reaches out of the disk.
Result<Partition> gpt_entry(const uint8_t* entry, uint64_t disk_sectors);
struct MbrEntry {
    uint8_t type = 0;
    uint64_t first = 0, sectors = 0;
    bool is_extended() const { return type == 5 || type == 0xf || type == 0x85; }
};
/// noent if the sector carries no table.
Result<std::array<MbrEntry, 4>> mbr_entries(const uint8_t (&sector)[512]);

/// Reads the table with `read(sector, buffer of 512 bytes)` and calls `add(Partition)` for each. `scratch`: 1024 bytes. A
/// damaged or missing table gives no partitions; only a read error of the first sector is one.
template<class Read, class Add>
Result<void> read_partitions(uint8_t* scratch, uint64_t disk_sectors, Read read, Add add) {
    uint8_t(&sector)[512] = *reinterpret_cast<uint8_t(*)[512]>(scratch);
    uint8_t(&second)[512] = *reinterpret_cast<uint8_t(*)[512]>(scratch + 512);
    constexpr unsigned limit = 128;
    TRY(read(0, sector));
    const auto table = mbr_entries(sector);
    if (!table)
        return {};
    bool protective = false;
    for (const MbrEntry& e : *table)
        protective |= e.type == 0xee;
    // The copy at the end serves if the first is damaged.
    for (const uint64_t at : {uint64_t{1}, disk_sectors - 1}) {
        if (!protective || disk_sectors < 3 || !read(at, second).ok())
            continue;
        const auto header = gpt_header(second, at, disk_sectors);
        if (!header)
            continue;
        uint32_t crc = 0;
        const unsigned per_sector = 512 / header->entry_bytes;
        const uint64_t sectors = (uint64_t{header->count} + per_sector - 1) / per_sector;
        bool readable = true;
        for (uint64_t i = 0; i < sectors && readable; i++) {
            readable = read(header->entries_sector + i, sector).ok();
            const uint64_t left = uint64_t{header->count} * header->entry_bytes - i * 512;
            crc = crc32_ieee(crc, sector, left < 512 ? left : 512);
        }
        if (!readable || crc != header->entries_crc)
            continue;
        for (unsigned i = 0; i < header->count && i < limit; i++) {
            if (i % per_sector == 0 && !read(header->entries_sector + i / per_sector, sector).ok())
                break;
            if (auto p = gpt_entry(sector + i % per_sector * header->entry_bytes, disk_sectors)) {
                p->number = i + 1;
                add(*p);
            }
        }
        return {};
    }
    if (protective)
        return {};
    const auto fits = [&](uint64_t first, uint64_t count) {
        return count != 0 && first != 0 && first < disk_sectors && count <= disk_sectors - first;
    };
    uint64_t extended = 0, extended_sectors = 0;
    for (unsigned i = 0; i < 4; i++) {
        const MbrEntry& e = (*table)[i];
        if (e.type == 0 || !fits(e.first, e.sectors))
            continue;
        if (e.is_extended()) {
            extended = e.first;
            extended_sectors = e.sectors;
            continue;
        }
        Partition p;
        p.number = i + 1;
        p.first = e.first;
        p.sectors = e.sectors;
        add(p);
    }
    // A chain of tables, each with one partition and the place of the next; a circle ends at the limit.
    uint64_t at = extended;
    for (unsigned number = 5; at != 0 && number < 64; number++) {
        if (!read(at, sector).ok())
            break;
        const auto link = mbr_entries(sector);
        if (!link)
            break;
        const MbrEntry &own = (*link)[0], &next = (*link)[1];
        if (own.type != 0 && fits(at + own.first, own.sectors)) {
            Partition p;
            p.number = number;
            p.first = at + own.first;
            p.sectors = own.sectors;
            add(p);
        }
        at = next.is_extended() && next.first < extended_sectors && fits(extended + next.first, 1)
                 ? extended + next.first
                 : 0;
    }
    return {};
}

} // namespace lentil

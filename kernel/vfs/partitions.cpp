// SPDX-License-Identifier: BSD-2-Clause
// The decoding of partition tables.
#include <vfs/partitions.hpp>

namespace lentil {

namespace {

uint32_t le32(const uint8_t* p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
uint64_t le64(const uint8_t* p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

} // namespace

uint32_t crc32_ieee(uint32_t crc, const void* data, size_t n) {
    const uint8_t* p = static_cast<const uint8_t*>(data);
    crc = ~crc;
    while (n-- > 0) {
        crc ^= *p++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

bool partition_id_is(const uint8_t (&id)[16], std::string_view text) {
    // The first three fields are little-endian numbers, the rest are bytes.
    constexpr int order[] = {3, 2, 1, 0, -1, 5, 4, -1, 7, 6, -1, 8, 9, -1, 10, 11, 12, 13, 14, 15};
    size_t at = 0;
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    for (const int byte : order) {
        if (byte < 0) {
            if (at >= text.size() || text[at++] != '-')
                return false;
            continue;
        }
        for (const int nibble : {id[byte] >> 4, id[byte] & 15})
            if (at >= text.size() || lower(text[at++]) != "0123456789abcdef"[nibble])
                return false;
    }
    return at == text.size();
}

Result<GptHeader> gpt_header(const uint8_t (&sector)[512], uint64_t at, uint64_t disk_sectors) {
    const uint32_t header_bytes = le32(sector + 12);
    if (memcmp(sector, "EFI PART", 8) != 0 || header_bytes < 92 || header_bytes > 512 || le64(sector + 24) != at)
        return Errno::inval;
    uint8_t copy[512];
    memcpy(copy, sector, sizeof copy);
    memset(copy + 16, 0, 4); // the checksum is of the header without itself
    if (crc32_ieee(0, copy, header_bytes) != le32(sector + 16))
        return Errno::inval;
    GptHeader h;
    h.entries_sector = le64(sector + 72);
    h.count = le32(sector + 80);
    h.entry_bytes = le32(sector + 84);
    h.entries_crc = le32(sector + 88);
    if ((h.entry_bytes != 128 && h.entry_bytes != 256 && h.entry_bytes != 512) || h.count > 1024 ||
        h.entries_sector >= disk_sectors || uint64_t{h.count} * h.entry_bytes / 512 > disk_sectors - h.entries_sector)
        return Errno::inval;
    return h;
}

Result<Partition> gpt_entry(const uint8_t* entry, uint64_t disk_sectors) {
    constexpr uint8_t unused[16] = {};
    if (memcmp(entry, unused, sizeof unused) == 0)
        return Errno::noent;
    Partition p;
    p.first = le64(entry + 32);
    const uint64_t last = le64(entry + 40);
    if (p.first == 0 || last < p.first || last >= disk_sectors)
        return Errno::inval;
    p.sectors = last - p.first + 1;
    memcpy(p.unique_id, entry + 16, sizeof p.unique_id);
    p.has_unique_id = true;
    return p;
}

Result<std::array<MbrEntry, 4>> mbr_entries(const uint8_t (&sector)[512]) {
    if (sector[510] != 0x55 || sector[511] != 0xaa)
        return Errno::noent;
    std::array<MbrEntry, 4> entries;
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t* e = sector + 446 + 16 * i;
        if (e[0] != 0 && e[0] != 0x80) // a boot sector of something else that happens to end the same way
            return Errno::noent;
        entries[i] = {e[4], le32(e + 8), le32(e + 12)};
    }
    return entries;
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>
#include <cstring>

#include <bsd/elf.hpp>

namespace lentil::elf {

namespace {

/// Elf64_Ehdr and Elf64_Phdr (System V ABI, chapter 4; RISC-V psABI for e_machine).
struct FileHeader {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, program_headers, section_headers;
    uint32_t flags;
    uint16_t header_bytes, program_header_bytes, program_header_count, section_header_bytes, section_count, names;
};
static_assert(sizeof(FileHeader) == header_size);

struct ProgramHeader {
    uint32_t type, flags;
    uint64_t offset, address, physical, file_size, memory_size, alignment;
};
static_assert(sizeof(ProgramHeader) == program_header_size);

constexpr uint16_t type_executable = 2, type_dynamic = 3, machine_riscv = 243;
constexpr uint32_t load = 1, interpreter = 3, headers_themselves = 6, gnu_stack = 0x6474e551;
constexpr uint32_t flag_exec = 1, flag_write = 2, flag_read = 4;
constexpr uint64_t max_interpreter = 4096;

/// A T among bytes: where it lies if it is aligned there, as nearly always, else copied to `storage`.
template<class T>
const T& view_at(std::span<const uint8_t> bytes, size_t offset, T& storage) {
    const uint8_t* from = bytes.data() + offset;
    if (reinterpret_cast<uintptr_t>(from) % alignof(T) == 0) [[likely]]
        return *reinterpret_cast<const T*>(from);
    std::memcpy(&storage, from, sizeof storage);
    return storage;
}

bool add_overflows(uint64_t a, uint64_t b) { return a + b < a; }

inline Result<HeaderTable> locate(const FileHeader& header) {
    // 0x7f 'E' 'L' 'F', 64 bits, little endian, version 1; and a byte that does not matter.
    constexpr uint64_t magic = 0x010102464c457f, magic_mask = 0xffffffffffffff;
    uint64_t ident;
    __builtin_memcpy(&ident, &header, sizeof ident);
    if ((ident & magic_mask) != magic || header.machine != machine_riscv || header.version != 1 ||
        (header.type != type_executable && header.type != type_dynamic) ||
        header.program_header_bytes != sizeof(ProgramHeader) || header.program_header_count == 0 ||
        header.program_header_count > 128 ||
        add_overflows(header.program_headers, uint64_t{header.program_header_count} * sizeof(ProgramHeader)))
        return Errno::noexec;
    return HeaderTable{header.program_headers, header.program_header_count};
}

} // namespace

Result<HeaderTable> locate_program_headers(std::span<const uint8_t> head) {
    if (head.size() < sizeof(FileHeader))
        return Errno::noexec;
    FileHeader storage;
    return locate(view_at(head, 0, storage));
}

size_t bytes_of_headers(std::span<const uint8_t> head) {
    if (head.size() < sizeof(FileHeader) || reinterpret_cast<uintptr_t>(head.data()) % alignof(FileHeader) != 0)
        return head.size();
    const auto& header = *reinterpret_cast<const FileHeader*>(head.data());
    if (header.ident[0] != 0x7f || header.program_headers != sizeof(FileHeader))
        return head.size();
    return std::min(head.size(), sizeof(FileHeader) + header.program_header_count * sizeof(ProgramHeader));
}

Result<void> parse(Image& image, std::span<const uint8_t> head, std::span<const uint8_t> headers, uint64_t file_size,
                   vaddr_t user_end) {
    return parse_located(image, TRY(locate_program_headers(head)), head, headers, file_size, user_end);
}

Result<void> parse_located(Image& image, const HeaderTable& table, std::span<const uint8_t> head,
                           std::span<const uint8_t> headers, uint64_t file_size, vaddr_t user_end) {
    if (headers.size() < table.count * sizeof(ProgramHeader))
        return Errno::noexec;
    FileHeader header_storage;
    const FileHeader& file = view_at(head, 0, header_storage);

    image.position_independent = file.type == type_dynamic;
    image.entry = file.entry;
    image.program_headers_offset = table.offset;
    image.program_header_count = table.count;
    for (uint32_t i = 0; i < table.count; i++) {
        ProgramHeader storage;
        const ProgramHeader& p = view_at(headers, i * sizeof(ProgramHeader), storage);
        switch (p.type) {
        case load: {
            if (p.memory_size == 0)
                break;
            if (p.file_size > p.memory_size || add_overflows(p.offset, p.file_size) ||
                p.offset + p.file_size > file_size || add_overflows(p.address, p.memory_size) ||
                p.address + p.memory_size > user_end - page_size || (p.address & page_mask) != (p.offset & page_mask) ||
                image.segment_count == max_segments)
                return Errno::noexec;
            // Sorted and disjoint, as the ABI wants them: then no segment can unmap another.
            if (image.segment_count > 0 && page_floor(p.address) < image.highest())
                return Errno::noexec;
            image.segments[image.segment_count++] = {p.address,
                                                     p.offset,
                                                     p.file_size,
                                                     p.memory_size,
                                                     (p.flags & flag_read) != 0,
                                                     (p.flags & flag_write) != 0,
                                                     (p.flags & flag_exec) != 0};
            break;
        }
        case interpreter:
            if (p.file_size < 2 || p.file_size > max_interpreter || add_overflows(p.offset, p.file_size) ||
                p.offset + p.file_size > file_size)
                return Errno::noexec;
            image.interpreter_offset = p.offset;
            image.interpreter_size = p.file_size;
            break;
        case headers_themselves: image.program_headers_address = p.address; break;
        case gnu_stack: image.stack_executable = p.flags & flag_exec; break;
        default: break;
        }
    }
    if (image.segment_count == 0)
        return Errno::noexec;
    if (image.program_headers_address == 0)
        for (unsigned i = 0; i < image.segment_count; i++) {
            const Segment& s = image.segments[i];
            if (table.offset >= s.offset && table.offset < s.offset + s.file_size)
                image.program_headers_address = s.address + (table.offset - s.offset);
        }
    return {};
}

} // namespace lentil::elf

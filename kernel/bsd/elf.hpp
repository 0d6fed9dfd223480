// SPDX-License-Identifier: BSD-2-Clause
// ELF headers of riscv64 images: parsing and validation only. Builds on the host, where it is fuzzed.
#pragma once

#include <span>

#include <libkern/result.hpp>
#include <libkern/types.hpp>

namespace lentil::elf {

inline constexpr unsigned max_segments = 32;

struct Segment {
    vaddr_t address;                 ///< before any load bias
    uint64_t offset;                 ///< in the file
    uint64_t file_size, memory_size; ///< file_size <= memory_size
    bool readable, writable, executable;
};

/// What the loader needs of an image whose headers are sound: segments sorted, disjoint by page, inside the user half.
struct Image {
    bool position_independent = false; ///< ET_DYN
    vaddr_t entry = 0;
    uint64_t program_headers_offset = 0;
    uint32_t program_header_count = 0;
    vaddr_t program_headers_address = 0; ///< 0 if they are not in a segment
    bool stack_executable = false;
    uint64_t interpreter_offset = 0, interpreter_size = 0; ///< size 0: static
    unsigned segment_count = 0;
    Segment segments[max_segments]; ///< those below the count
    Image() {}

    vaddr_t lowest() const { return page_floor(segments[0].address); }
    vaddr_t highest() const {
        return page_ceil(segments[segment_count - 1].address + segments[segment_count - 1].memory_size);
    }
};

inline constexpr size_t header_size = 64, program_header_size = 56;

/// `head`: the first bytes of the file. Where its program headers lie: noexec if it is no riscv64 executable.
struct HeaderTable {
    uint64_t offset;
    uint32_t count;
};
Result<HeaderTable> locate_program_headers(std::span<const uint8_t> head);

/// `head`: the first bytes of the file, which somebody may be writing to. How many of them are likely to be all that parsing
/// looks at; their number if that cannot be told.
size_t bytes_of_headers(std::span<const uint8_t> head);

/// `headers`: the program headers as located. `user_end`: first address past the user half. noexec for anything unsound,
/// and then `image`, fresh before, is of no use.
Result<void> parse(Image& image, std::span<const uint8_t> head, std::span<const uint8_t> headers, uint64_t file_size,
                   vaddr_t user_end);

/// The same for whoever located them in `head` already.
Result<void> parse_located(Image& image, const HeaderTable& table, std::span<const uint8_t> head,
                           std::span<const uint8_t> headers, uint64_t file_size, vaddr_t user_end);

} // namespace lentil::elf

// SPDX-License-Identifier: BSD-2-Clause
// ELF headers: sound images are described rightly, unsound ones refused, and whatever mutations do, an accepted image
// keeps the promises that the loader relies on.
#include <cstring>
#include <doctest/doctest.h>
#include <random>
#include <vector>

#include <bsd/elf.hpp>

using namespace lentil;

namespace {

constexpr vaddr_t user_end = vaddr_t{1} << 38;
constexpr uint64_t file_size = 0x5000;

struct Header {
    uint32_t type, flags;
    uint64_t offset, address, physical, file_bytes, memory_bytes, alignment;
};

struct Sample {
    std::vector<uint8_t> head = std::vector<uint8_t>(64), headers;

    void put(size_t at, uint64_t value, size_t bytes) { std::memcpy(head.data() + at, &value, bytes); }
    explicit Sample(const std::vector<Header>& list, uint16_t type = 3) {
        const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
        std::memcpy(head.data(), ident, sizeof ident);
        put(16, type, 2);
        put(18, 243, 2);
        put(20, 1, 4);
        put(24, 0x1234, 8);
        put(32, 64, 8);
        put(54, 56, 2);
        put(56, list.size(), 2);
        headers.resize(list.size() * sizeof(Header));
        std::memcpy(headers.data(), list.data(), headers.size());
    }
    Result<elf::Image> parse() const {
        elf::Image image;
        TRY(elf::parse(image, head, headers, file_size, user_end));
        return image;
    }
};

constexpr uint32_t load = 1, interp = 3, phdr = 6, gnu_stack = 0x6474e551;
const Header text{load, 5, 0, 0, 0, 0x1800, 0x1800, 0x1000};
const Header data{load, 6, 0x1da0, 0x2da0, 0, 0x398, 0x3a8, 0x1000};

/// What exec_load.cpp takes for granted.
void check_promises(const elf::Image& image) {
    REQUIRE(image.segment_count > 0);
    REQUIRE(image.segment_count <= elf::max_segments);
    for (unsigned i = 0; i < image.segment_count; i++) {
        const elf::Segment& s = image.segments[i];
        CHECK(s.memory_size > 0);
        CHECK(s.file_size <= s.memory_size);
        CHECK(s.offset + s.file_size >= s.offset);
        CHECK(s.offset + s.file_size <= file_size);
        CHECK(s.address + s.memory_size > s.address);
        CHECK(s.address + s.memory_size <= user_end - page_size);
        CHECK((s.address & page_mask) == (s.offset & page_mask));
        if (i > 0)
            CHECK(page_floor(s.address) >=
                  page_ceil(image.segments[i - 1].address + image.segments[i - 1].memory_size));
    }
    if (image.interpreter_size != 0) {
        CHECK(image.interpreter_size >= 2);
        CHECK(image.interpreter_offset + image.interpreter_size <= file_size);
    }
}

} // namespace

TEST_CASE("a position-independent program with two segments is described as it is") {
    const auto image =
        Sample({{phdr, 4, 64, 64, 0, 0x230, 0x230, 8}, {interp, 4, 0x270, 0x270, 0, 0x21, 0x21, 1}, text, data})
            .parse();
    REQUIRE(image.ok());
    CHECK(image->position_independent);
    CHECK(image->entry == 0x1234);
    CHECK(image->segment_count == 2);
    CHECK(image->program_headers_address == 64);
    CHECK(image->interpreter_offset == 0x270);
    CHECK(image->interpreter_size == 0x21);
    CHECK(image->segments[0].executable);
    CHECK_FALSE(image->segments[0].writable);
    CHECK(image->segments[1].writable);
    CHECK(image->lowest() == 0);
    CHECK(image->highest() == 0x4000);
    check_promises(*image);
}

TEST_CASE("program headers without an entry of their own are found in the segment that holds them") {
    const auto image = Sample({{load, 5, 0, 0x10000, 0, 0x1800, 0x1800, 0x1000}}, 2).parse();
    REQUIRE(image.ok());
    CHECK_FALSE(image->position_independent);
    CHECK(image->program_headers_address == 0x10040);
}

TEST_CASE("an executable stack is noticed") {
    CHECK(Sample({text, {gnu_stack, 7, 0, 0, 0, 0, 0, 16}}).parse()->stack_executable);
    CHECK_FALSE(Sample({text, {gnu_stack, 6, 0, 0, 0, 0, 0, 16}}).parse()->stack_executable);
}

TEST_CASE("what is no riscv64 executable is refused") {
    const auto refused = [](auto change) {
        Sample sample({text, data});
        change(sample);
        const auto image = sample.parse();
        return !image.ok() && image.error() == Errno::noexec;
    };
    CHECK(refused([](Sample& s) { s.head[0] = 0; }));
    CHECK(refused([](Sample& s) { s.head[4] = 1; }));    // 32 bits
    CHECK(refused([](Sample& s) { s.head[5] = 2; }));    // big endian
    CHECK(refused([](Sample& s) { s.put(16, 1, 2); }));  // relocatable
    CHECK(refused([](Sample& s) { s.put(18, 62, 2); })); // another machine
    CHECK(refused([](Sample& s) { s.put(54, 55, 2); })); // odd header size
    CHECK(refused([](Sample& s) { s.put(56, 0, 2); }));  // no headers
    CHECK(refused([](Sample& s) { s.put(56, 3, 2); }));  // more than there are
    CHECK(refused([](Sample& s) { s.put(32, ~uint64_t{0}, 8); }));
    CHECK(refused([](Sample& s) { s.head.resize(63); }));
}

TEST_CASE("unsound segments are refused") {
    const auto refused = [](Header bad) { return !Sample({text, bad}).parse().ok(); };
    CHECK(refused({load, 6, 0x4000, 0x4000, 0, 0x2000, 0x2000, 0x1000}));     // file part past the file's end
    CHECK(refused({load, 6, 0x2000, 0x4000, 0, 0x800, 0x400, 0x1000}));       // more file than memory
    CHECK(refused({load, 6, 0x2001, 0x4000, 0, 0x100, 0x100, 0x1000}));       // offset and address disagree
    CHECK(refused({load, 6, 0x1000, 0x1000, 0, 0x100, 0x100, 0x1000}));       // shares a page with the first
    CHECK(refused({load, 6, 0, user_end - 0x1000, 0, 0, 0x1000, 0x1000}));    // up to the end of the user half
    CHECK(refused({load, 6, 0, ~uint64_t{0xfff}, 0, 0x100, 0x2000, 0x1000})); // wraps
    CHECK(refused({load, 6, ~uint64_t{0xfff}, 0x4000, 0, 0x2000, 0x2000, 0x1000}));
    CHECK_FALSE(Sample({{gnu_stack, 6, 0, 0, 0, 0, 0, 16}}).parse().ok()); // nothing to load
    CHECK_FALSE(Sample({text, {interp, 4, 0x4fff, 0, 0, 0x21, 0x21, 1}}).parse().ok());
}

TEST_CASE("more segments than the loader has room for are refused") {
    std::vector<Header> many;
    for (unsigned i = 0; i <= elf::max_segments; i++)
        many.push_back({load, 4, 0, 0x1000 * i, 0, 0x10, 0x10, 0x1000});
    CHECK_FALSE(Sample(many).parse().ok());
    many.pop_back();
    CHECK(Sample(many).parse().ok());
}

TEST_CASE("200,000 seeded mutations never break a promise of an image that is accepted") {
    std::mt19937_64 random(20261122);
    unsigned accepted = 0;
    for (int round = 0; round < 200'000; round++) {
        Sample sample({{phdr, 4, 64, 64, 0, 0xe0, 0xe0, 8}, {interp, 4, 0x270, 0x270, 0, 0x21, 0x21, 1}, text, data});
        const unsigned changes = 1 + random() % 3;
        for (unsigned i = 0; i < changes; i++) {
            auto& bytes = random() % 8 == 0 ? sample.head : sample.headers;
            const size_t at = random() % bytes.size();
            switch (random() % 4) {
            case 0: bytes[at] = static_cast<uint8_t>(random()); break;
            case 1: bytes[at] ^= static_cast<uint8_t>(1u << random() % 8); break;
            case 2: bytes[at & ~size_t{7}] = bytes[at | 7] = 0xff; break;
            default: bytes.resize(at); break;
            }
            if (bytes.empty())
                bytes.push_back(0);
        }
        if (const auto image = sample.parse(); image.ok()) {
            accepted++;
            check_promises(*image);
        }
    }
    CHECK(accepted > 1000); // or the loop proves nothing
}

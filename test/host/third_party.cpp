// SPDX-License-Identifier: BSD-2-Clause
// The third-party code as the kernel builds it: inflate without an allocator of its own, and the device-tree reader.
#include <array>
#include <cstdlib>
#include <doctest/doctest.h>
#include <libfdt/libfdt.h>
#include <string_view>
#include <zlib/zlib.h>

namespace {

// `printf 'a lentil, a lentil, a lentil\n' | gzip -9n`
constexpr std::array<unsigned char, 34> packed{0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x4b, 0x54,
                                               0xc8, 0x49, 0xcd, 0x2b, 0xc9, 0xcc, 0xd1, 0x51, 0x48, 0xc4, 0x60, 0x71,
                                               0x01, 0x00, 0xd5, 0xfa, 0xcc, 0xb3, 0x1d, 0x00, 0x00, 0x00};

struct Inflated {
    int status;
    std::array<unsigned char, 64> bytes{};
    size_t size;
    std::string_view text() const { return {reinterpret_cast<const char*>(bytes.data()), size}; }
};

Inflated unpack(std::array<unsigned char, 34> input) {
    Inflated out{};
    z_stream stream{};
    stream.zalloc = [](voidpf, uInt items, uInt size) { return std::calloc(items, size); };
    stream.zfree = [](voidpf, voidpf address) { std::free(address); };
    REQUIRE(inflateInit2(&stream, 15 + 16) == Z_OK);
    stream.next_in = input.data();
    stream.avail_in = static_cast<uInt>(input.size());
    stream.next_out = out.bytes.data();
    stream.avail_out = static_cast<uInt>(out.bytes.size());
    out.status = inflate(&stream, Z_FINISH);
    out.size = stream.total_out;
    inflateEnd(&stream);
    return out;
}

TEST_CASE("inflate unpacks what gzip packed") {
    const Inflated out = unpack(packed);
    CHECK(out.status == Z_STREAM_END);
    CHECK(out.text() == "a lentil, a lentil, a lentil\n");
}

TEST_CASE("inflate notices a flipped bit in data and in checksum") {
    for (const size_t at : {size_t{12}, packed.size() - 8}) {
        auto broken = packed;
        broken[at] ^= 1;
        CHECK(unpack(broken).status == Z_DATA_ERROR);
    }
}

TEST_CASE("libfdt reads what it wrote, and refuses a tree with a wrong magic number") {
    std::array<char, 512> tree{};
    const int size = static_cast<int>(tree.size());
    REQUIRE(fdt_create(tree.data(), size) == 0);
    REQUIRE(fdt_finish_reservemap(tree.data()) == 0);
    REQUIRE(fdt_begin_node(tree.data(), "") == 0);
    REQUIRE(fdt_begin_node(tree.data(), "chosen") == 0);
    REQUIRE(fdt_property_string(tree.data(), "bootargs", "quiet") == 0);
    REQUIRE(fdt_end_node(tree.data()) == 0);
    REQUIRE(fdt_end_node(tree.data()) == 0);
    REQUIRE(fdt_finish(tree.data()) == 0);
    REQUIRE(fdt_check_header(tree.data()) == 0);
    const int chosen = fdt_path_offset(tree.data(), "/chosen");
    REQUIRE(chosen > 0);
    const char* words = static_cast<const char*>(fdt_getprop(tree.data(), chosen, "bootargs", nullptr));
    REQUIRE(words);
    CHECK(std::string_view(words) == "quiet");
    tree[0] = 0;
    CHECK(fdt_check_header(tree.data()) == -FDT_ERR_BADMAGIC);
}

} // namespace

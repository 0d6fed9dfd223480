// SPDX-License-Identifier: BSD-2-Clause
// Device trees as boards and firmware hand them over, good and bad, and what the kernel makes of them.
#include <algorithm>
#include <cstring>
#include <doctest/doctest.h>
#include <libfdt/libfdt.h>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <platform/boot_memory.hpp>
#include <platform/boot_tree.hpp>

using namespace lentil;
using namespace lentil::platform;
using machine::BootInfo;

namespace lentil::machine {
BootInfo boot_info;
}

namespace {

constexpr uint64_t mib = 1 << 20;
constexpr paddr_t memory_limit = paddr_t{1} << 37;

/// Writes a blob node by node.
class TreeWriter {
public:
    TreeWriter() : blob_(64 << 10) {
        fdt_create(blob_.data(), static_cast<int>(blob_.size()));
        fdt_finish_reservemap(blob_.data());
        begin("");
    }
    TreeWriter& begin(const std::string& name) { return ok(fdt_begin_node(blob_.data(), name.c_str())); }
    TreeWriter& end() { return ok(fdt_end_node(blob_.data())); }
    TreeWriter& text(const char* name, const char* value) { return ok(fdt_property_string(blob_.data(), name, value)); }
    TreeWriter& cell(const char* name, uint32_t value) { return ok(fdt_property_u32(blob_.data(), name, value)); }
    TreeWriter& number(const char* name, uint64_t value) { return ok(fdt_property_u64(blob_.data(), name, value)); }
    TreeWriter& pairs(const char* name, const std::vector<uint64_t>& values) {
        std::vector<fdt64_t> big;
        for (const uint64_t v : values)
            big.push_back(cpu_to_fdt64(v));
        return ok(fdt_property(blob_.data(), name, big.data(), static_cast<int>(8 * big.size())));
    }
    TreeWriter& bytes(const char* name, const std::string& value) {
        return ok(fdt_property(blob_.data(), name, value.data(), static_cast<int>(value.size())));
    }
    std::vector<char> finish() {
        end();
        REQUIRE(fdt_finish(blob_.data()) == 0);
        blob_.resize(fdt_totalsize(blob_.data()));
        return blob_;
    }

private:
    TreeWriter& ok(int error) {
        REQUIRE(error == 0);
        return *this;
    }
    std::vector<char> blob_;
};

struct Hart {
    uint32_t id;
    const char* mmu = "riscv,sv39";
    const char* status = nullptr;
    const char* isa = "rv64imafdc_zicsr_sstc";
    uint32_t zero_block = 0;
};

/// What a test leaves out or changes of an ordinary board.
struct Board {
    std::vector<Hart> harts = {{0}, {1}, {2}, {3}};
    std::vector<uint64_t> memory = {0x80000000, 128 * mib};
    uint32_t timebase = 10000000;
    std::vector<uint64_t> reserved = {0x80000000, 0x80000};
    uint64_t initrd_start = 0x84000000, initrd_end = 0x84100123;

    std::vector<char> blob() const {
        TreeWriter w;
        w.cell("#address-cells", 2).cell("#size-cells", 2).text("model", "board,of,a,test");
        w.begin("chosen").text("bootargs", "console=ttyS0 quiet").bytes("rng-seed", std::string(32, '\x5a'));
        if (initrd_end != 0)
            w.number("linux,initrd-start", initrd_start).number("linux,initrd-end", initrd_end);
        w.end().begin("cpus").cell("#address-cells", 1).cell("#size-cells", 0);
        if (timebase != 0)
            w.cell("timebase-frequency", timebase);
        for (const Hart& h : harts) {
            w.begin("cpu@" + std::to_string(h.id))
                .text("device_type", "cpu")
                .cell("reg", h.id)
                .text("riscv,isa", h.isa);
            if (h.mmu)
                w.text("mmu-type", h.mmu);
            if (h.zero_block != 0)
                w.cell("riscv,cboz-block-size", h.zero_block);
            if (h.status)
                w.text("status", h.status);
            w.end();
        }
        w.end();
        for (size_t i = 0; i < memory.size(); i += 2)
            w.begin("memory@" + std::to_string(i))
                .text("device_type", "memory")
                .pairs("reg", {memory[i], memory[i + 1]})
                .end();
        w.begin("reserved-memory").cell("#address-cells", 2).cell("#size-cells", 2).bytes("ranges", "");
        for (size_t i = 0; i < reserved.size(); i += 2)
            w.begin("kept@" + std::to_string(i)).pairs("reg", {reserved[i], reserved[i + 1]}).end();
        return w.end().finish();
    }
};

struct Reading {
    BootInfo info;
    TreeFacts facts;
    std::string complaint;
};

/// From a heap block of exactly the blob's length, so that the sanitizer sees any step outside.
std::unique_ptr<Reading> read(const std::vector<char>& blob, uint64_t boot_hart) {
    auto r = std::make_unique<Reading>();
    const std::unique_ptr<char[]> copy(new char[blob.size()]);
    std::copy(blob.begin(), blob.end(), copy.get());
    DeviceTree tree;
    const char* complaint = tree.open(copy.get(), blob.size());
    if (!complaint)
        complaint = read_boot_tree(tree, boot_hart, memory_limit, r->info, r->facts);
    r->complaint = complaint ? complaint : "";
    return r;
}

bool reserved(const BootInfo& info, paddr_t address) {
    for (unsigned i = 0; i < info.reserved_count; i++)
        if (address - info.reserved[i].start < info.reserved[i].size)
            return true;
    return false;
}

} // namespace

TEST_CASE("an ordinary board is read completely") {
    const auto r = read(Board().blob(), 2);
    CHECK(r->complaint == "");
    const BootInfo& info = r->info;
    CHECK(info.hart_count == 4);
    CHECK(info.boot_hart == 2);
    CHECK(info.memory_count == 1);
    CHECK(info.memory[0].start == 0x80000000);
    CHECK(info.memory[0].size == 128 * mib);
    CHECK(reserved(info, 0x80000000));
    CHECK(reserved(info, 0x8007ffff));
    CHECK_FALSE(reserved(info, 0x80080000));
    CHECK(info.initrd.start == 0x84000000);
    CHECK(info.initrd.size == 0x100123);
    CHECK(reserved(info, 0x84100fff));
    CHECK_FALSE(reserved(info, 0x84101000));
    CHECK(std::string(info.command_line) == "console=ttyS0 quiet");
    CHECK(std::string(info.model) == "board,of,a,test");
    CHECK(info.rng_seed_size == 32);
    CHECK(info.hwcap == 0x112d);
    CHECK(r->facts.ticks_per_second == 10000000);
    CHECK(r->facts.sstc);
}

TEST_CASE("harts without an MMU or disabled are left alone, ids may have holes") {
    Board board;
    board.harts = {{0, nullptr},        {4}, {17}, {18, "riscv,sv39", "disabled"}, {300, "riscv,sv57", "okay"},
                   {301, "riscv,none"}, {4}};
    const auto r = read(board.blob(), 300);
    CHECK(r->complaint == "");
    REQUIRE(r->info.hart_count == 3);
    CHECK(r->info.harts[0].id == 4);
    CHECK(r->info.harts[1].id == 17);
    CHECK(r->info.harts[2].id == 300);
    CHECK(r->info.boot_hart == 2);
}

TEST_CASE("extensions count only if every hart in use has them; a hart that lacks the base is not used") {
    Board board;
    board.harts = {{0, nullptr, nullptr, "rv64imac"}, {1}, {2, "riscv,sv39", nullptr, "rv64imafdc"}};
    const auto r = read(board.blob(), 1);
    CHECK_FALSE(r->facts.sstc);
    CHECK(r->info.hwcap == 0x112d);
    // One that lacks letters of the boot hart's is left alone, and takes nothing from the others.
    board.harts.push_back({3, "riscv,sv39", nullptr, "rv64imac_sstc"});
    CHECK(read(board.blob(), 1)->info.hwcap == 0x112d);
    CHECK(read(board.blob(), 1)->info.hart_count == 2);
}

TEST_CASE("cbo.zero is used only if every usable hart has it, with blocks of one size") {
    constexpr const char* with = "rv64imafdc_zicboz_zicsr";
    Board board;
    const auto zero_block = [&](std::vector<Hart> harts) {
        board.harts = std::move(harts);
        return read(board.blob(), 1)->facts.zero_block;
    };
    CHECK(zero_block({{1, "riscv,sv39", nullptr, with, 64}, {2, "riscv,sv48", nullptr, with, 64}}) == 64);
    CHECK(zero_block({{0, nullptr, nullptr, "rv64imac"}, {1, "riscv,sv39", nullptr, with, 128}}) == 128);
    CHECK(zero_block({{1, "riscv,sv39", nullptr, with, 64}, {2, "riscv,sv39", nullptr, with, 128}}) == 0);
    CHECK(zero_block({{1, "riscv,sv39", nullptr, with, 64}, {2}}) == 0);
    CHECK(zero_block({{1}, {2, "riscv,sv39", nullptr, with, 64}}) == 0);
    CHECK(zero_block({{1, "riscv,sv39", nullptr, with}}) == 0);
    CHECK(zero_block({{1, "riscv,sv39", nullptr, "rv64imafdc", 64}}) == 0);
}

TEST_CASE("the boot hart has a place however many harts there are") {
    Board board;
    board.harts.clear();
    for (uint32_t i = 0; i < 100; i++)
        board.harts.push_back({i});
    const auto r = read(board.blob(), 99);
    CHECK(r->info.hart_count == max_harts);
    CHECK(r->info.harts[r->info.boot_hart].id == 99);
}

TEST_CASE("ISA strings of all ages are understood") {
    CHECK(isa_has("rv64imafdch_zicsr_zifencei_sstc", "sstc"));
    CHECK(isa_has("rv64imafdch_zicsr_zifencei_sstc", "h"));
    CHECK_FALSE(isa_has("rv64imafdch_zicsr_zifencei_sstc", "ss"));
    CHECK(isa_has("rv64gc", "d"));
    CHECK(isa_has("rv64imafdcsu", "c"));
    CHECK_FALSE(isa_has("rv64imafdcsu", "su"));
    CHECK_FALSE(isa_has("rv64imac_xtheadba", "d"));
    CHECK_FALSE(isa_has("rv32imafdc", "d"));
    CHECK_FALSE(isa_has("", "d"));
}

TEST_CASE("a boot hart that lacks floating point leaves the others in use, and takes it from all") {
    Board board;
    board.harts = {{1, "riscv,sv39", nullptr, "rv64imac"}, {2}, {3, "riscv,sv39", nullptr, "rv64ima"}};
    const auto r = read(board.blob(), 1);
    CHECK(r->complaint == "");
    REQUIRE(r->info.hart_count == 2);
    CHECK(r->info.harts[1].id == 2);
    CHECK(r->info.hwcap == 0x1105); // i, m, a and c
    CHECK(r->facts.lesser_harts == 1);
}

TEST_CASE("the extensions of long ISA strings are all known, and no half name is taken for a whole one") {
    std::string isa = "rv64imafdch";
    for (int i = 0; i < 40; i++)
        isa += "_zlongname" + std::to_string(i);
    isa += "_sstc";
    Board board;
    board.harts = {{0, "riscv,sv39", nullptr, isa.c_str()}};
    CHECK(read(board.blob(), 0)->facts.sstc);

    const size_t room = sizeof machine::HartInfo::isa;
    for (size_t fill = room - 24; fill < room + 8; fill++) {
        isa = "rv64imafdc_z";
        isa.append(fill - isa.size(), 'x');
        isa += "_zfhmin";
        board.harts = {{0, "riscv,sv39", nullptr, isa.c_str()}};
        const auto r = read(board.blob(), 0);
        CHECK_FALSE(isa_has(r->info.harts[0].isa, "zfh"));
        CHECK(isa_has(r->info.harts[0].isa, "zfhmin") == (isa.size() < room));
    }
}

TEST_CASE("what is missing or impossible is said in words") {
    Board board;
    SUBCASE("boot hart") { CHECK(read(board.blob(), 9)->complaint.find("boot hart") != std::string::npos); }
    SUBCASE("no memory") {
        board.memory = {};
        CHECK(read(board.blob(), 0)->complaint.find("no memory") != std::string::npos);
    }
    SUBCASE("little memory") {
        board.memory = {0x80000000, 8 * mib - 4096};
        CHECK(read(board.blob(), 0)->complaint.find("too little memory") != std::string::npos);
        board.memory = {0x80000000, 8 * mib};
        board.initrd_end = 0;
        CHECK(read(board.blob(), 0)->complaint == "");
    }
    SUBCASE("memory out of reach") {
        board.memory = {memory_limit, 128 * mib};
        CHECK(read(board.blob(), 0)->complaint != "");
    }
    SUBCASE("timebase") {
        for (const uint32_t bad : {0u, 1u, 4'100'000'000u}) {
            board.timebase = bad;
            CHECK(read(board.blob(), 0)->complaint.find("timebase") != std::string::npos);
        }
    }
    SUBCASE("initrd outside memory") {
        board.initrd_end = 0x80000000 + 128 * mib + 1;
        CHECK(read(board.blob(), 0)->complaint.find("initrd") != std::string::npos);
    }
    SUBCASE("initrd that ends before it starts") {
        board.initrd_end = board.initrd_start - 1;
        CHECK(read(board.blob(), 0)->complaint.find("initrd") != std::string::npos);
    }
    SUBCASE("wrong magic") {
        auto blob = board.blob();
        blob[0] = 0;
        CHECK(read(blob, 0)->complaint.find("magic") != std::string::npos);
    }
    SUBCASE("structure damaged where nobody looks") {
        auto blob = board.blob();
        blob[fdt_off_dt_struct(blob.data()) + fdt_size_dt_struct(blob.data()) - 1] = 7; // instead of the end mark
        CHECK(read(blob, 0)->complaint == "the device tree is damaged");
    }
    SUBCASE("too many reservations") {
        for (uint64_t i = 1; i < 40; i++)
            board.reserved.insert(board.reserved.end(), {0x80000000 + 2 * i * mib, 4096});
        CHECK(read(board.blob(), 0)->complaint.find("reserves too many") != std::string::npos);
    }
}

TEST_CASE("memory that wraps around the address space is not believed") {
    Board board;
    board.memory = {0x80000000, 64 * mib, 0xfffffffffffff000, 0x2000};
    board.initrd_end = 0;
    const auto r = read(board.blob(), 0);
    CHECK(r->info.memory_count == 1);
}

TEST_CASE("overlapping and touching memory becomes one range, in order") {
    Board board;
    board.memory = {0x90000000, 16 * mib, 0x80000000, 16 * mib, 0x80800000, 16 * mib, 0x81800000, 8 * mib};
    board.initrd_end = 0;
    const auto r = read(board.blob(), 0);
    REQUIRE(r->info.memory_count == 2);
    CHECK(r->info.memory[0].start == 0x80000000);
    CHECK(r->info.memory[0].size == 32 * mib);
    CHECK(r->info.memory[1].start == 0x90000000);
}

TEST_CASE("registers are translated through the buses above") {
    TreeWriter w;
    w.cell("#address-cells", 2).cell("#size-cells", 2);
    w.begin("soc").cell("#address-cells", 1).cell("#size-cells", 1);
    fdt32_t ranges[] = {cpu_to_fdt32(0x1000), cpu_to_fdt32(1), cpu_to_fdt32(0x20000000), cpu_to_fdt32(0x100)};
    w.bytes("ranges", std::string(reinterpret_cast<char*>(ranges), sizeof ranges));
    fdt32_t inside[] = {cpu_to_fdt32(0x1080), cpu_to_fdt32(0x80)},
            outside[] = {cpu_to_fdt32(0x1081), cpu_to_fdt32(0x80)};
    w.begin("a@1080").bytes("reg", std::string(reinterpret_cast<char*>(inside), sizeof inside)).end();
    w.begin("b@1081").bytes("reg", std::string(reinterpret_cast<char*>(outside), sizeof outside)).end();
    const auto blob = w.end().finish();
    DeviceTree tree;
    REQUIRE(tree.open(blob.data(), blob.size()) == nullptr);
    const auto region = tree.find("/soc/a@1080").reg(0);
    REQUIRE(region.has_value());
    CHECK(region->start == 0x120000080);
    CHECK(region->size == 0x80);
    CHECK_FALSE(tree.find("/soc/a@1080").reg(1).has_value());
    CHECK_FALSE(tree.find("/soc/b@1081").reg(0).has_value());
}

TEST_CASE("a tree cut off at any length is refused") {
    const auto whole = Board().blob();
    for (size_t length = 0; length < whole.size(); length++)
        CHECK(read({whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length)}, 0)->complaint != "");
}

TEST_CASE("damaged trees are refused or give a consistent result") {
    const auto whole = Board().blob();
    std::mt19937 random(20240607);
    unsigned accepted = 0;
    for (int round = 0; round < 20000; round++) {
        auto blob = whole;
        for (unsigned i = 1 + random() % 4; i > 0; i--)
            blob[random() % blob.size()] = static_cast<char>(random() % 4 == 0 ? 0xff : random());
        const auto r = read(blob, random() % 4);
        if (r->complaint != "")
            continue;
        accepted++;
        const BootInfo& info = r->info;
        REQUIRE(info.hart_count <= max_harts);
        REQUIRE(info.boot_hart < info.hart_count);
        REQUIRE(info.memory_count <= 16);
        REQUIRE(info.reserved_count <= 24);
        REQUIRE(std::memchr(info.command_line, 0, sizeof info.command_line) != nullptr);
        for (unsigned i = 0; i < info.memory_count; i++) {
            REQUIRE(is_page_aligned(info.memory[i].start | info.memory[i].size));
            REQUIRE(info.memory[i].start + info.memory[i].size <= memory_limit);
            if (i > 0)
                REQUIRE(info.memory[i - 1].start + info.memory[i - 1].size < info.memory[i].start);
        }
        for (unsigned i = 0; i < info.reserved_count; i++)
            REQUIRE(info.reserved[i].start + info.reserved[i].size > info.reserved[i].start);
    }
    CHECK(accepted > 100); // else the checks above saw nothing
}

TEST_CASE("boot memory comes from what nothing reserved, and is reserved then") {
    BootInfo info;
    info.memory[0] = {0x80000000, 1 * mib};
    info.memory[1] = {0x90000000, 1 * mib};
    info.memory_count = 2;
    CHECK(boot_memory_reserve(info, 0x80000000, 0x1001));
    CHECK(boot_memory_reserve(info, 0x80004000, 0x1000));
    CHECK(boot_memory_find(info, 0x2000) == 0x80002000);
    CHECK(info.reserved_count == 1); // they touch now
    CHECK(boot_memory_find(info, 0x1000) == 0x80005000);
    CHECK(boot_memory_find(info, mib) == 0x90000000);
    CHECK(boot_memory_find(info, mib) == 0);
}

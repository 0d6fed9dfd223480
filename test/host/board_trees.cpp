// SPDX-License-Identifier: BSD-2-Clause
// The device trees of real boards, as Debian's kernel and U-Boot packages have them: what the kernel makes of them.
#include <doctest/doctest.h>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <platform/boot_tree.hpp>
#include <platform/interrupts.hpp>

using namespace lentil;
using namespace lentil::platform;

namespace lentil::machine {
BootInfo boot_info;
}
namespace {
DeviceTree tree;
}
DeviceTree& lentil::platform::device_tree() { return tree; }

namespace {

constexpr paddr_t memory_limit = paddr_t{1} << 37;
constexpr uint64_t gib = uint64_t{1} << 30;

std::vector<char> blob;

void read_file(const std::string& name) {
    std::ifstream file(std::string(BOARD_FILES) + "/" + name, std::ios::binary);
    REQUIRE(file);
    blob.assign(std::istreambuf_iterator<char>(file), {});
}

/// What a board is expected to have.
struct Board {
    const char* file;
    std::vector<uint64_t> harts;
    uint64_t memory_start, memory_size;
    const char* uart;
    paddr_t uart_at;
    uint64_t ticks_per_second;
    const char* controller;
    paddr_t controller_at;
    unsigned context; ///< of the boot hart
};

Node first_compatible(const char* name) {
    for (Node node = tree.root(); node; node = tree.next(node))
        if (node.compatible_with(name) && node.enabled())
            return node;
    return {};
}

void check_board(const Board& board, uint64_t boot_hart) {
    CAPTURE(board.file);
    REQUIRE(tree.open(blob.data(), blob.size()) == nullptr);
    machine::boot_info = {};
    TreeFacts facts;
    const char* const wrong = read_boot_tree(tree, boot_hart, memory_limit, machine::boot_info, facts);
    REQUIRE_MESSAGE(wrong == nullptr, wrong);
    const machine::BootInfo& info = machine::boot_info;

    std::vector<uint64_t> harts;
    for (unsigned i = 0; i < info.hart_count; i++)
        harts.push_back(info.harts[i].id);
    CHECK(harts == board.harts);
    CHECK(info.harts[info.boot_hart].id == boot_hart);
    for (unsigned i = 0; i < info.hart_count; i++)
        CHECK(isa_has(info.harts[i].isa, "d"));
    CHECK(facts.ticks_per_second == board.ticks_per_second);
    CHECK_FALSE(facts.sstc);

    CHECK(info.memory[0].start == board.memory_start);
    uint64_t total = 0;
    for (unsigned i = 0; i < info.memory_count; i++)
        total += info.memory[i].size;
    CHECK(total == board.memory_size);

    const Node uart = console_node(tree);
    REQUIRE(bool(uart));
    CHECK(uart.compatible_with(board.uart));
    CHECK(uart.enabled());
    REQUIRE(uart.reg(0));
    CHECK(uart.reg(0)->start == board.uart_at);

    const Node controller = first_compatible(board.controller);
    REQUIRE(bool(controller));
    REQUIRE(controller.reg(0));
    CHECK(controller.reg(0)->start == board.controller_at);
    const auto context = supervisor_context(controller);
    REQUIRE(context);
    CHECK(context->hart == info.boot_hart);
    CHECK(context->number == board.context);
}

const Board unleashed{.file = "dtb/sifive/hifive-unleashed-a00.dtb",
                      .harts = {1, 2, 3, 4},
                      .memory_start = 0x80000000,
                      .memory_size = 8 * gib,
                      .uart = "sifive,uart0",
                      .uart_at = 0x10010000,
                      .ticks_per_second = 1'000'000,
                      .controller = "sifive,plic-1.0.0",
                      .controller_at = 0xc000000,
                      .context = 2};
const Board unmatched{.file = "dtb/sifive/hifive-unmatched-a00.dtb",
                      .harts = {1, 2, 3, 4},
                      .memory_start = 0x80000000,
                      .memory_size = 16 * gib,
                      .uart = "sifive,uart0",
                      .uart_at = 0x10010000,
                      .ticks_per_second = 1'000'000,
                      .controller = "sifive,plic-1.0.0",
                      .controller_at = 0xc000000,
                      .context = 2};

Board starfive(const char* file, uint64_t memory) {
    return {.file = file,
            .harts = {1, 2, 3, 4},
            .memory_start = 0x40000000,
            .memory_size = memory,
            .uart = "snps,dw-apb-uart",
            .uart_at = 0x10000000,
            .ticks_per_second = 4'000'000,
            .controller = "sifive,plic-1.0.0",
            .controller_at = 0xc000000,
            .context = 2};
}

} // namespace

TEST_CASE("HiFive Unleashed: four harts besides the E51, 8 GiB, its UART and interrupt controller") {
    read_file(unleashed.file);
    check_board(unleashed, 1);
}

TEST_CASE("HiFive Unleashed: any of its application harts may be the boot hart") {
    read_file(unleashed.file);
    for (unsigned hart = 1; hart <= 4; hart++) {
        Board board = unleashed;
        board.context = 2 * hart; // the E51 has one context, the others two each
        check_board(board, hart);
    }
}

TEST_CASE("HiFive Unmatched: four harts besides the S7, 16 GiB, its UART and interrupt controller") {
    read_file(unmatched.file);
    check_board(unmatched, 1);
}

TEST_CASE("VisionFive 2: four harts besides the S7, its UART and interrupt controller") {
    const Board board = starfive("dtb/starfive/jh7110-starfive-visionfive-2-v1.3b.dtb", 4 * gib);
    read_file(board.file);
    check_board(board, 1);
}

TEST_CASE("Star64: four harts besides the S7, its UART and interrupt controller") {
    const Board board = starfive("dtb/starfive/jh7110-pine64-star64.dtb", 4 * gib);
    read_file(board.file);
    check_board(board, 1);
}

TEST_CASE("Icicle: four harts besides the E51, its UART and interrupt controller") {
    const Board board{.file = "dtb/microchip/mpfs-icicle-kit.dtb",
                      .harts = {1, 2, 3, 4},
                      .memory_start = 0x80000000,
                      .memory_size = 2 * gib,
                      .uart = "ns16550a",
                      .uart_at = 0x20100000,
                      .ticks_per_second = 1'000'000,
                      .controller = "sifive,plic-1.0.0",
                      .controller_at = 0xc000000,
                      .context = 2};
    read_file(board.file);
    check_board(board, 1);
}

TEST_CASE("U-Boot's own trees of the HiFive boards give the same") {
    for (const auto& [name, board] : {std::pair{"unleashed", unleashed}, std::pair{"unmatched", unmatched}}) {
        read_file(std::string("u-boot/sifive_") + name + "/u-boot.itb");
        // The file is itself a tree, with the board's as a property.
        const std::vector<char> file = blob;
        REQUIRE(tree.open(file.data(), file.size()) == nullptr);
        const auto inner = tree.find("/images/fdt-1").data("data");
        REQUIRE(inner);
        blob.assign(inner->begin(), inner->end());
        check_board(board, 1);
    }
}

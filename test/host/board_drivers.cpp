// SPDX-License-Identifier: BSD-2-Clause
// Drivers of SiFive's boards on registers that are plain memory, placed where the boards' own device trees say.
#include "glue.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/mman.h>
#include <vector>

#include <platform/boot_tree.hpp>
#include <platform/interrupts.hpp>

using namespace lentil;
using namespace lentil::platform;

namespace {
DeviceTree tree;
nanos_t now = 0;
PowerSwitch last_power = nullptr;
std::vector<uint32_t> pin_levels; ///< while somebody waited
const uint32_t* pin_register = nullptr;
InterruptController* controller = nullptr;
struct Handler {
    void (*call)(void*);
    void* context;
};
std::vector<Handler> handlers;
} // namespace

namespace lentil::machine {
BootInfo boot_info;
/// Time passes in large steps: nobody waits twice.
nanos_t now_ns() {
    if (pin_register && (pin_levels.empty() || pin_levels.back() != *pin_register))
        pin_levels.push_back(*pin_register);
    return now += 2'000'000'000;
}
void explore_relax() {}
} // namespace lentil::machine

namespace lentil::platform {
DeviceTree& device_tree() { return tree; }
std::optional<Mmio> registers_of(Node node, unsigned i, uint64_t least) {
    const auto region = node.reg(i);
    return region && region->size >= least ? std::optional(Mmio(region->start, region->size)) : std::nullopt;
}
void last_power_offer(PowerSwitch act) { last_power = act; }
void interrupt_controller_add(InterruptController& added) { controller = &added; }
void InterruptController::dispatch(uint32_t) {}
bool irq_attach(Node, void (*call)(void*), void* context, unsigned) {
    handlers.push_back({call, context});
    return true;
}
} // namespace lentil::platform

namespace {

/// Memory in the place of a device's registers, all zero.
class Registers {
public:
    Registers(paddr_t start, size_t size) : size_(size) {
        void* const place = machine::direct_map(start);
        words_ = static_cast<uint32_t*>(mmap(place, size, PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0));
        REQUIRE(static_cast<void*>(words_) == place);
    }
    Registers(const Registers&) = delete;
    Registers& operator=(const Registers&) = delete;
    ~Registers() { munmap(words_, size_); }
    uint32_t& operator[](uint64_t offset) { return words_[offset / 4]; }

private:
    uint32_t* words_;
    size_t size_;
};

std::vector<char> blob;
void open_tree(const std::string& board, uint64_t boot_hart = 1) {
    std::ifstream file(std::string(BOARD_FILES) + "/dtb/sifive/hifive-" + board + "-a00.dtb", std::ios::binary);
    REQUIRE(file);
    blob.assign(std::istreambuf_iterator<char>(file), {});
    REQUIRE(tree.open(blob.data(), blob.size()) == nullptr);
    machine::boot_info = {};
    TreeFacts facts;
    REQUIRE(read_boot_tree(tree, boot_hart, paddr_t{1} << 37, machine::boot_info, facts) == nullptr);
}
Node compatible(const char* name) {
    for (Node node = tree.root(); node; node = tree.next(node))
        if (node.compatible_with(name))
            return node;
    return {};
}
Node card_slot() { return compatible("mmc-spi-slot"); }

constexpr uint32_t pll(uint32_t r, uint32_t f, uint32_t q) { return r | f << 6 | q << 15 | 1 << 25; }

} // namespace

TEST_CASE("the clock of the Unleashed's peripherals is half the core's") {
    open_tree("unleashed");
    Registers prci(0x10000000, 0x1000);
    prci[0x04] = pll(0, 59, 2); // 33.33 MHz * 2 * 60 / 4
    CHECK(clock_rate(card_slot().parent()) == 33'333'333ull * 30 / 2);
    CHECK(clock_rate(console_node(tree)) == 33'333'333ull * 30 / 2);
    prci[0x04] = pll(1, 59, 3);
    CHECK(clock_rate(card_slot().parent()) == 33'333'333ull / 2 * 120 / 8 / 2);
    prci[0x04] = pll(0, 59, 2) | 1 << 24; // bypassed
    CHECK(clock_rate(card_slot().parent()) == 33'333'333ull / 2);
    prci[0x04] = pll(0, 59, 2);
    prci[0x24] = 1; // the input itself
    CHECK(clock_rate(card_slot().parent()) == 33'333'333ull / 2);
}

TEST_CASE("the Unmatched's peripherals have a clock of their own") {
    open_tree("unmatched");
    Registers prci(0x10000000, 0x1000);
    prci[0x04] = pll(0, 76, 2);
    prci[0x50] = pll(0, 39, 3); // 26 MHz * 2 * 40 / 8
    prci[0x5c] = 0;             // divided by 2
    CHECK(clock_rate(card_slot().parent()) == 130'000'000);
    CHECK(clock_rate(console_node(tree)) == 130'000'000);
    prci[0x5c] = 3;
    CHECK(clock_rate(card_slot().parent()) == 52'000'000);
    prci[0x58] = 1;
    CHECK(clock_rate(card_slot().parent()) == 26'000'000 / 5);
}

TEST_CASE("a device without a clock that is known has none") {
    open_tree("unmatched");
    Registers prci(0x10000000, 0x1000);
    CHECK(clock_rate(tree.root()) == 0);
    CHECK(clock_rate(compatible("sifive,plic-1.0.0")) == 0);
}

TEST_CASE("the Unmatched's power pin is driven low, high and low, and nothing else") {
    open_tree("unmatched");
    const Node node = compatible("gpio-poweroff");
    REQUIRE(bool(node));
    Registers gpio(0x10060000, 0x1000);
    gpio[0x04] = 0xff; // all pins are inputs
    gpio[0x0c] = 0xf0; // the level
    gpio[0x40] = 0x0f; // inverted
    last_power = nullptr;
    REQUIRE(gpio_poweroff_probe(node) == nullptr);
    REQUIRE(bool(last_power));
    CHECK(gpio[0x08] == 0); // not before it is asked
    pin_register = &gpio[0x0c];
    pin_levels.clear();
    last_power(machine::PowerAction::off);
    CHECK(pin_levels == std::vector<uint32_t>{0xf0, 0xf4, 0xf0});
    CHECK(gpio[0x08] == 4);
    CHECK(gpio[0x04] == 0xfb);
    CHECK(gpio[0x40] == 0x0b);
    pin_levels.clear();
    last_power(machine::PowerAction::reboot); // there is no pin for that
    CHECK(pin_levels.empty());
    pin_register = nullptr;
}

TEST_CASE("the Unleashed's reset pin is driven low, high and low") {
    open_tree("unleashed");
    const Node node = compatible("gpio-restart");
    REQUIRE(bool(node));
    Registers gpio(0x10060000, 0x1000);
    REQUIRE(gpio_restart_probe(node) == nullptr);
    pin_register = &gpio[0x0c];
    pin_levels.clear();
    last_power(machine::PowerAction::reboot);
    CHECK(pin_levels == std::vector<uint32_t>{0, 1 << 10, 0});
    CHECK(gpio[0x08] == 1 << 10);
    pin_register = nullptr;
}

TEST_CASE("the interrupt controller is set up for the boot hart's supervisor alone") {
    for (unsigned hart = 1; hart <= 4; hart++) {
        CAPTURE(hart);
        open_tree("unleashed", hart);
        Registers plic(0xc000000, 0x4000000);
        const unsigned context = 2 * hart;
        for (unsigned i = 1; i <= 53; i++)
            plic[4 * i] = 7;
        plic[0x2000 + 0x80 * context] = ~0u;
        plic[0x2004 + 0x80 * context] = ~0u;
        plic[0x200000 + 0x1000 * context] = 7;
        controller = nullptr;
        REQUIRE(plic_probe(compatible("sifive,plic-1.0.0")) == nullptr);
        REQUIRE(bool(controller));
        CHECK(controller->hart == hart - 1);
        for (unsigned i = 1; i <= 53; i++)
            CHECK(plic[4 * i] == 0);
        CHECK(plic[0x2000 + 0x80 * context] == 0);
        CHECK(plic[0x2004 + 0x80 * context] == 0);
        CHECK(plic[0x200000 + 0x1000 * context] == 0);
        CHECK(controller->enable(4, 0));
        CHECK(controller->enable(53, 0));
        CHECK_FALSE(controller->enable(54, 0));
        CHECK_FALSE(controller->enable(0, 0));
        CHECK(plic[4 * 4] == 1);
        CHECK(plic[4 * 53] == 1);
        CHECK(plic[0x2000 + 0x80 * context] == 1 << 4);
        CHECK(plic[0x2004 + 0x80 * context] == 1 << 21);
        // Firmware that starts this hart after all that resets what it finds.
        plic[0x2000 + 0x80 * context] = plic[0x2004 + 0x80 * context] = 0;
        plic[0x200000 + 0x1000 * context] = 7;
        controller->hart_is_up();
        CHECK(plic[0x2000 + 0x80 * context] == 1 << 4);
        CHECK(plic[0x2004 + 0x80 * context] == 1 << 21);
        CHECK(plic[0x200000 + 0x1000 * context] == 0);
        for (unsigned other = 0; other < 9; other++)
            if (other != context) {
                CHECK(plic[0x2000 + 0x80 * other] == 0);
                CHECK(plic[0x2004 + 0x80 * other] == 0);
            }
    }
}

TEST_CASE("memory errors that the second-level cache reports are said, and not without end") {
    for (const char* board : {"unleashed", "unmatched"}) {
        open_tree(board);
        Registers cache(0x2010000, 0x4000);
        Node node =
            compatible(board == std::string("unleashed") ? "sifive,fu540-c000-ccache" : "sifive,fu740-c000-ccache");
        REQUIRE(bool(node));
        handlers.clear();
        REQUIRE(sifive_cache_probe(node) == nullptr);
        REQUIRE(handlers.size() == 4); // the controller has no fourth on the Unleashed
        cache[0x160] = 0x81234560;
        cache[0x164] = 1;
        take_console();
        handlers[2].call(handlers[2].context);
        CHECK(take_console() == "L2 cache: data lost at 0x181234560\n");
        for (int i = 0; i < 100; i++)
            handlers[1].call(handlers[1].context);
        const std::string said = take_console();
        CHECK(std::count(said.begin(), said.end(), '\n') <= 16);
    }
}

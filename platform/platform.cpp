// SPDX-License-Identifier: BSD-2-Clause
// The driver table and what the found devices serve.
#include <algorithm>
#include <iterator>

#include <libkern/format.hpp>
#include <platform/driver.hpp>
#include <platform/platform.hpp>

namespace lentil::platform {

namespace {

/// In the order of probing: interrupts before their users.
constexpr Driver drivers[] = {
    {"sifive,test0", sifive_test_probe, true},
    {"sifive,plic-1.0.0", plic_probe},
    {"riscv,plic0", plic_probe},
    {"riscv,imsics", imsic_probe},
    {"riscv,aplic", aplic_probe},
    {"ns16550a", ns16550_probe},
    {"ns16550", ns16550_probe},
    {"snps,dw-apb-uart", ns16550_probe},
    {"sifive,uart0", sifive_uart_probe},
    {"google,goldfish-rtc", goldfish_rtc_probe},
    {"virtio,mmio", virtio_mmio_probe},
    {"gpio-restart", gpio_restart_probe},
    {"gpio-poweroff", gpio_poweroff_probe},
    {"sifive,fu540-c000-ccache", sifive_cache_probe},
    {"sifive,fu740-c000-ccache", sifive_cache_probe},
    {"mmc-spi-slot", mmc_spi_probe},
};

constinit DeviceTree the_tree;
constinit ClockReader the_clock = nullptr;
constinit struct {
    void (*ask)() = nullptr;
    void (*sink)(const void* bytes, size_t n) = nullptr;
} the_entropy;
constinit PowerSwitch the_power = nullptr, the_last_power = nullptr;

/// A node and the first driver of the table that fits it.
struct Match {
    const Driver* driver = nullptr;
    Node node;
};
constexpr unsigned most_matches = 128;

/// The property is looked up once: that is what costs.
const Driver* driver_of(Node node) {
    const auto words = node.data("compatible");
    if (!words)
        return nullptr;
    const std::string_view list(reinterpret_cast<const char*>(words->data()), words->size());
    const Driver* first = std::end(drivers);
    for (size_t at = 0, end; (end = list.find('\0', at)) != list.npos; at = end + 1)
        first = std::find_if(drivers, first,
                             [&](const Driver& driver) { return driver.compatible == list.substr(at, end - at); });
    return first == std::end(drivers) ? nullptr : first;
}

/// The tree is walked once; then the drivers come in their order.
void probe(bool early) {
    static constinit Match matches[most_matches];
    unsigned count = 0;
    for (Node node = the_tree.root(); node; node = the_tree.next(node))
        if (const Driver* const driver = driver_of(node); driver && driver->early == early && node.enabled()) {
            if (count == most_matches) {
                kprint("{}: too many devices; not used\n", node.name());
                continue;
            }
            matches[count++] = {driver, node};
        }
    for (const Driver& driver : drivers)
        for (unsigned i = 0; i < count; i++)
            if (matches[i].driver == &driver)
                if (const char* complaint = driver.probe(matches[i].node))
                    kprint("{}: {}\n", matches[i].node.name(), complaint);
}

} // namespace

DeviceTree& device_tree() { return the_tree; }
void probe_early_devices() { probe(true); }
void probe_devices() { probe(false); }

std::optional<Mmio> registers_of(Node node, unsigned i, uint64_t least) {
    const auto region = node.reg(i);
    if (!region || region->size < least || region->start + region->size > machine::direct_map_size)
        return std::nullopt;
    return Mmio(region->start, region->size);
}

void clock_offer(ClockReader read) { the_clock = read; }
nanos_t wall_clock_ns() { return the_clock ? the_clock() : 0; }

void entropy_offer(void (*ask)()) { the_entropy.ask = ask; }
void entropy_received(const void* bytes, size_t n) {
    if (the_entropy.sink)
        the_entropy.sink(bytes, n);
}
void entropy_connect(void (*sink)(const void*, size_t)) {
    the_entropy.sink = sink;
    entropy_ask();
}
void entropy_ask() {
    if (the_entropy.ask)
        the_entropy.ask();
}

void power_offer(PowerSwitch act) { the_power = act; }
void board_power(machine::PowerAction action) {
    if (the_power)
        the_power(action);
}
void last_power_offer(PowerSwitch act) { the_last_power = act; }
void last_board_power(machine::PowerAction action) {
    if (the_last_power)
        the_last_power(action);
}

} // namespace lentil::platform

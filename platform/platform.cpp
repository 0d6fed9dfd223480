// SPDX-License-Identifier: BSD-2-Clause
// The driver table and what the found devices serve.
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
constinit PowerSwitch the_power = nullptr, the_last_power = nullptr;

/// Whether an earlier entry of the table fits the node too: then it was probed already.
bool probed_before(const Driver& driver, Node node) {
    for (const Driver* d = drivers; d < &driver; d++)
        if (d->probe == driver.probe && node.compatible_with(d->compatible))
            return true;
    return false;
}

void probe(bool early) {
    for (const Driver& driver : drivers)
        for (Node node = the_tree.root(); driver.early == early && node; node = the_tree.next(node))
            if (node.compatible_with(driver.compatible) && node.enabled() && !probed_before(driver, node))
                if (const char* complaint = driver.probe(node))
                    kprint("{}: {}\n", node.name(), complaint);
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

size_t board_entropy(std::span<uint8_t>) { return 0; }

} // namespace lentil::platform

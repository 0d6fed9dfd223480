// SPDX-License-Identifier: BSD-2-Clause
// What drivers share: the table by which they are found, registers, interrupts.
#pragma once

#include <optional>

#include <machine/machine.hpp>
#include <platform/platform.hpp>

namespace lentil::platform {

/// Binds every enabled node with this "compatible". Returns a complaint (then the device is left alone) or nullptr.
struct Driver {
    std::string_view compatible;
    const char* (*probe)(Node node);
    bool early = false; ///< needed even if the boot fails: bound as soon as the tree is open
};

const char* plic_probe(Node node);
const char* ns16550_probe(Node node);
const char* sifive_uart_probe(Node node);
const char* goldfish_rtc_probe(Node node);
const char* sifive_test_probe(Node node);
const char* virtio_mmio_probe(Node node);
const char* aplic_probe(Node node);
const char* imsic_probe(Node node);
const char* gpio_restart_probe(Node node);
const char* gpio_poweroff_probe(Node node);
const char* sifive_cache_probe(Node node);
const char* mmc_spi_probe(Node node);

/// A device's registers, reached through the direct map.
class Mmio {
public:
    constexpr Mmio() = default;
    constexpr Mmio(paddr_t start, uint64_t size) : start_(start), size_(size) {}
    explicit operator bool() const { return size_ != 0; }
    uint64_t size() const { return size_; }

    template<class T>
    T read(uint64_t offset) const {
        return *static_cast<volatile T*>(at(offset));
    }
    template<class T>
    void write(uint64_t offset, T value) const {
        *static_cast<volatile T*>(at(offset)) = value;
    }
    uint32_t read32(uint64_t offset) const { return read<uint32_t>(offset); }
    void write32(uint64_t offset, uint32_t value) const { write<uint32_t>(offset, value); }

private:
    void* at(uint64_t offset) const { return machine::direct_map(start_ + offset); }
    paddr_t start_ = 0;
    uint64_t size_ = 0;
};

/// Registers `i` of a node if they exist, are at least `least` bytes long and lie where the kernel can reach them.
std::optional<Mmio> registers_of(Node node, unsigned i, uint64_t least);

/// Calls `handler(context)` for the device's first interrupt (or a further one), interrupts off. False if the tree names
/// no interrupt that our controller can deliver.
bool irq_attach(Node device, void (*handler)(void*), void* context, unsigned index = 0);

/// How many times a second the device's first clock ticks; 0 if nobody knows.
uint64_t clock_rate(Node device);

// ---- serial lines ------------------------------------------------------------------------------------------------

/// What a UART driver offers to the console.
struct Uart {
    /// Waits while the transmitter is full.
    void (*write)(std::string_view text);
    std::string_view name; ///< as the command line may ask for it (console=); empty for one that is never asked for
};

/// Called by a UART's probe. Returns whether this line became the console: the one that the command line names, else the one
/// that /chosen names, else the first.
bool console_offer(Node node, const Uart& uart);
/// Called by the console's UART for every byte received.
void console_received(char c);

// ---- the rest of the board ---------------------------------------------------------------------------------------

using ClockReader = nanos_t (*)();
using PowerSwitch = void (*)(machine::PowerAction);
/// A source of random bytes: `ask`, callable in any context, has entropy_received() called later.
void entropy_offer(void (*ask)());
void entropy_received(const void* bytes, size_t n);
void clock_offer(ClockReader read);
void power_offer(PowerSwitch act);
/// One that is asked after the firmware.
void last_power_offer(PowerSwitch act);

} // namespace lentil::platform

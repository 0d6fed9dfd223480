// SPDX-License-Identifier: BSD-2-Clause
// SiFive's SPI controller (manual of the FU540-C000, chapter "SPI") with an SD card on it: the board's disk. A thread moves
// the bytes, eight at a time as the FIFOs hold them; there is no DMA, and the card's pauses are short.
#include <libkern/format.hpp>
#include <platform/driver.hpp>
#include <platform/sd_card.hpp>
#include <sched/clock.hpp>
#include <sched/waitq.hpp>
#include <sync/spinlock.hpp>
#include <vfs/block.hpp>

namespace lentil::platform {

namespace {

enum Register : uint64_t {
    clock_divisor = 0x00,
    clock_mode = 0x04,
    chip = 0x10,
    chip_default = 0x14,
    chip_mode = 0x18,
    format = 0x40,
    transmit = 0x48,
    receive = 0x4c,
    flash_control = 0x60,
    interrupt_enable = 0x70,
};
constexpr uint32_t chip_auto = 0, chip_hold = 2;
constexpr uint32_t format_bytes = 8 << 16; ///< eight bits, one line, the first is the highest
constexpr uint32_t receive_empty = 1u << 31;
constexpr uint32_t chip_default_reset = 1;
constexpr unsigned fifo_depth = 8;
constexpr uint32_t clock_unknown = 500'000'000; ///< faster than any: the line is slower than it could be then
constexpr uint32_t mmc_major = 179, mmc_minors = 8;
constexpr unsigned tries = 3;

class SifiveSpi final : public SpiBus {
public:
    void init(const Mmio& registers, uint32_t clock_hz) {
        registers_ = registers;
        clock_hz_ = clock_hz;
        registers_.write32(interrupt_enable, 0);
        registers_.write32(flash_control, 0); // no memory-mapped flash
        registers_.write32(clock_mode, 0);
        registers_.write32(chip, 0);
        registers_.write32(chip_default, chip_default_reset);
        registers_.write32(chip_mode, chip_auto);
        registers_.write32(format, format_bytes);
        while (!(registers_.read32(receive) & receive_empty)) {
        }
    }
    void set_clock(uint32_t hz) override {
        // f = clock / (2 * (divisor + 1)), 12 bits
        const uint32_t divisor = (clock_hz_ + 2 * hz - 1) / (2 * hz) - 1;
        registers_.write32(clock_divisor, divisor < 0xfff ? divisor : 0xfff);
    }
    void select(bool on) override { registers_.write32(chip_mode, on ? chip_hold : chip_auto); }
    void idle(unsigned bytes) override {
        // Held at its other level the line is high: nobody is selected.
        registers_.write32(chip_default, 0);
        registers_.write32(chip_mode, chip_hold);
        exchange(nullptr, nullptr, bytes);
        registers_.write32(chip_default, chip_default_reset);
        registers_.write32(chip_mode, chip_auto);
    }
    void exchange(const uint8_t* out, uint8_t* in, size_t n) override {
        while (n > 0) {
            const unsigned part = n < fifo_depth ? static_cast<unsigned>(n) : fifo_depth;
            for (unsigned i = 0; i < part; i++)
                registers_.write32(transmit, out ? *out++ : 0xff);
            for (unsigned i = 0; i < part; i++) {
                uint32_t value;
                while ((value = registers_.read32(receive)) & receive_empty)
                    machine::cpu_relax();
                if (in)
                    *in++ = static_cast<uint8_t>(value);
            }
            n -= part;
        }
    }
    nanos_t now() override { return monotonic_ns(); }
    void pause(nanos_t ns) override { sleep_until(monotonic_ns() + ns, "sdcard", Interruptible::no); }

private:
    Mmio registers_;
    uint32_t clock_hz_ = 0;
};

/// The blocks of a request's segments.
class RequestBlocks final : public SdBlocks {
public:
    explicit RequestBlocks(const BlockRequest& request) : segments_(request.segments) {}
    uint8_t* next() override {
        while (segments_.front().bytes == at_) {
            segments_ = segments_.subspan(1);
            at_ = 0;
        }
        uint8_t* const block = static_cast<uint8_t*>(machine::direct_map(segments_.front().start + at_));
        at_ += SdCard::block_bytes;
        return block;
    }

private:
    std::span<const BlockSegment> segments_;
    uint32_t at_ = 0;
};

class CardDisk final : public BlockDevice {
public:
    constexpr CardDisk() : card_(bus_) {}
    void init(const Mmio& registers, uint32_t clock_hz, uint32_t fastest_hz, bool write_protected);
    Result<void> start() override;
    void submit(BlockRequest& request) override;

private:
    void serve();
    Result<void> transfer(const BlockRequest& request);

    SifiveSpi bus_;
    SdCard card_;
    uint32_t fastest_hz_ = 0;
    SpinLock<Rank::device> lock_; ///< waiting_
    BlockRequestQueue waiting_;
    Waitq work_;
};

constinit CardDisk disk;
constinit bool bound = false;

void CardDisk::init(const Mmio& registers, uint32_t clock_hz, uint32_t fastest_hz, bool write_protected) {
    bus_.init(registers, clock_hz);
    fastest_hz_ = fastest_hz;
    format_to(std::span(name).first(sizeof name - 1), "mmcblk0");
    major = mmc_major;
    minor_count = mmc_minors;
    has_cache = false; // a write ends when the cells are programmed
    read_only = write_protected;
    block_register(*this);
}

Result<void> CardDisk::start() {
    TRY(card_.start(fastest_hz_));
    sectors = card_.sectors();
    TRY(kernel_thread_start(
        "mmcblk0", [](void* self) { static_cast<CardDisk*>(self)->serve(); }, this));
    return {};
}

void CardDisk::submit(BlockRequest& request) {
    {
        const SpinGuard guard(lock_);
        waiting_.push_back(request);
    }
    work_.wake_all();
}

Result<void> CardDisk::transfer(const BlockRequest& request) {
    const uint32_t count = request.bytes() / SdCard::block_bytes;
    RequestBlocks blocks(request);
    return request.op == BlockOp::read ? card_.read(request.sector, count, blocks)
                                       : card_.write(request.sector, count, blocks);
}

void CardDisk::serve() {
    for (;;) {
        BlockRequest* request = nullptr;
        wait_until(
            work_, "sdcard",
            [&] {
                const SpinGuard guard(lock_);
                request = waiting_.pop_front();
                return request != nullptr;
            },
            Interruptible::no);
        Result<void> result = Errno::io;
        for (unsigned i = 0; i < tries && !result; i++) {
            result = transfer(*request);
            if (!result)
                card_.start(fastest_hz_).ok(); // from the beginning: it may be in the middle of the last transfer
        }
        request->failed = !result;
        if (!result)
            kprint("mmcblk0: {} of sector {} failed\n",
                   std::string_view(request->op == BlockOp::read ? "reading" : "writing"), request->sector);
        request->done(*request);
    }
}

} // namespace

const char* mmc_spi_probe(Node node) {
    if (bound)
        return "a second card; not used";
    const Node controller = node.parent();
    if (!controller.compatible_with("sifive,spi0") || !controller.enabled())
        return "no driver for the bus that it is on";
    const auto registers = registers_of(controller, 0, 0x78);
    if (!registers)
        return "bad device tree node of its bus (reg)";
    bound = true;
    const uint64_t rate = clock_rate(controller);
    disk.init(*registers, rate > 0 && rate < clock_unknown ? static_cast<uint32_t>(rate) : clock_unknown,
              node.cell("spi-max-frequency").value_or(20'000'000), false);
    return nullptr;
}

} // namespace lentil::platform

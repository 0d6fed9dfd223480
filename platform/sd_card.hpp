// SPDX-License-Identifier: BSD-2-Clause
// SD cards in SPI mode (SD Physical Layer Simplified Specification 9.0, chapter 7): commands, and blocks of 512 bytes, each
// with its checksum. Builds on the host too.
#pragma once

#include <libkern/result.hpp>
#include <platform/spi.hpp>

namespace lentil::platform {

/// Where block after block of a transfer lies: gives the next 512 bytes.
class SdBlocks {
public:
    virtual uint8_t* next() = 0;

protected:
    ~SdBlocks() = default;
};

class SdCard {
public:
    static constexpr uint32_t block_bytes = 512;

    explicit constexpr SdCard(SpiBus& bus) : bus_(bus) {}

    /// Wakes the card, whatever state the firmware left it in, and reads how large it is. nxio: nothing answers; io: what
    /// answers is no card that we know. `fastest_hz` is the board's limit.
    Result<void> start(uint32_t fastest_hz);
    uint64_t sectors() const { return sectors_; }
    bool high_capacity() const { return high_capacity_; }

    /// `count` blocks from `sector` on. io: the card said so, a checksum was wrong, or it took too long; then some of them
    /// may have been transferred.
    Result<void> read(uint64_t sector, uint32_t count, SdBlocks& to);
    Result<void> write(uint64_t sector, uint32_t count, SdBlocks& from);

private:
    struct Response {
        uint8_t first = 0xff; ///< R1
        uint32_t rest = 0;    ///< of R3 and R7
    };
    uint8_t byte();
    Result<Response> command(unsigned number, uint32_t argument, unsigned rest_bytes = 0);
    Result<Response> application_command(unsigned number, uint32_t argument);
    Result<void> wait_ready(nanos_t limit);
    Result<void> read_block(uint8_t* to, uint32_t bytes);
    Result<void> write_block(uint8_t token, const uint8_t* from);
    Result<void> wake(uint32_t fastest_hz);
    Result<void> read_size();
    uint32_t address(uint64_t sector) const {
        return static_cast<uint32_t>(high_capacity_ ? sector : sector * block_bytes);
    }

    SpiBus& bus_;
    bool high_capacity_ = false; ///< addresses count blocks, not bytes
    uint64_t sectors_ = 0;
};

/// Polynomials x^7+x^3+1 and x^16+x^12+x^5+1, as commands and blocks carry them.
uint8_t sd_crc7(const uint8_t* data, size_t n);
uint16_t sd_crc16(const uint8_t* data, size_t n);

/// Sectors by a CSD register of 16 bytes; 0 if its version is unknown.
uint64_t sd_size_of(const uint8_t (&csd)[16]);

} // namespace lentil::platform

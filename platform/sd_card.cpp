// SPDX-License-Identifier: BSD-2-Clause
#include <array>

#include <platform/sd_card.hpp>

namespace lentil::platform {

namespace {

enum Command : unsigned {
    go_idle = 0,
    send_op_cond = 1, ///< of MultiMediaCards
    send_if_cond = 8,
    send_csd = 9,
    stop_transmission = 12,
    send_status = 13,
    set_blocklen = 16,
    read_single = 17,
    read_multiple = 18,
    write_single = 24,
    write_multiple = 25,
    app_send_op_cond = 41,
    app_cmd = 55,
    read_ocr = 58,
    crc_on_off = 59,
};

constexpr uint8_t r1_idle = 1, r1_illegal = 4, r1_errors = 0x7e;
constexpr uint8_t token_block = 0xfe, token_multiple = 0xfc, token_stop = 0xfd;
constexpr uint8_t answer_mask = 0x1f, answer_accepted = 5;
constexpr uint32_t ocr_ready = 1u << 31, ocr_high_capacity = 1 << 30;

constexpr nanos_t ms = 1'000'000;
constexpr uint32_t slow_hz = 400'000; ///< until the card is awake
constexpr nanos_t wake_limit = 1000 * ms, read_limit = 200 * ms, write_limit = 1000 * ms;
constexpr unsigned idle_tries = 10;

constexpr std::array<uint16_t, 256> crc16_table = [] {
    std::array<uint16_t, 256> table{};
    for (unsigned i = 0; i < table.size(); i++) {
        unsigned crc = i << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = crc << 1 ^ (crc & 0x8000 ? 0x1021u : 0);
        table[i] = static_cast<uint16_t>(crc);
    }
    return table;
}();

/// Deselects at the end, and gives the card the eight clocks that it needs to let go of the line.
class Selected {
public:
    explicit Selected(SpiBus& bus) : bus_(bus) { bus.select(true); }
    Selected(const Selected&) = delete;
    Selected& operator=(const Selected&) = delete;
    ~Selected() {
        bus_.select(false);
        bus_.idle(1);
    }

private:
    SpiBus& bus_;
};

} // namespace

uint8_t sd_crc7(const uint8_t* data, size_t n) {
    unsigned crc = 0;
    for (size_t i = 0; i < n; i++)
        for (int bit = 7; bit >= 0; bit--) {
            const unsigned in = data[i] >> bit & 1;
            crc = crc << 1 ^ ((crc >> 6 & 1) != in ? 9u : 0);
        }
    return crc & 0x7f;
}

uint16_t sd_crc16(const uint8_t* data, size_t n) {
    unsigned crc = 0;
    for (size_t i = 0; i < n; i++)
        crc = (crc << 8 & 0xffff) ^ crc16_table[crc >> 8 ^ data[i]];
    return static_cast<uint16_t>(crc);
}

uint64_t sd_size_of(const uint8_t (&csd)[16]) {
    const unsigned version = csd[0] >> 6;
    if (version == 1) // size in units of 512 KiB
        return (uint64_t{csd[7] & 0x3fu} << 16 | unsigned{csd[8]} << 8 | csd[9]) * 1024 + 1024;
    if (version != 0)
        return 0;
    const unsigned block_log = csd[5] & 15;
    const unsigned size = (csd[6] & 3u) << 10 | unsigned{csd[7]} << 2 | csd[8] >> 6;
    const unsigned multiplier_log = ((csd[9] & 3u) << 1 | csd[10] >> 7) + 2;
    return block_log < 9 ? 0 : uint64_t{size + 1} << multiplier_log << (block_log - 9);
}

uint8_t SdCard::byte() {
    uint8_t value = 0xff;
    bus_.exchange(nullptr, &value, 1);
    return value;
}

/// The card holds the line low while it is busy.
Result<void> SdCard::wait_ready(nanos_t limit) {
    const nanos_t end = bus_.now() + limit;
    for (unsigned polls = 0; byte() != 0xff; polls++) {
        if (bus_.now() > end)
            return Errno::io;
        if (polls >= 64)
            bus_.pause(ms / 10);
    }
    return {};
}

/// Selected. An answer with errors in it is a Response; io: there was none.
Result<SdCard::Response> SdCard::command(unsigned number, uint32_t argument, unsigned rest_bytes) {
    // A byte of ones first: cards want a few clocks between an answer and the next command.
    uint8_t frame[7] = {0xff,
                        static_cast<uint8_t>(0x40 | number),
                        static_cast<uint8_t>(argument >> 24),
                        static_cast<uint8_t>(argument >> 16),
                        static_cast<uint8_t>(argument >> 8),
                        static_cast<uint8_t>(argument),
                        0};
    frame[6] = static_cast<uint8_t>(sd_crc7(frame + 1, 5) << 1 | 1);
    // Within a multiple read that byte would be one of data: there is none before the stop.
    const unsigned skip = number == stop_transmission ? 1 : 0;
    bus_.exchange(frame + skip, nullptr, sizeof frame - skip);
    if (skip)
        byte(); // still data, or nothing
    Response response;
    for (int i = 0; i < 16 && (response.first & 0x80); i++)
        response.first = byte();
    if (response.first & 0x80)
        return Errno::io;
    for (unsigned i = 0; i < rest_bytes; i++)
        response.rest = response.rest << 8 | byte();
    return response;
}

Result<SdCard::Response> SdCard::application_command(unsigned number, uint32_t argument) {
    const Response prefix = TRY(command(app_cmd, 0));
    if (prefix.first & r1_errors)
        return prefix;
    return command(number, argument);
}

Result<void> SdCard::wake(uint32_t fastest_hz) {
    bus_.set_clock(slow_hz);
    bus_.idle(10);
    const Selected selected(bus_);
    // The answer that counts is "idle". A card that the firmware left in the middle of something may need several.
    bool idle = false, answered = false;
    for (unsigned i = 0; i < idle_tries && !idle; i++) {
        const auto r = command(go_idle, 0);
        answered = answered || r;
        idle = r && r->first == r1_idle;
        if (!idle)
            bus_.pause(ms);
    }
    if (!idle)
        return answered ? Errno::io : Errno::nxio;
    constexpr uint32_t voltage_and_pattern = 0x1aa; // 2.7 to 3.6 V; what comes back must be the same
    const Response condition = TRY(command(send_if_cond, voltage_and_pattern, 4));
    const bool version_2 = !(condition.first & r1_illegal);
    if (version_2 && (condition.rest & 0xfff) != voltage_and_pattern)
        return Errno::io;
    TRY(command(crc_on_off, 1));
    const nanos_t end = bus_.now() + wake_limit;
    for (bool multimedia = false;;) {
        const Response r = TRY(multimedia ? command(send_op_cond, 0)
                                          : application_command(app_send_op_cond, version_2 ? ocr_high_capacity : 0));
        if (!multimedia && (r.first & r1_illegal))
            multimedia = true;
        else if (r.first & r1_errors)
            return Errno::io;
        else if (!(r.first & r1_idle))
            break;
        if (bus_.now() > end)
            return Errno::io;
        bus_.pause(ms);
    }
    high_capacity_ = false;
    if (version_2) {
        Response ocr;
        do {
            ocr = TRY(command(read_ocr, 0, 4));
            if (bus_.now() > end)
                return Errno::io;
        } while (!(ocr.rest & ocr_ready));
        high_capacity_ = ocr.rest & ocr_high_capacity;
    }
    bus_.set_clock(fastest_hz);
    if (!high_capacity_)
        if (TRY(command(set_blocklen, block_bytes)).first != 0)
            return Errno::io;
    return {};
}

Result<void> SdCard::read_size() {
    const Selected selected(bus_);
    uint8_t csd[16];
    if (TRY(command(send_csd, 0)).first != 0)
        return Errno::io;
    TRY(read_block(csd, sizeof csd));
    sectors_ = sd_size_of(csd);
    if (sectors_ == 0)
        return Errno::io;
    return {};
}

Result<void> SdCard::start(uint32_t fastest_hz) {
    TRY(wake(fastest_hz));
    return read_size();
}

Result<void> SdCard::read_block(uint8_t* to, uint32_t bytes) {
    const nanos_t end = bus_.now() + read_limit;
    uint8_t token = 0xff;
    for (unsigned polls = 0; (token = byte()) == 0xff; polls++) {
        if (bus_.now() > end)
            return Errno::io;
        if (polls >= 256)
            bus_.pause(ms / 10);
    }
    if (token != token_block)
        return Errno::io;
    uint8_t crc[2];
    bus_.exchange(nullptr, to, bytes);
    bus_.exchange(nullptr, crc, sizeof crc);
    if (sd_crc16(to, bytes) != (crc[0] << 8 | crc[1]))
        return Errno::io;
    return {};
}

Result<void> SdCard::write_block(uint8_t token, const uint8_t* from) {
    const uint16_t crc = sd_crc16(from, block_bytes);
    const uint8_t before[2] = {0xff, token};
    const uint8_t after[2] = {static_cast<uint8_t>(crc >> 8), static_cast<uint8_t>(crc)};
    bus_.exchange(before, nullptr, sizeof before);
    bus_.exchange(from, nullptr, block_bytes);
    bus_.exchange(after, nullptr, sizeof after);
    uint8_t answer = 0xff;
    for (int i = 0; i < 8 && (answer & 0x11) != 1; i++)
        answer = byte();
    if ((answer & answer_mask) != answer_accepted)
        return Errno::io;
    return wait_ready(write_limit);
}

Result<void> SdCard::read(uint64_t sector, uint32_t count, SdBlocks& to) {
    const Selected selected(bus_);
    if (TRY(command(count > 1 ? read_multiple : read_single, address(sector))).first != 0)
        return Errno::io;
    Result<void> result{};
    for (uint32_t i = 0; i < count && result; i++)
        result = read_block(to.next(), block_bytes);
    if (count > 1) {
        TRY(command(stop_transmission, 0));
        TRY(wait_ready(read_limit));
    }
    return result;
}

Result<void> SdCard::write(uint64_t sector, uint32_t count, SdBlocks& from) {
    const Selected selected(bus_);
    const bool multiple = count > 1;
    if (TRY(command(multiple ? write_multiple : write_single, address(sector))).first != 0)
        return Errno::io;
    Result<void> result{};
    for (uint32_t i = 0; i < count && result; i++)
        result = write_block(multiple ? token_multiple : token_block, from.next());
    if (multiple) {
        const uint8_t stop[2] = {token_stop, 0xff};
        bus_.exchange(stop, nullptr, sizeof stop);
        TRY(wait_ready(write_limit));
    }
    TRY(result);
    // What went wrong while the card programmed its cells is only in its status.
    const Response status = TRY(command(send_status, 0));
    if (status.first != 0 || byte() != 0)
        return Errno::io;
    return {};
}

} // namespace lentil::platform

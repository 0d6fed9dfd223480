// SPDX-License-Identifier: BSD-2-Clause
// The driver of SD cards against a model of a card, byte for byte and clock for clock as the SD Physical Layer Simplified
// Specification has SPI mode (chapter 7): cards of all kinds, in any state, slow ones, and ones that err at any point.
#include <cstring>
#include <deque>
#include <doctest/doctest.h>
#include <functional>
#include <set>
#include <vector>

#include <platform/sd_card.hpp>

using namespace lentil;
using namespace lentil::platform;

namespace {

constexpr size_t block = 512;
constexpr nanos_t ms = 1'000'000;

/// Bit by bit, as the specification's figures have them; the driver has its own ways.
unsigned crc_of(const uint8_t* data, size_t n, unsigned width, unsigned polynomial) {
    unsigned crc = 0;
    for (size_t i = 0; i < 8 * n; i++) {
        const unsigned in = data[i / 8] >> (7 - i % 8) & 1, out = crc >> (width - 1) & 1;
        crc = (crc << 1 & ((1u << width) - 1)) ^ (in != out ? polynomial : 0);
    }
    return crc;
}
unsigned crc7(const uint8_t* data, size_t n) { return crc_of(data, n, 7, 0x09); }
unsigned crc16(const uint8_t* data, size_t n) { return crc_of(data, n, 16, 0x1021); }

enum class Kind { multimedia, version_1, standard, high_capacity };
constexpr Kind all_kinds[] = {Kind::multimedia, Kind::version_1, Kind::standard, Kind::high_capacity};

class ModelCard final : public SpiBus {
public:
    explicit ModelCard(Kind which, uint32_t sectors = 4096) : kind(which), memory(sectors * block) {
        for (size_t i = 0; i < memory.size(); i++)
            memory[i] = static_cast<uint8_t>(i / block * 7 + i * 13);
    }

    const Kind kind;
    std::vector<uint8_t> memory;
    // How it behaves.
    bool present = true;
    unsigned answer_delay = 1;                     ///< bytes before R1: 0 to 8 are allowed
    nanos_t read_delay = ms / 10;                  ///< before each block
    nanos_t program_time = 5 * ms;                 ///< after each written block
    nanos_t wake_time = 300 * ms;                  ///< of initialisation
    bool never_ready = false;                      ///< busy for ever after a write
    bool never_sends = false;                      ///< no block ever comes
    std::function<int(unsigned, unsigned)> answer; ///< (command, how often before): R1, -1: none, -2: as it should be
    std::function<uint8_t(unsigned)> error_token;  ///< of the n-th block read: 0: none
    std::function<bool(unsigned)> spoils;          ///< whether a bit of the n-th block read is wrong
    std::function<uint8_t(unsigned)> refuses;      ///< data response of the n-th block written: 0: as it should be
    uint8_t status = 0;                            ///< second byte of R2
    uint32_t echo_mask = ~0u;                      ///< bits of R7 that come back
    // What was seen.
    uint32_t hz = 0, hz_when_awake = 0;
    std::vector<unsigned> commands;
    unsigned blocks_read = 0, blocks_written = 0;
    uint64_t clocks_idle = 0;
    bool selected = false;
    nanos_t time = 0;

    /// In the middle of what the firmware did.
    void leave_awake() {
        powered = true;
        spi = true;
        idle_state = false;
    }
    void leave_reading() {
        leave_awake();
        mode = Mode::reading;
        at = 0;
    }
    void leave_writing() {
        leave_awake();
        mode = Mode::writing_many;
        at = 0;
    }

    void set_clock(uint32_t value) override { hz = value; }
    void select(bool on) override { selected = on; }
    void idle(unsigned bytes) override {
        CHECK_FALSE(selected);
        clocks_idle += 8 * bytes;
        time += 8 * bytes * 1'000'000'000ll / hz;
        if (clocks_idle >= 74)
            powered = true;
    }
    void exchange(const uint8_t* out, uint8_t* in, size_t n) override {
        for (size_t i = 0; i < n; i++) {
            REQUIRE(hz > 0);
            if (idle_state)
                CHECK(hz <= 400'000); // until it is awake
            time += 8 * 1'000'000'000ll / hz;
            const uint8_t sent = out ? out[i] : 0xff;
            const uint8_t answered = selected && present && powered ? step(sent) : 0xff;
            if (in)
                in[i] = answered;
        }
    }
    nanos_t now() override { return time; }
    void pause(nanos_t ns) override { time += ns; }

private:
    enum class Mode { commands, reading, writing_one, writing_many };
    bool length_set = false; ///< small cards count in blocks of 1024 bytes until they are told otherwise
    bool powered = false, spi = false, idle_state = true, checks = false, application = false;
    Mode mode = Mode::commands;
    uint64_t at = 0; ///< sector of the next block
    nanos_t busy_until = 0, awake_at = -1, next_block = 0;
    std::deque<uint8_t> queue;
    std::vector<uint8_t> frame, body;
    bool in_body = false;
    unsigned counts[64] = {};

    uint8_t step(uint8_t in) {
        const bool busy = busy_until > time;
        uint8_t out = 0xff;
        if (!queue.empty()) {
            out = queue.front();
            queue.pop_front();
        } else if (busy) {
            out = 0;
        } else if (mode == Mode::reading && !never_sends && time >= next_block) {
            push_block(at++);
            out = queue.front();
            queue.pop_front();
        }
        if (in_body) {
            body.push_back(in);
            if (body.size() == block + 2)
                store();
        } else if ((mode == Mode::writing_one || mode == Mode::writing_many) && frame.empty() && !busy &&
                   (in == (mode == Mode::writing_many ? 0xfc : 0xfe))) {
            in_body = true;
            body.clear();
        } else if (mode == Mode::writing_many && frame.empty() && !busy && in == 0xfd) {
            mode = Mode::commands;
            queue.push_back(0xff);
            busy_until = time + program_time;
        } else if (!frame.empty() || (in & 0xc0) == 0x40) {
            frame.push_back(in);
            if (frame.size() == 6) {
                const std::vector<uint8_t> whole = std::exchange(frame, {});
                if (!busy || (whole[0] & 63) == 0)
                    command(whole);
            }
        }
        return out;
    }

    void push_block(uint64_t sector) {
        const unsigned n = blocks_read++;
        if (const uint8_t token = error_token ? error_token(n) : 0) {
            queue.push_back(token);
            mode = Mode::commands;
            return;
        }
        if ((sector + 1) * block > memory.size()) {
            queue.push_back(0x08); // out of range
            mode = Mode::commands;
            return;
        }
        push_data(&memory[sector * block], block, spoils && spoils(n));
        next_block = time + read_delay;
    }
    void push_data(const uint8_t* data, size_t n, bool spoilt) {
        queue.push_back(0xfe);
        queue.insert(queue.end(), data, data + n);
        if (spoilt)
            queue[queue.size() - n / 2] ^= 4;
        const unsigned crc = crc16(data, n);
        queue.push_back(static_cast<uint8_t>(crc >> 8));
        queue.push_back(static_cast<uint8_t>(crc));
    }

    void store() {
        in_body = false;
        const unsigned n = blocks_written++;
        uint8_t response = 0xe5;
        if (checks && crc16(body.data(), block) != (unsigned{body[block]} << 8 | body[block + 1]))
            response = 0xeb;
        else if (refuses && refuses(n))
            response = refuses(n);
        else
            memcpy(&memory[at++ * block], body.data(), block);
        queue.push_back(0xff);
        queue.push_back(response);
        busy_until = never_ready ? time + (nanos_t{1} << 60) : time + program_time;
        if (mode == Mode::writing_one)
            mode = Mode::commands;
    }

    void reply(uint8_t first, std::initializer_list<uint8_t> rest = {}) {
        for (unsigned i = 0; i < answer_delay; i++)
            queue.push_back(0xff);
        queue.push_back(first);
        queue.insert(queue.end(), rest);
    }

    bool place(uint32_t argument) {
        if (kind != Kind::high_capacity && (!length_set || argument % block != 0))
            return false;
        at = kind == Kind::high_capacity ? argument : argument / block;
        return (at + 1) * block <= memory.size();
    }

    void command(const std::vector<uint8_t>& f) {
        const unsigned number = f[0] & 63;
        const uint32_t argument = unsigned{f[1]} << 24 | f[2] << 16 | f[3] << 8 | f[4];
        const bool was_application = std::exchange(application, false);
        const bool good = f[5] == (crc7(f.data(), 5) << 1 | 1);
        if (number != 12 || mode == Mode::reading) // what is under way ends
            queue.clear();
        if (number == 12)
            queue.push_back(0x5a); // a byte that means nothing
        commands.push_back(number);
        const unsigned before = counts[number]++;
        if (!spi && number != 0)
            return; // it still listens to the other kind of bus
        if ((checks || number == 0 || number == 8) && !good)
            return reply(0x08 | idle_state);
        if (const int told = answer ? answer(number, before) : -2; told != -2) {
            if (told >= 0)
                reply(static_cast<uint8_t>(told));
            return;
        }
        if (mode != Mode::commands && number != 0 && number != 12)
            return reply(4); // a transfer of many blocks must be ended first
        const uint8_t r1 = idle_state;
        const bool version_2 = kind == Kind::standard || kind == Kind::high_capacity;
        if (idle_state && number != 0 && number != 1 && number != 8 && number != 41 && number != 55 && number != 58 &&
            number != 59)
            return reply(r1 | 4);
        switch (number) {
        case 0:
            spi = true;
            idle_state = true;
            checks = false;
            length_set = false;
            mode = Mode::commands;
            in_body = false;
            busy_until = 0;
            awake_at = -1;
            return reply(1);
        case 8:
            if (!version_2)
                return reply(r1 | 4);
            return reply(r1, {0, 0, static_cast<uint8_t>((argument & echo_mask) >> 8 & 15),
                              static_cast<uint8_t>(argument & echo_mask)});
        case 55:
            if (kind == Kind::multimedia)
                return reply(r1 | 4);
            application = true;
            return reply(r1);
        case 41:
        case 1:
            if (number == 41 ? !was_application || kind == Kind::multimedia : kind != Kind::multimedia)
                return reply(r1 | 4);
            if (kind == Kind::high_capacity && !(argument & 1 << 30))
                return reply(1); // it never wakes for a host that does not know its kind
            if (awake_at < 0)
                awake_at = time + wake_time;
            idle_state = time < awake_at;
            return reply(idle_state);
        case 58:
            return reply(r1, {static_cast<uint8_t>((idle_state ? 0 : 0x80) | (kind == Kind::high_capacity ? 0x40 : 0)),
                              0xff, 0x80, 0});
        case 59: checks = argument & 1; return reply(r1);
        case 16: length_set = argument == block; return reply(length_set ? 0 : 0x40);
        case 13: return reply(r1, {status});
        case 9: {
            reply(0);
            uint8_t csd[16] = {};
            const uint64_t sectors = memory.size() / block;
            if (kind == Kind::high_capacity) {
                csd[0] = 0x40;
                const uint64_t size = sectors / 1024 - 1;
                csd[7] = size >> 16 & 0x3f, csd[8] = static_cast<uint8_t>(size >> 8),
                csd[9] = static_cast<uint8_t>(size);
            } else { // blocks of 1024 bytes, four of them a unit
                csd[5] = 10;
                const uint64_t size = sectors / 8 - 1;
                csd[6] = size >> 10 & 3, csd[7] = static_cast<uint8_t>(size >> 2),
                csd[8] = static_cast<uint8_t>(size << 6);
            }
            csd[15] = static_cast<uint8_t>(crc7(csd, 15) << 1 | 1);
            queue.push_back(0xff);
            return push_data(csd, sizeof csd, spoils && spoils(~0u));
        }
        case 12:
            mode = Mode::commands;
            reply(0);
            busy_until = time + ms;
            return;
        case 17:
        case 18:
            if (!place(argument))
                return reply(0x20);
            reply(0);
            next_block = time + read_delay;
            if (number == 18) {
                mode = Mode::reading;
            } else if (!never_sends) {
                for (int i = 0; i < 20; i++)
                    queue.push_back(0xff);
                push_block(at);
            }
            return;
        case 24:
        case 25:
            if (!place(argument))
                return reply(0x20);
            reply(0);
            mode = number == 24 ? Mode::writing_one : Mode::writing_many;
            return;
        default: return reply(r1 | 4);
        }
    }
};

struct Memory final : SdBlocks {
    std::vector<uint8_t> bytes;
    size_t at = 0;
    explicit Memory(size_t blocks) : bytes(blocks * block) {}
    uint8_t* next() override {
        REQUIRE(at + block <= bytes.size());
        return &bytes[(at += block) - block];
    }
};

/// Whether the card's blocks from `sector` on are those.
bool holds(const ModelCard& model, uint64_t sector, const Memory& memory) {
    return memcmp(&model.memory[sector * block], memory.bytes.data(), memory.bytes.size()) == 0;
}
Memory pattern(size_t blocks, uint8_t seed) {
    Memory m(blocks);
    for (size_t i = 0; i < m.bytes.size(); i++)
        m.bytes[i] = static_cast<uint8_t>(seed + i * 31 + i / block);
    return m;
}
bool reads_right(ModelCard& model, SdCard& card, uint64_t sector, uint32_t count) {
    Memory m(count);
    return card.read(sector, count, m).ok() && m.at == m.bytes.size() && holds(model, sector, m);
}
Errno error_of(const Result<void>& r) { return r.ok() ? Errno{} : r.error(); }

} // namespace

TEST_CASE("checksums are those of the specification's examples") {
    const uint8_t go_idle[5] = {0x40, 0, 0, 0, 0}, read[5] = {0x51, 0, 0, 0, 0}, answer[5] = {0x11, 0, 0, 9, 0};
    CHECK(sd_crc7(go_idle, 5) == 0x4a);
    CHECK(sd_crc7(read, 5) == 0x2a);
    CHECK(sd_crc7(answer, 5) == 0x33);
    const std::vector<uint8_t> ones(block, 0xff);
    CHECK(sd_crc16(ones.data(), block) == 0x7fa1);
}

TEST_CASE("cards of every kind wake up, say their size, and are read and written") {
    for (const Kind kind : all_kinds)
        for (unsigned delay = 0; delay <= 8; delay++) {
            CAPTURE(static_cast<int>(kind));
            CAPTURE(delay);
            ModelCard model(kind);
            model.answer_delay = delay;
            SdCard card(model);
            REQUIRE(card.start(20'000'000).ok());
            CHECK(card.sectors() == 4096);
            CHECK(card.high_capacity() == (kind == Kind::high_capacity));
            CHECK(model.hz == 20'000'000);
            CHECK(reads_right(model, card, 0, 1));
            CHECK(reads_right(model, card, 4095, 1));
            CHECK(reads_right(model, card, 17, 9));
            CHECK(reads_right(model, card, 3, 1));
            Memory one = pattern(1, 3), many = pattern(7, 90);
            CHECK(card.write(5, 1, one).ok());
            CHECK(holds(model, 5, one));
            CHECK(card.write(1000, 7, many).ok());
            CHECK(holds(model, 1000, many));
            CHECK(reads_right(model, card, 999, 9));
            CHECK_FALSE(model.selected);
        }
}

TEST_CASE("a card is left in peace after a transfer: the next one finds it ready for commands") {
    ModelCard model(Kind::high_capacity);
    SdCard card(model);
    REQUIRE(card.start(20'000'000).ok());
    for (uint32_t count = 1; count <= 5; count++) {
        Memory m = pattern(count, static_cast<uint8_t>(count));
        CHECK(card.write(100, count, m).ok());
        CHECK(reads_right(model, card, 100, count));
        CHECK(reads_right(model, card, 0, 1));
    }
}

TEST_CASE("a card that the firmware left anywhere wakes up") {
    for (const Kind kind : all_kinds) {
        ModelCard awake(kind), reading(kind), writing(kind);
        awake.leave_awake();
        reading.leave_reading();
        writing.leave_writing();
        for (ModelCard* model : {&awake, &reading, &writing}) {
            SdCard card(*model);
            REQUIRE(card.start(20'000'000).ok());
            CHECK(reads_right(*model, card, 8, 3));
        }
    }
}

TEST_CASE("no card, a card of another voltage, and one that never wakes are told apart") {
    ModelCard empty(Kind::high_capacity), other(Kind::standard), asleep(Kind::high_capacity);
    empty.present = false;
    CHECK(error_of(SdCard(empty).start(20'000'000)) == Errno::nxio);
    other.echo_mask = 0xff; // the voltage does not come back
    CHECK(error_of(SdCard(other).start(20'000'000)) == Errno::io);
    asleep.wake_time = 3600 * 1000 * ms;
    CHECK(error_of(SdCard(asleep).start(20'000'000)) == Errno::io);
    CHECK(asleep.time >= 1000 * ms); // the specification gives it a second
    CHECK(asleep.time < 1500 * ms);
    ModelCard slow(Kind::high_capacity);
    slow.wake_time = 950 * ms;
    CHECK(SdCard(slow).start(20'000'000).ok());
}

TEST_CASE("a command that is not answered, or answered with an error, ends what it belongs to") {
    struct Case {
        unsigned command;
        bool by_start, by_read_one, by_read_many, by_write_one, by_write_many;
    };
    constexpr Case cases[] = {{0, true, false, false, false, false},  {8, true, false, false, false, false},
                              {9, true, false, false, false, false},  {17, false, true, false, false, false},
                              {18, false, false, true, false, false}, {24, false, false, false, true, false},
                              {25, false, false, false, false, true}, {13, false, false, false, true, true},
                              {58, true, false, false, false, false}, {55, true, false, false, false, false},
                              {41, true, false, false, false, false}};
    for (const Case& c : cases)
        for (const int told : {-1, 0x40, 0x20, 0x08}) {
            if (told != -1 && (c.command == 8 || c.command == 58))
                continue; // what follows R1 decides there
            CAPTURE(c.command);
            CAPTURE(told);
            bool on = c.by_start;
            ModelCard model(Kind::high_capacity);
            model.answer = [&](unsigned number, unsigned) { return on && number == c.command ? told : -2; };
            SdCard card(model);
            const bool started = card.start(20'000'000).ok();
            CHECK(started == !c.by_start);
            if (!started)
                continue;
            on = true;
            Memory m = pattern(4, 1);
            const auto one = [&] { return m.at = 0, &m; };
            CHECK(card.read(1, 1, *one()).ok() == !c.by_read_one);
            CHECK(card.start(20'000'000).ok());
            CHECK(card.read(1, 4, *one()).ok() == !c.by_read_many);
            CHECK(card.start(20'000'000).ok());
            CHECK(card.write(1, 1, *one()).ok() == !c.by_write_one);
            CHECK(card.start(20'000'000).ok());
            CHECK(card.write(1, 4, *one()).ok() == !c.by_write_many);
            on = false;
            CHECK(card.start(20'000'000).ok()); // as the driver does before it tries again
            CHECK(reads_right(model, card, 1, 4));
        }
}

TEST_CASE("a first answer that is lost costs a second attempt at waking, no more") {
    for (const int told : {-1, 0x08, 0x09, 0x05}) {
        ModelCard model(Kind::high_capacity);
        model.answer = [&](unsigned number, unsigned before) { return number == 0 && before < 3 ? told : -2; };
        SdCard card(model);
        CHECK(card.start(20'000'000).ok());
        CHECK(reads_right(model, card, 1, 1));
    }
}

TEST_CASE("wrong checksums and error tokens of blocks are noticed, whichever block has them") {
    for (const unsigned which : {0u, 1u, 3u})
        for (const bool token : {false, true}) {
            ModelCard model(Kind::high_capacity);
            SdCard card(model);
            REQUIRE(card.start(20'000'000).ok());
            if (token)
                model.error_token = [&](unsigned n) { return n == which ? uint8_t{0x04} : uint8_t{0}; };
            else
                model.spoils = [&](unsigned n) { return n == which; };
            Memory m(4);
            CHECK(error_of(card.read(20, which == 0 ? 1 : 4, m)) == Errno::io);
            CHECK(card.start(20'000'000).ok());
            CHECK(reads_right(model, card, 20, 4));
        }
    ModelCard model(Kind::standard);
    model.spoils = [](unsigned) { return true; }; // that of its size too
    CHECK_FALSE(SdCard(model).start(20'000'000).ok());
}

TEST_CASE("blocks that the card refuses, and errors that only its status tells, are noticed") {
    for (const uint8_t response : {uint8_t{0xeb}, uint8_t{0xed}})
        for (const unsigned which : {0u, 2u}) {
            ModelCard model(Kind::high_capacity);
            SdCard card(model);
            REQUIRE(card.start(20'000'000).ok());
            model.refuses = [&](unsigned n) { return n == which ? response : uint8_t{0}; };
            Memory m = pattern(4, 8);
            CHECK(error_of(card.write(20, which == 0 ? 1 : 4, m)) == Errno::io);
            CHECK(card.start(20'000'000).ok());
            m.at = 0;
            CHECK(card.write(20, 4, m).ok());
            CHECK(holds(model, 20, m));
        }
    ModelCard model(Kind::high_capacity);
    SdCard card(model);
    REQUIRE(card.start(20'000'000).ok());
    model.status = 0x04; // an error of its controller
    Memory m = pattern(1, 8);
    CHECK(error_of(card.write(20, 1, m)) == Errno::io);
}

TEST_CASE("a card may take its time, within limits") {
    ModelCard slow(Kind::high_capacity);
    slow.read_delay = 90 * ms;
    slow.program_time = 400 * ms;
    SdCard card(slow);
    REQUIRE(card.start(20'000'000).ok());
    CHECK(reads_right(slow, card, 5, 3));
    Memory m = pattern(3, 8);
    CHECK(card.write(20, 3, m).ok());
    CHECK(holds(slow, 20, m));

    ModelCard stuck(Kind::high_capacity);
    SdCard stuck_card(stuck);
    REQUIRE(stuck_card.start(20'000'000).ok());
    stuck.never_sends = true;
    nanos_t start = stuck.time;
    for (const uint32_t count : {1u, 3u}) {
        m.at = 0;
        CHECK(error_of(stuck_card.read(5, count, m)) == Errno::io);
    }
    CHECK(stuck.time - start < 1000 * ms);
    CHECK(stuck.time - start >= 200 * ms); // 100 ms are a card's right
    stuck.never_sends = false;
    CHECK(stuck_card.start(20'000'000).ok());
    stuck.never_ready = true;
    start = stuck.time;
    m.at = 0;
    CHECK(error_of(stuck_card.write(5, 1, m)) == Errno::io);
    CHECK(stuck.time - start < 2500 * ms);
    CHECK(stuck.time - start >= 500 * ms);
}

TEST_CASE("commands and blocks carry checksums, and the card was told to look at them") {
    ModelCard model(Kind::high_capacity);
    SdCard card(model);
    REQUIRE(card.start(20'000'000).ok());
    const std::set<unsigned> seen(model.commands.begin(), model.commands.end());
    CHECK(seen.count(59) == 1);
    Memory m = pattern(2, 8);
    CHECK(card.write(20, 2, m).ok()); // the model refuses wrong ones
    CHECK(model.clocks_idle >= 74);   // before the first command
}

TEST_CASE("addresses count blocks on large cards and bytes on small ones, up to the last") {
    ModelCard large(Kind::high_capacity, 1 << 16), small(Kind::standard, 1 << 13);
    SdCard large_card(large), small_card(small);
    REQUIRE(large_card.start(20'000'000).ok());
    REQUIRE(small_card.start(20'000'000).ok());
    CHECK(large_card.sectors() == 1 << 16);
    CHECK(small_card.sectors() == 1 << 13);
    CHECK(reads_right(large, large_card, 65535, 1));
    CHECK(reads_right(small, small_card, 8191, 1));
    CHECK(reads_right(small, small_card, 8180, 12));
    Memory m(1);
    CHECK_FALSE(small_card.read(8192, 1, m).ok());
}

// SPDX-License-Identifier: BSD-2-Clause
// The cpio reader: what it accepts, what it refuses and how it says so, and a fuzz loop with seeded mutations.
#include <cstdio>
#include <cstdlib>
#include <doctest/doctest.h>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <vfs/cpio.hpp>

using namespace lentil;

namespace {

using Bytes = std::vector<uint8_t>;

struct New {
    std::string name;
    uint32_t mode = 0100644;
    std::string body{};
    uint32_t inode = 1, links = 1;
    uint32_t rdev_major = 0, rdev_minor = 0;
};

void append(Bytes& to, const std::string& text) { to.insert(to.end(), text.begin(), text.end()); }
void pad(Bytes& to) {
    while (to.size() % 4 != 0)
        to.push_back(0);
}

void add(Bytes& to, const New& e, bool checksum = false, uint32_t sum_error = 0) {
    uint32_t sum = sum_error;
    for (char c : e.body)
        sum += static_cast<uint8_t>(c);
    char header[111];
    std::snprintf(header, sizeof header, "%s%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X",
                  checksum ? "070702" : "070701", e.inode, e.mode, 10, 20, e.links, 1234567890, e.body.size(), 8, 1,
                  e.rdev_major, e.rdev_minor, e.name.size() + 1, checksum ? sum : 0);
    append(to, header);
    append(to, e.name);
    to.push_back(0);
    pad(to);
    append(to, e.body);
    pad(to);
}

Bytes archive(const std::vector<New>& entries) {
    Bytes out;
    for (const New& e : entries)
        add(out, e);
    add(out, {"TRAILER!!!", 0});
    return out;
}

/// gzip with stored blocks only: no compressor is needed to make one.
Bytes gzip(const Bytes& in) {
    Bytes out{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    for (size_t at = 0;;) {
        const size_t n = std::min<size_t>(in.size() - at, 65535);
        const bool last = at + n == in.size();
        out.push_back(last ? 1 : 0);
        for (size_t v : {n, ~n}) {
            out.push_back(v & 0xff);
            out.push_back(v >> 8 & 0xff);
        }
        out.insert(out.end(), in.begin() + static_cast<long>(at), in.begin() + static_cast<long>(at + n));
        at += n;
        if (last)
            break;
    }
    uint32_t crc = ~0u;
    for (uint8_t b : in) {
        crc ^= b;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    for (uint32_t v : {~crc, static_cast<uint32_t>(in.size())})
        for (int i = 0; i < 4; i++)
            out.push_back(v >> (8 * i) & 0xff);
    return out;
}

Bytes operator+(Bytes a, const Bytes& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

/// Records what it is told; checks the order of the calls.
struct Recorder final : CpioVisitor {
    struct Seen {
        CpioEntry entry;
        std::string target, body;
    };
    std::map<std::string, Seen> seen;
    std::vector<std::string> order;
    unsigned trailers = 0;
    bool open = false;
    std::string refuse;

    Result<void> begin(const CpioEntry& e) override {
        REQUIRE_FALSE(open);
        REQUIRE_FALSE(e.name.empty());
        if (e.name == refuse)
            return Errno::nospc;
        open = true;
        order.emplace_back(e.name);
        seen[order.back()] = {e, std::string(e.target), ""};
        return {};
    }
    Result<void> data(std::span<const uint8_t> bytes) override {
        REQUIRE(open);
        REQUIRE_FALSE(bytes.empty());
        seen[order.back()].body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return {};
    }
    Result<void> end(const CpioEntry& e) override {
        REQUIRE(open);
        REQUIRE(e.name == order.back());
        if ((e.mode & 0170000) == 0100000)
            REQUIRE(seen[order.back()].body.size() == e.size);
        open = false;
        return {};
    }
    void trailer() override {
        REQUIRE_FALSE(open);
        trailers++;
    }
};

size_t allocated = 0;
size_t allocations_left = SIZE_MAX;
constexpr CpioMemory memory{[](size_t n) -> void* {
                                if (allocations_left == 0)
                                    return nullptr;
                                allocations_left--;
                                allocated += n;
                                return std::malloc(n);
                            },
                            [](void* p, size_t n) {
                                allocated -= n;
                                std::free(p);
                            }};

struct Outcome {
    bool good;
    CpioError error;
    Recorder recorder;
};

/// Reads from a copy of exactly the input's size, so that the address sanitizer sees every step beyond it.
Outcome read(const Bytes& input, std::string refuse = {}) {
    Outcome o;
    o.recorder.refuse = std::move(refuse);
    std::unique_ptr<uint8_t[]> copy(new uint8_t[input.size()]);
    std::copy(input.begin(), input.end(), copy.get());
    o.good = cpio_read({copy.get(), input.size()}, memory, o.recorder, o.error);
    CHECK(allocated == 0);
    if (!o.good) {
        CHECK(o.error.error != Errno{});
        CHECK(std::string_view(o.error.text) != "");
        CHECK(o.error.offset <= input.size());
    }
    return o;
}

std::string text_of(const Outcome& o) { return o.good ? "" : o.error.text; }

const std::vector<New> sample = {
    {".", 040755},
    {"bin", 040755},
    {"bin/busybox", 0100755, std::string(70000, 'b') + "end"},
    {"bin/sh", 0120777, "busybox"},
    {"dev/console", 020600, "", 5, 1, 5, 1},
    {"etc/empty", 0100644},
    {"etc/one", 0100644, "1"},
    {"pipe", 010644},
};

void check_sample(const Outcome& o, unsigned times = 1) {
    REQUIRE_MESSAGE(o.good, o.error.text);
    const auto& seen = o.recorder.seen;
    CHECK(o.recorder.order.size() == sample.size() * times);
    CHECK(o.recorder.trailers == times);
    CHECK(seen.at("bin/busybox").body == sample[2].body);
    CHECK(seen.at("bin/busybox").entry.mode == 0100755);
    CHECK(seen.at("bin/busybox").entry.uid == 10);
    CHECK(seen.at("bin/busybox").entry.gid == 20);
    CHECK(seen.at("bin/busybox").entry.mtime == 1234567890);
    CHECK(seen.at("bin/sh").target == "busybox");
    CHECK(seen.at("dev/console").entry.rdev_major == 5);
    CHECK(seen.at("dev/console").entry.rdev_minor == 1);
    CHECK(seen.at("etc/one").body == "1");
}

} // namespace

TEST_CASE("a plain archive gives its entries in order, with contents and attributes") {
    const Outcome o = read(archive(sample));
    check_sample(o);
    for (size_t i = 0; i < sample.size(); i++)
        CHECK(o.recorder.order[i] == sample[i].name);
}

TEST_CASE("a gzip archive gives the same entries") { check_sample(read(gzip(archive(sample)))); }

TEST_CASE("archives may follow each other, plain and gzip, with zero bytes between and after them") {
    Bytes both = archive(sample) + Bytes(512, 0) + gzip(archive(sample));
    check_sample(read(both), 2);
    while (both.size() % 4 != 0)
        both.push_back(0);
    check_sample(read(both + archive(sample) + Bytes(1000, 0)), 3);
    check_sample(read(gzip(archive(sample) + Bytes(512, 0) + archive(sample))), 2);
}

TEST_CASE("an empty input and one of zero bytes hold no entries and are no error") {
    CHECK(read({}).good);
    CHECK(read(Bytes(4096, 0)).good);
    CHECK(read(gzip({})).good);
}

TEST_CASE("the trailer needs no padding at the end of the input") {
    Bytes a = archive(sample);
    a.pop_back();
    check_sample(read(a));
}

TEST_CASE("every truncation of an archive is an error, never silence") {
    const std::vector<New> few = {{"a", 0100644, "contents"}, {"l", 0120777, "a"}, {"d", 040755}};
    for (const Bytes& whole : {archive(few), gzip(archive(few))}) {
        const size_t trailer = archive(few).size() - 3; // up to its last padding
        for (size_t n = 1; n < whole.size(); n++) {
            if (whole[0] == '0' && n >= trailer)
                continue;
            const Outcome o = read(Bytes(whole.begin(), whole.begin() + static_cast<long>(n)));
            CHECK_MESSAGE(!o.good, "cut after " << n);
        }
    }
}

TEST_CASE("what is wrong is said in words") {
    Bytes a = archive(sample);
    CHECK(text_of(read(Bytes(a.begin(), a.begin() + 3000))).find("cut off") != std::string::npos);
    CHECK(text_of(read(a + Bytes{'j', 'u', 'n', 'k'})).find("garbage after") != std::string::npos);
    CHECK(text_of(read({'h', 'e', 'l', 'l', 'o'})).find("neither a cpio archive nor gzip") != std::string::npos);
    CHECK(text_of(read({0xfd, '7', 'z', 'X', 'Z', 0})).find("xz") != std::string::npos);
    CHECK(text_of(read({0x28, 0xb5, 0x2f, 0xfd, 0})).find("zstd") != std::string::npos);
    Bytes old = a;
    old[5] = '7';
    CHECK(text_of(read(old)).find("newc") != std::string::npos);
    Bytes z = gzip(a);
    z[z.size() - 5] ^= 1; // the check sum
    CHECK(text_of(read(z)).find("damaged") != std::string::npos);
    z = gzip(a);
    z.resize(z.size() - 9);
    CHECK(text_of(read(z)).find("cut off") != std::string::npos);
    CHECK(text_of(read(gzip(a + Bytes{'x'}))).find("garbage inside") != std::string::npos);
    const Outcome refused = read(a, "bin/sh");
    CHECK(refused.error.error == Errno::nospc);
}

TEST_CASE("names and links must be whole") {
    const auto broken = [](New e, auto change) {
        Bytes a;
        add(a, e);
        change(a);
        add(a, {"TRAILER!!!", 0});
        return read(a);
    };
    const auto digits = [](Bytes& a, size_t field, const char* text) {
        std::copy(text, text + 8, a.begin() + 6 + static_cast<long>(field * 8));
    };
    CHECK_FALSE(broken({"name"}, [&](Bytes& a) { digits(a, 11, "00000000"); }).good);
    CHECK_FALSE(broken({"name"}, [&](Bytes& a) { digits(a, 11, "00000001"); }).good);
    CHECK_FALSE(broken({"name"}, [&](Bytes& a) { digits(a, 11, "FFFFFFFF"); }).good);
    CHECK_FALSE(broken({"name"}, [&](Bytes& a) { digits(a, 11, "00000003"); }).good); // no zero at its end
    CHECK_FALSE(broken({"name"}, [&](Bytes& a) { digits(a, 6, "0000000g"); }).good);
    CHECK_FALSE(broken({"name", 0120777, ""}, [](Bytes&) {}).good);
    CHECK_FALSE(broken({"name", 0120777, std::string(5000, 'x')}, [](Bytes&) {}).good);
    CHECK_FALSE(broken({"name", 0120777, std::string("a\0b", 3)}, [](Bytes&) {}).good);
    CHECK(broken({"name", 0120777, std::string(4095, 'x')}, [](Bytes&) {}).good);
}

TEST_CASE("checksums of the crc format are compared") {
    Bytes good, bad;
    add(good, {"f", 0100644, "some text"}, true);
    add(good, {"TRAILER!!!", 0}, true);
    CHECK(read(good).good);
    add(bad, {"f", 0100644, "some text"}, true, 1);
    add(bad, {"TRAILER!!!", 0}, true);
    CHECK(text_of(read(bad)).find("checksum") != std::string::npos);
}

TEST_CASE("running out of memory is an error at every allocation") {
    const Bytes z = gzip(archive(sample));
    for (size_t n = 0;; n++) {
        allocations_left = n;
        const Outcome o = read(z);
        allocations_left = SIZE_MAX;
        if (o.good) {
            CHECK(n >= 3);
            break;
        }
        CHECK(o.error.error == Errno::nomem);
    }
}

TEST_CASE("mutated archives give an error or entries, and nothing else") {
    const char* seed_text = std::getenv("LENTIL_SEED");
    const unsigned seed = seed_text ? static_cast<unsigned>(std::atoi(seed_text)) : 1;
    std::mt19937 random(seed);
    INFO("seed " << seed);
    const std::vector<New> few = {{"a", 0100644, "contents"},
                                  {"link", 0120777, "a"},
                                  {"d", 040755},
                                  {"d/b", 0100600, std::string(300, 'q'), 7, 2},
                                  {"d/c", 0100600, "", 7, 2}};
    const Bytes bases[] = {archive(few), gzip(archive(few)), archive(few) + gzip(archive(few))};
    unsigned good = 0, bad = 0;
    for (int round = 0; round < 6000; round++) {
        Bytes b = bases[random() % std::size(bases)];
        for (unsigned changes = 1 + random() % 4; changes > 0 && !b.empty(); changes--) {
            const size_t at = random() % b.size();
            switch (random() % 6) {
            case 0: b[at] = static_cast<uint8_t>(random()); break;
            case 1: b[at] ^= static_cast<uint8_t>(1u << random() % 8); break;
            case 2: b.resize(at); break;
            case 3:
                b.erase(b.begin() + static_cast<long>(at),
                        b.begin() + static_cast<long>(std::min(b.size(), at + random() % 16)));
                break;
            case 4:
                b.insert(b.begin() + static_cast<long>(at), random() % 16, static_cast<uint8_t>("0Ff\0"[random() % 4]));
                break;
            case 5: b[at] = static_cast<uint8_t>("0123456789abcdefF"[random() % 17]); break;
            }
        }
        (read(b).good ? good : bad)++;
    }
    CHECK(good > 0);
    CHECK(bad > 3000);
}

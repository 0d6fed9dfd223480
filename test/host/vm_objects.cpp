// SPDX-License-Identifier: BSD-2-Clause
// Objects in maps: files and shared memory, truncation, backing stores.
#include "vm_fixture.hpp"

#include <array>
#include <cstring>
#include <doctest/doctest.h>
#include <vector>

namespace lentil {
namespace {

using machine::Prot;
using namespace test;

TEST_CASE_FIXTURE(Machine, "a private mapping of an object reads its pages and writes its own") {
    TestMap map;
    auto object = *VmObject::create(3 * page_size);
    REQUIRE(object->write_kernel(0, "abc", 3).ok());
    REQUIRE(map->map(of_object(object, false, 3 * page_size, base)).ok());
    CHECK(peek(*map, base) == 'a');
    CHECK(object->resident_pages() == 1);
    CHECK(poke(*map, base + 1, 'X'));
    CHECK(peek(*map, base + 2) == 'c');
    char back[3];
    CHECK(*object->read_kernel(0, back, 3) == 3);
    CHECK(std::memcmp(back, "abc", 3) == 0);
    TestMap child = forked(*map);
    CHECK(peek(*child, base + 1, 1) == 'X');
    CHECK(poke(*child, base, 'Y', 1));
    CHECK(peek(*map, base) == 'a');
}

TEST_CASE_FIXTURE(Machine, "one fault maps the neighbours that the object has") {
    TestMap map;
    auto object = *VmObject::create(64 * page_size);
    std::vector<char> data(64 * page_size, 'x');
    REQUIRE(*object->write_kernel(0, data.data(), data.size()) == data.size());
    MapRequest text = of_object(object, false, 64 * page_size, base);
    text.prot = Prot::read | Prot::exec;
    REQUIRE(map->map(text).ok());
    load(0, map.map.get());
    const uint64_t faults = host::counters().user_faults, syncs = host::counters().instruction_syncs;
    for (vaddr_t i = 0; i < 64; i++)
        CHECK(peek(*map, base + i * page_size) == 'x');
    CHECK(host::counters().user_faults == faults + 4);
    CHECK(host::counters().instruction_syncs <= syncs + 8);
}

TEST_CASE_FIXTURE(Machine, "shared mappings at different offsets show one object") {
    TestMap a, b;
    auto object = *VmObject::create(4 * page_size);
    REQUIRE(a->map(of_object(object, true, 4 * page_size, base)).ok());
    REQUIRE(b->map(of_object(object, true, 2 * page_size, base, 2 * page_size)).ok());
    CHECK(poke(*a, base + 2 * page_size + 7, 77, 0));
    CHECK(peek(*b, base + 7, 1) == 77);
    CHECK(poke(*b, base + page_size, 78, 1));
    CHECK(peek(*a, base + 3 * page_size, 0) == 78);
    uint8_t byte = 0;
    CHECK(*object->read_kernel(3 * page_size, &byte, 1) == 1);
    CHECK(byte == 78);
}

TEST_CASE_FIXTURE(Machine, "truncation takes the pages out of every map; growing again shows zeros") {
    std::vector<TestMap> maps(4);
    auto object = *VmObject::create(4 * page_size);
    for (unsigned i = 0; i < 4; i++) {
        REQUIRE(maps[i]->map(of_object(object, i % 2 == 0, 4 * page_size, base)).ok());
        for (vaddr_t p = 0; p < 4; p++)
            CHECK(poke(*maps[i], base + p * page_size + i, static_cast<uint8_t>(i + 1), i));
    }
    TestMap child = forked(*maps[1]);
    object->set_size(page_size + 100);
    host::check_translations();
    for (unsigned i = 0; i < 4; i++) {
        CHECK(peek(*maps[i], base + i, i) == static_cast<int>(i + 1));
        CHECK(peek(*maps[i], base + page_size + i, i) == static_cast<int>(i + 1));
        for (vaddr_t p = 2; p < 4; p++) {
            CHECK(peek(*maps[i], base + p * page_size, i) == -1);
            CHECK(last_fault() == FaultResult::beyond_end);
        }
    }
    CHECK(peek(*child, base + 3 * page_size) == -1);
    object->set_size(4 * page_size);
    for (unsigned i = 0; i < 4; i++)
        CHECK(peek(*maps[i], base + 2 * page_size + i, i) == 0);
    CHECK(object->resident_pages() <= 4);
}

TEST_CASE_FIXTURE(Machine, "truncation clears the rest of the last page") {
    auto object = *VmObject::create(page_size);
    std::vector<char> data(page_size, 'x');
    REQUIRE(object->write_kernel(0, data.data(), data.size()).ok());
    object->set_size(10);
    object->set_size(page_size);
    REQUIRE(*object->read_kernel(0, data.data(), page_size) == page_size);
    CHECK(data[9] == 'x');
    CHECK(data[10] == 0);
    CHECK(data[page_size - 1] == 0);
}

TEST_CASE_FIXTURE(Machine, "truncation finds entries that were split, moved and forked") {
    TestMap map;
    auto object = *VmObject::create(8 * page_size);
    REQUIRE(map->map(of_object(object, true, 8 * page_size, base)).ok());
    for (vaddr_t p = 0; p < 8; p++)
        CHECK(poke(*map, base + p * page_size, 1));
    CHECK(map->protect(base + 6 * page_size, page_size, Prot::read).ok());
    const vaddr_t moved = *map->remap(base + 4 * page_size, page_size, page_size, true, true, base + 0x100000);
    TestMap child = forked(*map);
    object->set_size(0);
    host::check_translations();
    for (VmMap* m : {map.map.get(), child.map.get()}) {
        CHECK(peek(*m, moved) == -1);
        for (vaddr_t p = 0; p < 8; p++)
            CHECK(peek(*m, base + p * page_size) == -1);
        CHECK(m->pmap().resident() == 0);
    }
    CHECK(object->resident_pages() == 0);
}

TEST_CASE_FIXTURE(Machine,
                  "a map that is forked while another is being visited by truncation has no page past the end") {
    TestMap first, second;
    auto object = *VmObject::create(4 * page_size);
    for (TestMap* map : {&first, &second}) {
        REQUIRE((*map)->map(of_object(object, true, 4 * page_size, base)).ok());
        CHECK(poke(**map, base + 3 * page_size, 1));
    }
    static VmMap* to_fork;
    static RefPtr<VmMap> child;
    to_fork = second.map.get();
    host::set_shootdown_hook([] {
        if (VmMap* parent = std::exchange(to_fork, nullptr)) {
            const host::OnHart other(1);
            child = *parent->fork();
        }
    });
    object->set_size(page_size);
    host::set_shootdown_hook(nullptr);
    TestMap forked_map{std::exchange(child, nullptr)};
    REQUIRE(forked_map.map);
    for (VmMap* map : {first.map.get(), second.map.get(), forked_map.map.get()}) {
        CHECK(map->pmap().resident() == 0);
        CHECK(peek(*map, base + 3 * page_size) == -1);
    }
}

TEST_CASE_FIXTURE(Machine, "a map that ends while truncation visits it is left alone") {
    auto object = *VmObject::create(4 * page_size);
    static RefPtr<VmMap> ending;
    ending = new_map();
    REQUIRE(ending->map(of_object(object, true, 4 * page_size, base)).ok());
    CHECK(poke(*ending, base + 3 * page_size, 1));
    unload(*ending);
    host::set_shootdown_hook([] {
        const host::OnHart other(1);
        ending.reset(); // truncation holds the last reference now
    });
    object->set_size(0);
    host::set_shootdown_hook(nullptr);
    CHECK(object->resident_pages() == 0);
}

TEST_CASE_FIXTURE(Machine, "an object holds pages far apart, and reading a hole makes none") {
    auto object = *VmObject::create(uint64_t{1} << 45);
    const std::array<uint64_t, 6> places{0, 63, 64, 4096, uint64_t{1} << 24, (uint64_t{1} << 33) - 1};
    for (const uint64_t place : places)
        REQUIRE(object->write_kernel(place * page_size + 17, &place, sizeof place).ok());
    CHECK(object->resident_pages() == places.size());
    uint64_t value = 0;
    for (const uint64_t place : places) {
        CHECK(*object->read_kernel(place * page_size + 17, &value, sizeof value) == sizeof value);
        CHECK(value == place);
    }
    CHECK(*object->read_kernel(777 * page_size, &value, sizeof value) == sizeof value);
    CHECK(value == 0);
    CHECK(object->resident_pages() == places.size());
    CHECK(object->page_if_present(777) == nullptr);
    object->set_size(65 * page_size);
    CHECK(object->resident_pages() == 3);
}

TEST_CASE_FIXTURE(Machine, "reading and writing an object stop at its end and at a bad address") {
    TestMap map;
    auto object = *VmObject::create(page_size + 100);
    REQUIRE(map->map(anonymous(2 * page_size, base)).ok());
    CHECK(write_user(*map, base, "hello", 5));
    CHECK(*object->write(page_size + 96, base, 5) == 4);
    CHECK(*object->read(page_size + 96, base + page_size, 10) == 4);
    CHECK(peek(*map, base + page_size + 3) == 'l');
    CHECK(*object->read(page_size + 100, base, 10) == 0);
    CHECK(*object->read(0, base + 2 * page_size - 10, 100) == 10);
    CHECK(object->read(0, base + 2 * page_size, 100).error() == Errno::fault);
    CHECK(object->write(0, base + 2 * page_size, 100).error() == Errno::fault);
}

TEST_CASE_FIXTURE(Machine, "an object can be read into a mapping of itself") {
    TestMap map;
    auto object = *VmObject::create(2 * page_size);
    REQUIRE(object->write_kernel(0, "abcdef", 6).ok());
    REQUIRE(map->map(of_object(object, true, 2 * page_size, base)).ok());
    load(0, map.map.get());
    CHECK(*object->read(0, base + page_size, 6) == 6);
    CHECK(*object->write(3, base + page_size, 3) == 3);
    CHECK(peek(*map, base + 5) == 'c');
}

struct FailingObject : VmObject {
    static constexpr const char* zone_name = "failing objects";
    void dispose() override { zone_delete(this); }
    bool fail = true;

protected:
    Result<void> fill(VmPage* page, uint64_t index) override {
        if (fail)
            return Errno::io;
        std::memset(page_data(page), static_cast<int>(index) + 1, page_size);
        return {};
    }
    bool holes_are_zero() const override { return false; }
};

TEST_CASE_FIXTURE(Machine, "an object with a backing store is read from that, and its errors reach the fault") {
    TestMap map;
    auto object = *make_ref<FailingObject>();
    object->set_size(2 * page_size);
    REQUIRE(map->map(of_object(object, false, 2 * page_size, base)).ok());
    CHECK(peek(*map, base) == -1);
    CHECK(last_fault() == FaultResult::beyond_end);
    char byte = 0;
    CHECK(object->read_kernel(0, &byte, 1).error() == Errno::io);
    object->fail = false;
    CHECK(peek(*map, base + page_size) == 2);
    CHECK(*object->read_kernel(5, &byte, 1) == 1);
    CHECK(byte == 1);
}

} // namespace
} // namespace lentil

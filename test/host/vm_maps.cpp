// SPDX-License-Identifier: BSD-2-Clause
// Maps and faults, one rule at a time; vm_random.cpp puts them together.
#include "vm_fixture.hpp"

#include <array>
#include <cstring>
#include <doctest/doctest.h>
#include <vector>

#include <vm/vm_map_build.hpp>

namespace lentil {
namespace {

using machine::Prot;
using namespace test;

// ---- mapping ---------------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(Machine, "anonymous memory is zero, is made when written, and costs nothing when only read") {
    TestMap map;
    const vaddr_t at = *map->map(anonymous(100 * page_size));
    for (int i = 0; i < 100; i++)
        CHECK(peek(*map, at + static_cast<vaddr_t>(i) * page_size) == 0);
    CHECK(map->pmap().resident() == 0);
    const uint64_t faults = host::counters().user_faults;
    CHECK(poke(*map, at + 5 * page_size, 42));
    CHECK(host::counters().user_faults == faults + 1);
    CHECK(peek(*map, at + 5 * page_size) == 42);
    CHECK(peek(*map, at + 5 * page_size + 1) == 0);
    CHECK(map->pmap().resident() == 1);
}

TEST_CASE_FIXTURE(Machine, "memory that is written upwards comes in blocks, unless single pages were asked for") {
    constexpr vaddr_t size = 256 * page_size;
    const auto resident_after = [](VmMap& map, std::initializer_list<unsigned> pages) {
        for (const unsigned page : pages)
            CHECK(poke(map, base + page * page_size, 1));
        return map.pmap().resident();
    };
    TestMap upwards, single, downwards, small, end;
    REQUIRE(upwards->map(anonymous(size, base)).ok());
    CHECK(resident_after(*upwards, {0, 1, 2, 3}) == 4);
    CHECK(resident_after(*upwards, {4}) == 16);
    CHECK(resident_after(*upwards, {16}) == 64);
    for (unsigned i = 0; i < 64; i++)
        CHECK(peek(*upwards, base + i * page_size) == (i < 5 || i == 16));
    REQUIRE(single->map(anonymous(size, base)).ok());
    CHECK(single->advise(base, size, Advice::page_by_page).ok());
    CHECK(resident_after(*single, {0, 1, 2, 3, 4, 5, 6}) == 7);
    CHECK(single->advise(base, size, Advice::any_pages).ok());
    CHECK(resident_after(*single, {7}) == 16);
    REQUIRE(downwards->map(anonymous(size, base)).ok());
    CHECK(resident_after(*downwards, {40, 39, 38, 37, 36, 35, 34}) == 7);
    REQUIRE(small->map(anonymous(15 * page_size, base)).ok());
    CHECK(resident_after(*small, {0, 1, 2, 3, 4, 5, 6}) == 7);
    // Not past the end of the mapping, and not over what is there.
    REQUIRE(end->map(anonymous(18 * page_size, base + 8 * page_size)).ok());
    CHECK(poke(*end, base + 20 * page_size, 7));
    CHECK(resident_after(*end, {12, 13, 14, 15, 16}) == 9); // 17, 18 and 19 came along
    CHECK(resident_after(*end, {21, 22, 23, 24}) == 14);    // 25 is the last
    CHECK(peek(*end, base + 20 * page_size) == 7);
    // After all of a block of 64 the rest of the leaf table follows at once, and the next table starts small again.
    TestMap whole;
    constexpr vaddr_t table = machine::Pte::entries * page_size;
    REQUIRE(whole->map(anonymous(3 * table, base)).ok());
    CHECK(resident_after(*whole, {0, 1, 2, 3, 4, 16, 64}) == 512);
    for (unsigned i = 0; i < 512; i++)
        CHECK(peek(*whole, base + i * page_size) == (i < 5 || i == 16 || i == 64));
    CHECK(resident_after(*whole, {512, 513}) == 514);
    // A part of it goes, is shared by a fork, is protected, as any pages are.
    CHECK(whole->unmap(base + 100 * page_size, 200 * page_size).ok());
    CHECK(whole->pmap().resident() == 314);
    TestMap child = forked(*whole);
    CHECK(resident_after(*child, {64, 65, 511}) == 314);
    CHECK(peek(*whole, base + 65 * page_size) == 0);
    CHECK(whole->protect(base + 300 * page_size, 100 * page_size, Prot::read).ok());
    CHECK_FALSE(poke(*whole, base + 350 * page_size, 1));
    CHECK(poke(*whole, base + 450 * page_size, 1));
    CHECK(peek(*child, base + 450 * page_size) == 0);
    CHECK(peek(*whole, base + 100 * page_size) == -1);
}

TEST_CASE_FIXTURE(Machine, "memory that fills leaf tables begins at one where there is room, other memory does not") {
    TestMap map;
    constexpr vaddr_t table = machine::Pte::entries * page_size;
    const vaddr_t small = *map->map(anonymous(page_size));
    const vaddr_t whole = *map->map(anonymous(2 * table));
    CHECK(whole % table == 0);
    CHECK(small - whole >= 2 * table);
    CHECK(small - whole < 3 * table);
    const vaddr_t odd = *map->map(anonymous(table + page_size));
    CHECK(odd == whole - (table + page_size));
    CHECK(map->unmap(whole, 2 * table).ok());
    CHECK(*map->map(anonymous(2 * table)) == whole);
}

TEST_CASE_FIXTURE(Machine, "a new map is filled in any order, and what it holds is as if it had been mapped") {
    TestMap map;
    const auto object = VmObject::create(8 * page_size);
    REQUIRE(object.ok());
    const auto put = [&](const MapRequest& request) {
        return map_in_new(*map, {.start = request.address,
                                 .end = request.address + request.length,
                                 .prot = request.prot,
                                 .object = request.object.get(),
                                 .offset = request.offset});
    };
    CHECK(put(of_object(*object, false, 2 * page_size, base)).ok());
    CHECK(put(anonymous(3 * page_size, base + 8 * page_size)).ok());
    CHECK(entry_count(*map) == 2);
    SUBCASE("alike ones behind one another are one") {
        CHECK(put(anonymous(page_size, base + 11 * page_size)).ok());
        CHECK(put(of_object(*object, false, page_size, base + 2 * page_size, 2 * page_size)).ok());
        CHECK(entry_count(*map) == 2);
    }
    SUBCASE("below or between others there is room too") {
        CHECK(put(anonymous(page_size, base - 4 * page_size)).ok());
        CHECK(put(anonymous(page_size, base + 4 * page_size)).ok());
        CHECK(entry_count(*map) == 4);
        CHECK(poke(*map, base - 4 * page_size, 1));
        CHECK(poke(*map, base + 4 * page_size, 1));
    }
    SUBCASE("what is there is replaced") {
        CHECK(poke(*map, base + 9 * page_size, 5));
        CHECK(put(anonymous(page_size, base + 9 * page_size)).ok());
        CHECK(peek(*map, base + 9 * page_size) == 0);
    }
    SUBCASE("the limit holds") {
        map->size_limit = 6 * page_size;
        CHECK(put(anonymous(2 * page_size, base + 16 * page_size)).error() == Errno::nomem);
        CHECK(put(of_object(*object, false, page_size, base + 16 * page_size)).ok());
        CHECK(put(of_object(*object, false, page_size, base + 32 * page_size)).error() == Errno::nomem);
    }
    SUBCASE("nonsense is refused") {
        CHECK(put(anonymous(page_size, base + 1)).error() == Errno::inval);
        CHECK(put(anonymous(0, base)).error() == Errno::inval);
        CHECK(put(anonymous(page_size, machine::Pte::user_end)).error() == Errno::nomem);
        CHECK(put(anonymous(page_size, page_size)).error() == Errno::perm);
        CHECK(entry_count(*map) == 2);
    }
    SUBCASE("truncation finds it") {
        CHECK(peek(*map, base + page_size) == 0);
        (*object)->set_size(page_size);
        CHECK(peek(*map, base + page_size) == -1);
        CHECK(peek(*map, base) == 0);
    }
}

TEST_CASE_FIXTURE(Machine, "maps are placed downwards from mmap_base; a free hint is taken, a taken one is not") {
    TestMap map;
    const vaddr_t first = *map->map(anonymous(page_size)), second = *map->map(anonymous(3 * page_size));
    CHECK(first == map->layout.mmap_base - page_size);
    CHECK(second == first - 3 * page_size);
    MapRequest hinted = anonymous(page_size);
    hinted.address = base + 5;
    CHECK(*map->map(hinted) == base);
    CHECK(*map->map(hinted) == second - page_size);
    CHECK(map->unmap(first, page_size).ok());
    CHECK(*map->map(anonymous(2 * page_size)) < second);
    CHECK(*map->map(anonymous(page_size)) == first);
}

TEST_CASE_FIXTURE(Machine, "a fixed map replaces what is there, unless it must not") {
    TestMap map;
    CHECK(*map->map(anonymous(4 * page_size, base)) == base);
    for (vaddr_t i = 0; i < 4; i++)
        CHECK(poke(*map, base + i * page_size, static_cast<uint8_t>(i + 1)));
    MapRequest careful = anonymous(2 * page_size, base + page_size);
    careful.no_replace = true;
    CHECK(map->map(careful).error() == Errno::exist);
    careful.no_replace = false;
    CHECK(*map->map(careful) == base + page_size);
    CHECK(peek(*map, base) == 1);
    CHECK(peek(*map, base + page_size) == 0);
    CHECK(peek(*map, base + 2 * page_size) == 0);
    CHECK(peek(*map, base + 3 * page_size) == 4);
    CHECK(entry_count(*map) == 1);
}

TEST_CASE_FIXTURE(Machine, "requests that make no sense are refused") {
    TestMap map;
    CHECK(map->map(anonymous(0)).error() == Errno::inval);
    CHECK(map->map(anonymous(page_size, base + 1)).error() == Errno::inval);
    CHECK(map->map(anonymous(page_size, 0x1000)).error() == Errno::perm);
    CHECK(map->map(anonymous(uint64_t{1} << 38)).error() == Errno::nomem);
    CHECK(map->map(anonymous(~uint64_t{0})).error() == Errno::nomem);
    CHECK(map->map(anonymous(2 * page_size, machine::Pte::user_end - page_size)).error() == Errno::nomem);
    CHECK(map->unmap(base + 1, page_size).error() == Errno::inval);
    CHECK(map->unmap(base, 0).error() == Errno::inval);
    CHECK(map->unmap(machine::Pte::user_end, page_size).error() == Errno::inval);
    CHECK(map->unmap(base, page_size).ok()); // nothing there
    CHECK(map->protect(base, page_size, Prot::read).error() == Errno::nomem);
}

TEST_CASE_FIXTURE(Machine, "neighbours that are alike become one entry, and part again") {
    TestMap map;
    CHECK(*map->map(anonymous(page_size, base)) == base);
    CHECK(*map->map(anonymous(page_size, base + 2 * page_size)) != 0);
    CHECK(entry_count(*map) == 2);
    CHECK(*map->map(anonymous(page_size, base + page_size)) != 0);
    CHECK(entry_count(*map) == 1);
    CHECK(map->protect(base + page_size, page_size, Prot::read).ok());
    CHECK(entry_count(*map) == 3);
    CHECK(map->protect(base + page_size, page_size, read_write).ok());
    CHECK(entry_count(*map) == 1);
    CHECK(map->unmap(base + page_size, page_size).ok());
    CHECK(entry_count(*map) == 2);
    CHECK(map->totals().size == 2 * page_size);
}

TEST_CASE_FIXTURE(Machine, "what is unmapped cannot be accessed, on any hart") {
    TestMap map;
    REQUIRE(map->map(anonymous(3 * page_size, base)).ok());
    for (unsigned hart = 0; hart < harts; hart++)
        CHECK(poke(*map, base + page_size, 9, hart));
    const uint64_t targets = host::counters().remote_targets;
    CHECK(map->unmap(base + page_size, page_size).ok());
    CHECK(host::counters().remote_targets == targets + harts - 1);
    host::check_translations();
    for (unsigned hart = 0; hart < harts; hart++) {
        CHECK(peek(*map, base + page_size, hart) == -1);
        CHECK(last_fault() == FaultResult::no_mapping);
    }
    CHECK(peek(*map, base) == 0);
}

TEST_CASE_FIXTURE(Machine, "a shoot-down reaches only the harts where the map is loaded") {
    TestMap map, other;
    REQUIRE(map->map(anonymous(page_size, base)).ok());
    REQUIRE(other->map(anonymous(page_size, base)).ok());
    CHECK(poke(*map, base, 1, 0));
    CHECK(poke(*map, base, 1, 1));
    CHECK(poke(*other, base, 1, 2));
    const uint64_t targets = host::counters().remote_targets;
    CHECK(map->unmap(base, page_size).ok());
    CHECK(host::counters().remote_targets == targets + 1);
}

TEST_CASE_FIXTURE(Machine, "one operation makes one shoot-down, however many pages it takes away") {
    TestMap map;
    REQUIRE(map->map(anonymous(100 * page_size, base)).ok());
    for (vaddr_t i = 0; i < 100; i++)
        poke(*map, base + i * page_size, 1);
    uint64_t shootdowns = host::counters().shootdowns;
    CHECK(map->protect(base, 100 * page_size, Prot::read).ok());
    CHECK(host::counters().shootdowns == shootdowns + 1);
    CHECK(map->protect(base, 100 * page_size, read_write).ok());
    CHECK(host::counters().shootdowns == shootdowns + 1); // more rights: nobody needs to forget
    CHECK(map->unmap(base, 100 * page_size).ok());
    CHECK(host::counters().shootdowns == shootdowns + 2);
}

TEST_CASE_FIXTURE(Machine, "the limit on address space holds for mmap, mremap, brk and stacks") {
    TestMap map;
    map->size_limit = 10 * page_size;
    REQUIRE(map->map(anonymous(8 * page_size, base)).ok());
    CHECK(map->map(anonymous(3 * page_size)).error() == Errno::nomem);
    CHECK(map->map(anonymous(8 * page_size, base)).ok()); // replaces
    CHECK(map->remap(base, 8 * page_size, 11 * page_size, true, false, 0).error() == Errno::nomem);
    CHECK(*map->remap(base, 8 * page_size, 10 * page_size, true, false, 0) == base);
    map->init_break(base + 0x1000000);
    CHECK(map->set_break(base + 0x1001000, ~uint64_t{0}) == base + 0x1000000);
}

// ---- protection --------------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(Machine, "protection is enforced on every hart, and contents survive its changes") {
    TestMap map;
    REQUIRE(map->map(anonymous(4 * page_size, base)).ok());
    for (unsigned hart = 0; hart < harts; hart++)
        CHECK(poke(*map, base + hart * page_size, static_cast<uint8_t>(hart + 1), hart));
    CHECK(map->protect(base, 2 * page_size, Prot::none).ok());
    CHECK(map->protect(base + 2 * page_size, 2 * page_size, Prot::read).ok());
    host::check_translations();
    for (unsigned hart = 0; hart < harts; hart++) {
        CHECK(peek(*map, base, hart) == -1);
        CHECK(last_fault() == FaultResult::protection);
        CHECK(!poke(*map, base + 2 * page_size, 1, hart));
        CHECK(last_fault() == FaultResult::protection);
        CHECK(peek(*map, base + 2 * page_size, hart) == 3);
    }
    CHECK(map->protect(base, 4 * page_size, read_write).ok());
    for (unsigned i = 0; i < 4; i++) {
        CHECK(peek(*map, base + i * page_size, i) == static_cast<int>(i + 1));
        CHECK(poke(*map, base + i * page_size, 7, i));
    }
    CHECK(map->pmap().resident() == 4);
}

TEST_CASE_FIXTURE(Machine, "protection never exceeds what the mapping was opened for") {
    TestMap map;
    MapRequest request = of_object(*VmObject::create(page_size), true, page_size, base);
    request.prot = Prot::read;
    request.max_prot = Prot::read;
    REQUIRE(map->map(request).ok());
    CHECK(map->protect(base, page_size, read_write).error() == Errno::acces);
    CHECK(map->protect(base, page_size, Prot::none).ok());
}

TEST_CASE_FIXTURE(Machine, "protecting a range with a hole changes nothing") {
    TestMap map;
    REQUIRE(map->map(anonymous(page_size, base)).ok());
    REQUIRE(map->map(anonymous(page_size, base + 2 * page_size)).ok());
    CHECK(map->protect(base, 3 * page_size, Prot::read).error() == Errno::nomem);
    CHECK(poke(*map, base, 1));
}

TEST_CASE_FIXTURE(Machine, "what the kernel wrote is executed as written, on every hart") {
    TestMap map;
    auto object = *VmObject::create(2 * page_size);
    const std::array<uint32_t, 2> code{0x11111111, 0x22222222};
    MapRequest text = of_object(object, false, 2 * page_size, base);
    text.prot = Prot::read | Prot::exec;
    // The page's former life: fetched from by another map, so that instruction caches know it.
    uint32_t word = 0;
    {
        TestMap old;
        REQUIRE(object->write_kernel(0, code.data(), 8).ok());
        REQUIRE(old->map(text).ok());
        for (unsigned hart = 0; hart < harts; hart++) {
            load(hart, old.map.get());
            const host::OnHart on(hart);
            CHECK(host::user_fetch32(&word, base));
            CHECK(word == 0x11111111);
        }
        REQUIRE(map->map(text).ok());
        for (unsigned hart = 0; hart < harts; hart++)
            load(hart, map.map.get()); // before the new contents are there
        for (unsigned hart = 0; hart < harts; hart++) {
            const host::OnHart on(hart);
            CHECK(host::user_fetch32(&word, base));
        }
        CHECK(map->unmap(base, 2 * page_size).ok());
        REQUIRE(object->write_kernel(0, &code[1], 4).ok());
        REQUIRE(map->map(text).ok());
    }
    for (unsigned hart = 0; hart < harts; hart++) {
        const host::OnHart on(hart);
        CHECK(host::user_fetch32(&word, base));
        CHECK(word == 0x22222222);
    }
    const uint64_t syncs = host::counters().instruction_syncs;
    TestMap third;
    REQUIRE(third->map(text).ok());
    load(0, third.map.get());
    CHECK(host::user_fetch32(&word, base));
    CHECK(host::counters().instruction_syncs == syncs); // nothing new to fetch
}

TEST_CASE_FIXTURE(Machine, "data is never executable unless asked for") {
    TestMap map;
    REQUIRE(map->map(anonymous(page_size, base)).ok());
    CHECK(poke(*map, base, 1));
    uint32_t word = 0;
    CHECK(!host::user_fetch32(&word, base));
    CHECK(last_fault() == FaultResult::protection);
    CHECK(map->protect(base, page_size, Prot::read | Prot::exec).ok());
    CHECK(host::user_fetch32(&word, base));
    CHECK(word == 1);
    CHECK(!poke(*map, base, 2));
}

// ---- fork --------------------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(Machine, "after fork both sides see what was there, and neither sees the other's writes") {
    TestMap parent;
    REQUIRE(parent->map(anonymous(4 * page_size, base)).ok());
    for (unsigned hart = 0; hart < harts; hart++)
        CHECK(poke(*parent, base + hart * page_size, static_cast<uint8_t>(10 + hart), hart));
    TestMap child = forked(*parent);
    host::check_translations(); // no hart may go on writing to what is shared now
    CHECK(poke(*parent, base, 1, 1));
    CHECK(poke(*child, base + page_size, 2, 2));
    CHECK(peek(*child, base, 2) == 10);
    CHECK(peek(*parent, base, 0) == 1);
    CHECK(peek(*parent, base + page_size, 0) == 11);
    CHECK(peek(*child, base + page_size, 3) == 2);
    CHECK(peek(*child, base + 2 * page_size) == 12);
    CHECK(child->pmap().resident() == 4);
}

TEST_CASE_FIXTURE(Machine, "the last side to write takes the page over without a copy") {
    TestMap parent;
    REQUIRE(parent->map(anonymous(page_size, base)).ok());
    CHECK(poke(*parent, base, 1));
    VmPage* const original = parent->pmap().lookup(base).page;
    uint64_t faults = 0;
    {
        TestMap child = forked(*parent);
        CHECK(poke(*child, base, 2));
        CHECK(child->pmap().lookup(base).page != original);
    }
    CHECK(peek(*parent, base) == 1);
    faults = host::counters().user_faults;
    CHECK(poke(*parent, base, 3));
    CHECK(host::counters().user_faults == faults + 1);
    CHECK(parent->pmap().lookup(base).page == original);
}

TEST_CASE_FIXTURE(Machine, "a thousand generations lengthen nothing") {
    TestMap map;
    REQUIRE(map->map(anonymous(8 * page_size, base)).ok());
    for (vaddr_t i = 0; i < 8; i++)
        CHECK(poke(*map, base + i * page_size, static_cast<uint8_t>(i)));
    const Counts first = Counts::now();
    for (int generation = 0; generation < 1000; generation++) {
        TestMap child = forked(*map);
        CHECK(poke(*child, base + page_size * static_cast<vaddr_t>(generation % 8), static_cast<uint8_t>(generation)));
        unload(*map);
        std::swap(map.map, child.map);
    }
    CHECK(Counts::now() == first);
    for (vaddr_t i = 0; i < 8; i++)
        CHECK(peek(*map, base + i * page_size) == static_cast<uint8_t>(992 + i));
}

TEST_CASE_FIXTURE(Machine, "eight children write different parts of one region, the parent's stays untouched") {
    constexpr unsigned children = 8, pages = 64;
    TestMap parent;
    REQUIRE(parent->map(anonymous(pages * page_size, base)).ok());
    for (vaddr_t i = 0; i < pages; i++)
        CHECK(poke(*parent, base + i * page_size, 100, static_cast<unsigned>(i) % harts));
    std::vector<TestMap> child(children);
    for (TestMap& c : child)
        c.map = *parent->fork();
    for (vaddr_t i = 0; i < pages; i++)
        for (unsigned c = 0; c < children; c++)
            if (i % children == c)
                CHECK(poke(*child[c], base + i * page_size, static_cast<uint8_t>(c + 1), c % harts));
    for (vaddr_t i = 0; i < pages; i++) {
        CHECK(peek(*parent, base + i * page_size) == 100);
        for (unsigned c = 0; c < children; c++)
            CHECK(peek(*child[c], base + i * page_size, c % harts) ==
                  (i % children == c ? static_cast<int>(c + 1) : 100));
    }
}

TEST_CASE_FIXTURE(Machine, "the kernel's own writes break sharing too") {
    TestMap parent;
    REQUIRE(parent->map(anonymous(page_size, base)).ok());
    CHECK(poke(*parent, base, 5));
    TestMap child = forked(*parent);
    const uint8_t value = 6;
    CHECK(child->write_memory(base, &value, 1, false) == 1);
    CHECK(peek(*parent, base) == 5);
    CHECK(peek(*child, base) == 6);
}

TEST_CASE_FIXTURE(Machine, "madvise decides what a child gets") {
    TestMap parent;
    REQUIRE(parent->map(anonymous(3 * page_size, base)).ok());
    for (vaddr_t i = 0; i < 3; i++)
        CHECK(poke(*parent, base + i * page_size, 5));
    CHECK(parent->advise(base, page_size, Advice::dont_fork).ok());
    CHECK(parent->advise(base + page_size, page_size, Advice::wipe_on_fork).ok());
    TestMap child = forked(*parent);
    CHECK(peek(*child, base) == -1);
    CHECK(peek(*child, base + page_size) == 0);
    CHECK(peek(*child, base + 2 * page_size) == 5);
    CHECK(parent->advise(base, page_size, Advice::do_fork).ok());
    CHECK(parent->advise(base + page_size, page_size, Advice::keep_on_fork).ok());
    CHECK(entry_count(*parent) == 1);
}

TEST_CASE_FIXTURE(Machine, "shared anonymous memory stays shared over fork") {
    TestMap parent;
    MapRequest request = anonymous(2 * page_size, base);
    request.shared = true;
    REQUIRE(parent->map(request).ok());
    CHECK(poke(*parent, base, 1));
    TestMap child = forked(*parent);
    CHECK(peek(*child, base, 1) == 1);
    const uint64_t faults = host::counters().user_faults;
    CHECK(poke(*child, base, 2, 1));
    CHECK(host::counters().user_faults == faults + 1); // its tables become its own, the page stays the one page
    CHECK(poke(*child, base, 2, 1));
    CHECK(host::counters().user_faults == faults + 1);
    CHECK(child->pmap().lookup(base).page == parent->pmap().lookup(base).page);
    CHECK(poke(*child, base + page_size, 3, 1));
    CHECK(peek(*parent, base) == 2);
    CHECK(peek(*parent, base + page_size) == 3);
    const auto key = parent->futex_key(base + 8, false), same = child->futex_key(base + 8, false);
    CHECK(*key == *same);
    CHECK(*parent->futex_key(base + 8, true) != *child->futex_key(base + 8, true));
    CHECK(parent->futex_key(base - 8, false).error() == Errno::fault);
}

// ---- remap, advice, heap, stack --------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(Machine, "mremap grows in place where it can, moves where it may, and takes the pages along") {
    TestMap map;
    REQUIRE(map->map(anonymous(2 * page_size, base)).ok());
    CHECK(poke(*map, base, 1));
    CHECK(poke(*map, base + page_size, 2));
    CHECK(*map->remap(base, 2 * page_size, 3 * page_size, false, false, 0) == base);
    REQUIRE(map->map(anonymous(page_size, base + 3 * page_size)).ok());
    CHECK(poke(*map, base + 3 * page_size, 3));
    CHECK(map->remap(base, 3 * page_size, 9 * page_size, false, false, 0).error() == Errno::nomem);
    VmPage* const page = map->pmap().lookup(base + page_size).page;
    const vaddr_t moved = *map->remap(base, 3 * page_size, 9 * page_size, true, false, 0);
    CHECK(moved != base);
    host::check_translations();
    CHECK(map->pmap().lookup(moved + page_size).page == page);
    CHECK(peek(*map, base) == -1);
    CHECK(peek(*map, moved) == 1);
    CHECK(peek(*map, moved + page_size) == 2);
    CHECK(peek(*map, moved + 8 * page_size) == 0);
    CHECK(peek(*map, base + 3 * page_size) == 3);
    CHECK(*map->remap(moved, 9 * page_size, page_size, false, false, 0) == moved);
    CHECK(peek(*map, moved + page_size) == -1);
    CHECK(map->remap(moved, 2 * page_size, 4 * page_size, true, false, 0).error() == Errno::fault);
    CHECK(map->remap(moved, page_size, page_size, true, true, moved).error() == Errno::inval);
    CHECK(*map->remap(moved, page_size, page_size, true, true, base + 3 * page_size) == base + 3 * page_size);
    CHECK(peek(*map, base + 3 * page_size) == 1);
}

TEST_CASE_FIXTURE(Machine, "mremap keeps a file's offset") {
    TestMap map;
    auto object = *VmObject::create(8 * page_size);
    for (uint64_t i = 0; i < 8; i++)
        REQUIRE(object->write_kernel(i * page_size, &i, 1).ok());
    REQUIRE(map->map(of_object(object, false, 4 * page_size, base, page_size)).ok());
    CHECK(peek(*map, base + 2 * page_size) == 3);
    const vaddr_t moved = *map->remap(base + 2 * page_size, 2 * page_size, 4 * page_size, true, true, base + 0x100000);
    for (vaddr_t i = 0; i < 4; i++)
        CHECK(peek(*map, moved + i * page_size) == static_cast<int>(3 + i));
    CHECK(peek(*map, base + page_size) == 2);
}

TEST_CASE_FIXTURE(Machine, "MADV_DONTNEED forgets private pages and keeps an object's") {
    TestMap map;
    auto object = *VmObject::create(page_size);
    REQUIRE(map->map(anonymous(2 * page_size, base)).ok());
    REQUIRE(map->map(of_object(object, true, page_size, base + 2 * page_size)).ok());
    CHECK(poke(*map, base, 1));
    CHECK(poke(*map, base + page_size, 2));
    CHECK(poke(*map, base + 2 * page_size, 3));
    CHECK(map->advise(base + page_size, 2 * page_size, Advice::dont_need).ok());
    CHECK(peek(*map, base) == 1);
    CHECK(peek(*map, base + page_size) == 0);
    CHECK(peek(*map, base + 2 * page_size) == 3);
    CHECK(map->advise(base, 4 * page_size, Advice::dont_need).error() == Errno::nomem);
    CHECK(peek(*map, base) == 0);
    CHECK(map->advise(base + 2 * page_size, page_size, Advice::free).error() == Errno::inval);
}

TEST_CASE_FIXTURE(Machine, "mincore tells what is there") {
    TestMap map;
    auto object = *VmObject::create(page_size);
    REQUIRE(object->write_kernel(0, "x", 1).ok());
    REQUIRE(map->map(anonymous(2 * page_size, base)).ok());
    REQUIRE(map->map(of_object(object, true, page_size, base + 2 * page_size)).ok());
    CHECK(poke(*map, base + page_size, 1));
    std::array<uint8_t, 3> out{};
    CHECK(map->resident(base, out).ok());
    CHECK(out == std::array<uint8_t, 3>{0, 1, 1});
    std::array<uint8_t, 4> more{};
    CHECK(map->resident(base, more).error() == Errno::nomem);
}

TEST_CASE_FIXTURE(Machine, "the heap grows and shrinks by bytes, within its limit, and stops at a neighbour") {
    TestMap map;
    map->init_break(base + 0x123);
    CHECK(map->set_break(0, ~uint64_t{0}) == base + 0x123);
    CHECK(map->set_break(base + 0x2000, ~uint64_t{0}) == base + 0x2000);
    CHECK(poke(*map, base + 0x1fff, 1));
    CHECK(map->set_break(base + 0x2001, ~uint64_t{0}) == base + 0x2001);
    CHECK(poke(*map, base + 0x2fff, 2));
    CHECK(entry_count(*map) == 1);
    CHECK(map->set_break(base + 0x800000, 0x10000) == base + 0x2001);
    CHECK(map->set_break(base + 0x1800, ~uint64_t{0}) == base + 0x1800);
    CHECK(peek(*map, base + 0x2000) == -1);
    REQUIRE(map->map(anonymous(page_size, base + 0x4000)).ok());
    CHECK(map->set_break(base + 0x4001, ~uint64_t{0}) == base + 0x1800);
    CHECK(map->set_break(base + 0x4000, ~uint64_t{0}) == base + 0x4000);
    CHECK(peek(*map, base + 0x2fff) == 0);
    CHECK(map->set_break(base, ~uint64_t{0}) == base + 0x4000);
}

TEST_CASE_FIXTURE(Machine, "a stack grows to a fault below it, up to its limit and not close to a neighbour") {
    TestMap map;
    constexpr vaddr_t top = base + 0x10000000;
    MapRequest request = anonymous(2 * page_size, top - 2 * page_size);
    request.grows_down = true;
    request.kind = EntryKind::stack;
    REQUIRE(map->map(request).ok());
    map->stack_limit = 4 << 20;
    CHECK(poke(*map, top - 0x100000, 1));
    CHECK(entry_count(*map) == 1);
    CHECK(map->totals().stack == 0x100000);
    CHECK(peek(*map, top - (4 << 20)) == 0);
    CHECK(peek(*map, top - (4 << 20) - 1) == -1);
    CHECK(last_fault() == FaultResult::no_mapping);

    TestMap second;
    REQUIRE(second->map(request).ok());
    REQUIRE(second->map(anonymous(page_size, top - 0x300000)).ok());
    CHECK(poke(*second, top - 0x1fe000, 1)); // one MiB and a page from the neighbour's end
    CHECK(poke(*second, top - 0x1ff000, 1));
    CHECK(!poke(*second, top - 0x200000, 1));
    // And nobody is placed close below it.
    second->layout.mmap_base = top;
    const vaddr_t placed = *second->map(anonymous(page_size));
    CHECK(placed + page_size + 256 * page_size <= top - 0x1ff000);
}

// ---- copies from outside ---------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(Machine, "a map's memory can be read and written while it is loaded nowhere") {
    TestMap map;
    REQUIRE(map->map(anonymous(3 * page_size, base)).ok());
    std::vector<char> data(2 * page_size + 10, 'q');
    CHECK(map->write_memory(base + 5, data.data(), data.size(), false) == data.size());
    std::vector<char> back(data.size());
    CHECK(map->read_memory(base + 5, back.data(), back.size()) == back.size());
    CHECK(back == data);
    CHECK(peek(*map, base + 4) == 0);
    CHECK(map->read_memory(base + 3 * page_size - 4, back.data(), 10) == 4);
    CHECK(map->write_memory(base + 3 * page_size, back.data(), 10, true) == 0);
}

TEST_CASE_FIXTURE(Machine, "a forced write reaches read-only private memory, but not the file behind it") {
    TestMap map;
    auto object = *VmObject::create(page_size);
    REQUIRE(object->write_kernel(0, "old", 3).ok());
    MapRequest request = of_object(object, false, page_size, base);
    request.prot = Prot::read | Prot::exec;
    REQUIRE(map->map(request).ok());
    CHECK(peek(*map, base) == 'o');
    CHECK(map->write_memory(base, "new", 3, false) == 0);
    CHECK(map->write_memory(base, "new", 3, true) == 3);
    CHECK(peek(*map, base) == 'n');
    CHECK(!poke(*map, base, 'x'));
    char back[3];
    REQUIRE(object->read_kernel(0, back, 3).ok());
    CHECK(std::memcmp(back, "old", 3) == 0);
}

// ---- memory runs out ---------------------------------------------------------------------------------------------------------

TEST_CASE_FIXTURE(Machine, "whatever allocation of a fork fails, nothing is left of it and the parent goes on") {
    TestMap parent;
    auto object = *VmObject::create(4 * page_size);
    for (vaddr_t i = 0; i < 6; i++) // apart, so that the child needs many tables
        REQUIRE(parent->map(anonymous(2 * page_size, base + i * 0x40000000)).ok());
    REQUIRE(parent->map(of_object(object, true, 4 * page_size, base + 0x1000000)).ok());
    for (vaddr_t i = 0; i < 6; i++)
        CHECK(poke(*parent, base + i * 0x40000000, static_cast<uint8_t>(i), 1));
    const Counts start = Counts::now();
    unsigned failures = 0;
    for (unsigned n = 1;; n++) {
        Result<RefPtr<VmMap>> child = Errno::nomem;
        {
            const FailNth fail(n);
            child = parent->fork();
            if (!FailNth::failed())
                break;
        }
        CHECK(!child.ok());
        CHECK(child.error() == Errno::nomem);
        const Counts now = Counts::now();
        REQUIRE_MESSAGE(now == start, "failure ", n, ": ", describe(start), "; ", describe(now));
        host::check_translations();
        failures++;
        for (vaddr_t i = 0; i < 6; i++) {
            CHECK(peek(*parent, base + i * 0x40000000, 1) == static_cast<int>(i));
            CHECK(poke(*parent, base + i * 0x40000000, static_cast<uint8_t>(i), 1));
        }
    }
    CHECK(failures >= 8); // the map, a root, a middle table for each gigabyte
}

TEST_CASE_FIXTURE(Machine,
                  "whatever allocation of map, unmap, protect, mremap or madvise fails, the map stays as it was") {
    constexpr vaddr_t pages = 8;
    auto contents_ok = [](VmMap& map) {
        for (vaddr_t i = 0; i < pages; i++)
            if (const vaddr_t at = base + i * page_size;
                peek(map, at) != static_cast<int>(i) || !poke(map, at, static_cast<uint8_t>(i)))
                return false;
        return entry_count(map) == 1;
    };
    const std::array<bool (*)(VmMap&), 6> operations{
        [](VmMap& m) { return m.unmap(base + page_size, page_size).ok(); },
        [](VmMap& m) { return m.protect(base + page_size, page_size, Prot::read).ok(); },
        [](VmMap& m) { return m.map(anonymous(page_size, base + page_size)).ok(); },
        [](VmMap& m) { return m.remap(base + page_size, page_size, 300 * page_size, true, false, 0).ok(); },
        [](VmMap& m) { return m.advise(base + page_size, page_size, Advice::wipe_on_fork).ok(); },
        [](VmMap& m) {
            MapRequest request = anonymous(page_size);
            request.shared = true;
            return m.map(request).ok();
        },
    };
    for (auto operation : operations) {
        TestMap map;
        REQUIRE(map->map(anonymous(pages * page_size, base)).ok());
        for (vaddr_t i = 0; i < pages; i++)
            CHECK(poke(*map, base + i * page_size, static_cast<uint8_t>(i)));
        unsigned failures = 0;
        for (bool done = false; !done; failures++) {
            const Counts start = Counts::now();
            {
                const FailNth fail(failures + 1);
                done = operation(*map);
                CHECK(done == !FailNth::failed());
            }
            if (done)
                break;
            const Counts now = Counts::now();
            REQUIRE_MESSAGE(now == start, "failure ", failures, ": ", describe(start), "; ", describe(now));
            REQUIRE(contents_ok(*map));
        }
        CHECK(failures >= 2);
    }
}

TEST_CASE_FIXTURE(Machine, "a fault without memory says so, and succeeds when there is some") {
    TestMap map;
    auto object = *VmObject::create(2 * page_size);
    REQUIRE(map->map(anonymous(page_size, base)).ok());
    REQUIRE(map->map(of_object(object, false, page_size, base + page_size)).ok());
    load(0, map.map.get());
    for (vaddr_t at : {base, base + page_size})
        for (unsigned n = 1;; n++) {
            const FailNth fail(n);
            const bool done = poke(*map, at, 7);
            if (done)
                break;
            CHECK(last_fault() == FaultResult::out_of_memory);
        }
    CHECK(peek(*map, base) == 7);
    CHECK(peek(*map, base + page_size) == 7);
}

TEST_CASE_FIXTURE(Machine, "when all memory is used the next fault fails, and everything comes back") {
    TestMap map;
    REQUIRE(map->map(anonymous(uint64_t{1} << 30, base)).ok());
    vaddr_t at = base;
    while (poke(*map, at, 1))
        at += page_size;
    CHECK(last_fault() == FaultResult::out_of_memory);
    CHECK(at - base > 16000 * page_size); // of 64 MiB
    CHECK(map->fork().error() == Errno::nomem);
    CHECK(map->unmap(base, uint64_t{1} << 30).ok());
    REQUIRE(map->map(anonymous(page_size, base)).ok());
    CHECK(poke(*map, base, 1));
    CHECK(map->totals().peak_resident >= (at - base));
}

TEST_CASE_FIXTURE(Machine, "a map is never destroyed while a hart has it loaded") {
    RefPtr<VmMap> map = new_map();
    load(2, map.get());
    CHECK(map->pmap().space().active.load() == HartSet::of(2));
    load(2, nullptr);
    CHECK(map->pmap().space().active.load().empty());
}

} // namespace
} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// Leaf tables that fork shares: what a fork costs, what the first access on either side costs, and that nobody sees
// anything of it.
#include "vm_fixture.hpp"

#include <vector>

#include <vm/pmap_internal.hpp>

namespace lentil {
namespace {

using machine::Prot;
using namespace test;

constexpr vaddr_t table_span = 512 * page_size;
constexpr unsigned tables = 4, pages = tables * 512;
constexpr vaddr_t region = 0x10000000; // where a leaf table begins
static_assert(region % table_span == 0);

uint8_t first_value(unsigned page) { return static_cast<uint8_t>(page * 7 + page / 251); }

/// A parent whose region is written full.
struct Family : Machine {
    TestMap parent;
    Family() {
        REQUIRE(parent->map(anonymous(pages * page_size, region)).ok());
        for (unsigned i = 0; i < pages; i++)
            REQUIRE(poke(*parent, region + i * page_size, first_value(i)));
    }
    /// Takes the harts off the map first.
    void end(TestMap& map) {
        unload(*map);
        map.map = new_map();
    }
    static bool intact(VmMap& map, unsigned from = 0, unsigned to = pages) {
        for (unsigned i = from; i < to; i++)
            if (peek(map, region + i * page_size) != first_value(i))
                return false;
        return true;
    }
    template<class F>
    static uint64_t faults(F f) {
        const uint64_t before = host::counters().user_faults;
        f();
        return host::counters().user_faults - before;
    }
};

TEST_CASE_FIXTURE(Family, "a fork copies neither pages nor leaf tables") {
    const Counts one = Counts::now();
    TestMap child = forked(*parent);
    const Counts two = Counts::now();
    CHECK(two.user_pages == one.user_pages);
    CHECK(two.kernel_pages <= one.kernel_pages + 4); // root, one middle table, records of map and entry
    CHECK(child->pmap().resident() == pages);
    CHECK(child->pmap().table_pages() == parent->pmap().table_pages());
    CHECK(parent->pmap().lookup(region).page->refs.load() == 1); // the table's reference
    CHECK(parent->pmap().lookup(region).other_tables == 1);
}

TEST_CASE_FIXTURE(Family, "after a fork each side takes one fault a table to read everything") {
    TestMap child = forked(*parent);
    CHECK(faults([&] { CHECK(intact(*child)); }) == tables);
    CHECK(faults([&] { CHECK(intact(*parent)); }) == tables);
    host::check_translations();
}

TEST_CASE_FIXTURE(Family, "a parent whose child ended writes on at one fault a table") {
    { TestMap child = forked(*parent); }
    CHECK(faults([&] {
              for (unsigned i = 0; i < pages; i++)
                  CHECK(poke(*parent, region + i * page_size, 1));
          }) == tables);
}

TEST_CASE_FIXTURE(Family, "whoever writes gets a table and a page of its own, the others keep theirs") {
    std::vector<TestMap> children;
    for (unsigned i = 0; i < 3; i++)
        children.push_back(forked(*parent));
    const Counts shared = Counts::now();
    CHECK(faults([&] { CHECK(poke(*children[1], region + 5 * page_size, 99, 2)); }) == 1);
    const Counts after = Counts::now();
    CHECK(after.user_pages == shared.user_pages + 1);
    CHECK(after.kernel_pages == shared.kernel_pages + 1);
    CHECK(peek(*children[1], region + 5 * page_size, 2) == 99);
    CHECK(peek(*children[1], region + 6 * page_size, 2) == first_value(6));
    host::check_translations();
    CHECK(intact(*parent));
    CHECK(intact(*children[0]));
    CHECK(intact(*children[2]));
    // The parent's own write now copies too: three still have the page.
    CHECK(poke(*parent, region + 5 * page_size, 98));
    CHECK(peek(*children[1], region + 5 * page_size) == 99);
    CHECK(intact(*children[0]));
    for (TestMap& child : children)
        unload(*child);
}

TEST_CASE_FIXTURE(Family, "the last with a table has its pages as its own only where nobody else has them") {
    TestMap child = forked(*parent);
    CHECK(poke(*child, region, 1)); // copies the first table: its pages are held by both tables now
    CHECK(poke(*parent, region + page_size, 2));
    CHECK(peek(*child, region + page_size) == first_value(1));
    CHECK(poke(*child, region + 2 * page_size, 3));
    CHECK(peek(*parent, region + 2 * page_size) == first_value(2));
    host::check_translations();
}

TEST_CASE_FIXTURE(Family, "unmapping whole tables copies nothing, parts of one copy that one") {
    TestMap child = forked(*parent);
    const Counts shared = Counts::now();
    CHECK(child->unmap(region + table_span, table_span).ok());
    CHECK(Counts::now().user_pages == shared.user_pages);
    CHECK(child->pmap().resident() == pages - 512);
    CHECK(child->unmap(region + 2 * table_span + 3 * page_size, page_size).ok());
    CHECK(Counts::now().user_pages == shared.user_pages);
    CHECK(child->pmap().resident() == pages - 513);
    CHECK(peek(*child, region + table_span) == -1);
    CHECK(peek(*child, region + 2 * table_span + 3 * page_size) == -1);
    CHECK(intact(*child, 0, 512));
    CHECK(intact(*child, 2 * 512 + 4, pages));
    CHECK(intact(*parent));
    CHECK(parent->pmap().resident() == pages);
}

TEST_CASE_FIXTURE(Family, "protection changes on one side only") {
    TestMap child = forked(*parent);
    SUBCASE("by the child, before anything was touched") {
        CHECK(child->protect(region, table_span, Prot::read).ok());
        CHECK(child->protect(region + table_span, 2 * page_size, Prot::none).ok());
        CHECK_FALSE(poke(*child, region, 1));
        CHECK(peek(*child, region) == first_value(0));
        CHECK(peek(*child, region + table_span) == -1);
        CHECK(child->protect(region + table_span, 2 * page_size, read_write).ok());
        CHECK(intact(*child));
        CHECK(intact(*parent));
        CHECK(poke(*parent, region, 1));
        CHECK(peek(*child, region) == first_value(0));
    }
    SUBCASE("by the parent, whose harts know the pages") {
        CHECK(intact(*parent));
        CHECK(parent->protect(region, pages * page_size, Prot::none).ok());
        host::check_translations();
        CHECK(peek(*parent, region) == -1);
        CHECK(intact(*child));
        CHECK(poke(*child, region, 1));
        CHECK(parent->protect(region, pages * page_size, read_write).ok());
        CHECK(intact(*parent));
    }
}

TEST_CASE_FIXTURE(Family, "harts that run the parent forget that they may write") {
    for (unsigned hart = 0; hart < harts; hart++)
        CHECK(poke(*parent, region + hart * page_size, first_value(hart), hart));
    const uint64_t shootdowns = host::counters().shootdowns;
    TestMap child = forked(*parent);
    CHECK(host::counters().shootdowns == shootdowns + 1);
    host::check_translations();
    for (unsigned hart = 0; hart < harts; hart++)
        CHECK(poke(*parent, region + hart * page_size, 50, hart));
    CHECK(intact(*child));
}

TEST_CASE_FIXTURE(Family, "moved memory takes its pages out of the shared table, for one side") {
    TestMap child = forked(*parent);
    constexpr vaddr_t to = region + 16 * table_span;
    CHECK(*child->remap(region + 510 * page_size, 4 * page_size, 4 * page_size, true, true, to) == to);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(peek(*child, to + i * page_size) == first_value(510 + i));
        CHECK(peek(*child, region + (510 + i) * page_size) == -1);
        CHECK(poke(*child, to + i * page_size, 1));
    }
    CHECK(child->pmap().resident() == pages);
    CHECK(intact(*parent));
}

TEST_CASE_FIXTURE(Family, "whatever allocation fails when a shared table is needed in part, nothing has changed") {
    TestMap child = forked(*parent);
    const auto attempt = [&](auto operation) {
        for (unsigned n = 1; n < 20; n++) {
            bool failed = false;
            Result<void> result;
            {
                const FailNth fail(n);
                result = operation();
                failed = FailNth::failed();
            }
            if (!failed)
                return result.ok() && n > 1;
            CHECK(result.error() == Errno::nomem);
            CHECK(intact(*child));
            CHECK(child->pmap().resident() == pages);
        }
        return false;
    };
    CHECK(attempt([&] { return child->protect(region + 2 * table_span, page_size, Prot::none); }));
    CHECK(child->protect(region + 2 * table_span, page_size, read_write).ok());
    CHECK(attempt([&] { return child->unmap(region + 5 * page_size, table_span); }));
    CHECK(intact(*parent));
}

TEST_CASE_FIXTURE(Family, "a family tree ends in any order, and every generation sees what it was born with") {
    std::vector<TestMap> family;
    family.push_back(forked(*parent));
    for (unsigned generation = 1; generation < 12; generation++) {
        family.push_back(forked(*family[generation / 2]));
        CHECK(poke(*family[generation], region + generation * 100 * page_size, static_cast<uint8_t>(200 + generation)));
    }
    for (unsigned i = 0; i < family.size(); i += 3)
        end(family[i]);
    for (unsigned generation = 1; generation < 12; generation++)
        if (generation % 3 != 0)
            CHECK(peek(*family[generation], region + generation * 100 * page_size) ==
                  static_cast<int>(200 + generation));
    CHECK(intact(*parent));
    end(parent);
    for (unsigned i = 0; i < family.size(); i++)
        end(family[(i * 5) % family.size()]);
}

TEST_CASE_FIXTURE(Family,
                  "pages that either side copied after a fork are copied by the next: nobody takes a fault for them") {
    constexpr vaddr_t first = region + 5 * page_size, second = region + 600 * page_size;
    {
        TestMap child = forked(*parent);
        CHECK(poke(*parent, first, 50));
        CHECK(poke(*child, second, 60));
        CHECK(peek(*parent, second) == first_value(600));
    }
    CHECK(poke(*parent, first, 51));
    CHECK(poke(*parent, second, 61, 2));
    const Counts one = Counts::now();
    SUBCASE("with what they hold at the fork") {
        TestMap child = forked(*parent);
        CHECK(Counts::now().user_pages == one.user_pages + 2);
        host::check_translations();
        load(0, parent.map.get());
        load(1, child.map.get());
        CHECK(faults([&] {
                  CHECK(poke(*child, first, 70, 1));
                  CHECK(poke(*child, second, 71, 1));
                  CHECK(poke(*parent, first, 80));
                  CHECK(poke(*parent, second, 81));
                  CHECK(peek(*child, first + 1, 1) == 0);
              }) == 0);
        CHECK(peek(*child, first, 1) == 70);
        CHECK(peek(*child, second, 1) == 71);
        CHECK(poke(*parent, first, 82, 2));
        TestMap other = forked(*parent);
        CHECK(peek(*other, first) == 82);
        CHECK(peek(*other, second) == 81);
        for (VmMap* map : {parent.map.get(), child.map.get(), other.map.get()}) {
            CHECK(intact(*map, 0, 5));
            CHECK(intact(*map, 6, 600));
            CHECK(intact(*map, 601, pages));
            CHECK(map->pmap().resident() == pages);
        }
        host::check_translations();
    }
    SUBCASE("but not what cannot be written by now, is gone, or is not for the child") {
        CHECK(parent->protect(first, page_size, Prot::read).ok());
        SUBCASE("") { CHECK(parent->unmap(second, page_size).ok()); }
        SUBCASE("") { CHECK(parent->advise(second, page_size, Advice::dont_need).ok()); }
        SUBCASE("") { CHECK(parent->advise(second, page_size, Advice::dont_fork).ok()); }
        SUBCASE("") { CHECK(parent->advise(second, page_size, Advice::wipe_on_fork).ok()); }
        const Counts two = Counts::now();
        TestMap child = forked(*parent);
        CHECK(Counts::now().user_pages == two.user_pages);
        CHECK(peek(*child, first) == 51);
        CHECK(peek(*child, second) <= 0);
        CHECK_FALSE(poke(*child, first, 1));
    }
    SUBCASE("and not for ever") {
        for (unsigned i = 0; i < 32; i++) {
            TestMap child = forked(*parent);
            CHECK(Counts::now().user_pages <= one.user_pages + 2);
        }
        TestMap child = forked(*parent);
        CHECK(Counts::now().user_pages == one.user_pages);
    }
    SUBCASE("or the fork fails as a whole") {
        unsigned failures = 0;
        for (unsigned n = 1;; n++) {
            Result<RefPtr<VmMap>> child = Errno::nomem;
            {
                const FailNth fail(n);
                child = parent->fork();
                if (!FailNth::failed())
                    break;
            }
            failures++;
            CHECK_FALSE(child.ok());
            CHECK(Counts::now() == one);
            CHECK(peek(*parent, first) == 51);
            CHECK(poke(*parent, second, 61));
        }
        CHECK(failures == 5); // map, root, middle table, two leaf tables
    }
}

TEST_CASE_FIXTURE(Family, "a remap that moves the beginning and drops the rest leaves what the child has alone") {
    TestMap child = forked(*parent);
    constexpr vaddr_t elsewhere = region + 2 * tables * table_span;
    const uint64_t length = table_span + 100 * page_size; // it ends within a table
    CHECK(parent->remap(region, length, page_size, true, true, elsewhere).ok());
    CHECK(peek(*parent, elsewhere) == first_value(0));
    for (unsigned i : {0u, 1u, 511u, 512u, 611u})
        CHECK(peek(*parent, region + i * page_size) < 0);
    CHECK(intact(*parent, 612, pages));
    CHECK(intact(*child));
    host::check_translations();
}

TEST_CASE_FIXTURE(Family, "a page that two maps noted at the same time is copied once") {
    constexpr vaddr_t va = region + 5 * page_size;
    {
        PmapInternals::ForkCopies copies;
        TestMap child;
        for (int i = 0; i < 2; i++)
            copies.consider(parent->pmap(), va, Prot::read | Prot::write);
        REQUIRE(parent->pmap().fork_to(child->pmap()).ok());
        REQUIRE(copies.make(parent->pmap(), child->pmap()).ok());
        CHECK(parent->pmap().lookup(va).page->refs.load() == 1);
        CHECK(child->pmap().lookup(va).page->refs.load() == 1);
    }
    CHECK(intact(*parent));
}

TEST_CASE_FIXTURE(
    Family, "who writes on through shared memory gets copies of a block at a time, unless it wants them one by one") {
    const auto writes = [](VmMap& map, unsigned count) {
        return faults([&] {
            for (unsigned i = 0; i < count; i++)
                CHECK(poke(map, region + i * page_size, static_cast<uint8_t>(i + 1)));
        });
    };
    TestMap child = forked(*parent);
    SUBCASE("") {
        CHECK(writes(*child, 30) == 6); // four, the rest of the first sixteen, the next
        CHECK(intact(*parent));
        for (unsigned i = 0; i < 32; i++)
            CHECK(peek(*child, region + i * page_size) == (i < 30 ? static_cast<int>(i + 1) : first_value(i)));
        CHECK(intact(*child, 32, pages));
        CHECK(faults([&] { CHECK(poke(*parent, region + 31 * page_size, 9)); }) == 1); // its own by now
        CHECK(peek(*child, region + 31 * page_size) == first_value(31));
    }
    SUBCASE("") {
        CHECK(child->advise(region, table_span, Advice::page_by_page).ok());
        CHECK(writes(*child, 30) == 30);
    }
    SUBCASE("") { // what is behind is not shared, not there, or of zeros
        CHECK(child->advise(region + 7 * page_size, page_size, Advice::dont_need).ok());
        CHECK(peek(*child, region + 7 * page_size) == 0);
        CHECK(writes(*child, 30) == 4 + 1 + 1 + 1 + 1); // up to the seventh, itself, to sixteen, to thirty-two
        CHECK(intact(*child, 32, pages));
    }
    CHECK(child->pmap().resident() == pages);
    host::check_translations();
}

TEST_CASE_FIXTURE(Machine, "memory that is read page by page, upwards, is zeros for the rest of a block") {
    TestMap map;
    REQUIRE(map->map(anonymous(80 * page_size, base)).ok());
    const uint32_t refs = zero_page()->refs.load();
    const auto reads = [&](unsigned from, unsigned to) {
        return Family::faults([&] {
            for (unsigned i = from; i < to; i++)
                CHECK(peek(*map, base + i * page_size) == 0);
        });
    };
    CHECK(reads(0, 64) == 4); // two, the rest of the first 32, the next
    CHECK(map->pmap().resident() == 0);
    CHECK(zero_page()->refs.load() == refs + 64);
    CHECK(poke(*map, base + 20 * page_size, 1));
    CHECK(peek(*map, base + 21 * page_size) == 0);
    CHECK(map->pmap().resident() == 1);
    CHECK(reads(66, 67) == 1); // nothing below: no block
    CHECK(reads(67, 69) == 2);
    CHECK(reads(69, 80) == 0);
    TestMap child = forked(*map);
    CHECK(poke(*child, base + 30 * page_size, 2));
    CHECK(peek(*map, base + 30 * page_size) == 0);
    CHECK(map->unmap(base, 40 * page_size).ok());
    unload(*child);
    child.map = new_map();
    CHECK(zero_page()->refs.load() == refs + 24 + 14);
}

} // namespace
} // namespace lentil

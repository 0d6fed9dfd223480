// SPDX-License-Identifier: BSD-2-Clause
// Leaf tables that fork shares: what a fork costs, what the first access on either side costs, and that nobody sees
// anything of it.
#include "vm_fixture.hpp"

#include <vector>

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

} // namespace
} // namespace lentil

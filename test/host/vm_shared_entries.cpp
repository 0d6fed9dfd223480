// SPDX-License-Identifier: BSD-2-Clause
// Map entries that fork shares: nobody copies one before it changes what it maps, and truncation finds every map all the same.
#include "vm_fixture.hpp"

#include <vector>

namespace lentil {
namespace {

using machine::Prot;
using namespace test;

constexpr unsigned many = 300;
constexpr vaddr_t spacing = 4 * page_size;

uint64_t entries_alive() { return Counts::now().objects["vm_map_entries"]; }

/// A parent with many entries, none of which merges with its neighbour.
struct Crowd : Machine {
    TestMap parent;
    uint64_t at_start = entries_alive();
    Crowd() {
        for (unsigned i = 0; i < many; i++)
            REQUIRE(parent->map(anonymous(page_size, base + i * spacing)).ok());
        REQUIRE(poke(*parent, base, 1));
    }
    uint64_t entries() const { return entries_alive() - at_start; }
    static void end(TestMap& map) {
        unload(*map);
        map.map = new_map();
    }
};

TEST_CASE_FIXTURE(Crowd, "a fork copies no entry, and a child that ends leaves them") {
    CHECK(entries() == many);
    {
        std::vector<TestMap> children;
        for (unsigned i = 0; i < 50; i++)
            children.push_back(forked(i % 2 == 0 ? *parent : *children[i / 2]));
        CHECK(entries() == many);
        for (TestMap& child : children) {
            CHECK(child->totals().entries == many);
            CHECK(child->totals().size == many * page_size);
            CHECK(child->check_mapped(base + 7 * spacing, page_size).ok());
            CHECK_FALSE(child->check_mapped(base + 7 * spacing + page_size, page_size).ok());
        }
        CHECK(poke(*children[9], base + spacing, 5)); // a page is no entry
        CHECK(children[9]->advise(base, many * spacing, Advice::dont_need).error() ==
              Errno::nomem); // holes; the rest is done
        CHECK(peek(*children[9], base + spacing) == 0);
        CHECK(entries() == many);
    }
    CHECK(entries() == many);
    CHECK(parent->unmap(base + spacing, page_size).ok()); // alone again: in place
    CHECK(entries() == many - 1);
}

TEST_CASE_FIXTURE(Crowd, "who changes what it maps gets entries of its own, once, and nobody else sees the change") {
    TestMap child = forked(*parent), other = forked(*parent);
    SUBCASE("by unmapping") {
        CHECK(child->unmap(base, page_size).ok());
        CHECK(peek(*child, base) == -1);
        CHECK(child->totals().size == (many - 1) * page_size);
    }
    SUBCASE("by mapping") { CHECK(child->map(anonymous(page_size, base + 2 * page_size)).ok()); }
    SUBCASE("by protecting") {
        CHECK(child->protect(base, page_size, Prot::none).ok());
        CHECK(peek(*child, base) == -1);
    }
    SUBCASE("by growing the heap") {
        for (TestMap* map : {&child, &other, &parent})
            (*map)->init_break(base - 64 * page_size);
        CHECK(child->set_break(base - 60 * page_size, ~uint64_t{0}) == base - 60 * page_size);
        CHECK(poke(*child, base - 61 * page_size, 1));
        CHECK(peek(*other, base - 61 * page_size) == -1);
        CHECK(child->set_break(base - 64 * page_size, ~uint64_t{0}) == base - 64 * page_size);
    }
    SUBCASE("by moving") {
        CHECK(*child->remap(base, page_size, page_size, true, true, base - spacing) == base - spacing);
        CHECK(peek(*child, base - spacing) == 1);
    }
    SUBCASE("by growing one in place") {
        CHECK(*child->remap(base, page_size, 2 * page_size, false, false, 0) == base);
        CHECK(child->totals().size == (many + 1) * page_size);
    }
    SUBCASE("by advice for forks") { CHECK(child->advise(base, page_size, Advice::wipe_on_fork).ok()); }
    const uint64_t copies = entries() - many;
    CHECK(copies + 2 >= many);
    CHECK(copies <= many + 2);
    CHECK(child->unmap(base + 9 * spacing, page_size).ok());
    CHECK(entries() == many + copies - 1);
    for (TestMap* map : {&parent, &other}) {
        CHECK((*map)->totals().size == many * page_size);
        CHECK((*map)->totals().entries == many);
        CHECK(peek(**map, base) == 1);
        CHECK(peek(**map, base - spacing) == -1);
        CHECK(peek(**map, base + page_size) == -1);
        CHECK(peek(**map, base + 2 * page_size) == -1);
        CHECK(peek(**map, base + 9 * spacing) == 0);
    }
    TestMap grandchild = forked(*other);
    CHECK(peek(*grandchild, base) == 1); // not wiped
}

TEST_CASE_FIXTURE(Crowd, "a stack that grows on one side does so there only") {
    MapRequest request = anonymous(page_size, base - 16 * page_size);
    request.grows_down = true;
    REQUIRE(parent->map(request).ok());
    TestMap child = forked(*parent);
    CHECK(poke(*child, base - 18 * page_size, 3));
    CHECK(child->totals().size == (many + 3) * page_size);
    CHECK(parent->totals().size == (many + 1) * page_size);
    CHECK_FALSE(parent->check_mapped(base - 18 * page_size, page_size).ok());
    SUBCASE("and not without memory for entries of its own") {
        TestMap second = forked(*parent);
        load(1, second.map.get());
        bool done = true;
        {
            const FailNth fail(1);
            done = poke(*second, base - 18 * page_size, 3, 1);
            CHECK(FailNth::failed());
        }
        CHECK_FALSE(done);
        CHECK(last_fault() == FaultResult::out_of_memory);
        CHECK(second->totals().size == (many + 1) * page_size);
        CHECK(poke(*second, base - 18 * page_size, 3, 1));
    }
}

TEST_CASE_FIXTURE(Crowd, "whatever allocation of a copy of the entries fails, nobody has lost any") {
    auto object = *VmObject::create(4 * page_size);
    REQUIRE(parent->map(of_object(object, true, 4 * page_size, base - 16 * page_size)).ok());
    TestMap child = forked(*parent);
    const Counts start = Counts::now();
    unsigned failures = 0;
    for (unsigned n = 1;; n += 1 + n / 8) {
        Result<void> result;
        {
            const FailNth fail(n);
            result = child->unmap(base, page_size);
            if (!FailNth::failed())
                break;
        }
        failures++;
        CHECK(result.error() == Errno::nomem);
        const Counts now = Counts::now();
        REQUIRE_MESSAGE(now == start, describe(start), "; ", describe(now));
        CHECK(peek(*child, base) == 1);
    }
    CHECK(failures > 20);
    CHECK(peek(*child, base) == -1);
    CHECK(poke(*child, base - 13 * page_size, 7));
    object->set_size(page_size); // finds both
    CHECK(peek(*child, base - 13 * page_size) == -1);
    CHECK(peek(*parent, base - 13 * page_size) == -1);
    CHECK(peek(*parent, base) == 1);
}

TEST_CASE_FIXTURE(Crowd, "a child without what is not for it has entries of its own; what is wiped needs none") {
    CHECK(parent->advise(base, page_size, Advice::wipe_on_fork).ok());
    {
        TestMap child = forked(*parent);
        CHECK(entries() == many);
        CHECK(peek(*child, base) == 0);
        TestMap grandchild = forked(*child);
        CHECK(poke(*child, base, 4));
        CHECK(peek(*forked(*child), base) == 0); // the mark is inherited
        CHECK(peek(*parent, base) == 1);
    }
    CHECK(parent->advise(base, page_size, Advice::dont_fork).ok());
    TestMap child = forked(*parent);
    CHECK(entries() == 2 * many - 1);
    CHECK(peek(*child, base) == -1);
    CHECK(child->totals().size == (many - 1) * page_size);
    TestMap grandchild = forked(*child);
    CHECK(entries() == 2 * many - 1);
    CHECK(parent->advise(base, page_size, Advice::do_fork).ok());
}

TEST_CASE_FIXTURE(Machine, "the address-space limit counts what a map has, shared entries or not") {
    TestMap parent;
    REQUIRE(parent->map(anonymous(8 * page_size, base)).ok());
    parent->size_limit.store(10 * page_size);
    TestMap child = forked(*parent);
    CHECK(child->map(anonymous(3 * page_size, base + 0x100000)).error() == Errno::nomem);
    CHECK(child->map(anonymous(2 * page_size, base + 0x100000)).ok());
    CHECK(child->map(anonymous(page_size, base + 0x200000)).error() == Errno::nomem);
    CHECK(parent->map(anonymous(2 * page_size, base + 0x200000)).ok());
}

// ---- truncation ------------------------------------------------------------------------------------------------------------

/// Four maps that share entries for an object of four pages, in the order in which truncation visits them.
struct Sharers : Machine {
    static constexpr vaddr_t last_page = base + 3 * page_size;
    RefPtr<VmObject> object = *VmObject::create(4 * page_size);
    std::vector<TestMap> maps;
    Sharers() {
        maps.emplace_back();
        REQUIRE(maps[0]->map(of_object(object, false, 4 * page_size, base)).ok());
        REQUIRE(poke(*maps[0], last_page, 1));
        for (int i = 0; i < 3; i++)
            maps.insert(maps.begin() + 1, forked(*maps[0]));
        for (TestMap& map : maps)
            REQUIRE(poke(*map, last_page, 2, 3)); // a copy of each one's own
    }
    static bool has_page(VmMap& map) { return map.pmap().lookup(last_page).page; }
    void check_nobody_has_it() {
        host::check_translations();
        for (TestMap& map : maps) {
            CHECK(map->pmap().resident() == 0);
            CHECK(peek(*map, last_page) == -1);
        }
        object->set_size(4 * page_size);
        for (TestMap& map : maps)
            CHECK(peek(*map, last_page) == 0);
        object->set_size(page_size); // and all are found once more
        for (TestMap& map : maps)
            CHECK_FALSE(has_page(*map));
        CHECK(poke(*maps[0], base, 9));
        object->set_size(0);
        CHECK_FALSE(maps[0]->pmap().lookup(base).page);
    }
};

Sharers* at_work;
void (*between)(unsigned visited);

/// Runs `action` with the number of maps that have lost their page, each time that one does.
void truncate_with(Sharers& sharers, void (*action)(unsigned visited)) {
    at_work = &sharers;
    between = action;
    host::set_shootdown_hook([] {
        unsigned visited = 0;
        for (TestMap& map : at_work->maps)
            visited += !Sharers::has_page(*map);
        const host::OnHart other(1);
        between(visited);
    });
    sharers.object->set_size(page_size);
    host::set_shootdown_hook(nullptr);
}

TEST_CASE_FIXTURE(Sharers, "truncation visits every map that shares the entries") {
    object->set_size(page_size);
    check_nobody_has_it();
}

// While the hook runs with n maps visited, the one that is locked is the n-th or the one after it.

TEST_CASE_FIXTURE(
    Sharers,
    "a map born during a truncation, of one that was visited or of one that was not, has no page past the end") {
    static unsigned forks;
    forks = 0;
    truncate_with(*this, [](unsigned visited) {
        if ((visited == 1 && forks == 0) || (visited == 2 && forks == 1))
            at_work->maps.push_back(forked(*at_work->maps[forks++ == 0 ? 3 : 0]));
    });
    REQUIRE(maps.size() == 6);
    check_nobody_has_it();
}

TEST_CASE_FIXTURE(Sharers, "maps that make entries of their own during a truncation are visited through these") {
    static unsigned changes;
    changes = 0;
    truncate_with(*this, [](unsigned visited) {
        if ((visited == 1 && changes == 0) || (visited == 2 && changes == 1)) {
            CHECK(at_work->maps[changes == 0 ? 3 : 0]->map(anonymous(page_size, base + 0x100000)).ok());
            changes++;
        }
    });
    REQUIRE(changes == 2);
    check_nobody_has_it();
}

TEST_CASE_FIXTURE(Sharers, "maps that end during a truncation, visited or not, hold nothing up") {
    const uint64_t alive = Counts::now().objects["vm_maps"];
    static unsigned ends;
    ends = 0;
    truncate_with(*this, [](unsigned visited) {
        if ((visited == 1 && ends == 0) || (visited == 2 && ends == 1)) {
            const auto at = at_work->maps.begin() + (ends == 0 ? 2 : 0);
            unload(**at);
            at_work->maps.erase(at);
            ends++;
        }
    });
    REQUIRE(ends == 2);
    CHECK(Counts::now().objects["vm_maps"] == alive - 2);
    check_nobody_has_it();
}

TEST_CASE_FIXTURE(Sharers, "who is forked without a part of the memory is visited too") {
    REQUIRE(maps[0]->map(anonymous(page_size, base + 0x100000)).ok());
    REQUIRE(maps[0]->advise(base + 0x100000, page_size, Advice::dont_fork).ok());
    maps.push_back(forked(*maps[0]));
    object->set_size(page_size);
    check_nobody_has_it();
}

} // namespace
} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// What a program's runs touched of its file, and what the next one finds mapped after its first fault.
#include "vm_fixture.hpp"

#include <cstring>
#include <doctest/doctest.h>
#include <vector>

#include <vm/vm_touched.hpp>
#include <vm/zalloc.hpp>

namespace lentil {
namespace {

using machine::Prot;
using namespace test;

class NamedFile final : public MappedFile {
public:
    static constexpr const char* zone_name = "test_files";
    size_t describe(std::span<char>, uint64_t&, uint64_t&) override { return 0; }
    void dispose() override { zone_delete(this); }
};

constexpr uint64_t text_pages = 48, data_pages = 8, pages = text_pages + data_pages;
constexpr vaddr_t data = base + text_pages * page_size;

/// Each page begins with its number, from 1.
RefPtr<VmObject> program(uint64_t count = pages) {
    auto object = *VmObject::create(count * page_size);
    std::vector<char> contents(count * page_size, 'x');
    for (uint64_t i = 0; i < count; i++)
        contents[i * page_size] = static_cast<char>(i + 1);
    REQUIRE(*object->write_kernel(0, contents.data(), contents.size()) == contents.size());
    return object;
}

/// The program's mappings, as exec makes them.
struct Run : TestMap {
    explicit Run(const RefPtr<VmObject>& object) {
        const RefPtr<MappedFile> file = *make_ref<NamedFile>();
        MapRequest text = of_object(object, false, text_pages * page_size, base);
        text.prot = Prot::read | Prot::exec;
        text.file = file;
        REQUIRE(map->map(text).ok());
        MapRequest writable = of_object(object, false, data_pages * page_size, data, text_pages * page_size);
        writable.file = file;
        REQUIRE(map->map(writable).ok());
        load(0, map.get());
    }
    int at(uint64_t page) { return peek(*map, base + page * page_size); }
    bool has(uint64_t page) { return map->pmap().lookup(base + page * page_size).page != nullptr; }
};
uint64_t faults() { return host::counters().user_faults; }

/// Two pages of code, one of data that is read and one that is written.
void usual_run(Run& run) {
    CHECK(run.at(3) == 4);
    CHECK(run.at(40) == 41);
    CHECK(run.at(text_pages + 1) == text_pages + 2);
    CHECK(poke(*run, data + 5 * page_size, 'W'));
}

/// What only the first use of a zone takes is taken.
struct Warm {
    Warm() {
        start_vm();
        auto object = program();
        Run first(object);
        usual_run(first);
    }
};
struct Programs : Warm, Machine {};

TEST_CASE_FIXTURE(Programs,
                  "a first run maps nothing but what it touches, a second one all of that with its first fault") {
    auto object = program();
    {
        Run first(object);
        const uint64_t at_first = faults();
        usual_run(first);
        CHECK(faults() == at_first + 4);
        CHECK(first->pmap().resident() == 4);
    }
    Run second(object);
    const uint64_t at_first = faults();
    usual_run(second);
    CHECK(faults() == at_first + 1);
    CHECK(second->pmap().resident() == 4);
    CHECK(second->totals().resident == 4 * page_size);
    CHECK_FALSE(second.has(4));
    CHECK_FALSE(second.has(text_pages + 5 + 1));
}

TEST_CASE_FIXTURE(Programs,
                  "a page that a run will write to is its own copy beforehand, with the file's present contents") {
    auto object = program();
    {
        Run first(object);
        usual_run(first);
    }
    REQUIRE(object->write_kernel((text_pages + 5) * page_size, "N", 1).ok());
    Run second(object), third(object);
    load(0, second.map.get());
    CHECK(second.at(3) == 4);
    CHECK(second.has(text_pages + 5));
    CHECK(peek(*second, data + 5 * page_size) == 'N');
    const uint64_t at_first = faults();
    CHECK(poke(*second, data + 5 * page_size, 'S'));
    CHECK(faults() == at_first);
    load(0, third.map.get());
    CHECK(third.at(3) == 4);
    CHECK(peek(*third, data + 5 * page_size) == 'N');
    char there = 0;
    CHECK(*object->read_kernel((text_pages + 5) * page_size, &there, 1) == 1);
    CHECK(there == 'N');
}

TEST_CASE_FIXTURE(Programs, "what was touched and was cut off since is not there, and what came instead is seen") {
    auto object = program();
    {
        Run first(object);
        usual_run(first);
    }
    object->set_size(20 * page_size);
    {
        Run second(object);
        CHECK(second.at(3) == 4);
        CHECK_FALSE(second.has(40));
        CHECK(second.at(40) == -1);
        CHECK(last_fault() == FaultResult::beyond_end);
        CHECK_FALSE(poke(*second, data + 5 * page_size, 'W'));
    }
    object->set_size(pages * page_size);
    REQUIRE(object->write_kernel(40 * page_size, "n", 1).ok());
    Run third(object);
    CHECK(third.at(3) == 4);
    CHECK(third.at(40) == 'n');
    CHECK(peek(*third, data + 5 * page_size) == 0);
    object->set_size(20 * page_size); // during a run
    CHECK_FALSE(third.has(40));
    CHECK_FALSE(third.has(text_pages + 5));
    CHECK(third.at(40) == -1);
}

TEST_CASE_FIXTURE(Programs, "a shared mapping's stores are seen by a run that has the page mapped beforehand") {
    auto object = program();
    {
        Run first(object);
        usual_run(first);
    }
    TestMap editor;
    REQUIRE(editor->map(of_object(object, true, pages * page_size, base)).ok());
    Run second(object);
    CHECK(second.at(3) == 4);
    REQUIRE(second.has(text_pages + 1));
    load(1, editor.map.get());
    CHECK(poke(*editor, data + page_size, 'E', 1));
    CHECK(peek(*second, data + page_size) == 'E');
}

TEST_CASE_FIXTURE(Programs, "a run that needs another page adds it, and after many runs all is learned anew") {
    auto object = program();
    {
        Run first(object);
        usual_run(first);
    }
    {
        Run other(object);
        usual_run(other);
        CHECK(other.at(text_pages + 3) == text_pages + 4);
    }
    {
        Run third(object);
        CHECK(third.at(40) == 41);
        CHECK(third.has(text_pages + 3));
    }
    for (unsigned i = 3; i < TouchedPages::most_runs; i++) {
        Run other(object);
        CHECK(other.at(3) == 4);
        CHECK(other.has(40));
    }
    { // learns
        Run other(object);
        CHECK(other.at(3) == 4);
        CHECK_FALSE(other.has(40));
    }
    Run last(object);
    CHECK(last.at(3) == 4);
    CHECK_FALSE(last.has(40));
}

TEST_CASE_FIXTURE(Programs, "memory pressure takes the records, and the object's end does") {
    auto object = program();
    const auto records = [] { return zone_of<TouchedPages>.in_use(); };
    const uint64_t at_first = records();
    {
        Run first(object);
        usual_run(first);
    }
    CHECK(object->is_image());
    CHECK(records() == at_first + 1);
    zone_reclaim();
    CHECK_FALSE(object->is_image());
    CHECK(records() == at_first);
    {
        Run second(object);
        CHECK(second.at(3) == 4);
        CHECK_FALSE(second.has(40));
        CHECK(second.at(40) == 41);
    }
    CHECK(object->is_image());
    zone_reclaim();
    FailNth fail(1);
    object->image_begins();
    CHECK(FailNth::failed());
    CHECK_FALSE(object->is_image());
}

TEST_CASE_FIXTURE(Programs, "pages that were told to come one by one do, and a mapping without rights gets none") {
    auto object = program();
    {
        Run first(object);
        usual_run(first);
    }
    {
        Run second(object);
        REQUIRE(second->advise(data, data_pages * page_size, Advice::page_by_page).ok());
        CHECK(second.at(3) == 4);
        CHECK(second.has(40));
        CHECK_FALSE(second.has(text_pages + 1));
    }
    Run third(object);
    REQUIRE(third->protect(data, data_pages * page_size, Prot::none).ok());
    CHECK(third.at(3) == 4);
    CHECK_FALSE(third.has(text_pages + 1));
    CHECK(peek(*third, data + page_size) == -1);
}

TEST_CASE_FIXTURE(Programs, "a child of fork shares what was brought, and each writes to its own") {
    auto object = program();
    {
        Run first(object);
        usual_run(first);
    }
    Run second(object);
    CHECK(second.at(3) == 4);
    TestMap child = forked(*second);
    CHECK(poke(*child, data + 5 * page_size, 'C', 1));
    CHECK(peek(*second, data + 5 * page_size) == text_pages + 6);
    CHECK(poke(*second, data + 5 * page_size, 'P'));
    CHECK(peek(*child, data + 5 * page_size, 1) == 'C');
}

TEST_CASE_FIXTURE(Programs, "of a file that is larger than a record the rest is mapped by neighbours") {
    const uint64_t count = TouchedPages::most_pages + 64;
    auto object = *VmObject::create(count * page_size);
    std::vector<char> contents(32 * page_size, 'x');
    REQUIRE(object->write_kernel(TouchedPages::most_pages * page_size, contents.data(), contents.size()).ok());
    TestMap map;
    MapRequest text = of_object(object, false, count * page_size, base);
    text.prot = Prot::read | Prot::exec;
    text.file = *make_ref<NamedFile>();
    REQUIRE(map->map(text).ok());
    load(0, map.map.get());
    const uint64_t at_first = faults();
    for (uint64_t i = 0; i < 32; i++)
        CHECK(peek(*map, base + (TouchedPages::most_pages + i) * page_size) == 'x');
    CHECK(faults() == at_first + 2);
}

} // namespace
} // namespace lentil

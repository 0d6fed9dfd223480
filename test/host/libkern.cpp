// SPDX-License-Identifier: BSD-2-Clause
// The lowest layer: formatting, results, counted references, intrusive lists, sets of harts.
#include "glue.hpp"

#include <array>
#include <climits>
#include <doctest/doctest.h>
#include <memory>
#include <string>

#include <libkern/format.hpp>
#include <libkern/hartset.hpp>
#include <libkern/intrusive.hpp>
#include <libkern/refptr.hpp>
#include <libkern/result.hpp>
#include <libkern/types.hpp>

namespace lentil {
namespace {

template<class... A>
std::string formatted(std::string_view format, const A&... args) {
    std::array<char, 256> buffer{};
    return std::string(format_to(buffer, format, args...));
}

TEST_CASE("format prints integers of every width and sign") {
    CHECK(formatted("{} {} {}", 0, -1, INT_MIN) == "0 -1 -2147483648");
    CHECK(formatted("{} {}", INT64_MIN, UINT64_MAX) == "-9223372036854775808 18446744073709551615");
    CHECK(formatted("{} {}", uint8_t{200}, int8_t{-100}) == "200 -100");
}

TEST_CASE("format knows bases, widths and fill") {
    CHECK(formatted("{:x} {:#x} {:o}", 255, 255, 8) == "ff 0xff 10");
    CHECK(formatted("[{:5}] [{:<5}] [{:05}] [{:05}]", 42, 42, 42, -42) == "[   42] [42   ] [00042] [-0042]");
    CHECK(formatted("[{:6}] [{:<6}]", "abc", "abc") == "[   abc] [abc   ]");
    CHECK(formatted("{:2}", 12345) == "12345");
}

TEST_CASE("format prints text, characters, booleans and pointers") {
    CHECK(formatted("{} {} {} {}", "text", 'c', true, false) == "text c true false");
    CHECK(formatted("{}", reinterpret_cast<void*>(0x1234)) == "0x1234");
}

TEST_CASE("a format that asks for too much still prints") {
    CHECK(formatted("{} {}", 1) == "1 {?}");
    CHECK(formatted("{{}} {") == "{} {");
    CHECK(formatted("a } b") == "a } b");
}

TEST_CASE("format never writes past its buffer") {
    std::array<char, 5> small{};
    CHECK(format_to(std::span(small).first(4), "{}", 123456) == "1234");
    CHECK(small[4] == 0);
    CHECK(format_to(std::span<char>(), "text").empty());
}

TEST_CASE("kprint reaches the console") {
    (void)take_console();
    kprint("{} harts\n", 4);
    CHECK(take_console() == "4 harts\n");
}

Result<int> half(int value) {
    if (value % 2 != 0)
        return Errno::inval;
    return value / 2;
}
Result<int> quarter(int value) { return half(TRY(half(value))); }
Result<> check_even(int value) {
    TRY(half(value));
    return {};
}

TEST_CASE("TRY yields the value or returns the error") {
    CHECK(*quarter(12) == 3);
    CHECK(quarter(6).error() == Errno::inval);
    CHECK(quarter(5).error() == Errno::inval);
    CHECK(check_even(2).ok());
    CHECK(check_even(3).error() == Errno::inval);
}

TEST_CASE("MUST panics on an error") {
    CHECK(MUST(half(4)) == 2);
    CHECK_THROWS_AS((void)MUST(half(3)), Panicked);
}

struct Counted : RefCounted<Counted> {
    explicit Counted(int& count) : ended(count) {}
    void last_unref() {
        ended++;
        delete this;
    }
    int& ended;
};

TEST_CASE("the last reference ends the object, once") {
    int ended = 0;
    {
        auto first = RefPtr<Counted>::adopt(new Counted(ended));
        RefPtr<Counted> second = first;
        CHECK(first->ref_count() == 2);
        RefPtr<Counted> third = std::move(second);
        CHECK(!second);
        CHECK(first->ref_count() == 2);
        first.reset();
        CHECK(ended == 0);
        third = third;
        CHECK(third->ref_count() == 1);
    }
    CHECK(ended == 1);
}

TEST_CASE("an object without references cannot be had again") {
    struct Kept : RefCounted<Kept> {
        void last_unref() {}
    } object;
    CHECK(object.try_ref());
    object.unref();
    object.unref();
    CHECK(!object.try_ref());
    CHECK(object.ref_count() == 0);
}

struct Item {
    int key;
    ListHook link;
    TreeHook node;
    explicit Item(int k) : key(k) {}
};
struct ItemKey {
    using type = int;
    int operator()(const Item& item) const { return item.key; }
};

TEST_CASE("a list takes an object once") {
    List<Item, &Item::link> list;
    Item item(1);
    list.push_back(item);
    CHECK_THROWS_AS(list.push_back(item), Panicked);
    list.erase(list.iterator_to(item));
    CHECK(list.empty());
}

TEST_CASE("a tree finds by key and by lower bound") {
    Tree<Item, &Item::node, ItemKey> tree;
    std::array<Item, 3> items{Item(30), Item(10), Item(20)};
    for (Item& item : items)
        tree.insert(item);
    CHECK(tree.find(20) == tree.iterator_to(items[2]));
    CHECK(tree.lower_bound(11)->key == 20);
    CHECK(tree.find(15) == tree.end());
    tree.clear();
}

TEST_CASE("a set of harts counts and walks its members in order") {
    HartSet set = HartSet::of(63) | HartSet::of(0);
    set.add(5);
    CHECK(set.count() == 3);
    CHECK(set.first() == 0);
    std::string walked;
    set.for_each([&](unsigned hart) { walked += std::to_string(hart) + " "; });
    CHECK(walked == "0 5 63 ");
    set.remove(0);
    CHECK(!set.has(0));
    CHECK((set & HartSet::of(0)).empty());
}

TEST_CASE("page arithmetic rounds both ways") {
    CHECK(page_floor(4097) == 4096);
    CHECK(page_ceil(4097) == 8192);
    CHECK(page_ceil(4096) == 4096);
    CHECK(is_page_aligned(0));
    CHECK(!is_page_aligned(1));
}

} // namespace
} // namespace lentil

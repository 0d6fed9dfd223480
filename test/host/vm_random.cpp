// SPDX-License-Identifier: BSD-2-Clause
// Random operations on several maps against a naive model that keeps the bytes of every page. The seed of a failing run is
// printed; LENTIL_SEED and LENTIL_STEPS choose another.
#include "glue.hpp"
#include "vm_support.hpp"

#include <cstdlib>
#include <cstring>
#include <doctest/doctest.h>
#include <memory>
#include <random>
#include <vector>

namespace lentil {
namespace {

using machine::has;
using machine::Prot;
using namespace test;

using Bytes = std::vector<uint8_t>;

/// The part of the address space that is used, on both sides of where one leaf table ends and the next begins. What lies
/// below is taken, and mmap_base ends it.
constexpr vaddr_t lowest = 0x10000;
constexpr unsigned window_pages = 144;
constexpr vaddr_t window_start = 0x400000 - window_pages / 2 * page_size;
constexpr vaddr_t window_end = window_start + window_pages * page_size;
constexpr unsigned object_pages = 24;
constexpr unsigned max_maps = 6;

struct ModelObject {
    RefPtr<VmObject> real;
    uint64_t size = 0;
    std::vector<Bytes> pages; ///< up to object_pages; empty: zeros

    bool has_page(uint64_t index) const { return index * page_size < size; }
    Bytes& page(uint64_t index) {
        if (pages[index].empty())
            pages[index].resize(page_size);
        return pages[index];
    }
};

struct ModelPage {
    bool mapped = false;
    Prot prot = Prot::none;
    bool shared = false, wipe_on_fork = false, dont_fork = false;
    std::shared_ptr<ModelObject> object;
    uint64_t index = 0;
    Bytes own; ///< private copy; empty: the object's page, or zeros

    bool same_kind(const ModelPage& o) const {
        return mapped == o.mapped && prot == o.prot && shared == o.shared && object == o.object;
    }
};

struct ModelMap {
    RefPtr<VmMap> real;
    std::vector<ModelPage> pages = std::vector<ModelPage>(window_pages);
};

class World {
public:
    explicit World(unsigned seed) : random_(seed) {
        for (int i = 0; i < 3; i++)
            add_object();
        maps_.push_back({new_window_map(), std::vector<ModelPage>(window_pages)});
    }
    ~World() {
        for (unsigned i = 0; i < harts; i++)
            load(i, nullptr);
    }

    void step() {
        if (allow_failures_ && chance(8))
            return with_failure();
        operation();
    }
    void verify_all() {
        for (ModelMap& map : maps_)
            verify(map);
        for (auto& object : objects_)
            verify(*object);
    }
    bool allow_failures_ = false;

private:
    static RefPtr<VmMap> new_window_map() {
        RefPtr<VmMap> map = new_map();
        map->layout.mmap_base = window_end;
        MapRequest below = anonymous(window_start - lowest, lowest);
        below.prot = Prot::none;
        REQUIRE(map->map(below).ok());
        return map;
    }
    void add_object() {
        auto object = std::make_shared<ModelObject>();
        object->size = 1 + below(object_pages * page_size);
        object->real = *VmObject::create(object->size);
        object->pages.resize(object_pages);
        objects_.push_back(object);
    }

    unsigned below(size_t n) { return static_cast<unsigned>(random_() % n); }
    bool chance(unsigned one_in) { return below(one_in) == 0; }
    ModelMap& any_map() { return maps_[below(maps_.size())]; }
    vaddr_t address(unsigned page) const { return window_start + page * page_size; }

    /// One allocation of the next operation fails; with what had been done before, the world is as the model says.
    void with_failure() {
        fail_ = 1 + below(12);
        operation();
        fail_ = 0;
    }
    /// Runs the real operation, perhaps with a failing allocation. True if that made it fail.
    template<class F>
    auto attempt(F operation) {
        if (fail_ == 0)
            return operation();
        const FailNth fail(fail_);
        struct Note {
            bool& failed;
            ~Note() { failed = FailNth::failed(); }
        } note{failed_};
        return operation();
    }
    template<class R>
    bool excused(const R& result) const {
        return !result && fail_ != 0 && failed_ && result.error() == Errno::nomem;
    }

    void operation() {
        failed_ = false;
        switch (below(24)) {
        case 0:
        case 1:
        case 2: return map_something();
        case 3: return unmap();
        case 4:
        case 5: return protect();
        case 6: return remap();
        case 7: return fork();
        case 8: return end_map();
        case 9: return advise();
        case 10: return truncate();
        case 11: return write_object();
        case 12: return write_from_outside();
        case 13: return fork_flags();
        case 14: return verify(any_map());
        case 15:
        case 16:
        case 17: return read_bytes();
        default: return write_bytes();
        }
    }

    Prot random_prot() {
        switch (below(8)) {
        case 0: return Prot::none;
        case 1: return Prot::read;
        case 2: return Prot::read | Prot::exec;
        default: return read_write;
        }
    }

    void map_something() {
        ModelMap& map = any_map();
        const unsigned count = 1 + below(20);
        MapRequest request;
        request.length = count * page_size - below(page_size);
        request.prot = random_prot();
        request.shared = chance(3);
        std::shared_ptr<ModelObject> object;
        uint64_t first_index = 0;
        if (chance(2)) {
            object = objects_[below(objects_.size())];
            first_index = below(object_pages);
            request.object = object->real;
            request.offset = first_index * page_size;
        }
        unsigned at = below(window_pages - count + 1);
        request.fixed = chance(2);
        request.no_replace = request.fixed && chance(3);
        request.populate = fail_ == 0 && chance(6);
        if (request.fixed || chance(2))
            request.address = address(at);
        if (request.populate) // its faults come as this map's
            load(0, map.real.get());
        auto result = attempt([&] { return map.real->map(request); });
        if (excused(result))
            return;
        bool free = true;
        for (unsigned i = 0; i < count; i++)
            free = free && !map.pages[at + i].mapped;
        if (request.no_replace && !free) {
            REQUIRE(result.error() == Errno::exist);
            return;
        }
        REQUIRE(result.ok());
        if (*result < window_start || *result + count * page_size > window_end) {
            REQUIRE(!request.fixed);
            REQUIRE(!room_for(map, count)); // so it went above
            REQUIRE(map.real->unmap(*result, request.length).ok());
            return;
        }
        if (request.fixed)
            REQUIRE(*result == request.address);
        at = static_cast<unsigned>((*result - window_start) >> page_shift);
        if (request.address == address(at) && !request.fixed)
            REQUIRE(free);
        if (request.shared && !object) { // anonymous shared memory is an object like any other
            object = std::make_shared<ModelObject>();
            object->size = count * page_size;
            object->pages.resize(object_pages + window_pages);
        }
        for (unsigned i = 0; i < count; i++) {
            ModelPage& page = map.pages[at + i];
            if (!request.fixed)
                REQUIRE(!page.mapped);
            page = ModelPage{true, request.prot, request.shared, false, false, object, first_index + i, {}};
            if (request.populate && has(request.prot, Prot::write) && !request.shared && visible(page, 0))
                (void)writable(page, 0); // populated for writing
        }
    }
    bool room_for(const ModelMap& map, unsigned count) const {
        unsigned run = 0;
        for (const ModelPage& page : map.pages) {
            run = page.mapped ? 0 : run + 1;
            if (run == count)
                return true;
        }
        return false;
    }

    struct Stretch {
        unsigned at, count;
    };
    Stretch any_stretch(unsigned most, unsigned least = 1) {
        const unsigned count = least + below(most), at = below(window_pages - count + 1);
        return {at, count};
    }
    bool all_mapped(const ModelMap& map, Stretch s) const {
        for (unsigned i = 0; i < s.count; i++)
            if (!map.pages[s.at + i].mapped)
                return false;
        return true;
    }

    void unmap() {
        ModelMap& map = any_map();
        const Stretch s = any_stretch(16);
        auto result = attempt([&] { return map.real->unmap(address(s.at), s.count * page_size - below(page_size)); });
        if (excused(result))
            return;
        REQUIRE(result.ok());
        for (unsigned i = 0; i < s.count; i++)
            map.pages[s.at + i] = {};
    }

    void protect() {
        ModelMap& map = any_map();
        const Stretch s = any_stretch(16, 0);
        const Prot prot = random_prot();
        auto result = attempt([&] { return map.real->protect(address(s.at), s.count * page_size, prot); });
        if (excused(result))
            return;
        if (!all_mapped(map, s)) {
            REQUIRE(result.error() == Errno::nomem);
            return;
        }
        REQUIRE(result.ok());
        for (unsigned i = 0; i < s.count; i++)
            map.pages[s.at + i].prot = prot;
    }

    void remap() {
        ModelMap& map = any_map();
        const Stretch s = any_stretch(8);
        const unsigned new_count = 1 + below(12);
        const bool may_move = chance(2), fixed = may_move && fail_ == 0 && chance(3);
        const unsigned to = below(window_pages - new_count + 1);
        const bool apart = to + new_count <= s.at || s.at + s.count <= to;
        const bool had_room = room_for(map, new_count);
        auto result = attempt([&] {
            return map.real->remap(address(s.at), s.count * page_size, new_count * page_size, may_move, fixed,
                                   address(to));
        });
        if (fixed && !apart) {
            REQUIRE(result.error() == Errno::inval);
            return;
        }
        if (!result) {
            // Either an allocation failed, or there is no room, or the stretch is not of one piece.
            REQUIRE((result.error() == Errno::nomem || result.error() == Errno::fault));
            if (result.error() == Errno::fault) {
                bool one = all_mapped(map, s);
                for (unsigned i = 1; i < s.count && one; i++)
                    one = map.pages[s.at].same_kind(map.pages[s.at + i]) && !map.pages[s.at].object &&
                          map.pages[s.at].wipe_on_fork == map.pages[s.at + i].wipe_on_fork &&
                          map.pages[s.at].dont_fork == map.pages[s.at + i].dont_fork;
                REQUIRE(!one); // private anonymous memory that is alike is one entry
            } else if (!excused(result)) {
                REQUIRE(!may_move);
            }
            return;
        }
        REQUIRE(all_mapped(map, s));
        std::vector<ModelPage> moved(map.pages.begin() + s.at, map.pages.begin() + s.at + s.count);
        for (unsigned i = 1; i < s.count; i++)
            REQUIRE(moved[0].same_kind(moved[i]));
        for (unsigned i = s.count; i < new_count; i++) {
            ModelPage fresh = moved[0];
            fresh.own.clear();
            fresh.index = moved[0].index + i;
            moved.push_back(fresh);
        }
        moved.resize(new_count);
        const bool in_place = *result == address(s.at);
        for (unsigned i = in_place ? new_count : 0; i < s.count; i++)
            map.pages[s.at + i] = {};
        if (*result < window_start || *result + new_count * page_size > window_end) {
            REQUIRE((in_place || !had_room)); // it grew out of the window, or went above it
            REQUIRE(map.real->unmap(*result, new_count * page_size).ok());
            for (unsigned i = 0; i < s.count; i++)
                map.pages[s.at + i] = {};
            return;
        }
        const unsigned at = static_cast<unsigned>((*result - window_start) >> page_shift);
        for (unsigned i = 0; i < new_count; i++) {
            if (!fixed && !(in_place && i < s.count))
                REQUIRE(!map.pages[at + i].mapped);
            map.pages[at + i] = moved[i];
        }
    }

    void fork() {
        if (maps_.size() >= max_maps)
            return end_map();
        ModelMap& parent = any_map();
        auto result = attempt([&] { return parent.real->fork(); });
        if (excused(result))
            return;
        REQUIRE(result.ok());
        ModelMap child{*result, parent.pages};
        for (ModelPage& page : child.pages) {
            if (page.dont_fork)
                page = {};
            else if (page.wipe_on_fork)
                page.own.clear();
        }
        maps_.push_back(std::move(child));
    }

    void end_map() {
        if (maps_.size() < 2)
            return;
        std::swap(maps_[below(maps_.size())], maps_.back());
        unload(*maps_.back().real);
        maps_.pop_back();
    }

    void advise() {
        ModelMap& map = any_map();
        const Stretch s = any_stretch(16, 0);
        auto result = attempt([&] { return map.real->advise(address(s.at), s.count * page_size, Advice::dont_need); });
        if (excused(result))
            return;
        REQUIRE(result.ok() == all_mapped(map, s));
        for (unsigned i = 0; i < s.count; i++)
            map.pages[s.at + i].own.clear();
    }

    void fork_flags() {
        ModelMap& map = any_map();
        const Stretch s = any_stretch(16, 0);
        const Advice advice =
            std::vector{Advice::dont_fork, Advice::do_fork, Advice::wipe_on_fork, Advice::keep_on_fork}[below(4)];
        auto result = attempt([&] { return map.real->advise(address(s.at), s.count * page_size, advice); });
        if (!result && result.error() == Errno::inval) {
            bool any_object = false;
            for (unsigned i = 0; i < s.count; i++)
                any_object = any_object || map.pages[s.at + i].object;
            REQUIRE(any_object);
            return;
        }
        if (excused(result))
            return;
        REQUIRE(result.ok() == all_mapped(map, s));
        for (unsigned i = 0; i < s.count; i++) {
            ModelPage& page = map.pages[s.at + i];
            if (!page.mapped)
                continue;
            if (advice == Advice::dont_fork || advice == Advice::do_fork)
                page.dont_fork = advice == Advice::dont_fork;
            else
                page.wipe_on_fork = advice == Advice::wipe_on_fork;
        }
    }

    void truncate() {
        ModelObject& object = *objects_[below(objects_.size())];
        const uint64_t size = below(object_pages * page_size + 1), keep = (size + page_mask) >> page_shift;
        attempt([&] { object.real->set_size(size); });
        if (size < object.size) {
            for (uint64_t i = keep; i < object_pages; i++)
                object.pages[i].clear();
            if ((size & page_mask) != 0 && !object.pages[keep - 1].empty())
                std::fill(object.pages[keep - 1].begin() + (size & page_mask), object.pages[keep - 1].end(), 0);
            // As on Linux, private copies of pages that are cut off go too. (Those past an earlier end cannot exist.)
            if (keep < (object.size + page_mask) >> page_shift)
                for (ModelMap& map : maps_)
                    for (ModelPage& page : map.pages)
                        if (page.object.get() == &object && page.index >= keep)
                            page.own.clear();
        }
        object.size = size;
    }

    void write_object() {
        ModelObject& object = *objects_[below(objects_.size())];
        if (object.size == 0)
            return;
        Bytes data(1 + below(3 * page_size));
        for (uint8_t& byte : data)
            byte = static_cast<uint8_t>(random_());
        const uint64_t offset = below(object.size);
        auto result = attempt([&] { return object.real->write_kernel(offset, data.data(), data.size()); });
        size_t written = std::min<uint64_t>(data.size(), object.size - offset);
        if (excused(result))
            return;
        REQUIRE(result.ok());
        if (!failed_)
            REQUIRE(*result == written);
        written = *result;
        for (size_t i = 0; i < written; i++)
            object.page((offset + i) >> page_shift)[(offset + i) & page_mask] = data[i];
    }

    /// What an access may reach: the model's byte, or nullptr.
    const uint8_t* visible(ModelPage& page, size_t at) {
        static const uint8_t zero = 0;
        if (!page.mapped || (page.object && !page.object->has_page(page.index)))
            return nullptr;
        if (!page.own.empty())
            return &page.own[at];
        if (page.object)
            return page.object->pages[page.index].empty() ? &zero : &page.object->pages[page.index][at];
        return &zero;
    }
    uint8_t& writable(ModelPage& page, size_t at) {
        if (page.shared)
            return page.object->page(page.index)[at];
        if (page.own.empty()) {
            page.own.resize(page_size);
            if (page.object && !page.object->pages[page.index].empty())
                page.own = page.object->pages[page.index];
        }
        return page.own[at];
    }

    struct Span {
        unsigned page;
        size_t at, n;
    };
    Span any_span() {
        const unsigned page = below(window_pages);
        const size_t at = below(page_size), n = 1 + below(std::min<size_t>(64, page_size - at));
        return {page, at, n};
    }

    void read_bytes() {
        ModelMap& map = any_map();
        const Span s = any_span();
        ModelPage& page = map.pages[s.page];
        uint8_t got[64];
        bool done = false;
        attempt([&] { done = read_user(*map.real, address(s.page) + s.at, got, s.n, below(harts)); });
        const bool allowed = visible(page, s.at) && (has(page.prot, Prot::read) || has(page.prot, Prot::write));
        if (!done && allowed && failed_ && last_fault() == FaultResult::out_of_memory)
            return;
        REQUIRE(done == allowed);
        for (size_t i = 0; done && i < s.n; i++)
            REQUIRE(got[i] == *visible(page, s.at + i));
    }

    void write_bytes() {
        ModelMap& map = any_map();
        const Span s = any_span();
        ModelPage& page = map.pages[s.page];
        uint8_t data[64];
        for (uint8_t& byte : data)
            byte = static_cast<uint8_t>(random_());
        bool done = false;
        attempt([&] { done = write_user(*map.real, address(s.page) + s.at, data, s.n, below(harts)); });
        const bool allowed = visible(page, s.at) && has(page.prot, Prot::write);
        if (!done && allowed && failed_ && last_fault() == FaultResult::out_of_memory)
            return;
        REQUIRE(done == allowed);
        for (size_t i = 0; done && i < s.n; i++)
            writable(page, s.at + i) = data[i];
    }

    void write_from_outside() {
        ModelMap& map = any_map();
        const Span s = any_span();
        ModelPage& page = map.pages[s.page];
        uint8_t data[64];
        for (uint8_t& byte : data)
            byte = static_cast<uint8_t>(random_());
        size_t done = 0;
        const bool force = chance(2);
        attempt([&] { done = map.real->write_memory(address(s.page) + s.at, data, s.n, force); });
        // Force makes copies of what is private; what others share it never changes.
        const bool allowed = visible(page, s.at) && ((force && !page.shared) || has(page.prot, Prot::write));
        if (done == 0 && allowed && failed_)
            return;
        REQUIRE(done == (allowed ? s.n : 0));
        for (size_t i = 0; i < done; i++)
            writable(page, s.at + i) = data[i];
    }

    void verify(ModelMap& map) {
        Bytes got(page_size);
        for (unsigned i = 0; i < window_pages; i++) {
            ModelPage& page = map.pages[i];
            const bool there = visible(page, 0);
            REQUIRE(map.real->read_memory(address(i), got.data(), page_size) == (there ? page_size : 0));
            if (!there)
                continue;
            if (!page.own.empty())
                REQUIRE(got == page.own);
            else if (page.object && !page.object->pages[page.index].empty())
                REQUIRE(got == page.object->pages[page.index]);
            else
                REQUIRE(got == Bytes(page_size));
        }
        uint64_t mapped = 0;
        for (const ModelPage& page : map.pages)
            mapped += page.mapped;
        REQUIRE(map.real->totals().size == mapped * page_size + (window_start - lowest));
        struct Seen {
            uint64_t pages = 0, unmapped = 0;
            const ModelMap& map;
        } seen{.map = map};
        map.real->pmap().for_each(
            0, machine::Pte::user_end,
            [](vaddr_t va, const Pmap::Mapping& mapping, void* context) {
                auto& s = *static_cast<Seen*>(context);
                s.pages += mapping.page != zero_page();
                s.unmapped +=
                    va < window_start || va >= window_end || !s.map.pages[(va - window_start) >> page_shift].mapped;
            },
            &seen);
        REQUIRE(map.real->pmap().resident() == seen.pages);
        REQUIRE(seen.unmapped == 0);
    }
    void verify(ModelObject& object) {
        Bytes got(page_size);
        for (uint64_t i = 0; i < object_pages && object.has_page(i); i++) {
            const size_t n = std::min<uint64_t>(page_size, object.size - i * page_size);
            REQUIRE(*object.real->read_kernel(i * page_size, got.data(), page_size) == n);
            for (size_t b = 0; b < n; b++)
                if (got[b] != (object.pages[i].empty() ? 0 : object.pages[i][b]))
                    FAIL("object differs at ", i, " ", b);
        }
    }

    std::minstd_rand random_;
    std::vector<std::shared_ptr<ModelObject>> objects_;
    std::vector<ModelMap> maps_;
    unsigned fail_ = 0;
    bool failed_ = false;
};

unsigned from_environment(const char* name, unsigned otherwise) {
    const char* text = std::getenv(name);
    return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : otherwise;
}

void run(unsigned seed, unsigned steps, bool failures) {
    CAPTURE(seed);
    start_vm();
    const Counts before = Counts::now();
    {
        World world(seed);
        world.allow_failures_ = failures;
        for (unsigned step = 0; step < steps; step++) {
            CAPTURE(step);
            world.step();
            host::check_translations();
            if (step % 500 == 499)
                world.verify_all();
        }
        world.verify_all();
    }
    const Counts after = Counts::now();
    CHECK_MESSAGE(after == before, "before: ", describe(before), "; after: ", describe(after));
}

TEST_CASE("random operations on maps do what a naive model does, on every hart") {
    const unsigned seed = from_environment("LENTIL_SEED", 1);
    for (unsigned i = 0; i < 6; i++)
        run(seed + i, from_environment("LENTIL_STEPS", 3000), false);
}

TEST_CASE("random operations do so when allocations fail in between") {
    const unsigned seed = from_environment("LENTIL_SEED", 1);
    for (unsigned i = 0; i < 6; i++)
        run(1000 + seed + i, from_environment("LENTIL_STEPS", 3000), true);
}

} // namespace
} // namespace lentil

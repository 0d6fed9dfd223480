// SPDX-License-Identifier: BSD-2-Clause
// The fixture of tests of maps: a machine on which nothing is left behind.
#pragma once

#include "glue.hpp"
#include "vm_support.hpp"

#include <doctest/doctest.h>

namespace lentil::test {

inline constexpr vaddr_t base = 0x10000000;

/// Every test cleans up: pages and objects are as they were, and no hart remembers what is gone.
struct Machine {
    Counts before;
    Machine() {
        start_vm();
        before = Counts::now();
    }
    ~Machine() {
        for (unsigned i = 0; i < harts; i++)
            load(i, nullptr);
        host::check_translations();
        const Counts after = Counts::now();
        CHECK_MESSAGE(after == before, "before: ", describe(before), "; after: ", describe(after));
    }
};

/// Loaded and unloaded in time.
struct TestMap {
    RefPtr<VmMap> map = new_map();
    ~TestMap() { unload(*map); }
    VmMap* operator->() const { return map.get(); }
    VmMap& operator*() const { return *map; }
};
inline TestMap forked(VmMap& parent) {
    auto child = parent.fork();
    REQUIRE(child.ok());
    return TestMap{*child};
}

inline MapRequest of_object(RefPtr<VmObject> object, bool shared, uint64_t length, vaddr_t at = 0,
                            uint64_t offset = 0) {
    MapRequest request = anonymous(length, at);
    request.object = std::move(object);
    request.shared = shared;
    request.offset = offset;
    return request;
}

inline uint32_t entry_count(VmMap& map) { return map.totals().entries; }

} // namespace lentil::test

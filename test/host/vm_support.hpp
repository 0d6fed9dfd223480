// SPDX-License-Identifier: BSD-2-Clause
// What the tests of vm/ share: the memory system started on the simulated machine, maps loaded on harts, exact counts,
// allocations made to fail.
#pragma once

#include <host/simulator.hpp>
#include <map>
#include <string>

#include <vm/fail.hpp>
#include <vm/kmem.hpp>
#include <vm/vm_map.hpp>

namespace lentil::test {

inline constexpr unsigned harts = 4;

/// Starts machine and memory system; once in a program, with these ranges of RAM.
void start_vm(std::span<const machine::MemoryRange> memory, std::span<const machine::MemoryRange> reserved = {});
/// The same with 64 MiB.
void start_vm();

/// Loads a map (nullptr: none) on a hart, where it stays.
void load(unsigned hart, VmMap* map);
/// Takes it off every hart.
void unload(VmMap& map);
/// What the last fault on any hart came to.
FaultResult last_fault();

/// User memory of `map` as hart `hart` sees it; false unless all of it could be accessed.
bool read_user(VmMap& map, vaddr_t from, void* to, size_t n, unsigned hart = 0);
bool write_user(VmMap& map, vaddr_t to, const void* from, size_t n, unsigned hart = 0);
/// One byte; -1 on a fault.
int peek(VmMap& map, vaddr_t at, unsigned hart = 0);
bool poke(VmMap& map, vaddr_t at, uint8_t value, unsigned hart = 0);

/// Everything that must be as before once a test has cleaned up.
struct Counts {
    uint64_t user_pages = 0, kernel_pages = 0;
    std::map<std::string, uint64_t> objects;

    static Counts now();
    friend bool operator==(const Counts&, const Counts&) = default;
};
std::string describe(const Counts& counts);

/// Makes the n-th allocation from now on fail (1: the next), in its scope.
class FailNth {
public:
    explicit FailNth(unsigned n);
    ~FailNth();
    FailNth(const FailNth&) = delete;
    FailNth& operator=(const FailNth&) = delete;
    static bool failed();
};

MapRequest anonymous(uint64_t length, vaddr_t fixed_at = 0);
inline constexpr machine::Prot read_write = machine::Prot::read | machine::Prot::write;
RefPtr<VmMap> new_map();

} // namespace lentil::test

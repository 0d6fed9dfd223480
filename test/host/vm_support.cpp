// SPDX-License-Identifier: BSD-2-Clause
// Helpers of the vm tests.
#include "vm_support.hpp"

#include <doctest/doctest.h>

#include <sched/sched.hpp>

namespace lentil::test {

namespace {

VmMap* loaded[harts];
FaultResult last = FaultResult::ok;
unsigned allocations_left = 0;
bool allocation_failed = false;

bool on_page_fault(machine::Trapframe&, vaddr_t address, machine::Prot access, bool) {
    VmMap* const map = loaded[machine::host_hart];
    last = map ? map->fault(address, access) : FaultResult::no_mapping;
    return last == FaultResult::ok;
}

} // namespace

void start_vm(std::span<const machine::MemoryRange> memory, std::span<const machine::MemoryRange> reserved) {
    static bool started = false;
    if (started)
        return;
    started = true;
    host::start({memory, reserved, harts});
    vm_init();
    for (unsigned i = 0; i < harts; i++) {
        const host::OnHart on(i);
        sched_init_hart(i);
    }
    machine::hooks.page_fault = on_page_fault;
}

void start_vm() {
    const machine::MemoryRange memory[] = {{0x80000000, 64 << 20}};
    start_vm(memory);
}

void load(unsigned hart, VmMap* map) {
    const host::OnHart on(hart);
    loaded[hart] = map;
    machine::activate(map ? map->pmap().space() : machine::kernel_space());
}

void unload(VmMap& map) {
    for (unsigned i = 0; i < harts; i++)
        if (loaded[i] == &map)
            load(i, nullptr);
}

FaultResult last_fault() { return last; }

bool read_user(VmMap& map, vaddr_t from, void* to, size_t n, unsigned hart) {
    load(hart, &map);
    const host::OnHart on(hart);
    return machine::user_read(to, from, n) == n;
}

bool write_user(VmMap& map, vaddr_t to, const void* from, size_t n, unsigned hart) {
    load(hart, &map);
    const host::OnHart on(hart);
    return machine::user_write(to, from, n) == n;
}

int peek(VmMap& map, vaddr_t at, unsigned hart) {
    uint8_t value = 0;
    return read_user(map, at, &value, 1, hart) ? value : -1;
}

bool poke(VmMap& map, vaddr_t at, uint8_t value, unsigned hart) { return write_user(map, at, &value, 1, hart); }

Counts Counts::now() {
    for (unsigned i = 0; i < harts; i++) {
        const host::OnHart on(i);
        zone_reclaim();
    }
    Counts counts;
    const PageCounts pages = page_counts();
    counts.user_pages = pages.total - pages.free - pages.kernel;
    counts.kernel_pages = pages.kernel;
    for_each_zone(
        [](const char* name, size_t, uint64_t in_use, void* context) {
            if (in_use != 0)
                (*static_cast<std::map<std::string, uint64_t>*>(context))[name] = in_use;
        },
        &counts.objects);
    return counts;
}

std::string describe(const Counts& counts) {
    std::string text =
        std::to_string(counts.user_pages) + " user pages, " + std::to_string(counts.kernel_pages) + " kernel pages";
    for (const auto& [name, n] : counts.objects)
        text += ", " + name + " " + std::to_string(n);
    return text;
}

FailNth::FailNth(unsigned n) {
    allocations_left = n;
    allocation_failed = false;
    allocation_fault_hook = [] {
        if (allocations_left == 0 || --allocations_left != 0)
            return false;
        allocation_failed = true;
        return true;
    };
}
FailNth::~FailNth() { allocation_fault_hook = nullptr; }
bool FailNth::failed() { return allocation_failed; }

MapRequest anonymous(uint64_t length, vaddr_t fixed_at) {
    MapRequest request;
    request.length = length;
    request.prot = read_write;
    request.fixed = fixed_at != 0;
    request.address = fixed_at;
    return request;
}

RefPtr<VmMap> new_map() {
    auto map = VmMap::create();
    REQUIRE(map.ok());
    (*map)->layout.mmap_base = 0x3f'0000'0000;
    return *map;
}

} // namespace lentil::test

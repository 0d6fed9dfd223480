// SPDX-License-Identifier: BSD-2-Clause
// Translations as the harts remember them, and access to user memory through them.
#include <algorithm>
#include <cstring>
#include <host/simulator.hpp>
#include <unordered_map>
#include <vector>

#include <machine/signal_frame.hpp>

namespace lentil::host {

namespace {
void (*shootdown_hook)() = nullptr;
}

Counters& counters() {
    static Counters all;
    return all;
}
void set_shootdown_hook(void (*hook)()) { shootdown_hook = hook; }

} // namespace lentil::host

namespace lentil::machine {

namespace {

struct Memory {
    std::unordered_map<vaddr_t, Pte> tlb;                  ///< of the loaded space
    std::unordered_map<paddr_t, std::vector<char>> icache; ///< contents of a page when it was first fetched from
};

Memory& memory_of(unsigned hart) {
    static Memory all[max_harts];
    return all[hart];
}

Pte walk(const AddressSpace& space, vaddr_t va) {
    const Pte* table = static_cast<const Pte*>(direct_map(space.root));
    for (unsigned level = Pte::levels - 1; level > 0; level--) {
        const Pte entry = table[Pte::index(va, level)];
        if (!entry.valid())
            return {};
        ASSERT(!entry.is_leaf());
        table = static_cast<const Pte*>(direct_map(entry.address()));
    }
    return table[Pte::index(va, 0)];
}

void forget(unsigned hart, vaddr_t start, size_t length) {
    auto& tlb = memory_of(hart).tlb;
    if (length >> page_shift > tlb.size()) {
        std::erase_if(tlb, [&](const auto& known) { return known.first - page_floor(start) < page_ceil(length); });
        return;
    }
    for (vaddr_t va = page_floor(start); va < start + length; va += page_size)
        tlb.erase(va);
}

/// Where user address `address` lies in RAM for an access on this hart, as its TLB and the page tables have it.
char* look_up(vaddr_t address, Prot access) {
    if (address >= Pte::user_end)
        return nullptr;
    const vaddr_t va = page_floor(address);
    AddressSpace& space = *host_harts[host_hart].space;
    auto& tlb = memory_of(host_hart).tlb;
    auto known = tlb.find(va);
    if (known == tlb.end())
        if (const Pte entry = walk(space, va); entry.valid()) {
            ASSERT(entry.user());
            known = tlb.emplace(va, entry).first;
        }
    if (known != tlb.end() && has(known->second.prot(), access))
        return static_cast<char*>(direct_map(known->second.address())) + (address - va);
    return nullptr;
}

/// The same for the kernel, faults taken; nullptr if one was not resolved.
char* translate(vaddr_t address, Prot access) {
    for (unsigned tries = 0; address < Pte::user_end; tries++) {
        if (tries == 100)
            panic("a fault is resolved over and over");
        if (char* const memory = look_up(address, access))
            return memory;
        host::counters().user_faults++;
        Trapframe frame;
        frame.user = false;
        if (!hooks.page_fault || !hooks.page_fault(frame, address, access, true))
            return nullptr;
    }
    return nullptr;
}

bool fetch(uint32_t* word, const char* memory) {
    if (!memory)
        return false;
    const paddr_t pa = direct_map_pa(memory), line = page_floor(pa);
    auto [cached, fresh] = memory_of(host_hart).icache.try_emplace(line);
    if (fresh) {
        const char* page = static_cast<const char*>(direct_map(line));
        cached->second.assign(page, page + page_size);
    }
    std::memcpy(word, cached->second.data() + (pa - line), sizeof *word);
    return true;
}

template<class F>
size_t for_each_piece(vaddr_t start, size_t n, Prot access, F visit) {
    size_t done = 0;
    while (done < n) {
        const vaddr_t at = start + done;
        const size_t part = std::min<size_t>(n - done, page_size - (at & page_mask));
        char* const memory = translate(at, access);
        if (!memory)
            break;
        visit(memory, done, part);
        done += part;
    }
    return done;
}

} // namespace

void activate(AddressSpace& space) {
    HostHart& hart = host_harts[host_hart];
    ASSERT(!hart.irq_enabled);
    if (hart.space == &space)
        return;
    AddressSpace* const old = hart.space;
    space.active.add(host_hart);
    hart.space = &space;
    memory_of(host_hart).tlb.clear();
    memory_of(host_hart).icache.clear();
    old->active.remove(host_hart);
}

void address_space_ends(AddressSpace&) {}

void tlb_shootdown(AddressSpace& space, vaddr_t start, size_t length) {
    host::counters().shootdowns++;
    space.active.load().for_each([&](unsigned hart) {
        host::counters().remote_targets += hart != host_hart;
        forget(hart, start, length);
    });
    if (host::shootdown_hook)
        host::shootdown_hook();
}

Counts counts() { return {.remote_shootdowns = host::counters().remote_targets}; }

void tlb_flush_local(AddressSpace& space, vaddr_t start, size_t length) {
    if (host_harts[host_hart].space == &space)
        forget(host_hart, start, length);
}

void sync_instructions(HartSet harts) {
    host::counters().instruction_syncs++;
    harts.add(host_hart);
    harts.for_each([](unsigned hart) { memory_of(hart).icache.clear(); });
}

size_t user_read(void* to, vaddr_t from, size_t n) {
    return for_each_piece(from, n, Prot::read, [&](char* memory, size_t done, size_t part) {
        host::copy_user_bytes(static_cast<char*>(to) + done, memory, part);
    });
}

size_t user_write(vaddr_t to, const void* from, size_t n) {
    return for_each_piece(to, n, Prot::write, [&](char* memory, size_t done, size_t part) {
        host::copy_user_bytes(memory, static_cast<const char*>(from) + done, part);
    });
}

bool leaf_copy(void* to, vaddr_t from, size_t n) {
    const char* const memory =
        from % 8 == 0 && (from & page_mask) + n <= page_size ? look_up(from, Prot::read) : nullptr;
    if (memory)
        host::copy_user_bytes(to, memory, n);
    return memory;
}

bool leaf_copy(vaddr_t to, const void* from, size_t n) {
    char* const memory = to % 8 == 0 && (to & page_mask) + n <= page_size ? look_up(to, Prot::write) : nullptr;
    if (memory)
        host::copy_user_bytes(memory, from, n);
    return memory;
}

size_t user_zero(vaddr_t to, size_t n) {
    return for_each_piece(to, n, Prot::write, [](char* memory, size_t, size_t part) { std::memset(memory, 0, part); });
}

long user_read_string(char* to, vaddr_t from, size_t max) {
    for (size_t i = 0; i < max; i++) {
        if (user_read(to + i, from + i, 1) != 1)
            return -1;
        if (to[i] == 0)
            return static_cast<long>(i);
    }
    return static_cast<long>(max);
}

UserStrings user_read_strings(char* to, vaddr_t vector, size_t room, uint16_t* starts, unsigned most) {
    UserStrings done{0, most, false};
    for (; done.left > 0; done.left--, vector += 8) {
        uint64_t at = 0;
        if (vector % 8 != 0 || user_read(&at, vector, sizeof at) != sizeof at)
            break;
        if (at == 0) {
            done.ended = true;
            break;
        }
        const size_t left = room - done.used;
        const long n = user_read_string(to + done.used, at, left);
        if (n < 0 || static_cast<size_t>(n) == left)
            break;
        starts[most - done.left] = static_cast<uint16_t>(done.used);
        done.used += static_cast<size_t>(n) + 1;
    }
    return done;
}

extern "C" {
bool machine_user_write_8(vaddr_t to, const uint64_t* from) { return user_write(to, from, 64) == 64; }
bool machine_user_write_registers(vaddr_t to, const uint64_t* from) {
    return user_write(to, from, sizeof Trapframe::x) == sizeof Trapframe::x;
}
bool machine_user_read_registers(uint64_t* to, vaddr_t from) {
    return user_read(to, from, sizeof Trapframe::x) == sizeof Trapframe::x;
}
}

bool fp_to_user(ThreadArch& ta, vaddr_t to) { return user_write(to, &ta.fp, sizeof ta.fp) == sizeof ta.fp; }
bool fp_from_user(ThreadArch& ta, vaddr_t from) { return user_read(&ta.fp, from, sizeof ta.fp) == sizeof ta.fp; }

bool user_load32(uint32_t* value, vaddr_t address) { return user_read(value, address, sizeof *value) == sizeof *value; }

bool user_cmpxchg32(uint32_t* old, vaddr_t address, uint32_t expected, uint32_t desired) {
    char* const memory = translate(address, Prot::write);
    if (!memory)
        return false;
    host::copy_user_bytes(old, memory, sizeof *old);
    if (*old == expected)
        host::copy_user_bytes(memory, &desired, sizeof desired);
    return true;
}

} // namespace lentil::machine

namespace lentil::host {

using namespace machine;

void check_translations() {
    for (unsigned hart = 0; hart < boot_info.hart_count; hart++)
        for (const auto& [va, known] : memory_of(hart).tlb) {
            const Pte now = walk(*host_harts[hart].space, va);
            if (!now.valid() || now.address() != known.address() || !has(now.prot(), known.prot()))
                panic("a hart still uses a translation that is gone");
        }
}

bool user_fetch32(uint32_t* word, vaddr_t address) { return fetch(word, translate(address, Prot::exec)); }

char* user_memory(vaddr_t address, Prot access) { return look_up(address, access); }
bool user_instruction(uint32_t* word, vaddr_t address) { return fetch(word, look_up(address, Prot::exec)); }

} // namespace lentil::host

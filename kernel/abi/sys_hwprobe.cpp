// SPDX-License-Identifier: BSD-2-Clause
// riscv_hwprobe: what the harts that a program asks about have in common, from their ISA strings.
#include <abi/linux_misc.hpp>
#include <abi/sys_mem.hpp>
#include <bsd/vdso.hpp>
#include <libkern/hartset.hpp>
#include <machine/hart_identity.hpp>
#include <sched/killed.hpp>
#include <sched/sched.hpp>
#include <sync/spinlock.hpp>

namespace lentil::abi {

namespace {

using machine::boot_info;
using machine::HartIdentity;
using machine::HartInfo;

enum Key : int64_t { vendor = 0, architecture = 1, implementation = 2, base_behaviour = 3, extensions = 4, speed = 5 };
static_assert(speed + 1 == LENTIL_HWPROBE_KEYS);
constexpr uint64_t base_ima = 1;

/// Extensions of user mode, by their bit in the value of `extensions`. Those that want the kernel's consent (vectors, cbo.zero)
/// are missing, as it gives none.
struct Extension {
    std::string_view name;
    unsigned bit;
};
constexpr Extension known[] = {
    {"zba", 3},     {"zbb", 4},        {"zbs", 5},   {"zbc", 7},    {"zbkb", 8},   {"zbkc", 9},    {"zbkx", 10},
    {"zknd", 11},   {"zkne", 12},      {"zknh", 13}, {"zksed", 14}, {"zksh", 15},  {"zkt", 16},    {"zfh", 27},
    {"zfhmin", 28}, {"zihintntl", 29}, {"zfa", 32},  {"ztso", 33},  {"zacas", 34}, {"zicond", 35}, {"zihintpause", 36},
};

/// Whether the string names a longer extension: those stand behind underscores.
bool has_extension(std::string_view isa, std::string_view name) {
    for (size_t at = isa.find('_'); at != std::string_view::npos; at = isa.find('_', at)) {
        isa.remove_prefix(at + 1);
        at = 0;
        if (isa.starts_with(name) && (isa.size() == name.size() || isa[name.size()] == '_'))
            return true;
    }
    return false;
}

uint64_t extensions_of(const HartInfo& hart) {
    // The letters are the same on all harts that run threads.
    const auto letter = [](char c) { return (boot_info.hwcap >> (c - 'a') & 1) != 0; };
    uint64_t bits = (letter('f') && letter('d') ? 1u : 0) | (letter('c') ? 2u : 0);
    for (const Extension& e : known)
        if (has_extension(hart.isa, e.name))
            bits |= uint64_t{1} << e.bit;
    return bits;
}

/// The harts of a mask in user memory, whose size is in bytes. None named: all of them.
Result<HartSet> harts_of(uint64_t size, uint64_t address) {
    const HartSet all = sched_harts();
    if (size == 0 && address == 0)
        return all;
    if (size == 0 || address == 0)
        return Errno::inval;
    HartSet wanted;
    for (uint64_t i = 0; i < size && i < max_harts / 8; i++) {
        const uint8_t byte = TRY(UserPtr<uint8_t>(address + i).read());
        for (unsigned bit = 0; bit < 8; bit++)
            if (byte >> bit & 1)
                wanted.add(static_cast<unsigned>(8 * i + bit));
    }
    wanted = wanted & all;
    if (wanted.empty())
        return Errno::inval;
    return wanted;
}

/// Fills in the value; false if this kernel does not know the key.
bool probe(int64_t key, HartSet harts, uint64_t& value) {
    const auto same = [&](uint64_t HartIdentity::*field) {
        bool first = true;
        uint64_t common = 0;
        harts.for_each([&](unsigned h) {
            const uint64_t mine = machine::hart_identity(h).*field;
            common = first || common == mine ? mine : ~uint64_t{0};
            first = false;
        });
        return common;
    };
    switch (key) {
    case vendor: value = same(&HartIdentity::vendor); return true;
    case architecture: value = same(&HartIdentity::architecture); return true;
    case implementation: value = same(&HartIdentity::implementation); return true;
    case base_behaviour: value = base_ima; return true;
    case extensions:
        value = ~uint64_t{0};
        harts.for_each([&](unsigned h) { value &= extensions_of(boot_info.harts[h]); });
        return true;
    case speed: value = 0; return true; // of misaligned accesses: unknown
    default: return false;
    }
}

constinit SpinLock<Rank::device> publishing; // harts come up at the same time

} // namespace

void hwprobe_publish() {
    SpinGuard guard(publishing);
    lentil_clock_page* const page = vdso_page();
    if (!page)
        return;
    for (int64_t key = 0; key < LENTIL_HWPROBE_KEYS; key++) {
        uint64_t value = 0;
        probe(key, sched_harts(), value);
        __atomic_store_n(&page->hwprobe[key], value, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&page->hwprobe_known, 1, __ATOMIC_RELEASE);
}

Result<void> sys_riscv_hwprobe(UserPtr<HwprobePair> pairs, uint64_t count, uint64_t set_size, uint64_t set,
                               uint32_t flags) {
    if (flags != 0)
        return Errno::inval;
    const HartSet harts = TRY(harts_of(set_size, set));
    for (uint64_t i = 0; i < count; i++) {
        if (being_killed())
            return Errno::intr;
        HwprobePair pair = TRY((pairs + i).read());
        pair.value = 0;
        if (!probe(pair.key, harts, pair.value))
            pair.key = -1; // as the interface says "unknown to this kernel"
        TRY((pairs + i).write(pair));
    }
    return {};
}

} // namespace lentil::abi

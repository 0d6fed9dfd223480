// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>
#include <cstring>
#include <iterator>

#include <libkern/format.hpp>
#include <platform/boot_memory.hpp>
#include <platform/boot_tree.hpp>

namespace lentil::platform {

using machine::BootInfo;
using machine::HartInfo;
using machine::MemoryRange;

namespace {

template<size_t N>
void copy_text(char (&to)[N], std::string_view text) {
    const size_t n = std::min(text.size(), N - 1);
    std::memcpy(to, text.data(), n);
    to[n] = '\0';
}

/// Walks an ISA string: f(name) for every extension, single letters one by one ("g" spelled out).
template<class F>
void for_each_extension(std::string_view isa, F&& f) {
    if (!isa.starts_with("rv64"))
        return;
    isa.remove_prefix(4);
    while (!isa.empty()) {
        const char c = isa[0];
        // Old trees end the letters with "su" for the privilege modes; elsewhere s starts a long name, as z and x do.
        const bool modes = isa.starts_with("su") && (isa.size() == 2 || isa[2] == '_');
        if (c == '_') {
            isa.remove_prefix(1);
        } else if (modes) {
            isa.remove_prefix(2);
        } else if ((c == 's' || c == 'z' || c == 'x') && isa.size() > 1) {
            const size_t end = std::min(isa.find('_'), isa.size());
            f(isa.substr(0, end));
            isa.remove_prefix(end);
        } else {
            if (c == 'g')
                for (const char* letter = "imafd"; *letter; letter++)
                    f(std::string_view(letter, 1));
            f(isa.substr(0, 1));
            isa.remove_prefix(1);
        }
    }
}

/// The old property is one string; the new one a list, which becomes the same string.
void read_isa(Node cpu, char (&isa)[sizeof(HartInfo::isa)]) {
    if (!cpu.has("riscv,isa-extensions")) {
        std::string_view text = cpu.text("riscv,isa").value_or("");
        // Cut in the middle of a name it would say what the hart may not have.
        if (text.size() >= sizeof isa)
            text = text.substr(0, std::min(text.rfind('_', sizeof isa - 1), sizeof isa - 1));
        return copy_text(isa, text);
    }
    copy_text(isa, "rv64");
    size_t used = 4;
    for (unsigned i = 0;; i++) {
        const auto name = cpu.text("riscv,isa-extensions", i);
        if (!name || used + name->size() + 2 > sizeof isa)
            return;
        if (name->size() > 1)
            isa[used++] = '_';
        std::memcpy(isa + used, name->data(), name->size());
        used += name->size();
        isa[used] = '\0';
    }
}

/// AT_HWCAP as Linux has it: bit n is the extension letter 'a' + n.
uint64_t hwcap_of(std::string_view isa) {
    uint64_t bits = 0;
    for_each_extension(isa, [&](std::string_view name) {
        if (name.size() == 1 && std::string_view("imafdcv").find(name[0]) != std::string_view::npos)
            bits |= uint64_t{1} << (name[0] - 'a');
    });
    return bits;
}

/// A hart that can run us: enabled, with an MMU that has Sv39 (the larger modes include it).
bool usable(Node cpu) {
    const auto mmu = cpu.text("mmu-type");
    return cpu.text("device_type") == "cpu" && cpu.enabled() &&
           (mmu == "riscv,sv39" || mmu == "riscv,sv48" || mmu == "riscv,sv57");
}

/// The letters of which threads may use what the boot hart has of them: a hart without one of those cannot run every thread,
/// and the scheduler does not tell threads apart.
constexpr uint64_t base_letters = [] {
    uint64_t bits = 0;
    for (const char c : {'i', 'm', 'a', 'f', 'd', 'c'})
        bits |= uint64_t{1} << (c - 'a');
    return bits;
}();

/// What the boot hart offers of them, by the tree.
uint64_t boot_hart_base(Node cpus, uint64_t boot_hart_id) {
    uint64_t base = 0;
    for_each_child(cpus, [&](Node cpu) {
        char isa[sizeof(HartInfo::isa)] = {};
        if (!usable(cpu) || cpu.number("reg") != boot_hart_id)
            return;
        read_isa(cpu, isa);
        base = hwcap_of(isa) & base_letters;
    });
    return base;
}

const char* read_harts(const DeviceTree& tree, uint64_t boot_hart_id, BootInfo& info, TreeFacts& facts) {
    const Node cpus = tree.find("/cpus");
    if (!cpus)
        return "the device tree has no /cpus";
    facts.ticks_per_second = cpus.number("timebase-frequency").value_or(0);
    facts.sstc = true;
    info.hwcap = ~uint64_t{0};
    const uint64_t base = boot_hart_base(cpus, boot_hart_id);
    bool boot_hart_seen = false;
    for_each_child(cpus, [&](Node cpu) {
        if (!usable(cpu))
            return;
        const auto reg = cpu.number("reg");
        if (!reg)
            return;
        for (unsigned i = 0; i < info.hart_count; i++)
            if (info.harts[i].id == *reg)
                return;
        const bool is_boot_hart = *reg == boot_hart_id;
        // The last place is the boot hart's if it has not come yet.
        if (info.hart_count + (boot_hart_seen || is_boot_hart ? 0 : 1) >= max_harts)
            return;
        HartInfo& hart = info.harts[info.hart_count];
        hart.id = *reg;
        read_isa(cpu, hart.isa);
        if ((hwcap_of(hart.isa) & base) != base) {
            hart = {};
            facts.lesser_harts++;
            return;
        }
        if (is_boot_hart) {
            info.boot_hart = info.hart_count;
            boot_hart_seen = true;
        }
        info.hart_count++;
        info.hwcap &= hwcap_of(hart.isa);
        facts.sstc = facts.sstc && isa_has(hart.isa, "sstc");
        const uint64_t zero_block = isa_has(hart.isa, "zicboz") ? cpu.number("riscv,cboz-block-size").value_or(0) : 0;
        if (info.hart_count == 1)
            facts.zero_block = zero_block;
        else if (facts.zero_block != zero_block)
            facts.zero_block = 0;
        if (facts.ticks_per_second == 0) // older trees have it per hart
            facts.ticks_per_second = cpu.number("timebase-frequency").value_or(0);
    });
    if (!boot_hart_seen)
        return "the device tree does not name the boot hart among the harts with Sv39";
    if (facts.ticks_per_second < 1000 || facts.ticks_per_second > 4'000'000'000)
        return "the device tree's timebase-frequency is missing or out of range";
    return nullptr;
}

/// Adds a range to the table, kept sorted and disjoint.
bool add_memory(BootInfo& info, paddr_t start, paddr_t end) {
    unsigned kept = 0;
    for (unsigned i = 0; i < info.memory_count; i++) {
        const MemoryRange r = info.memory[i];
        if (r.start <= end && start <= r.start + r.size) {
            start = std::min(start, r.start);
            end = std::max(end, r.start + r.size);
        } else {
            info.memory[kept++] = r;
        }
    }
    info.memory_count = kept;
    if (kept == std::size(info.memory))
        return false;
    info.memory[info.memory_count++] = {start, end - start};
    for (unsigned i = info.memory_count - 1; i > 0 && info.memory[i].start < info.memory[i - 1].start; i--)
        std::swap(info.memory[i], info.memory[i - 1]);
    return true;
}

const char* read_memory(const DeviceTree& tree, paddr_t limit, BootInfo& info) {
    bool any = false, room = true;
    for_each_child(tree.root(), [&](Node node) {
        if (node.text("device_type") != "memory" || !node.enabled())
            return;
        for (unsigned i = 0;; i++) {
            const auto region = node.reg(i);
            if (!region)
                return;
            const paddr_t start = page_ceil(std::min(region->start, limit));
            const paddr_t end = page_floor(std::min(region->start + region->size, limit));
            any = true;
            if (start < end)
                room = add_memory(info, start, end) && room;
        }
    });
    if (!any)
        return "the device tree has no memory node";
    if (!room)
        return "the device tree has too many memory ranges";
    uint64_t total = 0;
    for (unsigned i = 0; i < info.memory_count; i++)
        total += info.memory[i].size;
    return total < least_memory ? "too little memory: at least 8 MiB are needed" : nullptr;
}

const char* read_reservations(const DeviceTree& tree, BootInfo& info) {
    bool room = true;
    for (unsigned i = 0;; i++) {
        const auto region = tree.reservation(i);
        if (!region)
            break;
        room = boot_memory_reserve(info, region->start, region->size) && room;
    }
    for_each_child(tree.find("/reserved-memory"), [&](Node node) {
        if (!node.enabled())
            return;
        for (unsigned i = 0;; i++) {
            const auto region = node.reg(i);
            if (!region)
                return; // a node with "size" alone asks for memory of our choice; no driver of ours needs it
            room = boot_memory_reserve(info, region->start, region->size) && room;
        }
    });
    return room ? nullptr : "the device tree reserves too many memory ranges";
}

bool inside_memory(const BootInfo& info, paddr_t start, paddr_t end) {
    return std::any_of(info.memory, info.memory + info.memory_count,
                       [&](const MemoryRange& m) { return m.start <= start && end <= m.start + m.size; });
}

const char* read_chosen(const DeviceTree& tree, BootInfo& info) {
    const Node chosen = tree.find("/chosen");
    if (!chosen)
        return nullptr;
    copy_text(info.command_line, chosen.text("bootargs").value_or(""));
    if (const auto seed = chosen.data("rng-seed")) {
        info.rng_seed_size = static_cast<unsigned>(std::min(seed->size(), sizeof info.rng_seed));
        std::memcpy(info.rng_seed, seed->data(), info.rng_seed_size);
    }
    if (!chosen.has("linux,initrd-start") && !chosen.has("linux,initrd-end"))
        return nullptr;
    const auto start = chosen.number("linux,initrd-start"), end = chosen.number("linux,initrd-end");
    if (!start || !end || *start > *end || (*start < *end && !inside_memory(info, *start, *end)))
        return "the device tree's initrd does not lie in memory";
    info.initrd = {*start, *end - *start};
    return boot_memory_reserve(info, *start, *end - *start) ? nullptr
                                                            : "the device tree reserves too many memory ranges";
}

} // namespace

/// /chosen's stdout-path: a path or an alias, perhaps followed by ":" and line parameters.
Node console_node(const DeviceTree& tree) {
    const Node node = tree.find("/chosen");
    auto path = node.text("stdout-path");
    if (!path)
        return {};
    *path = path->substr(0, path->find(':'));
    char name[128];
    if (!path->starts_with('/')) {
        *path = format_to(std::span(name).first(sizeof name - 1), "{}", *path);
        name[path->size()] = '\0';
        path = tree.find("/aliases").text(name);
        if (!path)
            return {};
    }
    *path = format_to(std::span(name).first(sizeof name - 1), "{}", *path);
    name[path->size()] = '\0';
    return tree.find(name);
}

bool isa_has(std::string_view isa, std::string_view extension) {
    bool found = false;
    for_each_extension(isa, [&](std::string_view name) { found = found || name == extension; });
    return found;
}

const char* read_boot_tree(const DeviceTree& tree, uint64_t boot_hart_id, paddr_t memory_limit, BootInfo& info,
                           TreeFacts& facts) {
    copy_text(info.model, tree.root().text("model").value_or("unknown"));
    if (const char* wrong = read_harts(tree, boot_hart_id, info, facts))
        return wrong;
    if (const char* wrong = read_memory(tree, memory_limit, info))
        return wrong;
    if (const char* wrong = read_reservations(tree, info))
        return wrong;
    return read_chosen(tree, info);
}

} // namespace lentil::platform

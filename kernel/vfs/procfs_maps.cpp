// SPDX-License-Identifier: BSD-2-Clause
// /proc/PID/maps, smaps and smaps_rollup: an address space, entry by entry.
#include <algorithm>

#include <vfs/procfs.hpp>
#include <vm/page.hpp>

namespace lentil {

namespace {

/// Pages of an entry, by who else has them.
struct PageSums {
    uint64_t resident = 0, proportional = 0; ///< bytes; of a page that n have, a n-th
    uint64_t shared_clean = 0, shared_dirty = 0, private_clean = 0, private_dirty = 0, referenced = 0, anonymous = 0;
    bool has_object = false; ///< an object holds its pages too

    void add(const Pmap::Mapping& m) {
        if (m.page == zero_page())
            return;
        const uint32_t refs = m.page->refs.load(std::memory_order_relaxed) + m.other_tables;
        // A page that only the mapping holds is a private copy.
        const uint32_t sharers = std::max(1U, has_object && refs > 1 ? refs - 1 : refs);
        resident += page_size;
        proportional += page_size / sharers;
        if (sharers > 1)
            (m.dirty ? shared_dirty : shared_clean) += page_size;
        else
            (m.dirty ? private_dirty : private_clean) += page_size;
        if (m.accessed)
            referenced += page_size;
        if (!has_object || refs == 1)
            anonymous += page_size;
    }
    void add(const PageSums& o) {
        resident += o.resident, proportional += o.proportional;
        shared_clean += o.shared_clean, shared_dirty += o.shared_dirty;
        private_clean += o.private_clean, private_dirty += o.private_dirty;
        referenced += o.referenced, anonymous += o.anonymous;
    }
};

struct MapsContext {
    TextBuffer& out;
    VmMap& map;
    bool lines = true, details = false;
    PageSums total{};
    vaddr_t first = 0, last = 0;
    char path[1024] = {};
};

void maps_line(const VmMapEntry& e, MapsContext& c) {
    const size_t start = c.out.size();
    uint64_t device = 0, inode = 0;
    size_t length = 0;
    if (e.file)
        length = e.file->describe(c.path, device, inode);
    std::string_view name(c.path, length);
    switch (e.kind) {
    case EntryKind::heap: name = "[heap]"; break;
    case EntryKind::stack: name = "[stack]"; break;
    case EntryKind::vdso: name = "[vdso]"; break;
    case EntryKind::plain:
    case EntryKind::attached: break; // their file names them, if they have one
    }
    const auto has = [&](Prot p) { return (e.prot & p) != Prot::none; };
    c.out.add("{:08x}-{:08x} {}{}{}{} {:08x} {:02x}:{:02x} {} ", e.start, e.end, has(Prot::read) ? 'r' : '-',
              has(Prot::write) ? 'w' : '-', has(Prot::exec) ? 'x' : '-', e.shared ? 's' : 'p', e.file ? e.offset : 0,
              device >> 8 & 0xfff, (device & 0xff) | (device >> 12 & 0xfff00), inode);
    if (!name.empty()) {
        c.out.pad(start, 73);
        c.out.text(name);
    }
    c.out.text("\n");
}

void kilobytes(TextBuffer& out, std::string_view name, uint64_t bytes) {
    const size_t start = out.size();
    char number[24];
    const std::string_view digits = format_to(number, "{}", bytes / 1024);
    out.text(name);
    out.text(":");
    out.pad(start, 24 - digits.size());
    out.text(digits);
    out.text(" kB\n");
}

void sums(TextBuffer& out, const PageSums& s) {
    kilobytes(out, "Rss", s.resident);
    kilobytes(out, "Pss", s.proportional);
    kilobytes(out, "Shared_Clean", s.shared_clean);
    kilobytes(out, "Shared_Dirty", s.shared_dirty);
    kilobytes(out, "Private_Clean", s.private_clean);
    kilobytes(out, "Private_Dirty", s.private_dirty);
    kilobytes(out, "Referenced", s.referenced);
    kilobytes(out, "Anonymous", s.anonymous);
    kilobytes(out, "Swap", 0);
    kilobytes(out, "SwapPss", 0);
    kilobytes(out, "Locked", 0);
}

void visit(const VmMapEntry& e, void* context) {
    auto& c = *static_cast<MapsContext*>(context);
    if (c.lines)
        maps_line(e, c);
    if (c.lines && !c.details)
        return;
    PageSums s;
    s.has_object = static_cast<bool>(e.object);
    c.map.pmap().for_each(
        e.start, e.end, [](vaddr_t, const Pmap::Mapping& m, void* to) { static_cast<PageSums*>(to)->add(m); }, &s);
    c.total.add(s);
    if (c.last == 0)
        c.first = e.start;
    c.last = e.end;
    if (!c.details)
        return;
    kilobytes(c.out, "Size", e.end - e.start);
    kilobytes(c.out, "KernelPageSize", page_size);
    kilobytes(c.out, "MMUPageSize", page_size);
    sums(c.out, s);
    const auto flag = [&](bool is, std::string_view text) { c.out.text(is ? text : std::string_view()); };
    const auto has = [&](Prot all, Prot p) { return (all & p) != Prot::none; };
    c.out.text("VmFlags: ");
    flag(has(e.prot, Prot::read), "rd ");
    flag(has(e.prot, Prot::write), "wr ");
    flag(has(e.prot, Prot::exec), "ex ");
    flag(e.shared, "sh ");
    flag(has(e.max_prot, Prot::read), "mr ");
    flag(has(e.max_prot, Prot::write), "mw ");
    flag(has(e.max_prot, Prot::exec), "me ");
    flag(e.grows_down, "gd ");
    flag(e.dont_fork, "dc ");
    flag(e.wipe_on_fork, "wf ");
    c.out.text("\n");
}

Result<RefPtr<VmMap>> inspected_map(const ProcTarget& target) {
    if (!target.may_inspect())
        return Errno::acces;
    return target.map();
}

} // namespace

Result<void> procfs_maps(TextBuffer& out, const ProcTarget& target) {
    const RefPtr<VmMap> map = TRY(inspected_map(target));
    if (map) {
        MapsContext context{.out = out, .map = *map};
        map->for_each_entry(visit, &context);
    }
    return {};
}

Result<void> procfs_smaps(TextBuffer& out, const ProcTarget& target) {
    const RefPtr<VmMap> map = TRY(inspected_map(target));
    if (map) {
        MapsContext context{.out = out, .map = *map, .details = true};
        map->for_each_entry(visit, &context);
    }
    return {};
}

Result<void> procfs_smaps_rollup(TextBuffer& out, const ProcTarget& target) {
    const RefPtr<VmMap> map = TRY(inspected_map(target));
    if (!map)
        return {};
    MapsContext context{.out = out, .map = *map, .lines = false};
    map->for_each_entry(visit, &context);
    out.add("{:08x}-{:08x} ---p 00000000 00:00 0 ", context.first, context.last);
    out.pad(0, 73);
    out.text("[rollup]\n");
    sums(out, context.total);
    return {};
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// /proc: files about the machine and the system as a whole.
#include <lentil_version.hpp>

#include <bsd/host_name.hpp>
#include <bsd/unix_socket.hpp>
#include <libkern/assert.hpp>
#include <sched/clock.hpp>
#include <sched/hart.hpp>
#include <vfs/lookup.hpp>
#include <vfs/page_cache.hpp>
#include <vfs/procfs.hpp>
#include <vm/kmem.hpp>
#include <vm/page.hpp>

namespace lentil {

namespace {

constexpr uint64_t tmpfs_magic = 0x01021994; // as statfs tells it

/// What pages hold, in pages.
struct PageUses {
    uint64_t files_in_memory = 0;  ///< tmpfs and its like: what Linux counts as cached and shared
    uint64_t cache = 0, dirty = 0; ///< of files on disks
    uint64_t anonymous = 0;
};
PageUses page_uses(const PageCounts& pages) {
    PageUses uses;
    for (unsigned i = 0; const RefPtr<Mount> mount = mount_by_index(i); i++)
        if (const FsStat st = mount->fs_stat(); st.magic == tmpfs_magic && !mount->bound)
            uses.files_in_memory += st.blocks - st.blocks_free;
    uses.cache = VmCachedObject::pages_of_all();
    uses.dirty = PageCache::total_dirty();
    // The counts are of different moments, and a file system that is mounted twice counts twice.
    const uint64_t used = pages.total - pages.free, known = pages.kernel + uses.files_in_memory + uses.cache;
    uses.anonymous = used > known ? used - known : 0;
    return uses;
}

Result<void> meminfo(TextBuffer& out, const ProcTarget&) {
    const PageCounts pages = page_counts();
    const PageUses uses = page_uses(pages);
    const auto line = [&](std::string_view name, uint64_t count) {
        const size_t start = out.size();
        out.add("{}:", name);
        char number[24];
        const std::string_view digits = format_to(number, "{}", count * (page_size / 1024));
        out.pad(start, 24 - digits.size());
        out.text(digits);
        out.text(" kB\n");
    };
    line("MemTotal", pages.total);
    line("MemFree", pages.free);
    line("MemAvailable", pages.free + (uses.cache > uses.dirty ? uses.cache - uses.dirty : 0));
    line("Buffers", 0);
    line("Cached", uses.files_in_memory + uses.cache);
    line("SwapCached", 0);
    line("Active", pages.total - pages.free - pages.kernel);
    line("Inactive", 0);
    line("SwapTotal", 0);
    line("SwapFree", 0);
    line("Dirty", uses.dirty);
    line("Writeback", 0);
    line("AnonPages", uses.anonymous);
    line("Shmem", uses.files_in_memory);
    line("Slab", pages.kernel);
    line("SReclaimable", 0);
    line("SUnreclaim", pages.kernel);
    line("KernelStack", kernel_stacks_in_use() * (kernel_stack_size / page_size));
    return {};
}

/// User, system and idle time of a hart up to now, in ticks.
struct HartTimes {
    uint64_t user = 0, system = 0, idle = 0;
};
HartTimes hart_times(Hart& hart) {
    const nanos_t now = monotonic_ns(), user = hart_user_ns(hart), idle = hart_idle_ns(hart);
    return {ticks_of(user), ticks_of(now - user - idle), ticks_of(idle)};
}

Result<void> stat(TextBuffer& out, const ProcTarget&) {
    HartTimes sum;
    uint64_t switches = 0, interrupts = 0;
    const HartSet harts = sched_harts();
    harts.for_each([&](unsigned i) {
        Hart& hart = hart_by_index(i);
        const HartTimes t = hart_times(hart);
        sum.user += t.user, sum.system += t.system, sum.idle += t.idle;
        switches += hart.counters.context_switches.load(std::memory_order_relaxed);
        interrupts += hart.counters.timer_interrupts.load(std::memory_order_relaxed) +
                      hart.counters.ipis_received.load(std::memory_order_relaxed);
    });
    out.add("cpu  {} 0 {} {} 0 0 0 0 0 0\n", sum.user, sum.system, sum.idle);
    harts.for_each([&](unsigned i) {
        const HartTimes t = hart_times(hart_by_index(i));
        out.add("cpu{} {} 0 {} {} 0 0 0 0 0 0\n", i, t.user, t.system, t.idle);
    });
    const ProcCounts& c = proc_counts;
    out.add("intr {}\nctxt {}\nbtime {}\nprocesses {}\nprocs_running {}\nprocs_blocked 0\n", interrupts, switches,
            (realtime_ns() - monotonic_ns()) / 1'000'000'000, c.forks.load(std::memory_order_relaxed),
            sched_runnable());
    return {};
}

void hundredths(TextBuffer& out, nanos_t ns) {
    const uint64_t ticks = ticks_of(ns);
    out.add("{}.{:02}", ticks / 100, ticks % 100);
}

Result<void> uptime(TextBuffer& out, const ProcTarget&) {
    nanos_t idle = 0;
    sched_harts().for_each([&](unsigned i) { idle += hart_idle_ns(hart_by_index(i)); });
    hundredths(out, monotonic_ns());
    out.text(" ");
    hundredths(out, idle);
    out.text("\n");
    return {};
}

Result<void> loadavg(TextBuffer& out, const ProcTarget&) {
    uint64_t loads[3];
    sched_load_averages(loads);
    for (const uint64_t load : loads) {
        const uint64_t rounded = load + 65536 / 200;
        out.add("{}.{:02} ", rounded >> 16, (rounded & 0xffff) * 100 >> 16);
    }
    pid_t newest = 0;
    {
        ProcTreeGuard guard(proc_tree_lock);
        if (!all_procs->empty())
            newest = proc_of(all_procs->back()).pid;
    }
    out.add("{}/{} {}\n", sched_runnable(), thread_counters.threads_alive.load(std::memory_order_relaxed), newest);
    return {};
}

Result<void> version(TextBuffer& out, const ProcTarget&) {
    out.add("{} version {} (lentil {}) {}\n", system_name, system_release, version_string, "#1 SMP");
    return {};
}

Result<void> cpuinfo(TextBuffer& out, const ProcTarget&) {
    const machine::BootInfo& info = machine::boot_info;
    sched_harts().for_each([&](unsigned i) {
        out.add("processor\t: {}\nhart\t\t: {}\nisa\t\t: {}\nmmu\t\t: sv{}\n", i, info.harts[i].id, info.harts[i].isa,
                12 + 9 * machine::Pte::levels);
        if (info.model[0])
            out.add("uarch\t\t: {}\n", info.model);
        out.text("\n");
    });
    return {};
}

Result<void> filesystems(TextBuffer& out, const ProcTarget&) {
    for_each_file_system(
        [](const FileSystemType& type, void* to) {
            static_cast<TextBuffer*>(to)->add("{}\t{}\n", type.needs_device ? "" : "nodev", type.name);
        },
        &out);
    return {};
}

Result<void> cmdline(TextBuffer& out, const ProcTarget&) {
    out.add("{}\n", machine::boot_info.command_line);
    return {};
}

Result<void> devices(TextBuffer& out, const ProcTarget&) {
    out.text("Character devices:\n  1 mem\n  4 ttyS\n  5 tty\n229 hvc\n\nBlock devices:\n");
    return {};
}

Result<void> tty_drivers(TextBuffer& out, const ProcTarget&) {
    out.text("/dev/tty             /dev/tty        5       0 system:/dev/tty\n"
             "/dev/console         /dev/console    5       1 system:console\n");
    return {};
}

Result<void> vmstat(TextBuffer& out, const ProcTarget&) {
    const PageCounts pages = page_counts();
    const PageUses uses = page_uses(pages);
    uint64_t faults = 0;
    sched_harts().for_each(
        [&](unsigned i) { faults += hart_by_index(i).counters.page_faults.load(std::memory_order_relaxed); });
    // What is read from disks and written to them is not counted.
    out.add(
        "nr_free_pages {}\nnr_anon_pages {}\nnr_file_pages {}\nnr_shmem {}\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\n"
        "pgfault {}\npgmajfault 0\n",
        pages.free, uses.anonymous, uses.files_in_memory + uses.cache, uses.files_in_memory, faults);
    return {};
}

Result<void> self_link(TextBuffer& out, const ProcTarget&) {
    if (!has_uthread())
        return Errno::noent;
    out.add("{}", current_proc().pid);
    return {};
}

Result<void> thread_self_link(TextBuffer& out, const ProcTarget&) {
    if (!has_uthread())
        return Errno::noent;
    out.add("{}/task/{}", current_proc().pid, current_uthread().tid);
    return {};
}

Result<void> mounts_link(TextBuffer& out, const ProcTarget&) {
    out.text("self/mounts");
    return {};
}

constexpr VnodeType file = VnodeType::regular, link = VnodeType::symlink, directory = VnodeType::directory;

// ---- mounts: as the process's root sees them -------------------------------------------------------------------------

/// Writes a name with the characters that would break the line as octal.
void escaped(TextBuffer& out, std::string_view text) {
    for (const char c : text) {
        if (c == ' ' || c == '\t' || c == '\n' || c == '\\')
            out.add("\\{:03o}", static_cast<unsigned char>(c));
        else
            out.text({&c, 1});
    }
}

void mount_options(TextBuffer& out, Mount& mount) {
    constexpr struct {
        uint64_t flag;
        std::string_view text;
    } names[] = {
        {mount_flags::no_suid, ",nosuid"},   {mount_flags::no_dev, ",nodev"},
        {mount_flags::no_exec, ",noexec"},   {mount_flags::no_sym_follow, ",nosymfollow"},
        {mount_flags::no_atime, ",noatime"}, {mount_flags::no_dir_atime, ",nodiratime"},
    };
    for (const auto& n : names)
        if (mount.has(n.flag))
            out.text(n.text);
    if (!mount.has(mount_flags::no_atime))
        out.text(",relatime");
}

/// Those of the file system, whichever of its mounts this is.
void own_options(TextBuffer& out, Mount& mount) {
    if (mount.super().super_flags.load(std::memory_order_relaxed) & mount_flags::synchronous)
        out.text(",sync");
    char text[128];
    out.text({text, mount.describe_options(text)});
}

/// Calls line(mount, path) for every mount that can be seen from the target's root.
template<class Line>
Result<void> each_mount(const ProcTarget& target, Line line) {
    const RefPtr<CwdInfo> info = target.proc->cwd_info();
    if (!info)
        return Errno::inval;
    const RefPtr<FsNode> root_node = info->root();
    Vnode& root = as_vnode(*root_node);
    Buffer<char> path = TRY(Buffer<char>::create(path_max));
    for (unsigned i = 0; const RefPtr<Mount> mount = mount_by_index(i); i++) {
        const RefPtr<Vnode> top = mount->root;
        bool reached = false;
        if (!top)
            continue;
        const Result<size_t> length = path_of(root, *top, path.span(), nullptr, &reached);
        if (length && reached)
            line(*mount, std::string_view(path.data(), *length));
    }
    return {};
}

} // namespace

Result<void> procfs_mounts(TextBuffer& out, const ProcTarget& target) {
    return each_mount(target, [&](Mount& mount, std::string_view path) {
        escaped(out, mount.source[0] ? std::string_view(mount.source) : "none");
        out.text(" ");
        escaped(out, path);
        out.add(" {} {}", mount.type_name, std::string_view(mount.read_only() ? "ro" : "rw"));
        mount_options(out, mount);
        own_options(out, mount);
        out.text(" 0 0\n");
    });
}

Result<void> procfs_mountinfo(TextBuffer& out, const ProcTarget& target) {
    Buffer<char> within = TRY(Buffer<char>::create(path_max));
    return each_mount(target, [&](Mount& mount, std::string_view path) {
        const RefPtr<Vnode> covered = mount.root ? mount_covered(*mount.root) : nullptr;
        constexpr uint64_t read_only = mount_flags::read_only;
        out.add("{} {} {}:{} ", mount.id, covered ? covered->mount->id : 0, device_major(mount.device),
                device_minor(mount.device));
        escaped(out, {within.data(), mount_root_path(mount, within.span())});
        out.text(" ");
        escaped(out, path);
        out.text(mount.has(read_only) ? " ro" : " rw");
        mount_options(out, mount);
        if (mount.unbindable.load(std::memory_order_relaxed))
            out.text(" unbindable");
        out.add(" - {} ", mount.type_name);
        escaped(out, mount.source[0] ? std::string_view(mount.source) : "none");
        out.text(mount.super().super_flags.load(std::memory_order_relaxed) & read_only ? " ro" : " rw");
        own_options(out, mount);
        out.text("\n");
    });
}

namespace {
Result<void> unix_sockets(TextBuffer& out, const ProcTarget&) {
    out.text("Num       RefCount Protocol Flags    Type St Inode Path\n");
    UnixSocket::Line line;
    for (uint64_t from = 0; UnixSocket::describe_next(from, line);) {
        constexpr uint32_t accepts = 0x10000; // Linux's __SO_ACCEPTCON
        out.add("0000000000000000: {:08x} 00000000 {:08x} {:04x} {:02x} {:5}", line.references,
                line.listening ? accepts : 0, line.type, line.connected ? 3 : 1, line.inode);
        if (line.address) {
            const bool abstract = line.address->is_abstract();
            out.text(" ");
            for (uint32_t i = 0; i < line.address->length - (abstract ? 0 : 1); i++)
                out.add("{}", line.address->path[i] == 0 ? '@' : line.address->path[i]);
        }
        out.text("\n");
    }
    return {};
}

constexpr ProcfsItem net_items[] = {{.name = "unix", .type = file, .mode = 0444, .generate = unix_sockets}};
constexpr ProcfsItem tty_items[] = {{.name = "drivers", .type = file, .mode = 0444, .generate = tty_drivers}};

/// Of Linux's letters, c alone: stop the kernel with a report.
Result<void> sysrq_trigger(const ProcTarget&, std::string_view text) {
    if (!text.starts_with('c'))
        return Errno::inval;
    panic("asked for by sysrq-trigger");
}

/// Not constexpr: it refers to tables of other files.
constinit ProcfsItem items[] = {
    {.name = "self", .type = link, .mode = 0777, .link = self_link},
    {.name = "thread-self", .type = link, .mode = 0777, .link = thread_self_link},
    {.name = "mounts", .type = link, .mode = 0777, .link = mounts_link},
    {.name = "meminfo", .type = file, .mode = 0444, .generate = meminfo},
    {.name = "stat", .type = file, .mode = 0444, .generate = stat},
    {.name = "uptime", .type = file, .mode = 0444, .generate = uptime},
    {.name = "loadavg", .type = file, .mode = 0444, .generate = loadavg},
    {.name = "version", .type = file, .mode = 0444, .generate = version},
    {.name = "cpuinfo", .type = file, .mode = 0444, .generate = cpuinfo},
    {.name = "filesystems", .type = file, .mode = 0444, .generate = filesystems},
    {.name = "cmdline", .type = file, .mode = 0444, .generate = cmdline},
    {.name = "locks", .type = file, .mode = 0444, .generate = procfs_locks},
    {.name = "devices", .type = file, .mode = 0444, .generate = devices},
    {.name = "sysrq-trigger", .type = file, .mode = 0200, .write = sysrq_trigger},
    {.name = "vmstat", .type = file, .mode = 0444, .generate = vmstat},
    {.name = "net", .type = directory, .mode = 0555, .children = net_items},
    {.name = "tty", .type = directory, .mode = 0555, .children = tty_items},
    {.name = "sys", .type = directory, .mode = 0555},
    {.name = "sysvipc", .type = directory, .mode = 0555},
    {.name = "lentil", .type = directory, .mode = 0555},
};
} // namespace

std::span<const ProcfsItem> procfs_system_items() {
    for (ProcfsItem& item : items) {
        if (std::string_view(item.name) == "sys")
            item.children = procfs_sys_items();
        if (std::string_view(item.name) == "sysvipc")
            item.children = procfs_sysvipc_items();
        if (std::string_view(item.name) == "lentil")
            item.children = procfs_lentil_items();
    }
    return items;
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// The rest of /proc/PID: memory, arguments, directories, descriptors, threads, limits.
#include <algorithm>
#include <cstring>

#include <bsd/oom.hpp>
#include <libkern/parse.hpp>
#include <vfs/lookup.hpp>
#include <vfs/procfs.hpp>
#include <vm/fail.hpp>

namespace lentil {

namespace {

// ---- memory ----------------------------------------------------------------------------------------------------------

/// Text that lies in the memory of the process, as it is now.
Result<void> memory_text(TextBuffer& out, VmMap& map, vaddr_t start, vaddr_t end) {
    constexpr size_t most = 128 * 1024;
    if (end <= start)
        return {};
    const size_t n = std::min<uint64_t>(end - start, most), before = out.size();
    const std::span<char> room = out.extend(n);
    if (room.empty())
        return Errno::nomem;
    out.cut(before + map.read_memory(start, room.data(), n));
    return {};
}

Result<void> cmdline(TextBuffer& out, const ProcTarget& target) {
    const RefPtr<VmMap> map = target.map();
    return map ? memory_text(out, *map, map->layout.arg_start, map->layout.arg_end) : Result<void>();
}

Result<void> environment(TextBuffer& out, const ProcTarget& target) {
    if (!target.may_inspect())
        return Errno::acces;
    const RefPtr<VmMap> map = target.map();
    return map ? memory_text(out, *map, map->layout.env_start, map->layout.env_end) : Result<void>();
}

// ---- names -----------------------------------------------------------------------------------------------------------

Result<void> comm(TextBuffer& out, const ProcTarget& target) {
    const char* text = target.uthread && target.uthread->name[0] ? target.uthread->name : target.proc->comm;
    char copy[16];
    memcpy(copy, text, sizeof copy);
    out.add("{}\n", std::string_view(copy, strnlen(copy, 15)));
    return {};
}

Result<void> set_comm(const ProcTarget& target, std::string_view text) {
    if (!has_uthread() || &current_proc() != target.proc.get())
        return Errno::inval;
    char name[16] = {};
    text.copy(name, sizeof name - 1);
    if (target.uthread)
        memcpy(target.uthread->name, name, sizeof name);
    if (!target.uthread || target.uthread->tid == target.proc->pid)
        memcpy(target.proc->comm, name, sizeof name);
    return {};
}

Result<void> wait_channel(TextBuffer& out, const ProcTarget& target) {
    const RefPtr<Uthread> uthread = target.one_uthread();
    const char* channel = nullptr;
    if (uthread) {
        ProcTreeGuard guard(proc_tree_lock);
        if (uthread->state.load(std::memory_order_relaxed) == UthreadState::parked) {
            channel = "vfork";
        } else if (const Thread* thread = uthread->thread.load(std::memory_order_relaxed);
                   thread && thread->state.load(std::memory_order_relaxed) == ThreadState::waiting) {
            channel = thread->wait_channel;
        }
    }
    out.text(channel ? std::string_view(channel) : "0");
    return {};
}

// ---- links -----------------------------------------------------------------------------------------------------------

RefPtr<Vnode> root_of(const ProcTarget& target) {
    const RefPtr<CwdInfo> info = target.proc->cwd_info();
    const RefPtr<FsNode> node = info ? info->root() : nullptr;
    return RefPtr<Vnode>(static_cast<Vnode*>(node.get()));
}

RefPtr<Vnode> cwd_of(const ProcTarget& target) {
    const RefPtr<CwdInfo> info = target.proc->cwd_info();
    const RefPtr<FsNode> node = info ? info->cwd() : nullptr;
    return RefPtr<Vnode>(static_cast<Vnode*>(node.get()));
}

RefPtr<Vnode> executable_of(const ProcTarget& target) {
    RefPtr<MappedFile> file;
    {
        SpinGuard guard(target.proc->tables_lock);
        file = target.proc->executable;
    }
    FsNode* node = file ? file->node() : nullptr;
    return RefPtr<Vnode>(static_cast<Vnode*>(node));
}

template<RefPtr<Vnode> (*Where)(const ProcTarget&)>
Result<RefPtr<Vnode>> follow_to(Vnode&, const ProcTarget& target) {
    if (!target.may_inspect())
        return Errno::acces;
    RefPtr<Vnode> node = Where(target);
    if (!node)
        return Errno::noent;
    return node;
}

template<RefPtr<Vnode> (*Where)(const ProcTarget&)>
Result<void> link_to(TextBuffer& out, const ProcTarget& target) {
    if (!target.may_inspect())
        return Errno::acces;
    const RefPtr<Vnode> node = Where(target);
    if (!node)
        return Errno::noent;
    const size_t before = out.size();
    const std::span<char> room = out.extend(path_max);
    if (room.empty())
        return Errno::nomem;
    out.cut(before + describe_node(*node, room));
    return {};
}

// ---- threads ---------------------------------------------------------------------------------------------------------

Result<ProcTarget> find_task(const ProcTarget& target, uint32_t number) {
    RefPtr<Uthread> uthread = uthread_find(static_cast<pid_t>(number));
    if (!uthread || uthread->proc != target.proc.get())
        return Errno::noent;
    return ProcTarget{target.proc, std::move(uthread), -1};
}

int64_t next_task(const ProcTarget& target, uint32_t from) {
    int64_t best = -1;
    ProcTreeGuard guard(proc_tree_lock);
    for (Uthread& u : target.proc->uthreads)
        if (u.state.load(std::memory_order_relaxed) != UthreadState::dead && u.tid >= static_cast<int64_t>(from) &&
            (best < 0 || u.tid < best))
            best = u.tid;
    return best;
}

Result<void> children(TextBuffer& out, const ProcTarget& target) {
    if (target.uthread && target.uthread->tid != target.proc->pid)
        return {}; // children belong to the process: they show once
    for (pid_t from = 0;;) {
        pid_t next = INT32_MAX;
        {
            ProcTreeGuard guard(proc_tree_lock);
            for (ProcLinks& links : target.proc->children)
                if (const pid_t pid = proc_of(links).pid; pid > from && pid < next)
                    next = pid;
        }
        if (next == INT32_MAX)
            return {};
        out.add("{} ", next);
        from = next;
    }
}

// ---- settings --------------------------------------------------------------------------------------------------------

/// A thousandth of all memory is a point, as oom_score_adj counts it.
Result<void> oom_points(TextBuffer& out, const ProcTarget& target) {
    out.add("{}\n", oom_score(*target.proc) * 1000 / page_counts().total);
    return {};
}

Result<void> oom_score_adj(TextBuffer& out, const ProcTarget& target) {
    out.add("{}\n", target.proc->oom_score_adj.load(std::memory_order_relaxed));
    return {};
}

Result<void> set_oom_score_adj(const ProcTarget& target, std::string_view text) {
    const bool negative = text.starts_with('-');
    const uint64_t size = TRY(parse_number(text.substr(negative ? 1 : 0), 10));
    if (size > 1000)
        return Errno::inval;
    const int32_t value = negative ? -static_cast<int32_t>(size) : static_cast<int32_t>(size);
    if (value < target.proc->oom_score_adj.load(std::memory_order_relaxed) &&
        !current_proc().cred()->capable(Capability::sys_resource))
        return Errno::acces;
    target.proc->oom_score_adj.store(value, std::memory_order_relaxed);
    return {};
}

// ---- fault injection (checked builds) ----------------------------------------------------------------------------------

/// Counts the allocations of system calls, not those of page faults: these end in SIGKILL, not in an error.
bool fails_now() {
    if (!has_uthread())
        return false;
    Uthread& self = current_uthread();
    return self.in_syscall && self.fail_nth != 0 && --self.fail_nth == 0;
}

/// A directory of a process stands for the caller's own thread, if the process is the caller's.
RefPtr<Uthread> fail_nth_target(const ProcTarget& target) {
    return !target.uthread && target.proc.get() == &current_proc() ? ref(current_uthread()) : target.one_uthread();
}

Result<void> fail_nth(TextBuffer& out, const ProcTarget& target) {
    const RefPtr<Uthread> uthread = fail_nth_target(target);
    if (!uthread)
        return Errno::srch;
    // What is left is what the reader asks for: it must not be spent on the text, if the reader is who it is for.
    const bool own = uthread.get() == &current_uthread();
    const uint32_t left = own ? std::exchange(uthread->fail_nth, 0) : uthread->fail_nth;
    out.add("{}\n", left);
    if (own)
        uthread->fail_nth = left;
    return {};
}

Result<void> set_fail_nth(const ProcTarget& target, std::string_view text) {
    const uint64_t n = TRY(parse_number(text, 10));
    if (n > INT32_MAX)
        return Errno::inval;
    const RefPtr<Uthread> uthread = fail_nth_target(target);
    if (!uthread || uthread.get() != &current_uthread())
        return Errno::perm; // another's count could not be set without a lock that each allocation took
    allocation_fault_hook = fails_now;
    uthread->fail_nth = static_cast<uint32_t>(n);
    current_thread().arch.calls_watched.store(1,
                                              std::memory_order_relaxed); // in_syscall is for calls that are not direct
    return {};
}

constexpr VnodeType file = VnodeType::regular, link = VnodeType::symlink, directory = VnodeType::directory;

/// The last entry of a list is for checked builds.
template<size_t N>
constexpr std::span<const ProcfsItem> without_fail_nth(const ProcfsItem (&items)[N]) {
    return std::span(items).first(checks_enabled ? N : N - 1);
}

constexpr ProcfsItem task_items[] = {
    {.name = "stat", .type = file, .mode = 0444, .generate = procfs_stat},
    {.name = "statm", .type = file, .mode = 0444, .generate = procfs_statm},
    {.name = "status", .type = file, .mode = 0444, .generate = procfs_status},
    {.name = "comm", .type = file, .mode = 0644, .generate = comm, .write = set_comm},
    {.name = "cmdline", .type = file, .mode = 0444, .generate = cmdline},
    {.name = "maps", .type = file, .mode = 0444, .generate = procfs_maps},
    {.name = "smaps", .type = file, .mode = 0444, .generate = procfs_smaps},
    {.name = "wchan", .type = file, .mode = 0444, .generate = wait_channel},
    {.name = "children", .type = file, .mode = 0444, .generate = children},
    {.name = "mem", .type = file, .mode = 0600, .open = procfs_open_memory},
    procfs_fd_item,
    procfs_fdinfo_item,
    {.name = "io", .type = file, .mode = 0400, .generate = procfs_io},
    {.name = "fail-nth", .type = file, .mode = 0644, .generate = fail_nth, .write = set_fail_nth},
};

Result<void> limits(TextBuffer& out, const ProcTarget& target) {
    constexpr struct {
        const char *name, *unit;
        Limit limit;
    } rows[] = {
        {"Max cpu time", "seconds", Limit::cpu},         {"Max file size", "bytes", Limit::fsize},
        {"Max data size", "bytes", Limit::data},         {"Max stack size", "bytes", Limit::stack},
        {"Max core file size", "bytes", Limit::core},    {"Max resident set", "bytes", Limit::rss},
        {"Max processes", "processes", Limit::nproc},    {"Max open files", "files", Limit::nofile},
        {"Max locked memory", "bytes", Limit::memlock},  {"Max address space", "bytes", Limit::as},
        {"Max file locks", "locks", Limit::locks},       {"Max pending signals", "signals", Limit::sigpending},
        {"Max msgqueue size", "bytes", Limit::msgqueue}, {"Max nice priority", "", Limit::nice},
        {"Max realtime priority", "", Limit::rtprio},    {"Max realtime timeout", "us", Limit::rttime},
    };
    out.add("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (const auto& row : rows) {
        const LimitValue value = target.proc->limit(row.limit);
        out.add("{:<25} ", row.name);
        for (const uint64_t v : {value.soft, value.hard}) {
            if (v == limit_infinity)
                out.add("{:<20} ", "unlimited");
            else
                out.add("{:<20} ", v);
        }
        out.add("{:<10}\n", row.unit);
    }
    return {};
}

constexpr ProcfsItem task_item{.name = "", .type = directory, .mode = 0555, .children = without_fail_nth(task_items)};

constexpr ProcfsItem pid_items[] = {
    {.name = "stat", .type = file, .mode = 0444, .generate = procfs_stat},
    {.name = "statm", .type = file, .mode = 0444, .generate = procfs_statm},
    {.name = "status", .type = file, .mode = 0444, .generate = procfs_status},
    {.name = "comm", .type = file, .mode = 0644, .generate = comm, .write = set_comm},
    {.name = "cmdline", .type = file, .mode = 0444, .generate = cmdline},
    {.name = "environ", .type = file, .mode = 0400, .generate = environment},
    {.name = "maps", .type = file, .mode = 0444, .generate = procfs_maps},
    {.name = "smaps", .type = file, .mode = 0444, .generate = procfs_smaps},
    {.name = "smaps_rollup", .type = file, .mode = 0444, .generate = procfs_smaps_rollup},
    {.name = "mem", .type = file, .mode = 0600, .open = procfs_open_memory},
    {.name = "auxv", .type = file, .mode = 0400, .generate = procfs_auxv},
    {.name = "wchan", .type = file, .mode = 0444, .generate = wait_channel},
    {.name = "limits", .type = file, .mode = 0444, .generate = limits},
    {.name = "mounts", .type = file, .mode = 0444, .generate = procfs_mounts},
    {.name = "mountinfo", .type = file, .mode = 0444, .generate = procfs_mountinfo},
    {.name = "oom_score", .type = file, .mode = 0444, .generate = oom_points},
    {.name = "oom_score_adj", .type = file, .mode = 0644, .generate = oom_score_adj, .write = set_oom_score_adj},
    {.name = "exe", .type = link, .mode = 0777, .link = link_to<executable_of>, .follow = follow_to<executable_of>},
    {.name = "cwd", .type = link, .mode = 0777, .link = link_to<cwd_of>, .follow = follow_to<cwd_of>},
    {.name = "root", .type = link, .mode = 0777, .link = link_to<root_of>, .follow = follow_to<root_of>},
    procfs_fd_item,
    procfs_map_files_item,
    procfs_fdinfo_item,
    {.name = "io", .type = file, .mode = 0400, .generate = procfs_io},
    {.name = "task", .type = directory, .mode = 0555, .number_item = &task_item, .find = find_task, .next = next_task},
    {.name = "fail-nth", .type = file, .mode = 0644, .generate = fail_nth, .write = set_fail_nth},
};
} // namespace

const ProcfsItem procfs_pid_item{.name = "", .type = directory, .mode = 0555, .children = without_fail_nth(pid_items)};

} // namespace lentil

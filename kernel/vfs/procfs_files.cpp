// SPDX-License-Identifier: BSD-2-Clause
// /proc/PID/fd, fdinfo, io and map_files: what a process has open or mapped, and what it moved through it. /proc/locks.
#include <bsd/anonymous_file.hpp>
#include <bsd/file_lock.hpp>
#include <libkern/parse.hpp>
#include <vfs/file_node.hpp>
#include <vfs/lookup.hpp>
#include <vfs/mount.hpp>
#include <vfs/procfs.hpp>

namespace lentil {

namespace {

Result<RefPtr<File>> file_of(const ProcTarget& target) {
    if (!target.may_inspect())
        return Errno::acces;
    const RefPtr<FdTable> fds = target.proc->fd_table();
    if (!fds)
        return Errno::noent;
    Result<RefPtr<File>> file = fds->get(target.fd);
    return file ? std::move(file) : Errno::noent;
}

Result<void> fd_link(TextBuffer& out, const ProcTarget& target) {
    const RefPtr<File> file = TRY(file_of(target));
    const std::span<char> room = out.extend(path_max);
    if (room.empty())
        return Errno::nomem;
    out.cut(file->describe(room));
    return {};
}

Result<RefPtr<Vnode>> fd_follow(Vnode& self, const ProcTarget& target) {
    const RefPtr<File> file = TRY(file_of(target));
    if (FsNode* node = file->node())
        return RefPtr<Vnode>(static_cast<Vnode*>(node));
    return file_node(*self.mount, file);
}

Result<void> fd_info(TextBuffer& out, const ProcTarget& target) {
    const RefPtr<File> file = TRY(file_of(target));
    const RefPtr<FdTable> fds = target.proc->fd_table();
    const bool cloexec = fds && fds->close_on_exec(target.fd).value_or(false);
    const Result<FileStat> st = file->stat();
    FsNode* const node = file->node();
    out.add("pos:\t{}\nflags:\t0{:o}\nmnt_id:\t{}\nino:\t{}\n", file->position(),
            file->flags.load(std::memory_order_relaxed) | (cloexec ? open_flags::cloexec : 0),
            node ? as_vnode(*node).mount->id : anonymous_mount, st ? st->inode : 0);
    file->describe_state(out.sink());
    return {};
}

} // namespace

Result<ProcTarget> procfs_find_fd(const ProcTarget& target, uint32_t number) {
    if (!target.may_inspect())
        return Errno::acces;
    const RefPtr<FdTable> fds = target.proc->fd_table();
    if (!fds || !fds->get(static_cast<int>(number)))
        return Errno::noent;
    ProcTarget found = target;
    found.fd = static_cast<int>(number);
    return found;
}

int64_t procfs_next_fd(const ProcTarget& target, uint32_t from) {
    if (!target.may_inspect())
        return -1;
    const RefPtr<FdTable> fds = target.proc->fd_table();
    return fds ? fds->next_open(static_cast<int>(from)) : -1;
}

const ProcfsItem procfs_fd_number_item{
    .name = "", .type = VnodeType::symlink, .mode = 0700, .link = fd_link, .follow = fd_follow};
const ProcfsItem procfs_fdinfo_number_item{.name = "", .type = VnodeType::regular, .mode = 0400, .generate = fd_info};

// ---- map_files -------------------------------------------------------------------------------------------------------

namespace {

struct MappedSearch {
    vaddr_t from;
    vaddr_t start = 0, end = 0;
    RefPtr<MappedFile> file{};
};

/// The first mapping of a file at or after `from`.
MappedSearch find_mapped(const ProcTarget& target, vaddr_t from) {
    MappedSearch search{from};
    if (const RefPtr<VmMap> map = target.map())
        map->for_each_entry(
            [](const VmMapEntry& e, void* context) {
                auto& s = *static_cast<MappedSearch*>(context);
                if (s.file || !e.file || e.start < s.from)
                    return;
                s.start = e.start, s.end = e.end;
                s.file = e.file;
            },
            &search);
    return search;
}

Result<RefPtr<MappedFile>> mapped_file(const ProcTarget& target) {
    if (!target.may_inspect())
        return Errno::acces;
    const vaddr_t start = static_cast<vaddr_t>(target.fd) << page_shift;
    MappedSearch found = find_mapped(target, start);
    if (!found.file || found.start != start || found.end != target.end)
        return Errno::noent;
    return std::move(found.file);
}

Result<void> mapped_link(TextBuffer& out, const ProcTarget& target) {
    const RefPtr<MappedFile> file = TRY(mapped_file(target));
    const std::span<char> room = out.extend(path_max);
    if (room.empty())
        return Errno::nomem;
    uint64_t device = 0, inode = 0;
    out.cut(file->describe(room, device, inode));
    return {};
}

Result<RefPtr<Vnode>> mapped_follow(Vnode&, const ProcTarget& target) {
    const RefPtr<MappedFile> file = TRY(mapped_file(target));
    FsNode* const node = file->node();
    if (!node)
        return Errno::noent;
    return RefPtr<Vnode>(static_cast<Vnode*>(node));
}

} // namespace

Result<ProcTarget> procfs_find_mapped(const ProcTarget& target, uint32_t number) {
    if (!target.may_inspect())
        return Errno::acces;
    const vaddr_t start = static_cast<vaddr_t>(number) << page_shift;
    const MappedSearch search = find_mapped(target, start);
    if (!search.file || search.start != start)
        return Errno::noent;
    ProcTarget found = target;
    found.fd = static_cast<int>(number);
    found.end = search.end;
    return found;
}

int64_t procfs_next_mapped(const ProcTarget& target, uint32_t from) {
    if (!target.may_inspect())
        return -1;
    const MappedSearch search = find_mapped(target, static_cast<vaddr_t>(from) << page_shift);
    return search.file ? static_cast<int64_t>(search.start >> page_shift) : -1;
}

std::string_view procfs_mapped_name(const ProcTarget& found, std::span<char> buffer) {
    return format_to(buffer, "{:x}-{:x}", static_cast<vaddr_t>(found.fd) << page_shift, found.end);
}

Result<uint64_t> procfs_mapped_number(std::string_view name) {
    const uint64_t start = TRY(parse_number(name.substr(0, name.find('-')), 16));
    if (start & page_mask)
        return Errno::noent;
    return start >> page_shift;
}

const ProcfsItem procfs_mapped_item{
    .name = "", .type = VnodeType::symlink, .mode = 0600, .link = mapped_link, .follow = mapped_follow};

// ---- locks -----------------------------------------------------------------------------------------------------------

Result<void> procfs_locks(TextBuffer& out, const ProcTarget&) {
    HeldFileLock held;
    for (size_t i = 0; file_lock_at(i, held); i++) {
        const LockRequest& lock = held.lock;
        const Result<FileStat> st = as_vnode(*held.node).stat();
        const uint64_t device = st ? st->device : 0;
        const char* kind = lock.kind == LockKind::whole ? "FLOCK " : lock.pid == -1 ? "OFDLCK" : "POSIX ";
        out.add("{}: {} ADVISORY  {} {} {:02x}:{:02x}:{} {} ", i + 1, kind,
                lock.type == LockType::write ? "WRITE" : "READ ", lock.pid, device >> 8 & 0xfff,
                (device & 0xff) | (device >> 12 & 0xfff00), st ? st->inode : 0, lock.start);
        if (lock.end >= static_cast<uint64_t>(INT64_MAX))
            out.text("EOF\n");
        else
            out.add("{}\n", lock.end);
    }
    return {};
}

// ---- io --------------------------------------------------------------------------------------------------------------

Result<void> procfs_io(TextBuffer& out, const ProcTarget& target) {
    if (!target.may_inspect())
        return Errno::acces;
    Usage usage;
    {
        ProcTreeGuard guard(proc_tree_lock);
        if (target.uthread) {
            usage = target.uthread->usage_locked();
        } else {
            usage = target.proc->usage_locked();
            usage.add(target.proc->children_usage); // as on Linux: with the children it waited for
        }
    }
    constexpr uint64_t block = 512;
    out.add("rchar: {}\nwchar: {}\nsyscr: {}\nsyscw: {}\n", usage.bytes_read, usage.bytes_written, usage.reads,
            usage.writes);
    out.add("read_bytes: {}\nwrite_bytes: {}\ncancelled_write_bytes: {}\n", usage.blocks_in * block,
            usage.blocks_out * block, usage.blocks_cancelled * block);
    return {};
}

} // namespace lentil

// SPDX-License-Identifier: BSD-2-Clause
// /proc/PID/fd, fdinfo and io: what a process has open, and what it moved through it.
#include <bsd/anonymous_file.hpp>
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
    out.add("read_bytes: {}\nwrite_bytes: {}\ncancelled_write_bytes: 0\n", usage.blocks_in * block,
            usage.blocks_out * block);
    return {};
}

} // namespace lentil

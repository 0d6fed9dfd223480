// SPDX-License-Identifier: BSD-2-Clause
// Calls on process file descriptors; pidfd_send_signal is with the other ways to send one.
#include <abi/files.hpp>
#include <abi/sys_proc.hpp>
#include <bsd/pidfd.hpp>
#include <bsd/ptrace.hpp>

namespace lentil::abi {

namespace {

/// The process that `fd` names, alive or not: badf.
Result<RefPtr<Proc>> named_by(int fd) {
    const FileHold file = TRY(open_file(fd));
    const PidFile* pidfd = file->pidfd();
    if (!pidfd)
        return Errno::badf;
    return RefPtr<Proc>(pidfd->proc());
}

} // namespace

Result<int> sys_pidfd_open(int pid, uint32_t flags) {
    if ((flags & ~open_flags::nonblock) != 0 || pid <= 0)
        return Errno::inval;
    RefPtr<PidFile> file = TRY(PidFile::create(flags));
    {
        ProcTreeGuard guard(proc_tree_lock);
        Proc* proc = proc_find_locked(pid);
        if (!proc)
            return uthread_find_locked(pid) ? Errno::inval : Errno::srch; // a thread that leads no process
        file->bind_locked(*proc);
    }
    return install_file(RefPtr<File>(file.get()), true);
}

Result<int> sys_pidfd_getfd(int pidfd, int fd, uint32_t flags) {
    if (flags != 0)
        return Errno::inval;
    const RefPtr<Proc> proc = TRY(named_by(pidfd));
    if (!proc)
        return Errno::srch;
    TRY(ptrace_check_access(*proc));
    const RefPtr<FdTable> table = proc->fd_table();
    if (!table)
        return Errno::srch;
    return install_file(TRY(table->get(fd)), true);
}

Result<WaitOutcome> wait_for_pidfd(int pidfd, uint32_t options, Usage* usage) {
    const FileHold file = TRY(open_file(pidfd));
    if (!file->pidfd())
        return Errno::badf;
    const RefPtr<Proc> proc(file->pidfd()->proc());
    if (!proc)
        return Errno::child;
    const bool blocks = !file->nonblocking() || (options & wait_options::nohang);
    const WaitOutcome outcome =
        TRY(proc_wait(WaitFor::pid, proc->pid, options | (blocks ? 0 : wait_options::nohang), proc.get(), usage));
    if (outcome.pid == 0 && !blocks)
        return Errno::again;
    return outcome;
}

} // namespace lentil::abi

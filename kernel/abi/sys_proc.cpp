// SPDX-License-Identifier: BSD-2-Clause
#include <algorithm>
#include <cstring>

#include <abi/creator.hpp>
#include <abi/sys_proc.hpp>
#include <abi/syscall_trace.hpp>
#include <bsd/exec.hpp>
#include <bsd/exit.hpp>
#include <bsd/fork.hpp>
#include <bsd/vfork.hpp>
#include <libkern/format.hpp>
#include <vfs/vfs.hpp>

namespace lentil::abi {

namespace {

/// What clone and clone3 have in common, once decoded.
struct CloneRequest {
    uint64_t flags = 0;
    int exit_signal = 0;
    vaddr_t stack = 0; ///< top, as the stack pointer
    vaddr_t parent_tid = 0, child_tid = 0, tls = 0, pidfd = 0;
    pid_t wanted_pid = 0;
};

/// Namespaces and cgroups are not there: a caller that asks for them must hear of it.
constexpr uint64_t known_flags =
    clone_flags::vm | clone_flags::fs | clone_flags::files | clone_flags::sighand | clone_flags::ptrace |
    clone_flags::vfork | clone_flags::parent | clone_flags::thread | clone_flags::sysvsem | clone_flags::settls |
    clone_flags::parent_settid | clone_flags::child_cleartid | clone_flags::detached | clone_flags::untraced |
    clone_flags::child_settid | clone_flags::io | clone_flags::clear_sighand | clone_flags::pidfd;

Result<int> do_clone(const CloneRequest& c) {
    using namespace clone_flags;
    const uint64_t f = c.flags;
    if (f & ~known_flags)
        return Errno::inval;
    if (f & (thread | sighand | clone_flags::pidfd)) {
        if ((f & sighand) && !(f & vm))
            return Errno::inval;
        if ((f & thread) && !(f & sighand))
            return Errno::inval;
        if ((f & clear_sighand) && (f & sighand))
            return Errno::inval;
        if ((f & clone_flags::pidfd) && (f & (thread | detached))) // a descriptor names a whole process
            return Errno::inval;
    }
    if (c.exit_signal < 0 || c.exit_signal > signal_count)
        return Errno::inval;

    ForkRequest r;
    r.frame = &user_frame();
    r.stack = c.stack;
    r.exit_signal = c.exit_signal;
    r.wanted_pid = c.wanted_pid;
    if (f & (parent_settid | child_settid | child_cleartid | settls | clone_flags::pidfd)) {
        r.parent_tid = f & parent_settid ? c.parent_tid : 0;
        r.child_tid_set = f & child_settid ? c.child_tid : 0;
        r.child_tid_clear = f & child_cleartid ? c.child_tid : 0;
        r.set_tls = f & settls;
        r.tls = c.tls;
        r.pidfd = f & clone_flags::pidfd ? c.pidfd : 0;
    }
    if (f & vm)
        r.flags |= fork_flags::sharevm;
    if (f & vfork)
        r.flags |= fork_flags::ppwait;
    if (f & (fs | files | sighand | clear_sighand | parent | sysvsem)) {
        if (f & fs)
            r.flags |= fork_flags::sharecwd;
        if (f & files)
            r.flags |= fork_flags::sharefiles;
        if (f & sighand)
            r.flags |= fork_flags::sharesigs;
        if (f & clear_sighand)
            r.flags |= fork_flags::clear_sighand;
        if (f & parent)
            r.flags |= fork_flags::same_parent;
        if (f & sysvsem)
            r.flags |= fork_flags::share_sem_undos;
    }
    r.untraced = f & untraced;
    r.trace_child = f & clone_flags::ptrace;

    if (f & thread) {
        r.kind = ForkKind::thread;
    } else if ((f & vfork) && (f & vm)) {
        r.kind = ForkKind::vfork; // lends the thread; any other sharing flags combine with it
        // C libraries give the stack that they are on.
        r.frame_may_stay = (c.stack == 0 || c.stack == r.frame->sp()) && !(f & settls) && !trace_wanted();
    }
    const ForkOutcome outcome = TRY(fork1(r));
    if (outcome.frame_stays)
        loan_start(current_proc());
    return outcome.lent ? 0 : outcome.pid; // lent: the child returns first
}

Result<void> do_exec(RefPtr<File> file, std::string_view path, vaddr_t argv, vaddr_t envp) {
    ExecRequest request;
    request.file = std::move(file);
    TRY(copyin_arguments(request, current_proc().limit(Limit::stack).soft, argv, envp));
    request.path = path;
    TRY(exec_image(request));
    syscall_frame_replaced();
    return {};
}

Result<WaitOutcome> wait_for(int which, pid_t id, uint32_t options, Usage* usage) {
    switch (which) {
    case waitid_which::all: return proc_wait(WaitFor::any, 0, options, nullptr, usage);
    case waitid_which::pid:
        if (id <= 0)
            return Errno::inval;
        return proc_wait(WaitFor::pid, id, options, nullptr, usage);
    case waitid_which::pgid:
        if (id < 0)
            return Errno::inval;
        return proc_wait(WaitFor::group, id, options, nullptr, usage);
    case waitid_which::pidfd: return wait_for_pidfd(id, options, usage);
    default: return Errno::inval;
    }
}

} // namespace

Result<void> copyin_arguments(ExecRequest& request, uint64_t stack_limit, vaddr_t argv, vaddr_t envp) {
    // A quarter of the stack limit, at least 128 KiB, at most 6 MiB: Linux's rule for arguments and environment.
    const size_t limit = std::clamp<uint64_t>(stack_limit / 4, 128 << 10, 6 << 20);
    TRY(copyin_strings(request.args, argv, limit));
    TRY(copyin_strings(request.env, envp, limit - request.args.used));
    if (request.args.count == 0) {
        // As Linux since 5.18: a program never sees argc == 0.
        request.args.bytes = TRY(Buffer<char>::create(1));
        request.args.used = request.args.count = 1;
    }
    return {};
}

Result<void> copyin_versioned(void* to, size_t known, size_t least, vaddr_t from, uint64_t size) {
    if (size < least)
        return Errno::inval;
    if (size > page_size)
        return Errno::toobig;
    TRY(copyin(to, from, std::min<uint64_t>(size, known)));
    // What is not known here must be zero.
    for (uint64_t at = known; at < size; at += 8) {
        uint64_t word = 0;
        TRY(copyin(&word, from + at, std::min<uint64_t>(size - at, 8)));
        if (word != 0)
            return Errno::toobig;
    }
    return {};
}

void sys_exit(int code) { uthread_exit(wait_status::exited(code)); }

void sys_exit_group(int code) { proc_exit(wait_status::exited(code)); }

Result<int> sys_set_tid_address(vaddr_t address) {
    current_uthread().clear_child_tid = address;
    return current_uthread().tid;
}

Result<void> sys_setpgid(int pid, int group) { return proc_setpgid(pid, group); }

Result<int> sys_getpgid(int pid) {
    ProcTreeGuard guard(proc_tree_lock);
    const Proc* proc = pid == 0 ? &current_proc() : proc_find_locked(pid);
    if (!proc)
        return Errno::srch;
    return proc->group->id;
}

Result<int> sys_getsid(int pid) {
    ProcTreeGuard guard(proc_tree_lock);
    const Proc* proc = pid == 0 ? &current_proc() : proc_find_locked(pid);
    if (!proc)
        return Errno::srch;
    return proc->group->session->id;
}

Result<int> sys_setsid() { return proc_setsid(); }
Result<int> sys_getpid() { return current_proc().pid; }
Result<int> sys_gettid() { return current_uthread().tid; }

Result<int> sys_getppid() { return current_proc().parent_pid.load(std::memory_order_relaxed); }

Result<int> sys_clone(uint64_t flags, vaddr_t stack, vaddr_t parent_tid, vaddr_t tls, vaddr_t child_tid) {
    CloneRequest c;
    // The low byte is the signal; the rest of the old interface has 32 bits.
    c.flags = flags & 0xffffff00;
    c.exit_signal = static_cast<int>(flags & clone_flags::signal_mask);
    c.stack = stack;
    c.parent_tid = parent_tid;
    c.pidfd = parent_tid; // one argument for both, so never both
    if ((flags & clone_flags::pidfd) && (flags & clone_flags::parent_settid))
        return Errno::inval;
    c.tls = tls;
    c.child_tid = child_tid;
    return do_clone(c);
}

Result<int> sys_clone3(vaddr_t address, uint64_t size) {
    CloneArgs args{};
    TRY(copyin_versioned(&args, sizeof args, clone_args_size_0, address, size));
    if (args.flags & (clone_flags::signal_mask | clone_flags::detached))
        return Errno::inval;
    if (args.exit_signal > signal_count)
        return Errno::inval;
    if ((args.stack == 0) != (args.stack_size == 0))
        return Errno::inval;
    if ((args.flags & (clone_flags::thread | clone_flags::parent)) && args.exit_signal != 0)
        return Errno::inval;
    CloneRequest c;
    if (args.set_tid_size != 0) {
        if (args.set_tid_size != 1)
            return Errno::inval; // one pid namespace
        int32_t wanted = 0;
        TRY(copyin(&wanted, args.set_tid, sizeof wanted));
        if (wanted < 1)
            return Errno::inval;
        if (!current_proc().cred()->capable(Capability::sys_admin))
            return Errno::perm;
        c.wanted_pid = wanted;
    } else if (args.set_tid != 0) {
        return Errno::inval;
    }
    c.flags = args.flags;
    c.exit_signal = static_cast<int>(args.exit_signal);
    c.stack = args.stack + args.stack_size;
    c.parent_tid = args.parent_tid;
    c.child_tid = args.child_tid;
    c.pidfd = args.pidfd;
    c.tls = args.tls;
    return do_clone(c);
}

Result<void> sys_execve(vaddr_t path_address, vaddr_t argv, vaddr_t envp) {
    UserString path = TRY(UserString::copy(path_address));
    RefPtr<File> file = TRY(exec_hooks.open(current_proc(), path.view()));
    return do_exec(std::move(file), path.view(), argv, envp);
}

Result<void> sys_execveat(int directory, vaddr_t path_address, vaddr_t argv, vaddr_t envp, int flags) {
    constexpr int known = vfs::at_flags::empty_path | vfs::at_flags::symlink_nofollow;
    if (flags & ~known)
        return Errno::inval;
    UserString path = TRY(UserString::copy(path_address));
    RefPtr<File> file =
        TRY(vfs::open_executable(VfsContext::current(), directory, path.view(), static_cast<uint32_t>(flags)));
    if (directory == vfs::at_cwd || path.view().starts_with('/'))
        return do_exec(std::move(file), path.view(), argv, envp);
    // The program, and a script's interpreter, find the file by a name that means the descriptor (execveat(2)).
    char name[64];
    const std::string_view fd_name = format_to(name, "/dev/fd/{}", directory);
    if (path.view().empty())
        return do_exec(std::move(file), fd_name, argv, envp);
    auto longer = TRY(Buffer<char>::create(fd_name.size() + 1 + path.view().size()));
    std::memcpy(longer.data(), fd_name.data(), fd_name.size());
    longer[fd_name.size()] = '/';
    std::memcpy(longer.data() + fd_name.size() + 1, path.view().data(), path.view().size());
    return do_exec(std::move(file), {longer.data(), longer.size()}, argv, envp);
}

Result<int> sys_wait4(int pid, vaddr_t status, int options, UserPtr<Rusage> usage) {
    using namespace wait_options;
    constexpr uint32_t allowed = nohang | untraced | continued | nothread | all | clone;
    const uint32_t flags = static_cast<uint32_t>(options);
    if (flags & ~allowed)
        return Errno::inval;
    WaitFor what = WaitFor::pid;
    if (pid == -1)
        what = WaitFor::any;
    else if (pid == INT32_MIN)
        return Errno::srch;
    else if (pid <= 0)
        what = WaitFor::group, pid = -pid;
    WaitOutcome outcome;
    Uninitialized<Usage> used;
    if (usage)
        outcome.usage = &(used.value = {});
    TRY(proc_wait(outcome, what, pid, flags | exited));
    if (outcome.pid == 0)
        return 0;
    if (status)
        TRY(copyout(status, &outcome.status, sizeof outcome.status));
    if (usage)
        TRY(usage.write(Rusage::from(used.value)));
    return outcome.pid;
}

Result<void> sys_waitid(int which, int id, vaddr_t info_address, int options, UserPtr<Rusage> usage) {
    using namespace wait_options;
    constexpr uint32_t allowed = nohang | untraced | exited | continued | nowait | nothread | all | clone;
    const uint32_t flags = static_cast<uint32_t>(options);
    if ((flags & ~allowed) || !(flags & (exited | untraced | continued)))
        return Errno::inval;
    Usage used;
    const WaitOutcome outcome = TRY(wait_for(which, id, flags, usage ? &used : nullptr));
    WaitInfo info{};
    if (outcome.pid != 0) {
        info.signo = sig_chld;
        info.pid = outcome.pid;
        info.uid = outcome.uid;
        const int32_t status = outcome.status;
        if (status == wait_status::continued) {
            info.code = si_code::cld_continued;
            info.status = sig_cont;
        } else if ((status & 0xff) == 0x7f) {
            info.code = outcome.trapped ? si_code::cld_trapped : si_code::cld_stopped;
            info.status = status >> 8; // of a tracee with the event
        } else if ((status & 0x7f) == 0) {
            info.code = si_code::cld_exited;
            info.status = status >> 8 & 0xff;
        } else {
            info.code = status & 0x80 ? si_code::cld_dumped : si_code::cld_killed;
            info.status = status & 0x7f;
        }
        if (usage)
            TRY(usage.write(Rusage::from(used)));
    }
    if (info_address)
        // The kernel writes the fields above and leaves the rest of the 128 bytes alone.
        TRY(copyout(info_address, &info, offsetof(WaitInfo, pad2)));
    return {};
}

} // namespace lentil::abi

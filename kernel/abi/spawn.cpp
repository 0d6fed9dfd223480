// SPDX-License-Identifier: BSD-2-Clause
// The native call spawn: attributes and file actions, done by the creator to a child that nobody sees yet.
#include <algorithm>

#include <abi/creator.hpp>
#include <abi/native.hpp>
#include <abi/sys_native.hpp>
#include <bsd/fork.hpp>
#include <bsd/spawn.hpp>
#include <bsd/tty.hpp>
#include <sched/killed.hpp>
#include <vfs/access.hpp>
#include <vfs/vfs.hpp>

namespace lentil::abi {
namespace {

class UserSpawn final : public Spawn {
public:
    explicit UserSpawn(const SpawnArgs& args) : args_(args) {
        new_session = args.flags & spawn_flags::set_session;
        set_group = args.flags & spawn_flags::set_group;
        group = args.group;
    }

private:
    Result<ExecRequest> set_up(Proc& child, Uthread& uthread) override {
        TRY(set_attributes(child, uthread));
        if (args_.flags & spawn_flags::cloexec_default)
            TRY(child.fds->close_range(0, ~0u, true));
        for (uint32_t i = 0; i < args_.action_count; i++) {
            if (being_killed())
                return Errno::intr;
            const SpawnAction action = TRY((UserPtr<SpawnAction>(args_.actions) + i).read());
            TRY(act(child, action));
        }

        path_ = TRY(UserString::copy(args_.path));
        ExecRequest request;
        request.file = TRY(exec_hooks.open(child, path_.view()));
        request.path = path_.view();
        TRY(copyin_arguments(request, child.limit(Limit::stack).soft, args_.argv, args_.envp));
        return request;
    }

    Result<void> set_attributes(Proc& child, Uthread& uthread) {
        const uint32_t flags = args_.flags;
        if (flags & spawn_flags::set_mask)
            uthread.sig.mask = SigSet{args_.mask} & ~unblockable;
        if (flags & spawn_flags::set_default)
            for (int signo = 1; signo <= signal_count; signo++)
                if (SigSet{args_.defaults}.has(signo))
                    child.sigacts->set(signo, SigAction{});
        if (flags & (spawn_flags::set_policy | spawn_flags::set_param))
            uthread.sched = TRY(changed_policy(uthread, uthread.sched,
                                               flags & spawn_flags::set_policy ? args_.policy : -1, args_.priority));
        if (flags & spawn_flags::set_umask)
            child.cwd->umask.store(args_.umask & 0777, std::memory_order_relaxed);
        if (flags & spawn_flags::reset_ids) {
            const RefPtr<const Cred> old = child.cred();
            RefPtr<Cred> fresh = TRY(old->copy());
            fresh->euid = fresh->fsuid = fresh->uid;
            fresh->egid = fresh->fsgid = fresh->gid;
            follow_ids(*old, *fresh, child.keep_caps);
            child.set_cred(std::move(fresh));
        }
        return {};
    }

    /// A file as the child opens it. Terminals are looked up and opened on the creator's behalf: what belongs to its session
    /// is made good here.
    Result<RefPtr<File>> open(Proc& child, const SpawnAction& a) {
        const UserString path = TRY(UserString::copy(a.path));
        RefPtr<File> file = TRY(vfs::open(VfsContext::of(child), vfs::at_cwd, path.view(),
                                          a.flags | open_flags::largefile | open_flags::noctty, a.mode & 07777));
        const File::Terminal found = file->terminal();
        if (!new_session || !found.tty)
            return file;
        if (found.name == TtyName::controlling)
            return Errno::nxio; // the new session does not have the old one's
        if (found.name == TtyName::own && !terminal && !(a.flags & open_flags::noctty) && !found.tty->is_taken())
            terminal = found.tty;
        return file;
    }

    Result<void> act(Proc& child, const SpawnAction& a) {
        const uint64_t limit = child.limit(Limit::nofile).soft;
        FdTable& fds = *child.fds;
        if (a.reserved != 0)
            return Errno::inval;
        switch (static_cast<SpawnActionKind>(a.kind)) {
        case SpawnActionKind::open: {
            if (a.fd < 0 || static_cast<uint64_t>(a.fd) >= limit)
                return Errno::badf;
            return fds.install_at(a.fd, TRY(open(child, a)), a.flags & open_flags::cloexec, limit);
        }
        case SpawnActionKind::close: {
            if (a.fd < 0 || static_cast<uint64_t>(a.fd) >= limit)
                return Errno::badf;
            const Result<void> closed = fds.close(a.fd);
            return closed.ok() || closed.error() == Errno::badf ? Result<void>() : closed;
        }
        case SpawnActionKind::dup2:
            if (a.fd == a.to)
                return fds.set_close_on_exec(a.fd, false);
            return fds.install_at(a.to, TRY(fds.get(a.fd)), false, limit);
        case SpawnActionKind::inherit: return fds.set_close_on_exec(a.fd, false);
        case SpawnActionKind::chdir: {
            const UserString path = TRY(UserString::copy(a.path));
            const VfsContext context = VfsContext::of(child);
            return vfs::change_directory(context, *child.cwd, TRY(vfs::resolve(context, vfs::at_cwd, path.view(), 0)));
        }
        case SpawnActionKind::fchdir: {
            const RefPtr<File> file = TRY(fds.get(a.fd));
            return vfs::change_directory(VfsContext::of(child), *child.cwd, TRY(directory_of(*file)));
        }
        case SpawnActionKind::close_from:
            return a.fd < 0 ? Errno::badf : fds.close_range(static_cast<unsigned>(a.fd), ~0u, false);
        }
        return Errno::inval;
    }

    static Result<RefPtr<Vnode>> directory_of(File& file) {
        Result<RefPtr<Vnode>> node = vfs::node_of(file);
        if (!node.ok())
            return Errno::notdir;
        return node;
    }

    const SpawnArgs& args_;
    UserString path_;
};

} // namespace

Result<int> sys_native_spawn(vaddr_t address, uint64_t size) {
    SpawnArgs args{};
    TRY(copyin_versioned(&args, sizeof args, spawn_args_size_0, address, size));
    using namespace spawn_flags;
    if ((args.flags & ~all) || ((args.flags & set_group) && args.group < 0))
        return Errno::inval;
    // A session's leader leads its group, too.
    if ((args.flags & set_session) && (args.flags & set_group) && args.group != 0)
        return Errno::perm;
    UserSpawn spawn(args);
    ForkRequest request;
    request.kind = ForkKind::spawn;
    request.spawn = &spawn;
    return TRY(fork1(request)).pid;
}

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
// kcmp(2): whether two processes share something.
#include <abi/files.hpp>
#include <abi/sys_proc.hpp>
#include <bsd/ptrace.hpp>

namespace lentil::abi {
namespace {

/// An order that says nothing about addresses.
uint64_t disguised(const void* object) {
    constexpr uint64_t odd = 0x9e3779b97f4a7c15;
    return reinterpret_cast<uintptr_t>(object) * odd;
}

int compare(const void* a, const void* b) {
    if (a == b)
        return 0;
    return disguised(a) < disguised(b) ? 1 : 2;
}

} // namespace

Result<int> sys_kcmp(int first, int second, int kind, uint64_t index1, uint64_t index2) {
    enum : int { file, memory, files, directories, handlers, io, semaphores, epoll_target };
    const RefPtr<Uthread> a = uthread_find(first), b = uthread_find(second);
    if (!a || !b)
        return Errno::srch;
    for (const RefPtr<Uthread>& u : {a, b})
        if (u->proc != &current_proc() && !ptrace_check_access(*u->proc))
            return Errno::perm;
    Proc &p = *a->proc, &q = *b->proc;
    switch (kind) {
    case file: {
        const RefPtr<FdTable> one = p.fd_table(), other = q.fd_table();
        if (!one || !other)
            return Errno::badf;
        const RefPtr<File> x = TRY(one->get(static_cast<int>(index1)));
        const RefPtr<File> y = TRY(other->get(static_cast<int>(index2)));
        return compare(x.get(), y.get());
    }
    case memory: return compare(proc_map(p).get(), proc_map(q).get());
    case files: return compare(p.fd_table().get(), q.fd_table().get());
    case directories: return compare(p.cwd_info().get(), q.cwd_info().get());
    case handlers: {
        const auto actions = [](const Proc& of) -> const void* {
            SpinGuard guard(of.tables_lock);
            if (of.sigacts_lent) // as if it had its copy already
                return &of;
            return of.sigacts.get();
        };
        return compare(actions(p), actions(q));
    }
    case io: return 0; // nobody has a context of block devices
    case semaphores:
        return compare(p.sem_undos.load(std::memory_order_relaxed), q.sem_undos.load(std::memory_order_relaxed));
    default: return Errno::inval;
    }
}

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
#include <abi/linux_proc.hpp>
#include <abi/sys_native.hpp>
#include <bsd/fork.hpp>

namespace lentil::abi {

namespace {

Result<int> native_fork(ForkRequest& request) {
    request.native_return = true;
    request.frame = &user_frame();
    const ForkOutcome outcome = TRY(fork1(request));
    // The child's registers are set; the caller's second result says which of the two it is. A lent thread is the child.
    user_frame().set_return2(outcome.lent ? 1 : 0);
    return outcome.pid;
}

} // namespace

Result<int> sys_native_vfork() {
    ForkRequest request;
    request.kind = ForkKind::vfork;
    return native_fork(request);
}

Result<int> sys_native_fork1(uint32_t flags, int exit_signal, vaddr_t stack) {
    using namespace fork_flags;
    constexpr uint32_t offered = ppwait | sharevm | sharecwd | sharefiles | sharesigs | nowait | cleanfiles;
    if ((flags & ~offered) || exit_signal < 0 || exit_signal > signal_count)
        return Errno::inval;
    ForkRequest request;
    request.flags = flags;
    request.exit_signal = exit_signal;
    request.stack = stack;
    // Without a shared map there is nothing to run the borrower in: 4.4BSD's vfork, whose parent waits in its own memory.
    if ((flags & ppwait) && (flags & sharevm))
        request.kind = ForkKind::vfork;
    return native_fork(request);
}

Result<int> sys_native_clone(uint32_t flags, vaddr_t stack) {
    using namespace clone_flags;
    // CLONE_PID (now CLONE_PIDFD) and CLONE_PTRACE are refused by name in NetBSD, what is newer by us (NB-49).
    constexpr uint32_t offered = signal_mask | vm | fs | files | sighand | vfork;
    if ((flags & ~offered) || ((flags & sighand) && !(flags & vm)))
        return Errno::inval;
    uint32_t fork = 0; // NB-50
    fork |= flags & vm ? fork_flags::sharevm : 0;
    fork |= flags & fs ? fork_flags::sharecwd : 0;
    fork |= flags & files ? fork_flags::sharefiles : 0;
    fork |= flags & sighand ? fork_flags::sharesigs : 0;
    fork |= flags & vfork ? fork_flags::ppwait : 0;
    return sys_native_fork1(fork, static_cast<int>(flags & signal_mask), stack);
}

} // namespace lentil::abi

// SPDX-License-Identifier: BSD-2-Clause
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
    if ((flags & ~offered) || exit_signal < 0 || exit_signal >= signal_count)
        return Errno::inval;
    if ((flags & sharesigs) && !(flags & sharevm))
        return Errno::inval; // NB-49
    ForkRequest request;
    request.flags = flags;
    request.exit_signal = exit_signal;
    request.stack = stack;
    if ((flags & ppwait) && (flags & sharevm))
        request.kind = ForkKind::vfork;
    return native_fork(request);
}

} // namespace lentil::abi

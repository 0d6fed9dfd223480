// SPDX-License-Identifier: BSD-2-Clause
// futex(2) and the robust list calls.
#include <abi/sys_misc.hpp>
#include <abi/sys_time.hpp>
#include <bsd/futex_pi.hpp>
#include <mach/futex.hpp>
#include <sched/clock.hpp>

namespace lentil::abi {
namespace {

constexpr uint32_t wait = 0, wake = 1, requeue = 3, cmp_requeue = 4, wake_op = 5, lock_pi = 6, unlock_pi = 7,
                   trylock_pi = 8, wait_bitset = 9, wake_bitset = 10, lock_pi2 = 13;
constexpr uint32_t private_flag = 128, clock_realtime = 256;

/// FUTEX_WAIT's relative time limit became a deadline; a restart keeps it.
Result<uint64_t> wait_again(Uthread::RestartBlock& block) {
    const Result<void> result =
        futex_wait(block.args[0], static_cast<uint32_t>(block.args[1]), static_cast<uint32_t>(block.args[2]),
                   block.args[3] != 0, static_cast<nanos_t>(block.args[4]));
    if (!result.ok())
        return result.error() == Errno::restart_sys ? Errno::restart_block : result.error();
    return uint64_t{0};
}

Result<uint64_t> wait_relative(vaddr_t address, uint32_t expected, bool process_private, nanos_t span) {
    const nanos_t now = monotonic_ns();
    const nanos_t deadline = span < no_deadline - now ? now + span : no_deadline;
    Uthread::RestartBlock& block = current_uthread().restart;
    block.args[0] = address;
    block.args[1] = expected;
    block.args[2] = futex_match_any;
    block.args[3] = process_private;
    block.args[4] = static_cast<uint64_t>(deadline);
    block.function = &wait_again;
    return wait_again(block);
}

/// All but what nearly all calls are.
[[gnu::noinline]] Result<uint64_t> futex_other(uint64_t address, uint32_t operation, uint32_t value, uint64_t timeout,
                                               uint64_t second, uint32_t value3) {
    const bool process_private = operation & private_flag;
    const bool realtime = operation & clock_realtime;
    const uint32_t command = operation & ~(private_flag | clock_realtime);
    if (realtime && command != wait_bitset && command != lock_pi2)
        return Errno::nosys;

    const auto count2 = static_cast<int32_t>(timeout); // the fourth argument is a number for some commands
    const unsigned wake_count = std::max(static_cast<int32_t>(value), 1);
    switch (command) {
    case wait:
    case wait_bitset: {
        nanos_t limit = no_deadline;
        if (timeout != 0) {
            const Timespec t = TRY(UserPtr<Timespec>(timeout).read());
            limit = TRY(t.to_ns());
            if (command == wait)
                return wait_relative(address, value, process_private, limit);
        }
        TRY(futex_wait(address, value, command == wait ? futex_match_any : value3, process_private, limit,
                       realtime && limit != no_deadline));
        return 0;
    }
    case wake_bitset: return TRY(futex_wake(current_map(), address, wake_count, value3, process_private));
    case requeue:
    case cmp_requeue:
        if (static_cast<int32_t>(value) < 0 || count2 < 0)
            return Errno::inval;
        return TRY(futex_requeue(address, second, value, static_cast<unsigned>(count2), command == cmp_requeue, value3,
                                 process_private));
    case wake_op:
        return TRY(futex_wake_op(address, second, wake_count, static_cast<unsigned>(std::max(count2, 1)), value3,
                                 process_private));
    case lock_pi:
    case lock_pi2: {
        nanos_t limit = no_deadline;
        if (timeout != 0) {
            const Timespec t = TRY(UserPtr<Timespec>(timeout).read());
            limit = TRY(t.to_ns());
        }
        TRY(futex_lock_pi(address, process_private, limit, limit != no_deadline && (command == lock_pi || realtime),
                          false));
        return 0;
    }
    case trylock_pi: TRY(futex_lock_pi(address, process_private, no_deadline, false, true)); return 0;
    case unlock_pi: TRY(futex_unlock_pi(address, process_private)); return 0;
    default: // requeueing to such a lock (FUTEX_CMP_REQUEUE_PI) is not there; no C library uses it any more
        return Errno::nosys;
    }
}

} // namespace

Result<uint64_t> sys_futex(uint64_t address, uint32_t operation, uint32_t value, uint64_t timeout, uint64_t second,
                           uint32_t value3) {
    const bool process_private = operation & private_flag;
    const uint32_t command = operation & ~private_flag;
    if (command == wake)
        return TRY(futex_wake(current_map(), address, std::max(static_cast<int32_t>(value), 1), futex_match_any,
                              process_private));
    if (command == wait && timeout == 0) {
        TRY(futex_wait(address, value, futex_match_any, process_private, no_deadline, false));
        return 0;
    }
    return futex_other(address, operation, value, timeout, second, value3);
}

Result<void> sys_set_robust_list(uint64_t head, uint64_t size) {
    if (size != sizeof(RobustListHead))
        return Errno::inval;
    Uthread& self = current_uthread();
    self.robust_list = head;
    self.robust_list_size = size;
    return {};
}

Result<void> sys_get_robust_list(pid_t tid, UserPtr<uint64_t> head, UserPtr<uint64_t> size) {
    uint64_t address = current_uthread().robust_list;
    if (tid != 0) {
        const RefPtr<Uthread> uthread = uthread_find(tid);
        if (!uthread)
            return Errno::srch;
        const uid_t uid = uthread->proc->cred()->uid;
        const RefPtr<const Cred> self = current_proc().cred();
        if (uthread->proc != &current_proc() && self->euid != uid && !self->capable(Capability::sys_ptrace))
            return Errno::perm;
        address = uthread->robust_list;
    }
    TRY(size.write(sizeof(RobustListHead)));
    return head.write(address);
}

} // namespace lentil::abi

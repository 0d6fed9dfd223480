// SPDX-License-Identifier: BSD-2-Clause
// The walk over a dying thread's robust list; layout and rules as set_robust_list(2) and Linux's robust-futexes text.
#include <bsd/futex_pi.hpp>
#include <bsd/robust.hpp>
#include <mach/futex.hpp>
#include <mach/task.hpp>
#include <vm/vm_user.hpp>

namespace lentil {
namespace {

constexpr uint32_t tid_mask = 0x3fffffff, owner_died = 0x40000000, has_waiters = 0x80000000;
constexpr unsigned walk_limit = 2048; ///< Linux's ROBUST_LIST_LIMIT: lists may be circular by accident

Result<uint64_t> read_word(vaddr_t address) { return UserPtr<uint64_t>(address).read(); }

/// `pending`: the lock may just have been taken or released; nobody else then knows that a waiter needs a wake-up.
Result<void> owner_ends(vaddr_t address, pid_t tid, bool pending) {
    if ((address & 3) != 0 || !user_range_ok(address, 4))
        return Errno::fault;
    uint32_t word = 0;
    if (!machine::user_load32(&word, address))
        return Errno::fault;
    if (pending && word == 0) {
        (void)futex_wake(current_map(), address, 1, futex_match_any, false);
        return {};
    }
    while ((word & tid_mask) == static_cast<uint32_t>(tid)) {
        uint32_t found = 0;
        if (!machine::user_cmpxchg32(&found, address, word, (word & has_waiters) | owner_died))
            return Errno::fault;
        if (found == word) {
            if (word & has_waiters)
                (void)futex_wake(current_map(), address, 1, futex_match_any, false);
            break;
        }
        word = found;
    }
    return {};
}

Result<void> walk(vaddr_t head, pid_t tid) {
    constexpr uint64_t pi_bit = 1; // in an entry's address: the lock inherits priorities
    uint64_t entry = TRY(read_word(head));
    const uint64_t offset = TRY(read_word(head + 8));
    const uint64_t pending_entry = TRY(read_word(head + 16)), pending = pending_entry & ~pi_bit;
    for (unsigned n = 0; (entry & ~pi_bit) != head && n < walk_limit; n++) {
        const vaddr_t here = entry & ~pi_bit;
        const Result<uint64_t> next = read_word(here); // before the lock's owner can free it
        if (here != pending)
            TRY(entry & pi_bit ? futex_pi_owner_ends(here + offset) : owner_ends(here + offset, tid, false));
        entry = TRY(Result<uint64_t>(next));
    }
    if (pending != 0)
        TRY(pending_entry & pi_bit ? futex_pi_owner_ends(pending + offset) : owner_ends(pending + offset, tid, true));
    return {};
}

} // namespace

void robust_list_exit(Uthread& uthread) {
    const vaddr_t head = std::exchange(uthread.robust_list, 0);
    if (head != 0)
        (void)walk(head, uthread.tid); // a broken list ends the walk, as on Linux
}

} // namespace lentil

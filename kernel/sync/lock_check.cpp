// SPDX-License-Identifier: BSD-2-Clause
// The lock order checker.
#include <sync/lock_check.hpp>

#if defined(LENTIL_CHECKS)

#include <libkern/format.hpp>
#include <machine/machine.hpp>

namespace lentil::lock_check {

constinit HeldByCurrent held_by_current = nullptr;
constinit std::atomic<uint32_t> threads_only{0};

namespace {

std::string_view file_name(SourceLine where) {
    std::string_view path = where.file;
    const size_t slash = path.rfind("kernel/");
    return slash == path.npos ? path : path.substr(slash);
}

[[noreturn]] void report(std::string_view what, const HeldLock& held, const void* lock, Rank rank, SourceLine where) {
    char text[256];
    panic(format_to(text, "lock order: {} {} (rank {:#x}) at {}:{} while {} (rank {:#x}) is held since {}:{}", what,
                    lock, rank, file_name(where), where.line, held.lock, held.rank, file_name(held.where),
                    held.where.line),
          where);
}

} // namespace

void acquiring(const void* lock, Rank rank, bool nested, SourceLine where) {
    if (!held_by_current)
        return;
    HeldLocks& locks = *held_by_current();
    for (unsigned i = 0; i < locks.count; i++) {
        const HeldLock& held = locks.held[i];
        if (held.lock == lock)
            report("taking again", held, lock, rank, where);
        if (held.rank > rank || (held.rank == rank && !nested))
            report("taking", held, lock, rank, where);
    }
    if (locks.count == HeldLocks::capacity)
        report("no room to remember", locks.held[locks.count - 1], lock, rank, where);
    locks.held[locks.count++] = {lock, rank, where};
}

void released(const void* lock, Rank rank) {
    if (!held_by_current)
        return;
    HeldLocks& locks = *held_by_current();
    unsigned i = locks.count;
    while (i > 0 && locks.held[i - 1].lock != lock)
        i--;
    if (i == 0) {
        // Taken before there were threads: the boot flow of control may do that.
        if (threads_only.load(std::memory_order_relaxed) == 0)
            return;
        char text[128];
        panic(format_to(text, "lock order: releasing {} (rank {:#x}), which this thread does not hold", lock, rank));
    }
    for (; i < locks.count; i++)
        locks.held[i - 1] = locks.held[i];
    locks.count--;
}

void assert_may_sleep(SourceLine where) {
    if (!held_by_current || threads_only.load(std::memory_order_relaxed) == 0)
        return;
    const HeldLocks& locks = *held_by_current();
    for (unsigned i = 0; i < locks.count; i++)
        if (!is_blocking(locks.held[i].rank)) {
            char text[192];
            panic(format_to(text, "sleeping at {}:{} while spin lock {} (rank {:#x}) is held since {}:{}",
                            file_name(where), where.line, locks.held[i].lock, locks.held[i].rank,
                            file_name(locks.held[i].where), locks.held[i].where.line),
                  where);
        }
    if (!machine::irq_enabled())
        panic("sleeping with interrupts off", where);
}

} // namespace lentil::lock_check

#endif

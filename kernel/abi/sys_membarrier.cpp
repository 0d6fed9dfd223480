// SPDX-License-Identifier: BSD-2-Clause
// membarrier(2): a memory barrier in other threads, made by those harts that run the caller's map just now. Taking an
// interrupt and returning from it orders what a hart did before and does after, and so does switching to a map.
#include <abi/sys_mem.hpp>
#include <sched/sched.hpp>

namespace lentil::abi {

Result<int> sys_membarrier(int command, uint32_t flags, int) {
    constexpr int query = 0, global = 1, global_expedited = 2, register_global = 4, private_expedited = 8,
                  register_private = 16, private_sync_core = 32, register_sync_core = 64, get_registrations = 512;
    if (flags != 0) // only of the commands for restartable sequences, which there are not
        return Errno::inval;
    VmMap& map = current_map();
    std::atomic<uint32_t>& registered = map.membarrier_registered;
    switch (command) {
    case query:
        return global | global_expedited | register_global | private_expedited | register_private | private_sync_core |
               register_sync_core | get_registrations;
    case register_global:
    case register_private:
    case register_sync_core: registered.fetch_or(static_cast<uint32_t>(command), std::memory_order_relaxed); return 0;
    case get_registrations: return static_cast<int>(registered.load(std::memory_order_relaxed));
    case private_expedited:
    case private_sync_core: {
        const uint32_t needed = static_cast<uint32_t>(command) << 1; // the command that registers for it
        if (!(registered.load(std::memory_order_relaxed) & needed))
            return Errno::perm;
        machine::sync_instructions(map.pmap().space().active.load());
        return 0;
    }
    case global:
    case global_expedited: machine::sync_instructions(sched_harts()); return 0;
    default: return Errno::inval;
    }
}

} // namespace lentil::abi

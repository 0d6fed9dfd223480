// SPDX-License-Identifier: BSD-2-Clause
// Structures and constants of the native calls; user/include/lentil/spawn.h has the same for programs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lentil::abi {

/// Attributes of a spawned child: the values of POSIX's flags in Linux's <spawn.h>, then XNU's and ours.
namespace spawn_flags {
inline constexpr uint32_t reset_ids = 0x01, set_group = 0x02, set_default = 0x04, set_mask = 0x08, set_param = 0x10,
                          set_policy = 0x20, set_session = 0x80, set_umask = 0x1000, cloexec_default = 0x4000;
inline constexpr uint32_t all =
    reset_ids | set_group | set_default | set_mask | set_param | set_policy | set_session | set_umask | cloexec_default;
} // namespace spawn_flags

enum class SpawnActionKind : uint32_t {
    open = 1,       ///< path, flags, mode: becomes fd
    close = 2,      ///< fd; not being open is no error
    dup2 = 3,       ///< fd becomes to as well; fd == to: stays open in the program
    inherit = 4,    ///< fd stays open in the program
    chdir = 5,      ///< path
    fchdir = 6,     ///< fd
    close_from = 7, ///< fd and all above
};

struct SpawnAction {
    uint32_t kind;
    int32_t fd, to;
    uint32_t flags, mode;
    uint32_t reserved; ///< 0
    uint64_t path;
};
static_assert(sizeof(SpawnAction) == 32);

/// What spawn is to do. Its size is its version: later ones append fields whose zero means what is done today.
struct SpawnArgs {
    uint64_t path, argv, envp;
    uint64_t actions; ///< array of SpawnAction, done in order
    uint32_t action_count;
    uint32_t flags;
    uint64_t mask, defaults; ///< signal sets
    int32_t group;
    int32_t policy, priority;
    uint32_t umask;
};
inline constexpr uint64_t spawn_args_size_0 = 72;
static_assert(sizeof(SpawnArgs) == spawn_args_size_0);

} // namespace lentil::abi
